"""Documents that Bedrock could not index: what jobs' ends make of the list, and trying them again without a sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbfleet.domain.alert import document_alert
from kbfleet.domain.document_examination import DocumentFault, DocumentSample
from kbfleet.domain.errors import ResourceMissing, TenantNotActive, TenantNotFound, TenantSuspended, Throttled
from kbfleet.domain.failed_documents import (
    ANSWER_WITHIN,
    SET_ASIDE_AFTER,
    DocumentRetry,
    FailedDocument,
    FailureReport,
    FailureStatus,
    IngestedDocument,
    IngestedStatus,
    News,
    Sighting,
    seen_failing,
)
from kbfleet.domain.ingestion_job import FailureReason, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.left_out import NotKnown, left_out_not_known
from kbfleet.domain.names import Knowledge, Life
from kbfleet.domain.profiles import Answering, Ingestion, Parser, ParserKind, Profile, ProfileName
from kbfleet.domain.sync import Sync, SyncResult
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases import failed_documents
from kbfleet.usecases.failed_documents import documents_named_by, request_retry
from kbfleet.usecases.ingestion import update_sync
from tests.support.clock import START
from tests.support.fakes import InMemorySyncLedger
from tests.support.fleet import Fleet
from tests.support.samples import (
    ACME,
    DEPLOYMENT,
    NAMES,
    SAKURA,
    failure_reason,
    first_knowledge,
    job_state_change,
    tenant,
    uri_of,
)

A, B, C = map(uri_of, ("a.pdf", "議事録, 第2版.pdf", "c.md"))
NO_TEXT = "Ignored files as no text content found"
PASSING = "Internal error"


class Jobs:
    """A fleet with one tenant, and the ends of its jobs."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.fleet.registry.create(tenant())
        self.fleet.ledger.save(Sync(ACME))
        self.number = 0
        for uri in (A, B, C):
            self.fleet.bucket_contents.put(uri)

    def ended(
        self,
        failing: Mapping[str, str] | None = None,
        *,
        outcome: Outcome | None = None,
        reasons: tuple[FailureReason, ...] | None = None,
        failed: int | None = None,
        statistics: Statistics | None = None,
    ) -> JobStateChange:
        """A job ends now, and names these documents with their reasons."""
        failing = failing or {}
        self.number += 1
        self.fleet.clock.advance(60)
        for uri, reason in failing.items():
            self.fleet.ingested_documents.set(uri, IngestedStatus.FAILED, reason)
        texts = dict.fromkeys(failing.values())
        named = tuple(failure_reason(text, *(u for u, t in failing.items() if t == text)) for text in texts)
        made = outcome or (Outcome.DEGRADED if failing or reasons or failed else Outcome.SUCCEEDED)
        return job_state_change(
            ingestion_job_id=f"JOB{self.number:07}",
            status=JobStatus.FAILED if made is Outcome.FAILED else JobStatus.COMPLETE,
            outcome=made,
            occurred_at=self.fleet.clock.now(),
            started_at=self.fleet.clock.now() - timedelta(seconds=50),
            statistics=statistics or Statistics(scanned=3, failed=len(failing) if failed is None else failed),
            failure_reasons=named if reasons is None else reasons,
        )

    def collected(self, failing: Mapping[str, str] | None = None, **how: object) -> FailureReport | None:
        return self.fleet.failure_collector.collect(self.ended(failing, **how))  # type: ignore[arg-type]  # as `ended`

    def followed(self, failing: Mapping[str, str] | None = None, **how: object) -> None:
        """A job ends, the ledger learns of it, and what it left out is collected."""
        job = self.ended(failing, **how)  # type: ignore[arg-type]  # as `ended`
        self.in_ledger(job)
        self.fleet.failure_collector.collect(job)

    def in_ledger(self, job: JobStateChange) -> None:
        assert job.outcome is not None
        result = SyncResult(job.outcome, 0, job.occurred_at, job.ingestion_job_id)
        update_sync(Knowledge(Life(ACME)), lambda sync: sync.ended(result, job.occurred_at), ledger=self.fleet.ledger)

    @property
    def left_out(self) -> int | None:
        return self.fleet.ledger.find(Knowledge(Life(ACME))).documents_left_out

    def report(self, failing: Mapping[str, str] | None = None, **how: object) -> FailureReport:
        report = self.collected(failing, **how)
        assert report is not None
        return report

    @property
    def failing(self) -> dict[str, FailedDocument]:
        return {document.uri: document for document in self.fleet.failed_documents.all(Life(ACME))}


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


