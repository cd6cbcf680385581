"""What is true of each of a tenant's documents: answered from or not, since when, and how that is known. Pure.

Two places know: the ledger of syncs, which is free to ask, and Bedrock's own list, of which the account may ask five
times a second. What neither says is unknown, and is called that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.failed_documents import FailedDocument, IngestedDocument, IngestedStatus
from kbfleet.domain.left_out import left_out_not_known
from kbfleet.domain.sync import RunningJob, Sync

ASKED_AT_ONCE = 2
"""Requests for documents by their names that one page makes of Bedrock, at most: of the five a second of the account,
whoever collects what a job has left out must get theirs (AWS documentation, Quotas for Amazon Bedrock). Ours."""

MAX_ASKED_URI = 128
"""Characters of a URI behind `s3://` that Bedrock takes in a request. Source: botocore model of bedrock-agent, shape
S3BucketUri."""

_CLOCKS = timedelta(seconds=2)
"""S3 gives times in whole seconds, and two services' clocks are not the same."""


class DocumentStatus(StrEnum):
    ANSWERED_FROM = "ANSWERED_FROM"
    BEING_INDEXED = "BEING_INDEXED"
    LEFT_OUT = "LEFT_OUT"
    """It was tried, and is not in the index, or not wholly; the reason is known."""
    NOT_SEEN_YET = "NOT_SEEN_YET"
    """No sync has read it as it is now. An older version of it may be answered from."""
    DELETED = "DELETED"
    """Deleted from the bucket, and still answered from, until the next sync."""
    GONE = "GONE"
    """Deleted from the bucket, and not answered from any more."""
    UNKNOWN = "UNKNOWN"
    """Nobody has looked, or what was seen says neither."""


class KnownFrom(StrEnum):
    LEDGER = "LEDGER"
    """What kbfleet has recorded of the tenant's jobs and of the documents that fail."""
    BEDROCK = "BEDROCK"
    """Bedrock's own list of documents, asked just now."""


@dataclass(frozen=True, slots=True)
class BucketEntry:
    """What the newest version of a key in a bucket is.

    Args:
        changed_at: when the document, or the metadata file beside it, was last put; or when it was deleted.
        listed_from: from when on a list of the bucket shows that for certain (see `PresentVersion.listed_from`).
        size: of the document, in bytes.
        metadata_bytes: of the metadata file; `None` if there is none.
        revision: as `BucketDocument` has it.
        deleted: whether it is not there any more.
        first: whether certainly no other document, and none with other attributes, was under its key before.
    """

    key: str
    changed_at: datetime
    listed_from: datetime
    size: int = 0
    metadata_bytes: int | None = None
    revision: str = ""
    deleted: bool = False
    first: bool = False


@dataclass(frozen=True, slots=True)
class DocumentState:
    """Args:
    since: since when that is so, at the latest.
    job: the ingestion job that made it so, or is about to; `None` where that is not known.
    known_from: `None` where it is not known.
    reason: why it is left out, in Bedrock's words.
    """

    status: DocumentStatus
    since: datetime | None = None
    job: str | None = None
    known_from: KnownFrom | None = None
    reason: str = ""


