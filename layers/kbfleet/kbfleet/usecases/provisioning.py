"""The steps of `provision_tenant`, one function a state.

Each step observes, compares, acts, and leaves what it found in the tenant's record, so that it can run any number of
times and from any point of a crash. Nothing is rolled back: what was made stays and is used by the next run.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain import rebuild
from kbfleet.domain.capacity import Scarce
from kbfleet.domain.errors import (
    AwsRefusal,
    CapacityExceeded,
    ConcurrentUpdate,
    DataSourceFailed,
    InvalidInput,
    KnowledgeBaseNotOurs,
    KnowledgeLost,
    KnowledgeStoreNotOffered,
    LeaseLost,
    NotReadyYet,
    ResourceConflict,
    ResourceMissing,
    Retryable,
    ServiceRoleRefused,
    ServiceRoleUnusable,
    TenantBusy,
    TenantNotFound,
    Throttled,
)
from kbfleet.domain.incident import Concern
from kbfleet.domain.isolation import SeenIn
from kbfleet.domain.knowledge_base import (
    DataSourceState,
    DataSourceStatus,
    KnowledgeBaseKind,
    KnowledgeBaseState,
    KnowledgeBaseStatus,
    client_token,
    with_drift_of_data_source,
)
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import MAX_LIFE, DataSourceReference
from kbfleet.domain.profiles import BY_THE_STACK
from kbfleet.domain.service_role import settling
from kbfleet.domain.survey import unnoticed_until
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import ProvisioningReservation, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow
from kbfleet.usecases.capacity import beside_live_ones, count_rooms
from kbfleet.usecases.data_sources import data_sources_of, delete_data_source
from kbfleet.usecases.ingestion import update_sync
from kbfleet.usecases.isolation import announce_breach, failing_those_who_wait
from kbfleet.usecases.profiles import require_takeable
from kbfleet.usecases.reservations import (
    announce_left_over,
    announce_status,
    execution_at_work,
    execution_name,
    held,
    keep,
    name_of,
    require_running,
    store_of,
    store_unless_changed,
    without_dead_lease,
)
from kbfleet.usecases.service_roles import service_role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from kbfleet.domain.capacity import Room
    from kbfleet.domain.knowledge_base import DataSource, KnowledgeBase
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.sync import Waiter
    from kbfleet.domain.tenant import ProvisioningRequest, Reservation
    from kbfleet.domain.usage_plan import Tier
    from kbfleet.domain.workflow import WorkflowFailure
    from kbfleet.ports import (
        Announcements,
        BucketContents,
        Clock,
        DocumentBuckets,
        Execution,
        Executions,
        Incidents,
        KnowledgeBases,
        KnowledgeStore,
        RoomCounts,
        ServiceRoles,
        SyncLedger,
        TaskCallbacks,
        TenantRegistry,
        Ticks,
        UsageKeys,
    )
    from kbfleet.usecases.profiles import Profiles
    from kbfleet.usecases.reservations import (
        Stores,
    )

OUTLIVED_BY_AT_MOST = timedelta(seconds=40)
"""By how much a function can outlive its execution that was stopped: it runs for 30 seconds at most (template.yaml).
One that begins later finds that the lease has passed on."""

# --- before the state machine --------------------------------------------------------------------


def start_provisioning(
    request: ProvisioningRequest,
    *,
    registry: TenantRegistry,
    executions: Executions,
    stores: Stores,
    clock: Clock,
    profiles: Profiles | None = None,
    occurrence: str | None = None,
    must_exist: bool = False,
    fence: int | None = None,
) -> Execution:
    """Starts an execution, or gives the one that is converging the tenant already.

    Args:
        profiles: needed where the request names one.
        occurrence: what the request is known by, such as an event's id: the same one starts one execution, however
            often it is delivered.
        must_exist: whether the request is to change a tenant only, not to add one.
        fence: of the record for which it is wanted; if it is another one, somebody has worked at the tenant since.

    Raises:
        ConcurrentUpdate: it is wanted for a record that is not there any more.
        KnowledgeStoreNotOffered, TenantOffboarding, ProfileNotFound: before anything is written.
        InvalidInput: the profile cannot be taken up; also before anything is written.
        TenantNotFound, TenantOffboarded: there is no such tenant, or no more, although there must be.
        TenantBusy: the execution that is converging it does so for another tier or name.
    """
    stored = registry.find(request.tenant_id)
    if fence is not None:
        _require_unchanged(stored, request.tenant_id, fence)
    existing = _provisioned_before(stored)
    request = request.of(existing)
    if existing is None and must_exist:
        if stored is not None:
            stored.not_leaving()
        raise TenantNotFound.of(request.tenant_id)
    _offered_store(request, existing, stores, profiles)
    _require_no_candidate(request, existing)
    now = clock.now()
    if existing is not None:
        existing.not_leaving()
        existing = without_dead_lease(existing, executions, now)
        existing.not_being_rebuilt(now)
        at_work = execution_at_work(existing, executions, now)
        if at_work is not None and request.unlike(existing):
            raise TenantBusy(
                f"Tenant {request.tenant_id} is being provisioned, with name {existing.name} and tier {existing.tier}.",
                remedy="Wait for that execution to end, then run the command again.",
            )
        if at_work is not None:
            return at_work
        if fence is not None and stored is not None and stored.leased_at(now):
            # It has ended: either before this was read, or in between, and then it has done what is wanted.
            _require_unchanged(registry.find(request.tenant_id), request.tenant_id, fence)
    name = f"{request.tenant_id}-{occurrence}" if occurrence else execution_name(request.tenant_id, now)
    if occurrence:
        # Before anything is written: the tenant may be gone by now.
        with suppress(ResourceMissing):
            return executions.describe(name)
    if request.name is not None:
        # Not by the execution's input: that is kept for 90 days, also when the tenant is erased.
        registry.request_name(request.tenant_id, request.name, execution=name, now=now)
    arguments = {
        "tenant_id": request.tenant_id,
        "knowledge_store": request.knowledge_store,
        "tier": request.tier,
        "for_a_new_tenant": request.for_a_new_tenant or None,
        "profile": asdict(request.profile) if request.profile is not None else None,
    }
    try:
        return executions.start(name, {key: value for key, value in arguments.items() if value is not None})
    except ResourceConflict:
        return executions.describe(name)  # delivered twice at once, and the other's execution has ended already


def _require_unchanged(stored: Tenant | None, tenant_id: TenantId, fence: int) -> None:
    if stored is None or stored.fence != fence:
        raise ConcurrentUpdate(f"Somebody has worked at tenant {tenant_id} in between.")


def onboard_tenant(
    request: ProvisioningRequest,
    *,
    occurrence: str,
    registry: TenantRegistry,
    executions: Executions,
    stores: Stores,
    clock: Clock,
) -> tuple[Execution, tuple[str, ...]]:
    """Sees to it that a tenant exists, for somebody who may not change an existing one: that is converged, as it is.

    Args:
        request: for a new tenant.
        occurrence: see `start_provisioning`.

    Returns: the execution, and the names of what was asked for and the tenant has otherwise, and keeps.

    Raises: as `start_provisioning`.
    """
    existing = _provisioned_before(registry.find(request.tenant_id))
    execution = start_provisioning(
        request, registry=registry, executions=executions, stores=stores, clock=clock, occurrence=occurrence
    )
    return execution, request.unlike(existing) if existing is not None else ()


def _require_no_candidate(request: ProvisioningRequest, existing: Tenant | None) -> None:
    """The profile that somebody wants would be overwritten by a promotion.

    Raises: TenantBusy.
    """
    beside = existing.beside if existing is not None else None
    if beside is not None and beside.role is Role.CANDIDATE and request.profile is not None:
        raise TenantBusy(
            f"Tenant {request.tenant_id} is being rebuilt, by profile {beside.plan.profile}.",
            remedy="Wait for its end, or delete the candidate with "
            f"`kbfleet tenant rebuild {request.tenant_id} --stop`; then run the command again.",
        )


def _offered_store(
    request: ProvisioningRequest, existing: Tenant | None, stores: Stores, profiles: Profiles | None
) -> str:
    """The store type to use: the record's, else the request's, else that of the profile which it names, else the
    stack's only or first one."""
    of_the_profile = None
    if request.profile is not None and profiles is not None:
        of_the_profile = require_takeable(request.profile, existing, profiles)
    chosen = request.knowledge_store or (existing.knowledge_store if existing else of_the_profile or next(iter(stores)))
    if of_the_profile not in {None, chosen}:
        raise InvalidInput(
            "profile",
            f"{request.profile} is for knowledge store {of_the_profile}, not {chosen}.",
            remedy="Choose a profile for that store: a tenant's store cannot be changed.",
        )
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
    executions: Executions,
    stores: Stores,
    profiles: Profiles,
    announcements: Announcements,
    clock: Clock,
    lease: timedelta,
    ready_within: timedelta,
) -> ProvisioningReservation:
    """Registers the tenant if it is new, and takes its lease for this execution.

    Args:
        execution: ARN of the execution; it becomes the lease's holder.
        lease: how long the lease lasts if the execution dies; longer than any execution can run.
        ready_within: how long this execution waits for the knowledge base and its data source.

    Raises:
        TenantBusy: another execution holds the lease.
        LeaseLost: this execution was stopped.
        KnowledgeStoreNotOffered: naming the stores that are.
        ProfileNotFound, InvalidInput: the profile cannot be taken up.
    """
    now = clock.now()
    stored = registry.find(request.tenant_id)
    existing = _provisioned_before(stored)
    stays_as_it_is = request.for_a_new_tenant and existing is not None
    request = request.of(existing)
    name = request.name
    if name is None and not stays_as_it_is:
        name = registry.requested_name(request.tenant_id, execution=name_of(execution), now=now)
    store = _offered_store(request, existing, stores, profiles)
    _require_no_candidate(request, existing)
    profile = request.profile or (existing.profile if existing is not None else BY_THE_STACK)
    tenant = existing or Tenant(
        tenant_id=request.tenant_id,
        name=name or str(request.tenant_id),
        status=TenantStatus.PROVISIONING,
        knowledge_store=store,
        created_at=now,
        updated_at=now,
        status_since=now,
        previous_status=stored.status if stored else None,
        fence=stored.fence if stored else 0,
        life=_next_life(stored) if stored else 1,
        knowledge_base_alone=True,
    )
    announce_left_over(stored, announcements=announcements)
    free = without_dead_lease(tenant, executions, now)
    reserved = replace(
        free.reserved_by(execution, now, lease),
        name=name or tenant.name,
        tier=request.tier or tenant.tier,
        profile=profile,
    )
    require_running(execution, executions)
    store_unless_changed(stored, reserved, registry)
    if {profile, tenant.profile} != {BY_THE_STACK}:
        # Under the lease: nobody erases the tenant's records meanwhile. Whoever dies before does it when tried again.
        registry.remember_profile(reserved.this_life, profile)
    announce_status(reserved, registry=registry, announcements=announcements)
    return ProvisioningReservation(reserved.tenant_id, reserved.fence, now + ready_within)


