"""Trigger: `POST /ask`. A tenant's answer from the tenant's own documents."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api, bootstrap
from kbfleet.contracts import AskRequest, AskResponse, parse_json
from kbfleet.domain.tenant import TenantId
from kbfleet.domain.usage import AskUsage
from kbfleet.telemetry import logger, record_usage, tracer
from kbfleet.usecases.asking import ask

app = api.resolver()


@app.post("/ask")
def post_ask() -> Response[str]:
    context = app.current_event.request_context
    # The authorizer's verified claim is the only source of the tenant.
    tenant_id = TenantId(context.authorizer.get("tenant_id"))
    logger.append_keys(tenant_id=tenant_id)
    request = parse_json(AskRequest, app.current_event.body)
    answer = ask(tenant_id, request.question, tenants=bootstrap.askable_tenants(), answerer=bootstrap.answerer())
    request_id = context.request_id or ""
    cited = answer.generated.citations
    passages = {(source.uri, source.passage) for citation in cited for source in citation.sources}
    record_usage(tenant_id, AskUsage(len(passages), len(cited), None, None, guarded=False), request_id=request_id)
    return api.respond(AskResponse.from_domain(answer, request_id=request_id))


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
