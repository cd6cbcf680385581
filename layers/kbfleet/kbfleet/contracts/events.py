"""Our own events on the bus."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from kbfleet.contracts import Contract, LifeNumber
from kbfleet.contracts.document_findings import DocumentFindingBody
from kbfleet.domain.bounds import PAGE_BYTES, TOLD_REASONS_BYTES, bounded_texts, fitting, size
from kbfleet.domain.comparison import Comparison, Measure
from kbfleet.domain.deletions import Hold, HoldReason, SyncHeld
from kbfleet.domain.diagnosis import Diagnosis, FleetDiagnosis, Unseen
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.failed_documents import FailureReport, News, ReportedDocument, RetryReport, reported
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind, SharedLoss
from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import FailureReason, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.isolation import Breach, IsolationVerified, SeenIn
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.question_runs import ChangedDocuments, QuestionsJudged, Regression
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.rebuild import RebuildEnded, RebuildOutcome
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.domain.tenant import DisplayName, ProvisioningRequest, TenantStateChange
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import Workflow, WorkflowFailure

INGESTION_SOURCE = "kbfleet.ingestion"

TENANT_SOURCE = "kbfleet.tenants"

JOB_STATE_CHANGE = "Ingestion Job State Change"

TENANT_STATE_CHANGE = "Tenant State Change"

PROVISIONING_FAILED = "Provisioning Failed"

OFFBOARDING_FAILED = "Offboarding Failed"

REBUILD_ENDED = "Rebuild Ended"

REBUILD_FAILED = "Rebuild Failed"

RECONCILIATION_REPORT = "Reconciliation Report"

SYNC_HELD = "Sync Held"

DOCUMENT_FAILURES = "Document Failures Collected"

DOCUMENT_RETRY_ENDED = "Document Retry Ended"

ISOLATION_BREACHED = "Isolation Breached"

ISOLATION_VERIFIED = "Isolation Verified"

TENANT_DIAGNOSED = "Tenant Diagnosed"
FLEET_DIAGNOSED = "Fleet Diagnosed"
QUESTIONS_JUDGED = "Questions Judged"

ONBOARDING_REQUESTED = "Tenant Onboarding Requested"


class JobStateChangeDetail(BaseModel):
    """`detail` of our event "Ingestion Job State Change". `reasons_left_out` is how many of Bedrock's reasons are not
    among `failure_reasons`, since they are too many or too long."""

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
    external: bool = False
    after_hold: bool = False
    statistics: Statistics = Field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()
    reasons_left_out: int = Field(default=0, ge=0)
    life: LifeNumber = 1
    knowledge: int = Field(default=1, ge=1)
    beside: bool = False

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
            external=change.external,
            after_hold=change.after_hold,
            statistics=change.statistics,
            failure_reasons=change.failure_reasons,
            reasons_left_out=change.reasons_left_out,
            life=change.life,
            knowledge=change.knowledge,
            beside=change.beside,
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
            external=self.external,
            after_hold=self.after_hold,
            statistics=self.statistics,
            failure_reasons=self.failure_reasons,
            reasons_left_out=self.reasons_left_out,
            life=self.life,
            knowledge=self.knowledge,
            beside=self.beside,
        )


class SyncHeldDetail(BaseModel):
    """`detail` of our event "Sync Held": the sync is not started before somebody says so, for what it would delete."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    generation: int
    reason: HoldReason
    missing: int
    answered_from: int
    since: datetime
    occurred_at: datetime
    worse: bool
    life: LifeNumber = 1

    @classmethod
    def from_domain(cls, held: SyncHeld) -> Self:
        hold = held.hold
        return cls(
            identity=held.identity,
            tenant_id=held.tenant_id,
            generation=held.generation,
            reason=hold.reason,
            missing=hold.missing,
            answered_from=hold.answered_from,
            since=hold.since,
            occurred_at=hold.seen_at,
            worse=held.worse,
            life=held.life,
        )

    def to_domain(self) -> SyncHeld:
        hold = Hold(self.reason, self.missing, self.answered_from, self.since, self.occurred_at)
        return SyncHeld(self.tenant_id, self.generation, hold, self.worse, self.life)


