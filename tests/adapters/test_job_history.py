"""What every job history does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.bounds import PAGE_BYTES
from kbfleet.domain.ingestion_job import FailureReason, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.names import Life
from kbfleet.ports import JobHistory, Recorded
from tests.support.clock import START
from tests.support.fakes import InMemoryJobHistory
from tests.support.samples import ACME, SAKURA, failure_reason, job_state_change

KEPT_FOR = timedelta(days=90)
STARTING = job_state_change(status=JobStatus.STARTING, outcome=None, occurred_at=START, statistics=Statistics())
COMPLETE = job_state_change(
    outcome=Outcome.DEGRADED,
    statistics=Statistics(1, 2, 3, 4, 5, 6, 7, 8),
    external=True,
    failure_reasons=(failure_reason("無視されました", "s3://b/議事録, 1.md", "s3://b/2.md"), FailureReason("x")),
)


def job(number: int, **fields: object) -> JobStateChange:
    started_at = START + timedelta(minutes=10 * number)
    change = job_state_change(
        ingestion_job_id=f"JOB{number:07}", started_at=started_at, occurred_at=started_at + timedelta(minutes=3)
    )
    return replace(change, **fields)  # type: ignore[arg-type]  # the fields are checked where the test names them


class JobHistorySuite:
    @pytest.fixture
    def history(self) -> JobHistory:
        raise NotImplementedError

    def test_a_tenant_without_jobs_has_an_empty_history(self, history: JobHistory) -> None:
        assert list(history.latest(Life(ACME), 10)) == []

    def test_a_change_comes_back_as_it_was_stored(self, history: JobHistory) -> None:
        history.record(COMPLETE, START)
        assert list(history.latest(Life(ACME), 10)) == [COMPLETE]

    def test_each_life_has_a_history_of_its_own(self, history: JobHistory) -> None:
        lives = [Life(ACME, number) for number in (1, 2, 12)]
        for number, life in enumerate(lives):
            for each in (job(number), job(number + 10), job(99, ingestion_job_id=None, status=JobStatus.FAILED)):
                assert history.record(replace(each, life=life.number), START) is Recorded.YOURS
        for number, life in enumerate(lives):
            first = history.page(life, 2, None)
            assert [change.of_life for change in first.jobs] == [life, life]
            (last,) = history.page(life, 2, first.following).jobs
            assert last == job(number, life=life.number)
            assert history.find(life, job(number + 10).name) == job(number + 10, life=life.number)
            assert history.find(life, job((number + 1) % 3).name) is None
            assert len(list(history.started_since(life, START - timedelta(days=1)))) == 3

    def test_a_job_has_one_entry_with_its_newest_state(self, history: JobHistory) -> None:
        history.record(STARTING, START)
        history.record(COMPLETE, START)
        assert list(history.latest(Life(ACME), 10)) == [COMPLETE]

    def test_a_state_that_was_seen_earlier_does_not_replace_a_later_one(self, history: JobHistory) -> None:
        history.record(COMPLETE, START)
        history.record(STARTING, START)
        assert list(history.latest(Life(ACME), 10)) == [COMPLETE]

    def test_a_repetition_changes_nothing(self, history: JobHistory) -> None:
        history.record(COMPLETE, START)
        history.record(COMPLETE, START)
        assert list(history.latest(Life(ACME), 10)) == [COMPLETE]

    def test_the_newest_jobs_come_first_and_no_more_than_were_asked_for(self, history: JobHistory) -> None:
        for number in (3, 1, 5, 2, 4):
            history.record(job(number), START)
        assert list(history.latest(Life(ACME), 3)) == [job(5), job(4), job(3)]

    def test_they_come_in_pages_each_job_once(self, history: JobHistory) -> None:
        for number in range(5):
            history.record(job(number), START)
        history.record(job(9, tenant_id=SAKURA), START)
        first = history.page(Life(ACME), 2, None)
        second = history.page(Life(ACME), 2, first.following)
        third = history.page(Life(ACME), 2, second.following)
        assert [list(page.jobs) for page in (first, second, third)] == [[job(4), job(3)], [job(2), job(1)], [job(0)]]
        assert third.following is None

    def test_a_page_that_is_full_by_chance_is_the_last(self, history: JobHistory) -> None:
        for number in range(2):
            history.record(job(number), START)
        assert history.page(Life(ACME), 2, None).following is None

    @pytest.mark.parametrize(("after", "given"), [(" ", 0), ("~", 2)])
    def test_any_text_is_a_place_to_go_on_from(self, history: JobHistory, after: str, given: int) -> None:
        for number in range(2):
            history.record(job(number), START)
        assert len(history.page(Life(ACME), 5, after).jobs) == given

    def test_a_page_has_as_many_as_fit_into_an_answer_and_no_job_is_lost(self, history: JobHistory) -> None:
        loud = tuple(FailureReason(f"{number}: {'理' * 2_000}") for number in range(2_048))
        for number in range(60):
            history.record(job(number, failure_reasons=loud), START)
        found, after = [], None
        for _ in range(60):
            page = history.page(Life(ACME), 100, after)
            assert page.jobs
            assert sum(change.size for change in page.jobs) <= PAGE_BYTES
            found += [change.name for change in page.jobs]
            after = page.following
            if after is None:
                break
        assert found == [f"JOB{number:07}" for number in reversed(range(60))]
        assert len(history.latest(Life(ACME), 60)) == 60

    def test_a_job_is_found_by_its_name(self, history: JobHistory) -> None:
        refused = job(3, ingestion_job_id=None, started_at=None, generation=7)
        for recorded in (job(1), job(2), refused):
            history.record(recorded, START)
        assert history.find(Life(ACME), "JOB0000001") == job(1)
        assert history.find(Life(ACME), "generation-7") == refused
        assert history.find(Life(ACME), "0000001") is None
        assert history.find(Life(SAKURA), "JOB0000001") is None

    def test_jobs_that_were_started_since_a_moment_are_given_the_one_of_that_moment_too(
        self, history: JobHistory
    ) -> None:
        for number in range(5):
            history.record(job(number), START)
        history.record(job(4, tenant_id=SAKURA), START)
        since = START + timedelta(minutes=20)
        given = sorted(history.started_since(Life(ACME), since), key=lambda change: change.occurred_at)
        assert given == [job(2), job(3), job(4)]
        assert list(history.started_since(Life(ACME), START + timedelta(days=1))) == []

    def test_a_start_that_was_refused_has_an_entry_although_it_has_no_job(self, history: JobHistory) -> None:
        refused = job(9, ingestion_job_id=None, started_at=None, outcome=Outcome.FAILED, status=JobStatus.FAILED)
        history.record(job(1), START)
        history.record(refused, START)
        assert list(history.latest(Life(ACME), 10)) == [refused, job(1)]

    def test_one_observer_publishes_a_change_the_others_wait_and_then_nobody_does(self, history: JobHistory) -> None:
        assert history.record(COMPLETE, START) is Recorded.YOURS
        assert history.record(COMPLETE, START) is Recorded.ANOTHERS
        history.published(COMPLETE)
        assert history.record(COMPLETE, START) is Recorded.PUBLISHED
        assert history.record(COMPLETE, START + timedelta(days=1)) is Recorded.PUBLISHED

    def test_who_dies_before_publishing_is_replaced_after_a_minute(self, history: JobHistory) -> None:
        history.record(COMPLETE, START)
        assert history.record(COMPLETE, START + timedelta(seconds=59)) is Recorded.ANOTHERS
        assert history.record(COMPLETE, START + timedelta(seconds=60)) is Recorded.YOURS
        assert history.record(COMPLETE, START + timedelta(seconds=61)) is Recorded.ANOTHERS

    def test_each_state_of_a_job_is_published_by_itself_also_out_of_order(self, history: JobHistory) -> None:
        assert history.record(COMPLETE, START) is Recorded.YOURS
        assert history.record(STARTING, START) is Recorded.YOURS
        history.published(STARTING)
        assert history.record(COMPLETE, START) is Recorded.ANOTHERS

    def test_tenants_are_kept_apart(self, history: JobHistory) -> None:
        history.record(job(1), START)
        history.record(job(2, tenant_id=SAKURA), START)
        assert list(history.latest(Life(ACME), 10)) == [job(1)]


class TestInMemoryJobHistory(JobHistorySuite):
    @pytest.fixture
    def history(self) -> JobHistory:
        return InMemoryJobHistory()


class TestDynamoDBJobHistory(JobHistorySuite):
    @pytest.fixture
    def history(self, table: Table) -> JobHistory:
        return DynamoDBJobHistory(table, kept_for=KEPT_FOR)

    def test_entries_expire_by_the_attribute_that_the_table_lives_by(self, table: Table) -> None:
        DynamoDBJobHistory(table, kept_for=KEPT_FOR).record(COMPLETE, START)
        item = table.client.scan(TableName=table.name)["Items"][0]
        assert item["expires_at"] == {"N": str(int((COMPLETE.occurred_at + KEPT_FOR).timestamp()))}
