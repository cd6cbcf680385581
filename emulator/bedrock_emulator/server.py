"""The emulator as an HTTP server on the loopback interface.

A client is pointed at it by ``AWS_ENDPOINT_URL``, or for single services by ``AWS_ENDPOINT_URL_BEDROCK_AGENT``,
``AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME``, ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME``, ``AWS_ENDPOINT_URL_BEDROCK``,
``AWS_ENDPOINT_URL_S3VECTORS`` and ``AWS_ENDPOINT_URL_OPENSEARCHSERVERLESS``.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_emulator.emulator import Emulator
from bedrock_emulator.same_origin import NAMES, SameOriginOnly
from bedrock_emulator.state import StateError
from bedrock_emulator.wire.addressing import is_region
from bedrock_emulator.wire.errors import ConnectionBrokenError
from bedrock_emulator.wire.messages import Request, Response
from bedrock_emulator.world.iam_roles import IamRoles

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

NO_ACCOUNT = "000000000000"
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_SHUTDOWN_SECONDS = 1.0


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
            # A response that is never finished makes the server drop the connection. In chunks, since newer botocores
            # take a body that is shorter than announced for whole.
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"transfer-encoding", b"chunked")],
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
        return self._emulator.answer(request)


async def serving(emulator: Emulator, bind: str, until: Callable[[], Awaitable[object]] | None = None) -> None:
    """Serve at ``bind``, as hypercorn names addresses, until ``until`` returns, or SIGTERM or SIGINT if it is None."""
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config

    config = Config()
    config.bind = [bind]
    config.graceful_timeout = _SHUTDOWN_SECONDS
    # Typed for hypercorn's frameworks; any ASGI 3 application will do.
    await serve_asgi(cast("Any", SameOriginOnly(Application(emulator))), config, shutdown_trigger=cast("Any", until))


@contextmanager
def served(emulator: Emulator) -> Iterator[str]:
    """The emulator served by a thread of this process, on a free port. Gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port, descriptor = listener.getsockname()[1], listener.detach()  # the server closes it
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    running = serving(emulator, f"fd://{descriptor}", ended.wait)
    thread = Thread(target=loop.run_until_complete, args=(running,), name="bedrock-emulator", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def serve(port: int, emulator: Emulator) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT."""
    asyncio.run(serving(emulator, f"127.0.0.1:{port}"))


@app.command()
def command(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.")] = 9666,
    region: Annotated[
        str, typer.Option(help="The Region of requests that are not signed; all others say theirs.")
    ] = "us-east-1",
    account: Annotated[
        str | None,
        typer.Option(
            help="The account, 12 digits; by default that of the STS behind AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_STS, "
            f"and {NO_ACCOUNT} where neither is set."
        ),
    ] = None,
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
    address = f"http://127.0.0.1:{port}"
    if roles is None:
        # Never against AWS itself by default: the roles of a local stack are in the local stack's IAM.
        roles = _is_beside("IAM", port)
    if not is_region(region):
        raise typer.BadParameter("it is no name of a Region", param_hint="--region")
    try:
        emulator = Emulator(
            region=region,
            account=_account(account, region, port),
            speed=speed,
            authority=IamRoles(boto3.client("iam", region_name=region)) if roles else None,
            state=state,
            address=address,
        )
    except StateError as error:
        raise typer.BadParameter(str(error), param_hint="--state") from error
    if faults is not None:
        emulator.faults.load(faults)
    typer.echo(f"Amazon Bedrock Knowledge Bases on {address} (speed {speed:g})")
    serve(port, emulator)


def _account(given: str | None, region: str, port: int) -> str:
    if given is None and _is_beside("STS", port):
        try:
            # Looked up once, when it must be there; it is on this machine, so that a long wait is of no use.
            quickly = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
            given = boto3.client("sts", region_name=region, config=quickly).get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            raise typer.BadParameter(
                f"the STS behind AWS_ENDPOINT_URL does not tell it ({error}): name it", param_hint="--account"
            ) from error
    if not _ACCOUNT.fullmatch(account := given or NO_ACCOUNT):
        raise typer.BadParameter("an account is 12 digits", param_hint="--account")
    return account


def _is_beside(service: str, port: int) -> bool:
    """Whether the environment leads a client of ``service`` to another server than this one."""
    url = os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL")
    if not url:
        return False
    named = urlsplit(url)
    return not (named.hostname in NAMES and named.port == port)


def main() -> None:
    """Entry point of the console script."""
    app()
