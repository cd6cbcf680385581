"""Bodies of the API about rebuilds, and about the knowledge beside the live one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import Field

from kbfleet.contracts import Contract, WholeNumber
from kbfleet.domain.comparison import Comparison, Measure
from kbfleet.domain.knowledges import KEPT_FOR, MAX_KEPT_FOR, TOLERANCE, Beside, Role
from kbfleet.domain.names import MAX_LIFE, TenantId
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.workflow import WorkflowFailure

AN_HOUR = timedelta(hours=1)
MAX_KEEP_HOURS = MAX_KEPT_FOR // AN_HOUR


class RebuildRequest(Contract):
    """Body of `PUT /tenants/{tenant_id}/rebuild`. `profile` is taken in its newest version; if left out, it is the
    tenant's own, as it is. `keep_hours` is for how long what does not answer is kept. By `tolerance` percentage points,
    fewer golden questions may find their document. With `compare_only`, nothing is promoted."""

    profile: ProfileName | None = None
    keep_hours: WholeNumber = Field(default=KEPT_FOR // AN_HOUR, ge=0, le=MAX_KEEP_HOURS)
    tolerance: WholeNumber = Field(default=TOLERANCE, ge=0, le=100)
    compare_only: bool = Field(default=False, strict=True)


class RollbackRequest(Contract):
    """Body of `PUT /tenants/{tenant_id}/knowledge`. `live` is the number of the knowledge that is to answer."""

    live: WholeNumber = Field(ge=1, le=MAX_LIFE)


class MeasuredBody(Contract):
    """From how many documents it answers, `null` where nobody knows; how many golden questions were searched for in it,
    and how many of those found their document."""

    documents: int | None
    asked: int
    found: int

    @classmethod
    def from_domain(cls, measure: Measure) -> Self:
        return cls(documents=measure.documents, asked=measure.asked, found=measure.found)


class ComparisonBody(Contract):
    """`live` is `null` where nothing was live any more. `worse` and `better` are golden questions that find their
    document in one of the two only; `refusals` say why the candidate was not promoted."""

    at: datetime
    live: MeasuredBody | None
    candidate: MeasuredBody
    worse: tuple[QuestionId, ...]
    better: tuple[QuestionId, ...]
    refusals: tuple[str, ...]

    @classmethod
    def from_domain(cls, comparison: Comparison) -> Self:
        return cls(
            at=comparison.at,
            live=MeasuredBody.from_domain(comparison.live) if comparison.live is not None else None,
            candidate=MeasuredBody.from_domain(comparison.candidate),
            worse=comparison.worse,
            better=comparison.better,
            refusals=comparison.refusals,
        )


class BesideBody(Contract):
    """The knowledge beside the live one: a CANDIDATE, one that is RETIRED and can be rolled back to, or one that is
    LEAVING. `keep_until` is when it is deleted, unless somebody decides otherwise; `following`, whether another
    candidate is built once it is gone; `failure`, why the last execution has come to nothing."""

    knowledge: int
    role: Role
    since: datetime
    profile: ProfileName
    profile_version: int
    knowledge_store: str
    knowledge_base_id: str | None
    keep_until: datetime | None
    compare_only: bool
    following: bool
    comparison: ComparisonBody | None
    failure: WorkflowFailure | None
    data_source_id: str | None = None

    @classmethod
    def from_domain(cls, beside: Beside) -> Self:
        return cls(
            knowledge=beside.record.knowledge,
            role=beside.role,
            since=beside.since,
            profile=beside.record.profile.name,
            profile_version=beside.record.profile.version,
            knowledge_store=beside.record.knowledge_store,
            knowledge_base_id=beside.record.knowledge_base_id,
            keep_until=beside.keep_until,
            compare_only=beside.plan.compare_only,
            following=beside.following is not None,
            comparison=ComparisonBody.from_domain(beside.comparison) if beside.comparison is not None else None,
            failure=beside.failure,
            data_source_id=beside.record.data_source_id,
        )


class RebuildBody(Contract):
    """`live` is the number of the knowledge that answers. `execution` works at the one beside it."""

    tenant_id: TenantId
    live: int
    beside: BesideBody | None
    execution: str

    @classmethod
    def from_domain(cls, tenant: Tenant, execution: str) -> Self:
        beside = BesideBody.from_domain(tenant.beside) if tenant.beside is not None else None
        return cls(tenant_id=tenant.tenant_id, live=tenant.knowledge, beside=beside, execution=execution)
