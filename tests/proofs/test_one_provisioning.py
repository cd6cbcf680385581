"""One provisioning, on an AWS that is crowded, slow or failing, and what it costs on one that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import pytest

from kbfleet import bootstrap
from tests.proofs import slow_aws
from tests.proofs.converged import departures
from tests.proofs.first_provisioning import MOST_TIMES_THE_SERVICE, MOST_TRANSITIONS, cost
from tests.proofs.scenarios import stores
from tests.support.virtual_fleet import AN_HOUR, REGION, virtual_fleet

STORES = stores()
"""`make prove` tries every case on each."""


@pytest.mark.parametrize(("case", "store"), [*zip(slow_aws.CASES, cycle(STORES), strict=False)])
def test_provisioning_copes_with(case: Callable[[str], list[str]], store: str) -> None:
    assert case(store) == []


@pytest.mark.parametrize("store", STORES)
def test_a_first_provisioning_takes_few_transitions_and_hardly_longer_than_bedrock_itself(store: str) -> None:
    measured = cost(store)
    assert measured.transitions <= MOST_TRANSITIONS[store]
    assert measured.times_the_service <= MOST_TIMES_THE_SERVICE


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
        reported = " ".join(departures(fleet, {"acme": STORES[0]}))
        for word in ("buckets should be", "bucket's policy", "knowledge bases should be"):
            assert word in reported


def test_an_execution_whose_waiter_is_lost_asks_again_within_an_hour() -> None:
    with virtual_fleet() as fleet:
        execution = fleet.start("provision_tenant", {"tenant_id": "acme"})
        fleet.timeline.run_until(lambda: bool(fleet.sync("acme").waiters), within=AN_HOUR)
        bootstrap.ledger().save(replace(fleet.sync("acme"), waiters=()))
        fleet.finish(execution, within=AN_HOUR + 600)
        assert execution.status == "SUCCEEDED"