def _next_life(tombstone: Tenant) -> int:
    """Raises: InvalidInput: its id has been used up."""
    if tombstone.life == MAX_LIFE:
        raise InvalidInput(
            "tenant_id",
            f"Tenant {tombstone.tenant_id} has been provisioned {MAX_LIFE} times: no names are left for another.",
            remedy="Use another tenant id.",
        )
    return tombstone.life + 1


def _provisioned_before(stored: Tenant | None) -> Tenant | None:
    """The record, unless it is a tombstone: an id that was offboarded has another life."""
    return stored if stored is not None and stored.status is not TenantStatus.OFFBOARDED else None


def check_capacity(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    counts: RoomCounts,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    buckets: DocumentBuckets,
    service_roles: ServiceRoles,
    usage_keys: UsageKeys,
    names: ResourceNames,
    clock: Clock,
    for_rebuilds: int,
) -> Sequence[Room] | None:
    """The account has room for everything of which the tenant takes one, before anything is made for it.

    What was counted within the last hours is enough, where it leaves room for more than a few.

    Args:
        for_rebuilds: how many knowledge bases a new tenant leaves to rebuilds, those counted that they have already.

    Returns: how much room; `None` for a tenant that has its knowledge base already.

    Raises:
        CapacityExceeded.
    """
    tenant = held(reservation, registry)
    if tenant.knowledge_base_id is not None:
        return None
    store, life = store_of(tenant, stores), tenant.this_life
    kept = for_rebuilds if reservation.knowledge is None else 0
    counted = counts.find()
    if counted is None or not counted.keeping(kept).suffices(tenant.knowledge_store, clock.now()):
        counted = count_rooms(
            counts=counts,
            stores=stores,
            knowledge_bases=knowledge_bases,
            buckets=buckets,
            service_roles=service_roles,
            usage_keys=usage_keys,
            clock=clock,
        )
        kept = max(0, kept - beside_live_ones(registry, stores, KnowledgeBaseKind.VECTOR)) if kept else 0
    has_one: Mapping[Scarce, Callable[[], object]] = {
        Scarce.VECTOR_KNOWLEDGE_BASES: lambda: knowledge_bases.named(names.knowledge_base(tenant.live_knowledge)),
        Scarce.MANAGED_KNOWLEDGE_BASES: lambda: knowledge_bases.named(names.knowledge_base(tenant.live_knowledge)),
        Scarce.SERVICE_ROLES: lambda: service_roles.exists(names.service_role(life)),
        Scarce.USAGE_KEYS: lambda: usage_keys.exists(names.usage_key(life), known_as=tenant.usage_key_id),
        Scarce.VECTOR_INDEXES: lambda: store.find(tenant.live_knowledge),
    }
    rooms = counted.keeping(kept).for_tenants_on(tenant.knowledge_store)
    for room in rooms:
        if room.is_full and not has_one[room.of]():
            raise CapacityExceeded(
                f"The account has {room}: there is no room for tenant {tenant.tenant_id}.", remedy=room.of.way_out
            )
    counts.take()
    return rooms


