"""Python functions run under the real Lambda runtime client.

MiniStack runs them with a worker script of its own: every exception becomes `Runtime.HandlerError`, so that a `Retry`
on a named error never matches; an exception ends the worker; each call waits 50 ms for log lines, and those that come
later are another call's; the environment and the site-packages of the server leak into functions; a burst starts one
process for each waiting event; and replacing a function kills its invocations at work.

AWS runs them with awslambdaric, which reports the exception's class as `errorType` and goes on with the next event (AWS
documentation, Lambda, "Using the Lambda runtime API"), in an environment that holds the defined variables only (same,
"Defined runtime environment variables"). Beside the standard library the managed runtime has boto3 and nothing else.
Invocations go on with the code that they began with while a function is updated (same, "Lambda function states").

MiniStack's worker for custom runtimes speaks the runtime API: here it starts awslambdaric.
"""

import hashlib
import json
import os
import selectors
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.stack.configuration import StackConfiguration
from local.stack.python_runtime import make_runtime_directory

# `-S` leaves out the virtual environment, `-m` finds the client in the runtime's folder at the end of PYTHONPATH.
BOOTSTRAP = f'#!/bin/sh\nexec "{sys.executable}" -S -m awslambdaric "$_HANDLER"\n'

_MORE_THAN_A_PIPE_HOLDS = 2**20
_LOG_BYTES = 16 * 2**20
"""Kept of what nobody takes: an environment may write between its invocations for as long as it lives."""


