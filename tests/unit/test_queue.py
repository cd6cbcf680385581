"""Who goes first, when, and what happens to a tenant whose jobs fail."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.errors import (
    AccessRefused,
    CapacityExceeded,
    KbfleetError,
    NotReadyYet,
    ResourceConflict,
    Throttled,
)
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus, KnowledgeBaseKind
from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import MAX_RETRIES, Priority, Sync, SyncResult, SyncState
from tests.support.clock import START
from tests.support.fakes import FailedTask, JobCourse
from tests.support.fleet import DEBOUNCE, Fleet
from tests.support.samples import ACME, SAKURA, first_knowledge, ingestion_job, sync_result

THROTTLED = (FailureReason("Encountered error: Too many requests, please wait before trying again."),)
REFUSED = (FailureReason("Encountered error: The server encountered an access denied error."),)


def changed(sync: Sync, at: float) -> Sync:
    now = START + timedelta(seconds=at)
    return sync.requested(now, Priority.CHANGED, ready_at=DEBOUNCE.ready_at(sync, now))


def after(sync: Sync) -> float:
    """Seconds from the start at which it is ready."""
    assert sync.ready_at is not None
    return (sync.ready_at - START).total_seconds()


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.add(ACME)
    return fleet


class TestDebounce:
    def test_a_change_waits_for_a_quiet_period(self) -> None:
        assert after(changed(Sync(ACME), 0)) == 30

    def test_each_further_change_begins_the_quiet_period_anew_up_to_a_limit(self) -> None:
        sync = Sync(ACME)
        ready = []
        for second in range(0, 600, 20):
            sync = changed(sync, second)
            ready.append(after(sync))
        assert ready[:3] == [30, 50, 70]
        assert max(ready) == 300

    @given(st.lists(st.floats(0, 100), max_size=50))
    def test_however_changes_come_the_first_never_waits_longer_than_the_limit(self, pauses: list[float]) -> None:
        sync, at = changed(Sync(ACME), 0), 0.0
        for pause in pauses:
            at += pause
            sync = changed(sync, at)
        assert after(sync) <= 300

    def test_what_somebody_waits_for_is_not_put_off_by_changes(self) -> None:
        requested = Sync(ACME).requested(START, Priority.REQUESTED)
        assert after(changed(requested, 10)) == 0

    def test_a_request_makes_a_tenant_ready_whose_changes_are_not(self) -> None:
        sync = changed(Sync(ACME), 0).requested(START + timedelta(seconds=5), Priority.REQUESTED)
        assert (after(sync), sync.priority) == (5, Priority.REQUESTED)

    def test_a_schedule_puts_off_nothing_and_hastens_nothing(self) -> None:
        sync = changed(Sync(ACME), 0).requested(START, Priority.SCHEDULED)
        assert (after(sync), sync.priority) == (30, Priority.CHANGED)

    def test_a_thousand_changes_make_one_job(self, fleet: Fleet) -> None:
        for _ in range(1_000):
            fleet.note_changes(ACME)
            fleet.clock.advance(0.06)
        while fleet.ledger.find(first_knowledge(ACME)).pending_changes:
            fleet.tick()
            fleet.clock.advance(5)
        assert len(fleet.knowledge_bases.jobs) == 1

    def test_changes_before_the_first_sync_and_while_suspended_are_remembered(self, fleet: Fleet) -> None:
        fleet.ledger.save(fleet.ledger.find(first_knowledge(ACME)).put_on_hold(fence=2))
        assert fleet.note_changes(ACME).pending_changes
        assert fleet.tick().idle


class TestTurns:
    def test_the_more_urgent_goes_first(self, fleet: Fleet) -> None:
        fleet.add(SAKURA)
        fleet.request(ACME, Priority.SCHEDULED)
        fleet.request(SAKURA, Priority.REQUESTED)
        fleet.tick()
        assert [job.data_source for job in fleet.knowledge_bases.jobs.values()] == [
            fleet.registry.get(SAKURA).data_source()
        ]

    @pytest.mark.parametrize("priority", [Priority.CHANGED, Priority.SCHEDULED])
    def test_nobody_starves(self, fleet: Fleet, priority: Priority) -> None:
        """However many more urgent requests keep coming, a waiting tenant has its turn when its patience is over."""
        others = [TenantId(f"urgent-{number}") for number in range(40)]
        for other in others:
            fleet.add(other)
        fleet.request(ACME, priority)
        began = fleet.clock.now()
        while fleet.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED:
            for other in others:
                if fleet.ledger.find(first_knowledge(other)).state is SyncState.IDLE:
                    fleet.request(other)
            fleet.tick()
            fleet.clock.advance(5)
        assert fleet.clock.now() - began <= priority.patience + timedelta(minutes=30)

    @staticmethod
    def pauses(fleet: Fleet, error: KbfleetError, number: int) -> list[float]:
        """In seconds, of a tenant whose start is refused so often; fewer if the tenant is queued no longer."""
        knowledge_base_id = fleet.registry.get(ACME).data_source().knowledge_base_id
        fleet.knowledge_bases.refuse_starts(knowledge_base_id, error)
        pauses = []
        for _ in range(number):
            fleet.tick()
            sync = fleet.ledger.find(first_knowledge(ACME))
            if sync.ready_at is None:
                break
            pauses.append((sync.ready_at - fleet.clock.now()).total_seconds())
            fleet.clock.advance(pauses[-1] + 10)
        return pauses

    def test_a_tenant_in_trouble_steps_aside_for_longer_each_time_and_fails_after_an_hour(self, fleet: Fleet) -> None:
        waiting = fleet.ledger.find(first_knowledge(ACME)).requested(START, Priority.REQUESTED, "token")
        fleet.ledger.save(waiting)
        error = NotReadyYet("The specified bucket does not exist.")
        assert self.pauses(fleet, error, 20) == [60, 120, 240, 480, 900, 900, 900]
        sync = fleet.ledger.find(first_knowledge(ACME))
        assert (sync.state, sync.pending_changes, sync.refused_since) == (SyncState.IDLE, True, None)
        (change,) = fleet.announcements.job_state_changes
        assert (change.outcome, change.final) == (Outcome.FAILED, True)
        assert [reason.text for reason in change.failure_reasons] == ["The specified bucket does not exist."]
        answer = fleet.callbacks.answer("token")
        assert isinstance(answer, FailedTask)
        assert "The specified bucket does not exist." in answer.cause

    def test_it_is_tried_again_when_somebody_asks_for_it(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        self.pauses(fleet, NotReadyYet("The specified bucket does not exist."), 20)
        fleet.knowledge_bases.refuse_starts(fleet.registry.get(ACME).data_source().knowledge_base_id, None)
        fleet.request(ACME)
        fleet.tick_until_idle()
        assert not fleet.ledger.find(first_knowledge(ACME)).pending_changes

    @pytest.mark.parametrize(
        "error",
        [
            NotReadyYet("InternalServerException", for_everybody=True),
            ResourceConflict("You have reached the maximum number of concurrent ingestion jobs per account: 5"),
            CapacityExceeded("You have reached the maximum number of concurrent ingestion jobs per account: 5"),
        ],
    )
    def test_what_keeps_everybody_from_starting_fails_nobody(self, fleet: Fleet, error: KbfleetError) -> None:
        fleet.request(ACME)
        assert len(self.pauses(fleet, error, 300)) == 300
        assert fleet.announcements.job_state_changes == []

    @pytest.mark.parametrize("status", ["FAILED", "DELETE_UNSUCCESSFUL"])
    def test_one_whose_data_source_was_given_up_fails_at_once(self, fleet: Fleet, status: str) -> None:
        place = fleet.registry.get(ACME).data_source()
        lost = DataSource(place.data_source_id, "documents", DataSourceStatus(status), ("The role is gone.",))
        fleet.knowledge_bases.set_data_source(place.knowledge_base_id, lost)
        fleet.request(ACME)
        refusal = NotReadyYet(f"You cannot start an ingestion job on a data source with status {status}.")
        assert self.pauses(fleet, refusal, 20) == []
        (change,) = fleet.announcements.job_state_changes
        assert f"is {status}: The role is gone." in change.failure_reasons[0].text

    @pytest.mark.parametrize("error", [Throttled("Rate exceeded."), AccessRefused("bedrock:GetDataSource")])
    def test_one_whose_data_source_cannot_be_looked_at_is_tried_again(
        self, fleet: Fleet, error: KbfleetError, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object) -> None:
            raise error

        monkeypatch.setattr(fleet.knowledge_bases, "data_source", refused)
        fleet.request(ACME)
        assert self.pauses(fleet, NotReadyYet("not in a valid status"), 20) == [60, 120, 240, 480, 900, 900, 900]

    def test_the_other_kind_of_knowledge_base_does_not_wait_for_a_slot(self, fleet: Fleet) -> None:
        for number in range(5):
            busy = fleet.add(TenantId(f"busy-{number}"))
            fleet.knowledge_bases.plan(busy.knowledge_base_id, JobCourse(running_for=timedelta(hours=9)))
            fleet.request(TenantId(f"busy-{number}"))
            fleet.clock.advance(10)
            fleet.tick()
        fleet.request(ACME)
        fleet.add(SAKURA)
        managed = fleet.ledger.find(first_knowledge(SAKURA)).of_kind(KnowledgeBaseKind.MANAGED)
        fleet.ledger.save(managed.requested(fleet.clock.now(), Priority.SCHEDULED))
        fleet.clock.advance(10)
        report = fleet.tick()
        # The account of this fake has one limit for all: what counts is that its turn came, and ACME's did not.
        assert [tenant_id for tenant_id, _ in report.postponed] == [SAKURA]


class TestFailures:
    def test_a_job_that_failed_for_a_passing_cause_is_tried_again_later_and_nobody_is_alarmed(
        self, fleet: Fleet
    ) -> None:
        data_source = fleet.registry.get(ACME).data_source()
        fleet.knowledge_bases.plan(
            data_source.knowledge_base_id, JobCourse(JobStatus.FAILED, failure_reasons=THROTTLED)
        )
        fleet.request(ACME)
        for _ in range(200):
            fleet.tick()
            fleet.clock.advance(5)
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes is False
        ends = [change for change in fleet.announcements.job_state_changes if change.outcome]
        assert [(change.outcome, change.final) for change in ends] == [
            (Outcome.FAILED, False),
            (Outcome.SUCCEEDED, True),
        ]

    def test_it_is_tried_a_few_times_only_with_growing_pauses(self, fleet: Fleet) -> None:
        data_source = fleet.registry.get(ACME).data_source()
        course = JobCourse(JobStatus.FAILED, failure_reasons=THROTTLED)
        fleet.knowledge_bases.plan(data_source.knowledge_base_id, *[course] * 10)
        fleet.request(ACME)
        for _ in range(1_000):
            fleet.tick()
            fleet.clock.advance(5)
        ends = [change for change in fleet.announcements.job_state_changes if change.outcome]
        assert [change.final for change in ends] == [*[False] * MAX_RETRIES, True]
        began = [change.started_at for change in ends if change.started_at]
        pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(began)]
        assert pauses == sorted(pauses)
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.IDLE

    def test_one_that_failed_for_good_waits_for_a_person(self, fleet: Fleet) -> None:
        data_source = fleet.registry.get(ACME).data_source()
        fleet.knowledge_bases.plan(data_source.knowledge_base_id, JobCourse(JobStatus.FAILED, failure_reasons=REFUSED))
        fleet.request(ACME)
        fleet.tick_until_idle()
        (ended,) = (change for change in fleet.announcements.job_state_changes if change.outcome)
        assert (ended.outcome, ended.final) == (Outcome.FAILED, True)
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes

    def test_whoever_waits_is_answered_by_the_last_attempt(self, fleet: Fleet) -> None:
        data_source = fleet.registry.get(ACME).data_source()
        course = JobCourse(JobStatus.FAILED, failure_reasons=THROTTLED)
        fleet.knowledge_bases.plan(data_source.knowledge_base_id, *[course] * (MAX_RETRIES + 1))
        fleet.ledger.save(Sync(ACME).requested(fleet.clock.now(), Priority.REQUESTED, "token"))
        answers = []
        for _ in range(1_000):
            fleet.tick()
            answers.append(fleet.callbacks.answer("token"))
            fleet.clock.advance(5)
        assert answers[0] is None
        assert isinstance(answers[-1], FailedTask)

    @pytest.mark.parametrize(
        ("text", "transient"),
        [
            ("ThrottlingException: Rate exceeded", True),
            ("The server encountered an internal error while processing the request.", True),
            ("Service Unavailable (Service: S3Vectors, Status Code: 503)", True),
            ("Connection timed out", True),
            # A bucket that was just made: S3's own words, as Bedrock passes them on.
            ("The specified bucket does not exist (Service: S3, Status Code: 404)", True),
            ("An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation", True),
            ("Knowledge base role is not able to call specified bedrock embedding model", False),
            ("Ignored 429 files as their file format was not supported", False),
            ("Access denied.", False),
        ],
    )
    def test_passing_causes_are_reported_by_their_texts(self, text: str, transient: bool) -> None:
        result = SyncResult(Outcome.FAILED, 1, START, "JOB0000001", (FailureReason(text),))
        assert result.transient is transient

    def test_only_a_failed_job_can_pass(self) -> None:
        for outcome in (Outcome.DEGRADED, Outcome.STOPPED, Outcome.SUCCEEDED):
            assert not SyncResult(outcome, 1, START, "JOB0000001", THROTTLED).transient
        assert not SyncResult(Outcome.FAILED, 1, START, None, THROTTLED).transient


class TestFreshness:
    def test_the_oldest_change_that_is_not_synced_tells_the_age(self) -> None:
        sync = changed(changed(Sync(ACME), 0), 20)
        assert sync.stale_since() == START
        running = sync.started(ingestion_job(JobStatus.STARTING), 2)
        assert running.stale_since() == START
        later = changed(running, 60)
        assert later.stale_since() == START
        assert later.ended(sync_result(generation=2), START).stale_since() == START + timedelta(seconds=60)
        assert running.ended(sync_result(generation=2), START).stale_since() is None

    def test_a_failed_sync_makes_nothing_fresh(self) -> None:
        running = changed(Sync(ACME), 0).started(ingestion_job(JobStatus.STARTING), 1)
        failed = running.ended(sync_result(Outcome.FAILED, 1), START + timedelta(minutes=5))
        assert failed.stale_since() == START

    def test_a_tick_says_how_old_the_oldest_change_is(self, fleet: Fleet) -> None:
        began = fleet.clock.now()
        fleet.note_changes(ACME)
        fleet.clock.advance(31)
        assert fleet.tick().stale_since == began


class TestStopping:
    def test_a_queued_tenant_is_not_started_until_something_is_requested(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        assert fleet.stop_sync(ACME).state is SyncState.IDLE
        fleet.clock.advance(60)
        assert fleet.tick().idle
        fleet.request(ACME)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes is False

    def test_a_running_job_is_stopped_and_that_is_published(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        fleet.stop_sync(ACME)
        fleet.tick_until_idle()
        ended = fleet.announcements.job_state_changes[-1]
        assert (ended.status, ended.outcome) == (JobStatus.STOPPED, Outcome.STOPPED)
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.IDLE

    def test_a_request_after_a_stop_starts_a_job_of_its_own(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        fleet.stop_sync(ACME)
        fleet.request(ACME)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes is False
        assert len(fleet.knowledge_bases.jobs) == 2

    def test_whoever_waits_is_reported(self, fleet: Fleet) -> None:
        fleet.ledger.save(Sync(ACME).requested(fleet.clock.now(), Priority.REQUESTED, "token"))
        fleet.stop_sync(ACME)
        assert isinstance(fleet.callbacks.answer("token"), FailedTask)

    def test_a_tenant_that_has_nothing_to_stop_is_fine(self, fleet: Fleet) -> None:
        assert fleet.stop_sync(ACME).state is SyncState.IDLE
