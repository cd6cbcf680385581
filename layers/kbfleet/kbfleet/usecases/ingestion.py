"""Requesting syncs, and the scheduler that turns requests into ingestion jobs within Bedrock's quotas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from kbfleet.domain.bounds import CAUSE_BYTES, shortened
from kbfleet.domain.errors import (
    AwsRefusal,
    CapacityExceeded,
    ConcurrentUpdate,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    Retryable,
    TenantNotActive,
    TenantNotFound,
    TenantOffboarded,
    Throttled,
)
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStateChange, JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, client_token
from kbfleet.domain.sync import Priority, Sync, SyncResult, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import (
    Recorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from kbfleet.domain.errors import (
        KbfleetError,
    )
    from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
    from kbfleet.domain.sync import Debounce, RunningJob, Waiter
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        DeletionChecks,
        Glance,
        JobHistory,
        KnowledgeBases,
        SyncLedger,
        TaskCallbacks,
        TenantRegistry,
        Ticks,
    )

    _Told = list[tuple[TenantId, KbfleetError]]
    """Tenants of whom a tick has something to tell, with what it is."""

_ATTEMPTS = 20
"""Writers of one ledger entry are few (ticks, requests); losing this often in a row means something is broken."""

_NOT_NOW = (AwsRefusal, ConcurrentUpdate, Retryable, TenantNotActive, TenantNotFound)
"""What postpones one tenant's turn to the next tick, and must not keep the others from theirs."""

_CROWDED = (CapacityExceeded, ResourceConflict)
"""How the account's limit of jobs may be refused; AWS does not say which it is."""

_NOT_THE_TENANTS = (ConcurrentUpdate, Throttled)
"""What says nothing about the tenant whose turn it was: it keeps its place in the queue."""


_GLANCE = 25
_HEADS = 5
"""How many entries of each kind and priority are looked at: a tick starts one job, and a few may give way."""
_CHECKS = 5
"""How many that come next are checked ahead: one job is started in ten seconds, and a check stands for longer."""
_FOLLOWED = 8
"""Running jobs that a tick looks at, by lot: GetIngestionJob is allowed ten times a second, and a tick that waits for
its turn comes too late for the next start. Only MANAGED knowledge bases can have more."""
_A_MINUTE = timedelta(minutes=1)


def _ready_by(sync: Sync, time: datetime) -> bool:
    return sync.ready_at is not None and sync.ready_at <= time


def _turn(sync: Sync) -> tuple[float, str]:
    return sync.due_at.timestamp() if sync.due_at else 0.0, sync.tenant_id


def nobody_is_dismissed(waiter: Waiter) -> None:
    raise RuntimeError(
        f"Whoever waits for generation {waiter.generation} must be answered before it is taken off the list."
    )


def save_sync(
    before: Sync, changed: Sync, *, ledger: SyncLedger, answer: Callable[[Waiter], None] = nobody_is_dismissed
) -> Sync:
    """Stores an entry in place of the one that it was made of. The one way by which a waiter leaves an entry.

    Args:
        answer: answers each who waits in `before` and no longer does in `changed`. That comes first: whoever dies after
            it, or loses to somebody faster, leaves the waiter in the entry, to be answered once more, and a task takes
            the first answer. The other way round, it would wait in vain.

    Raises:
        ConcurrentUpdate: somebody has stored another since `before` was read.
    """
    for waiter in before.dismissed_by(changed):
        answer(waiter)
    return ledger.save(changed)


def update_sync(
    knowledge: Knowledge,
    change: Callable[[Sync], Sync],
    *,
    ledger: SyncLedger,
    answer: Callable[[Waiter], None] = nobody_is_dismissed,
) -> Sync:
    """Applies a pure change to a ledger entry, again on the newer entry when somebody else was faster.

    Args:
        answer: as in `save_sync`; those who wait in the very entry that is replaced are answered.

    Raises:
        ConcurrentUpdate: it lost twenty times in a row.
    """
    for _ in range(_ATTEMPTS):
        sync = ledger.find(knowledge)
        changed = change(sync)
        if changed == sync:
            return sync
        try:
            return save_sync(sync, changed, ledger=ledger, answer=answer)
        except ConcurrentUpdate:
            continue
    raise ConcurrentUpdate(
        f"The ledger entry of tenant {knowledge.life} changed {_ATTEMPTS} times while it was updated."
    )


