"""Findings about one tenant: a pure decision over facts that were gathered at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.bounds import bounded_texts
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.finding import (
    KINDS,
    UNSEEN_FOR,
    Disagreement,
    Drift,
    Fact,
    Finding,
    ResourceKind,
    SharedLoss,
    UnseenSince,
)
from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus, KnowledgeBase, KnowledgeBaseStatus
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus

_DRIFTS_NAMED = 10
THE_FLEET = "the fleet"
"""Whom an incident hits that is about all tenants at once. No tenant's id has a space."""


class Search(StrEnum):
    """What a search of a tenant's knowledge base came to."""

    FOUND = "FOUND"
    NOTHING = "NOTHING"
    REFUSED = "REFUSED"


class Presence(StrEnum):
    THERE = "THERE"
    GONE = "GONE"
    NOT_LOOKED_AT = "NOT_LOOKED_AT"
    """Nobody has, or AWS did not answer, or there is no such thing where the tenant is."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be looked at, and why. Without a `fact`, it is true of all of them."""

    fact: Fact | None
    reason: str

    def __str__(self) -> str:
        return f"Of {self.fact}, nothing is known: {self.reason}" if self.fact is not None else self.reason


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """All that is known of a tenant at one moment. What nobody has looked at is well by no means, and wrong neither.

    Args:
        bucket, vector_index, service_role, usage_key: their names, which follow from the tenant's id.
        presence: of each of the tenant's resources; what is left out was not looked at.
        drifts: what of each resource is not as kbfleet sets it.
        content_lost: whether the index is a newer one than what was to be read into it.
        search: by the same right as a question has, but another role: see `TenantExamination`.
        holds_documents: whether some are in the answers, by the last sync.
        hold: why the next sync is held, if it is.
        store_is_gone: whether what all tenants' indexes are in is not there any more.
        unseen: since when facts could not be looked at, also this time.
        at: when it was looked.
    """

    tenant: Tenant
    bucket: str
    vector_index: str
    service_role: str
    usage_key: str
    presence: Mapping[ResourceKind, Presence] = field(default_factory=dict)
    drifts: Mapping[ResourceKind, tuple[Drift, ...]] = field(default_factory=dict)
    content_lost: bool = False
    knowledge_base: KnowledgeBase | None = None
    data_source: DataSource | None = None
    search: Search | None = None
    holds_documents: bool = False
    hold: Hold | None = None
    store_is_gone: bool = False
    unseen: tuple[UnseenSince, ...] = ()
    at: datetime | None = None

    def is_gone(self, kind: ResourceKind) -> bool:
        return self.presence.get(kind) is Presence.GONE

    @property
    def explains_a_search_in_vain(self) -> bool:
        """Whether it shows without any search why none can find something."""
        gone = any(presence is Presence.GONE for presence in self.presence.values())
        return (
            self.content_lost or gone or any(drift.breaks for drift in self.drifts.get(ResourceKind.SERVICE_ROLE, ()))
        )

    @property
    def knew_of_the_search(self) -> bool:
        """Whether people have been told of what this search shows."""
        shown = {Search.REFUSED: Disagreement.BROKEN, Search.NOTHING: Disagreement.EMPTIED}
        told = {loss.disagreement for loss in self.tenant.losses if Fact.ANSWERS in loss.facts}
        return self.search is not None and shown.get(self.search) in told


