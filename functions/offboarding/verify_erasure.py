"""State "Verify Erasure": everything is looked up again, and what was found gone is on the receipt."""

from datetime import timedelta

from kbfleet import bootstrap
from kbfleet.contracts.workflows import ErasureResult, StepInput
from kbfleet.settings import read
from kbfleet.settings.provisioning import ErasureSettings, OffboardingSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import verify_erasure


@workflow_step(StepInput)
def handler(step: StepInput) -> ErasureResult:
    settings = read(OffboardingSettings)
    receipt = verify_erasure(
        step.reservation.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        usage_keys=bootstrap.usage_keys(),
        records=bootstrap.records(),
        incidents=bootstrap.incidents(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        keep_usage=settings.keep_usage,
        logs_kept_for=timedelta(days=read(ErasureSettings).log_retention_days),
    )
    return ErasureResult(receipt=receipt)
