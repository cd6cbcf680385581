"""The emulator as an HTTP server on the loopback interface.

A client is pointed at it by ``AWS_ENDPOINT_URL_BEDROCK_AGENT``, ``AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME``,
``AWS_ENDPOINT_URL_BEDROCK_RUNTIME``, ``AWS_ENDPOINT_URL_S3VECTORS`` and ``AWS_ENDPOINT_URL_OPENSEARCHSERVERLESS``.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import boto3
import typer

from bedrock_emulator.emulator import Emulator
from bedrock_emulator.same_origin import SameOriginOnly
from bedrock_emulator.state import StateError
from bedrock_emulator.wire.errors import ConnectionBrokenError
from bedrock_emulator.wire.messages import Request, Response
from bedrock_emulator.wire.protocol import SERVICES, protocol
from bedrock_emulator.world.iam_roles import IamRoles

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# <key>/<date>/<region>/<service>/aws4_request (AWS documentation, "Create a signed AWS API request")
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/(?P<name>[^/]+)/aws4_request")
_SHUTDOWN_SECONDS = 1.0
_SERVICES_OF_SIGNING_NAME = {
    "bedrock": ("bedrock-agent", "bedrock-agent-runtime", "bedrock-runtime"),
    "s3vectors": ("s3vectors",),
    "aoss": ("opensearchserverless",),
}


def service_of(request: Request) -> str | None:
    """The service a request is meant for, or None.

    A signature tells the signing name, which three Bedrock services share: the path tells those apart, and serves alone
    where a request is not signed with a credential scope.
    """
    match = _SCOPE.search(request.header("Authorization") or "")
    candidates = _SERVICES_OF_SIGNING_NAME.get(match["name"], ()) if match else SERVICES
    return next((service for service in candidates if protocol(service).route(request) is not None), None)


class Application:
    """The emulator as an ASGI application."""

    def __init__(self, emulator: Emulator) -> None:
        """``emulator`` answers."""
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        # Waits for latency faults, S3 and the embedding model would otherwise hold up every other request.
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import ClientDisconnect
        from starlette.requests import Request as HttpRequest

        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "websocket":
            # Refuses the upgrade, where saying nothing would be told as a fault of the server.
            await send({"type": "websocket.close"})
            return
        try:
            body = await HttpRequest(scope, receive).body()
        except ClientDisconnect:
            # Nobody is left to be answered.
            return
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("ascii").partition("?")[0],
            query=scope["query_string"].decode("ascii"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
        )
        try:
            response = await run_in_threadpool(self._respond, request)
        except ConnectionBrokenError:
            # A response that is never finished makes the server drop the connection.
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"1")],
                }
            )
            return
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": response.body, "more_body": False})

    async def _live(self, receive: Receive, send: Send) -> None:
        # The server ends by a signal, so that nothing after it would run: its last word is the time to keep the state.
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        self._emulator.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _respond(self, request: Request) -> Response:
        if self._emulator.is_control(request.path):
            return self._emulator.control(request)
        service = service_of(request)
        if service is None:
            body = b'{"message": "The request is for none of the emulated services."}'
            headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "UnknownOperationException"}
            return Response(404, headers, body)
        return self._emulator.handle(service, request)


async def serving(emulator: Emulator, bind: str, until: Callable[[], Awaitable[object]] | None = None) -> None:
    """Serve at ``bind``, as hypercorn names addresses, until ``until`` returns, or SIGTERM or SIGINT if it is None."""
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config

    config = Config()
    config.bind = [bind]
    config.graceful_timeout = _SHUTDOWN_SECONDS
    # Typed for hypercorn's frameworks; any ASGI 3 application will do.
    await serve_asgi(cast("Any", SameOriginOnly(Application(emulator))), config, shutdown_trigger=cast("Any", until))


def serve(port: int, emulator: Emulator) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT."""
    asyncio.run(serving(emulator, f"127.0.0.1:{port}"))


@app.command()
def command(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.")] = 9666,
    speed: Annotated[float, typer.Option(min=0.001, help="Emulated seconds per second.")] = 1.0,
    faults: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A JSON file of faults to begin with.")
    ] = None,
    roles: Annotated[
        bool | None,
        typer.Option(
            help="Check service roles in IAM; by default where AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_IAM is set."
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(file_okay=False, help="A directory that keeps the state between runs.")
    ] = None,
) -> None:
    """Serve an emulator of Amazon Bedrock Knowledge Bases, until SIGTERM or Ctrl-C."""
    if roles is None:
        # Never against AWS itself by default: the roles of a local stack are in the local stack's IAM.
        roles = bool({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IAM"} & os.environ.keys())
    try:
        authority = IamRoles(boto3.client("iam")) if roles else None
        emulator = Emulator(speed=speed, authority=authority, state=state)
    except StateError as error:
        raise typer.BadParameter(str(error), param_hint="--state") from error
    if faults is not None:
        emulator.faults.load(faults)
    typer.echo(f"Amazon Bedrock Knowledge Bases on http://127.0.0.1:{port} (speed {speed:g})")
    serve(port, emulator)


def main() -> None:
    """Entry point of the console script."""
    app()
