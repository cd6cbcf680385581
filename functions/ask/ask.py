"""Trigger: `POST /ask` and `POST /tenants/{tenant_id}/ask`. A tenant's answer from the tenant's own documents."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.asking import AskRequest, AskResponse, TenantAskRequest
from kbfleet.domain.answer import AskableTenant, Asker, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.errors import IsolationBreached
from kbfleet.domain.names import Life, TenantId
from kbfleet.logs import logger
from kbfleet.refused_answers import tell_of_breach
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.usage_log import log_usage
from kbfleet.usecases.asking import ask


def post_ask(event: Request) -> HttpResponse:
    """A tenant's user asks. The authorizer's verified claims are the only source of tenant and user."""
    verified = event["requestContext"]["authorizer"]
    tenant_id, user_id = TenantId(verified.get("tenant_id")), UserId(verified.get("user_id"))
    return _answer(Asker(tenant_id, Voucher.IDENTITY_PROVIDER, user_id), parse_json(AskRequest, event["body"]), event)


def post_tenant_ask(event: Request) -> HttpResponse:
    """A back end asks, which IAM lets ask for every tenant; a session is bound to the user that it names."""
    tenant_id = TenantId(path_parameter(event, "tenant_id"))
    request = parse_json(TenantAskRequest, event["body"])
    return _answer(Asker(tenant_id, Voucher.BACK_END, request.user_id), request, event)


def _answer(asker: Asker, request: AskRequest, event: Request) -> HttpResponse:
    logger.append_keys(tenant_id=asker.tenant_id)
    answer = ask(
        asker,
        request.to_domain(),
        request.session,
        tenants=bootstrap.askable_tenants(),
        answerers=bootstrap.answerer,
        sessions=bootstrap.sessions(),
        names=bootstrap.fleet().names,
        breached=_breached,
    )
    request_id = event["requestContext"]["requestId"]
    log_usage(answer.life, answer.generated.usage, request_id=request_id)
    return respond(AskResponse.from_domain(answer, request_id, _ticket_of(asker, answer.life)))


def _ticket_of(asker: Asker, life: Life) -> Callable[[str], str] | None:
    """What gives a user the proof that an answer has cited a document; a back end needs none."""
    if asker.voucher is not Voucher.IDENTITY_PROVIDER:
        return None
    return lambda uri: bootstrap.tickets().issue(uri, asker, life)


def _breached(tenant: AskableTenant, error: IsolationBreached) -> None:
    tell_of_breach(tenant, error, announcements=bootstrap.announcements, clock=bootstrap.clock)


ROUTES = {("POST", "/ask"): Route(post_ask), ("POST", "/tenants/{tenant_id}/ask"): Route(post_tenant_ask)}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
