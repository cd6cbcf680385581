"""The fleet on one screen: how many tenants are how, who is hurt and worst, what is at work, who waits, what is full.

It is made of outlines: what a record says of its subject in a few words, and nothing where there is nothing to say. So
a fleet that is well is a few pages of keys, however large it is. Everything here is pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Self

from kbfleet.domain.capacity import COUNTED_FOR, Room, RoomCount
from kbfleet.domain.deletions import Hold
from kbfleet.domain.finding import UNSEEN_FOR, Disagreement, Finding
from kbfleet.domain.harm import Harm, told_first
from kbfleet.domain.incident import Concern, Incident
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.question_runs import QuestionWatch
from kbfleet.domain.reconciliation import TenantRound
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage import UsageCounts

ROUND_OVERDUE_AFTER = timedelta(hours=36)
"""From the end of the last whole round. One is begun each day, and that through a large fleet takes hours."""
CENSUS_OVERDUE_AFTER = timedelta(hours=1)
"""It is taken every fifteen minutes."""
SHOWN = 20
"""Of each list, at most; the others are counted."""
NAMED_IN_AN_INCIDENT = 5


# --- outlines ---


@dataclass(frozen=True, slots=True)
class BesideOutline:
    """The knowledge beside the live one: its number, what it is, and since when."""

    knowledge: int
    role: Role
    since: datetime


@dataclass(frozen=True, slots=True)
class TenantOutline:
    """Of a tenant's record, what is not well, or is going on. `findings` are those of losses and of what is within;
    `worked_at_since`, whether somebody has worked at it since they were seen."""

    tenant_id: TenantId
    status: TenantStatus
    since: datetime
    knowledge: int = 1
    findings: tuple[Finding, ...] = ()
    found_at: datetime | None = None
    unseen_since: datetime | None = None
    beside: BesideOutline | None = None
    delete_after: datetime | None = None
    worked_at_since: bool = False

    @classmethod
    def of(cls, tenant: Tenant) -> Self | None:
        """`None` where there is nothing to say but that it is active or offboarded."""
        beside, offboarding = tenant.beside, tenant.offboarding
        outline = cls(
            tenant.tenant_id,
            tenant.status,
            tenant.status_since,
            tenant.knowledge,
            (*tenant.losses, *tenant.within),
            tenant.found_at,
            min((each.since for each in tenant.unseen), default=None),
            BesideOutline(beside.record.knowledge, beside.role, beside.since) if beside is not None else None,
            offboarding.delete_after if offboarding is not None else None,
            tenant.worked_at_since,
        )
        return None if outline.is_quiet else outline

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to say."""
        return self.status in _QUIET and not (self.findings or self.unseen_since or self.beside)


_QUIET = {TenantStatus.ACTIVE, TenantStatus.OFFBOARDED}


@dataclass(frozen=True, slots=True)
class JobOutline:
    """An ingestion job that runs. Args: expected: how many documents the last good job has left; `None` if unknown.
    counted_at: when Bedrock was asked for the numbers before; `None` while it has told none."""

    ingestion_job_id: str
    status: JobStatus
    started_at: datetime
    scanned: int = 0
    indexed: int = 0
    failed: int = 0
    counted_at: datetime | None = None
    expected: int | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class SyncOutline:
    """Of an entry of the sync ledger, what is going on, waits, or is not well. `left_out` is how many documents are, as
    they were counted; `None` while nobody knows."""

    tenant_id: TenantId
    knowledge: int = 1
    kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR
    state: SyncState = SyncState.IDLE
    job: JobOutline | None = None
    priority: Priority = Priority.SCHEDULED
    ready_at: datetime | None = None
    pending_since: datetime | None = None
    retries: int = 0
    postponed: int = 0
    checking: bool = False
    hold: Hold | None = None
    outcome: Outcome | None = None
    ended_at: datetime | None = None
    left_out: int | None = None
    uncounted_since: datetime | None = None
    distrusted: bool = False
    on_hold: bool = False
    ever_synced: bool = True

    @classmethod
    def of(cls, sync: Sync) -> Self | None:
        """`None` where nothing is going on, and the last sync has left nothing to say."""
        job, result = sync.job, sync.result
        broken = result is not None and result.outcome.broken
        left = sync.stale_since() or sync.hold or sync.distrusted or sync.documents_left_out or sync.uncounted_since
        if sync.state is SyncState.IDLE and not broken and not left:
            return None
        expected = sync.answered_from.documents if sync.answered_from is not None else None
        return cls(
            sync.tenant_id,
            sync.knowledge,
            sync.kind,
            sync.state,
            JobOutline(
                job.ingestion_job_id,
                job.status,
                job.started_at,
                job.statistics.scanned,
                job.statistics.indexed,
                job.statistics.failed,
                job.counted_at,
                expected,
                job.external,
            )
            if job is not None
            else None,
            sync.priority,
            sync.ready_at,
            sync.stale_since(),
            sync.retries,
            sync.postponed,
            sync.checks_begun > 0,
            sync.hold,
            result.outcome if result is not None else None,
            result.ended_at if result is not None else None,
            sync.documents_left_out,
            sync.uncounted_since,
            sync.distrusted,
            sync.on_hold,
            sync.synced_data_source_id is not None,
        )