class TestHowManyAreLeftOut:
    """What askers are told: a number where it is known, and never 0 because nobody has looked."""

    def test_before_a_job_has_ended_nobody_knows(self, jobs: Jobs) -> None:
        assert jobs.left_out is None

    def test_after_a_first_job_that_left_nothing_out_there_are_none(self, jobs: Jobs) -> None:
        jobs.followed()
        assert jobs.left_out == 0

    def test_documents_that_failed_before_anybody_counted_are_counted(self, jobs: Jobs) -> None:
        jobs.fleet.ingested_documents.set(B, IngestedStatus.FAILED, NO_TEXT)
        jobs.followed()
        assert jobs.left_out == 1
        assert set(jobs.failing) == {B}

    def test_the_list_is_looked_through_for_the_first_count_only(self, jobs: Jobs) -> None:
        jobs.followed()
        pages_read = jobs.fleet.ingested_documents.pages_read
        jobs.followed()
        jobs.followed({A: NO_TEXT})
        assert (jobs.left_out, jobs.fleet.ingested_documents.pages_read) == (1, pages_read)

    def test_documents_that_fail_are_counted_until_they_are_fixed(self, jobs: Jobs) -> None:
        jobs.followed({A: NO_TEXT, B: NO_TEXT})
        assert jobs.left_out == 2
        jobs.followed({A: NO_TEXT})  # b is not named any more, which proves nothing
        assert jobs.left_out == 2
        jobs.fleet.ingested_documents.set(A, IngestedStatus.INDEXED)
        jobs.followed()
        assert jobs.left_out == 1
        jobs.fleet.bucket_contents.delete(B)
        jobs.fleet.ingested_documents.forget(B)
        jobs.followed()
        assert jobs.left_out == 0

    def test_between_the_end_of_a_job_that_left_something_out_and_the_count_nobody_knows(self, jobs: Jobs) -> None:
        jobs.followed()
        job = jobs.ended({A: NO_TEXT})
        jobs.in_ledger(job)
        assert jobs.left_out is None
        jobs.fleet.failure_collector.collect(job)
        assert jobs.left_out == 1

    @pytest.mark.parametrize("before", [{}, {A: NO_TEXT}])
    def test_a_count_that_is_faster_than_the_ledger_stays(self, jobs: Jobs, before: Mapping[str, str]) -> None:
        jobs.followed(before)
        job = jobs.ended({A: NO_TEXT})
        jobs.fleet.failure_collector.collect(job)
        jobs.in_ledger(job)
        assert jobs.left_out == 1

    def test_a_late_count_of_an_earlier_job_changes_nothing(self, jobs: Jobs) -> None:
        earlier = jobs.ended({A: NO_TEXT}, failed=9)
        jobs.followed({A: NO_TEXT})
        jobs.fleet.failure_collector.collect(earlier)
        assert jobs.left_out == 1

    def test_where_more_failed_than_could_be_found_nobody_knows_also_after_a_job_that_leaves_nothing_out(
        self, jobs: Jobs
    ) -> None:
        jobs.followed()
        jobs.followed({A: NO_TEXT}, failed=2)
        assert jobs.left_out is None
        jobs.fleet.ingested_documents.set(A, IngestedStatus.INDEXED)
        jobs.followed()
        assert jobs.left_out is None
        assert not jobs.failing

    def test_where_the_list_is_longer_than_is_looked_through_nobody_knows(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failed_documents, "PAGES", 0)
        for uri in (A, B, C):
            jobs.fleet.ingested_documents.set(uri, IngestedStatus.INDEXED)
        jobs.followed()
        assert jobs.left_out is None

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.STOPPED])
    def test_after_a_job_that_brought_nothing_nobody_knows_until_the_next(self, jobs: Jobs, outcome: Outcome) -> None:
        jobs.followed({A: NO_TEXT})
        jobs.followed(outcome=outcome)
        assert jobs.left_out is None
        jobs.followed()
        assert jobs.left_out == 1

    def test_the_entry_of_a_tenant_that_was_erased_does_not_come_back(self) -> None:
        jobs = Jobs()
        jobs.fleet.ledger = InMemorySyncLedger()
        jobs.collected({A: NO_TEXT})
        assert jobs.fleet.ledger.find(Knowledge(Life(ACME))).version == 0


