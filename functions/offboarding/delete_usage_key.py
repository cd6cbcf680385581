"""State "Delete Usage Key": API Gateway lets nobody of the tenant in any more, and counts nothing for it."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_usage_key


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    delete_usage_key(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        usage_keys=bootstrap.usage_keys(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()
