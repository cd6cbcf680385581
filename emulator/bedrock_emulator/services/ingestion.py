"""One synchronisation of a data source: what has changed, what is made of it, and what it counts.

Nothing here touches the emulator's state: `synchronise` reads and computes, in a thread of its own, and its result is
put in place by whoever ends the job.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bedrock_emulator.reading import chunking, parsers, sidecars
from bedrock_emulator.reading.outline import title
from bedrock_emulator.reading.sidecars import NO_ATTRIBUTES, Attributes, InvalidSidecarError
from bedrock_emulator.reading.text_extraction import Page, UnreadableError, ending, records
from bedrock_emulator.search.embedding import Embedder, PassageVectors, neighbours_apart, passage_vectors
from bedrock_emulator.search.relevance import passage
from bedrock_emulator.search.vector_index import Chunk, Parent
from bedrock_emulator.services import failure_reasons
from bedrock_emulator.services.s3_source import ObjectUnreadableError, S3Source, StoredObject
from bedrock_emulator.services.service_role import DeniedError
from bedrock_emulator.wire.errors import NotEmulatedError
from bedrock_emulator.world.quotas import Quotas
from bedrock_emulator.world.records import STATISTICS, DataSource, Document, DocumentIdentifier, Index

_log = logging.getLogger(__name__)

# Keys of the service's own in a chunk's metadata, as users report them; of MANAGED ones the User Guide names two.
SOURCE_URI = "x-amz-bedrock-kb-source-uri"
DATA_SOURCE_ID = "x-amz-bedrock-kb-data-source-id"
MANAGED_SOURCE_URI = "_source_uri"
MANAGED_DATA_SOURCE_ID = "_data_source_id"
CHUNK_ID = "x-amz-bedrock-kb-chunk-id"
PAGE_NUMBER = "x-amz-bedrock-kb-document-page-number"
MODALITY = "x-amz-bedrock-kb-source-file-modality"

# The keys under which Bedrock stores a chunk's text and its own metadata in an S3 Vectors index.
TEXT_KEY, METADATA_KEY = "AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"


class JobFailedError(Exception):
    """The job fails as a whole; ``reason`` is its failure reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DocumentRejectedError(Exception):
    """A document is not indexed. ``status`` is its own (IGNORED or FAILED), ``cause`` the text in failureReasons."""

    def __init__(self, status: str, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause


@dataclass(frozen=True)
class Rules:
    """What decides how the documents of a data source are read and stored."""

    source: DataSource
    index: Index | None
    embedder: Embedder
    quotas: Quotas
    on_s3_vectors: bool
    failing_keys: Collection[str] = ()
    badly_parsed_keys: Collection[str] = ()
    may_parse: bool = True
    parser_ended: bool = False


@dataclass
class Outcome:
    """What a synchronisation found and made, ready to be put in place."""

    documents: dict[DocumentIdentifier, Document] = field(default_factory=dict)
    removed: list[DocumentIdentifier] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    vectors: PassageVectors = field(default_factory=PassageVectors.none)
    statistics: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATISTICS, 0))
    failure_reasons: list[str] = field(default_factory=list)

    @property
    def touched(self) -> list[DocumentIdentifier]:
        """The documents whose chunks are replaced or removed."""
        return [*self.documents, *self.removed]


def synchronise(rules: Rules, bucket: S3Source) -> Outcome:
    """Compare the bucket with what the data source remembers, and index what was added or modified.

    Changes are told by the ETags of document and sidecar; the service's own detector is not documented. A document that
    was ignored or failed is tried again.
    JobFailedError when the bucket or a document of it cannot be read, or the job is over its limit.
    """
    try:
        return _synchronise(rules, bucket)
    except (ClientError, BotoCoreError) as error:
        raise JobFailedError(failure_reasons.whole_job(f"Unable to read bucket {bucket.bucket}: {error}.")) from error
    except DeniedError as denial:
        raise JobFailedError(failure_reasons.whole_job(f"{denial}.")) from denial
    except NotEmulatedError as error:
        raise JobFailedError(failure_reasons.whole_job(error.message)) from error


