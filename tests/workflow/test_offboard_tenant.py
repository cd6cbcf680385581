"""A tenant's way out in virtual time: nothing before its time, everything after it, and back while there is time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import kbfleet.bootstrap
from kbfleet.domain.tenant import Lease, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.converged import departures
from tests.proofs.erased import remains
from tests.support.api_requests import api_request
from tests.support.state_machine import Execution
from tests.support.template import DEFINITIONS
from tests.support.virtual_fleet import AN_HOUR, RARE_TICKS, VirtualFleet, virtual_fleet

STORE = "S3_VECTORS"
TENANT = "acme"
A_DAY = 24 * AN_HOUR
WAIT = "Wait For Retention Period"
RELEASED = Path(__file__).with_name("released")


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    """With one active tenant."""
    with virtual_fleet(parameters=RARE_TICKS, safety_net_seconds=A_DAY) as fleet:
        assert fleet.provision(TENANT, STORE).status == "SUCCEEDED"
        fleet.settle(TENANT)
        yield fleet


def operate(fleet: VirtualFleet, method: str, resource: str, **query: str) -> dict[str, Any]:
    answer = fleet.invoke("TenantsFunction", api_request(method, resource, query=query, tenant_id=TENANT))
    assert answer["statusCode"] < 300, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def offboard(fleet: VirtualFleet, *, days: int) -> dict[str, Any]:
    return operate(fleet, "DELETE", "/tenants/{tenant_id}", retention_days=str(days))


def resume(fleet: VirtualFleet) -> dict[str, Any]:
    return operate(fleet, "DELETE", "/tenants/{tenant_id}/suspension")


def deletions(fleet: VirtualFleet) -> list[Execution]:
    machine = fleet.machine_arn("offboard_tenant")
    return [each for each in fleet.step_functions.executions.values() if each.machine == machine]


def record(fleet: VirtualFleet) -> Tenant:
    found = fleet.tenant(TENANT)
    assert found is not None
    return found


def let_days_pass(fleet: VirtualFleet, days: int) -> None:
    """With a round each day."""
    for _ in range(days):
        fleet.timeline.run_for(A_DAY)
        fleet.invoke("ReconcileFunction", {})


def test_without_a_retention_period_it_is_deleted_at_once(fleet: VirtualFleet) -> None:
    name = offboard(fleet, days=0)["execution"]["execution"]
    (execution,) = deletions(fleet)
    assert execution.name == name
    assert fleet.finish(execution).status == "SUCCEEDED"
    assert remains(fleet, TENANT) == []


def test_after_thirty_days_it_is_deleted_by_one_execution_and_not_before(fleet: VirtualFleet) -> None:
    assert offboard(fleet, days=30)["execution"] is None
    let_days_pass(fleet, 29)
    assert deletions(fleet) == []
    assert record(fleet).status is TenantStatus.OFFBOARDING
    fleet.timeline.run_for(A_DAY)
    for _ in range(2):
        fleet.invoke("ReconcileFunction", {})
    (execution,) = deletions(fleet)
    assert fleet.finish(execution).status == "SUCCEEDED"
    let_days_pass(fleet, 2)
    assert deletions(fleet) == [execution]
    assert remains(fleet, TENANT) == []


def test_taken_back_on_the_last_day_it_is_as_it_was_and_stays(fleet: VirtualFleet) -> None:
    offboard(fleet, days=30)
    let_days_pass(fleet, 29)
    assert resume(fleet)["status"] == "ACTIVE"
    let_days_pass(fleet, 5)
    assert deletions(fleet) == []
    assert departures(fleet, {TENANT: STORE}) == []


@pytest.fixture
def waiting(fleet: VirtualFleet) -> Execution:
    """An execution of the version before, which has the tenant's lease and waits for thirty days: docs/decisions/0038.
    It keeps the definition of that time."""
    # That version gave no tenant a service role.
    kbfleet.bootstrap.service_roles().delete(fleet.names.service_role(record(fleet).this_life))
    plan = offboard(fleet, days=30)["offboarding"]
    arn = fleet.machine_arn("offboard_tenant")
    fleet.define("offboard_tenant", RELEASED, start_at=WAIT)
    requested = record(fleet)
    lease = Lease(f"{arn.replace(':stateMachine:', ':execution:')}:acme-old", requested.updated_at + timedelta(days=31))
    fenced_off = replace(requested, lease=lease, fence=requested.fence + 1)
    kbfleet.bootstrap.registry().replace(fenced_off, fence=requested.fence)
    reservation = {"tenant_id": TENANT, "fence": fenced_off.fence, "deadline": plan["delete_after"]}
    results = {"reservation": reservation, "uploads": {"done": True}}
    execution = fleet.start("offboard_tenant", {"tenant_id": TENANT, "retention_days": 30, **results}, name="acme-old")
    fleet.timeline.run_for(1)
    fleet.define("offboard_tenant", DEFINITIONS)
    assert execution.states == [WAIT]
    return execution


def test_an_execution_of_the_version_before_ends_well(fleet: VirtualFleet, waiting: Execution) -> None:
    let_days_pass(fleet, 31)
    assert fleet.finish(waiting).status == "SUCCEEDED"
    assert deletions(fleet) == [waiting]
    assert remains(fleet, TENANT) == []


def test_one_that_has_not_begun_to_wait_leaves_that_to_the_record(fleet: VirtualFleet) -> None:
    fleet.define("offboard_tenant", RELEASED)
    execution = fleet.start("offboard_tenant", {"tenant_id": TENANT, "retention_days": 30})
    assert fleet.finish(execution).states[-1] == "Offboarding Superseded"
    fleet.define("offboard_tenant", DEFINITIONS)
    assert record(fleet).status is TenantStatus.OFFBOARDING
    let_days_pass(fleet, 31)
    assert remains(fleet, TENANT) == []


def test_one_whose_tenant_was_taken_back_is_superseded(fleet: VirtualFleet, waiting: Execution) -> None:
    resume(fleet)
    let_days_pass(fleet, 31)
    assert (waiting.status, waiting.states[-1]) == ("SUCCEEDED", "Offboarding Superseded")
    assert departures(fleet, {TENANT: STORE}) == []


def test_one_whose_tenant_leaves_in_the_new_way_is_superseded_whatever_became_of_it(
    fleet: VirtualFleet, waiting: Execution
) -> None:
    resume(fleet)
    fleet.settle(TENANT)
    fleet.timeline.run_for(AN_HOUR)  # what opens the bucket again has ended
    fleet.finish(deletions_by_request(fleet))
    assert remains(fleet, TENANT) == []
    let_days_pass(fleet, 31)
    assert (waiting.status, waiting.states[-1]) == ("SUCCEEDED", "Offboarding Superseded")
    assert remains(fleet, TENANT) == []


def deletions_by_request(fleet: VirtualFleet) -> Execution:
    name = offboard(fleet, days=0)["execution"]["execution"]
    (execution,) = (each for each in deletions(fleet) if each.name == name)
    return execution
