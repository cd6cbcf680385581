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
    scenario = crash_points.provisioning(store)
    assert crash_points.prove(scenario, store, nth=EVERY, run=in_turn).failures == []


OUTLIVED = [("ReserveTenantFunction", "PutItem"), ("EnsureBucketFunction", "CreateBucket")]


@pytest.mark.parametrize(("function", "operation"), OUTLIVED)
def test_a_function_that_outlives_its_stopped_execution_takes_no_lease_back(function: str, operation: str) -> None:
    scenario = crash_points.provisioning(STORES[0])
    calls = crash_points.recorded(scenario)
    call = next(call for call in calls if (call.function, call.operation) == (function, operation))
    assert crash_points.repeat(scenario, call.number, Crash.OUTLIVED) is None
