"""The way of one document from its bucket into answers, and the hop at which it got stuck.

A pure decision over facts that were gathered at one moment. The hops are looked at in their order, and the first one
that is not passed is the answer: what comes behind it could only show the same fault again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self, TypeVar

from kbfleet.domain.diagnosis import Search
from kbfleet.domain.document_examination import PARSED_ENDING, DocumentFinding, DocumentSample, examine, explained
from kbfleet.domain.document_names import MAX_KEY_BYTES, form_of
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.failed_documents import (
    DocumentObject,
    FailedDocument,
    FailureStatus,
    IngestedDocument,
    IngestedStatus,
    NamedDocuments,
    reason_for_people,
)
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.ingestion_job import JobStateChange, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBase, KnowledgeBaseStatus
from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import MAX_DOCUMENT_BYTES, METADATA_SUFFIX
from kbfleet.domain.validated_text import ValidatedText

Fact = TypeVar("Fact")

NOTED_WITHIN = timedelta(minutes=2)
"""After an upload, until its absence from the ledger means that its event was lost. Ours: S3's events arrive "typically
in seconds" (Amazon S3 User Guide, Event notifications), and a batch of them is collected for a while."""

SEARCHABLE_WITHIN = timedelta(minutes=5)
"""After its vectors were written, until not finding a document is a fault. Ours: Bedrock says that it "may take a few
minutes" (AWS documentation, Sync your data with your knowledge base)."""

TURN_COMES_WITHIN = timedelta(minutes=5)
"""After it is ready, until a tenant that nothing keeps waiting makes one doubt the scheduler. Ours."""


