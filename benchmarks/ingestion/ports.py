"""kbfleet's ports in memory, lean enough for a day of ten thousand tenants, and counting what each call costs in AWS.

What a method counts is what the adapter of that port requests; `benchmarks.ingestion.tick_cost` holds the two against
each other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import simpy

from benchmarks.ingestion.service import IngestionService, Job, Refusal, StartRefused
from kbfleet import ports
from kbfleet.domain.errors import (
    ConcurrentUpdate,
    KbfleetError,
    ResourceConflict,
    ResourceMissing,
    TenantNotFound,
    Throttled,
)
from kbfleet.domain.ingestion_job import IngestionJob, JobStateChange, JobStatus
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, ResourceNames, TenantId
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import Glance, Recorded
from kbfleet.usecases.ingestion import Scheduler

EPOCH = datetime(2026, 11, 2, tzinfo=UTC)
_STARTING = 5.0
"""Seconds that a job is STARTING, a guess; each state that a job is seen in is one more announcement."""
_NAMES = ResourceNames("kbfleet", "000000000000", "us-east-1")


class VirtualClock:
    """`kbfleet.ports.Clock` of a simulation."""

    def __init__(self, environment: simpy.Environment) -> None:
        self._environment = environment

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._environment.now)


def active_tenant(tenant_id: TenantId, data_source: DataSourceReference) -> Tenant:
    """A tenant in service."""
    return Tenant(
        tenant_id=tenant_id,
        name=str(tenant_id),
        status=TenantStatus.ACTIVE,
        knowledge_store="S3_VECTORS",
        created_at=EPOCH,
        updated_at=EPOCH,
        status_since=EPOCH,
        fence=1,
        bucket_name=_NAMES.bucket(Life(tenant_id)),
        knowledge_base_id=data_source.knowledge_base_id,
        data_source_id=data_source.data_source_id,
    )


class Registry:
    """The part of `kbfleet.ports.TenantRegistry` that ingestion calls."""

    def __init__(self, data_sources: Mapping[TenantId, DataSourceReference], calls: Counter[str]) -> None:
        self._tenants = {tenant_id: active_tenant(tenant_id, source) for tenant_id, source in data_sources.items()}
        self._calls = calls

    def find(self, tenant_id: TenantId) -> Tenant | None:
        self._calls["dynamodb:GetItem"] += 1
        return self._tenants.get(tenant_id)

    def get(self, tenant_id: TenantId) -> Tenant:
        found = self.find(tenant_id)
        if found is None:
            raise TenantNotFound.of(tenant_id)
        return found


_Place = tuple[KnowledgeBaseKind, Priority, float, str]


def _place(sync: Sync) -> _Place:
    return sync.kind, sync.priority, sync.ready_at.timestamp() if sync.ready_at else 0.0, _name(sync)


def _name(sync: Sync) -> str:
    return _NAMES.vector_index(sync.of_knowledge)


class Ledger:
    """`kbfleet.ports.SyncLedger`. The queue is kept in order, as the table's index is.

    `items_read` counts what queries give back, each as one item.
    """

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls
        self._entries: dict[str, Sync] = {}
        self._running: dict[str, None] = {}
        self._queue: list[_Place] = []
        self._start_claimed_at: datetime | None = None
        self.items_read = 0

    @property
    def at_rest(self) -> bool:
        """Whether nobody is queued or running."""
        return not (self._running or self._queue)

    def find(self, knowledge: Knowledge) -> Sync:
        self._calls["dynamodb:GetItem"] += 1
        return self._entries.get(_NAMES.vector_index(knowledge), Sync.never_stored(knowledge))

    def entries(self, wanted: Iterable[Knowledge]) -> Iterator[Sync]:
        for number, knowledge in enumerate(wanted):
            self._calls["dynamodb:BatchGetItem"] += number % 100 == 0
            yield self._entries.get(_NAMES.vector_index(knowledge), Sync.never_stored(knowledge))

    def save(self, sync: Sync) -> Sync:
        self._calls["dynamodb:PutItem"] += 1
        earlier = self._entries.get(_name(sync), Sync.never_stored(sync.of_knowledge))
        if earlier.version != sync.version:
            raise ConcurrentUpdate(f"The ledger entry of tenant {sync.tenant_id} has changed since it was read.")
        stored = replace(sync, version=sync.version + 1)
        if earlier.state is SyncState.QUEUED:
            del self._queue[bisect_left(self._queue, _place(earlier))]
        self._running.pop(_name(sync), None)
        self._entries[_name(sync)] = stored
        if stored.state is SyncState.QUEUED:
            insort(self._queue, _place(stored))
        elif stored.state is SyncState.RUNNING:
            self._running[_name(sync)] = None
        return stored

    def glance(self, limit: int) -> Glance:
        seen = [*sorted(self._running), *(place[3] for place in self._queue[: limit + 1])][: limit + 1]
        self._queried(len(seen))
        return Glance([self._entries[name] for name in seen[:limit]], complete=len(seen) <= limit)

    def running(self) -> Iterator[Sync]:
        self._queried(len(self._running))
        return iter([self._entries[name] for name in sorted(self._running)])

    def held(self) -> Iterator[Sync]:
        held = [entry for entry in self._entries.values() if entry.state is SyncState.IDLE and entry.hold is not None]
        self._queried(len(held))
        return iter(held)

    def queued(self, kind: KnowledgeBaseKind, priority: Priority, *, ready_by: datetime, limit: int) -> Sequence[Sync]:
        first = bisect_left(self._queue, (kind, priority, float("-inf"), ""))
        last = bisect_right(self._queue, (kind, priority, ready_by.timestamp(), "~"))
        found = [self._entries[place[3]] for place in self._queue[first : min(last, first + limit)]]
        self._queried(len(found))
        return found

    def claim_start(self, now: datetime, interval: timedelta) -> bool:
        self._calls["dynamodb:PutItem"] += 1
        if self._start_claimed_at is not None and now - self._start_claimed_at < interval:
            return False
        self._start_claimed_at = now
        return True

    def _queried(self, items: int) -> None:
        self._calls["dynamodb:Query"] += 1
        self.items_read += items


class History:
    """The part of `kbfleet.ports.JobHistory` that a scheduler calls, if no other ticks at the same moment."""

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls
        self._published: set[str] = set()

    def record(self, change: JobStateChange, now: datetime) -> Recorded:  # noqa: ARG002 - the port's signature
        self._calls["dynamodb:UpdateItem"] += 2
        if change.identity in self._published:
            self._calls["dynamodb:GetItem"] += 1
            return Recorded.PUBLISHED
        return Recorded.YOURS

    def published(self, change: JobStateChange) -> None:
        self._calls["dynamodb:UpdateItem"] += 1
        self._published.add(change.identity)


class Announcements:
    """The part of `kbfleet.ports.Announcements` that the scheduler calls."""

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls

    def job_state_changed(self, change: JobStateChange) -> None:  # noqa: ARG002 - the port's signature
        self._calls["events:PutEvents"] += 1


class KnowledgeBases:
    """The part of `kbfleet.ports.KnowledgeBases` that the scheduler calls, on the modelled service."""

    def __init__(self, service: IngestionService, calls: Counter[str]) -> None:
        self._service = service
        self._calls = calls
        self._started: dict[str, Job] = {}

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        if client_token in self._started:
            self._calls["bedrock:StartIngestionJob"] += 1
            return self._reported(self._started[client_token])
        try:
            job = self._service.start(data_source.knowledge_base_id)
        except StartRefused as error:
            raise _translated(error.refusal) from error
        self._started[client_token] = job
        return self._reported(job)

    def ingestion_job(self, data_source: DataSourceReference, ingestion_job_id: str) -> IngestionJob:
        self._calls["bedrock:GetIngestionJob"] += 1
        number = int(ingestion_job_id)
        if number >= len(self._service.jobs):
            raise ResourceMissing(f"There is no job {ingestion_job_id} of {data_source.data_source_id}.")
        return self._reported(self._service.jobs[number])

    def running_ingestion_job(self, data_source: DataSourceReference) -> IngestionJob | None:
        self._calls["bedrock:ListIngestionJobs"] += 1
        job = self._service.running_job(data_source.knowledge_base_id)
        return None if job is None else self.ingestion_job(data_source, str(job.number))

    def _reported(self, job: Job) -> IngestionJob:
        started = EPOCH + timedelta(seconds=job.started_at)
        if job.ended:
            return IngestionJob(str(job.number), JobStatus.COMPLETE, started, started + timedelta(seconds=job.duration))
        if self._service.environment.now < job.started_at + _STARTING:
            return IngestionJob(str(job.number), JobStatus.STARTING, started, started)
        return IngestionJob(str(job.number), JobStatus.IN_PROGRESS, started, started + timedelta(seconds=_STARTING))


def _translated(refusal: Refusal) -> KbfleetError:
    return Throttled(str(refusal)) if refusal is Refusal.THROTTLED else ResourceConflict(str(refusal))


def scheduler(
    *,
    registry: Registry | ports.TenantRegistry,
    ledger: ports.SyncLedger,
    history: History | ports.JobHistory,
    knowledge_bases: KnowledgeBases | ports.KnowledgeBases,
    ticks: ports.Ticks,
    clock: ports.Clock,
    start_interval: float,
    calls: Counter[str],
) -> Scheduler:
    """The real one. `start_interval` is in seconds. No execution waits for a sync, so nobody is called back."""
    return Scheduler(
        registry=cast("ports.TenantRegistry", registry),
        ledger=ledger,
        history=cast("ports.JobHistory", history),
        knowledge_bases=cast("ports.KnowledgeBases", knowledge_bases),
        announcements=cast("ports.Announcements", Announcements(calls)),
        callbacks=cast("ports.TaskCallbacks", object()),
        # The modelled jobs find no documents: there is nothing that a sync could delete.
        checks=cast("ports.DeletionChecks", object()),
        ticks=ticks,
        clock=clock,
        start_interval=timedelta(seconds=start_interval),
    )
