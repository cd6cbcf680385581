"""Requests for syncs, and the ticks that turn them into ingestion jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from kbfleet.domain.errors import (
    AccessRefused,
    CapacityExceeded,
    ConcurrentUpdate,
    KbfleetError,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    TenantNotActive,
    TenantNotFound,
    Throttled,
)
from kbfleet.domain.ingestion_job import UNKNOWN_AT_MOST, FailureReason, JobStatus, Outcome, Statistics
from kbfleet.domain.knowledge_base import KnowledgeBaseStatus
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.usecases.ingestion import TickReport, update_sync
from tests.support.fakes import FailedTask, InMemoryKnowledgeBases, JobCourse, SucceededTask
from tests.support.fleet import START_INTERVAL, Fleet
from tests.support.samples import ACME, SAKURA, failure_reason, first_knowledge, tenant

SEVEN = [TenantId(f"tenant-{number}") for number in range(7)]
ENDS_UNKNOWN = JobCourse(JobStatus.UNKNOWN)
SHORT = JobCourse(running_for=timedelta(seconds=20))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


class TestRequests:
    def test_a_request_raises_the_generation_and_asks_for_a_tick(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        assert fleet.request(ACME).requested_generation == 1
        assert fleet.request(ACME).requested_generation == 2
        assert fleet.ticks.requests == 2

    def test_an_unknown_tenant_cannot_be_synced(self, fleet: Fleet) -> None:
        with pytest.raises(TenantNotFound):
            fleet.request(ACME)
        assert fleet.ticks.requests == 0

    def test_a_tenant_without_a_data_source_cannot_be_synced(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(data_source_id=None))
        with pytest.raises(TenantNotActive):
            fleet.request(ACME)
        assert fleet.ledger.find(first_knowledge(ACME)) == Sync(ACME)

    def test_an_update_that_loses_a_race_is_made_again_on_the_newer_entry(self, fleet: Fleet) -> None:
        def raced(entry: Sync) -> Sync:
            if entry.requested_generation == 0:
                fleet.ledger.save(entry.requested(fleet.clock.now(), Priority.CHANGED))
            return entry.requested(fleet.clock.now(), Priority.REQUESTED)

        assert update_sync(first_knowledge(ACME), raced, ledger=fleet.ledger).requested_generation == 2

    def test_an_update_that_always_loses_gives_up(self, fleet: Fleet) -> None:
        def always_raced(entry: Sync) -> Sync:
            fleet.ledger.save(entry.requested(fleet.clock.now(), Priority.CHANGED))
            return entry.requested(fleet.clock.now(), Priority.CHANGED)

        with pytest.raises(ConcurrentUpdate):
            update_sync(first_knowledge(ACME), always_raced, ledger=fleet.ledger)

    def test_an_update_that_changes_nothing_writes_nothing(self, fleet: Fleet) -> None:
        update_sync(first_knowledge(ACME), lambda entry: entry, ledger=fleet.ledger)
        assert fleet.ledger.writes == 0


class TestTicks:
    def test_an_idle_fleet_asks_for_no_further_tick(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        assert fleet.tick().idle
        assert fleet.ticks.requests == 0

    def test_a_requested_sync_is_followed_from_its_start_to_its_end(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        started = fleet.tick()
        assert (started.started, started.running, started.ended) == (1, 0, 0)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert (entry.state, entry.synced_generation, entry.pending_changes) == (SyncState.IDLE, 1, False)
        assert entry.result is not None
        assert entry.result.outcome is Outcome.SUCCEEDED
        statuses = [change.status for change in fleet.announcements.job_state_changes]
        assert statuses == [JobStatus.STARTING, JobStatus.IN_PROGRESS, JobStatus.COMPLETE]
        assert [change.status for change in fleet.history.latest(Life(ACME), 10)] == [JobStatus.COMPLETE]

    def test_every_tick_with_work_asks_for_the_next_one(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        before = fleet.ticks.requests
        fleet.tick()
        assert fleet.ticks.requests == before + 1

    def test_starts_are_at_least_the_interval_apart(self, fleet: Fleet) -> None:
        for tenant_id in SEVEN:
            fleet.knowledge_bases.plan(fleet.add(tenant_id).knowledge_base_id, SHORT)
            fleet.request(tenant_id)
        fleet.tick_until_idle()
        starts = sorted(job.started_at for job in fleet.knowledge_bases.jobs.values())
        assert len(starts) == 7
        assert all(later - earlier >= START_INTERVAL for earlier, later in pairwise(starts))
        assert fleet.knowledge_bases.throttled_starts == 0

    def test_at_most_five_jobs_run_and_all_tenants_get_their_turn(self, fleet: Fleet) -> None:
        for tenant_id in SEVEN:
            fleet.add(tenant_id)
            fleet.request(tenant_id)
        most = 0
        for _ in range(200):
            report = fleet.tick()
            assert report.postponed == ()  # a sixth start is not even tried
            most = max(most, len(fleet.knowledge_bases.running_jobs()))
            if report.idle:
                break
            fleet.clock.advance(5)
        assert most == 5
        assert all(fleet.ledger.find(first_knowledge(tenant_id)).synced_generation == 1 for tenant_id in SEVEN)

    def test_of_five_jobs_at_most_three_fill_candidates_and_nobody_else_waits_for_those(self, fleet: Fleet) -> None:
        candidates, changed = SEVEN[:5], SEVEN[5:]
        for tenant_id in SEVEN:
            fleet.add(tenant_id)
        for tenant_id in candidates:
            # As after a rebuild: another number, and nothing was ever brought into it.
            record = fleet.registry.get(tenant_id)
            fleet.registry.replace(replace(record, knowledge=2), fence=record.fence)
            entry = fleet.ledger.find(Knowledge(Life(tenant_id), 2))
            fleet.ledger.save(entry.requested(fleet.clock.now(), Priority.SCHEDULED))
        fleet.clock.advance(2 * 3_600)  # by now they are as old as changes that have just come
        for tenant_id in changed:
            fleet.request(tenant_id, Priority.CHANGED)
        most = 0
        for _ in range(300):
            report = fleet.tick()
            running = list(fleet.ledger.running())
            filled = [entry for entry in running if entry.is_candidates_first]
            assert len(filled) <= 3
            most = max(most, len(filled))
            if len(running) == 5:
                assert {entry.tenant_id for entry in running} >= set(changed)
            if report.idle:
                break
            fleet.clock.advance(5)
        assert most == 3
        assert all(fleet.ledger.find(Knowledge(Life(each), 2)).synced_generation == 1 for each in candidates)

    def test_the_better_priority_goes_first_then_the_older_request(self, fleet: Fleet) -> None:
        old_change, new_change, requested = SEVEN[:3]
        for tenant_id in (old_change, new_change, requested):
            fleet.add(tenant_id)
        fleet.request(old_change, Priority.CHANGED)
        fleet.clock.advance(1)
        fleet.request(new_change, Priority.CHANGED)
        fleet.clock.advance(1)
        fleet.request(requested, Priority.REQUESTED)
        fleet.tick_until_idle()
        order = [change.tenant_id for change in fleet.announcements.job_state_changes if change.status == "STARTING"]
        assert order == [requested, old_change, new_change]

    def test_what_is_requested_while_a_job_runs_gets_a_job_of_its_own(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        fleet.request(ACME)
        fleet.tick_until_idle()
        assert len(fleet.knowledge_bases.jobs) == 2
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 2

    def test_many_requests_before_the_start_share_one_job(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        for _ in range(50):
            fleet.request(ACME)
        fleet.tick_until_idle()
        assert len(fleet.knowledge_bases.jobs) == 1
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 50

    def test_a_job_that_somebody_started_in_the_console_is_adopted_and_followed_by_ours(self, fleet: Fleet) -> None:
        data_source = fleet.add(ACME)
        external = fleet.knowledge_bases.start_in_console(data_source)
        fleet.request(ACME)
        fleet.clock.advance(1)
        assert fleet.tick().started == 1
        adopted = fleet.ledger.find(first_knowledge(ACME))
        assert adopted.job is not None
        assert (adopted.job.ingestion_job_id, adopted.synced_generation) == (external.ingestion_job_id, 0)
        fleet.tick_until_idle()
        assert len(fleet.knowledge_bases.jobs) == 2
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 1


class TestOutcomes:
    def test_a_degraded_job_syncs_its_generation_and_tells_the_reasons(self, fleet: Fleet) -> None:
        reasons = (failure_reason("Ignored 1 files as no text content found", "s3://b/scan.pdf"),)
        course = JobCourse(statistics=Statistics(scanned=3, new=2), failure_reasons=reasons)
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, course)
        fleet.request(ACME)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert entry.synced_generation == 1
        assert entry.result is not None
        assert (entry.result.outcome, entry.result.failure_reasons) == (Outcome.DEGRADED, reasons)
        assert fleet.announcements.job_state_changes[-1].statistics == course.statistics

    def test_a_failed_job_leaves_its_changes_pending_and_is_not_tried_again_by_itself(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, JobCourse(JobStatus.FAILED))
        fleet.request(ACME)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert (entry.state, entry.synced_generation, entry.pending_changes) == (SyncState.IDLE, 0, True)
        assert len(fleet.knowledge_bases.jobs) == 1

    def test_the_next_result_knows_the_outcome_before_it(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, JobCourse(JobStatus.FAILED))
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.request(ACME)
        fleet.tick_until_idle()
        last = fleet.announcements.job_state_changes[-1]
        assert (last.outcome, last.previous_outcome) == (Outcome.SUCCEEDED, Outcome.FAILED)

    @pytest.mark.parametrize("refusal", [RequestRefused("model not callable"), AccessRefused("no permission")])
    def test_a_start_that_bedrock_refuses_for_good_has_failed_and_people_are_reported(
        self, fleet: Fleet, refusal: KbfleetError
    ) -> None:
        fleet.knowledge_bases.refuse_starts(fleet.add(ACME).knowledge_base_id, refusal)
        fleet.request(ACME)
        fleet.tick_until_idle()
        reported = fleet.announcements.job_state_changes[-1]
        assert (reported.outcome, reported.ingestion_job_id) == (Outcome.FAILED, None)
        assert refusal.what in reported.failure_reasons[0].text
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.IDLE
        assert fleet.history.latest(Life(ACME), 10) == [reported]

    def test_a_job_whose_knowledge_base_was_deleted_meanwhile_has_failed(self, fleet: Fleet) -> None:
        data_source = fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        fleet.knowledge_bases.vanish(data_source.knowledge_base_id)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert entry.state is SyncState.IDLE
        assert entry.result is not None
        assert entry.result.outcome is Outcome.FAILED

    @pytest.mark.parametrize(
        ("course", "succeeds"),
        [
            (JobCourse(), True),
            (JobCourse(statistics=Statistics(failed=1)), True),
            (JobCourse(JobStatus.FAILED, failure_reasons=(FailureReason("The role was deleted."),)), False),
            (JobCourse(JobStatus.STOPPED), False),
        ],
    )
    def test_who_waits_for_a_sync_learns_how_it_ended(self, fleet: Fleet, course: JobCourse, succeeds: bool) -> None:
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, course)
        fleet.ledger.save(Sync(ACME).requested(fleet.clock.now(), Priority.REQUESTED, "token"))
        fleet.tick_until_idle()
        answer = fleet.callbacks.answer("token")
        assert isinstance(answer, SucceededTask if succeeds else FailedTask)
        if isinstance(answer, FailedTask):
            assert answer.error == "IngestionFailed"
            assert all(reason.text in answer.cause for reason in course.failure_reasons)


class TestNotNow:
    """What postpones a start must neither lose the request nor keep other tenants waiting."""

    @pytest.mark.parametrize("refusal", [ResourceConflict, CapacityExceeded, Throttled])
    def test_a_sixth_job_waits_however_the_account_refuses_it(
        self, refusal: type[ResourceConflict | CapacityExceeded | Throttled]
    ) -> None:
        fleet = Fleet()
        fleet.knowledge_bases = InMemoryKnowledgeBases(fleet.clock, account_limit_error=refusal)
        others = [fleet.add(tenant_id) for tenant_id in SEVEN[:5]]
        fleet.add(ACME)
        for data_source in others:
            fleet.knowledge_bases.start_in_console(data_source)
        fleet.request(ACME)
        fleet.clock.advance(1)
        report = fleet.tick()
        assert [tenant_id for tenant_id, _ in report.postponed] == [ACME]
        assert not report.idle
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 1

    @pytest.mark.parametrize("refusal", [NotReadyYet("still settling"), CapacityExceeded("quota"), Throttled("slow")])
    def test_a_refusal_that_passes_leaves_the_tenant_queued_until_it_has_passed(
        self, fleet: Fleet, refusal: KbfleetError
    ) -> None:
        knowledge_base_id = fleet.add(ACME).knowledge_base_id
        fleet.knowledge_bases.refuse_starts(knowledge_base_id, refusal)
        fleet.request(ACME)
        for _ in range(5):
            assert not fleet.tick().idle
            fleet.clock.advance(10)
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED
        fleet.knowledge_bases.refuse_starts(knowledge_base_id, None)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 1

    def test_a_knowledge_base_that_is_given_up_does_not_keep_the_others_from_their_turns(self, fleet: Fleet) -> None:
        stuck = fleet.add(ACME).knowledge_base_id
        fleet.add(SAKURA)
        fleet.knowledge_bases.force_status(stuck, KnowledgeBaseStatus.FAILED)
        fleet.request(ACME, Priority.REQUESTED)
        fleet.clock.advance(1)
        fleet.request(SAKURA, Priority.SCHEDULED)
        for _ in range(100):
            fleet.tick()
            fleet.clock.advance(5)
        assert fleet.ledger.find(first_knowledge(SAKURA)).synced_generation == 1
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED

    def test_a_job_of_another_data_source_does_not_keep_the_others_from_their_turns(self, fleet: Fleet) -> None:
        data_source = fleet.add(ACME)
        fleet.add(SAKURA)
        other = fleet.knowledge_bases.create_data_source(
            data_source.knowledge_base_id, "handmade", configuration={}, client_token="handmade"
        )
        endless = JobCourse(running_for=timedelta(days=1))
        fleet.knowledge_bases.plan(data_source.knowledge_base_id, endless)
        fleet.knowledge_bases.start_in_console(DataSourceReference(data_source.knowledge_base_id, other.data_source_id))
        fleet.request(ACME)
        fleet.clock.advance(1)
        fleet.request(SAKURA)
        for _ in range(100):
            fleet.tick()
            fleet.clock.advance(5)
        assert fleet.ledger.find(first_knowledge(SAKURA)).synced_generation == 1

    def test_a_queued_tenant_whose_record_is_gone_does_not_keep_the_others_from_their_turns(self, fleet: Fleet) -> None:
        fleet.ledger.save(Sync(ACME).requested(fleet.clock.now(), Priority.REQUESTED))
        fleet.clock.advance(1)
        fleet.add(SAKURA)
        fleet.request(SAKURA, Priority.CHANGED)
        for _ in range(100):
            fleet.tick()
            fleet.clock.advance(5)
        assert fleet.ledger.find(first_knowledge(SAKURA)).synced_generation == 1

    def test_throttling_costs_a_tenant_nothing_of_its_place(self, fleet: Fleet) -> None:
        first = fleet.add(ACME).knowledge_base_id
        fleet.add(SAKURA)
        fleet.request(ACME)
        fleet.clock.advance(1)
        fleet.request(SAKURA)
        fleet.knowledge_bases.refuse_starts(first, Throttled("Your request rate is too high."))
        fleet.tick()
        fleet.knowledge_bases.refuse_starts(first, None)
        fleet.clock.advance(10)
        fleet.tick()
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.RUNNING


LOUD = JobCourse(
    JobStatus.FAILED,
    failure_reasons=tuple(FailureReason(f"{number}: {'理' * 2_000}") for number in range(2_048)),
    running_for=timedelta(seconds=20),
)


class TestWhatIsRefusedForGood:
    """A change of a job that the bus never takes must not keep its slot."""

    def with_one_that_fails(self) -> Fleet:
        fleet = Fleet()
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, LOUD)
        fleet.request(ACME)
        return fleet

    def ticks(self, fleet: Fleet) -> Iterator[TickReport]:
        for _ in range(20):
            yield fleet.tick()
            fleet.clock.advance(5)

    def test_as_much_as_bedrock_may_say_is_published_smaller_and_counted(self) -> None:
        fleet = self.with_one_that_fails()
        fleet.tick_until_idle()
        ended = fleet.announcements.job_state_changes[-1]
        assert len(ended.failure_reasons) + ended.reasons_left_out == 2_048
        (stored,) = fleet.history.latest(Life(ACME), 10)
        assert stored == ended
        result = fleet.ledger.find(first_knowledge(ACME)).result
        assert result is not None
        assert len(result.failure_reasons) + result.reasons_left_out == 2_048

    def test_what_is_refused_as_it_is_goes_without_its_reasons(self) -> None:
        fleet = self.with_one_that_fails()
        fleet.announcements.refusal = lambda change: RequestRefused("Too large.") if change.failure_reasons else None
        reports = list(self.ticks(fleet))
        ended = fleet.announcements.job_state_changes[-1]
        assert (ended.outcome, ended.failure_reasons, ended.reasons_left_out) == (Outcome.FAILED, (), 2_048)
        assert not any(report.unannounced for report in reports)
        assert fleet.history.latest(Life(ACME), 1)[0].failure_reasons

    def test_what_is_refused_however_small_it_is_ends_and_says_so_once(self) -> None:
        fleet = self.with_one_that_fails()
        fleet.announcements.refusal = lambda change: RequestRefused("Never.") if change.outcome else None
        reports = list(self.ticks(fleet))
        ((tenant_id, error),) = (told for report in reports for told in report.unannounced)
        assert (tenant_id, str(error)) == (ACME, "Never.")
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert (entry.job, entry.state) == (None, SyncState.IDLE)
        assert fleet.history.latest(Life(ACME), 1)[0].outcome is Outcome.FAILED

    def test_a_bus_that_refuses_all_is_waited_for_an_hour(self) -> None:
        fleet = self.with_one_that_fails()
        fleet.tick()
        fleet.announcements.refusal = lambda _: AccessRefused("Not allowed.")
        fleet.clock.advance(120)
        waiting = fleet.tick()
        assert [tenant_id for tenant_id, _ in waiting.postponed] == [ACME]
        fleet.clock.advance(3_600)
        assert [tenant_id for tenant_id, _ in fleet.tick().unannounced] == [ACME]
        assert fleet.ledger.find(first_knowledge(ACME)).job is None

    def test_whoever_waits_for_it_is_answered_with_as_much_as_a_task_takes(self) -> None:
        fleet = Fleet()
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, LOUD)
        update_sync(
            first_knowledge(ACME),
            lambda entry: entry.requested(fleet.clock.now(), Priority.REQUESTED, "token"),
            ledger=fleet.ledger,
        )
        fleet.tick_until_idle()
        answer = fleet.callbacks.answer("token")
        assert isinstance(answer, FailedTask)
        assert len(answer.cause) <= 32_768


class TestAJobThatEndsByAStatusThatIsNotKnown:
    """Bedrock knows that it has ended; nobody else does."""

    @pytest.fixture
    def sources(self, fleet: Fleet) -> list[DataSourceReference]:
        sources = [fleet.add(tenant_id) for tenant_id in SEVEN]
        for source in sources[:5]:
            fleet.knowledge_bases.plan(source.knowledge_base_id, ENDS_UNKNOWN)
        return sources

    def test_it_is_given_up_after_hours_and_the_others_have_their_turns(
        self, fleet: Fleet, sources: list[DataSourceReference]
    ) -> None:
        for tenant_id in SEVEN:
            fleet.request(tenant_id)
        for _ in range(10):
            fleet.tick()
            fleet.clock.advance(60)
        assert fleet.tick().running == 5
        fleet.clock.advance(UNKNOWN_AT_MOST.total_seconds())
        fleet.tick_until_idle()
        entries = [fleet.ledger.find(first_knowledge(tenant_id)) for tenant_id in SEVEN]
        assert [entry.result.outcome for entry in entries if entry.result] == [Outcome.FAILED] * 5 + [
            Outcome.SUCCEEDED
        ] * 2
        (reason,) = entries[0].result.failure_reasons if entries[0].result else ()
        assert "does not know its status" in reason.text

    def test_it_is_given_up_at_once_when_somebody_stops_it(
        self, fleet: Fleet, sources: list[DataSourceReference]
    ) -> None:
        fleet.request(SEVEN[0])
        fleet.tick()
        fleet.clock.advance(300)
        fleet.tick()
        fleet.stop_sync(SEVEN[0])
        fleet.tick()
        assert fleet.ledger.find(first_knowledge(SEVEN[0])).job is None
        fleet.request(SEVEN[0])
        fleet.clock.advance(60)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(SEVEN[0])).synced_at is not None

    def test_it_is_not_given_up_where_it_runs_and_can_be_stopped(
        self, fleet: Fleet, sources: list[DataSourceReference], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.request(SEVEN[0])
        fleet.tick()
        described = fleet.knowledge_bases.ingestion_job
        with monkeypatch.context() as patched:
            patched.setattr(
                fleet.knowledge_bases,
                "ingestion_job",
                lambda of, job: replace(described(of, job), status=JobStatus.UNKNOWN),
            )
            fleet.tick()
            fleet.stop_sync(SEVEN[0])
            fleet.tick()
            assert fleet.ledger.find(first_knowledge(SEVEN[0])).job is not None
        fleet.tick_until_idle()
        result = fleet.ledger.find(first_knowledge(SEVEN[0])).result
        assert result is not None
        assert result.outcome is Outcome.STOPPED

    def test_a_later_job_shows_that_it_has_ended_and_it_is_not_adopted_in_a_full_account(
        self, fleet: Fleet, sources: list[DataSourceReference]
    ) -> None:
        fleet.knowledge_bases.start_in_console(sources[0])
        fleet.clock.advance(300)
        fleet.knowledge_bases.start_in_console(sources[0])
        fleet.clock.advance(300)
        for source in sources[2:7]:
            fleet.knowledge_bases.start_in_console(source)
        fleet.request(SEVEN[0])
        fleet.tick()
        assert fleet.ledger.find(first_knowledge(SEVEN[0])).state is SyncState.QUEUED

    def test_one_that_was_given_up_is_not_adopted_when_a_start_is_refused(
        self, fleet: Fleet, sources: list[DataSourceReference]
    ) -> None:
        fleet.knowledge_bases.start_in_console(sources[0])
        fleet.clock.advance(300 + UNKNOWN_AT_MOST.total_seconds())
        for source in sources[2:7]:
            fleet.knowledge_bases.start_in_console(source)
        fleet.request(SEVEN[0])
        fleet.tick()
        entry = fleet.ledger.find(first_knowledge(SEVEN[0]))
        assert (entry.state, entry.postponed) == (SyncState.QUEUED, 1)
        fleet.clock.advance(900)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(SEVEN[0])).synced_at is not None


class TestRepetitions:
    def test_a_start_that_was_repeated_after_its_job_had_ended_is_still_brought_to_its_end(self, fleet: Fleet) -> None:
        """The answer to the first start was lost; by the time of the second, Bedrock's answer is the finished job."""
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, SHORT)
        fleet.request(ACME)
        entry = fleet.ledger.find(first_knowledge(ACME))
        fleet.tick()
        # The ledger as it was before the crash, under a version that has moved on.
        fleet.ledger.save(replace(entry, version=fleet.ledger.find(first_knowledge(ACME)).version))
        fleet.clock.advance(60)
        fleet.tick_until_idle()
        assert len(fleet.knowledge_bases.jobs) == 1
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 1

    @pytest.mark.parametrize("meanwhile", [lambda sync: sync.put_on_hold(9), Sync.not_to_be_trusted, Sync.called_off])
    def test_a_queue_that_shows_what_was_a_moment_ago_starts_no_job(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Sync], Sync]
    ) -> None:
        fleet.add(ACME)
        fleet.request(ACME, Priority.CHANGED)
        earlier = fleet.ledger.glance(25)  # an index is eventually consistent
        fleet.ledger.save(meanwhile(fleet.ledger.find(first_knowledge(ACME))))
        with monkeypatch.context() as patched:
            patched.setattr(fleet.ledger, "glance", lambda _: earlier)
            report = fleet.tick()
        assert not fleet.knowledge_bases.jobs
        assert (report.started, [tenant_id for tenant_id, _ in report.postponed]) == (0, [ACME])
        assert fleet.ledger.find(first_knowledge(ACME)).postponed == 0

    def test_a_tick_that_finds_its_work_done_by_another_changes_nothing(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick_until_idle()
        writes, said = fleet.ledger.writes, len(fleet.announcements.job_state_changes)
        assert fleet.tick().idle
        assert (fleet.ledger.writes, len(fleet.announcements.job_state_changes)) == (writes, said)
