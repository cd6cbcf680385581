"""A tenant's documents as a resource: listed with what is true of each, looked at one by one, deleted, opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.document_links import LINK_VALID
from kbfleet.domain.document_names import form_of, key_in, other_spellings
from kbfleet.domain.document_status import (
    ASKED_AT_ONCE,
    MAX_ASKED_URI,
    UNKNOWN,
    Deletion,
    DocumentState,
    DocumentStatus,
    IndexState,
    TenantDocument,
    after_deletion,
    by_bedrock,
    by_ledger,
    left_out,
)
from kbfleet.domain.errors import (
    AwsRefusal,
    BucketGone,
    DocumentNotFound,
    IsolationBreached,
    NotReadyYet,
    ResourceMissing,
    Throttled,
    TicketRefused,
)
from kbfleet.domain.failed_documents import BATCH
from kbfleet.domain.left_out import left_out_not_known
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import METADATA_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from kbfleet.domain.answer import Asker
    from kbfleet.domain.document_links import DocumentLink
    from kbfleet.domain.document_pages import ListPlace
    from kbfleet.domain.document_status import BucketEntry
    from kbfleet.domain.failed_documents import FailedDocument, IngestedDocument
    from kbfleet.domain.left_out import LeftOutNotKnown
    from kbfleet.domain.names import Life, ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        AskableTenantRecords,
        BucketContents,
        DocumentLinks,
        DocumentRemoval,
        FailedDocuments,
        IngestedDocuments,
        SyncLedger,
        TenantRegistry,
        Tickets,
    )

_NOT_YET_OR_NO_MORE = {
    TenantStatus.PROVISIONING,
    TenantStatus.FAILED,
    TenantStatus.OFFBOARDING,
    TenantStatus.OFFBOARDED,
}
"""While a tenant is one of these, that it has no bucket is no trouble."""


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """`following` is where the list is read on; `None` at its end. A page may be shorter than asked for, and empty.
    `not_known` is why more documents may be left out than are said to be."""

    documents: Sequence[TenantDocument]
    following: ListPlace | None
    not_known: LeftOutNotKnown | None


@dataclass(frozen=True, slots=True)
class TenantDocuments:
    """Nothing of what a document says is looked at, but the attributes in its metadata file."""

    registry: TenantRegistry
    ledger: SyncLedger
    failed_documents: FailedDocuments
    ingested_documents: IngestedDocuments
    bucket_contents: BucketContents
    names: ResourceNames

    def page(self, tenant: Tenant, place: ListPlace, limit: int) -> DocumentPage:
        """A page of a tenant's documents, by a bounded number of calls: two of S3, two of our table, and
        `ASKED_AT_ONCE` of Bedrock. What they do not settle is unknown.

        Args:
            place: in a list of its documents.
            limit: most documents of the page, 1 to 100.

        Raises:
            Throttled, NotReadyYet, AwsRefusal; BucketGone.
        """
        bucket, index = self.names.bucket(place.of.of), self._index(tenant)
        not_known = left_out_not_known(index.sync)
        if place.of.status is DocumentStatus.LEFT_OUT:
            return DocumentPage(*self._left_out(place, limit, bucket), not_known)
        try:
            listed = self.bucket_contents.entries(bucket, prefix=place.prefix, after=place.after, limit=limit)
        except ResourceMissing as error:
            if tenant.status not in _NOT_YET_OR_NO_MORE:
                raise BucketGone.of(tenant.tenant_id) from error
            return DocumentPage((), None, not_known)
        known, wanted = self._known(tenant, index, bucket, listed.entries), place.of.status
        documents = [
            each
            for each in known
            if each.state.status is wanted or (wanted is None and each.state.status is not DocumentStatus.GONE)
        ]
        return DocumentPage(documents, place.behind(listed.following), not_known)

    def _left_out(self, place: ListPlace, limit: int, bucket: str) -> tuple[Sequence[TenantDocument], ListPlace | None]:
        """By kbfleet's own list, which needs no bucket and no Bedrock."""
        page = self.failed_documents.page(place.of.of, limit, place.after)
        documents = [
            left_out(failure, key) for failure in page.documents if place.of.has(key := key_in(bucket, failure.uri))
        ]
        return documents, None if page.following is None else replace(place, after=page.following)

    def _known(
        self, tenant: Tenant, index: IndexState, bucket: str, entries: Sequence[BucketEntry]
    ) -> Sequence[TenantDocument]:
        """What is true of each, in that order."""
        uris = [f"s3://{bucket}/{entry.key}" for entry in entries]
        none_fails = index.sync.documents_left_out == 0
        failing: Mapping[str, FailedDocument] = (
            {} if none_fails or not uris else self.failed_documents.those_of(tenant.this_life, uris)
        )
        ledgers = {uri: by_ledger(entry, failing.get(uri), index) for uri, entry in zip(uris, entries, strict=True)}
        open_ones = [uri for uri in uris if ledgers[uri][1]]
        # What nobody knows anything of comes first, if there is no room for all.
        open_ones.sort(key=lambda uri: ledgers[uri][0].known_from is not None)
        said = self._asked(tenant, bucket, open_ones)
        documents = []
        for uri, entry in zip(uris, entries, strict=True):
            state = ledgers[uri][0]
            if (ingested := said.get(uri)) is not None:
                state = by_bedrock(entry, ingested, index, state)
            fails = state.status is DocumentStatus.LEFT_OUT
            documents.append(TenantDocument(uri, entry.key, state, entry, failing.get(uri) if fails else None))
        return documents

    def _index(self, tenant: Tenant) -> IndexState:
        return IndexState(self.ledger.find(tenant.live_knowledge), tenant.data_source_id)

    def _asked(self, tenant: Tenant, bucket: str, uris: Sequence[str]) -> Mapping[str, IngestedDocument]:
        """What Bedrock says of these: of as many as may be asked about. It gives way to whoever else asks: where
        Bedrock has no time, nothing is said."""
        if tenant.knowledge_base_id is None or tenant.data_source_id is None:
            return {}
        askable = list(filter(_can_be_asked_about, uris))
        found: dict[str, IngestedDocument] = {}
        for first in range(0, min(len(askable), BATCH * ASKED_AT_ONCE), BATCH):
            try:
                answer = self.ingested_documents.look_once(tenant.data_source(), bucket, askable[first : first + BATCH])
            except (Throttled, NotReadyYet, ResourceMissing):
                return found
            if answer is None:
                return found
            found |= {document.uri: document for document in answer}
        return found

    def find(self, tenant_id: TenantId, key: str, *, exactly: bool = False) -> TenantDocument:
        """One document; also one that was deleted, for as long as it is answered from, or its versions are kept.

        Args:
            exactly: whether only that very key is meant; else one that looks the same is found, too.

        Raises:
            TenantNotFound, DocumentNotFound, BucketGone; Throttled, NotReadyYet, AwsRefusal. Throttled and NotReadyYet
                also where nothing of it is in the bucket, and Bedrock has no time to say whether it is answered from.
        """
        found = self.look(tenant_id, key, exactly=exactly)
        if found.entry is None and found.state.status is not DocumentStatus.DELETED:
            raise _not_found(tenant_id, found.key, found.also_there)
        return found

    def look(self, tenant_id: TenantId, key: str, *, exactly: bool = False) -> TenantDocument:
        """As `find`, of whatever key: one of which nothing is in the bucket has no `entry`, and is GONE only where that
        is certain.

        Raises: as `find`; DocumentNotFound only where the tenant needs to have no bucket.
        """
        tenant = self.registry.get(tenant_id)
        bucket = self.names.bucket(tenant.this_life)
        others = other_spellings(key)
        try:
            there = self._looking_the_same(bucket, key, others)
            also = tuple(each for each in others if each in there)
            entry = self._entry(bucket, key)
            if (entry is None or entry.deleted) and also and not exactly:
                key, *more = also
                also, entry = tuple(more), self._entry(bucket, key)
            beside = (f"{each}{METADATA_SUFFIX}" for each in other_spellings(key) if each not in there)
            stray = tuple(each for each in beside if each in there)
        except ResourceMissing as error:
            if tenant.status in _NOT_YET_OR_NO_MORE:
                raise _not_found(tenant_id) from error
            raise BucketGone.of(tenant_id) from error
        if entry is not None:
            (document,) = self._known(tenant, self._index(tenant), bucket, [entry])
            return replace(document, also_there=also, stray_metadata=stray)
        # Nothing is left of it in the bucket: it may be answered from all the same.
        uri = f"s3://{bucket}/{key}"
        return TenantDocument(uri, key, self._without_versions(tenant, bucket, uri), also_there=also)

    def _without_versions(self, tenant: Tenant, bucket: str, uri: str) -> DocumentState:
        """Raises: Throttled, NotReadyYet."""
        if tenant.knowledge_base_id is None or tenant.data_source_id is None:
            return _GONE
        if not _can_be_asked_about(uri):
            return UNKNOWN
        try:
            answer = self.ingested_documents.look_once(tenant.data_source(), bucket, [uri])
        except ResourceMissing:
            return UNKNOWN
        except (NotReadyYet, AwsRefusal):
            if tenant.status is TenantStatus.OFFBOARDING:
                return UNKNOWN  # its knowledge base is being deleted
            raise
        return after_deletion(answer[0]) if answer else UNKNOWN

    def _looking_the_same(self, bucket: str, key: str, others: Sequence[str]) -> Collection[str]:
        """What is there of these names that look the same as a document's, and of metadata files beside them."""
        if not others or not _names_a_document(key):
            return ()
        beside = [f"{each}{METADATA_SUFFIX}" for each in (key, *others)]
        return self.bucket_contents.objects(bucket, [*others, *beside])

    def _entry(self, bucket: str, key: str) -> BucketEntry | None:
        if not _names_a_document(key):
            return None
        # Of all keys that begin with this one, it comes first itself.
        page = self.bucket_contents.entries(bucket, prefix=key, after=None, limit=1)
        return next((entry for entry in page.entries if entry.key == key), None)

    def attributes(self, tenant: TenantId, document: TenantDocument) -> bytes | None:
        """What is in the metadata file of one of the tenant's documents; `None` where none is there, or to be read."""
        if document.entry is None or document.entry.metadata_bytes is None:
            return None
        bucket = self.names.bucket(self.registry.get(tenant).this_life)
        return self.bucket_contents.attributes(bucket, document.uri)


