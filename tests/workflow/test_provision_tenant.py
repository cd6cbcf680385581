"""`provision_tenant`, state by state, as it runs in Step Functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import bedrock_emulator.services.knowledge_bases
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.virtual_fleet import AN_HOUR, RARE_TICKS, VirtualFleet, virtual_fleet

STRAIGHT = [
    "Reserve Tenant",
    "Check Capacity",
    "Ensure Service Role",
    "Ensure Bucket",
    "Ensure Knowledge Store",
    "Ensure Knowledge Base",
    "Knowledge Base Ready?",
    "Narrow Service Role",
    "Ensure Data Source",
    "Data Source Ready?",
    "Ensure Usage Key",
    "Run First Sync",
    "Activate Tenant",
    "Tenant Ready",
]
FAILURE = ["Mark Tenant Failed", "Announce Provisioning Failed", "Provisioning Failed"]
WAITING = "Wait For Knowledge Base"
FRESH_BUCKET = ("Ensure Bucket", "NotReadyYet")


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        yield fleet


def acme(fleet: VirtualFleet) -> Tenant:
    tenant = fleet.tenant("acme")
    assert tenant is not None
    return tenant


def knowledge_bases(fleet: VirtualFleet) -> list[str]:
    pages = fleet.client("bedrock-agent").get_paginator("list_knowledge_bases").paginate()
    return [summary["knowledgeBaseId"] for page in pages for summary in page["knowledgeBaseSummaries"]]


def refuse_once(fleet: VirtualFleet, operation: str, message: str) -> None:
    refusal = {"code": "AccessDeniedException", "message": message}
    fleet.emulator.faults.add({"operation": operation, "effect": "error", "count": 1, **refusal})


def test_a_new_tenant_becomes_active_with_everything_in_place(fleet: VirtualFleet) -> None:
    execution = fleet.finish(fleet.start("provision_tenant", {"tenant_id": "acme", "name": "Acme Outdoor Ltd."}))
    assert execution.status == "SUCCEEDED"
    assert [state for state in dict.fromkeys(execution.states) if state != WAITING] == STRAIGHT
    tenant = acme(fleet)
    assert (tenant.status, tenant.name, tenant.lease) == (TenantStatus.ACTIVE, "Acme Outdoor Ltd.", None)
    assert knowledge_bases(fleet) == [tenant.knowledge_base_id]
    assert fleet.client("s3").get_bucket_versioning(Bucket=tenant.bucket_name)["Status"] == "Enabled"
    statuses = [event["Detail"]["status"] for event in fleet.events if event["Source"] == "kbfleet.ingestion"]
    assert (statuses[0], statuses[-1]) == ("STARTING", "COMPLETE")


def test_a_second_run_makes_nothing_new_and_syncs_nothing(fleet: VirtualFleet) -> None:
    fleet.provision("acme")
    fleet.settle("acme")
    before, told = acme(fleet), len(fleet.events)
    assert fleet.provision("acme").status == "SUCCEEDED"
    after = acme(fleet)
    assert (after.knowledge_base_id, after.data_source_id) == (before.knowledge_base_id, before.data_source_id)
    assert knowledge_bases(fleet) == [before.knowledge_base_id]
    assert fleet.events[told:] == []


def test_a_slow_knowledge_base_is_waited_for(fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_emulator.services.knowledge_bases, "VECTOR_CREATION", 300.0)
    execution = fleet.provision("acme")
    assert execution.status == "SUCCEEDED"
    assert execution.states.count(WAITING) > 1
    assert execution.states.count("Ensure Knowledge Base") == execution.states.count(WAITING) + 1
    assert len(knowledge_bases(fleet)) == 1


def test_a_throttled_call_is_tried_again_by_its_name(fleet: VirtualFleet) -> None:
    # What must not be asked for twice, the SDK does not repeat: only the state machine's retry gets past it.
    throttling: dict[str, Any] = {"effect": "error", "code": "ThrottlingException", "message": "Slow down", "count": 2}
    fleet.emulator.faults.add({"operation": "CreateKnowledgeBase", **throttling})
    execution = fleet.provision("acme")
    assert execution.status == "SUCCEEDED"
    assert [failure for failure in execution.failures if failure != FRESH_BUCKET] == [
        ("Ensure Knowledge Base", "Throttled")
    ] * 2
    assert len(knowledge_bases(fleet)) == 1


def test_a_permanent_failure_marks_the_tenant_announces_it_and_fails(fleet: VirtualFleet) -> None:
    refuse_once(fleet, "CreateKnowledgeBase", "not authorized to perform bedrock:CreateKnowledgeBase")
    execution = fleet.provision("acme")
    assert (execution.status, execution.error) == ("FAILED", "ProvisioningFailed")
    assert execution.states[-3:] == FAILURE
    tenant = acme(fleet)
    assert (tenant.status, tenant.lease) == (TenantStatus.FAILED, None)
    assert tenant.failure is not None
    assert (tenant.failure.step, tenant.failure.error) == ("Ensure Knowledge Base", "AccessRefused")
    assert "not authorized" in tenant.failure.reason
    (told,) = (event["Detail"] for event in fleet.events if event["DetailType"] == "Provisioning Failed")
    assert (told["tenant_id"], told["step"]) == ("acme", "Ensure Knowledge Base")


def test_a_run_after_a_failure_takes_up_where_it_stopped(fleet: VirtualFleet) -> None:
    refuse_once(fleet, "CreateDataSource", "no")
    assert fleet.provision("acme").status == "FAILED"
    failed = acme(fleet)
    assert fleet.provision("acme").status == "SUCCEEDED"
    tenant = acme(fleet)
    assert (tenant.status, tenant.failure) == (TenantStatus.ACTIVE, None)
    assert knowledge_bases(fleet) == [tenant.knowledge_base_id] == [failed.knowledge_base_id]


def test_a_failed_first_ingestion_fails_the_provisioning_with_its_reason(fleet: VirtualFleet) -> None:
    reasons = ['["The knowledge base role cannot read from S3."]']
    fleet.emulator.faults.add(
        {"operation": "StartIngestionJob", "effect": "job_fails", "failureReasons": reasons, "count": 1}
    )
    assert fleet.provision("acme").status == "FAILED"
    failure = acme(fleet).failure
    assert failure is not None
    assert (failure.step, failure.error) == ("Run First Sync", "IngestionFailed")
    assert "cannot read from S3" in failure.reason


def test_a_second_execution_at_the_same_time_fails_without_touching_the_first(fleet: VirtualFleet) -> None:
    first = fleet.start("provision_tenant", {"tenant_id": "acme"})
    fleet.timeline.run_until(lambda: fleet.tenant("acme") is not None, within=60)
    assert fleet.provision("acme").status == "FAILED"
    assert not first.ended
    assert fleet.finish(first).status == "SUCCEEDED"
    tenant = acme(fleet)
    assert (tenant.status, tenant.failure) == (TenantStatus.ACTIVE, None)
    assert len(knowledge_bases(fleet)) == 1


def test_an_input_that_is_no_tenant_fails_and_writes_nothing(fleet: VirtualFleet) -> None:
    requests: list[Any] = [{"tenant_id": "No Such Id"}, {"tenant_id": "acme", "colour": "red"}, {}]
    for request in requests:
        assert fleet.finish(fleet.start("provision_tenant", request)).status == "FAILED"
    table = fleet.deployment.value({"Ref": "Table"})
    assert fleet.client("dynamodb").scan(TableName=table)["Items"] == []
    assert knowledge_bases(fleet) == []
    assert fleet.client("s3").list_buckets()["Buckets"] == []


def test_an_aborted_execution_is_recorded_and_its_lease_given_back(fleet: VirtualFleet) -> None:
    execution = fleet.start("provision_tenant", {"tenant_id": "acme"})
    fleet.timeline.run_until(lambda: fleet.tenant("acme") is not None, within=60)
    fleet.stop(execution)
    fleet.timeline.run_until(lambda: acme(fleet).status is TenantStatus.FAILED, within=AN_HOUR)
    failure = acme(fleet).failure
    assert failure is not None
    assert failure.error == "ABORTED"
    assert fleet.provision("acme").status == "SUCCEEDED"
