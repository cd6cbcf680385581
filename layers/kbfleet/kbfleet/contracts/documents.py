"""Bodies of the API about a tenant's documents, and the message of a retry."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Self

from pydantic import Field

from kbfleet.contracts import Contract, LifeNumber, WholeNumber
from kbfleet.contracts.document_findings import DocumentFindingBody
from kbfleet.domain.document_trace import DocumentTrace, HopName, ObjectKey, Verdict
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.failed_documents import DocumentRetry, FailedDocument, FailureStatus, reason_for_people
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.uploads import (
    MAX_CONTENT_TYPE_LENGTH,
    MAX_DOCUMENT_BYTES,
    MOST_UPLOADS,
    DocumentKey,
    GrantedUpload,
    Upload,
    UploadForm,
)


class RetryRunRequest(Contract):
    """The message by which a retry of documents asks for its next run."""

    tenant_id: TenantId
    version: int
    life: LifeNumber = 1


class DeletionCheckRequest(Contract):
    """The message by which a check is asked for of what a tenant's next sync would delete."""

    tenant_id: TenantId
    life: LifeNumber = 1
    knowledge: WholeNumber = Field(default=1, ge=1)

    @classmethod
    def of(cls, knowledge: Knowledge) -> Self:
        return cls(tenant_id=knowledge.tenant_id, life=knowledge.life.number, knowledge=knowledge.number)

    def to_domain(self) -> Knowledge:
        return Knowledge(Life(self.tenant_id, self.life), self.knowledge)


class UploadRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/uploads`. `metadata` are the document's attributes; `metadata_file` in their
    place is all that the file beside the document is to hold, also of the rows of a CSV file."""

    key: DocumentKey
    size: WholeNumber = Field(ge=1, le=MAX_DOCUMENT_BYTES)
    content_type: str = Field(default="", max_length=MAX_CONTENT_TYPE_LENGTH)
    metadata: dict[str, object] = Field(default_factory=dict)
    metadata_file: dict[str, object] | None = None

    def to_domain(self) -> Upload:
        """Raises: InvalidInput."""
        return Upload(self.key, self.size, self.content_type, self.metadata, self.metadata_file)


class DocumentUploadRequest(UploadRequest):
    """Of one document among several. `md5`, in hexadecimal digits: what is there with it needs no form."""

    md5: str = Field(default="", pattern="^([0-9a-f]{32})?$")

    def to_domain(self) -> Upload:
        """Raises: InvalidInput."""
        return replace(super().to_domain(), md5=self.md5)


class UploadsRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/uploads/batch`."""

    documents: tuple[DocumentUploadRequest, ...] = Field(min_length=1, max_length=MOST_UPLOADS)

    def to_domain(self) -> list[Upload]:
        """Raises: InvalidInput, which says of which document."""
        uploads = []
        for number, document in enumerate(self.documents):
            try:
                uploads.append(document.to_domain())
            except InvalidInput as error:
                said = str(error).removeprefix(f"{error.field}: ")
                raise InvalidInput(f"documents.{number}.{error.field}", said) from error
        return uploads


class UploadBody(Contract):
    """A form, to be sent as `multipart/form-data`: its fields first, and then the document as the field `file`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime

    @classmethod
    def from_domain(cls, form: UploadForm) -> Self:
        return cls(url=form.url, fields=dict(form.fields), expires_at=form.expires_at)


class UploadRefusalBody(Contract):
    """Why a document gets no form, as a problem says it. `there_as` is the key under which the document is there, where
    that is why: the same name in another form of Unicode."""

    code: str
    detail: str
    field: str
    there_as: str | None = None


class GrantedUploadBody(Contract):
    """Of one document. With neither `form` nor `refusal` the document is there as it is. `metadata_written` says
    whether its metadata file was changed."""

    key: str
    form: UploadBody | None
    metadata_written: bool
    refusal: UploadRefusalBody | None

    @classmethod
    def from_domain(cls, granted: GrantedUpload) -> Self:
        refused = granted.refusal
        return cls(
            key=granted.key,
            form=UploadBody.from_domain(granted.form) if granted.form else None,
            metadata_written=granted.metadata_written,
            refusal=UploadRefusalBody(
                code=type(refused).__name__,
                detail=str(refused),
                field=refused.field,
                there_as=granted.there_as or None,
            )
            if refused
            else None,
        )


class GrantedUploadsBody(Contract):
    """In the order in which they were asked for."""

    documents: tuple[GrantedUploadBody, ...]


class FailedDocumentBody(Contract):
    """`since` and `last_seen` are the ends of the first and the last of the `times` jobs in a row that it failed in.
    `reason` is Bedrock's; `finding` is what kbfleet has seen by itself, `None` where that is no more."""

    uri: str
    reason: str
    finding: DocumentFindingBody | None = None
    status: FailureStatus
    since: datetime
    last_seen: datetime
    times: int

    @classmethod
    def from_domain(cls, document: FailedDocument) -> Self:
        return cls(
            uri=document.uri,
            reason=document.reason,
            finding=DocumentFindingBody.from_domain(document.finding) if document.finding else None,
            status=document.status,
            since=document.first_seen,
            last_seen=document.last_seen,
            times=document.times,
        )

    @property
    def for_people(self) -> str:
        return reason_for_people(self.reason, self.finding.to_domain() if self.finding else None)


class DocumentRetryBody(Contract):
    """`ended_at` is `None` while documents are being tried again; `stopped` says why it stopped early. `skipped` were
    not tried, because they can never be read as they are."""

    requested_at: datetime
    ended_at: datetime | None
    under_way: int
    fixed: int
    failed: int
    unanswered: int
    stopped: str
    skipped: int = 0

    @classmethod
    def from_domain(cls, retry: DocumentRetry) -> Self:
        return cls(
            requested_at=retry.requested_at,
            ended_at=retry.ended_at,
            under_way=len(retry.under_way),
            fixed=retry.fixed,
            failed=retry.failed,
            unanswered=retry.unanswered,
            stopped=retry.stopped,
            skipped=retry.skipped,
        )


class DocumentTraceQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/documents/why`."""

    key: ObjectKey


class HopBody(Contract):
    hop: HopName
    verdict: Verdict
    finding: str
    advice: str


class DocumentTraceBody(Contract):
    """The hops that a document has passed, and the one at which it is stuck; `stuck_at` is `None` when it is found."""

    tenant_id: TenantId
    key: str
    stuck_at: HopName | None
    hops: tuple[HopBody, ...]

    @classmethod
    def from_domain(cls, trace: DocumentTrace) -> Self:
        return cls(
            tenant_id=trace.tenant_id,
            key=trace.key,
            stuck_at=trace.stuck_at.name if trace.stuck_at else None,
            hops=tuple(
                HopBody(hop=hop.name, verdict=hop.verdict, finding=hop.finding, advice=hop.advice) for hop in trace.hops
            ),
        )
