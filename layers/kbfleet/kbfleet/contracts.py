"""What crosses a process boundary, as pydantic models: step payloads, events on the bus, API bodies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from kbfleet.domain.answer import DEFAULT_PASSAGES, MAX_PASSAGES, Answer, Inquiry, Question
from kbfleet.domain.caller import UserId
from kbfleet.domain.document_trace import DocumentTrace, HopName, ObjectKey, Verdict
from kbfleet.domain.documents import (
    DocumentRetry,
    FailedDocument,
    FailureReport,
    FailureStatus,
    News,
    ReportedDocument,
)
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.ingestion import (
    DocumentChange,
    FailureReason,
    JobStateChange,
    JobStatus,
    LoggedJobState,
    Outcome,
    Statistics,
    Sync,
    SyncState,
)
from kbfleet.domain.knowledge_base import KnowledgeBaseState
from kbfleet.domain.metadata_filter import MetadataFilter
from kbfleet.domain.reconciliation import Disagreement, Reconciliation, ResourceKind
from kbfleet.domain.tenant import (
    MAX_RETENTION_DAYS,
    DataSourceReference,
    DisplayName,
    Offboarding,
    ProvisioningRequest,
    Reservation,
    Tenant,
    TenantId,
    TenantStateChange,
    TenantStatus,
    Workflow,
    WorkflowFailure,
    describe_failure,
)
from kbfleet.domain.uploads import MAX_DOCUMENT_BYTES, DocumentKey, Upload, UploadForm
from kbfleet.domain.usage import AnsweredQuestion, AskUsage, DailyUsage, UsagePeriod, total
from kbfleet.domain.usage_plan import Tier
from kbfleet.ports import Execution

Model = TypeVar("Model", bound=BaseModel)


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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
    tier: Tier | None = None

    def to_domain(self) -> ProvisioningRequest:
        return ProvisioningRequest(self.tenant_id, self.name, self.knowledge_store, self.tier)


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


class CapacityResult(Contract):
    """How many more knowledge bases the account may have; `None` where nobody looked."""

    left: int | None


class BucketResult(Contract):
    bucket_name: str


class KnowledgeStoreResult(Contract):
    reference: str


class KnowledgeBaseResult(Contract):
    """`wait_seconds` is how long to wait before looking again while it is not ready."""

    knowledge_base_id: str
    status: str
    done: bool
    wait_seconds: int

    @classmethod
    def from_domain(cls, state: KnowledgeBaseState) -> Self:
        return cls(
            knowledge_base_id=state.knowledge_base_id,
            status=state.status,
            done=state.ready,
            wait_seconds=math.ceil(state.look_again_after.total_seconds()),
        )


class DataSourceResult(Contract):
    data_source_id: str


class UsageKeyResult(Contract):
    tier: Tier


class ActivationResult(Contract):
    status: TenantStatus


PROVISIONING_STEPS: Mapping[str, str] = {
    "reservation": "Reserve Tenant",
    "capacity": "Check Capacity",
    "bucket": "Ensure Bucket",
    "index": "Ensure Knowledge Store",
    "knowledge_base": "Ensure Knowledge Base",
    "data_source": "Ensure Data Source",
    "usage_key": "Ensure Usage Key",
    "first_sync": "Run First Sync",
    "activation": "Activate Tenant",
}
"""Where each step of `provision_tenant` leaves its result, in order. The first that is missing is the step that
failed."""

OFFBOARDING_STEPS: Mapping[str, str] = {
    "reservation": "Fence Off Tenant",
    "uploads": "Refuse Uploads",
    "ingestion": "Stop Ingestion",
    "usage_key": "Delete Usage Key",
    "data_sources": "Delete Data Sources",
    "knowledge_base": "Delete Knowledge Base",
    "index": "Delete Knowledge Store",
    "bucket": "Delete Bucket",
    "records": "Delete Records",
    "erasure": "Verify Erasure",
    "tombstone": "Mark Tenant Offboarded",
}
"""The same of `offboard_tenant`."""

_STEPS = {Workflow.PROVISION_TENANT: PROVISIONING_STEPS, Workflow.OFFBOARD_TENANT: OFFBOARDING_STEPS}


class TaskFailure(BaseModel):
    """What a Catch of Step Functions stores. A task that was failed by its token may have no cause."""

    Error: str
    Cause: str | None = None


class ExecutionProgress(BaseModel):
    """The state data of a state machine when a step has failed: its input, the results so far, and the failure."""

    model_config = ConfigDict(extra="allow", frozen=True)

    tenant_id: TenantId
    failure: TaskFailure

    def failed_step(self, workflow: Workflow) -> str:
        """The first step that has left no result. Those that run again until they are done leave one each time, which
        says in `done` whether it was the last."""
        results = self.model_extra or {}
        steps = _STEPS[workflow]
        undone = (step for key, step in steps.items() if not _is_done(results.get(key)))
        return next(undone, list(steps.values())[-1])


def _is_done(result: object) -> bool:
    return result is not None and not (isinstance(result, dict) and result.get("done") is False)


class WorkflowFailedInput(Contract):
    """The input of the states that mark and announce a failure."""

    workflow: Workflow
    progress: ExecutionProgress
    execution: str

    def to_domain(self, now: datetime) -> WorkflowFailure:
        failure = self.progress.failure
        return describe_failure(
            self.workflow,
            execution=self.execution,
            step=self.progress.failed_step(self.workflow),
            error=failure.Error,
            cause=failure.Cause or "",
            now=now,
        )


class OffboardTenantInput(Contract):
    """What an execution of `offboard_tenant` is started with."""

    tenant_id: TenantId
    retention_days: int = Field(ge=0, le=MAX_RETENTION_DAYS)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)


class FenceOffTenantInput(Contract):
    request: OffboardTenantInput
    execution: str


class OffboardingReservation(ReservationPayload):
    """`deadline` is when the retention period ends: nothing is deleted before."""


class DoneResult(Contract):
    """Of a step that has nothing else to say; `done` is `False` when the step must run again."""

    done: bool = True


class ErasureResult(Contract):
    receipt: ErasureReceipt


class MarkTenantOffboardedInput(StepInput):
    receipt: ErasureReceipt


class StoppedExecutionInput(BaseModel):
    """What the inputs of all state machines have in common."""

    tenant_id: TenantId


class StoppedExecutionDetail(BaseModel):
    """`detail` of AWS's event "Step Functions Execution Status Change"; `input` is JSON text."""

    executionArn: str  # noqa: N815 - AWS's own name
    stateMachineArn: str  # noqa: N815
    status: str
    input: str

    @property
    def workflow(self) -> Workflow:
        name = self.stateMachineArn.rsplit(":", 1)[-1].replace("-", "_")
        return next(workflow for workflow in Workflow if name.endswith(workflow))


