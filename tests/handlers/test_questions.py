"""`/tenants/{tenant_id}/questions`, and the function that asks them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.errors import AccessRefused
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import RunCause, RunRequest
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, tenant

SECRET = "What does our secret product cost?"
Send = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends a sample request, or one with another body or of another question."""
    fleet.registry.create(tenant())

    def to(sample: str, body: object = ..., *, question: str = "") -> tuple[int, dict[str, Any]]:
        request = event(f"triggers/{sample}")
        if body is not ...:
            request["body"] = json.dumps(body)
        if question:
            request["pathParameters"]["question"] = question
            request["path"] = f"/tenants/acme/questions/{question}"
        answer = handler("admin/questions")(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def add(send: Send, *texts: str) -> list[str]:
    given = [{"user_input": text, "reference_context_ids": ["a.md"]} for text in texts]
    status, body = send("post_questions", {"questions": given})
    assert status == 200
    return [each["id"] for each in body["questions"]]


def test_what_is_added_is_listed_and_removed(send: Send, fleet: Fleet) -> None:
    status, body = send("post_questions")
    (question,) = body["questions"]
    assert (status, question["user_input"]) == (200, "How long is the warranty of the tent?")
    assert send("get_questions") == (200, body)
    status, left = send("delete_question", question=question["id"])
    assert (status, left["questions"]) == (200, [])
    # What is known of them is to follow, each time.
    assert [request for _, _, request in fleet.question_runs.waiting] == [None, None]


def test_ids_say_nothing_of_the_text(send: Send) -> None:
    first, second = add(send, SECRET, "two")
    assert first != second
    send("delete_question", question=first)
    (_, again) = add(send, SECRET)
    assert again != first


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"questions": []}, "questions"),
        ({"questions": [{"user_input": "a", "must_refuse": True}] * 2}, "questions.1.user_input"),
        ({"questions": [{"user_input": "a", "must_refuse": True}, {"user_input": SECRET}]}, "questions.1.reference"),
        ({"questions": [{"user_input": "a" * 1_001, "must_refuse": True}]}, "questions.0.user_input"),
        ({"questions": [{"user_input": "a", "must_refuse": True, "id": SECRET}]}, "questions.0.id"),
        ({"questions": [{"must_refuse": True}]}, "questions.0.user_input"),
        ({"questions": [{"user_input": "a", "contains": SECRET}]}, "questions.0.contains"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(send: Send, fleet: Fleet, body: object, field: str) -> None:
    status, refused = send("post_questions", body)
    assert (status, refused["field"].startswith(field)) == (400, True)
    assert SECRET not in json.dumps(refused)
    assert fleet.golden_questions.find(Life(ACME)).version == 0


def test_who_is_not_there_is_not_found(send: Send, fleet: Fleet) -> None:
    assert send("delete_question")[0] == 404
    assert send("delete_question", question="acme")[0] == 400


def test_a_tenant_that_leaves_gets_no_questions(send: Send, fleet: Fleet) -> None:
    fleet.registry.replace(tenant(status=TenantStatus.OFFBOARDING), fence=1)
    assert send("post_questions")[0] == 409
    assert send("get_questions")[0] == 200


def test_a_run_is_requested_and_made_and_shown(
    send: Send, fleet: Fleet, handler: Callable[[str], Handler], logs: Logs
) -> None:
    assert send("post_question_run")[0] == 400
    found, lost = add(send, SECRET, "two")
    fleet.retriever.found = {SECRET: ["b.md", "a.md"], "two": ["b.md"]}
    status, requested = send("post_question_run", {})
    assert (status, requested["answers"]) == (202, False)
    fleet.question_runs.waiting.clear()
    message = {"tenant_id": "acme", "cause": "DEMAND", "at": requested["requested_at"]}
    handler("questions/run_questions")(records(message))
    status, body = send("get_question_runs")
    (run,) = body["runs"]
    assert (status, body["under_way"], body["regressions"]) == (200, None, [])
    assert run["score"] == {
        "passed": 1,
        "failed": 1,
        "not_judged": 0,
        "hit_rate_5": 0.5,
        "hit_rate_1": 0.0,
        "mrr": 0.25,
        "not_asked": 0,
    }
    assert {each["id"]: (each["rank"], each["instead"]) for each in run["verdicts"]} == {
        found: (2, "b.md"),
        lost: (None, "b.md"),
    }
    # Once is enough, however often the message comes.
    handler("questions/run_questions")(records(message))
    assert len(fleet.question_watches.runs(Life(ACME), 10)) == 1
    assert "A run of questions is requested" in logs.text
    assert SECRET not in logs.text
    assert "two" not in logs.text


def records(body: object) -> dict[str, Any]:
    sample = event("triggers/run_questions")
    sample["Records"][0]["body"] = json.dumps(body)
    return sample


def test_a_job_that_has_ended_has_questions_asked(fleet: Fleet, handler: Callable[[str], Handler], send: Send) -> None:
    add(send, "one")
    fleet.question_runs.waiting.clear()
    sample = event("triggers/run_questions")
    occurred_at = json.loads(sample["Records"][0]["body"])["detail"]["occurred_at"]
    handler("questions/run_questions")(sample)
    (run,) = fleet.question_watches.runs(Life(ACME), 10)
    assert (run.cause, run.requested_at.isoformat()[:19]) == (RunCause.CHANGE, occurred_at[:19])


def test_what_a_run_came_to_is_measured_once(
    send: Send, fleet: Fleet, handler: Callable[[str], Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    add(send, "one", "two")
    fleet.retriever.found = {"one": ["a.md"], "two": ConnectionError("unknown")}
    sample = event("triggers/run_questions")
    with pytest.raises(ConnectionError):
        handler("questions/run_questions")(sample)
    fleet.clock.advance(600)
    fleet.retriever.found = {"one": ["a.md"], "two": AccessRefused("no")}
    capsys.readouterr()
    handler("questions/run_questions")(sample)
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "GoldenQuestions" in line]
    counts = {name: line[f"GoldenQuestions{name}"] for name in ("Passed", "Failed", "NotJudged")}
    assert counts == {"Passed": [1], "Failed": [0], "NotJudged": [1]}
    handler("questions/run_questions")(sample)
    assert "GoldenQuestions" not in capsys.readouterr().out


def test_all_tenants_stands_are_listed_page_by_page(
    send: Send, fleet: Fleet, handler: Callable[[str], Handler]
) -> None:
    for name in ("bolt", "cleo", "dino"):
        fleet.registry.create(tenant(TenantId(name)))
    fleet.registry.replace(tenant(TenantId("cleo"), status=TenantStatus.SUSPENDED), fence=1)
    add(send, "one", "two")
    fleet.retriever.found = {"one": ["a.md"]}
    handler("questions/run_questions")(event("triggers/run_questions"))

    def page(**query: str) -> dict[str, Any]:
        request = event("triggers/get_question_stands")
        request["multiValueQueryStringParameters"] = {name: [value] for name, value in query.items()}
        answer = handler("admin/questions")(request)
        assert answer["statusCode"] == 200, answer
        return dict(json.loads(answer["body"]))

    first = page(limit="3")
    second = page(limit="3", next_token=first["next_token"])
    stands = [*first["tenants"], *second["tenants"]]
    assert [(each["tenant_id"], each["questions"]) for each in stands] == [("acme", 2), ("bolt", 0), ("dino", 0)]
    assert (stands[0]["score"]["passed"], stands[0]["score"]["failed"]) == (1, 1)
    assert (stands[1]["score"], stands[1]["judged_at"]) == (None, None)
    assert second["next_token"] is None
    assert send("get_question_runs")[1]["stand"] == stands[0]


def test_each_tenant_sees_its_own(send: Send, fleet: Fleet) -> None:
    add(send, "one")
    assert fleet.golden_questions.find(Life(SAKURA)).questions == ()
    assert RunRequest(RunCause.DEMAND, START) not in [request for _, _, request in fleet.question_runs.waiting]
