"""Failure reasons, outcomes, and the pure rules of the sync ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kbfleet.domain.ingestion_job import UNKNOWN_AT_MOST, FailureReason, JobStatus, Outcome, Statistics
from kbfleet.domain.sync import Priority, Sync, SyncResult, SyncState, Waiter
from tests.support.clock import START
from tests.support.samples import ACME, ingestion_job, job_state_change, sync_result

UNSUPPORTED = "Encountered error: Ignored 2 files as their file format was not supported"


class TestOutcomes:
    @pytest.mark.parametrize("status", [JobStatus.STARTING, JobStatus.IN_PROGRESS, JobStatus.STOPPING])
    def test_a_running_job_has_none(self, status: JobStatus) -> None:
        assert ingestion_job(status).outcome is None

    @pytest.mark.parametrize(
        ("status", "outcome"), [(JobStatus.FAILED, Outcome.FAILED), (JobStatus.STOPPED, Outcome.STOPPED)]
    )
    def test_a_job_that_failed_or_was_stopped_says_so(self, status: JobStatus, outcome: Outcome) -> None:
        assert ingestion_job(status).outcome is outcome

    def test_complete_without_failures_or_reasons_is_a_success(self) -> None:
        assert ingestion_job(statistics=Statistics(scanned=5, new=5)).outcome is Outcome.SUCCEEDED

    def test_complete_with_failed_documents_is_degraded(self) -> None:
        assert ingestion_job(statistics=Statistics(scanned=5, new=4, failed=1)).outcome is Outcome.DEGRADED

    def test_complete_with_reasons_is_degraded_even_when_nothing_counts_as_failed_or_skipped(self) -> None:
        reasons = (FailureReason.of(UNSUPPORTED),)
        assert ingestion_job(statistics=Statistics(scanned=2), failure_reasons=reasons).outcome is Outcome.DEGRADED

    @pytest.mark.parametrize(
        ("counts", "says"),
        [
            (Statistics(scanned=5, new=2, skipped=3), "3 skipped."),
            (Statistics(scanned=5, failed=1, skipped=3), "1 failed, 3 skipped."),
        ],
    )
    def test_complete_with_skipped_documents_is_no_success_and_its_counts_are_the_reason(
        self, counts: Statistics, says: str
    ) -> None:
        job = ingestion_job(statistics=counts)
        told = job.as_of(START)
        assert (job.outcome, told.outcome) == (Outcome.DEGRADED, Outcome.DEGRADED)
        assert told.failure_reasons[0].text.endswith(says)
        assert told.as_of(START) == told

    def test_a_job_whose_reasons_bedrock_gives_has_those(self) -> None:
        job = ingestion_job(statistics=Statistics(skipped=3), failure_reasons=(FailureReason("No."),))
        assert job.as_of(START) == job

    def test_documents_are_searchable_after_success_and_degradation_only(self) -> None:
        assert {outcome for outcome in Outcome if outcome.usable} == {Outcome.SUCCEEDED, Outcome.DEGRADED}

    def test_people_are_reported_failure_and_degradation_only(self) -> None:
        assert {outcome for outcome in Outcome if outcome.broken} == {Outcome.DEGRADED, Outcome.FAILED}


class TestAJobWhoseStatusIsNotKnown:
    def test_is_followed_for_hours_and_then_given_up(self) -> None:
        job = ingestion_job(JobStatus.UNKNOWN)
        assert job.as_of(job.updated_at + UNKNOWN_AT_MOST - timedelta(seconds=1)) == job
        given_up = job.as_of(job.updated_at + UNKNOWN_AT_MOST)
        assert (given_up.outcome, given_up.updated_at) == (Outcome.FAILED, job.updated_at)
        assert "has not changed for 6 hours" in given_up.failure_reasons[-1].text

    def test_is_given_up_at_once_where_it_does_not_run(self) -> None:
        job = ingestion_job(JobStatus.UNKNOWN)
        assert job.as_of(job.updated_at, over=True).outcome is Outcome.FAILED

    def test_is_not_tried_again_by_itself(self) -> None:
        given_up = ingestion_job(JobStatus.UNKNOWN).as_of(START, over=True)
        result = replace(sync_result(Outcome.FAILED), ingestion_job_id="J", failure_reasons=given_up.failure_reasons)
        assert not result.transient

    @pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.UNKNOWN])
    def test_none_that_is_known_is_given_up(self, status: JobStatus) -> None:
        job = ingestion_job(status)
        assert job.as_of(START + timedelta(days=9), over=True) == job


class TestLedgerEntries:
    def test_a_request_queues_an_idle_tenant(self) -> None:
        queued = Sync(ACME).requested(START, Priority.CHANGED)
        assert (queued.state, queued.priority, queued.ready_at) == (SyncState.QUEUED, Priority.CHANGED, START)
        assert queued.pending_changes

    def test_further_requests_keep_its_age_and_take_the_better_priority(self) -> None:
        later = START + timedelta(minutes=1)
        queued = Sync(ACME).requested(START, Priority.CHANGED).requested(later, Priority.REQUESTED)
        assert (queued.requested_generation, queued.ready_at, queued.priority) == (2, START, Priority.REQUESTED)
        assert queued.requested(later, Priority.SCHEDULED).priority is Priority.REQUESTED

    def test_a_job_that_ends_well_syncs_the_generation_it_started_from(self) -> None:
        running = Sync(ACME).requested(START, Priority.CHANGED).started(ingestion_job(JobStatus.STARTING), 1)
        ended = running.ended(sync_result(generation=1), START)
        assert (ended.state, ended.synced_generation, ended.synced_at) == (SyncState.IDLE, 1, START)
        assert not ended.pending_changes

    def test_what_was_requested_while_the_job_ran_queues_the_tenant_again(self) -> None:
        running = Sync(ACME).requested(START, Priority.CHANGED).started(ingestion_job(JobStatus.STARTING), 1)
        later = START + timedelta(minutes=1)
        ended = running.requested(later, Priority.CHANGED).ended(sync_result(generation=1), later)
        assert (ended.state, ended.synced_generation, ended.requested_generation) == (SyncState.QUEUED, 1, 2)
        assert ended.pending_changes

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.STOPPED])
    def test_a_job_that_failed_or_was_stopped_syncs_nothing(self, outcome: Outcome) -> None:
        running = Sync(ACME).requested(START, Priority.CHANGED).started(ingestion_job(JobStatus.STARTING), 1)
        ended = running.ended(sync_result(outcome, 1), START)
        assert (ended.state, ended.synced_generation, ended.synced_at) == (SyncState.IDLE, 0, None)
        assert ended.pending_changes

    def test_an_adopted_job_proves_nothing_newer_so_the_tenant_is_queued_again(self) -> None:
        adopted = Sync(ACME).requested(START, Priority.CHANGED).adopted(ingestion_job(JobStatus.IN_PROGRESS))
        assert adopted.job is not None
        ended = adopted.ended(SyncResult(Outcome.SUCCEEDED, adopted.job.generation, START), START)
        assert (ended.state, ended.synced_generation) == (SyncState.QUEUED, 0)

    def test_a_late_result_of_an_older_generation_takes_nothing_back(self) -> None:
        synced = Sync(ACME, requested_generation=3, synced_generation=3)
        assert synced.ended(sync_result(generation=1), START).synced_generation == 3

    def test_waiters_are_answered_by_the_first_result_that_covers_their_generation(self) -> None:
        entry = Sync(ACME).requested(START, Priority.REQUESTED, "one").requested(START, Priority.REQUESTED, "two")
        result = sync_result(generation=1)
        ended = entry.ended(result, START)
        assert [waiter.task_token for waiter in entry.dismissed_by(ended)] == ["one"]
        assert [waiter.task_token for waiter in ended.waiters] == ["two"]

    def whole_since(self, *results: tuple[Outcome, str], external: bool = False) -> datetime | None:
        """After jobs of these data sources that ended so, an hour after the other."""
        entry = Sync(ACME)
        for number, (outcome, data_source_id) in enumerate(results, start=1):
            job = ingestion_job(JobStatus.STARTING, started_at=START + timedelta(hours=number))
            queued = entry.requested(START, Priority.CHANGED)
            running = queued.adopted(job) if external else queued.started(job, number)
            entry = running.ended(
                SyncResult(outcome, number, START, "JOB0000001", data_source_id=data_source_id), START
            )
        return entry.whole_since

    def test_an_index_is_whole_since_the_newest_job_of_its_data_source_that_left_nothing_out(self) -> None:
        hour = timedelta(hours=1)
        whole, degraded, failed = (Outcome.SUCCEEDED, "DS1"), (Outcome.DEGRADED, "DS1"), (Outcome.FAILED, "DS2")
        assert self.whole_since(whole, whole) == START + 2 * hour
        assert self.whole_since(whole, degraded) == START + hour
        assert self.whole_since(whole, failed) == START + hour
        assert self.whole_since(whole, (Outcome.DEGRADED, "DS2")) is None

    def test_what_somebody_else_started_is_not_known_to_leave_nothing_out(self) -> None:
        assert self.whole_since((Outcome.SUCCEEDED, "DS1"), external=True) is None

    @pytest.mark.parametrize("trusted_again", [False, True])
    def test_a_job_of_a_time_without_trust_syncs_nothing_and_answers_nobody(self, trusted_again: bool) -> None:
        running = Sync(ACME).requested(START, Priority.CHANGED).started(ingestion_job(JobStatus.STARTING), 1)
        distrusted = running.not_to_be_trusted()
        # As an entry may be that was stored before whoever waits was told.
        entry = replace(distrusted, waiters=(Waiter("token", 1),))
        before = entry.trusted_again(START) if trusted_again else entry
        ended = before.ended(sync_result(generation=1), START)
        assert (ended.synced_generation, ended.synced_at, ended.synced_data_source_id) == (0, None, None)
        assert ended.pending_changes
        assert ended.waiters == before.waiters
        assert ended.state is (SyncState.QUEUED if trusted_again else SyncState.IDLE)
        assert ended.stale_since() == START

    def test_an_older_record_of_the_tenant_decides_nothing_about_its_service(self) -> None:
        waiting = Sync(ACME).requested(START, Priority.REQUESTED, "one")
        assert waiting.put_on_hold(fence=2).taken_off_hold(START, fence=1).on_hold
        resumed = waiting.put_on_hold(fence=2).taken_off_hold(START, fence=3)
        assert resumed.state is SyncState.QUEUED
        assert resumed.put_on_hold(fence=2) == resumed


class TestJobStateChanges:
    def test_every_observation_of_one_change_has_one_identity(self) -> None:
        later = job_state_change(occurred_at=START + timedelta(hours=1))
        assert job_state_change().identity == later.identity == "acme/JOB0000003/COMPLETE"

    def test_another_status_job_or_tenant_is_another_change(self) -> None:
        changes = [
            job_state_change(),
            job_state_change(status=JobStatus.STARTING),
            job_state_change(ingestion_job_id="JOB0000004"),
            job_state_change(ingestion_job_id=None),
            job_state_change(ingestion_job_id=None, generation=2),
            job_state_change(tenant_id="sakura"),
        ]
        assert len({change.identity for change in changes}) == len(changes)
