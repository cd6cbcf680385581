"""Every operation of the HTTP API, as a table: whom it serves, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any

from kbfleet.contracts.asking import AskRequest, AskResponse, TenantAskRequest
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import (
    DeleteDocumentQuery,
    DeletionBody,
    DocumentDetailsBody,
    DocumentLinkBody,
    DocumentLinkRequest,
    DocumentsBody,
    DocumentsQuery,
)
from kbfleet.contracts.documents import (
    DocumentRetryBody,
    DocumentTraceBody,
    DocumentTraceQuery,
    GrantedUploadsBody,
    UploadBody,
    UploadRequest,
    UploadsRequest,
)
from kbfleet.contracts.events import ReconciliationDetail, ReconciliationRequest
from kbfleet.contracts.fleet import FleetBody
from kbfleet.contracts.jobs import JobBody, JobsBody, JobsQuery
from kbfleet.contracts.profiles import ProfileBody, ProfileCheckBody, ProfileQuery, ProfileRequest, ProfilesBody
from kbfleet.contracts.questions import (
    QuestionRunRequest,
    QuestionRunsBody,
    QuestionRunsQuery,
    QuestionsBody,
    QuestionsRequest,
    QuestionStandsBody,
    QuestionStandsQuery,
    RequestedRunBody,
)
from kbfleet.contracts.rebuilds import RebuildBody, RebuildRequest, RollbackRequest
from kbfleet.contracts.tenants import (
    ExecutionBody,
    OffboardingBody,
    OffboardTenantQuery,
    ProvisionRequest,
    SyncBody,
    SyncRequest,
    TenantBody,
    TenantsBody,
    TenantsQuery,
)
from kbfleet.contracts.usage import UsageBody, UsageQuery
from kbfleet.domain import errors
from kbfleet.domain.errors import (
    ConcurrentUpdate,
    DeletionsNotSeen,
    DocumentNotFound,
    ExecutionNotFound,
    InvalidInput,
    IsolationBreached,
    JobNotFound,
    KeySpelledOtherwise,
    KnowledgeStoreNotOffered,
    NothingBeside,
    OffboardingBegun,
    ProfileInUse,
    ProfileNotFound,
    ProfileRefused,
    QuestionNotFound,
    SessionRefused,
    TenantBusy,
    TenantNotActive,
    TenantNotFound,
    TicketRefused,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kbfleet.domain.errors import (
        KbfleetError,
    )

Example = Mapping[str, Any]


class Caller(Enum):
    """Who may call an operation, by the name of the security scheme that says so."""

    USER = "token"
    TRUSTED = "signature"
    ANYBODY = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Args:
        path: as the template has it.
        name: the handler's.
        summary: what it does; Markdown, one line.
        answer: what it answers with when all goes well; `None` for a JSON object of any kind.
        refusals: the errors that its handler answers with, beside those of AWS. A class stands for its
            subclasses, but for InvalidInput: each operation has some of those.
        body_optional: whether no body at all means the same as `{}`.
        example: of the body.
    """

    method: HTTPMethod
    path: str
    name: str
    caller: Caller
    summary: str
    answer: type[BaseModel] | None
    status: HTTPStatus = HTTPStatus.OK
    refusals: tuple[type[KbfleetError], ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_optional: bool = False
    example: Example | None = None

    @property
    def of_a_tenant(self) -> bool:
        return "{tenant_id}" in self.path


@dataclass(frozen=True, slots=True)
class GatewayProblem:
    """What API Gateway answers itself, by its gateway response of that kind. Source of the kinds: AWS documentation,
    Gateway response types for API Gateway."""

    status: HTTPStatus
    code: str
    detail: str
    callers: tuple[Caller, ...]


GATEWAY_PROBLEMS: Mapping[str, GatewayProblem] = {
    "UNAUTHORIZED": GatewayProblem(
        HTTPStatus.UNAUTHORIZED,
        errors.TokenRefused.__name__,
        "A valid bearer token is required.",
        (Caller.USER,),
    ),
    "ACCESS_DENIED": GatewayProblem(
        HTTPStatus.FORBIDDEN,
        "AccessDenied",
        "The token names no tenant, or the signer may not make this request.",
        (Caller.USER, Caller.TRUSTED),
    ),
    "THROTTLED": GatewayProblem(
        HTTPStatus.TOO_MANY_REQUESTS,
        errors.Throttled.__name__,
        "Requests come too fast.",
        tuple(Caller),
    ),
    "QUOTA_EXCEEDED": GatewayProblem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "QuotaExceeded",
        "The tenant has asked as much as it may this month.",
        (Caller.USER,),
    ),
    "INVALID_API_KEY": GatewayProblem(
        HTTPStatus.FORBIDDEN,
        "TenantNotProvisioned",
        "The token is genuine, but its tenant is not provisioned.",
        (Caller.USER,),
    ),
}

