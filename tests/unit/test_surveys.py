"""Once events of a bucket come for certain, it is listed for what no job has seen, and synced only if there is such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pydantic import TypeAdapter

from kbfleet.domain.errors import AccessRefused, ConcurrentUpdate, Throttled
from kbfleet.domain.ingestion_job import JobStatus, Outcome, Statistics
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.survey import PresentVersion, Survey, unnoticed_until
from kbfleet.domain.sync import Priority, RunningJob, Sync, SyncResult, SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import VersionPage
from kbfleet.usecases.surveys import PAGES_A_RUN, SurveyReport
from kbfleet.usecases.sync_schedule import RUN_EVERY, SyncSchedule
from tests.support.clock import START
from tests.support.fleet import EVENTS_AFTER, START_INTERVAL, Fleet
from tests.support.samples import (
    ACME,
    DATA_SOURCE,
    SAKURA,
    first_knowledge,
    job_state_change,
    provisioning_failure,
    tenant,
)

A_SECOND = timedelta(seconds=1)
A_MINUTE = timedelta(minutes=1)
A_DAY = timedelta(days=1)
JOB_BEGAN = START + 3 * A_MINUTE
SEEN = PresentVersion(START + A_MINUTE)


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.bucket_contents.pages = [[]]
    return fleet


def add(
    fleet: Fleet, tenant_id: TenantId = ACME, *, scanned: int = 0, began: datetime = JOB_BEGAN, **fields: object
) -> None:
    """A tenant whose events were asked for at the start, and whose first sync has ended."""
    fleet.registry.create(tenant(tenant_id, **{"events_since": START, **fields}))
    ended = began + A_MINUTE
    job = job_state_change(
        tenant_id=tenant_id,
        outcome=Outcome.SUCCEEDED,
        ingestion_job_id="JOB0000003",
        started_at=began,
        occurred_at=ended,
        statistics=Statistics(scanned=scanned),
    )
    fleet.history.record(job, ended)
    result = SyncResult(Outcome.SUCCEEDED, 1, ended, "JOB0000003", data_source_id=DATA_SOURCE.data_source_id)
    entry = Sync(
        tenant_id,
        requested_generation=1,
        synced_generation=1,
        synced_at=ended,
        synced_data_source_id=DATA_SOURCE.data_source_id,
        result=result,
    )
    fleet.ledger.save(entry)


def when_events_come(fleet: Fleet) -> None:
    fleet.clock.advance((START + EVENTS_AFTER - fleet.clock.now()).total_seconds())


def unsurveyed(fleet: Fleet) -> list[Tenant]:
    """Whose bucket the schedule's next run would have listed."""
    schedule = SyncSchedule(
        fleet.registry,
        fleet.ledger,
        fleet.fleet_records,
        fleet.ticks,
        fleet.clock,
        timedelta(0),
        START_INTERVAL,
        A_DAY,
        EVENTS_AFTER,
    )
    return list(schedule.run().unsurveyed)


def run(fleet: Fleet, *, within: timedelta = timedelta(minutes=4)) -> SurveyReport:
    return fleet.surveys.run(unsurveyed(fleet), fleet.clock.now() + within)


def entry(fleet: Fleet, tenant_id: TenantId = ACME) -> Sync:
    return fleet.ledger.find(first_knowledge(tenant_id))


class TestATenantWithoutAJob:
    """It was found without documents when it was provisioned."""

    @pytest.fixture(autouse=True)
    def found_empty(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(ACME, events_since=START))
        fleet.ledger.save(Sync(ACME).found_empty(START + A_MINUTE))

    def test_has_none_while_nothing_is_there(self, fleet: Fleet) -> None:
        when_events_come(fleet)
        assert run(fleet) == SurveyReport()
        assert (entry(fleet).requested_generation, entry(fleet).has_surveyed(START)) == (0, True)
        assert unsurveyed(fleet) == []

    @pytest.mark.parametrize("version", [PresentVersion(START), PresentVersion(START, deleted=True)])
    def test_has_one_for_what_no_event_told_of(self, fleet: Fleet, version: PresentVersion) -> None:
        fleet.bucket_contents.pages = [[], [version]]
        when_events_come(fleet)
        assert run(fleet).requested == (ACME,)
        assert run(fleet) == SurveyReport()
        assert entry(fleet).requested_generation == 1


