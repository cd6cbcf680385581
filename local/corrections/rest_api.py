"""A REST API keeps its id, honours its gateway responses, takes keys from its authorizer, and paths as they are sent.

MiniStack drops `x-amazon-apigateway-gateway-responses` of an imported body, and with it every GatewayResponses of a SAM
template; and `ApiKeySourceType: AUTHORIZER`, so that a key is looked for in the x-api-key header whatever the API says.
It decodes a path before it looks for the resource, so that `/tenants/acme%2Fsuspension` becomes another resource. And
an update of the stack that changes the body makes another API, at another address.

AWS imports gateway responses with the body (AWS documentation, API Gateway, "x-amazon-apigateway-gateway-responses
object"). With the key source AUTHORIZER the key is the `usageIdentifierKey` that the authorizer returned, and the
header is not read (same, "Choose an API key source"). A segment with an encoded slash stays one segment, and a proxy
integration is given it undecoded (as users report: github.com/aws/aws-sam-cli/issues/3524, about REST APIs). A changed
body is an update without interruption (AWS CloudFormation documentation, AWS::ApiGateway::RestApi, Body).
"""

import contextvars
from typing import Any

from ministack import app
from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

from local.stack.configuration import StackConfiguration

PARTS = (
    apigateway_v1._resources,
    apigateway_v1._authorizers_v1,
    apigateway_v1._models,
    apigateway_v1._gateway_responses,
    apigateway_v1._documentation_parts,
    apigateway_v1._request_validators,
)
"""What the body says of an API; stages and deployments are not of it."""
# The authorizer's context is the one part of its answer that MiniStack keeps in its cache.
HIDDEN_CONTEXT_KEY = "x-usage-identifier-key"
_uses_authorizer_key: contextvars.ContextVar[bool] = contextvars.ContextVar("uses_authorizer_key", default=False)
_authorizer_key: contextvars.ContextVar[str | None] = contextvars.ContextVar("authorizer_key", default=None)


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    _import_gateway_responses()
    _keep_key_source_and_id()
    _take_key_from_authorizer()
    _take_paths_as_sent()


def _import_gateway_responses() -> None:
    import_rest_api = apigateway_v1._import_rest_api

    def import_with_gateway_responses(specification: dict[str, Any], *arguments: Any) -> str:
        api_id: str = import_rest_api(specification, *arguments)
        if source := specification.get("x-amazon-apigateway-api-key-source"):
            apigateway_v1._rest_apis[api_id]["apiKeySource"] = source
        for kind, response in (specification.get("x-amazon-apigateway-gateway-responses") or {}).items():
            status, _, body = apigateway_v1._put_gateway_response(api_id, kind, response)
            if status >= 400:
                raise ValueError(f"gateway response {kind}: {body!r}")
        return api_id

    apigateway_v1._import_rest_api = import_with_gateway_responses


def _keep_key_source_and_id() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::RestApi"]
    create, update = handlers["create"], handlers["update"]

    def keep(result: tuple[str, dict[str, Any]], properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if source := properties.get("ApiKeySourceType"):
            apigateway_v1._rest_apis[result[0]]["apiKeySource"] = source
        return result

    def create_with_key_source(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        return keep(create(logical_id, properties, stack), properties)

    def update_in_place(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, *names: str) -> Any:
        if new.get("Body") == old.get("Body"):
            return keep(update(physical_id, old, new, stack, *names), new)
        imported, _ = create_with_key_source(physical_id, new, stack)
        for parts in PARTS:
            parts[physical_id] = parts.pop(imported, {})
        tags, arn = apigateway_v1._v1_tags, apigateway_v1._rest_api_arn
        tags[arn(physical_id)] = tags.pop(arn(imported), {})
        apis = apigateway_v1._rest_apis
        apis[physical_id] = {**apis.pop(imported), "id": physical_id, "createdDate": apis[physical_id]["createdDate"]}
        return physical_id, provisioners._apigw_rest_api_attrs(physical_id)

    handlers["create"], handlers["update"] = create_with_key_source, update_in_place


def _take_key_from_authorizer() -> None:
    invoke_authorizer = apigateway_v1._invoke_authorizer_lambda
    authorize_request = apigateway_v1._authorize_request_v1
    key_from_header = apigateway_v1._api_key_from_request

    async def invoke(*arguments: Any) -> Any:
        result = await invoke_authorizer(*arguments)
        answer = (result or {}).get("body")
        if isinstance(answer, dict) and (key := answer.get("usageIdentifierKey")):
            answer["context"] = {**(answer.get("context") or {}), HIDDEN_CONTEXT_KEY: key}
        return result

    async def authorize(api_id: str, *arguments: Any) -> tuple[Any, dict[str, Any] | None]:
        error, context = await authorize_request(api_id, *arguments)
        # A copy: the original is the authorizer's cached answer.
        context = None if context is None else dict(context)
        _authorizer_key.set(context.pop(HIDDEN_CONTEXT_KEY, None) if context else None)
        _uses_authorizer_key.set(apigateway_v1._rest_apis[api_id].get("apiKeySource") == "AUTHORIZER")
        return error, context

    def key_of_request(headers: dict[str, str]) -> Any:
        return _authorizer_key.get() if _uses_authorizer_key.get() else key_from_header(headers)

    apigateway_v1._invoke_authorizer_lambda = invoke
    apigateway_v1._authorize_request_v1 = authorize
    apigateway_v1._api_key_from_request = key_of_request


def _take_paths_as_sent() -> None:
    handle = app._handle_execute_api_request

    async def handle_as_sent(host: str, path: str, *arguments: Any, raw_path: str | None = None, **others: Any) -> Any:
        called = app._parse_execute_api_url(host, path)
        if called is not None and raw_path is not None and apigateway_v1.find_api_scope(called[0]) is not None:
            path = raw_path
        return await handle(host, path, *arguments, raw_path=raw_path, **others)

    app._handle_execute_api_request = handle_as_sent
