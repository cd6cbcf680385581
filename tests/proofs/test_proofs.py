"""The proofs of `make prove`, each as far as a few seconds allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.proofs import crash_points, slow_aws, storms
from tests.proofs.converged import departures
from tests.proofs.crash_points import Crash, Point
from tests.proofs.first_provisioning import MOST_TIMES_THE_SERVICE, MOST_TRANSITIONS, cost
from tests.proofs.proof import in_turn
from tests.support.aws_calls import Call
from tests.support.virtual_fleet import REGION, virtual_fleet

STORES = crash_points.stores()
EVERY = 67
"""A prime: no two of the chosen points are of the same kind for long."""


@pytest.mark.parametrize("store", STORES)
def test_a_tenant_whose_provisioning_crashes_anywhere_is_brought_in_order_by_the_next_run(store: str) -> None:
    assert crash_points.prove(crash_points.provisioning(store), store, nth=EVERY, run=in_turn).failures == []


@pytest.mark.xfail(
    strict=True, reason="Reserve Tenant's own function can take the lease for an execution that was stopped"
)
@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_an_execution_that_is_stopped_while_it_reserves_leaves_no_lease_behind(operation: str) -> None:
    scenario = crash_points.provisioning(STORES[0])
    call = next(call for call in crash_points.recorded(scenario) if call.operation == operation)
    assert call.function == "ReserveTenantFunction"
    assert crash_points.survives(scenario, Point(call, Crash.OUTLIVED)) is None


@pytest.mark.parametrize("store", STORES)
def test_of_many_executions_for_one_tenant_one_converges_it_and_the_others_keep_away(store: str) -> None:
    assert storms.rivals(store, seed=20) is None


@pytest.mark.parametrize("store", STORES)
def test_many_new_tenants_all_become_active_although_bedrock_throttles(store: str) -> None:
    failure, _ = storms.crowd(store, seed=20, tenants=5)
    assert failure is None


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("case", slow_aws.CASES)
def test_provisioning_copes_with(case: Callable[[str], list[str]], store: str) -> None:
    assert case(store) == []


@pytest.mark.xfail(strict=False, reason="the wait for a knowledge base looks every ten seconds; cheap for MANAGED")
@pytest.mark.parametrize("store", STORES)
def test_a_first_provisioning_takes_few_transitions(store: str) -> None:
    assert cost(store).transitions <= MOST_TRANSITIONS


@pytest.mark.parametrize("store", STORES)
def test_a_first_provisioning_takes_hardly_longer_than_bedrock_itself(store: str) -> None:
    assert cost(store).times_the_service <= MOST_TIMES_THE_SERVICE


def test_a_run_is_repeated_exactly_by_its_seed() -> None:
    def calls(seed: int) -> list[Call]:
        with virtual_fleet(seed=seed, interleaved=True, parameters={"TickSeconds": "60"}) as fleet:
            fleet.calls.throttle("bedrock-agent", 0.3)
            fleet.calls.throttle("dynamodb", 0.1)
            executions = [fleet.start("provision_tenant", {"tenant_id": f"tenant-{number}"}) for number in range(3)]
            fleet.finish(*executions)
            return [*fleet.calls.made]

    assert [call.kind for call in calls(1)] == [call.kind for call in calls(1)]
    assert [call.kind for call in calls(1)] != [call.kind for call in calls(2)]


def test_what_is_wrong_is_noticed() -> None:
    with virtual_fleet() as fleet:
        fleet.provision("acme", STORES[0])
        fleet.settle("acme")
        assert departures(fleet, {"acme": STORES[0]}) == []
        tenant = fleet.tenant("acme")
        assert tenant is not None
        fleet.client("s3").delete_bucket_policy(Bucket=tenant.bucket_name)
        fleet.client("s3").create_bucket(
            Bucket="kbfleet-stray", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        fleet.client("bedrock-agent").delete_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)
        told = " ".join(departures(fleet, {"acme": STORES[0]}))
        for word in ("buckets should be", "bucket's policy", "knowledge bases should be"):
            assert word in told
