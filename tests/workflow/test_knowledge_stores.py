"""`provision_tenant` is the same for every knowledge store."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import RARE_TICKS, VirtualFleet, virtual_fleet


def kind_and_storage(fleet: VirtualFleet) -> tuple[str, str | None]:
    """Of the only knowledge base."""
    agent: Any = fleet.client("bedrock-agent")
    [listed] = agent.list_knowledge_bases()["knowledgeBaseSummaries"]
    found = agent.get_knowledge_base(knowledgeBaseId=listed["knowledgeBaseId"])["knowledgeBase"]
    return found["knowledgeBaseConfiguration"]["type"], found.get("storageConfiguration", {}).get("type")


@pytest.mark.parametrize("store", KNOWLEDGE_STORES)
def test_a_tenant_becomes_active_on_the_stacks_default(store: str) -> None:
    with virtual_fleet(parameters={**RARE_TICKS, "KnowledgeStore": store}) as fleet:
        assert fleet.provision("acme").status == "SUCCEEDED"
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert (tenant.status, tenant.knowledge_store) == (TenantStatus.ACTIVE, store)
        expected = ("MANAGED", None) if store == "MANAGED" else ("VECTOR", store)
        assert kind_and_storage(fleet) == expected


def test_a_tenant_can_be_put_on_another_store_than_the_default_when_it_is_created() -> None:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        assert fleet.provision("acme", "MANAGED").status == "SUCCEEDED"
        assert kind_and_storage(fleet) == ("MANAGED", None)
        # A later run says nothing of the store, and the tenant stays where it is.
        assert fleet.provision("acme").status == "SUCCEEDED"
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.knowledge_store == "MANAGED"


def test_a_data_source_that_has_failed_since_is_told_with_its_reasons_and_asks_for_a_rebuild() -> None:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        reasons = ["The bucket cannot be read."]
        fleet.emulator.faults.add({"effect": "data_source_fails", "seconds": 3_600, "failureReasons": reasons})
        assert fleet.provision("acme", "MANAGED").status == "SUCCEEDED"
        fleet.timeline.run_for(3_600)
        assert fleet.provision("acme").status == "FAILED"
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.failure is not None
        assert (tenant.failure.step, tenant.failure.error) == ("Ensure Data Source", "KnowledgeLost")
        assert "The bucket cannot be read." in tenant.failure.reason


def test_a_sync_through_a_data_source_that_has_failed_since_fails_with_its_reasons() -> None:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        reasons = ["The bucket cannot be read."]
        fleet.emulator.faults.add({"effect": "data_source_fails", "seconds": 3_600, "failureReasons": reasons})
        lives = Lives(fleet, "MANAGED")
        lives.provisioned("acme")
        fleet.timeline.run_for(3_600)
        lives.sync("acme")
        result = fleet.sync("acme").result
        assert result is not None
        assert result.outcome is Outcome.FAILED
        assert "is FAILED: The bucket cannot be read." in result.failure_reasons[0].text