EXECUTION_STATUS_CHANGE = "Step Functions Execution Status Change"
ALARM_STATE_CHANGE = "CloudWatch Alarm State Change"


class SucceededExecutionDetail(StoppedExecutionDetail):
    """The same of an execution that reached its end. Times are in milliseconds since 1970. Source: AWS documentation,
    EventBridge events of Step Functions."""

    status: Literal["SUCCEEDED"]
    stopDate: Annotated[datetime, BeforeValidator(lambda value: datetime.fromtimestamp(value / 1_000, UTC))]  # noqa: N815


class SucceededExecutionEvent(BaseModel):
    detail: SucceededExecutionDetail


class AlarmState(BaseModel):
    value: Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
    reason: str = ""
    timestamp: AwareDatetime


class AlarmConfiguration(BaseModel):
    description: str = ""


class AlarmStateChangeDetail(BaseModel):
    """`detail` of AWS's event. Source: AWS documentation, Alarm events and EventBridge."""

    alarmName: str  # noqa: N815
    state: AlarmState
    configuration: AlarmConfiguration = AlarmConfiguration()


class AlarmStateChangeEvent(BaseModel):
    detail: AlarmStateChangeDetail


# --- vended logs ---------------------------------------------------------------------------------

JOB_STATUSES: Mapping[str, JobStatus] = {
    "INGESTION_JOB_STARTED": JobStatus.STARTING,
    "CRAWLING_COMPLETED": JobStatus.IN_PROGRESS,
    "COMPLETE": JobStatus.COMPLETE,
    "FAILED": JobStatus.FAILED,
    "STOPPED": JobStatus.STOPPED,
}
"""What a job is in when its knowledge base logs a state. Source: AWS documentation, Monitor knowledge bases using
CloudWatch Logs."""


class LoggedJob(BaseModel):
    ingestion_job_id: str = Field(min_length=1)
    ingestion_job_status: Literal["INGESTION_JOB_STARTED", "CRAWLING_COMPLETED", "COMPLETE", "FAILED", "STOPPED"]


