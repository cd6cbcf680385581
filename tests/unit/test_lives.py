"""Whatever comes late from a life of a tenant that is over reaches nothing of the next one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kbfleet.adapters.sessions import SignedSessions
from kbfleet.contracts.documents import RetryRunRequest
from kbfleet.contracts.events import JobStateChangeDetail, TenantStateChangeDetail
from kbfleet.domain.answer import (
    AnswerOutcome,
    Asker,
    AskUsage,
    Citation,
    GeneratedAnswer,
    Inquiry,
    Question,
    Source,
    Voucher,
)
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import InvalidInput, IsolationBreached, LeaseLost, TenantOffboarded
from kbfleet.domain.failed_documents import DocumentRetry, FailedDocument, IngestedStatus
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.names import MAX_LIFE, DataSourceReference, Knowledge, Life, TenantId
from kbfleet.domain.sync import DocumentChange, Priority, Sync, SyncState, Waiter
from kbfleet.domain.tenant import ProvisioningRequest, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage import AnsweredQuestion, UsagePeriod
from kbfleet.usecases import provisioning
from kbfleet.usecases.asking import AskableTenants, ask
from kbfleet.usecases.document_changes import ChangeBatch
from kbfleet.usecases.ingestion import note_changes
from kbfleet.usecases.usage import count_usage
from tests.support.clock import START
from tests.support.fakes import FailedTask, InMemoryAskableTenantRecords, InMemoryUsageRecords, ScriptedAnswerer
from tests.support.fleet import DEBOUNCE, LEASE, Fleet
from tests.support.samples import (
    ACME,
    EXECUTION,
    NAMES,
    SAKURA,
    failure_reason,
    first_knowledge,
    ingestion_job,
    job_state_change,
    sync_result,
    tenant,
)

BEFORE, NOW = Life(ACME, 1), Life(ACME, 2)
BEFORE_KNOWN, NOW_KNOWN = Knowledge(BEFORE), Knowledge(NOW)
OLD_BUCKET, NEW_BUCKET = NAMES.bucket(BEFORE), NAMES.bucket(NOW)
RECEIPT = ErasureReceipt(START, START, EXECUTION, ())


@pytest.fixture
def fleet() -> Fleet:
    """Its tenant is in its second life."""
    fleet = Fleet()
    first = fleet.add(ACME)
    fleet.knowledge_bases.delete(first.knowledge_base_id)
    made = fleet.knowledge_bases.create(
        NAMES.knowledge_base(NOW_KNOWN),
        role_arn=fleet.service_roles.arn(NAMES.service_role(NOW)),
        configuration=fleet.store.knowledge_base_configuration(fleet.store.ensure(NOW_KNOWN)),
        tags=NAMES.tags(NOW),
        client_token="second",
    )
    fleet.clock.advance(83)
    source = fleet.knowledge_bases.create_data_source(
        made.knowledge_base_id,
        NAMES.data_source(),
        configuration=fleet.store.data_source_configuration(NEW_BUCKET),
        client_token="second",
    )
    record = fleet.registry.get(ACME)
    second = replace(
        record,
        life=2,
        fence=record.fence + 3,
        bucket_name=NEW_BUCKET,
        knowledge_base_id=made.knowledge_base_id,
        data_source_id=source.data_source_id,
    )
    fleet.registry.replace(second, fence=record.fence)
    return fleet


def late_entry(**fields: object) -> Sync:
    """What a process of the first life has written that was late."""
    entry = Sync(ACME).requested(START, Priority.REQUESTED, "token")
    return replace(entry, **fields)  # type: ignore[arg-type]  # the fields are checked where the test names them


class TestTheRecord:
    def test_the_tombstone_keeps_the_number_and_the_next_provisioning_adds_one(self) -> None:
        tombstone = tenant(life=7, status=TenantStatus.OFFBOARDING).offboarded(RECEIPT, START)
        assert (tombstone.life, tombstone.knowledge) == (7, 1)
        assert tombstone.state_change.life == 7
        fleet = Fleet()
        fleet.registry.create(tombstone)
        assert reserved(fleet).this_life == Life(ACME, 8)
        assert reserved(fleet).this_life == Life(ACME, 8)  # the same execution again

    def test_a_new_tenant_is_in_its_first(self) -> None:
        assert reserved(Fleet()).live_knowledge == first_knowledge("acme")

    def test_an_id_whose_numbers_are_used_up_is_refused_saying_what_to_do(self) -> None:
        fleet = Fleet()
        fleet.registry.create(tenant(life=MAX_LIFE, status=TenantStatus.OFFBOARDED))
        with pytest.raises(InvalidInput, match="provisioned 999999 times") as refused:
            reserved(fleet)
        assert refused.value.remedy == "Use another tenant id."

    def test_an_execution_of_the_life_before_writes_nothing(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        with pytest.raises(LeaseLost):
            record.held_under(record.fence - 1)


def reserved(fleet: Fleet) -> Tenant:
    fleet.executions.begin(EXECUTION)
    provisioning.reserve_tenant(
        ProvisioningRequest(ACME),
        execution=EXECUTION,
        registry=fleet.registry,
        executions=fleet.executions,
        stores=fleet.stores,
        profiles=fleet.profiles,
        announcements=fleet.announcements,
        clock=fleet.clock,
        lease=LEASE,
        ready_within=timedelta(minutes=30),
    )
    return fleet.registry.get(ACME)


class TestTheLedger:
    def test_a_change_in_the_bucket_of_the_life_before_raises_nothing(self, fleet: Fleet) -> None:
        batch = ChangeBatch(fleet.registry, fleet.ledger, fleet.ticks, fleet.clock, NAMES, DEBOUNCE)
        assert not batch.note(DocumentChange(OLD_BUCKET, deleted=True))
        with pytest.raises(TenantOffboarded):
            batch.note(DocumentChange(OLD_BUCKET, deleted=False))
        assert not fleet.ledger.writes
        assert batch.note(DocumentChange(NEW_BUCKET, deleted=False))
        assert fleet.ledger.find(NOW_KNOWN).requested_generation == 1
        assert fleet.ledger.find(BEFORE_KNOWN).version == 0

    def test_nor_does_one_in_a_bucket_of_a_life_that_is_yet_to_come(self, fleet: Fleet) -> None:
        with pytest.raises(TenantOffboarded):
            note_changes(
                Life(ACME, 3),
                registry=fleet.registry,
                ledger=fleet.ledger,
                ticks=fleet.ticks,
                clock=fleet.clock,
                debounce=DEBOUNCE,
            )

    def test_what_is_requested_is_of_the_present_life(self, fleet: Fleet) -> None:
        assert fleet.request(ACME).of_knowledge == NOW_KNOWN
        fleet.tick_until_idle()
        assert fleet.ledger.find(NOW_KNOWN).synced_generation == 1
        assert fleet.ledger.find(BEFORE_KNOWN).version == 0
        assert [change.life for change in fleet.history.latest(NOW, 9)] == [2]
        assert fleet.history.latest(BEFORE, 9) == []

    @pytest.mark.parametrize("gone", [False, True])
    def test_what_a_late_process_has_queued_starts_no_job_and_is_laid_to_rest(self, fleet: Fleet, gone: bool) -> None:
        if gone:
            record = fleet.registry.get(ACME)
            tombstone = replace(record, status=TenantStatus.OFFBOARDED, life=1, data_source_id=None)
            fleet.registry.replace(tombstone, fence=record.fence)
        fleet.ledger.save(late_entry())
        before = fleet.ledger.find(NOW_KNOWN)
        fleet.tick_until_idle(at_most=9)
        assert fleet.announcements.job_state_changes == []
        rest = fleet.ledger.find(BEFORE_KNOWN)
        assert (rest.state, rest.waiters) == (SyncState.IDLE, ())
        assert fleet.callbacks.answers == [FailedTask("token", "TenantOffboarded", "Tenant acme is offboarded.")]
        assert fleet.ledger.find(NOW_KNOWN) == before

    def test_nor_is_a_job_followed_that_ran_then_and_its_place_is_free(self, fleet: Fleet) -> None:
        fleet.ledger.save(late_entry().started(ingestion_job(JobStatus.IN_PROGRESS), 1))
        fleet.request(ACME)
        fleet.tick_until_idle(at_most=60)
        assert fleet.ledger.find(BEFORE_KNOWN).job is None
        assert [task.task_token for task in fleet.callbacks.answers] == ["token"]
        assert fleet.ledger.find(NOW_KNOWN).synced_generation == 1
        assert fleet.history.latest(BEFORE, 9) == []

    def test_both_lives_have_entries_that_know_nothing_of_each_other(self, fleet: Fleet) -> None:
        old = fleet.ledger.save(late_entry(waiters=(Waiter("old", 1),)))
        new = fleet.ledger.save(Sync.never_stored(NOW_KNOWN).requested(START, Priority.REQUESTED, "new"))
        fleet.ledger.save(old.ended(sync_result(Outcome.FAILED), START))
        assert fleet.ledger.find(NOW_KNOWN) == new


class TestTheEndOfAJob:
    JOB = job_state_change(outcome=Outcome.DEGRADED, failure_reasons=(failure_reason("x", f"s3://{OLD_BUCKET}/a.md"),))

    def test_of_the_life_before_collects_nothing(self, fleet: Fleet) -> None:
        fleet.bucket_contents.put(f"s3://{OLD_BUCKET}/a.md")
        assert fleet.failure_collector.collect(self.JOB) is None
        assert fleet.announcements.failure_reports == []
        assert list(fleet.failed_documents.all(NOW)) == list(fleet.failed_documents.all(BEFORE)) == []

    def test_of_this_one_does(self, fleet: Fleet) -> None:
        record, uri = fleet.registry.get(ACME), f"s3://{NEW_BUCKET}/a.md"
        fleet.bucket_contents.put(uri)
        fleet.ingested_documents.set(uri, IngestedStatus.FAILED)
        source = DataSourceReference(str(record.knowledge_base_id), str(record.data_source_id))
        job = replace(self.JOB, life=2, data_source=source, failure_reasons=(failure_reason("x", uri),))
        assert fleet.failure_collector.collect(job) is not None
        assert [document.uri for document in fleet.failed_documents.all(NOW)] == [uri]
        assert list(fleet.failed_documents.all(BEFORE)) == []

    def test_is_told_apart_from_that_of_another_life(self) -> None:
        refused = job_state_change(ingestion_job_id=None)
        assert refused.identity != replace(refused, life=2).identity

    def test_is_of_the_first_life_where_the_event_does_not_say(self) -> None:
        detail = JobStateChangeDetail.from_domain(replace(self.JOB, life=2))
        assert detail.to_domain().of_life == NOW
        told = detail.model_dump(mode="json")
        del told["life"]
        assert JobStateChangeDetail.model_validate(told).to_domain().of_life == BEFORE


class TestARetry:
    def test_of_the_life_before_sends_nothing(self, fleet: Fleet) -> None:
        retry = fleet.document_retries.save(DocumentRetry(ACME, "then", START))
        fleet.failed_documents.save(BEFORE, FailedDocument(f"s3://{OLD_BUCKET}/a.md", "x", START, START))
        ended = fleet.retry_runner.run(BEFORE, retry.version)
        assert ended is not None
        assert "offboarded" in ended.stopped
        assert fleet.document_retries.find(NOW) is None

    def test_run_that_was_asked_for_then_finds_none_of_this_life(self, fleet: Fleet) -> None:
        fleet.document_retries.save(DocumentRetry(ACME, "now", START, life=2))
        assert fleet.retry_runner.run(BEFORE, 1) is None
        assert RetryRunRequest.model_validate({"tenant_id": "acme", "version": 1}).life == 1


class TestAsking:
    ASKER = Asker(ACME, Voucher.BACK_END, None)

    def ask(self, fleet: Fleet, bucket: str, session: str | None = None) -> object:
        source = Source("a.md", f"s3://{bucket}/a.md", "text")
        answer = GeneratedAnswer("Text.", (Citation("Text.", 0, 5, (source,)),), conversation="c")
        answerer = ScriptedAnswerer({str(fleet.registry.get(ACME).knowledge_base_id): answer})
        records = InMemoryAskableTenantRecords(fleet.registry, fleet.ledger)
        return ask(
            self.ASKER,
            Inquiry(Question("What?")),
            session,
            tenants=AskableTenants(records, fleet.clock, timedelta(seconds=15)),
            answerers=lambda *_: answerer,
            sessions=SignedSessions(lambda: "k" * 64),
            names=NAMES,
            breached=lambda _tenant, _error: None,
        )

    def test_only_documents_in_the_bucket_of_this_life_answer(self, fleet: Fleet) -> None:
        assert self.ask(fleet, NEW_BUCKET)
        with pytest.raises(IsolationBreached):
            self.ask(fleet, OLD_BUCKET)

    @pytest.mark.parametrize("number", [1, 2, 3, MAX_LIFE])
    def test_a_wrong_number_in_the_record_leads_to_no_other_tenant(self, fleet: Fleet, number: int) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, life=number), fence=record.fence)
        for other in (Life(TenantId("acme-2")), Life(SAKURA, number)):
            with pytest.raises(IsolationBreached):
                self.ask(fleet, NAMES.bucket(other))


class TestUsage:
    def test_of_each_life_is_counted_by_itself(self) -> None:
        records, noon = InMemoryUsageRecords(), datetime(2026, 11, 22, 12, tzinfo=UTC)
        used = AskUsage(4, 2, None, None, AnswerOutcome.ANSWERED)
        questions = [AnsweredQuestion(ACME, noon, used, life) for life in (1, 2, 2)]
        count_usage(questions, delivery="one", records=records, clock=Fleet().clock)
        period = UsagePeriod(noon.date(), noon.date())
        assert [[day.counts.questions for day in records.of_life(life, period)] for life in (BEFORE, NOW)] == [[1], [2]]


def test_what_is_published_of_a_tenant_says_its_life() -> None:
    assert TenantStateChangeDetail.from_domain(tenant(life=3).state_change).life == 3
