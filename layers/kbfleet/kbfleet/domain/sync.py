"""The sync ledger's protocol: what was requested, what is running, what came of it.

Everything that wants a sync raises the tenant's requested generation. A job records the generation it started from.
When it ends well, that generation is synced; if more was requested meanwhile, the tenant is queued again. An update can
therefore wait, but it cannot be lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Self

from kbfleet.domain.bounds import RESULTS_REASONS_BYTES
from kbfleet.domain.deletions import CHECK_STANDS, AnsweredFrom, BucketCheck, DeletionLimit, Hold, HoldReason
from kbfleet.domain.errors import DeletionsNotSeen
from kbfleet.domain.ingestion_job import (
    FailureReason,
    IngestionJob,
    JobStateChange,
    JobStatus,
    Outcome,
    Statistics,
    first_reasons,
)
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.survey import Survey


class Priority(IntEnum):
    """Lower goes first, unless the other has waited for longer than the difference of their patience: so nobody
    starves."""

    REQUESTED = 0
    """An operator or a first sync: somebody waits."""
    CHANGED = 1
    SCHEDULED = 2

    @property
    def patience(self) -> timedelta:
        return (timedelta(0), timedelta(minutes=5), timedelta(hours=1))[self]


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """Something in a bucket was created or deleted: a document, the metadata file beside one, or a version of either.

    Which one does not matter, a sync compares the whole bucket; and keys are tenants' text, which is better not had.
    """

    bucket_name: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Debounce:
    """When a tenant whose documents are changing is synced: once they have been quiet, or after a while at the latest.

    Args:
        quiet: how long nothing must have changed.
        at_most: how long the first change waits, however often others follow it.
    """

    quiet: timedelta
    at_most: timedelta

    def ready_at(self, sync: Sync, now: datetime) -> datetime:
        return min(now + self.quiet, (sync.pending_since or now) + self.at_most)


class SyncState(StrEnum):
    IDLE = "IDLE"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class RunningJob:
    """The job that the ledger follows, and the generation of changes it certainly contains.

    `pending_since` is when the oldest of those changes was requested. `external` is whether somebody else started it;
    `stop_refused`, whether Bedrock was asked to stop it and refused, mostly because it has ended. `statistics` is how
    far it was at `counted_at`, which is `None` before Bedrock has counted anything.
    """

    ingestion_job_id: str
    generation: int
    status: JobStatus
    started_at: datetime
    pending_since: datetime | None = None
    external: bool = False
    stop_refused: bool = False
    statistics: Statistics = field(default_factory=Statistics)
    counted_at: datetime | None = None

    def counted(self, statistics: Statistics, now: datetime) -> RunningJob:
        """With the newest numbers; unchanged where they are the same, or were taken a moment ago: each is a write."""
        if statistics == self.statistics:
            return self
        if self.counted_at is not None and now - self.counted_at < COUNTED_EVERY:
            return self
        return replace(self, statistics=statistics, counted_at=now)

    def as_seen(self, change: JobStateChange) -> JobStateChange:
        """A state of this job as far as it is by now; of another job, unchanged."""
        if change.ingestion_job_id != self.ingestion_job_id or self.counted_at is None or change.outcome is not None:
            return change
        return replace(change, statistics=self.statistics, occurred_at=max(change.occurred_at, self.counted_at))


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How the last sync ended. `ingestion_job_id` is `None` when Bedrock refused to start a job at all.

    Args:
        started_at: of the job; `None` in what was stored before kbfleet kept it, and where there is no job.
        documents: how many the job has found in the bucket.
        added: how many of them were not in the index before.
        left_out: how many of them it could not read.
        reasons_left_out: how many of the job's reasons are not kept here; its history has more.
    """

    outcome: Outcome
    generation: int
    ended_at: datetime
    ingestion_job_id: str | None = None
    failure_reasons: tuple[FailureReason, ...] = ()
    data_source_id: str | None = None
    started_at: datetime | None = None
    documents: int = 0
    added: int = 0
    left_out: int = 0
    reasons_left_out: int = 0

    def __post_init__(self) -> None:
        kept, left_out = first_reasons(self.failure_reasons, self.reasons_left_out, most_bytes=RESULTS_REASONS_BYTES)
        object.__setattr__(self, "failure_reasons", kept)
        object.__setattr__(self, "reasons_left_out", left_out)

    @classmethod
    def of_job(cls, job: IngestionJob, outcome: Outcome, generation: int, data_source_id: str) -> Self:
        return cls(
            outcome,
            generation,
            job.updated_at,
            job.ingestion_job_id,
            failure_reasons=job.failure_reasons,
            data_source_id=data_source_id,
            started_at=job.started_at,
            documents=job.statistics.scanned,
            added=job.statistics.new,
            left_out=job.statistics.left_out,
            reasons_left_out=job.reasons_left_out,
        )

    @property
    def answered_from(self) -> AnsweredFrom | None:
        """What the job has left in the index, if it counts."""
        if self.data_source_id is None or self.started_at is None:
            return None
        return AnsweredFrom(self.data_source_id, self.documents, self.started_at, self.ended_at, self.left_out)

    @property
    def transient(self) -> bool:
        """Whether a job failed for a cause that passes by itself, by the texts that AWS services use for those."""
        failed = self.outcome is Outcome.FAILED and self.ingestion_job_id is not None
        return failed and any(_TRANSIENT.search(reason.text) for reason in self.failure_reasons)


