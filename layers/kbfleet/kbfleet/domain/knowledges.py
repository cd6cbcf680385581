"""What a tenant's record keeps of one knowledge, and of the one beside that which answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.comparison import Comparison
from kbfleet.domain.profiles import BY_THE_STACK, ProfileReference
from kbfleet.domain.workflow import WorkflowFailure

TOLERANCE = 5
"""Percentage points by which fewer golden questions may find their document in what is promoted."""
KEPT_FOR = timedelta(hours=24)
"""What was live, or was compared, unless somebody says otherwise."""
MAX_KEPT_FOR = timedelta(days=30)
"""Each takes one of the hundred knowledge bases of a Region."""


@dataclass(frozen=True, slots=True)
class KnowledgeRecord:
    """The fields of a tenant's record that are of one knowledge, by the names that they have there."""

    knowledge: int
    knowledge_store: str
    profile: ProfileReference = BY_THE_STACK
    knowledge_store_reference: str | None = None
    knowledge_base_id: str | None = None
    data_source_id: str | None = None
    drift: tuple[str, ...] = ()
    index_made_at: datetime | None = None
    data_source_made_at: datetime | None = None
    knowledge_base_alone: bool | None = None


class Role(StrEnum):
    """What the knowledge is that a record has beside its own."""

    CANDIDATE = "CANDIDATE"
    """It is being built, or was built and compared, and may become the live one."""
    RETIRED = "RETIRED"
    """It was live, is kept up to date, and may become it again."""
    LEAVING = "LEAVING"
    """It is being deleted. Nothing leads back from here."""


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What somebody wants built.

    Args:
        profile, knowledge_store: by which the documents are read, and where their vectors are.
        keep: for how long what is not live is kept after a promotion, a rollback, a refusal or a failure.
        tolerance: percentage points by which fewer golden questions may find their document.
        compare_only: whether nothing is promoted.
    """

    requested_at: datetime
    knowledge_store: str
    profile: ProfileReference = BY_THE_STACK
    keep: timedelta = KEPT_FOR
    tolerance: int = TOLERANCE
    compare_only: bool = False

    def builds_as(self, other: RebuildPlan) -> bool:
        """Whether both want the same built, whatever is to become of it."""
        return (self.profile, self.knowledge_store) == (other.profile, other.knowledge_store)

    def candidate(self, number: int) -> KnowledgeRecord:
        """Of which there is nothing yet, nor can be: its number was never given before."""
        return KnowledgeRecord(number, self.knowledge_store, self.profile, knowledge_base_alone=True)


@dataclass(frozen=True, slots=True)
class Beside:
    """The knowledge beside the live one.

    Args:
        since: when it came into its role.
        plan: by which it was built; of one that is retired, by which the live one was.
        keep_until: when it is to be deleted, unless somebody decides otherwise; `None` while it is being built.
        answered_until: when it was last live; `None` for one that never was.
        holder: the execution that works at it.
        comparison: the last one of the two.
        failure: why the last execution has come to nothing.
        told: whether people have heard what became of it.
        following: what is to be built once it is gone.
        deleted: whether nothing of it is left but this.
        seen_from: whether the record is seen from this one: then it has its fields, and those of the live one are in
            `record`. Never so in what is stored.
    """

    record: KnowledgeRecord
    role: Role
    since: datetime
    plan: RebuildPlan
    keep_until: datetime | None = None
    answered_until: datetime | None = None
    holder: str | None = None
    comparison: Comparison | None = None
    failure: WorkflowFailure | None = None
    told: bool = True
    following: RebuildPlan | None = None
    deleted: bool = False
    seen_from: bool = False

    @property
    def is_synced(self) -> bool:
        """Whether documents are brought into it as they are into the live one."""
        return self.role is not Role.LEAVING and self.record.data_source_id is not None
