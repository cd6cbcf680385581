"""Whether the users of `make demo-rebuild` see an error, and an answer that is not wholly from one knowledge."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.askers import Answered, asking_all_the_time, searched_for, strangers
from local.rebuild_demo import RebuildDemo, asked_by
from local.stack.configuration import StackConfiguration, free_port
from tests.support.waiting import until

OLD, NEW = "KNOWLEDGE1", "KNOWLEDGE2"
PASSAGES = {OLD: {"tents", "kayaks"}, NEW: {"tents", "the contract"}}


def answered(question: str, *passages: str) -> Answered:
    sources = [{"passage": passage} for passage in passages]
    return Answered(0, question, {"citations": [{"sources": [source]} for source in sources]})


def retrieved(question: str, base: str) -> dict[str, Any]:
    return {"operation": "Retrieve", "input": {"knowledgeBaseId": base, "retrievalQuery": {"text": question}}}


def generated(question: str, base: str) -> dict[str, Any]:
    settings = {"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": base}}
    return {
        "operation": "RetrieveAndGenerate",
        "input": {"input": {"text": question}, "retrieveAndGenerateConfiguration": settings},
    }


def test_where_a_question_was_searched_for_is_in_the_log_of_calls() -> None:
    other = {"operation": "GetKnowledgeBase", "input": {"knowledgeBaseId": OLD}}
    calls = [retrieved("a", OLD), other, generated("b", NEW), retrieved("c", OLD), retrieved("c", NEW)]
    assert searched_for(calls) == {"a": {OLD}, "b": {NEW}, "c": {OLD, NEW}}


@pytest.mark.parametrize(
    ("answer", "searched"),
    [
        (answered("a", "tents", "kayaks"), {"a": {OLD}}),
        (answered("a", "tents"), {"a": {NEW}}),
        (answered("a"), {"a": {NEW}}),
    ],
    ids=["all of one", "what both hold", "nothing found"],
)
def test_an_answer_from_one_knowledge_is_no_stranger(answer: Answered, searched: dict[str, set[str]]) -> None:
    assert list(strangers([answer], searched, PASSAGES)) == []


@pytest.mark.parametrize(
    ("answer", "searched", "said"),
    [
        (answered("a", "tents"), {"a": {OLD, NEW}}, "KNOWLEDGE1, KNOWLEDGE2"),
        (answered("a", "tents"), {}, "no knowledge base"),
        (answered("a", "tents", "the contract"), {"a": {OLD}}, "does not hold 'the contract'"),
        (answered("a", "tents"), {"a": {"ANOTHER"}}, "does not hold 'tents'"),
    ],
    ids=["both asked", "nowhere asked", "a passage of the other", "a third"],
)
def test_an_answer_that_is_not_is_told(answer: Answered, searched: dict[str, set[str]], said: str) -> None:
    (told,) = strangers([answer], searched, PASSAGES)
    assert said in told


def test_no_two_questions_are_the_same_and_one_user_asks_for_the_scan() -> None:
    questions = [asked_by(user, number) for user in range(10) for number in range(200)]
    assert len(set(questions)) == len(questions)
    assert all("保守契約" in asked_by(0, number) for number in range(3))
    assert not any("保守契約" in asked_by(user, 0) for user in range(1, 10))


@contextmanager
def api(statuses: Iterator[int]) -> Iterator[str]:
    """Answers each question with the next status. Gives: its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"answer": asked["question"], "citations": []}).encode()
            self.send_response(next(statuses))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def configuration(tmp_path: Path) -> StackConfiguration:
    return StackConfiguration(state_directory=tmp_path)


def test_each_answer_and_each_refusal_is_kept(configuration: StackConfiguration) -> None:
    def statuses() -> Iterator[int]:
        yield from (200, 500, 200)
        while True:
            yield 200

    with (
        api(statuses()) as url,
        asking_all_the_time(configuration, url, ["acme"], "{} {}".format, pause=0) as asked,
    ):
        until(lambda: len(asked.answers) >= 2 or None, "nobody is answered")
    assert [each.question for each in asked.answers[:2]] == ["0 0", "0 2"]
    (refused,) = asked.refused
    assert "acme: 500" in refused


def test_nobody_there_is_an_error_as_well(configuration: StackConfiguration) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with asking_all_the_time(configuration, nowhere, ["acme"], "{} {}".format, pause=0) as asked:
        until(lambda: asked.refused or None, "nobody was refused")
    assert not asked.answers


def test_the_profile_is_the_shipped_one_with_the_models_id_of_the_region(tmp_path: Path) -> None:
    for region, model in (
        ("us-east-1", "us.amazon.nova-pro-v1:0"),
        ("eu-central-1", "eu.amazon.nova-pro-v1:0"),
        ("ap-northeast-1", "apac.amazon.nova-pro-v1:0"),
    ):
        profile = RebuildDemo.profile(StackConfiguration(state_directory=tmp_path, region=region))
        assert profile["ingestion"]["parser"]["model"] == model
        assert profile["name"] == "office-japanese"
