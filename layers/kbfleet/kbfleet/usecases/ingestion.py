"""Requesting syncs, and the scheduler that turns requests into ingestion jobs within Bedrock's quotas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from kbfleet.domain.errors import (
    AwsRefusal,
    CapacityExceeded,
    ConcurrentUpdate,
    KbfleetError,
    ResourceConflict,
    ResourceMissing,
    Retryable,
    TenantNotActive,
    TenantNotFound,
    Throttled,
)
from kbfleet.domain.ingestion import (
    MAX_CONCURRENT_JOBS,
    FailureReason,
    IngestionJob,
    JobStateChange,
    JobStatus,
    Outcome,
    Priority,
    RunningJob,
    Sync,
    SyncResult,
)
from kbfleet.domain.knowledge_base import client_token
from kbfleet.domain.tenant import DataSourceReference, TenantId
from kbfleet.ports import (
    Announcements,
    Clock,
    JobHistory,
    KnowledgeBases,
    SyncLedger,
    TaskCallbacks,
    TenantRegistry,
    Ticks,
)

_ATTEMPTS = 20
"""Writers of one ledger entry are few (ticks, requests); losing this often in a row means something is broken."""

_NOT_NOW = (AwsRefusal, ConcurrentUpdate, Retryable, TenantNotActive, TenantNotFound)
"""What postpones one tenant's turn to the next tick, and must not keep the others from theirs."""

_NOT_THE_TENANTS = (ConcurrentUpdate, Throttled)
"""What says nothing about the tenant whose turn it was: it keeps its place in the queue."""


def update_sync(tenant_id: TenantId, change: Callable[[Sync], Sync], *, ledger: SyncLedger) -> Sync:
    """Applies a pure change to a tenant's ledger entry, again on the newer entry when somebody else was faster.

    Raises:
        ConcurrentUpdate: it lost twenty times in a row.
    """
    for _ in range(_ATTEMPTS):
        sync = ledger.find(tenant_id)
        changed = change(sync)
        if changed == sync:
            return sync
        try:
            return ledger.save(changed)
        except ConcurrentUpdate:
            continue
    raise ConcurrentUpdate(f"The ledger entry of tenant {tenant_id} changed {_ATTEMPTS} times while it was updated.")