class ObjectKey(ValidatedText):
    """The key of a document that somebody asks about, whatever it ends with: it may be there because nobody checked it.

    Raises:
        InvalidInput: naming the field `key`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput("key", "must be the key of a document, such as handbook/rules.pdf.")
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            raise InvalidInput("key", "holds characters that cannot be part of a key.")
        if len(value.encode()) > MAX_KEY_BYTES:
            raise InvalidInput("key", f"has more than {MAX_KEY_BYTES} bytes of UTF-8.")
        if value.endswith(METADATA_SUFFIX):
            raise InvalidInput("key", "is that of a metadata file.", remedy="Ask for the document beside it.")
        return super().__new__(cls, value)


class HopName(StrEnum):
    """In the order in which a document takes them."""

    TENANT = "TENANT"
    KNOWLEDGE_BASE = "KNOWLEDGE_BASE"
    OBJECT = "OBJECT"
    METADATA = "METADATA"
    CHANGE = "CHANGE"
    TURN = "TURN"
    JOB = "JOB"
    DOCUMENT = "DOCUMENT"
    RETRIEVAL = "RETRIEVAL"


class Verdict(StrEnum):
    PASSED = "PASSED"
    WAITING = "WAITING"
    """It goes on by itself."""
    BROKEN = "BROKEN"
    """Somebody has to do something."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What was found at one hop, and what to do about it; `advice` is empty where nothing is to be done."""

    name: HopName
    verdict: Verdict
    finding: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a search for nothing but the document came to.

    Args:
        found: whether any passage of it was found.
        refusal: why nothing could be searched; empty if it could.
        characters: of all its passages together; `None` where there are more than were given.
    """

    found: bool
    refusal: str = ""
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """All that is known of a document at `now`. What is `None` is not there, or could not be looked at for want of what
    comes before it.

    Args:
        key: as the object is called that was found; it may be in another Unicode form than what was `asked_for`.
        bucket: the tenant's own, by its id: what a record says of it proves nothing.
        is_folder: whether the key is that of a folder, as S3's console makes them.
        metadata_spelled_otherwise: whether a metadata file is there whose name looks like that of the document's own.
        also_there: other keys that look the same, under which there is a document, too.
        running_jobs: of the fleet, of the same kind of knowledge base.
        jobs: those of the tenant that began when the object was as it is now, or later; the newest first.
        named: what those of them name that may name this one.
        ingested: `None` when the data source is gone.
        failure: the entry in the list of documents that fail.
        anything: what a search for any document came to, where one for this one found nothing.
        parsing_model: that is to read the pages of the tenant's documents; `None` where Bedrock's own parser does.
    """

    tenant_id: TenantId
    key: ObjectKey
    bucket: str
    now: datetime
    tenant: Tenant
    knowledge_base: KnowledgeBase | None = None
    bucket_is_there: bool = True
    asked_for: str = ""
    in_bucket: DocumentObject | None = None
    is_folder: bool = False
    metadata_spelled_otherwise: bool = False
    also_there: tuple[str, ...] = ()
    max_metadata_bytes: int | None = None
    sync: Sync | None = None
    running_jobs: int = 0
    jobs: tuple[JobStateChange, ...] = ()
    ingested: IngestedDocument | None = None
    named: tuple[NamedDocuments, ...] = ()
    failure: FailedDocument | None = None
    probe: Probe | None = None
    anything: Search | None = None
    parsing_model: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentTrace:
    """The hops that were passed, and the one that was not, if any."""

    tenant_id: TenantId
    key: ObjectKey
    hops: tuple[Hop, ...]

    @property
    def stuck_at(self) -> Hop | None:
        last = self.hops[-1]
        return last if last.verdict is not Verdict.PASSED else None


def trace(facts: DocumentFacts) -> DocumentTrace:
    """Follows a document up to the first hop that it has not passed."""
    hops: list[Hop] = []
    for look in _LOOKS:
        hops.append(look(facts))
        if hops[-1].verdict is not Verdict.PASSED:
            break
    return DocumentTrace(facts.tenant_id, facts.key, tuple(hops))


# --- what the document needs to be there -----------------------------------------------------------


def _tenant(facts: DocumentFacts) -> Hop:
    tenant_id, tenant, name = facts.tenant_id, facts.tenant, HopName.TENANT
    match tenant.status:
        case TenantStatus.ACTIVE:
            return Hop(name, Verdict.PASSED, f"Tenant {tenant_id} is active.")
        case TenantStatus.PROVISIONING:
            return Hop(
                name,
                Verdict.WAITING,
                f"Tenant {tenant_id} is being provisioned; that ends with its first sync.",
                f"`kbfleet tenant add {tenant_id}` shows where it is.",
            )
        case TenantStatus.FAILED:
            why = f" at {tenant.failure.step}: {tenant.failure.reason}" if tenant.failure else "."
            return Hop(
                name,
                Verdict.BROKEN,
                f"The provisioning of tenant {tenant_id} has failed{why}",
                f"Fix the cause, then run `kbfleet tenant add {tenant_id}`.",
            )
        case TenantStatus.SUSPENDED:
            advice = f"Run `kbfleet tenant resume {tenant_id}`."
        case TenantStatus.OFFBOARDING:
            advice = f"While nothing is deleted yet, `kbfleet tenant resume {tenant_id}` takes it back."
        case TenantStatus.OFFBOARDED:
            advice = f"`kbfleet tenant add {tenant_id}` begins anew, without its documents."
    return Hop(name, Verdict.BROKEN, f"Tenant {tenant_id} is {tenant.status}: nothing is synced or answered.", advice)


_SERVING = {KnowledgeBaseStatus.ACTIVE, KnowledgeBaseStatus.UPDATING, KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL}


def _knowledge_base(facts: DocumentFacts) -> Hop:
    name, base = HopName.KNOWLEDGE_BASE, facts.knowledge_base
    recorded = facts.tenant.knowledge_base_id
    if base is None:
        found = f"Knowledge base {recorded} does not exist any more."
        return _hop_of(name, found, facts, Disagreement.MISSING, ResourceKind.KNOWLEDGE_BASE)
    if base.status is KnowledgeBaseStatus.CREATING:
        return Hop(name, Verdict.WAITING, f"Knowledge base {base.knowledge_base_id} is being created.")
    if base.status is KnowledgeBaseStatus.UNKNOWN:
        found = (
            f"Knowledge base {base.knowledge_base_id} has a status that kbfleet does not know; the console names it."
        )
        return Hop(name, Verdict.WAITING, found)
    if base.status not in _SERVING:
        reasons = "; ".join(base.failure_reasons) or "no reason given"
        found = f"Knowledge base {base.knowledge_base_id} is {base.status}: {reasons}."
        return _hop_of(name, found, facts, Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE)
    if facts.ingested is None:
        found = f"The data source of {base.knowledge_base_id} does not exist any more."
        return _hop_of(name, found, facts, Disagreement.MISSING, ResourceKind.DATA_SOURCE)
    return Hop(name, Verdict.PASSED, f"Knowledge base {base.knowledge_base_id} is {base.status}.")


def _hop_of(name: HopName, found: str, facts: DocumentFacts, disagreement: Disagreement, kind: ResourceKind) -> Hop:
    """What hits all of a tenant's documents has the advice of the finding that it is."""
    return Hop(name, Verdict.BROKEN, found, Finding(disagreement, kind, "", facts.tenant_id).advice)