def ensure_service_role(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    profiles: Profiles,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    names: ResourceNames,
) -> datetime | None:
    """There is a role for the tenant's knowledge bases, which may read the tenant's own documents and vectors.

    A tenant whose knowledge base assumes it has it assumed for that one only. It comes before what takes longer: a role
    is known everywhere some seconds after it was made.

    Returns: when it was last changed; `None` where all tenants share one.

    Raises:
        CapacityExceeded: the account can have no more roles, or no more policies of theirs.
    """
    tenant = held(reservation, registry)
    known = _recorded_knowledge_base(tenant, knowledge_bases, names)
    role_arn = service_roles.arn(names.service_role(tenant.this_life))
    # While one is moved to the role, it is as while one is made: as whom Bedrock then tries it, is not documented. In
    # place of one that is being deleted, another will be made.
    stays = known is not None and known.role_arn == role_arn and known.status is not KnowledgeBaseStatus.DELETING
    ids = [known.knowledge_base_id] if known is not None and stays else []
    role = service_role_of(tenant, *ids, stores=stores, profiles=profiles, names=names)
    changed_at = service_roles.ensure(role)
    if not service_roles.per_tenant:
        return None
    admitted_at = store_of(tenant, stores).admit(tenant.this_life, role_arn)
    return max((at for at in (changed_at, admitted_at) if at is not None), default=None)


def _recorded_knowledge_base(
    tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames
) -> KnowledgeBase | None:
    """The one in the tenant's record, if it is there and the tenant's own."""
    known = knowledge_bases.get(tenant.knowledge_base_id) if tenant.knowledge_base_id else None
    own = known is not None and names.owned(known.name, knowledge_bases.tags(known), tenant.this_life)
    return known if own else None


def ensure_bucket(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    names: ResourceNames,
    clock: Clock,
    stack_id: str,
) -> str:
    """The tenant's document bucket exists with every promised setting. Returns: its name.

    That it was made in place of one which the tenant had had is written into the record: nothing is done about it here.

    Args:
        stack_id: of the stack that hears of the bucket's changes.
    """
    tenant = held(reservation, registry)
    # Its name follows from the tenant's id and life: a record that names another one is wrong.
    bucket_name = names.bucket(tenant.this_life)
    silent = not buckets.tells_of_changes(bucket_name)
    if silent or tenant.of_another_stack(stack_id):
        now = clock.now()
        lost = silent and tenant.has_lost_its_bucket(now) and not buckets.exists(bucket_name)
        told = replace(tenant, events_since=now, bucket_made_at=now if lost else tenant.bucket_made_at)
        # Before it is made or switched on: whoever dies behind that finds it so, and would not know since when.
        tenant = keep(tenant, told, registry=registry, clock=clock)
    buckets.ensure(bucket_name, names.tags(tenant.this_life))
    keep(tenant, replace(tenant, bucket_name=bucket_name), registry=registry, clock=clock)
    return bucket_name


def ensure_knowledge_store(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    profiles: Profiles,
    names: ResourceNames,
    clock: Clock,
) -> str:
    """The tenant's own index exists in its knowledge store. Returns: the store's reference to it.

    Raises:
        KnowledgeLost: documents may have been read into one, and it is gone. A data source brings nothing twice:
            another index would stay empty.
        NotReadyYet: it does not show yet.
    """
    tenant = held(reservation, registry)
    store = profiles.store_of(tenant, stores)
    has_index = store.kind is KnowledgeBaseKind.VECTOR
    if has_index and tenant.data_source_id is not None and store.find(tenant.live_knowledge) is None:
        raise _lost(tenant, f"vector index {names.vector_index(tenant.live_knowledge)} is gone")
    tenant = keep(tenant, _indexed(tenant, store, registry, clock), registry=registry, clock=clock)
    return _required(tenant.knowledge_store_reference, tenant, "knowledge store")