class TestWhatIsFound:
    @pytest.mark.parametrize(
        "version",
        [
            pytest.param(PresentVersion(JOB_BEGAN + A_SECOND), id="put after the job began"),
            pytest.param(PresentVersion(JOB_BEGAN + A_SECOND, deleted=True), id="deleted after the job began"),
            pytest.param(PresentVersion(JOB_BEGAN), id="put in the very second"),
            pytest.param(
                PresentVersion(START, in_parts=True), id="uploaded in parts, which may have ended after the job began"
            ),
            pytest.param(
                PresentVersion(JOB_BEGAN - A_MINUTE, size=50_000_000), id="so large that its upload may have gone on"
            ),
        ],
    )
    def test_is_synced(self, fleet: Fleet, version: PresentVersion) -> None:
        add(fleet, scanned=0 if version.deleted else 1)
        fleet.bucket_contents.pages = [[version]]
        when_events_come(fleet)
        assert run(fleet).requested == (ACME,)
        sync = entry(fleet)
        assert (sync.state, sync.priority, sync.requested_generation) == (SyncState.QUEUED, Priority.CHANGED, 2)
        assert fleet.ticks.requests == 1

    @pytest.mark.parametrize(
        "versions",
        [
            pytest.param([], id="nothing"),
            pytest.param([SEEN], id="put before the job began"),
            pytest.param([SEEN, replace(SEEN, deleted=True)], id="deleted before the job began"),
            pytest.param([SEEN, replace(SEEN, folder=True)], id="a folder, which no job counts"),
            pytest.param([PresentVersion(START - 8 * A_DAY, in_parts=True)], id="uploaded in parts long ago"),
        ],
    )
    def test_is_not_synced_when_the_job_has_seen_it(self, fleet: Fleet, versions: list[PresentVersion]) -> None:
        present = [version for version in versions if not (version.deleted or version.folder)]
        add(fleet, scanned=len(present))
        fleet.bucket_contents.pages = [versions]
        when_events_come(fleet)
        assert run(fleet) == SurveyReport()
        assert (entry(fleet).state, entry(fleet).requested_generation) == (SyncState.IDLE, 1)
        assert fleet.ticks.requests == 0

    @pytest.mark.parametrize("scanned", [0, 2], ids=["one has come back", "one was deleted for good"])
    def test_is_synced_when_the_job_has_counted_another_number(self, fleet: Fleet, scanned: int) -> None:
        add(fleet, scanned=scanned)
        fleet.bucket_contents.pages = [[SEEN]]
        when_events_come(fleet)
        assert run(fleet).requested == (ACME,)

    def test_metadata_files_are_counted_as_the_job_counts_them(self, fleet: Fleet) -> None:
        add(fleet)
        counted = job_state_change(
            outcome=Outcome.SUCCEEDED,
            ingestion_job_id="JOB0000003",
            started_at=JOB_BEGAN,
            occurred_at=JOB_BEGAN + 2 * A_MINUTE,
            statistics=Statistics(scanned=1, metadata_scanned=1),
        )
        fleet.history.record(counted, JOB_BEGAN + 2 * A_MINUTE)
        fleet.bucket_contents.pages = [[SEEN, SEEN]]
        when_events_come(fleet)
        assert run(fleet) == SurveyReport()

    def test_on_the_last_page_is_synced_as_well(self, fleet: Fleet) -> None:
        add(fleet, scanned=3)
        fleet.bucket_contents.pages = [[SEEN], [SEEN], [], [PresentVersion(JOB_BEGAN + A_SECOND)]]
        when_events_come(fleet)
        assert run(fleet).requested == (ACME,)

    def test_is_synced_once(self, fleet: Fleet) -> None:
        add(fleet, scanned=1)
        fleet.bucket_contents.pages = [[PresentVersion(JOB_BEGAN + A_SECOND)]]
        when_events_come(fleet)
        run(fleet)
        fleet.ledger.save(replace(entry(fleet), state=SyncState.IDLE, synced_generation=2))
        assert run(fleet) == SurveyReport()
        assert entry(fleet).requested_generation == 2


