"""Input and results of the steps of the state machines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from kbfleet.contracts import Contract
from kbfleet.domain.comparison import AskedOfBoth
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.knowledge_base import DataSourceState, KnowledgeBaseState
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileReference
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.rebuild import RebuildReservation
from kbfleet.domain.tenant import (
    MAX_RETENTION_DAYS,
    DisplayName,
    ProvisioningRequest,
    ProvisioningReservation,
    Reservation,
)
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import Workflow, WorkflowFailure, describe_failure


class ProvisionTenantInput(Contract):
    """What an execution of `provision_tenant` is started with."""

    tenant_id: TenantId
    name: DisplayName | None = None
    knowledge_store: str | None = None
    tier: Tier | None = None
    for_a_new_tenant: bool = False
    profile: ProfileReference | None = None

    def to_domain(self) -> ProvisioningRequest:
        return ProvisioningRequest(
            self.tenant_id, self.name, self.knowledge_store, self.tier, self.for_a_new_tenant, self.profile
        )


class ReserveTenantInput(Contract):
    request: ProvisionTenantInput
    execution: str


class ReservationPayload(Contract):
    """`deadline` comes from provisionings. Offboardings that still wait in their execution, as they did before
    docs/decisions/0038, have one, too; it says until when. `knowledge` comes from rebuilds."""

    tenant_id: TenantId
    fence: int
    deadline: datetime | None = None
    knowledge: int | None = Field(default=None, ge=1)

    def to_domain(self) -> Reservation:
        return Reservation(self.tenant_id, self.fence, knowledge=self.knowledge)


class ProvisioningReservationPayload(ReservationPayload):
    """`deadline` is until when the knowledge base and its data source must be ready."""

    deadline: datetime

    def to_domain(self) -> ProvisioningReservation:
        return ProvisioningReservation(self.tenant_id, self.fence, self.deadline, knowledge=self.knowledge)

    @classmethod
    def from_domain(cls, reservation: ProvisioningReservation) -> Self:
        return cls(
            tenant_id=reservation.tenant_id,
            fence=reservation.fence,
            deadline=reservation.deadline,
            knowledge=reservation.knowledge,
        )


class ReserveTenantResult(Contract):
    """What an execution of `provision_tenant` has for its reservation."""

    tenant_id: TenantId
    fence: int
    deadline: datetime

    @classmethod
    def from_domain(cls, reservation: ProvisioningReservation) -> Self:
        return cls(tenant_id=reservation.tenant_id, fence=reservation.fence, deadline=reservation.deadline)


class StepInput(Contract):
    """The input of every step after Reserve Tenant or Fence Off Tenant; all else is in the tenant's record."""

    reservation: ReservationPayload
    execution: str


class RunFirstSyncInput(StepInput):
    task_token: str


class ActivateTenantInput(StepInput):
    """`resources_version` is that of the definition by which the execution goes, with the kind of service roles; one of
    a version before has none, and has converged the tenant to nothing that is known."""

    resources_version: str | None = None


class CapacityResult(Contract):
    """How many more such tenants the account has room for; `None` where nobody looked."""

    left: int | None


class ServiceRoleResult(Contract):
    """When the role was last changed; `None` where all tenants share one."""

    changed_at: datetime | None


class EnsureKnowledgeStoreInput(StepInput):
    reservation: ProvisioningReservationPayload


class EnsureKnowledgeBaseInput(StepInput):
    """An execution that a version before service roles has started has no `service_role`."""

    reservation: ProvisioningReservationPayload
    service_role: ServiceRoleResult | None = None


class EnsureDataSourceInput(StepInput):
    """`looks_again` says that the definition by which the execution goes waits for a data source that is not ready; one
    of a version before only repeats the step by its retry of `NotReadyYet`."""

    reservation: ProvisioningReservationPayload
    looks_again: bool = False


class DeleteBucketInput(StepInput):
    """`waits` says that the definition by which the execution goes waits long enough for a bucket that may not show
    yet; one of a version before does not."""

    waits: bool = False


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
    """`wait_seconds` is how long to wait before looking again while it is not ready."""

    data_source_id: str
    status: str
    done: bool
    wait_seconds: int

    @classmethod
    def from_domain(cls, state: DataSourceState) -> Self:
        return cls(
            data_source_id=state.data_source_id,
            status=state.status,
            done=state.ready,
            wait_seconds=math.ceil(state.look_again_after.total_seconds()),
        )


class UsageKeyResult(Contract):
    tier: Tier


class ActivationResult(Contract):
    status: TenantStatus


PROVISIONING_STEPS: Mapping[str, str] = {
    "reservation": "Reserve Tenant",
    "capacity": "Check Capacity",
    "service_role": "Ensure Service Role",
    "bucket": "Ensure Bucket",
    "index": "Ensure Knowledge Store",
    "knowledge_base": "Ensure Knowledge Base",
    "trust": "Narrow Service Role",
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
    "service_role": "Delete Service Role",
    "index": "Delete Knowledge Store",
    "bucket": "Delete Bucket",
    "records": "Delete Records",
    "erasure": "Verify Erasure",
    "tombstone": "Mark Tenant Offboarded",
}
"""The same of `offboard_tenant`."""

