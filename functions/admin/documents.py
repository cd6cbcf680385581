"""Trigger: `/tenants/{tenant_id}/documents…`, signed with IAM. A tenant's documents: listed, looked at, deleted.

It is a function of its own because it may delete documents; by its own role it may not: for each it has credentials
that delete this one.
"""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts.document_listing import (
    DeleteDocumentQuery,
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentsBody,
    DocumentsQuery,
)
from kbfleet.contracts.documents import DocumentRetryBody
from kbfleet.domain.document_names import key_of
from kbfleet.domain.document_pages import DocumentList
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.usecases.documents import remove_document

_REMOVING = timedelta(seconds=15)
"""For which versions are removed at once: API Gateway gives up after 29."""


def _tenant_id(request: Request) -> TenantId:
    return TenantId(path_parameter(request, "tenant_id"))


def _key(request: Request) -> str:
    return key_of(path_parameter(request, "document"))


def get_documents(request: Request, query: DocumentsQuery) -> HttpResponse:
    """A page of the documents, each with what is true of it, and how trying again goes of those that fail."""
    tenant = bootstrap.registry().get(_tenant_id(request))
    listed = DocumentList(tenant.this_life, query.status, query.prefix)
    page = bootstrap.tenant_documents().page(tenant, listed.place(query.next_token), query.limit)
    retry = bootstrap.document_retries().find(tenant.this_life)
    return respond(
        DocumentsBody(
            documents=tuple(map(DocumentBody.from_domain, page.documents)),
            next_token=page.following.token if page.following is not None else None,
            retry=DocumentRetryBody.from_domain(retry) if retry else None,
            not_known=page.not_known,
        )
    )


def get_document(request: Request) -> HttpResponse:
    """One document; also by a key that looks the same as its own."""
    tenant_id, documents = _tenant_id(request), bootstrap.tenant_documents()
    found = documents.find(tenant_id, _key(request))
    return respond(DocumentDetailsBody.with_attributes(found, documents.attributes(tenant_id, found)))


def delete_document(request: Request, query: DeleteDocumentQuery) -> HttpResponse:
    """Deletes exactly the document of that key, and says how far that is."""
    tenant_id = _tenant_id(request)
    deletion = remove_document(
        tenant_id,
        _key(request),
        all_versions=query.all_versions,
        until=bootstrap.clock().now() + _REMOVING,
        documents=bootstrap.tenant_documents(),
        removal=bootstrap.document_removal(),
    )
    # A key is the tenant's text, and stays out of the log.
    logger.info("A document is deleted", tenant_id=tenant_id, versions=deletion.versions, complete=deletion.whole)
    return respond(DeletionBody.from_domain(deletion))


ROUTES = {
    ("GET", "/tenants/{tenant_id}/documents"): Route(get_documents, DocumentsQuery),
    ("GET", "/tenants/{tenant_id}/documents/{document}"): Route(get_document),
    ("DELETE", "/tenants/{tenant_id}/documents/{document}"): Route(delete_document, DeleteDocumentQuery),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
