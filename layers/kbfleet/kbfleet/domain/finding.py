"""What is wrong, whom that hurts and how, and the command that repairs it.

`reconcile`, `doctor`, `tenant show`, `why` and the messages to people tell findings, each in its own shape. None of
them has advice of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.deletions import Hold
from kbfleet.domain.harm import Harm
from kbfleet.domain.names import TenantId


class Disagreement(StrEnum):
    UNEXPLAINED = "UNEXPLAINED"
    """A resource that is tagged or named as this fleet's, and that no tenant's record names."""
    MISSING = "MISSING"
    """A resource that a tenant's record names, and that is not there."""
    EMPTIED = "EMPTIED"
    """A resource that is there, but not with what was brought into it."""
    BROKEN = "BROKEN"
    """A resource that is there, and does not work."""
    FOREIGN = "FOREIGN"
    """Something within a tenant's reach that is not the tenant's own, by the names that follow from its id."""
    CHANGED = "CHANGED"
    """Something of the tenant's own that somebody has set otherwise than kbfleet does."""
    OVERDUE = "OVERDUE"
    """A tenant that should have been deleted by now."""
    HELD = "HELD"
    """Something that nobody brings up to date any more before somebody says what may be deleted for it."""
    STUCK = "STUCK"
    """A tenant at which nobody works any more, although that has not come to its end."""
    UNSEEN = "UNSEEN"
    """Something that nobody could look at for a day: whether it is well is not known."""


class ResourceKind(StrEnum):
    TENANT = "tenant"
    BUCKET = "bucket"
    VECTOR_INDEX = "vector index"
    SERVICE_ROLE = "service role"
    KNOWLEDGE_BASE = "knowledge base"
    DATA_SOURCE = "data source"
    USAGE_KEY = "usage key"
    DOCUMENTS = "documents"
    PASSAGES = "passages"
    KNOWLEDGE_STORE = "knowledge store"
    """Of the whole fleet: what all tenants' vector indexes are in."""


