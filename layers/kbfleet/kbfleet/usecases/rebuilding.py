"""Rebuilding what a tenant knows: requests, the round, and the steps of `rebuild_tenant`, one function a state.

The steps that make the candidate's index, knowledge base and data source are those of `provision_tenant`, for a
reservation that names the candidate's number. Here is what comes before and after them. An execution has the tenant's
lease while it makes or deletes resources, and not while it waits: whatever it writes then is one conditional write
(decision 70).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain import rebuild
from kbfleet.domain.answer import AskableTenant, Freshness, Inquiry, LongQuestion
from kbfleet.domain.bounds import CAUSE_BYTES, shortened
from kbfleet.domain.capacity import Room
from kbfleet.domain.comparison import (
    AskedOfBoth,
    Standing,
    answered_documents,
    compared,
    going_unasked,
    is_complete,
)
from kbfleet.domain.errors import (
    AwsRefusal,
    CandidateNotIngested,
    CapacityExceeded,
    ConcurrentUpdate,
    DataSourceFailed,
    IsolationBreached,
    KbfleetError,
    KnowledgeStoreNotOffered,
    LeaseLost,
    NotReadyYet,
    ResourceConflict,
    TenantBusy,
)
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.knowledge_base import DataSourceStatus, KnowledgeBaseKind, content_lost
from kbfleet.domain.knowledges import RebuildPlan, Role
from kbfleet.domain.question_runs import FIRST
from kbfleet.domain.rebuild import RebuildReservation
from kbfleet.domain.sync import Priority, SyncState
from kbfleet.usecases.asking import retrieve
from kbfleet.usecases.capacity import KNOWLEDGE_BASES
from kbfleet.usecases.ingestion import update_sync
from kbfleet.usecases.knowledge_removal import (
    delete_data_sources_of,
    delete_knowledge_bases,
    knowledge_bases_of,
    stop_jobs_of,
)
from kbfleet.usecases.provisioning import OUTLIVED_BY_AT_MOST
from kbfleet.usecases.reservations import (
    execution_name,
    held,
    keep,
    name_of,
    require_running,
    store_of,
    store_unless_changed,
    without_dead_lease,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kbfleet.domain.answer import AskUsage
    from kbfleet.domain.names import Life, ResourceNames, TenantId
    from kbfleet.domain.profiles import ProfileReference
    from kbfleet.domain.questions import GoldenQuestion
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import ProvisioningReservation, Reservation, Tenant
    from kbfleet.domain.workflow import WorkflowFailure
    from kbfleet.ports import (
        Announcements,
        Clock,
        Execution,
        Executions,
        GoldenQuestions,
        KnowledgeBases,
        Retriever,
        RoomCounts,
        SearchPace,
        SyncLedger,
        TenantRegistry,
        Ticks,
    )
    from kbfleet.usecases.profiles import Profiles
    from kbfleet.usecases.reservations import Stores

INGESTED_WITHIN = timedelta(hours=40)
"""A candidate, behind everybody else's documents: an execution runs for two days at most."""
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=10)
_GROWTH = 0.15
"""Looks at what takes hours are few, and find it ended 15 per cent late at most."""

# --- before the state machine --------------------------------------------------------------------


def request_rebuild(
    tenant_id: TenantId,
    *,
    profile: ProfileReference | None = None,
    keep: timedelta,
    tolerance: int,
    compare_only: bool = False,
    registry: TenantRegistry,
    executions: Executions,
    stores: Stores,
    profiles: Profiles,
    clock: Clock,
) -> tuple[Tenant, Execution]:
    """Another knowledge is built beside the one that answers, by an execution; or by the one that does so already.

    Args:
        profile: by which it is built; the tenant's own, if not given.
        keep, tolerance, compare_only: see `RebuildPlan`.

    Returns: the record, and the execution.

    Raises:
        TenantNotFound, TenantNotActive, TenantBusy, ProfileNotFound, KnowledgeStoreNotOffered: before anything is
            written.
    """
    stored, now = registry.get(tenant_id), clock.now()
    wanted = profile or stored.profile
    store = profiles.store_type(wanted) or stored.knowledge_store
    if store not in stores:
        raise KnowledgeStoreNotOffered(
            f"Profile {wanted} is for the knowledge store {store}, which this stack does not offer.",
            remedy=f"Choose a profile for one of: {', '.join(sorted(stores))}.",
        )
    plan = RebuildPlan(now, store, wanted, keep, tolerance, compare_only)
    after = rebuild.requested(without_dead_lease(stored, executions, now), plan, now)
    store_unless_changed(stored, after, registry)
    return after, _at_work_or_started(after, executions, clock)


