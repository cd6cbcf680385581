"""The promise of the sync ledger, searched for holes: an update can wait, but it cannot be lost.

Tenants' documents change, ticks come at any time, run beside each other and die between any two calls of their ports,
jobs end in every way, and people start jobs by hand. Buckets are emptied, and filled again. Once ticks come again,
every change has been ingested by a job that started after it, or people were notified that it was not; and no job was
started that would have emptied an index unasked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Set
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kbfleet.domain.deletions import CHECK_STANDS, AnsweredFrom
from kbfleet.domain.errors import NotReadyYet, ResourceConflict
from kbfleet.domain.ingestion_job import IngestionJob, JobStatus, Outcome, Statistics
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.ports import ComparedPage
from tests.support.fakes import InMemoryBucketContents, InMemoryKnowledgeBases, InMemorySyncLedger, JobCourse
from tests.support.fleet import Fleet
from tests.support.interruptions import Died, PortCalls, die
from tests.support.samples import NAMES, first_knowledge

TENANTS = [TenantId(f"tenant-{number}") for number in range(7)]
FEW = TENANTS[:2]
"""Most of what happens, happens to these, so that it meets."""

_short: dict[str, Any] = {"starting_for": timedelta(seconds=10), "running_for": timedelta(seconds=20)}
COURSES = (
    JobCourse(**_short),
    JobCourse(statistics=Statistics(scanned=100), **_short),
    JobCourse(statistics=Statistics(scanned=2, new=1, failed=1), **_short),
    JobCourse(JobStatus.FAILED, **_short),
    JobCourse(JobStatus.STOPPED, **_short),
)

tenants = st.sampled_from(FEW)
moments = st.integers(0, 20)
durations = st.sampled_from([1, 5, 10, 31, 120, 700])  # the last is longer than client tokens are remembered


class ReadBuckets(InMemoryKnowledgeBases):
    """Notes which state of the documents each job has read; the worst case is that it reads when it starts."""

    def __init__(self, fleet: Fleet, documents: dict[DataSourceReference, int]) -> None:
        super().__init__(fleet.clock)
        self._documents = documents
        self.read: dict[str, int] = {}
        self.starting: Callable[[DataSourceReference], None] = lambda _: None

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        job = super().start_ingestion(data_source, client_token=client_token)
        if job.ingestion_job_id not in self.read:
            self.starting(data_source)
        return self._noted(data_source, job)

    def start_in_console(self, data_source: DataSourceReference) -> IngestionJob:
        return self._noted(data_source, super().start_in_console(data_source))

    def _noted(self, data_source: DataSourceReference, job: IngestionJob) -> IngestionJob:
        self.read.setdefault(job.ingestion_job_id, self._documents[data_source])
        return job


class FollowedJobs(InMemorySyncLedger):
    """Notes every state of a job that was ever stored."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: set[tuple[str, JobStatus]] = set()

    def save(self, sync: Sync) -> Sync:
        stored = super().save(sync)
        if stored.job is not None:
            self.followed.add((stored.job.ingestion_job_id, stored.job.status))
        return stored


class EmptiedBuckets(InMemoryBucketContents):
    """Nothing is in those of `emptied`, and all that was read in the others."""

    def __init__(self) -> None:
        super().__init__()
        self.emptied: dict[str, datetime] = {}

    def compared(self, bucket: str, answered_from: AnsweredFrom, left_out: Set[str], after: str | None) -> ComparedPage:
        gone = bucket in self.emptied
        return ComparedPage(0 if gone else answered_from.documents, answered_from.documents if gone else 0, 0, after)