_TRANSIENT = re.compile(
    r"throttl|too many requests|rate exceeded|slow ?down|internal (server )?(error|failure)|internalserver"
    r"|service ?unavailable|temporarily|timed? ?out|try again|status code:? *(429|50[0234])"
    # A bucket that was just made may not show everywhere yet. One that is gone fails the job after MAX_RETRIES.
    r"|NoSuchBucket|specified bucket does not exist",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Waiter:
    """A state machine's task that wants to know how a generation ended. `fence` is of the reservation that its
    execution has; 0 where that was not kept yet."""

    task_token: str
    generation: int
    fence: int = 0


MAX_RETRIES = 3
"""Of a job that failed for a passing cause, before a person has to look."""

REFUSED_FOR_GOOD_AFTER = timedelta(hours=1)
"""What passes by itself (a bucket, an index or a role that was just made, a change of a data source) takes minutes."""

COUNTED_EVERY = timedelta(seconds=30)
"""How far a running job is, for people who wait: a tick looks at it more often."""

CROWDED_PAUSE = timedelta(seconds=20)


_FIRST_PAUSE = timedelta(minutes=1)


_LONGEST_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Sync:
    """A tenant's entry in the ledger. `version` is for optimistic locking; 0 means never stored.

    Args:
        kind: of the tenant's knowledge base; each has job limits of its own.
        synced_data_source_id: where the synced generation went: a data source that was deleted took it along.
        whole_since: when the newest job of `synced_data_source_id` began that counts, was started by kbfleet, and left
            nothing out.
        ready_at: from when on a queued tenant may be started; also the time by which it keeps its place.
        pending_since: when the oldest change was requested that no job has been started for.
        retries: how many jobs in a row failed for a passing cause.
        postponed: how often in a row its turn came to nothing.
        refused_since: when the first of these was refused for a cause of its own.
        on_hold: the tenant is out of service.
        distrusted: its data source may read a bucket that is not the tenant's: no job is started, and none counts.
        trusted_from: the first generation whose sync counts since it does not any more.
        life, knowledge: which of the tenant's the entry is about, by their numbers.
        fence: of the newest record of the tenant that has put the entry on hold or taken it off: what an older record
            says about that comes too late.
        documents_left_out: how many are in the bucket and not in the index, or not wholly; `None` while nobody knows.
        left_out_as_of: the end of the job after which they were counted.
        left_out_whole: whether the tenant's list of failing documents had all that fail when they were counted.
        uncounted_since: the end of the oldest job of which nobody has collected what it left out; `None` if there is
            none.
        survey: the last one of the tenant's bucket, or how far it has come.
        answered_from: what the next job may delete; `None` where there is nothing, or nobody knows (see `recalled`).
        check: of the bucket before the next job, while it goes on.
        checked_at: when a check has ended that lets the next job start.
        checks_begun: how many checks have begun in a row of which nobody has heard the end.
        check_again_at: from when on another is asked for, while one may be at work.
        hold: why the next job is not started; it is queued only to be checked again.
        after_hold: whether a sync was held since the last good one: what people were told of that ends with the
            next.
        empty_at: when the tenant's bucket was seen to have nothing in it, before any job.
        accepted: how many of the documents of `answered_from` may be deleted, since somebody has said so.
        outlined: whether it was stored with its outline, or without one where it has nothing to say: overviews of the
            fleet do not know of what a version from before that has stored.
    """

    tenant_id: TenantId
    kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR
    state: SyncState = SyncState.IDLE
    requested_generation: int = 0
    synced_generation: int = 0
    synced_at: datetime | None = None
    synced_data_source_id: str | None = None
    whole_since: datetime | None = None
    priority: Priority = Priority.SCHEDULED
    ready_at: datetime | None = None
    pending_since: datetime | None = None
    job: RunningJob | None = None
    result: SyncResult | None = None
    waiters: tuple[Waiter, ...] = ()
    retries: int = 0
    postponed: int = 0
    refused_since: datetime | None = None
    on_hold: bool = False
    distrusted: bool = False
    trusted_from: int = 0
    fence: int = 0
    documents_left_out: int | None = None
    left_out_as_of: datetime | None = None
    left_out_whole: bool = False
    uncounted_since: datetime | None = None
    survey: Survey | None = None
    answered_from: AnsweredFrom | None = None
    check: BucketCheck | None = None
    checked_at: datetime | None = None
    checks_begun: int = 0
    check_again_at: datetime | None = None
    hold: Hold | None = None
    accepted: int = 0
    after_hold: bool = False
    empty_at: datetime | None = None
    version: int = 0
    life: int = 1
    knowledge: int = 1
    outlined: bool = field(default=False, compare=False)

    @classmethod
    def never_stored(cls, knowledge: Knowledge) -> Self:
        return cls(knowledge.tenant_id, life=knowledge.life.number, knowledge=knowledge.number)

    @property
    def of_knowledge(self) -> Knowledge:
        return Knowledge(Life(self.tenant_id, self.life), self.knowledge)

    @property
    def is_candidates_first(self) -> bool:
        """Whether nothing was ever brought into it, and it is not a tenant's first knowledge: one becomes the live one
        only when its first sync has counted."""
        return self.knowledge > 1 and self.synced_data_source_id is None

    @property
    def pending_changes(self) -> bool:
        return self.requested_generation > self.synced_generation

    @property
    def due_at(self) -> datetime | None:
        """Whose is earliest goes first."""
        return self.ready_at + self.priority.patience if self.ready_at else None

    @property
    def attended_at(self) -> datetime | None:
        """When the last sync ended, or was requested or held if that is later; `None` when there never was one."""
        ended = self.result.ended_at if self.result else None
        seen = self.hold.seen_at if self.hold else None
        times = (self.synced_at, ended, self.pending_since, seen, self.empty_at)
        return max((time for time in times if time), default=None)

    def stale_since(self) -> datetime | None:
        """Since when the oldest change waits that is not synced; `None` when everything is."""
        times = [since for since in (self.pending_since, self.job.pending_since if self.job else None) if since]
        return min(times, default=None) if self.pending_changes else None

    # --- requesting ---

    def of_kind(self, kind: KnowledgeBaseKind) -> Sync:
        return replace(self, kind=kind)

    def requested(
        self,
        now: datetime,
        priority: Priority,
        task_token: str | None = None,
        *,
        fence: int = 0,
        ready_at: datetime | None = None,
    ) -> Sync:
        """One more generation is wanted; an idle tenant joins the queue, a running one is queued when its job ends.

        Args:
            task_token, fence: of the task that waits for it.
            ready_at: from when on it may be started; now, if not given. An earlier time that was promised before stays.
        """
        generation = self.requested_generation + 1
        waiters = (*self.waiters, Waiter(task_token, generation, fence)) if task_token else self.waiters
        raised = replace(
            self, requested_generation=generation, waiters=waiters, pending_since=self.pending_since or now
        )
        if self.barred:
            return raised
        best, ready = self._place(priority, ready_at or now)
        queued = replace(raised, priority=best, ready_at=ready)
        return replace(queued, state=SyncState.QUEUED) if self.state is SyncState.IDLE else queued

    def awaited_by(self, task_token: str, fence: int) -> Sync:
        """Whoever waits by that reservation does so by another task, for what is requested already. Nobody else waits
        any more: a tenant is provisioned by one execution at a time, and its entry must not grow with every task."""
        own = (replace(waiter, task_token=task_token) for waiter in self.waiters if waiter.fence == fence)
        return replace(self, waiters=tuple(own)[-1:])

    @property
    def never_used(self) -> bool:
        """Whether no sync was ever requested, and no job has left anything behind."""
        untouched = self.result is None and self.job is None and self.synced_data_source_id is None
        return untouched and self.answered_from is None and self.requested_generation == 0

    def found_empty(self, now: datetime) -> Sync:
        """There was nothing in the bucket, and no job yet: the first one comes with the first documents."""
        return replace(self, empty_at=now)

    def tried_again(self, now: datetime) -> Sync:
        """Changes wait, and nothing is under way that takes them up, since the last sync has failed: another is
        requested. Else unchanged."""
        left = self.state is SyncState.IDLE and self.pending_changes and not self.barred
        return self.requested(now, Priority.REQUESTED) if left else self

    def _place(self, priority: Priority, ready: datetime) -> tuple[Priority, datetime]:
        """Where in the queue it belongs after a request of that priority that is ready then."""
        if self.ready_at is None:
            return priority, ready
        if priority > self.priority:
            return self.priority, self.ready_at
        if priority is self.priority is Priority.CHANGED:
            return priority, ready  # changes go on: the quiet period begins anew
        return priority, min(ready, self.ready_at)

    def has_synced(self, data_source_id: str) -> bool:
        """Whether that data source has been ingested at least once."""
        return self.synced_generation > 0 and self.synced_data_source_id == data_source_id

    # --- what no event has told of ---

    def has_surveyed(self, events_since: datetime) -> bool:
        """Whether the bucket was listed since the events that were asked for then come for certain."""
        return self.survey is not None and self.survey.ended and self.survey.events_since == events_since

    def surveyed(self, survey: Survey) -> Sync:
        """So far the bucket was listed, and nothing was found in it that no job has seen."""
        return self if self.has_surveyed(survey.events_since) else replace(self, survey=survey)

    def found_unnoticed(self, events_since: datetime, now: datetime) -> Sync:
        """There is, or may be, something in the bucket that no job has seen: it is synced, once for each survey.
        Unchanged while a sync is queued or runs, or must not: what becomes of that says whether there still is."""
        if self.has_surveyed(events_since) or self.state is not SyncState.IDLE or self.barred:
            return self
        return replace(self, survey=Survey(events_since, ended=True)).requested(now, Priority.CHANGED)

    @property
    def barred(self) -> bool:
        """Whether no job may be started, whatever it would do. What is requested meanwhile is remembered."""
        return self.on_hold or self.distrusted

    def not_to_be_trusted(self) -> Sync:
        """What is in the index may be another tenant's, and so might be whatever a job brought: none is started until
        `trusted_again`, and one that runs is followed to its end and does not count. Whoever waits for a sync has
        nothing to wait for."""
        distrusted = replace(self._off_the_queue(), distrusted=True, waiters=(), hold=None, accepted=0)
        return replace(distrusted, synced_data_source_id=None, whole_since=None, answered_from=None)

    def trusted_again(self, now: datetime) -> Sync:
        """The data source reads the tenant's own bucket: a sync is requested, and is the first that counts."""
        if not self.distrusted:
            return self
        trusted = replace(self, distrusted=False, trusted_from=self.requested_generation + 1)
        return trusted.requested(now, Priority.CHANGED)

    def _trusts(self, result: SyncResult) -> bool:
        """Whether it says anything of the tenant's own documents."""
        return not self.distrusted and result.generation >= self.trusted_from

    # --- out of service, and back ---

    def put_on_hold(self, fence: int) -> Sync:
        """No job is started from here on; what is requested meanwhile is remembered. A running job is still followed
        to its end, and whoever waits for a sync has nothing to wait for.

        Args:
            fence: of the tenant's record that says so. Unchanged when a newer one has decided.
        """
        if fence < self.fence:
            return self
        return replace(self._off_the_queue(), on_hold=True, waiters=(), fence=fence)

    def taken_off_hold(self, now: datetime, fence: int) -> Sync:
        """What was requested meanwhile, or was left over before, is requested anew.

        Args:
            fence: of the record that has the tenant in service. Unchanged when a newer one has decided.
        """
        if fence < self.fence:
            return self
        released = replace(self, on_hold=False, fence=fence)
        return released.requested(now, Priority.CHANGED) if self.on_hold and self.pending_changes else released

    def called_off(self) -> Sync:
        """Nothing is started until something is requested again; what is pending stays pending. What somebody has
        accepted to lose counts no more."""
        return replace(self._off_the_queue(), waiters=(), accepted=0)

    def live_from(self, now: datetime) -> Sync:
        """Its knowledge is the one that answers from here on: a sync is requested, since what no event has told of was
        brought into the other only. People were not told that its next sync is held: if it is, they are."""
        return replace(self, hold=None).requested(now, Priority.CHANGED)

    def laid_to_rest(self) -> Sync:
        """It is about a life that is over, or a knowledge that leaves: nothing runs or waits in it any more."""
        return replace(self._off_the_queue(), state=SyncState.IDLE, job=None, waiters=(), hold=None, accepted=0)

    def _off_the_queue(self) -> Sync:
        left = replace(self, ready_at=None, priority=Priority.SCHEDULED, retries=0, postponed=0, refused_since=None)
        left = replace(left._check_ended(), check=None, checked_at=None)
        return replace(left, state=SyncState.IDLE) if self.state is SyncState.QUEUED else left

    def dismissed_by(self, changed: Sync) -> tuple[Waiter, ...]:
        """Who waits in this entry, and would not in the changed one."""
        return tuple(waiter for waiter in self.waiters if waiter not in changed.waiters)

    # --- what the next job would delete ---

    @property
    def unrecalled(self) -> bool:
        """Whether it was synced before kbfleet kept what is answered from."""
        return self.answered_from is None and self.synced_data_source_id is not None

    def recalled(self, answered_from: AnsweredFrom) -> Sync:
        """What is answered from was found out elsewhere."""
        return replace(self, answered_from=answered_from) if self.unrecalled else self

    def needs_check(self, now: datetime) -> bool:
        """Whether the bucket is to be looked into before the next job is started."""
        if not self.unrecalled and not (self.answered_from and self.answered_from.answered):
            return False
        return self.checked_at is None or now - self.checked_at >= CHECK_STANDS

    def check_is_due(self, now: datetime) -> bool:
        """Whether a check is to be asked for: it needs one, and none is known to be at work."""
        return self.needs_check(now) and (self.check_again_at is None or self.check_again_at <= now)

    def check_begun(self, now: datetime) -> Sync:
        """A check is at work. Should nobody hear of its end, another is asked for later, and later each time: whose
        check dies keeps nobody else from theirs."""
        if self.state is not SyncState.QUEUED:
            return self
        return replace(self, checks_begun=self.checks_begun + 1, check_again_at=now + _pause(self.checks_begun))

    def _check_ended(self) -> Sync:
        return replace(self, checks_begun=0, check_again_at=None)

    def checking(self, check: BucketCheck) -> Sync:
        """So far the bucket was listed."""
        if self.state is not SyncState.QUEUED or check.of != self.answered_from:
            return self
        return replace(self._check_ended(), check=check)

    def with_nothing_to_delete(self, now: datetime) -> Sync:
        """What was answered from went with its data source, or with the tenant's life."""
        return replace(self, answered_from=None, accepted=0)._let_through(now)

    def checked(self, check: BucketCheck, limit: DeletionLimit, now: datetime) -> Sync:
        """The bucket was listed to its end: the next job may start, or is held. Unchanged when there is none that
        waits to be started, or when something else is answered from by now."""
        if check.of != self.answered_from:
            return self
        reason = limit.reason(check, self.accepted)
        if reason is not None:
            return self._held(reason, check.missing, now)
        # What somebody has accepted to lose, and that came back, is not accepted any more.
        needed = limit.reason(check, 0) is not None
        return replace(self, accepted=self.accepted if needed else 0)._let_through(now)

    def unchecked(self, answered_from: AnsweredFrom, reason: HoldReason, now: datetime) -> Sync:
        """The bucket cannot be listed: nothing of what is answered from may be left in it."""
        if answered_from != self.answered_from:
            return self
        if answered_from.answered <= self.accepted:
            return self._let_through(now)
        return self._held(reason, answered_from.answered, now)

    def _let_through(self, now: datetime) -> Sync:
        if self.state is not SyncState.QUEUED:
            return self
        return replace(self._check_ended(), hold=None, check=None, checked_at=now)

    def _held(self, reason: HoldReason, missing: int, now: datetime) -> Sync:
        """Off the queue, until it is requested again, for another check. Whoever waits for a sync has nothing to wait
        for: the knowledge base goes on with what it has."""
        if self.state is not SyncState.QUEUED or self.answered_from is None:
            return self
        since = self.hold.since if self.hold else now
        hold = Hold(reason, missing, self.answered_from.answered, since, now)
        return replace(self._off_the_queue(), hold=hold, after_hold=True, waiters=())

    def accepting(self, deletions: int) -> Sync:
        """Somebody has seen that so many documents would be deleted, and wants the sync all the same. It holds until
        the next job that counts; what is missing beside it is held anew. Unchanged where no sync is held.

        Raises:
            DeletionsNotSeen: more are missing by now.
        """
        if self.hold is None:
            return self
        if self.hold.missing > deletions:
            raise DeletionsNotSeen(
                f"{self.hold.missing} documents would be deleted by now, which is more than {deletions}. "
                f"{self.hold.sentence}",
                remedy=f"Look again; then, if all of them are to go: `{self.hold.command(self.tenant_id)}`.",
            )
        return replace(self, accepted=self.hold.missing)

    # --- running ---

    @property
    def start_token(self) -> str:
        """What distinguishes one start from the next one of the same generation: under the same client token, Bedrock
        answers with the job that has ended."""
        return f"{self.requested_generation}-{self.retries}"

    def started(self, job: IngestionJob, generation: int) -> Sync:
        """A job runs that read the documents after `generation` was requested."""
        covered = generation >= self.requested_generation
        running = RunningJob(job.ingestion_job_id, generation, job.status, job.started_at, self.pending_since)
        entry = replace(self, state=SyncState.RUNNING, job=running, postponed=0, refused_since=None)
        entry = replace(entry._check_ended(), check=None, checked_at=None)
        return replace(entry, priority=Priority.SCHEDULED, ready_at=None, pending_since=None) if covered else entry

    def adopted(self, job: IngestionJob) -> Sync:
        """A job that somebody else started: it may have read the documents before our changes, so it proves nothing
        newer than what is synced already, and the tenant is queued again when it ends."""
        entry = self.started(job, self.synced_generation)
        return replace(entry, job=replace(entry.job, external=True)) if entry.job else entry

    def noted(self, result: SyncResult) -> Sync:
        """A job that the ledger has not followed ended so. It proves nothing about what is pending; but it is how the
        newest sync ended, unless a later result is known."""
        known = self.result
        if known is not None and known.ended_at >= result.ended_at:
            return self
        noted = self._uncounted(result, replace(self, result=result))
        # Whether it has read the tenant's own bucket, nobody knows while nothing is known to be answered from.
        known_to_be_own = not self.distrusted and (not self.trusted_from or self.answered_from is not None)
        return noted._left_in_the_index(result) if known_to_be_own else noted

    def _left_in_the_index(self, result: SyncResult) -> Sync:
        """What is answered from after a job. With one that counts, a hold is over, whoever started it."""
        before, left = self.answered_from, result.answered_from
        if left is None:
            return self
        if result.outcome.usable:
            return replace(self, answered_from=left, hold=None, accepted=0, after_hold=False)
        if not result.added:
            return self
        if before is None or before.data_source_id != left.data_source_id:
            return replace(self, answered_from=replace(left, documents=result.added, left_out=0))
        return replace(self, answered_from=before.with_more(result.added, result.ended_at))

    def _uncounted(self, result: SyncResult, entry: Sync) -> Sync:
        """The entry after a job. One that left something out, or brought nothing, is not counted yet, unless whoever
        counts was faster than the ledger."""
        counted = self.left_out_as_of is not None and self.left_out_as_of >= result.ended_at
        if counted or result.outcome is Outcome.SUCCEEDED:
            return entry
        since = min(self.uncounted_since or result.ended_at, result.ended_at)
        return replace(entry, documents_left_out=None, uncounted_since=since)

    def missed_before(self, job_ended_at: datetime) -> bool:
        """Whether there is a job that ended before that one, and what it left out was never collected."""
        return self.uncounted_since is not None and self.uncounted_since < job_ended_at

    def counted_left_out(
        self, failing: int, outcome: Outcome, as_of: datetime, *, whole: bool, looked_through: bool = False
    ) -> Sync:
        """After a job that could be used, so many documents are in the tenant's list of those that fail.

        Args:
            outcome, as_of: of the job, and when it ended. One that ended before the counted one changes nothing.
            whole: whether these are all that fail; else nobody knows how many are left out.
            looked_through: whether they were looked for among all documents, and not only among what the job names: so
                what earlier jobs left out is among them.
        """
        if self.left_out_as_of is not None and as_of < self.left_out_as_of:
            return self
        newer = self.result is not None and self.result.ended_at > as_of
        in_between = newer and self.result is not None and self.result.outcome is not Outcome.SUCCEEDED
        missed = self.uncounted_since
        if missed is not None and as_of >= missed and (looked_through or not (newer or self.missed_before(as_of))):
            missed = None
        counted = replace(
            self,
            documents_left_out=failing if whole and not in_between and missed is None else None,
            left_out_whole=whole,
            uncounted_since=missed,
        )
        if counted == self and self.left_out_as_of is not None and outcome is Outcome.SUCCEEDED:
            return self
        return replace(counted, left_out_as_of=as_of)

    def left_out_fixed(self, failing: int) -> Sync:
        """Documents were tried again without a job, and so many are still in the list."""
        return replace(self, documents_left_out=failing) if self.documents_left_out is not None else self

    def given_way(self, now: datetime, *, crowded: bool, own: bool = False) -> Sync:
        """A queued tenant whose start came to nothing gives way for a while: there is one start in ten seconds for
        the whole fleet, and one tenant's trouble must not use them all up.

        Args:
            crowded: whether the account seemed to have too many jobs, which is over when any of them ends; else it is
                the tenant's own trouble, and it gives way for longer each time.
            own: whether Bedrock has refused it for a cause that only this tenant can have.
        """
        pause = CROWDED_PAUSE if crowded else _pause(self.postponed)
        since = (self.refused_since or now) if own else self.refused_since
        return replace(
            self._check_ended(), ready_at=now + pause, postponed=self.postponed + (not crowded), refused_since=since
        )

    def refused_for_good(self, now: datetime) -> bool:
        """Whether causes of its own have kept it from its turn for so long that somebody has to look."""
        return self.refused_since is not None and now - self.refused_since >= REFUSED_FOR_GOOD_AFTER

    def progressed(self, job: IngestionJob, now: datetime) -> Sync:
        """The followed job is in that status, and so far. Unchanged where there is nothing new to say."""
        if self.job is None:
            return self
        followed = replace(self.job.counted(job.statistics, now), status=job.status)
        return self if followed == self.job else replace(self, job=followed)

    def refused_to_stop(self, ingestion_job_id: str) -> Sync:
        """Unchanged when another job is followed by now."""
        if self.job is None or self.job.ingestion_job_id != ingestion_job_id:
            return self
        return replace(self, job=replace(self.job, stop_refused=True))

    def will_retry(self, result: SyncResult) -> bool:
        """Whether the sync is tried again by itself after that end."""
        return result.transient and self.retries < MAX_RETRIES and not self.barred

    def ended(self, result: SyncResult, now: datetime) -> Sync:
        """The followed job ended, or Bedrock refused to start one for `result.generation`."""
        counts = result.outcome.usable and self._trusts(result)
        retry = self.will_retry(result)
        oldest = self.job.pending_since if self.job and not counts else None
        entry = replace(
            self,
            job=None,
            result=result,
            synced_generation=max(self.synced_generation, result.generation) if counts else self.synced_generation,
            synced_at=now if counts else self.synced_at,
            synced_data_source_id=result.data_source_id if counts else self.synced_data_source_id,
            whole_since=self._whole_since(result) if counts else self.whole_since,
            pending_since=oldest or self.pending_since,
            waiters=self.waiters if retry else self._left_waiting(result),
            retries=self.retries + 1 if retry else 0,
            postponed=0,
            refused_since=None,
        )
        entry = entry._left_in_the_index(result) if self._trusts(result) else entry
        entry = self._uncounted(result, entry)
        if self.barred:
            return replace(entry, state=SyncState.IDLE, ready_at=None)
        if retry:
            pause = now + _pause(self.retries)
            return replace(entry, state=SyncState.QUEUED, ready_at=pause, priority=min(self.priority, Priority.CHANGED))
        if self.requested_generation > result.generation:
            return replace(entry, state=SyncState.QUEUED, ready_at=self.ready_at or now)
        return replace(
            entry,
            state=SyncState.IDLE,
            priority=Priority.SCHEDULED,
            ready_at=None,
            pending_since=None if counts else entry.pending_since,
        )

    def _whole_since(self, result: SyncResult) -> datetime | None:
        """After a job that counts. What somebody else started is not known to have been started for this."""
        if self.job and not self.job.external and result.outcome is Outcome.SUCCEEDED:
            return self.job.started_at
        return self.whole_since if result.data_source_id == self.synced_data_source_id else None

    def _left_waiting(self, result: SyncResult) -> tuple[Waiter, ...]:
        if not self._trusts(result):
            return self.waiters
        return tuple(waiter for waiter in self.waiters if waiter.generation > result.generation)


def _pause(times: int) -> timedelta:
    return (
        _LONGEST_PAUSE if times > _LONGEST_PAUSE // _FIRST_PAUSE else min(_FIRST_PAUSE * (1 << times), _LONGEST_PAUSE)
    )
