"""Trigger: a daily schedule, and `POST /reconciliations`. Says where records and resources do not agree."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.events import ReconciliationDetail, ReconciliationRequest
from kbfleet.domain.reconciliation import Disagreement, Reconciliation
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch
from kbfleet.telemetry import tracer
from kbfleet.usecases.reconciliation import reconcile


def _reconcile(*, repair: bool) -> Reconciliation:
    report = reconcile(
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        executions=bootstrap.executions(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        repair=repair,
    )
    publish(
        {
            Metric.RESOURCES_MISSING: report.count(Disagreement.MISSING),
            Metric.RESOURCES_UNEXPLAINED: report.count(Disagreement.UNEXPLAINED),
        }
    )
    for finding in report.findings:
        logger.warning(
            "A record and a resource do not agree",
            tenant_id=finding.tenant_id,
            disagreement=finding.disagreement,
            resource=f"{finding.kind} {finding.name}",
            advice=finding.advice,
        )
    return report


def post_reconciliation(request: Request) -> HttpResponse:
    wanted = parse_json(ReconciliationRequest, request["body"] or "{}")
    return respond(ReconciliationDetail.from_domain(_reconcile(repair=wanted.repair)))


ROUTES = {("POST", "/reconciliations"): Route(post_reconciliation)}


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any] | None:
    if "httpMethod" in event:
        return dispatch(event, ROUTES)
    _reconcile(repair=False)
    return None