@dataclass(frozen=True, slots=True)
class IncidentOutline:
    """An open incident. `what` is in our own words; `named` are the first of the `broken` who are in it."""

    identity: str
    concern: Concern
    what: str
    since: datetime
    broken: int
    harm: Harm | None = None
    named: tuple[tuple[str, Harm | None], ...] = ()

    @classmethod
    def of(cls, incident: Incident) -> Self | None:
        """`None` of one that is over."""
        if not incident.open:
            return None
        cause = incident.cause
        named = incident.still_affected[:NAMED_IN_AN_INCIDENT]
        return cls(
            incident.identity,
            incident.concern,
            cause.label if cause.in_our_words else _WORDS[incident.concern],
            incident.opened_at,
            incident.broken,
            incident.harm,
            tuple((each, incident.harm_of(each)) for each in named),
        )

    @property
    def command(self) -> str:
        """Shows what to do where all tenants share what is wrong; empty where each tenant has a command of its own."""
        return {Concern.FLEET: "kbfleet reconcile", Concern.ALARM: "kbfleet doctor"}.get(self.concern, "")

    @property
    def place(self) -> str:
        """Sorts the worst first, then the oldest."""
        return f"{told_first(self.harm) if self.harm is not None else len(Harm)}#{self.since.isoformat()}"


_WORDS = {
    Concern.INGESTION: "ingestion fails",
    Concern.DOCUMENTS: "documents fail",
    Concern.PROVISIONING: "provisioning has failed",
    Concern.OFFBOARDING: "an offboarding has failed",
    Concern.REBUILDING: "a rebuild has failed",
    Concern.ISOLATION: "something is within reach that is not the tenant's own",
    Concern.KNOWLEDGE: "what answers rest on is lost",
    Concern.QUESTIONS: "golden questions do not pass any more",
    Concern.ALARM: "an alarm went off",
    Concern.FLEET: "something that all tenants share is lost",
}
"""For causes that are told in the words of others."""