def _indexed(tenant: Tenant, store: KnowledgeStore, registry: TenantRegistry, clock: Clock) -> Tenant:
    """The tenant's index exists. Returns: the record, with what is to be known of it, to be kept.

    Raises:
        NotReadyYet: it does not show yet; and as `KnowledgeStore.ensure`.
    """
    knowledge, indexes = tenant.live_knowledge, store.kind is KnowledgeBaseKind.VECTOR
    if indexes and store.find(knowledge) is None:
        # Before it is made: its store may not say since when it has been there.
        tenant = keep(tenant, replace(tenant, index_made_at=clock.now()), registry=registry, clock=clock)
    reference = store.ensure(knowledge)
    index = store.find(knowledge)
    if indexes and index is None:
        raise NotReadyYet(f"The index of tenant {tenant.tenant_id} does not show yet.")
    made_at = index.made_at if index is not None else None
    return replace(tenant, knowledge_store_reference=reference, index_made_at=made_at or tenant.index_made_at)


def ensure_knowledge_base(
    reservation: ProvisioningReservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    profiles: Profiles,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    role_changed_at: datetime | None,
    names: ResourceNames,
    clock: Clock,
    announcements: Announcements,
    look_after_at_most: timedelta,
    ready_within: timedelta,
) -> KnowledgeBaseState:
    """The tenant's knowledge base exists as it should be; says whether it is ready, and if not, when to look again.

    What can be changed in place is (service role, description, tags). What cannot is left as it is, and written into
    the tenant's record as drift. A recorded one that is not the tenant's own by its tags and name is left alone, and
    the tenant gets its own.

    Args:
        role_changed_at: see `ensure_service_role`.
        look_after_at_most: where knowledge bases are made faster than they usually are, the time it takes there.
        ready_within: as `reserve_tenant` was given it.

    Raises:
        KnowledgeBaseNotOurs: it does not read the tenant's own index.
        KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet: see `KnowledgeBase.ready`.
        ServiceRoleRefused: the role is too new.
        ServiceRoleUnusable: it is not.
        KnowledgeLost: the tenant has had one with a data source, and it is gone, or going, or was given up.
    """
    tenant = held(reservation, registry)
    store = profiles.store_of(tenant, stores)
    wanted = store.knowledge_base_configuration(_required(tenant.knowledge_store_reference, tenant, "knowledge store"))
    tags = names.tags(tenant.this_life)
    known = knowledge_bases.get(tenant.knowledge_base_id) if tenant.knowledge_base_id else None
    if known is not None and not names.owned(known.name, knowledge_bases.tags(known), tenant.this_life):
        _breached(tenant.tenant_id, [f"knowledge base {known.knowledge_base_id}"], announcements, clock)
        known = None
    role_arn = service_roles.arn(names.service_role(tenant.this_life))
    if known is None:
        with _role_that_settles(role_arn, role_changed_at, clock):
            tenant, found, alone = _adopt_or_create_knowledge_base(
                tenant, wanted, role_arn, registry=registry, knowledge_bases=knowledge_bases, names=names, clock=clock
            )
    else:
        found, alone = known, tenant.knowledge_base_alone
    if not found.stores_as(wanted):
        raise KnowledgeBaseNotOurs(
            f"Knowledge base {found.name} ({found.knowledge_base_id}) does not keep its vectors in tenant "
            f"{tenant.tenant_id}'s own index.",
            remedy="Find out whose it is. Delete it, or the index that is missing, then provision the tenant again.",
        )
    changed = replace(
        tenant,
        knowledge_base_id=found.knowledge_base_id,
        knowledge_base_alone=alone,
        drift=found.drift_from(wanted),
    )
    kept = keep(tenant, changed, registry=registry, clock=clock)
    if tenant.data_source_id is not None and found.status.of_no_use:
        reasons = "; ".join(found.failure_reasons) or "no reason given"
        raise _lost(tenant, f"knowledge base {found.name} ({found.knowledge_base_id}) is {found.status}: {reasons}")
    now = clock.now()
    ready = found.ready(now=now, deadline=reservation.deadline)
    if ready and kept.knowledge_base_alone is False and _shows_alone(found, knowledge_bases):
        kept = keep(kept, replace(kept, knowledge_base_alone=True), registry=registry, clock=clock)
    if ready:
        present = knowledge_bases.tags(found)
        missing = {key: value for key, value in tags.items() if present.get(key) != value}
        if missing:
            knowledge_bases.tag(found, missing)
        # A knowledge base that has refused an update works on with what it has: each execution asks it once.
        as_wanted = found.described and found.role_arn == role_arn
        asked = (
            found.status is not KnowledgeBaseStatus.ACTIVE and found.status_since >= reservation.deadline - ready_within
        )
        if not as_wanted and not asked and now < reservation.deadline:
            with _role_that_settles(role_arn, role_changed_at, clock):
                knowledge_bases.update(found, role_arn=role_arn)
            ready = False
    usual = min(store.usual_creation, look_after_at_most)
    wait = found.look_again_after(now, usual, reservation.deadline)
    return KnowledgeBaseState(found.knowledge_base_id, found.status, ready, wait)


@contextmanager
def _role_that_settles(role_arn: str, changed_at: datetime | None, clock: Clock) -> Iterator[None]:
    """Raises: ServiceRoleRefused, ServiceRoleUnusable."""
    try:
        yield
    except ServiceRoleRefused as error:
        if settling(changed_at, clock.now()):
            raise
        raise ServiceRoleUnusable(
            f"Bedrock cannot use the service role {role_arn}, and not because it is new: {error.what}",
            remedy="Look whether the role is there, trusts bedrock.amazonaws.com, and is not denied the tenant's "
            "vector index, its bucket or the embedding model, also by a service control policy. Then provision again.",
        ) from error


