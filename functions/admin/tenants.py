"""Trigger: `/tenants`, signed with IAM. What the operator does: provision, look, sync."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import (
    ExecutionBody,
    JobsBody,
    JobStateChangeDetail,
    ProvisionRequest,
    ProvisionTenantInput,
    SyncBody,
    TenantBody,
    parse_json,
)
from kbfleet.domain.errors import ExecutionNotFound, ResourceMissing
from kbfleet.domain.tenant import TenantId
from kbfleet.telemetry import logger, tracer
from kbfleet.usecases.ingestion import request_sync
from kbfleet.usecases.provisioning import start_provisioning

app = api.resolver()
_NEWEST_JOBS = 20


@app.put("/tenants/<tenant_id>")
def put_tenant(tenant_id: str) -> Response[str]:
    """Provisions the tenant, or converges it again."""
    valid = TenantId(tenant_id)
    body = parse_json(ProvisionRequest, app.current_event.body or "{}")
    request = ProvisionTenantInput(tenant_id=valid, name=body.name, knowledge_store=body.knowledge_store)
    execution = start_provisioning(
        request.to_domain(),
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
    )
    logger.info("Provisioning runs", tenant_id=valid, execution=execution.name)
    return api.respond(ExecutionBody.from_domain(execution), HTTPStatus.ACCEPTED)


@app.get("/tenants/<tenant_id>/provisionings/<execution>")
def get_provisioning(tenant_id: str, execution: str) -> Response[str]:
    tenant = bootstrap.registry().find(TenantId(tenant_id))
    try:
        described = bootstrap.executions().describe(execution)
    except ResourceMissing as error:
        raise ExecutionNotFound(f"No provisioning {execution} of tenant {tenant_id} is known.") from error
    failure = tenant.failure if tenant is not None and tenant.failure is not None else None
    own = failure if failure is not None and failure.execution == described.arn else None
    return api.respond(ExecutionBody.from_domain(described, own))


@app.get("/tenants/<tenant_id>")
def get_tenant(tenant_id: str) -> Response[str]:
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    return api.respond(TenantBody.from_domain(tenant, bootstrap.ledger().find(tenant.tenant_id)))


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


@app.get("/tenants/<tenant_id>/jobs")
def get_jobs(tenant_id: str) -> Response[str]:
    tenant = bootstrap.registry().get(TenantId(tenant_id))
    newest = bootstrap.history().latest(tenant.tenant_id, _NEWEST_JOBS)
    return api.respond(JobsBody(jobs=tuple(JobStateChangeDetail.from_domain(change) for change in newest)))


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
