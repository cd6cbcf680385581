"""State "Delete Knowledge Store": the tenant's vector index is gone."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_knowledge_store


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    delete_knowledge_store(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
    )
    return DoneResult()