class TestWhetherItIsKnown:
    """That nothing is in the list is told as well only where it was looked at."""

    def why(self, jobs: Jobs) -> NotKnown | None:
        not_known = left_out_not_known(jobs.fleet.ledger.find(Knowledge(Life(ACME))))
        return not_known.why if not_known else None

    def test_before_a_job_has_ended_it_is_not(self, jobs: Jobs) -> None:
        assert self.why(jobs) is NotKnown.NEVER_SYNCED

    def test_after_a_job_that_was_collected_it_is(self, jobs: Jobs) -> None:
        jobs.followed()
        assert self.why(jobs) is None

    def test_while_a_job_is_not_collected_it_is_not_and_the_job_is_named(self, jobs: Jobs) -> None:
        jobs.followed()
        job = jobs.ended({A: NO_TEXT})
        jobs.in_ledger(job)
        not_known = left_out_not_known(jobs.fleet.ledger.find(Knowledge(Life(ACME))))
        assert not_known is not None
        assert (not_known.why, not_known.since, not_known.job) == (
            NotKnown.NOT_COLLECTED,
            job.occurred_at,
            job.ingestion_job_id,
        )
        assert "kbfleet dlq redrive failures" in not_known.advice

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.STOPPED])
    def test_after_a_job_that_brought_nothing_it_is_not(self, jobs: Jobs, outcome: Outcome) -> None:
        jobs.followed()
        jobs.followed(outcome=outcome)
        assert self.why(jobs) is NotKnown.JOB_BROUGHT_NOTHING

    def test_where_more_failed_than_could_be_found_it_is_not(self, jobs: Jobs) -> None:
        jobs.followed({A: NO_TEXT}, failed=2)
        assert self.why(jobs) is NotKnown.NOT_ALL_FOUND
        jobs.followed()
        assert self.why(jobs) is NotKnown.NOT_ALL_FOUND

    def test_what_a_job_left_out_whose_collection_was_lost_is_found_and_told_after_the_next(self, jobs: Jobs) -> None:
        jobs.followed()
        jobs.in_ledger(jobs.ended({A: NO_TEXT}))  # its collection ends in the dead-letter queue
        good = jobs.ended()
        jobs.in_ledger(good)
        assert self.why(jobs) is NotKnown.NOT_COLLECTED
        report = jobs.fleet.failure_collector.collect(good)
        assert set(jobs.failing) == {A}
        assert report is not None
        assert (report.new, report.newsworthy, jobs.left_out, self.why(jobs)) == (1, True, 1, None)

    def test_a_lost_collection_that_is_redriven_makes_it_known(self, jobs: Jobs) -> None:
        jobs.followed()
        lost = jobs.ended({A: NO_TEXT})
        jobs.in_ledger(lost)
        jobs.fleet.failure_collector.collect(lost)
        assert (jobs.left_out, self.why(jobs)) == (1, None)

    def test_one_collection_does_not_stand_for_a_later_job(self, jobs: Jobs) -> None:
        jobs.followed()
        first, second = jobs.ended({A: NO_TEXT}), jobs.ended({B: NO_TEXT})
        jobs.in_ledger(first)
        jobs.in_ledger(second)
        jobs.fleet.failure_collector.collect(first)
        assert self.why(jobs) is NotKnown.NOT_COLLECTED
        jobs.fleet.failure_collector.collect(second)
        assert (jobs.left_out, self.why(jobs)) == (2, None)

    def test_an_entry_of_the_last_version_is_read(self, jobs: Jobs) -> None:
        jobs.in_ledger(jobs.ended({A: NO_TEXT}))
        old = jobs.fleet.ledger.find(Knowledge(Life(ACME)))
        jobs.fleet.ledger.save(replace(old, uncounted_since=None))
        assert self.why(jobs) is NotKnown.NOT_COLLECTED

    @given(st.lists(st.tuples(st.sampled_from([*Outcome]), st.booleans()), min_size=1, max_size=12))
    def test_it_is_said_to_be_known_only_after_every_job_that_may_have_left_something_out_was_collected(
        self, happened: list[tuple[Outcome, bool]]
    ) -> None:
        jobs = Jobs()
        for outcome, collected in happened:
            failing = {A: NO_TEXT} if outcome is Outcome.DEGRADED else {}
            job = jobs.ended(failing, outcome=outcome)
            jobs.in_ledger(job)
            if collected:
                jobs.fleet.failure_collector.collect(job)
        if self.why(jobs) is None:
            assert jobs.left_out == len(jobs.failing)
            assert (A in jobs.failing) == any(outcome is Outcome.DEGRADED for outcome, _ in happened)

    def test_documents_that_were_skipped_are_looked_for(self, jobs: Jobs) -> None:
        jobs.followed()
        jobs.fleet.ingested_documents.set(B, IngestedStatus.IGNORED)
        counts = Statistics(scanned=3, skipped=1)
        report = jobs.report(reasons=counts.reasons, statistics=counts)
        assert (set(jobs.failing), report.new, report.newsworthy) == ({B}, 1, True)

    def test_where_some_were_skipped_and_none_fails_nobody_is_alarmed(self, jobs: Jobs) -> None:
        jobs.followed()
        counts = Statistics(scanned=3, skipped=1)
        report = jobs.report(reasons=counts.reasons, statistics=counts)
        assert (report.newsworthy, report.well) == (False, True)

    def test_whoever_died_before_the_end_was_told_tells_it_when_it_is_repeated(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs.followed({A: NO_TEXT})
        jobs.fleet.ingested_documents.set(A, IngestedStatus.INDEXED)
        good = jobs.ended()
        jobs.in_ledger(good)
        with monkeypatch.context() as dying:
            dying.setattr(jobs.fleet.announcements, "failures_collected", lambda _report: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                jobs.fleet.failure_collector.collect(good)
        assert not jobs.failing
        report = jobs.fleet.failure_collector.collect(good)
        assert report is not None
        assert report.well


class TestCollecting:
    def test_a_document_that_a_job_names_is_in_the_list_with_its_reason(self, jobs: Jobs) -> None:
        jobs.collected()
        pages_read = jobs.fleet.ingested_documents.pages_read
        report = jobs.report({A: NO_TEXT, B: "Internal error"})
        assert {uri: document.reason for uri, document in jobs.failing.items()} == {A: NO_TEXT, B: "Internal error"}
        assert (report.new, report.complete, report.newsworthy) == (2, True, True)
        assert jobs.fleet.announcements.failure_reports == [report]
        assert jobs.fleet.ingested_documents.pages_read == pages_read  # nothing is looked for that is known

    def test_a_job_without_failures_of_a_tenant_without_any_is_nothing_to_report(self, jobs: Jobs) -> None:
        assert jobs.collected() is None
        assert jobs.fleet.announcements.failure_reports == []

    def test_a_document_that_is_indexed_now_leaves_the_list(self, jobs: Jobs) -> None:
        jobs.collected({A: NO_TEXT, B: NO_TEXT})
        jobs.fleet.ingested_documents.set(A, IngestedStatus.INDEXED)
        report = jobs.report({B: NO_TEXT})
        assert set(jobs.failing) == {B}
        assert (report.fixed, report.again, report.new) == (1, 1, 0)

    def test_a_document_that_is_gone_from_the_bucket_leaves_the_list(self, jobs: Jobs) -> None:
        jobs.collected({A: NO_TEXT})
        jobs.fleet.bucket_contents.delete(A)
        jobs.fleet.ingested_documents.forget(A)
        assert jobs.report().fixed == 1
        assert not jobs.failing

    def test_a_document_that_a_later_job_does_not_try_stays_and_is_no_news(self, jobs: Jobs) -> None:
        jobs.collected({A: NO_TEXT})
        before = jobs.failing[A]
        report = jobs.report()
        assert jobs.failing == {A: before}
        assert (report.new, report.again, report.newsworthy) == (0, 0, False)

    def test_one_that_bedrock_does_not_keep_leaves_when_it_was_changed_and_a_later_job_does_not_name_it(
        self, jobs: Jobs
    ) -> None:
        jobs.collected({A: NO_TEXT})
        jobs.fleet.ingested_documents.forget(A)
        jobs.collected()
        assert set(jobs.failing) == {A}
        jobs.fleet.bucket_contents.put(A, "2")
        jobs.collected(outcome=Outcome.FAILED)
        assert set(jobs.failing) == {A}
        jobs.collected()
        assert not jobs.failing

    def test_the_same_end_reported_again_says_and_changes_nothing_else(self, jobs: Jobs) -> None:
        end = jobs.ended({A: NO_TEXT})
        first = jobs.fleet.failure_collector.collect(end)
        before = jobs.failing
        assert jobs.fleet.failure_collector.collect(end) == first
        assert jobs.failing == before

    def test_an_end_that_is_reported_late_does_not_bring_back_what_was_fixed_since(self, jobs: Jobs) -> None:
        late = jobs.ended({A: NO_TEXT})
        jobs.fleet.clock.advance(60)
        jobs.fleet.ingested_documents.set(A, IngestedStatus.INDEXED)
        jobs.fleet.failure_collector.collect(late)
        assert not jobs.failing

    def test_documents_that_the_job_does_not_name_are_looked_for_on_every_page(self, jobs: Jobs) -> None:
        ingested = jobs.fleet.ingested_documents
        for number in range(9):
            ingested.set(uri_of(f"{number}"), IngestedStatus.INDEXED)
        for uri, status in zip((A, B, C), ("PARTIALLY_INDEXED", "METADATA_UPDATE_FAILED", "IGNORED"), strict=True):
            ingested.set(uri, IngestedStatus(status))
        report = jobs.report(reasons=(FailureReason("Something failed."),), failed=3)
        assert set(jobs.failing) == {A, B, C}
        assert jobs.failing[A].reason == "Bedrock reports PARTIALLY_INDEXED and no reason."
        assert (report.new, report.complete) == (3, True)

    def test_somebody_elses_document_in_the_index_is_a_breach_and_in_no_list(self, jobs: Jobs) -> None:
        foreign = uri_of("house.md", SAKURA)
        jobs.fleet.ingested_documents.set(foreign, IngestedStatus.FAILED)
        jobs.report(reasons=(FailureReason("Something failed."),), failed=1)
        assert not jobs.failing
        (breach,) = jobs.fleet.announcements.breaches
        assert breach.tenant_id == ACME
        assert foreign not in str(breach)

    def test_no_more_pages_are_read_than_promised_and_that_is_said(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failed_documents, "PAGES", 2)
        for number in range(8):
            jobs.fleet.ingested_documents.set(uri_of(f"{number}"), IngestedStatus.INDEXED)
        jobs.fleet.ingested_documents.set(A, IngestedStatus.FAILED)
        report = jobs.report(failed=1)
        assert (report.complete, report.newsworthy) == (False, True)
        assert jobs.fleet.ingested_documents.pages_read == 3  # the third says that there are more

    def test_a_list_is_not_longer_than_promised_and_that_is_said(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failed_documents, "MOST", 2)
        report = jobs.report({A: NO_TEXT, B: NO_TEXT, C: NO_TEXT})
        assert len(jobs.failing) == 2
        assert (report.new, report.complete) == (2, False)
        for uri in list(jobs.failing):
            jobs.fleet.ingested_documents.set(uri, IngestedStatus.INDEXED)
        jobs.collected({C: NO_TEXT})
        assert not {A, B} & set(jobs.failing)

    def test_a_knowledge_base_that_lists_nothing_still_has_what_its_jobs_name(self, jobs: Jobs) -> None:
        jobs.fleet.ingested_documents.lists = False
        report = jobs.report({A: NO_TEXT}, failed=2)
        assert set(jobs.failing) == {A}
        assert not report.complete

    def test_a_data_source_that_is_gone_is_no_reason_to_say_nothing(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(*_: object) -> None:
            raise ResourceMissing("The data source does not exist.")

        monkeypatch.setattr(jobs.fleet.ingested_documents, "look_up", gone)
        assert jobs.report({A: NO_TEXT}).newsworthy
        assert set(jobs.failing) == {A}

    @pytest.mark.parametrize("status", [TenantStatus.OFFBOARDED])
    def test_nothing_is_added_to_the_records_of_a_tenant_that_has_gone(self, jobs: Jobs, status: TenantStatus) -> None:
        jobs.fleet.registry.replace(tenant(status=status), fence=1)
        assert jobs.collected({A: NO_TEXT}) is None
        assert not jobs.failing

    def test_a_tenant_that_nobody_knows_is_an_error(self, jobs: Jobs) -> None:
        with pytest.raises(TenantNotFound):
            Fleet().failure_collector.collect(jobs.ended({A: NO_TEXT}))


class TestWhetherAJobNamesAll:
    @pytest.mark.parametrize(
        ("failed", "reasons", "all_named"),
        [
            (2, (failure_reason("Ignored 2 files as no text", A, B),), True),
            (1, (failure_reason("Internal error", A),), True),
            (0, (failure_reason("Ignored 1 file as its metadata was too large", A),), True),
            (3, (failure_reason("Ignored 2 files as no text", A, B),), False),
            (0, (failure_reason("Ignored 200 files as no text", A, B),), False),
            (0, (FailureReason("Something failed."),), False),
            (1, (), False),
        ],
    )
    def test_by_its_counts(self, failed: int, reasons: tuple[FailureReason, ...], all_named: bool) -> None:
        job = job_state_change(outcome=Outcome.DEGRADED, statistics=Statistics(failed=failed), failure_reasons=reasons)
        documents = Jobs().fleet.bucket_contents
        assert documents_named_by(job, NAMES.bucket(Life(ACME)), documents).all is all_named


class TestSettingAside:
    def test_a_document_is_set_aside_after_so_many_jobs_in_a_row_reported_once_and_then_no_news(
        self, jobs: Jobs
    ) -> None:
        reports = [jobs.report({A: NO_TEXT}) for _ in range(SET_ASIDE_AFTER + 2)]
        assert [(r.new, r.again, r.set_aside_now, r.set_aside, r.newsworthy) for r in reports] == [
            (1, 0, 0, 0, True),
            (0, 1, 0, 0, True),
            (0, 0, 1, 0, True),
            (0, 0, 0, 1, False),
            (0, 0, 0, 1, False),
        ]
        assert jobs.failing[A].status is FailureStatus.SET_ASIDE
        assert jobs.failing[A].times == SET_ASIDE_AFTER + 2

    def test_another_object_in_its_place_is_a_new_chance(self, jobs: Jobs) -> None:
        for _ in range(SET_ASIDE_AFTER):
            jobs.collected({A: NO_TEXT})
        jobs.fleet.bucket_contents.put(A, "2")
        report = jobs.report({A: NO_TEXT})
        assert (jobs.failing[A].status, jobs.failing[A].times, report.new) == (FailureStatus.FAILED, 1, 1)

    def test_a_new_failure_is_news_also_beside_one_that_is_set_aside(self, jobs: Jobs) -> None:
        for _ in range(SET_ASIDE_AFTER):
            jobs.collected({A: NO_TEXT})
        report = jobs.report({A: NO_TEXT, B: NO_TEXT})
        assert (report.new, report.set_aside, report.newsworthy) == (1, 1, True)
        assert [(document.uri, document.news) for document in report.documents] == [(B, News.NEW)]

    def test_a_failure_that_nobody_can_explain_is_always_news(self, jobs: Jobs) -> None:
        assert jobs.report(failed=1).newsworthy

    def test_a_job_that_failed_as_a_whole_is_reported_by_itself(self, jobs: Jobs) -> None:
        assert not jobs.report({A: NO_TEXT}, outcome=Outcome.FAILED).newsworthy
        assert set(jobs.failing) == {A}

    @given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["1", "2", None])), max_size=30))
    def test_ends_in_any_order_and_repeated_make_each_news_once(self, reported: list[tuple[int, str | None]]) -> None:
        known: FailedDocument | None = None
        news: dict[datetime, News] = {}
        for minute, revision in reported:
            at = START + timedelta(minutes=minute)
            after = seen_failing(known, Sighting(A, NO_TEXT), revision, at)
            assert known is None or after.last_seen >= known.last_seen
            assert (after == known) or after.last_seen == at
            assert after.status is (FailureStatus.SET_ASIDE if after.times >= SET_ASIDE_AFTER else FailureStatus.FAILED)
            if after != known:
                assert at not in news
                news[at] = after.news_of(at)
            known = after
        counts = Counter(news.values())
        assert counts[News.SET_ASIDE_NOW] <= counts[News.NEW]  # once for each object that fails


