"""Trigger: an hourly and a daily schedule, `POST /reconciliations`, `GET /tenants/{tenant_id}/diagnosis`, and
CollectFailuresFunction when a job has failed. Says where records and resources do not agree, and what is wrong with a
tenant. By the schedules, the deletions and rebuilds that are due are started, too: first, so that nothing else keeps
them from it.
"""

from collections.abc import Set
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse, parse_json
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.events import JOB_STATE_CHANGE, JobStateChangeEvent, ReconciliationDetail, ReconciliationRequest
from kbfleet.domain.errors import InvalidInput, KbfleetError, NotReadyYet
from kbfleet.domain.finding import Disagreement
from kbfleet.domain.names import TenantId
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.telemetry import report_rooms
from kbfleet.usecases.capacity import count_rooms
from kbfleet.usecases.offboarding import DeletionRound, start_due_deletions
from kbfleet.usecases.rebuilding import RebuildRound, start_due_rebuilds
from kbfleet.usecases.reconciliation import reconcile

_ANSWERED_WITHIN = timedelta(seconds=7)
"""For looks at single tenants, of the 29 seconds that API Gateway waits. What comes before takes as long as the account
is large; with 10,000 tenants, nearly all of it. What is within tenants, the daily round has written down."""
_REPAIRED_WITHIN = timedelta(seconds=20)
"""For starting repairs: the rest is for what comes behind."""
_LEFT_AT_THE_END = timedelta(seconds=60)
_DELETIONS_AT_MOST = 100
"""That a round starts: what they call is throttled for the whole account, and others work there, too."""
_REBUILDS_AT_MOST = 20
"""As many as a round may have beside each other, and more than there is room for."""
_FOR_REBUILDS = timedelta(seconds=60)
_FOR_DELETIONS = timedelta(seconds=300)
"""Of the function's 900 seconds, at most; reconciling has the rest."""