def _object(facts: DocumentFacts) -> Hop:
    name, in_bucket = HopName.OBJECT, facts.in_bucket
    if not facts.bucket_is_there:
        found = f"Bucket {facts.bucket} does not exist any more."
        return _hop_of(name, found, facts, Disagreement.MISSING, ResourceKind.BUCKET)
    if facts.is_folder:
        return Hop(
            name,
            Verdict.BROKEN,
            "That is a folder, not a document. S3 has no folders; its console shows the beginning of keys as one, and "
            "marks it with an object whose key ends in a slash. Nothing is indexed for it.",
            "Ask for a document in it, by its whole key.",
        )
    if in_bucket is None:
        return Hop(
            name,
            Verdict.BROKEN,
            f"There is no object of that key in {facts.bucket}.",
            f"Compare the key, letter by letter, capitals too, with `aws s3 ls --recursive s3://{facts.bucket}/`; "
            f"if it is not there, upload it: `kbfleet upload {facts.tenant_id} FILE --key KEY`.",
        )
    if in_bucket.size > MAX_DOCUMENT_BYTES and not _indexed(facts):
        return Hop(
            name,
            Verdict.BROKEN,
            f"The object has {in_bucket.size:,} bytes; Bedrock reads {MAX_DOCUMENT_BYTES:,} at most.",
            "Divide the document, and upload its parts.",
        )
    otherwise = ""
    if facts.asked_for and facts.asked_for != facts.key:
        otherwise = (
            f" Its key is in Unicode form {form_of(facts.key)}; what was asked for looks the same and is in "
            f"{form_of(facts.asked_for)}, which S3 takes for another key."
        )
    found = f"{in_bucket.size:,} bytes, last changed at {_time(in_bucket.changed_at)}.{otherwise}"
    if not facts.also_there:
        return Hop(name, Verdict.PASSED, found)
    forms = " and ".join(map(form_of, facts.also_there))
    return Hop(
        name,
        Verdict.PASSED,
        f"{found} Another document is there whose key looks the same, in Unicode form {forms}; this one's is in "
        f"{form_of(facts.key)}. Each is answered from by itself.",
        f"If one of them is old, delete it: `kbfleet documents delete {facts.tenant_id} KEY`.",
    )


def _metadata(facts: DocumentFacts) -> Hop:
    in_bucket, most, name = _there(facts.in_bucket), facts.max_metadata_bytes, HopName.METADATA
    if in_bucket.metadata_bytes is None and facts.metadata_spelled_otherwise:
        return Hop(
            name,
            Verdict.PASSED,
            "It has no metadata file. One is there whose name looks the same, and is in another Unicode form than the "
            "document's: Bedrock does not read it, and filters by its attributes do not find the document.",
            f"Name it as the document, in Unicode form {form_of(facts.key)}, with {METADATA_SUFFIX} behind it; the "
            "document is synced again by itself.",
        )
    if in_bucket.metadata_bytes is None:
        return Hop(name, Verdict.PASSED, "It has no metadata file.")
    size = f"Its metadata file has {in_bucket.metadata_bytes:,} bytes"
    # The limits of some stores are only reported by users: where the document was taken all the same, they are wrong.
    if most is not None and in_bucket.metadata_bytes > most and not _indexed(facts):
        return Hop(
            name,
            Verdict.BROKEN,
            f"{size}; the tenant's knowledge store takes {most:,}, and the document is ignored with it.",
            f"Shorten {METADATA_SUFFIX.removeprefix('.')}, or delete it; the document is synced again by itself.",
        )
    return Hop(name, Verdict.PASSED, f"{size}.")


# --- whether a job has read it ---------------------------------------------------------------------


def _change(facts: DocumentFacts) -> Hop:
    name, sync, changed_at = HopName.CHANGE, _there(facts.sync), _there(facts.in_bucket).changed_at
    if facts.jobs or _follows_a_job_that_reads_it(facts) or _ingested_since(facts):
        return Hop(name, Verdict.PASSED, "An ingestion began after it was uploaded.")
    if _another_turn_is_due(sync):
        since = sync.stale_since()
        return Hop(name, Verdict.PASSED, f"Changes wait to be synced{f' since {_time(since)}' if since else ''}.")
    if facts.now - changed_at < NOTED_WITHIN:
        return Hop(name, Verdict.WAITING, "It was uploaded a moment ago; S3's event about it is on its way.")
    return Hop(
        name,
        Verdict.BROKEN,
        f"It was uploaded at {_time(changed_at)}, and the upload was not noted: S3's event was lost or refused.",
        f"Run `kbfleet sync start {facts.tenant_id}`, which reads the whole bucket. Then look for the cause: "
        f"`kbfleet dlq list` shows changes that were refused, `kbfleet tenant add {facts.tenant_id}` repairs the "
        "bucket's notifications.",
    )


