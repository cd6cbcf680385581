"""Crashes of a provisioning, as far as a few seconds allow."""

from __future__ import annotations

import pytest

from tests.proofs import crash_points
from tests.proofs.crash_points import Crash
from tests.proofs.proof import in_turn

STORES = crash_points.stores()
EVERY = 67
"""A prime: the chosen points are of every kind."""


@pytest.mark.parametrize("store", STORES)
def test_a_tenant_whose_provisioning_crashes_anywhere_is_brought_in_order_by_the_next_run(store: str) -> None:
    assert crash_points.prove(crash_points.provisioning(store), store, nth=EVERY, run=in_turn).failures == []


@pytest.mark.xfail(strict=True, reason="Reserve Tenant's function can take the lease for an execution that was stopped")
@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_an_execution_that_is_stopped_while_it_reserves_leaves_no_lease_behind(operation: str) -> None:
    scenario = crash_points.provisioning(STORES[0])
    call = next(call for call in crash_points.recorded(scenario) if call.operation == operation)
    assert call.function == "ReserveTenantFunction"
    assert crash_points.repeat(scenario, call.number, Crash.OUTLIVED) is None
