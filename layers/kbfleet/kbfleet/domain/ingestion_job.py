"""Ingestion jobs: what Bedrock says of them, and what is published of their changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.aws_status import AwsStatus
from kbfleet.domain.bounds import JOBS_REASONS, JOBS_REASONS_BYTES, REASON_BYTES, fitting, shortened, size
from kbfleet.domain.document_names import words_and_names
from kbfleet.domain.names import DataSourceReference, Life, TenantId


class JobStatus(AwsStatus):
    """Source: botocore service model of bedrock-agent, shape IngestionJobStatus."""

    STARTING = "STARTING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"

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
    """One cause that Bedrock gives.

    Args:
        text: its own words.
        names: what follows them where it lists documents, as it stands. Only `document_names.named_in` looks into it.
    """

    text: str
    names: str = ""

    def __post_init__(self) -> None:
        if size(self.text) + size(self.names) <= REASON_BYTES:
            return
        # A part of the names could name another document than the whole does.
        left_out = f" (names that take {len(self.names)} characters are left out)" if self.names else ""
        object.__setattr__(self, "text", f"{shortened(self.text, REASON_BYTES - size(left_out))}{left_out}")
        object.__setattr__(self, "names", "")

    @classmethod
    def of(cls, said: str) -> FailureReason:
        return cls(*words_and_names(said))

    @property
    def whole(self) -> str:
        """For people."""
        return f"{self.text} {self.names}".strip()

    @property
    def size(self) -> int:
        """Bytes, with what is around it in JSON."""
        return size(self.text) + size(self.names) + 32


def first_reasons(
    reasons: Sequence[FailureReason], left_out: int = 0, *, most_bytes: int = JOBS_REASONS_BYTES
) -> tuple[tuple[FailureReason, ...], int]:
    """As many of a job's reasons as are kept, and how many are left out. Args: left_out: how many were before."""
    kept = tuple(fitting(reasons, lambda reason: reason.size, most_bytes=most_bytes, most=JOBS_REASONS))
    return kept, left_out + len(reasons) - len(kept)


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

    @property
    def indexed(self) -> int:
        return self.new + self.modified

    @property
    def left_out(self) -> int:
        return self.failed + self.skipped

    @property
    def reasons(self) -> tuple[FailureReason, ...]:
        """What the counts alone say of documents that were left out, where Bedrock gives no reason."""
        counted = [f"{count} {what}" for count, what in ((self.failed, "failed"), (self.skipped, "skipped")) if count]
        said = f"Documents that Bedrock counts as left out, without a reason: {', '.join(counted)}."
        return (FailureReason(said),) if counted else ()


_AN_HOUR = timedelta(hours=1)
UNKNOWN_AT_MOST = 6 * _AN_HOUR
"""How long a job is followed whose status is not known and that does not change: it may have ended in a way that AWS
has come to name since. Small syncs take a few minutes (reported by users); AWS names no longest."""


@dataclass(frozen=True, slots=True)
class IngestionJob:
    """A job as Bedrock reports it; `reasons_left_out` is how many of its reasons are not kept."""

    ingestion_job_id: str
    status: JobStatus
    started_at: datetime
    updated_at: datetime
    statistics: Statistics = field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()
    reasons_left_out: int = 0

    def __post_init__(self) -> None:
        _keep_first_reasons(self)

    def as_of(self, now: datetime, *, over: bool = False) -> IngestionJob:
        """The job, or, if its status is not known and it does not look as if it still ran, one that has failed. One
        that says by its counts alone that it left documents out has that as its reason.

        Args:
            over: whether Bedrock shows otherwise that it does not run: it refuses to stop it, or has started a later
                job of the same data source.
        """
        if self.status is JobStatus.COMPLETE and not self.failure_reasons:
            return replace(self, failure_reasons=self.statistics.reasons)
        if self.status is not JobStatus.UNKNOWN or not (over or now - self.updated_at >= UNKNOWN_AT_MOST):
            return self
        shown = (
            "Bedrock does not run it any more"
            if over
            else f"it has not changed for {UNKNOWN_AT_MOST // _AN_HOUR} hours"
        )
        reason = f"The job was given up: kbfleet does not know its status, and {shown}. The console names the status."
        # In front: it must not be among what is left out.
        return replace(self, status=JobStatus.FAILED, failure_reasons=(FailureReason(reason), *self.failure_reasons))

    @property
    def outcome(self) -> Outcome | None:
        """`None` while the job runs. COMPLETE is a success only with nothing failed or skipped and no reason given: a
        job can end COMPLETE, failed=0 and skipped=0 and have indexed nothing (reported by users of Bedrock). Of what is
        skipped, AWS says only that these are "source documents that were skipped during ingestion" (botocore model):
        whether unchanged ones are among them is not known, so they are taken for left out until somebody has looked."""
        match self.status:
            case JobStatus.COMPLETE:
                clean = not (self.statistics.failed or self.statistics.skipped or self.failure_reasons)
                return Outcome.SUCCEEDED if clean else Outcome.DEGRADED
            case JobStatus.FAILED:
                return Outcome.FAILED
            case JobStatus.STOPPED:
                return Outcome.STOPPED
        return None


