"""Triggers: `POST /tenants/{tenant_id}/uploads` and `…/uploads/batch`, signed with IAM. Forms by which a document, or
some, can be uploaded.

It is a function of its own because a signed form can do what its signer can; and its signer is neither its own role nor
what opens any other document.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import (
    GrantedUploadBody,
    GrantedUploadsBody,
    UploadBody,
    UploadRequest,
    UploadsRequest,
)
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.settings import read
from kbfleet.settings.asking import UploadSettings
from kbfleet.usecases.uploads import grant_upload, grant_uploads


def post_upload(request: Request) -> HttpResponse:
    valid = TenantId(path_parameter(request, "tenant_id"))
    upload = parse_json(UploadRequest, request["body"]).to_domain()
    form = grant_upload(valid, upload, **_ports())
    # A key is the tenant's text, and stays out of the log.
    given = bool(upload.metadata or upload.metadata_file)
    logger.info("An upload is granted", tenant_id=valid, size=upload.size, metadata=given)
    return respond(UploadBody.from_domain(form), HTTPStatus.CREATED)


def post_uploads(request: Request) -> HttpResponse:
    valid = TenantId(path_parameter(request, "tenant_id"))
    granted = grant_uploads(valid, parse_json(UploadsRequest, request["body"]).to_domain(), **_ports())
    logger.info(
        "Uploads are granted",
        tenant_id=valid,
        documents=len(granted),
        forms=sum(each.form is not None for each in granted),
        refused=sum(each.refusal is not None for each in granted),
        metadata=sum(each.metadata_written for each in granted),
    )
    return respond(GrantedUploadsBody(documents=tuple(map(GrantedUploadBody.from_domain, granted))))


def _ports() -> dict[str, Any]:
    return {
        "valid_for": read(UploadSettings).upload_valid,
        "registry": bootstrap.registry(),
        "stores": bootstrap.stores(),
        "uploads": bootstrap.uploads(),
        "bucket_contents": bootstrap.bucket_contents(),
        "names": bootstrap.fleet().names,
    }


ROUTES = {
    ("POST", "/tenants/{tenant_id}/uploads"): Route(post_upload),
    ("POST", "/tenants/{tenant_id}/uploads/batch"): Route(post_uploads),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
