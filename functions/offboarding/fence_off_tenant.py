"""State "Fence Off Tenant": the tenant is not asked and not synced any more; the retention period begins."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import FenceOffTenantInput, OffboardingReservation
from kbfleet.settings import read
from kbfleet.settings.provisioning import OffboardingSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import fence_off_tenant


@workflow_step(FenceOffTenantInput)
def handler(step: FenceOffTenantInput) -> OffboardingReservation:
    reservation = fence_off_tenant(
        step.request.tenant_id,
        step.request.retention,
        execution=step.execution,
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        ledger=bootstrap.ledger(),
        callbacks=bootstrap.callbacks(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
        lease=read(OffboardingSettings).lease,
    )
    return OffboardingReservation.from_domain(reservation)
