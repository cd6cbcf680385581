"""What crosses a process boundary, as pydantic models: step payloads, events on the bus, API bodies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbfleet.domain.answer import Answer, Question
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.ingestion import (
    FailureReason,
    JobStateChange,
    JobStatus,
    Outcome,
    Statistics,
    Sync,
    SyncState,
)
from kbfleet.domain.knowledge_base import KnowledgeBaseState
from kbfleet.domain.tenant import (
    DataSourceReference,
    DisplayName,
    ProvisioningFailure,
    ProvisioningRequest,
    Reservation,
    Tenant,
    TenantId,
    TenantStatus,
)
from kbfleet.ports import Execution

Model = TypeVar("Model", bound=BaseModel)


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(model: type[Model], data: object) -> Model:
    """A contract from decoded JSON.

    Raises:
        InvalidInput: naming the first field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _invalid_input(error) from None


def parse_json(model: type[Model], text: str | bytes | None) -> Model:
    """A contract from JSON text, such as the body of an HTTP request.

    Raises:
        InvalidInput: naming the first field that is wrong, or `body` when it is not JSON.
    """
    try:
        return model.model_validate_json(text or b"")
    except ValidationError as error:
        raise _invalid_input(error) from None


def _invalid_input(error: ValidationError) -> InvalidInput:
    # The value itself stays out of the message: it may be a tenant's text, and messages reach logs.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return InvalidInput(field, f"{first['msg']}.")


# --- provision_tenant ----------------------------------------------------------------------------


class ProvisionTenantInput(Contract):
    """What an execution of `provision_tenant` is started with."""

    tenant_id: TenantId
    name: DisplayName | None = None
    knowledge_store: str | None = None

    def to_domain(self) -> ProvisioningRequest:
        return ProvisioningRequest(self.tenant_id, self.name, self.knowledge_store)


class ReserveTenantInput(Contract):
    request: ProvisionTenantInput
    execution: str


class ReservationPayload(Contract):
    tenant_id: TenantId
    fence: int
    deadline: datetime

    def to_domain(self) -> Reservation:
        return Reservation(self.tenant_id, self.fence, self.deadline)

    @classmethod
    def from_domain(cls, reservation: Reservation) -> Self:
        return cls(tenant_id=reservation.tenant_id, fence=reservation.fence, deadline=reservation.deadline)


class StepInput(Contract):
    """The input of every step after Reserve Tenant; all else is in the tenant's record."""

    reservation: ReservationPayload
    execution: str


class RunFirstSyncInput(StepInput):
    task_token: str


class BucketResult(Contract):
    bucket_name: str


class KnowledgeStoreResult(Contract):
    reference: str


class KnowledgeBaseResult(Contract):
    """`wait_seconds` is how long to wait before looking again while it is not ready."""

    knowledge_base_id: str
    status: str
    ready: bool
    wait_seconds: int

    @classmethod
    def from_domain(cls, state: KnowledgeBaseState, wait_seconds: int) -> Self:
        return cls(
            knowledge_base_id=state.knowledge_base_id,
            status=state.status,
            ready=state.ready,
            wait_seconds=wait_seconds,
        )


class DataSourceResult(Contract):
    data_source_id: str


class ActivationResult(Contract):
    status: TenantStatus


PROVISIONING_STEPS: Mapping[str, str] = {
    "reservation": "Reserve Tenant",
    "bucket": "Ensure Bucket",
    "knowledge_store": "Ensure Knowledge Store",
    "knowledge_base": "Ensure Knowledge Base",
    "data_source": "Ensure Data Source",
    "first_sync": "Run First Sync",
    "activation": "Activate Tenant",
}
"""Where each step of `provision_tenant` leaves its result, in order. The first that is missing is the step that
failed."""


class TaskFailure(BaseModel):
    """What a Catch of Step Functions stores. A task that was failed by its token may have no cause."""

    Error: str
    Cause: str | None = None


