"""Storms, small ones."""

from __future__ import annotations

import pytest

from tests.proofs import storms
from tests.proofs.scenarios import stores
from tests.support.aws_calls import Call
from tests.support.virtual_fleet import RARE_TICKS, virtual_fleet

STORES = stores()
SEED = 20
"""None of those that `make prove` tries."""


@pytest.mark.parametrize("store", STORES)
def test_of_many_executions_for_one_tenant_one_converges_it_and_the_others_keep_away(store: str) -> None:
    assert storms.rivals(store, seed=SEED) is None


def test_many_new_tenants_all_become_active_although_bedrock_throttles() -> None:
    failure, _ = storms.crowd(STORES[0], seed=SEED, tenants=5)
    assert failure is None


def test_a_run_is_repeated_exactly_by_its_seed() -> None:
    def calls(seed: int) -> list[Call]:
        with virtual_fleet(seed=seed, interleaved=True, parameters=RARE_TICKS) as fleet:
            fleet.calls.throttle("bedrock-agent", 0.3)
            fleet.calls.throttle("dynamodb", 0.1)
            executions = [fleet.start("provision_tenant", {"tenant_id": f"tenant-{number}"}) for number in range(3)]
            fleet.finish(*executions)
            return [*fleet.calls.made]

    first = [call.kind for call in calls(1)]
    assert first == [call.kind for call in calls(1)]
    assert first != [call.kind for call in calls(2)]
