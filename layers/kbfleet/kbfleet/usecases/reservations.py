"""Writing a tenant's record under the fencing token of an execution, and publishing what became of the tenant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from kbfleet.domain.errors import ConcurrentUpdate, KnowledgeStoreNotOffered, LeaseLost, TenantBusy
from kbfleet.ports import KnowledgeStore

if TYPE_CHECKING:
    from datetime import datetime

    from kbfleet.domain.names import TenantId
    from kbfleet.domain.tenant import Reservation, Tenant
    from kbfleet.ports import Announcements, Clock, Execution, Executions, TenantRegistry

Stores = Mapping[str, KnowledgeStore]
"""By type; the first is the stack's default."""


def store_of(tenant: Tenant, stores: Stores) -> KnowledgeStore:
    """Raises: KnowledgeStoreNotOffered when the stack has given it up although the tenant lives on it."""
    if tenant.knowledge_store not in stores:
        raise KnowledgeStoreNotOffered(
            f"Tenant {tenant.tenant_id} lives on {tenant.knowledge_store}, which this stack does not offer any more.",
            remedy="Deploy the stack with that knowledge store, at least until the tenant is offboarded.",
        )
    return stores[tenant.knowledge_store]


EXECUTION_NAME_PATTERN = "[A-Za-z0-9_-]+"
MAX_EXECUTION_NAME_LENGTH = 80
"""Characters. Source: AWS documentation, Step Functions API, StartExecution, `name`."""


_STARTED = "[0-9]{8}T[0-9]{12}"
_OCCURRENCE = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""What the name of an execution has behind the tenant's id: when it was started, or the id of the event that asked for
it, which EventBridge makes as a UUID (AWS documentation, Events structure). Neither can end a tenant's id: it has no
capitals, and no room."""


def execution_name(tenant_id: TenantId, now: datetime) -> str:
    """Of an execution that is started for a tenant now."""
    return f"{tenant_id}-{now:%Y%m%dT%H%M%S%f}"


def name_of(execution: str) -> str:
    """Args: execution: its ARN."""
    return execution.rsplit(":", 1)[-1]


def can_be_an_execution_of(tenant_id: TenantId, name: str) -> bool:
    """Whether an execution for the tenant may have that name; not one for a tenant whose id begins like this one's.
    AWS refuses to look up what is no name at all."""
    return re.fullmatch(f"{tenant_id}-({_STARTED}|{_OCCURRENCE})", name) is not None


def without_dead_lease(tenant: Tenant, executions: Executions, now: datetime) -> Tenant:
    """The record, its lease left out if the execution that holds it does not run any more: it was stopped, and either
    nobody could record that, or a function of its took the lease after that."""
    if tenant.lease is not None and tenant.leased_at(now) and not executions.is_running(tenant.lease.holder):
        return replace(tenant, lease=None)
    return tenant


def execution_at_work(tenant: Tenant, executions: Executions, now: datetime) -> Execution | None:
    """The one that holds the tenant's lease; a dead one's lease is left out before, by `without_dead_lease`."""
    if tenant.lease is None or not tenant.leased_at(now):
        return None
    return executions.describe(name_of(tenant.lease.holder))


def require_running(execution: str, executions: Executions) -> None:
    """Between reading a record and taking its lease: a function may outlive its execution that was stopped, and come to
    read the record only when later executions have been and gone. A lease that it took would be given back by nobody.
    Being stopped after this look does no harm: what others do to the record meanwhile raises its fence.

    Raises:
        LeaseLost.
    """
    if not executions.is_running(execution):
        raise LeaseLost(f"Execution {execution} no longer runs: it gets no lease.")


def store_unless_changed(before: Tenant | None, after: Tenant, registry: TenantRegistry) -> None:
    """Raises: TenantBusy."""
    try:
        if before is None:
            registry.create(after)
        elif after != before:
            registry.replace(after, fence=before.fence)
    except ConcurrentUpdate as error:
        raise TenantBusy(
            f"Somebody else changed tenant {after.tenant_id} at the same moment.",
            remedy="Wait until whoever it was is done, then run the command again.",
        ) from error


def held(reservation: Reservation, registry: TenantRegistry) -> Tenant:
    """The record, as it is seen from the knowledge that the reservation is of. `keep` stores what becomes of it.

    Raises: LeaseLost, TenantNotFound.
    """
    return registry.get(reservation.tenant_id).held_under(reservation.fence).seen_under(reservation)


def keep(tenant: Tenant, changed: Tenant, *, registry: TenantRegistry, clock: Clock) -> Tenant:
    """Writes what a step has learned, the moment it is known; nothing when nothing changed.

    Raises:
        LeaseLost: a later execution has reserved the tenant meanwhile.
    """
    if changed == tenant:
        return tenant
    stamped = replace(changed, updated_at=clock.now())
    try:
        registry.replace(stamped.as_recorded(), fence=tenant.fence)
    except ConcurrentUpdate as error:
        raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to a later execution.") from error
    return stamped


def announce_left_over(tenant: Tenant | None, *, announcements: Announcements) -> None:
    """Publishes a status that a process which died has stored and not published, before it is overwritten."""
    if tenant is not None and not tenant.announced:
        announcements.tenant_state_changed(tenant.state_change)


def announce_status(tenant: Tenant, *, registry: TenantRegistry, announcements: Announcements) -> Tenant:
    """Publishes the tenant's status, unless the bus knows it already, and writes down that it does.

    It comes after storing: no event announces a change that did not happen. A process that dies in between leaves
    the record unannounced; whoever works on the tenant next, and the reconciler, publish what they find so.
    """
    if tenant.announced:
        return tenant
    announcements.tenant_state_changed(tenant.state_change)
    announced = replace(tenant, announced=True)
    # Somebody else has the tenant meanwhile: they have read it unannounced, and publish once more.
    with suppress(ConcurrentUpdate):
        registry.replace(announced.as_recorded(), fence=tenant.fence)
    return announced