class ExecutionProgress(BaseModel):
    """The state data of `provision_tenant` when a step has failed: its input, the results so far, and the failure."""

    model_config = ConfigDict(extra="allow", frozen=True)

    tenant_id: TenantId
    failure: TaskFailure

    @property
    def failed_step(self) -> str:
        """The knowledge base's step leaves a result each time it runs, also before the knowledge base is ready."""
        done = self.model_extra or {}
        knowledge_base = done.get("knowledge_base")
        if isinstance(knowledge_base, dict) and not knowledge_base.get("ready", False):
            return PROVISIONING_STEPS["knowledge_base"]
        return next((step for result, step in PROVISIONING_STEPS.items() if result not in done), "Activate Tenant")


class ProvisioningFailedInput(Contract):
    """The input of Mark Tenant Failed and of Announce Provisioning Failed."""

    progress: ExecutionProgress
    execution: str


class StoppedExecutionDetail(BaseModel):
    """`detail` of AWS's event "Step Functions Execution Status Change"; `input` is JSON text."""

    executionArn: str  # noqa: N815 - AWS's own name
    status: str
    input: str


# --- events on the bus ---------------------------------------------------------------------------

INGESTION_SOURCE = "kbfleet.ingestion"
PROVISIONING_SOURCE = "kbfleet.provisioning"
JOB_STATE_CHANGE = "Ingestion Job State Change"
PROVISIONING_FAILED = "Provisioning Failed"