@dataclass(frozen=True, slots=True)
class QuestionsOutline:
    """Golden questions of a tenant that do not all pass, or were not all asked."""

    tenant_id: TenantId
    questions: int
    passed: int = 0
    failed: int = 0
    regressions: int = 0
    since: datetime | None = None
    judged_at: datetime | None = None

    @classmethod
    def of(cls, watch: QuestionWatch) -> Self | None:
        """`None` where all of them pass."""
        score, last, regressions = watch.came_to, watch.last, watch.regressions
        if score is not None and not (score.failed or score.not_asked or regressions):
            return None
        return cls(
            watch.tenant_id,
            watch.questions,
            score.passed if score is not None else 0,
            score.failed if score is not None else 0,
            len(regressions),
            watch.regressed_since,
            last.ended_at if last is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Census:
    """What was counted when all tenants and the ledger's entries of the active ones were last read, which is done
    every fifteen minutes.

    Args:
        active, failed: tenants of that status.
        queued, stale: of the active ones, those whose sync waits for its turn, and those with a change that has not
            been synced for long, whatever the reason.
        oldest: since when the oldest change of theirs waits that is not synced; `None` when everything is.
        missing: how many entries of the ledger overviews do not know of: an older version has stored them.
    """

    at: datetime
    active: int = 0
    failed: int = 0
    queued: int = 0
    stale: int = 0
    oldest: datetime | None = None
    missing: int = 0


@dataclass(frozen=True, slots=True)
class UsageOfMonth:
    """What all tenants together have used. Args: since: the first day of it that was counted for the whole fleet."""

    since: date
    counts: UsageCounts


@dataclass(frozen=True, slots=True)
class FleetOutlines:
    """All that an overview is made of.

    Args:
        statuses: how many tenants there are of each.
        incidents_left_out: whether there are more of them, none worse than those.
        asked: how many tenants have golden questions, as far as they were counted.
        started_at: when the last ingestion job was started; `None` if that is not known.
        reads: pages and items that were read.
        whole: whether all was read; else there was too much of it.
        unread: what was found and not understood, by names for people.
    """

    statuses: Mapping[TenantStatus, int]
    tenants: Sequence[TenantOutline]
    syncs: Sequence[SyncOutline]
    incidents: Sequence[IncidentOutline]
    questions: Sequence[QuestionsOutline]
    asked: int
    rooms: RoomCount | None = None
    round: TenantRound = field(default_factory=TenantRound)
    census: Census | None = None
    started_at: datetime | None = None
    used: UsageOfMonth | None = None
    incidents_left_out: bool = False
    reads: int = 0
    whole: bool = True
    unread: Sequence[str] = ()


# --- the overview ---


@dataclass(frozen=True, slots=True)
class Trouble:
    """The worst that is known of a tenant. `command` repairs it, or shows more where that needs a decision."""

    tenant_id: TenantId
    harm: Harm
    since: datetime | None
    what: str
    command: str


class Why(StrEnum):
    """Why a queued sync has not started."""

    CHECK = "CHECK"
    """Its bucket is compared with what is answered from before."""
    JOBS = "JOBS"
    """As many jobs run as may."""
    RETRY = "RETRY"
    """The last job failed for a cause that passes; it is tried again at its time."""
    GIVES_WAY = "GIVES_WAY"
    """Its start was refused; it is tried again at its time."""
    CHANGES = "CHANGES"
    """Its documents are changing: it waits until they are quiet."""
    SCHEDULED = "SCHEDULED"
    """It has its time."""
    AHEAD = "AHEAD"
    """Others are ahead of it."""
    NEXT = "NEXT"
    """It is the next one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued sync. `ahead` is how many come before it, by their times; `of_rebuild`, whether it is for a knowledge
    that does not answer."""

    tenant_id: TenantId
    why: Why
    ahead: int
    ready_at: datetime | None
    pending_since: datetime | None
    of_rebuild: bool = False


@dataclass(frozen=True, slots=True)
class AtWork:
    """A running job; `of_rebuild` as in `Waiting`."""

    tenant_id: TenantId
    job: JobOutline
    of_rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Rebuild:
    tenant_id: TenantId
    beside: BesideOutline


@dataclass(frozen=True, slots=True)
class Questions:
    """Tenants: that have golden questions, of whom all pass, of whom some fail, of whom some are known to have passed
    and do not any more, and of whom none was asked yet."""

    asked: int
    passing: int
    failing: int
    regressed: int
    unasked: int


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """The fleet at one time. Of long lists, the first `SHOWN`; `..._in_all` says how many there are.

    Args:
        harms: tenants by the worst that is known of them. Who is in none is well, as far as was looked.
        troubles: the worst first.
        held, barred: syncs that nobody starts: for what they would delete, and since the tenant's data source may
            read another bucket.
        next_start: the earliest time at which the next job may start; `None` where nothing waits, or only for a job's
            end.
        unknown: what nobody knows, a sentence each. While there is any, the fleet is not known to be well.
    """

    at: datetime
    statuses: Mapping[TenantStatus, int]
    harms: Mapping[Harm, int]
    troubles: Sequence[Trouble]
    troubles_in_all: int
    at_work: Sequence[AtWork]
    at_work_in_all: int
    jobs_at_once: Mapping[KnowledgeBaseKind, int]
    waiting: Sequence[Waiting]
    waiting_in_all: int
    held: int
    barred: int
    next_start: datetime | None
    rebuilds: Sequence[Rebuild]
    rebuilds_in_all: int
    kept_for_rollback: int
    rooms: Sequence[Room]
    rooms_counted_at: datetime | None
    start_interval: timedelta
    questions: Questions
    incidents: Sequence[IncidentOutline]
    incidents_in_all: int
    more_incidents: bool
    used: UsageOfMonth | None
    round: TenantRound
    census: Census | None
    unknown: Sequence[str]
    reads: int

    @property
    def tenants(self) -> int:
        """Without those that are gone."""
        return sum(number for status, number in self.statuses.items() if status is not TenantStatus.OFFBOARDED)

    @property
    def is_well(self) -> bool:
        """Whether all was looked at, and nothing is wrong."""
        return not (self.troubles_in_all or self.incidents_in_all or self.unknown)


def overview(
    outlines: FleetOutlines, now: datetime, *, start_interval: timedelta, stale_after: timedelta
) -> FleetOverview:
    """
    Args:
        stale_after: after how long a change that is not synced makes its tenant stale.
        start_interval: least time between two StartIngestionJob calls of the account.
    """
    by_tenant = {each.tenant_id: each for each in outlines.tenants}
    live = [each for each in outlines.syncs if _answers(each, by_tenant)]
    at_work = sorted(
        (AtWork(each.tenant_id, each.job, not _answers(each, by_tenant)) for each in outlines.syncs if each.job),
        key=lambda each: (each.job.started_at, each.tenant_id),
    )
    running = Counter(each.kind for each in outlines.syncs if each.job is not None)
    queue = sorted((each for each in outlines.syncs if each.state is SyncState.QUEUED), key=_turn)
    besides = sorted(
        (Rebuild(each.tenant_id, each.beside) for each in outlines.tenants if each.beside is not None),
        key=lambda each: (each.beside.since, each.tenant_id),
    )
    rebuilds = [each for each in besides if each.beside.role is Role.CANDIDATE]
    # Who is out of service is asked nothing.
    unasked_of = {str(each.tenant_id) for each in outlines.tenants if each.status in _OUT_OF_SERVICE}
    questions = [each for each in outlines.questions if each.tenant_id not in unasked_of]
    unasked = sum(each.judged_at is None for each in questions)
    regressed = sum(each.regressions > 0 for each in questions)
    failing, out_of_service = len(questions) - unasked, len(outlines.questions) - len(questions)
    passing = outlines.asked - len(outlines.questions)
    incidents = [each for each in outlines.incidents if _may_hurt(each, unasked_of)]
    troubles = _worst_of_each(replace(outlines, questions=questions), live, now, stale_after)
    return FleetOverview(
        at=now,
        statuses=outlines.statuses,
        harms=Counter(each.harm for each in troubles),
        troubles=troubles[:SHOWN],
        troubles_in_all=len(troubles),
        at_work=at_work[:SHOWN],
        at_work_in_all=len(at_work),
        jobs_at_once=running,
        waiting=list(_waiting(queue[:SHOWN], by_tenant, running, now)),
        waiting_in_all=len(queue),
        held=sum(each.hold is not None and each.state is SyncState.IDLE for each in live),
        barred=sum(each.distrusted for each in live),
        next_start=_next_start(queue, running, outlines.started_at, now, start_interval),
        rebuilds=rebuilds[:SHOWN],
        rebuilds_in_all=len(rebuilds),
        kept_for_rollback=sum(each.beside.role is Role.RETIRED for each in besides),
        rooms=outlines.rooms.rooms if outlines.rooms is not None else (),
        rooms_counted_at=outlines.rooms.counted_at if outlines.rooms is not None else None,
        start_interval=start_interval,
        questions=Questions(outlines.asked - out_of_service, passing, failing - regressed, regressed, unasked),
        incidents=sorted(incidents, key=lambda each: each.place)[:SHOWN],
        incidents_in_all=len(incidents),
        more_incidents=outlines.incidents_left_out,
        used=outlines.used,
        round=outlines.round,
        census=outlines.census,
        unknown=tuple(_unknown(outlines, now)),
        reads=outlines.reads,
    )


def _answers(sync: SyncOutline, tenants: Mapping[TenantId, TenantOutline]) -> bool:
    """Whether it is of the live knowledge. Of whom there is no outline, there is no other."""
    tenant = tenants.get(sync.tenant_id)
    return tenant is None or sync.knowledge == tenant.knowledge


_OUT_OF_SERVICE = {TenantStatus.SUSPENDED, TenantStatus.OFFBOARDING}


def _may_hurt(incident: IncidentOutline, unasked_of: Set[str]) -> bool:
    """Whether somebody may be in it of whom questions are asked. Others' stays open, for they may be resumed."""
    named = {name for name, _ in incident.named}
    return incident.concern not in _OF_ANSWERS or incident.broken > len(named) or not named <= unasked_of


_OF_ANSWERS = {Concern.INGESTION, Concern.DOCUMENTS, Concern.KNOWLEDGE, Concern.QUESTIONS, Concern.REBUILDING}


# --- who is hurt ---


def trouble_of(tenant: Tenant, sync: Sync, now: datetime, stale_after: timedelta) -> Trouble | None:
    """The worst of a tenant that its record and the ledger's entry of its live knowledge say, by themselves; `None`
    where they say nothing."""
    of_tenant, of_sync = TenantOutline.of(tenant), SyncOutline.of(sync)
    found = (
        *(_of_tenant(of_tenant, now) if of_tenant is not None else ()),
        *(_of_sync(of_sync, {}, stale_after, now) if of_sync is not None and tenant.is_in_service else ()),
    )
    return min(found, key=lambda each: told_first(each.harm), default=None)


def _worst_of_each(
    outlines: FleetOutlines, syncs: Sequence[SyncOutline], now: datetime, stale_after: timedelta
) -> list[Trouble]:
    """The worst first, and of what is as bad, what has gone on for longest."""
    told = {name: harm for each in outlines.incidents for name, harm in each.named if harm is not None}
    worst: dict[TenantId, Trouble] = {}
    found = (
        *(trouble for each in outlines.tenants for trouble in _of_tenant(each, now)),
        *(trouble for each in syncs for trouble in _of_sync(each, told, stale_after, now)),
        *(trouble for each in outlines.questions for trouble in _of_questions(each)),
    )
    for trouble in found:
        known = worst.get(trouble.tenant_id)
        if known is None or told_first(trouble.harm) < told_first(known.harm):
            worst[trouble.tenant_id] = trouble
    return sorted(worst.values(), key=lambda each: (told_first(each.harm), each.since or now, each.tenant_id))


def _of_tenant(tenant: TenantOutline, now: datetime) -> Iterator[Trouble]:
    tenant_id = tenant.tenant_id
    if tenant.status is TenantStatus.FAILED:
        what = "its provisioning has failed"
        yield Trouble(tenant_id, Harm.NO_ANSWERS, tenant.since, what, f"kbfleet tenant add {tenant_id}")
    if tenant.delete_after is not None and now - tenant.delete_after > _OVERDUE_AFTER:
        what = "should have been deleted"
        command = f"kbfleet tenant offboard {tenant_id}"
        yield Trouble(tenant_id, Harm.MACHINERY_ONLY, tenant.delete_after, what, command)
    for finding in tenant.findings:
        # Of who is being provisioned, the rest is being repaired.
        stuck = tenant.status is TenantStatus.PROVISIONING and finding.disagreement is Disagreement.STUCK
        if tenant.status is not TenantStatus.ACTIVE and not stuck:
            continue
        # What must be done before the command is more than a line: the tenant's own page says it.
        # And what may be repaired already is looked at first: a repair is paid for.
        plain = finding.whole_command and not finding.before and not tenant.worked_at_since
        command = finding.whole_command if plain else f"kbfleet tenant show {tenant_id}"
        what = f"{finding.cause}; seen before it was worked at" if tenant.worked_at_since else finding.cause
        yield Trouble(tenant_id, finding.harm, tenant.found_at, what, command)
    active = tenant.status is TenantStatus.ACTIVE
    if active and tenant.unseen_since is not None and now - tenant.unseen_since >= UNSEEN_FOR:
        what = "something of it could not be looked at for a day"
        yield Trouble(tenant_id, Harm.UNKNOWN, tenant.unseen_since, what, f"kbfleet tenant show {tenant_id}")


def _of_sync(sync: SyncOutline, told: Mapping[str, Harm], stale_after: timedelta, now: datetime) -> Iterator[Trouble]:
    """Args: told: by incidents, how tenants are hurt."""
    if sync.on_hold:
        return  # it is out of service
    tenant_id = sync.tenant_id
    show = f"kbfleet tenant show {tenant_id}"
    if sync.distrusted:
        what = "its data source may read another bucket: nothing is ingested"
        yield Trouble(tenant_id, Harm.WRONG_ANSWERS, sync.pending_since, what, f"kbfleet tenant add {tenant_id}")
    if sync.hold is not None:
        # Its way on deletes documents: nobody is to copy that from here.
        what = f"a sync is held: it would delete {sync.hold.missing:,} of {sync.hold.answered_from:,} documents"
        yield Trouble(tenant_id, Harm.WRONG_ANSWERS, sync.hold.since, what, show)
    if sync.outcome is Outcome.FAILED and sync.job is None and not sync.retries:
        usual = Harm.UNKNOWN if sync.ever_synced else Harm.NO_ANSWERS
        what = "its last sync has failed"
        yield Trouble(tenant_id, told.get(tenant_id, usual), sync.ended_at, what, show)
    if sync.pending_since is not None and now - sync.pending_since > stale_after:
        what = "changes of its documents are not in the answers"
        yield Trouble(tenant_id, Harm.WRONG_ANSWERS, sync.pending_since, what, show)
    # How the last job ended says nothing any more once they were counted: they may have been tried again since.
    unknown = sync.left_out is None and sync.outcome is Outcome.DEGRADED
    if sync.left_out or sync.uncounted_since is not None or unknown:
        number = f"{sync.left_out:,}" if sync.left_out else "some"
        what = f"{number} of its documents {'is' if sync.left_out == 1 else 'are'} left out"
        command = f"kbfleet documents {tenant_id} --failed"
        since = sync.uncounted_since or sync.ended_at
        yield Trouble(tenant_id, Harm.DOCUMENTS_MISSING, since, what, command)


def _of_questions(questions: QuestionsOutline) -> Iterator[Trouble]:
    if questions.regressions:
        yield of_regressions(questions.tenant_id, questions.regressions, questions.since)


def of_regressions(tenant_id: TenantId, number: int, since: datetime | None) -> Trouble:
    """So many golden questions were known to pass, and do not any more."""
    what = f"{number} golden question{'s do' if number > 1 else ' does'} not pass any more"
    return Trouble(tenant_id, Harm.WRONG_ANSWERS, since, what, f"kbfleet questions results {tenant_id}")


_OVERDUE_AFTER = timedelta(days=3)


# --- who waits ---


def _turn(sync: SyncOutline) -> tuple[float, str]:
    due = sync.ready_at + sync.priority.patience if sync.ready_at is not None else None
    return due.timestamp() if due is not None else 0.0, sync.tenant_id


def _waiting(
    queue: Iterable[SyncOutline],
    tenants: Mapping[TenantId, TenantOutline],
    running: Mapping[KnowledgeBaseKind, int],
    now: datetime,
) -> Iterator[Waiting]:
    for ahead, sync in enumerate(queue):
        why = _why(sync, ahead, running, now)
        beside = not _answers(sync, tenants)
        yield Waiting(sync.tenant_id, why, ahead, sync.ready_at, sync.pending_since, beside)


def _why(sync: SyncOutline, ahead: int, running: Mapping[KnowledgeBaseKind, int], now: datetime) -> Why:
    if sync.ready_at is not None and sync.ready_at > now:
        if sync.postponed:
            return Why.GIVES_WAY
        if sync.retries:
            return Why.RETRY
        return Why.CHANGES if sync.priority is Priority.CHANGED else Why.SCHEDULED
    if _is_full(sync.kind, running):
        return Why.JOBS
    if sync.checking:
        return Why.CHECK
    return Why.AHEAD if ahead else Why.NEXT


def _is_full(kind: KnowledgeBaseKind, running: Mapping[KnowledgeBaseKind, int]) -> bool:
    return kind.concurrent_jobs is not None and running.get(kind, 0) >= kind.concurrent_jobs


def _next_start(
    queue: Iterable[SyncOutline],
    running: Mapping[KnowledgeBaseKind, int],
    started_at: datetime | None,
    now: datetime,
    start_interval: timedelta,
) -> datetime | None:
    ready = [each.ready_at or now for each in queue if not _is_full(each.kind, running)]
    if not ready:
        return None
    allowed = started_at + start_interval if started_at is not None else now
    return max(now, allowed, min(ready))


# --- what nobody knows ---


def _unknown(outlines: FleetOutlines, now: datetime) -> Iterator[str]:
    if not outlines.whole:
        yield f"There is more than is read for one overview: the counts are of what was read. {_EACH}"
    if outlines.unread:
        records = "1 record" if len(outlines.unread) == 1 else f"{len(outlines.unread):,} records"
        named = ", ".join(outlines.unread[:_NAMED_UNREAD])
        more = f" and {len(outlines.unread) - _NAMED_UNREAD:,} more" if len(outlines.unread) > _NAMED_UNREAD else ""
        yield f"{records} could not be read: {named}{more}. {_ITS_OWN}"
    in_service = sum(outlines.statuses.get(status, 0) for status in _IN_SERVICE)
    if not in_service:
        return  # there is nobody whom anything could hurt
    last, census, rooms = outlines.round.last, outlines.census, outlines.rooms
    if last is None:
        yield f"No round has looked into all tenants yet; one is begun each day. {_NOW}"
    elif now - last.ended_at > ROUND_OVERDUE_AFTER:
        ended = _at(last.ended_at)
        yield f"The daily round is overdue: the last one into all tenants ended at {ended}. {_NOW} {_EVERYWHERE}"
    elif last.missed:
        tenants = "1 tenant" if last.missed == 1 else f"{last.missed:,} tenants"
        yield f"The last round could not look into {tenants}, or not whole; the next one tries again. {_NOW}"
    if rooms is None or now - rooms.counted_at > COUNTED_FOR:
        since = f"since {_at(rooms.counted_at)}" if rooms is not None else "yet"
        yield f"The hourly round has not come to its end {since}: losses may be unknown. {_EVERYWHERE}"
    if census is None:
        yield "Tenants have not been counted yet, which is done every fifteen minutes: some syncs may be missing here."
    elif now - census.at > CENSUS_OVERDUE_AFTER:
        yield f"Tenants were last counted at {_at(census.at)}: stale ones may be missing here. {_EVERYWHERE}"
    elif census.missing:
        tenants = "1 tenant" if census.missing == 1 else f"{census.missing:,} tenants"
        yield f"Of {tenants} it is not known here how the last sync went: the next count, in 15 minutes, sees them."


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


_IN_SERVICE = {TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.PROVISIONING}
_NAMED_UNREAD = 3
_EACH = "`kbfleet tenant list --problems` reads what each tenant's own records say."
_ITS_OWN = (
    "A newer version has written that, or it is damaged: `kbfleet tenant show TENANT` reads a tenant's own records."
)
_NOW = "`kbfleet reconcile` looks now, and names whom it cannot look into."
_EVERYWHERE = "`kbfleet doctor` looks at each place now, and says which alarm rings."
