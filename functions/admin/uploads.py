"""Trigger: `POST /tenants/{tenant_id}/uploads`, signed with IAM. A form by which one document can be uploaded.

It is a function of its own because a signed form can do what its signer can; and its signer is neither its own role nor
what opens any other document.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import UploadBody, UploadRequest
from kbfleet.domain.tenant import TenantId
from kbfleet.logs import logger
from kbfleet.settings import read
from kbfleet.settings.asking import UploadSettings
from kbfleet.telemetry import tracer
from kbfleet.usecases.uploads import grant_upload

app = api.resolver()


@app.post("/tenants/<tenant_id>/uploads")
def post_upload(tenant_id: str) -> Response[str]:
    valid = TenantId(tenant_id)
    upload = parse_json(UploadRequest, app.current_event.body).to_domain()
    form = grant_upload(
        valid,
        upload,
        valid_for=read(UploadSettings).upload_valid,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        uploads=bootstrap.uploads(),
    )
    # A key is the tenant's text, and stays out of the log.
    logger.info("An upload is granted", tenant_id=valid, size=upload.size, metadata=bool(upload.metadata))
    return api.respond(UploadBody.from_domain(form), HTTPStatus.CREATED)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
