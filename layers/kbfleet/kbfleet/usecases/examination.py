"""Looking at everything that one tenant's answers rest on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kbfleet.domain.diagnosis import (
    SETTLED,
    Diagnosis,
    Presence,
    Search,
    TenantFacts,
    Unseen,
    diagnose,
    harm_while_syncs_fail,
    worst_first,
)
from kbfleet.domain.document_trace import SEARCHABLE_WITHIN
from kbfleet.domain.errors import ConcurrentUpdate, KbfleetError, NotReadyYet
from kbfleet.domain.finding import KINDS, Drift, Fact, ResourceKind, UnseenSince
from kbfleet.domain.knowledge_base import DataSourceStatus, KnowledgeBaseKind, KnowledgeBaseStatus, content_lost
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.usecases.service_roles import service_role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.knowledge_base import DataSource, Index, KnowledgeBase
    from kbfleet.domain.names import ResourceNames
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        DocumentBuckets,
        JobHistory,
        KnowledgeBases,
        RetrievalProbe,
        SearchAllowances,
        ServiceRoles,
        SyncLedger,
        TenantRegistry,
        UsageKeys,
    )
    from kbfleet.usecases.profiles import Profiles
    from kbfleet.usecases.reservations import Stores

_ATTEMPTS = 3
"""At a record that others write, too, but seldom."""
_JOBS = 10
"""The newest ones: one of them has shown how many documents there are, unless all were stopped or failed."""
_SEARCHED_ENOUGH = (
    "It was searched several times in the last hours, and each search is paid for: what looks by itself searches again "
    "within four hours."
)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TenantExamination:
    """Examines tenants. One costs some twenty calls of AWS, and a search, which is paid for: two where the first finds
    nothing, or is refused.

    It compares what there is with all that provisioning ensures. A tenant that is yet to be converged to what this
    version makes is not judged by its settings: that is seen to by itself.

    It searches by its own role. That this one is denied says nothing about whoever asks: it is unseen, and after a day
    told as that. An asker's own role that is denied is told by the question that was (`SeenIn.CREDENTIALS`). A search
    that Bedrock takes, and that the service role or the store then fails, is one that no asker gets an answer by.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    buckets: DocumentBuckets
    stores: Stores
    profiles: Profiles
    knowledge_bases: KnowledgeBases
    service_roles: ServiceRoles
    usage_keys: UsageKeys
    history: JobHistory
    probe: RetrievalProbe
    announcements: Announcements
    names: ResourceNames
    clock: Clock
    resources_version: str | None
    allowances: SearchAllowances

    def examine(self, tenant: Tenant, failed_job: JobStateChange | None = None, *, asked: bool = False) -> Diagnosis:
        """What cannot be looked at is said, and keeps nothing else from being looked at.

        Args:
            failed_job: the reason to look.
            asked: whether somebody wants to know just now. Nobody is kept from that; what looks by itself searches as
                often as `SearchAllowance` says.
        """
        look = _Look(self, tenant, self.clock.now(), asked=asked)
        facts = look.facts()
        findings, seen = diagnose(facts), harm_while_syncs_fail(facts)
        now = self.registry.find(tenant.tenant_id)
        changing = tenant.leased_at(look.began) or now is None or now.fence != tenant.fence
        if changing or tenant.status not in SETTLED:
            # Its resources come and go.
            unseen = (Unseen(None, "An execution is changing it at this moment."),)
            return Diagnosis(tenant.tenant_id, look.began, (), unseen, seen, failed_job)
        return Diagnosis(tenant.tenant_id, look.began, findings, tuple(look.unseen), seen, failed_job)

    def examine_after(self, failed: JobStateChange) -> None:
        """An ingestion has failed for good: people hear of it with what is true of answers, and of its cause where that
        is something that is lost. Of a life that is over nobody hears.

        Raises: Throttled, NotReadyYet, AwsRefusal.
        """
        tenant = self.registry.find(failed.tenant_id)
        if tenant is not None and tenant.this_life == failed.of_life:
            self.publish(self.examine(tenant, failed))

    def publish(self, diagnosis: Diagnosis, *, lease_is_dead: bool = False) -> None:
        """People hear of what hurts askers, or that it is over; whoever looks at the tenant finds it in its record. A
        loss is over once what showed it was looked at and is well, whatever else could not be seen.

        Args:
            lease_is_dead: whether nobody works at the tenant any more, although its lease goes on.

        Raises: Throttled, NotReadyYet, AwsRefusal.
        """
        stored = self.registry.find(diagnosis.tenant_id)
        if stored is None:
            return
        known = {loss.cause for loss in stored.losses}
        left = diagnosis.left_open(stored.losses)
        told = replace(
            diagnosis,
            findings=worst_first((*diagnosis.findings, *left)),
            worse=bool(known) and any(loss.cause not in known for loss in diagnosis.losses),
        )
        over = bool(stored.losses) and not told.losses
        # A loss is written down first: by that, a later look tells that it is over.
        noted = bool(told.losses) and self._noted(told, lease_is_dead=lease_is_dead)
        # What hits all tenants at once is told of the fleet.
        failed = diagnosis.failed_job is not None and not diagnosis.fleets_own
        if noted or over or failed:
            self.announcements.diagnosed(replace(told, unseen=()) if over else told)
        if not told.losses and (stored.losses or stored.unseen != told.unseen_since(stored.unseen)):
            self._noted(told)

    def _noted(self, diagnosis: Diagnosis, *, lease_is_dead: bool = False) -> bool:
        """Whether the record has the losses now. One that somebody else is changing is left to the next look."""
        for _ in range(_ATTEMPTS):
            stored = self.registry.find(diagnosis.tenant_id)
            if stored is None or (stored.leased_at(self.clock.now()) and not lease_is_dead):
                return False
            unseen = diagnosis.unseen_since(stored.unseen)
            known = (stored.losses, stored.unseen) == (diagnosis.losses, unseen)
            if known and not (stored.losses and stored.worked_at_since):
                return True
            seen_at = self.clock.now() if diagnosis.losses or stored.within else None
            noted = replace(stored, losses=diagnosis.losses, unseen=unseen, found_at=seen_at)
            with suppress(ConcurrentUpdate):
                self.registry.replace(noted, fence=stored.fence)
                return True
        return False