AWS_ERRORS: tuple[type[KbfleetError], ...] = (errors.Throttled, errors.NotReadyYet, errors.AwsRefusal)
"""Of every operation that calls AWS: all but this document itself, which anybody may have."""

_TENANTS = "/tenants/{tenant_id}"
_PROFILES = "/profiles/{profile}"
_PROFILE_EXAMPLE: Example = {
    "answering": {"passages": 8},
    "ingestion": {"chunking": {"kind": "FIXED_SIZE", "max_tokens": 500, "overlap_percentage": 15}},
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        HTTPMethod.POST,
        "/ask",
        "post_ask",
        Caller.USER,
        "Answers a question from the documents of the tenant that the token names",
        AskResponse,
        body=AskRequest,
        refusals=(
            InvalidInput,
            SessionRefused,
            TenantNotFound,
            TenantNotActive,
            ProfileNotFound,
            IsolationBreached,
        ),
        example={"question": "How long is the warranty of the tent?"},
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/ask",
        "post_tenant_ask",
        Caller.TRUSTED,
        "The same for a back end, which may ask for every tenant",
        AskResponse,
        body=TenantAskRequest,
        refusals=(
            InvalidInput,
            SessionRefused,
            TenantNotFound,
            TenantNotActive,
            ProfileNotFound,
            IsolationBreached,
        ),
        example={"question": "How long is the warranty of the tent?", "user_id": "mina"},
    ),
    Operation(
        HTTPMethod.GET,
        "/fleet",
        "get_fleet",
        Caller.TRUSTED,
        "The fleet on one screen: who is hurt, worst first, what is at work, who waits, what is full, what is unknown",
        FleetBody,
        refusals=(InvalidInput,),
    ),
    Operation(
        HTTPMethod.GET,
        "/tenants",
        "get_tenants",
        Caller.TRUSTED,
        "The tenants, a page of them: status, tier, how fresh their knowledge is, how their last syncs ended",
        TenantsBody,
        query=TenantsQuery,
        refusals=(InvalidInput,),
    ),
    Operation(
        HTTPMethod.PUT,
        _TENANTS,
        "put_tenant",
        Caller.TRUSTED,
        "Provisions a tenant, or converges it again, with the changes that are requested",
        ExecutionBody,
        HTTPStatus.ACCEPTED,
        body=ProvisionRequest,
        body_optional=True,
        refusals=(
            InvalidInput,
            KnowledgeStoreNotOffered,
            ProfileNotFound,
            ProfileRefused,
            TenantNotFound,
            TenantNotActive,
            TenantBusy,
        ),
        example={"name": "Acme Outdoor", "knowledge_store": "S3_VECTORS"},
    ),
    Operation(
        HTTPMethod.GET,
        _TENANTS,
        "get_tenant",
        Caller.TRUSTED,
        "The tenant's record, and how fresh its knowledge is",
        TenantBody,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.DELETE,
        _TENANTS,
        "delete_tenant",
        Caller.TRUSTED,
        "Takes the tenant out of service, and deletes everything of it after the retention period",
        OffboardingBody,
        HTTPStatus.ACCEPTED,
        query=OffboardTenantQuery,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, TenantBusy, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.PUT,
        f"{_TENANTS}/suspension",
        "put_suspension",
        Caller.TRUSTED,
        "Refuses the tenant's questions and stops its syncs; everything is kept",
        TenantBody,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, TenantBusy, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.DELETE,
        f"{_TENANTS}/suspension",
        "delete_suspension",
        Caller.TRUSTED,
        "Takes back a suspension, or an offboarding that has not begun to delete",
        TenantBody,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, TenantBusy, OffboardingBegun, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.PUT,
        f"{_TENANTS}/rebuild",
        "put_rebuild",
        Caller.TRUSTED,
        "Builds another knowledge beside the one that answers, and promotes it when it is not worse",
        RebuildBody,
        HTTPStatus.ACCEPTED,
        body=RebuildRequest,
        body_optional=True,
        refusals=(
            InvalidInput,
            KnowledgeStoreNotOffered,
            ProfileNotFound,
            TenantNotFound,
            TenantNotActive,
            TenantBusy,
        ),
        example={"keep_hours": 24},
    ),
    Operation(
        HTTPMethod.DELETE,
        f"{_TENANTS}/rebuild",
        "delete_rebuild",
        Caller.TRUSTED,
        "Ends a rebuild, and deletes its candidate; the knowledge that answers is not touched",
        RebuildBody,
        HTTPStatus.ACCEPTED,
        refusals=(InvalidInput, NothingBeside, TenantNotFound, TenantNotActive, TenantBusy),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/rebuilds/{{execution}}",
        "get_rebuild",
        Caller.TRUSTED,
        "How a rebuild goes, or went",
        ExecutionBody,
        refusals=(InvalidInput, ExecutionNotFound),
    ),
    Operation(
        HTTPMethod.PUT,
        f"{_TENANTS}/knowledge",
        "put_knowledge",
        Caller.TRUSTED,
        "Has the knowledge answer again that was live before",
        TenantBody,
        body=RollbackRequest,
        refusals=(InvalidInput, NothingBeside, TenantNotFound, TenantNotActive, TenantBusy, ConcurrentUpdate),
        example={"live": 1},
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/provisionings/{{execution}}",
        "get_provisioning",
        Caller.TRUSTED,
        "How a provisioning goes, or went",
        ExecutionBody,
        refusals=(InvalidInput, ExecutionNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/offboardings/{{execution}}",
        "get_offboarding",
        Caller.TRUSTED,
        "How an offboarding goes, or went",
        ExecutionBody,
        refusals=(InvalidInput, ExecutionNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/syncs",
        "post_sync",
        Caller.TRUSTED,
        "Queues an ingestion of the tenant's documents",
        SyncBody,
        HTTPStatus.ACCEPTED,
        body=SyncRequest,
        body_optional=True,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, DeletionsNotSeen, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.DELETE,
        f"{_TENANTS}/syncs",
        "delete_sync",
        Caller.TRUSTED,
        "Stops the running ingestion, and takes the tenant off the queue",
        SyncBody,
        refusals=(InvalidInput, TenantNotFound, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/jobs",
        "get_jobs",
        Caller.TRUSTED,
        "The ingestion jobs, a page of them, the newest first: what they read, how they ended and why",
        JobsBody,
        query=JobsQuery,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/jobs/{{job}}",
        "get_job",
        Caller.TRUSTED,
        "One ingestion job, and the documents that it left out",
        JobBody,
        refusals=(InvalidInput, TenantNotFound, JobNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/usage",
        "get_usage",
        Caller.TRUSTED,
        "What the tenant has used, by day; by default, of the current month",
        UsageBody,
        query=UsageQuery,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/uploads",
        "post_upload",
        Caller.TRUSTED,
        "Gives a form by which one document can be uploaded",
        UploadBody,
        HTTPStatus.CREATED,
        body=UploadRequest,
        refusals=(InvalidInput, KeySpelledOtherwise, TenantNotFound, TenantNotActive),
        example={
            "key": "handbook/rental-terms.pdf",
            "content_type": "application/pdf",
            "size": 12345,
            "metadata": {"department": "sales", "year": 2026},
        },
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/uploads/batch",
        "post_uploads",
        Caller.TRUSTED,
        "Gives forms for those of some documents that are not there yet as they are, and says why it gives none",
        GrantedUploadsBody,
        body=UploadsRequest,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive),
        example={
            "documents": [
                {
                    "key": "handbook/rental-terms.pdf",
                    "size": 12345,
                    "md5": "9e107d9d372bb6826bd81d3542a419d6",
                    "metadata": {"department": "sales", "year": 2026},
                },
                {
                    "key": "prices.csv",
                    "size": 678,
                    "metadata_file": {
                        "metadataAttributes": {"year": 2026},
                        "documentStructureConfiguration": {
                            "type": "RECORD_BASED_STRUCTURE_METADATA",
                            "recordBasedStructureMetadata": {"contentFields": [{"fieldName": "description"}]},
                        },
                    },
                },
            ]
        },
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/documents",
        "get_documents",
        Caller.TRUSTED,
        "The documents, a page of them, each with what is true of it; of those that fail, how trying them again goes",
        DocumentsBody,
        query=DocumentsQuery,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/documents/{{document}}",
        "get_document",
        Caller.TRUSTED,
        "One document, by its id: what is true of it, and its attributes",
        DocumentDetailsBody,
        refusals=(InvalidInput, TenantNotFound, DocumentNotFound),
    ),
    Operation(
        HTTPMethod.DELETE,
        f"{_TENANTS}/documents/{{document}}",
        "delete_document",
        Caller.TRUSTED,
        "Deletes a document with its metadata file; with `all_versions`, nothing of it is left in the bucket",
        DeletionBody,
        query=DeleteDocumentQuery,
        refusals=(InvalidInput, TenantNotFound, DocumentNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/documents/{{document}}/link",
        "get_link",
        Caller.TRUSTED,
        "A link that opens a document for a few minutes, for whoever has it",
        DocumentLinkBody,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, DocumentNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        "/documents/link",
        "post_link",
        Caller.USER,
        "A link that opens a document which an answer to this user has cited",
        DocumentLinkBody,
        body=DocumentLinkRequest,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, DocumentNotFound, TicketRefused),
        example={
            "uri": "s3://kbfleet-acme-0123456789/handbook/rental-terms.pdf",
            "ticket": "bnVsbA.aQXzTg.q83vEjRWeJCrze8SNFZ4kKvN7xI",
        },
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/documents/why",
        "get_why",
        Caller.TRUSTED,
        "Follows a document from its bucket into answers, and names the hop at which it is stuck",
        DocumentTraceBody,
        query=DocumentTraceQuery,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/documents/retry",
        "post_document_retry",
        Caller.TRUSTED,
        "Retries only the documents that failed",
        DocumentRetryBody,
        HTTPStatus.ACCEPTED,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.GET,
        "/questions",
        "get_question_stands",
        Caller.TRUSTED,
        "How golden questions stand, tenant by tenant, a page of them: how many there are, and how many pass",
        QuestionStandsBody,
        query=QuestionStandsQuery,
        refusals=(InvalidInput,),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/questions",
        "get_questions",
        Caller.TRUSTED,
        "The tenant's golden questions, and what is expected of their answers",
        QuestionsBody,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/questions",
        "post_questions",
        Caller.TRUSTED,
        "Adds golden questions, or has them take the place of others: all of them, or none",
        QuestionsBody,
        body=QuestionsRequest,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, ConcurrentUpdate),
        example={
            "questions": [
                {
                    "user_input": "How long is the warranty of the tent?",
                    "reference_context_ids": ["handbook/rental-terms.pdf"],
                    "contains": ["two years"],
                }
            ]
        },
    ),
    Operation(
        HTTPMethod.DELETE,
        f"{_TENANTS}/questions/{{question}}",
        "delete_question",
        Caller.TRUSTED,
        "Removes a golden question",
        QuestionsBody,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive, QuestionNotFound, ConcurrentUpdate),
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/questions/runs",
        "get_question_runs",
        Caller.TRUSTED,
        "The newest runs of the golden questions: which pass, which fail and why, and which are regressions",
        QuestionRunsBody,
        query=QuestionRunsQuery,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.POST,
        f"{_TENANTS}/questions/runs",
        "post_question_run",
        Caller.TRUSTED,
        "Has all golden questions asked soon",
        RequestedRunBody,
        HTTPStatus.ACCEPTED,
        body=QuestionRunRequest,
        body_optional=True,
        refusals=(InvalidInput, TenantNotFound, TenantNotActive),
        example={"answers": True},
    ),
    Operation(
        HTTPMethod.GET,
        f"{_TENANTS}/diagnosis",
        "get_diagnosis",
        Caller.TRUSTED,
        "Looks at all that a tenant's answers rest on: what is wrong, how askers are hurt, and what repairs it",
        DiagnosisBody,
        refusals=(InvalidInput, TenantNotFound),
    ),
    Operation(
        HTTPMethod.GET,
        "/profiles",
        "get_profiles",
        Caller.TRUSTED,
        "The profiles that tenants can be given, each in its newest version, and what the stack's parameters say",
        ProfilesBody,
        refusals=(InvalidInput,),
    ),
    Operation(
        HTTPMethod.GET,
        _PROFILES,
        "get_profile",
        Caller.TRUSTED,
        "One version of a profile, whole",
        ProfileBody,
        query=ProfileQuery,
        refusals=(InvalidInput, ProfileNotFound),
    ),
    Operation(
        HTTPMethod.PUT,
        _PROFILES,
        "put_profile",
        Caller.TRUSTED,
        "Makes this the newest version of the profile, unless the newest says the same",
        ProfileBody,
        body=ProfileRequest,
        refusals=(InvalidInput, ProfileRefused, ConcurrentUpdate),
        example=_PROFILE_EXAMPLE,
    ),
    Operation(
        HTTPMethod.POST,
        f"{_PROFILES}/check",
        "post_profile_check",
        Caller.TRUSTED,
        "What would be refused of a profile, and what it would change; nothing is put",
        ProfileCheckBody,
        body=ProfileRequest,
        refusals=(InvalidInput,),
        example=_PROFILE_EXAMPLE,
    ),
    Operation(
        HTTPMethod.DELETE,
        _PROFILES,
        "delete_profile",
        Caller.TRUSTED,
        "Removes a profile that no tenant uses; answers with what it was",
        ProfileBody,
        refusals=(InvalidInput, ProfileNotFound, ProfileInUse),
    ),
    Operation(
        HTTPMethod.POST,
        "/reconciliations",
        "post_reconciliation",
        Caller.TRUSTED,
        "Says where records and resources do not agree, and repairs on request",
        ReconciliationDetail,
        body=ReconciliationRequest,
        body_optional=True,
        refusals=(InvalidInput, TenantNotFound),
        example={"repair": True},
    ),
    Operation(
        HTTPMethod.GET,
        "/openapi.json",
        "get_openapi",
        Caller.ANYBODY,
        "This document",
        None,
        refusals=(InvalidInput,),
    ),
)