class TestTheBucket:
    def test_is_not_listed_before_events_come(self, fleet: Fleet) -> None:
        add(fleet)
        fleet.clock.advance((EVENTS_AFTER - A_SECOND).total_seconds())
        run(fleet)
        assert (fleet.bucket_contents.listed, unsurveyed(fleet)) == (0, [])
        fleet.clock.advance(1)
        run(fleet)
        assert fleet.bucket_contents.listed == 1

    def test_is_listed_once(self, fleet: Fleet) -> None:
        add(fleet)
        when_events_come(fleet)
        for _ in range(3):
            run(fleet)
            fleet.clock.advance(RUN_EVERY.total_seconds())
        assert fleet.bucket_contents.listed == 1

    def test_is_listed_again_when_events_were_asked_for_anew(self, fleet: Fleet) -> None:
        add(fleet)
        when_events_come(fleet)
        run(fleet)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, events_since=fleet.clock.now()), fence=record.fence)
        assert unsurveyed(fleet) == []
        fleet.clock.advance(EVENTS_AFTER.total_seconds())
        run(fleet)
        assert fleet.bucket_contents.listed == 2

    def test_is_not_listed_when_a_job_has_begun_since_events_come(self, fleet: Fleet) -> None:
        add(fleet, began=START + EVENTS_AFTER)
        fleet.bucket_contents.pages = [[PresentVersion(START + EVENTS_AFTER + A_DAY)]]
        fleet.clock.advance(A_DAY.total_seconds())
        assert run(fleet) == SurveyReport()
        assert fleet.bucket_contents.listed == 0
        assert unsurveyed(fleet) == []

    @pytest.mark.parametrize("state", [SyncState.QUEUED, SyncState.RUNNING])
    def test_is_not_listed_while_a_sync_is_queued_or_runs(self, fleet: Fleet, state: SyncState) -> None:
        add(fleet)
        job = RunningJob("JOB0000004", 2, JobStatus.IN_PROGRESS, START) if state is SyncState.RUNNING else None
        fleet.ledger.save(replace(entry(fleet), state=state, job=job, ready_at=START))
        when_events_come(fleet)
        assert unsurveyed(fleet) == []

    def test_that_told_of_changes_before_that_was_kept_is_never_listed(self, fleet: Fleet) -> None:
        add(fleet, events_since=None)
        fleet.clock.advance(A_DAY.total_seconds())
        assert unsurveyed(fleet) == []

    @pytest.mark.parametrize(
        "status", [status for status in TenantStatus if status is not TenantStatus.ACTIVE], ids=str.lower
    )
    def test_of_a_tenant_that_is_not_active_waits_until_it_is(self, fleet: Fleet, status: TenantStatus) -> None:
        add(fleet, scanned=1, status=status)
        fleet.bucket_contents.pages = [[PresentVersion(JOB_BEGAN + A_SECOND)]]
        fleet.clock.advance(A_DAY.total_seconds())
        assert unsurveyed(fleet) == []
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, status=TenantStatus.ACTIVE), fence=record.fence)
        assert run(fleet).requested == (ACME,)


class TestNothingIsKnownOfTheLastJob:
    @pytest.mark.parametrize(
        "result",
        [
            pytest.param(None, id="no sync has ended"),
            pytest.param(SyncResult(Outcome.FAILED, 2, START, "JOB0000003"), id="it failed"),
            pytest.param(SyncResult(Outcome.STOPPED, 2, START, "JOB0000003"), id="it was stopped"),
            pytest.param(SyncResult(Outcome.FAILED, 2, START), id="it was refused"),
            pytest.param(
                SyncResult(Outcome.SUCCEEDED, 2, START, "JOB0000003", data_source_id="DS00000009"),
                id="it was another data source's",
            ),
            pytest.param(
                SyncResult(Outcome.SUCCEEDED, 2, START, "JOB0000099", data_source_id=DATA_SOURCE.data_source_id),
                id="its history has expired",
            ),
        ],
    )
    def test_the_tenant_is_synced_once(self, fleet: Fleet, result: SyncResult | None) -> None:
        add(fleet)
        fleet.ledger.save(replace(entry(fleet), result=result))
        when_events_come(fleet)
        assert run(fleet).requested == (ACME,)
        fleet.ledger.save(replace(entry(fleet), state=SyncState.IDLE))
        assert run(fleet) == SurveyReport()


