"""Documents that Bedrock could not index: since when, how often in a row, and when we stop talking about one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.aws_status import AwsStatus
from kbfleet.domain.bounds import (
    DOCUMENT_REASON_BYTES,
    REPORTED_DOCUMENTS,
    REPORTED_DOCUMENTS_BYTES,
    fitting,
    shortened,
    size,
)
from kbfleet.domain.document_examination import DocumentFinding, Examination, explained
from kbfleet.domain.document_names import counted_in
from kbfleet.domain.ingestion_job import JobStateChange, Outcome
from kbfleet.domain.names import Life, TenantId

SET_ASIDE_AFTER = 3
"""Jobs in a row in which a document fails until it is set aside. Once may be a passing fault and twice somebody's
attempt to fix it. Whoever did nothing after three alerts knows, and a fourth would only teach them to read none."""
BATCH = 10
"""Documents in one IngestKnowledgeBaseDocuments or GetKnowledgeBaseDocuments call. Source: botocore model; the user
guide of Amazon Bedrock says 25."""
BATCHES_UNDER_WAY = 5
"""Of one retry at once. An account may have ten such calls in progress (AWS documentation, Quotas for Amazon Bedrock),
and others use the account too."""
ANSWER_WITHIN = timedelta(minutes=15)
"""How long a document that was sent may be without a final status before we stop waiting for it; nothing is said about
how long Bedrock takes."""


class IngestedStatus(AwsStatus):
    """Source: botocore service model of bedrock-agent, shape DocumentStatus."""

    INDEXED = "INDEXED"
    PARTIALLY_INDEXED = "PARTIALLY_INDEXED"
    PENDING = "PENDING"
    FAILED = "FAILED"
    METADATA_PARTIALLY_INDEXED = "METADATA_PARTIALLY_INDEXED"
    METADATA_UPDATE_FAILED = "METADATA_UPDATE_FAILED"
    IGNORED = "IGNORED"
    NOT_FOUND = "NOT_FOUND"
    STARTING = "STARTING"
    IN_PROGRESS = "IN_PROGRESS"
    DELETING = "DELETING"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    UNKNOWN = "UNKNOWN"

    @property
    def failing(self) -> bool:
        """Whether it was tried, and not all of it can be found."""
        return self in _FAILING


_FAILING = {
    IngestedStatus.PARTIALLY_INDEXED,
    IngestedStatus.FAILED,
    IngestedStatus.METADATA_PARTIALLY_INDEXED,
    IngestedStatus.METADATA_UPDATE_FAILED,
    IngestedStatus.IGNORED,
}


_NO_REASON = "and no reason."


@dataclass(frozen=True, slots=True)
class IngestedDocument:
    """A document as Bedrock reports it. `updated_at` is `None` where it does not say."""

    uri: str
    status: IngestedStatus
    reason: str = ""
    updated_at: datetime | None = None

    @property
    def explanation(self) -> str:
        return self.reason or f"Bedrock reports {self.status} {_NO_REASON}"


@dataclass(frozen=True, slots=True)
class BucketDocument:
    """A document as it is in the bucket.

    Args:
        revision: another one whenever the object, or the metadata file beside it, is another one.
        metadata_uri: of the metadata file beside it, if there is one.
    """

    uri: str
    revision: str
    metadata_uri: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentObject:
    """What a bucket says of a document and of the metadata file beside it.

    Args:
        changed_at: when either of them was last put; whole seconds.
        size: of the document, in bytes.
        metadata_bytes: of the metadata file; `None` if there is none.
        revision: as `BucketDocument` has it.
    """

    changed_at: datetime
    size: int
    metadata_bytes: int | None = None
    revision: str | None = None


class FailureStatus(StrEnum):
    FAILED = "FAILED"
    SET_ASIDE = "SET_ASIDE"
    """It has failed so often in a row that it is news no more. Bedrock goes on with it as it likes."""


class News(StrEnum):
    """What a job's end says about a document that fails."""

    NEW = "NEW"
    AGAIN = "AGAIN"
    SET_ASIDE_NOW = "SET_ASIDE_NOW"
    NONE = "NONE"
    """It was set aside before, or this job did not try it."""


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that is in the bucket and not, or not wholly, in the index. `version` is for optimistic locking; 0
    means never stored.

    Args:
        first_seen: end of the first of the jobs in a row that it failed in.
        last_seen: end of the last one.
        times: how many they are.
        reason: Bedrock's words.
        revision: of the object that failed, if it could be looked at: another one is a new chance.
        examination: what kbfleet has seen by itself of the object that failed; `None` before it has looked.
    """

    uri: str
    reason: str
    first_seen: datetime
    last_seen: datetime
    times: int = 1
    status: FailureStatus = FailureStatus.FAILED
    revision: str | None = None
    version: int = 0
    examination: Examination | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", shortened(self.reason, DOCUMENT_REASON_BYTES))

    @property
    def finding(self) -> DocumentFinding | None:
        """Why it cannot be read, in words of ours; `None` where nobody can say more than Bedrock does."""
        return explained(self.examination, self.reason, self.uri)

    def to_be_examined(self, in_bucket: BucketDocument | None) -> bool:
        """Whether what is in the bucket is the object that failed, and nobody has looked at it."""
        if in_bucket is None or self.changed_to(in_bucket.revision):
            return False
        return self.examination is None or self.examination.revision != in_bucket.revision

    def hopeless(self, in_bucket: BucketDocument) -> bool:
        """Whether no retry can help: nothing has changed, and it can never be read as it is."""
        seen = self.examination.revision if self.examination is not None else self.revision
        return self.finding is not None and self.finding.certain and seen == in_bucket.revision

    def told(self, reason: str) -> FailedDocument:
        """With another reason, unless that says less than the one that is known."""
        return self if _says_less(reason, self.reason) else replace(self, reason=reason)

    def changed_to(self, revision: str | None) -> bool:
        """Whether the object is another one than the one that failed."""
        return None not in {revision, self.revision} and revision != self.revision

    def failed_in(self, job: JobStateChange) -> bool:
        """Whether it is known to have been left out by that job. Of jobs that are stopped or fail as a whole, nothing
        is known."""
        ended_well = job.outcome is not None and job.outcome.usable
        return ended_well and self.first_seen <= job.occurred_at <= self.last_seen

    def news_of(self, job_ended_at: datetime) -> News:
        """What the job that ended then has to say of it: the same, however often it is asked."""
        if self.last_seen != job_ended_at:
            return News.NONE
        if self.times == 1:
            return News.NEW
        if self.times == SET_ASIDE_AFTER:
            return News.SET_ASIDE_NOW
        return News.NONE if self.status is FailureStatus.SET_ASIDE else News.AGAIN


def _says_less(reason: str, known: str) -> bool:
    """A document's own status may be half a sentence of what its job has said, or say that it has no reason."""
    said, before = (text.strip(" .").casefold() for text in (reason, known))
    return said in before or (reason.endswith(_NO_REASON) and not known.endswith(_NO_REASON))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A document that fails, as a job's end shows it.

    Args:
        reason: the job's own words, or those of the document's status.
        tried_at: when Bedrock tried it; `None` when the job itself names it.
    """

    uri: str
    reason: str
    tried_at: datetime | None = None


def seen_failing(
    known: FailedDocument | None, sighting: Sighting, revision: str | None, job_ended_at: datetime
) -> FailedDocument:
    """What is known of a document after a job's end has shown that it fails; `known` itself when that is nothing new.

    The ends of jobs may be reported out of order, and more than once.
    """
    new = FailedDocument(sighting.uri, sighting.reason, job_ended_at, job_ended_at, revision=revision)
    if known is None:
        return new
    if job_ended_at <= known.last_seen or (sighting.tried_at is not None and sighting.tried_at <= known.last_seen):
        return known
    if known.changed_to(revision):
        return replace(new, version=known.version)
    times = known.times + 1
    return replace(
        known.told(sighting.reason),
        last_seen=job_ended_at,
        times=times,
        status=FailureStatus.SET_ASIDE if times >= SET_ASIDE_AFTER else FailureStatus.FAILED,
        revision=revision or known.revision,
    )


def sighted(
    named: str | None, document: IngestedDocument, in_bucket: BucketDocument | None, job: JobStateChange
) -> Sighting | None:
    """Whether a document fails, by what a job says and what Bedrock says now.

    Args:
        named: the reason, if the job names it.
        in_bucket: what is in the bucket now; a document that is gone is nobody's trouble.
    """
    since = document.updated_at is not None and document.updated_at > job.occurred_at
    if in_bucket is None or (document.status is IngestedStatus.INDEXED and (named is None or since)):
        return None
    if named is not None:
        return Sighting(document.uri, named)
    if document.status.failing:
        return Sighting(document.uri, document.explanation, document.updated_at)
    return None


def fixed(
    known: FailedDocument, document: IngestedDocument, in_bucket: BucketDocument | None, job: JobStateChange
) -> bool:
    """Whether a document that the job does not name fails no more: it is indexed, or gone from the bucket.

    Whether Bedrock keeps documents that it ignored is not said; one that it does not know fails no more when another
    object has taken its place, and a later job that did not name it went through.
    """
    if in_bucket is None or document.status is IngestedStatus.INDEXED:
        return True
    later = job.outcome is not None and job.outcome.usable and job.occurred_at > known.last_seen
    return document.status is IngestedStatus.NOT_FOUND and later and known.changed_to(in_bucket.revision)


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """The documents that a job's reasons name, each with the reason, by what is in the tenant's bucket.

    Args:
        uris: of each reason of the job that was looked at, in their order.
    """

    job: JobStateChange
    uris: tuple[tuple[str, ...], ...]

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why each of them failed, by its URI."""
        named = zip(self.job.failure_reasons, self.uris, strict=False)
        return {uri: reason.text for reason, uris in named for uri in uris}

    @property
    def at_least(self) -> int:
        """How many documents failed, by all that the job says."""
        said = sum(counted_in(reason.text) or 0 for reason in self.job.failure_reasons)
        return max(self.job.statistics.failed, said)

    @property
    def all(self) -> bool:
        """Whether they are as many as failed. Reasons are cut at 2,048 characters each (botocore model), some name
        nothing, and some names cannot be distinguished from others."""
        if self.job.outcome is not Outcome.DEGRADED:
            return True
        if self.job.reasons_left_out:
            return False
        nameless = len(self.uris) < len(self.job.failure_reasons) or not all(self.uris) or not self.uris
        return not nameless and self.at_least <= len(self.reasons)


