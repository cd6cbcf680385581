"""State "Refuse Uploads": nobody can put documents into the tenant's bucket any more."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import refuse_uploads


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    refuse_uploads(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()