def request_sync(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    ticks: Ticks,
    clock: Clock,
    priority: Priority = Priority.REQUESTED,
) -> Sync:
    """Raises the tenant's requested generation. Every call asks for a sync that starts after it.

    Raises:
        TenantNotFound, TenantNotActive: there is nothing to sync, or the tenant is not in service.
    """
    tenant = registry.get(tenant_id)
    tenant.in_service()
    tenant.data_source()
    sync = update_sync(tenant_id, lambda entry: entry.requested(clock.now(), priority), ledger=ledger)
    ticks.request()
    return sync


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a tick found and did; `postponed` are tenants whose turn failed for now, with the reason."""

    running: int
    started: int
    ended: int
    waiting: int
    postponed: tuple[tuple[TenantId, KbfleetError], ...]

    @property
    def idle(self) -> bool:
        return not (self.running or self.started or self.ended or self.waiting)


@dataclass(frozen=True, slots=True)
class Scheduler:
    """One tick: follow the running jobs to their ends, then start queued tenants while slots and the start rate allow.

    Ticks may run at the same time, be repeated, or die anywhere. A job is started before the ledger says so, never the
    other way round, and publishing comes before storing: a crash between them repeats an announcement, and loses none.

    Args:
        start_interval: least time between two StartIngestionJob calls of the account.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    history: JobHistory
    knowledge_bases: KnowledgeBases
    announcements: Announcements
    callbacks: TaskCallbacks
    ticks: Ticks
    clock: Clock
    start_interval: timedelta

    def tick(self) -> TickReport:
        postponed: list[tuple[TenantId, KbfleetError]] = []
        running = ended = started = waiting = 0
        for sync in self.ledger.running():
            try:
                if self._follow(sync):
                    ended += 1
                    continue
            except _NOT_NOW as error:
                postponed.append((sync.tenant_id, error))
            running += 1
        for sync in self.ledger.queued():
            if running + started >= MAX_CONCURRENT_JOBS or not self.ledger.claim_start(
                self.clock.now(), self.start_interval
            ):
                waiting += 1
                break
            try:
                started += self._start(sync)
            except _NOT_NOW as error:
                postponed.append((sync.tenant_id, error))
                waiting += 1
                if not isinstance(error, _NOT_THE_TENANTS):
                    self._give_way(sync)
        report = TickReport(running, started, ended, waiting, tuple(postponed))
        # One more tick after an end: it finds what was requested while the job ran, or nothing, and then rests.
        if not report.idle:
            self.ticks.request()
        return report

    # --- running jobs ---

    def _follow(self, sync: Sync) -> bool:
        """Brings the ledger up to the job's present state. Returns: whether the job has ended."""
        if sync.job is None:
            return False
        data_source = self.registry.get(sync.tenant_id).data_source()
        try:
            job = self.knowledge_bases.ingestion_job(data_source, sync.job.ingestion_job_id)
        except ResourceMissing as error:
            job = self._vanished(sync.job, error)
        # A start that was repeated may have answered with a job that had ended already.
        if job.status == sync.job.status and not job.status.ended:
            return False
        self._publish(sync, data_source, job, sync.job.generation)
        if job.outcome is None:
            self.ledger.save(sync.progressed(job.status))
            return False
        self._end(
            sync,
            SyncResult(
                job.outcome,
                sync.job.generation,
                job.updated_at,
                job.ingestion_job_id,
                failure_reasons=job.failure_reasons,
                data_source_id=data_source.data_source_id,
            ),
        )
        return True

    def _vanished(self, job: RunningJob, error: ResourceMissing) -> IngestionJob:
        """A job whose knowledge base or data source was deleted meanwhile will never end by itself."""
        return IngestionJob(
            job.ingestion_job_id,
            JobStatus.FAILED,
            job.started_at,
            self.clock.now(),
            failure_reasons=(FailureReason(error.what),),
        )

    def _end(self, sync: Sync, result: SyncResult) -> None:
        for waiter in sync.answered(result):
            if result.outcome.usable:
                output = {"outcome": result.outcome, "ingestion_job_id": result.ingestion_job_id}
                self.callbacks.succeed(waiter.task_token, output)
            else:
                cause = "; ".join(reason.text for reason in result.failure_reasons) or f"the job ended {result.outcome}"
                self.callbacks.fail(
                    waiter.task_token, "IngestionFailed", f"The first sync of tenant {sync.tenant_id} failed: {cause}"
                )
        self.ledger.save(sync.ended(result, self.clock.now()))

    # --- queued tenants ---

    def _start(self, sync: Sync) -> int:
        """Starts the tenant's job, or adopts the one in its way. Returns: how many jobs run more than before."""
        data_source = self.registry.get(sync.tenant_id).data_source()
        generation = sync.requested_generation
        token = client_token(data_source.knowledge_base_id, data_source.data_source_id, "ingestion", str(generation))
        try:
            job = self.knowledge_bases.start_ingestion(data_source, client_token=token)
        except ResourceConflict:
            running = self.knowledge_bases.running_ingestion_job(data_source)
            if running is None:
                raise  # the account's limit, reported as a conflict: the tenant stays queued
            self._publish(sync, data_source, running, sync.synced_generation)
            self.ledger.save(sync.adopted(running))
            return 1
        except CapacityExceeded:
            raise
        except AwsRefusal as error:
            self._refused(sync, data_source, generation, error)
            return 0
        self._publish(sync, data_source, job, generation)
        self.ledger.save(sync.started(job, generation))
        return 1

    def _give_way(self, sync: Sync) -> None:
        try:
            self.ledger.save(sync.given_way(self.clock.now()))
        except ConcurrentUpdate:
            return  # somebody has changed the entry meanwhile: the next tick decides on the newer one

    def _refused(self, sync: Sync, data_source: DataSourceReference, generation: int, error: AwsRefusal) -> None:
        """Bedrock will refuse this start however often it is tried: the sync has failed, and people must know."""
        reasons = (FailureReason(str(error)),)
        result = SyncResult(Outcome.FAILED, generation, self.clock.now(), failure_reasons=reasons)
        change = JobStateChange(
            sync.tenant_id,
            data_source,
            generation,
            JobStatus.FAILED,
            result.ended_at,
            outcome=Outcome.FAILED,
            previous_outcome=sync.result.outcome if sync.result else None,
            failure_reasons=reasons,
        )
        self.history.record(change)
        self.announcements.job_state_changed(change)
        self._end(sync, result)

    def _publish(self, sync: Sync, data_source: DataSourceReference, job: IngestionJob, generation: int) -> None:
        change = JobStateChange(
            tenant_id=sync.tenant_id,
            data_source=data_source,
            generation=generation,
            status=job.status,
            occurred_at=job.updated_at,
            ingestion_job_id=job.ingestion_job_id,
            started_at=job.started_at,
            outcome=job.outcome,
            previous_outcome=sync.result.outcome if sync.result else None,
            statistics=job.statistics,
            failure_reasons=job.failure_reasons,
        )
        self.history.record(change)
        self.announcements.job_state_changed(change)