def update_each(
    tenant: Tenant,
    change: Callable[[Sync], Sync],
    *,
    ledger: SyncLedger,
    beside: Callable[[Sync], Sync] | None = None,
    answer: Callable[[Waiter], None] = nobody_is_dismissed,
) -> tuple[Sync, ...]:
    """As `update_sync`, of every knowledge that the tenant's documents are brought into. That which answers is written
    last: when it is, so are all.

    Args:
        tenant: the record as it was read, after what is to be noted has happened.
        beside: the change of one that does not answer; the same, if not given.

    Returns: the entries, in the order of `Tenant.each_synced`: that of the one that answers is the first.
    """
    live, *others = tenant.each_synced()
    entries = [update_sync(each.live_knowledge, beside or change, ledger=ledger, answer=answer) for each in others]
    return update_sync(live.live_knowledge, change, ledger=ledger, answer=answer), *entries


def require_trusted(entry: Sync) -> None:
    """Documents may be ingested into the tenant's data source.

    Raises:
        TenantNotActive: it was seen to read another bucket.
    """
    if entry.distrusted:
        raise TenantNotActive(
            f"The data source of tenant {entry.tenant_id} was seen to read another bucket: nothing is ingested.",
            remedy=f"Run `kbfleet tenant add {entry.tenant_id}`: it puts that right, and syncs.",
        )


def request_sync(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    ticks: Ticks,
    clock: Clock,
    priority: Priority = Priority.REQUESTED,
    accepted_deletions: int = 0,
) -> Sync:
    """Raises the tenant's requested generation. Every call asks for a sync that starts after it.

    Args:
        accepted_deletions: how many documents a sync that is held may delete.

    Raises:
        TenantNotFound, TenantNotActive: there is nothing to sync, the tenant is not in service, or its data source
            reads another bucket.
        DeletionsNotSeen: it would delete more.
    """
    tenant = registry.get(tenant_id)
    tenant.in_service()
    tenant.data_source()

    def requested(entry: Sync) -> Sync:
        require_trusted(entry)
        # An entry that is on hold by an older record: whoever resumed the tenant has died before writing it here.
        served = entry.taken_off_hold(clock.now(), tenant.fence)
        accepting = served.accepting(accepted_deletions) if accepted_deletions else served
        return accepting.requested(clock.now(), priority)

    def requested_beside(entry: Sync) -> Sync:
        """Nobody waits for it, and nobody was told what it would delete: that is accepted as far as it was seen."""
        served = entry.taken_off_hold(clock.now(), tenant.fence)
        seen = served.hold is not None and served.hold.missing <= accepted_deletions
        accepting = served.accepting(accepted_deletions) if seen else served
        return accepting.requested(clock.now(), max(priority, Priority.CHANGED))

    sync, *_ = update_each(tenant, requested, beside=requested_beside, ledger=ledger)
    ticks.request()
    return sync


def note_changes(
    life: Life,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    ticks: Ticks,
    clock: Clock,
    debounce: Debounce,
) -> Sync:
    """The tenant's documents have changed: they are synced once they have been quiet for a while. What changes while
    the tenant is out of service, or before it has a data source, is synced when that is over.

    Raises:
        TenantNotFound, TenantOffboarded: nobody wants these documents, also where the tenant has another life by now.
        TenantOffboarding: the tenant's documents are being deleted, and its entry in the ledger must not come back.
    """
    tenant = registry.get(life.tenant_id)
    tenant.require_life(life)
    deletion_began = tenant.offboarding is not None and tenant.offboarding.deletion_began_at is not None
    if tenant.status is TenantStatus.OFFBOARDED or deletion_began:
        tenant.in_service()

    def changed(entry: Sync) -> Sync:
        now = clock.now()
        served = entry.taken_off_hold(now, tenant.fence) if tenant.is_in_service else entry
        return served.requested(now, Priority.CHANGED, ready_at=debounce.ready_at(served, now))

    sync, *_ = update_each(tenant, changed, ledger=ledger)
    ticks.request()
    return sync


def stop_sync(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    knowledge_bases: KnowledgeBases,
    callbacks: TaskCallbacks,
    ticks: Ticks,
) -> Sync:
    """Stops the tenant's running job and takes the tenant off the queue. What is pending stays pending until somebody
    requests a sync, or documents change again.

    Raises:
        TenantNotFound.
    """
    tenant = registry.get(tenant_id)

    def answer(waiter: Waiter) -> None:
        callbacks.fail(waiter.task_token, "IngestionFailed", f"The sync of tenant {tenant_id} was stopped.")

    entries = update_each(tenant, Sync.called_off, ledger=ledger, answer=answer)
    stopped = stop_jobs(tenant, entries, ledger=ledger, knowledge_bases=knowledge_bases)
    if any(each.job is not None for each in entries):
        ticks.request()
    return stopped[0]


