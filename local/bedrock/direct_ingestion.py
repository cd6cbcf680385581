"""Documents ingested, looked up and deleted one by one: the document operations of service ``bedrock-agent``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock import sidecars
from local.bedrock.account import Account, index_key
from local.bedrock.errors import NotEmulatedError, ServiceError, validation
from local.bedrock.ingestion import DocumentRejectedError, Rules, document_chunks, vectors
from local.bedrock.paging import page
from local.bedrock.records import DataSource, Document, DocumentIdentifier, KnowledgeBase
from local.bedrock.sidecars import NO_ATTRIBUTES, Attributes, InvalidSidecarError
from local.bedrock.vector_index import Chunk

Members = dict[str, Any]

# Seconds at speed 1, guessed; users report that a lookup right after the call can say NOT_FOUND.
REGISTRATION = 2.0
INDEXING = 20.0
DELETION = 10.0
PAYLOAD_BYTES = 6 * 1024**2  # AWS documentation, "Quotas for Amazon Bedrock"
LONGEST_PAGE = 100  # reported by users; the model says 1,000

_ENDINGS = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}


@dataclass(frozen=True)
class _Read:
    """A document's bytes, the name that tells its format, its attributes and the ETags they had."""

    body: bytes
    name: str
    attributes: Attributes
    etag: str | None = None
    sidecar_etag: str | None = None