class JobLogRecord(BaseModel):
    """What a knowledge base logs when a job's state changes, as far as it matters to us. Source: AWS documentation,
    Monitor knowledge bases using CloudWatch Logs."""

    event_type: Literal["StartIngestionJob.StatusChanged"]
    event: LoggedJob

    def to_domain(self) -> LoggedJobState:
        return LoggedJobState(self.event.ingestion_job_id, JOB_STATUSES[self.event.ingestion_job_status])


# --- usage ---------------------------------------------------------------------------------------

QUESTION_ANSWERED = "Question answered"


class QuestionAnsweredLine(BaseModel):
    """What the ask function logs of an answered question, as far as it is counted."""

    message: Literal["Question answered"]
    timestamp: AwareDatetime
    tenant_id: TenantId
    passages: int = Field(ge=0)
    citations: int = Field(ge=0)
    # Powertools leaves out what is None.
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    guarded: bool

    def to_domain(self) -> AnsweredQuestion:
        usage = AskUsage(self.passages, self.citations, self.input_tokens, self.output_tokens, self.guarded)
        return AnsweredQuestion(self.tenant_id, self.timestamp, usage)


def _day(value: object) -> object:
    # Pydantic also takes numbers of seconds, and Python other forms of ISO 8601.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written as 2026-11-30")
    return value


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
Day = Annotated[date, BeforeValidator(_day)]


class UsageQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/usage`: days in UTC, both included."""

    first: Day | None = Field(default=None, alias="from")
    last: Day | None = Field(default=None, alias="to")

    def to_domain(self, today: date) -> UsagePeriod:
        """Raises: InvalidInput."""
        return UsagePeriod.asked_for(self.first, self.last, today)


class UsageCountsBody(Contract):
    questions: int
    passages: int
    citations: int
    input_tokens: int
    output_tokens: int
    questions_without_tokens: int
    guarded: int


class DailyUsageBody(UsageCountsBody):
    day: date


class UsageBody(Contract):
    """A tenant's usage. Days without questions are left out."""

    tenant_id: TenantId
    first_day: date
    last_day: date
    days: tuple[DailyUsageBody, ...]
    total: UsageCountsBody

    @classmethod
    def from_domain(cls, tenant_id: TenantId, period: UsagePeriod, days: Sequence[DailyUsage]) -> Self:
        return cls(
            tenant_id=tenant_id,
            first_day=period.first,
            last_day=period.last,
            days=tuple(DailyUsageBody(day=each.day, **asdict(each.counts)) for each in days),
            total=UsageCountsBody(**asdict(total(days))),
        )


# --- events on the bus ---------------------------------------------------------------------------

INGESTION_SOURCE = "kbfleet.ingestion"
TENANT_SOURCE = "kbfleet.tenants"
JOB_STATE_CHANGE = "Ingestion Job State Change"
TENANT_STATE_CHANGE = "Tenant State Change"
PROVISIONING_FAILED = "Provisioning Failed"
OFFBOARDING_FAILED = "Offboarding Failed"
RECONCILIATION_REPORT = "Reconciliation Report"
DOCUMENT_FAILURES = "Document Failures Collected"
ONBOARDING_REQUESTED = "Tenant Onboarding Requested"


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
    final: bool = True
    foreign: bool = False
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
            final=change.final,
            foreign=change.foreign,
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
            final=self.final,
            foreign=self.foreign,
            statistics=self.statistics,
            failure_reasons=self.failure_reasons,
        )


_REPORTED_DOCUMENTS = 50
_REPORTED_REASON = 500
"""Characters. An event has at most 256 KB (AWS documentation, PutEvents), and a key alone may have one."""


class ReportedDocumentBody(BaseModel):
    uri: str
    reason: str
    news: News


class DocumentFailuresDetail(BaseModel):
    """`detail` of our event "Document Failures Collected". It has the first fifty documents; the counts are of all."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    newsworthy: bool
    new: int
    again: int
    set_aside_now: int
    set_aside: int
    mended: int
    complete: bool
    documents: tuple[ReportedDocumentBody, ...]
    job: JobStateChangeDetail

    @classmethod
    def from_domain(cls, report: FailureReport) -> Self:
        return cls(
            identity=report.identity,
            tenant_id=report.job.tenant_id,
            newsworthy=report.newsworthy,
            new=report.new,
            again=report.again,
            set_aside_now=report.set_aside_now,
            set_aside=report.set_aside,
            mended=report.mended,
            complete=report.complete,
            documents=tuple(
                ReportedDocumentBody(uri=document.uri, reason=document.reason[:_REPORTED_REASON], news=document.news)
                for document in report.documents[:_REPORTED_DOCUMENTS]
            ),
            job=JobStateChangeDetail.from_domain(report.job),
        )

    def to_domain(self) -> FailureReport:
        return FailureReport(
            self.job.to_domain(),
            new=self.new,
            again=self.again,
            set_aside_now=self.set_aside_now,
            set_aside=self.set_aside,
            mended=self.mended,
            complete=self.complete,
            documents=tuple(
                ReportedDocument(document.uri, document.reason, document.news) for document in self.documents
            ),
        )


class TenantStateChangeDetail(BaseModel):
    """`detail` of our event "Tenant State Change"."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    status: TenantStatus
    previous_status: TenantStatus | None = None
    occurred_at: datetime
    receipt: ErasureReceipt | None = None

    @classmethod
    def from_domain(cls, change: TenantStateChange) -> Self:
        return cls(
            identity=change.identity,
            tenant_id=change.tenant_id,
            status=change.status,
            previous_status=change.previous_status,
            occurred_at=change.occurred_at,
            receipt=change.receipt,
        )


class FindingBody(BaseModel):
    disagreement: Disagreement
    kind: ResourceKind
    name: str
    tenant_id: TenantId
    advice: str


class ReconciliationDetail(BaseModel):
    """`detail` of our event "Reconciliation Report", and body of the API. An event has the first hundred findings."""

    model_config = ConfigDict(frozen=True)

    occurred_at: datetime
    tenants: int
    resources: int
    missing: int
    unexplained: int
    findings: tuple[FindingBody, ...]
    repairs: tuple[TenantId, ...] = ()

    @classmethod
    def from_domain(cls, report: Reconciliation, at_most: int | None = None) -> Self:
        return cls(
            occurred_at=report.at,
            tenants=report.tenants,
            resources=report.resources,
            missing=report.count(Disagreement.MISSING),
            unexplained=report.count(Disagreement.UNEXPLAINED),
            findings=tuple(
                FindingBody(
                    disagreement=finding.disagreement,
                    kind=finding.kind,
                    name=finding.name,
                    tenant_id=finding.tenant_id,
                    advice=finding.advice,
                )
                for finding in report.findings[:at_most]
            ),
            repairs=report.repairs[:at_most],
        )


class ReconciliationRequest(Contract):
    """Body of `POST /reconciliations`."""

    repair: bool = Field(default=False, strict=True)


class WorkflowFailedDetail(BaseModel):
    """`detail` of our events "Provisioning Failed" and "Offboarding Failed"."""

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    workflow: Workflow
    execution: str
    step: str
    error: str
    reason: str
    occurred_at: datetime

    @classmethod
    def from_domain(cls, tenant_id: TenantId, failure: WorkflowFailure) -> Self:
        return cls(
            tenant_id=tenant_id,
            workflow=failure.workflow,
            execution=failure.execution,
            step=failure.step,
            error=failure.error,
            reason=failure.reason,
            occurred_at=failure.at,
        )

    def to_domain(self) -> WorkflowFailure:
        return WorkflowFailure(self.workflow, self.step, self.error, self.reason, self.execution, self.occurred_at)


class JobStateChangeEvent(BaseModel):
    """The envelope of EventBridge around our event; the rest of the envelope does not matter to us."""

    detail_type: Literal["Ingestion Job State Change"] = Field(alias="detail-type")
    detail: JobStateChangeDetail


class DocumentFailuresEvent(BaseModel):
    detail_type: Literal["Document Failures Collected"] = Field(alias="detail-type")
    detail: DocumentFailuresDetail


class RetryTurn(Contract):
    """The message by which a retry of documents takes its next step."""

    tenant_id: TenantId
    version: int


class TenantStateChangeEvent(BaseModel):
    detail_type: Literal["Tenant State Change"] = Field(alias="detail-type")
    detail: TenantStateChangeDetail


class BucketName(BaseModel):
    name: str


class DocumentChangeDetail(BaseModel):
    """Of the many fields only the bucket is read. `object.key` is not: it is raw there, and not URL-encoded as in the
    notifications that S3 itself sends to queues (as emulators of S3 have it; AWS's documentation does not say)."""

    bucket: BucketName


class DocumentChangeEvent(BaseModel):
    """S3's own event on the account's default bus. A delete marker is an `Object Deleted`, too; its `deletion-type`
    tells them apart. Source: AWS documentation, Amazon S3, EventBridge event message structure."""

    source: Literal["aws.s3"]
    detail_type: Literal["Object Created", "Object Deleted"] = Field(alias="detail-type")
    detail: DocumentChangeDetail

    def to_domain(self) -> DocumentChange:
        return DocumentChange(self.detail.bucket.name, deleted=self.detail_type == "Object Deleted")


class TenantOnboardingRequestedEvent(BaseModel):
    """The SaaS product's own event, by which it has a tenant provisioned."""

    id: str
    detail_type: Literal["Tenant Onboarding Requested"] = Field(alias="detail-type")
    detail: ProvisionTenantInput


class ReconciliationEvent(BaseModel):
    detail_type: Literal["Reconciliation Report"] = Field(alias="detail-type")
    detail: ReconciliationDetail


class WorkflowFailedEvent(BaseModel):
    detail_type: Literal["Provisioning Failed", "Offboarding Failed"] = Field(alias="detail-type")
    detail: WorkflowFailedDetail


# --- API -----------------------------------------------------------------------------------------


def _whole(value: object) -> object:
    # To JSON Schema, 5.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
"""A number of JSON without a fraction; no text that reads like one, and no truth value."""


class AskRequest(Contract):
    """Body of `POST /ask`. `session` is that of an earlier answer; `filter` is in Bedrock's grammar, see
    `MetadataFilter`."""

    question: Question
    session: str | None = Field(default=None, min_length=1, max_length=1_000)
    filter: dict[str, Any] | None = None
    passages: WholeNumber = Field(default=DEFAULT_PASSAGES, ge=1, le=MAX_PASSAGES)

    def to_domain(self) -> Inquiry:
        """Raises: InvalidInput."""
        return Inquiry(self.question, self.passages, None if self.filter is None else MetadataFilter(self.filter))


class TenantAskRequest(AskRequest):
    """Body of `POST /tenants/{tenant_id}/ask`. A session is good for the same `user_id` only."""

    user_id: UserId | None = None


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
    session: str
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
            session=answer.session,
            freshness=FreshnessBody(
                synced_at=answer.freshness.synced_at, pending_changes=answer.freshness.pending_changes
            ),
            request_id=request_id,
        )


class ProvisionRequest(Contract):
    """Body of `PUT /tenants/{tenant_id}`. `knowledge_store` is one of those that the stack offers."""

    name: DisplayName | None = None
    knowledge_store: str | None = None
    tier: Tier | None = None


class OffboardTenantQuery(Contract):
    """Query of `DELETE /tenants/{tenant_id}`."""

    retention_days: int | None = Field(
        default=None,
        ge=0,
        le=MAX_RETENTION_DAYS,
        description="Days for which the tenant's data are kept, out of service. The stack's own if left out.",
    )


class ExecutionBody(Contract):
    """A run of a state machine. `step` is the state it is in, or was last in."""

    execution: str
    status: str
    step: str | None = None
    error: str | None = None
    reason: str | None = None

    @classmethod
    def from_domain(cls, execution: Execution, failure: WorkflowFailure | None = None) -> Self:
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
    pending_since: datetime | None
    retries: int
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
            pending_since=sync.stale_since(),
            retries=sync.retries,
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
    tier: Tier
    bucket_name: str | None
    knowledge_base_id: str | None
    data_source_id: str | None
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    drift: tuple[str, ...]
    failure: WorkflowFailure | None
    offboarding: Offboarding | None
    erasure: ErasureReceipt | None
    sync: SyncBody

    @classmethod
    def from_domain(cls, tenant: Tenant, sync: Sync) -> Self:
        return cls(
            tenant_id=tenant.tenant_id,
            name=tenant.name,
            status=tenant.status,
            knowledge_store=tenant.knowledge_store,
            tier=tenant.tier,
            bucket_name=tenant.bucket_name,
            knowledge_base_id=tenant.knowledge_base_id,
            data_source_id=tenant.data_source_id,
            created_at=tenant.created_at,
            updated_at=tenant.updated_at,
            status_since=tenant.status_since,
            drift=tenant.drift,
            failure=tenant.failure,
            offboarding=tenant.offboarding,
            erasure=tenant.erasure,
            sync=SyncBody.from_domain(sync),
        )


class JobsBody(Contract):
    jobs: tuple[JobStateChangeDetail, ...]


class UploadRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/uploads`. `metadata` are the document's attributes."""

    key: DocumentKey
    size: WholeNumber = Field(ge=1, le=MAX_DOCUMENT_BYTES)
    content_type: str = ""
    metadata: dict[str, object] = Field(default_factory=dict)

    def to_domain(self) -> Upload:
        """Raises: InvalidInput."""
        return Upload(self.key, self.size, self.content_type, self.metadata)


