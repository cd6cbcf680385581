"""Rebuilds: what becomes of the knowledge beside the live one. Pure.

Each function gives the record that is to be stored in place of the one that it was given. What is written without the
tenant's lease comes under the next fencing token, as a suspension does: so nobody overwrites what they have not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.comparison import Comparison
from kbfleet.domain.errors import KnowledgeLost, LeaseLost, NothingBeside, TenantBusy, TenantNotActive
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import ProvisioningReservation, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import WorkflowFailure

STILL_ANSWERED = timedelta(seconds=40)
"""After whoever remembers a record has forgotten it, nobody answers by it any more: an answer takes 28 seconds at most
(`Timeout` of the ask function, template.yaml), and a read may lag behind a write."""


class RebuildOutcome(StrEnum):
    PROMOTED = "PROMOTED"
    REFUSED = "REFUSED"
    """The candidate was worse."""
    COMPARED = "COMPARED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True, slots=True)
class RebuildEnded:
    """What is published of a rebuild, or of a rollback.

    Args:
        live: number of the knowledge that answers from then on; `kept`, of the other.
        kept_until: when that one is deleted, unless somebody decides otherwise.
    """

    tenant_id: TenantId
    outcome: RebuildOutcome
    at: datetime
    live: int
    kept: int
    kept_until: datetime
    comparison: Comparison | None = None
    life: int = 1

    @property
    def identity(self) -> str:
        """The same for every repetition of the same event."""
        return f"{self.tenant_id}.{self.life}/rebuild/{self.live}/{self.outcome}/{self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class RebuildReservation(ProvisioningReservation):
    """The right of an execution to build, or to delete, the knowledge beside the live one.

    Args:
        builds: whether it is to be built; else it is to be deleted.
        alone_from: when no function of an earlier execution can be making something for it any more.
    """

    builds: bool
    alone_from: datetime

    @property
    def of_the_live_one(self) -> ProvisioningReservation:
        """The same right, to change the resources that are the live knowledge's, too."""
        return ProvisioningReservation(self.tenant_id, self.fence, self.deadline)


def requested(tenant: Tenant, plan: RebuildPlan, now: datetime) -> Tenant:
    """Another knowledge is to be built. One that is kept for a rollback leaves first, and so does a candidate that is
    lost; another that is built so is gone on with. Unchanged while a rebuild that is wanted so is at work.

    Raises:
        TenantNotActive: there is nothing to rebuild, or the tenant is out of service.
        TenantBusy: an execution has the tenant; or another candidate is being built.
    """
    tenant.in_service()
    failed_later = tenant.status is TenantStatus.FAILED and tenant.knowledge_base_id is not None
    if tenant.status is not TenantStatus.ACTIVE and not failed_later:
        raise TenantNotActive(
            f"Tenant {tenant.tenant_id} is {tenant.status}: there is nothing to rebuild.",
            remedy=f"Run `kbfleet tenant add {tenant.tenant_id}` first.",
        )
    beside = tenant.beside
    if beside is not None and beside.role is Role.CANDIDATE and not beside.plan.builds_as(plan):
        raise TenantBusy(
            f"Tenant {tenant.tenant_id} has another candidate already: by profile {beside.plan.profile}, on "
            f"{beside.plan.knowledge_store}.",
            remedy=f"Wait for its end, or delete it with `kbfleet tenant rebuild {tenant.tenant_id} --stop`.",
        )
    at_work = tenant.lease is not None and beside is not None and tenant.lease.holder == beside.holder
    if at_work and tenant.leased_at(now) and beside is not None and beside.role is Role.CANDIDATE:
        return tenant
    tenant.not_leased_by_another(None, now)
    if beside is None:
        return _written(_with_candidate(tenant, plan, now), now)
    if beside.role is Role.CANDIDATE and not _is_lost(beside):
        anew = replace(beside, plan=plan, keep_until=None, comparison=None, failure=None)
        return _written(replace(tenant, beside=anew), now)
    leaving = _leaving(beside, now, following=plan)
    return tenant if leaving == beside else _written(replace(tenant, beside=leaving), now)


def _is_lost(candidate: Beside) -> bool:
    """Whether what was read into it is gone: it cannot be gone on with, and another takes its place."""
    return candidate.failure is not None and candidate.failure.error == KnowledgeLost.__name__


def _with_candidate(tenant: Tenant, plan: RebuildPlan, now: datetime) -> Tenant:
    number = max(tenant.last_knowledge, tenant.knowledge) + 1
    beside = Beside(plan.candidate(number), Role.CANDIDATE, now, plan)
    return replace(tenant, beside=beside, last_knowledge=number)