class _Look:
    """At one tenant."""

    def __init__(self, examination: TenantExamination, tenant: Tenant, began: datetime, *, asked: bool) -> None:
        self._ports = examination
        self._tenant = tenant
        self._asked_for = asked
        self.began = began
        self.unseen: list[Unseen] = []

    def facts(self) -> TenantFacts:
        ports, tenant, names = self._ports, self._tenant, self._ports.names
        life = tenant.this_life
        bucket, tags, key = names.bucket(life), names.tags(life), names.usage_key(life)
        plan, others = names.usage_plan(tenant.tier), [names.usage_plan(tier) for tier in Tier if tier != tenant.tier]
        presence: dict[ResourceKind, Presence] = {}
        drifts: dict[ResourceKind, Sequence[Drift] | None] = {}
        base, source = self._knowledge_base(presence), None
        first = self._search(base)
        drifts[ResourceKind.BUCKET] = self._described(
            presence, Fact.BUCKET, lambda: ports.buckets.differences(bucket, tags)
        )
        drifts[ResourceKind.SERVICE_ROLE] = self._service_role(presence, base)
        drifts[ResourceKind.USAGE_KEY] = self._described(
            presence,
            Fact.USAGE_KEY,
            lambda: ports.usage_keys.differences(key, known_as=tenant.usage_key_id, plan=plan, other_plans=others),
        )
        index, store_is_gone = self._index(presence)
        if base is not None:
            source = self._data_source(presence)
        sync = self._asked(Fact.SYNC, lambda: ports.ledger.find(tenant.live_knowledge))
        holds_documents = bool(self._asked(Fact.JOBS, self._holds_documents))
        facts = TenantFacts(
            tenant,
            bucket,
            names.vector_index(tenant.live_knowledge),
            names.service_role(life),
            key.name,
            presence,
            drifts={kind: tuple(found) for kind, found in drifts.items() if found and self._judged},
            content_lost=content_lost(
                index.made_at or tenant.index_made_at if index is not None else None,
                source.created_at if source is not None else None,
            ),
            knowledge_base=base,
            data_source=source,
            search=first,
            holds_documents=holds_documents,
            hold=sync.hold if sync is not None else None,
            store_is_gone=store_is_gone,
            at=self.began,
        )
        search = self._search_again(facts)
        known = {each.fact: each.since for each in tenant.unseen}
        unseen = [each.fact for each in self.unseen if each.fact is not None]
        since = tuple(UnseenSince(fact, known.get(fact, self.began)) for fact in unseen)
        return replace(facts, search=search, unseen=since)

    @property
    def _judged(self) -> bool:
        """Whether what is otherwise than it should be is so by somebody's hand. What a provisioning that has failed has
        left, and what an update has yet to converge, is seen to by others."""
        tenant = self._tenant
        converged = tenant.resources_version == self._ports.resources_version or tenant.failure is not None
        return tenant.status is not TenantStatus.FAILED and converged

    def _service_role(
        self, presence: dict[ResourceKind, Presence], base: KnowledgeBase | None
    ) -> Sequence[Drift] | None:
        """Also whether the knowledge base assumes it, or the one that all share."""
        tenant, ports = self._tenant, self._ports
        own = [tenant.knowledge_base_id] if tenant.knowledge_base_id is not None else []
        name = ports.names.service_role(tenant.this_life)

        def look() -> Sequence[Drift] | None:
            return ports.service_roles.differences(
                service_role_of(tenant, *own, stores=ports.stores, profiles=ports.profiles, names=ports.names)
            )

        found = self._described(presence, Fact.SERVICE_ROLE, look) if ports.service_roles.per_tenant else ()
        if base is not None and base.role_arn != ports.service_roles.arn(name):
            another = Drift(f"knowledge base {base.knowledge_base_id} assumes another one", None)
            return [*(found or ()), another]
        return found

    def _index(self, presence: dict[ResourceKind, Presence]) -> tuple[Index | None, bool]:
        """Also whether the store is gone with all indexes, which is looked at only where this one is."""
        store = self._ports.stores.get(self._tenant.knowledge_store)
        if store is None or store.kind is not KnowledgeBaseKind.VECTOR:
            return None, False
        found = self._described(presence, Fact.VECTOR_INDEX, lambda: store.find(self._tenant.live_knowledge))
        gone = presence[ResourceKind.VECTOR_INDEX] is Presence.GONE
        return found, gone and self._asked(Fact.VECTOR_INDEX, store.is_there) is False

    def _knowledge_base(self, presence: dict[ResourceKind, Presence]) -> KnowledgeBase | None:
        base_id, bases = self._tenant.knowledge_base_id, self._ports.knowledge_bases
        if base_id is None:
            return None
        found = self._described(presence, Fact.KNOWLEDGE_BASE, lambda: bases.get(base_id))
        if found is not None and found.status is KnowledgeBaseStatus.DELETING:
            # Of one that is on its way out, nothing can be had any more.
            presence[ResourceKind.KNOWLEDGE_BASE] = Presence.GONE
        return found

    def _data_source(self, presence: dict[ResourceKind, Presence]) -> DataSource | None:
        tenant, bases = self._tenant, self._ports.knowledge_bases
        if tenant.data_source_id is None:
            return None
        found = self._described(presence, Fact.DATA_SOURCE, lambda: bases.data_source(tenant.data_source()))
        if found is not None and found.status is DataSourceStatus.DELETING:
            presence[ResourceKind.DATA_SOURCE] = Presence.GONE
        return found

    def _described(
        self, presence: dict[ResourceKind, Presence], fact: Fact, look: Callable[[], Result | None]
    ) -> Result | None:
        """What is there of that kind, as AWS describes it; also notes whether it is."""
        found: list[Result] = []

        def is_there() -> bool:
            described = look()
            found.extend([described] if described is not None else [])
            return described is not None

        self._look_at(fact, presence, is_there)
        return found[0] if found else None

    def _search(self, base: KnowledgeBase | None) -> Search | None:
        if base is None or base.kind is None or self._tenant.status not in SETTLED:
            return None
        kind = base.kind

        def search() -> Search:
            if not self._asked_for and not self._ports.allowances.take(self._tenant.tenant_id, self._ports.clock.now()):
                raise NotReadyYet(_SEARCHED_ENOUGH)
            return self._ports.probe.anything(base.knowledge_base_id, kind)

        return self._asked(Fact.ANSWERS, search)

    def _search_again(self, facts: TenantFacts) -> Search | None:
        """What two searches show, of which one came after everything else was looked at: one alone can fail, or find
        nothing, for a cause that is over a moment later. What is well needs one, and so does what was known before, or
        shows otherwise."""
        first = facts.search
        if first in {None, Search.FOUND} or (first is Search.NOTHING and not facts.holds_documents):
            return first
        if facts.explains_a_search_in_vain or facts.knew_of_the_search:
            return first
        second = self._search(facts.knowledge_base)
        if second is not None and second not in {first, Search.FOUND}:
            self.unseen.append(Unseen(Fact.ANSWERS, "Two searches, one after the other, came to different ends."))
            return None
        return second

    def _holds_documents(self) -> bool:
        """Whether a search must find some: the last job that counts has left some in the answers, long enough ago."""
        jobs = self._ports.history.latest(self._tenant.this_life, _JOBS)
        of_this = (job for job in jobs if job.data_source.data_source_id == self._tenant.data_source_id)
        counted = next((job for job in of_this if job.outcome is not None and job.outcome.usable), None)
        if counted is None or self.began - counted.occurred_at < SEARCHABLE_WITHIN:
            return False
        counts = counted.statistics
        return counts.scanned > counts.left_out

    def _look_at(self, fact: Fact, presence: dict[ResourceKind, Presence], is_there: Callable[[], bool]) -> None:
        there = self._asked(fact, is_there)
        found = {None: Presence.NOT_LOOKED_AT, True: Presence.THERE, False: Presence.GONE}
        presence[KINDS[fact]] = found[there]

    def _asked(self, fact: Fact, look: Callable[[], Result]) -> Result | None:
        try:
            return look()
        except KbfleetError as error:
            self.unseen.append(Unseen(fact, str(error)))
            return None