def _turn(facts: DocumentFacts) -> Hop:
    name, sync = HopName.TURN, _there(facts.sync)
    if _read_by(facts) or _follows_a_job_that_reads_it(facts) or _ingested_since(facts):
        return Hop(name, Verdict.PASSED, "The tenant had its turn after the upload.")
    if sync.state is SyncState.QUEUED:
        return Hop(name, Verdict.WAITING, *_why_it_waits(facts, sync))
    if sync.hold is not None and sync.job is None:
        return Hop(
            name,
            Verdict.BROKEN,
            f"The tenant's sync is held: {sync.hold.sentence}",
            "Put the documents back, and it goes on by itself. Only if they are to go for good: "
            f"`{sync.hold.command(facts.tenant_id)}`.",
        )
    if sync.job is not None:
        return Hop(
            name,
            Verdict.WAITING,
            f"Job {sync.job.ingestion_job_id} began before the upload; the tenant's next turn comes when it has ended.",
            f"`kbfleet jobs list {facts.tenant_id}` shows how it goes.",
        )
    if facts.jobs:
        return Hop(name, Verdict.PASSED, "The tenant had its turn after the upload.")
    ended = f"ended {sync.result.outcome}" if sync.result else "was called off"
    return Hop(
        name,
        Verdict.BROKEN,
        f"The tenant is not in the queue although changes are pending: its last sync {ended}, and nothing is started "
        "until one is requested.",
        f"Run `kbfleet sync start {facts.tenant_id}`.",
    )


def _why_it_waits(facts: DocumentFacts, sync: Sync) -> tuple[str, str]:
    """What a queued tenant waits for, and what to do."""
    limit = sync.kind.concurrent_jobs
    if sync.ready_at is not None and sync.ready_at > facts.now:
        at = f"Its turn comes at {_time(sync.ready_at)}"
        if sync.retries:
            why = f"; {_reasons(facts.jobs[0])}" if facts.jobs else ""
            return f"{at}: its last job failed for a cause that passes by itself{why}", ""
        if sync.postponed:
            refused = f"{at}: its start was refused {sync.postponed} times in a row."
            return refused, "The log group of the ingestion functions says why: `The tenant's turn is postponed`."
        return f"{at}, once its documents were left alone for a while.", ""
    if limit is not None and facts.running_jobs >= limit:
        return (
            f"It is queued behind the quota: Bedrock runs {limit} ingestion jobs at once in an account, and "
            f"{facts.running_jobs} are running.",
            "Wait: whoever waits longest goes first. If it must not wait, stop another tenant's sync with "
            "`kbfleet sync stop TENANT`.",
        )
    late = sync.ready_at is not None and facts.now - sync.ready_at > TURN_COMES_WITHIN
    ready = f" since {_time(sync.ready_at)}" if sync.ready_at else ""
    return (
        f"It is in the queue{ready}; Bedrock allows one start in ten seconds.",
        "If others are not waiting, ticks may be failing: see docs/runbook/ticks-failing.md." if late else "",
    )


def _job(facts: DocumentFacts) -> Hop:
    name, sync = HopName.JOB, _there(facts.sync)
    if read := _read_by(facts):
        found = f"Job {read.ingestion_job_id} read the bucket after the upload, and ended {read.outcome}."
        return Hop(name, Verdict.PASSED, found)
    if _ingested_since(facts):
        return Hop(name, Verdict.PASSED, "Bedrock has ingested it since it was uploaded.")
    if sync.job is not None and _follows_a_job_that_reads_it(facts):
        return Hop(name, Verdict.WAITING, f"Job {sync.job.ingestion_job_id} is {sync.job.status}.")
    job = next((job for job in facts.jobs if job.outcome is not None), None)
    if job is None:
        return Hop(name, Verdict.WAITING, "A job that began after the upload is running.")
    if job.outcome is Outcome.STOPPED:
        return Hop(
            name,
            Verdict.BROKEN,
            f"Job {job.ingestion_job_id} was stopped at {_time(job.occurred_at)}.",
            f"Run `kbfleet sync start {facts.tenant_id}`.",
        )
    what = f"Job {job.ingestion_job_id} failed" if job.ingestion_job_id else "Bedrock refused to start a job"
    return Hop(
        name,
        Verdict.BROKEN,
        f"{what}: {_reasons(job)}",
        f"Fix the cause, then run `kbfleet sync start {facts.tenant_id}`.",
    )


