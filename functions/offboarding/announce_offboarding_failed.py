"""State "Announce Offboarding Failed": the bus learns which step failed and why."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import WorkflowFailedInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import announce_offboarding_failed


@workflow_step(WorkflowFailedInput)
def handler(step: WorkflowFailedInput) -> None:
    announce_offboarding_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        announcements=bootstrap.announcements(),
    )
