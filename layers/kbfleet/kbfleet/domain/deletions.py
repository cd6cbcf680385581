"""Nothing is emptied unasked: what a sync would delete of what is answered from, and when it is held for that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.names import Life, TenantId

FEW_DOCUMENTS = 10
"""So many may go without anybody being asked, however small the tenant is."""
CHECK_STANDS = timedelta(minutes=3)
"""How long a bucket counts as it was when it was checked. What is deleted within that time goes with the sync. The next
tick may come a minute later."""


@dataclass(frozen=True, slots=True)
class AnsweredFrom:
    """What the last job that counts has left in the index.

    Args:
        documents: how many it has found in the bucket.
        read_from, read_until: when it began and ended. What was put into the bucket by then, it may have read.
        left_out: how many of the documents it could not read.
    """

    data_source_id: str
    documents: int
    read_from: datetime
    read_until: datetime
    left_out: int = 0

    @property
    def answered(self) -> int:
        """How many documents are answered from."""
        return max(0, self.documents - self.left_out)

    def with_more(self, added: int, ended_at: datetime) -> AnsweredFrom:
        """After a job that does not count, but has added so many before it failed."""
        return replace(self, documents=self.documents + added, read_until=max(self.read_until, ended_at))


@dataclass(frozen=True, slots=True)
class BucketCheck:
    """How far a tenant's bucket has been compared with what is answered from, and what was counted up to there.

    Args:
        kept: documents that are there under a key under which there was one when the index was made.
        deleted: keys of which the newest version says that a document was deleted since then.
        added: documents under other keys.
        left_out: how many documents are known by name that could not be read. None of the other numbers counts them.
        after: S3's own words for the place where the list is to be read on; `None` at the beginning.
        ended: whether nothing is left to be listed.
    """

    of: AnsweredFrom
    kept: int = 0
    deleted: int = 0
    added: int = 0
    after: str | None = None
    ended: bool = False
    left_out: int = 0

    @property
    def missing(self) -> int:
        """How many of the documents that are answered from a sync would delete, at most. Of a document whose versions
        were deleted for good, the list shows nothing: there, fewer are kept than were read."""
        return min(self.of.answered, max(self.deleted, self.of.documents - self.left_out - self.kept))


class HoldReason(StrEnum):
    """Why a sync is held. The first three come of what is in the bucket."""

    DELETIONS = "DELETIONS"
    EMPTY = "EMPTY"
    REPLACED = "REPLACED"
    GONE = "GONE"
    UNREADABLE = "UNREADABLE"


@dataclass(frozen=True, slots=True)
class Hold:
    """A sync that is not started before somebody says so, for what it would delete.

    Args:
        missing: how many documents that are answered from are not in the bucket any more, as far as that is known.
        answered_from: how many are answered from in all.
        since: since when the sync is held, in one row.
        seen_at: when the bucket was last looked into.
    """

    reason: HoldReason
    missing: int
    answered_from: int
    since: datetime
    seen_at: datetime

    @property
    def sentence(self) -> str:
        """What is wrong, for people."""
        return _SENTENCES[self.reason].format(missing=f"{self.missing:,}", all=f"{self.answered_from:,}")

    def command(self, tenant_id: TenantId) -> str:
        """Has the sync go on all the same. It names what is accepted: more than that is held again."""
        return f"kbfleet sync start {tenant_id} --accept-deletions {self.missing}"

    @property
    def way_out(self) -> str:
        """What to do, as an introduction to the command."""
        if self.reason in {HoldReason.REPLACED, HoldReason.GONE}:
            return (
                "Put all documents into the bucket first. kbfleet cannot see that they are the same: once all are "
                "back, this reads them in, and deletes what is not:"
            )
        if self.reason is HoldReason.UNREADABLE:
            return (
                "Take out of its policy what denies listing it, and it goes on by itself. To let it delete whatever is "
                "not there:"
            )
        return "Put them back, and it goes on by itself. To delete them for good:"

    def tells_what(self, earlier: Hold | None) -> bool:
        """Whether it tells people what the earlier one did."""
        return earlier is not None and replace(earlier, since=self.since, seen_at=self.seen_at) == self

    def worse_than(self, earlier: Hold | None) -> bool:
        return earlier is None or self.missing > earlier.missing


_SENTENCES = {
    HoldReason.DELETIONS: "{missing} of the {all} documents that are answered from are not in the bucket any more. "
    "A sync would delete them from the knowledge base.",
    HoldReason.EMPTY: "The bucket holds no document any more. A sync would delete everything that is answered from.",
    HoldReason.REPLACED: "The bucket holds none of the {all} documents that are answered from, nor a trace of them: it "
    "may have been made anew. A sync would delete them from the knowledge base.",
    HoldReason.GONE: "The bucket is gone. Once there is one again, a sync would delete everything that is answered "
    "from.",
    HoldReason.UNREADABLE: "kbfleet may not list the bucket. A sync might delete everything that is answered from.",
}


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """How much a sync may delete without anybody being asked: `share` per cent of what is answered from, and
    `FEW_DOCUMENTS` at least."""

    share: int

    def reason(self, check: BucketCheck, accepted: int) -> HoldReason | None:
        """Why a sync is to be held after a check that has ended; `None` if it is not.

        Args:
            accepted: how many missing documents somebody has accepted since the index was made.
        """
        if check.missing <= accepted:
            return None
        if not check.kept and not check.added:
            return HoldReason.EMPTY
        if not check.kept and not check.deleted:
            return HoldReason.REPLACED
        more = check.missing - accepted
        large = more > FEW_DOCUMENTS and more * 100 > self.share * check.of.answered
        return HoldReason.DELETIONS if large else None


@dataclass(frozen=True, slots=True)
class SyncHeld:
    """What is published of a sync that is held, once for each that is: `generation` is the one that was wanted.

    Args:
        worse: whether more is missing than people have been told of.
    """

    tenant_id: TenantId
    generation: int
    hold: Hold
    worse: bool
    life: int = 1

    @property
    def identity(self) -> str:
        """The same for every repetition."""
        of = self.tenant_id if Life(self.tenant_id, self.life).is_first else f"{self.tenant_id}.{self.life}"
        return f"{of}/held/{self.generation}"