def _synchronise(rules: Rules, bucket: S3Source) -> Outcome:
    listing = bucket.listing()
    if sum(stored.size for stored in listing.documents.values()) > rules.quotas.job_bytes:
        raise JobFailedError(failure_reasons.whole_job("The data source exceeds the size limit of an ingestion job."))
    outcome = Outcome()
    counts = outcome.statistics
    counts["numberOfDocumentsScanned"] = len(listing.documents)
    counts["numberOfMetadataDocumentsScanned"] = len(listing.sidecars)
    rejected: dict[tuple[str, str], list[DocumentIdentifier]] = defaultdict(list)
    for key, stored in listing.documents.items():
        identifier = bucket.identifier(key)
        sidecar = listing.sidecars.get(key)
        known = rules.source.documents.get(identifier)
        sidecar_etag = sidecar.etag if sidecar else None
        same_sidecar = known is not None and known.sidecar_etag == sidecar_etag
        if known and known.status == "INDEXED" and known.etag == stored.etag and same_sidecar:
            continue
        if rules.parser_ended:
            # Users report jobs that end well with nothing indexed; nor is it said of any document why.
            continue
        document = Document(identifier, "INDEXED", 0.0, stored.etag, sidecar_etag)
        outcome.documents[identifier] = document
        try:
            outcome.chunks.extend(_chunks(rules, bucket, stored, sidecar, identifier))
        except DocumentRejectedError as rejection:
            document.status, document.status_reason = rejection.status, rejection.cause
            if rejection.cause == failure_reasons.SIDECAR_TOO_LARGE:
                # Users miss such a document in the list of those that the data source knows.
                del outcome.documents[identifier]
                outcome.removed.append(identifier)
            rejected[rejection.status, rejection.cause].append(identifier)
            # Users report COMPLETE jobs with nothing failed, nothing skipped and nothing indexed: only failureReasons
            # tells. We let faulty sidecars be that case and count every other rejection.
            if rejection.cause not in (failure_reasons.SIDECAR_TOO_LARGE, failure_reasons.SIDECAR_INVALID):
                counts["numberOfDocumentsFailed"] += 1
        else:
            if known is None or known.status != "INDEXED":
                counts["numberOfNewDocumentsIndexed"] += 1
            elif known.etag != stored.etag:
                counts["numberOfModifiedDocumentsIndexed"] += 1
            if known is not None and not same_sidecar:
                counts["numberOfMetadataDocumentsModified"] += 1
    present = {bucket.identifier(key) for key in listing.documents}
    gone = [
        identifier for identifier in rules.source.documents if identifier.kind == "S3" and identifier not in present
    ]
    outcome.removed += gone
    counts["numberOfDocumentsDeleted"] = len(gone)
    outcome.failure_reasons = [
        (failure_reasons.ignored if status == "IGNORED" else failure_reasons.failed)(cause, documents)
        for (status, cause), documents in rejected.items()
    ]
    outcome.vectors = vectors(rules.embedder, outcome.chunks)
    return outcome


def vectors(embedder: Embedder, chunks: Sequence[Chunk]) -> PassageVectors:
    """The vectors of the statements of ``chunks``."""
    return passage_vectors(embedder, [chunk.passage.statements for chunk in chunks])


def _chunks(
    rules: Rules, bucket: S3Source, stored: StoredObject, sidecar: StoredObject | None, identifier: DocumentIdentifier
) -> list[Chunk]:
    """DocumentRejectedError when the document can't be indexed, whatever is wrong with it."""
    try:
        return _read_chunks(rules, bucket, stored, sidecar, identifier)
    except ObjectUnreadableError as error:
        raise DocumentRejectedError("FAILED", failure_reasons.unreadable(str(error))) from None


def _read_chunks(
    rules: Rules, bucket: S3Source, stored: StoredObject, sidecar: StoredObject | None, identifier: DocumentIdentifier
) -> list[Chunk]:
    if stored.key in rules.failing_keys:
        raise DocumentRejectedError("FAILED", failure_reasons.INTERNAL)
    if parsers.parser(None)(stored.key) is None:
        raise DocumentRejectedError("IGNORED", failure_reasons.FORMAT)
    if stored.size > rules.quotas.file_bytes:
        raise DocumentRejectedError("IGNORED", failure_reasons.TOO_LARGE)
    attributes = NO_ATTRIBUTES
    if sidecar is not None:
        quotas = rules.quotas
        if sidecar.size > (quotas.sidecar_bytes_on_s3_vectors if rules.on_s3_vectors else quotas.sidecar_bytes):
            raise DocumentRejectedError("IGNORED", failure_reasons.SIDECAR_TOO_LARGE)
        try:
            attributes = sidecars.parse(bucket.read(sidecar.key))
        except InvalidSidecarError:
            raise DocumentRejectedError("IGNORED", failure_reasons.SIDECAR_INVALID) from None
    return document_chunks(rules, identifier, stored.key, bucket.read(stored.key), attributes)


def document_chunks(
    rules: Rules, identifier: DocumentIdentifier, name: str, body: bytes, attributes: Attributes
) -> list[Chunk]:
    """The chunks of one document; ``name`` tells its format. DocumentRejectedError when it can't be indexed."""
    try:
        return _document_chunks(rules, identifier, name, body, attributes)
    except DocumentRejectedError:
        raise
    except Exception as error:
        # One document never fails a job, whatever nobody has thought of.
        _log.exception("document %s of data source %s", identifier.reference, rules.source.identifier)
        raise DocumentRejectedError("FAILED", failure_reasons.INTERNAL) from error


