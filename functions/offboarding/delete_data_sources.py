"""State "Delete Data Sources": runs again until no data source is left."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_data_sources


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    delete_data_sources(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()