@dataclass(frozen=True, slots=True)
class ReportedDocument:
    """`finding` is what kbfleet can say of it beside Bedrock's reason, if anything."""

    uri: str
    reason: str
    news: News
    finding: DocumentFinding | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", shortened(self.reason, DOCUMENT_REASON_BYTES))

    @property
    def size(self) -> int:
        """Bytes of it as JSON in UTF-8, at most."""
        said = (self.uri, self.reason, *((self.finding.explanation, self.finding.remedy) if self.finding else ()))
        return 512 + sum(map(size, said))

    @property
    def for_people(self) -> str:
        return reason_for_people(self.reason, self.finding)

    @property
    def retry_may_help(self) -> bool:
        return self.finding is None or not self.finding.certain


def reported(documents: Sequence[ReportedDocument]) -> tuple[ReportedDocument, ...]:
    """Those that a report names: the first ones. It counts all."""
    return tuple(
        fitting(documents, lambda each: each.size, most_bytes=REPORTED_DOCUMENTS_BYTES, most=REPORTED_DOCUMENTS)
    )


def reason_for_people(reason: str, finding: DocumentFinding | None) -> str:
    """Why a document fails: what is wrong with it and what helps, and Bedrock's words behind that."""
    return f"{finding.explanation} {finding.remedy} Bedrock says: {reason}" if finding else reason


