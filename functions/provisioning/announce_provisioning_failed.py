"""State "Announce Provisioning Failed": the bus learns which step failed and why."""

from kbfleet import bootstrap
from kbfleet.contracts import ProvisioningFailedInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import announce_provisioning_failed, describe_failure


@workflow_step(ProvisioningFailedInput)
def handler(step: ProvisioningFailedInput) -> None:
    failure = describe_failure(
        execution=step.execution,
        step=step.progress.failed_step,
        error=step.progress.failure.Error,
        cause=step.progress.failure.Cause or "",
        clock=bootstrap.clock(),
    )
    announce_provisioning_failed(step.progress.tenant_id, failure, announcements=bootstrap.announcements())
