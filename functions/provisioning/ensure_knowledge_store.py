"""State "Ensure Knowledge Store": the tenant's own vector index exists."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import KnowledgeStoreResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import ensure_knowledge_store


@workflow_step(StepInput)
def handler(step: StepInput) -> KnowledgeStoreResult:
    reference = ensure_knowledge_store(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
    )
    return KnowledgeStoreResult(reference=reference)
