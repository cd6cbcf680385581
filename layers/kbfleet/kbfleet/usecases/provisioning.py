"""The steps of `provision_tenant`, one function a state.

Each step observes, compares, acts, and leaves what it found in the tenant's record, so that it can run any number of
times and from any point of a crash. Nothing is rolled back: what was made stays and is used by the next run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from kbfleet.domain.errors import (
    ConcurrentUpdate,
    KnowledgeStoreNotOffered,
    LeaseLost,
    NotReadyYet,
    ResourceConflict,
    TenantBusy,
)
from kbfleet.domain.ingestion import Priority, Sync
from kbfleet.domain.knowledge_base import KnowledgeBase, KnowledgeBaseState, client_token
from kbfleet.domain.tenant import (
    ProvisioningFailure,
    ProvisioningRequest,
    Reservation,
    ResourceNames,
    Tenant,
    TenantId,
    TenantStatus,
)
from kbfleet.ports import (
    Announcements,
    Clock,
    DocumentBuckets,
    Execution,
    Executions,
    KnowledgeBases,
    KnowledgeStore,
    SyncLedger,
    TaskCallbacks,
    TenantRegistry,
    Ticks,
)
from kbfleet.usecases.ingestion import update_sync

Stores = Mapping[str, KnowledgeStore]

_MAX_REASON = 1_000
"""Characters of a failure's reason that are kept; a cause may have 32,768."""


# --- before the state machine --------------------------------------------------------------------


def start_provisioning(
    request: ProvisioningRequest, *, registry: TenantRegistry, executions: Executions, stores: Stores, clock: Clock
) -> Execution:
    """Starts an execution, or gives the one that is converging the tenant already.

    Raises:
        KnowledgeStoreNotOffered: before anything is written.
    """
    existing = registry.find(request.tenant_id)
    _offered_store(request, existing, stores)
    now = clock.now()
    if existing is not None and existing.lease is not None and existing.leased_at(now):
        return executions.describe(existing.lease.holder.rsplit(":", 1)[-1])
    name = f"{request.tenant_id}-{now:%Y%m%dT%H%M%S%f}"
    arguments = {"tenant_id": request.tenant_id, "name": request.name, "knowledge_store": request.knowledge_store}
    return executions.start(name, {key: value for key, value in arguments.items() if value is not None})


def _offered_store(request: ProvisioningRequest, existing: Tenant | None, stores: Stores) -> str:
    """The store type to use: the record's, else the request's, else the stack's only or first one."""
    chosen = request.knowledge_store or (existing.knowledge_store if existing else next(iter(stores)))
    if chosen not in stores:
        raise KnowledgeStoreNotOffered(
            f"This stack offers no knowledge store {chosen!r} for tenant {request.tenant_id}.",
            remedy=f"Choose one of: {', '.join(sorted(stores))}.",
        )
    if existing is not None and existing.knowledge_store != chosen:
        raise KnowledgeStoreNotOffered(
            f"Tenant {request.tenant_id} lives on {existing.knowledge_store} and cannot move to {chosen}.",
            remedy="Offboard the tenant and provision it anew to change its knowledge store.",
        )
    return chosen


# --- the states, in order ------------------------------------------------------------------------


def reserve_tenant(
    request: ProvisioningRequest,
    *,
    execution: str,
    registry: TenantRegistry,
    stores: Stores,
    clock: Clock,
    lease: timedelta,
    ready_within: timedelta,
) -> Reservation:
    """Registers the tenant if it is new, and takes its lease for this execution.

    Args:
        execution: ARN of the execution; it becomes the lease's holder.
        lease: how long the lease lasts if the execution dies; longer than any execution can run.
        ready_within: how long this execution waits for the knowledge base.

    Raises:
        TenantBusy: another execution holds the lease.
        KnowledgeStoreNotOffered: naming the stores that are.
    """
    now = clock.now()
    existing = registry.find(request.tenant_id)
    store = _offered_store(request, existing, stores)
    tenant = existing or Tenant(
        tenant_id=request.tenant_id,
        name=request.name or str(request.tenant_id),
        status=TenantStatus.PROVISIONING,
        knowledge_store=store,
        created_at=now,
        updated_at=now,
    )
    reserved = replace(tenant.reserved_by(execution, now, lease), name=request.name or tenant.name)
    if reserved.status is TenantStatus.FAILED:
        reserved = replace(reserved, status=TenantStatus.PROVISIONING)
    try:
        if existing is None:
            registry.create(reserved)
        else:
            registry.replace(reserved, fence=existing.fence)
    except ConcurrentUpdate as error:
        raise TenantBusy(
            f"Another execution reserved tenant {request.tenant_id} at the same moment.",
            remedy="Wait for that execution to end, then run the command again.",
        ) from error
    return Reservation(reserved.tenant_id, reserved.fence, now + ready_within)