class ReportedDocumentBody(BaseModel):
    """`reason` is Bedrock's; `finding` is what kbfleet has seen by itself, if anything."""

    uri: str
    reason: str
    news: News
    finding: DocumentFindingBody | None = None

    @classmethod
    def from_domain(cls, document: ReportedDocument) -> Self:
        return cls(
            uri=document.uri,
            reason=document.reason,
            news=document.news,
            finding=DocumentFindingBody.from_domain(document.finding) if document.finding else None,
        )

    def to_domain(self) -> ReportedDocument:
        return ReportedDocument(
            self.uri, self.reason, self.news, self.finding.to_domain() if self.finding is not None else None
        )


class DocumentFailuresDetail(BaseModel):
    """`detail` of our event "Document Failures Collected". It has the first of the documents, fifty at most; the counts
    are of all. The `job` has only the first of its reasons: its own event, and the API, have more."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    newsworthy: bool
    new: int
    again: int
    set_aside_now: int
    set_aside: int
    fixed: int
    complete: bool
    documents: tuple[ReportedDocumentBody, ...]
    job: JobStateChangeDetail
    failing: int | None = None

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
            fixed=report.fixed,
            complete=report.complete,
            documents=tuple(map(ReportedDocumentBody.from_domain, reported(report.documents))),
            job=JobStateChangeDetail.from_domain(report.job.with_reasons_within(TOLD_REASONS_BYTES)),
            failing=report.failing,
        )

    def to_domain(self) -> FailureReport:
        return FailureReport(
            self.job.to_domain(),
            new=self.new,
            again=self.again,
            set_aside_now=self.set_aside_now,
            set_aside=self.set_aside,
            fixed=self.fixed,
            complete=self.complete,
            documents=tuple(document.to_domain() for document in self.documents),
            failing=self.failing,
        )


class DocumentRetryEndedDetail(BaseModel):
    """`detail` of our event "Document Retry Ended". `left` is how many documents fail now; it has the first of
    them, fifty at most."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    retry_id: str
    occurred_at: datetime
    fixed: int
    failed: int
    unanswered: int
    stopped: str
    left: int
    documents: tuple[ReportedDocumentBody, ...]
    complete: bool
    life: LifeNumber = 1

    @classmethod
    def from_domain(cls, report: RetryReport) -> Self:
        return cls(
            identity=report.identity,
            tenant_id=report.tenant_id,
            retry_id=report.retry_id,
            occurred_at=report.ended_at,
            fixed=report.fixed,
            failed=report.failed,
            unanswered=report.unanswered,
            stopped=report.stopped,
            left=report.left,
            documents=tuple(map(ReportedDocumentBody.from_domain, reported(report.documents))),
            complete=report.complete,
            life=report.life,
        )

    def to_domain(self) -> RetryReport:
        return RetryReport(
            self.tenant_id,
            self.retry_id,
            self.occurred_at,
            self.fixed,
            self.failed,
            self.unanswered,
            self.stopped,
            self.left,
            tuple(document.to_domain() for document in self.documents),
            self.complete,
            self.life,
        )