def apply(configuration: StackConfiguration) -> None:
    runtime_directory = make_runtime_directory(configuration.state_directory / "python-runtime")
    layers = _Layers()
    gates: dict[str, threading.BoundedSemaphore] = defaultdict(
        lambda: threading.BoundedSemaphore(configuration.function_concurrency)
    )
    gates_lock = threading.Lock()
    worker_class_of = lambda_runtime._worker_class_for
    environment_of = lambda_svc._provided_worker_env
    execute = lambda_svc._execute_function_warm
    kill = lambda_runtime.kill_workers
    reset = lambda_runtime.reset

    def worker_class_for(config: dict[str, Any]) -> type:
        return RuntimeClientWorker if _is_python(config) else worker_class_of(config)

    def worker_environment(config: dict[str, Any], code_directory: str, port: int) -> dict[str, str]:
        if not _is_python(config):
            return environment_of(config, code_directory, port)  # type: ignore[no-any-return]
        search_path = [code_directory, *layers.search_path(config), str(runtime_directory)]
        return _function_environment(configuration, config, code_directory, port, search_path)

    def execute_warm(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        config = function.get("config") or function
        if not _is_python(config):
            return execute(function, event, request_id)  # type: ignore[no-any-return]
        with gates_lock:
            gate = gates[config["FunctionArn"]]
        # Waits where AWS would scale out: a laptop has no room for hundreds of environments.
        with gate:
            result: dict[str, Any] = lambda_svc._execute_function_provided_warm(function, event, request_id)
            return result

    def kill_workers(workers: Iterable[Any]) -> None:
        kill([worker for worker in workers if not isinstance(worker, RuntimeClientWorker) or worker.retire()])

    def reset_at_once() -> None:
        lambda_runtime.kill_workers = kill
        try:
            reset()
        finally:
            lambda_runtime.kill_workers = kill_workers

    lambda_runtime.kill_workers = kill_workers
    lambda_runtime.reset = reset_at_once
    lambda_runtime._worker_class_for = worker_class_for
    lambda_svc._provided_worker_env = worker_environment
    lambda_svc._execute_function_warm = execute_warm


class RuntimeClientWorker(lambda_runtime.ProvidedWorker):  # type: ignore[misc]
    """One environment of a Python function: MiniStack's runtime API, and awslambdaric as its client."""

    _output: "_Output | None" = None
    """Of the process that runs, or of the one that ran last."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._invocations = 0
        self._retired = False
        self._retirement = threading.Lock()

    def retire(self) -> bool:
        """Nothing new comes to an environment of replaced code. Gives whether it can end now, or does so by itself."""
        with self._retirement:
            self._retired = True
            return self._invocations == 0

    def invoke(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        with self._retirement:
            self._invocations += 1
        try:
            return super().invoke(*arguments, **named)  # type: ignore[no-any-return]
        except RuntimeError as error:
            # It did not start. MiniStack would make the same answer, without the lines that say why.
            payload = {"errorMessage": str(error), "errorType": getattr(error, "error_type", "Runtime.Unknown")}
            return {"status": "error", "error": str(error), "error_payload": payload, "log": self._drain_stderr()}
        finally:
            with self._retirement:
                self._invocations -= 1
            if self._retired:
                self.kill()

    def _spawn(self, init_timeout: float | None = None) -> None:
        _place_bootstrap(Path(lambda_svc._provided_runtime_code_dir(self.code_zip)))
        super()._spawn(init_timeout)
        # Without extensions AWS gives an environment no time to shut down (AWS documentation, Lambda, "Understanding
        # the execution environment lifecycle"); the client sits in a native call and would let MiniStack wait for 2
        # s.
        self._proc.terminate = self._proc.kill

    def _pump_output(self, *_: Any) -> None:
        """Nothing: `_Output` reads, as MiniStack's pump cannot say whether it has read all."""

    def _await_init(self, init_timeout: float | None = None) -> None:
        # Here, because it is the first thing that MiniStack does with a new process.
        self._output = _Output(self._proc.stdout)
        self._log_thread = threading.Thread(target=self._output.keep_empty, daemon=True, name=f"log-{self.func_name}")
        self._log_thread.start()
        try:
            super()._await_init(init_timeout)
        except RuntimeError as error:
            reported = self._init_error
            if not isinstance(reported, dict):
                raise
            # What the client said about a module that cannot be imported, in place of `Runtime.Unknown`.
            message, kind = str(reported.get("errorMessage")), str(reported.get("errorType"))
            raise lambda_runtime.ProvidedRuntimeError(message, kind) from error

    def _build_handler_class(self, generation: int, pending: Any) -> Any:
        handler = super()._build_handler_class(generation, pending)
        # Headers and body are two writes: Nagle's algorithm would hold the second for 40 ms.
        handler.disable_nagle_algorithm = True
        return handler

    def _drain_stderr_bounded(self, *_: float, **__: float) -> str:
        """Log lines of the invocation that just ended, all of them: see `_Output`."""
        return self._drain_stderr()

    def _init_log_suffix(self) -> str:
        return ""  # Lines of a start that failed are in the log.

    def _drain_stderr(self) -> str:
        return self._output.take() if self._output else ""


class _Output:
    """What one environment writes to its standard output and standard error, which are one pipe.

    The runtime client has written an invocation's lines when it posts the answer, and a process that has ended has
    written all. So they are in the pipe, and whoever wants them reads them there, without waiting for a thread.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self._unread = bytearray()
        self._reading = threading.Lock()

    def take(self) -> str:
        """What was written up to now and not taken yet, without the last line's end."""
        with self._reading:
            self._read()
            text = self._unread.decode("utf-8", "replace")
            self._unread.clear()
        return text.rstrip("\r\n")

    def keep_empty(self) -> None:
        """Reads until the last process that can write has ended: a full pipe would hold up the function."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            open_ = True
            while open_:
                selector.select()
                with self._reading:
                    open_ = self._read()
        with self._reading:
            self._pipe.close()

    def _read(self) -> bool:
        """Reads what is in the pipe now. Gives whether more can come."""
        if self._pipe.closed:
            return False
        try:
            # Once, because a pipe holds less, and a process that goes on writing shall hold nobody up.
            chunk = os.read(self._pipe.fileno(), _MORE_THAN_A_PIPE_HOLDS)
        except BlockingIOError:
            return True
        self._unread += chunk
        del self._unread[:-_LOG_BYTES]
        return bool(chunk)


class _Layers:
    """Extracted layers, by layer version (which never changes).

    Kept as code is: MiniStack would delete those of a deleted version below the invocations that still import from it.
    """

    def __init__(self) -> None:
        self._directories: dict[str, Path] = {}

    def search_path(self, config: dict[str, Any]) -> list[str]:
        """Folders of a function's layers for PYTHONPATH; a later layer hides an earlier one, as on AWS."""
        version = config["Runtime"]
        return [
            str(directory / folder)
            for layer in reversed(config.get("Layers") or [])
            if (directory := self._directory(layer))
            for folder in ("python", f"python/lib/{version}/site-packages")
            if (directory / folder).is_dir()
        ]

    def _directory(self, layer: Any) -> Path | None:
        arn = layer["Arn"] if isinstance(layer, dict) else str(layer)
        known = self._directories.get(arn)
        if known and known.is_dir():
            return known
        archive = lambda_svc._resolve_layer_zip(layer)
        if archive is None:
            return None
        self._directories[arn] = Path(lambda_svc._provided_runtime_code_dir(archive))
        return self._directories[arn]


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python") and config.get("PackageType") != "Image"


def _as_text(value: Any) -> str:
    """A variable's value as text: CloudFormation turns the numbers and truth values of a template into it."""
    return value if isinstance(value, str) else json.dumps(value)


def _place_bootstrap(code_directory: Path) -> None:
    target = code_directory / "bootstrap"
    # Under MiniStack's lock, because a process forked while the file is open for writing could not execute it.
    with lambda_svc._provided_code_lock:
        if not target.exists():
            target.write_text(BOOTSTRAP)
            target.chmod(0o755)


def _function_environment(
    configuration: StackConfiguration,
    config: dict[str, Any],
    code_directory: str,
    runtime_api_port: int,
    search_path: list[str],
) -> dict[str, str]:
    name, region = config["FunctionName"], config["FunctionArn"].split(":")[3]
    return {
        "PATH": os.defpath,
        "HOME": code_directory,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "TMPDIR": tempfile.gettempdir(),
        # Not of AWS: where the local endpoints are, and whose certificates to trust. A function may override them.
        **{key: value for key, value in os.environ.items() if key.startswith("AWS_ENDPOINT_URL_")},
        "AWS_ENDPOINT_URL": configuration.aws_url,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "SSL_CERT_FILE": str(configuration.trust_bundle),
        **{key: _as_text(value) for key, value in lambda_svc._runtime_env_vars(config).items()},
        **lambda_runtime.execution_credentials(config),
        "_HANDLER": config["Handler"],
        "PYTHONPATH": os.pathsep.join(search_path),
        "LAMBDA_TASK_ROOT": code_directory,
        "LAMBDA_RUNTIME_DIR": search_path[-1],
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime_api_port}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": hashlib.sha256(f"{name}:{runtime_api_port}".encode()).hexdigest()[:32],
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    }