def _held(reservation: Reservation, registry: TenantRegistry) -> Tenant:
    return registry.get(reservation.tenant_id).held_under(reservation.fence)


def _keep(tenant: Tenant, changed: Tenant, *, registry: TenantRegistry, clock: Clock) -> Tenant:
    """Writes what a step has learned, the moment it is known; nothing when nothing changed."""
    if changed == tenant:
        return tenant
    stamped = replace(changed, updated_at=clock.now())
    try:
        registry.replace(stamped, fence=tenant.fence)
    except ConcurrentUpdate as error:
        raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to a later execution.") from error
    return stamped


def ensure_bucket(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    names: ResourceNames,
    clock: Clock,
) -> str:
    """The tenant's document bucket exists with every promised setting. Returns: its name."""
    tenant = _held(reservation, registry)
    bucket_name = tenant.bucket_name or names.bucket(tenant.tenant_id)
    buckets.ensure(bucket_name, names.tags(tenant.tenant_id))
    _keep(tenant, replace(tenant, bucket_name=bucket_name), registry=registry, clock=clock)
    return bucket_name


def ensure_knowledge_store(reservation: Reservation, *, registry: TenantRegistry, stores: Stores, clock: Clock) -> str:
    """The tenant's own index exists in its knowledge store. Returns: the store's reference to it."""
    tenant = _held(reservation, registry)
    reference = stores[tenant.knowledge_store].ensure(tenant.tenant_id)
    _keep(tenant, replace(tenant, knowledge_store_reference=reference), registry=registry, clock=clock)
    return reference


def ensure_knowledge_base(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
) -> KnowledgeBaseState:
    """The tenant's knowledge base exists; says whether it is ready. Runs again until it is, or the deadline passes.

    Raises:
        KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet: see `KnowledgeBase.ready`.
    """
    tenant = _held(reservation, registry)
    known = knowledge_bases.get(tenant.knowledge_base_id) if tenant.knowledge_base_id else None
    found = known or _adopt_or_create_knowledge_base(tenant, stores, knowledge_bases, names)
    changed = replace(tenant, knowledge_base_id=found.knowledge_base_id)
    if changed.knowledge_base_id != tenant.knowledge_base_id:
        # A data source belongs to its knowledge base: another knowledge base means the recorded one is gone.
        changed = replace(changed, data_source_id=None)
    _keep(tenant, changed, registry=registry, clock=clock)
    ready = found.ready(now=clock.now(), deadline=reservation.deadline)
    return KnowledgeBaseState(found.knowledge_base_id, found.status, ready)


def _adopt_or_create_knowledge_base(
    tenant: Tenant, stores: Stores, knowledge_bases: KnowledgeBases, names: ResourceNames
) -> KnowledgeBase:
    name = names.knowledge_base(tenant.tenant_id)
    existing = knowledge_bases.find(name)
    if existing is not None:
        return existing
    configuration = stores[tenant.knowledge_store].knowledge_base_configuration(
        _required(tenant.knowledge_store_reference, tenant, "knowledge store")
    )
    token = client_token(name, "knowledge-base", str(tenant.fence), configuration=configuration)
    try:
        return knowledge_bases.create(
            name, configuration=configuration, tags=names.tags(tenant.tenant_id), client_token=token
        )
    except ResourceConflict:
        # Created between our look and our call: the list may need a moment to show it.
        appeared = knowledge_bases.find(name)
        if appeared is None:
            raise NotReadyYet(f"Knowledge base {name} exists, but is not listed yet.") from None
        return appeared


