"""Suspending and resuming tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.ingestion import Sync
from kbfleet.domain.tenant import TenantStatus
from kbfleet.usecases.ingestion import update_sync
from kbfleet.usecases.reservations import announce_left_over, announce_status, execution_name, store_unless_changed

if TYPE_CHECKING:
    from kbfleet.domain.tenant import Tenant, TenantId
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
    put_sync_on_hold(tenant_id, ledger=ledger, callbacks=callbacks)
    job = ledger.find(tenant_id).job
    if job is not None:
        knowledge_bases.stop_ingestion(after.data_source(), job.ingestion_job_id)
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
    synced.

    Raises:
        TenantNotFound, TenantNotActive, OffboardingBegun.
    """
    before = registry.get(tenant_id)
    now = clock.now()
    announce_left_over(before, announcements=announcements)
    after = before.resumed(now)
    store_unless_changed(before, after, registry)
    update_sync(tenant_id, lambda sync: sync.taken_off_hold(now), ledger=ledger)
    ticks.request()
    after = announce_status(after, registry=registry, announcements=announcements)
    if before.status is not TenantStatus.SUSPENDED:
        # Offboarding has closed the bucket to uploads: converging opens it again, also if this call had died here.
        executions.start(execution_name(tenant_id, now), {"tenant_id": tenant_id})
    return after


def put_sync_on_hold(tenant_id: TenantId, *, ledger: SyncLedger, callbacks: TaskCallbacks) -> None:
    """Nothing is started for the tenant from here on, and tasks that wait for one of its syncs are told so."""
    waiting = ledger.find(tenant_id).waiters
    for waiter in waiting:
        callbacks.fail(waiter.task_token, "TenantNotActive", f"Tenant {tenant_id} is not synced any more.")
    update_sync(tenant_id, Sync.put_on_hold, ledger=ledger)
