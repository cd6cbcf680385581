"""`provision_tenant` is the same for every knowledge store."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.workflow_fleet import DEADLINE_SECONDS, Fleet, deployed_fleet


def kind_and_storage(fleet: Fleet) -> tuple[str, str | None]:
    """Of the only knowledge base."""
    [listed] = fleet.knowledge_bases()
    agent: Any = fleet.client("bedrock-agent")
    found = agent.get_knowledge_base(knowledgeBaseId=listed["knowledgeBaseId"])["knowledgeBase"]
    return found["knowledgeBaseConfiguration"]["type"], found.get("storageConfiguration", {}).get("type")


@pytest.mark.parametrize("store", KNOWLEDGE_STORES)
def test_a_tenant_becomes_active_on_the_stacks_default(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    with deployed_fleet(monkeypatch, speed=600, knowledge_store=store) as fleet:
        assert fleet.provision({"tenant_id": "acme"})["status"] == "SUCCEEDED"
        tenant = fleet.tenant("acme")
        assert (tenant.status, tenant.knowledge_store) == (TenantStatus.ACTIVE, store)
        expected = ("MANAGED", None) if store == "MANAGED" else ("VECTOR", store)
        assert kind_and_storage(fleet) == expected


def test_a_tenant_can_be_put_on_another_store_than_the_default_when_it_is_created(fleet: Fleet) -> None:
    assert fleet.provision({"tenant_id": "acme", "knowledge_store": "MANAGED"})["status"] == "SUCCEEDED"
    assert kind_and_storage(fleet) == ("MANAGED", None)
    # A later run says nothing of the store, and the tenant stays where it is.
    assert fleet.provision({"tenant_id": "acme"}, name="run-2")["status"] == "SUCCEEDED"
    assert fleet.tenant("acme").knowledge_store == "MANAGED"


def test_a_data_source_that_has_failed_since_ends_the_next_run_with_its_reasons(fleet: Fleet) -> None:
    reasons = ["The bucket cannot be read."]
    # Eight seconds here: the first run must have ended before, on a busy machine too.
    fleet.emulator.faults.add({"effect": "data_source_fails", "seconds": 4_800, "failureReasons": reasons})
    assert fleet.provision({"tenant_id": "acme", "knowledge_store": "MANAGED"})["status"] == "SUCCEEDED"
    tenant = fleet.tenant("acme")
    names = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while fleet.client("bedrock-agent").get_data_source(**names)["dataSource"]["status"] != "FAILED":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert fleet.provision({"tenant_id": "acme"}, name="run-2")["status"] == "FAILED"
    failure = fleet.tenant("acme").failure
    assert (failure.step, failure.error) == ("Ensure Data Source", "DataSourceFailed")
    assert "The bucket cannot be read." in failure.reason
