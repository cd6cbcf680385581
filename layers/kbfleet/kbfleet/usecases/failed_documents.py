"""Documents that Bedrock could not index: collected at a job's end, listed, and tried again without a sync."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, islice
from typing import TYPE_CHECKING

from kbfleet.domain.document_examination import Examination, examine
from kbfleet.domain.document_names import is_in, named_in
from kbfleet.domain.errors import (
    CapacityExceeded,
    IsolationBreached,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    Retryable,
    TenantNotActive,
    TenantNotFound,
)
from kbfleet.domain.failed_documents import (
    ANSWER_WITHIN,
    BATCH,
    DocumentRetry,
    IngestedDocument,
    IngestedStatus,
    NamedDocuments,
    SentDocument,
    failure_report,
    fixed,
    seen_failing,
    sighted,
)
from kbfleet.domain.isolation import SeenIn
from kbfleet.domain.knowledge_base import client_token
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import MAX_METADATA_BYTES
from kbfleet.usecases.ingestion import require_trusted, update_sync
from kbfleet.usecases.isolation import announce_breach

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from kbfleet.domain.failed_documents import BucketDocument, FailedDocument, FailureReport
    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.knowledge_base import KnowledgeBaseKind
    from kbfleet.domain.names import DataSourceReference, Knowledge, Life, ResourceNames, TenantId
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        BucketContents,
        Clock,
        DocumentRetries,
        DocumentSamples,
        FailedDocuments,
        IngestedDocuments,
        KnowledgeStore,
        RetryRuns,
        SyncLedger,
        TenantRegistry,
    )
    from kbfleet.usecases.profiles import Profiles

PAGES = 50
"""Pages of ListKnowledgeBaseDocuments, of 100 documents each, that are looked through after one job: about ten seconds
of the five requests a second that an account has (AWS documentation, Quotas for Amazon Bedrock)."""
REASONS, LOOKS = 100, 500
"""Of one job: reasons whose names are compared with what is in the bucket, and names that are looked for there. Beyond
that, the list of documents is read."""
EXAMINED = 200
"""Documents that are looked at after one job, each by up to three reads and two listings of its own: together less than
a minute, and 28 MB."""
MOST = 1_000
"""Documents that a tenant's list may hold; all of them are looked up after each job, which takes about a minute. Where
more fail, the cause is seldom in the documents."""

_NOT_NOW = (CapacityExceeded, ResourceConflict, Retryable)
"""How Bedrock may refuse documents while it has other work."""


@dataclass(frozen=True, slots=True)
class FailureCollector:
    """Brings a tenant's list of failing documents up to what a job's end shows.

    Bedrock's statuses decide, a job's own words say why; and because these are of many documents at once, or of none,
    kbfleet looks at each that fails by itself: at `EXAMINED` of them after one job, at the rest after the next. It may
    run for the same job again, also after it died half way, and for jobs out of order: the list is the same, and so is
    what the report says of documents that fail.
    """

    registry: TenantRegistry
    failed_documents: FailedDocuments
    ingested_documents: IngestedDocuments
    bucket_contents: BucketContents
    samples: DocumentSamples
    stores: Mapping[str, KnowledgeStore]
    profiles: Profiles
    announcements: Announcements
    ledger: SyncLedger
    clock: Clock
    names: ResourceNames

    def collect(self, job: JobStateChange) -> FailureReport | None:
        """Returns: what is published; `None` when the tenant is on its way out or has another life by now, the job has
        read for a knowledge that does not answer, or nothing fails and nothing did.

        Raises:
            TenantNotFound, ConcurrentUpdate, Throttled, NotReadyYet, AwsRefusal.
        """
        tenant = self.registry.get(job.tenant_id)
        if _leaves(tenant) or job.of_life != tenant.this_life or job.knowledge != tenant.knowledge:
            return None
        known = {document.uri: document for document in self.failed_documents.all(job.of_life)}
        sync = self.ledger.find(tenant.live_knowledge)
        usable = job.outcome is not None and job.outcome.usable
        broken = job.outcome is not None and job.outcome.broken
        never_counted = usable and sync.left_out_as_of is None
        look_through = never_counted or (usable and sync.missed_before(job.occurred_at))
        # Whoever has died between taking the last document off the list and saying so has not counted either.
        nothing_to_end = not usable or sync.documents_left_out == 0
        if not known and not look_through and not broken and nothing_to_end:
            self._count(tenant.live_knowledge, job, 0, whole=sync.left_out_whole)
            return None
        bucket = self.names.bucket(job.of_life)
        named = documents_named_by(job, bucket, self.bucket_contents)
        listed = look_through or not named.all
        found, complete = self._found(tenant, bucket, known, named, listed=listed)
        failing = self._brought_up_to_date(job, bucket, known, named.reasons, found, self._examiner(tenant, sync))
        complete = complete and (named.all or named.at_least <= len(failing))
        report = None
        if known or failing or broken or not (nothing_to_end or never_counted):
            report = failure_report(
                job, failing, fixed=len(known.keys() - {document.uri for document in failing}), complete=complete
            )
            self.announcements.failures_collected(report)
        whole = complete and (listed or sync.left_out_whole)
        self._count(tenant.live_knowledge, job, len(failing), whole=whole, looked_through=listed)
        return report

    def _count(
        self, knowledge: Knowledge, job: JobStateChange, failing: int, *, whole: bool, looked_through: bool = False
    ) -> None:
        """Askers are told how many documents are left out. Of a job that brought nothing, nobody can say."""
        outcome = job.outcome
        if outcome is None or not outcome.usable:
            return
        update_sync(
            knowledge,
            _where_there_is_an_entry(
                lambda sync: sync.counted_left_out(
                    failing, outcome, job.occurred_at, whole=whole, looked_through=looked_through
                )
            ),
            ledger=self.ledger,
        )

    def _found(
        self,
        tenant: Tenant,
        bucket: str,
        known: Mapping[str, FailedDocument],
        named: NamedDocuments,
        *,
        listed: bool,
    ) -> tuple[Mapping[str, IngestedDocument], bool]:
        """What Bedrock says of every document that may fail; and whether these are all."""
        failing: dict[str, IngestedDocument] = {}
        complete = True
        # What is in the list already is always looked up: else it could not be seen to be fixed.
        wanted = list(dict.fromkeys([*known, *named.reasons]))
        try:
            data_source = _present_data_source(tenant, named.job)
            if listed:
                in_list, complete = self._listed(tenant.tenant_id, bucket, data_source)
                failing = {document.uri: document for document in in_list}
                wanted = list(dict.fromkeys([*wanted, *failing]))
            complete = complete and len(wanted) <= max(MOST, len(known))
            wanted = wanted[: max(MOST, len(known))]
            unknown = [uri for uri in wanted if uri not in failing]
            looked_up = self.ingested_documents.look_up(data_source, bucket, unknown)
            found = {document.uri: document for document in looked_up}
        except ResourceMissing:
            # The data source was deleted since. What the job said still counts.
            found = {uri: IngestedDocument(uri, IngestedStatus.NOT_FOUND) for uri in wanted}
        return {uri: failing.get(uri) or found[uri] for uri in wanted}, complete

    def _listed(
        self, tenant_id: TenantId, bucket: str, data_source: DataSourceReference
    ) -> tuple[Sequence[IngestedDocument], bool]:
        """The tenant's own that fail, among the documents that are looked through; and whether these are all. Others
        should not be there: that is a breach."""
        pages = self.ingested_documents.pages(data_source)
        try:
            listed = [document for page in islice(pages, PAGES) for document in page.documents]
            complete = next(pages, None) is None
        except RequestRefused:
            return [], False  # whether every kind of knowledge base lists its documents is not said
        own = [document for document in listed if is_in(bucket, document.uri)]
        if len(own) < len(listed):
            found = [f"documents of data source {data_source.data_source_id}"]
            announce_breach(tenant_id, SeenIn.RESOURCES, found, announcements=self.announcements, clock=self.clock)
        return [document for document in own if document.status.failing], complete

    def _brought_up_to_date(
        self,
        job: JobStateChange,
        bucket: str,
        known: Mapping[str, FailedDocument],
        named: Mapping[str, str],
        found: Mapping[str, IngestedDocument],
        examiner: _Examiner,
    ) -> Sequence[FailedDocument]:
        """Returns: all documents that fail now."""
        failing: list[FailedDocument] = []
        for uri, document in found.items():
            in_bucket, before = self.bucket_contents.find(bucket, uri), known.get(uri)
            sighting = sighted(named.get(uri), document, in_bucket, job)
            if sighting is not None:
                after = seen_failing(before, sighting, in_bucket.revision if in_bucket else None, job.occurred_at)
            elif before is not None and fixed(before, document, in_bucket, job):
                self.failed_documents.remove(job.of_life, before)
                continue
            elif before is not None:
                after = before
            else:
                continue
            after = examiner.examined(bucket, after, in_bucket)
            failing.append(after if after == before else self.failed_documents.save(job.of_life, after))
        return failing

    def _examiner(self, tenant: Tenant, sync: Sync) -> _Examiner:
        store = self.stores.get(tenant.knowledge_store)  # the stack may offer it no more
        return _Examiner(
            self.samples,
            sync.kind,
            store.max_metadata_bytes if store is not None else MAX_METADATA_BYTES,
            self.profiles.parsing_model(tenant) is not None,
        )


@dataclass(slots=True)
class _Examiner:
    """Looks at documents that failed, `EXAMINED` at most."""

    samples: DocumentSamples
    kind: KnowledgeBaseKind
    max_metadata_bytes: int
    parsed_by_model: bool
    looked: int = 0

    def examined(self, bucket: str, document: FailedDocument, in_bucket: BucketDocument | None) -> FailedDocument:
        if self.looked >= EXAMINED or not document.to_be_examined(in_bucket):
            return document
        self.looked += 1
        sample = self.samples.sample(bucket, document.uri)
        if sample is None or document.changed_to(sample.revision):
            return document  # it is another one by now, which will be synced
        finding = examine(sample, kind=self.kind, max_metadata_bytes=self.max_metadata_bytes)
        seen = Examination(sample.revision, finding, sample.head is not None, self.parsed_by_model)
        return replace(document, examination=seen)


def _where_there_is_an_entry(change: Callable[[Sync], Sync]) -> Callable[[Sync], Sync]:
    """The entry of a tenant that is being erased must not come back."""
    return lambda sync: change(sync) if sync.version else sync


def documents_named_by(job: JobStateChange, bucket: str, bucket_contents: BucketContents) -> NamedDocuments:
    """The documents that a job names, by what is in the tenant's bucket now.

    Raises:
        Throttled, NotReadyYet, AwsRefusal.
    """
    looks = count()

    def present(keys: Sequence[str]) -> Collection[str]:
        return bucket_contents.present(bucket, keys) if next(looks) < LOOKS else ()

    keys = (named_in(reason.text, reason.names, bucket, present) for reason in job.failure_reasons[:REASONS])
    return NamedDocuments(job, tuple(tuple(f"s3://{bucket}/{key}" for key in named) for named in keys))


def _present_data_source(tenant: Tenant, job: JobStateChange) -> DataSourceReference:
    """The tenant's own, if it is the one that the job read: an event proves nothing of what it names.

    Raises:
        ResourceMissing.
    """
    try:
        present = tenant.data_source()
    except TenantNotActive as error:
        raise ResourceMissing(str(error)) from error
    if present != job.data_source:
        raise ResourceMissing(f"Job {job.name} read a data source that tenant {tenant.tenant_id} no longer has.")
    return present


def _leaves(tenant: Tenant) -> bool:
    """Whether the tenant's records are being deleted, or were: nothing must be added to them."""
    begun = tenant.offboarding is not None and tenant.offboarding.deletion_began_at is not None
    return tenant.status is TenantStatus.OFFBOARDED or begun