def ensure_data_source(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
) -> str:
    """The knowledge base reads the tenant's bucket. Returns: the data source's id.

    Raises:
        DataSourceFailed, NotReadyYet: see `DataSource.require_usable`.
    """
    tenant = _held(reservation, registry)
    knowledge_base_id = _required(tenant.knowledge_base_id, tenant, "knowledge base")
    name = names.data_source()
    found = knowledge_bases.find_data_source(knowledge_base_id, name)
    if found is None:
        configuration = stores[tenant.knowledge_store].data_source_configuration(
            _required(tenant.bucket_name, tenant, "bucket")
        )
        token = client_token(knowledge_base_id, name, str(tenant.fence), configuration=configuration)
        try:
            found = knowledge_bases.create_data_source(
                knowledge_base_id, name, configuration=configuration, client_token=token
            )
        except ResourceConflict:
            found = knowledge_bases.find_data_source(knowledge_base_id, name)
            if found is None:
                raise NotReadyYet(f"Data source {name} of {knowledge_base_id} exists, but is not listed yet.") from None
    _keep(tenant, replace(tenant, data_source_id=found.data_source_id), registry=registry, clock=clock)
    found.require_usable()
    return found.data_source_id


def _required(value: str | None, tenant: Tenant, what: str) -> str:
    if value is None:
        raise LeaseLost(
            f"The record of tenant {tenant.tenant_id} names no {what}, although an earlier step has ensured one.",
            remedy="Provision the tenant again.",
        )
    return value


def run_first_sync(
    reservation: Reservation,
    *,
    task_token: str,
    registry: TenantRegistry,
    ledger: SyncLedger,
    callbacks: TaskCallbacks,
    ticks: Ticks,
    clock: Clock,
) -> None:
    """Sees to it that the task is answered once the tenant's documents have been ingested at least once.

    A data source that has been synced answers at once. Else a sync is requested, also while another is under way: that
    one may belong to a knowledge base that is gone, or fail for a cause that has been mended since.
    """
    tenant = _held(reservation, registry)
    data_source_id = _required(tenant.data_source_id, tenant, "data source")

    def wait_for_first_sync(sync: Sync) -> Sync:
        if any(waiter.task_token == task_token for waiter in sync.waiters):
            return sync
        return sync.requested(clock.now(), Priority.REQUESTED, task_token)

    if ledger.find(tenant.tenant_id).has_synced(data_source_id):
        callbacks.succeed(task_token, {"outcome": "ALREADY_SYNCED"})
        return
    update_sync(tenant.tenant_id, wait_for_first_sync, ledger=ledger)
    ticks.request()


def activate_tenant(reservation: Reservation, *, registry: TenantRegistry, clock: Clock) -> Tenant:
    """The tenant may be asked; the lease is given back."""
    tenant = registry.get(reservation.tenant_id)
    if tenant.lease is None and tenant.fence == reservation.fence and tenant.status is TenantStatus.ACTIVE:
        return tenant  # this very step has run before, and its answer was lost
    held = tenant.held_under(reservation.fence)
    return _keep(held, held.activated(clock.now()), registry=registry, clock=clock)


# --- when it fails -------------------------------------------------------------------------------


def describe_failure(*, execution: str, step: str, error: str, cause: str, clock: Clock) -> ProvisioningFailure:
    """A failure for people, from what Step Functions says.

    Args:
        cause: a task's `Cause`: the JSON of a Lambda error, whose message is what people want, or plain text.
    """
    try:
        value = json.loads(cause)
    except ValueError:
        value = None
    message = value.get("errorMessage") if isinstance(value, dict) else None
    reason = message if isinstance(message, str) and message else cause or error
    return ProvisioningFailure(step, error, reason[:_MAX_REASON], execution, clock.now())


def mark_tenant_failed(tenant_id: TenantId, failure: ProvisioningFailure, *, registry: TenantRegistry) -> None:
    """Writes why the execution ended into the tenant's record and gives the lease back, if this execution holds it.

    An execution that never got the lease (the tenant was busy) leaves the record to the one that has it.
    """
    tenant = registry.find(tenant_id)
    if tenant is None or tenant.lease is None or tenant.lease.holder != failure.execution:
        return
    try:
        registry.replace(tenant.failed(failure), fence=tenant.fence)
    except ConcurrentUpdate:
        # A later execution has reserved the tenant in between: the record is its to write.
        return


def announce_provisioning_failed(
    tenant_id: TenantId, failure: ProvisioningFailure, *, announcements: Announcements
) -> None:
    announcements.provisioning_failed(tenant_id, failure)


def record_stopped_execution(
    tenant_id: TenantId, failure: ProvisioningFailure, *, registry: TenantRegistry, announcements: Announcements
) -> None:
    """An execution that timed out or was aborted never reached its own failure states: does their work for it."""
    mark_tenant_failed(tenant_id, failure, registry=registry)
    announcements.provisioning_failed(tenant_id, failure)
