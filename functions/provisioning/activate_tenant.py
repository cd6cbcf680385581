"""State "Activate Tenant": the tenant may be asked, and the lease is given back."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import ActivationResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import activate_tenant


@workflow_step(StepInput)
def handler(step: StepInput) -> ActivationResult:
    tenant = activate_tenant(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    return ActivationResult(status=tenant.status)
