"""Documents that fail, in memory: our lists of them, Bedrock's statuses, and the objects in buckets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

from kbfleet.domain.answer import AskableTenant
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.diagnosis import Search
from kbfleet.domain.document_examination import EDGE_BYTES, DocumentSample
from kbfleet.domain.document_links import DocumentLink
from kbfleet.domain.document_names import key_in
from kbfleet.domain.document_status import BucketEntry
from kbfleet.domain.document_trace import Probe
from kbfleet.domain.errors import CapacityExceeded, ConcurrentUpdate, KbfleetError, RequestRefused
from kbfleet.domain.failed_documents import (
    BucketDocument,
    DocumentObject,
    DocumentRetry,
    FailedDocument,
    IngestedDocument,
    IngestedStatus,
)
from kbfleet.domain.isolation import FoundPassages
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import DataSourceReference, Life, ResourceNames, TenantId
from kbfleet.domain.question_runs import ChangedDocuments
from kbfleet.domain.survey import PresentVersion
from kbfleet.domain.uploads import MAX_METADATA_BYTES, METADATA_SUFFIX, StoredObject
from kbfleet.ports import Clock, ComparedPage, EntryPage, Erased, FailedDocumentPage, IngestedDocumentPage, VersionPage
from tests.support.clock import START
from tests.support.samples import NAMES

PAGE_SIZE = 2
INDEXING = timedelta(seconds=20)
"""How long a document that is ingested by itself takes; the emulator's number."""