class TenantStateChangeDetail(BaseModel):
    """`detail` of our event "Tenant State Change"."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    status: TenantStatus
    previous_status: TenantStatus | None = None
    occurred_at: datetime
    delete_after: datetime | None = None
    receipt: ErasureReceipt | None = None
    life: LifeNumber = 1

    @classmethod
    def from_domain(cls, change: TenantStateChange) -> Self:
        return cls(
            identity=change.identity,
            tenant_id=change.tenant_id,
            status=change.status,
            previous_status=change.previous_status,
            occurred_at=change.occurred_at,
            delete_after=change.delete_after,
            receipt=change.receipt,
            life=change.life,
        )


class FindingBody(BaseModel):
    """What is wrong, how askers are hurt by it, and what to do. `command` is one of `kbfleet`, empty where none repairs
    it by itself; `advice` says the whole, with what must be done before."""

    disagreement: Disagreement
    kind: ResourceKind
    name: str
    tenant_id: TenantId
    harm: Harm
    command: str
    advice: str

    @classmethod
    def from_domain(cls, finding: Finding) -> Self:
        return cls(
            disagreement=finding.disagreement,
            kind=finding.kind,
            name=finding.name,
            tenant_id=finding.tenant_id,
            harm=finding.harm,
            command=finding.whole_command,
            advice=finding.advice,
        )


class SharedLossBody(BaseModel):
    """Something that comes with the stack, and is gone: no tenant is answered as it should be. `command` is the last
    of what `advice` says."""

    kind: ResourceKind
    name: str
    harm: Harm
    command: str
    advice: str

    @classmethod
    def from_domain(cls, loss: SharedLoss) -> Self:
        return cls(kind=loss.kind, name=loss.name, harm=loss.harm, command=loss.command, advice=loss.advice)


class TroubleBody(BaseModel):
    """Why a tenant could not be looked into, or why its breach stays open although nothing is found."""

    tenant_id: TenantId
    reason: str


class ReconciliationDetail(BaseModel):
    """`detail` of our event "Reconciliation Report", and body of the API. It has the first of the findings, repairs and
    troubles, an event a hundred of each at most; what is left out is counted, and the logs have all.

    `recorded` is what was found within tenants that were not looked into this time: by the round that ended at
    `round_ended_at`, or later. `round_missed` is how many tenants that could not look at; without `round_ended_at`,
    none has come to its end yet. `repairs_left` is how many tenants wait to be repaired."""

    model_config = ConfigDict(frozen=True)

    occurred_at: datetime
    tenants: int
    resources: int
    missing: int
    unexplained: int
    foreign: int = 0
    changed: int = 0
    overdue: int = 0
    looked_into: int = 0
    not_looked_into: int = 0
    findings: tuple[FindingBody, ...]
    repairs: tuple[TenantId, ...] = ()
    troubles: tuple[TroubleBody, ...] = ()
    unlisted: tuple[str, ...] = ()
    shared_losses: tuple[SharedLossBody, ...] = ()
    held: int = 0
    stuck: int = 0
    findings_left_out: int = 0
    repairs_left_out: int = 0
    troubles_left_out: int = 0
    recorded: tuple[FindingBody, ...] = ()
    recorded_left_out: int = 0
    round_began_at: datetime | None = None
    round_ended_at: datetime | None = None
    round_missed: int = 0
    repairs_left: int = 0

    @classmethod
    def from_domain(cls, report: Reconciliation, at_most: int | None = None, most_bytes: int = PAGE_BYTES) -> Self:
        """Args: at_most: findings, repairs and troubles. most_bytes: of all of them together."""

        def told(found: tuple[Finding, ...], most_bytes: int) -> tuple[FindingBody, ...]:
            kept, room = list[FindingBody](), most_bytes
            for body in map(FindingBody.from_domain, found[:at_most]):
                room -= len(body.model_dump_json().encode())
                if room < 0:
                    break
                kept.append(body)
            return tuple(kept)

        findings = told(report.findings, most_bytes * 3 // 8)
        recorded = told(report.recorded, most_bytes // 8)
        whole = report.last_round
        repairs = fitting(report.repairs, lambda each: size(each) + 3, most_bytes=most_bytes // 8, most=at_most)
        failed = [TroubleBody(tenant_id=tenant_id, reason=str(error)) for tenant_id, error in report.troubles[:at_most]]
        troubles = fitting(failed, lambda each: len(each.model_dump_json().encode()), most_bytes=most_bytes // 4)
        return cls(
            occurred_at=report.at,
            tenants=report.tenants,
            resources=report.resources,
            missing=report.count(Disagreement.MISSING),
            unexplained=report.count(Disagreement.UNEXPLAINED),
            foreign=report.count(Disagreement.FOREIGN),
            changed=report.count(Disagreement.CHANGED),
            overdue=report.count(Disagreement.OVERDUE),
            looked_into=report.looked_into,
            not_looked_into=report.not_looked_into,
            shared_losses=tuple(map(SharedLossBody.from_domain, report.shared_losses)),
            held=report.count(Disagreement.HELD),
            stuck=report.count(Disagreement.STUCK),
            findings=findings,
            repairs=tuple(repairs),
            troubles=tuple(troubles),
            unlisted=bounded_texts(report.unlisted, most_bytes // 16),
            findings_left_out=len(report.findings) - len(findings),
            repairs_left_out=len(report.repairs) - len(repairs),
            troubles_left_out=len(report.troubles) - len(troubles),
            recorded=recorded,
            recorded_left_out=len(report.recorded) - len(recorded),
            round_began_at=whole.began_at if whole is not None else None,
            round_ended_at=whole.ended_at if whole is not None else None,
            round_missed=whole.missed if whole is not None else 0,
            repairs_left=report.repairs_left,
        )


class ReconciliationRequest(Contract):
    """Body of `POST /reconciliations`. `tenant_id` is of the tenant that is looked into first: a large fleet is not
    looked into whole each time. `look_only` changes nothing at all: no tenant is repaired or written down, nobody is
    told, no round moves on; and only who seems to lack something is searched. So nothing is repaired beside it."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"repair": {"const": True}, "look_only": {"const": True}},
                "required": ["repair", "look_only"],
            }
        }
    )

    repair: bool = Field(default=False, strict=True)
    look_only: bool = Field(default=False, strict=True)
    tenant_id: TenantId | None = None