class UploadBody(Contract):
    """A form, to be sent as `multipart/form-data`: its fields first, and then the document as the field `file`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime

    @classmethod
    def from_domain(cls, form: UploadForm) -> Self:
        return cls(url=form.url, fields=dict(form.fields), expires_at=form.expires_at)


class FailedDocumentBody(Contract):
    """`since` and `last_seen` are the ends of the first and the last of the `times` jobs in a row that it failed in."""

    uri: str
    reason: str
    status: FailureStatus
    since: datetime
    last_seen: datetime
    times: int

    @classmethod
    def from_domain(cls, document: FailedDocument) -> Self:
        return cls(
            uri=document.uri,
            reason=document.reason,
            status=document.status,
            since=document.first_seen,
            last_seen=document.last_seen,
            times=document.times,
        )


class DocumentRetryBody(Contract):
    """`ended_at` is `None` while documents are being tried again; `stopped` says why it ended before its time."""

    requested_at: datetime
    ended_at: datetime | None
    under_way: int
    mended: int
    failed: int
    unanswered: int
    stopped: str

    @classmethod
    def from_domain(cls, retry: DocumentRetry) -> Self:
        return cls(
            requested_at=retry.requested_at,
            ended_at=retry.ended_at,
            under_way=len(retry.under_way),
            mended=retry.mended,
            failed=retry.failed,
            unanswered=retry.unanswered,
            stopped=retry.stopped,
        )


class FailedDocumentsQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/documents`."""

    limit: int = Field(default=100, ge=1, le=100)
    next_token: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class FailedDocumentsBody(Contract):
    """A page; `next_token` is `None` on the last one. `retry` is the last one that was requested."""

    documents: tuple[FailedDocumentBody, ...]
    next_token: str | None
    retry: DocumentRetryBody | None


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


