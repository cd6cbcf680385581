"""Questions: who may ask, what is remembered, and how fresh an answer says it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.adapters.sessions import SignedSessions
from kbfleet.domain.answer import (
    Answer,
    AskableTenant,
    Asker,
    Citation,
    Freshness,
    GeneratedAnswer,
    Inquiry,
    Question,
    Source,
    Voucher,
)
from kbfleet.domain.caller import UserId
from kbfleet.domain.errors import (
    InvalidInput,
    IsolationBreached,
    SessionRefused,
    TenantFailed,
    TenantNotActive,
    TenantNotFound,
    TenantOffboarded,
    TenantOffboarding,
    TenantSuspended,
    Throttled,
)
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.asking import AskableTenants, ask
from tests.support.clock import START
from tests.support.fakes import (
    FakeClock,
    InMemoryAskableTenantRecords,
    InMemorySyncLedger,
    InMemoryTenantRegistry,
    ScriptedAnswerer,
)
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, first_knowledge, tenant

QUESTION = Question("How long is the warranty?")
ANSWER = GeneratedAnswer("Two years.", ())
REMEMBERED_FOR = timedelta(seconds=15)
MINA = Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId("mina"))
SESSIONS = SignedSessions(lambda: "k" * 64)


class CountingRegistry(InMemoryTenantRegistry):
    reads = 0

    def find(self, tenant_id: TenantId) -> Tenant | None:
        self.reads += 1
        return super().find(tenant_id)


def askable(registry: InMemoryTenantRegistry, clock: FakeClock | None = None) -> AskableTenants:
    records = InMemoryAskableTenantRecords(registry, InMemorySyncLedger())
    return AskableTenants(records, clock or FakeClock(), REMEMBERED_FOR)


class TestQuestions:
    @given(st.text(min_size=1, max_size=1_000).filter(lambda text: text.strip() != ""))
    def test_any_text_of_up_to_a_thousand_characters_is_a_question(self, text: str) -> None:
        assert Question(text) == text.strip()

    @pytest.mark.parametrize("text", ["", " ", "\n\t\u3000", "x" * 1_001, "長" * 1_001, None, 5, ["text"]])
    def test_anything_else_is_refused_naming_the_field(self, text: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            Question(text)
        assert refused.value.field == "question"

    def test_a_refusal_never_repeats_the_question(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            Question("secret " * 200)
        assert "secret" not in str(refused.value)


def ask_as(
    asker: Asker,
    registry: InMemoryTenantRegistry,
    answerer: ScriptedAnswerer,
    session: str | None = None,
    breached: Callable[[AskableTenant, IsolationBreached], None] = lambda *_: None,
) -> Answer:
    return ask(
        asker,
        Inquiry(QUESTION),
        session,
        tenants=askable(registry),
        answerers=lambda *_: answerer,
        sessions=SESSIONS,
        names=NAMES,
        breached=breached,
    )


class TestAsking:
    def test_the_question_goes_to_the_tenants_own_knowledge_base(self) -> None:
        registry = InMemoryTenantRegistry(tenant(knowledge_base_id="KBACME"), tenant(SAKURA, knowledge_base_id="KBSAK"))
        answerer = ScriptedAnswerer({"KBACME": ANSWER, "KBSAK": GeneratedAnswer("二年です。", ())})
        answer = ask_as(Asker(SAKURA, Voucher.IDENTITY_PROVIDER, UserId("mina")), registry, answerer)
        assert answer.generated.text == "二年です。"
        assert answerer.asked == [("KBSAK", QUESTION)]

    def test_an_unknown_tenant_cannot_ask(self) -> None:
        answerer = ScriptedAnswerer({})
        with pytest.raises(TenantNotFound):
            ask_as(MINA, InMemoryTenantRegistry(), answerer)
        assert answerer.asked == []

    @pytest.mark.parametrize(
        ("inactive", "error"),
        [
            (tenant(status=TenantStatus.PROVISIONING), TenantNotActive),
            (tenant(status=TenantStatus.FAILED), TenantFailed),
            (tenant(status=TenantStatus.SUSPENDED), TenantSuspended),
            (tenant(status=TenantStatus.OFFBOARDING), TenantOffboarding),
            (tenant(status=TenantStatus.OFFBOARDED), TenantOffboarded),
            (tenant(knowledge_base_id=None), TenantNotActive),
        ],
    )
    def test_a_tenant_that_is_not_active_cannot_ask_and_learns_why(
        self, inactive: Tenant, error: type[TenantNotActive]
    ) -> None:
        answerer = ScriptedAnswerer({})
        with pytest.raises(TenantNotActive, match="acme") as refused:
            ask_as(MINA, InMemoryTenantRegistry(inactive), answerer)
        assert type(refused.value) is error
        assert answerer.asked == []

    def test_what_the_answerer_raises_is_the_callers_to_handle(self) -> None:
        answerer = ScriptedAnswerer({"KB00000001": Throttled("too fast")})
        with pytest.raises(Throttled):
            ask_as(MINA, InMemoryTenantRegistry(tenant()), answerer)

    def test_an_answer_from_anothers_documents_is_not_given(self) -> None:
        source = Source("a.md", f"s3://{NAMES.bucket(Life(SAKURA))}/a.md", "secret")
        answer = GeneratedAnswer("Secret.", (Citation("Secret.", 0, 7, (source,)),))
        heard: list[tuple[str, IsolationBreached]] = []
        with pytest.raises(IsolationBreached) as breached:
            ask_as(
                MINA,
                InMemoryTenantRegistry(tenant()),
                ScriptedAnswerer({"KB00000001": answer}),
                breached=lambda of, error: heard.append((of.knowledge_base_id, error)),
            )
        assert "secret" not in str(breached.value).lower()
        assert heard == [("KB00000001", breached.value)]


class TestSessions:
    def test_the_session_of_an_answer_takes_its_conversation_up(self) -> None:
        answerer = ScriptedAnswerer({"KB00000001": replace(ANSWER, conversation="c1")})
        first = ask_as(MINA, InMemoryTenantRegistry(tenant()), answerer)
        second = ask_as(MINA, InMemoryTenantRegistry(tenant()), answerer, first.session)
        assert [inquiry.conversation for inquiry in answerer.inquiries] == [None, "c1"]
        assert second.session == first.session

    @pytest.mark.parametrize("other", [replace(MINA, user_id=UserId("ken")), replace(MINA, tenant_id=SAKURA)])
    def test_a_session_is_good_for_its_asker_only(self, other: Asker) -> None:
        answerer = ScriptedAnswerer({"KB00000001": replace(ANSWER, conversation="c1")})
        registry = InMemoryTenantRegistry(tenant(), tenant(SAKURA))
        session = ask_as(MINA, registry, answerer).session
        with pytest.raises(SessionRefused):
            ask_as(other, registry, answerer, session)
        assert len(answerer.asked) == 1


class TestRemembering:
    def test_a_record_is_read_once_within_the_time_and_again_after_it(self) -> None:
        registry, clock = CountingRegistry(tenant()), FakeClock()
        tenants = askable(registry, clock)
        for _ in range(3):
            tenants.get(ACME)
            clock.advance(REMEMBERED_FOR.total_seconds() / 4)
        assert registry.reads == 1
        clock.advance(REMEMBERED_FOR.total_seconds() / 4)
        tenants.get(ACME)
        assert registry.reads == 2

    def test_a_time_of_nothing_remembers_nothing(self) -> None:
        registry = CountingRegistry(tenant())
        records = InMemoryAskableTenantRecords(registry, InMemorySyncLedger())
        tenants = AskableTenants(records, FakeClock(), timedelta(0))
        tenants.get(ACME)
        tenants.get(ACME)
        assert registry.reads == 2

    def test_a_tenant_that_stops_being_active_is_refused_once_the_time_is_over(self) -> None:
        registry, clock = InMemoryTenantRegistry(tenant()), FakeClock()
        tenants = askable(registry, clock)
        tenants.get(ACME)
        registry.replace(tenant(status=TenantStatus.FAILED), fence=1)
        clock.advance(REMEMBERED_FOR.total_seconds())
        with pytest.raises(TenantNotActive):
            tenants.get(ACME)

    def test_a_refusal_is_not_remembered(self) -> None:
        registry = InMemoryTenantRegistry(tenant(status=TenantStatus.PROVISIONING))
        tenants = askable(registry)
        with pytest.raises(TenantNotActive):
            tenants.get(ACME)
        registry.replace(tenant(), fence=1)
        assert tenants.get(ACME).knowledge_base_id == "KB00000001"

    def test_tenants_are_remembered_apart(self) -> None:
        tenants = askable(InMemoryTenantRegistry(tenant(), tenant(SAKURA, knowledge_base_id="KBSAKURA01")))
        assert tenants.get(ACME).knowledge_base_id != tenants.get(SAKURA).knowledge_base_id


class TestFreshness:
    def test_a_tenant_that_was_never_synced_says_so(self) -> None:
        tenants = askable(InMemoryTenantRegistry(tenant()))
        assert tenants.get(ACME).freshness == Freshness(None, False)

    def test_an_answer_says_when_the_documents_were_synced_and_whether_changes_wait(self) -> None:
        fleet = Fleet()
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick_until_idle()
        synced_at = fleet.ledger.find(first_knowledge(ACME)).synced_at
        records = InMemoryAskableTenantRecords(fleet.registry, fleet.ledger)
        tenants = AskableTenants(records, fleet.clock, timedelta(0))
        assert tenants.get(ACME).freshness == Freshness(synced_at, False)
        assert synced_at is not None
        assert synced_at > START
        fleet.request(ACME)
        assert tenants.get(ACME).freshness == Freshness(synced_at, True)
