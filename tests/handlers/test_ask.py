"""`POST /ask`: whose answer it is, what is refused, and what never reaches a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.answer import AnswerOutcome, Asker, Citation, GeneratedAnswer, Inquiry, Question, Source, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.errors import (
    AccessRefused,
    CapacityExceeded,
    IsolationBreached,
    KbfleetError,
    NotReadyYet,
    RequestRefused,
    ResourceMissing,
    Throttled,
)
from kbfleet.domain.isolation import Breach, SeenIn
from kbfleet.domain.metadata_filter import MetadataFilter
from kbfleet.domain.names import Life
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import TICKETS, Handler, Logs, event
from tests.support.fakes import ScriptedAnswerer
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, tenant

QUESTION = "How long is the warranty of the tent?"
SOURCE = Source(
    "規程/保証.pdf",
    f"s3://{NAMES.bucket(Life(ACME))}/規程/保証.pdf",
    "保証期間は二年間とする。",
    3,
    {"部署": "営業"},
    0.75,
)
ANSWER = GeneratedAnswer(
    "二年間です。",
    (Citation("二年間です。", 0, 6, (SOURCE,)),),
    conversation="conversation-1",
    stop_reason="end_turn",
)
Ask = Callable[..., dict[str, Any]]
Script = Callable[..., ScriptedAnswerer]


@pytest.fixture
def ask(fleet: Fleet, handler: Callable[[str], Handler]) -> Ask:
    """Sends the sample request, or one that differs from it."""

    def send(
        body: object = ..., *, sample: str = "ask", authorizer: dict[str, Any] | None = None, **changes: Any
    ) -> dict[str, Any]:
        request = {**event(f"triggers/{sample}"), **changes}
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
        body = json.loads(answer["body"])
        assert body.pop("session")
        assert body["citations"][0]["sources"][0].pop("ticket")
        assert body == {
            "answer": "二年間です。",
            "outcome": "ANSWERED",
            "stop_reason": "end_turn",
            "citations": [
                {
                    "text": "二年間です。",
                    "start": 0,
                    "end": 6,
                    "sources": [
                        {
                            "document": "規程/保証.pdf",
                            "uri": f"s3://{NAMES.bucket(Life(ACME))}/規程/保証.pdf",
                            "passage": "保証期間は二年間とする。",
                            "page": 3,
                            "metadata": {"部署": "営業"},
                            "score": 0.75,
                        }
                    ],
                }
            ],
            "freshness": {"synced_at": None, "pending_changes": False},
            "documents_left_out": None,
            "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        }
        assert asked.asked == [("KB00000001", QUESTION)]

    def test_a_source_has_a_ticket_for_the_user_who_asked_and_none_for_a_back_end(
        self, ask: Ask, fleet: Fleet, answerer: Script
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=ANSWER)
        (source,) = json.loads(ask()["body"])["citations"][0]["sources"]
        user = event("triggers/ask")["requestContext"]["authorizer"]["user_id"]
        asker = Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId(user))
        TICKETS.require(source["ticket"], source["uri"], asker, Life(ACME))
        (source,) = json.loads(ask(sample="ask_for_tenant")["body"])["citations"][0]["sources"]
        assert source["ticket"] is None

    @pytest.mark.parametrize("left_out", [0, 3])
    def test_how_many_documents_are_left_out_is_said_where_it_is_known(
        self, ask: Ask, fleet: Fleet, answerer: Script, left_out: int
    ) -> None:
        fleet.registry.create(tenant())
        fleet.ledger.save(Sync(ACME, documents_left_out=left_out))
        answerer(KB00000001=ANSWER)
        assert json.loads(ask()["body"])["documents_left_out"] == left_out

    @pytest.mark.parametrize("sample", ["ask", "ask_for_tenant"])
    def test_a_question_of_which_nothing_is_kept_has_no_session_and_may_take_one_up(
        self, ask: Ask, fleet: Fleet, answerer: Script, sample: str
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        session = json.loads(ask(sample=sample)["body"])["session"]
        body = {**json.loads(event(f"triggers/{sample}")["body"]), "keep": False}
        assert json.loads(ask(body, sample=sample)["body"])["session"] == ""
        assert json.loads(ask({**body, "session": session}, sample=sample)["body"])["session"] == session
        assert [inquiry.kept for inquiry in asked.inquiries] == [True, False, False]

    @pytest.mark.parametrize("outcome", [AnswerOutcome.NOTHING_FOUND, AnswerOutcome.REFUSED_BY_GUARDRAIL])
    def test_that_there_is_no_answer_is_told_as_such_and_is_no_error(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs, outcome: AnswerOutcome
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=GeneratedAnswer("No.", (), outcome, "conversation-1"))
        answer = ask()
        body = json.loads(answer["body"])
        assert (answer["statusCode"], body["outcome"], body["answer"], body["citations"]) == (200, outcome, "No.", [])
        assert body["stop_reason"] is None
        assert [line["outcome"] for line in logs.lines] == [outcome]

    def test_the_tenant_is_the_authorizers_whatever_else_the_request_says(
        self, ask: Ask, fleet: Fleet, answerer: Script
    ) -> None:
        fleet.registry.create(tenant())
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KBSAKURA01"))
        asked = answerer(KB00000001=ANSWER, KBSAKURA01=ANSWER)
        ask(
            authorizer={"tenant_id": "sakura", "user_id": "ken"},
            headers={"X-Tenant-Id": "acme", "tenant_id": "acme"},
            pathParameters={"tenant_id": "acme"},
        )
        assert [knowledge_base_id for knowledge_base_id, _ in asked.asked] == ["KBSAKURA01"]

    def test_a_tenant_in_the_body_is_refused(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert problem_of(ask({"question": QUESTION, "tenant_id": "sakura"}))["field"] == "tenant_id"
        assert asked.asked == []

    @pytest.mark.parametrize(
        "authorizer",
        [
            {},
            {"tenant_id": "", "user_id": "mina"},
            {"tenant_id": "ACME", "user_id": "mina"},
            {"principalId": "acme", "user_id": "mina"},
        ],
    )
    def test_without_a_verified_tenant_nothing_is_asked(
        self, ask: Ask, fleet: Fleet, answerer: Script, authorizer: dict[str, Any]
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert problem_of(ask(authorizer=authorizer))["status"] == 400
        assert asked.asked == []

    @pytest.mark.parametrize("authorizer", [{"tenant_id": "acme"}, {"tenant_id": "acme", "user_id": ""}])
    def test_without_a_verified_user_nothing_is_asked(
        self, ask: Ask, fleet: Fleet, answerer: Script, authorizer: dict[str, Any]
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert problem_of(ask(authorizer=authorizer))["field"] == "user_id"
        assert asked.asked == []

    def test_a_question_can_say_how_it_is_to_be_answered(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        department = {"equals": {"key": "department", "value": "sales"}}
        assert ask({"question": QUESTION, "passages": 7, "filter": department})["statusCode"] == 200
        assert asked.inquiries == [Inquiry(Question(QUESTION), 7, MetadataFilter(department))]

    def test_a_whole_number_may_be_written_with_a_fraction_of_nothing(
        self, ask: Ask, fleet: Fleet, answerer: Script
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        assert ask({"question": QUESTION, "passages": 7.0})["statusCode"] == 200
        assert [inquiry.passages for inquiry in asked.inquiries] == [7]
        for wrong in (7.5, True, "7"):
            assert problem_of(ask({"question": QUESTION, "passages": wrong}))["field"] == "passages"


class TestBackEnds:
    def test_a_back_end_asks_for_the_tenant_of_the_path(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        answer = ask(sample="ask_for_tenant")
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"])["answer"] == "二年間です。"
        assert asked.asked == [("KB00000001", QUESTION)]

    def test_an_impossible_tenant_is_refused(self, ask: Ask, answerer: Script) -> None:
        answerer()
        document = problem_of(
            ask(sample="ask_for_tenant", path="/tenants/ACME/ask", pathParameters={"tenant_id": "ACME"})
        )
        assert (document["status"], document["field"]) == (400, "tenant_id")

    @pytest.mark.parametrize("user_id", ["", "x" * 256, 7])
    def test_a_wrong_user_is_refused(self, ask: Ask, fleet: Fleet, answerer: Script, user_id: object) -> None:
        fleet.registry.create(tenant())
        answerer()
        document = problem_of(ask({"question": QUESTION, "user_id": user_id}, sample="ask_for_tenant"))
        assert (document["status"], document["field"]) == (400, "user_id")

    def test_a_user_of_a_tenant_names_no_user(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        answerer()
        assert problem_of(ask({"question": QUESTION, "user_id": "ken"}))["field"] == "user_id"


class TestSessions:
    @pytest.mark.parametrize("sample", ["ask", "ask_for_tenant"])
    def test_a_session_goes_on_with_its_conversation(
        self, ask: Ask, fleet: Fleet, answerer: Script, sample: str
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        session = json.loads(ask(sample=sample)["body"])["session"]
        body = {**json.loads(event(f"triggers/{sample}")["body"]), "session": session}
        assert json.loads(ask(body, sample=sample)["body"])["session"] == session
        assert [inquiry.conversation for inquiry in asked.inquiries] == [None, "conversation-1"]

    @pytest.mark.parametrize(
        "other",
        [
            {"authorizer": {"tenant_id": "acme", "user_id": "ken"}},
            {"authorizer": {"tenant_id": "sakura", "user_id": "5f2c1b7e-8a31-4a5e-9a0c-0c9d5b1f7a11"}},
            {"sample": "ask_for_tenant"},
        ],
    )
    def test_nobody_else_can_use_it(self, ask: Ask, fleet: Fleet, answerer: Script, other: dict[str, Any]) -> None:
        fleet.registry.create(tenant())
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KBSAKURA01"))
        asked = answerer(KB00000001=ANSWER, KBSAKURA01=ANSWER)
        session = json.loads(ask()["body"])["session"]
        document = problem_of(ask({"question": QUESTION, "session": session}, **other))
        assert (document["status"], document["code"], document["field"]) == (400, "SessionRefused", "session")
        assert len(asked.asked) == 1

    @pytest.mark.parametrize("named", ["mina", None])
    def test_no_subject_of_a_token_reads_as_a_user_of_the_back_end(
        self, ask: Ask, fleet: Fleet, answerer: Script, named: str | None
    ) -> None:
        fleet.registry.create(tenant())
        asked = answerer(KB00000001=ANSWER)
        body = {"question": QUESTION, "user_id": named}
        session = json.loads(ask(body, sample="ask_for_tenant")["body"])["session"]
        subject = {"tenant_id": "acme", "user_id": f"of the back end {named or ''}"}
        refused = problem_of(ask({"question": QUESTION, "session": session}, authorizer=subject))
        assert refused["code"] == "SessionRefused"
        assert len(asked.asked) == 1


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
            ({"question": QUESTION, "session": ""}, "session"),
            ({"q": QUESTION}, "question"),
            ({"q": QUESTION, "passages": 0}, "question"),
            ({"question": QUESTION, "q": QUESTION}, "q"),
            ({"question": QUESTION, "session": "x" * 1_001}, "session"),
            ({"question": QUESTION, "passages": 0}, "passages"),
            ({"question": QUESTION, "passages": 101}, "passages"),
            ({"question": QUESTION, "passages": "5"}, "passages"),
            ({"question": QUESTION, "filter": "department"}, "filter"),
            ({"question": QUESTION, "filter": {"equals": {"key": "a"}}}, "filter.equals"),
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

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (TenantStatus.PROVISIONING, "TenantNotActive"),
            (TenantStatus.FAILED, "TenantFailed"),
            (TenantStatus.SUSPENDED, "TenantSuspended"),
            (TenantStatus.OFFBOARDING, "TenantOffboarding"),
            (TenantStatus.OFFBOARDED, "TenantOffboarded"),
        ],
    )
    def test_a_tenant_that_is_not_active_is_a_conflict(
        self, ask: Ask, fleet: Fleet, answerer: Script, status: TenantStatus, code: str
    ) -> None:
        fleet.registry.create(tenant(status=status))
        asked = answerer()
        document = problem_of(ask())
        assert (document["status"], document["code"]) == (409, code)
        assert asked.asked == []

    def test_an_answer_from_anothers_documents_is_forbidden_and_logged_as_an_error(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs
    ) -> None:
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KB00000001"))
        answerer(KB00000001=ANSWER)
        document = problem_of(ask(authorizer={"tenant_id": "sakura", "user_id": "mina"}))
        assert (document["status"], document["code"]) == (403, "IsolationBreached")
        assert "二年間" not in json.dumps(document, ensure_ascii=False)
        assert str(NAMES.bucket(Life(ACME))) not in json.dumps(document)
        assert [line["level"] for line in logs.lines] == ["ERROR"]

    def test_a_refused_answer_is_counted_and_published_without_a_word_of_it(
        self, ask: Ask, fleet: Fleet, answerer: Script, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KB00000001"))
        answerer(KB00000001=ANSWER)
        ask(authorizer={"tenant_id": "sakura", "user_id": "mina"})
        expected = Breach(SAKURA, SeenIn.ANSWER, ("knowledge base KB00000001",), fleet.clock.now())
        assert fleet.announcements.breaches == [expected]
        assert json.loads(capsys.readouterr().out)["IsolationBreaches"] == [1.0]

    def test_refused_credentials_are_published_as_that(self, ask: Ask, fleet: Fleet, answerer: Script) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=IsolationBreached("Not opened.", by_credentials=True))
        ask()
        assert [breach.seen_in for breach in fleet.announcements.breaches] == [SeenIn.CREDENTIALS]

    @pytest.mark.parametrize("error", [NotReadyYet("The bus is down."), RuntimeError("no such bus")])
    def test_an_answer_stays_refused_and_is_counted_when_nobody_can_be_reported(
        self,
        ask: Ask,
        fleet: Fleet,
        answerer: Script,
        logs: Logs,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        def down(_breach: Breach) -> None:
            raise error

        monkeypatch.setattr(fleet.announcements, "isolation_breached", down)
        fleet.registry.create(tenant(SAKURA, knowledge_base_id="KB00000001"))
        answerer(KB00000001=ANSWER)
        document = problem_of(ask(authorizer={"tenant_id": "sakura", "user_id": "mina"}))
        assert (document["status"], document["code"]) == (403, "IsolationBreached")
        assert "The breach is not published" in [line["message"] for line in logs.lines]
        assert json.loads(capsys.readouterr().out)["IsolationBreaches"] == [1.0]


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
        self,
        ask: Ask,
        fleet: Fleet,
        answerer: Script,
        logs: Logs,
        error: KbfleetError,
        status: int,
        retry_after: bool,
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=error)
        answer = ask()
        document = problem_of(answer)
        assert (document["status"], document["code"]) == (status, type(error).__name__)
        assert "KB00000001" not in answer["body"]
        assert ("Retry-After" in answer["multiValueHeaders"]) == retry_after
        assert ("Try again" in document["detail"], "Trying again does not help" in document["detail"]) == (
            retry_after,
            not retry_after,
        )
        (line,) = (line for line in logs.lines if line["message"] == "The request was not served")
        assert line["request_id"] == document["request_id"]

    def test_what_was_never_foreseen_is_a_problem_without_details(
        self, ask: Ask, fleet: Fleet, answerer: Script, logs: Logs
    ) -> None:
        fleet.registry.create(tenant())
        answerer(KB00000001=ZeroDivisionError("internal"))
        document = problem_of(ask())
        assert document["status"] == 500
        assert document["detail"].startswith("Unexpected error. Trying again may help")
        (line,) = (line for line in logs.lines if line["level"] == "ERROR")
        assert "ZeroDivisionError" in line["exception"]
        assert line["request_id"] == document["request_id"]


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
