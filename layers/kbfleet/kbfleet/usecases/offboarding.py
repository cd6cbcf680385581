"""A tenant's way out: the request, the round that starts what is due, and the steps of `offboard_tenant`, one function
a state.

The retention period passes in the tenant's record; no execution waits. Every step can run any number of times: what is
gone already is fine. Those that wait for Bedrock raise `NotReadyYet`, which the state machine retries. Until Stop
Ingestion nothing is deleted, and `resume_tenant` takes the tenant back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.erasure import ErasedResource, ErasureReceipt, remaining
from kbfleet.domain.errors import BucketNameTaken, ErasureIncomplete, KbfleetError, NotReadyYet, ResourceConflict
from kbfleet.domain.tenant import Reservation
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.incidents import forget, forgotten
from kbfleet.usecases.knowledge_removal import (
    delete_data_sources_of,
    delete_knowledge_bases,
    knowledge_bases_of,
    stop_jobs_of,
)
from kbfleet.usecases.lifecycle import put_sync_on_hold
from kbfleet.usecases.reservations import (
    announce_left_over,
    announce_status,
    execution_at_work,
    execution_name,
    held,
    keep,
    require_running,
    store_of,
    store_unless_changed,
    without_dead_lease,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from kbfleet.domain.knowledge_base import KnowledgeBase
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.domain.workflow import WorkflowFailure
    from kbfleet.ports import (
        Announcements,
        Clock,
        DocumentBuckets,
        Execution,
        Executions,
        Incidents,
        KnowledgeBases,
        ServiceRoles,
        SyncLedger,
        TaskCallbacks,
        TenantRecords,
        TenantRegistry,
        UndeliveredMessages,
        UsageKeys,
    )
    from kbfleet.usecases.reservations import (
        Stores,
    )

# --- before the state machine --------------------------------------------------------------------


def request_offboarding(
    tenant_id: TenantId,
    retention: timedelta,
    *,
    registry: TenantRegistry,
    executions: Executions,
    ledger: SyncLedger,
    callbacks: TaskCallbacks,
    buckets: DocumentBuckets,
    announcements: Announcements,
    names: ResourceNames,
    clock: Clock,
) -> tuple[Tenant, Execution | None]:
    """The tenant is neither asked nor synced any more and takes no documents, from now on. It is deleted once the
    retention period is over; at once, if there is none. Run again after it died anywhere, it does what is left.

    Returns: the record, and the execution that deletes the tenant if one does by now.

    Raises:
        TenantNotFound, TenantBusy, TenantOffboarded: before anything is written.
    """
    now = clock.now()
    stored = registry.get(tenant_id)
    before = without_dead_lease(stored, executions, now)
    if before.status is TenantStatus.OFFBOARDING:
        at_work = execution_at_work(before, executions, now)
        if at_work is not None:
            return before, at_work
    announce_left_over(stored, announcements=announcements)
    after = before.offboarding_requested(now, retention=retention)
    after = _take_out_of_service(stored, after, registry, ledger, callbacks, announcements)
    if after.deletion_is_due(clock.now()):
        # It closes the bucket itself, and tries again where that is refused.
        return after, _start_deletion(after, executions, clock)
    # Whoever has taken the tenant back meanwhile may have opened its bucket again.
    if registry.get(tenant_id).fence == after.fence:
        _close_bucket(after, buckets, names)
    return after, None


def _take_out_of_service(
    before: Tenant,
    after: Tenant,
    registry: TenantRegistry,
    ledger: SyncLedger,
    callbacks: TaskCallbacks,
    announcements: Announcements,
) -> Tenant:
    """Stores the record, then sees to what follows from it. Returns: the record, announced."""
    store_unless_changed(before, after, registry)
    put_sync_on_hold(after, ledger=ledger, callbacks=callbacks)
    return announce_status(after, registry=registry, announcements=announcements)


def _start_deletion(tenant: Tenant, executions: Executions, clock: Clock) -> Execution:
    """Starts one execution for this state of the record, however often it is asked for."""
    request = {"tenant_id": tenant.tenant_id}
    try:
        return executions.start(execution_name(tenant.tenant_id, tenant.updated_at), request)
    except ResourceConflict:
        # That one has ended without ever having had the lease.
        return executions.start(execution_name(tenant.tenant_id, clock.now()), request)


# --- the round -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeletionRound:
    """What one round did.

    Args:
        started: tenants whose deletion was started.
        refused: tenants whose deletion could not be started, with the reason.
        left_over: how many are due and were not come to.
    """

    started: tuple[TenantId, ...]
    refused: tuple[tuple[TenantId, KbfleetError], ...]
    left_over: int


def start_due_deletions(
    *, registry: TenantRegistry, executions: Executions, clock: Clock, at_most: int, until: datetime
) -> DeletionRound:
    """Starts the deletion of those whose retention period is over, the longest overdue first.

    The records say what is left to do: a round that is repeated, or that dies anywhere, starts nothing twice, and the
    next one goes on. One that is refused does not keep the others from it.

    Args:
        at_most: how many deletions a round starts.
        until: after that it starts no more.
    """
    now = clock.now()
    due = sorted(
        (plan.delete_after, tenant.tenant_id)
        for tenant in registry.all()
        if (plan := tenant.offboarding) is not None and tenant.deletion_is_due(now)
    )
    started: list[TenantId] = []
    refused: list[tuple[TenantId, KbfleetError]] = []
    for visited, (_, tenant_id) in enumerate(due):
        if len(started) == at_most or clock.now() >= until:
            return DeletionRound(tuple(started), tuple(refused), len(due) - visited)
        try:
            if _start_if_due(tenant_id, registry, executions, clock):
                started.append(tenant_id)
        except KbfleetError as error:
            refused.append((tenant_id, error))
    return DeletionRound(tuple(started), tuple(refused), 0)


def _start_if_due(tenant_id: TenantId, registry: TenantRegistry, executions: Executions, clock: Clock) -> bool:
    """By the record as it is now: that of the list may be older, and an execution may be at work."""
    now = clock.now()
    tenant = without_dead_lease(registry.get(tenant_id), executions, now)
    if not tenant.deletion_is_due(now) or tenant.leased_at(now):
        return False
    _start_deletion(tenant, executions, clock)
    return True


# --- the states, in order ------------------------------------------------------------------------


def fence_off_tenant(
    tenant_id: TenantId,
    *,
    retention: timedelta | None = None,
    execution: str,
    registry: TenantRegistry,
    executions: Executions,
    ledger: SyncLedger,
    callbacks: TaskCallbacks,
    announcements: Announcements,
    clock: Clock,
    lease: timedelta,
) -> Reservation:
    """Nobody else works on the tenant any more. What the request has left undone, if it died, is done.

    Args:
        retention: of a request that is not in the record yet; see `OffboardTenantInput`.

    Returns: the right to offboard it.

    Raises:
        TenantNotFound, TenantBusy, TenantOffboarded.
        LeaseLost: this execution was stopped, or the tenant is not to be deleted any more.
    """
    before = registry.get(tenant_id)
    announce_left_over(before, announcements=announcements)
    if retention is not None and before.offboarding is None:
        requested = without_dead_lease(before, executions, clock.now()).offboarding_requested(
            clock.now(), retention=retention
        )
        before = _take_out_of_service(before, requested, registry, ledger, callbacks, announcements)
    free = without_dead_lease(before, executions, clock.now())
    after = free.fenced_off_by(execution, clock.now(), lease=lease)
    require_running(execution, executions)
    _take_out_of_service(before, after, registry, ledger, callbacks, announcements)
    return Reservation(tenant_id, after.fence)


def refuse_uploads(
    reservation: Reservation, *, registry: TenantRegistry, buckets: DocumentBuckets, names: ResourceNames
) -> None:
    """Nobody can put documents into the tenant's bucket any more."""
    _close_bucket(held(reservation, registry), buckets, names)