REBUILDING_STEPS: Mapping[str, str] = {
    "reserved": "Reserve Rebuild",
    "capacity": "Check Capacity",
    "service_role": "Ensure Service Role",
    "index": "Ensure Knowledge Store",
    "knowledge_base": "Ensure Knowledge Base",
    "trust": "Narrow Service Role",
    "data_source": "Ensure Data Source",
    "begun": "Begin Candidate Sync",
    "candidate": "Await Candidate",
    "comparison": "Compare Knowledge",
    "promotion": "Promote Knowledge",
}
"""The same of `rebuild_tenant`, where it builds a candidate."""

_DELETED = {"service_role": "Ensure Service Role", "forgotten": "Forget Knowledge"}
"""The same once it has deleted what is beside the live knowledge. Forget Knowledge leaves nothing of all that."""


def _steps(workflow: Workflow, results: Mapping[str, object]) -> Mapping[str, str]:
    match workflow:
        case Workflow.PROVISION_TENANT:
            return PROVISIONING_STEPS
        case Workflow.OFFBOARD_TENANT:
            return OFFBOARDING_STEPS
        case Workflow.REBUILD_TENANT:
            reserved = results.get("reserved")
            if not isinstance(reserved, Mapping) or reserved.get("builds"):
                return REBUILDING_STEPS
            return _DELETED if reserved.get("deleted") else {"deletion": "Delete Knowledge"}


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
        steps = _steps(workflow, results)
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
    """What an execution of `offboard_tenant` is started with. `retention_days` comes from an execution that the version
    before has started: its request is not in the record yet (decision 38)."""

    tenant_id: TenantId
    retention_days: int | None = Field(default=None, ge=0, le=MAX_RETENTION_DAYS)

    @property
    def retention(self) -> timedelta | None:
        return timedelta(days=self.retention_days) if self.retention_days is not None else None


class FenceOffTenantInput(Contract):
    request: OffboardTenantInput
    execution: str


class FenceOffResult(Contract):
    tenant_id: TenantId
    fence: int

    @classmethod
    def from_domain(cls, reservation: Reservation) -> Self:
        return cls(tenant_id=reservation.tenant_id, fence=reservation.fence)


class FenceOffResultBefore(FenceOffResult):
    """For an execution that the version before has started: it waits until the deadline (decision 38)."""

    deadline: datetime


class DoneResult(Contract):
    """Of a step that has nothing else to say; `done` is `False` when the step must run again."""

    done: bool = True


class ErasureResult(Contract):
    receipt: ErasureReceipt


class MarkTenantOffboardedInput(StepInput):
    receipt: ErasureReceipt


class RebuildTenantInput(Contract):
    """What an execution of `rebuild_tenant` is started with: the tenant's record says what is to be done."""

    tenant_id: TenantId


class ReserveRebuildInput(Contract):
    request: RebuildTenantInput
    execution: str


class CandidateReservationPayload(ProvisioningReservationPayload):
    """Of the knowledge beside the live one."""

    knowledge: int = Field(ge=1)


class RebuildReservedResult(Contract):
    """`builds` is whether the knowledge beside the live one is to be built, and not deleted; `deleted`, whether nothing
    of it is left: then the reservation is of the live one."""

    reservation: ProvisioningReservationPayload
    builds: bool
    alone_from: datetime
    deleted: bool = False

    @classmethod
    def from_domain(cls, reservation: RebuildReservation) -> Self:
        payload = ProvisioningReservationPayload.from_domain(reservation)
        return cls(reservation=payload, builds=reservation.builds, alone_from=reservation.alone_from)


class ForgottenResult(Contract):
    """All that an execution goes on with: nothing but its tenant, where no other knowledge is to be built."""

    tenant_id: TenantId
    reserved: RebuildReservedResult | None
    another: bool


class CandidateStepInput(StepInput):
    reservation: CandidateReservationPayload


class BegunResult(Contract):
    """`deadline` is until when the candidate must have been ingested."""

    deadline: datetime


class AwaitCandidateInput(CandidateStepInput):
    deadline: datetime


class CandidateResult(Contract):
    """`wait_seconds` is how long to wait before looking again while it is not complete."""

    done: bool
    wait_seconds: int

    @classmethod
    def from_domain(cls, complete: bool, look_again_after: timedelta) -> Self:
        return cls(done=complete, wait_seconds=math.ceil(look_again_after.total_seconds()))


class AskedOfBothBody(Contract):
    """A golden question by its id, and whether it has found its document in each of the two. `live` is `None` where the
    live one could not be searched."""

    question_id: QuestionId
    live: bool | None
    candidate: bool

    def to_domain(self) -> AskedOfBoth:
        return AskedOfBoth(self.question_id, self.live, self.candidate)


class CompareKnowledgeInput(CandidateStepInput):
    """`asked` is what the parts before have come to."""

    asked: tuple[AskedOfBothBody, ...]


class ComparisonResult(Contract):
    """`done` is whether it is all."""

    asked: tuple[AskedOfBothBody, ...]
    done: bool

    @classmethod
    def from_domain(cls, asked: Iterable[AskedOfBoth], whole: bool) -> Self:
        bodies = (
            AskedOfBothBody(question_id=each.question_id, live=each.live, candidate=each.candidate) for each in asked
        )
        return cls(asked=tuple(bodies), done=whole)


class PromotionResult(Contract):
    """`live` is the number of the knowledge that answers from then on."""

    live: int


class DeleteKnowledgeInput(CandidateStepInput):
    """`alone_from` is when nobody else can be making something for it any more."""

    alone_from: datetime


class ForgetKnowledgeInput(StepInput):
    reservation: ProvisioningReservationPayload