class Fact(StrEnum):
    """What an examination of a tenant looks at, as people call it."""

    BUCKET = "the bucket"
    EVENTS = "the bucket's events"
    """Only in records of an older version, which has looked at no other setting of the bucket."""
    USAGE_KEY = "the usage key"
    SERVICE_ROLE = "the service role"
    VECTOR_INDEX = "the vector index"
    KNOWLEDGE_BASE = "the knowledge base"
    DATA_SOURCE = "the data source"
    ANSWERS = "answers"
    JOBS = "the history of jobs"
    SYNC = "the next sync"


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing of a tenant's resource that is not as kbfleet sets it.

    Args:
        what: for people.
        breaks: whether the resource does not do for it what it is there for; `None` where that does not show.
    """

    what: str
    breaks: bool | None = False


UNSEEN_FOR = timedelta(hours=20)
"""From then on people are told of what could not be looked at: of one look, and the next day's again. A round may come
some hours earlier within its day than the one before."""


@dataclass(frozen=True, slots=True)
class UnseenSince:
    """Since when a fact could not be looked at, each time that somebody tried."""

    fact: Fact
    since: datetime


REBUILDING = "tenant rebuild"
"""The command of `kbfleet` by which all documents of a tenant are read anew."""

NOWHERE = ""
"""Where a knowledge base keeps its vectors that names an index of no store of this stack."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do about it.

    Args:
        left_on: the store on which an unexplained resource's tenant has vectors, `NOWHERE`, or `None` if it has none.
        taken_up: whether an unexplained resource is of the life that `tenant add` would provision. What another life
            has left is not, nor what a tenant that is in service does not use.
        seen: how askers are hurt, where somebody has looked; else it follows from what is wrong.
        answers_go: of a bucket, whether what was read of its documents is lost as well.
        hold: of what is held, why.
        shared: whether it is the whole fleet's: see `SharedLoss`.
    """

    disagreement: Disagreement
    kind: ResourceKind
    name: str
    tenant_id: TenantId
    left_on: str | None = None
    taken_up: bool = True
    seen: Harm | None = None
    answers_go: bool = False
    hold: Hold | None = None
    shared: bool = False

    @property
    def harm(self) -> Harm:
        return self.seen or _USUAL_HARM.get((self.disagreement, self.kind), Harm.MACHINERY_ONLY)

    @property
    def cause(self) -> str:
        """What it has in common with the same finding about other tenants, in our words."""
        return f"the {self.kind} {_IS[self.disagreement]}"

    @property
    def explains_a_failed_ingestion(self) -> bool:
        """Whether it explains that an ingestion has failed: none can end well for it, or none may. Bedrock brings in
        documents by the service role, so that what somebody has changed of that may be why, too."""
        if self.shared:
            return True
        if self.kind is ResourceKind.SERVICE_ROLE:
            return self.hurts and self.disagreement is not Disagreement.UNSEEN
        others = {Disagreement.CHANGED, Disagreement.UNSEEN}
        return self.hurts and self.kind is not ResourceKind.USAGE_KEY and self.disagreement not in others

    @property
    def facts(self) -> frozenset[Fact]:
        """What has to be looked at to know that it is over."""
        match self.disagreement, self.kind:
            case Disagreement.EMPTIED, _:
                return frozenset({Fact.VECTOR_INDEX, Fact.DATA_SOURCE, Fact.ANSWERS, Fact.JOBS})
            case Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE:
                return frozenset({Fact.KNOWLEDGE_BASE, Fact.ANSWERS})
            case Disagreement.CHANGED, ResourceKind.BUCKET:
                return frozenset({Fact.BUCKET, Fact.EVENTS})
        return frozenset(fact for fact, kind in KINDS.items() if kind is self.kind and fact is not Fact.EVENTS)

    @property
    def loses_the_documents(self) -> bool:
        """Whether what only the customer can bring back is gone."""
        return (self.disagreement, self.kind) == (Disagreement.MISSING, ResourceKind.BUCKET)

    @property
    def holds_content(self) -> bool:
        """Whether what was read of the documents is lost, or of no use, and the command has it read anew."""
        lost = {Disagreement.MISSING, Disagreement.EMPTIED, Disagreement.BROKEN}
        return self.disagreement in lost and self.kind in _HOLDING_CONTENT

    @property
    def before(self) -> str:
        """What must be done, or known, before the command; empty if nothing must."""
        if self.loses_the_documents:
            gone = "Its documents are gone with it: only a backup brings them back, so look for that first."
            return gone if self.answers_go else f"{gone} Answers still come from what was read of them before."
        return ""

    @property
    def command(self) -> str:
        """The command of `kbfleet` that repairs it, or shows more of it, before the tenant's id; empty if none does by
        itself."""
        if self.shared:
            return ""
        if self.disagreement is Disagreement.UNSEEN:
            return "tenant show"
        if self.hold is not None:
            return "sync start"
        if self.holds_content:
            return REBUILDING
        return "tenant add" if self.disagreement in _REPAIRED_BY_ADDING else ""

    @property
    def whole_command(self) -> str:
        """As it is typed."""
        if self.hold is not None:
            return self.hold.command(self.tenant_id)
        return f"kbfleet {self.command} {self.tenant_id}" if self.command else ""

    @property
    def repairable(self) -> bool:
        """Whether its command brings back what is wanted for, or sets it right."""
        return self.command in {"tenant add", REBUILDING}

    @property
    def hurts(self) -> bool:
        """Whether people are told of it by an incident of its tenant's knowledge. Of a sync that is held they have
        heard when it was, and of what is the fleet's, once."""
        harmful = self.repairable and self.harm is not Harm.MACHINERY_ONLY
        return harmful or self.disagreement is Disagreement.UNSEEN

    @property
    def advice(self) -> str:
        return " ".join(filter(None, (self.before, self._what_to_run)))

    @property
    def _what_to_run(self) -> str:
        if self.shared:
            return SharedLoss(self.kind, self.name).advice
        if self.hold is not None:
            return f"{self.hold.sentence} {self.hold.way_out} `{self.whole_command}`"
        match self.disagreement:
            case Disagreement.UNSEEN:
                return (
                    f"`{self.whole_command}` looks once more, and says why it cannot. Mostly, whoever looks lacks a "
                    "permission; give it, or deploy the stack again."
                )
            case Disagreement.FOREIGN:
                return f"{self._way_out} Then `kbfleet reconcile --tenant {self.tenant_id}` says whether it is over."
            case Disagreement.OVERDUE:
                return (
                    f"It should have been deleted. `kbfleet tenant show {self.tenant_id}` says since when, and why if "
                    f"that failed; `kbfleet tenant offboard {self.tenant_id}` deletes it now."
                )
        if self.command:
            return f"`{self.whole_command}` {self._does}."
        return self._of_what_is_left

    @property
    def outcome(self) -> str:
        """What the command does, as an introduction to it."""
        return f"This {self._does}:"

    @property
    def _does(self) -> str:
        match self.disagreement:
            case _ if self.holds_content:
                return "reads all documents anew into another knowledge base, which answers once it has them all"
            case Disagreement.MISSING if self.loses_the_documents:
                return "makes it again, empty, and takes nothing out of the answers; then upload the documents"
            case Disagreement.MISSING:
                return "makes it again"
            case Disagreement.CHANGED:
                return "sets it again as it should be"
            case Disagreement.STUCK:
                return "goes on where it stopped"
            case Disagreement.UNSEEN:
                return "looks once more, and says why it cannot"
        return "repairs it, or says what has to be done before"

    @property
    def _of_what_is_left(self) -> str:
        if not self.taken_up and self.kind is ResourceKind.SERVICE_ROLE:
            return f"`kbfleet tenant add {self.tenant_id}` deletes it, if it is the tenant's; else delete it by hand."
        if not self.taken_up:
            return (
                f"Tenant {self.tenant_id} does not use it, as the tenant is now, and no command takes it up or deletes "
                "it. Look what it is, and delete it by hand before that id is provisioned again."
            )
        if self.left_on == NOWHERE:
            return (
                f"Tenant {self.tenant_id}'s knowledge base keeps its vectors where this stack has no index, which "
                "cannot be changed. Delete it in the console, its data source with deletion policy RETAIN; then "
                f"`kbfleet tenant add {self.tenant_id}` takes up what else there is, and ingests the documents anew."
            )
        store = f" --knowledge-store {self.left_on}" if self.left_on else ""
        return (
            f"`kbfleet tenant add {self.tenant_id}{store}` takes it up; `kbfleet tenant offboard {self.tenant_id}` "
            "after that deletes it."
        )

    @property
    def _way_out(self) -> str:
        match self.kind:
            case ResourceKind.VECTOR_INDEX:
                return (
                    "Delete that knowledge base in the console, for its index cannot be changed; then `kbfleet tenant "
                    f"add {self.tenant_id}` makes the tenant's own."
                )
            case ResourceKind.KNOWLEDGE_BASE:
                return f"`kbfleet tenant add {self.tenant_id}` gives the tenant its own again."
            case ResourceKind.BUCKET:
                return f"`kbfleet tenant add {self.tenant_id}` makes it the tenant's own bucket, and syncs again."
            case ResourceKind.DOCUMENTS:
                return f"`kbfleet tenant add {self.tenant_id}` syncs again, which takes out what is not in the bucket."
            case ResourceKind.PASSAGES:
                return (
                    f"`kbfleet tenant add {self.tenant_id}` syncs again. What is found even then was left behind by a "
                    "data source that is gone: delete that knowledge base and its index in the console, then run it "
                    "once more."
                )
        return f"`kbfleet tenant add {self.tenant_id}` deletes it, with what it has brought."

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class SharedLoss:
    """Something is gone that comes with the stack, and that the answers of all tenants rest on. One incident is about
    it, whomever it hits.

    Args:
        kind: knowledge store or service role.
        name: the store's type, or the role's ARN.
    """

    kind: ResourceKind
    name: str

    @property
    def cause(self) -> str:
        return f"the {self.kind} {_IS[Disagreement.MISSING]}, which tenants share"

    @property
    def harm(self) -> Harm:
        return Harm.NO_ANSWERS

    @property
    def before(self) -> str:
        """What must be done before `command`: no command of kbfleet makes what comes with the stack, and a deployment
        of a stack that has not changed makes nothing."""
        page = "Make it again as docs/runbook/shared-resource-lost.md says."
        if self.kind is ResourceKind.KNOWLEDGE_STORE:
            return f"The vectors of all tenants on it are gone with it; their documents are not. {page}"
        return f"Bedrock reads documents and searches by it, for every tenant. {page}"

    @property
    def command(self) -> str:
        """Of `kbfleet`: brings tenants back, once what they share is there again."""
        return "kbfleet reconcile --repair"

    @property
    def advice(self) -> str:
        return f"{self.before} Then `{self.command}` {self._does}."

    @property
    def outcome(self) -> str:
        """What the command does, as an introduction to it."""
        return f"Then this {self._does}:"

    @property
    def _does(self) -> str:
        if self.kind is ResourceKind.KNOWLEDGE_STORE:
            return "reads all documents of each tenant anew"
        return "brings back what tenants still lack"


