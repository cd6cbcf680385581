"""Trigger: `/tenants`, signed with IAM. What the operator does: list, provision, look, sync, try documents again,
suspend, resume, offboard."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import parse, parse_json
from kbfleet.contracts.documents import DocumentRetryBody, FailedDocumentBody, FailedDocumentsBody, FailedDocumentsQuery
from kbfleet.contracts.jobs import JobBody, JobsBody, JobsQuery
from kbfleet.contracts.tenants import (
    ExecutionBody,
    OffboardTenantQuery,
    ProvisionRequest,
    SyncBody,
    TenantBody,
    TenantsBody,
    TenantsQuery,
)
from kbfleet.contracts.usage import UsageBody, UsageQuery
from kbfleet.contracts.workflows import ProvisionTenantInput
from kbfleet.domain.errors import ExecutionNotFound, JobNotFound, ResourceMissing
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion import can_be_a_job
from kbfleet.domain.tenant import Tenant, TenantId
from kbfleet.logs import logger
from kbfleet.ports import Executions
from kbfleet.settings import read
from kbfleet.settings.provisioning import OffboardingExecutionSettings
from kbfleet.telemetry import tracer
from kbfleet.usecases.failed_documents import request_retry
from kbfleet.usecases.ingestion import request_sync, stop_sync
from kbfleet.usecases.lifecycle import resume_tenant, suspend_tenant
from kbfleet.usecases.offboarding import start_offboarding
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.reservations import can_be_an_execution_of
from kbfleet.usecases.tenant_listing import list_tenants

app = api.resolver()


@app.get("/tenants")
def get_tenants() -> Response[str]:
    """The tenants, a page of them."""
    query = parse(TenantsQuery, app.current_event.query_string_parameters)
    page = list_tenants(
        after=query.after,
        limit=query.limit,
        status=query.status,
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
    )
    return api.respond(TenantsBody.from_page([(each.tenant, each.sync) for each in page.tenants], page.last))


@app.put("/tenants/<tenant_id>")
def put_tenant(tenant_id: str) -> Response[str]:
    """Provisions the tenant, or converges it again."""
    valid = TenantId(tenant_id)
    body = parse_json(ProvisionRequest, app.current_event.body or "{}")
    request = ProvisionTenantInput(
        tenant_id=valid, name=body.name, knowledge_store=body.knowledge_store, tier=body.tier
    )
    execution = start_provisioning(
        request.to_domain(),
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
        must_exist=body.must_exist,
    )
    logger.info("Provisioning runs", tenant_id=valid, execution=execution.name)
    return api.respond(ExecutionBody.from_domain(execution), HTTPStatus.ACCEPTED)


@app.delete("/tenants/<tenant_id>")
def delete_tenant(tenant_id: str) -> Response[str]:
    """Takes the tenant out of service and deletes everything of it after the retention period."""
    valid = TenantId(tenant_id)
    days = parse(OffboardTenantQuery, app.current_event.query_string_parameters).retention_days
    retention_days = read(OffboardingExecutionSettings).retention_days if days is None else days
    execution = start_offboarding(
        valid,
        timedelta(days=retention_days),
        registry=bootstrap.registry(),
        executions=bootstrap.offboarding_executions(),
        clock=bootstrap.clock(),
    )
    logger.info("Offboarding runs", tenant_id=valid, execution=execution.name)
    return api.respond(ExecutionBody.from_domain(execution), HTTPStatus.ACCEPTED)


@app.put("/tenants/<tenant_id>/suspension")
def put_suspension(tenant_id: str) -> Response[str]:
    """No questions and no syncs; everything is kept."""
    tenant = suspend_tenant(
        TenantId(tenant_id),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        knowledge_bases=bootstrap.knowledge_bases(),
        callbacks=bootstrap.callbacks(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    logger.info("The tenant is suspended", tenant_id=tenant.tenant_id)
    return _tenant(tenant)


@app.delete("/tenants/<tenant_id>/suspension")
def delete_suspension(tenant_id: str) -> Response[str]:
    """Takes back a suspension, or an offboarding that has not begun to delete."""
    tenant = resume_tenant(
        TenantId(tenant_id),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        executions=bootstrap.executions(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    logger.info("The tenant is in service again", tenant_id=tenant.tenant_id)
    return _tenant(tenant)


@app.get("/tenants/<tenant_id>/provisionings/<execution>")
def get_provisioning(tenant_id: str, execution: str) -> Response[str]:
    return _execution(tenant_id, execution, bootstrap.executions())


@app.get("/tenants/<tenant_id>/offboardings/<execution>")
def get_offboarding(tenant_id: str, execution: str) -> Response[str]:
    return _execution(tenant_id, execution, bootstrap.offboarding_executions())


def _execution(tenant_id: str, execution: str, executions: Executions) -> Response[str]:
    valid = TenantId(tenant_id)
    unknown = ExecutionNotFound(f"No execution {execution} for tenant {tenant_id} is known.")
    if not can_be_an_execution_of(valid, execution):
        raise unknown
    tenant = bootstrap.registry().find(valid)
    try:
        described = executions.describe(execution)
    except ResourceMissing as error:
        raise unknown from error
    failure = tenant.failure if tenant is not None and tenant.failure is not None else None
    own = failure if failure is not None and failure.execution == described.arn else None
    return api.respond(ExecutionBody.from_domain(described, own))


@app.get("/tenants/<tenant_id>")
def get_tenant(tenant_id: str) -> Response[str]:
    return _tenant(bootstrap.registry().get(TenantId(tenant_id)))


def _tenant(tenant: Tenant) -> Response[str]:
    sync = bootstrap.ledger().find(tenant.tenant_id)
    isolation = bootstrap.incidents().timeline(str(tenant.tenant_id), Concern.ISOLATION)
    return api.respond(TenantBody.from_domain(tenant, sync, isolation))


@app.post("/tenants/<tenant_id>/syncs")
def post_sync(tenant_id: str) -> Response[str]:
    sync = request_sync(
        TenantId(tenant_id),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        clock=bootstrap.clock(),
    )
    logger.info("A sync is requested", tenant_id=sync.tenant_id, generation=sync.requested_generation)
    return api.respond(SyncBody.from_domain(sync), HTTPStatus.ACCEPTED)


@app.delete("/tenants/<tenant_id>/syncs")
def delete_sync(tenant_id: str) -> Response[str]:
    """Stops the running job, and takes the tenant off the queue."""
    sync = stop_sync(
        TenantId(tenant_id),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        knowledge_bases=bootstrap.knowledge_bases(),
        callbacks=bootstrap.callbacks(),
        ticks=bootstrap.ticks(),
    )
    logger.info("The sync is stopped", tenant_id=sync.tenant_id)
    return api.respond(SyncBody.from_domain(sync))


@app.get("/tenants/<tenant_id>/jobs")
def get_jobs(tenant_id: str) -> Response[str]:
    """The ingestion jobs, a page of them, the newest first."""
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    query = parse(JobsQuery, app.current_event.query_string_parameters)
    return api.respond(JobsBody.from_page(bootstrap.history().page(tenant.tenant_id, query.limit, query.after)))


@app.get("/tenants/<tenant_id>/jobs/<job>")
def get_job(tenant_id: str, job: str) -> Response[str]:
    """One ingestion job, and the documents that it left out."""
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    found = bootstrap.history().find(tenant.tenant_id, job) if can_be_a_job(job) else None
    if found is None:
        raise JobNotFound(
            f"No ingestion job {job} of tenant {tenant_id} is known.",
            remedy=f"`kbfleet jobs list {tenant_id}` shows those that are.",
        )
    left_out = [each for each in bootstrap.failed_documents().all(tenant.tenant_id) if each.failed_in(found)]
    return api.respond(JobBody.from_domain(found, sorted(left_out, key=lambda each: each.uri)))


@app.get("/tenants/<tenant_id>/usage")
def get_usage(tenant_id: str) -> Response[str]:
    """What the tenant has used, by day; of the current month unless other days are asked for."""
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    query = parse(UsageQuery, app.current_event.query_string_parameters)
    period = query.to_domain(bootstrap.clock().now().date())
    days = bootstrap.usage_records().of_tenant(tenant.tenant_id, period)
    return api.respond(UsageBody.from_domain(tenant.tenant_id, period, days))


@app.get("/tenants/<tenant_id>/documents")
def get_documents(tenant_id: str) -> Response[str]:
    """The documents that fail, a page of them, and how trying them again goes."""
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    query = parse(FailedDocumentsQuery, app.current_event.query_string_parameters)
    page = bootstrap.failed_documents().page(tenant.tenant_id, query.limit, query.next_token)
    retry = bootstrap.document_retries().find(tenant.tenant_id)
    return api.respond(
        FailedDocumentsBody(
            documents=tuple(map(FailedDocumentBody.from_domain, page.documents)),
            next_token=page.following,
            retry=DocumentRetryBody.from_domain(retry) if retry else None,
        )
    )


@app.post("/tenants/<tenant_id>/documents/retry")
def post_document_retry(tenant_id: str) -> Response[str]:
    """Has the documents that fail tried again, by themselves."""
    retry = request_retry(
        TenantId(tenant_id),
        registry=bootstrap.registry(),
        retries=bootstrap.document_retries(),
        turns=bootstrap.retry_turns(),
        clock=bootstrap.clock(),
    )
    logger.info("A retry of documents is requested", tenant_id=retry.tenant_id)
    return api.respond(DocumentRetryBody.from_domain(retry), HTTPStatus.ACCEPTED)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