def stop_jobs(
    tenant: Tenant, entries: Sequence[Sync], *, ledger: SyncLedger, knowledge_bases: KnowledgeBases
) -> tuple[Sync, ...]:
    """Asks for the end of the jobs that a tenant's entries follow.

    Args:
        entries: as `update_each` gives them.

    Returns: the entries.
    """
    return tuple(
        stop_job(sync, sync.job, each.data_source(), ledger=ledger, knowledge_bases=knowledge_bases)
        if sync.job is not None
        else sync
        for each, sync in zip(tenant.each_synced(), entries, strict=True)
    )


def stop_job(
    sync: Sync,
    job: RunningJob,
    data_source: DataSourceReference,
    *,
    ledger: SyncLedger,
    knowledge_bases: KnowledgeBases,
) -> Sync:
    """Asks for the end of the job that an entry follows. A refusal is written down: if the status is not known, it
    has ended, and the next tick gives it up.

    Returns: the entry.
    """
    if knowledge_bases.stop_ingestion(data_source, job.ingestion_job_id):
        return sync
    return update_sync(sync.of_knowledge, lambda entry: entry.refused_to_stop(job.ingestion_job_id), ledger=ledger)


def _data_source_of(sync: Sync, tenant: Tenant) -> DataSourceReference:
    """Raises: TenantNotActive: nothing is brought into that knowledge any more, or not yet."""
    seen = tenant.seen_from(sync.of_knowledge)
    if seen is None:
        raise TenantNotActive(f"Tenant {tenant.tenant_id} has no knowledge {sync.knowledge} any more.")
    return seen.data_source()


UNANNOUNCED_AFTER = timedelta(hours=1)
"""From the change on, after which a refusal counts for good that is not of what was sent, but of the bus."""


def publish_once(
    change: JobStateChange, *, history: JobHistory, announcements: Announcements, clock: Clock
) -> AwsRefusal | None:
    """Writes a job's state into its history and publishes it, once however often it is observed. What is refused as it
    is, is published without its reasons, which the history has.

    Returns: why it was not published, if it is refused for good: nobody tries it again, and the job does not wait.

    Raises:
        ConcurrentUpdate: somebody else is at it; the ledger must not go on before the bus knows.
        AwsRefusal: the bus is not there, or refuses all; that may pass.
    """
    match history.record(change, clock.now()):
        case Recorded.YOURS:
            refusal = _announced(change, announcements, clock)
            history.published(change)
            return refusal
        case Recorded.ANOTHERS:
            raise ConcurrentUpdate(f"Somebody else is publishing {change.identity}.")
    return None


