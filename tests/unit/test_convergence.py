"""After an update, every tenant's resources are brought to what the new version makes them like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kbfleet.domain.convergence import LOOKED_AGAIN_AFTER
from kbfleet.domain.errors import AccessRefused, KbfleetError, Throttled
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import Lease, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.usecases.convergence import AT_ONCE, ConvergenceReport, converge_tenants
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import provisioning_failure, tenant

OLD, NEW = "1", "2"


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def converge(fleet: Fleet, version: str = NEW) -> ConvergenceReport:
    return converge_tenants(
        resources_version=version,
        convergences=fleet.convergences,
        registry=fleet.registry,
        executions=fleet.executions,
        stores=fleet.stores,
        clock=fleet.clock,
    )


def add(fleet: Fleet, tenant_id: str, status: TenantStatus = TenantStatus.ACTIVE, version: str | None = None) -> None:
    fleet.registry.create(tenant(TenantId(tenant_id), status=status, resources_version=version))


def write(fleet: Fleet, tenant_id: str, **changes: object) -> None:
    record = fleet.registry.get(TenantId(tenant_id))
    fleet.registry.replace(replace(record, **changes), fence=record.fence)  # type: ignore[arg-type] # any field


def execution_ends(fleet: Fleet, tenant_id: str, failure: WorkflowFailure | None = None) -> None:
    """What the last step of `provision_tenant` leaves."""
    now = fleet.clock.now()
    before = replace(fleet.registry.get(TenantId(tenant_id)), lease=Lease("execution", now))
    after: Tenant = before.converged(NEW, now) if failure is None else before.failed(failure)
    fleet.registry.replace(after, fence=before.fence)


def started(fleet: Fleet) -> list[str]:
    return [str(request["tenant_id"]) for request in fleet.executions.requests.values()]


def test_active_and_suspended_tenants_are_converged_alike(fleet: Fleet) -> None:
    add(fleet, "active")
    add(fleet, "suspended", TenantStatus.SUSPENDED, OLD)
    assert converge(fleet).started == ("active", "suspended")
    assert started(fleet) == ["active", "suspended"]


def test_whoever_is_of_this_version_or_comes_to_it_otherwise_is_left_alone(fleet: Fleet) -> None:
    add(fleet, "converged", version=NEW)
    for status in TenantStatus:
        if status not in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
            add(fleet, str(status).lower(), status)
    assert converge(fleet) == ConvergenceReport()
    assert started(fleet) == []


def test_a_fleet_is_converged_some_at_a_time(fleet: Fleet) -> None:
    ids = [f"tenant-{number:02}" for number in range(AT_ONCE + 5)]
    for tenant_id in ids:
        add(fleet, tenant_id)
    assert converge(fleet).started == tuple(ids[:AT_ONCE])
    fleet.executions.begin("execution")
    for tenant_id in ids[:AT_ONCE]:
        write(fleet, tenant_id, lease=Lease("execution", fleet.clock.now().replace(year=2100)))
    assert converge(fleet).started == ()
    execution_ends(fleet, ids[0])
    assert converge(fleet).started == (ids[AT_ONCE],)


def test_the_lease_of_an_execution_that_is_gone_keeps_nobody(fleet: Fleet) -> None:
    add(fleet, "acme")
    write(fleet, "acme", lease=Lease("long gone", fleet.clock.now().replace(year=2100)))
    assert converge(fleet).started == ("acme",)


def test_one_that_cannot_be_started_keeps_nobody_else_and_is_tried_again(fleet: Fleet) -> None:
    add(fleet, "first")
    add(fleet, "second")
    fleet.executions.refuse_next(Throttled("Step Functions is asked too often."))
    report = converge(fleet)
    assert [tenant_id for tenant_id, _ in report.refused] == ["first"]
    assert report.started == ("second",)
    assert "first" in converge(fleet).started


@pytest.mark.parametrize("error", [Throttled("too often"), AccessRefused("not permitted")])
def test_a_large_fleet_is_not_gone_through_while_aws_refuses(fleet: Fleet, error: KbfleetError) -> None:
    for number in range(5 * AT_ONCE):
        add(fleet, f"tenant-{number:03}")
        fleet.executions.refuse_next(error)
    assert len(converge(fleet).refused) == AT_ONCE


def test_those_whose_store_is_not_offered_keep_nobody_else(fleet: Fleet) -> None:
    for number in range(2 * AT_ONCE):
        add(fleet, f"a-{number:03}")
        write(fleet, f"a-{number:03}", knowledge_store="NOT_OFFERED")
    add(fleet, "acme")
    report = converge(fleet)
    assert (report.started, len(report.refused)) == (("acme",), 2 * AT_ONCE)


def test_executions_that_came_to_nothing_take_nobody_s_place(fleet: Fleet) -> None:
    # They never had their tenants' leases, so that no record says that they failed.
    for number in range(AT_ONCE):
        add(fleet, f"a-{number:02}")
    add(fleet, "acme")
    converge(fleet)
    for name in list(fleet.executions.requests):
        fleet.executions.progress(name, status="FAILED")
    assert converge(fleet).started == ("acme",)


def test_one_whose_execution_failed_is_left_to_people_and_the_round_ends(fleet: Fleet) -> None:
    add(fleet, "acme")
    write(fleet, "acme", failure=provisioning_failure())  # of long ago
    fleet.clock.advance(3_600)
    assert converge(fleet).started == ("acme",)
    execution_ends(fleet, "acme", replace(provisioning_failure(), at=fleet.clock.now()))
    assert converge(fleet) == ConvergenceReport()
    assert converge(fleet) == ConvergenceReport()
    assert started(fleet) == ["acme"]


def test_a_fleet_that_is_converged_is_read_once_an_hour(fleet: Fleet) -> None:
    add(fleet, "acme")
    converge(fleet)
    execution_ends(fleet, "acme")
    assert converge(fleet) == ConvergenceReport()
    add(fleet, "from-a-backup")
    fleet.clock.advance(LOOKED_AGAIN_AFTER.total_seconds() - 1)
    assert converge(fleet).started == ()
    fleet.clock.advance(1)
    assert converge(fleet).started == ("from-a-backup",)
    assert set(converge(fleet, "3").started) == {"acme", "from-a-backup"}


def test_one_that_the_version_before_goes_on_to_provision_when_the_round_has_ended_is_converged(fleet: Fleet) -> None:
    # Its first sync may take hours.
    add(fleet, "arriving", TenantStatus.PROVISIONING)
    assert converge(fleet) == ConvergenceReport()
    write(fleet, "arriving", status=TenantStatus.ACTIVE)
    fleet.clock.advance(LOOKED_AGAIN_AFTER.total_seconds())
    assert converge(fleet).started == ("arriving",)


def test_one_that_is_taken_back_into_suspension_when_the_round_has_ended_is_converged(fleet: Fleet) -> None:
    add(fleet, "returning", TenantStatus.OFFBOARDING)
    assert converge(fleet) == ConvergenceReport()
    write(fleet, "returning", status=TenantStatus.SUSPENDED)
    fleet.clock.advance(LOOKED_AGAIN_AFTER.total_seconds())
    assert converge(fleet).started == ("returning",)


def test_what_the_version_before_wrote_between_two_deployments_of_this_one_is_converged(fleet: Fleet) -> None:
    add(fleet, "acme", version=NEW)
    assert converge(fleet) == ConvergenceReport()
    # The older version knows neither the number, which it drops, nor the round.
    write(fleet, "acme", resources_version=None)
    add(fleet, "of-the-older-version")
    fleet.clock.advance(LOOKED_AGAIN_AFTER.total_seconds())
    assert set(converge(fleet).started) == {"acme", "of-the-older-version"}


def test_an_update_that_is_taken_back_is_a_new_round(fleet: Fleet) -> None:
    add(fleet, "acme", version=NEW)
    assert converge(fleet, NEW).left == 0
    fleet.clock.advance(60)
    assert converge(fleet, OLD).started == ("acme",)
    began = fleet.convergences.find()
    assert began is not None
    assert began.began_at > START
