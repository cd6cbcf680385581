"""Python functions run as on AWS: under its own client, in a clean environment, with errors by name."""

import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ministack.services import lambda_svc

from local.corrections import python_functions
from local.corrections.python_functions import RuntimeClientWorker, _Output
from local.stack.python_runtime import make_runtime_directory

FAILING = """
class Throttled(Exception): ...
def handler(event, context): raise Throttled("slow down")
"""


def test_an_exception_is_reported_by_its_class(aws: Any) -> None:
    error, answer = aws.invoke(aws.make_function(FAILING))
    assert (error, answer["errorType"], answer["errorMessage"]) == ("Unhandled", "Throttled", "slow down")


def test_an_environment_goes_on_after_an_exception(aws: Any) -> None:
    function = aws.make_function(
        "count = 0\ndef handler(event, context):\n  global count; count += 1\n  if count == 1: raise ValueError\n"
        "  return count"
    )
    aws.invoke(function)
    assert aws.invoke(function) == (None, 2)


def test_the_environment_holds_what_aws_defines_and_nothing_of_the_server(aws: Any) -> None:
    function = aws.make_function(
        "import os\ndef handler(event, context): return dict(os.environ)", Environment={"Variables": {"OWN": "value"}}
    )
    _, variables = aws.invoke(function)
    assert variables["OWN"] == "value"
    assert variables["AWS_ENDPOINT_URL"] == aws.configuration.aws_url
    assert variables["SSL_CERT_FILE"] == str(aws.configuration.trust_bundle)
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == function
    assert not {"GATEWAY_PORT", "VIRTUAL_ENV", "USER", "STATE_DIR"} & set(variables)