def _breached(tenant_id: TenantId, resources: list[str], announcements: Announcements, clock: Clock) -> None:
    """What is about to be put right has been wrong: people hear of it."""
    announce_breach(tenant_id, SeenIn.RESOURCES, resources, announcements=announcements, clock=clock)


def _adopt_or_create_knowledge_base(
    tenant: Tenant,
    wanted: Mapping[str, object],
    role_arn: str,
    *,
    registry: TenantRegistry,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
) -> tuple[Tenant, KnowledgeBase, bool | None]:
    """Those of the account are listed only where one may have been made that the record does not name, or where the
    name turns out to be taken.

    Returns: the record as it is stored, the knowledge base, and what is to be recorded of whether it is the only one.
    """
    name, tags = names.knowledge_base(tenant.live_knowledge), names.tags(tenant.this_life)
    # Somebody may have taken the one id out of the record.
    named = tenant.knowledge_base_id or tenant.data_source_id
    if not tenant.knowledge_base_alone or named is not None:
        existing = _adoptable(tenant, knowledge_bases, names)
        if existing is not None:
            return tenant, existing, False
    if tenant.data_source_id is not None:
        raise _lost(tenant, f"knowledge base {tenant.knowledge_base_id} is gone")
    # Before it is asked for: whoever dies behind that, or never hears the answer, leaves what says so.
    asking = keep(tenant, replace(tenant, knowledge_base_alone=False), registry=registry, clock=clock)
    token = client_token(name, "knowledge-base", str(tenant.fence), role_arn, configuration=wanted)
    try:
        made = knowledge_bases.create(name, role_arn=role_arn, configuration=wanted, tags=tags, client_token=token)
    except ResourceConflict:
        # There was one already, or it was created between our look and our call: the list may need a moment to show it.
        appeared = _adoptable(tenant, knowledge_bases, names)
        if appeared is None:
            raise NotReadyYet(f"Knowledge base {name} exists, but is not listed yet.") from None
        return asking, appeared, False
    except (AwsRefusal, Throttled, ServiceRoleRefused):
        # Nothing was made, for certain: the next attempt need not look for it.
        keep(asking, replace(asking, knowledge_base_alone=tenant.knowledge_base_alone), registry=registry, clock=clock)
        raise
    return asking, made, tenant.knowledge_base_alone


def _shows_alone(found: KnowledgeBase, knowledge_bases: KnowledgeBases) -> bool:
    """Whether no other of its name is there, some time after the last one was asked for: Bedrock may make two where it
    is asked twice at once, as users report."""
    return [one.knowledge_base_id for one in knowledge_bases.named(found.name)] == [found.knowledge_base_id]