def _position(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()


class InMemoryFailedDocuments:
    """`kbfleet.ports.FailedDocuments`."""

    def __init__(self, names: ResourceNames = NAMES) -> None:
        self._names = names
        self._documents: dict[tuple[Life, str], FailedDocument] = {}

    def find(self, life: Life, uri: str) -> FailedDocument | None:
        return self._documents.get((life, uri))

    def those_of(self, life: Life, uris: Sequence[str]) -> Mapping[str, FailedDocument]:
        return {uri: self._documents[life, uri] for uri in uris if (life, uri) in self._documents}

    def all(self, life: Life) -> Iterator[FailedDocument]:
        own = (document for (of, _), document in self._documents.items() if of == life)
        return iter(sorted(own, key=lambda document: _position(document.uri)))

    def page(self, life: Life, limit: int, after: str | None) -> FailedDocumentPage:
        rest = [document for document in self.all(life) if _position(document.uri) > (after or "")]
        return FailedDocumentPage(rest[:limit], _position(rest[limit - 1].uri) if len(rest) > limit else None)

    def save(self, life: Life, document: FailedDocument) -> FailedDocument:
        key_in(self._names.bucket(life), document.uri)
        self._check(life, document)
        stored = replace(document, version=document.version + 1)
        self._documents[life, document.uri] = stored
        return stored

    def remove(self, life: Life, document: FailedDocument) -> None:
        if (life, document.uri) in self._documents:
            self._check(life, document)
            del self._documents[life, document.uri]

    def _check(self, life: Life, document: FailedDocument) -> None:
        stored = self._documents.get((life, document.uri))
        if (stored.version if stored else 0) != document.version:
            raise ConcurrentUpdate(f"{document.uri} has changed since it was read.")


class InMemoryDocumentRetries:
    """`kbfleet.ports.DocumentRetries`."""

    def __init__(self) -> None:
        self._retries: dict[Life, DocumentRetry] = {}

    def find(self, life: Life) -> DocumentRetry | None:
        return self._retries.get(life)

    def save(self, retry: DocumentRetry) -> DocumentRetry:
        stored = self._retries.get(retry.of_life)
        if (stored.version if stored else 0) != retry.version:
            raise ConcurrentUpdate(f"The retry of tenant {retry.of_life} has changed since it was read.")
        self._retries[retry.of_life] = replace(retry, version=retry.version + 1)
        return self._retries[retry.of_life]


class RecordingRetryRuns:
    """`kbfleet.ports.RetryRuns`. `waiting` has each run once, as the queue's deduplication does."""

    def __init__(self) -> None:
        self._seen: set[tuple[TenantId, int]] = set()
        self.waiting: list[tuple[TenantId, int]] = []

    def request(self, retry: DocumentRetry) -> None:
        run = (retry.tenant_id, retry.version)
        if run not in self._seen:
            self._seen.add(run)
            self.waiting.append(run)


class InMemoryBucketContents:
    """`kbfleet.ports.BucketContents` and `DocumentSamples`; what no `content` was given of, may not be read. `sampled`
    is how often an object was looked into. `pages` are those of the list of versions of every bucket, `compared_pages`
    those of what has become of documents (if there are none, all are still there), `listed` is how often one was given,
    and `refusal` what the list is refused with. `deleted` is since when what was under a URI is not there any more, and
    `kept` how many versions of it are kept, while any are. `changed_documents` are what has changed since any time."""

    def __init__(self) -> None:
        self._objects: dict[str, str] = {}
        self._described: dict[str, DocumentObject] = {}
        self._contents: dict[str, bytes] = {}
        self.deleted: dict[str, datetime] = {}
        self.kept: dict[str, int] = {}
        self.sampled = 0
        self.pages: list[list[PresentVersion]] = [[]]
        self.compared_pages: list[ComparedPage] = []
        self.listed = 0
        self.refusal: KbfleetError | None = None
        self.changed_documents = ChangedDocuments()
        self.changes_asked_since: list[datetime] = []

    def put(
        self,
        uri: str,
        revision: str = "1",
        described: DocumentObject | None = None,
        content: bytes | None = None,
        metadata: bytes | None = None,
    ) -> None:
        self._objects[uri] = revision
        self.deleted.pop(uri, None)
        self.kept[uri] = self.kept.get(uri, 0) + 1
        size = 1_000 if content is None else len(content)
        beside = None if metadata is None else len(metadata)
        self._described[uri] = replace(described or DocumentObject(START, size, beside), revision=revision)
        beside_it = f"{uri}{METADATA_SUFFIX}"
        for name, bytes_of_it in ((uri, content), (beside_it, metadata)):
            self._contents.pop(name, None)
            if bytes_of_it is not None:
                self._contents[name] = bytes_of_it

    def delete(self, uri: str, at: datetime = START) -> None:
        if self._objects.pop(uri, None) is not None:
            self.deleted[uri] = at

    def entries(self, bucket: str, *, prefix: str, after: str | None, limit: int) -> EntryPage:
        if self.refusal is not None:
            raise self.refusal
        begins = f"s3://{bucket}/"
        keys = [uri.removeprefix(begins) for uri in (*self._objects, *self.deleted) if uri.startswith(begins)]
        listed = sorted(
            key
            for key in keys
            if key.startswith(prefix) and key > (after or "") and not key.endswith((METADATA_SUFFIX, "/"))
        )
        entries = [self._entry(f"{begins}{key}", key) for key in listed[:limit]]
        return EntryPage(entries, listed[limit - 1] if len(listed) > limit else None)

    def _entry(self, uri: str, key: str) -> BucketEntry:
        if uri in self.deleted:
            marker = PresentVersion(self.deleted[uri], deleted=True)
            return BucketEntry(key, marker.changed_at, marker.listed_from, deleted=True)
        found = self._described[uri]
        there = PresentVersion(found.changed_at, found.size)
        return BucketEntry(
            key,
            there.changed_at,
            there.listed_from,
            found.size,
            found.metadata_bytes,
            self._objects[uri],
            first=self.kept[uri] == 1,
        )

    def attributes(self, bucket: str, uri: str) -> bytes | None:
        key_in(bucket, uri)
        return self._contents.get(f"{uri}{METADATA_SUFFIX}") if uri in self._objects else None

    def forget(self, uri: str) -> int:
        """No version of it is left. Returns: how many there were."""
        there = self.kept.pop(uri, 0)
        self._objects.pop(uri, None)
        self.deleted.pop(uri, None)
        return there

    def find(self, bucket: str, uri: str) -> BucketDocument | None:
        key_in(bucket, uri)
        return BucketDocument(uri, self._objects[uri]) if uri in self._objects else None

    def describe(self, bucket: str, uri: str) -> DocumentObject | None:
        key_in(bucket, uri)
        return self._described[uri] if uri in self._objects else None

    def sample(self, bucket: str, uri: str) -> DocumentSample | None:
        key = key_in(bucket, uri)
        if uri not in self._objects:
            return None
        self.sampled += 1
        described = self._described[uri]
        sample = DocumentSample(
            key, described.size, revision=self._objects[uri], metadata_size=described.metadata_bytes
        )
        content = self._contents.get(uri)
        if content is None:
            return sample
        tail = content[max(EDGE_BYTES, len(content) - EDGE_BYTES) :]
        metadata = self._contents.get(f"{uri}{METADATA_SUFFIX}")
        small = metadata is not None and len(metadata) <= MAX_METADATA_BYTES
        return replace(sample, head=content[:EDGE_BYTES], tail=tail, metadata=metadata if small else None)

    def objects(self, bucket: str, keys: Collection[str]) -> Mapping[str, StoredObject]:
        uris = {key: f"s3://{bucket}/{key}" for key in keys}
        return {
            key: StoredObject(self._described[uri].size, self._objects[uri])
            for key, uri in uris.items()
            if uri in self._objects
        }

    def present(self, bucket: str, keys: Collection[str]) -> Collection[str]:
        return {key for key in keys if f"s3://{bucket}/{key}" in self._objects}

    def versions(self, bucket: str, after: str | None) -> VersionPage:
        if self.refusal is not None:
            raise self.refusal
        self.listed += 1
        number = int(after or 0)
        return VersionPage(self.pages[number], str(number + 1) if number + 1 < len(self.pages) else None)

    def changed(self, bucket: str, since: datetime, most: int) -> ChangedDocuments:
        if self.refusal is not None:
            raise self.refusal
        self.changes_asked_since.append(since)
        return self.changed_documents

    def compared(self, bucket: str, answered_from: AnsweredFrom, left_out: Set[str], after: str | None) -> ComparedPage:
        if self.refusal is not None:
            raise self.refusal
        self.listed += 1
        if not self.compared_pages:
            return ComparedPage(answered_from.documents - len(left_out), 0, 0, None)
        number = int(after or 0)
        page = self.compared_pages[number]
        return replace(page, following=str(number + 1) if number + 1 < len(self.compared_pages) else None)


class InMemoryDocumentRemoval:
    """`kbfleet.ports.DocumentRemoval` of what `InMemoryBucketContents` holds. While it is `interrupted`, its time is
    over before it has erased anything."""

    def __init__(self, contents: InMemoryBucketContents, clock: Clock) -> None:
        self._contents = contents
        self._clock = clock
        self.interrupted = False

    def delete(self, bucket: str, key: str) -> None:
        self._contents.delete(f"s3://{bucket}/{key}", self._clock.now())

    def erase(self, bucket: str, key: str, *, until: datetime) -> Erased:
        self.delete(bucket, key)
        if self.interrupted:
            return Erased(0, whole=False)
        return Erased(self._contents.forget(f"s3://{bucket}/{key}"), whole=True)


class InMemoryDocumentLinks:
    """`kbfleet.ports.DocumentLinks`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def link(self, bucket: str, key: str, valid_for: timedelta) -> DocumentLink:
        return DocumentLink(f"https://{bucket}.example.com/{quote(key)}", self._clock.now() + valid_for)


class InMemoryRetrievalProbe:
    """`kbfleet.ports.RetrievalProbe`. It finds what is in `findable`."""

    def __init__(self) -> None:
        self.findable: set[str] = set()
        self.refusal = ""
        self.characters: int | None = None

    def probe(self, knowledge_base_id: str, kind: KnowledgeBaseKind, bucket: str, uri: str) -> Probe:
        key_in(bucket, uri)
        return Probe(not self.refusal and uri in self.findable, self.refusal, self.characters)

    def anything(self, knowledge_base_id: str, kind: KnowledgeBaseKind) -> Search:
        if self.refusal:
            return Search.REFUSED
        return Search.FOUND if self.findable else Search.NOTHING


class InMemoryPassageSearch:
    """`kbfleet.ports.PassageSearch`, for whichever tenant: it finds `uris`, says that it is `whole`, and what was
    `left_behind`, or raises `refusal`."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.whole = True
        self.left_behind = False
        self.refusal: KbfleetError | None = None

    def search(self, tenant: AskableTenant, kind: KnowledgeBaseKind, own: DataSourceReference) -> FoundPassages:
        if self.refusal is not None:
            raise self.refusal
        return FoundPassages(tuple(self.uris), self.whole, self.left_behind)


class InMemoryIngestedDocuments:
    """`kbfleet.ports.IngestedDocuments`, for whichever data source. A document that is ingested by itself ends as
    `outcomes` says, INDEXED if that says nothing; until a moment after the call, its status is the one from before.
    `asked` are those that were looked at once, together; `refusal` is what that is refused with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, IngestedDocument] = {}
        self._under_way: dict[str, IngestedDocument] = {}
        self.outcomes: dict[str, IngestedStatus] = {}
        self._pages = 0
        self.refused: set[str] = set()
        self.refusal: KbfleetError | None = None
        self.asked: list[list[str]] = []
        self.busy = False
        self.batches: list[list[str]] = []
        self.lists = True
        self.pages_read = 0

    def set(self, uri: str, status: IngestedStatus, reason: str = "") -> None:
        """A job, or somebody, has just brought the document there."""
        self._known[uri] = IngestedDocument(uri, status, reason, self._clock.now())

    def forget(self, uri: str) -> None:
        self._known.pop(uri, None)

    def look_up(self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]) -> Sequence[IngestedDocument]:
        for uri in uris:
            key_in(bucket, uri)
        self._finish()
        return [self._known.get(uri) or IngestedDocument(uri, IngestedStatus.NOT_FOUND) for uri in uris]

    def look_once(
        self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]
    ) -> Sequence[IngestedDocument] | None:
        found = self.look_up(data_source, bucket, uris)
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(list(uris))
        return None if self.refused & set(uris) else found

    def pages(self, data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
        if not self.lists:
            raise RequestRefused("This knowledge base does not list its documents.")
        generation, _, place = (after or f"{self._pages}/0").partition("/")
        if generation != str(self._pages):
            raise RequestRefused("The pagination token is not valid.")
        known = list(self._known.values())
        for first in range(int(place), len(known), PAGE_SIZE):
            self.pages_read += 1
            behind = first + PAGE_SIZE
            following = f"{self._pages}/{behind}" if behind < len(known) else None
            yield IngestedDocumentPage(known[first:behind], following)

    def forget_pages(self) -> None:
        """No place in the list is known any more."""
        self._pages += 1

    def ingest(
        self, data_source: DataSourceReference, bucket: str, documents: Sequence[BucketDocument], *, client_token: str
    ) -> Sequence[IngestedDocument]:
        for document in documents:
            key_in(bucket, document.uri)
        if len(documents) > 10:
            raise RequestRefused("documents: Member must have length less than or equal to 10")
        if self.busy:
            raise CapacityExceeded("You have reached the maximum number of concurrent requests.")
        uris = [document.uri for document in documents]
        if self.refused & set(uris):
            raise RequestRefused("The document is not acceptable.")
        self.batches.append(uris)
        now = self._clock.now()
        for uri in uris:
            status = self.outcomes.get(uri, IngestedStatus.INDEXED)
            self._under_way[uri] = IngestedDocument(uri, status, "" if status == "INDEXED" else "still", now + INDEXING)
        return [IngestedDocument(uri, IngestedStatus.STARTING, updated_at=now) for uri in uris]

    def _finish(self) -> None:
        now = self._clock.now()
        for uri, document in list(self._under_way.items()):
            if document.updated_at is not None and document.updated_at <= now:
                self._known[uri] = self._under_way.pop(uri)