class DirectIngestion:
    """Operations by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account
        self._under_way = 0

    def resume(self) -> None:
        """What was under way when the state was kept is lost: its documents say so, and those in deletion stay."""
        for source in self._account.data_sources.values():
            for document in source.documents.values():
                if document.status in ("STARTING", "IN_PROGRESS", "DELETING"):
                    document.status, document.status_reason = "FAILED", "The emulator was stopped meanwhile."

    def ingest_knowledge_base_documents(self, given: Members) -> Members:
        """Status STARTING; each document ends INDEXED, IGNORED or FAILED."""
        base, source = self._names(given)
        if base.status != "ACTIVE" or source.status != "AVAILABLE":
            raise validation(f"Knowledge base {base.identifier} is not in a valid status: {base.status}")
        contents = [document["content"] for document in given["documents"]]
        self._check_kind(source, [content["dataSourceType"] for content in contents])
        if sum(len(_inline(content)) for content in contents) > PAYLOAD_BYTES:
            raise validation("The documents exceed the payload limit of 6 MB.")
        if earlier := self._account.remembered("IngestKnowledgeBaseDocuments", given.get("clientToken")):
            return {"documentDetails": earlier}
        now = self._account.now()
        documents = [Document(_identifier(content), "STARTING", now) for content in contents]
        self._begin()
        details = [_detail(source, document) for document in documents]
        self._account.remember("IngestKnowledgeBaseDocuments", given.get("clientToken"), details)

        def register() -> None:
            for document in documents:
                document.status = "IN_PROGRESS"
                source.documents[document.identifier] = document
            if self._account.clock.real_seconds_until(now) is None:
                self._work(base, source, given["documents"], documents, now + INDEXING)
            else:
                arguments = (base, source, given["documents"], documents, now + INDEXING)
                Thread(target=self._work, args=arguments, name="direct-ingestion", daemon=True).start()

        self._account.agenda.at(now + REGISTRATION, register)
        return {"documentDetails": details}

    def get_knowledge_base_documents(self, given: Members) -> Members:
        """Each document's detail; NOT_FOUND for those that are not known (yet)."""
        _, source = self._names(given)
        wanted = [_given_identifier(identifier) for identifier in given["documentIdentifiers"]]
        return {"documentDetails": [_detail(source, self._known(source, identifier)) for identifier in wanted]}

    def list_knowledge_base_documents(self, given: Members) -> Members:
        """All of the data source's documents, also those that ingestion jobs brought."""
        _, source = self._names(given)
        if given.get("maxResults", 0) > LONGEST_PAGE:
            raise validation(
                f"1 validation error detected: Value '{given['maxResults']}' at 'maxResults' failed to satisfy "
                f"constraint: Member must have value less than or equal to {LONGEST_PAGE}"
            )
        scope = f"ListKnowledgeBaseDocuments {source.identifier}"
        documents = list(source.documents.values())
        shown, token = page(documents, scope, given.get("maxResults"), given.get("nextToken"))
        return {"documentDetails": [_detail(source, document) for document in shown], "nextToken": token}

    def delete_knowledge_base_documents(self, given: Members) -> Members:
        """Status DELETING; then the documents and their chunks are gone."""
        base, source = self._names(given)
        identifiers = [_given_identifier(identifier) for identifier in given["documentIdentifiers"]]
        self._check_kind(source, [identifier.kind for identifier in identifiers])
        now = self._account.now()
        details = []
        for identifier in identifiers:
            document = self._known(source, identifier)
            if document.status != "NOT_FOUND":
                document.status, document.updated_at = "DELETING", now
            details.append(_detail(source, document))
        self._begin()

        def gone() -> None:
            self._under_way -= 1
            for identifier in identifiers:
                source.documents.pop(identifier, None)
            empty = vectors(self._account.embedder, [])
            self._account.contents(index_key(base)).replace(source.identifier, identifiers, [], empty)

        self._account.agenda.at(now + DELETION, gone)
        return {"documentDetails": details}

    def _names(self, given: Members) -> tuple[KnowledgeBase, DataSource]:
        base = self._account.knowledge_base(given["knowledgeBaseId"])
        return base, self._account.data_source(base.identifier, given["dataSourceId"])

    def _known(self, source: DataSource, identifier: DocumentIdentifier) -> Document:
        return source.documents.get(identifier) or Document(identifier, "NOT_FOUND", self._account.now())

    def _check_kind(self, source: DataSource, kinds: Sequence[str]) -> None:
        kind = "CUSTOM" if source.members["dataSourceConfiguration"]["type"] == "CUSTOM" else "S3"
        if any(given != kind for given in kinds):
            raise validation(f"The dataSourceType of every document must match the type of the data source: {kind}")

    def _begin(self) -> None:
        most = self._account.quotas.direct_ingestion_calls
        if self._under_way >= most:
            raise ServiceError(
                "ServiceQuotaExceededException",
                f"You have reached the maximum number of concurrent document ingestion and deletion requests: {most}",
            )
        self._under_way += 1

    def _work(
        self,
        base: KnowledgeBase,
        source: DataSource,
        given: Sequence[Members],
        documents: Sequence[Document],
        ends_at: float,
    ) -> None:
        key = index_key(base)
        on_s3_vectors = base.store_type == "S3_VECTORS"
        account = self._account
        rules = Rules(source, account.index(key), account.embedder, account.quotas, on_s3_vectors)
        chunks: list[Chunk] = []
        outcomes: list[tuple[Document, str, str | None]] = []
        for members, document in zip(given, documents, strict=True):
            try:
                read = self._read(members)
                chunks.extend(document_chunks(rules, document.identifier, read.name, read.body, read.attributes))
            except DocumentRejectedError as rejection:
                outcomes.append((document, rejection.status, rejection.cause))
            except (InvalidSidecarError, ClientError, BotoCoreError, NotEmulatedError) as error:
                outcomes.append((document, "FAILED", str(error)))
            else:
                document.etag, document.sidecar_etag = read.etag, read.sidecar_etag
                outcomes.append((document, "INDEXED", None))
        rows = vectors(account.embedder, chunks)

        def ended() -> None:
            self._under_way -= 1
            for document, status, reason in outcomes:
                document.status, document.status_reason, document.updated_at = status, reason, account.now()
            account.contents(key).replace(source.identifier, [d.identifier for d in documents], chunks, rows)

        with account.lock:
            account.agenda.at(ends_at, ended)

    def _read(self, given: Members) -> _Read:
        content, metadata = given["content"], given.get("metadata")
        sidecar, sidecar_etag = None, None
        attributes = NO_ATTRIBUTES
        if metadata is not None and metadata["type"] == "S3_LOCATION":
            sidecar, sidecar_etag = self._object(metadata["s3Location"]["uri"])
            attributes = sidecars.parse(sidecar)
        elif metadata is not None:
            values = {item["key"]: sidecars.typed_value(item["value"]) for item in metadata["inlineAttributes"]}
            attributes = Attributes(values, {})
        uri = _uri(content)
        if uri is not None:
            body, etag = self._object(uri)
            return _Read(body, uri, attributes, etag, sidecar_etag)
        inline = content["custom"]["inlineContent"]
        if inline["type"] == "TEXT":
            return _Read(inline["textContent"]["data"].encode(), "document.txt", attributes)
        mime = inline["byteContent"]["mimeType"].partition(";")[0]
        return _Read(inline["byteContent"]["data"], f"document{_ENDINGS.get(mime, '')}", attributes)

    def _object(self, uri: str) -> tuple[bytes, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        found = self._account.client_factory("s3").get_object(Bucket=bucket, Key=key)
        return found["Body"].read(), found["ETag"]


def _uri(content: Members) -> str | None:
    if content["dataSourceType"] == "S3":
        return str(content["s3"]["s3Location"]["uri"])
    custom = content["custom"]
    return str(custom["s3Location"]["uri"]) if custom["sourceType"] == "S3_LOCATION" else None


def _inline(content: Members) -> bytes:
    inline = content.get("custom", {}).get("inlineContent", {})
    if "textContent" in inline:
        return bytes(inline["textContent"]["data"].encode())
    return bytes(inline.get("byteContent", {}).get("data", b""))


def _identifier(content: Members) -> DocumentIdentifier:
    kind = content["dataSourceType"]
    if kind.lower() not in content:
        raise validation(f"content.{kind.lower()} is required for dataSourceType {kind}.")
    if kind == "S3":
        return DocumentIdentifier("S3", content["s3"]["s3Location"]["uri"])
    return DocumentIdentifier("CUSTOM", content["custom"]["customDocumentIdentifier"]["id"])


def _given_identifier(given: Members) -> DocumentIdentifier:
    kind = given["dataSourceType"]
    if kind.lower() not in given:
        raise validation(f"documentIdentifiers.{kind.lower()} is required for dataSourceType {kind}.")
    return DocumentIdentifier(kind, given["s3"]["uri"] if kind == "S3" else given["custom"]["id"])


def _detail(source: DataSource, document: Document) -> Members:
    kind, reference = document.identifier.kind, document.identifier.reference
    named = {"s3": {"uri": reference}} if kind == "S3" else {"custom": {"id": reference}}
    return {
        "knowledgeBaseId": source.knowledge_base_id,
        "dataSourceId": source.identifier,
        "status": document.status,
        "identifier": {"dataSourceType": kind, **named},
        "statusReason": document.status_reason,
        "updatedAt": document.updated_at,
    }
