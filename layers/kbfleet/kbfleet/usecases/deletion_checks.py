"""Before a sync, the tenant's bucket is compared with what is answered from: a sync that would delete much is held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.deletions import AnsweredFrom, BucketCheck, HoldReason, SyncHeld
from kbfleet.domain.document_names import key_in
from kbfleet.domain.errors import (
    AccessRefused,
    AwsRefusal,
    ConcurrentUpdate,
    ResourceMissing,
    Retryable,
)
from kbfleet.domain.sync import SyncState
from kbfleet.usecases.ingestion import save_sync, update_sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kbfleet.domain.deletions import DeletionLimit
    from kbfleet.domain.errors import KbfleetError
    from kbfleet.domain.names import Knowledge, Life, ResourceNames
    from kbfleet.domain.sync import Sync, Waiter
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        BucketContents,
        Clock,
        DeletionChecks,
        FailedDocuments,
        JobHistory,
        SyncLedger,
        TaskCallbacks,
        TenantRegistry,
        Ticks,
    )

_RECALLED = 100
"""Jobs that are looked at for the last one that counts, of a tenant that was synced before kbfleet kept that."""
_DOUBTED = 3
"""How often a bucket must not show before it counts as gone: one that was just made may not show everywhere yet."""
_ATTEMPTS = 20
"""At an entry that others write, too, as in `update_sync`."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check came to: the entry as it is now, and what keeps the check from its end, if anything does."""

    sync: Sync
    postponed: KbfleetError | None = None


