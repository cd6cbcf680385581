"""State "Mark Tenant Failed": the record says which step failed and why, and the lease is given back."""

from kbfleet import bootstrap
from kbfleet.contracts import ProvisioningFailedInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import describe_failure, mark_tenant_failed


@workflow_step(ProvisioningFailedInput)
def handler(step: ProvisioningFailedInput) -> None:
    failure = describe_failure(
        execution=step.execution,
        step=step.progress.failed_step,
        error=step.progress.failure.Error,
        cause=step.progress.failure.Cause or "",
        clock=bootstrap.clock(),
    )
    mark_tenant_failed(step.progress.tenant_id, failure, registry=bootstrap.registry())