def _names_a_document(key: str) -> bool:
    return not key.endswith((METADATA_SUFFIX, "/"))


def _can_be_asked_about(uri: str) -> bool:
    return len(uri.removeprefix("s3://")) <= MAX_ASKED_URI


_GONE = DocumentState(DocumentStatus.GONE)


def _not_found(tenant_id: TenantId, key: str = "", also_there: Sequence[str] = ()) -> DocumentNotFound:
    otherwise = (
        f" One is there whose key looks the same, in Unicode form {form_of(also_there[0])}; this one is in "
        f"{form_of(key)}."
        if also_there
        else ""
    )
    return DocumentNotFound(
        f"Tenant {tenant_id} has no document of that key.{otherwise}",
        remedy=f"`kbfleet documents {tenant_id}` shows those that there are.",
    )


def remove_document(
    tenant_id: TenantId,
    key: str,
    *,
    all_versions: bool,
    until: datetime,
    documents: TenantDocuments,
    removal: DocumentRemoval,
) -> Deletion:
    """Deletes a document with its metadata file from the bucket. A sync, which S3's event asks for, ends that it is
    answered from. Done again, it goes on where it stopped.

    Args:
        all_versions: whether nothing of it may be left, as a law asks for an erasure; else older versions are kept.
        until: when not to begin with more of them.

    Raises:
        TenantNotFound, DocumentNotFound, BucketGone; Throttled, NotReadyYet, AwsRefusal.
    """
    bucket = documents.names.bucket(documents.registry.get(tenant_id).this_life)
    found = documents.find(tenant_id, key, exactly=True)
    erased = None
    if all_versions:
        erased = removal.erase(bucket, key, until=until)
    else:
        removal.delete(bucket, key)
    return Deletion(
        _after(found, documents, tenant_id), erased.versions if erased else None, erased is None or erased.whole
    )


