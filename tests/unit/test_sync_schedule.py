"""Tenants that no event has reported are synced by schedule, without ever being a crowd."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kbfleet.domain.fleet_overview import Census
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import Knowledge, TenantId
from kbfleet.domain.sync import Priority, Sync, SyncResult, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.sync_schedule import RUN_EVERY, ScheduleReport, SyncSchedule
from tests.support.clock import START
from tests.support.fleet import EVENTS_AFTER, START_INTERVAL, Fleet
from tests.support.samples import ACME, first_knowledge, tenant

A_DAY = timedelta(hours=24)
STALE_AFTER = timedelta(hours=2)
A_RUN = int(RUN_EVERY / (2 * START_INTERVAL))
"""How many one run requests at most."""


NOTHING = ScheduleReport(Census(START))
"""Is requested; what is counted is not compared."""


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def run(fleet: Fleet, every: timedelta = A_DAY) -> ScheduleReport:
    schedule = SyncSchedule(
        fleet.registry,
        fleet.ledger,
        fleet.fleet_records,
        fleet.ticks,
        fleet.clock,
        every,
        START_INTERVAL,
        STALE_AFTER,
        EVENTS_AFTER,
    )
    return schedule.run()


def add_idle(fleet: Fleet, count: int) -> list[TenantId]:
    """Active tenants whose last sync ended now."""
    tenants = [TenantId(f"tenant-{number:05}") for number in range(count)]
    now = fleet.clock.now()
    for tenant_id in tenants:
        fleet.registry.create(tenant(tenant_id))
        fleet.ledger.save(Sync(tenant_id, synced_at=now))
    return tenants


class TestATenant:
    def test_is_synced_once_its_last_sync_is_old_enough(self, fleet: Fleet) -> None:
        add_idle(fleet, 1)
        fleet.clock.advance(A_DAY.total_seconds() - 1)
        assert run(fleet) == NOTHING
        fleet.clock.advance(1)
        (requested,) = run(fleet).requested
        sync = fleet.ledger.find(first_knowledge(requested))
        assert (sync.state, sync.priority, sync.requested_generation) == (SyncState.QUEUED, Priority.SCHEDULED, 1)
        assert fleet.ticks.requests == 1

    def test_is_requested_once_however_often_the_schedule_runs(self, fleet: Fleet) -> None:
        (tenant_id,) = add_idle(fleet, 1)
        fleet.clock.advance(A_DAY.total_seconds())
        run(fleet)
        for _ in range(3):
            assert run(fleet) == NOTHING
        assert fleet.ledger.find(first_knowledge(tenant_id)).requested_generation == 1

    def test_that_was_never_synced_is_due_when_it_has_been_active_for_long(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        assert run(fleet).requested == ()
        fleet.clock.advance(A_DAY.total_seconds())
        assert run(fleet).requested == (ACME,)

    def test_whose_last_sync_failed_is_tried_again_only_after_the_same_time(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        failed = SyncResult(Outcome.FAILED, 1, fleet.clock.now())
        fleet.ledger.save(Sync(ACME, requested_generation=1, result=failed))
        fleet.clock.advance(A_DAY.total_seconds() - 1)
        assert run(fleet).requested == ()
        fleet.clock.advance(1)
        assert run(fleet).requested == (ACME,)

    @pytest.mark.parametrize(
        "status", [status for status in TenantStatus if status is not TenantStatus.ACTIVE], ids=str.lower
    )
    def test_that_is_not_active_is_left_alone(self, fleet: Fleet, status: TenantStatus) -> None:
        fleet.registry.create(tenant(status=status))
        fleet.clock.advance(10 * A_DAY.total_seconds())
        assert run(fleet) == NOTHING

    def test_that_is_queued_or_running_already_is_left_alone(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.clock.advance(10 * A_DAY.total_seconds())
        assert run(fleet) == NOTHING
        fleet.tick()
        assert run(fleet) == NOTHING

    def test_that_was_suspended_since_it_was_listed_is_left_alone(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tenant_id,) = add_idle(fleet, 1)
        fleet.clock.advance(A_DAY.total_seconds())
        find = fleet.ledger.find

        def suspended_after_the_first_look(wanted: Knowledge) -> Sync:
            monkeypatch.setattr(fleet.ledger, "find", find)
            found = find(wanted)
            fleet.ledger.save(found.put_on_hold(fence=2))
            return found

        monkeypatch.setattr(fleet.ledger, "find", suspended_after_the_first_look)
        run(fleet)
        assert (find(first_knowledge(tenant_id)).requested_generation, find(first_knowledge(tenant_id)).on_hold) == (
            0,
            True,
        )

    def test_is_never_synced_by_schedule_when_that_is_switched_off(self, fleet: Fleet) -> None:
        add_idle(fleet, 1)
        fleet.clock.advance(1000 * A_DAY.total_seconds())
        assert run(fleet, every=timedelta(0)) == NOTHING


class TestALargeFleet:
    def test_is_lined_up_at_half_the_rate_at_which_jobs_may_start(self, fleet: Fleet) -> None:
        tenants = add_idle(fleet, 1000)
        fleet.clock.advance(A_DAY.total_seconds())
        report = run(fleet)
        assert (len(report.requested), report.left_over) == (A_RUN, 1000 - A_RUN)
        ready = sorted(sync.ready_at for sync in map(fleet.ledger.find, map(first_knowledge, tenants)) if sync.ready_at)
        assert [time - fleet.clock.now() for time in ready] == [2 * START_INTERVAL * place for place in range(A_RUN)]
        assert ready[-1] < fleet.clock.now() + RUN_EVERY

    def test_is_not_lined_up_twice_when_a_run_is_repeated(self, fleet: Fleet) -> None:
        add_idle(fleet, 1000)
        fleet.clock.advance(A_DAY.total_seconds())
        run(fleet)
        assert run(fleet).requested == ()

    def test_has_those_first_that_have_waited_longest(self, fleet: Fleet) -> None:
        older = add_idle(fleet, A_RUN)
        fleet.clock.advance(60)
        for number in range(A_RUN):
            newer = TenantId(f"a-newer-one-{number}")
            fleet.registry.create(tenant(newer))
            fleet.ledger.save(Sync(newer, synced_at=fleet.clock.now()))
        fleet.clock.advance(A_DAY.total_seconds())
        assert set(run(fleet).requested) == set(older)

    def test_is_requested_run_after_run_until_everybody_was_synced(self, fleet: Fleet) -> None:
        tenants = add_idle(fleet, 3000)
        fleet.clock.advance(A_DAY.total_seconds())
        synced: list[TenantId] = []
        for _ in range(-(-3000 // A_RUN)):
            requested = run(fleet).requested
            assert len(requested) <= A_RUN
            synced += requested
            fleet.clock.advance(RUN_EVERY.total_seconds())
            for tenant_id in requested:  # as the scheduler and Bedrock do meanwhile
                fleet.ledger.save(
                    Sync(
                        tenant_id,
                        synced_at=fleet.clock.now(),
                        version=fleet.ledger.find(first_knowledge(tenant_id)).version,
                    )
                )
        assert sorted(synced) == tenants
