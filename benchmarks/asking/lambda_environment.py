"""An execution environment of a Lambda function: AWS's own runtime client, and the runtime API that feeds it.

Source: AWS documentation, Lambda, "Using the Lambda runtime API" and "Defined runtime environment variables".
"""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.asking.loopback_server import Request, Response, serving

_API = "/2018-06-01/runtime"
_PATIENCE_SECONDS = 60.0
_REQUEST_ID = "6f2f8c0e-2a0a-4a52-9a3d-8f5b1c2d3e4f"


class FunctionError(Exception):
    """The function has failed, or its process has ended; the message holds what it said."""


@dataclass(frozen=True)
class Function:
    """What is deployed.

    search_path: folders with its code, its layers, and what the runtime brings, in the order in which Python looks.
    variables: its environment variables.
    """

    handler: str
    search_path: Sequence[Path]
    variables: Mapping[str, str]
    interpreter: Path = Path(sys.executable)


@dataclass(frozen=True)
class Invocation:
    """An answer, and the seconds from when the runtime was given the event until it gave the answer."""

    answer: Any
    seconds: float


class Environment:
    """A running environment. `started` is when its process was, on the clock of `time.perf_counter`."""

    def __init__(self, runtime_api: _RuntimeApi, process: subprocess.Popen[bytes], log: Path, started: float) -> None:
        self.started = started
        self._runtime_api = runtime_api
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return self._log.read_text("utf-8", errors="replace")

    def invoke(self, event: object) -> Invocation:
        """Raises: FunctionError."""
        self._runtime_api.events.put(json.dumps(event).encode())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                outcome = self._runtime_api.outcomes.get(timeout=1)
            except queue.Empty:
                if self._process.poll() is None and time.monotonic() < deadline:
                    continue
                raise FunctionError(f"no answer\n{self.log[-4_000:]}") from None
            if outcome.failed:
                raise FunctionError(f"{outcome.body.decode()}\n{self.log[-4_000:]}")
            return Invocation(json.loads(outcome.body), outcome.seconds)


@contextmanager
def environment(function: Function, *, options: Sequence[str] = ()) -> Iterator[Environment]:
    """Starts one; its process is gone when the block is left.

    options: of the interpreter, such as ``-X importtime``.
    """
    runtime_api = _RuntimeApi()
    with tempfile.TemporaryDirectory() as folder, serving(runtime_api.answer) as port:
        log = Path(folder, "log")
        with log.open("wb") as output:
            started = time.perf_counter()
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                # `-S` leaves out the interpreter's own packages: a function has what its search path holds.
                [str(function.interpreter), "-S", *options, "-m", "awslambdaric", function.handler],
                env=_variables(function, port, folder),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Environment(runtime_api, process, log, started)
        finally:
            process.kill()
            process.wait()
            runtime_api.close()


def _variables(function: Function, runtime_api_port: int, folder: str) -> dict[str, str]:
    code = function.search_path[0]
    return {
        "PATH": os.defpath,
        "HOME": folder,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "TMPDIR": folder,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_SESSION_TOKEN": "benchmark",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": "ask",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/ask",
        "AWS_LAMBDA_LOG_STREAM_NAME": "benchmark",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime_api_port}",
        # Tracing is on; the daemon's port is one that nobody listens on, and segments are sent to it as datagrams.
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "LAMBDA_TASK_ROOT": str(code),
        "LAMBDA_RUNTIME_DIR": str(function.search_path[-1]),
        "PYTHONPATH": os.pathsep.join(map(str, function.search_path)),
        "_HANDLER": function.handler,
        **function.variables,
    }


@dataclass(frozen=True, slots=True)
class _Outcome:
    body: bytes
    seconds: float
    failed: bool


class _RuntimeApi:
    """One event at a time: it is handed out, and the answer to it comes back."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._handed_out_at = 0.0
        self._second = -1
        self._chance = random.Random(1)  # noqa: S311 - repeatable on purpose

    def close(self) -> None:
        self.events.put(None)

    def _sampled(self) -> bool:
        """Whether X-Ray traces this one: the first of each second, and 5 % of the others.

        Source: AWS documentation, X-Ray, "Configuring sampling rules", the default rule.
        """
        second, self._second = self._second, int(time.monotonic())
        return second != self._second or self._chance.random() < 0.05

    def answer(self, request: Request) -> Response | None:
        now = time.perf_counter()
        if request.path == f"{_API}/invocation/next":
            event = self.events.get()
            if event is None:
                return None
            self._handed_out_at = time.perf_counter()
            return Response(200, event, _next_headers(sampled=self._sampled()))
        failed = not request.path.endswith("/response")
        self.outcomes.put(_Outcome(request.body, now - self._handed_out_at, failed))
        return Response(202)


def _next_headers(*, sampled: bool) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", _REQUEST_ID),
        ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 28) * 1_000))),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:ask"),
        (
            "Lambda-Runtime-Trace-Id",
            f"Root=1-6913c1a1-5e1b6a2f3c4d5e6f7a8b9c0d;Parent=53995c3f42cd8ad8;Sampled={sampled:d}",
        ),
    )
