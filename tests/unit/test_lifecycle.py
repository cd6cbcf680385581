"""Suspending and resuming, and what a tenant's status means to whoever wants something of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.errors import (
    KbfleetError,
    OffboardingBegun,
    TenantBusy,
    TenantNotActive,
    TenantNotFound,
    TenantOffboarded,
    TenantOffboarding,
    TenantSuspended,
)
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant import OVERDUE_AFTER, Lease, Offboarding, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.clock import START
from tests.support.fakes import FailedTask
from tests.support.fleet import Fleet
from tests.support.samples import ACME, EXECUTION, first_knowledge, provisioning_failure, tenant

DAYS = timedelta(days=30)
SECOND = timedelta(seconds=1)


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.add(ACME)
    return fleet


class TestSuspending:
    def test_the_status_changes_and_is_published(self, fleet: Fleet) -> None:
        assert fleet.suspend(ACME).status is TenantStatus.SUSPENDED
        (change,) = fleet.announcements.tenant_state_changes
        assert (change.status, change.previous_status) == (TenantStatus.SUSPENDED, TenantStatus.ACTIVE)

    def test_doing_it_again_changes_nothing_and_publishes_nothing(self, fleet: Fleet) -> None:
        first = fleet.suspend(ACME)
        fleet.clock.advance(60)
        assert fleet.suspend(ACME) == first
        assert len(fleet.announcements.tenant_state_changes) == 1

    def test_what_a_process_that_died_could_not_publish_is_published_by_the_next(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(record.suspended(fleet.clock.now()), fence=record.fence)
        fleet.resume(ACME)
        statuses = [change.status for change in fleet.announcements.tenant_state_changes]
        assert statuses == [TenantStatus.SUSPENDED, TenantStatus.ACTIVE]

    def test_a_queued_sync_waits_and_is_started_after_resuming(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.suspend(ACME)
        fleet.clock.advance(3_600)
        assert fleet.tick().idle
        assert not fleet.knowledge_bases.jobs
        fleet.resume(ACME)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes is False
        assert len(fleet.knowledge_bases.jobs) == 1

    def test_a_running_sync_is_stopped_and_made_up_for_after_resuming(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        fleet.suspend(ACME)
        fleet.tick_until_idle()
        sync = fleet.ledger.find(first_knowledge(ACME))
        assert sync.result is not None
        assert (sync.state, sync.result.outcome, sync.pending_changes) == (SyncState.IDLE, Outcome.STOPPED, True)
        fleet.resume(ACME)
        fleet.tick_until_idle()
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes is False
        assert [job.seen_at(fleet.clock.now()).status for job in fleet.knowledge_bases.jobs.values()] == [
            JobStatus.STOPPED,
            JobStatus.COMPLETE,
        ]

    def test_what_is_wanted_meanwhile_is_refused_and_says_how_to_go_on(self, fleet: Fleet) -> None:
        fleet.suspend(ACME)
        with pytest.raises(TenantSuspended, match="kbfleet tenant resume acme"):
            fleet.request(ACME)

    def test_a_task_that_waits_for_a_sync_is_reported(self, fleet: Fleet) -> None:
        fleet.ledger.save(fleet.ledger.find(first_knowledge(ACME)).requested(START, 0, "token"))  # type: ignore[arg-type]
        fleet.suspend(ACME)
        assert isinstance(fleet.callbacks.answer("token"), FailedTask)
        assert not fleet.ledger.find(first_knowledge(ACME)).waiters

    def test_a_tenant_that_an_execution_works_on_is_busy(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        leased = replace(record, lease=Lease(EXECUTION, fleet.clock.now() + DAYS))
        fleet.registry.replace(leased, fence=record.fence)
        with pytest.raises(TenantBusy, match=EXECUTION):
            fleet.suspend(ACME)

    def test_an_unknown_tenant_is_reported(self) -> None:
        with pytest.raises(TenantNotFound):
            Fleet().suspend(ACME)

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.FAILED, TenantStatus.OFFBOARDING])
    def test_only_an_active_tenant_can_be_suspended(self, status: TenantStatus) -> None:
        with pytest.raises(TenantNotActive, match="acme"):
            tenant(status=status).suspended(START)


class TestResuming:
    def test_an_active_tenant_stays_as_it_is(self, fleet: Fleet) -> None:
        before = fleet.registry.get(ACME)
        assert fleet.resume(ACME) == before

    def test_a_suspended_one_is_active_again(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.suspend(ACME)
        assert fleet.resume(ACME).status is TenantStatus.ACTIVE
        assert not fleet.executions.requests

    def test_one_that_was_never_synced_is_provisioned_to_the_end(self, fleet: Fleet) -> None:
        fleet.suspend(ACME)
        assert fleet.resume(ACME).status is TenantStatus.ACTIVE
        assert [dict(request) for request in fleet.executions.requests.values()] == [{"tenant_id": ACME}]

    def test_one_that_waits_to_be_offboarded_is_what_it_was_and_is_converged_again(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        now = fleet.clock.now()
        waiting = record.offboarding_requested(now, retention=DAYS)
        fleet.registry.replace(waiting, fence=record.fence)
        resumed = fleet.resume(ACME)
        assert (resumed.status, resumed.lease, resumed.offboarding) == (TenantStatus.ACTIVE, None, None)
        assert resumed.fence > waiting.fence  # an execution that was started for it gets no lease
        assert [dict(request) for request in fleet.executions.requests.values()] == [{"tenant_id": ACME}]

    def test_one_that_was_suspended_before_is_suspended_again_and_opened_when_that_is_over_too(
        self, fleet: Fleet
    ) -> None:
        fleet.request(ACME)
        fleet.suspend(ACME)
        record = fleet.registry.get(ACME)
        waiting = record.offboarding_requested(fleet.clock.now(), retention=DAYS)
        fleet.registry.replace(waiting, fence=record.fence)
        assert fleet.resume(ACME).status is TenantStatus.SUSPENDED
        assert fleet.ledger.find(first_knowledge(ACME)).on_hold
        assert not fleet.executions.requests
        assert fleet.resume(ACME).status is TenantStatus.ACTIVE
        assert not fleet.ledger.find(first_knowledge(ACME)).on_hold
        assert [dict(request) for request in fleet.executions.requests.values()] == [{"tenant_id": ACME}]

    def test_one_whose_data_are_being_deleted_cannot_be_taken_back(self) -> None:
        begun = tenant().offboarding_requested(START, retention=DAYS).deletion_begun(START + DAYS)
        with pytest.raises(OffboardingBegun, match="provision the tenant anew"):
            begun.resumed(START + DAYS)

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.FAILED, TenantStatus.OFFBOARDED])
    def test_there_is_nothing_to_resume_otherwise(self, status: TenantStatus) -> None:
        with pytest.raises(TenantNotActive, match="nothing to resume"):
            tenant(status=status).resumed(START)


OUT_OF_SERVICE = {
    TenantStatus.SUSPENDED: TenantSuspended,
    TenantStatus.OFFBOARDING: TenantOffboarding,
    TenantStatus.OFFBOARDED: TenantOffboarded,
}


class TestStatus:
    @pytest.mark.parametrize(("status", "error"), OUT_OF_SERVICE.items())
    @pytest.mark.parametrize("wanted", [Tenant.askable, Tenant.in_service])
    def test_a_tenant_out_of_service_refuses_by_the_name_of_its_status(
        self, status: TenantStatus, error: type[Exception], wanted: Callable[[Tenant], object]
    ) -> None:
        with pytest.raises(error):
            wanted(tenant(status=status))

    @pytest.mark.parametrize("status", [TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED])
    def test_a_tenant_that_leaves_or_has_left_is_not_converged(self, status: TenantStatus) -> None:
        with pytest.raises(OUT_OF_SERVICE[status]):
            tenant(status=status).reserved_by("one", START, DAYS)

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.FAILED])
    def test_one_that_is_not_ready_cannot_be_asked(self, status: TenantStatus) -> None:
        with pytest.raises(TenantNotActive, match="acme"):
            tenant(status=status).askable()

    def test_a_change_of_status_remembers_the_one_before_and_when(self) -> None:
        later = START + timedelta(hours=1)
        changed = tenant().with_status(TenantStatus.SUSPENDED, later)
        assert (changed.previous_status, changed.status_since) == (TenantStatus.ACTIVE, later)
        assert changed.with_status(TenantStatus.SUSPENDED, later + DAYS) == changed

    def test_an_active_tenant_whose_convergence_fails_stays_active(self) -> None:
        failed = tenant().reserved_by(EXECUTION, START, DAYS)
        assert failed.status is TenantStatus.ACTIVE


class TestOffboarding:
    def test_it_is_due_when_its_retention_period_is_over_and_not_before(self) -> None:
        leaving = tenant().offboarding_requested(START, retention=DAYS)
        assert leaving.offboarding == Offboarding(START, START + DAYS, TenantStatus.ACTIVE)
        assert [leaving.deletion_is_due(START + DAYS + after) for after in (-SECOND, 0 * SECOND)] == [False, True]

    def test_without_a_retention_period_it_is_due_also_where_a_clock_is_behind(self) -> None:
        leaving = tenant().offboarding_requested(START, retention=0 * DAYS)
        assert leaving.deletion_is_due(START - SECOND)

    def test_one_that_failed_is_due_again_only_when_it_is_requested_again_and_keeps_its_time(self) -> None:
        leaving = tenant().offboarding_requested(START, retention=DAYS)
        later = START + 2 * DAYS
        failed = leaving.fenced_off_by("one", later, lease=DAYS).failed(provisioning_failure("one"))
        assert not failed.deletion_is_due(later)
        again = failed.offboarding_requested(later, retention=DAYS)
        assert again.deletion_is_due(later)
        assert again.offboarding == leaving.offboarding

    def test_it_is_overdue_some_days_later(self) -> None:
        plan = Offboarding(START, START + DAYS, TenantStatus.ACTIVE)
        late = plan.delete_after + OVERDUE_AFTER
        assert [plan.is_overdue(late + after) for after in (0 * SECOND, SECOND)] == [False, True]

    @given(st.lists(st.sampled_from(("request", "resume", "fence off", "fail", "wait")), max_size=12))
    def test_no_execution_ever_gets_it_before_its_time(self, story: list[str]) -> None:
        record, now = tenant(), START
        for number, act in enumerate(story):
            with suppress(KbfleetError):
                match act:
                    case "request":
                        record = record.offboarding_requested(now, retention=2 * DAYS)
                    case "resume":
                        record = record.resumed(now)
                    case "fence off":
                        record = record.fenced_off_by(f"{number}", now, lease=DAYS)
                        assert record.offboarding is not None
                        assert record.offboarding.requested_at + 2 * DAYS <= now
                    case "fail":
                        record = record.failed(provisioning_failure("one"))
            now += DAYS
            assert (record.offboarding is not None) == (record.status is TenantStatus.OFFBOARDING)
