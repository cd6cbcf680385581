"""Trigger: `POST /tenants/{tenant_id}/uploads`, signed with IAM. A form by which one document can be uploaded.

It is a function of its own because a signed form can do what its signer can; and its signer is neither its own role nor
what opens any other document.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import UploadBody, UploadRequest
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.settings import read
from kbfleet.settings.asking import UploadSettings
from kbfleet.usecases.uploads import grant_upload


def post_upload(request: Request) -> HttpResponse:
    valid = TenantId(path_parameter(request, "tenant_id"))
    upload = parse_json(UploadRequest, request["body"]).to_domain()
    form = grant_upload(
        valid,
        upload,
        valid_for=read(UploadSettings).upload_valid,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        uploads=bootstrap.uploads(),
        bucket_contents=bootstrap.bucket_contents(),
        names=bootstrap.fleet().names,
    )
    # A key is the tenant's text, and stays out of the log.
    logger.info("An upload is granted", tenant_id=valid, size=upload.size, metadata=bool(upload.metadata))
    return respond(UploadBody.from_domain(form), HTTPStatus.CREATED)


ROUTES = {("POST", "/tenants/{tenant_id}/uploads"): Route(post_upload)}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
