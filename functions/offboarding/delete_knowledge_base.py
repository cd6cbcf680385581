"""State "Delete Knowledge Base": runs again until no knowledge base of the tenant is left."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_knowledge_base


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    delete_knowledge_base(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()
