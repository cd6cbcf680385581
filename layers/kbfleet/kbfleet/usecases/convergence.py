"""After an update, every tenant's resources are brought to what the new version makes them like, by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from kbfleet.domain.convergence import Convergence
from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.provisioning import start_provisioning

if TYPE_CHECKING:
    from kbfleet.ports import Clock, ConvergenceRecord, Executions, TenantRegistry
    from kbfleet.usecases.reservations import Stores

AT_ONCE = 20
"""Executions that converge tenants at a time: they share the rates of Bedrock and IAM with all else."""


@dataclass(frozen=True, slots=True)
class ConvergenceReport:
    """What one look did: for whom an execution was started, for whom it could not be, and how many are left."""

    started: tuple[TenantId, ...] = ()
    refused: tuple[tuple[TenantId, KbfleetError], ...] = ()
    left: int = 0


def converge_tenants(
    *,
    resources_version: str,
    convergences: ConvergenceRecord,
    registry: TenantRegistry,
    executions: Executions,
    stores: Stores,
    clock: Clock,
) -> ConvergenceReport:
    """Starts `provision_tenant` for some of those who are not of that version yet. Run again, it goes on where it was;
    when nobody is left, it reads one item and no tenant.

    A tenant whose execution fails is not tried again: the alert of it says what to do.

    Args:
        resources_version: that the stack converges tenants to.
    """
    now = clock.now()
    stored = convergences.find()
    convergence = Convergence.to(resources_version, stored, now)
    if convergence.ended:
        return ConvergenceReport()
    if convergence != stored:
        convergences.save(convergence)
    tenants = list(registry.all())
    waiting = [tenant for tenant in tenants if convergence.waits_for(tenant)]
    # One whose provisioning began before the update ends as one of no version.
    under_way = any(tenant.status is TenantStatus.PROVISIONING and tenant.leased_at(now) for tenant in tenants)
    free = AT_ONCE - sum(tenant.leased_at(now) for tenant in waiting)
    started, refused = list[TenantId](), list[tuple[TenantId, KbfleetError]]()
    for tenant in waiting:
        if len(started) >= free:
            break
        if tenant.leased_at(now):
            continue
        try:
            start_provisioning(
                ProvisioningRequest(tenant.tenant_id),
                registry=registry,
                executions=executions,
                stores=stores,
                clock=clock,
                # Who looks again before that execution has the tenant's lease starts no second one.
                occurrence=str(uuid5(NAMESPACE_OID, f"{tenant.tenant_id}/{resources_version}/{now:%Y-%m-%dT%H}")),
            )
            started.append(tenant.tenant_id)
        except KbfleetError as error:
            # The next look tries again: one tenant must not keep the others.
            refused.append((tenant.tenant_id, error))
    if not waiting and not under_way:
        convergences.save(replace(convergence, ended=True))
    return ConvergenceReport(tuple(started), tuple(refused), len(waiting) - len(started))
