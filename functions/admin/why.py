"""Trigger: `GET /tenants/{tenant_id}/documents/why`, signed with IAM. Follows a document from its bucket into answers.

It is a function of its own because it may search tenants' knowledge bases. It answers whether passages were found, and
never what they say.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts.documents import DocumentTraceBody, DocumentTraceQuery
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter


def get_why(request: Request, query: DocumentTraceQuery) -> HttpResponse:
    valid = TenantId(path_parameter(request, "tenant_id"))
    trace = bootstrap.document_tracer().trace(valid, query.key)
    # A key is the tenant's text, and stays out of the log.
    logger.info("A document is traced", tenant_id=valid, stuck_at=trace.stuck_at.name if trace.stuck_at else None)
    return respond(DocumentTraceBody.from_domain(trace))


ROUTES = {("GET", "/tenants/{tenant_id}/documents/why"): Route(get_why, DocumentTraceQuery)}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
