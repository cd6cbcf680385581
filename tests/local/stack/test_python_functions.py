"""Python functions run as on AWS: under its own client, in a clean environment, with errors by name."""

import io
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

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


def test_log_lines_are_in_the_functions_log_group(stack: Any) -> None:
    function = stack.make_function("def handler(event, context): print('a line of', event)")
    stack.invoke(function, "the test")
    logs = stack.client("logs")

    def lines() -> list[str]:
        answer = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")
        return [event["message"] for event in answer["events"] if "a line of the test" in event["message"]]

    assert stack.eventually(lines)


_echoes: dict[str, str] = {}


def _echo(stack: Any) -> str:
    url = stack.configuration.aws_url
    if url not in _echoes:
        _echoes[url] = stack.make_function("def handler(event, context): return event")
    return _echoes[url]
