"""After an update, every tenant's resources are brought to what the new version makes them like, by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from kbfleet.domain.convergence import Convergence
from kbfleet.domain.errors import AwsRefusal, KbfleetError, Retryable
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.reservations import without_dead_lease

if TYPE_CHECKING:
    from kbfleet.ports import Clock, ConvergenceRecord, Executions, TenantRegistry
    from kbfleet.usecases.reservations import Stores

AT_ONCE = 20
"""Executions that converge tenants at a time: they share the rates of Bedrock and IAM with all else."""

_OF_AWS = (AwsRefusal, Retryable)


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
    when nobody is left, it reads one item, and the tenants once an hour.

    A tenant whose execution fails is not tried again: the alert of it says what to do.

    Args:
        resources_version: that the stack converges tenants to.
    """
    now = clock.now()
    stored = convergences.find()
    convergence = Convergence.to(resources_version, stored, now)
    if convergence.rests(now):
        return ConvergenceReport()
    if convergence != stored:
        convergences.save(convergence)
    waiting = [without_dead_lease(each, executions, now) for each in registry.all() if convergence.waits_for(each)]
    free = AT_ONCE - sum(tenant.leased_at(now) for tenant in waiting)
    started, refused = list[TenantId](), list[tuple[TenantId, KbfleetError]]()
    for tenant in waiting:
        # AWS that refuses so many refuses all of a large fleet, and each refusal takes seconds.
        if len(started) >= free or sum(isinstance(error, _OF_AWS) for _, error in refused) >= AT_ONCE:
            break
        if tenant.leased_at(now):
            continue
        try:
            execution = start_provisioning(
                ProvisioningRequest(tenant.tenant_id),
                registry=registry,
                executions=executions,
                stores=stores,
                clock=clock,
                # Who looks again before that execution has the tenant's lease starts no second one.
                occurrence=str(uuid5(NAMESPACE_OID, f"{tenant.tenant_id}/{resources_version}/{now:%Y-%m-%dT%H}")),
            )
            # One that has ended has come to nothing, and is tried again in the next hour: it takes nobody's place.
            if execution.status == "RUNNING":
                started.append(tenant.tenant_id)
        except KbfleetError as error:
            # The next look tries again: one tenant must not keep the others.
            refused.append((tenant.tenant_id, error))
    if not waiting:
        convergences.save(replace(convergence, ended_at=now))
    return ConvergenceReport(tuple(started), tuple(refused), len(waiting) - len(started))
