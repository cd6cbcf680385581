"""The sync ledger's protocol: what was requested, what is running, what came of it.

Everything that wants a sync raises the tenant's requested generation. A job records the generation it started from.
When it ends well, that generation is synced; if more was requested meanwhile, the tenant is queued again. An update can
therefore wait, but it cannot be lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum, StrEnum

from kbfleet.domain.tenant import DataSourceReference, TenantId

MAX_CONCURRENT_JOBS = 5
"""Per account and Region, not adjustable. Source: AWS documentation, Amazon Bedrock quotas."""


class JobStatus(StrEnum):
    """Source: botocore service model of bedrock-agent, shape IngestionJobStatus."""

    STARTING = "STARTING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"

    @property
    def ended(self) -> bool:
        return self in {JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.STOPPED}


class Outcome(StrEnum):
    """What a sync came to, in the tenant's eyes. Bedrock's COMPLETE also covers jobs that indexed nothing."""

    SUCCEEDED = "SUCCEEDED"
    DEGRADED = "DEGRADED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def usable(self) -> bool:
        """Whether the documents that could be read are now searchable."""
        return self in {Outcome.SUCCEEDED, Outcome.DEGRADED}

    @property
    def broken(self) -> bool:
        return self in {Outcome.DEGRADED, Outcome.FAILED}


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One cause that Bedrock names, and the documents it names with it."""

    text: str
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one job. Source: botocore service model of bedrock-agent, shape IngestionJobStatistics."""

    scanned: int = 0
    metadata_scanned: int = 0
    new: int = 0
    modified: int = 0
    metadata_modified: int = 0
    deleted: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class IngestionJob:
    """A job as Bedrock reports it."""

    ingestion_job_id: str
    status: JobStatus
    started_at: datetime
    updated_at: datetime
    statistics: Statistics = field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """`None` while the job runs. COMPLETE is a success only with nothing failed and no reason given: a job can end
        COMPLETE, failed=0 and skipped=0 and have indexed nothing (reported by users of Bedrock)."""
        match self.status:
            case JobStatus.COMPLETE:
                clean = self.statistics.failed == 0 and not self.failure_reasons
                return Outcome.SUCCEEDED if clean else Outcome.DEGRADED
            case JobStatus.FAILED:
                return Outcome.FAILED
            case JobStatus.STOPPED:
                return Outcome.STOPPED
        return None


_FILES = re.compile(r"\s*\[Files: (?P<files>[^\]]*)\]")


def parse_failure_reasons(raw: Iterable[str]) -> tuple[FailureReason, ...]:
    """Bedrock's `failureReasons`, unwrapped.

    Args:
        raw: the strings of the API. Each is usually a JSON array inside a string, whose texts may end in
            `[Files: s3://bucket/key, s3://bucket/other key]` (reported by users); anything else is kept as it is.

    Returns:
        One reason a text, in order, empty texts left out.
    """
    return tuple(_reason(text) for element in raw for text in _texts(element) if text.strip())


def _texts(element: str) -> list[str]:
    try:
        value = json.loads(element)
    except (
        ValueError,
        RecursionError,
    ):  # the text is not ours: it may be anything, also brackets nested a thousand deep
        return [element]
    if isinstance(value, list):
        return [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in value]
    return [value if isinstance(value, str) else element]


def _reason(text: str) -> FailureReason:
    documents: list[str] = []
    for match in _FILES.finditer(text):
        # Keys may hold commas and spaces, so the separator is the comma before the next URI.
        documents += [uri.strip() for uri in re.split(r",\s*(?=s3://)", match["files"]) if uri.strip()]
    return FailureReason(_FILES.sub("", text).strip(), tuple(documents))


class Priority(IntEnum):
    """Lower goes first."""

    REQUESTED = 0
    """An operator or a first sync: somebody waits."""
    CHANGED = 1
    SCHEDULED = 2


class SyncState(StrEnum):
    IDLE = "IDLE"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class RunningJob:
    """The job that the ledger follows, and the generation of changes it certainly contains."""

    ingestion_job_id: str
    generation: int
    status: JobStatus
    started_at: datetime


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How the last sync ended. `ingestion_job_id` is `None` when Bedrock refused to start a job at all."""

    outcome: Outcome
    generation: int
    ended_at: datetime
    ingestion_job_id: str | None = None
    failure_reasons: tuple[FailureReason, ...] = ()
    data_source_id: str | None = None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A state machine's task that wants to know how a generation ended."""

    task_token: str
    generation: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A tenant's entry in the ledger. `version` is for optimistic locking; 0 means never stored.

    `synced_data_source_id` is where the synced generation went: a data source that was deleted took it along.
    """

    tenant_id: TenantId
    state: SyncState = SyncState.IDLE
    requested_generation: int = 0
    synced_generation: int = 0
    synced_at: datetime | None = None
    synced_data_source_id: str | None = None
    priority: Priority = Priority.SCHEDULED
    queued_at: datetime | None = None
    job: RunningJob | None = None
    result: SyncResult | None = None
    waiters: tuple[Waiter, ...] = ()
    on_hold: bool = False
    version: int = 0

    @property
    def pending_changes(self) -> bool:
        return self.requested_generation > self.synced_generation

    def requested(self, now: datetime, priority: Priority, task_token: str | None = None) -> Sync:
        """One more generation is wanted; an idle tenant joins the queue, a running one is queued when its job ends."""
        generation = self.requested_generation + 1
        waiters = (*self.waiters, Waiter(task_token, generation)) if task_token else self.waiters
        raised = replace(self, requested_generation=generation, waiters=waiters)
        if self.on_hold:
            return raised
        if self.state is SyncState.IDLE:
            return replace(raised, state=SyncState.QUEUED, priority=priority, queued_at=now)
        return replace(raised, priority=min(self.priority, priority), queued_at=self.queued_at or now)

    def put_on_hold(self) -> Sync:
        """No job is started from here on; what is requested meanwhile is remembered. A running job is still followed
        to its end, and whoever waits for a sync has nothing to wait for."""
        held = replace(self, on_hold=True, waiters=(), queued_at=None)
        return replace(held, state=SyncState.IDLE) if self.state is SyncState.QUEUED else held

    def taken_off_hold(self, now: datetime) -> Sync:
        """What was requested meanwhile, or was left over before, is requested anew: under the old generation's client
        token, Bedrock would answer with the job that was stopped."""
        if not self.on_hold:
            return self
        released = replace(self, on_hold=False)
        return released.requested(now, Priority.CHANGED) if self.pending_changes else released

    def has_synced(self, data_source_id: str) -> bool:
        """Whether that data source has been ingested at least once."""
        return self.synced_generation > 0 and self.synced_data_source_id == data_source_id

    def started(self, job: IngestionJob, generation: int) -> Sync:
        """A job runs that read the documents after `generation` was requested."""
        running = RunningJob(job.ingestion_job_id, generation, job.status, job.started_at)
        return replace(self, state=SyncState.RUNNING, job=running)

    def adopted(self, job: IngestionJob) -> Sync:
        """A job that somebody else started: it may have read the documents before our changes, so it proves nothing
        newer than what is synced already, and the tenant is queued again when it ends."""
        return self.started(job, self.synced_generation)

    def given_way(self, now: datetime) -> Sync:
        """A queued tenant whose start came to nothing goes behind all others: there is one start in ten seconds for
        the whole fleet, and one tenant's trouble must not use them all up."""
        return replace(self, priority=Priority.SCHEDULED, queued_at=now)

    def progressed(self, status: JobStatus) -> Sync:
        return replace(self, job=replace(self.job, status=status)) if self.job else self

    def ended(self, result: SyncResult, now: datetime) -> Sync:
        """The followed job ended, or Bedrock refused to start one for `result.generation`."""
        usable = result.outcome.usable
        entry = replace(
            self,
            job=None,
            result=result,
            synced_generation=max(self.synced_generation, result.generation) if usable else self.synced_generation,
            synced_at=now if usable else self.synced_at,
            synced_data_source_id=result.data_source_id if usable else self.synced_data_source_id,
            waiters=tuple(waiter for waiter in self.waiters if waiter.generation > result.generation),
        )
        if entry.requested_generation > result.generation and not self.on_hold:
            return replace(entry, state=SyncState.QUEUED, queued_at=entry.queued_at or now)
        return replace(entry, state=SyncState.IDLE, priority=Priority.SCHEDULED, queued_at=None)

    def answered(self, result: SyncResult) -> tuple[Waiter, ...]:
        """The waiters whom `result` answers."""
        return tuple(waiter for waiter in self.waiters if waiter.generation <= result.generation)