class IsolationBreachedDetail(BaseModel):
    """`detail` of our event "Isolation Breached". No text of a tenant is in it, and no key of a document."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    seen_in: SeenIn
    resources: tuple[str, ...]
    occurred_at: datetime

    @classmethod
    def from_domain(cls, breach: Breach) -> Self:
        return cls(
            identity=breach.identity,
            tenant_id=breach.tenant_id,
            seen_in=breach.seen_in,
            resources=breach.resources,
            occurred_at=breach.occurred_at,
        )

    def to_domain(self) -> Breach:
        return Breach(self.tenant_id, self.seen_in, self.resources, self.occurred_at)


class IsolationVerifiedDetail(BaseModel):
    """`detail` of our event "Isolation Verified", which follows a breach, and ends it."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    occurred_at: datetime

    @classmethod
    def from_domain(cls, verified: IsolationVerified) -> Self:
        return cls(identity=verified.identity, tenant_id=verified.tenant_id, occurred_at=verified.occurred_at)

    def to_domain(self) -> IsolationVerified:
        return IsolationVerified(self.tenant_id, self.occurred_at)


class LossDetail(BaseModel):
    """Something that a tenant's answers rest on, and what is wrong with it."""

    model_config = ConfigDict(frozen=True)

    disagreement: Disagreement
    kind: ResourceKind
    name: str
    harm: Harm

    @classmethod
    def from_domain(cls, finding: Finding) -> Self:
        return cls(disagreement=finding.disagreement, kind=finding.kind, name=finding.name, harm=finding.harm)

    def to_domain(self, tenant_id: TenantId) -> Finding:
        return Finding(self.disagreement, self.kind, self.name, tenant_id, seen=self.harm)


class TenantDiagnosedDetail(BaseModel):
    """`detail` of our event "Tenant Diagnosed": somebody has looked at what a tenant's answers rest on. Without
    `losses`, and if all could be `seen`, what had been wrong is over. `failed_job` is of the ingestion whose failure
    was the reason to look, and `harm` then how askers are hurt by that."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    occurred_at: datetime
    losses: tuple[LossDetail, ...] = ()
    seen: bool = True
    harm: Harm
    failed_job: JobStateChangeDetail | None = None
    worse: bool = False

    @classmethod
    def from_domain(cls, diagnosis: Diagnosis) -> Self:
        job = diagnosis.failed_job
        return cls(
            identity=diagnosis.identity,
            tenant_id=diagnosis.tenant_id,
            occurred_at=diagnosis.at,
            losses=tuple(map(LossDetail.from_domain, diagnosis.losses)),
            seen=not diagnosis.unseen,
            harm=diagnosis.harm,
            failed_job=(
                JobStateChangeDetail.from_domain(job.with_reasons_within(TOLD_REASONS_BYTES))
                if job is not None
                else None
            ),
            worse=diagnosis.worse,
        )

    def to_domain(self) -> Diagnosis:
        losses = tuple(loss.to_domain(self.tenant_id) for loss in self.losses)
        job = self.failed_job.to_domain() if self.failed_job is not None else None
        unseen = () if self.seen else (Unseen(None, "Something could not be looked at."),)
        return Diagnosis(self.tenant_id, self.occurred_at, losses, unseen, self.harm, job, self.worse)


class SharedLossDetail(BaseModel):
    """Something that comes with the stack, and is gone. All tenants' answers rest on it."""

    model_config = ConfigDict(frozen=True)

    kind: ResourceKind
    name: str


