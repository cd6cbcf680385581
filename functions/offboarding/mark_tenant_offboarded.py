"""State "Mark Tenant Offboarded": the record becomes a tombstone with the receipt, and the bus is told."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import ActivationResult, MarkTenantOffboardedInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import mark_tenant_offboarded


@workflow_step(MarkTenantOffboardedInput)
def handler(step: MarkTenantOffboardedInput) -> ActivationResult:
    tenant = mark_tenant_offboarded(
        step.reservation.to_domain(),
        step.receipt,
        registry=bootstrap.registry(),
        records=bootstrap.records(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    return ActivationResult(status=tenant.status)