def _after(before: TenantDocument, documents: TenantDocuments, tenant_id: TenantId) -> TenantDocument:
    """What is true of a document that was just removed. That is done, whether or not anybody has time to say more."""
    try:
        now = documents.look(tenant_id, before.key, exactly=True)
    except (DocumentNotFound, Throttled, NotReadyYet):
        now = replace(before, state=UNKNOWN, entry=None, failure=None)
    was_gone = before.state.status is DocumentStatus.GONE and now.entry is None
    return replace(now, state=before.state) if was_gone else now


def link_to(
    tenant_id: TenantId,
    key: str,
    *,
    tenants: AskableTenantRecords,
    bucket_contents: BucketContents,
    links: DocumentLinks,
    names: ResourceNames,
    valid_for: timedelta = LINK_VALID,
) -> DocumentLink:
    """A link by which one document of a tenant in service can be opened for a short time.

    Raises:
        TenantNotFound, TenantNotActive, DocumentNotFound; InvalidInput; Throttled, NotReadyYet, AwsRefusal.
    """
    return _linked(tenants.get(tenant_id).this_life, key, bucket_contents, links, names, valid_for)


def link_to_cited(
    asker: Asker,
    uri: str,
    ticket: str,
    *,
    tenants: AskableTenantRecords,
    tickets: Tickets,
    bucket_contents: BucketContents,
    links: DocumentLinks,
    names: ResourceNames,
    valid_for: timedelta = LINK_VALID,
) -> DocumentLink:
    """As `link_to`, for a tenant's user: of a document that an answer to this very user has cited.

    Args:
        uri, ticket: of a source of that answer.

    Raises:
        TicketRefused; and as `link_to`.
    """
    life = tenants.get(asker.tenant_id).this_life
    tickets.require(ticket, uri, asker, life)
    try:
        # Tickets are given for the tenant's own only. This is the second wall, should a ticket ever be wrong.
        key = key_in(names.bucket(life), uri)
    except IsolationBreached:
        raise TicketRefused from None
    return _linked(life, key, bucket_contents, links, names, valid_for)


def _linked(
    life: Life,
    key: str,
    bucket_contents: BucketContents,
    links: DocumentLinks,
    names: ResourceNames,
    valid_for: timedelta,
) -> DocumentLink:
    bucket = names.bucket(life)
    if key.endswith(METADATA_SUFFIX) or bucket_contents.describe(bucket, f"s3://{bucket}/{key}") is None:
        raise _not_found(life.tenant_id)
    return links.link(bucket, key, valid_for)