class FleetDiagnosedDetail(BaseModel):
    """`detail` of our event "Fleet Diagnosed": what all tenants share was looked at. Without `losses`, what had been
    gone is there again."""

    model_config = ConfigDict(frozen=True)

    identity: str
    occurred_at: datetime
    losses: tuple[SharedLossDetail, ...] = ()

    @classmethod
    def from_domain(cls, diagnosis: FleetDiagnosis) -> Self:
        losses = tuple(SharedLossDetail(kind=loss.kind, name=loss.name) for loss in diagnosis.losses)
        return cls(identity=diagnosis.identity, occurred_at=diagnosis.at, losses=losses)

    def to_domain(self) -> FleetDiagnosis:
        return FleetDiagnosis(self.occurred_at, tuple(SharedLoss(loss.kind, loss.name) for loss in self.losses))


class RegressionDetail(BaseModel):
    """A golden question that was known to pass, and does not any more."""

    model_config = ConfigDict(frozen=True)

    question_id: QuestionId
    since: datetime
    after_sync: datetime | None = None
    passed_at: datetime | None = None

    def to_domain(self) -> Regression:
        return Regression(self.question_id, self.since, self.after_sync, self.passed_at)


class QuestionsJudgedDetail(BaseModel):
    """`detail` of our event "Questions Judged": golden questions of a tenant that were known to pass do not any more.
    Without `regressions`, what had been wrong is over. `changed` are documents that have changed since they passed
    last, beside `changed_left_out` more; `null` where nobody could look. No question is in it."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    life: LifeNumber = 1
    occurred_at: datetime
    asked: int
    regressions: tuple[RegressionDetail, ...] = ()
    changed: tuple[str, ...] | None = None
    changed_left_out: int = 0
    worse: bool = False

    @classmethod
    def from_domain(cls, judged: QuestionsJudged) -> Self:
        changed = judged.changed
        return cls(
            identity=judged.identity,
            tenant_id=judged.tenant_id,
            life=judged.of_life.number,
            occurred_at=judged.at,
            asked=judged.asked,
            regressions=tuple(
                RegressionDetail(
                    question_id=each.question_id,
                    since=each.since,
                    after_sync=each.after_sync,
                    passed_at=each.passed_at,
                )
                for each in judged.regressions
            ),
            changed=changed.keys if changed is not None else None,
            changed_left_out=changed.left_out if changed is not None else 0,
            worse=judged.worse,
        )

    def to_domain(self) -> QuestionsJudged:
        return QuestionsJudged(
            self.identity,
            Life(self.tenant_id, self.life),
            self.occurred_at,
            self.asked,
            tuple(each.to_domain() for each in self.regressions),
            ChangedDocuments(self.changed, self.changed_left_out) if self.changed is not None else None,
            self.worse,
        )


class MeasureBody(BaseModel):
    """Of one knowledge: from how many documents it answers (`null` where nobody knows), how many golden questions were
    searched for in it, and how many of those found their document."""

    documents: int | None = None
    asked: int = 0
    found: int = 0


class RebuildEndedDetail(BaseModel):
    """`detail` of our event "Rebuild Ended": what a rebuild, or a rollback, has come to. `live` is the number of the
    knowledge that answers from then on, `kept` that of the other, which is deleted after `kept_until`. Without
    `measured_live`, nothing was live any more. Questions are named by their ids."""

    model_config = ConfigDict(frozen=True)

    identity: str
    tenant_id: TenantId
    life: LifeNumber = 1
    outcome: RebuildOutcome
    occurred_at: datetime
    live: int
    kept: int
    kept_until: datetime
    compared_at: datetime | None = None
    measured_candidate: MeasureBody | None = None
    measured_live: MeasureBody | None = None
    worse: tuple[QuestionId, ...] = ()
    better: tuple[QuestionId, ...] = ()
    refusals: tuple[str, ...] = ()

    @classmethod
    def from_domain(cls, ended: RebuildEnded) -> Self:
        known = ended.comparison
        return cls(
            identity=ended.identity,
            tenant_id=ended.tenant_id,
            life=ended.life,
            outcome=ended.outcome,
            occurred_at=ended.at,
            live=ended.live,
            kept=ended.kept,
            kept_until=ended.kept_until,
            compared_at=known.at if known is not None else None,
            measured_candidate=MeasureBody(**asdict(known.candidate)) if known is not None else None,
            measured_live=MeasureBody(**asdict(known.live)) if known is not None and known.live is not None else None,
            worse=known.worse if known is not None else (),
            better=known.better if known is not None else (),
            refusals=known.refusals if known is not None else (),
        )

    def to_domain(self) -> RebuildEnded:
        comparison = None
        if self.compared_at is not None and self.measured_candidate is not None:
            live = self.measured_live
            comparison = Comparison(
                self.compared_at,
                Measure(**self.measured_candidate.model_dump()),
                Measure(**live.model_dump()) if live is not None else None,
                self.worse,
                self.better,
                self.refusals,
            )
        return RebuildEnded(
            self.tenant_id,
            self.outcome,
            self.occurred_at,
            self.live,
            self.kept,
            self.kept_until,
            comparison,
            self.life,
        )


class WorkflowFailedDetail(BaseModel):
    """`detail` of our events "Provisioning Failed", "Offboarding Failed" and "Rebuild Failed"."""

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    workflow: Workflow
    execution: str
    step: str
    error: str
    reason: str
    occurred_at: datetime
    deletes: bool = False
    """Whether a rebuild's execution only deleted what does not answer."""

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
            deletes=failure.deletes,
        )

    def to_domain(self) -> WorkflowFailure:
        return WorkflowFailure(
            self.workflow, self.step, self.error, self.reason, self.execution, self.occurred_at, self.deletes
        )


