"""Trigger: `GET /tenants/{tenant_id}/documents/why`, signed with IAM. Follows a document from its bucket into answers.

It is a function of its own because it may search tenants' knowledge bases. It answers whether passages were found, and
never what they say.
"""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import parse
from kbfleet.contracts.documents import DocumentTraceBody, DocumentTraceQuery
from kbfleet.domain.tenant import TenantId
from kbfleet.logs import logger
from kbfleet.telemetry import tracer

app = api.resolver()


@app.get("/tenants/<tenant_id>/documents/why")
def get_why(tenant_id: str) -> Response[str]:
    valid = TenantId(tenant_id)
    query = parse(DocumentTraceQuery, app.current_event.query_string_parameters)
    trace = bootstrap.document_tracer().trace(valid, query.key)
    # A key is the tenant's text, and stays out of the log.
    logger.info("A document is traced", tenant_id=valid, stuck_at=trace.stuck_at.name if trace.stuck_at else None)
    return api.respond(DocumentTraceBody.from_domain(trace))


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
