"""What every sync ledger does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from benchmarks.ingestion.ports import Ledger
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.deletions import AnsweredFrom, BucketCheck, Hold, HoldReason
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.sync import Priority, RunningJob, Sync, SyncResult, SyncState, Waiter
from kbfleet.ports import Glance, SyncLedger
from tests.support.clock import START
from tests.support.fakes import InMemorySyncLedger
from tests.support.samples import ACME, SAKURA, failure_reason, first_knowledge, ingestion_job, sync_result

INTERVAL = timedelta(seconds=10)
_ANSWERED_FROM = AnsweredFrom("DS00000002", 1000, START, START + timedelta(minutes=3))
FULL = Sync(
    ACME,
    state=SyncState.RUNNING,
    requested_generation=5,
    synced_generation=3,
    synced_at=START,
    synced_data_source_id="DS00000002",
    whole_since=START,
    priority=Priority.CHANGED,
    ready_at=START + timedelta(microseconds=123_456),
    pending_since=START + timedelta(seconds=1),
    kind=KnowledgeBaseKind.MANAGED,
    retries=2,
    postponed=1,
    job=RunningJob("JOB0000003", 4, JobStatus.IN_PROGRESS, START, START),
    result=SyncResult(
        Outcome.DEGRADED,
        3,
        START,
        "JOB0000001",
        (failure_reason("無視されました", "s3://b/a, b.md"),),
        "DS00000002",
        START,
        documents=1000,
        added=7,
    ),
    waiters=(Waiter("token-1", 4), Waiter("token-2", 5)),
    answered_from=_ANSWERED_FROM,
    check=BucketCheck(_ANSWERED_FROM, kept=600, deleted=5, added=1, after='["議事録.md", "v1", "KEPT"]'),
    checked_at=START,
    hold=Hold(HoldReason.DELETIONS, 400, 1000, START, START + timedelta(days=1)),
    accepted=400,
    after_hold=True,
)


def queued(tenant_id: TenantId, priority: Priority = Priority.CHANGED, age: float = 0) -> Sync:
    return Sync(tenant_id).requested(START - timedelta(seconds=age), priority)


def changed(
    ledger: SyncLedger,
    kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR,
    *,
    ready_by: datetime = START,
    limit: int = 9,
) -> list[str]:
    return [entry.tenant_id for entry in ledger.queued(kind, Priority.CHANGED, ready_by=ready_by, limit=limit)]


class SyncLedgerSuite:
    @pytest.fixture
    def ledger(self) -> SyncLedger:
        raise NotImplementedError

    def test_a_tenant_that_never_asked_has_an_empty_entry(self, ledger: SyncLedger) -> None:
        assert ledger.find(first_knowledge(ACME)) == Sync(ACME)

    def test_each_knowledge_of_each_life_has_an_entry_and_a_place_of_its_own(self, ledger: SyncLedger) -> None:
        life, again = Life(ACME), Life(ACME, 2)
        known = [Knowledge(life), Knowledge(life, 2), Knowledge(again), Knowledge(again, 12), Knowledge(Life(ACME, 12))]
        for number, each in enumerate(known, start=1):
            assert ledger.find(each) == Sync.never_stored(each)
            entry = replace(Sync.never_stored(each), synced_generation=number)
            ledger.save(entry.requested(START - timedelta(seconds=number), Priority.CHANGED))
        assert [ledger.find(each).synced_generation for each in known] == [1, 2, 3, 4, 5]
        assert [entry.of_knowledge for entry in ledger.glance(9).entries] == known[::-1]
        ledger.save(ledger.find(known[2]).started(ingestion_job(JobStatus.STARTING), 9))
        assert [entry.of_knowledge for entry in ledger.running()] == [known[2]]
        assert [entry.state for entry in ledger.glance(9).entries].count(SyncState.QUEUED) == 4

    def test_an_entry_comes_back_as_it_was_stored_under_the_next_version(self, ledger: SyncLedger) -> None:
        stored = ledger.save(FULL)
        assert stored == replace(FULL, version=1)
        assert ledger.find(first_knowledge(ACME)) == stored
        assert ledger.save(stored).version == 2

    def test_many_entries_are_read_in_the_order_in_which_they_are_asked_for(self, ledger: SyncLedger) -> None:
        wanted = [first_knowledge(TenantId(f"tenant-{number:03}")) for number in range(250)]
        for number in (0, 99, 100, 249):
            ledger.save(replace(Sync.never_stored(wanted[number]), synced_generation=number + 1))
        found = list(ledger.entries(reversed(wanted)))
        assert found == [ledger.find(each) for each in reversed(wanted)]
        assert [entry.synced_generation for entry in found if entry.version] == [250, 101, 100, 1]
        assert list(ledger.entries([])) == []

    def test_who_read_an_older_version_may_not_store(self, ledger: SyncLedger) -> None:
        first = ledger.save(queued(ACME))
        second = ledger.save(first.requested(START, Priority.REQUESTED))
        with pytest.raises(ConcurrentUpdate):
            ledger.save(first.requested(START, Priority.SCHEDULED))
        assert ledger.find(first_knowledge(ACME)) == second

    def test_of_two_first_entries_one_is_stored(self, ledger: SyncLedger) -> None:
        first = ledger.save(queued(ACME))
        with pytest.raises(ConcurrentUpdate):
            ledger.save(queued(ACME, Priority.REQUESTED))
        assert ledger.find(first_knowledge(ACME)) == first

    def test_of_a_kind_and_priority_the_earliest_are_listed_first(self, ledger: SyncLedger) -> None:
        entries = [
            queued(TenantId("scheduled"), Priority.SCHEDULED, age=1_000),
            queued(TenantId("new-change"), age=1),
            queued(TenantId("old-change-b"), age=100),
            queued(TenantId("old-change-a"), age=100),
            queued(TenantId("requested"), Priority.REQUESTED),
            queued(TenantId("managed"), age=100).of_kind(KnowledgeBaseKind.MANAGED),
            queued(TenantId("not-yet"), age=-1),
        ]
        for entry in entries:
            ledger.save(entry)
        assert changed(ledger) == ["old-change-a", "old-change-b", "new-change"]
        assert changed(ledger, limit=2) == ["old-change-a", "old-change-b"]
        assert changed(ledger, KnowledgeBaseKind.MANAGED) == ["managed"]
        assert changed(ledger, ready_by=START + timedelta(seconds=1))[-1] == "not-yet"
        requested = ledger.queued(KnowledgeBaseKind.VECTOR, Priority.REQUESTED, ready_by=START, limit=9)
        assert [entry.tenant_id for entry in requested] == ["requested"]

    def test_an_entry_is_listed_by_its_state_and_not_at_all_when_idle(self, ledger: SyncLedger) -> None:
        waiting = ledger.save(queued(ACME))
        other = ledger.save(queued(SAKURA))
        assert changed(ledger) == [ACME, SAKURA]
        assert list(ledger.running()) == []
        running = ledger.save(waiting.started(ingestion_job(JobStatus.STARTING), 1))
        assert changed(ledger) == [SAKURA]
        assert list(ledger.running()) == [running]
        assert ledger.glance(9) == Glance([running, other], complete=True)
        ledger.save(running.ended(sync_result(generation=1), START))
        assert ledger.glance(9) == Glance([other], complete=True)

    def test_one_that_is_held_is_listed_as_that_until_it_is_queued_or_let_through(self, ledger: SyncLedger) -> None:
        hold = Hold(HoldReason.EMPTY, 7, 7, START, START)
        held = ledger.save(replace(Sync(ACME), hold=hold))
        later = ledger.save(replace(Sync(SAKURA, life=2), hold=hold))
        assert sorted(ledger.held(), key=lambda entry: entry.tenant_id) == [held, later]
        assert ledger.glance(9) == Glance([], complete=True)
        checked = ledger.save(held.requested(START, Priority.REQUESTED))
        assert list(ledger.held()) == [later]
        assert ledger.glance(9) == Glance([checked], complete=True)
        ledger.save(replace(later, hold=None))
        assert not list(ledger.held())

    def test_a_glance_shows_the_running_ones_first_and_says_whether_there_is_more(self, ledger: SyncLedger) -> None:
        for number in range(4):
            ledger.save(queued(TenantId(f"waiting-{number}"), Priority.REQUESTED, age=9 - number))
        running = ledger.save(queued(ACME).started(ingestion_job(JobStatus.STARTING), 1))
        glance = ledger.glance(3)
        assert [entry.tenant_id for entry in glance.entries] == [ACME, "waiting-0", "waiting-1"]
        assert glance.entries[0] == running
        assert not glance.complete
        assert ledger.glance(5).complete

    def test_nothing_is_going_on_at_first(self, ledger: SyncLedger) -> None:
        assert ledger.glance(3) == Glance([], complete=True)

    def test_a_glance_is_complete_however_large_the_entries_are(self, ledger: SyncLedger) -> None:
        # 40 entries of 30 kB are more than the megabyte that DynamoDB gives in one page.
        for number in range(40):
            entry = queued(TenantId(f"tenant-{number}"), age=100 - number)
            ledger.save(replace(entry, waiters=(Waiter("t" * 30_000, 1),)))
        glance = ledger.glance(50)
        assert [entry.tenant_id for entry in glance.entries] == [f"tenant-{number}" for number in range(40)]
        assert glance.complete

    def test_what_is_listed_may_be_changed_while_going_through_it(self, ledger: SyncLedger) -> None:
        for tenant_id in (ACME, SAKURA):
            ledger.save(queued(tenant_id).started(ingestion_job(JobStatus.STARTING), 1))
        for entry in ledger.running():
            ledger.save(entry.progressed(ingestion_job(JobStatus.IN_PROGRESS), START))
        assert [entry.tenant_id for entry in ledger.running()] == [ACME, SAKURA]

    def test_one_start_can_be_claimed_in_an_interval(self, ledger: SyncLedger) -> None:
        assert ledger.claim_start(START, INTERVAL)
        assert not ledger.claim_start(START, INTERVAL)
        assert not ledger.claim_start(START + INTERVAL - timedelta(milliseconds=1), INTERVAL)
        assert ledger.claim_start(START + INTERVAL, INTERVAL)
        assert not ledger.claim_start(START + INTERVAL, INTERVAL)

    def test_a_refused_claim_does_not_postpone_the_next(self, ledger: SyncLedger) -> None:
        ledger.claim_start(START, INTERVAL)
        ledger.claim_start(START + INTERVAL / 2, INTERVAL)
        assert ledger.claim_start(START + INTERVAL, INTERVAL)


class TestInMemorySyncLedger(SyncLedgerSuite):
    @pytest.fixture
    def ledger(self) -> SyncLedger:
        return InMemorySyncLedger()


class TestLedgerOfTheBenchmark(SyncLedgerSuite):
    @pytest.fixture
    def ledger(self) -> SyncLedger:
        return Ledger(Counter())


class TestDynamoDBSyncLedger(SyncLedgerSuite):
    @pytest.fixture
    def ledger(self, table: Table) -> SyncLedger:
        return DynamoDBSyncLedger(table)

    def test_many_entries_are_read_in_few_calls_whatever_the_table_leaves_out_of_an_answer(
        self, table: Table, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = DynamoDBSyncLedger(table)
        wanted = [first_knowledge(TenantId(f"tenant-{number:03}")) for number in range(150)]
        for knowledge in wanted:
            ledger.save(replace(Sync.never_stored(knowledge), synced_generation=7))
        calls: list[int] = []
        answer_all = table.client.batch_get_item

        def answer_a_part(RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
            keys = RequestItems[table.name]["Keys"]
            calls.append(len(keys))
            answer = answer_all(RequestItems={table.name: {"Keys": keys[:60], "ConsistentRead": True}})
            left = {table.name: {"Keys": keys[60:]}} if keys[60:] else {}
            return {**answer, "UnprocessedKeys": left}

        monkeypatch.setattr(table.client, "batch_get_item", answer_a_part)
        assert [entry.synced_generation for entry in ledger.entries(wanted)] == [7] * 150
        assert calls == [100, 40, 50]

    def test_a_table_that_gives_nothing_of_what_it_is_asked_for_is_no_endless_wait(
        self, table: Table, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse = {"Responses": {}, "UnprocessedKeys": {table.name: {"Keys": [{"PK": {"S": "x"}, "SK": {"S": "y"}}]}}}
        monkeypatch.setattr(table.client, "batch_get_item", lambda **_: refuse)
        with pytest.raises(Throttled, match="none of 1 records"):
            list(DynamoDBSyncLedger(table).entries([first_knowledge(ACME)]))

    def test_idle_tenants_are_not_in_the_index_so_that_a_tick_costs_nothing_for_them(self, table: Table) -> None:
        ledger = DynamoDBSyncLedger(table)
        entry = ledger.save(queued(ACME))
        assert len(table.client.scan(TableName=table.name, IndexName="SyncQueue")["Items"]) == 1
        ledger.save(entry.ended(sync_result(generation=1), START))
        assert table.client.scan(TableName=table.name, IndexName="SyncQueue")["Items"] == []