def _reconcile(
    until: datetime,
    *,
    first: TenantId | None = None,
    repair_until: datetime | None = None,
    looking_in: bool = True,
    by_schedule: bool = True,
    quietly: bool = False,
) -> Reconciliation:
    report = reconcile(
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        incidents=bootstrap.incidents(),
        buckets=bootstrap.buckets(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        service_roles=bootstrap.service_roles(),
        executions=bootstrap.executions(),
        rebuild_executions=bootstrap.rebuild_executions(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        isolation=bootstrap.isolation_look(),
        examination=bootstrap.examination(),
        until=until,
        first=first,
        repair_until=repair_until,
        looking_in=looking_in,
        by_schedule=by_schedule,
        quietly=quietly,
    )
    if quietly:
        return report
    counted: dict[Metric, float] = {
        Metric.RESOURCES_MISSING: report.count(Disagreement.MISSING),
        Metric.RESOURCES_UNEXPLAINED: report.count(Disagreement.UNEXPLAINED),
        Metric.DELETIONS_OVERDUE: report.count(Disagreement.OVERDUE),
    }
    if looking_in:
        # Who has not looked has not found none.
        counted[Metric.ISOLATION_BREACHES] = report.count(Disagreement.FOREIGN)
    publish(counted)
    for finding in report.findings:
        logger.warning(
            "A record and a resource do not agree",
            tenant_id=finding.tenant_id,
            disagreement=finding.disagreement,
            resource=f"{finding.kind} {finding.name}",
            advice=finding.advice,
        )
    for loss in report.shared_losses:
        logger.error("What all tenants share is gone", resource=f"{loss.kind} {loss.name}", advice=loss.advice)
    for reason in report.unlisted:
        logger.warning("Something could not be listed", reason=reason)
    for tenant_id, error in report.troubles:
        logger.warning("A look into a tenant ended without a verdict", tenant_id=tenant_id, reason=str(error))
    return report


def post_reconciliation(request: Request) -> HttpResponse:
    wanted = parse_json(ReconciliationRequest, request["body"] or "{}")
    now = bootstrap.clock().now()
    if wanted.repair and wanted.look_only:
        raise InvalidInput("look_only", "leaves everything as it is, so nothing is repaired.")
    if wanted.tenant_id is not None:
        bootstrap.registry().get(wanted.tenant_id)
    report = _reconcile(
        now + _ANSWERED_WITHIN,
        first=wanted.tenant_id,
        repair_until=now + _REPAIRED_WITHIN if wanted.repair else None,
        by_schedule=False,
        quietly=wanted.look_only,
    )
    return respond(ReconciliationDetail.from_domain(report))


def get_diagnosis(request: Request) -> HttpResponse:
    tenant = bootstrap.registry().get(TenantId(path_parameter(request, "tenant_id")))
    examination = bootstrap.examination()
    diagnosis = examination.examine(tenant, asked=True)
    examination.publish(diagnosis)
    return respond(DiagnosisBody.from_domain(diagnosis))


ROUTES = {
    ("POST", "/reconciliations"): Route(post_reconciliation),
    ("GET", "/tenants/{tenant_id}/diagnosis"): Route(get_diagnosis),
}


def _start_due_deletions() -> None:
    """Raises: why the first of those could not be started that were refused, after all others were tried."""
    clock = bootstrap.clock()
    done = start_due_deletions(
        registry=bootstrap.registry(),
        executions=bootstrap.offboarding_executions(),
        clock=clock,
        at_most=_DELETIONS_AT_MOST,
        until=clock.now() + _FOR_DELETIONS,
    )
    _log(
        done,
        started="The retention period is over, and the deletion is started",
        refused="A deletion that is due could not be started",
        left_over="Deletions that are due are left to the next round",
    )


def _start_due_rebuilds() -> None:
    """Has executions go on with what is beside tenants' live knowledge, and delete what was kept for long enough.

    Raises: as `_start_due_deletions`.
    """
    clock = bootstrap.clock()
    done = start_due_rebuilds(
        registry=bootstrap.registry(),
        executions=bootstrap.rebuild_executions(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        announcements=bootstrap.announcements(),
        clock=clock,
        at_most=_REBUILDS_AT_MOST,
        until=clock.now() + _FOR_REBUILDS,
    )
    _log(
        done,
        started="Something is due beside the live knowledge, and an execution is started",
        refused="What is due beside a live knowledge could not be started",
        left_over="Knowledge that is due is left to the next round",
    )


def _log(done: DeletionRound | RebuildRound, *, started: str, refused: str, left_over: str) -> None:
    """Raises: the first of what was refused."""
    for tenant_id in done.started:
        logger.info(started, tenant_id=tenant_id)
    for tenant_id, error in done.refused:
        logger.error(refused, tenant_id=tenant_id, reason=str(error))
    if done.left_over:
        logger.warning(left_over, left_over=done.left_over)
    for _, error in done.refused:
        raise error


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    if "httpMethod" in event:
        return dispatch(event, ROUTES)
    if event.get("detail-type") == JOB_STATE_CHANGE:
        failed = parse(JobStateChangeEvent, event).detail.to_domain()
        logger.append_keys(tenant_id=failed.tenant_id, ingestion_job_id=failed.ingestion_job_id)
        bootstrap.examination().examine_after(failed)
        return None
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    until = bootstrap.clock().now() + left - _LEFT_AT_THE_END
    # Once a day a round is begun; a large fleet's goes on in the hours after.
    looking_in = not event.get("hourly") or bootstrap.isolation_look().under_way
    try:
        _start_due_deletions()
        _start_due_rebuilds()
    finally:
        report = _reconcile(until, looking_in=looking_in)
    unlisted = [*report.unlisted, *_uncounted({loss.name for loss in report.shared_losses})]
    if unlisted:
        # Whoever runs this again, and the alarm, must know.
        raise NotReadyYet(f"Not all that there is could be listed: {'; '.join(unlisted)}")
    return None


def _uncounted(lost: Set[str]) -> list[str]:
    """Counts what the account has room for. Returns: why it could not.

    Args:
        lost: names of stores that are gone, which people have been told of.
    """
    stores = {name: store for name, store in bootstrap.stores().items() if name not in lost}
    if not stores:
        return []
    try:
        counted = count_rooms(
            counts=bootstrap.room_counts(),
            stores=stores,
            knowledge_bases=bootstrap.knowledge_bases(),
            buckets=bootstrap.buckets(),
            service_roles=bootstrap.service_roles(),
            usage_keys=bootstrap.usage_keys(),
            clock=bootstrap.clock(),
        )
    except KbfleetError as error:
        return [str(error)]
    # The first store is the one that new tenants get: what only others need may be another fleet's business.
    report_rooms(counted.for_tenants_on(next(iter(stores))))
    return []