def _leaving(beside: Beside, now: datetime, *, following: RebuildPlan | None = None) -> Beside:
    since = beside.since if beside.role is Role.LEAVING else now
    return replace(
        beside, role=Role.LEAVING, since=since, keep_until=None, failure=None, comparison=None, following=following
    )


def _written(tenant: Tenant, now: datetime) -> Tenant:
    """Without a lease."""
    return replace(tenant, fence=tenant.fence + 1, lease=None, updated_at=now)


# --- whoever works at it -------------------------------------------------------------------------


def is_due(tenant: Tenant, now: datetime) -> bool:
    """Whether an execution is to work at it, unless one does. What has failed waits for people, until its time is
    over."""
    beside = tenant.beside
    if beside is None or tenant.status in {TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}:
        return False
    if beside.role is Role.LEAVING:
        return beside.failure is None
    if beside.keep_until is not None:
        return beside.keep_until <= now
    return beside.role is Role.CANDIDATE and beside.failure is None and tenant.is_in_service


def taken_up(tenant: Tenant, execution: str, now: datetime, lease: timedelta) -> Tenant:
    """The record with its lease given to an execution that builds the candidate, or deletes what is to leave.

    Raises:
        TenantBusy: another execution has the tenant.
        TenantOffboarding, TenantOffboarded: both knowledges are being deleted.
        LeaseLost: there is nothing to do, or not now.
    """
    tenant.not_leaving()
    beside = tenant.beside
    if beside is None or not is_due(replace(tenant, beside=replace(beside, failure=None)), now):
        raise LeaseLost(
            f"Nothing is to be done about a knowledge beside tenant {tenant.tenant_id}'s live one now.",
            remedy="Nothing to do here: the tenant's record says what is to become of it.",
        )
    over = beside.role is not Role.LEAVING and beside.keep_until is not None
    current = _leaving(beside, now) if over else replace(beside, failure=None)
    return replace(tenant.leased_to(execution, now, lease), beside=replace(current, holder=execution))


def released(tenant: Tenant, now: datetime) -> Tenant:
    """The lease is given back by the execution that holds it; it goes on without."""
    return _written(tenant, now)


def worked_at(tenant: Tenant, execution: str, number: int, role: Role) -> Beside:
    """What that execution works at.

    Raises: LeaseLost: it does not any more, or the tenant is out of service.
    """
    beside = tenant.beside
    own = beside is not None and beside.holder == execution and beside.record.knowledge == number
    if beside is None or not own or beside.role is not role or not tenant.is_in_service:
        raise LeaseLost(
            f"Knowledge {number} of tenant {tenant.tenant_id} is not this execution's to build any more.",
            remedy="Nothing to do here: the tenant's record says what is to become of it.",
        )
    return beside


def deletable_from(beside: Beside, remembered: timedelta) -> datetime | None:
    """From when on nobody answers from it, if anybody ever did: it began to leave when another was live already.

    Args:
        beside: that is leaving.
        remembered: for how long whoever answers remembers a tenant's record.
    """
    return beside.since + remembered + STILL_ANSWERED if beside.answered_until is not None else None