@dataclass(frozen=True, slots=True)
class JobStateChange:
    """What is stored in the job history and published on the bus, once for every state that a job was seen in.

    `final` is whether nothing follows by itself: a job that failed for a passing cause is tried again. `external` is
    whether somebody else started the job, in the console for one; `after_hold`, whether a sync was held since the last
    good one, of which people were told; `reasons_left_out`, how many reasons are not kept. `knowledge` is the number of
    the tenant's that it has read for; `beside`, whether that one answers nobody at present.
    """

    tenant_id: TenantId
    data_source: DataSourceReference
    generation: int
    status: JobStatus
    occurred_at: datetime
    ingestion_job_id: str | None = None
    started_at: datetime | None = None
    outcome: Outcome | None = None
    previous_outcome: Outcome | None = None
    final: bool = True
    statistics: Statistics = field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()
    external: bool = False
    after_hold: bool = False
    life: int = 1
    reasons_left_out: int = 0
    knowledge: int = 1
    beside: bool = False

    def __post_init__(self) -> None:
        _keep_first_reasons(self)

    def with_reasons_within(self, most_bytes: int) -> JobStateChange:
        """With as many of its reasons as fit into so many bytes; the others are counted."""
        kept, left_out = first_reasons(self.failure_reasons, self.reasons_left_out, most_bytes=most_bytes)
        return replace(self, failure_reasons=kept, reasons_left_out=left_out)

    @property
    def size(self) -> int:
        """Bytes of it as JSON in UTF-8, at most."""
        return 2_048 + sum(reason.size for reason in self.failure_reasons)

    @property
    def of_life(self) -> Life:
        """The tenant's, in which the job was started."""
        return Life(self.tenant_id, self.life)

    @property
    def identity(self) -> str:
        """The same for every observation of the same change, so that repeated deliveries can be recognized."""
        # A job that Bedrock refused has a name that comes again in each life, and of each knowledge.
        of = self.tenant_id if self.of_life.is_first else f"{self.tenant_id}.{self.life}"
        if self.knowledge != 1:
            of = f"{self.tenant_id}.{self.life}.{self.knowledge}"
        return f"{of}/{self.name}/{self.status}"

    @property
    def name(self) -> str:
        """Bedrock's id of the job; of one that Bedrock refused to start, the generation that it was for."""
        return self.ingestion_job_id or f"generation-{self.generation}"

    @property
    def merely_skipped(self) -> bool:
        """Whether all that it says of documents that were left out is how many it has skipped."""
        skipped = self.statistics.skipped and not self.statistics.failed
        return bool(skipped) and self.failure_reasons == self.statistics.reasons

    def may_name(self, uri: str) -> bool:
        """Whether that text is in what Bedrock says; it may be a part of another name."""
        return any(uri in reason.names for reason in self.failure_reasons)


def _keep_first_reasons(job: IngestionJob | JobStateChange) -> None:
    kept, left_out = first_reasons(job.failure_reasons, job.reasons_left_out)
    object.__setattr__(job, "failure_reasons", kept)
    object.__setattr__(job, "reasons_left_out", left_out)


JOB_NAME_PATTERN = "([0-9a-zA-Z]{10}|generation-[0-9]{1,18})"
"""Of the names of a `JobStateChange`. Source of ids: botocore model of bedrock-agent, shape Id."""


def can_be_a_job(name: str) -> bool:
    return re.fullmatch(JOB_NAME_PATTERN, name) is not None