@dataclass(frozen=True, slots=True)
class DeletionCheck:
    """Checks one tenant's bucket, if its next job waits for that.

    It may run beside itself, be repeated, or die anywhere: what it has not written down is counted again. People hear
    of a sync that is held before the ledger says so.

    Args:
        checks: for a bucket that takes longer than one run.
        limit: how much a sync may delete without anybody being asked.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    history: JobHistory
    failed_documents: FailedDocuments
    bucket_contents: BucketContents
    announcements: Announcements
    callbacks: TaskCallbacks
    checks: DeletionChecks
    ticks: Ticks
    clock: Clock
    names: ResourceNames
    limit: DeletionLimit

    def run(self, knowledge: Knowledge, until: datetime) -> CheckReport:
        """
        Args:
            until: when to stop, and leave the rest to the next run.

        Raises:
            ConcurrentUpdate: others were faster again and again.
        """
        sync = self.ledger.find(knowledge)
        if sync.state is not SyncState.QUEUED or not sync.needs_check(self.clock.now()):
            return CheckReport(sync)
        # Before anything that can die: then others have their turn.
        sync = self._write(knowledge, lambda entry: entry.check_begun(self.clock.now()))
        try:
            sync = self._checked(sync, until)
        except (AwsRefusal, Retryable) as error:
            return CheckReport(self._give_way(knowledge), error)
        if sync.state is SyncState.QUEUED and not sync.needs_check(self.clock.now()):
            self.ticks.request()
        return CheckReport(sync)

    def _checked(self, sync: Sync, until: datetime) -> Sync:
        knowledge = sync.of_knowledge
        record = self.registry.find(knowledge.tenant_id)
        known = record is not None and not record.is_over(knowledge.life)
        tenant = record.seen_from(knowledge) if record is not None and known else None
        if tenant is None or tenant.data_source_id is None:
            # There is nothing to start either: the tick says so.
            return self._write(knowledge, lambda entry: entry.with_nothing_to_delete(self.clock.now()))
        if sync.unrecalled:
            sync = self._recalled(sync, tenant)
        answered_from = sync.answered_from
        if answered_from is None or answered_from.data_source_id != tenant.data_source_id:
            return self._write(knowledge, lambda entry: entry.with_nothing_to_delete(self.clock.now()))
        try:
            check = self._counted(sync, answered_from, until)
        except ResourceMissing:
            if sync.postponed < _DOUBTED:
                raise
            return self._conclude(tenant, lambda entry, now: entry.unchecked(answered_from, HoldReason.GONE, now))
        except AccessRefused:
            return self._conclude(tenant, lambda entry, now: entry.unchecked(answered_from, HoldReason.UNREADABLE, now))
        if not check.ended:
            after = self._write(knowledge, lambda entry: entry.checking(check))
            self.checks.request(after)
            return after
        return self._conclude(tenant, lambda entry, now: entry.checked(check, self.limit, now))

    def _recalled(self, sync: Sync, tenant: Tenant) -> Sync:
        """Of a tenant that was synced before kbfleet kept what is answered from, the history mostly knows. Where it
        does not, one document is taken for certain, since a sync has counted: an empty bucket is noticed all the
        same."""
        found = None
        for job in self.history.latest(tenant.this_life, _RECALLED):
            usable = job.outcome is not None and job.outcome.usable
            if usable and job.started_at is not None and job.data_source.data_source_id == tenant.data_source_id:
                source = job.data_source.data_source_id
                counts = job.statistics
                found = AnsweredFrom(source, counts.scanned, job.started_at, job.occurred_at, counts.left_out)
                break
        if found is None and sync.synced_data_source_id and sync.synced_at:
            found = AnsweredFrom(sync.synced_data_source_id, 1, sync.synced_at, sync.synced_at)
        if found is None:
            return sync
        recalled = found
        return self._write(sync.of_knowledge, lambda entry: entry.recalled(recalled))

    def _counted(self, sync: Sync, answered_from: AnsweredFrom, until: datetime) -> BucketCheck:
        """How far the bucket is compared now."""
        bucket = self.names.bucket(sync.of_knowledge.life)
        left_out = self._left_out(sync.of_knowledge.life, answered_from)
        check = sync.check
        if check is None or check.of != answered_from or check.left_out != len(left_out):
            check = BucketCheck(answered_from, left_out=len(left_out))
        while True:
            page = self.bucket_contents.compared(bucket, answered_from, left_out, check.after)
            check = replace(
                check,
                kept=check.kept + page.kept,
                deleted=check.deleted + page.deleted,
                added=check.added + page.added,
                after=page.following,
                ended=page.following is None,
            )
            if check.ended or self.clock.now() >= until:
                return check

    def _left_out(self, life: Life, answered_from: AnsweredFrom) -> frozenset[str]:
        """Keys of documents of which nothing is answered from, so that they may go. The list of them may lag behind
        the job: one that names more than the job has left out is of the job before."""
        if not answered_from.left_out:
            return frozenset()
        bucket = self.names.bucket(life)
        listed = frozenset(key_in(bucket, document.uri) for document in self.failed_documents.all(life))
        return listed if len(listed) <= answered_from.left_out else frozenset()

    def _conclude(self, tenant: Tenant, conclusion: Callable[[Sync, datetime], Sync]) -> Sync:
        """Stores the entry that a check has come to, after people were told of it.

        Args:
            tenant: as it is seen from the knowledge that was checked.
        """

        def answer(waiter: Waiter) -> None:
            self.callbacks.succeed(waiter.task_token, {"outcome": "HELD"})

        return _concluded(
            tenant,
            lambda entry: conclusion(entry, self.clock.now()),
            ledger=self.ledger,
            announcements=self.announcements,
            answer=answer,
        )

    def _give_way(self, knowledge: Knowledge) -> Sync:
        """As after a start that came to nothing."""
        now = self.clock.now()
        return self._write(
            knowledge,
            lambda entry: entry.given_way(now, crowded=False) if entry.state is SyncState.QUEUED else entry,
        )

    def _write(self, knowledge: Knowledge, change: Callable[[Sync], Sync]) -> Sync:
        return update_sync(knowledge, change, ledger=self.ledger)


def _concluded(
    tenant: Tenant,
    conclusion: Callable[[Sync], Sync],
    *,
    ledger: SyncLedger,
    announcements: Announcements,
    answer: Callable[[Waiter], None],
) -> Sync:
    """Stores an entry after people were told of it, where it holds a sync that was not held, or otherwise. Of a
    knowledge that answers nobody they are not: the one that does is held for the same.

    Raises:
        ConcurrentUpdate: others were faster again and again.
    """

    knowledge = tenant.live_knowledge
    for _ in range(_ATTEMPTS):
        before = ledger.find(knowledge)
        after = conclusion(before)
        if after == before:
            return before
        hold = after.hold
        if hold is not None and not hold.tells_what(before.hold) and not tenant.is_seen_from_beside:
            announcements.sync_held(
                SyncHeld(
                    knowledge.tenant_id,
                    before.requested_generation,
                    hold,
                    worse=hold.worse_than(before.hold),
                    life=knowledge.life.number,
                )
            )
        try:
            return save_sync(before, after, ledger=ledger, answer=answer)
        except ConcurrentUpdate:
            continue
    raise ConcurrentUpdate(f"The ledger entry of tenant {knowledge.life} changed {_ATTEMPTS} times in a check.")