@dataclass(frozen=True, slots=True)
class JobStateChange:
    """What is stored in the job history and published on the bus, once for every state that a job was seen in."""

    tenant_id: TenantId
    data_source: DataSourceReference
    generation: int
    status: JobStatus
    occurred_at: datetime
    ingestion_job_id: str | None = None
    started_at: datetime | None = None
    outcome: Outcome | None = None
    previous_outcome: Outcome | None = None
    statistics: Statistics = field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()

    @property
    def identity(self) -> str:
        """The same for every observation of the same change, so that repeated deliveries can be told."""
        job = self.ingestion_job_id or f"generation-{self.generation}"
        return f"{self.tenant_id}/{job}/{self.status}"

    @property
    def documents(self) -> tuple[str, ...]:
        """URIs of the documents that Bedrock names, each once, in order."""
        return tuple(dict.fromkeys(uri for reason in self.failure_reasons for uri in reason.documents))


def statistics_from_counts(counts: Mapping[str, int]) -> Statistics:
    """The statistics of the API (`numberOf…`) under our names; counts that are missing are 0."""
    return Statistics(
        scanned=counts.get("numberOfDocumentsScanned", 0),
        metadata_scanned=counts.get("numberOfMetadataDocumentsScanned", 0),
        new=counts.get("numberOfNewDocumentsIndexed", 0),
        modified=counts.get("numberOfModifiedDocumentsIndexed", 0),
        metadata_modified=counts.get("numberOfMetadataDocumentsModified", 0),
        deleted=counts.get("numberOfDocumentsDeleted", 0),
        failed=counts.get("numberOfDocumentsFailed", 0),
        skipped=counts.get("numberOfDocumentsSkipped", 0),
    )