# --- what Bedrock has made of it -------------------------------------------------------------------


def _document(facts: DocumentFacts) -> Hop:
    name, document = HopName.DOCUMENT, _there(facts.ingested)
    named = _named_by_its_job(facts)
    finding = _seen_by_ourselves(facts, named or document.reason)
    again = _again(facts, finding)
    if reason := named:
        return Hop(name, Verdict.BROKEN, f"The job left it out: {reason_for_people(reason, finding)}", again)
    if document.status.failing:
        failed = facts.failure.times if facts.failure else 0
        times = f" It has failed {failed} times in a row." if failed > 1 else ""
        aside = " It is set aside: it is in no alert any more." if _set_aside(facts) else ""
        reason = reason_for_people(document.explanation, finding)
        # Bedrock's own words end as they like.
        stop = "." if (times or aside) and reason[-1:].isalnum() else ""
        return Hop(name, Verdict.BROKEN, f"{document.status}: {reason}{stop}{times}{aside}", again)
    match document.status:
        case IngestedStatus.INDEXED:
            at = f" at {_time(document.updated_at)}" if document.updated_at else ""
            return Hop(name, Verdict.PASSED, f"Bedrock has indexed it{at}.")
        case IngestedStatus.NOT_FOUND if _found(facts):
            return Hop(name, Verdict.PASSED, "Bedrock gives no status for it.")
        case IngestedStatus.NOT_FOUND:
            if facts.failure is not None:
                reason = reason_for_people(facts.failure.reason, finding)
                return Hop(name, Verdict.BROKEN, f"It could not be ingested: {reason}", again)
            return Hop(
                name,
                Verdict.BROKEN,
                "A job has read the bucket, and Bedrock does not know the document.",
                f"{_anew(facts)} If that changes nothing, `kbfleet tenant add {facts.tenant_id}` repairs a data "
                "source that reads another bucket or a part of this one.",
            )
    return Hop(name, Verdict.WAITING, f"Bedrock is working on it: {document.status}.")


def _seen_by_ourselves(facts: DocumentFacts, words: str) -> DocumentFinding | None:
    """What was seen of the object that is there now, and Bedrock says; at least what its name and its size say."""
    in_bucket, failure = _there(facts.in_bucket), facts.failure
    if failure is not None and failure.changed_to(in_bucket.revision):
        failure = None
    seen, known = (failure.examination, failure.reason) if failure is not None else (None, "")
    by_name = examine(DocumentSample(facts.key, in_bucket.size), kind=_there(facts.sync).kind)
    return explained(seen, f"{words} {known}", facts.key) or by_name


def _again(facts: DocumentFacts, finding: DocumentFinding | None) -> str:
    upload = f"`kbfleet upload {facts.tenant_id} FILE --key KEY`"
    if finding is not None and finding.in_metadata:
        return "No retry helps: correct its metadata file, or delete it. The document is then synced by itself."
    if finding is not None and finding.certain:
        return f"No retry helps: fix it, and upload it again with {upload}."
    return (
        f"Fix it and upload it again with {upload}. If nothing is wrong with it, run "
        f"`kbfleet sync retry-failed {facts.tenant_id}`."
    )


def _retrieval(facts: DocumentFacts) -> Hop:
    name, probe, document = HopName.RETRIEVAL, _there(facts.probe), _there(facts.ingested)
    if probe.refusal:
        found = f"The knowledge base could not be searched: {probe.refusal}"
        return _hop_of(name, found, facts, Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE)
    if probe.found:
        return _of_what_is_found(facts, probe)
    if document.updated_at is not None and facts.now - document.updated_at < SEARCHABLE_WITHIN:
        return Hop(name, Verdict.WAITING, "It was indexed a moment ago; it can take minutes until a search finds it.")
    if facts.anything is Search.NOTHING:
        found = "Bedrock says that it is indexed, and a search finds no document at all."
        return _hop_of(name, found, facts, Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX)
    return Hop(
        name,
        Verdict.BROKEN,
        "Bedrock says that it is indexed, and a search for this document alone finds nothing.",
        f"Have its vectors written anew. {_anew(facts)}",
    )


