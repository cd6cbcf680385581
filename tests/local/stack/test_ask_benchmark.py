"""What the benchmarks of asking measure, they measure: on small functions and made-up crowds, without their targets."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.asking import load
from benchmarks.asking.lambda_environment import Function, FunctionError, environment
from benchmarks.asking.load import Asked, Crowd
from benchmarks.asking.services import MODEL_SECONDS, SEARCH_SECONDS, services
from local.stack.python_runtime import make_runtime_directory
from tests.support.template import REPOSITORY

QUESTION = json.loads((REPOSITORY / "events" / "triggers" / "ask.json").read_text("utf-8"))
TENANT = {
    "PK": {"S": "TENANT#acme"},
    "SK": {"S": "PROFILE"},
    "knowledge_base_id": {"S": "KB00000001"},
    "bucket_name": {"S": "kbfleet-acme"},
}


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., Function]:
    """A function of this source, on what Lambda's runtime brings and nothing else."""
    runtime = make_runtime_directory(tmp_path / "runtime")

    def make(source: str, **variables: str) -> Function:
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "measured.py").write_text(source, "utf-8")
        return Function("measured.handler", (tmp_path / "code", runtime), variables)

    return make


class TestAnEnvironment:
    def test_answers_one_event_after_the_other_in_one_process(self, function: Callable[..., Function]) -> None:
        source = "seen = []\ndef handler(event, context):\n    seen.append(event)\n    return seen\n"
        with environment(function(source)) as running:
            assert running.invoke({"n": 1}).answer == [{"n": 1}]
            assert running.invoke({"n": 2}).answer == [{"n": 1}, {"n": 2}]

    def test_tells_what_an_invocation_took(self, function: Callable[..., Function]) -> None:
        source = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n"
        with environment(function(source)) as running:
            before = time.perf_counter()
            taken = running.invoke({}).seconds
            assert 0.05 <= taken <= time.perf_counter() - before

    def test_tells_why_a_function_has_failed(self, function: Callable[..., Function]) -> None:
        with (
            environment(function("def handler(event, context):\n    raise ValueError('no such tent')\n")) as running,
            pytest.raises(FunctionError, match="no such tent"),
        ):
            running.invoke({})

    def test_tells_why_a_function_cannot_start(self, function: Callable[..., Function]) -> None:
        with environment(function("import pydantic\n")) as running, pytest.raises(FunctionError, match="pydantic"):
            running.invoke({})


def test_the_plain_handler_answers_and_the_time_of_bedrocks_own_answer_is_known(
    function: Callable[..., Function], tmp_path: Path
) -> None:
    source = (REPOSITORY / "benchmarks" / "asking" / "plain_ask.py").read_text("utf-8")
    with services([TENANT], tmp_path) as aws:
        plain = function(source, TABLE_NAME="kbfleet", GENERATION_MODEL_ID="model", AWS_ENDPOINT_URL=aws.url)
        with environment(plain) as running:
            invocation = running.invoke(QUESTION)
        answered = json.loads(invocation.answer["body"])
        assert answered["answer"].startswith("The warranty")
        assert SEARCH_SECONDS + MODEL_SECONDS <= aws.last_answer_seconds() <= invocation.seconds


class TestACrowd:
    CROWD = Crowd(
        "made up",
        {"acme": 2, "sakura": 1},
        [
            *[Asked("acme", 200, 0.1)] * 9,
            *[Asked("sakura", 200, 0.3)] * 3,
            *[Asked("sakura", 429, 0.01)] * 5,
            Asked("acme", 502, 0.2, "Bad Gateway"),
            Asked("acme", 0, 35.0, "TimeoutError()"),
        ],
        seconds=2.0,
    )

    def test_tells_the_share_of_the_tenant_that_got_the_least(self) -> None:
        # Twelve answers for two tenants: six would be fair, sakura got three.
        assert self.CROWD.least_share == 0.5

    def test_a_tenant_without_any_answer_has_no_share(self) -> None:
        assert Crowd("made up", {"acme": 1, "sakura": 1}, [Asked("acme", 200, 0.1)], 1.0).least_share == 0

    def test_tells_what_was_neither_answered_nor_refused(self) -> None:
        assert self.CROWD.oddities == {"502 Bad Gateway": 1, "0 TimeoutError()": 1}

    def test_is_shown_as_a_row(self) -> None:
        written = io.StringIO()
        Console(file=written, width=150).print(load.table([self.CROWD]))
        row = next(line for line in written.getvalue().splitlines() if "made up" in line)
        assert [cell.strip() for cell in row.strip("│").split("│")] == [
            *("made up", "3", "12", "6.0", "5", "2", "100 ms", "300 ms", "0.50", "1.50"),
        ]
