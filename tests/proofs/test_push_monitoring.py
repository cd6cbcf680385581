"""With push monitoring, the end of a job is published at once and not when the next tick looks."""

from __future__ import annotations

from datetime import datetime

import pytest

from kbfleet.bootstrap import KNOWLEDGE_STORES
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, virtual_fleet

SLOW_TICKS = "900"


def seconds_from_end_to_publication(fleet: VirtualFleet) -> float:
    """Of the first sync of a tenant."""
    published: list[float] = []
    fleet.calls.observers.append(
        lambda answered: published.extend(
            fleet.timeline.now()
            for entry in answered.parameters.get("Entries", ())
            if '"status":"COMPLETE"' in entry.get("Detail", "").replace(" ", "")
        )
    )
    execution = fleet.provision("acme")
    assert execution.status == "SUCCEEDED", execution.failures
    (event,) = (event["Detail"] for event in fleet.events if event["Detail"].get("status") == "COMPLETE")
    return published[0] - datetime.fromisoformat(event["occurred_at"]).timestamp()


@pytest.mark.parametrize(("switch", "least", "most"), [("ENABLED", 0, 2), ("DISABLED", 60, 900)])
def test_the_end_of_a_job_is_published_sooner_than_a_tick_could_see_it(switch: str, least: float, most: float) -> None:
    # With the schedule's ticks out of the way, too, what comes sooner comes from the log.
    parameters = {"TickSeconds": SLOW_TICKS, "PushMonitoring": switch}
    with virtual_fleet(parameters=parameters, safety_net_seconds=AN_HOUR) as fleet:
        assert least <= seconds_from_end_to_publication(fleet) <= most


@pytest.mark.parametrize("store", KNOWLEDGE_STORES)
def test_tenants_of_every_store_are_provisioned_and_their_logs_delivered(store: str) -> None:
    with virtual_fleet(parameters={"PushMonitoring": "ENABLED"}) as fleet:
        for _ in range(2):
            assert fleet.provision("acme", store).status == "SUCCEEDED"
        (delivery,) = fleet.client("logs").describe_deliveries()["deliveries"]
        assert delivery["deliverySourceName"] == "kbfleet-acme"