PICTURES = b"%PDF-1.4 4 0 obj<</Type /XObject /Subtype /Image>>stream endstream endobj trailer<<>> startxref 0 %%EOF"
DEFECTS: Mapping[str, tuple[bytes, DocumentFault]] = {
    uri_of("scan.pdf"): (PICTURES, DocumentFault.SCAN),
    uri_of("locked.pdf"): (PICTURES.replace(b"<<>>", b"<</Encrypt 9 0 R>>"), DocumentFault.ENCRYPTED),
    uri_of("cut.pdf"): (PICTURES[:60], DocumentFault.CUT),
    uri_of("empty.md"): (b"", DocumentFault.EMPTY),
}


class TestWhatIsWrongWithADocument:
    def test_a_reason_of_many_documents_becomes_one_of_each(self, jobs: Jobs) -> None:
        for uri, (content, _) in DEFECTS.items():
            jobs.fleet.bucket_contents.put(uri, content=content)
        report = jobs.report(dict.fromkeys(DEFECTS, NO_TEXT))
        found = {document.uri: document.finding for document in report.documents}
        assert {uri: finding.fault for uri, finding in found.items() if finding} == {
            uri: fault for uri, (_, fault) in DEFECTS.items()
        }
        assert not any(document.retry_may_help for document in report.documents)
        made = document_alert(report, DEPLOYMENT)
        assert made is not None
        said = {reason.documents: reason.text for reason in made.reasons}
        assert said[(uri_of("locked.pdf"),)].startswith("It is encrypted, and Bedrock has no password for it. Save")
        assert all(text.endswith(f"Bedrock says: {NO_TEXT}") for text in said.values())
        assert made.command == "kbfleet upload acme FILE --key KEY --stack kbfleet --region us-east-1"
        assert "retry-failed" not in f"{made.advice} {made.command}"

    def test_what_a_model_was_to_read_is_told_so_and_can_be_tried_again(self, jobs: Jobs) -> None:
        by_a_model = Parser(ParserKind.FOUNDATION_MODEL, "apac.amazon.nova-pro-v1:0")
        office = Profile(
            ProfileName("office"), 1, Ingestion("S3_VECTORS", parser=by_a_model), Answering("amazon.nova-lite-v1:0")
        )
        jobs.fleet.profiles.records.add(office)
        stored = jobs.fleet.registry.get(ACME)
        jobs.fleet.registry.replace(replace(stored, profile=office.reference), fence=stored.fence)
        jobs.fleet.bucket_contents.put(uri_of("scan.pdf"), content=PICTURES)
        made = document_alert(jobs.report({uri_of("scan.pdf"): NO_TEXT}), DEPLOYMENT)
        assert made is not None
        finding = jobs.failing[uri_of("scan.pdf")].finding
        assert finding is not None
        assert (finding.fault, finding.certain) == (DocumentFault.NOT_PARSED, False)
        assert made.command == "kbfleet sync retry-failed acme --stack kbfleet --region us-east-1"
        (reason,) = made.reasons
        assert "See whether the model can be called" in reason.text

    def test_a_sound_document_is_told_to_be_retried(self, jobs: Jobs) -> None:
        jobs.fleet.bucket_contents.put(C, content=b"# Rules")
        jobs.fleet.bucket_contents.put(uri_of("empty.md"), content=b"")
        made = document_alert(jobs.report({C: "Internal error", uri_of("empty.md"): NO_TEXT}), DEPLOYMENT)
        assert made is not None
        assert made.command == "kbfleet sync retry-failed acme --stack kbfleet --region us-east-1"
        assert "without those that can never be read" in made.advice
        assert jobs.failing[C].finding is None

    @pytest.mark.parametrize("documents", [{}, {C: "Internal error"}, {A: NO_TEXT}])
    def test_no_message_about_documents_tells_to_sync(self, jobs: Jobs, documents: Mapping[str, str]) -> None:
        made = document_alert(jobs.report(documents, failed=2), DEPLOYMENT)
        assert made is not None
        assert made.command
        assert "sync start" not in f"{made.advice} {made.command}"

    def test_it_is_looked_at_once_and_again_when_it_has_changed(self, jobs: Jobs) -> None:
        jobs.fleet.bucket_contents.put(C, content=b"")
        jobs.collected({C: NO_TEXT})
        jobs.collected({C: NO_TEXT})
        assert jobs.fleet.bucket_contents.sampled == 1
        jobs.fleet.bucket_contents.put(C, "2", content=b" ")
        jobs.collected({C: NO_TEXT})
        finding = jobs.failing[C].finding
        assert finding is not None
        assert finding.fault is DocumentFault.BLANK
        assert jobs.fleet.bucket_contents.sampled == 2

    def test_what_was_put_there_after_it_failed_is_not_what_failed(self, jobs: Jobs) -> None:
        jobs.fleet.bucket_contents.put(C, content=b"")
        jobs.collected({C: NO_TEXT})
        jobs.fleet.bucket_contents.put(C, "2", content=b"PK")
        jobs.fleet.ingested_documents.forget(C)
        jobs.collected(outcome=Outcome.STOPPED)
        finding = jobs.failing[C].finding
        assert finding is not None
        assert finding.fault is DocumentFault.EMPTY

    def test_no_more_are_looked_at_after_one_job_than_promised_and_the_rest_after_the_next(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failed_documents, "EXAMINED", 2)
        for uri in (A, B, C):
            jobs.fleet.bucket_contents.put(uri, content=b"")
        jobs.collected(dict.fromkeys((A, B, C), "Internal error"))
        assert jobs.fleet.bucket_contents.sampled == 2
        jobs.collected(dict.fromkeys((A, B, C), "Internal error"))
        assert jobs.fleet.bucket_contents.sampled == 3
        assert all(document.finding for document in jobs.failing.values())

    def test_those_of_an_older_version_are_looked_at_too(self, jobs: Jobs) -> None:
        jobs.fleet.bucket_contents.put(C, content=b"")
        at = jobs.fleet.clock.now()
        jobs.fleet.failed_documents.save(Life(ACME), FailedDocument(C, "Internal error", at, at, revision="1"))
        jobs.collected()
        finding = jobs.failing[C].finding
        assert finding is not None
        assert finding.fault is DocumentFault.EMPTY

    def test_of_one_that_may_not_be_read_name_and_size_are_judged(self, jobs: Jobs) -> None:
        deck = uri_of("deck.pptx")
        jobs.fleet.bucket_contents.put(deck)
        jobs.collected({deck: "Internal error"})
        examination, finding = jobs.failing[deck].examination, jobs.failing[deck].finding
        assert examination is not None
        assert not examination.looked_into
        assert finding is not None
        assert finding.fault is DocumentFault.FORMAT

    def test_a_collection_that_dies_while_it_looks_comes_to_the_same_when_it_is_repeated(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents, end = jobs.fleet.bucket_contents, jobs.ended(dict.fromkeys(DEFECTS, NO_TEXT))
        for uri, (content, _) in DEFECTS.items():
            contents.put(uri, content=content)
        look, looks = contents.sample, iter([True, True, False])

        def throttled(bucket: str, uri: str) -> DocumentSample | None:
            if next(looks):
                return look(bucket, uri)
            raise Throttled("SlowDown")

        with monkeypatch.context() as dying:
            dying.setattr(contents, "sample", throttled)
            with pytest.raises(Throttled):
                jobs.fleet.failure_collector.collect(end)
        assert len(jobs.failing) == 2
        report = jobs.fleet.failure_collector.collect(end)
        assert report is not None
        assert report.new == len(DEFECTS)
        assert {document.finding.fault for document in report.documents if document.finding} == {
            fault for _, fault in DEFECTS.values()
        }

    def test_one_that_is_replaced_at_that_moment_is_left_to_the_next_job(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs.fleet.bucket_contents, "sample", lambda *_: None)
        jobs.collected({C: "Internal error"})
        assert jobs.failing[C].examination is None

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("as no text content found", True),
            ("", True),
            ("Bedrock reports FAILED and no reason.", True),
            ("Encountered error: Ignored 1 file as no text content found.", False),
            ("Internal error", False),
        ],
    )
    def test_half_a_sentence_does_not_take_the_place_of_a_true_reason(self, said: str, kept: bool) -> None:
        known = FailedDocument(A, NO_TEXT, START, START)
        assert known.told(said).reason == (NO_TEXT if kept else said)
        after = seen_failing(known, Sighting(A, said), None, START + timedelta(minutes=1))
        assert (after.reason, after.times) == (NO_TEXT if kept else said, 2)

    def test_a_reason_takes_the_place_of_none(self) -> None:
        known = FailedDocument(A, "Bedrock reports FAILED and no reason.", START, START)
        assert known.told("Internal error").reason == "Internal error"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, str]]:
    """What happens to documents, in order: one fails in a job, is changed, fixed, or deleted."""
    acts = st.sampled_from(["fail", "change", "fix", "delete", "late", "again", "job"])
    return draw(st.lists(st.tuples(acts, st.sampled_from([A, B, C])), max_size=25))


