"""Bodies of the API about tenants and their syncs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from kbfleet.contracts import Contract, whole
from kbfleet.contracts.rebuilds import BesideBody
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.fleet_overview import Trouble
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Timeline
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome
from kbfleet.domain.left_out import LeftOutNotKnown, left_out_not_known
from kbfleet.domain.names import MAX_TENANT_ID_LENGTH, TenantId
from kbfleet.domain.profiles import DEFAULT_PROFILE, ProfileName
from kbfleet.domain.survey import unnoticed_until
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.domain.tenant import MAX_RETENTION_DAYS, DisplayName, Offboarding, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.ports import Execution

MOST_DOCUMENTS = 2**53
"""Whole numbers up to here are the same in every JSON."""


class ProvisionRequest(Contract):
    """Body of `PUT /tenants/{tenant_id}`. `knowledge_store` is one of those that the stack offers. `profile` is taken
    in its newest version; an existing tenant takes only one by which its documents are read as they were, and another
    by a rebuild. With `must_exist`, only an existing tenant is changed, and none is added."""

    name: DisplayName | None = None
    knowledge_store: str | None = Field(default=None, max_length=64)
    tier: Tier | None = None
    profile: ProfileName | None = None
    must_exist: bool = Field(default=False, strict=True)


class OffboardTenantQuery(Contract):
    """Query of `DELETE /tenants/{tenant_id}`."""

    retention_days: int | None = Field(
        default=None,
        ge=0,
        le=MAX_RETENTION_DAYS,
        description="Days for which the tenant's data is kept, out of service. If left out, as many as the stack says.",
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


class OffboardingBody(Contract):
    """A tenant on its way out. `execution` is the one that deletes it, once the time has come."""

    tenant_id: TenantId
    status: TenantStatus
    offboarding: Offboarding | None
    execution: ExecutionBody | None

    @classmethod
    def from_domain(cls, tenant: Tenant, execution: Execution | None) -> Self:
        return cls(
            tenant_id=tenant.tenant_id,
            status=tenant.status,
            offboarding=tenant.offboarding,
            execution=ExecutionBody.from_domain(execution) if execution is not None else None,
        )


class SyncResultBody(Contract):
    """`failure_reasons` are the first ones, beside `reasons_left_out` more: the job itself has more of them."""

    outcome: Outcome
    generation: int
    ingestion_job_id: str | None
    ended_at: datetime
    failure_reasons: tuple[FailureReason, ...]
    reasons_left_out: int = 0


_Accepted = Annotated[int, Field(strict=True, ge=1, le=MOST_DOCUMENTS), BeforeValidator(whole)]


class SyncRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/syncs`. `accept_deletions` has a sync go on that is held, and is how many
    documents it may delete: as many as its hold says are missing."""

    accept_deletions: _Accepted | None = None


class SyncHoldBody(Contract):
    """Why a sync is not started: `missing` of the `answered_from` documents are not in the bucket any more, as far as
    that is known. `command` has it go on all the same, and delete them from the knowledge base."""

    reason: HoldReason
    missing: int
    answered_from: int
    since: datetime
    seen_at: datetime
    sentence: str
    way_out: str
    command: str

    @classmethod
    def from_domain(cls, hold: Hold, tenant_id: TenantId) -> Self:
        return cls(
            reason=hold.reason,
            missing=hold.missing,
            answered_from=hold.answered_from,
            since=hold.since,
            seen_at=hold.seen_at,
            sentence=hold.sentence,
            way_out=hold.way_out,
            command=hold.command(tenant_id),
        )


class RunningJobBody(Contract):
    """How far the running job is: documents, as Bedrock has counted them at `counted_at`, which is `null` while it has
    counted none. `expected` is how many the last good job has left in the index, if that is known."""

    started_at: datetime
    scanned: int
    indexed: int
    failed: int
    counted_at: datetime | None
    expected: int | None

    @classmethod
    def from_domain(cls, sync: Sync) -> Self | None:
        job, known = sync.job, sync.answered_from
        if job is None:
            return None
        return cls(
            started_at=job.started_at,
            scanned=job.statistics.scanned,
            indexed=job.statistics.indexed,
            failed=job.statistics.failed,
            counted_at=job.counted_at,
            expected=known.documents if known is not None else None,
        )


