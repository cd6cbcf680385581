"""The server process: MiniStack with our corrections, the Bedrock emulator and the side services, on loopback only."""

import asyncio
import logging
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from hypercorn.asyncio import serve
from hypercorn.config import Config

from bedrock_emulator import ScaledClock
from bedrock_emulator.same_origin import SameOriginOnly
from local.stack.certificates import issue_server_certificate
from local.stack.configuration import ACCESS_KEY, LOOPBACK, StackConfiguration
from local.stack.process import StackLock
from local.stack.side_services import side_services
from local.stack.standard_servers import guard_standard_servers

logger = logging.getLogger(__name__)

# MiniStack's clients hold connections open between calls (its own main sets the same).
KEEP_ALIVE_SECONDS = 75
# Long polls of SQS do not have to end before the stack stops.
SHUTDOWN_SECONDS = 1.0
# Environment variables of the person who starts the stack that must not reach it or its functions.
FOREIGN_VARIABLES = ("AWS_", "LOCALSTACK_", "MINISTACK_", "LAMBDA_", "SFN_", "DOCKER_")

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


def run(configuration: StackConfiguration) -> None:
    """Serves until SIGTERM or SIGINT, then ends every process that it started.

    Raises local.stack.process.StackRunningError if a stack runs in the same state directory, OSError if a port is
    taken.
    """
    # Everything that is written from here on, by this process and its functions, is for its user only.
    os.umask(0o077)
    lock = StackLock(configuration.state_directory)
    lock.take(configuration)
    _make_secret(configuration.secret_key_file)
    temporary = _prepare_directories(configuration.state_directory)
    _set_environment(configuration, temporary)
    try:
        asyncio.run(_serve(configuration))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


async def _serve(configuration: StackConfiguration) -> None:
    # Here, because MiniStack reads its settings when it is imported.
    from ministack import app as ministack

    from local import api_page, corrections, delays
    from local.corrections import resource_imports
    from local.stack import bedrock
    from local.stack.signatures import SignedOnly

    names = corrections.NAMES if configuration.corrections is None else configuration.corrections
    corrections.apply(names, configuration)
    guard_standard_servers()
    signed = SignedOnly(ministack.app, configuration.account)
    clock = ScaledClock(configuration.speed)
    delays.apply(configuration.delays, clock.now)
    emulator = bedrock.make_emulator(configuration, clock)
    resource_imports.look_into(emulator)
    aws: AsgiApplication = bedrock.mount(emulator, signed)
    aws = api_page.mount(configuration, aws)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    certificate = issue_server_certificate(configuration.state_directory / "tls", configuration.trust_bundle)
    side_config = _server_config(configuration.side_port)
    side_config.certfile, side_config.keyfile = str(certificate.certificate), str(certificate.private_key)
    try:
        async with asyncio.TaskGroup() as servers:
            servers.create_task(_serve_until(aws, _server_config(configuration.aws_port), stop))
            servers.create_task(_serve_until(side_services(configuration), side_config, stop))
    finally:
        await asyncio.to_thread(_end_functions)


async def _serve_until(application: Any, config: Config, stop: asyncio.Event) -> None:
    # Typed for hypercorn's frameworks; any ASGI 3 application will do.
    async def stopped() -> None:
        await stop.wait()

    await serve(cast("Any", SameOriginOnly(application)), config, shutdown_trigger=stopped)


def _server_config(port: int) -> Config:
    config = Config()
    config.bind = [f"{LOOPBACK}:{port}"]
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.graceful_timeout = SHUTDOWN_SECONDS
    config.loglevel = "WARNING"
    return config


def _end_functions() -> None:
    """Ends the processes of Lambda functions, and lets no new one begin."""
    from ministack.core import lambda_runtime

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the local stack is stopping")

    lambda_runtime.acquire_worker = refuse
    lambda_runtime.reset()


def _prepare_directories(state: Path) -> Path:
    """Empties what the last run left behind: a stack begins without resources, since the emulator keeps none either."""
    temporary = state / "tmp"
    for directory in (temporary, state / "ministack"):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    (state / "slack-messages.jsonl").unlink(missing_ok=True)
    return temporary


def _make_secret(file: Path) -> None:
    """Kept when the stack is started again: a shell's environment stays right."""
    if not file.exists() or not file.read_text("ascii"):
        file.write_text(secrets.token_hex(20), "ascii")


def _account_concurrency(configuration: StackConfiguration) -> dict[str, str]:
    if configuration.account_concurrency is None:
        return {}
    return {"LAMBDA_ACCOUNT_CONCURRENCY": str(configuration.account_concurrency)}


def _set_environment(configuration: StackConfiguration, temporary: Path) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN_VARIABLES):
            del os.environ[name]
    os.environ |= {
        "GATEWAY_PORT": str(configuration.aws_port),
        # MiniStack's default is every interface; the IoT listener has no address setting at all.
        "BIND_HOST": LOOPBACK,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_HOST": LOOPBACK,
        "MINISTACK_REGION": configuration.region,
        "MINISTACK_ACCOUNT_ID": configuration.account,
        "STATE_DIR": str(configuration.state_directory / "ministack"),
        "S3_DATA_DIR": str(configuration.state_directory / "ministack" / "s3"),
        "AUTH": str(configuration.authorization).lower(),
        "LAMBDA_EXECUTOR": "local",
        **_account_concurrency(configuration),
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1",
        "DOCKER_HOST": "unix:///nonexistent",
        "LOG_LEVEL": "INFO",
        "TMPDIR": str(temporary),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": configuration.secret_key,
        "AWS_DEFAULT_REGION": configuration.region,
        "AWS_REGION": configuration.region,
    }
    # Python read TMPDIR before.
    tempfile.tempdir = str(temporary)