def stop_ingestion(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
) -> None:
    """The point of no return is written down, and no ingestion job of the tenant runs any more.

    Raises:
        NotReadyYet: a job is still stopping.
    """
    tenant = held(reservation, registry)
    tenant = keep(tenant, tenant.deletion_begun(clock.now()), registry=registry, clock=clock)
    tenant = keep(tenant, _with_alone(tenant, knowledge_bases, names), registry=registry, clock=clock)
    if tenant.beside is not None:
        seen = tenant.seen_from_beside()
        tenant = keep(seen, _with_alone(seen, knowledge_bases, names), registry=registry, clock=clock).as_recorded()
    found = _knowledge_bases(tenant, knowledge_bases, names)
    stop_jobs_of(found, tenant.tenant_id, knowledge_bases=knowledge_bases)


def delete_usage_key(
    reservation: Reservation, *, registry: TenantRegistry, usage_keys: UsageKeys, names: ResourceNames, clock: Clock
) -> None:
    """API Gateway does not know the tenant any more. Not before the point of no return: a tenant that is only fenced
    off is refused by its status, and can be resumed as it was."""
    tenant = held(reservation, registry)
    key = names.usage_key(tenant.this_life)
    if tenant.usage_key_id is None:
        # Before it is gone: by what it is called, Verify Erasure need not look through all of the account.
        tenant = keep(tenant, replace(tenant, usage_key_id=usage_keys.find(key)), registry=registry, clock=clock)
    usage_keys.delete(key, known_as=tenant.usage_key_id)