class JobStateChangeEvent(BaseModel):
    """The envelope of EventBridge around our event; the rest of the envelope does not matter to us."""

    detail_type: Literal["Ingestion Job State Change"] = Field(alias="detail-type")
    detail: JobStateChangeDetail

    @classmethod
    def of(cls, detail: JobStateChangeDetail) -> Self:
        return cls.model_validate({"detail-type": JOB_STATE_CHANGE, "detail": detail})


class SyncHeldEvent(BaseModel):
    detail_type: Literal["Sync Held"] = Field(alias="detail-type")
    detail: SyncHeldDetail


class DocumentFailuresEvent(BaseModel):
    detail_type: Literal["Document Failures Collected"] = Field(alias="detail-type")
    detail: DocumentFailuresDetail


class DocumentRetryEndedEvent(BaseModel):
    detail_type: Literal["Document Retry Ended"] = Field(alias="detail-type")
    detail: DocumentRetryEndedDetail


class TenantStateChangeEvent(BaseModel):
    detail_type: Literal["Tenant State Change"] = Field(alias="detail-type")
    detail: TenantStateChangeDetail


class TenantOnboardingDetail(Contract):
    """`detail` of the SaaS product's event "Tenant Onboarding Requested"."""

    tenant_id: TenantId
    name: DisplayName | None = None
    knowledge_store: str | None = None
    tier: Tier | None = None

    def to_domain(self) -> ProvisioningRequest:
        return ProvisioningRequest(self.tenant_id, self.name, self.knowledge_store, self.tier, for_a_new_tenant=True)


class TenantOnboardingRequestedEvent(BaseModel):
    """The SaaS product's own event, by which it sees to it that a tenant exists."""

    id: str
    detail_type: Literal["Tenant Onboarding Requested"] = Field(alias="detail-type")
    detail: TenantOnboardingDetail


class ReconciliationEvent(BaseModel):
    detail_type: Literal["Reconciliation Report"] = Field(alias="detail-type")
    detail: ReconciliationDetail


class WorkflowFailedEvent(BaseModel):
    detail_type: Literal["Provisioning Failed", "Offboarding Failed", "Rebuild Failed"] = Field(alias="detail-type")
    detail: WorkflowFailedDetail


class RebuildEndedEvent(BaseModel):
    detail_type: Literal["Rebuild Ended"] = Field(alias="detail-type")
    detail: RebuildEndedDetail


class IsolationBreachedEvent(BaseModel):
    detail_type: Literal["Isolation Breached"] = Field(alias="detail-type")
    detail: IsolationBreachedDetail


class FleetDiagnosedEvent(BaseModel):
    detail_type: Literal["Fleet Diagnosed"] = Field(alias="detail-type")
    detail: FleetDiagnosedDetail


class TenantDiagnosedEvent(BaseModel):
    detail_type: Literal["Tenant Diagnosed"] = Field(alias="detail-type")
    detail: TenantDiagnosedDetail


class QuestionsJudgedEvent(BaseModel):
    detail_type: Literal["Questions Judged"] = Field(alias="detail-type")
    detail: QuestionsJudgedDetail


class IsolationVerifiedEvent(BaseModel):
    detail_type: Literal["Isolation Verified"] = Field(alias="detail-type")
    detail: IsolationVerifiedDetail
