"""Trigger: `POST /documents/link` and `GET /tenants/{tenant_id}/documents/{document}/link`. Links to documents.

It is a function of its own because a link can do what its signer can; and its signer reads the one document.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.document_listing import DocumentLinkBody, DocumentLinkRequest
from kbfleet.domain.answer import Asker, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.document_names import key_of
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.usecases.documents import link_to, link_to_cited


def post_link(request: Request) -> HttpResponse:
    """A tenant's user opens a document that an answer has cited. The authorizer's verified claims are the only source
    of tenant and user."""
    verified = request["requestContext"]["authorizer"]
    asker = Asker(TenantId(verified.get("tenant_id")), Voucher.IDENTITY_PROVIDER, UserId(verified.get("user_id")))
    body = parse_json(DocumentLinkRequest, request["body"])
    link = link_to_cited(
        asker,
        body.uri,
        body.ticket,
        tenants=bootstrap.askable_tenant_records(),
        tickets=bootstrap.tickets(),
        bucket_contents=bootstrap.bucket_contents(),
        links=bootstrap.document_links(),
        names=bootstrap.fleet().names,
    )
    # A key is the tenant's text, and stays out of the log.
    logger.info("A cited document is opened", tenant_id=asker.tenant_id)
    return respond(DocumentLinkBody.from_domain(link))


def get_link(request: Request) -> HttpResponse:
    """A back end opens any document of a tenant."""
    tenant_id = TenantId(path_parameter(request, "tenant_id"))
    link = link_to(
        tenant_id,
        key_of(path_parameter(request, "document")),
        tenants=bootstrap.askable_tenant_records(),
        bucket_contents=bootstrap.bucket_contents(),
        links=bootstrap.document_links(),
        names=bootstrap.fleet().names,
    )
    logger.info("A document is opened", tenant_id=tenant_id)
    return respond(DocumentLinkBody.from_domain(link))


ROUTES = {
    ("POST", "/documents/link"): Route(post_link),
    ("GET", "/tenants/{tenant_id}/documents/{document}/link"): Route(get_link),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
