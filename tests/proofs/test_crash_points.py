"""Crashes of the workflows, as far as a few seconds allow."""

from __future__ import annotations

import pytest

from tests.proofs import crash_points, scenarios
from tests.proofs.crash_points import Crash, Point
from tests.proofs.proof import one_by_one
from tests.proofs.scenarios import Scenario
from tests.support.losses import Loss

STORES = scenarios.stores()
EVERY = 211
"""A prime: the chosen points are of every kind."""


SCENARIOS = [
    *map(scenarios.provisioning, STORES),
    scenarios.provisioning_by_a_profile("S3_VECTORS"),
    scenarios.offboarding(STORES[0]),
    scenarios.rebuilding_after("S3_VECTORS", Loss.INDEX),
    scenarios.refusing_after("S3_VECTORS", Loss.DATA_SOURCE),
    scenarios.rebuilding("S3_VECTORS"),
]
"""`make prove` crashes each on every store."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.source)
def test_what_a_crash_anywhere_leaves_behind_is_brought_in_order_by_the_next_run(scenario: Scenario) -> None:
    assert crash_points.prove(scenario, "", nth=EVERY, run=one_by_one).failures == []


def test_a_request_and_a_round_that_die_anywhere_are_brought_to_their_end() -> None:
    """A sample; of the round, until it has started the deletion. `make prove` tries all, to the end."""
    for scenario, function in (
        (scenarios.offboarding(STORES[0]), "TenantsFunction"),
        (scenarios.offboarding_when_due(STORES[0]), "ReconcileFunction"),
    ):
        calls = [call for call in crash_points.recorded(scenario) if call.function == function]
        started = next(place for place, call in enumerate(calls) if call.operation == "StartExecution")
        crashes = crash_points.points(calls[: started + 1])[::7]
        assert crash_points.survive(scenario, crashes) == [None] * len(crashes)


OUTLIVED = [("ReserveTenantFunction", "PutItem"), ("EnsureBucketFunction", "CreateBucket")]


@pytest.mark.parametrize(("function", "operation"), OUTLIVED)
def test_a_function_that_outlives_its_stopped_execution_takes_no_lease_back(function: str, operation: str) -> None:
    scenario = scenarios.provisioning(STORES[0])
    calls = crash_points.recorded(scenario)
    call = next(call for call in calls if (call.function, call.operation) == (function, operation))
    assert crash_points.survive(scenario, [Point(call, Crash.OUTLIVED)]) == [None]


def test_a_dead_letter_that_somebody_has_hidden_and_died_is_deleted_by_the_next_run() -> None:
    scenario = scenarios.offboarding(STORES[0])
    looks = [call for call in crash_points.recorded(scenario) if call.operation == "ReceiveMessage"]
    assert crash_points.survive(scenario, [Point(looks[0], Crash.EXECUTION_AFTER)]) == [None]


def test_an_offboarding_whose_receipt_was_kept_by_a_stopped_execution_is_brought_to_its_end() -> None:
    scenario = scenarios.offboarding(STORES[0])
    writes = [call for call in crash_points.recorded(scenario) if call.operation == "PutItem"]
    receipt = next(call for call in writes if "/ERASURE#" in call.resource)
    assert crash_points.survive(scenario, [Point(receipt, Crash.EXECUTION_AFTER)]) == [None]