MANY_BYTES, BYTES_A_CHARACTER = 500_000, 2_000
"""From how many bytes on a PDF is judged by how few characters came of it. Ours: of our sample documents, English and
Japanese, a character comes of 20 to 137 bytes of a PDF; a scanned page has some hundred thousand bytes, and hundreds of
characters. So pages must be missing many times over before anybody is told."""


def _of_what_is_found(facts: DocumentFacts, probe: Probe) -> Hop:
    name, size = HopName.RETRIEVAL, _there(facts.in_bucket).size
    found = "A search for this document alone finds it."
    characters = probe.characters
    few = characters is not None and size >= MANY_BYTES and characters * BYTES_A_CHARACTER < size
    if facts.parsing_model is None or not few or not facts.key.lower().endswith(PARSED_ENDING):
        return Hop(name, Verdict.PASSED, found)
    return Hop(
        name,
        Verdict.PASSED,
        f"{found} But only {characters:,} characters came of its {size:,} bytes. Model {facts.parsing_model} is to "
        "read its pages: it seems that it could not be called, and that Bedrock has used its own parser in its place, "
        "which it tells nobody.",
        "If it shows hardly any words, nothing is wrong. Else see by `kbfleet doctor` whether the model can be called, "
        f"and have it read again. {_anew(facts)}",
    )


def _anew(facts: DocumentFacts) -> str:
    """Of a document that is to be read again as it is: an upload of what is there as it is sends nothing."""
    return (
        f"Delete it by `kbfleet documents delete {facts.tenant_id} KEY`, and upload it again by "
        f"`kbfleet upload {facts.tenant_id} FILE --key KEY`."
    )


_LOOKS: tuple[Callable[[DocumentFacts], Hop], ...] = (
    _tenant,
    _knowledge_base,
    _object,
    _metadata,
    _change,
    _turn,
    _job,
    _document,
    _retrieval,
)


# --- what several hops ask --------------------------------------------------------------------------


def _read_by(facts: DocumentFacts) -> JobStateChange | None:
    """The newest job that began after the upload and went through."""
    return next((job for job in facts.jobs if job.outcome is not None and job.outcome.usable), None)


def _another_turn_is_due(sync: Sync) -> bool:
    """Whether anything is requested that the job that is followed, if any, does not contain."""
    return sync.requested_generation > sync.job.generation if sync.job is not None else sync.pending_changes


def _follows_a_job_that_reads_it(facts: DocumentFacts) -> bool:
    sync, in_bucket = _there(facts.sync), _there(facts.in_bucket)
    return sync.job is not None and sync.job.started_at >= in_bucket.changed_at


def _ingested_since(facts: DocumentFacts) -> bool:
    """Whether Bedrock took it as it is now without a job of its own: by itself, or by a job that began before the
    upload and came to it afterwards, which is certain only when no change is pending."""
    document, in_bucket = _there(facts.ingested), _there(facts.in_bucket)
    dated = document.updated_at is not None and document.updated_at >= in_bucket.changed_at
    return dated and _indexed(facts) and not _there(facts.sync).pending_changes


def _named_by_its_job(facts: DocumentFacts) -> str:
    """Why the job that read it left it out, unless Bedrock has indexed it since; empty if it did not."""
    job, document = _read_by(facts), _there(facts.ingested)
    if job is None:
        return ""
    fixed = _indexed(facts) and document.updated_at is not None and document.updated_at > job.occurred_at
    reasons = (named.reasons.get(document.uri, "") for named in facts.named if named.job == job)
    return "" if fixed else next(reasons, "")


def _indexed(facts: DocumentFacts) -> bool:
    document, in_bucket = facts.ingested, _there(facts.in_bucket)
    if document is None or document.status is not IngestedStatus.INDEXED:
        return False
    return document.updated_at is None or document.updated_at >= in_bucket.changed_at or _read_by(facts) is not None


def _found(facts: DocumentFacts) -> bool:
    return facts.probe is not None and facts.probe.found


def _set_aside(facts: DocumentFacts) -> bool:
    return facts.failure is not None and facts.failure.status is FailureStatus.SET_ASIDE


def _reasons(job: JobStateChange) -> str:
    return "; ".join(reason.whole for reason in job.failure_reasons) or "Bedrock gives no reason."


def _there(fact: Fact | None) -> Fact:
    """A fact that every hop before has made sure of."""
    if fact is None:
        raise ValueError("facts are gathered in the order of the hops, and this one was left out")
    return fact


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
