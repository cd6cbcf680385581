"""`kbfleet stack remaining`: what the deletion of the stack would leave is said before it is left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack
from cli.stack_remaining import COSTS, UNKNOWN_COST, Remaining, remaining
from kbfleet.contracts.tenants import TenantBody, TenantsBody
from kbfleet.domain.incident import Concern, Timeline
from kbfleet.domain.knowledges import Beside, KnowledgeRecord, RebuildPlan, Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import Offboarding, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.samples import provisioning_failure, tenant

NOW = datetime(2026, 3, 14, tzinfo=UTC)

NESTED = "arn:aws:cloudformation:ap-northeast-1:123456789012:stack/kbfleet-Monitoring-1A2B/1"
TEMPLATES: dict[str, dict[str, Any]] = {
    "kbfleet": {
        "Table": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain"},
        "Collection": {"Type": "AWS::OpenSearchServerless::Collection", "DeletionPolicy": "RetainExceptOnCreate"},
        "Unmade": {"Type": "AWS::S3Vectors::VectorBucket", "DeletionPolicy": "Retain"},
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Provision": {"Type": "AWS::StepFunctions::StateMachine"},
        "Offboard": {"Type": "AWS::StepFunctions::StateMachine"},
        "Monitoring": {"Type": "AWS::CloudFormation::Stack"},
    },
    NESTED: {"Topic": {"Type": "AWS::SNS::Topic", "DeletionPolicy": "Retain"}},
}
IDS = {
    "kbfleet": {each: f"{each}-1A2B" for each in TEMPLATES["kbfleet"] if each != "Unmade"} | {"Monitoring": NESTED},
    NESTED: {"Topic": "topic-1A2B"},
}


@dataclass
class Aws:
    """CloudFormation and Step Functions, one thing a page."""

    running: dict[str, list[str]] = field(default_factory=dict)
    as_text: bool = False

    def client(self, _service: str, config: object = None) -> Aws:
        return self

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert TemplateStage == "Processed"
        template = {"Resources": TEMPLATES[StackName]}
        return {"TemplateBody": json.dumps(template) if self.as_text else template}

    def get_paginator(self, operation: str) -> Any:
        aws = self

        class Pages:
            @staticmethod
            def paginate(**asked: Any) -> list[dict[str, Any]]:
                if operation == "list_executions":
                    assert asked["statusFilter"] == "RUNNING"
                    found = aws.running.get(asked["stateMachineArn"], [])
                    return [{"executions": [{"executionArn": arn}]} for arn in found]
                ids = IDS[asked["StackName"]].items()
                return [
                    {"StackResourceSummaries": [{"LogicalResourceId": name, "PhysicalResourceId": physical}]}
                    for name, physical in ids
                ]

        return Pages


def look(monkeypatch: pytest.MonkeyPatch, aws: Aws, **tenants: TenantStatus | Tenant) -> Remaining:
    """Args: tenants: or their statuses, by their ids."""
    bodies = {}
    listed = []
    for name, found in tenants.items():
        record = found if isinstance(found, Tenant) else tenant(TenantId(name)).with_status(found, NOW)
        sync = Sync(record.tenant_id)
        isolation = Timeline(name, Concern.ISOLATION)
        bodies[name] = TenantBody.from_domain(record, sync, isolation, "2", timedelta(minutes=10))
        listed.append((record, sync))
    monkeypatch.setattr(FleetApi, "tenants", lambda *_: TenantsBody.from_page(listed, None, "2"))
    monkeypatch.setattr(FleetApi, "tenant", lambda _, tenant_id: bodies[tenant_id])
    stack = FleetStack("kbfleet", {}, aws)  # type: ignore[arg-type] # its clients are made here
    return remaining(stack, FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]


def offboarding(*, began: bool, failed: bool) -> Tenant:
    plan = Offboarding(NOW, NOW, TenantStatus.ACTIVE, deletion_began_at=NOW if began else None)
    return tenant(status=TenantStatus.OFFBOARDING, offboarding=plan, failure=provisioning_failure() if failed else None)


EVERY_STATUS = {f"tenant-{status.lower()}": status for status in TenantStatus}


def test_every_tenant_that_is_not_erased_is_named_whatever_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, Aws(), **EVERY_STATUS)
    assert {each.status for each in found.tenants} == set(TenantStatus) - {TenantStatus.OFFBOARDED}
    assert all(each.resources and each.costs and each.advice for each in found.tenants)
    assert not found.ready


@pytest.mark.parametrize("began", [True, False])
def test_one_whose_deletion_failed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, began: bool) -> None:
    (left,) = look(monkeypatch, Aws(), acme=offboarding(began=began, failed=True)).tenants
    assert "Its deletion has failed" in left.advice
    assert "kbfleet tenant offboard acme" in left.advice
    assert "Wait" not in left.advice


def test_one_that_is_being_deleted_is_not_to_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    (left,) = look(monkeypatch, Aws(), acme=offboarding(began=True, failed=False)).tenants
    assert "wait for its receipt" in left.advice
    assert "resume" not in left.advice


def test_one_in_its_retention_period_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    (left,) = look(monkeypatch, Aws(), acme=offboarding(began=False, failed=False)).tenants
    assert "kbfleet tenant resume acme" in left.advice


def test_a_tenant_is_named_with_what_outlives_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    (left,) = look(monkeypatch, Aws(), acme=TenantStatus.ACTIVE).tenants
    record = tenant()
    assert f"bucket {record.bucket_name}" in left.resources
    assert f"knowledge base {record.knowledge_base_id}" in left.resources
    assert "index in S3_VECTORS" in left.resources
    assert "its usage key, and its service role if it has one of its own" in left.resources
    assert "kbfleet tenant offboard acme --retention-days 0" in left.advice


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("store", ["S3_VECTORS", "MANAGED"])
def test_so_is_the_knowledge_beside_the_one_that_answers(
    monkeypatch: pytest.MonkeyPatch, role: Role, store: str
) -> None:
    made = KnowledgeRecord(2, store, knowledge_base_id="KB00000099", data_source_id="DS00000099")
    record = tenant(beside=Beside(made, role, NOW, RebuildPlan(NOW, store)))
    (left,) = look(monkeypatch, Aws(), acme=record).tenants
    assert f"knowledge base {record.knowledge_base_id}" in left.resources
    assert f"data source {record.data_source_id}" in left.resources
    assert f"knowledge base KB00000099 of knowledge 2 ({role})" in left.resources
    assert f"data source DS00000099 of knowledge 2 ({role})" in left.resources
    assert (f"index in S3_VECTORS of knowledge 2 ({role})" in left.resources) == (store == "S3_VECTORS")
    assert ("about 5 USD for each GB" in left.costs) == (store == "MANAGED")
    assert "of their vectors" in left.costs


def test_an_index_may_be_there_before_its_knowledge_base_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Beside(KnowledgeRecord(2, "S3_VECTORS"), Role.CANDIDATE, NOW, RebuildPlan(NOW, "S3_VECTORS"))
    record = tenant(beside=begun, knowledge_base_id=None, data_source_id=None)
    (left,) = look(monkeypatch, Aws(), acme=record).tenants
    assert "index in S3_VECTORS (if it was made)" in left.resources
    assert "index in S3_VECTORS (if it was made) of knowledge 2 (CANDIDATE)" in left.resources


@pytest.mark.parametrize("as_text", [False, True], ids=["parsed", "text"])
def test_what_the_templates_retain_is_named_where_it_was_made(monkeypatch: pytest.MonkeyPatch, as_text: bool) -> None:
    found = look(monkeypatch, Aws(as_text=as_text))
    assert [(each.logical_id, each.name, each.costs) for each in found.resources] == [
        ("Table", "Table-1A2B", COSTS["AWS::DynamoDB::Table"]),
        ("Collection", "Collection-1A2B", COSTS["AWS::OpenSearchServerless::Collection"]),
        ("Topic", "topic-1A2B", UNKNOWN_COST),
    ]
    assert "350 USD" in COSTS["AWS::OpenSearchServerless::Collection"]


def test_the_deletion_waits_for_executions_of_every_state_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    running = {"Provision-1A2B": ["arn:1", "arn:2"], "Offboard-1A2B": ["arn:3"]}
    found = look(monkeypatch, Aws(running), acme=TenantStatus.OFFBOARDED)
    assert found.executions == ("arn:1", "arn:2", "arn:3")
    assert not found.ready


def test_without_tenants_and_executions_it_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(monkeypatch, Aws(), acme=TenantStatus.OFFBOARDED).ready