@dataclass(frozen=True, slots=True)
class FailureReport:
    """What a job's end changed in the list of documents that fail.

    Args:
        new: how many documents fail that did not before, or not as they are now.
        again: how many failed in earlier jobs, too, and are not set aside.
        set_aside_now: how many have failed so often with this job that they are set aside from here on.
        set_aside: how many were set aside before, and still fail.
        fixed: how many fail no more.
        complete: whether these are all; a tenant may have more documents than are looked through.
        documents: those that the job has news of, the new ones first.
        failing: how many fail in all, also those that this job did not try; `None` in reports of before there was that.
    """

    job: JobStateChange
    new: int = 0
    again: int = 0
    set_aside_now: int = 0
    set_aside: int = 0
    fixed: int = 0
    complete: bool = True
    documents: tuple[ReportedDocument, ...] = ()
    failing: int | None = None

    @property
    def identity(self) -> str:
        return f"{self.job.identity}/failed-documents"

    @property
    def usable(self) -> bool:
        return self.job.outcome is not None and self.job.outcome.usable

    @property
    def newsworthy(self) -> bool:
        """Whether people must be notified: not when all that is wrong are documents that are set aside, nor when all
        documents were looked at because some were skipped, and none fails. A job that failed as a whole is reported by
        itself."""
        reported = self.new + self.again + self.set_aside_now
        explained = self.complete and (reported + self.set_aside > 0 or self.job.merely_skipped)
        return self.usable and (reported > 0 or (self.job.outcome is Outcome.DEGRADED and not explained))

    @property
    def well(self) -> bool:
        """Whether it was looked at, and no document fails."""
        return self.usable and self.complete and self.failing == 0


def failure_report(
    job: JobStateChange, failing: Iterable[FailedDocument], *, fixed: int, complete: bool
) -> FailureReport:
    """Of all the documents that fail after the job has ended."""
    order = list(News)
    ranked = sorted(
        ((order.index(document.news_of(job.occurred_at)), document.uri, document) for document in failing),
        key=lambda entry: entry[:2],
    )
    counts = Counter(order[place] for place, _, _ in ranked)
    quiet = (document for place, _, document in ranked if order[place] is News.NONE)
    return FailureReport(
        job,
        new=counts[News.NEW],
        again=counts[News.AGAIN],
        set_aside_now=counts[News.SET_ASIDE_NOW],
        set_aside=sum(document.status is FailureStatus.SET_ASIDE for document in quiet),
        fixed=fixed,
        complete=complete,
        documents=tuple(
            ReportedDocument(document.uri, document.reason, order[place], document.finding)
            for place, _, document in ranked
            if order[place] is not News.NONE
        ),
        failing=len(ranked),
    )