class SyncBody(Contract):
    """`hold` says why no sync is started, if one is held for what it would delete; while `state` is QUEUED, that is
    looked into anew. `documents_left_out` is how many documents are in the bucket and not in answers, or not wholly;
    `null` where that is not known, which `left_out_not_known` explains."""

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
    hold: SyncHoldBody | None
    documents_left_out: int | None = None
    left_out_not_known: LeftOutNotKnown | None = None
    running_job: RunningJobBody | None = None

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
                reasons_left_out=result.reasons_left_out,
            )
            if result
            else None,
            hold=SyncHoldBody.from_domain(sync.hold, sync.tenant_id) if sync.hold else None,
            documents_left_out=sync.documents_left_out,
            left_out_not_known=left_out_not_known(sync),
            running_job=RunningJobBody.from_domain(sync),
        )


class TenantBody(Contract):
    """`foreign` is what the last look found among its resources that is not its own; `breached_since`, since when an
    incident of its isolation is open; `life`, how often the id has been provisioned anew, counted from 1; `converged`,
    whether its resources are what this version makes them; `changes_unnoticed_until`, until when changes of its
    documents may go unnoticed: the bucket is listed after that, and it is `null` once it was; `knowledge`, the number
    of the one that answers, and `beside`, the other one, if there is another."""

    tenant_id: TenantId
    life: int
    name: str
    status: TenantStatus
    knowledge_store: str
    tier: Tier
    profile: ProfileName = DEFAULT_PROFILE
    profile_version: int = 0
    bucket_name: str | None
    knowledge_base_id: str | None
    data_source_id: str | None
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    converged: bool
    drift: tuple[str, ...]
    foreign: tuple[str, ...]
    breached_since: datetime | None
    failure: WorkflowFailure | None
    offboarding: Offboarding | None
    erasure: ErasureReceipt | None
    changes_unnoticed_until: datetime | None
    sync: SyncBody
    knowledge: int = 1
    beside: BesideBody | None = None

    @classmethod
    def from_domain(
        cls, tenant: Tenant, sync: Sync, isolation: Timeline, resources_version: str, events_after: timedelta
    ) -> Self:
        """
        Args:
            resources_version: that the stack converges tenants to.
            events_after: how long after S3 was asked for events they come for certain.
        """
        return cls(
            tenant_id=tenant.tenant_id,
            life=tenant.life,
            name=tenant.name,
            status=tenant.status,
            knowledge_store=tenant.knowledge_store,
            tier=tenant.tier,
            profile=tenant.profile.name,
            profile_version=tenant.profile.version,
            bucket_name=tenant.bucket_name,
            knowledge_base_id=tenant.knowledge_base_id,
            data_source_id=tenant.data_source_id,
            created_at=tenant.created_at,
            updated_at=tenant.updated_at,
            status_since=tenant.status_since,
            converged=tenant.resources_version == resources_version,
            drift=tenant.drift,
            foreign=tenant.foreign,
            breached_since=isolation.broken_since,
            failure=tenant.failure,
            offboarding=tenant.offboarding,
            erasure=tenant.erasure,
            changes_unnoticed_until=unnoticed_until(tenant, sync, events_after),
            sync=SyncBody.from_domain(sync),
            knowledge=tenant.knowledge,
            beside=BesideBody.from_domain(tenant.beside) if tenant.beside is not None else None,
        )


_LETTER, _DIGIT = "6[1-9a-f]|7[0-9a]", "3[0-9]"

_TENANT_ID_IN_HEX = f"^({_LETTER})((2d)?({_LETTER}|{_DIGIT}))*$"
"""A page begins behind a tenant; its token is the tenant's id so that nobody takes it for more than a token."""


