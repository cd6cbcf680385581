"""State "Delete Bucket": documents with their versions, as many as one call may take, then the bucket itself."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_bucket


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    gone = delete_bucket(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
    )
    return DoneResult(done=gone)