_IS = {
    Disagreement.UNEXPLAINED: "is in no tenant's record",
    Disagreement.MISSING: "is gone",
    Disagreement.EMPTIED: "has lost what was in it",
    Disagreement.BROKEN: "does not work",
    Disagreement.FOREIGN: "is not the tenant's own",
    Disagreement.CHANGED: "is set otherwise than it should be",
    Disagreement.OVERDUE: "should have been deleted",
    Disagreement.HELD: "go on to be answered from as they were: a sync is held",
    Disagreement.STUCK: "is stuck in its provisioning",
    Disagreement.UNSEEN: "could not be looked at for a day",
}

CAUSES = frozenset(f"the {kind} {said}" for kind in ResourceKind for said in _IS.values())
CAUSES |= {SharedLoss(kind, "").cause for kind in ResourceKind}
"""All that `Finding.cause` and `SharedLoss.cause` can say."""

KINDS = {
    Fact.BUCKET: ResourceKind.BUCKET,
    Fact.EVENTS: ResourceKind.BUCKET,
    Fact.USAGE_KEY: ResourceKind.USAGE_KEY,
    Fact.SERVICE_ROLE: ResourceKind.SERVICE_ROLE,
    Fact.VECTOR_INDEX: ResourceKind.VECTOR_INDEX,
    Fact.KNOWLEDGE_BASE: ResourceKind.KNOWLEDGE_BASE,
    Fact.DATA_SOURCE: ResourceKind.DATA_SOURCE,
    Fact.ANSWERS: ResourceKind.PASSAGES,
    Fact.JOBS: ResourceKind.DOCUMENTS,
    Fact.SYNC: ResourceKind.DOCUMENTS,
}
"""What each fact is about."""

