"""One synchronisation of a data source: what has changed, what is made of it, and what it counts.

Nothing here touches the emulator's state: `synchronise` reads and computes, in a thread of its own, and its result is
put in place by whoever ends the job.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bedrock_emulator.reading import sidecars
from bedrock_emulator.reading.chunking import chunker
from bedrock_emulator.reading.outline import title
from bedrock_emulator.reading.sidecars import NO_ATTRIBUTES, Attributes, InvalidSidecarError
from bedrock_emulator.reading.text_extraction import UnreadableError, extractor
from bedrock_emulator.search.embedding import Embedder, PassageVectors, passage_vectors
from bedrock_emulator.search.relevance import passage
from bedrock_emulator.search.vector_index import Chunk
from bedrock_emulator.services import failure_reasons
from bedrock_emulator.services.s3_source import S3Source, StoredObject
from bedrock_emulator.services.service_role import DeniedError
from bedrock_emulator.wire.errors import NotEmulatedError
from bedrock_emulator.world.quotas import Quotas
from bedrock_emulator.world.records import STATISTICS, DataSource, Document, DocumentIdentifier, Index

# Keys of the service's own in a chunk's metadata, as users report them; of MANAGED ones the User Guide names two.
SOURCE_URI = "x-amz-bedrock-kb-source-uri"
DATA_SOURCE_ID = "x-amz-bedrock-kb-data-source-id"
MANAGED_SOURCE_URI = "_source_uri"
MANAGED_DATA_SOURCE_ID = "_data_source_id"
CHUNK_ID = "x-amz-bedrock-kb-chunk-id"
PAGE_NUMBER = "x-amz-bedrock-kb-document-page-number"

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
        document = Document(identifier, "INDEXED", 0.0, stored.etag, sidecar_etag)
        outcome.documents[identifier] = document
        try:
            outcome.chunks.extend(_chunks(rules, bucket, stored, sidecar, identifier))
        except DocumentRejectedError as rejection:
            document.status, document.status_reason = rejection.status, rejection.cause
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
    outcome.removed = gone
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
    if stored.key in rules.failing_keys:
        raise DocumentRejectedError("FAILED", "The document could not be processed because of an internal error")
    if extractor(stored.key) is None:
        raise DocumentRejectedError("IGNORED", failure_reasons.FORMAT)
    if stored.size > rules.quotas.file_bytes:
        raise DocumentRejectedError("IGNORED", failure_reasons.TOO_LARGE)
    attributes = NO_ATTRIBUTES
    if sidecar is not None:
        if rules.on_s3_vectors and sidecar.size > rules.quotas.sidecar_bytes_on_s3_vectors:
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
    extract = extractor(name)
    if extract is None:
        raise DocumentRejectedError("IGNORED", failure_reasons.FORMAT)
    if rules.on_s3_vectors and len(attributes.values) > rules.quotas.sidecar_keys_on_s3_vectors:
        raise DocumentRejectedError("IGNORED", failure_reasons.SIDECAR_INVALID)
    cut = chunker(rules.source.members.get("vectorIngestionConfiguration"))
    try:
        pages = extract(body)
    except UnreadableError:
        raise DocumentRejectedError("IGNORED", failure_reasons.NO_TEXT) from None
    chunks = []
    attributed = "".join(f"{key}: {value}\n" for key, value in attributes.embedded.items())
    headings = title(name)
    managed = rules.source.members["dataSourceConfiguration"]["type"] == "MANAGED_KNOWLEDGE_BASE_CONNECTOR"
    data_source_id = MANAGED_DATA_SOURCE_ID if managed else DATA_SOURCE_ID
    source_uri = MANAGED_SOURCE_URI if managed else SOURCE_URI
    for page in pages:
        for text in cut(page.text):
            identity = str(uuid.uuid4())
            told = passage(text, headings, attributed)
            own: dict[str, Any] = {CHUNK_ID: identity, data_source_id: rules.source.identifier}
            if identifier.kind == "S3":
                own[source_uri] = identifier.reference
            if page.number is not None:
                own[PAGE_NUMBER] = float(page.number)
            _check_filterable(rules, text, attributes, own)
            chunks.append(
                Chunk(
                    identifier=identity,
                    text=text,
                    document=identifier,
                    data_source_id=rules.source.identifier,
                    metadata={**attributes.values, **own},
                    passage=told,
                )
            )
            headings = told.headings_after
    if not chunks:
        raise DocumentRejectedError("IGNORED", failure_reasons.NO_TEXT)
    return chunks


def _check_filterable(rules: Rules, text: str, attributes: Attributes, own: Mapping[str, Any]) -> None:
    if not rules.on_s3_vectors or rules.index is None:
        return
    stored = {**attributes.values, TEXT_KEY: text, METADATA_KEY: json.dumps(own)}
    filterable = {key: value for key, value in stored.items() if key not in rules.index.non_filterable_keys}
    if len(json.dumps(filterable, ensure_ascii=False).encode()) > rules.quotas.filterable_metadata_bytes:
        raise DocumentRejectedError("FAILED", failure_reasons.FILTERABLE_TOO_LARGE)