def request_retry(
    tenant_id: TenantId,
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    retries: DocumentRetries,
    runs: RetryRuns,
    clock: Clock,
) -> DocumentRetry:
    """Has every document that fails tried again, also those that are set aside, but not those that can never be read
    as they are. A retry that is under way is joined, and goes on if it had come to a halt.

    Raises:
        TenantNotFound, TenantNotActive: there is nothing to ingest into, the tenant is not in service, or its data
            source reads another bucket.
        ConcurrentUpdate: somebody else requested one at the same moment.
    """
    tenant = registry.get(tenant_id)
    tenant.in_service()
    tenant.data_source()
    require_trusted(ledger.find(tenant.live_knowledge))
    retry = retries.find(tenant.this_life)
    if retry is None or retry.ended_at is not None:
        now = clock.now()
        retry = retries.save(
            DocumentRetry(
                tenant_id,
                now.isoformat(),
                now,
                version=retry.version if retry is not None else 0,
                life=tenant.life,
            )
        )
    runs.request(retry)
    return retry


@dataclass(frozen=True, slots=True)
class RetryRunner:
    """One run of a retry: takes Bedrock's answers about what was sent, sends more, and asks for the next run.

    It may die anywhere and be repeated: a document that is sent twice is ingested twice, to the same effect.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    failed_documents: FailedDocuments
    retries: DocumentRetries
    ingested_documents: IngestedDocuments
    bucket_contents: BucketContents
    runs: RetryRuns
    announcements: Announcements
    clock: Clock
    names: ResourceNames

    def run(self, life: Life, version: int) -> DocumentRetry | None:
        """The run of that version. Where it was made already, only the next one is asked for.

        Returns: the retry after it; `None` when there is none.

        Raises:
            ConcurrentUpdate, Throttled, NotReadyYet, AwsRefusal.
        """
        retry = self.retries.find(life)
        if retry is None or retry.ended_at is not None:
            return retry
        if retry.version == version:
            advanced = self._advanced(retry)
            if advanced.ended_at is not None:
                self._tell(advanced)
            retry = self.retries.save(advanced)
        if retry.ended_at is None:
            self.runs.request(retry)
        return retry

    def _tell(self, ended: DocumentRetry) -> None:
        """Before its end is stored: whoever dies in between comes here again."""
        tenant = self.registry.find(ended.tenant_id)
        if tenant is None or tenant.this_life != ended.of_life or _leaves(tenant):
            return
        complete = self.ledger.find(tenant.live_knowledge).uncounted_since is None
        report = ended.report(self.failed_documents.all(ended.of_life), complete=complete)
        self.announcements.retry_ended(report)
        counted = _where_there_is_an_entry(lambda sync: sync.left_out_fixed(report.left))
        update_sync(tenant.live_knowledge, counted, ledger=self.ledger)

    def _advanced(self, retry: DocumentRetry) -> DocumentRetry:
        try:
            tenant = self.registry.get(retry.tenant_id)
            tenant.require_life(retry.of_life)
            tenant.in_service()
            data_source = tenant.data_source()
            require_trusted(self.ledger.find(tenant.live_knowledge))
            bucket = self.names.bucket(retry.of_life)
            settled = self._settled(retry, data_source, bucket)
            return self._filled(settled, data_source, bucket).concluded(self.clock.now())
        except (TenantNotActive, TenantNotFound, ResourceMissing, IsolationBreached) as error:
            return retry.given_up(self.clock.now(), str(error))

    # --- what was sent ---

    def _settled(self, retry: DocumentRetry, data_source: DataSourceReference, bucket: str) -> DocumentRetry:
        sent = {document.uri: document for document in retry.under_way}
        for document in self.ingested_documents.look_up(data_source, bucket, list(sent)):
            if sent[document.uri].answered(document):
                retry = self._answered(retry, document)
            elif self.clock.now() - sent[document.uri].sent_at >= ANSWER_WITHIN:
                retry = retry.settled({document.uri}, unanswered=1)
        return retry

    def _answered(self, retry: DocumentRetry, document: IngestedDocument) -> DocumentRetry:
        known = self.failed_documents.find(retry.of_life, document.uri)
        if document.status.failing:
            return self._failed(retry, known, document.uri, document.explanation)
        if known is not None:
            self.failed_documents.remove(retry.of_life, known)
        return retry.settled({document.uri}, fixed=1)

    def _failed(self, retry: DocumentRetry, known: FailedDocument | None, uri: str, reason: str) -> DocumentRetry:
        # Not counted among its failures in a row: those are of jobs, and somebody is at it.
        if known is not None and (told := known.told(reason)) != known:
            self.failed_documents.save(retry.of_life, told)
        return retry.settled({uri}, failed=1)

    # --- what is to be sent ---

    def _filled(self, retry: DocumentRetry, data_source: DataSourceReference, bucket: str) -> DocumentRetry:
        while retry.room:
            page = self.failed_documents.page(retry.of_life, BATCH, retry.done_up_to)
            in_bucket = {document.uri: self.bucket_contents.find(bucket, document.uri) for document in page.documents}
            known = {each.uri: self._as_it_is_now(retry, each, in_bucket[each.uri]) for each in page.documents}
            there = [document for document in in_bucket.values() if document is not None]
            hopeless = {document.uri for document in there if known[document.uri].hopeless(document)}
            present = [document for document in there if document.uri not in hopeless]
            try:
                answers = list(self._sent(retry, data_source, bucket, present))
            except _NOT_NOW:
                return retry  # the next run tries again
            for gone in (document for document in known.values() if in_bucket[document.uri] is None):
                self.failed_documents.remove(retry.of_life, gone)
                retry = retry.settled((), fixed=1)
            retry = retry.settled((), skipped=len(hopeless))
            for refused in (answer for answer in answers if isinstance(answer, _Refusal)):
                retry = self._failed(retry, known[refused.uri], refused.uri, refused.reason)
            under_way = [answer for answer in answers if isinstance(answer, SentDocument)]
            retry = retry.sent(under_way, up_to=page.following, exhausted=page.following is None)
        return retry

    def _as_it_is_now(
        self, retry: DocumentRetry, known: FailedDocument, in_bucket: BucketDocument | None
    ) -> FailedDocument:
        """What was seen of an object is not said of the one that has taken its place."""
        if known.examination is None or in_bucket is None or known.examination.revision == in_bucket.revision:
            return known
        return self.failed_documents.save(retry.of_life, replace(known, examination=None))

    def _sent(
        self, retry: DocumentRetry, data_source: DataSourceReference, bucket: str, documents: Sequence[BucketDocument]
    ) -> Iterator[SentDocument | _Refusal]:
        """Bedrock refuses ten documents for one that it does not like, so that one is looked for."""
        if not documents:
            return
        # The version is in it: under the same token, Bedrock would answer with what came of an earlier try.
        token = client_token(
            retry.tenant_id, retry.retry_id, str(retry.version), *(document.revision for document in documents)
        )
        try:
            answers = self.ingested_documents.ingest(data_source, bucket, documents, client_token=token)
        except RequestRefused as error:
            if len(documents) == 1:
                yield _Refusal(documents[0].uri, str(error))
                return
            middle = len(documents) // 2
            for half in (documents[:middle], documents[middle:]):
                yield from self._sent(retry, data_source, bucket, half)
            return
        yield from self._accepted(answers)

    def _accepted(self, answers: Iterable[IngestedDocument]) -> Iterator[SentDocument]:
        for answer in answers:
            yield SentDocument(answer.uri, answer.updated_at or self.clock.now())


@dataclass(frozen=True, slots=True)
class _Refusal:
    uri: str
    reason: str
