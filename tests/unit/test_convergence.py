"""After an update, every tenant's resources are brought to what the new version makes them like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.domain.errors import Throttled
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
    for tenant_id in ids[:AT_ONCE]:
        write(fleet, tenant_id, lease=Lease("execution", fleet.clock.now().replace(year=2100)))
    assert converge(fleet).started == ()
    execution_ends(fleet, ids[0])
    assert converge(fleet).started == (ids[AT_ONCE],)


def test_one_that_cannot_be_started_keeps_nobody_else_and_is_tried_again(fleet: Fleet) -> None:
    add(fleet, "first")
    add(fleet, "second")
    fleet.executions.refuse_next(Throttled("Step Functions is asked too often."))
    report = converge(fleet)
    assert [tenant_id for tenant_id, _ in report.refused] == ["first"]
    assert report.started == ("second",)
    assert "first" in converge(fleet).started


def test_one_whose_execution_failed_is_left_to_people_and_the_round_ends(fleet: Fleet) -> None:
    add(fleet, "acme")
    write(fleet, "acme", failure=provisioning_failure())  # of long ago
    fleet.clock.advance(3_600)
    assert converge(fleet).started == ("acme",)
    execution_ends(fleet, "acme", replace(provisioning_failure(), at=fleet.clock.now()))
    assert converge(fleet) == ConvergenceReport()
    assert converge(fleet) == ConvergenceReport()
    assert started(fleet) == ["acme"]


def test_a_fleet_that_is_converged_is_not_read_again_until_the_next_update(fleet: Fleet) -> None:
    add(fleet, "acme")
    converge(fleet)
    execution_ends(fleet, "acme")
    assert converge(fleet) == ConvergenceReport()
    stored = fleet.convergences.find()
    assert stored is not None
    assert stored.ended
    add(fleet, "from-a-backup")  # whoever brings a record in by hand has `tenant add`
    assert converge(fleet).started == ()
    assert set(converge(fleet, "3").started) == {"acme", "from-a-backup"}


def test_one_that_is_being_provisioned_during_the_update_is_waited_for(fleet: Fleet) -> None:
    add(fleet, "acme", TenantStatus.PROVISIONING)
    write(fleet, "acme", lease=Lease("execution", fleet.clock.now() + timedelta(hours=5)))
    assert converge(fleet) == ConvergenceReport()
    # Its execution goes by the definition of before, and says nothing of this version.
    write(fleet, "acme", lease=None, status=TenantStatus.ACTIVE)
    assert converge(fleet).started == ("acme",)


def test_one_whose_execution_has_died_is_not_waited_for_for_ever(fleet: Fleet) -> None:
    add(fleet, "acme", TenantStatus.PROVISIONING)
    write(fleet, "acme", lease=Lease("execution", fleet.clock.now() + timedelta(hours=5)))
    fleet.clock.advance(5 * 3_600)
    converge(fleet)
    stored = fleet.convergences.find()
    assert stored is not None
    assert stored.ended


def test_an_update_that_is_taken_back_is_a_new_round(fleet: Fleet) -> None:
    add(fleet, "acme", version=NEW)
    assert converge(fleet, NEW).left == 0
    fleet.clock.advance(60)
    assert converge(fleet, OLD).started == ("acme",)
    began = fleet.convergences.find()
    assert began is not None
    assert began.began_at > START