class LedgerProtocol(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[DataSourceReference, int] = {}
        self.fleet = Fleet()
        self.knowledge_bases = self.fleet.knowledge_bases = ReadBuckets(self.fleet, self.documents)
        self.knowledge_bases.starting = self._must_not_empty
        self.ledger = self.fleet.ledger = FollowedJobs()
        self.buckets = self.fleet.bucket_contents = EmptiedBuckets()
        self.data_sources: dict[TenantId, DataSourceReference] = {}
        self.documents_at: dict[TenantId, dict[int, int]] = defaultdict(dict)
        self.tokens: list[str] = []
        self.unavailable: set[TenantId] = set()
        self.time_passed_within_a_tick = False

    @initialize()
    def seven_tenants(self) -> None:
        for tenant_id in TENANTS:
            self.data_sources[tenant_id] = self.fleet.add(tenant_id)
            self.documents[self.data_sources[tenant_id]] = 0

    # --- what happens ---

    @rule(tenant_id=tenants, priority=st.sampled_from(Priority))
    def documents_change(self, tenant_id: TenantId, priority: Priority) -> None:
        self.documents[self.data_sources[tenant_id]] += 1
        self._noted(tenant_id, self.fleet.request(tenant_id, priority))

    @rule(priority=st.sampled_from(Priority))
    def everybodys_documents_change(self, priority: Priority) -> None:
        for tenant_id in TENANTS:
            self.documents_change(tenant_id, priority)

    @rule(tenant_id=tenants)
    def an_execution_waits_for_a_sync(self, tenant_id: TenantId) -> None:
        token = f"token-{len(self.tokens)}"
        self.tokens.append(token)
        entry = self.ledger.find(first_knowledge(tenant_id)).requested(
            self.fleet.clock.now(), Priority.REQUESTED, token
        )
        self._noted(tenant_id, self.ledger.save(entry))

    @rule(tenant_id=tenants)
    def a_bucket_is_emptied(self, tenant_id: TenantId) -> None:
        self.buckets.emptied.setdefault(NAMES.bucket(Life(tenant_id)), self.fleet.clock.now())
        self.documents_change(tenant_id, Priority.CHANGED)

    @rule(tenant_id=tenants)
    def its_documents_come_back(self, tenant_id: TenantId) -> None:
        if self.buckets.emptied.pop(NAMES.bucket(Life(tenant_id)), None) is not None:
            self.documents_change(tenant_id, Priority.CHANGED)

    @rule(tenant_id=tenants)
    def somebody_accepts_what_is_shown(self, tenant_id: TenantId) -> None:
        hold = self.ledger.find(first_knowledge(tenant_id)).hold
        if hold is not None:
            self._noted(tenant_id, self.fleet.request(tenant_id, accepted_deletions=hold.missing))

    def _must_not_empty(self, data_source: DataSourceReference) -> None:
        """Called when a job is started. What went a moment ago may go with it."""
        (tenant_id,) = (each for each, source in self.data_sources.items() if source == data_source)
        since = self.buckets.emptied.get(NAMES.bucket(Life(tenant_id)))
        entry = self.ledger.find(first_knowledge(tenant_id))
        if since is not None and entry.answered_from is not None and entry.answered_from.documents > entry.accepted:
            assert self.time_passed_within_a_tick or self.fleet.clock.now() - since < CHECK_STANDS

    @rule(tenant_id=tenants, course=st.sampled_from(COURSES))
    def a_later_job_will_end_so(self, tenant_id: TenantId, course: JobCourse) -> None:
        self.knowledge_bases.plan(self.data_sources[tenant_id].knowledge_base_id, course)

    @rule(tenant_id=tenants)
    def somebody_starts_a_job_by_hand(self, tenant_id: TenantId) -> None:
        try:
            self.knowledge_bases.start_in_console(self.data_sources[tenant_id])
        except ResourceConflict:
            return

    @rule(tenant_id=tenants)
    def a_knowledge_base_cannot_be_used(self, tenant_id: TenantId) -> None:
        self.unavailable.add(tenant_id)
        self.knowledge_bases.refuse_starts(
            self.data_sources[tenant_id].knowledge_base_id, NotReadyYet("not in a valid status")
        )

    @precondition(lambda self: self.unavailable)
    @rule()
    def all_knowledge_bases_can_be_used_again(self) -> None:
        for tenant_id in self.unavailable:
            self.knowledge_bases.refuse_starts(self.data_sources[tenant_id].knowledge_base_id, None)
        self.unavailable.clear()

    @rule(seconds=durations)
    def time_passes(self, seconds: int) -> None:
        self.fleet.clock.advance(seconds)

    @rule()
    def a_tick(self) -> None:
        self.fleet.tick()

    @rule(at=moments)
    def a_tick_dies(self, at: int) -> None:
        try:
            self._tick(at, die)
        except Died:
            return

    @rule(at=moments)
    def a_check_dies(self, at: int) -> None:
        try:
            PortCalls(at, die).check_deletions(self.fleet)
        except Died:
            return

    @rule(at=moments)
    def a_tick_runs_beside_a_check(self, at: int) -> None:
        PortCalls(at, lambda: self._tick(-1, die)).check_deletions(self.fleet)

    @rule(at=moments, tenant_id=tenants)
    def a_bucket_changes_during_a_check(self, at: int, tenant_id: TenantId) -> None:
        PortCalls(at, lambda: self.a_bucket_is_emptied(tenant_id)).check_deletions(self.fleet)

    @rule(at=moments)
    def a_tick_runs_beside_another(self, at: int) -> None:
        self._tick(at, self.a_tick)

    @rule(at=moments, seconds=durations)
    def a_tick_is_overtaken_by_another(self, at: int, seconds: int) -> None:
        def overtake() -> None:
            self.time_passed_within_a_tick = True
            self.fleet.clock.advance(seconds)
            self.fleet.tick()

        self._tick(at, overtake)

    @rule(at=moments, tenant_id=tenants)
    def documents_change_during_a_tick(self, at: int, tenant_id: TenantId) -> None:
        self._tick(at, lambda: self.documents_change(tenant_id, Priority.CHANGED))

    def _tick(self, at: int, act: Callable[[], None]) -> None:
        """A tick during which, just before its port call number `at`, something happens."""
        PortCalls(at, act).tick(self.fleet.scheduler)

    def _noted(self, tenant_id: TenantId, entry: Sync) -> None:
        generation = entry.requested_generation
        self.documents_at[tenant_id][generation] = self.documents[self.data_sources[tenant_id]]

    # --- what must hold ---

    @invariant()
    def at_most_five_jobs_run_and_one_in_each_knowledge_base(self) -> None:
        running = [job.data_source.knowledge_base_id for job in self.knowledge_bases.running_jobs()]
        assert len(running) <= 5
        assert len(running) == len(set(running))

    @invariant()
    def starts_keep_their_distance(self) -> None:
        assert self.time_passed_within_a_tick or self.knowledge_bases.throttled_starts == 0

    @invariant()
    def a_generation_counts_as_synced_only_when_a_job_has_read_its_documents(self) -> None:
        for tenant_id, at in self.documents_at.items():
            synced = self.ledger.find(first_knowledge(tenant_id)).synced_generation
            if synced:
                assert self._ingested(tenant_id) >= at[synced]

    def teardown(self) -> None:
        self.all_knowledge_bases_can_be_used_again()
        for tenant_id in TENANTS:
            self.its_documents_come_back(tenant_id)
        self._tick_until_nothing_waits()
        for tenant_id in TENANTS:
            entry = self.ledger.find(first_knowledge(tenant_id))
            assert (entry.state, entry.waiters, entry.hold) == (SyncState.IDLE, (), None)
            if entry.result is not None and not entry.result.outcome.usable:
                assert entry.result.generation == entry.requested_generation
                assert entry.result.outcome in {Outcome.FAILED, Outcome.STOPPED}
            else:
                assert entry.synced_generation == entry.requested_generation
                assert self._ingested(tenant_id) == self.documents[self.data_sources[tenant_id]] or not entry.version
        reported = {(change.ingestion_job_id, change.status) for change in self.fleet.announcements.job_state_changes}
        assert self.ledger.followed <= reported
        ended = {job for job, status in reported if status.ended}
        assert {job for job, _ in self.ledger.followed} <= ended
        assert {answer.task_token for answer in self.fleet.callbacks.answers} == set(self.tokens)

    def _tick_until_nothing_waits(self) -> None:
        """The queue's ticks end when all that is left is postponed; the schedule's come every minute."""
        for _ in range(60):
            self.fleet.tick_until_idle()
            if all(self.ledger.find(first_knowledge(tenant_id)).state is SyncState.IDLE for tenant_id in TENANTS):
                return
            self.fleet.clock.advance(60)

    def _ingested(self, tenant_id: TenantId) -> int:
        """The newest state of the tenant's documents that a usable job has read."""
        now = self.fleet.clock.now()
        data_source = self.data_sources[tenant_id]
        seen = (job.seen_at(now) for job in self.knowledge_bases.jobs.values() if job.data_source == data_source)
        usable = (job.ingestion_job_id for job in seen if job.outcome is not None and job.outcome.usable)
        return max((self.knowledge_bases.read[job] for job in usable), default=0)


@pytest.mark.parametrize("pause", [0, 31, 700], ids=["at once", "the job has ended", "tokens are forgotten"])
@pytest.mark.parametrize("course", COURSES, ids=[f"{course.ends_as}-{course.statistics.failed}" for course in COURSES])
def test_a_tick_may_die_before_any_of_its_calls(course: JobCourse, pause: int) -> None:
    """Every point of a crash in the life of one sync that an execution waits for, one after the other."""
    at, reached = 0, True
    while reached:
        protocol = _one_sync(course)
        calls = PortCalls(at, die)
        try:
            _tick_until_idle(protocol, calls)
        except Died:
            protocol.fleet.clock.advance(pause)
        protocol.teardown()
        at, reached = at + 1, calls.acted
    assert at > 20


@pytest.mark.parametrize("course", COURSES, ids=[f"{course.ends_as}-{course.statistics.failed}" for course in COURSES])
def test_a_second_tick_may_run_between_any_two_calls_of_the_first(course: JobCourse) -> None:
    at, reached = 0, True
    while reached:
        protocol = _one_sync(course)
        calls = PortCalls(at, protocol.a_tick)
        _tick_until_idle(protocol, calls)
        protocol.teardown()
        at, reached = at + 1, calls.acted
    assert at > 20


def test_documents_may_change_between_any_two_calls_of_a_tick() -> None:
    at, reached = 0, True
    while reached:
        protocol = _one_sync(COURSES[0])
        tenant_id = FEW[0]
        calls = PortCalls(at, lambda protocol=protocol: protocol.documents_change(FEW[0], Priority.CHANGED))  # type: ignore[misc]
        _tick_until_idle(protocol, calls)
        protocol.teardown()
        assert protocol.ledger.find(first_knowledge(tenant_id)).synced_generation == 3 + calls.acted
        at, reached = at + 1, calls.acted
    assert at > 20


@pytest.mark.parametrize("pause", [0, 700], ids=["at once", "tokens are forgotten"])
def test_a_sync_that_is_held_is_told_of_and_answered_wherever_a_tick_or_a_check_dies(pause: int) -> None:
    at, reached = 0, True
    while reached:
        protocol = _one_sync(COURSES[1])
        protocol.a_bucket_is_emptied(FEW[0])
        calls = PortCalls(at, die)
        try:
            _tick_until_idle(protocol, calls)
        except Died:
            protocol.fleet.clock.advance(pause)
            protocol.fleet.tick_until_idle()
        hold = protocol.ledger.find(first_knowledge(FEW[0])).hold
        assert hold is not None
        assert {held.identity for held in protocol.fleet.announcements.held_syncs} == {f"{FEW[0]}/held/4"}
        assert [getattr(answer, "output", None) for answer in protocol.fleet.callbacks.answers][-1:] == [
            {"outcome": "HELD"}
        ]
        assert len(protocol.knowledge_bases.jobs) == 1
        protocol.teardown()
        at, reached = at + 1, calls.acted
    assert at > 10


def _one_sync(course: JobCourse) -> LedgerProtocol:
    """Of a tenant that is answered from a hundred documents."""
    protocol = LedgerProtocol()
    protocol.seven_tenants()
    protocol.a_later_job_will_end_so(FEW[0], COURSES[1])
    protocol.documents_change(FEW[0], Priority.CHANGED)
    protocol.fleet.tick_until_idle()
    protocol.a_later_job_will_end_so(FEW[0], course)
    protocol.documents_change(FEW[0], Priority.CHANGED)
    protocol.an_execution_waits_for_a_sync(FEW[0])
    return protocol


def _tick_until_idle(protocol: LedgerProtocol, calls: PortCalls) -> None:
    for _ in range(200):
        idle = calls.tick(protocol.fleet.scheduler).idle
        calls.check_deletions(protocol.fleet)
        if idle:
            return
        protocol.fleet.clock.advance(5)
    raise AssertionError("the fleet never comes to rest")


TestLedgerProtocol = LedgerProtocol.TestCase
TestLedgerProtocol.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