class TestALargeBucket:
    def test_is_gone_on_with_by_the_next_run_where_this_one_stopped(self, fleet: Fleet) -> None:
        pages = PAGES_A_RUN + 5
        add(fleet, scanned=pages)
        fleet.bucket_contents.pages = [[SEEN] for _ in range(pages)]
        when_events_come(fleet)
        assert run(fleet) == SurveyReport()
        assert fleet.bucket_contents.listed == PAGES_A_RUN
        assert entry(fleet).survey == Survey(START, PAGES_A_RUN, str(PAGES_A_RUN))
        assert [each.tenant_id for each in unsurveyed(fleet)] == [ACME]
        assert run(fleet) == SurveyReport()
        assert fleet.bucket_contents.listed == pages
        assert unsurveyed(fleet) == []

    def test_does_not_keep_the_others_from_being_listed(self, fleet: Fleet) -> None:
        add(fleet, ACME, scanned=1)
        add(fleet, SAKURA)
        fleet.bucket_contents.pages = [[] for _ in range(2 * PAGES_A_RUN)]
        when_events_come(fleet)
        run(fleet)
        assert [entry(fleet, each).survey for each in (ACME, SAKURA)] == 2 * [Survey(START, 0, str(PAGES_A_RUN))]

    def test_is_left_when_the_time_is_over(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        add(fleet)
        fleet.bucket_contents.pages = [[] for _ in range(10)]
        versions = fleet.bucket_contents.versions

        def slowly(bucket: str, after: str | None) -> object:
            fleet.clock.advance(60)
            return versions(bucket, after)

        monkeypatch.setattr(fleet.bucket_contents, "versions", slowly)
        when_events_come(fleet)
        run(fleet, within=3 * A_MINUTE)
        assert fleet.bucket_contents.listed == 3
        fleet.surveys.run(unsurveyed(fleet), fleet.clock.now())
        assert fleet.bucket_contents.listed == 3


class TestTrouble:
    def test_of_one_tenant_does_not_keep_the_others(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        add(fleet, ACME)
        add(fleet, SAKURA, scanned=5)
        versions = fleet.bucket_contents.versions
        refused = iter([AccessRefused("ListObjectVersions: AccessDenied")])

        def refuse_the_first(bucket: str, after: str | None) -> object:
            for error in refused:
                raise error
            return versions(bucket, after)

        monkeypatch.setattr(fleet.bucket_contents, "versions", refuse_the_first)
        when_events_come(fleet)
        report = run(fleet)
        assert [tenant_id for tenant_id, _ in report.postponed] == [ACME]
        assert report.requested == (SAKURA,)
        assert [each.tenant_id for each in unsurveyed(fleet)] == [ACME]

    def test_passes_and_the_next_run_finds_what_there_is(self, fleet: Fleet) -> None:
        add(fleet, scanned=1)
        fleet.bucket_contents.pages = [[PresentVersion(JOB_BEGAN + A_SECOND)]]
        fleet.bucket_contents.refusal = Throttled("SlowDown")
        when_events_come(fleet)
        assert [tenant_id for tenant_id, _ in run(fleet).postponed] == [ACME]
        fleet.bucket_contents.refusal = None
        assert run(fleet).requested == (ACME,)


def _died(*_: object) -> object:
    raise RuntimeError("Process exited before completing request")


class TestACrash:
    """A run is made again, and nothing is lost or requested twice, wherever it died."""

    @pytest.mark.parametrize(
        "where",
        [lambda fleet: (fleet.ledger, "save"), lambda fleet: (fleet.ticks, "request")],
        ids=["before the write", "after it"],
    )
    def test_between_listing_and_requesting(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, where: Callable[[Fleet], tuple[object, str]]
    ) -> None:
        add(fleet, scanned=1)
        fleet.bucket_contents.pages = [[PresentVersion(JOB_BEGAN + A_SECOND)]]
        when_events_come(fleet)
        with monkeypatch.context() as patched:
            patched.setattr(*where(fleet), _died)
            with pytest.raises(RuntimeError):
                run(fleet)
        run(fleet)
        assert (entry(fleet).state, entry(fleet).requested_generation) == (SyncState.QUEUED, 2)

    def test_of_the_write_that_says_how_far_it_is(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        add(fleet)
        when_events_come(fleet)
        with monkeypatch.context() as patched:
            patched.setattr(fleet.ledger, "save", _died)
            with pytest.raises(RuntimeError):
                run(fleet)
        assert run(fleet) == SurveyReport()
        assert unsurveyed(fleet) == []

    def test_two_runs_at_once_request_one_sync(self, fleet: Fleet) -> None:
        add(fleet, scanned=1)
        fleet.bucket_contents.pages = [[PresentVersion(JOB_BEGAN + A_SECOND)]]
        when_events_come(fleet)
        tenants = unsurveyed(fleet)
        for _ in range(2):
            fleet.surveys.run(tenants, fleet.clock.now() + A_MINUTE)
        assert entry(fleet).requested_generation == 2

    def test_a_tenant_that_is_suspended_meanwhile_is_not_synced(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(fleet, scanned=1)
        when_events_come(fleet)

        def suspended_meanwhile(bucket: str, after: str | None) -> object:
            fleet.ledger.save(entry(fleet).put_on_hold(fence=2))
            monkeypatch.undo()
            return fleet.bucket_contents.versions(bucket, after)

        monkeypatch.setattr(fleet.bucket_contents, "versions", suspended_meanwhile)
        assert run(fleet) == SurveyReport()
        assert (entry(fleet).requested_generation, entry(fleet).survey) == (1, None)

    @pytest.mark.parametrize("versions", [[], [PresentVersion(JOB_BEGAN + A_SECOND)]], ids=["nothing", "something"])
    def test_the_entry_of_a_tenant_that_is_deleted_meanwhile_does_not_come_back(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, versions: list[PresentVersion]
    ) -> None:
        add(fleet)
        when_events_come(fleet)

        def deleted_meanwhile(bucket: str, after: str | None) -> VersionPage:
            fleet.records.erase(Life(ACME), keep_usage=False)
            return VersionPage(versions, None)

        monkeypatch.setattr(fleet.bucket_contents, "versions", deleted_meanwhile)
        assert run(fleet) == SurveyReport()
        assert entry(fleet) == Sync(ACME)


class TestWhoLooks:
    def test_is_told_until_when_changes_may_go_unnoticed(self) -> None:
        record = tenant(events_since=START)
        assert unnoticed_until(record, Sync(ACME), EVENTS_AFTER) == START + EVENTS_AFTER
        under_way = Sync(ACME, survey=Survey(START, 5, "place"))
        assert unnoticed_until(record, under_way, EVENTS_AFTER) == START + EVENTS_AFTER
        assert unnoticed_until(record, Sync(ACME, survey=Survey(START, ended=True)), EVENTS_AFTER) is None
        earlier = Sync(ACME, survey=Survey(START - A_DAY, ended=True))
        assert unnoticed_until(record, earlier, EVENTS_AFTER) == START + EVENTS_AFTER
        assert unnoticed_until(tenant(), Sync(ACME), EVENTS_AFTER) is None
        failed = tenant(status=TenantStatus.PROVISIONING, events_since=START).failed(provisioning_failure())
        assert unnoticed_until(failed, Sync(ACME), EVENTS_AFTER) is None


def test_an_entry_of_the_last_version_is_read() -> None:
    stored = TypeAdapter(Sync).dump_python(Sync(ACME), mode="json", exclude_none=True)
    del stored["knowledge"]
    assert "survey" not in stored
    assert TypeAdapter(Sync).validate_python(stored) == Sync(ACME)


def test_an_entry_keeps_the_place_and_loses_no_moment() -> None:
    kept = Sync(ACME, survey=Survey(START + timedelta(microseconds=1), 5, '["鍵", "1"]'))
    stored = TypeAdapter(Sync).dump_python(kept, mode="json", exclude_none=True)
    assert TypeAdapter(Sync).validate_python(stored) == kept


def test_a_ledger_that_is_written_all_the_time_is_no_crash(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    add(fleet)
    when_events_come(fleet)

    def lost(_: Sync) -> Sync:
        raise ConcurrentUpdate("The ledger entry of tenant acme was stored by somebody else.")

    monkeypatch.setattr(fleet.ledger, "save", lost)
    assert [tenant_id for tenant_id, _ in run(fleet).postponed] == [ACME]
