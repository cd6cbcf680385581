"""Trigger: `/fleet` and `/tenants`, signed with IAM. What the operator does: see the fleet, list, provision, look,
sync, try documents again, suspend, resume, rebuild, roll back, offboard."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import DocumentRetryBody
from kbfleet.contracts.fleet import FleetBody
from kbfleet.contracts.jobs import JobBody, JobsBody, JobsQuery
from kbfleet.contracts.rebuilds import AN_HOUR, RebuildBody, RebuildRequest, RollbackRequest
from kbfleet.contracts.tenants import (
    ExecutionBody,
    OffboardingBody,
    OffboardTenantQuery,
    ProvisionRequest,
    SyncBody,
    SyncRequest,
    TenantBody,
    TenantsBody,
    TenantsQuery,
)
from kbfleet.contracts.usage import UsageBody, UsageQuery
from kbfleet.contracts.workflows import ProvisionTenantInput
from kbfleet.domain.errors import ExecutionNotFound, JobNotFound, ResourceMissing
from kbfleet.domain.fleet_overview import trouble_of
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStateChange, can_be_a_job
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.profile_rules import require_allowed
from kbfleet.domain.profiles import BY_THE_STACK, DEFAULT_PROFILE, ProfileName, ProfileReference
from kbfleet.domain.sync import RunningJob
from kbfleet.domain.tenant import Tenant
from kbfleet.logs import logger
from kbfleet.ports import Executions
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.settings import read
from kbfleet.settings.ingestion import ChangeEventSettings, IngestionSettings, StaleSettings
from kbfleet.settings.provisioning import RetentionSettings
from kbfleet.usecases.failed_documents import request_retry
from kbfleet.usecases.fleet_overview import see_fleet
from kbfleet.usecases.ingestion import request_sync, stop_sync
from kbfleet.usecases.lifecycle import resume_tenant, suspend_tenant
from kbfleet.usecases.offboarding import request_offboarding
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.rebuilding import request_rebuild, roll_back, stop_rebuild
from kbfleet.usecases.reservations import can_be_an_execution_of
from kbfleet.usecases.tenant_listing import list_tenants


def _tenant_id(request: Request) -> TenantId:
    return TenantId(path_parameter(request, "tenant_id"))


def get_fleet(_request: Request) -> HttpResponse:
    """The fleet on one screen."""
    seen = see_fleet(
        records=bootstrap.fleet_records(),
        clock=bootstrap.clock(),
        start_interval=read(IngestionSettings).start_interval,
        stale_after=read(StaleSettings).stale_after,
    )
    return respond(FleetBody.from_domain(seen))


def get_tenants(_request: Request, query: TenantsQuery) -> HttpResponse:
    """The tenants, a page of them."""
    page = list_tenants(
        after=query.after,
        limit=query.limit,
        status=query.status,
        beginning=query.prefix,
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
    )
    tenants = [(each.tenant, each.sync) for each in page.tenants]
    now, stale_after = bootstrap.clock().now(), read(StaleSettings).stale_after
    troubles = (trouble_of(*each, now, stale_after) for each in tenants)
    known = {each.tenant_id: each for each in troubles if each is not None}
    return respond(TenantsBody.from_page(tenants, page.last, bootstrap.resources_version(), known))


def put_tenant(request: Request) -> HttpResponse:
    """Provisions the tenant, or converges it again."""
    valid = _tenant_id(request)
    body = parse_json(ProvisionRequest, request["body"] or "{}")
    wanted = ProvisionTenantInput(
        tenant_id=valid,
        name=body.name,
        knowledge_store=body.knowledge_store,
        tier=body.tier,
        profile=_profile(body.profile),
    )
    execution = start_provisioning(
        wanted.to_domain(),
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
        profiles=bootstrap.profiles(),
        must_exist=body.must_exist,
    )
    logger.info("Provisioning runs", tenant_id=valid, execution=execution.name)
    return respond(ExecutionBody.from_domain(execution), HTTPStatus.ACCEPTED)


def _profile(name: ProfileName | None) -> ProfileReference | None:
    """Its newest version, if the stack still gives all that it needs.

    Raises: ProfileNotFound, ProfileRefused.
    """
    if name is None:
        return None
    if name == DEFAULT_PROFILE:
        return BY_THE_STACK
    profile = bootstrap.profiles().newest(name)
    require_allowed(profile, bootstrap.profile_offer())
    return profile.reference


def delete_tenant(request: Request, query: OffboardTenantQuery) -> HttpResponse:
    """Takes the tenant out of service, to delete everything of it after the retention period."""
    days = query.retention_days
    retention_days = read(RetentionSettings).retention_days if days is None else days
    valid = _tenant_id(request)
    tenant, execution = request_offboarding(
        valid,
        timedelta(days=retention_days),
        registry=bootstrap.registry(),
        executions=bootstrap.offboarding_executions(),
        ledger=bootstrap.ledger(),
        callbacks=bootstrap.callbacks(),
        buckets=bootstrap.buckets(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    logger.info(
        "The tenant is out of service",
        tenant_id=valid,
        execution=execution.name if execution is not None else None,
    )
    return respond(OffboardingBody.from_domain(tenant, execution), HTTPStatus.ACCEPTED)


def put_suspension(request: Request) -> HttpResponse:
    """No questions and no syncs; everything is kept."""
    tenant = suspend_tenant(
        _tenant_id(request),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        knowledge_bases=bootstrap.knowledge_bases(),
        callbacks=bootstrap.callbacks(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    logger.info("The tenant is suspended", tenant_id=tenant.tenant_id)
    return _tenant(tenant)


def delete_suspension(request: Request) -> HttpResponse:
    """Takes back a suspension, or an offboarding that has not begun to delete."""
    tenant = resume_tenant(
        _tenant_id(request),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        executions=bootstrap.executions(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    logger.info("The tenant is in service again", tenant_id=tenant.tenant_id)
    return _tenant(tenant)


def put_rebuild(request: Request) -> HttpResponse:
    """Builds another knowledge beside the one that answers; a body need not be there."""
    body = parse_json(RebuildRequest, request["body"] or "{}")
    tenant, execution = request_rebuild(
        _tenant_id(request),
        profile=_profile(body.profile),
        keep=body.keep_hours * AN_HOUR,
        tolerance=body.tolerance,
        compare_only=body.compare_only,
        registry=bootstrap.registry(),
        executions=bootstrap.rebuild_executions(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        clock=bootstrap.clock(),
    )
    logger.info("A rebuild runs", tenant_id=tenant.tenant_id, execution=execution.name)
    return respond(RebuildBody.from_domain(tenant, execution.name), HTTPStatus.ACCEPTED)


def delete_rebuild(request: Request) -> HttpResponse:
    """Deletes the candidate."""
    tenant, execution = stop_rebuild(
        _tenant_id(request),
        registry=bootstrap.registry(),
        executions=bootstrap.rebuild_executions(),
        clock=bootstrap.clock(),
    )
    logger.info("The rebuild is stopped", tenant_id=tenant.tenant_id, execution=execution.name)
    return respond(RebuildBody.from_domain(tenant, execution.name), HTTPStatus.ACCEPTED)


def put_knowledge(request: Request) -> HttpResponse:
    """Has the knowledge of that number answer, which was live before."""
    tenant = roll_back(
        _tenant_id(request),
        parse_json(RollbackRequest, request["body"] or "{}").live,
        registry=bootstrap.registry(),
        executions=bootstrap.rebuild_executions(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    logger.info("Another knowledge answers", tenant_id=tenant.tenant_id, knowledge=tenant.knowledge)
    return _tenant(tenant)


def get_provisioning(request: Request) -> HttpResponse:
    return _execution(request, bootstrap.executions())


def get_offboarding(request: Request) -> HttpResponse:
    return _execution(request, bootstrap.offboarding_executions())


def get_rebuild(request: Request) -> HttpResponse:
    return _execution(request, bootstrap.rebuild_executions())


def _execution(request: Request, executions: Executions) -> HttpResponse:
    valid, execution = _tenant_id(request), path_parameter(request, "execution")
    unknown = ExecutionNotFound(f"No execution {execution} for tenant {valid} is known.")
    if not can_be_an_execution_of(valid, execution):
        raise unknown
    tenant = bootstrap.registry().find(valid)
    try:
        described = executions.describe(execution)
    except ResourceMissing as error:
        raise unknown from error
    beside = tenant.beside.failure if tenant is not None and tenant.beside is not None else None
    failures = (tenant.failure if tenant is not None else None, beside)
    own = next((each for each in failures if each is not None and each.execution == described.arn), None)
    return respond(ExecutionBody.from_domain(described, own))


def get_tenant(request: Request) -> HttpResponse:
    return _tenant(bootstrap.registry().get(_tenant_id(request)))


def _tenant(tenant: Tenant) -> HttpResponse:
    sync = bootstrap.ledger().find(tenant.live_knowledge)
    isolation = bootstrap.incidents().timeline(str(tenant.tenant_id), Concern.ISOLATION)
    events_after = read(ChangeEventSettings).events_after
    return respond(TenantBody.from_domain(tenant, sync, isolation, bootstrap.resources_version(), events_after))


def post_sync(request: Request) -> HttpResponse:
    """Asks for a sync; a body need not be there."""
    body = parse_json(SyncRequest, request["body"] or "{}")
    sync = request_sync(
        _tenant_id(request),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        clock=bootstrap.clock(),
        accepted_deletions=body.accept_deletions or 0,
    )
    logger.info(
        "A sync is requested",
        tenant_id=sync.tenant_id,
        generation=sync.requested_generation,
        accepted_deletions=sync.accepted,
    )
    return respond(SyncBody.from_domain(sync), HTTPStatus.ACCEPTED)


def delete_sync(request: Request) -> HttpResponse:
    """Stops the running job, and takes the tenant off the queue."""
    sync = stop_sync(
        _tenant_id(request),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        knowledge_bases=bootstrap.knowledge_bases(),
        callbacks=bootstrap.callbacks(),
        ticks=bootstrap.ticks(),
    )
    logger.info("The sync is stopped", tenant_id=sync.tenant_id)
    return respond(SyncBody.from_domain(sync))


def get_jobs(request: Request, query: JobsQuery) -> HttpResponse:
    """The ingestion jobs, a page of them, the newest first."""
    tenant = bootstrap.registry().get(_tenant_id(request))
    page = bootstrap.history().page(tenant.this_life, query.limit, query.after)
    running = _running(tenant)
    return respond(JobsBody.from_page(replace(page, jobs=[_as_seen(each, running) for each in page.jobs])))


def get_job(request: Request) -> HttpResponse:
    """One ingestion job, and the documents that it left out."""
    tenant, job = bootstrap.registry().get(_tenant_id(request)), path_parameter(request, "job")
    found = bootstrap.history().find(tenant.this_life, job) if can_be_a_job(job) else None
    if found is None:
        raise JobNotFound(
            f"No ingestion job {job} of tenant {tenant.tenant_id} is known.",
            remedy=f"`kbfleet jobs list {tenant.tenant_id}` shows those that are.",
        )
    left_out = [each for each in bootstrap.failed_documents().all(tenant.this_life) if each.failed_in(found)]
    seen = _as_seen(found, _running(tenant))
    return respond(JobBody.from_domain(seen, sorted(left_out, key=lambda each: each.uri)))


def _running(tenant: Tenant) -> list[RunningJob]:
    entries = bootstrap.ledger().entries(each.live_knowledge for each in tenant.each_knowledge())
    return [each.job for each in entries if each.job is not None]


def _as_seen(change: JobStateChange, running: Sequence[RunningJob]) -> JobStateChange:
    """The history knows of a job what it was when its state last changed; the ledger, how far it is."""
    return next((seen for job in running if (seen := job.as_seen(change)) is not change), change)


def get_usage(request: Request, query: UsageQuery) -> HttpResponse:
    """What the tenant has used, by day; of the current month and the present life, unless others are asked for."""
    tenant = bootstrap.registry().get(_tenant_id(request))
    period = query.to_domain(bootstrap.clock().now().date())
    life = tenant.this_life if query.life is None else Life(tenant.tenant_id, query.life)
    days = bootstrap.usage_records().of_life(life, period)
    return respond(UsageBody.from_domain(life, period, days))


def post_document_retry(request: Request) -> HttpResponse:
    """Has the documents that fail tried again, by themselves."""
    retry = request_retry(
        _tenant_id(request),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        retries=bootstrap.document_retries(),
        runs=bootstrap.retry_runs(),
        clock=bootstrap.clock(),
    )
    logger.info("A retry of documents is requested", tenant_id=retry.tenant_id)
    return respond(DocumentRetryBody.from_domain(retry), HTTPStatus.ACCEPTED)


ROUTES = {
    ("GET", "/fleet"): Route(get_fleet),
    ("GET", "/tenants"): Route(get_tenants, TenantsQuery),
    ("PUT", "/tenants/{tenant_id}"): Route(put_tenant),
    ("DELETE", "/tenants/{tenant_id}"): Route(delete_tenant, OffboardTenantQuery),
    ("PUT", "/tenants/{tenant_id}/suspension"): Route(put_suspension),
    ("DELETE", "/tenants/{tenant_id}/suspension"): Route(delete_suspension),
    ("GET", "/tenants/{tenant_id}/provisionings/{execution}"): Route(get_provisioning),
    ("GET", "/tenants/{tenant_id}/offboardings/{execution}"): Route(get_offboarding),
    ("PUT", "/tenants/{tenant_id}/rebuild"): Route(put_rebuild),
    ("DELETE", "/tenants/{tenant_id}/rebuild"): Route(delete_rebuild),
    ("GET", "/tenants/{tenant_id}/rebuilds/{execution}"): Route(get_rebuild),
    ("PUT", "/tenants/{tenant_id}/knowledge"): Route(put_knowledge),
    ("GET", "/tenants/{tenant_id}"): Route(get_tenant),
    ("POST", "/tenants/{tenant_id}/syncs"): Route(post_sync),
    ("DELETE", "/tenants/{tenant_id}/syncs"): Route(delete_sync),
    ("GET", "/tenants/{tenant_id}/jobs"): Route(get_jobs, JobsQuery),
    ("GET", "/tenants/{tenant_id}/jobs/{job}"): Route(get_job),
    ("GET", "/tenants/{tenant_id}/usage"): Route(get_usage, UsageQuery),
    ("POST", "/tenants/{tenant_id}/documents/retry"): Route(post_document_retry),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
