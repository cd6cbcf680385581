"""What runs while the stack is updated ends well.

An execution goes on by the definition that it began with (AWS documentation, Updating state machines), and calls the
functions of today. `released/` holds the definitions of the last release. Whoever releases a version replaces them;
until then, no function that they call may go, and none may refuse what they send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kbfleet.domain.tenant_status import TenantStatus
from tests.support.template import STATE_MACHINES, properties
from tests.support.virtual_fleet import RARE_TICKS, VirtualFleet, virtual_fleet

RELEASED = Path(__file__).with_name("released")
MACHINES = sorted(path.name.removesuffix(".asl.json") for path in RELEASED.glob("*.asl.json"))
"""One that is new in this version has no executions of the last."""


@pytest.fixture(params=["S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED"])
def fleet(request: pytest.FixtureRequest) -> Iterator[VirtualFleet]:
    """Just updated: what is started in these tests was started before that."""
    with virtual_fleet(parameters={**RARE_TICKS, "KnowledgeStore": request.param}) as fleet:
        for machine in MACHINES:
            fleet.define(machine, RELEASED)
        yield fleet


def functions_of(path: Path) -> set[str]:
    states = json.loads(path.read_text("utf-8"))["States"].values()
    named = {state["Parameters"]["FunctionName"] for state in states if state["Type"] == "Task"}
    return {name.removeprefix("${").removesuffix("Arn}") for name in named}


def test_none_that_was_released_is_gone() -> None:
    assert set(MACHINES) <= set(STATE_MACHINES)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_function_is_gone_that_an_execution_may_still_call(machine: str) -> None:
    called = functions_of(RELEASED / f"{machine}.asl.json")
    given = properties(f"{machine.title().replace('_', '')}StateMachine")["DefinitionSubstitutions"]
    assert called <= {name.removesuffix("Arn") for name in given}


def test_a_tenant_is_provisioned_to_the_end(fleet: VirtualFleet) -> None:
    assert fleet.provision("acme").status == "SUCCEEDED"
    tenant = fleet.tenant("acme")
    assert tenant is not None
    assert (tenant.status, tenant.lease) == (TenantStatus.ACTIVE, None)


def test_a_tenant_whose_bucket_is_gone_is_offboarded_to_the_end(fleet: VirtualFleet) -> None:
    """The definition of before does not wait for one that may not show yet."""
    fleet.provision("acme")
    tenant = fleet.tenant("acme")
    assert tenant is not None
    s3 = fleet.client("s3")
    for version in s3.list_object_versions(Bucket=tenant.bucket_name)["Versions"]:
        s3.delete_object(Bucket=tenant.bucket_name, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=tenant.bucket_name)
    execution = fleet.start("offboard_tenant", {"tenant_id": "acme", "retention_days": 0})
    assert fleet.finish(execution, within=100_000).status == "SUCCEEDED"


def test_a_tenant_is_offboarded_to_the_end(fleet: VirtualFleet) -> None:
    fleet.provision("acme")
    execution = fleet.start("offboard_tenant", {"tenant_id": "acme", "retention_days": 0})
    assert fleet.finish(execution, within=100_000).status == "SUCCEEDED"
    tenant = fleet.tenant("acme")
    assert tenant is not None
    assert tenant.status is TenantStatus.OFFBOARDED
    assert tenant.erasure is not None
