"""State "Reserve Tenant": registers the tenant and takes its lease for this execution."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import ReservationPayload, ReserveTenantInput
from kbfleet.settings import read
from kbfleet.settings.provisioning import ProvisioningSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import reserve_tenant


@workflow_step(ReserveTenantInput)
def handler(step: ReserveTenantInput) -> ReservationPayload:
    settings = read(ProvisioningSettings)
    reservation = reserve_tenant(
        step.request.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
        lease=settings.lease,
        ready_within=settings.knowledge_base_ready_within,
    )
    return ReservationPayload.from_domain(reservation)