def diagnose(facts: TenantFacts) -> tuple[Finding, ...]:
    """What is wrong with a tenant, the worst first. Of one that is being provisioned or deleted nothing is said: its
    resources come and go."""
    if facts.tenant.status not in SETTLED:
        return ()
    wrong = list(_wrong(facts))
    content = any(finding.holds_content for finding in wrong)
    found = [
        replace(
            finding, seen=finding.seen or _seen_harm(finding, facts), answers_go=finding.loses_the_documents and content
        )
        for finding in wrong
    ]
    return worst_first(found)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Of equals, what the command may not repair by itself comes first: it does no more for the others."""
    return tuple(sorted(findings, key=lambda each: (each.harm.rank, each.disagreement is not Disagreement.BROKEN)))


SETTLED = {TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.FAILED}
"""The resources of others come and go."""
_GIVEN_UP = {KnowledgeBaseStatus.FAILED, KnowledgeBaseStatus.DELETE_UNSUCCESSFUL}
_GIVEN_UP_SOURCES = {DataSourceStatus.FAILED, DataSourceStatus.DELETE_UNSUCCESSFUL}


def _wrong(facts: TenantFacts) -> Iterator[Finding]:
    tenant = facts.tenant

    def finding(disagreement: Disagreement, kind: ResourceKind, name: str | None) -> Finding:
        return Finding(disagreement, kind, name or "", tenant.tenant_id)

    names = {
        ResourceKind.BUCKET: facts.bucket,
        ResourceKind.SERVICE_ROLE: facts.service_role,
        ResourceKind.KNOWLEDGE_BASE: tenant.knowledge_base_id,
        ResourceKind.VECTOR_INDEX: facts.vector_index,
        ResourceKind.USAGE_KEY: facts.usage_key,
    }
    never_made = {
        ResourceKind.BUCKET: tenant.bucket_name is None,
        ResourceKind.SERVICE_ROLE: tenant.knowledge_base_id is None,
        # Nothing has been read into it: provisioning makes it again.
        ResourceKind.VECTOR_INDEX: tenant.knowledge_base_id is None,
        # It is among the last that a provisioning makes, and no record names it.
        ResourceKind.USAGE_KEY: tenant.status is TenantStatus.FAILED,
    }
    for kind, name in names.items():
        if not facts.is_gone(kind) or never_made.get(kind):
            continue
        if kind is ResourceKind.VECTOR_INDEX and facts.store_is_gone:
            kind, store = ResourceKind.KNOWLEDGE_STORE, tenant.knowledge_store
            yield Finding(Disagreement.MISSING, kind, store, tenant.tenant_id, shared=True)
        else:
            yield finding(Disagreement.MISSING, kind, name)
    if facts.content_lost and not facts.is_gone(ResourceKind.VECTOR_INDEX):
        yield finding(Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, facts.vector_index)
    base = facts.knowledge_base
    if base is not None and base.status in _GIVEN_UP:
        yield finding(Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE, base.knowledge_base_id)
    # Its data source goes with the knowledge base, and the command is the same.
    if facts.is_gone(ResourceKind.DATA_SOURCE) and not facts.is_gone(ResourceKind.KNOWLEDGE_BASE):
        yield finding(Disagreement.MISSING, ResourceKind.DATA_SOURCE, tenant.data_source_id)
    source = facts.data_source
    if source is not None and source.status in _GIVEN_UP_SOURCES:
        yield finding(Disagreement.BROKEN, ResourceKind.DATA_SOURCE, source.data_source_id)
    yield from (_drifted(kind, names[kind] or "", drifts, tenant.tenant_id) for kind, drifts in facts.drifts.items())
    # Of a bucket that is gone, what comes first is to make it again.
    if facts.hold is not None and not (facts.hold.reason is HoldReason.GONE and facts.is_gone(ResourceKind.BUCKET)):
        yield held(facts.hold, facts.bucket, tenant.tenant_id)
    told = {KINDS[each.fact] for each in facts.unseen if facts.at is not None and facts.at - each.since >= UNSEEN_FOR}
    for kind in sorted(told):
        yield finding(Disagreement.UNSEEN, kind, names.get(kind))
    yield from _of_search(facts)


def _drifted(kind: ResourceKind, name: str, drifts: tuple[Drift, ...], tenant_id: TenantId) -> Finding:
    """What is set otherwise than it should be: of all of it together, whether the resource still does its work."""
    breaks = any(drift.breaks for drift in drifts)
    # Documents come and go in a bucket whatever is set there; what is not heard of is those that do.
    disagreement = Disagreement.BROKEN if breaks and kind is not ResourceKind.BUCKET else Disagreement.CHANGED
    harmless = all(drift.breaks is False for drift in drifts)
    said = bounded_texts(tuple(drift.what for drift in drifts), most=_DRIFTS_NAMED)
    seen = Harm.MACHINERY_ONLY if harmless else None
    return Finding(disagreement, kind, f"{name}: {'; '.join(said)}", tenant_id, seen=seen)


def held(hold: Hold, bucket: str, tenant_id: TenantId) -> Finding:
    """A tenant's sync is held."""
    return Finding(Disagreement.HELD, ResourceKind.DOCUMENTS, f"in {bucket}", tenant_id, hold=hold)


def _of_search(facts: TenantFacts) -> Iterator[Finding]:
    """What a search shows although every resource is there."""
    base = facts.knowledge_base
    if facts.explains_a_search_in_vain or base is None or base.status in _GIVEN_UP:
        return
    if facts.search is Search.REFUSED:
        yield Finding(Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE, base.knowledge_base_id, facts.tenant.tenant_id)
    elif facts.search is Search.NOTHING and facts.holds_documents:
        yield Finding(Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, facts.vector_index, facts.tenant.tenant_id)


