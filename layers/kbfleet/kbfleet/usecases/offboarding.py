"""The steps of `offboard_tenant`, one function a state.

Every step can run any number of times: what is gone already is fine. Those that wait for Bedrock raise `NotReadyYet`,
which the state machine retries. Until Stop Ingestion nothing is deleted, and `resume_tenant` takes the tenant back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.erasure import ErasedResource, ErasureReceipt, remaining
from kbfleet.domain.errors import (
    BucketNameTaken,
    ErasureIncomplete,
    NotReadyYet,
)
from kbfleet.domain.ingestion_job import JobStatus
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, KnowledgeBaseStatus
from kbfleet.domain.names import DataSourceReference
from kbfleet.domain.tenant import Reservation
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.data_sources import delete_data_source
from kbfleet.usecases.incidents import forget, forgotten
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


def start_offboarding(
    tenant_id: TenantId, retention: timedelta, *, registry: TenantRegistry, executions: Executions, clock: Clock
) -> Execution:
    """Starts an execution, or gives the one that is offboarding the tenant already.

    Raises:
        TenantNotFound, TenantBusy, TenantOffboarded: before anything is written.
    """
    now = clock.now()
    tenant = without_dead_lease(registry.get(tenant_id), executions, now)
    at_work = execution_at_work(tenant, executions, now) if tenant.status is TenantStatus.OFFBOARDING else None
    if at_work is not None:
        return at_work
    tenant.fenced_off_by("", now, lease=timedelta(0), retention=retention)  # says early what Fence Off Tenant would
    request = {"tenant_id": tenant_id, "retention_days": retention // timedelta(days=1)}
    return executions.start(execution_name(tenant_id, now), request)


# --- the states, in order ------------------------------------------------------------------------


def fence_off_tenant(
    tenant_id: TenantId,
    retention: timedelta,
    *,
    execution: str,
    registry: TenantRegistry,
    executions: Executions,
    ledger: SyncLedger,
    callbacks: TaskCallbacks,
    announcements: Announcements,
    clock: Clock,
    lease: timedelta,
) -> Reservation:
    """The tenant is not asked and not synced any more.

    Returns: the right to offboard it, whose deadline is the end of the retention period.

    Raises:
        TenantNotFound, TenantBusy, TenantOffboarded.
        LeaseLost: this execution was stopped.
    """
    before = registry.get(tenant_id)
    announce_left_over(before, announcements=announcements)
    free = without_dead_lease(before, executions, clock.now())
    after = free.fenced_off_by(execution, clock.now(), lease=lease, retention=retention)
    require_running(execution, executions)
    store_unless_changed(before, after, registry)
    put_sync_on_hold(after, ledger=ledger, callbacks=callbacks)
    announce_status(after, registry=registry, announcements=announcements)
    delete_after = after.offboarding.delete_after if after.offboarding else clock.now()
    return Reservation(tenant_id, after.fence, delete_after)


def refuse_uploads(
    reservation: Reservation, *, registry: TenantRegistry, buckets: DocumentBuckets, names: ResourceNames
) -> None:
    """Nobody can put documents into the tenant's bucket any more."""
    bucket = _own_bucket(held(reservation, registry), buckets, names)
    if bucket is not None:
        buckets.refuse_uploads(bucket)


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
    keep(tenant, tenant.deletion_begun(clock.now()), registry=registry, clock=clock)
    stopping = []
    for data_source in _data_sources(tenant, knowledge_bases, names):
        job = knowledge_bases.running_ingestion_job(data_source)
        if job is not None:
            knowledge_bases.stop_ingestion(data_source, job.ingestion_job_id)
            # One whose status is not known may have ended: whether it uses the data source, its deletion shows.
            if job.status is not JobStatus.UNKNOWN:
                stopping.append(job.ingestion_job_id)
    if stopping:
        raise NotReadyYet(f"Ingestion jobs of tenant {tenant.tenant_id} are still stopping: {', '.join(stopping)}.")


def delete_usage_key(
    reservation: Reservation, *, registry: TenantRegistry, usage_keys: UsageKeys, names: ResourceNames
) -> None:
    """API Gateway does not know the tenant any more. Not before the point of no return: a tenant that is only fenced
    off is refused by its status, and can be resumed as it was."""
    tenant = held(reservation, registry)
    usage_keys.delete(names.usage_key(tenant.tenant_id))


def delete_data_sources(
    reservation: Reservation, *, registry: TenantRegistry, knowledge_bases: KnowledgeBases, names: ResourceNames
) -> None:
    """No data source is left. One whose vectors cannot be deleted is deleted without them: the whole index goes next.
    A knowledge base of the kind MANAGED has no index, and Bedrock only deletes all or nothing of it.

    Raises:
        NotReadyYet: Bedrock is still deleting.
    """
    tenant = held(reservation, registry)
    left = []
    for knowledge_base in _knowledge_bases(tenant, knowledge_bases, names):
        for found in knowledge_bases.data_sources(knowledge_base.knowledge_base_id):
            left.append(found.data_source_id)
            reference = DataSourceReference(knowledge_base.knowledge_base_id, found.data_source_id)
            if found.status == "DELETE_UNSUCCESSFUL" and knowledge_base.kind is KnowledgeBaseKind.VECTOR:
                knowledge_bases.retain_vectors(reference)
            if found.status != "DELETING":
                delete_data_source(reference, knowledge_bases)
    if left:
        raise NotReadyYet(f"Data sources of tenant {tenant.tenant_id} are still being deleted: {', '.join(left)}.")


