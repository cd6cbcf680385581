"""AWS as users report it: crowded, slow to agree with itself, and sometimes failing for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from unittest.mock import patch

import bedrock_emulator.services.knowledge_bases
from bedrock_emulator import Quotas
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.converged import buckets, departures, knowledge_bases
from tests.proofs.proof import Row
from tests.support.api_requests import api_request
from tests.support.aws_calls import Moment
from tests.support.slowness import Slowness
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, kill_first, provisioning_request, virtual_fleet

FOREIGN = 250
_FOREIGN_ROLE = "arn:aws:iam::123456789012:role/somebody-else"


def many_foreign_knowledge_bases(store: str) -> list[str]:
    """Ours is listed behind 250 others, and its id was lost: it is adopted by name, from the last page."""
    quotas = Quotas(vector_knowledge_bases=1_000, requests_per_second={})
    with virtual_fleet(quotas=quotas) as fleet:
        agent = fleet.client("bedrock-agent")
        for number in range(FOREIGN):
            agent.create_knowledge_base(
                name=f"foreign-{number}", roleArn=_FOREIGN_ROLE, knowledgeBaseConfiguration=_MANAGED
            )
        with fleet.disturbed(kill_first("CreateKnowledgeBase", Moment.AFTER)):
            lost = fleet.provision("acme", store)
        assert ("Ensure Knowledge Base", "Lambda.Unknown") in lost.failures, lost.failures
        wrong = _provisioned(fleet, store)
        return wrong + departures(fleet, {"acme": store}, foreign=FOREIGN)


_MANAGED = {"type": "MANAGED", "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"}}


def role_assumable_late(store: str) -> list[str]:
    """The service role can be assumed thirty seconds after its first use."""
    return _with_fault(store, {"effect": "role_not_assumable", "seconds": 30})


def index_visible_late(store: str) -> list[str]:
    """Bedrock sees the index twenty seconds after it was made."""
    return _with_fault(store, {"effect": "index_not_visible", "seconds": 20})


def knowledge_base_slow(store: str) -> list[str]:
    """A knowledge base takes ninety seconds."""
    with (
        patch.object(bedrock_emulator.services.knowledge_bases, "VECTOR_CREATION", 90.0),
        virtual_fleet(slowness=Slowness(managed_knowledge_base=(90.0, 90.0))) as fleet,
    ):
        return _provisioned(fleet, store) + departures(fleet, {"acme": store})


def knowledge_base_fails(store: str) -> list[str]:
    """Bedrock gives the knowledge base up: the tenant is marked, people are alerted, and a later run repairs it."""
    with virtual_fleet() as fleet:
        fleet.emulator.faults.add(
            {"effect": "knowledge_base_fails", "failureReasons": ["The vector store is out of reach."], "count": 1}
        )
        wrong: list[str] = []
        failed = fleet.provision("acme", store)
        if (failed.status, failed.error) != ("FAILED", "ProvisioningFailed"):
            wrong.append(f"the execution ended {failed.status} by {failed.error}")
        tenant = fleet.tenant("acme")
        if tenant is None or tenant.status is not TenantStatus.FAILED or tenant.lease is not None:
            wrong.append(f"the record is {tenant}")
        elif tenant.failure is None or "out of reach" not in tenant.failure.reason:
            wrong.append(f"the record gives as the reason {tenant.failure}")
        reported = [event for event in fleet.events if event["DetailType"] == "Provisioning Failed"]
        if [event["Detail"]["tenant_id"] for event in reported] != ["acme"]:
            wrong.append(f"published was {reported}")
        for summary in knowledge_bases(fleet):
            fleet.client("bedrock-agent").delete_knowledge_base(knowledgeBaseId=summary["knowledgeBaseId"])
        fleet.timeline.run_for(60)
        return wrong + _provisioned(fleet, store) + departures(fleet, {"acme": store})


def data_source_creating(store: str) -> list[str]:
    """The data source of a MANAGED knowledge base is CREATING for five minutes, after the knowledge base has been for
    two."""
    return _with(Slowness(managed_knowledge_base=(124.0, 124.0), managed_data_source=(300.0, 300.0)), store)


def bucket_shows_late(store: str) -> list[str]:
    """Half of S3's answers do not know the bucket, for two minutes after it was made."""
    return _with(Slowness(buckets=120.0), store)