UNKNOWN = DocumentState(DocumentStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class TenantDocument:
    """A document, and what is known of it.

    Args:
        entry: `None` where nobody has looked into the bucket.
        failure: the entry in the list of documents that fail, if it is about the document as it is now.
        also_there: other keys that look the same, under which there is a document, too.
        stray_metadata: keys of metadata files that look like this document's, and are no document's.
    """

    uri: str
    key: str
    state: DocumentState
    entry: BucketEntry | None = None
    failure: FailedDocument | None = None
    also_there: tuple[str, ...] = ()
    stray_metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deletion:
    """How far a deletion is.

    Args:
        versions: how many were removed for good; `None` where they were to stay.
        whole: whether nothing is left to be removed; else the same call goes on.
    """

    document: TenantDocument
    versions: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the ledger says of a tenant's index.

    Args:
        data_source_id: of the tenant's live data source: what another one has read is not in the index.
    """

    sync: Sync
    data_source_id: str | None

    @property
    def read(self) -> AnsweredFrom | None:
        """What the newest job that counts has read. What a job brought that does not count moves only its end."""
        of = self.sync.answered_from
        own = of is not None and of.data_source_id == self.data_source_id == self.sync.synced_data_source_id
        return of if own else None

    @property
    def never_read(self) -> bool:
        """Whether no job has ever read the bucket, as far as anybody knows."""
        return self.sync.result is None and self.sync.answered_from is None and not self.sync.unrecalled

    @property
    def failing_ones_are_known(self) -> bool:
        return left_out_not_known(self.sync) is None

    def is_read(self, entry: BucketEntry) -> bool:
        """Whether a job that counts has certainly seen the bucket with it."""
        return self.read is not None and entry.listed_from < self.read.read_from

    def is_unread(self, entry: BucketEntry) -> bool:
        """Whether certainly no job that has ended has seen it."""
        return self.never_read or (self.read is not None and entry.changed_at > self.read.read_until + _CLOCKS)

    def reading(self, entry: BucketEntry) -> RunningJob | None:
        """The running job, if it sees the bucket with it."""
        job = self.sync.job
        return job if job is not None and job.started_at > entry.listed_from else None

    def may_be_of_an_older_version(self, entry: BucketEntry, at: datetime) -> bool:
        """Whether a job was at work then that had begun before a list of the bucket shows this version for certain: it
        may have read the one before."""
        if entry.first:
            return False
        read, job = self.read, self.sync.job
        during_newest = read is not None and read.read_from <= entry.listed_from and at <= read.read_until + _CLOCKS
        during_running = job is not None and job.started_at <= entry.listed_from and at >= job.started_at - _CLOCKS
        return during_newest or during_running

    @property
    def job(self) -> str | None:
        """The one that has read what is answered from, where the ledger still has its name."""
        result, read = self.sync.result, self.read
        newest = result is not None and read is not None and result.answered_from == read
        return result.ingestion_job_id if newest and result is not None else None


def by_ledger(entry: BucketEntry, failure: FailedDocument | None, index: IndexState) -> tuple[DocumentState, bool]:
    """What the ledger says of a document, and whether Bedrock might say more.

    Args:
        failure: its entry in the list of documents that fail.
    """
    read = index.read
    if entry.deleted:
        if read is not None and index.is_read(entry):
            return DocumentState(DocumentStatus.GONE, read.read_until, index.job, KnownFrom.LEDGER), False
        return UNKNOWN, True
    if failure is not None and not failure.changed_to(entry.revision or None):
        return _left_out(failure), False
    if index.is_read(entry) and read is not None:
        if index.failing_ones_are_known and failure is None:
            return DocumentState(DocumentStatus.ANSWERED_FROM, read.read_until, index.job, KnownFrom.LEDGER), False
        return UNKNOWN, True
    if (job := index.reading(entry)) is not None:
        started = job.started_at
        return DocumentState(DocumentStatus.BEING_INDEXED, started, job.ingestion_job_id, KnownFrom.LEDGER), False
    if index.is_unread(entry):
        # Bedrock can have been given it by itself since.
        return DocumentState(DocumentStatus.NOT_SEEN_YET, entry.changed_at, None, KnownFrom.LEDGER), True
    return UNKNOWN, True


def left_out(failure: FailedDocument, key: str) -> TenantDocument:
    """A document by its entry in the list of those that fail, without a look into the bucket."""
    return TenantDocument(failure.uri, key, _left_out(failure), failure=failure)


def _left_out(failure: FailedDocument) -> DocumentState:
    return DocumentState(DocumentStatus.LEFT_OUT, failure.first_seen, None, KnownFrom.LEDGER, failure.reason)


_AT_WORK = {IngestedStatus.PENDING, IngestedStatus.STARTING, IngestedStatus.IN_PROGRESS}


def after_deletion(ingested: IngestedDocument) -> DocumentState:
    """What Bedrock says of a document that is not in the bucket any more."""
    if ingested.status is IngestedStatus.UNKNOWN:
        return UNKNOWN
    gone = ingested.status is IngestedStatus.NOT_FOUND
    return DocumentState(DocumentStatus.GONE if gone else DocumentStatus.DELETED, None, None, KnownFrom.BEDROCK)


def by_bedrock(
    entry: BucketEntry, ingested: IngestedDocument, index: IndexState, ledgers: DocumentState
) -> DocumentState:
    """What Bedrock says of it, together with the ledger.

    Args:
        ledgers: what the ledger says.
    """
    status, at = ingested.status, ingested.updated_at
    said = DocumentState(ledgers.status, at, None, KnownFrom.BEDROCK)
    if entry.deleted:
        after = after_deletion(ingested)
        return replace(after, since=entry.changed_at) if after.status is DocumentStatus.DELETED else after
    if status in _AT_WORK:
        return replace(said, status=DocumentStatus.BEING_INDEXED)
    # Only a job that saw it as it is now, or a later date, makes what Bedrock says be about this version of it.
    current = at is None or at >= entry.changed_at or index.is_read(entry)
    ended = status is IngestedStatus.INDEXED or status.failing
    if ended and current and at is not None and index.may_be_of_an_older_version(entry, at):
        return ledgers
    if status is IngestedStatus.INDEXED and current:
        return replace(said, status=DocumentStatus.ANSWERED_FROM)
    if status.failing and current:
        return replace(said, status=DocumentStatus.LEFT_OUT, reason=ingested.explanation)
    if status is IngestedStatus.INDEXED or status.failing:
        return DocumentState(DocumentStatus.NOT_SEEN_YET, entry.changed_at, None, KnownFrom.BEDROCK)
    # That it does not know it is also said where it does not list documents.
    return ledgers if ledgers.status is not DocumentStatus.ANSWERED_FROM else UNKNOWN
