"""Trigger: `POST /ask` and `POST /tenants/{tenant_id}/ask`. A tenant's answer from the tenant's own documents."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.asking import AskRequest, AskResponse, TenantAskRequest
from kbfleet.domain.answer import Asker
from kbfleet.domain.caller import UserId
from kbfleet.domain.tenant import TenantId
from kbfleet.telemetry import logger, record_usage, tracer
from kbfleet.usecases.asking import ask

app = api.resolver()


@app.post("/ask")
def post_ask() -> Response[str]:
    """A tenant's user asks. The authorizer's verified claims are the only source of tenant and user."""
    verified = app.current_event.request_context.authorizer
    tenant_id, user_id = TenantId(verified.get("tenant_id")), UserId(verified.get("user_id"))
    return _answer(Asker(tenant_id, f"user {user_id}"), parse_json(AskRequest, app.current_event.body))


@app.post("/tenants/<tenant_id>/ask")
def post_tenant_ask(tenant_id: str) -> Response[str]:
    """A back end asks, which IAM lets ask for every tenant; a session is bound to the user that it names."""
    request = parse_json(TenantAskRequest, app.current_event.body)
    return _answer(Asker(TenantId(tenant_id), f"user of the back end {request.user_id or ''}"), request)


def _answer(asker: Asker, request: AskRequest) -> Response[str]:
    logger.append_keys(tenant_id=asker.tenant_id)
    answer = ask(
        asker,
        request.to_domain(),
        request.session,
        tenants=bootstrap.askable_tenants(),
        answerers=bootstrap.answerer,
        sessions=bootstrap.sessions(),
        names=bootstrap.fleet().names,
    )
    request_id = app.current_event.request_context.request_id or ""
    record_usage(asker.tenant_id, answer.generated.usage, request_id=request_id)
    return api.respond(AskResponse.from_domain(answer, request_id))


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