@settings(max_examples=150, deadline=None)
@given(histories())
def test_whatever_happens_what_fails_is_in_the_list_what_is_fixed_is_not_and_nothing_is_reported_twice(
    history: list[tuple[str, str]],
) -> None:
    jobs = Jobs()
    failing: set[str] = set()
    revisions = Counter[str]()
    ends = [jobs.ended()]
    for act, uri in history:
        match act:
            case "fail":
                jobs.fleet.bucket_contents.put(uri, str(revisions[uri]))
                failing.add(uri)
            case "change":
                revisions[uri] += 1
                jobs.fleet.bucket_contents.put(uri, str(revisions[uri]))
            case "fix":
                jobs.fleet.clock.advance(1)
                jobs.fleet.ingested_documents.set(uri, IngestedStatus.INDEXED)
                failing.discard(uri)
            case "delete":
                jobs.fleet.bucket_contents.delete(uri)
                jobs.fleet.ingested_documents.forget(uri)
                failing.discard(uri)
            case "late":
                jobs.fleet.failure_collector.collect(ends[0])
            case "again":
                jobs.fleet.failure_collector.collect(ends[-1])
        ends.append(jobs.ended(dict.fromkeys(sorted(failing), NO_TEXT)))
        jobs.fleet.failure_collector.collect(ends[-1])
        assert set(jobs.failing) == failing
    reported: dict[str, FailureReport] = {}
    for report in jobs.fleet.announcements.failure_reports:
        earlier = reported.setdefault(report.identity, report)
        assert set(report.documents) <= set(earlier.documents)


