"""State "Stop Ingestion": nothing was deleted before this; runs again until no ingestion job of the tenant runs."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import stop_ingestion


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    stop_ingestion(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return DoneResult()
