"""Bad input and broken surroundings: a named error, a marked tenant, an event; and a run that works once repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas
from kbfleet.domain.tenant_status import TenantStatus
from tests.support import aws
from tests.support.api_requests import api_request
from tests.support.aws_calls import Call, Moment
from tests.support.virtual_fleet import RARE_TICKS, REGION, VirtualFleet, virtual_fleet

STORE = "S3_VECTORS"
Repair = Callable[[], None]


def buckets() -> list[str]:
    return [bucket["Name"] for bucket in aws.client("s3", region=REGION).list_buckets()["Buckets"]]


def events_of(fleet: VirtualFleet, kind: str, tenant_id: str) -> list[dict[str, Any]]:
    return [
        event["Detail"]
        for event in fleet.events
        if event["DetailType"] == kind and event["Detail"]["tenant_id"] == tenant_id
    ]


# --- surroundings that break a provisioning, each with what repairs it ---


@contextmanager
def bucket_name_of_somebody_else(fleet: VirtualFleet, tenant_id: str) -> Iterator[Repair]:
    repaired: list[bool] = []

    def refuse(call: Call, at: Moment) -> None:
        # moto does not look at ExpectedBucketOwner.
        if call.operation == "HeadBucket" and at is Moment.BEFORE and not repaired:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    with fleet.disturbed(refuse):
        yield lambda: repaired.append(True)


@contextmanager
def deleted_role(fleet: VirtualFleet, _tenant_id: str) -> Iterator[Repair]:
    refusal = {"code": "ValidationException", "message": "Bedrock Knowledge Base was unable to assume the given role"}
    fleet.emulator.faults.add({"effect": "error", "operation": "CreateKnowledgeBase", **refusal})
    yield fleet.emulator.faults.clear
    fleet.emulator.faults.clear()


@contextmanager
def missing_permission(fleet: VirtualFleet, _tenant_id: str) -> Iterator[Repair]:
    refusal = {"code": "AccessDeniedException", "message": "not authorized to perform: bedrock:CreateDataSource"}
    fleet.emulator.faults.add({"effect": "error", "operation": "CreateDataSource", **refusal})
    yield fleet.emulator.faults.clear
    fleet.emulator.faults.clear()


@contextmanager
def index_of_another_shape(fleet: VirtualFleet, tenant_id: str) -> Iterator[Repair]:
    client = fleet.client("s3vectors")
    bucket = fleet.deployment.property("VectorBucket", "VectorBucketName")
    index = {"vectorBucketName": bucket, "indexName": tenant_id}
    client.create_index(**index, dataType="float32", dimension=3, distanceMetric="cosine")
    yield lambda: client.delete_index(**index)


@contextmanager
def knowledge_base_of_somebody_else(fleet: VirtualFleet, tenant_id: str) -> Iterator[Repair]:
    client = fleet.client("bedrock-agent")
    made = client.create_knowledge_base(
        name=f"kbfleet-{tenant_id}",
        roleArn="arn:aws:iam::123456789012:role/somebody-else",
        knowledgeBaseConfiguration={
            "type": "MANAGED",
            "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
        },
    )

    def delete() -> None:
        client.delete_knowledge_base(knowledgeBaseId=made["knowledgeBase"]["knowledgeBaseId"])
        fleet.timeline.run_for(60)

    yield delete


class TestRefusals:
    """All in one world, each test with a tenant of its own."""

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls) -> Iterator[VirtualFleet]:
        with virtual_fleet(parameters=RARE_TICKS) as fleet:
            yield fleet

    @pytest.mark.parametrize(
        ("surroundings", "step", "error", "reason"),
        [
            (bucket_name_of_somebody_else, "Ensure Bucket", "BucketNameTaken", "may not use it"),
            (deleted_role, "Ensure Knowledge Base", "ServiceRoleUnusable", "unable to assume the given role"),
            (missing_permission, "Ensure Data Source", "AccessRefused", "bedrock:CreateDataSource"),
            (index_of_another_shape, "Ensure Knowledge Store", "KnowledgeStoreUnusable", "dimension is 3"),
            (knowledge_base_of_somebody_else, "Ensure Knowledge Base", "KnowledgeBaseNotOurs", "lacks the tags"),
        ],
    )
    def test_the_tenant_is_marked_with_step_and_reason_people_are_alerted_and_a_later_run_works(
        self, shared: VirtualFleet, surroundings: Any, step: str, error: str, reason: str
    ) -> None:
        tenant_id = surroundings.__name__.replace("_", "-")[:32]
        with surroundings(shared, tenant_id) as repair:
            failed = shared.provision(tenant_id, STORE)
            assert (failed.status, failed.error) == ("FAILED", "ProvisioningFailed")
            tenant = shared.tenant(tenant_id)
            assert tenant is not None
            assert (tenant.status, tenant.lease) == (TenantStatus.FAILED, None)
            assert tenant.failure is not None
            assert (tenant.failure.step, tenant.failure.error) == (step, error)
            assert reason in tenant.failure.reason
            (reported,) = events_of(shared, "Provisioning Failed", tenant_id)
            assert (reported["step"], reported["error"], reported["execution"]) == (step, error, failed.arn)
            repair()
        again = shared.provision(tenant_id, STORE)
        assert again.status == "SUCCEEDED", again.failures
        shared.settle(tenant_id)
        tenant = shared.tenant(tenant_id)
        assert tenant is not None
        assert (tenant.status, tenant.failure) == (TenantStatus.ACTIVE, None)
        statuses = [change["status"] for change in events_of(shared, "Tenant State Change", tenant_id)]
        assert statuses == ["PROVISIONING", "FAILED", "PROVISIONING", "ACTIVE"]

    @pytest.mark.parametrize("tenant_id", ["", "ab", "No-Capitals", "a--b", "x" * 33, "../acme", "acme\n"])
    def test_a_malformed_id_is_refused_by_name_and_leaves_nothing(self, shared: VirtualFleet, tenant_id: str) -> None:
        failed = shared.provision(tenant_id)
        assert failed.status == "FAILED"
        assert failed.failures[0] == ("Reserve Tenant", "InvalidInput")
        assert not [
            bucket for bucket in aws.client("s3").list_buckets()["Buckets"] if tenant_id and tenant_id in str(bucket)
        ]

    def test_a_store_that_the_stack_does_not_offer_is_refused_before_the_tenant_is_registered(
        self, shared: VirtualFleet
    ) -> None:
        failed = shared.provision("on-pinecone", "PINECONE")
        assert failed.failures[0] == ("Reserve Tenant", "KnowledgeStoreNotOffered")
        assert shared.tenant("on-pinecone") is None
        (reported,) = events_of(shared, "Provisioning Failed", "on-pinecone")
        assert "PINECONE" in reported["reason"]
        assert "MANAGED, OPENSEARCH_SERVERLESS, S3_VECTORS" in reported["reason"]

    def test_a_tenant_cannot_move_to_another_store(self, shared: VirtualFleet) -> None:
        assert shared.provision("settled", STORE).status == "SUCCEEDED"
        failed = shared.provision("settled", "MANAGED")
        assert failed.failures[0] == ("Reserve Tenant", "KnowledgeStoreNotOffered")
        tenant = shared.tenant("settled")
        assert tenant is not None
        assert (tenant.status, tenant.knowledge_store) == (TenantStatus.ACTIVE, STORE)

    def test_a_tenant_on_its_way_out_is_not_provisioned_until_it_is_gone(self, shared: VirtualFleet) -> None:
        shared.provision("leaving", STORE)
        shared.settle("leaving")
        request = api_request("DELETE", "/tenants/{tenant_id}", query={"retention_days": "0"}, tenant_id="leaving")
        assert shared.invoke("TenantsFunction", request)["statusCode"] == 202
        machine = shared.machine_arn("offboard_tenant")
        (leaving,) = (each for each in shared.step_functions.executions.values() if each.machine == machine)
        at_once = api_request("PUT", "/tenants/{tenant_id}", body={}, query={}, tenant_id="leaving")
        answer = shared.invoke("TenantsFunction", at_once)
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (409, "TenantOffboarding")
        # An execution that was started a moment before the offboarding was requested finds it at its first state.
        late = shared.provision("leaving", STORE)
        assert late.failures[0] == ("Reserve Tenant", "TenantOffboarding")
        assert late.status == "SUCCEEDED"
        assert events_of(shared, "Provisioning Failed", "leaving") == []
        assert shared.finish(leaving).status == "SUCCEEDED"
        assert shared.provision("leaving", STORE).status == "SUCCEEDED"
        tenant = shared.tenant("leaving")
        assert tenant is not None
        assert tenant.status is TenantStatus.ACTIVE


def test_an_account_at_its_quota_is_reported_before_anything_is_made() -> None:
    with virtual_fleet(parameters=RARE_TICKS, quotas=Quotas(requests_per_second={})) as fleet:
        client = fleet.client("bedrock-agent")
        vectors = fleet.client("s3vectors")
        bucket = fleet.deployment.property("VectorBucket", "VectorBucketName")
        index = vectors.create_index(
            vectorBucketName=bucket, indexName="theirs", dataType="float32", dimension=1024, distanceMetric="cosine"
        )["indexArn"]
        for number in range(100):
            client.create_knowledge_base(
                name=f"foreign-{number}",
                roleArn="arn:aws:iam::123456789012:role/somebody-else",
                knowledgeBaseConfiguration={
                    "type": "VECTOR",
                    "vectorKnowledgeBaseConfiguration": {
                        "embeddingModelArn": f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
                    },
                },
                storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": index}},
            )
        failed = fleet.provision("acme", STORE)
        assert failed.failures[0] == ("Check Capacity", "CapacityExceeded")
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.failure is not None
        assert "100 of 100" in tenant.failure.reason
        assert not buckets()
        managed = fleet.provision("acme", "MANAGED")
        assert managed.failures[0] == ("Reserve Tenant", "KnowledgeStoreNotOffered")
        assert fleet.provision("sakura", "MANAGED").status == "SUCCEEDED"
