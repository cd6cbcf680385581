"""Failure reasons, outcomes, and the pure rules of the sync ledger."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.ingestion import (
    FailureReason,
    JobStatus,
    Outcome,
    Priority,
    Statistics,
    Sync,
    SyncResult,
    SyncState,
    parse_failure_reasons,
    statistics_from_counts,
)
from tests.support.clock import START
from tests.support.samples import ACME, DATA_SOURCE, ingestion_job, job_state_change, sync_result

UNSUPPORTED = "Encountered error: Ignored 2 files as their file format was not supported"


class TestFailureReasons:
    """The forms are those that users of Bedrock report."""

    def test_a_json_array_inside_a_string_is_unwrapped(self) -> None:
        raw = json.dumps(
            [f"{UNSUPPORTED} [Files: s3://b/k1.exe, s3://b/k2.iso]. Call to Customer Source did not succeed."]
        )
        assert parse_failure_reasons([raw]) == (
            FailureReason(
                f"{UNSUPPORTED}. Call to Customer Source did not succeed.", ("s3://b/k1.exe", "s3://b/k2.iso")
            ),
        )

    def test_every_text_of_the_array_becomes_a_reason_of_its_own_in_order(self) -> None:
        raw = json.dumps(["first [Files: s3://b/1]", "second", "third [Files: s3://b/3]"])
        reasons = parse_failure_reasons([raw, "fourth"])
        assert [reason.text for reason in reasons] == ["first", "second", "third", "fourth"]
        assert [reason.documents for reason in reasons] == [("s3://b/1",), (), ("s3://b/3",), ()]

    @pytest.mark.parametrize(
        "raw",
        [
            "Filterable metadata must have at most 2048 bytes (Service: S3Vectors, Status Code: 400)",
            "File body text exceeds size limit of 1000000 for semantic chunking.",
            "[not json",
            '{"message": "an object is kept as it came"}',
            "12",
        ],
    )
    def test_text_in_any_other_form_is_kept_as_it_came(self, raw: str) -> None:
        assert parse_failure_reasons([raw]) == (FailureReason(raw),)

    def test_text_in_json_quotes_loses_them(self) -> None:
        assert parse_failure_reasons(['"plain text"']) == (FailureReason("plain text"),)

    def test_keys_may_hold_spaces_commas_and_japanese(self) -> None:
        keys = (
            "s3://kbfleet-sakura/営業会議 議事録, 第2版.md",
            "s3://kbfleet-sakura/a,b.pdf",
            "s3://kbfleet-sakura/c d.txt",
        )
        raw = json.dumps([f"Ignored 3 files as no text content found [Files: {', '.join(keys)}]"])
        assert parse_failure_reasons([raw])[0].documents == keys

    def test_several_lists_of_files_in_one_text_are_all_found(self) -> None:
        reason = parse_failure_reasons(["a [Files: s3://b/1]. b [Files: s3://b/2, s3://b/3]."])[0]
        assert reason == FailureReason("a. b.", ("s3://b/1", "s3://b/2", "s3://b/3"))

    @pytest.mark.parametrize("raw", [[], [""], ["   "], ["[]"], ['[""]'], ['["", "  "]']])
    def test_empty_texts_are_no_reasons(self, raw: list[str]) -> None:
        assert parse_failure_reasons(raw) == ()

    def test_what_is_not_text_within_the_array_is_shown_as_json(self) -> None:
        assert parse_failure_reasons(['[{"理由": 1}]']) == (FailureReason('{"理由": 1}'),)

    @given(st.lists(st.text()))
    def test_no_text_whatever_makes_parsing_fail(self, raw: list[str]) -> None:
        for reason in parse_failure_reasons(raw):
            assert isinstance(reason.text, str)

    @given(
        st.lists(
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            ),
            max_size=3,
        )
    )
    def test_no_json_whatever_makes_parsing_fail(self, raw: list[object]) -> None:
        parse_failure_reasons([json.dumps(value) for value in raw])

    def test_json_nested_too_deep_to_read_is_kept_as_it_came(self) -> None:
        deep = "[" * 100_000 + "]" * 100_000
        assert parse_failure_reasons([deep]) == (FailureReason(deep),)

    @given(st.lists(st.text("abc ,.日本()'&", min_size=1, max_size=20).map(str.strip).filter(bool), min_size=1))
    def test_every_named_document_is_found_whatever_its_key_is(self, keys: list[str]) -> None:
        uris = tuple(f"s3://bucket/{key}" for key in keys)
        raw = json.dumps([f"Ignored files [Files: {', '.join(uris)}]. Call to Customer Source did not succeed."])
        assert parse_failure_reasons([raw])[0].documents == uris


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
        reasons = parse_failure_reasons([UNSUPPORTED])
        assert ingestion_job(statistics=Statistics(scanned=2), failure_reasons=reasons).outcome is Outcome.DEGRADED

    def test_documents_are_searchable_after_success_and_degradation_only(self) -> None:
        assert {outcome for outcome in Outcome if outcome.usable} == {Outcome.SUCCEEDED, Outcome.DEGRADED}

    def test_people_are_told_of_failure_and_degradation_only(self) -> None:
        assert {outcome for outcome in Outcome if outcome.broken} == {Outcome.DEGRADED, Outcome.FAILED}

    def test_statistics_are_read_by_bedrocks_names_and_missing_counts_are_zero(self) -> None:
        counts = {
            "numberOfDocumentsScanned": 1,
            "numberOfMetadataDocumentsScanned": 2,
            "numberOfNewDocumentsIndexed": 3,
            "numberOfModifiedDocumentsIndexed": 4,
            "numberOfMetadataDocumentsModified": 5,
            "numberOfDocumentsDeleted": 6,
            "numberOfDocumentsFailed": 7,
            "numberOfDocumentsSkipped": 8,
        }
        assert statistics_from_counts(counts) == Statistics(1, 2, 3, 4, 5, 6, 7, 8)
        assert statistics_from_counts({}) == Statistics()


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

    def test_documents_are_named_once_in_order(self) -> None:
        reasons = (FailureReason("a", ("s3://b/2", "s3://b/1")), FailureReason("b", ("s3://b/1", "s3://b/3")))
        assert job_state_change(failure_reasons=reasons).documents == ("s3://b/2", "s3://b/1", "s3://b/3")
        assert job_state_change().data_source == DATA_SOURCE
