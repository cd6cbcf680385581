"""`provision_tenant`, state by state, as it runs in Step Functions."""

from __future__ import annotations

import json

from kbfleet.domain.tenant_status import TenantStatus
from tests.support.workflow_fleet import STATE_MACHINE_ARN, Fleet, lambda_context

STRAIGHT = [
    "Reserve Tenant",
    "Check Capacity",
    "Ensure Bucket",
    "Ensure Knowledge Store",
    "Ensure Knowledge Base",
    "Knowledge Base Ready?",
    "Ensure Data Source",
    "Ensure Usage Key",
    "Run First Sync",
    "Activate Tenant",
    "Tenant Ready",
]
FAILURE = ["Mark Tenant Failed", "Announce Provisioning Failed", "Provisioning Failed"]


def without_waiting(states: list[str]) -> list[str]:
    """The states in order of their first entry, leaving out the wait for the knowledge base."""
    return [state for state in dict.fromkeys(states) if state != "Wait For Knowledge Base"]


def test_a_new_tenant_becomes_active_with_everything_in_place(fleet: Fleet) -> None:
    arn = fleet.start({"tenant_id": "acme", "name": "Acme Outdoor Ltd."})
    assert fleet.finish(arn)["status"] == "SUCCEEDED"
    assert without_waiting(fleet.states(arn)) == STRAIGHT
    tenant = fleet.tenant("acme")
    assert tenant.status is TenantStatus.ACTIVE
    assert tenant.name == "Acme Outdoor Ltd."
    assert tenant.lease is None
    [knowledge_base] = fleet.knowledge_bases()
    assert knowledge_base["knowledgeBaseId"] == tenant.knowledge_base_id
    assert fleet.client("s3").get_bucket_versioning(Bucket=tenant.bucket_name)["Status"] == "Enabled"
    statuses = [event["detail"]["status"] for event in fleet.events() if event["source"] == "kbfleet.ingestion"]
    assert statuses[0] == "STARTING"
    assert statuses[-1] == "COMPLETE"


def test_a_second_run_makes_nothing_new_and_syncs_nothing(fleet: Fleet) -> None:
    fleet.provision({"tenant_id": "acme"})
    before = fleet.tenant("acme")
    fleet.events()
    assert fleet.provision({"tenant_id": "acme"}, name="run-2")["status"] == "SUCCEEDED"
    after = fleet.tenant("acme")
    assert (after.knowledge_base_id, after.data_source_id) == (before.knowledge_base_id, before.data_source_id)
    assert len(fleet.knowledge_bases()) == 1
    assert fleet.events() == []


def test_a_slow_knowledge_base_is_waited_for(slow_fleet: Fleet) -> None:
    arn = slow_fleet.start({"tenant_id": "acme"})
    assert slow_fleet.finish(arn)["status"] == "SUCCEEDED"
    states = slow_fleet.states(arn)
    assert states.count("Wait For Knowledge Base") > 1
    assert states.count("Ensure Knowledge Base") == states.count("Wait For Knowledge Base") + 1
    assert len(slow_fleet.knowledge_bases()) == 1


def test_a_throttled_call_is_tried_again_by_its_name(fleet: Fleet) -> None:
    # More throttled answers than the SDK's own attempts: only the state machine's retry gets past them.
    fleet.emulator.faults.add(
        {
            "operation": "CreateKnowledgeBase",
            "effect": "error",
            "code": "ThrottlingException",
            "message": "Slow down",
            "count": 4,
        }
    )
    arn = fleet.start({"tenant_id": "acme"})
    assert fleet.finish(arn)["status"] == "SUCCEEDED"
    assert len(fleet.knowledge_bases()) == 1
    history = fleet.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    failed = [event["taskFailedEventDetails"]["error"] for event in history if event["type"] == "TaskFailed"]
    assert failed == ["Throttled"]


