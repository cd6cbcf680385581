"""The Bedrock emulator behind the AWS endpoint.

It takes the place of MiniStack's own modules in the table of services, so that requests to it pass MiniStack's router
and, with authorization on, its IAM evaluator. Why not MiniStack's: an ingestion ends inside the call that starts it,
retrieval counts common ASCII words, answers have no citations, lists are never paged, and there are no quotas and no
conflicts.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode

import boto3
from botocore.config import Config
from ministack import app as ministack
from ministack.core import router

from bedrock_emulator import Clock, ConnectionBrokenError, Emulator, Request, Response
from bedrock_emulator.wire.addressing import SERVICES_OF_SIGNING_NAME, service_of
from bedrock_emulator.wire.errors import ServiceError
from bedrock_emulator.wire.protocol import SERVICES, protocol
from local.stack import bedrock_permissions, service_roles
from local.stack.configuration import ACCESS_KEY, REPOSITORY, StackConfiguration

REMEMBERED_VECTORS = REPOSITORY / ".build" / "vectors.sqlite"
"""Embedding the samples takes 23 seconds of computing, and every stack that is started reads the same ones."""

Send = Callable[[Any], Awaitable[None]]
AsgiApplication = Callable[[Any, Any, Send], Awaitable[None]]
_NO_ROUTE = b"No route for "
Handler = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


@dataclass
class _HttpRequest:
    """What MiniStack does not hand on to a service."""

    raw_path: str = ""  # in a decoded path, a model's ARN looks like folders
    query: str = ""
    must_break: bool = False  # the emulator wants this connection dropped without an answer


_http_request: contextvars.ContextVar[_HttpRequest] = contextvars.ContextVar("http_request")


class BedrockEmulator(Protocol):
    """What is needed of the emulator (`bedrock_emulator.Emulator`)."""

    def handle(self, service: str, request: Request) -> Response: ...
    def emulates(self, service: str, operation: str) -> bool: ...
    def is_control(self, path: str) -> bool: ...
    def control(self, request: Request) -> Response: ...


def make_emulator(configuration: StackConfiguration, clock: Clock) -> Emulator:
    """The emulator, reading documents from the stack's own S3."""

    def client_factory(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=configuration.region,
            endpoint_url=configuration.aws_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=configuration.secret_key,
            config=Config(max_pool_connections=50),
        )

    emulator = Emulator(
        region=configuration.region,
        account=configuration.account,
        clock=clock,
        client_factory=client_factory,
        authority=service_roles.StackAuthority(configuration),
        role_propagation=configuration.delays.role,
        remembered_vectors=REMEMBERED_VECTORS,
        address=configuration.aws_url,
    )
    bedrock_permissions.know_tags(emulator.knowledge_base_tags)
    service_roles.tell_of_new_roles(emulator)
    return emulator


def mount(emulator: BedrockEmulator, application: AsgiApplication) -> AsgiApplication:
    """Puts the emulator into MiniStack's table of services.

    Gives the application to serve in place of `application`: it answers the emulator's control paths too.
    """
    for service in SERVICES:
        ministack.SERVICE_HANDLERS[service] = _service(emulator, service, ministack.SERVICE_HANDLERS.get(service))
    bedrock_permissions.teach()
    _lead_to_the_emulator()

    async def with_control_paths(scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("ascii")
        query = scope["query_string"].decode("ascii")
        if not emulator.is_control(scope["path"]):
            http_request = _HttpRequest(raw_path, query)
            _http_request.set(http_request)
            await application(scope, receive, _breakable(send, http_request))
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], raw_path, query, headers, await _read_body(receive))
        response = await asyncio.to_thread(emulator.control, request)
        await ministack._send_response(send, response.status, dict(response.headers), response.body)

    return with_control_paths


def _lead_to_the_emulator() -> None:
    """Has MiniStack's router tell Bedrock's services apart by their models.

    It knows some paths only, and takes the others for its own Bedrock, which answers "No route". What no model knows
    is the emulator's, too: it answers HTTP 501 by name.
    """
    detect: Callable[..., str] = router.detect_service
    bedrock = SERVICES_OF_SIGNING_NAME["bedrock"]

    def detect_service(method: str, path: str, headers: dict[str, str], query_params: Any) -> str:
        found = detect(method, path, headers, query_params)
        if found not in bedrock:
            return found
        try:
            return service_of(Request(method, quote(path), headers=headers)) or bedrock[0]
        except ServiceError:
            return found  # its Region is none, which the emulator will say

    router.detect_service = ministack.detect_service = detect_service


def _service(emulator: BedrockEmulator, service: str, of_ministack: Handler | None) -> Handler:
    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        http_request = _http_request.get(_HttpRequest())
        if unquote(http_request.raw_path) != path:
            # A call from inside MiniStack, on the way of another request.
            http_request = _HttpRequest(quote(path), urlencode(query_params, doseq=True))
        request = Request(method, http_request.raw_path, http_request.query, headers, body)
        if service == "bedrock" and of_ministack is not None and not _is_emulated(emulator, service, request):
            # Models and inference profiles are MiniStack's. What it does not know either is answered 501 below.
            answer = await of_ministack(method, path, headers, body, query_params)
            if _NO_ROUTE not in answer[2]:
                return answer
        if refusal := bedrock_permissions.refusal(service, method, path, headers, body, query_params):
            return refusal
        try:
            # In a thread: it reads documents from S3, which this event loop serves.
            response = await asyncio.to_thread(emulator.handle, service, request)
        except ConnectionBrokenError:
            http_request.must_break = True
            return 500, {}, b""
        return response.status, dict(response.headers), response.body

    return handle


def _is_emulated(emulator: BedrockEmulator, service: str, request: Request) -> bool:
    route = protocol(service).route(request)
    return route is not None and emulator.emulates(service, route.operation.name)


def _breakable(send: Send, http_request: _HttpRequest) -> Send:
    async def send_or_break(message: Any) -> None:
        if not http_request.must_break:
            await send(message)
        elif message["type"] == "http.response.start":
            # An answer that never ends makes the server drop the connection. In chunks, since newer botocores take a
            # body that is shorter than announced for whole.
            await send({**message, "headers": [(b"transfer-encoding", b"chunked")]})

    return send_or_break


async def _read_body(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
