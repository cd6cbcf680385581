"""What the first provisioning of one tenant costs, against the time that Bedrock itself takes."""

from __future__ import annotations

from dataclasses import dataclass

from tests.proofs.proof import Row
from tests.support.slowness import PROMPT_BUCKETS
from tests.support.virtual_fleet import virtual_fleet

MOST_TRANSITIONS = {"S3_VECTORS": 25, "OPENSEARCH_SERVERLESS": 25, "MANAGED": 65}
"""On MANAGED, knowledge base and data source take a time that nobody knows beforehand, and each look costs three."""
MOST_TIMES_THE_SERVICE = 1.1
LATE_ROLE_SECONDS = 10
"""How long a new role cannot be assumed, as users report."""


@dataclass(frozen=True)
class Cost:
    """`service_seconds`: from creating the knowledge base to ACTIVE, of its data source to AVAILABLE, and from the
    start of the job to its end."""

    transitions: int
    seconds: float
    service_seconds: float

    @property
    def times_the_service(self) -> float:
        return self.seconds / self.service_seconds


def cost(store: str, *, role_late_by: int = 0) -> Cost:
    """Measured in virtual time, on an account where nothing else happens and buckets show at once.

    Args:
        role_late_by: seconds for which the new service role cannot be assumed.
    """
    with virtual_fleet(slowness=PROMPT_BUCKETS) as fleet:
        fleet.emulator.faults.add({"effect": "role_not_assumable", "seconds": role_late_by})
        execution = fleet.provision("acme", store)
        assert execution.status == "SUCCEEDED", execution.failures
        tenant = fleet.tenant("acme")
        assert tenant is not None
        agent = fleet.client("bedrock-agent")
        base = agent.get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)["knowledgeBase"]
        source = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
        pages = agent.get_paginator("list_ingestion_jobs").paginate(**source)
        (job,) = [summary for page in pages for summary in page["ingestionJobSummaries"]]
        made = agent.get_data_source(**source)["dataSource"]
        spans = ((base, "createdAt"), (made, "createdAt"), (job, "startedAt"))
        service = [each["updatedAt"] - each[began] for each, began in spans]
        return Cost(execution.transitions, execution.seconds, sum(part.total_seconds() for part in service))


def prove(store: str) -> Row:
    row = Row("the first provisioning of a tenant costs little more than Bedrock's own time", store)
    for late in (0, LATE_ROLE_SECONDS):
        _add(row, store, late)
    return row


def _add(row: Row, store: str, late: int) -> None:
    measured, call = (
        cost(store, role_late_by=late),
        f"tests.proofs.first_provisioning.cost({store!r}, role_late_by={late})",
    )
    most = MOST_TRANSITIONS[store]
    row.add(None if measured.transitions <= most else f"{call}: {measured.transitions} transitions")
    row.add(
        None
        if measured.times_the_service <= MOST_TIMES_THE_SERVICE
        else f"{call}: {measured.times_the_service:.2f} times Bedrock's time"
    )
    row.findings += [
        f"with a role {late} s late, {measured.transitions} transitions of {most}",
        f"{measured.seconds:.0f} s against {measured.service_seconds:.0f} s, at most {MOST_TIMES_THE_SERVICE} times",
    ]