def delete_data_sources(
    reservation: Reservation, *, registry: TenantRegistry, knowledge_bases: KnowledgeBases, names: ResourceNames
) -> None:
    """No data source is left.

    Raises:
        NotReadyYet: Bedrock is still deleting.
    """
    tenant = held(reservation, registry)
    found = _knowledge_bases(tenant, knowledge_bases, names)
    delete_data_sources_of(found, tenant.tenant_id, knowledge_bases=knowledge_bases)


def delete_knowledge_base(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
) -> None:
    """No knowledge base of the tenant is left.

    Raises:
        NotReadyYet: Bedrock is still deleting, or could not; with its reasons.
    """
    tenant = held(reservation, registry)
    found = _knowledge_bases(tenant, knowledge_bases, names)
    delete_knowledge_bases(found, tenant.tenant_id, knowledge_bases=knowledge_bases)


def delete_service_role(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    service_roles: ServiceRoles,
    names: ResourceNames,
) -> None:
    """The tenant's service role is gone. Not before its knowledge base: Bedrock deletes vectors in the role's name."""
    tenant = held(reservation, registry)
    for each in tenant.each_knowledge():
        store_of(each, stores).dismiss(tenant.this_life)
    service_roles.delete(names.service_role(tenant.this_life))


def delete_knowledge_store(reservation: Reservation, *, registry: TenantRegistry, stores: Stores) -> None:
    """The tenant's index is gone, and all its vectors with it; also that of another knowledge beside the live one."""
    for each in held(reservation, registry).each_knowledge():
        store_of(each, stores).delete(each.live_knowledge)


def delete_bucket(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    names: ResourceNames,
    clock: Clock,
    until: datetime,
    waits: bool = True,
) -> bool:
    """Deletes documents, with all versions, and then the bucket. Returns: whether it is gone; else run again.

    Args:
        until: when to stop.
        waits: whether the execution waits for a bucket that may not show yet.

    Raises:
        NotReadyYet: there is none, but one that was made just before the tenant was taken out of service might not show
            yet; also where this has just deleted it and its answer was lost.
    """
    bucket = _own_bucket(held(reservation, registry), buckets, names, now=clock.now() if waits else None)
    return bucket is None or buckets.delete(bucket, until=until)


def delete_records(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    records: TenantRecords,
    incidents: Incidents,
    undelivered: UndeliveredMessages,
    names: ResourceNames,
    clock: Clock,
    keep_usage: bool,
) -> bool:
    """What the table has of the tenant is gone, but for the entry in the registry and what is kept by policy; it has
    left every incident, and what waited in dead-letter queues about it is deleted.

    Returns: whether all dead letters were looked at.
    """
    tenant = held(reservation, registry)
    records.erase(tenant.this_life, keep_usage=keep_usage)
    forget(tenant.tenant_id, incidents=incidents, now=clock.now())
    return undelivered.delete(tenant.tenant_id, names.bucket(tenant.this_life))


