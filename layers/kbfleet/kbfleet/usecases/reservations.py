"""Writing a tenant's record under the fencing token of an execution, and publishing what became of the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from kbfleet.domain.errors import ConcurrentUpdate, KnowledgeStoreNotOffered, LeaseLost
from kbfleet.domain.tenant import Reservation, Tenant
from kbfleet.ports import Announcements, Clock, Executions, KnowledgeStore, TenantRegistry

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


def without_dead_lease(tenant: Tenant, executions: Executions, now: datetime) -> Tenant:
    """The record, its lease left out if the execution that holds it does not run any more: it was stopped, and either
    nobody could record that, or a function of its took the lease after that."""
    if tenant.lease is not None and tenant.leased_at(now) and not executions.is_running(tenant.lease.holder):
        return replace(tenant, lease=None)
    return tenant


def held(reservation: Reservation, registry: TenantRegistry) -> Tenant:
    """Raises: LeaseLost, TenantNotFound."""
    return registry.get(reservation.tenant_id).held_under(reservation.fence)


def keep(tenant: Tenant, changed: Tenant, *, registry: TenantRegistry, clock: Clock) -> Tenant:
    """Writes what a step has learned, the moment it is known; nothing when nothing changed.

    Raises:
        LeaseLost: a later execution has reserved the tenant meanwhile.
    """
    if changed == tenant:
        return tenant
    stamped = replace(changed, updated_at=clock.now())
    try:
        registry.replace(stamped, fence=tenant.fence)
    except ConcurrentUpdate as error:
        raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to a later execution.") from error
    return stamped


def announce_status(before: Tenant | None, after: Tenant, *, announcements: Announcements) -> None:
    """Publishes the status of `after` if it is another than that of `before`.

    It comes after storing: an event never tells of a change that did not happen. A process that dies in between leaves
    the event out; the step or command that is run again publishes it, so callers do that whenever they find their own
    change made already.
    """
    if before is None or before.status_since != after.status_since or before.status is not after.status:
        announcements.tenant_state_changed(after.state_change)