def bucket_shows_late_to_bedrock(store: str) -> list[str]:
    """Bedrock does not see the bucket for five minutes after it was made: a first ingestion job fails."""
    return _with(Slowness(buckets_to_bedrock=300.0), store)


def bucket_deleted_by_hand(store: str) -> list[str]:
    """Somebody deletes the bucket. Its name is not free for two minutes, and then the new one does not show at once."""
    with virtual_fleet(slowness=Slowness(buckets=120.0)) as fleet:
        wrong = _provisioned(fleet, store)
        bucket, s3 = fleet.names.bucket(fleet.life("acme")), fleet.client("s3")
        for version in s3.list_object_versions(Bucket=bucket)["Versions"]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
        s3.delete_bucket(Bucket=bucket)
        return wrong + _provisioned(fleet, store) + departures(fleet, {"acme": store})


def offboarded_before_its_bucket_shows(store: str) -> list[str]:
    """The provisioning is stopped right after the bucket was made, and the tenant offboarded at once: the receipt comes
    only when the bucket has shown, and was deleted."""
    with virtual_fleet(slowness=Slowness(buckets=120.0)) as fleet:
        wrong: list[str] = []
        execution = fleet.start("provision_tenant", provisioning_request("acme", store))
        fleet.timeline.run_until(lambda: bool(buckets(fleet)), within=60)
        fleet.stop(execution)
        fleet.timeline.run_for(1)
        request = api_request("DELETE", "/tenants/{tenant_id}", tenant_id="acme", query={"retention_days": "0"})
        while fleet.invoke("TenantsFunction", request)["statusCode"] == HTTPStatus.SERVICE_UNAVAILABLE:
            fleet.timeline.run_for(5)
        fleet.timeline.run_until(lambda: _ended(fleet), within=AN_HOUR)
        if left := buckets(fleet):
            wrong.append(f"left over is {left}")
        tenant = fleet.tenant("acme")
        if tenant is None or tenant.erasure is None:
            wrong.append(f"the record is {tenant}")
        return wrong


def _ended(fleet: VirtualFleet) -> bool:
    """Whether all executions have."""
    return all(execution.ended for execution in fleet.step_functions.executions.values())


def _with(slowness: Slowness, store: str) -> list[str]:
    with virtual_fleet(slowness=slowness) as fleet:
        return _provisioned(fleet, store) + departures(fleet, {"acme": store})


def _with_fault(store: str, fault: Mapping[str, object]) -> list[str]:
    with virtual_fleet() as fleet:
        fleet.emulator.faults.add(fault)
        return _provisioned(fleet, store) + departures(fleet, {"acme": store})


def _provisioned(fleet: VirtualFleet, store: str) -> list[str]:
    execution = fleet.provision("acme", store)
    fleet.settle("acme")
    return [] if execution.status == "SUCCEEDED" else [f"it ended {execution.status}: {execution.failures}"]


CASES: tuple[Callable[[str], list[str]], ...] = (
    many_foreign_knowledge_bases,
    role_assumable_late,
    index_visible_late,
    knowledge_base_slow,
    knowledge_base_fails,
    data_source_creating,  # where it is tried on one store only, on MANAGED
    bucket_shows_late,
    bucket_shows_late_to_bedrock,
    bucket_deleted_by_hand,
    offboarded_before_its_bucket_shows,
)


def prove(store: str) -> Row:
    row = Row(
        "adoption among 250 others; late roles, indexes and buckets; slow and failed knowledge bases and data sources",
        store,
    )
    for case in CASES:
        wrong = case(store)
        row.add(f"tests.proofs.slow_aws.{case.__name__}({store!r}): {'; '.join(wrong)}" if wrong else None)
    return row