def test_a_function_may_name_an_endpoint_of_its_own(stack: Any) -> None:
    function = stack.make_function(
        "import os\ndef handler(event, context): return os.environ['AWS_ENDPOINT_URL_SQS']",
        Environment={"Variables": {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"}},
    )
    assert stack.invoke(function) == (None, "http://127.0.0.1:1")


def test_of_the_servers_packages_only_those_of_the_runtime_can_be_imported(aws: Any) -> None:
    function = aws.make_function(
        "import importlib.util as u\n"
        "def handler(event, context): return [bool(u.find_spec(n)) for n in ('boto3', 'pydantic', 'ministack')]"
    )
    assert aws.invoke(function) == (None, [True, False, False])


def test_the_later_layer_wins(stack: Any) -> None:
    layers = [_layer(stack, "first"), _layer(stack, "second")]
    code = "import layered\ndef handler(event, context): return layered.ANSWER"
    assert stack.invoke(stack.make_function(code, Layers=layers)) == (None, "second")


def test_a_function_that_cannot_be_imported_says_why(aws: Any) -> None:
    error, answer = aws.invoke(aws.make_function("import no_such_module"))
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ImportModuleError"
    assert "no_such_module" in answer["errorMessage"]


def test_a_function_that_takes_too_long_is_stopped(stack: Any) -> None:
    function = stack.make_function("import time\ndef handler(event, context): time.sleep(60)", Timeout=1)
    error, answer = stack.invoke(function)
    assert (error, answer["errorType"]) == ("Unhandled", "Sandbox.Timedout")


def test_a_burst_shares_a_limited_number_of_environments(aws: Any) -> None:
    function = aws.make_function("import os, time\ndef handler(event, context): time.sleep(.05); return os.getpid()")
    answers: list[Any] = []
    callers = [threading.Thread(target=lambda: answers.append(aws.invoke(function))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(error is None for error, _ in answers)
    assert len({process_id for _, process_id in answers}) <= aws.configuration.function_concurrency


WAITING = """
import os, pathlib, time
def handler(event, context):
    begun, go_on = map(pathlib.Path, event)
    begun.write_text(str(os.getpid()))
    while not go_on.exists(): time.sleep(.01)
    import layered
    return layered.ANSWER
"""


def test_an_invocation_at_work_ends_in_its_own_environment_when_the_function_is_replaced(
    stack: Any, tmp_path: Path
) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    layer = _layer(stack, "before")
    function = stack.make_function(WAITING, Layers=[layer])
    with ThreadPoolExecutor() as pool:
        at_work = pool.submit(stack.invoke, function, [str(begun), str(go_on)])
        process_id = int(stack.eventually(lambda: begun.exists() and begun.read_text()))
        lambda_ = stack.client("lambda")
        lambda_.update_function_configuration(FunctionName=function, Layers=[_layer(stack, "after")])
        lambda_.delete_layer_version(LayerName=layer.split(":")[-2], VersionNumber=int(layer.split(":")[-1]))
        go_on.touch()
        assert at_work.result() == (None, "before")
    stack.eventually(lambda: not _is_running(process_id))
    assert stack.invoke(function, [str(begun), str(go_on)]) == (None, "after")


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _layer(stack: Any, answer: str) -> str:
    """Publishes a layer with a module `layered`; gives the ARN of its version."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("python/layered.py", f"ANSWER = {answer!r}")
    layer = stack.client("lambda").publish_layer_version(
        LayerName=f"layer-{uuid4().hex[:8]}", Content={"ZipFile": archive.getvalue()}
    )
    return str(layer["LayerVersionArn"])


@pytest.mark.parametrize("event", [None, "text", 7, [1, 2], {"キー": "値"}])
def test_any_json_value_goes_in_and_comes_out(stack: Any, event: object) -> None:
    assert stack.invoke(_echo(stack), event) == (None, event)


def test_log_lines_are_in_the_functions_log_group_when_its_invocation_ends(stack: Any) -> None:
    function = stack.make_function("def handler(event, context): print('a line of', event)")
    stack.invoke(function, "the test")
    assert "a line of the test" in _lines(stack, function)


@pytest.mark.parametrize(
    ("fails", "said"), [("import no_such_module", "ImportModuleError"), ("raise SystemExit('not today')", "not today")]
)
def test_the_log_says_why_a_function_did_not_start(fails: str, said: str, stack: Any) -> None:
    function = stack.make_function(f"print('about to fail')\n{fails}")
    for _ in range(2):
        error, _ = stack.invoke(function)
        assert error == "Unhandled"
    lines = _lines(stack, function)
    assert lines.count("about to fail") == 2
    assert len([line for line in lines if said in line]) == 2


def _lines(stack: Any, function: str) -> list[str]:
    answer = stack.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")
    return [event["message"] for event in answer["events"]]


@pytest.fixture
def environment_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], RuntimeClientWorker]]:
    """Makes an environment in this process, for a function of one module with a `handler`."""
    monkeypatch.setattr(lambda_svc, "_PROVIDED_CODE_CACHE", str(tmp_path / "code"))
    runtime = make_runtime_directory(tmp_path / "runtime")
    made: list[RuntimeClientWorker] = []

    def make(code: str) -> RuntimeClientWorker:
        config = {
            **{"FunctionName": "any", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:any"},
            **{"Handler": "function.handler", "Timeout": 10, "Role": "arn:aws:iam::000000000000:role/any"},
            "Environment": {"Variables": {"PYTHONPATH": f"{tmp_path}:{runtime}"}},
        }
        (tmp_path / "function.py").write_text(code)
        archive = io.BytesIO()
        zipfile.ZipFile(archive, "w").close()
        made.append(RuntimeClientWorker("any", config, archive.getvalue()))
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


@pytest.fixture
def unscheduled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine so busy that the thread which empties pipes comes to nothing."""
    scheduled = threading.Event()
    keep_empty = _Output.keep_empty

    def wait_and_keep_empty(output: _Output) -> None:
        scheduled.wait()
        keep_empty(output)

    monkeypatch.setattr(_Output, "keep_empty", wait_and_keep_empty)
    yield
    scheduled.set()


@pytest.mark.usefixtures("unscheduled")
def test_each_invocation_has_its_own_log_lines_on_a_busy_machine(
    environment_of: Callable[[str], RuntimeClientWorker],
) -> None:
    worker = environment_of("def handler(event, context):\n  for line in range(3): print(event, line)")
    for event in ("one", "two"):
        assert worker.invoke(event, event)["log"] == f"{event} 0\n{event} 1\n{event} 2"


@pytest.mark.usefixtures("unscheduled")
@pytest.mark.parametrize(
    ("last", "error"),
    [("raise ValueError", "ValueError"), ("os._exit(1)", "Runtime.ExitError"), ("time.sleep(60)", "Sandbox.Timedout")],
)
def test_log_lines_are_there_however_an_invocation_ends(
    last: str, error: str, environment_of: Callable[[str], RuntimeClientWorker]
) -> None:
    worker = environment_of(f"import os, time\ndef handler(event, context): print('begun', flush=True); {last}")
    worker.config["Timeout"] = 1 if "sleep" in last else 30
    answer = worker.invoke(None, "any")
    assert answer["error_payload"]["errorType"] == error
    assert answer["log"].splitlines()[0] == "begun"


CHATTERING = """
import os, subprocess, sys
def handler(event, context):
    chattering = subprocess.Popen([sys.executable, "-c", "while True: print('chatter', flush=True)"])
    print("begun", chattering.pid)
    if event == "die": os._exit(1)
"""


@pytest.mark.parametrize("event", ["answer", "die"])
def test_a_child_that_goes_on_writing_holds_up_no_invocation(
    event: str, environment_of: Callable[[str], RuntimeClientWorker]
) -> None:
    worker = environment_of(CHATTERING)
    log = worker.invoke(event, "any")["log"]
    begun = next(line for line in log.splitlines() if line.startswith("begun"))
    os.kill(int(begun.split()[1]), signal.SIGKILL)


LATE = """
import subprocess, sys
CHILD = "import sys; sys.stdin.readline(); print('x' * 500_000 + 'end', flush=True); open(sys.argv[1], 'w')"
def handler(event, context):
    global late
    if event: late = subprocess.Popen([sys.executable, "-c", CHILD, event], stdin=subprocess.PIPE)
    else: late.stdin.close()
"""


def test_what_is_written_between_invocations_fills_no_pipe_and_no_memory(
    environment_of: Callable[[str], RuntimeClientWorker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(python_functions, "_LOG_BYTES", 1000)
    worker, written = environment_of(LATE), tmp_path / "written"
    logs = [worker.invoke(event, "any")["log"] for event in (str(written), None)]
    deadline = time.monotonic() + 10
    while not written.exists():
        assert time.monotonic() < deadline, "the pipe was full"
        time.sleep(0.01)
    logs.append(worker.invoke(None, "any")["log"])
    assert "".join(logs).endswith("end")
    assert max(map(len, logs)) <= 1000


_echoes: dict[str, str] = {}


def _echo(stack: Any) -> str:
    url = stack.configuration.aws_url
    if url not in _echoes:
        _echoes[url] = stack.make_function("def handler(event, context): return event")
    return _echoes[url]
