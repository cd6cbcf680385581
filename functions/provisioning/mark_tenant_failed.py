"""State "Mark Tenant Failed": the record says which step failed and why, and the lease is given back."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import WorkflowFailedInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import mark_tenant_failed


@workflow_step(WorkflowFailedInput)
def handler(step: WorkflowFailedInput) -> None:
    mark_tenant_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        registry=bootstrap.registry(),
        announcements=bootstrap.announcements(),
    )