def token_behind(last: TenantId | None) -> str | None:
    """Of the page that begins behind that tenant; `None` if there is none."""
    return last.encode().hex() if last is not None else None


class TenantPageQuery(Contract):
    """Which tenants, where a page of them is given. `next_token` is of the page before."""

    limit: int = Field(default=50, ge=1, le=100)
    next_token: str | None = Field(default=None, min_length=6, max_length=64, pattern=_TENANT_ID_IN_HEX)

    @property
    def after(self) -> TenantId | None:
        return TenantId(bytes.fromhex(self.next_token).decode()) if self.next_token is not None else None


class TenantsQuery(TenantPageQuery):
    """Query of `GET /tenants`. `prefix` is how the ids begin, `next_token` is of the page before."""

    prefix: str = Field(default="", max_length=MAX_TENANT_ID_LENGTH, pattern="^[a-z0-9-]*$")
    status: TenantStatus | None = None


class TroubleBody(Contract):
    """The worst that is known of a tenant, and since when; `command` repairs it, or shows more."""

    tenant_id: TenantId
    harm: Harm
    since: datetime | None
    what: str
    command: str

    @classmethod
    def from_domain(cls, trouble: Trouble) -> Self:
        return cls(
            tenant_id=trouble.tenant_id,
            harm=trouble.harm,
            since=trouble.since,
            what=trouble.what,
            command=trouble.command,
        )


class ListedTenantBody(Contract):
    """`trouble` is the worst that the tenant's record and its syncs say; `null` where they say nothing is wrong.
    `synced_at` and `pending_since` say how fresh its knowledge is, `last_outcome` how its last sync ended, and
    `held_since`, since when its next one is held for what it would delete;
    `foreign`, `converged`, `offboarding` and `drift` are as in the tenant, as are `profile` and `profile_version`."""

    tenant_id: TenantId
    name: str
    status: TenantStatus
    status_since: datetime
    tier: Tier
    knowledge_store: str
    profile: ProfileName = DEFAULT_PROFILE
    profile_version: int = 0
    synced_at: datetime | None
    pending_since: datetime | None
    last_outcome: Outcome | None
    held_since: datetime | None
    foreign: tuple[str, ...]
    offboarding: Offboarding | None
    converged: bool
    drift: tuple[str, ...] = ()
    trouble: TroubleBody | None = None

    @classmethod
    def from_domain(cls, tenant: Tenant, sync: Sync, resources_version: str, trouble: Trouble | None = None) -> Self:
        return cls(
            tenant_id=tenant.tenant_id,
            name=tenant.name,
            status=tenant.status,
            status_since=tenant.status_since,
            tier=tenant.tier,
            knowledge_store=tenant.knowledge_store,
            profile=tenant.profile.name,
            profile_version=tenant.profile.version,
            synced_at=sync.synced_at,
            pending_since=sync.stale_since(),
            last_outcome=sync.result.outcome if sync.result else None,
            held_since=sync.hold.since if sync.hold else None,
            foreign=tenant.foreign,
            offboarding=tenant.offboarding,
            converged=tenant.resources_version == resources_version,
            drift=tenant.drift,
            trouble=TroubleBody.from_domain(trouble) if trouble is not None else None,
        )


class TenantsBody(Contract):
    """A page, in the order of the ids; `next_token` is `None` on the last one. A page before it may be short or empty
    when only tenants of one status are asked for."""

    tenants: tuple[ListedTenantBody, ...]
    next_token: str | None

    @classmethod
    def from_page(
        cls,
        tenants: Sequence[tuple[Tenant, Sync]],
        last: TenantId | None,
        resources_version: str,
        troubles: Mapping[TenantId, Trouble] = MappingProxyType({}),
    ) -> Self:
        return cls(
            tenants=tuple(
                ListedTenantBody.from_domain(tenant, sync, resources_version, troubles.get(tenant.tenant_id))
                for tenant, sync in tenants
            ),
            next_token=token_behind(last),
        )
