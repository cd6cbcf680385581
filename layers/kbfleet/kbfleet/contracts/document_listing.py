"""Bodies of the API about documents as a resource: listed, looked at, deleted, opened."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from kbfleet.contracts import Contract
from kbfleet.contracts.document_findings import DocumentFindingBody
from kbfleet.contracts.documents import DocumentRetryBody
from kbfleet.domain.document_links import DocumentLink
from kbfleet.domain.document_names import MAX_KEY_BYTES, document_id
from kbfleet.domain.document_pages import MAX_TOKEN_LENGTH
from kbfleet.domain.document_status import Deletion, DocumentStatus, KnownFrom, TenantDocument
from kbfleet.domain.failed_documents import FailureStatus, reason_for_people
from kbfleet.domain.left_out import LeftOutNotKnown

_MAX_URI = len("s3://") + 63 + 1 + MAX_KEY_BYTES
"""Characters: names of buckets have 63 at most (Amazon S3 User Guide, General purpose bucket naming rules)."""


class DocumentsQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/documents`. `prefix` is how keys begin, in whichever Unicode form;
    `next_token` is of the page before, of the same list."""

    limit: int = Field(default=100, ge=1, le=100)
    next_token: str | None = Field(default=None, max_length=MAX_TOKEN_LENGTH, pattern="^[A-Za-z0-9_-]+$")
    status: DocumentStatus | None = None
    prefix: str = Field(default="", max_length=MAX_KEY_BYTES)


class DocumentBody(Contract):
    """`id` is what it is called in paths. `status` is so since `since`, by `job`, as far as that is known, and
    `known_from` says who knows; both are `null` for UNKNOWN. `size`, `changed_at` and `metadata_bytes` are `null` where
    the bucket was not looked into, as with `status=LEFT_OUT`, and where the document is not there any more.

    `reason` (Bedrock's) and `finding` (kbfleet's) say why it is left out; `last_seen`, `times` and `set_aside` are of
    the jobs in a row that it failed in, where these are recorded."""

    id: str
    key: str
    uri: str
    size: int | None
    changed_at: datetime | None
    metadata_bytes: int | None
    status: DocumentStatus
    since: datetime | None
    job: str | None
    known_from: KnownFrom | None
    reason: str
    finding: DocumentFindingBody | None
    last_seen: datetime | None
    times: int | None
    set_aside: bool

    @classmethod
    def from_domain(cls, document: TenantDocument) -> Self:
        return cls(**_fields(document))

    @property
    def for_people(self) -> str:
        """Why it is left out."""
        return reason_for_people(self.reason, self.finding.to_domain() if self.finding else None)


def _fields(document: TenantDocument) -> dict[str, Any]:
    entry, state, failure = document.entry, document.state, document.failure
    there = entry if entry is not None and not entry.deleted else None
    finding = failure.finding if failure is not None else None
    return {
        "id": document_id(document.key),
        "key": document.key,
        "uri": document.uri,
        "size": there.size if there is not None else None,
        "changed_at": entry.changed_at if entry is not None else None,
        "metadata_bytes": there.metadata_bytes if there is not None else None,
        "status": state.status,
        "since": state.since,
        "job": state.job,
        "known_from": state.known_from,
        "reason": state.reason,
        "finding": DocumentFindingBody.from_domain(finding) if finding is not None else None,
        "last_seen": failure.last_seen if failure is not None else None,
        "times": failure.times if failure is not None else None,
        "set_aside": failure is not None and failure.status is FailureStatus.SET_ASIDE,
    }


class DocumentsBody(Contract):
    """A page; `next_token` is `null` on the last one, and a page may be shorter than asked for, and empty. `retry` is
    the last one that was requested. `not_known` is why more documents may be left out than are listed so; it is `null`
    where these are all."""

    documents: tuple[DocumentBody, ...]
    next_token: str | None
    retry: DocumentRetryBody | None
    not_known: LeftOutNotKnown | None = None


class DocumentDetailsBody(DocumentBody):
    """`metadata` are its attributes, as its metadata file has them; `null` where there is none, or it cannot be read.
    `also_there` are keys that look the same, under which there is a document, too: each is answered from.
    `stray_metadata` are keys of metadata files that look like its own and are no document's: Bedrock reads them for
    none."""

    metadata: dict[str, Any] | None
    also_there: tuple[str, ...]
    stray_metadata: tuple[str, ...] = ()

    @classmethod
    def with_attributes(cls, document: TenantDocument, content: bytes | None) -> Self:
        return cls(
            **_fields(document),
            metadata=_attributes(content),
            also_there=document.also_there,
            stray_metadata=document.stray_metadata,
        )


def _attributes(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content or b"null")
    except (ValueError, RecursionError):
        return None  # what a tenant has written there
    attributes = found.get("metadataAttributes") if isinstance(found, dict) else None
    return attributes if isinstance(attributes, dict) else None


def _truth(value: object) -> object:
    """As JSON writes it. Pydantic takes `1`, `y` and `on` for true, too, and this is for good."""
    return {"true": True, "false": False}.get(value, "neither") if isinstance(value, str) else value


class DeleteDocumentQuery(Contract):
    """Query of `DELETE …/documents/{document}`. With `all_versions`, nothing of the document is left in the bucket."""

    all_versions: Annotated[bool, Field(strict=True), BeforeValidator(_truth)] = False


class DeletionBody(Contract):
    """How far a deletion is: `document.status` is DELETED while it is still answered from, then GONE.
    `versions_removed` counts what is gone for good, of the document and of its metadata file, and is `null` where
    older versions are kept; where not all are removed yet, `complete` is false, and the same call goes on."""

    document: DocumentBody
    versions_removed: int | None
    complete: bool

    @classmethod
    def from_domain(cls, deletion: Deletion) -> Self:
        return cls(
            document=DocumentBody.from_domain(deletion.document),
            versions_removed=deletion.versions,
            complete=deletion.whole,
        )


class DocumentLinkRequest(Contract):
    """Body of `POST /documents/link`: `uri` and `ticket` of a source of an answer."""

    uri: str = Field(min_length=1, max_length=_MAX_URI)
    ticket: str = Field(min_length=1, max_length=200)


class DocumentLinkBody(Contract):
    """A link that opens one document until then, for whoever has it."""

    url: str
    expires_at: datetime

    @classmethod
    def from_domain(cls, link: DocumentLink) -> Self:
        return cls(url=link.url, expires_at=link.expires_at)