class JobStateChangeDetail(BaseModel):
    """`detail` of our event "Ingestion Job State Change"."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    knowledge_base_id: str
    data_source_id: str
    generation: int
    status: JobStatus
    occurred_at: datetime
    ingestion_job_id: str | None = None
    started_at: datetime | None = None
    outcome: Outcome | None = None
    previous_outcome: Outcome | None = None
    statistics: Statistics = Field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()

    @classmethod
    def from_domain(cls, change: JobStateChange) -> Self:
        return cls(
            identity=change.identity,
            tenant_id=change.tenant_id,
            knowledge_base_id=change.data_source.knowledge_base_id,
            data_source_id=change.data_source.data_source_id,
            generation=change.generation,
            status=change.status,
            occurred_at=change.occurred_at,
            ingestion_job_id=change.ingestion_job_id,
            started_at=change.started_at,
            outcome=change.outcome,
            previous_outcome=change.previous_outcome,
            statistics=change.statistics,
            failure_reasons=change.failure_reasons,
        )

    def to_domain(self) -> JobStateChange:
        return JobStateChange(
            tenant_id=self.tenant_id,
            data_source=DataSourceReference(self.knowledge_base_id, self.data_source_id),
            generation=self.generation,
            status=self.status,
            occurred_at=self.occurred_at,
            ingestion_job_id=self.ingestion_job_id,
            started_at=self.started_at,
            outcome=self.outcome,
            previous_outcome=self.previous_outcome,
            statistics=self.statistics,
            failure_reasons=self.failure_reasons,
        )


class ProvisioningFailedDetail(BaseModel):
    """`detail` of our event "Provisioning Failed"."""

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    execution: str
    step: str
    error: str
    reason: str
    occurred_at: datetime

    @classmethod
    def from_domain(cls, tenant_id: TenantId, failure: ProvisioningFailure) -> Self:
        return cls(
            tenant_id=tenant_id,
            execution=failure.execution,
            step=failure.step,
            error=failure.error,
            reason=failure.reason,
            occurred_at=failure.at,
        )

    def to_domain(self) -> ProvisioningFailure:
        return ProvisioningFailure(self.step, self.error, self.reason, self.execution, self.occurred_at)


class JobStateChangeEvent(BaseModel):
    """The envelope of EventBridge around our event; the rest of the envelope does not matter to us."""

    detail_type: Literal["Ingestion Job State Change"] = Field(alias="detail-type")
    detail: JobStateChangeDetail


class ProvisioningFailedEvent(BaseModel):
    detail_type: Literal["Provisioning Failed"] = Field(alias="detail-type")
    detail: ProvisioningFailedDetail


# --- API -----------------------------------------------------------------------------------------


class AskRequest(Contract):
    question: Question


class SourceBody(Contract):
    document: str
    uri: str
    passage: str
    page: int | None
    metadata: dict[str, Any]


class CitationBody(Contract):
    """`start` and `end` count characters of the answer; `end` is the one behind the last."""

    text: str
    start: int
    end: int
    sources: tuple[SourceBody, ...]


class FreshnessBody(Contract):
    synced_at: datetime | None
    pending_changes: bool


class AskResponse(Contract):
    answer: str
    citations: tuple[CitationBody, ...]
    freshness: FreshnessBody
    request_id: str

    @classmethod
    def from_domain(cls, answer: Answer, request_id: str) -> Self:
        return cls(
            answer=answer.generated.text,
            citations=tuple(
                CitationBody(
                    text=citation.text,
                    start=citation.start,
                    end=citation.end,
                    sources=tuple(
                        SourceBody(
                            document=source.document,
                            uri=source.uri,
                            passage=source.passage,
                            page=source.page,
                            metadata=dict(source.metadata or {}),
                        )
                        for source in citation.sources
                    ),
                )
                for citation in answer.generated.citations
            ),
            freshness=FreshnessBody(
                synced_at=answer.freshness.synced_at, pending_changes=answer.freshness.pending_changes
            ),
            request_id=request_id,
        )


class ProvisionRequest(Contract):
    """Body of `PUT /tenants/{tenant_id}`."""

    name: DisplayName | None = None
    knowledge_store: str | None = None


class ExecutionBody(Contract):
    """A run of provisioning. `step` is the state it is in, or was last in."""

    execution: str
    status: str
    step: str | None = None
    error: str | None = None
    reason: str | None = None

    @classmethod
    def from_domain(cls, execution: Execution, failure: ProvisioningFailure | None = None) -> Self:
        return cls(
            execution=execution.name,
            status=execution.status,
            step=failure.step if failure else execution.step,
            error=failure.error if failure else execution.error,
            reason=failure.reason if failure else execution.cause,
        )


class SyncResultBody(Contract):
    outcome: Outcome
    generation: int
    ingestion_job_id: str | None
    ended_at: datetime
    failure_reasons: tuple[FailureReason, ...]


class SyncBody(Contract):
    state: SyncState
    requested_generation: int
    synced_generation: int
    synced_at: datetime | None
    pending_changes: bool
    running_job_id: str | None
    running_job_status: JobStatus | None
    result: SyncResultBody | None

    @classmethod
    def from_domain(cls, sync: Sync) -> Self:
        result = sync.result
        return cls(
            state=sync.state,
            requested_generation=sync.requested_generation,
            synced_generation=sync.synced_generation,
            synced_at=sync.synced_at,
            pending_changes=sync.pending_changes,
            running_job_id=sync.job.ingestion_job_id if sync.job else None,
            running_job_status=sync.job.status if sync.job else None,
            result=SyncResultBody(
                outcome=result.outcome,
                generation=result.generation,
                ingestion_job_id=result.ingestion_job_id,
                ended_at=result.ended_at,
                failure_reasons=result.failure_reasons,
            )
            if result
            else None,
        )


class TenantBody(Contract):
    tenant_id: TenantId
    name: str
    status: TenantStatus
    knowledge_store: str
    bucket_name: str | None
    knowledge_base_id: str | None
    data_source_id: str | None
    created_at: datetime
    updated_at: datetime
    failure: ProvisioningFailure | None
    sync: SyncBody

    @classmethod
    def from_domain(cls, tenant: Tenant, sync: Sync) -> Self:
        return cls(
            tenant_id=tenant.tenant_id,
            name=tenant.name,
            status=tenant.status,
            knowledge_store=tenant.knowledge_store,
            bucket_name=tenant.bucket_name,
            knowledge_base_id=tenant.knowledge_base_id,
            data_source_id=tenant.data_source_id,
            created_at=tenant.created_at,
            updated_at=tenant.updated_at,
            failure=tenant.failure,
            sync=SyncBody.from_domain(sync),
        )


class JobsBody(Contract):
    jobs: tuple[JobStateChangeDetail, ...]