def test_a_permanent_failure_marks_the_tenant_announces_it_and_fails(fleet: Fleet) -> None:
    fleet.emulator.faults.add(
        {
            "operation": "CreateKnowledgeBase",
            "effect": "error",
            "code": "AccessDeniedException",
            "message": "not authorized to perform bedrock:CreateKnowledgeBase",
            "count": 1,
        }
    )
    arn = fleet.start({"tenant_id": "acme"})
    described = fleet.finish(arn)
    assert described["status"] == "FAILED"
    assert described["error"] == "ProvisioningFailed"
    assert fleet.states(arn)[-3:] == FAILURE
    tenant = fleet.tenant("acme")
    assert tenant.status is TenantStatus.FAILED
    assert tenant.lease is None
    assert tenant.failure.step == "Ensure Knowledge Base"
    assert tenant.failure.error == "AccessRefused"
    assert "not authorized" in tenant.failure.reason
    [event] = [event for event in fleet.events() if event["detail-type"] == "Provisioning Failed"]
    assert event["detail"]["tenant_id"] == "acme"
    assert event["detail"]["step"] == "Ensure Knowledge Base"


def test_a_run_after_a_failure_takes_up_where_it_stopped(fleet: Fleet) -> None:
    fleet.emulator.faults.add(
        {
            "operation": "CreateDataSource",
            "effect": "error",
            "code": "AccessDeniedException",
            "message": "no",
            "count": 1,
        }
    )
    assert fleet.provision({"tenant_id": "acme"})["status"] == "FAILED"
    failed = fleet.tenant("acme")
    assert fleet.provision({"tenant_id": "acme"}, name="run-2")["status"] == "SUCCEEDED"
    tenant = fleet.tenant("acme")
    assert tenant.status is TenantStatus.ACTIVE
    assert tenant.failure is None
    assert tenant.knowledge_base_id == failed.knowledge_base_id
    assert len(fleet.knowledge_bases()) == 1


def test_a_failed_first_ingestion_fails_the_provisioning_with_its_reason(fleet: Fleet) -> None:
    fleet.emulator.faults.add(
        {
            "operation": "StartIngestionJob",
            "effect": "job_fails",
            "failureReasons": ['["The knowledge base role cannot read from S3."]'],
            "count": 1,
        }
    )
    assert fleet.provision({"tenant_id": "acme"})["status"] == "FAILED"
    failure = fleet.tenant("acme").failure
    assert failure.step == "Run First Sync"
    assert failure.error == "IngestionFailed"
    assert "cannot read from S3" in failure.reason


def test_a_second_execution_at_the_same_time_fails_without_touching_the_first(fleet: Fleet) -> None:
    first = fleet.start({"tenant_id": "acme"}, name="run-1")
    while fleet.tenant("acme") is None:
        pass
    second = fleet.finish(fleet.start({"tenant_id": "acme"}, name="run-2"))
    assert second["status"] == "FAILED"
    assert fleet.finish(first)["status"] == "SUCCEEDED"
    tenant = fleet.tenant("acme")
    assert tenant.status is TenantStatus.ACTIVE
    assert tenant.failure is None
    assert len(fleet.knowledge_bases()) == 1


def test_an_input_that_is_no_tenant_fails_and_writes_nothing(fleet: Fleet) -> None:
    for number, request in enumerate([{"tenant_id": "No Such Id"}, {"tenant_id": "acme", "colour": "red"}, {}]):
        assert fleet.provision(request, name=f"run-{number}")["status"] == "FAILED"
    assert fleet.client("dynamodb").scan(TableName="kbfleet")["Items"] == []
    assert fleet.knowledge_bases() == []
    assert fleet.client("s3").list_buckets()["Buckets"] == []


def test_an_aborted_execution_is_recorded_and_its_lease_given_back(fleet: Fleet) -> None:
    arn = fleet.start({"tenant_id": "acme"})
    while fleet.tenant("acme") is None:
        pass
    fleet.client("stepfunctions").stop_execution(executionArn=arn)
    detail = {
        "executionArn": arn,
        "stateMachineArn": STATE_MACHINE_ARN,
        "status": "ABORTED",
        "input": json.dumps({"tenant_id": "acme"}),
    }
    fleet.handlers["RecordStoppedExecutionFunction"](
        {"detail": detail}, lambda_context("RecordStoppedExecutionFunction")
    )
    tenant = fleet.tenant("acme")
    assert tenant.status is TenantStatus.FAILED
    assert tenant.failure.error == "ABORTED"
    assert fleet.provision({"tenant_id": "acme"}, name="run-2")["status"] == "SUCCEEDED"
