"""State "Ensure Bucket": the tenant's document bucket exists, with every promised setting."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import BucketResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import ensure_bucket


@workflow_step(StepInput)
def handler(step: StepInput) -> BucketResult:
    bucket_name = ensure_bucket(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return BucketResult(bucket_name=bucket_name)
