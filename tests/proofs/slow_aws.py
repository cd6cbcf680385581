"""AWS as users report it: crowded, slow to agree with itself, and sometimes failing for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from unittest.mock import patch

import bedrock_emulator.services.knowledge_bases
from bedrock_emulator import Quotas
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.converged import departures, knowledge_bases
from tests.proofs.proof import Row
from tests.support.aws_calls import Moment
from tests.support.virtual_fleet import VirtualFleet, kill_first, virtual_fleet

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
        assert lost.failures == [("Ensure Knowledge Base", "Lambda.Unknown")], lost.failures
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
        patch.object(bedrock_emulator.services.knowledge_bases, "MANAGED_CREATION", (90.0, 90.0)),
        virtual_fleet() as fleet,
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
)


def prove(store: str) -> Row:
    row = Row("adoption among 250 others; late roles and indexes; slow and failed knowledge bases", store)
    for case in CASES:
        wrong = case(store)
        row.add(f"tests.proofs.slow_aws.{case.__name__}({store!r}): {'; '.join(wrong)}" if wrong else None)
    return row
