"""Suspending and resuming tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.ingestion import stop_jobs, update_each
from kbfleet.usecases.reservations import (
    announce_left_over,
    announce_status,
    execution_name,
    store_unless_changed,
    without_dead_lease,
)

if TYPE_CHECKING:
    from kbfleet.domain.names import TenantId
    from kbfleet.domain.sync import Sync, Waiter
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        Executions,
        KnowledgeBases,
        SyncLedger,
        TaskCallbacks,
        TenantRegistry,
        Ticks,
    )


def suspend_tenant(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    knowledge_bases: KnowledgeBases,
    callbacks: TaskCallbacks,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """Refuses questions and stops syncs; every document and every vector is kept.

    Raises:
        TenantNotFound, TenantBusy, TenantNotActive.
    """
    before = registry.get(tenant_id)
    announce_left_over(before, announcements=announcements)
    after = before.suspended(clock.now())
    store_unless_changed(before, after, registry)
    entries = put_sync_on_hold(after, ledger=ledger, callbacks=callbacks)
    # Where a newer record has taken the tenant into service again, its jobs are wanted.
    if all(each.on_hold for each in entries):
        stop_jobs(after, entries, ledger=ledger, knowledge_bases=knowledge_bases)
    return announce_status(after, registry=registry, announcements=announcements)


def resume_tenant(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    ticks: Ticks,
    executions: Executions,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """Takes back a suspension, or an offboarding whose retention period still runs. What was requested meanwhile is
    synced. A tenant that was suspended before it was to be offboarded is suspended again.

    Raises:
        TenantNotFound, TenantNotActive, TenantBusy, OffboardingBegun.
    """
    before = registry.get(tenant_id)
    now = clock.now()
    announce_left_over(before, announcements=announcements)
    after = without_dead_lease(before, executions, now).resumed(now)
    store_unless_changed(before, after, registry)
    synced = False
    if after.is_in_service:
        sync, *_ = update_each(after, lambda sync: sync.taken_off_hold(now, after.fence), ledger=ledger)
        synced = after.data_source_id is not None and sync.has_synced(after.data_source_id)
        ticks.request()
    after = announce_status(after, registry=registry, announcements=announcements)
    only_suspended = before.status is TenantStatus.SUSPENDED and before.previous_status is not TenantStatus.OFFBOARDING
    if after.is_in_service and not (only_suspended and synced):
        # Offboarding has closed the bucket to uploads: converging opens it again, also if this call had died here. And
        # a tenant that got its knowledge base while it was suspended has not been synced yet.
        executions.start(execution_name(tenant_id, now), {"tenant_id": tenant_id})
    return after


def put_sync_on_hold(tenant: Tenant, *, ledger: SyncLedger, callbacks: TaskCallbacks) -> tuple[Sync, ...]:
    """Nothing is started for the tenant from here on, and tasks that wait for one of its syncs are failed. Unless
    somebody has taken it into service again meanwhile: who has written its record last decides.

    Args:
        tenant: the record that takes it out of service, as it is stored.

    Returns: as `update_each`.
    """

    def answer(waiter: Waiter) -> None:
        callbacks.fail(waiter.task_token, "TenantNotActive", f"Tenant {tenant.tenant_id} is not synced any more.")

    return update_each(tenant, lambda sync: sync.put_on_hold(tenant.fence), ledger=ledger, answer=answer)
