"""Documents ingested, looked up and deleted one by one: the document operations of service ``bedrock-agent``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bedrock_emulator.account import Account, index_key
from bedrock_emulator.reading import sidecars
from bedrock_emulator.reading.sidecars import NO_ATTRIBUTES, Attributes, InvalidSidecarError
from bedrock_emulator.search.vector_index import Chunk
from bedrock_emulator.services import failure_reasons
from bedrock_emulator.services.ingestion import DocumentRejectedError, Rules, document_chunks, vectors
from bedrock_emulator.services.ingestion_settings import parsing_model
from bedrock_emulator.services.s3_source import ObjectUnreadableError, read_object
from bedrock_emulator.services.service_role import DeniedError, IndexUse, ServiceRole, assume, assume_for_call
from bedrock_emulator.wire.errors import NotEmulatedError, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.records import DataSource, Document, DocumentIdentifier, KnowledgeBase

Members = dict[str, Any]

_log = logging.getLogger(__name__)

# Seconds at speed 1, guessed; users report that a lookup right after the call can say NOT_FOUND.
REGISTRATION = 2.0
INDEXING = 20.0
DELETION = 10.0
PAYLOAD_BYTES = 6 * 1024**2  # AWS documentation, "Quotas for Amazon Bedrock"
_NO_INDEX = "The vector index of the knowledge base could not be found."  # not reported anywhere; our words
_TASK = "KnowledgeBaseDocuments"  # how the role's session is called; not reported anywhere
LONGEST_PAGE = 100  # reported by users; the model says 1,000

_ENDINGS = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
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
        for document in given["documents"]:
            _check_complete(document)
        if sum(len(_inline(content)) for content in contents) > PAYLOAD_BYTES:
            raise validation("The documents exceed the payload limit of 6 MB.")
        if earlier := self._account.remembered("IngestKnowledgeBaseDocuments", given.get("clientToken")):
            return {"documentDetails": earlier}
        now = self._account.now()
        documents = [Document(_identifier(content), "STARTING", now) for content in contents]
        if len({document.identifier for document in documents}) < len(documents):
            # What the service makes of it is not known; the order in which it would take them surely isn't promised.
            raise validation("A document is given more than once.")
        role = assume_for_call(self._account, base, _TASK)
        self._check_parsing(role, source)
        self._begin(base)
        seconds = self._account.duration("IngestKnowledgeBaseDocuments", given, INDEXING)
        details = [_detail(source, document) for document in documents]
        self._account.remember("IngestKnowledgeBaseDocuments", given.get("clientToken"), details)

        def register() -> None:
            if not self._present(base, source):
                self._account.document_requests[base.identifier] -= 1
                return
            for document in documents:
                document.status = "IN_PROGRESS"
                source.documents[document.identifier] = document
            arguments = (base, source, role, given["documents"], documents, now + seconds)
            if self._account.clock.real_seconds_until(now) is None:
                self._work(*arguments)
            else:
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
        self._begin(base)
        details = []
        leaving = []
        for identifier in identifiers:
            document = self._known(source, identifier)
            if document.status != "NOT_FOUND":
                document.status, document.updated_at = "DELETING", now
                leaving.append(document)
            details.append(_detail(source, document))

        def gone() -> None:
            self._account.document_requests[base.identifier] -= 1
            if not self._present(base, source):
                return
            if denial := self._denied_deletion(base):
                for document in leaving:
                    document.status, document.status_reason = "FAILED", denial
                return
            # One that was ingested again meanwhile is a new document.
            still = [known.identifier for known in leaving if source.documents.get(known.identifier) is known]
            for identifier in still:
                source.documents.pop(identifier, None)
            empty = vectors(self._account.embedder, [])
            self._account.contents(index_key(base)).replace(source.identifier, still, [], empty)

        self._account.agenda.at(now + DELETION, gone)
        return {"documentDetails": details}

    def _check_parsing(self, role: ServiceRole, source: DataSource) -> None:
        model = parsing_model(source.members.get("vectorIngestionConfiguration"))
        try:
            if model is not None:
                role.check_parsing_model(model)
        except DeniedError as denial:
            # Unlike a job, which has the default parser read them.
            raise validation(
                f"Knowledge base role {role.arn} is not able to call the specified model {model}: {denial}"
            ) from None

    def _denied_deletion(self, base: KnowledgeBase) -> str | None:
        try:
            assume(self._account, base.role_arn, base.arn, _TASK).check_index(index_key(base), IndexUse.DELETION)
        except DeniedError as denial:
            return str(denial)
        return None

    def _names(self, given: Members) -> tuple[KnowledgeBase, DataSource]:
        base = self._account.knowledge_base(given["knowledgeBaseId"])
        return base, self._account.data_source(base.identifier, given["dataSourceId"])

    def _present(self, base: KnowledgeBase, source: DataSource) -> bool:
        return self._account.data_sources.get((base.identifier, source.identifier)) is source

    def _known(self, source: DataSource, identifier: DocumentIdentifier) -> Document:
        return source.documents.get(identifier) or Document(identifier, "NOT_FOUND", self._account.now())

    def _check_kind(self, source: DataSource, kinds: Sequence[str]) -> None:
        kind = "CUSTOM" if source.members["dataSourceConfiguration"]["type"] == "CUSTOM" else "S3"
        if any(given != kind for given in kinds):
            raise validation(f"The dataSourceType of every document must match the type of the data source: {kind}")

    def _begin(self, base: KnowledgeBase) -> None:
        requests, most = self._account.document_requests, self._account.quotas.direct_ingestion_calls
        if requests.total() >= most:
            raise validation(
                "The sum of concurrent IngestKnowledgeBaseDocuments and DeleteKnowledgeBaseDocuments requests can't "
                f"exceed ({most})."
            )
        requests[base.identifier] += 1

    def _work(
        self,
        base: KnowledgeBase,
        source: DataSource,
        role: ServiceRole,
        given: Sequence[Members],
        documents: Sequence[Document],
        ends_at: float,
    ) -> None:
        account = self._account
        key = index_key(base)
        try:
            outcomes, chunks = self._outcomes(base, source, role, given, documents)
            rows = vectors(account.embedder, chunks)
        except Exception as error:  # noqa: BLE001 - documents that died unseen would be IN_PROGRESS for ever
            _log.exception("documents of data source %s failed", source.identifier)
            outcomes, chunks = [(document, "FAILED", f"{type(error).__name__}: {error}") for document in documents], []
            rows = vectors(account.embedder, chunks)

        def ended() -> None:
            self._account.document_requests[base.identifier] -= 1
            if not self._present(base, source):
                return
            # Left out are those that were deleted meanwhile, or replaced by a later call or job.
            current = {
                document.identifier
                for document in documents
                if document.status == "IN_PROGRESS" and source.documents.get(document.identifier) is document
            }
            lost = not base.managed and account.index(key) is None
            for document, status, reason in outcomes:
                if document.identifier in current:
                    document.updated_at = account.now()
                    document.status, document.status_reason = ("FAILED", _NO_INDEX) if lost else (status, reason)
            if lost:
                return
            kept = [chunk for chunk in chunks if chunk.document in current]
            # Embedding anew is rare, and mostly remembered.
            kept_rows = rows if len(kept) == len(chunks) else vectors(account.embedder, kept)
            account.contents(key).replace(source.identifier, current, kept, kept_rows)

        with account.lock:
            account.agenda.at(ends_at, ended)

    def _outcomes(
        self,
        base: KnowledgeBase,
        source: DataSource,
        role: ServiceRole,
        given: Sequence[Members],
        documents: Sequence[Document],
    ) -> tuple[list[tuple[Document, str, str | None]], list[Chunk]]:
        """The status and its reason of each document, and the chunks of those that are INDEXED."""
        account = self._account
        on_s3_vectors = base.store_type == "S3_VECTORS"
        rules = Rules(source, account.index(index_key(base)), account.embedder, account.quotas, on_s3_vectors)
        chunks: list[Chunk] = []
        outcomes: list[tuple[Document, str, str | None]] = []
        for members, document in zip(given, documents, strict=True):
            try:
                read = self._read(members, role)
                made = document_chunks(rules, document.identifier, read.name, read.body, read.attributes)
                role.check_index(index_key(base), IndexUse.WRITING)
                chunks.extend(made)
            except DocumentRejectedError as rejection:
                outcomes.append((document, rejection.status, rejection.cause))
            except ObjectUnreadableError as error:
                outcomes.append((document, "FAILED", failure_reasons.unreadable(str(error))))
            except (InvalidSidecarError, DeniedError, ClientError, BotoCoreError, NotEmulatedError) as error:
                outcomes.append((document, "FAILED", str(error)))
            else:
                document.etag, document.sidecar_etag = read.etag, read.sidecar_etag
                outcomes.append((document, "INDEXED", None))
        return outcomes, chunks

    def _read(self, given: Members, role: ServiceRole) -> _Read:
        content, metadata = given["content"], given.get("metadata")
        sidecar, sidecar_etag = None, None
        attributes = NO_ATTRIBUTES
        if metadata is not None and metadata["type"] == "S3_LOCATION":
            sidecar, sidecar_etag = self._object(metadata["s3Location"]["uri"], role)
            attributes = sidecars.parse(sidecar)
        elif metadata is not None:
            for item in metadata["inlineAttributes"]:
                sidecars.check_name(item["key"])
            values = {item["key"]: sidecars.typed_value(item["value"]) for item in metadata["inlineAttributes"]}
            attributes = Attributes(values, {})
        uri = _uri(content)
        if uri is not None:
            body, etag = self._object(uri, role)
            return _Read(body, uri, attributes, etag, sidecar_etag)
        inline = content["custom"]["inlineContent"]
        if inline["type"] == "TEXT":
            return _Read(inline["textContent"]["data"].encode(), "document.txt", attributes)
        mime = inline["byteContent"]["mimeType"].partition(";")[0]
        return _Read(inline["byteContent"]["data"], f"document{_ENDINGS.get(mime, '')}", attributes)

    def _object(self, uri: str, role: ServiceRole) -> tuple[bytes, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return read_object(self._account.client_factory("s3"), role, bucket, key)


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


def _check_complete(document: Members) -> None:
    """Each type asks for a member of its own, which the model can't say."""
    content, metadata = document["content"], document.get("metadata", {})
    _check_member(content, "content", "dataSourceType", {"S3": "s3", "CUSTOM": "custom"})
    if content["dataSourceType"] == "CUSTOM":
        custom = content["custom"]
        _check_member(custom, "custom", "sourceType", {"IN_LINE": "inlineContent", "S3_LOCATION": "s3Location"})
        if custom["sourceType"] == "IN_LINE":
            inline = custom["inlineContent"]
            _check_member(inline, "inlineContent", "type", {"TEXT": "textContent", "BYTE": "byteContent"})
    if metadata:
        kinds = {"S3_LOCATION": "s3Location", "IN_LINE_ATTRIBUTE": "inlineAttributes"}
        _check_member(metadata, "metadata", "type", kinds)


def _check_member(given: Members, where: str, selector: str, members: dict[str, str]) -> None:
    needed = members[given[selector]]
    if needed not in given:
        raise validation(f"{where}.{needed} is required for {selector} {given[selector]}.")


def _identifier(content: Members) -> DocumentIdentifier:
    if content["dataSourceType"] == "S3":
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
