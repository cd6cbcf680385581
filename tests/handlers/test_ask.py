"""`POST /ask`: whose answer it is, what is refused, and what never reaches a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.answer import Citation, GeneratedAnswer, Source
from kbfleet.domain.errors import (
    AccessRefused,
    CapacityExceeded,
    KbfleetError,
    NotReadyYet,
    RequestRefused,
    ResourceMissing,
    Throttled,
)
from kbfleet.domain.tenant import TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.fakes import ScriptedAnswerer
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, tenant

QUESTION = "How long is the warranty of the tent?"
ANSWER = GeneratedAnswer(
    "二年間です。",
    (
        Citation(
            "二年間です。",
            0,
            6,
            (Source("規程/保証.pdf", "s3://b/規程/保証.pdf", "保証期間は二年間とする。", 3, {"部署": "営業"}),),
        ),
    ),
)
Ask = Callable[..., dict[str, Any]]
Script = Callable[..., ScriptedAnswerer]


@pytest.fixture
def ask(fleet: Fleet, handler: Callable[[str], Handler]) -> Ask:
    """Sends the sample request, or one that differs from it."""

    def send(body: object = ..., *, authorizer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        request = {**event("triggers/ask"), **changes}
        if body is not ...:
            request["body"] = body if body is None or isinstance(body, str) else json.dumps(body)
        if authorizer is not None:
            request["requestContext"]["authorizer"] = authorizer
        answered: dict[str, Any] = handler("ask/ask")(request)
        return answered

    return send


def problem_of(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    document: dict[str, Any] = json.loads(answer["body"])
    assert document["status"] == answer["statusCode"]
    assert {"type", "title", "status", "detail"} <= set(document)
    return document


class TestAnswers:
    def test_the_sample_request_gets_the_tenants_answer_with_its_sources_and_freshness(
        self, ask: Ask, fleet: Fleet, answerer: Script
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        answer = ask()
        assert answer["statusCode"] == 200
        assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
        assert json.loads(answer["body"]) == {
            "answer": "二年間です。",
            "citations": [
                {
                    "text": "二年間です。",
                    "start": 0,
                    "end": 6,
                    "sources": [
                        {
                            "document": "規程/保証.pdf",
                            "uri": "s3://b/規程/保証.pdf",
                            "passage": "保証期間は二年間とする。",
                            "page": 3,
                            "metadata": {"部署": "営業"},
                        }
                    ],
                }
            ],
            "freshness": {"synced_at": None, "pending_changes": False},
            "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        }
        assert asked.asked == [("KB00000001", QUESTION)]

    def test_the_tenant_is_the_authorizers_whatever_else_the_request_says(
        self, ask: Ask, fleet: Fleet, answerer: Script
    ) -> None:
        fleet.registry.create(tenant())
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KBSAKURA01"))
        asked = answerer(KB00000001=ANSWER, KBSAKURA01=ANSWER)
        ask(
            authorizer={"tenant_id": "sakura"},
            headers={"X-Tenant-Id": "acme", "tenant_id": "acme"},
            queryStringParameters={"tenant_id": "acme"},
            pathParameters={"tenant_id": "acme"},
        )
        assert [knowledge_base_id for knowledge_base_id, _ in asked.asked] == ["KBSAKURA01"]

    def test_a_tenant_in_the_body_is_refused(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert problem_of(ask({"question": QUESTION, "tenant_id": "sakura"}))["field"] == "tenant_id"
        assert asked.asked == []

    @pytest.mark.parametrize("authorizer", [{}, {"tenant_id": ""}, {"tenant_id": "ACME"}, {"principalId": "acme"}])
    def test_without_a_verified_tenant_nothing_is_asked(
        self, ask: Ask, fleet: Fleet, answerer: Script, authorizer: dict[str, Any]
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert problem_of(ask(authorizer=authorizer))["status"] == 400
        assert asked.asked == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (None, "body"),
            ("", "body"),
            ("not json", "body"),
            ("[]", "body"),
            ('"question"', "body"),
            ("{}", "question"),
            ({"question": ""}, "question"),
            ({"question": "  \n "}, "question"),
            ({"question": "長" * 1_001}, "question"),
            ({"question": None}, "question"),
            ({"question": 7}, "question"),
            ({"question": ["a"]}, "question"),
            ({"question": QUESTION, "model": "best"}, "model"),
        ],
    )
    def test_a_bad_request_names_the_field_and_costs_no_model_call(
        self, ask: Ask, fleet: Fleet, answerer: Script, body: object, field: str
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        document = problem_of(ask(body))
        assert (document["status"], document["code"], document["field"]) == (400, "InvalidInput", field)
        assert asked.asked == []

    def test_the_longest_allowed_question_is_asked(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert ask({"question": "長" * 1_000})["statusCode"] == 200
        assert len(asked.asked[0][1]) == 1_000

    def test_an_unknown_tenant_is_not_found(self, ask: Ask, answerer: Script) -> None:
        asked = answerer()
        document = problem_of(ask())
        assert (document["status"], document["code"]) == (404, "TenantNotFound")
        assert asked.asked == []

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.FAILED])
    def test_a_tenant_that_is_not_active_is_a_conflict(
        self, ask: Ask, fleet: Fleet, answerer: Script, status: TenantStatus
    ) -> None:
        fleet.registry.create(tenant(status=status))
        asked = answerer()
        document = problem_of(ask())
        assert (document["status"], document["code"]) == (409, "TenantNotActive")
        assert asked.asked == []

    def test_an_unknown_path_is_a_problem_too(self, ask: Ask, answerer: Script) -> None:
        answerer()
        assert problem_of(ask(path="/nowhere", resource="/nowhere"))["status"] == 404


class TestBedrockRefuses:
    @pytest.mark.parametrize(
        ("error", "status", "retry_after"),
        [
            (Throttled("RetrieveAndGenerate for KB00000001: slow"), 429, True),
            (NotReadyYet("RetrieveAndGenerate for KB00000001: soon"), 503, True),
            (AccessRefused("RetrieveAndGenerate for KB00000001: no"), 502, False),
            (RequestRefused("RetrieveAndGenerate for KB00000001: bad"), 502, False),
            (CapacityExceeded("RetrieveAndGenerate for KB00000001: full"), 502, False),
            (ResourceMissing("RetrieveAndGenerate for KB00000001: gone"), 502, False),
        ],
    )
    def test_the_tenant_learns_what_to_do_but_nothing_of_our_resources(
        self, ask: Ask, fleet: Fleet, answerer: Script, error: KbfleetError, status: int, retry_after: bool
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=error)
        answer = ask()
        document = problem_of(answer)
        assert (document["status"], document["code"]) == (status, type(error).__name__)
        assert "KB00000001" not in answer["body"]
        assert ("Retry-After" in answer["multiValueHeaders"]) == retry_after

    def test_what_was_never_foreseen_is_a_problem_without_details(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=ZeroDivisionError("internal"))
        document = problem_of(ask())
        assert (document["status"], document["detail"]) == (500, "Unexpected error.")
        assert any(line["level"] == "ERROR" and "ZeroDivisionError" in line["exception"] for line in logs.lines)


class TestLogs:
    SECRETS = ("warranty", "二年間", "保証", "営業")

    def test_neither_question_nor_answer_nor_passage_is_logged(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=ANSWER)
        ask()
        (line,) = logs.lines
        assert (line["tenant_id"], line["citations"]) == ("acme", 1)
        assert not any(secret in logs.text for secret in self.SECRETS)

    @pytest.mark.parametrize(
        "body",
        [
            {"question": f"{QUESTION} {'x' * 1_000}"},
            {"question": [QUESTION]},
            {"question": QUESTION, "extra": QUESTION},
            {"question": {QUESTION: QUESTION}},
            f'{{"question": "{QUESTION}"',
        ],
    )
    def test_a_refused_question_is_not_logged_either(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs, body: object
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=ANSWER)
        assert ask(body)["statusCode"] == 400
        assert logs.lines
        assert "warranty" not in logs.text

    @pytest.mark.parametrize("error", [Throttled("slow"), RequestRefused("bad"), ZeroDivisionError("x")])
    def test_nor_is_one_that_failed(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs, error: Exception
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=error)
        ask()
        assert logs.lines
        assert "warranty" not in logs.text
        assert str(ACME) in logs.text