def _adoptable(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> KnowledgeBase | None:
    """The knowledge base that an earlier run made and could not write down. Its tags prove that it is ours."""
    name = names.knowledge_base(tenant.live_knowledge)
    of_that_name = knowledge_bases.named(name)
    ours = [one for one in of_that_name if names.marked(knowledge_bases.tags(one), tenant.this_life)]
    if of_that_name and not ours:
        raise KnowledgeBaseNotOurs(
            f"A knowledge base {name} ({of_that_name[0].knowledge_base_id}) exists that lacks the tags of tenant "
            f"{tenant.tenant_id}.",
            remedy=f"Delete or rename it; or, if it is this tenant's, tag it with {names.tags(tenant.this_life)}. "
            "Then provision again.",
        )
    return ours[0] if ours else None


def narrow_service_role(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    stores: Stores,
    profiles: Profiles,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    names: ResourceNames,
) -> None:
    """The tenant's service role is assumed for its own knowledge base and for no other. Where all tenants share one, a
    role that the tenant had before is deleted, unless its knowledge base has refused to change and assumes it still."""
    tenant = held(reservation, registry)
    knowledge_base_id = _required(tenant.knowledge_base_id, tenant, "knowledge base")
    role = service_role_of(tenant, knowledge_base_id, stores=stores, profiles=profiles, names=names)
    if not service_roles.per_tenant:
        found = knowledge_bases.get(knowledge_base_id)
        if found is not None and found.role_arn != service_roles.arn(role.name):
            return
    service_roles.trust(role)
    if not service_roles.per_tenant:
        store_of(tenant, stores).dismiss(tenant.this_life)


def ensure_data_source(
    reservation: ProvisioningReservation,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    stores: Stores,
    profiles: Profiles,
    knowledge_bases: KnowledgeBases,
    callbacks: TaskCallbacks,
    announcements: Announcements,
    names: ResourceNames,
    clock: Clock,
    look_after_at_most: timedelta,
) -> DataSourceState:
    """The knowledge base reads the tenant's bucket, and nothing else; says whether its data source is ready, and if
    not, when to look again.

    One of ours that was renamed gets its name back, with all that it has brought. One of ours that has read another
    bucket is changed back, and then has not been synced yet: what it has brought stays until it is.
    Whatever else it reads is deleted, with what it has brought. While the one from which jobs are started reads another
    bucket, none is.

    Args:
        look_after_at_most: where data sources are made faster than they usually are, the time it takes there.

    Raises:
        DataSourceFailed: see `DataSource.ready`; or one that should not be there cannot be deleted.
        KnowledgeLost: the recorded one is gone, and there is none of the tenant's own; or it is going, or was given up.
        NotReadyYet: see `DataSource.ready`; or one that should not be there is still being deleted.
        DataSourceNotReady: see `DataSource.ready`.
    """
    tenant = held(reservation, registry)
    store = profiles.store_of(tenant, stores)
    knowledge_base_id = _required(tenant.knowledge_base_id, tenant, "knowledge base")
    name = names.data_source()
    wanted = store.data_source_configuration(names.bucket(tenant.this_life))
    ingestion = store.ingestion_configuration()
    there = data_sources_of(tenant, knowledge_base_id, wanted, knowledge_bases=knowledge_bases, names=names)
    if tenant.data_source_id is not None and there.recorded is None and there.own is None:
        raise _lost(tenant, f"data source {tenant.data_source_id} is gone")
    if there.own is not None:
        # Before anything is deleted for it.
        there.own.require_described(wanted)
    if there.foreign:
        # Also of one that is going already: somebody else may have deleted it, and nobody have heard of it.
        resources = [f"data source {one.data_source_id}" for one in there.foreign]
        _breached(tenant.tenant_id, resources, announcements, clock)

    def distrust() -> None:
        answer = failing_those_who_wait(tenant.tenant_id, callbacks)
        update_sync(tenant.live_knowledge, Sync.not_to_be_trusted, ledger=ledger, answer=answer)

    def put_right() -> tuple[DataSource, bool]:
        """Returns: ours as it was found, and whether that is as it should be."""
        nonlocal tenant
        found = there.own or _create_or_find_data_source(
            tenant, knowledge_base_id, name, wanted, ingestion, knowledge_bases
        )
        # Both come before anything is changed, or jobs are started from it: after a crash, nobody could know any more.
        if found.reads_another(wanted):
            _breached(tenant.tenant_id, [f"bucket of data source {found.data_source_id}"], announcements, clock)
            distrust()
        ours = replace(
            tenant,
            data_source_id=found.data_source_id,
            data_source_made_at=found.created_at,
            # What is told of the knowledge base was found by the state before, in the same execution.
            drift=with_drift_of_data_source(tenant.drift, found.drift_from(ingestion)),
        )
        tenant = keep(tenant, ours, registry=registry, clock=clock)
        # Until one of somebody else that has its name is gone, ours can be everything but renamed.
        right_name = found.name if any(one.name == name for one in there.foreign) else name
        otherwise = found.ingests_otherwise(ingestion)
        right = found.reads_as(wanted) and not otherwise and found.name == right_name
        if not right and found.status is DataSourceStatus.AVAILABLE:
            reference = DataSourceReference(knowledge_base_id, found.data_source_id)
            changed = knowledge_bases.update_data_source(
                reference, right_name, configuration=wanted, ingestion=ingestion if otherwise else None
            )
            # All of it has just been replaced: what stands beside ours even so, the service has come to add by itself.
            right = replace(changed, status=found.status, updated_at=found.updated_at) == found
        return found, right

    def remove_others() -> tuple[list[str], list[str]]:
        """As `_removed`."""
        nonlocal tenant
        if tenant.data_source_id in {one.data_source_id for one in there.foreign}:
            # It takes its vectors along: that it will be gone is no loss.
            forgotten = replace(tenant, data_source_id=None, data_source_made_at=None)
            tenant = keep(tenant, forgotten, registry=registry, clock=clock)
        return _removed(knowledge_base_id, there.foreign, knowledge_bases)

    if there.recorded is not None and there.recorded.reads_another(wanted):
        distrust()
    # What cannot be done to ours must not keep the others, nor any of them ours.
    try:
        found, right = put_right()
    except AwsRefusal as error:
        going, _ = remove_others()
        if going and isinstance(error, CapacityExceeded):
            raise NotReadyYet(f"{error.what} Others are on their way: {'; '.join(going)}.") from error
        raise
    going, stuck = remove_others()
    now = clock.now()
    usual = min(store.usual_data_source_creation, look_after_at_most)
    wait = found.look_again_after(now, usual, reservation.deadline)
    if there.recorded is not None and there.recorded.data_source_id == found.data_source_id:
        _require_of_use(tenant, found)
    if not found.ready(now=now, deadline=reservation.deadline):
        return DataSourceState(found.data_source_id, found.status, ready=False, look_again_after=wait)
    if not right:
        raise NotReadyYet(f"Data source {name} of {knowledge_base_id} is being changed back to what it should be.")
    update_sync(tenant.live_knowledge, lambda sync: sync.trusted_again(clock.now()), ledger=ledger)
    if stuck:
        raise DataSourceFailed(
            f"Tenant {tenant.tenant_id}'s knowledge base {knowledge_base_id} reads what is not the tenant's: "
            f"{'; '.join(stuck)}.",
            remedy="Fix the cause, then provision the tenant again.",
        )
    if going:
        raise NotReadyYet(
            f"Data sources of {knowledge_base_id} that should not be there are being deleted: {'; '.join(going)}."
        )
    return DataSourceState(found.data_source_id, found.status, ready=True, look_again_after=wait)


def _create_or_find_data_source(
    tenant: Tenant,
    knowledge_base_id: str,
    name: str,
    wanted: Mapping[str, object],
    ingestion: Mapping[str, object],
    knowledge_bases: KnowledgeBases,
) -> DataSource:
    token = client_token(knowledge_base_id, name, str(tenant.fence), configuration={**wanted, **ingestion})
    try:
        return knowledge_bases.create_data_source(
            knowledge_base_id, name, configuration=wanted, client_token=token, ingestion=ingestion
        )
    except ResourceConflict:
        found = knowledge_bases.find_data_source(knowledge_base_id, name)
        if found is None:
            raise NotReadyYet(f"Data source {name} of {knowledge_base_id} exists, but is not listed yet.") from None
        return found


def _removed(
    knowledge_base_id: str, foreign: Sequence[DataSource], knowledge_bases: KnowledgeBases
) -> tuple[list[str], list[str]]:
    """Begins to delete them. Returns: which are on their way, and why others are not."""
    going, stuck = list[str](), list[str]()
    for one in foreign:
        try:
            _remove(DataSourceReference(knowledge_base_id, one.data_source_id), one.status, knowledge_bases)
            going.append(one.data_source_id)
        except Retryable as error:
            going.append(error.what)
        except (AwsRefusal, DataSourceFailed) as error:
            stuck.append(error.what)
    return going, stuck


def _remove(data_source: DataSourceReference, listed_as: DataSourceStatus, knowledge_bases: KnowledgeBases) -> None:
    """Begins to delete a data source, and its vectors with it.

    Raises:
        DataSourceFailed: that has failed before. It is tried again all the same.
        NotReadyYet: a job still uses it.
        AwsRefusal, Throttled.
    """
    if listed_as is DataSourceStatus.DELETING:
        return
    found = knowledge_bases.data_source(data_source)
    if found is None or found.status in {DataSourceStatus.DELETING, DataSourceStatus.UPDATING}:
        return
    if found.deletion_policy != "DELETE" and found.status.changing:
        raise NotReadyYet(f"data source {data_source.data_source_id} is {found.status}")
    if found.deletion_policy != "DELETE":
        # Else its vectors would outlive it, and nobody could find them any more.
        knowledge_bases.update_data_source(data_source, found.name, configuration=found.configuration)
    else:
        delete_data_source(data_source, found.status, knowledge_bases)
    if found.status is DataSourceStatus.DELETE_UNSUCCESSFUL:
        reasons = "; ".join(found.failure_reasons) or "no reason given"
        raise DataSourceFailed(f"data source {data_source.data_source_id} could not be deleted: {reasons}")


def _require_of_use(tenant: Tenant, recorded: DataSource) -> None:
    """Raises: KnowledgeLost: it is being deleted, or Bedrock has given it up."""
    given_up = recorded.given_up()
    if given_up is not None:
        raise _lost(tenant, given_up.what) from given_up
    if recorded.status is DataSourceStatus.DELETING:
        raise _lost(tenant, f"data source {recorded.name} ({recorded.data_source_id}) is being deleted")


def _lost(tenant: Tenant, what: str) -> KnowledgeLost:
    return KnowledgeLost(
        f"What was read of tenant {tenant.tenant_id}'s documents is lost: {what.rstrip('.')}.",
        remedy=f"Run `kbfleet tenant rebuild {tenant.tenant_id}`: it reads all documents anew.",
    )


def _required(value: str | None, tenant: Tenant, what: str) -> str:
    if value is None:
        raise LeaseLost(
            f"The record of tenant {tenant.tenant_id} names no {what}, although an earlier step has ensured one.",
            remedy="Provision the tenant again.",
        )
    return value


def ensure_usage_key(
    reservation: Reservation,
    *,
    registry: TenantRegistry,
    usage_keys: UsageKeys,
    plans: Mapping[Tier, str],
    names: ResourceNames,
    clock: Clock,
) -> Tier:
    """The tenant has its usage key, in the usage plan of its tier. Returns: the tier.

    Args:
        plans: ids of the usage plans.

    Raises:
        CapacityExceeded: the account can have no more API keys.
        ResourceConflict: see `UsageKeys.ensure`.
    """
    tenant = held(reservation, registry)
    key_id = usage_keys.ensure(
        names.usage_key(tenant.this_life),
        names.tags(tenant.this_life),
        known_as=tenant.usage_key_id,
        plan_id=plans[tenant.tier],
        other_plan_ids=[plan_id for tier, plan_id in plans.items() if tier is not tenant.tier],
    )
    keep(tenant, replace(tenant, usage_key_id=key_id), registry=registry, clock=clock)
    return tenant.tier


def run_first_sync(
    reservation: Reservation,
    *,
    task_token: str,
    registry: TenantRegistry,
    stores: Stores,
    ledger: SyncLedger,
    bucket_contents: BucketContents,
    incidents: Incidents,
    callbacks: TaskCallbacks,
    ticks: Ticks,
    names: ResourceNames,
    clock: Clock,
    events_after: timedelta,
) -> None:
    """Sees to it that the task is answered once the tenant's documents have been ingested at least once.

    A data source that has been synced answers at once, unless a breach of the tenant's isolation is open: a sync takes
    out what does not come from its bucket. Where its last sync failed, or is held, and changes wait for nobody, or its
    bucket was made anew, one is requested. So does that of a suspended tenant, which is synced once it is resumed, and
    one that has never been synced and whose bucket has nothing in it, where S3 certainly tells of changes by now: its
    first job comes with its first documents. A new bucket is not that far: the job sees to what came in meanwhile.

    Else a sync is requested, also while another is under way: that one may belong to a knowledge base that is gone, or
    fail for a cause that has been fixed since. The same execution asks again whenever its task has timed out, and keeps
    its place in the queue.

    Args:
        events_after: how long after S3 was asked for events they come for certain.

    Raises:
        LeaseLost: also when whoever has taken the tenant meanwhile has put its entry on hold, where this task would
            wait in vain.
        DataSourceFailed: the data source was seen to read another bucket since it was ensured.
    """
    tenant = held(reservation, registry)
    data_source_id = _required(tenant.data_source_id, tenant, "data source")
    kind = store_of(tenant, stores).kind

    def served_again(sync: Sync) -> Sync:
        served = sync.taken_off_hold(clock.now(), reservation.fence)
        if served.fence > reservation.fence:
            # Also where a later execution waits: a function that outlives its own must not send it away.
            raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to somebody else.")
        if served.on_hold:
            raise LeaseLost(f"Tenant {tenant.tenant_id} was taken out of service while it was provisioned.")
        if served.distrusted:
            raise DataSourceFailed(
                f"Data source {data_source_id} was seen to read a bucket that is not tenant {tenant.tenant_id}'s, "
                "after it had been ensured.",
                remedy="Find out who changes it, then provision the tenant again.",
            )
        return served.of_kind(kind)

    def wait_for_first_sync(sync: Sync) -> Sync:
        if any(waiter.task_token == task_token for waiter in sync.waiters):
            return sync
        awaited = served_again(sync).awaited_by(task_token, reservation.fence)
        if awaited.waiters:
            return awaited
        return awaited.requested(clock.now(), Priority.REQUESTED, task_token, fence=reservation.fence)

    def rest_without_documents(sync: Sync) -> Sync:
        served = served_again(sync)
        return served.found_empty(clock.now()) if served.never_used else wait_for_first_sync(sync)

    def no_longer(waiter: Waiter) -> None:
        """Nobody listens: its task has timed out, or its execution has lost the lease."""
        callbacks.fail(waiter.task_token, LeaseLost.__name__, f"Another task waits for tenant {tenant.tenant_id}.")

    if tenant.status is TenantStatus.SUSPENDED:
        callbacks.succeed(task_token, {"outcome": "SUSPENDED"})
        return
    well = incidents.timeline(str(tenant.tenant_id), Concern.ISOLATION).settled
    known = ledger.find(tenant.live_knowledge)
    if well and known.has_synced(data_source_id):
        anew = tenant.bucket_made_at
        remade = anew is not None and (known.synced_at is None or known.synced_at < anew) and not known.pending_changes

        def once_more(sync: Sync) -> Sync:
            # What was in a bucket that was made anew is gone: its sync is held, and people hear of that. Else, what
            # kept the last sync from its end may just have been repaired.
            return sync.requested(clock.now(), Priority.REQUESTED) if remade else sync.tried_again(clock.now())

        tried_again = update_sync(tenant.live_knowledge, once_more, ledger=ledger)
        if tried_again.state is SyncState.QUEUED:
            ticks.request()
        callbacks.succeed(task_token, {"outcome": "ALREADY_SYNCED"})
        return
    told_from = unnoticed_until(tenant, known, events_after)
    told = told_from is None or told_from <= clock.now()
    empty = well and told and known.never_used and _has_nothing_in_it(names.bucket(tenant.this_life), bucket_contents)
    change = rest_without_documents if empty else wait_for_first_sync
    entry = update_sync(tenant.live_knowledge, change, ledger=ledger, answer=no_longer)
    if entry.state is SyncState.IDLE and entry.never_used:
        callbacks.succeed(task_token, {"outcome": "NO_DOCUMENTS"})
        return
    ticks.request()


def _has_nothing_in_it(bucket: str, bucket_contents: BucketContents) -> bool:
    """Whether no version of anything is there. One that does not show yet is taken to have something in it."""
    try:
        page = bucket_contents.versions(bucket, None)
    except ResourceMissing:
        return False
    return not page.versions and page.following is None


def activate_tenant(
    reservation: Reservation,
    *,
    resources_version: str | None,
    registry: TenantRegistry,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """The tenant may be asked, unless it is suspended; the lease is given back.

    Args:
        resources_version: what the steps before have converged it to; `None` where that is not known.
    """
    tenant = registry.get(reservation.tenant_id)
    given_back = tenant.lease is None and tenant.fence == reservation.fence + 1
    if given_back and tenant.status in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        # This very step has run before, and its answer was lost.
        return announce_status(tenant, registry=registry, announcements=announcements)
    before = tenant.held_under(reservation.fence)
    active = keep(before, before.converged(resources_version, clock.now()), registry=registry, clock=clock)
    return announce_status(active, registry=registry, announcements=announcements)


# --- when it fails -------------------------------------------------------------------------------


def mark_tenant_failed(
    tenant_id: TenantId, failure: WorkflowFailure, *, registry: TenantRegistry, announcements: Announcements
) -> None:
    """Writes why the execution ended into the tenant's record and gives the lease back, if this execution holds it.

    An execution that never got the lease (the tenant was busy) leaves the record to the one that has it.
    """
    tenant = registry.find(tenant_id)
    if tenant is None:
        return
    if failure.workflow is Workflow.REBUILD_TENANT:
        _mark_rebuild_failed(tenant, failure, registry)
        return
    if tenant.failure is not None and tenant.failure.execution == failure.execution:
        announce_status(tenant, registry=registry, announcements=announcements)
        return
    if tenant.lease is None or tenant.lease.holder != failure.execution:
        return
    announce_left_over(tenant, announcements=announcements)
    marked = tenant.failed(failure)
    try:
        registry.replace(marked, fence=tenant.fence)
    except ConcurrentUpdate:
        # A later execution has reserved the tenant in between: the record is its to write.
        return
    announce_status(marked, registry=registry, announcements=announcements)


def _mark_rebuild_failed(tenant: Tenant, failure: WorkflowFailure, registry: TenantRegistry) -> None:
    """The same of an execution that builds, or deletes, what is beside the live knowledge. It has no lease while it
    waits.

    Raises: NotReadyYet: somebody else has the tenant, or has just written its record.
    """
    if tenant.beside is None or tenant.beside.holder != failure.execution:
        return
    marked = rebuild.failed(tenant, failure)
    if marked == tenant:
        raise NotReadyYet(f"Tenant {tenant.tenant_id} is being worked on: its failed rebuild is written down later.")
    try:
        registry.replace(marked, fence=tenant.fence)
    except ConcurrentUpdate as error:
        raise NotReadyYet(f"Somebody else has just written the record of tenant {tenant.tenant_id}.") from error


def announce_provisioning_failed(
    tenant_id: TenantId, failure: WorkflowFailure, *, announcements: Announcements
) -> None:
    announcements.provisioning_failed(tenant_id, failure)


def record_stopped_execution(
    tenant_id: TenantId, failure: WorkflowFailure, *, registry: TenantRegistry, announcements: Announcements
) -> None:
    """An execution that timed out or was aborted never reached its own failure states: does their work for it."""
    mark_tenant_failed(tenant_id, failure, registry=registry, announcements=announcements)
    match failure.workflow:
        case Workflow.PROVISION_TENANT:
            announcements.provisioning_failed(tenant_id, failure)
        case Workflow.OFFBOARD_TENANT:
            announcements.offboarding_failed(tenant_id, failure)
        case Workflow.REBUILD_TENANT:
            announcements.rebuild_failed(tenant_id, rebuild.told_of_failure(registry.find(tenant_id), failure))