def _seen_harm(finding: Finding, facts: TenantFacts) -> Harm | None:
    """What a search shows counts more than what usually follows."""
    usual = finding.harm
    if finding.disagreement is Disagreement.UNSEEN:
        return None
    match facts.search:
        case Search.REFUSED:
            return Harm.NO_ANSWERS
        case Search.NOTHING if facts.holds_documents:
            return Harm.NO_ANSWERS
        case Search.FOUND if usual in {Harm.NO_ANSWERS, Harm.UNKNOWN} and finding.kind is not ResourceKind.USAGE_KEY:
            # Answers come, but from what nobody brings up to date any more.
            return Harm.WRONG_ANSWERS
        case None if facts.knowledge_base is not None:
            # Nobody has searched this time: what the last one has shown holds.
            return next((loss.seen for loss in facts.tenant.losses if loss.cause == finding.cause), None)
    return None


def harm_while_syncs_fail(facts: TenantFacts) -> Harm:
    """How askers are hurt while the tenant's documents are not read, as far as a search shows."""
    if facts.tenant.status is not TenantStatus.ACTIVE:
        return Harm.NO_ANSWERS
    usual = {Search.FOUND: Harm.DOCUMENTS_MISSING, Search.NOTHING: Harm.NO_ANSWERS, Search.REFUSED: Harm.NO_ANSWERS}
    return usual[facts.search] if facts.search is not None else Harm.UNKNOWN


@dataclass(frozen=True, slots=True)
class FleetDiagnosis:
    """What a look at what comes with the stack came to, and all tenants share. Without `losses`, all of it is there."""

    at: datetime
    losses: tuple[SharedLoss, ...] = ()

    @property
    def identity(self) -> str:
        """The same for every repetition of the same event."""
        return f"{THE_FLEET}/DIAGNOSED/{self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one examination of a tenant came to.

    Args:
        at: when it began.
        findings: the worst first.
        unseen: what could not be looked at. As long as there is any, a tenant without findings is not known to be well.
        seen: how askers are hurt, by a search; `UNKNOWN` where none was made.
        failed_job: the ingestion whose failure was the reason to look.
        worse: whether people have heard of a loss already, and this is another one.
    """

    tenant_id: TenantId
    at: datetime
    findings: tuple[Finding, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    seen: Harm = Harm.UNKNOWN
    failed_job: JobStateChange | None = None
    worse: bool = False

    @property
    def identity(self) -> str:
        """The same for every repetition of the same event."""
        return f"{self.tenant_id}/DIAGNOSED/{self.at.isoformat()}"

    @property
    def harm(self) -> Harm:
        return self.findings[0].harm if self.findings else self.seen

    @property
    def well(self) -> bool:
        return not self.findings and not self.unseen

    @property
    def unseen_facts(self) -> frozenset[Fact]:
        if any(each.fact is None for each in self.unseen):
            return frozenset(Fact)
        return frozenset(each.fact for each in self.unseen if each.fact is not None)

    @property
    def fleets_own(self) -> bool:
        """Whether it comes of what is the whole fleet's, of which people are told once."""
        return any(finding.shared for finding in self.findings)

    def left_open(self, known: Iterable[Finding]) -> tuple[Finding, ...]:
        """Of losses that people have been told of, those of which this look does not show whether they are over. What
        has not been seen for a day is told as that, in their place."""
        if self.fleets_own:
            # What all share hides what is one's own.
            return tuple(known)
        told = {finding.kind for finding in self.findings if finding.disagreement is Disagreement.UNSEEN}
        open_ = {fact for fact in self.unseen_facts if KINDS[fact] not in told}
        found = {loss.cause for loss in self.losses}
        everything = any(each.fact is None for each in self.unseen)
        return tuple(loss for loss in known if loss.cause not in found and (everything or loss.facts & open_))

    def unseen_since(self, known: Iterable[UnseenSince]) -> tuple[UnseenSince, ...]:
        """Since when the facts could not be looked at which this look did not show either.

        Args:
            known: of the looks before this one.
        """
        before = {each.fact: each.since for each in known}
        if any(each.fact is None for each in self.unseen):
            return tuple(known)
        return tuple(UnseenSince(fact, before.get(fact, self.at)) for fact in sorted(self.unseen_facts))

    @property
    def losses(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.hurts)