def _at_work_or_started(tenant: Tenant, executions: Executions, clock: Clock) -> Execution:
    """Two that are started at once do no harm: the second finds the first at work."""
    holder = tenant.beside.holder if tenant.beside is not None else None
    if holder is not None and executions.is_running(holder):
        return executions.describe(name_of(holder))
    request = {"tenant_id": tenant.tenant_id}
    try:
        return executions.start(execution_name(tenant.tenant_id, tenant.updated_at), request)
    except ResourceConflict:
        # That one has ended, and the record is as it has left it.
        return executions.start(execution_name(tenant.tenant_id, clock.now()), request)


def stop_rebuild(
    tenant_id: TenantId, *, registry: TenantRegistry, executions: Executions, clock: Clock
) -> tuple[Tenant, Execution]:
    """The candidate is deleted, whatever it has come to. The live one is not touched.

    Raises: TenantNotFound, NothingBeside, TenantBusy, TenantOffboarding, TenantOffboarded.
    """
    stored, now = registry.get(tenant_id), clock.now()
    after = rebuild.stopped(without_dead_lease(stored, executions, now), now)
    store_unless_changed(stored, after, registry)
    return after, _at_work_or_started(after, executions, clock)


def roll_back(
    tenant_id: TenantId,
    number: int,
    *,
    registry: TenantRegistry,
    executions: Executions,
    ledger: SyncLedger,
    ticks: Ticks,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """The knowledge that was live before is live again, by one write. Repeated, it does what was left undone.

    Args:
        number: of the one that is to be live.

    Raises: TenantNotFound, NothingBeside, TenantBusy, TenantOffboarding, TenantOffboarded.
    """
    stored, now = registry.get(tenant_id), clock.now()
    after = rebuild.rolled_back(without_dead_lease(stored, executions, now), number, now)
    store_unless_changed(stored, after, registry)
    return follow_up(after, registry=registry, ledger=ledger, ticks=ticks, announcements=announcements, clock=clock)


def follow_up(
    tenant: Tenant,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    ticks: Ticks,
    announcements: Announcements,
    clock: Clock,
) -> Tenant:
    """What follows from an exchange, or a comparison, that the record says nobody has heard of: a sync of what is live
    from then on, and the event. Whoever dies on the way leaves the record so, and the round does it.

    Returns: the record.
    """
    ended, now = rebuild.news(tenant), clock.now()
    if ended is None:
        return tenant
    if tenant.beside is not None and tenant.beside.role is Role.RETIRED:
        update_sync(tenant.live_knowledge, lambda sync: sync.live_from(now), ledger=ledger)
        ticks.request()
    announcements.rebuild_ended(ended)
    told = rebuild.told(tenant, now)
    if told == tenant:
        return tenant
    # Somebody has written the record meanwhile: they have read it untold, and it is told once more.
    with suppress(ConcurrentUpdate):
        registry.replace(told, fence=tenant.fence)
        return told
    return registry.get(tenant.tenant_id)


# --- the round -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RebuildRound:
    """What one round did: for whom an execution was started, for whom it could not be, and how many are left."""

    started: tuple[TenantId, ...] = ()
    refused: tuple[tuple[TenantId, KbfleetError], ...] = ()
    left_over: int = 0


def start_due_rebuilds(
    *,
    registry: TenantRegistry,
    executions: Executions,
    ledger: SyncLedger,
    ticks: Ticks,
    announcements: Announcements,
    clock: Clock,
    at_most: int,
    until: datetime,
) -> RebuildRound:
    """Starts an execution for each tenant of which the record says that something is to be done beside its live
    knowledge, and at which none works. The records say what is left: a round that dies anywhere starts nothing twice.

    Args:
        at_most: how many executions are started.
        until: after that it starts no more.
    """
    started: list[TenantId] = []
    refused: list[tuple[TenantId, KbfleetError]] = []
    left_over = 0
    for listed in registry.all():
        if listed.beside is None:
            continue
        if len(started) == at_most or clock.now() >= until:
            left_over += rebuild.is_due(listed, clock.now())
            continue
        try:
            # The list may lag behind the record.
            tenant = follow_up(
                registry.get(listed.tenant_id),
                registry=registry,
                ledger=ledger,
                ticks=ticks,
                announcements=announcements,
                clock=clock,
            )
            if rebuild.is_due(tenant, clock.now()) and not _is_at_work(tenant, executions):
                executions.start(execution_name(tenant.tenant_id, clock.now()), {"tenant_id": tenant.tenant_id})
                started.append(tenant.tenant_id)
        except KbfleetError as error:
            refused.append((listed.tenant_id, error))
    return RebuildRound(tuple(started), tuple(refused), left_over)


def _is_at_work(tenant: Tenant, executions: Executions) -> bool:
    holder = tenant.beside.holder if tenant.beside is not None else None
    return holder is not None and executions.is_running(holder)


# --- the states, in order ------------------------------------------------------------------------


def reserve_rebuild(
    tenant_id: TenantId,
    *,
    execution: str,
    registry: TenantRegistry,
    executions: Executions,
    counts: RoomCounts,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
    lease: timedelta,
    ready_within: timedelta,
) -> RebuildReservation:
    """Takes the tenant's lease for this execution, to build what is beside its live knowledge, or to delete it. A
    candidate waits without it until there is room for its knowledge base.

    Args:
        ready_within: how long this execution waits for the knowledge base and its data source.

    Raises:
        LeaseLost: there is nothing to do, or not now; another execution does it; or this one was stopped.
        TenantOffboarding, TenantOffboarded: all of the tenant is deleted.
        CapacityExceeded: there is no room for the candidate, and nothing of the fleet's will leave.
        NotReadyYet: there is no room yet; the tenant is being provisioned; or somebody else has just written its
            record.
    """
    stored, now = registry.get(tenant_id), clock.now()
    other = stored.beside.holder if stored.beside is not None else None
    if other is not None and other != execution and executions.is_running(other):
        raise LeaseLost(f"Execution {other} works at what is beside tenant {tenant_id}'s live knowledge.")
    try:
        after = rebuild.taken_up(without_dead_lease(stored, executions, now), execution, now, lease)
        require_running(execution, executions)
        if rebuild.waits_for_room(after) and not _has_room(
            stored,
            registry=registry,
            executions=executions,
            counts=counts,
            stores=stores,
            knowledge_bases=knowledge_bases,
            names=names,
            now=now,
        ):
            if other != execution or stored.lease is not None:
                # So the round, and whoever asks again, know that somebody is at it; and the tenant can be provisioned.
                store_unless_changed(stored, rebuild.released(after, now), registry)
            raise NotReadyYet(f"There is no room yet for the candidate of tenant {tenant_id}.")
        store_unless_changed(stored, after, registry)
    except TenantBusy as error:
        raise NotReadyYet(error.what) from error
    return _reservation(after, now, ready_within)


def _has_room(
    tenant: Tenant,
    *,
    registry: TenantRegistry,
    executions: Executions,
    counts: RoomCounts,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    now: datetime,
) -> bool:
    """Whether the account has room for the candidate. If not, what the fleet has kept the longest leaves for it.

    Of MANAGED, what was counted within the last hours is enough, where it leaves room for more than a few. Those of
    VECTOR are few, and counted each time: others may have taken what was free an hour ago.

    Raises: CapacityExceeded, NotReadyYet.
    """
    seen = tenant.seen_from_beside()
    kind, counted = store_of(seen, stores).kind, counts.find()
    many = kind is not KnowledgeBaseKind.VECTOR
    if many and counted is not None and counted.suffices(seen.knowledge_store, now):
        return True
    if knowledge_bases.named(names.knowledge_base(seen.live_knowledge)):
        return True  # whoever made it died before the record said so
    # In this order: what is forgotten between the two is not counted any more, either.
    others = [each for each in registry.all() if each.tenant_id != tenant.tenant_id and _kind(each, stores) is kind]
    used = knowledge_bases.count(kind)
    turn = rebuild.turn_of(tenant, others, kind.quota - used, now)
    if turn.hopeless:
        raise CapacityExceeded(
            f"The account has {Room(KNOWLEDGE_BASES[kind], used, kind.quota)}: there is no room for the candidate of "
            f"tenant {tenant.tenant_id}.",
            remedy=KNOWLEDGE_BASES[kind].way_out,
        )
    for listed in turn.leaving:
        # The list may lag behind the record.
        kept = registry.get(listed.tenant_id)
        leaving = rebuild.sent_away(kept, now)
        if leaving != kept:
            store_unless_changed(kept, leaving, registry)
            with suppress(ResourceConflict):
                executions.start(execution_name(kept.tenant_id, now), {"tenant_id": kept.tenant_id})
            break
    return turn.come


def _kind(tenant: Tenant, stores: Stores) -> KnowledgeBaseKind | None:
    """Of what is beside its live knowledge; `None` where nothing is, or the stack offers no such store any more."""
    store = stores.get(tenant.beside.record.knowledge_store) if tenant.beside is not None else None
    return store.kind if store is not None else None


def _reservation(tenant: Tenant, now: datetime, ready_within: timedelta) -> RebuildReservation:
    if tenant.beside is None:
        raise LeaseLost(f"Tenant {tenant.tenant_id} has nothing beside its live knowledge.")
    return RebuildReservation(
        tenant.tenant_id,
        tenant.fence,
        now + ready_within,
        builds=tenant.beside.role is Role.CANDIDATE,
        alone_from=now + OUTLIVED_BY_AT_MOST,
        knowledge=tenant.beside.record.knowledge,
    )


def begin_candidate_sync(
    reservation: Reservation,
    *,
    execution: str,
    registry: TenantRegistry,
    stores: Stores,
    ledger: SyncLedger,
    ticks: Ticks,
    clock: Clock,
) -> None:
    """The candidate's documents are ingested as soon as nobody else waits, and the lease is given back meanwhile.

    Raises:
        LeaseLost, DataSourceFailed.
    """
    tenant = registry.get(reservation.tenant_id)
    given_back = tenant.lease is None and tenant.fence == reservation.fence + 1
    if given_back and tenant.beside is not None and tenant.beside.holder == execution:
        return  # this very step has run before, and its answer was lost
    seen = tenant.held_under(reservation.fence).seen_under(reservation)
    data_source_id, kind, now = seen.data_source().data_source_id, store_of(seen, stores).kind, clock.now()

    def begun(sync: Sync) -> Sync:
        served = sync.taken_off_hold(now, reservation.fence).of_kind(kind)
        if served.distrusted:
            raise DataSourceFailed(
                f"Data source {data_source_id} was seen to read a bucket that is not tenant {tenant.tenant_id}'s.",
                remedy="Find out who changes it, then rebuild the tenant again.",
            )
        if served.has_synced(data_source_id) or served.state is not SyncState.IDLE:
            return served
        return served.requested(now, Priority.SCHEDULED)

    update_sync(seen.live_knowledge, begun, ledger=ledger)
    ticks.request()
    try:
        registry.replace(rebuild.released(tenant, now), fence=reservation.fence)
    except ConcurrentUpdate as error:
        raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to somebody else.") from error


@dataclass(frozen=True, slots=True)
class CandidateState:
    """`complete` is whether it may be compared with the live one."""

    complete: bool
    look_again_after: timedelta


def await_candidate(
    tenant_id: TenantId,
    number: int,
    *,
    execution: str,
    registry: TenantRegistry,
    ledger: SyncLedger,
    clock: Clock,
    deadline: datetime,
    within: timedelta,
) -> CandidateState:
    """Whether the candidate has all that the live one has; if not, when to look again.

    Args:
        deadline: when to give up; `within`, how long before it the waiting began.

    Raises:
        LeaseLost: it is not this execution's any more, or the tenant is out of service.
        CandidateNotIngested: its first sync has come to nothing.
    """
    tenant, now = registry.get(tenant_id), clock.now()
    beside = rebuild.worked_at(tenant, execution, number, Role.CANDIDATE)
    seen = tenant.seen_from_beside()
    data_source_id = seen.data_source().data_source_id
    candidate, live = ledger.find(seen.live_knowledge), ledger.find(tenant.live_knowledge)
    if is_complete(candidate, data_source_id, live):
        return CandidateState(complete=True, look_again_after=timedelta(0))
    ended = candidate.state is SyncState.IDLE and not candidate.barred and not candidate.has_synced(data_source_id)
    if ended or now >= deadline:
        reasons = candidate.result.failure_reasons if candidate.result is not None else ()
        said = shortened("; ".join(reason.whole for reason in reasons), CAUSE_BYTES)
        why = said or ("it was stopped" if ended else "it has not ended at the deadline")
        raise CandidateNotIngested(
            f"The first sync of tenant {tenant_id}'s candidate, by profile {beside.plan.profile}, has failed: {why}.",
            remedy=f"Fix the cause, then run `kbfleet tenant rebuild {tenant_id}` again: it goes on.",
        )
    elapsed = now - (deadline - within)
    wait = min(max(elapsed * _GROWTH, _SHORTEST_WAIT), _LONGEST_WAIT)
    return CandidateState(complete=False, look_again_after=min(wait, deadline - now))


def compare_knowledge(
    tenant_id: TenantId,
    number: int,
    asked: Sequence[AskedOfBoth],
    *,
    execution: str,
    registry: TenantRegistry,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    questions: GoldenQuestions,
    retrievers: Callable[[str, str, int], Retriever],
    pace: SearchPace,
    names: ResourceNames,
    clock: Clock,
    pause: Callable[[timedelta], None],
    breached: Callable[[AskableTenant, IsolationBreached], None],
    spent: Callable[[Life, AskUsage | None], None],
    until: datetime,
) -> tuple[Sequence[AskedOfBoth], bool]:
    """Golden questions are asked of both knowledges, a part at a time. Nothing is written. Where nothing is live any
    more, there is nothing to compare with, and no question is asked.

    Args:
        asked: what the parts before have come to.
        pause: waits for so long.
        breached: has people hear of a passage that is not the tenant's own; it may not raise.
        spent: counts a search that was made; it may not raise.
        until: no question is asked any more behind that.

    Returns: that with more, and whether it is all.

    Raises:
        LeaseLost: see `await_candidate`.
        AwsRefusal, Retryable, IsolationBreached: the candidate cannot be searched, or holds what is another's.
    """
    tenant = registry.get(tenant_id)
    rebuild.worked_at(tenant, execution, number, Role.CANDIDATE)
    if standing_of(tenant, stores=stores, knowledge_bases=knowledge_bases, names=names) is not Standing.LIVES:
        return (), True

    def hit(seen: Tenant, question: GoldenQuestion) -> bool:
        wait = pace.next(clock.now()) - clock.now()
        if wait > timedelta(0):
            pause(wait)
        inquiry = Inquiry(LongQuestion(question.text), FIRST, kept=False)
        sources = retrieve(askable(seen), inquiry, retrievers=retrievers, names=names, breached=breached)
        spent(seen.this_life, None)
        return any(question.expects(source.document) for source in sources[:FIRST])

    def live_hit(question: GoldenQuestion) -> bool | None:
        """`None` where the live one cannot be searched, or holds what is another's, which people hear of: neither says
        anything for the candidate, or against it."""
        try:
            return hit(tenant, question)
        except (AwsRefusal, IsolationBreached):
            return None

    known = {each.question_id for each in asked}
    results = list(asked)
    for question in questions.find(tenant.this_life).questions:
        if question.expected and question.question_id not in known:
            if clock.now() >= until:
                return results, False
            of_live = live_hit(question)
            results.append(AskedOfBoth(question.question_id, of_live, hit(tenant.seen_from_beside(), question)))
    return results, True


def askable(tenant: Tenant) -> AskableTenant:
    """What asking needs to know of one knowledge, whether or not it is the live one.

    Args:
        tenant: as it is seen from that.

    Raises: TenantNotActive: it has no data source yet.
    """
    own = tenant.profile
    return AskableTenant(
        tenant.tenant_id,
        tenant.data_source().knowledge_base_id,
        tenant.knowledge_store,
        Freshness(None, pending_changes=False),
        None,
        tenant.life,
        "" if own.is_default else str(own.name),
        own.version,
    )


def standing_of(tenant: Tenant, *, stores: Stores, knowledge_bases: KnowledgeBases, names: ResourceNames) -> Standing:
    """What is left of the live knowledge: see `Standing`.

    Raises: AwsRefusal, Retryable.
    """
    if tenant.knowledge_base_id is None or tenant.data_source_id is None:
        return Standing.GONE
    base, store = knowledge_bases.get(tenant.knowledge_base_id), store_of(tenant, stores)
    index = store.find(tenant.live_knowledge)
    has_index = store.kind is KnowledgeBaseKind.VECTOR
    if base is None or base.status.of_no_use or (has_index and index is None):
        return Standing.GONE
    source = knowledge_bases.data_source(tenant.data_source())
    if source is None or source.status is DataSourceStatus.DELETING:
        in_vain = any(loss.kind is ResourceKind.DATA_SOURCE and loss.harm is Harm.NO_ANSWERS for loss in tenant.losses)
        return Standing.BEREFT if has_index and not in_vain else Standing.GONE
    emptied = Finding(
        Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, names.vector_index(tenant.live_knowledge), tenant.tenant_id
    )
    seen_empty = any((loss.cause, loss.name) == (emptied.cause, emptied.name) for loss in tenant.losses)
    made_at = (index.made_at if index is not None else None) or tenant.index_made_at
    return Standing.GONE if seen_empty or content_lost(made_at, source.created_at) else Standing.LIVES


def promote_knowledge(
    tenant_id: TenantId,
    number: int,
    asked: Sequence[AskedOfBoth],
    *,
    execution: str,
    registry: TenantRegistry,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    ledger: SyncLedger,
    ticks: Ticks,
    announcements: Announcements,
    names: ResourceNames,
    clock: Clock,
) -> Tenant:
    """The candidate is live, if it is not worse and is to be; by one write. Else it is kept for a while.

    Args:
        asked: what the golden questions have come to; those that could not be asked of the live one do not count.

    Raises:
        LeaseLost: see `await_candidate`.
        NotReadyYet: an execution has the tenant, or somebody has just written its record.
    """
    stored, now = registry.get(tenant_id), clock.now()
    after = stored
    if stored.knowledge != number:
        beside = rebuild.worked_at(stored, execution, number, Role.CANDIDATE)
        seen = stored.seen_from_beside()
        standing = standing_of(stored, stores=stores, knowledge_bases=knowledge_bases, names=names)
        entry = ledger.find(stored.live_knowledge)
        live = answered_documents(entry, stored.data_source_id)
        candidate = answered_documents(ledger.find(seen.live_knowledge), seen.data_source_id)
        comparison = compared(
            now,
            live_documents=live,
            candidate_documents=candidate,
            asked=[each for each in asked if each.live is not None or standing is not Standing.LIVES],
            tolerance=beside.plan.tolerance,
            standing=standing,
            going=going_unasked(entry, live, candidate, stored.bucket_made_at),
        )
        try:
            after = rebuild.concluded(stored, execution, number, comparison, now)
            store_unless_changed(stored, after, registry)
        except TenantBusy as error:
            raise NotReadyYet(error.what) from error
    return follow_up(after, registry=registry, ledger=ledger, ticks=ticks, announcements=announcements, clock=clock)


def delete_knowledge(
    reservation: Reservation,
    *,
    alone_from: datetime,
    remembered: timedelta,
    registry: TenantRegistry,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
    clock: Clock,
) -> None:
    """Nothing is left of what leaves: no job, no data source, no knowledge base, no index.

    Args:
        alone_from: see `RebuildReservation`.
        remembered: see `rebuild.deletable_from`.

    Raises:
        LeaseLost.
        NotReadyYet: Bedrock is still deleting; somebody may still answer from it, or be making something for it.
    """
    seen = held(reservation, registry)
    beside, now = seen.as_recorded().beside, clock.now()
    if beside is None or beside.role is not Role.LEAVING:
        raise LeaseLost(f"Knowledge {reservation.knowledge} of tenant {seen.tenant_id} is not to be deleted.")
    waits = (alone_from, rebuild.deletable_from(beside, remembered))
    until = max(at for at in waits if at is not None)
    if now < until:
        raise NotReadyYet(f"Somebody may use knowledge {seen.knowledge} of tenant {seen.tenant_id} until {until}.")
    found = knowledge_bases_of(seen, knowledge_bases, names)
    stop_jobs_of(found, seen.tenant_id, knowledge_bases=knowledge_bases)
    delete_data_sources_of(found, seen.tenant_id, knowledge_bases=knowledge_bases)
    delete_knowledge_bases(found, seen.tenant_id, knowledge_bases=knowledge_bases)
    store = store_of(seen, stores)
    store.delete(seen.live_knowledge)
    if beside.record.knowledge_store != seen.as_recorded().knowledge_store:
        store.dismiss(seen.this_life)
    keep(seen, rebuild.deleted(seen), registry=registry, clock=clock)


def forget_knowledge(
    reservation: ProvisioningReservation,
    *,
    execution: str,
    registry: TenantRegistry,
    ledger: SyncLedger,
    clock: Clock,
    ready_within: timedelta,
) -> RebuildReservation | None:
    """The record has nothing any more of what was deleted.

    Args:
        reservation: of the live knowledge: the other one is gone.

    Returns: the right to build what is to follow it; `None`, and the lease is given back, where nothing is.

    Raises: LeaseLost.
    """
    tenant, now = registry.get(reservation.tenant_id), clock.now()
    beside = tenant.beside
    if beside is None or beside.role is not Role.LEAVING:
        # This very step has run before, and its answer was lost.
        own = beside is not None and beside.holder == execution and tenant.lease is not None
        return _reservation(tenant, now, ready_within) if own else None
    seen = tenant.held_under(reservation.fence).seen_from_beside()

    # Nobody waits in it: executions look at the entry of a candidate.
    update_sync(seen.live_knowledge, lambda sync: sync.laid_to_rest() if sync.version else sync, ledger=ledger)
    after = rebuild.forgotten(tenant, now)
    try:
        registry.replace(after, fence=reservation.fence)
    except ConcurrentUpdate as error:
        raise LeaseLost(f"The lease on tenant {tenant.tenant_id} has passed to somebody else.") from error
    return _reservation(after, now, ready_within) if after.beside is not None else None


# --- when it fails -------------------------------------------------------------------------------


def announce_rebuild_failed(
    tenant_id: TenantId, failure: WorkflowFailure, *, registry: TenantRegistry, announcements: Announcements
) -> None:
    announcements.rebuild_failed(tenant_id, rebuild.told_of_failure(registry.find(tenant_id), failure))
