"""State "Ensure Usage Key": what the tenant asks counts against the rate and quota of its tier."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import StepInput, UsageKeyResult
from kbfleet.settings import read
from kbfleet.settings.provisioning import UsagePlanSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import ensure_usage_key


@workflow_step(StepInput)
def handler(step: StepInput) -> UsageKeyResult:
    tier = ensure_usage_key(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        usage_keys=bootstrap.usage_keys(),
        plans=read(UsagePlanSettings).plans,
        names=bootstrap.fleet().names,
    )
    return UsageKeyResult(tier=tier)