def _document_chunks(
    rules: Rules, identifier: DocumentIdentifier, name: str, body: bytes, attributes: Attributes
) -> list[Chunk]:
    settings = rules.source.members.get("vectorIngestionConfiguration")
    pages = _pages(rules, settings, name, body, attributes)
    cut = chunking.chunker(settings, lambda texts: neighbours_apart(rules.embedder, texts))
    chunks: list[Chunk] = []
    attributed = "".join(f"{key}: {value}\n" for key, value in attributes.embedded.items())
    headings = title(name)
    own_names = _own_names(rules.source)
    for page in pages:
        try:
            pieces = cut(page.text)
        except chunking.TooLongError as error:
            raise DocumentRejectedError("FAILED", str(error)) from None
        parents: dict[str, str] = {}
        for piece in pieces:
            identity = str(uuid.uuid4())
            told = passage(piece.text, headings, attributed)
            own: dict[str, Any] = {
                CHUNK_ID: identity,
                own_names.data_source_id: rules.source.identifier,
                MODALITY: "TEXT",
            }
            if identifier.kind == "S3":
                own[own_names.source_uri] = identifier.reference
            # Uncut documents have no page numbers (AWS documentation, "How content chunking works").
            if page.number is not None and chunking.strategy(settings) != "NONE":
                own[PAGE_NUMBER] = float(page.number)
            values = {**attributes.values, **page.attributes}
            _check_stored(rules, piece, values, own)
            parent = None if piece.parent is None else parents.setdefault(piece.parent, str(uuid.uuid4()))
            chunks.append(
                Chunk(
                    identifier=identity,
                    text=piece.text,
                    document=identifier,
                    data_source_id=rules.source.identifier,
                    metadata={**values, **own},
                    passage=told,
                    parent=None if parent is None or piece.parent is None else Parent(parent, piece.parent),
                )
            )
            headings = told.headings_after
    if not chunks:
        raise DocumentRejectedError("IGNORED", failure_reasons.NO_TEXT)
    return chunks


def _pages(
    rules: Rules, settings: Mapping[str, Any] | None, name: str, body: bytes, attributes: Attributes
) -> list[Page]:
    extract = parsers.parser(settings, lambda key: not rules.may_parse or key in rules.badly_parsed_keys)(name)
    if extract is None:
        raise DocumentRejectedError("IGNORED", failure_reasons.FORMAT)
    try:
        if attributes.records is not None and ending(name) == ".csv":
            pages = list(records(body, attributes.records.content, attributes.records.keeps))
        else:
            pages = extract(body)
    except UnreadableError:
        raise DocumentRejectedError("IGNORED", failure_reasons.NO_TEXT) from None
    keys = {*attributes.values, *(key for page in pages for key in page.attributes)}
    if rules.on_s3_vectors and len(keys) > rules.quotas.sidecar_keys_on_s3_vectors:
        raise DocumentRejectedError("IGNORED", failure_reasons.SIDECAR_INVALID)
    return pages


@dataclass(frozen=True)
class _OwnNames:
    data_source_id: str
    source_uri: str


def _own_names(source: DataSource) -> _OwnNames:
    if source.members["dataSourceConfiguration"]["type"] == "MANAGED_KNOWLEDGE_BASE_CONNECTOR":
        return _OwnNames(MANAGED_DATA_SOURCE_ID, MANAGED_SOURCE_URI)
    return _OwnNames(DATA_SOURCE_ID, SOURCE_URI)


def _check_stored(rules: Rules, piece: chunking.Piece, values: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """S3 Vectors takes so much metadata a vector, and of it so much that can be filtered by."""
    if not rules.on_s3_vectors or rules.index is None:
        return
    # A parent is stored with each of its children.
    described = {**own, "parentText": piece.parent} if piece.parent is not None else own
    stored = {**values, TEXT_KEY: piece.text, METADATA_KEY: json.dumps(described, ensure_ascii=False)}
    filterable = {key: value for key, value in stored.items() if key not in rules.index.non_filterable_keys}
    if _bytes(filterable) > rules.quotas.filterable_metadata_bytes:
        raise DocumentRejectedError("FAILED", failure_reasons.FILTERABLE_TOO_LARGE)
    if _bytes(stored) > rules.quotas.metadata_bytes_on_s3_vectors:
        raise DocumentRejectedError("FAILED", failure_reasons.METADATA_TOO_LARGE)


def _bytes(metadata: Mapping[str, Any]) -> int:
    return len(json.dumps(metadata, ensure_ascii=False).encode())