_LETTER, _DIGIT = "6[1-9a-f]|7[0-9a]", "3[0-9]"
_TENANT_ID_IN_HEX = f"^({_LETTER})((2d)?({_LETTER}|{_DIGIT}))*$"
"""A page begins behind a tenant; its token is the tenant's id so that nobody takes it for more than a token."""


class TenantsQuery(Contract):
    """Query of `GET /tenants`. `next_token` is of the page before."""

    status: TenantStatus | None = None
    limit: int = Field(default=50, ge=1, le=100)
    next_token: str | None = Field(default=None, min_length=6, max_length=64, pattern=_TENANT_ID_IN_HEX)

    @property
    def after(self) -> TenantId | None:
        return TenantId(bytes.fromhex(self.next_token).decode()) if self.next_token is not None else None


class ListedTenantBody(Contract):
    """`synced_at` and `pending_since` say how fresh its knowledge is, `last_outcome` how its last sync ended."""

    tenant_id: TenantId
    name: str
    status: TenantStatus
    status_since: datetime
    tier: Tier
    knowledge_store: str
    synced_at: datetime | None
    pending_since: datetime | None
    last_outcome: Outcome | None

    @classmethod
    def from_domain(cls, tenant: Tenant, sync: Sync) -> Self:
        return cls(
            tenant_id=tenant.tenant_id,
            name=tenant.name,
            status=tenant.status,
            status_since=tenant.status_since,
            tier=tenant.tier,
            knowledge_store=tenant.knowledge_store,
            synced_at=sync.synced_at,
            pending_since=sync.stale_since(),
            last_outcome=sync.result.outcome if sync.result else None,
        )


class TenantsBody(Contract):
    """A page, in the order of the ids; `next_token` is `None` on the last one. A page before it may be short or empty
    when only tenants of one status are asked for."""

    tenants: tuple[ListedTenantBody, ...]
    next_token: str | None

    @classmethod
    def from_page(cls, tenants: Sequence[tuple[Tenant, Sync]], last: TenantId | None) -> Self:
        return cls(
            tenants=tuple(ListedTenantBody.from_domain(tenant, sync) for tenant, sync in tenants),
            next_token=last.encode().hex() if last is not None else None,
        )
