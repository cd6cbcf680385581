"""External ingestion jobs get into the history, and onto the bus once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kbfleet.domain.errors import NotReadyYet, Throttled
from kbfleet.domain.ingestion_job import UNKNOWN_AT_MOST, FailureReason, JobStateChange, JobStatus, Outcome
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import Recorded
from kbfleet.usecases.external_jobs import LOOK_BACK, ExternalJobsReport
from tests.support.fakes import InMemoryJobHistory, JobCourse
from tests.support.fleet import Fleet
from tests.support.samples import ACME, first_knowledge

AN_HOUR = 3_600
REASONS = (FailureReason("The role was deleted."),)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def source(fleet: Fleet) -> DataSourceReference:
    """Of a tenant that was synced an hour ago."""
    source = fleet.add(ACME)
    synced(fleet)
    fleet.clock.advance(AN_HOUR)
    return source


def synced(fleet: Fleet) -> None:
    fleet.request(ACME)
    fleet.tick_until_idle()


def ran_in_console(fleet: Fleet, source: DataSourceReference, course: JobCourse | None = None) -> str:
    """A job that somebody started, and that has ended. Returns: its id."""
    fleet.knowledge_bases.plan(source.knowledge_base_id, course or JobCourse())
    job = fleet.knowledge_bases.start_in_console(source)
    fleet.clock.advance(600)
    return job.ingestion_job_id


def find(fleet: Fleet) -> ExternalJobsReport:
    return fleet.external_jobs.find()


class TestEnded:
    def test_one_is_recorded_and_published_once_marked_as_external(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        before = len(fleet.announcements.job_state_changes)
        job = ran_in_console(fleet, source)
        (found,) = find(fleet).found
        assert (found.ingestion_job_id, found.generation, found.external) == (job, 0, True)
        assert (found.status, found.outcome, found.final) == (JobStatus.COMPLETE, Outcome.SUCCEEDED, True)
        assert fleet.history.latest(Life(ACME), 1) == [found]
        for _ in range(3):
            fleet.clock.advance(AN_HOUR)
            assert find(fleet).found == ()
        assert fleet.announcements.job_state_changes[before:] == [found]

    def test_the_reasons_of_a_failure_are_reported_which_the_list_leaves_out(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        ran_in_console(fleet, source, JobCourse(JobStatus.FAILED, failure_reasons=REASONS))
        (found,) = find(fleet).found
        assert (found.outcome, found.failure_reasons) == (Outcome.FAILED, REASONS)

    def test_it_is_the_newest_result_and_proves_nothing_about_what_is_pending(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        fleet.knowledge_bases.plan(source.knowledge_base_id, JobCourse(JobStatus.FAILED))
        synced(fleet)
        job = ran_in_console(fleet, source)
        (found,) = find(fleet).found
        assert found.previous_outcome is Outcome.FAILED
        sync = fleet.ledger.find(first_knowledge(ACME))
        assert sync.result is not None
        assert (sync.result.outcome, sync.result.ingestion_job_id) == (Outcome.SUCCEEDED, job)
        assert (sync.state, sync.synced_generation, sync.pending_changes) == (SyncState.IDLE, 1, True)

    def test_the_recovery_from_it_is_reported_by_the_next_sync(self, fleet: Fleet, source: DataSourceReference) -> None:
        ran_in_console(fleet, source, JobCourse(JobStatus.FAILED))
        find(fleet)
        synced(fleet)
        assert fleet.announcements.job_state_changes[-1].previous_outcome is Outcome.FAILED

    def test_several_are_reported_the_oldest_first_each_after_the_outcome_before_it(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        courses = (JobCourse(JobStatus.FAILED), JobCourse(), JobCourse(JobStatus.FAILED))
        jobs = [ran_in_console(fleet, source, course) for course in courses]
        found = find(fleet).found
        assert [change.ingestion_job_id for change in found] == jobs
        assert [change.previous_outcome for change in found] == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]

    def test_one_that_is_older_than_a_job_of_ours_is_found_and_does_not_replace_its_result(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        job = ran_in_console(fleet, source, JobCourse(JobStatus.FAILED))
        synced(fleet)
        ours = fleet.ledger.find(first_knowledge(ACME)).result
        (found,) = find(fleet).found
        assert (found.ingestion_job_id, found.previous_outcome) == (job, None)
        assert fleet.ledger.find(first_knowledge(ACME)).result == ours

    def test_one_that_was_started_too_long_ago_is_left_alone(self, fleet: Fleet, source: DataSourceReference) -> None:
        ran_in_console(fleet, source)
        fleet.clock.advance(LOOK_BACK.total_seconds())
        assert find(fleet).found == ()

    def test_a_tenant_with_many_jobs_costs_the_pages_of_its_newest_ones_only(
        self, fleet: Fleet, source: DataSourceReference
    ) -> None:
        for _ in range(10):
            ran_in_console(fleet, source)
        fleet.clock.advance(LOOK_BACK.total_seconds())
        ran_in_console(fleet, source)
        before = fleet.knowledge_bases.pages_listed
        find(fleet)
        assert fleet.knowledge_bases.pages_listed == before + 1

    def test_what_somebody_else_is_publishing_is_left_to_them(self, fleet: Fleet, source: DataSourceReference) -> None:
        class Contested(InMemoryJobHistory):
            def record(self, change: JobStateChange, now: datetime) -> Recorded:
                super().record(change, now)
                return super().record(change, now)

        fleet.history = Contested()
        ran_in_console(fleet, source)
        report = find(fleet)
        assert (report.found, [tenant_id for tenant_id, _ in report.postponed]) == ((), [ACME])


class TestOfAStatusThatIsNotKnown:
    UNKNOWN = JobCourse(JobStatus.UNKNOWN)

    def test_one_behind_the_newest_has_ended_somehow(self, fleet: Fleet, source: DataSourceReference) -> None:
        older, newer = ran_in_console(fleet, source, self.UNKNOWN), ran_in_console(fleet, source)
        report = find(fleet)
        assert [(each.ingestion_job_id, each.outcome) for each in report.found] == [
            (older, Outcome.FAILED),
            (newer, Outcome.SUCCEEDED),
        ]
        assert not report.adopted
        result = fleet.ledger.find(first_knowledge(ACME)).result
        assert result is not None
        assert result.ingestion_job_id == newer

    def test_the_newest_is_followed_until_it_is_given_up(self, fleet: Fleet, source: DataSourceReference) -> None:
        newest = ran_in_console(fleet, source, self.UNKNOWN)
        assert [each.ingestion_job_id for each in find(fleet).adopted] == [newest]
        fleet.clock.advance(UNKNOWN_AT_MOST.total_seconds())
        fleet.tick()
        result = fleet.ledger.find(first_knowledge(ACME)).result
        assert result is not None
        assert (result.ingestion_job_id, result.outcome) == (newest, Outcome.FAILED)


class TestRunning:
    def test_one_is_adopted_and_followed_to_its_end(self, fleet: Fleet, source: DataSourceReference) -> None:
        job = fleet.knowledge_bases.start_in_console(source).ingestion_job_id
        fleet.clock.advance(20)
        requests = fleet.ticks.requests
        (adopted,) = find(fleet).adopted
        assert (adopted.ingestion_job_id, adopted.status, adopted.external) == (job, JobStatus.IN_PROGRESS, True)
        assert fleet.ticks.requests == requests + 1
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.RUNNING
        fleet.tick_until_idle()
        last = fleet.announcements.job_state_changes[-1]
        assert (last.ingestion_job_id, last.status, last.external) == (job, JobStatus.COMPLETE, True)
        assert fleet.ledger.find(first_knowledge(ACME)).synced_generation == 1
        assert find(fleet).found == ()

    def test_a_tenant_that_is_queued_meets_it_by_itself(self, fleet: Fleet, source: DataSourceReference) -> None:
        job = fleet.knowledge_bases.start_in_console(source).ingestion_job_id
        fleet.request(ACME)
        assert find(fleet).adopted == ()
        fleet.tick()
        followed = fleet.ledger.find(first_knowledge(ACME)).job
        assert followed is not None
        assert (followed.ingestion_job_id, followed.external) == (job, True)

    def test_a_job_of_ours_is_none_of_them(self, fleet: Fleet, source: DataSourceReference) -> None:
        fleet.request(ACME)
        fleet.tick()
        report = find(fleet)
        assert (report.found, report.adopted) == ((), ())


Sources = Mapping[TenantId, DataSourceReference]


class TestRounds:
    @pytest.fixture
    def sources(self, fleet: Fleet) -> Sources:
        """Of seven tenants; three are visited at a time."""
        return {tenant_id: fleet.add(tenant_id) for tenant_id in (TenantId(f"tenant-{n}") for n in range(7))}

    def found(self, fleet: Fleet) -> list[str]:
        return [change.tenant_id for change in find(fleet).found]

    def test_every_tenant_is_looked_at_and_then_it_begins_anew(self, fleet: Fleet, sources: Sources) -> None:
        for source in sources.values():
            ran_in_console(fleet, source)
        rounds = [self.found(fleet) for _ in range(3)]
        assert rounds == [["tenant-0", "tenant-1", "tenant-2"], ["tenant-3", "tenant-4", "tenant-5"], ["tenant-6"]]
        ran_in_console(fleet, sources[TenantId("tenant-1")])
        assert self.found(fleet) == ["tenant-1"]

    def test_a_last_part_that_is_full_is_followed_by_an_empty_one(self, fleet: Fleet) -> None:
        for number in range(3):
            fleet.add(TenantId(f"tenant-{number}"))
        assert [find(fleet).tenants for _ in range(3)] == [3, 0, 3]

    @pytest.mark.parametrize("number", range(7))
    def test_one_tenant_for_whom_requests_always_come_too_fast_holds_up_nobody(
        self, fleet: Fleet, sources: Sources, number: int
    ) -> None:
        slow = TenantId(f"tenant-{number}")
        for tenant_id, source in sources.items():
            if tenant_id != slow:
                ran_in_console(fleet, source)
        fleet.knowledge_bases.refuse_lists(sources[slow].knowledge_base_id, Throttled("Your request rate is too high."))
        reports = [find(fleet) for _ in range(2 * len(sources))]
        assert {change.tenant_id for report in reports for change in report.found} == {*sources} - {slow}
        assert {tenant_id for report in reports for tenant_id, _ in report.postponed} == {slow}

    def test_one_tenants_trouble_holds_up_nobody(self, fleet: Fleet, sources: Sources) -> None:
        ran_in_console(fleet, sources[TenantId("tenant-2")])
        fleet.knowledge_bases.vanish(sources[TenantId("tenant-0")].knowledge_base_id)
        fleet.knowledge_bases.refuse_lists(sources[TenantId("tenant-1")].knowledge_base_id, NotReadyYet("500"))
        report = find(fleet)
        assert [tenant_id for tenant_id, _ in report.postponed] == ["tenant-0", "tenant-1"]
        assert [change.tenant_id for change in report.found] == ["tenant-2"]

    @pytest.mark.parametrize(
        ("status", "looked_at"),
        [
            (TenantStatus.ACTIVE, True),
            (TenantStatus.FAILED, True),
            (TenantStatus.SUSPENDED, True),
            (TenantStatus.PROVISIONING, False),
            (TenantStatus.OFFBOARDING, False),
            (TenantStatus.OFFBOARDED, False),
        ],
    )
    def test_those_whose_knowledge_base_comes_or_goes_are_passed_by(
        self, fleet: Fleet, status: TenantStatus, looked_at: bool
    ) -> None:
        source = fleet.add(ACME)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, status=status), fence=record.fence)
        ran_in_console(fleet, source)
        assert len(find(fleet).found) == looked_at

    def test_a_tenant_without_a_data_source_is_passed_by(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, data_source_id=None), fence=record.fence)
        assert find(fleet) == ExternalJobsReport(1, (), (), ())


def test_a_round_through_the_largest_fleet_is_shorter_than_the_look_back() -> None:
    # Source: AWS documentation, Quotas for Amazon Bedrock: 10,000 knowledge bases of type MANAGED.
    assert timedelta(hours=10_000 / 500) < LOOK_BACK