class Retrying(Jobs):
    def request(self) -> DocumentRetry:
        return request_retry(
            ACME,
            registry=self.fleet.registry,
            ledger=self.fleet.ledger,
            retries=self.fleet.document_retries,
            runs=self.fleet.retry_runs,
            clock=self.fleet.clock,
        )

    def run(self) -> DocumentRetry | None:
        tenant_id, version = self.fleet.retry_runs.waiting.pop(0)
        return self.fleet.retry_runner.run(Life(tenant_id), version)

    def finished(self, *, at_most: int = 500) -> DocumentRetry:
        retry = None
        for _ in range(at_most):
            if not self.fleet.retry_runs.waiting:
                break
            retry = self.run()
            self.fleet.clock.advance(5)
        assert retry is not None
        assert retry.ended_at is not None
        return retry

    def fail(self, *uris: str) -> None:
        for uri in uris:
            self.fleet.bucket_contents.put(uri)
        self.collected(dict.fromkeys(uris, PASSING))


@pytest.fixture
def retrying() -> Retrying:
    return Retrying()


class TestRetrying:
    def test_what_is_fixed_is_not_left_out_of_answers_any_more(self, retrying: Retrying) -> None:
        retrying.followed({A: PASSING, B: PASSING})
        retrying.fleet.ingested_documents.outcomes[B] = IngestedStatus.FAILED
        retrying.request()
        retrying.finished()
        assert retrying.left_out == 1

    def test_its_end_says_what_is_left(self, retrying: Retrying) -> None:
        retrying.followed({A: PASSING, B: PASSING})
        retrying.fleet.ingested_documents.outcomes[B] = IngestedStatus.FAILED
        retrying.request()
        retry = retrying.finished()
        (report,) = retrying.fleet.announcements.retry_reports
        assert (report.ended_at, report.fixed, report.failed, report.left) == (retry.ended_at, 1, 1, 1)
        assert [document.uri for document in report.documents] == [B]
        assert not report.well

    def test_its_end_is_told_before_it_is_stored(self, retrying: Retrying, monkeypatch: pytest.MonkeyPatch) -> None:
        retrying.followed({A: PASSING})
        retrying.request()
        retrying.run()
        retrying.fleet.clock.advance(60)
        with monkeypatch.context() as dying:
            dying.setattr(retrying.fleet.ledger, "save", lambda _sync: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                retrying.run()
        life = Life(ACME)
        under_way = retrying.fleet.document_retries.find(life)
        assert under_way is not None
        ended = retrying.fleet.retry_runner.run(life, under_way.version)
        assert ended is not None
        assert ended.ended_at is not None
        reports = retrying.fleet.announcements.retry_reports
        assert len({report.identity for report in reports}) == 1
        assert [report.well for report in reports] == [True, True]
        assert retrying.left_out == 0

    def test_that_nothing_is_left_in_the_list_is_no_end_while_a_job_is_uncollected(self, retrying: Retrying) -> None:
        retrying.followed({A: PASSING})
        retrying.in_ledger(retrying.ended({B: PASSING}))
        retrying.request()
        retrying.finished()
        (report,) = retrying.fleet.announcements.retry_reports
        assert (report.left, report.well) == (0, False)

    def test_how_many_are_left_out_is_not_known_by_a_retry(self, retrying: Retrying) -> None:
        retrying.followed({A: PASSING}, failed=2)
        retrying.request()
        retrying.finished()
        assert retrying.left_out is None
        assert not retrying.failing

    def test_what_is_indexed_now_leaves_the_list_and_what_fails_again_has_its_new_reason(
        self, retrying: Retrying
    ) -> None:
        retrying.fail(A, B)
        retrying.fleet.ingested_documents.outcomes[B] = IngestedStatus.FAILED
        retrying.request()
        retry = retrying.finished()
        assert (retry.fixed, retry.failed, retry.unanswered, retry.stopped) == (1, 1, 0, "")
        assert {uri: document.reason for uri, document in retrying.failing.items()} == {B: "still"}
        assert retrying.failing[B].times == 1  # in jobs

    def test_what_can_never_be_read_is_not_sent_and_that_is_said(self, retrying: Retrying) -> None:
        for uri, (content, _) in DEFECTS.items():
            retrying.fleet.bucket_contents.put(uri, content=content)
        retrying.followed({**dict.fromkeys(DEFECTS, NO_TEXT), C: PASSING})
        retrying.request()
        retry = retrying.finished()
        assert (retry.skipped, retry.fixed, retry.failed) == (len(DEFECTS), 1, 0)
        assert retrying.fleet.ingested_documents.batches == [[C]]
        assert set(retrying.failing) == set(DEFECTS)
        assert retrying.left_out == len(DEFECTS)

    def test_what_was_changed_since_is_sent_and_what_was_seen_before_is_not_said_of_it(
        self, retrying: Retrying
    ) -> None:
        retrying.fleet.bucket_contents.put(C, content=b"")
        retrying.collected({C: NO_TEXT})
        retrying.fleet.bucket_contents.put(C, "2", content=b"# Rules")
        retrying.fleet.ingested_documents.outcomes[C] = IngestedStatus.FAILED
        retrying.request()
        retry = retrying.finished()
        assert (retry.skipped, retry.failed) == (0, 1)
        assert (retrying.failing[C].reason, retrying.failing[C].finding) == ("still", None)

    def test_half_a_sentence_of_a_retry_leaves_the_reason_as_it_was(
        self, retrying: Retrying, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        retrying.collected({C: "Encountered error: Internal error of the parser"})
        retrying.fleet.ingested_documents.outcomes[C] = IngestedStatus.FAILED
        monkeypatch.setattr(IngestedDocument, "explanation", "internal error")
        retrying.request()
        assert retrying.finished().failed == 1
        assert retrying.failing[C].reason == "Encountered error: Internal error of the parser"

    def test_many_documents_go_in_tens_and_never_more_than_fifty_are_under_way(self, retrying: Retrying) -> None:
        uris = [uri_of(f"{number}.md") for number in range(123)]
        for first in range(0, len(uris), 30):
            retrying.fail(*uris[first : first + 30])  # as many as one reason has room for
        retrying.request()
        retry = retrying.run()
        assert retry is not None
        assert len(retry.under_way) == 50
        retry = retrying.finished()
        assert retry.fixed == 123
        batches = retrying.fleet.ingested_documents.batches
        assert sorted(uri for batch in batches for uri in batch) == sorted(uris)
        assert max(map(len, batches)) == 10

    def test_an_empty_list_is_done_at_once(self, retrying: Retrying) -> None:
        retrying.request()
        assert retrying.finished().fixed == 0

    def test_a_request_while_one_is_under_way_joins_it(self, retrying: Retrying) -> None:
        retrying.fail(A)
        first = retrying.request()
        retrying.run()
        assert retrying.request().retry_id == first.retry_id
        assert len(retrying.fleet.retry_runs.waiting) == 1
        retrying.finished()
        retrying.fleet.clock.advance(1)
        assert retrying.request().retry_id != first.retry_id

    def test_a_document_that_bedrock_will_not_take_does_not_keep_the_others_from_it(self, retrying: Retrying) -> None:
        uris = [uri_of(f"{number}.md") for number in range(10)]
        retrying.fail(*uris)
        retrying.fleet.ingested_documents.refused = {uris[3]}
        retrying.request()
        retry = retrying.finished()
        assert (retry.fixed, retry.failed) == (9, 1)
        assert retrying.failing[uris[3]].reason == "The document is not acceptable."

    def test_not_now_is_tried_again_in_the_next_step(self, retrying: Retrying) -> None:
        retrying.fail(A)
        retrying.fleet.ingested_documents.busy = True
        retrying.request()
        for _ in range(3):
            retry = retrying.run()
            assert retry is not None
            assert retry.ended_at is None
        retrying.fleet.ingested_documents.busy = False
        assert retrying.finished().fixed == 1

    def test_a_document_that_is_gone_is_not_sent_and_leaves_the_list(self, retrying: Retrying) -> None:
        retrying.fail(A)
        retrying.fleet.bucket_contents.delete(A)
        retrying.request()
        assert retrying.finished().fixed == 1
        assert retrying.fleet.ingested_documents.batches == []
        assert not retrying.failing

    def test_documents_without_an_answer_are_waited_for_so_long_and_no_longer(self, retrying: Retrying) -> None:
        retrying.fail(A)
        retrying.fleet.ingested_documents.outcomes[A] = IngestedStatus.IN_PROGRESS
        retrying.request()
        began = retrying.fleet.clock.now()
        retry = retrying.finished()
        assert (retry.fixed, retry.failed, retry.unanswered) == (0, 0, 1)
        assert ANSWER_WITHIN <= retrying.fleet.clock.now() - began < ANSWER_WITHIN + timedelta(minutes=1)
        assert set(retrying.failing) == {A}

    def test_a_tenant_that_is_taken_out_of_service_is_left_alone(self, retrying: Retrying) -> None:
        retrying.fail(A)
        retrying.request()
        retrying.run()
        retrying.fleet.registry.replace(tenant(status=TenantStatus.SUSPENDED), fence=1)
        assert "suspended" in retrying.finished().stopped
        with pytest.raises(TenantSuspended):
            retrying.request()

    def test_nothing_is_ingested_into_a_data_source_that_was_seen_to_read_another_bucket(
        self, retrying: Retrying
    ) -> None:
        retrying.fail(A)
        retrying.request()
        retrying.fleet.ledger.save(retrying.fleet.ledger.find(first_knowledge(ACME)).not_to_be_trusted())
        assert "read another bucket" in retrying.finished().stopped
        assert not retrying.fleet.ingested_documents.batches
        with pytest.raises(TenantNotActive, match="kbfleet tenant add acme"):
            retrying.request()

    def test_a_run_that_is_requested_twice_is_made_once(self, retrying: Retrying) -> None:
        retrying.fail(A)
        version = retrying.request().version
        first = retrying.run()
        assert retrying.fleet.retry_runner.run(Life(ACME), version) == first
        assert len(retrying.fleet.retry_runs.waiting) == 1
        assert len(retrying.fleet.ingested_documents.batches) == 1

    def test_a_step_that_died_before_it_asked_for_the_next_one_does_so_when_it_is_repeated(
        self, retrying: Retrying, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        retrying.fail(A)
        version = retrying.request().version
        retrying.fleet.retry_runs.waiting.clear()
        with monkeypatch.context() as dying:
            dying.setattr(retrying.fleet.retry_runs, "request", lambda _retry: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                retrying.fleet.retry_runner.run(Life(ACME), version)
        retrying.fleet.retry_runner.run(Life(ACME), version)
        assert retrying.finished().fixed == 1

    def test_nothing_comes_back_after_the_tenants_records_are_deleted(self, retrying: Retrying) -> None:
        assert retrying.fleet.retry_runner.run(Life(ACME), 1) is None
        assert retrying.fleet.document_retries.find(Life(ACME)) is None

    def test_a_retry_that_has_ended_takes_no_more_steps(self, retrying: Retrying) -> None:
        retrying.request()
        ended = retrying.finished()
        assert retrying.fleet.retry_runner.run(Life(ACME), ended.version) == replace(ended)
        assert not retrying.fleet.retry_runs.waiting