# --- trying again ---


@dataclass(frozen=True, slots=True)
class SentDocument:
    """A document that Bedrock was given by itself, and has not answered about yet.

    Args:
        sent_at: by Bedrock's own clock: an older status is not about this.
    """

    uri: str
    sent_at: datetime

    def answered(self, document: IngestedDocument) -> bool:
        """Whether the status is the final one. Right after the call, the one from before may still be shown, or
        NOT_FOUND (reported by users)."""
        if document.status is IngestedStatus.INDEXED:
            return True
        fresh = document.updated_at is not None and document.updated_at > self.sent_at
        return document.status.failing and fresh


@dataclass(frozen=True, slots=True)
class DocumentRetry:
    """Another try for the documents that fail, without a sync: they are given to Bedrock one by one. `version` is for
    optimistic locking; 0 means never stored.

    Args:
        done_up_to: position in the list; `None` at its beginning.
        exhausted: whether every document was sent.
        fixed: how many are indexed now, or are gone from the bucket.
        failed: how many failed again, or were refused.
        unanswered: how many have had no final status in time.
        skipped: how many were not sent, because they can never be read as they are.
        stopped: why it ended before its time; empty if it did not.
    """

    tenant_id: TenantId
    retry_id: str
    requested_at: datetime
    done_up_to: str | None = None
    under_way: tuple[SentDocument, ...] = ()
    exhausted: bool = False
    fixed: int = 0
    failed: int = 0
    unanswered: int = 0
    ended_at: datetime | None = None
    stopped: str = ""
    version: int = 0
    life: int = 1
    skipped: int = 0

    @property
    def of_life(self) -> Life:
        """The tenant's, in which it was requested."""
        return Life(self.tenant_id, self.life)

    def report(self, left: Iterable[FailedDocument], *, complete: bool) -> RetryReport:
        """What it came to.

        Args:
            left: all that fail once it has ended.
            complete: whether what every job left out had been collected.

        Raises:
            ValueError: it has not ended.
        """
        if self.ended_at is None:
            raise ValueError("a retry has nothing to report before its end")
        documents = sorted(left, key=lambda document: document.uri)
        return RetryReport(
            self.tenant_id,
            self.retry_id,
            self.ended_at,
            self.fixed,
            self.failed,
            self.unanswered,
            self.stopped,
            left=len(documents),
            documents=tuple(
                ReportedDocument(document.uri, document.reason, News.AGAIN, document.finding) for document in documents
            ),
            complete=complete,
            life=self.life,
        )

    @property
    def room(self) -> bool:
        return not self.exhausted and len(self.under_way) <= BATCH * (BATCHES_UNDER_WAY - 1)

    def sent(self, documents: Iterable[SentDocument], *, up_to: str | None, exhausted: bool) -> DocumentRetry:
        return replace(
            self, under_way=(*self.under_way, *documents), done_up_to=up_to or self.done_up_to, exhausted=exhausted
        )

    def settled(
        self, uris: Collection[str], *, fixed: int = 0, failed: int = 0, unanswered: int = 0, skipped: int = 0
    ) -> DocumentRetry:
        return replace(
            self,
            under_way=tuple(sent for sent in self.under_way if sent.uri not in uris),
            fixed=self.fixed + fixed,
            failed=self.failed + failed,
            unanswered=self.unanswered + unanswered,
            skipped=self.skipped + skipped,
        )

    def concluded(self, now: datetime) -> DocumentRetry:
        """Ended, if nothing is left to send and nothing under way."""
        return replace(self, ended_at=now) if self.exhausted and not self.under_way else self

    def given_up(self, now: datetime, why: str) -> DocumentRetry:
        return replace(self, ended_at=now, stopped=why, under_way=())


@dataclass(frozen=True, slots=True)
class RetryReport:
    """What a retry has come to.

    Args:
        fixed, failed, unanswered, stopped: as in the retry.
        left: how many documents fail now, also those that it did not come to.
        documents: those.
        complete: whether what every job left out had been collected.
    """

    tenant_id: TenantId
    retry_id: str
    ended_at: datetime
    fixed: int
    failed: int
    unanswered: int
    stopped: str
    left: int
    documents: tuple[ReportedDocument, ...] = ()
    complete: bool = True
    life: int = 1

    @property
    def identity(self) -> str:
        return f"{self.tenant_id}.{self.life}/{self.retry_id}/retried"

    @property
    def well(self) -> bool:
        """Whether it was looked at, and no document fails."""
        return self.complete and not self.left