def verify_erasure(
    reservation: Reservation,
    *,
    execution: str,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    usage_keys: UsageKeys,
    records: TenantRecords,
    incidents: Incidents,
    names: ResourceNames,
    clock: Clock,
    keep_usage: bool,
    logs_kept_for: timedelta,
) -> ErasureReceipt:
    """Looks everything up again.

    Raises:
        ErasureIncomplete: naming what is left.
    """
    tenant = held(reservation, registry)
    bucket = names.bucket(tenant.this_life)
    usage_key = names.usage_key(tenant.this_life)
    service_role = names.service_role(tenant.this_life)
    looked_up = {
        ErasedResource("bucket", bucket): _own_bucket(tenant, buckets, names) is not None,
        **{
            ErasedResource("vector index", names.vector_index(each.live_knowledge)): store_of(each, stores).find(
                each.live_knowledge
            )
            is not None
            for each in tenant.each_knowledge()
        },
        **{
            ErasedResource("knowledge base", each.knowledge_base_id or names.knowledge_base(each.live_knowledge)): bool(
                knowledge_bases_of(each, knowledge_bases, names)
            )
            for each in tenant.each_knowledge()
        },
        ErasedResource("service role", service_role): service_roles.exists(service_role)
        or any(store_of(each, stores).admits(tenant.this_life) for each in tenant.each_knowledge()),
        ErasedResource("usage key", usage_key.name): usage_keys.exists(usage_key, known_as=tenant.usage_key_id),
        ErasedResource("records", str(tenant.tenant_id)): not records.erased(tenant.this_life, keep_usage=keep_usage),
        ErasedResource("part in incidents", str(tenant.tenant_id)): not forgotten(
            tenant.tenant_id, incidents=incidents
        ),
    }
    left = [f"{resource.kind} {resource.name}" for resource, there in looked_up.items() if there]
    if left:
        raise ErasureIncomplete(
            f"Tenant {tenant.tenant_id} is not erased yet. These still exist: {', '.join(left)}.",
            remedy=f"Run `kbfleet tenant offboard {tenant.tenant_id}` again: it deletes what is left.",
        )
    now = clock.now()
    requested_at = tenant.offboarding.requested_at if tenant.offboarding else now
    left_over = remaining(now, keep_usage=keep_usage, logs_kept_for=logs_kept_for)
    return ErasureReceipt(requested_at, now, execution, tuple(looked_up), left_over, tenant.life)


def mark_tenant_offboarded(
    reservation: Reservation,
    receipt: ErasureReceipt,
    *,
    registry: TenantRegistry,
    records: TenantRecords,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """The tenant's record becomes a tombstone with the receipt, which is published."""
    tenant = registry.get(reservation.tenant_id)
    if tenant.status is TenantStatus.OFFBOARDED and tenant.erasure == receipt:
        # This very step has run before, and its answer was lost.
        return announce_status(tenant, registry=registry, announcements=announcements)
    before = tenant.held_under(reservation.fence)
    records.keep_receipt(tenant.tenant_id, receipt)
    tombstone = keep(before, before.offboarded(receipt, clock.now()), registry=registry, clock=clock)
    return announce_status(tombstone, registry=registry, announcements=announcements)


# --- when it fails -------------------------------------------------------------------------------


def announce_offboarding_failed(tenant_id: TenantId, failure: WorkflowFailure, *, announcements: Announcements) -> None:
    announcements.offboarding_failed(tenant_id, failure)


# --- what is the tenant's ------------------------------------------------------------------------


def _close_bucket(tenant: Tenant, buckets: DocumentBuckets, names: ResourceNames) -> None:
    bucket = _own_bucket(tenant, buckets, names)
    if bucket is not None:
        buckets.refuse_uploads(bucket)


def _own_bucket(
    tenant: Tenant, buckets: DocumentBuckets, names: ResourceNames, *, now: datetime | None = None
) -> str | None:
    """`None` if there is none, also when its name belongs to somebody else, which is why the tenant never got one.

    Raises:
        NotReadyYet: as of `now`, if it is given, one that does not show may have been made all the same.
    """
    # By its id and life: a record that names another tenant's must not have that deleted.
    name = names.bucket(tenant.this_life)
    try:
        if buckets.exists(name):
            return name
    except BucketNameTaken:
        if tenant.bucket_name is not None:
            raise
        return None
    if now is not None and tenant.bucket_may_appear(now):
        raise NotReadyYet(f"Bucket {name} of tenant {tenant.tenant_id} might not show yet.")
    return None


def _with_alone(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> Tenant:
    """The record, with whether there may be other knowledge bases than the recorded one, where a version has written it
    that did not keep that. Nobody makes another any more: what no list shows now, none will."""
    if tenant.knowledge_base_alone is not None:
        return tenant
    there = {one.knowledge_base_id for one in knowledge_bases_of(tenant, knowledge_bases, names)}
    return replace(tenant, knowledge_base_alone=there <= {tenant.knowledge_base_id})


def _knowledge_bases(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> list[KnowledgeBase]:
    """Of each knowledge: see `knowledge_bases_of`."""
    return [found for each in tenant.each_knowledge() for found in knowledge_bases_of(each, knowledge_bases, names)]