def delete_knowledge_base(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
) -> None:
    """No knowledge base of the tenant is left. A deletion that failed is asked for again.

    Raises:
        NotReadyYet: Bedrock is still deleting, or could not; with its reasons.
    """
    tenant = held(reservation, registry)
    found = _knowledge_bases(tenant, knowledge_bases, names)
    for knowledge_base in found:
        if knowledge_base.status is not KnowledgeBaseStatus.DELETING:
            knowledge_bases.delete(knowledge_base.knowledge_base_id)
    if found:
        states = "; ".join(f"{one.knowledge_base_id} {one.status} {' '.join(one.failure_reasons)}" for one in found)
        raise NotReadyYet(f"Knowledge bases of tenant {tenant.tenant_id} are not deleted yet: {states}.")


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
    store_of(tenant, stores).dismiss(tenant.tenant_id)
    service_roles.delete(names.service_role(tenant.tenant_id))


def delete_knowledge_store(reservation: Reservation, *, registry: TenantRegistry, stores: Stores) -> None:
    """The tenant's index is gone, and all its vectors with it."""
    tenant = held(reservation, registry)
    store_of(tenant, stores).delete(tenant.tenant_id)


def delete_bucket(
    reservation: Reservation, *, registry: TenantRegistry, buckets: DocumentBuckets, names: ResourceNames
) -> bool:
    """Deletes documents, with all versions, and then the bucket. Returns: whether it is gone; else run again."""
    bucket = _own_bucket(held(reservation, registry), buckets, names)
    return bucket is None or buckets.delete(bucket)


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
    records.erase(tenant.tenant_id, keep_usage=keep_usage)
    forget(tenant.tenant_id, incidents=incidents, now=clock.now())
    return undelivered.delete(tenant.tenant_id, names.bucket(tenant.tenant_id))


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
    bucket = names.bucket(tenant.tenant_id)
    knowledge_base = tenant.knowledge_base_id or names.knowledge_base(tenant.tenant_id)
    usage_key = names.usage_key(tenant.tenant_id)
    service_role = names.service_role(tenant.tenant_id)
    looked_up = {
        ErasedResource("bucket", bucket): _own_bucket(tenant, buckets, names) is not None,
        ErasedResource("vector index", names.vector_index(tenant.tenant_id)): store_of(tenant, stores).exists(
            tenant.tenant_id
        ),
        ErasedResource("knowledge base", knowledge_base): bool(_knowledge_bases(tenant, knowledge_bases, names)),
        ErasedResource("service role", service_role): service_roles.exists(service_role)
        or store_of(tenant, stores).admits(tenant.tenant_id),
        ErasedResource("usage key", usage_key.name): usage_keys.exists(usage_key),
        ErasedResource("records", str(tenant.tenant_id)): not records.erased(tenant.tenant_id, keep_usage=keep_usage),
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
    return ErasureReceipt(requested_at, now, execution, tuple(looked_up), left_over)


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


def _own_bucket(tenant: Tenant, buckets: DocumentBuckets, names: ResourceNames) -> str | None:
    """`None` if there is none, also when its name belongs to somebody else, which is why the tenant never got one."""
    # By its id: a record that names another tenant's must not have that deleted.
    name = names.bucket(tenant.tenant_id)
    try:
        return name if buckets.exists(name) else None
    except BucketNameTaken:
        if tenant.bucket_name is not None:
            raise
        return None


def _knowledge_bases(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> list[KnowledgeBase]:
    """The recorded one, unless its tags or its name say that it is another's, and those of the tenant's name that carry
    its tags: one may have been made and never written down."""
    recorded = knowledge_bases.get(tenant.knowledge_base_id) if tenant.knowledge_base_id else None
    own = recorded is not None and names.owned(recorded.name, knowledge_bases.tags(recorded), tenant.tenant_id)
    found = {recorded.knowledge_base_id: recorded} if recorded is not None and own else {}
    for one in knowledge_bases.named(names.knowledge_base(tenant.tenant_id)):
        if one.knowledge_base_id not in found and names.marked(knowledge_bases.tags(one), tenant.tenant_id):
            found[one.knowledge_base_id] = one
    return list(found.values())


def _data_sources(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> list[DataSourceReference]:
    return [
        DataSourceReference(one.knowledge_base_id, found.data_source_id)
        for one in _knowledge_bases(tenant, knowledge_bases, names)
        for found in knowledge_bases.data_sources(one.knowledge_base_id)
    ]