# --- room for it ---


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether there is room for a candidate now.

    Args:
        come: whether it may be made.
        leaving: of the fleet's tenants those whose knowledge that is kept is to leave for it; the first of them that
            still can.
        hopeless: whether nothing of the fleet's will leave, however long it waits.
    """

    come: bool
    leaving: tuple[Tenant, ...] = ()
    hopeless: bool = False


def waits_for_room(tenant: Tenant) -> bool:
    """Whether a candidate of it is to be built, for which there is no knowledge base yet."""
    beside = tenant.beside
    wanted = beside is not None and beside.role is Role.CANDIDATE and beside.keep_until is None
    return wanted and tenant.is_in_service and beside is not None and beside.record.knowledge_base_id is None


def turn_of(tenant: Tenant, others: Iterable[Tenant], free: int, now: datetime) -> Turn:
    """Whether it is that candidate's turn. They come in the order in which they were requested, and each takes its
    place by its record alone: so nothing is counted that a crash could leave behind. Those that have their tenant's
    lease were let in already.

    Args:
        tenant: that waits for room.
        others: those with anything beside their live knowledge, on a store of the same kind.
        free: how many more knowledge bases of that kind the account can have.
    """
    others = [each for each in others if each.beside is not None]
    before = sum(_waits_in_line(each) and _place_in_line(each) < _place_in_line(tenant) for each in others)
    if before < free:
        return Turn(come=True)
    having = [each for each in others if each.beside is not None and each.beside.record.knowledge_base_id is not None]
    going = sum(each.beside is not None and _is_leaving(each.beside) for each in having)
    if before < free + going:
        return Turn(come=False)
    kept = sorted((each for each in having if may_leave_early(each, now)), key=_kept_since)
    return Turn(come=False, leaving=tuple(kept), hopeless=not having and not before)


def _waits_in_line(tenant: Tenant) -> bool:
    """What has failed waits for people."""
    return waits_for_room(tenant) and tenant.beside is not None and tenant.beside.failure is None


def _place_in_line(tenant: Tenant) -> tuple[bool, datetime, str]:
    since = tenant.beside.since if tenant.beside is not None else tenant.updated_at
    return tenant.lease is None, since, tenant.tenant_id


def _is_leaving(beside: Beside) -> bool:
    return beside.role is Role.LEAVING and beside.failure is None and not beside.deleted


def _kept_since(tenant: Tenant) -> tuple[datetime, str]:
    beside = tenant.beside
    until = beside.keep_until - beside.plan.keep if beside is not None and beside.keep_until is not None else None
    return until or tenant.updated_at, tenant.tenant_id


def may_leave_early(tenant: Tenant, now: datetime) -> bool:
    """Whether what is beside its live knowledge is only kept, and people have heard of it.

    It is deleted once nobody can be answering from it any more, as whatever leaves is.
    """
    beside = tenant.beside
    if beside is None or beside.role is Role.LEAVING or beside.keep_until is None or not beside.told:
        return False
    return not tenant.leased_at(now) and tenant.status not in {TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}


def sent_away(tenant: Tenant, now: datetime) -> Tenant:
    """What is kept beside its live knowledge leaves before its time; unchanged where it cannot any more."""
    beside = tenant.beside
    if beside is None or not may_leave_early(tenant, now):
        return tenant
    return _written(replace(tenant, beside=replace(_leaving(beside, now), holder=None)), now)


# --- how it ends ---------------------------------------------------------------------------------


def concluded(tenant: Tenant, execution: str, number: int, comparison: Comparison, now: datetime) -> Tenant:
    """After the comparison: the candidate is the live one, or is kept for a while. Where it is live already, nothing
    changes: this very step has run before.

    Raises:
        LeaseLost: see `worked_at`.
        TenantBusy: an execution has the tenant; the exchange waits for it.
    """
    if tenant.knowledge == number:
        return tenant
    beside = worked_at(tenant, execution, number, Role.CANDIDATE)
    tenant.not_leased_by_another(None, now)
    judged = replace(tenant, beside=replace(beside, comparison=comparison, holder=None, told=False))
    if comparison.may_be_promoted and not beside.plan.compare_only:
        return _exchanged(judged, now)
    return _written(_kept(judged, now), now)


def _kept(tenant: Tenant, now: datetime) -> Tenant:
    beside = tenant.beside
    return tenant if beside is None else replace(tenant, beside=replace(beside, keep_until=now + beside.plan.keep))


def _had_nothing_live(beside: Beside) -> bool:
    """Whether what it was compared with could not be answered from any more."""
    return beside.comparison is not None and beside.comparison.live is None


def _exchanged(tenant: Tenant, now: datetime) -> Tenant:
    """The one beside is live from here on, and the live one is kept: the one write that promotes, and rolls back."""
    view = tenant.seen_from_beside()
    other = view.beside
    if other is None:
        return tenant
    # Nobody can want what was lost back: it only takes one of the account's knowledge bases.
    plan = replace(other.plan, keep=timedelta(0)) if _had_nothing_live(other) else other.plan
    retired = replace(other, role=Role.RETIRED, since=now, answered_until=now, seen_from=False, plan=plan)
    return _written(_kept(replace(view, beside=retired), now), now)


def rolled_back(tenant: Tenant, number: int, now: datetime) -> Tenant:
    """The retired one is live again, and the other is kept in its place. Unchanged where that one is live.

    Args:
        number: of the one that is to be live.

    Raises:
        NothingBeside: no such one is kept, or it was lost.
        TenantBusy: an execution has the tenant.
    """
    tenant.not_leaving()
    if tenant.knowledge == number:
        return tenant
    beside = tenant.beside
    if beside is None or beside.role is not Role.RETIRED or beside.record.knowledge != number:
        raise NothingBeside(
            f"Tenant {tenant.tenant_id} has no knowledge {number} that was live before and is kept.",
            remedy=f"`kbfleet tenant show {tenant.tenant_id}` says what there is.",
        )
    if _had_nothing_live(beside):
        raise NothingBeside(
            f"Knowledge {number} of tenant {tenant.tenant_id} was lost before {tenant.knowledge} took its place: "
            "nothing could be answered from it.",
            remedy=f"`kbfleet tenant show {tenant.tenant_id}` looks at what answers now.",
        )
    tenant.not_leased_by_another(None, now)
    return _exchanged(replace(tenant, beside=replace(beside, told=False)), now)


def stopped(tenant: Tenant, now: datetime) -> Tenant:
    """The candidate is deleted, and nothing is built after it. An execution that builds it finds its lease gone.

    Raises:
        NothingBeside: nothing is being built.
        TenantBusy: an execution of another kind has the tenant.
        TenantOffboarding, TenantOffboarded: all of it goes.
    """
    tenant.not_leaving()
    beside = tenant.beside
    wanted = beside is not None and (
        beside.role is Role.CANDIDATE or (beside.role is Role.LEAVING and beside.following is not None)
    )
    again = beside is not None and beside.role is Role.LEAVING and beside.failure is not None
    if beside is None or not (wanted or again):
        raise NothingBeside(
            f"Tenant {tenant.tenant_id} is not being rebuilt.",
            remedy=f"`kbfleet tenant show {tenant.tenant_id}` says what there is.",
        )
    tenant.without_rebuilds_lease().not_leased_by_another(None, now)
    return _written(replace(tenant, beside=replace(_leaving(beside, now), holder=None)), now)


def deleted(tenant: Tenant) -> Tenant:
    """Nothing is left of what was leaving but the record of it.

    Args:
        tenant: as it is seen from wherever.

    Raises: LeaseLost: it is not leaving.
    """
    beside = tenant.beside
    if beside is None or beside.role is not Role.LEAVING:
        raise LeaseLost(f"No knowledge of tenant {tenant.tenant_id} is being deleted any more.")
    return replace(tenant, beside=replace(beside, deleted=True))


def forgotten(tenant: Tenant, now: datetime) -> Tenant:
    """What was leaving is gone. Where another is to follow, it is the candidate, and the lease stays; else that is
    given back.

    Raises: LeaseLost: it is not deleted.
    """
    beside = tenant.beside
    if beside is None or not beside.deleted:
        raise LeaseLost(f"No knowledge of tenant {tenant.tenant_id} is being deleted any more.")
    alone = replace(tenant, beside=None)
    if beside.following is None:
        return _written(alone, now)
    following = _with_candidate(alone, beside.following, now)
    return replace(following, beside=replace(following.beside, holder=beside.holder)) if following.beside else alone


def failed(tenant: Tenant, failure: WorkflowFailure) -> Tenant:
    """After an execution that came to nothing; unchanged where it does not work at it any more. A candidate is kept for
    a while, to be gone on with or looked at; what was leaving waits for people."""
    beside = tenant.beside
    if beside is None or beside.holder != failure.execution:
        return tenant
    kept = failure.at + beside.plan.keep if beside.role is Role.CANDIDATE else beside.keep_until
    marked = replace(tenant, beside=replace(beside, failure=failure, keep_until=kept, holder=None))
    own_lease = tenant.lease is not None and tenant.lease.holder == failure.execution
    if own_lease or tenant.lease is None:
        return _written(marked, failure.at)
    # Somebody has the tenant: their token stays, and they would lose what they have read. They write it over.
    return tenant


def told_of_failure(tenant: Tenant | None, failure: WorkflowFailure) -> WorkflowFailure:
    """What people are told: what goes on with a deletion is another command than what goes on with a rebuild."""
    beside = tenant.beside if tenant is not None else None
    return replace(failure, deletes=beside is not None and beside.role is Role.LEAVING and beside.following is None)


def news(tenant: Tenant) -> RebuildEnded | None:
    """What people have yet to hear of."""
    beside = tenant.beside
    if beside is None or beside.told or beside.keep_until is None:
        return None
    if beside.role is Role.CANDIDATE and beside.comparison is not None:
        compares = beside.comparison.may_be_promoted
        outcome, at = RebuildOutcome.COMPARED if compares else RebuildOutcome.REFUSED, beside.comparison.at
    elif beside.role is Role.RETIRED:
        # A number that is given later is of what was built in place of the others.
        forward = tenant.knowledge > beside.record.knowledge
        outcome, at = RebuildOutcome.PROMOTED if forward else RebuildOutcome.ROLLED_BACK, beside.since
    else:
        return None
    numbers = tenant.knowledge, beside.record.knowledge
    return RebuildEnded(tenant.tenant_id, outcome, at, *numbers, beside.keep_until, beside.comparison, tenant.life)


def told(tenant: Tenant, now: datetime) -> Tenant:
    """People have heard of it. Unchanged while an execution has the tenant: then they hear of it once more."""
    beside = tenant.beside
    if beside is None or beside.told or tenant.leased_at(now):
        return tenant
    return _written(replace(tenant, beside=replace(beside, told=True)), now)