_REPAIRED_BY_ADDING = {
    Disagreement.MISSING,
    Disagreement.EMPTIED,
    Disagreement.BROKEN,
    Disagreement.CHANGED,
    Disagreement.STUCK,
}

_HOLDING_CONTENT = {ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE, ResourceKind.DATA_SOURCE}
"""What was read of the documents goes with them."""

_USUAL_HARM = (
    {
        # What was read of the documents is still answered from, also what has changed or was deleted since.
        (Disagreement.MISSING, ResourceKind.BUCKET): Harm.WRONG_ANSWERS,
        (Disagreement.MISSING, ResourceKind.VECTOR_INDEX): Harm.NO_ANSWERS,
        (Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX): Harm.NO_ANSWERS,
        (Disagreement.MISSING, ResourceKind.KNOWLEDGE_BASE): Harm.NO_ANSWERS,
        (Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE): Harm.NO_ANSWERS,
        # Bedrock searches by it. Source: AWS documentation, Create a service role for Amazon Bedrock Knowledge Bases.
        (Disagreement.MISSING, ResourceKind.SERVICE_ROLE): Harm.NO_ANSWERS,
        # Whether it has left its vectors behind depends on how it was deleted.
        (Disagreement.MISSING, ResourceKind.DATA_SOURCE): Harm.UNKNOWN,
        (Disagreement.BROKEN, ResourceKind.DATA_SOURCE): Harm.DOCUMENTS_MISSING,
        # Without it, or by one that is disabled or in no plan, API Gateway takes no question.
        (Disagreement.MISSING, ResourceKind.USAGE_KEY): Harm.NO_ANSWERS,
        (Disagreement.BROKEN, ResourceKind.USAGE_KEY): Harm.NO_ANSWERS,
        (Disagreement.CHANGED, ResourceKind.USAGE_KEY): Harm.UNKNOWN,
        # It lacks something that Bedrock reads documents by, or searches: which of them, a search shows.
        (Disagreement.BROKEN, ResourceKind.SERVICE_ROLE): Harm.UNKNOWN,
        # What others have attached to it may allow more, or deny: who has seen only that knows no more.
        (Disagreement.CHANGED, ResourceKind.SERVICE_ROLE): Harm.UNKNOWN,
        # Nobody hears of what is uploaded.
        (Disagreement.CHANGED, ResourceKind.BUCKET): Harm.DOCUMENTS_MISSING,
        # What was deleted or changed since the last good sync is answered from as it was.
        (Disagreement.HELD, ResourceKind.DOCUMENTS): Harm.WRONG_ANSWERS,
        (Disagreement.STUCK, ResourceKind.TENANT): Harm.NO_ANSWERS,
        (Disagreement.MISSING, ResourceKind.KNOWLEDGE_STORE): Harm.NO_ANSWERS,
    }
    | {(Disagreement.UNSEEN, kind): Harm.UNKNOWN for kind in ResourceKind}
    | {(Disagreement.FOREIGN, kind): Harm.WRONG_ANSWERS for kind in ResourceKind}
)