def _announced(change: JobStateChange, announcements: Announcements, clock: Clock) -> AwsRefusal | None:
    try:
        try:
            announcements.job_state_changed(change)
        except RequestRefused:
            announcements.job_state_changed(change.with_reasons_within(0))
    except AwsRefusal as refusal:
        of_the_event = isinstance(refusal, RequestRefused)
        if of_the_event or clock.now() - change.occurred_at >= UNANNOUNCED_AFTER:
            return refusal
        raise
    return None


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a tick found and did.

    Args:
        waiting: queued tenants that were seen and not started; not all of them, in a crowd.
        postponed: tenants whose turn failed for now, with the reason.
        stale_since: when the oldest change was requested that is not synced, of the tenants that were seen.
        unannounced: tenants with a change of their job that the bus has refused for good, with the reason. The job
            history has it.
    """

    running: int = 0
    started: int = 0
    ended: int = 0
    waiting: int = 0
    postponed: tuple[tuple[TenantId, KbfleetError], ...] = ()
    stale_since: datetime | None = None
    unannounced: tuple[tuple[TenantId, KbfleetError], ...] = ()

    @property
    def idle(self) -> bool:
        return not (self.running or self.started or self.ended or self.waiting)


@dataclass(frozen=True, slots=True)
class Scheduler:
    """One tick: follow the running jobs to their ends, then start queued tenants while slots and the start rate allow.

    Ticks may run at the same time, be repeated, or die anywhere. A job is started before the ledger says so, never the
    other way round, and publishing comes before storing: a crash between them repeats an announcement, and loses none.
    What a tick reads and writes does not depend on how many tenants there are.

    What a job would delete is counted before it is started, and elsewhere: listing a bucket takes as long as it is
    large. A tick asks for that, and starts those who have been checked a moment ago.

    Args:
        start_interval: least time between two StartIngestionJob calls of the account.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    history: JobHistory
    knowledge_bases: KnowledgeBases
    announcements: Announcements
    callbacks: TaskCallbacks
    checks: DeletionChecks
    ticks: Ticks
    clock: Clock
    start_interval: timedelta

    def tick(self) -> TickReport:
        glance = self.ledger.glance(_GLANCE)
        if not glance.entries:
            return TickReport()
        postponed: _Told = []
        unannounced: _Told = []
        running: Counter[KnowledgeBaseKind] = Counter()
        candidates: Counter[KnowledgeBaseKind] = Counter()
        ended = started = 0
        for place, sync in enumerate(sorted(self._running(glance), key=self._lot)):
            try:
                if place < _FOLLOWED and self._follow(sync, unannounced):
                    ended += 1
                    continue
            except _NOT_NOW as error:
                postponed.append((sync.tenant_id, error))
            running[sync.kind] += 1
            candidates[sync.kind] += sync.is_candidates_first
        queued, soon = self._queued(glance)
        waiting = len(queued) + soon
        for sync in self._checked(queued, postponed):
            limit = sync.kind.concurrent_jobs
            if limit is not None and running[sync.kind] >= limit:
                continue
            limit = sync.kind.concurrent_candidates if sync.is_candidates_first else None
            if limit is not None and candidates[sync.kind] >= limit:
                continue
            if not self.ledger.claim_start(self.clock.now(), self.start_interval):
                break
            try:
                taken = self._start(sync, unannounced)
            except _NOT_NOW as error:
                postponed.append((sync.tenant_id, error))
                if not isinstance(error, _NOT_THE_TENANTS):
                    self._give_way(sync, error, unannounced)
                continue
            running[sync.kind] += taken
            candidates[sync.kind] += taken if sync.is_candidates_first else 0
            started += taken
            waiting -= 1
        stale = [since for sync in glance.entries if (since := sync.stale_since()) is not None]
        report = TickReport(
            running.total() - started,
            started,
            ended,
            waiting,
            tuple(postponed),
            min(stale, default=None),
            tuple(unannounced),
        )
        # One more tick after an end: it finds what was requested while the job ran, or nothing, and then rests.
        if not report.idle:
            self.ticks.request()
        return report

    def _lot(self, sync: Sync) -> bytes:
        """Another order at each tick, however far apart they are: everybody's turn comes."""
        return sha256(f"{self.clock.now()}/{sync.of_knowledge}".encode()).digest()

    def _running(self, glance: Glance) -> Iterable[Sync]:
        seen = [sync for sync in glance.entries if sync.state is SyncState.RUNNING]
        # The running ones come first: more of them can only be behind a glance that shows nothing else.
        return seen if glance.complete or len(seen) < len(glance.entries) else self.ledger.running()

    def _queued(self, glance: Glance) -> tuple[Sequence[Sync], int]:
        """The tenants that are ready, in the order in which they are to start; and how many will be within a minute.

        Later ones are left to the schedule that ticks every minute.
        """
        now = self.clock.now()
        if glance.complete:
            queued = [sync for sync in glance.entries if sync.state is SyncState.QUEUED]
        else:
            queued = [
                sync
                for kind in KnowledgeBaseKind
                for priority in Priority
                for sync in self.ledger.queued(kind, priority, ready_by=now + _A_MINUTE, limit=_HEADS)
            ]
        ready = sorted((sync for sync in queued if _ready_by(sync, now)), key=_turn)
        return ready, sum(not _ready_by(sync, now) and _ready_by(sync, now + _A_MINUTE) for sync in queued)

    def _checked(self, queued: Sequence[Sync], postponed: _Told) -> list[Sync]:
        """Those whose job may be started, as far as what it deletes goes. For the first of the others, a check is
        asked for, also while there is no room for their job: when there is, they have been checked."""
        now = self.clock.now()
        unchecked = [sync for sync in queued if sync.needs_check(now)]
        for sync in [sync for sync in unchecked if sync.check_is_due(now)][:_CHECKS]:
            try:
                self.checks.request(sync)
            except _NOT_NOW as error:
                postponed.append((sync.tenant_id, error))
        return [sync for sync in queued if sync not in unchecked]

    def _laid_to_rest(self, sync: Sync, tenant: Tenant) -> bool:
        """Takes what a process that was late has written about a life that is over, or a knowledge that leaves, off the
        ledger's index: whatever is done for it would be done for what the tenant has now. Returns: whether it is so."""
        life = sync.of_knowledge.life
        if not tenant.is_over(life) and tenant.seen_from(sync.of_knowledge) is not None:
            return False

        def answer(waiter: Waiter) -> None:
            self.callbacks.fail(waiter.task_token, TenantOffboarded.__name__, f"Tenant {life} is offboarded.")

        save_sync(sync, sync.laid_to_rest(), ledger=self.ledger, answer=answer)
        return True

    # --- running jobs ---

    def _follow(self, sync: Sync, unannounced: _Told) -> bool:
        """Brings the ledger up to the job's present state. Returns: whether the job has ended, or its tenant's life."""
        if sync.job is None:
            return False
        tenant = self.registry.get(sync.tenant_id)
        if self._laid_to_rest(sync, tenant):
            return True
        data_source = _data_source_of(sync, tenant)
        try:
            job = self.knowledge_bases.ingestion_job(data_source, sync.job.ingestion_job_id)
        except ResourceMissing as error:
            job = self._vanished(sync.job, error)
        job = job.as_of(self.clock.now(), over=sync.job.stop_refused)
        if job.outcome is None:
            if job.status != sync.job.status:
                self._publish(sync, tenant, job, sync.job.generation, unannounced, external=sync.job.external)
            progressed = sync.progressed(job, self.clock.now())
            if progressed != sync:
                save_sync(sync, progressed, ledger=self.ledger)
            return False
        # Also where the status is as it was: a start that was repeated may have answered with a job that had ended.
        result = SyncResult.of_job(job, job.outcome, sync.job.generation, data_source.data_source_id)
        final, external = not sync.will_retry(result), sync.job.external
        self._publish(sync, tenant, job, sync.job.generation, unannounced, final=final, external=external)
        self._end(sync, result)
        return True

    def _vanished(self, job: RunningJob, error: ResourceMissing) -> IngestionJob:
        """A job whose knowledge base or data source was deleted meanwhile will never end by itself."""
        return IngestionJob(
            job.ingestion_job_id,
            JobStatus.FAILED,
            job.started_at,
            self.clock.now(),
            failure_reasons=(FailureReason.of(error.what),),
        )

    def _end(self, sync: Sync, result: SyncResult) -> None:
        def answer(waiter: Waiter) -> None:
            if result.outcome.usable:
                output = {"outcome": result.outcome, "ingestion_job_id": result.ingestion_job_id}
                self.callbacks.succeed(waiter.task_token, output)
            else:
                said = "; ".join(reason.whole for reason in result.failure_reasons)
                cause = shortened(said, CAUSE_BYTES) or f"the job ended {result.outcome}"
                self.callbacks.fail(
                    waiter.task_token, "IngestionFailed", f"The first sync of tenant {sync.tenant_id} failed: {cause}"
                )

        save_sync(sync, sync.ended(result, self.clock.now()), ledger=self.ledger, answer=answer)

    # --- queued tenants ---

    def _start(self, sync: Sync, unannounced: _Told) -> int:
        """Starts the tenant's job, or adopts the one in its way. Returns: how many jobs run more than before."""
        # The queue may show an entry as it was a moment ago. Of a job that is started for one that is on hold or
        # distrusted by now, nobody would know.
        if self.ledger.find(sync.of_knowledge).version != sync.version:
            raise ConcurrentUpdate(f"The entry of tenant {sync.tenant_id} has changed since the queue was read.")
        tenant = self.registry.get(sync.tenant_id)
        if self._laid_to_rest(sync, tenant):
            return 0
        data_source = _data_source_of(sync, tenant)
        generation = sync.requested_generation
        token = client_token(data_source.knowledge_base_id, data_source.data_source_id, "ingestion", sync.start_token)
        try:
            job = self.knowledge_bases.start_ingestion(data_source, client_token=token)
        except ResourceConflict:
            running = self.knowledge_bases.running_ingestion_job(data_source)
            if running is None:
                raise  # the account's limit, reported as a conflict: the tenant stays queued
            if running.as_of(self.clock.now()) != running:
                # It was given up, or would be at once. But whether it has ended, nobody knows.
                raise NotReadyYet(f"Job {running.ingestion_job_id} has a status that is not known.") from None
            self._publish(sync, tenant, running, sync.synced_generation, unannounced, external=True)
            save_sync(sync, sync.adopted(running), ledger=self.ledger)
            return 1
        except CapacityExceeded:
            raise
        except AwsRefusal as error:
            if tenant.leased_at(self.clock.now()):
                raise NotReadyYet(f"{error.what} An execution is changing tenant {sync.tenant_id}.") from error
            self._refused(sync, tenant, generation, error, unannounced)
            return 0
        self._publish(sync, tenant, job, generation, unannounced)
        save_sync(sync, sync.started(job, generation), ledger=self.ledger)
        return 1

    def _give_way(self, sync: Sync, error: KbfleetError, unannounced: _Told) -> None:
        """To the others; or for good, with the reason, where that is no passing trouble."""
        crowded = isinstance(error, _CROWDED)
        everybodys = isinstance(error, NotReadyYet) and error.for_everybody
        own = isinstance(error, (AwsRefusal, NotReadyYet)) and not (crowded or everybodys)
        now = self.clock.now()
        given_way = sync.given_way(now, crowded=crowded, own=own)
        try:
            failure = self._for_good(given_way, error) if own else None
            if failure is None:
                save_sync(sync, given_way, ledger=self.ledger)
            else:
                tenant = self.registry.get(sync.tenant_id)
                self._refused(sync, tenant, sync.requested_generation, failure, unannounced)
        except (ConcurrentUpdate, TenantNotActive):
            return  # somebody has changed the entry meanwhile: the next tick decides on the newer one

    def _for_good(self, sync: Sync, error: KbfleetError) -> KbfleetError | None:
        """Why trying again is in vain, if it is: the tenant's data source has been given up, or has refused for long.
        While it cannot be seen, it is not known to have been given up."""
        try:
            found = self.knowledge_bases.data_source(_data_source_of(sync, self.registry.get(sync.tenant_id)))
        except _NOT_NOW:
            found = None
        given_up = found.given_up() if found is not None else None
        return given_up or (error if sync.refused_for_good(self.clock.now()) else None)

    def _refused(
        self,
        sync: Sync,
        tenant: Tenant,
        generation: int,
        error: KbfleetError,
        unannounced: _Told,
    ) -> None:
        """Bedrock will refuse this start however often it is tried: the sync has failed, and people must know."""
        reasons = (FailureReason.of(str(error)),)
        result = SyncResult(Outcome.FAILED, generation, self.clock.now(), failure_reasons=reasons)
        change = JobStateChange(
            sync.tenant_id,
            _data_source_of(sync, tenant),
            generation,
            JobStatus.FAILED,
            result.ended_at,
            outcome=Outcome.FAILED,
            previous_outcome=sync.result.outcome if sync.result else None,
            failure_reasons=reasons,
            life=sync.life,
            knowledge=sync.knowledge,
            beside=tenant.live_knowledge != sync.of_knowledge,
        )
        self._publish_once(change, unannounced)
        self._end(sync, result)

    def _publish(
        self,
        sync: Sync,
        tenant: Tenant,
        job: IngestionJob,
        generation: int,
        unannounced: _Told,
        *,
        final: bool = True,
        external: bool = False,
    ) -> None:
        self._publish_once(
            JobStateChange(
                tenant_id=sync.tenant_id,
                data_source=_data_source_of(sync, tenant),
                generation=generation,
                status=job.status,
                occurred_at=job.updated_at,
                ingestion_job_id=job.ingestion_job_id,
                started_at=job.started_at,
                outcome=job.outcome,
                previous_outcome=sync.result.outcome if sync.result else None,
                final=final,
                statistics=job.statistics,
                failure_reasons=job.failure_reasons,
                reasons_left_out=job.reasons_left_out,
                external=external,
                after_hold=sync.after_hold,
                life=sync.life,
                knowledge=sync.knowledge,
                beside=tenant.live_knowledge != sync.of_knowledge,
            ),
            unannounced,
        )

    def _publish_once(self, change: JobStateChange, unannounced: _Told) -> None:
        refusal = publish_once(change, history=self.history, announcements=self.announcements, clock=self.clock)
        if refusal is not None:
            unannounced.append((change.tenant_id, refusal))
