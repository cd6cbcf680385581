"""Looking at everything that one tenant's answers rest on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kbfleet.domain.diagnosis import (
    Diagnosis,
    Presence,
    TenantFacts,
    diagnose,
    harm_while_syncs_fail,
)
from kbfleet.domain.document_trace import SEARCHABLE_WITHIN
from kbfleet.domain.errors import ConcurrentUpdate, KbfleetError
from kbfleet.domain.finding import Disagreement, ResourceKind
from kbfleet.domain.knowledge_base import DataSourceStatus, KnowledgeBaseKind, KnowledgeBaseStatus, content_lost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kbfleet.domain.diagnosis import Search
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
        ServiceRoles,
        TenantRegistry,
        UsageKeys,
    )
    from kbfleet.usecases.reservations import Stores

_ATTEMPTS = 3
"""At a record that others write, too, but seldom."""
_JOBS = 10
"""The newest ones: one of them has shown how many documents there are, unless all were stopped or failed."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TenantExamination:
    """Examines tenants. One costs up to nine calls of AWS, and a search, which is paid for."""

    registry: TenantRegistry
    buckets: DocumentBuckets
    stores: Stores
    knowledge_bases: KnowledgeBases
    service_roles: ServiceRoles
    usage_keys: UsageKeys
    history: JobHistory
    probe: RetrievalProbe
    announcements: Announcements
    names: ResourceNames
    clock: Clock

    def examine(self, tenant: Tenant, failed_job: JobStateChange | None = None) -> Diagnosis:
        """What cannot be looked at is said, and keeps nothing else from being looked at.

        Args:
            failed_job: the reason to look.
        """
        look = _Look(self, tenant, self.clock.now())
        facts = look.facts()
        findings, seen = diagnose(facts), harm_while_syncs_fail(facts)
        now = self.registry.find(tenant.tenant_id)
        if tenant.leased_at(look.began) or now is None or now.fence != tenant.fence:
            # Its resources come and go.
            unseen = ("An execution is changing it at this moment.",)
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

    def publish(self, diagnosis: Diagnosis) -> None:
        """People hear of what hurts askers, or that it is over; whoever looks at the tenant finds it in its record.

        Raises: Throttled, NotReadyYet, AwsRefusal.
        """
        stored = self.registry.find(diagnosis.tenant_id)
        if stored is None:
            return
        known = {loss.cause for loss in stored.losses}
        told = replace(diagnosis, worse=bool(known) and any(loss.cause not in known for loss in diagnosis.losses))
        over = bool(stored.losses) and not diagnosis.losses and not diagnosis.unseen
        # A loss is written down first: by that, a later look tells that it is over.
        noted = bool(diagnosis.losses) and self._noted(diagnosis)
        if noted or over or diagnosis.failed_job is not None:
            self.announcements.diagnosed(told)
        if over:
            self._noted(diagnosis)

    def _noted(self, diagnosis: Diagnosis) -> bool:
        """Whether the record has the losses now. One that somebody else is changing is left to the next look."""
        for _ in range(_ATTEMPTS):
            stored = self.registry.find(diagnosis.tenant_id)
            if stored is None or stored.leased_at(self.clock.now()):
                return False
            if stored.losses == diagnosis.losses:
                return True
            emptied = any(loss.disagreement is Disagreement.EMPTIED for loss in diagnosis.losses)
            seen = diagnosis.at if emptied else stored.emptied_seen_at
            noted = replace(stored, losses=diagnosis.losses, emptied_seen_at=seen)
            with suppress(ConcurrentUpdate):
                self.registry.replace(noted, fence=stored.fence)
                return True
        return False


class _Look:
    """At one tenant."""

    def __init__(self, examination: TenantExamination, tenant: Tenant, began: datetime) -> None:
        self._ports = examination
        self._tenant = tenant
        self.began = began
        self.unseen: list[str] = []

    def facts(self) -> TenantFacts:
        ports, tenant, names = self._ports, self._tenant, self._ports.names
        life = tenant.this_life
        bucket, role, key = names.bucket(life), names.service_role(life), names.usage_key(life)
        presence = {ResourceKind.BUCKET: self._presence("the bucket", lambda: ports.buckets.exists(bucket))}
        tells = None
        if presence[ResourceKind.BUCKET] is Presence.THERE:
            tells = self._asked("the bucket's events", lambda: ports.buckets.tells_of_changes(bucket))
        presence[ResourceKind.USAGE_KEY] = self._presence(
            "the usage key", lambda: ports.usage_keys.exists(key, known_as=tenant.usage_key_id)
        )
        if ports.service_roles.per_tenant:
            there = self._presence("the service role", lambda: ports.service_roles.exists(role))
            presence[ResourceKind.SERVICE_ROLE] = there
        index = self._index(presence)
        base, source = self._knowledge_base(presence), None
        if base is not None:
            source = self._data_source(presence)
        return TenantFacts(
            tenant,
            bucket,
            names.vector_index(tenant.live_knowledge),
            role,
            key.name,
            presence,
            tells_of_changes=tells,
            content_lost=content_lost(
                index.made_at or tenant.index_made_at if index is not None else None,
                source.created_at if source is not None else None,
            ),
            knowledge_base=base,
            data_source=source,
            search=self._search(base),
            holds_documents=bool(self._asked("the history of jobs", self._holds_documents)),
        )

    def _index(self, presence: dict[ResourceKind, Presence]) -> Index | None:
        store = self._ports.stores.get(self._tenant.knowledge_store)
        if store is None or store.kind is not KnowledgeBaseKind.VECTOR:
            return None
        return self._described(presence, ResourceKind.VECTOR_INDEX, lambda: store.find(self._tenant.live_knowledge))

    def _knowledge_base(self, presence: dict[ResourceKind, Presence]) -> KnowledgeBase | None:
        base_id, bases = self._tenant.knowledge_base_id, self._ports.knowledge_bases
        if base_id is None:
            return None
        found = self._described(presence, ResourceKind.KNOWLEDGE_BASE, lambda: bases.get(base_id))
        if found is not None and found.status is KnowledgeBaseStatus.DELETING:
            # Of one that is on its way out, nothing can be had any more.
            presence[ResourceKind.KNOWLEDGE_BASE] = Presence.GONE
        return found

    def _data_source(self, presence: dict[ResourceKind, Presence]) -> DataSource | None:
        tenant, bases = self._tenant, self._ports.knowledge_bases
        if tenant.data_source_id is None:
            return None
        found = self._described(presence, ResourceKind.DATA_SOURCE, lambda: bases.data_source(tenant.data_source()))
        if found is not None and found.status is DataSourceStatus.DELETING:
            presence[ResourceKind.DATA_SOURCE] = Presence.GONE
        return found

    def _described(
        self, presence: dict[ResourceKind, Presence], kind: ResourceKind, look: Callable[[], Result | None]
    ) -> Result | None:
        """What is there of that kind, as AWS describes it; also notes whether it is."""
        found: list[Result] = []

        def is_there() -> bool:
            described = look()
            found.extend([described] if described is not None else [])
            return described is not None

        presence[kind] = self._presence(f"the {kind}", is_there)
        return found[0] if found else None

    def _search(self, base: KnowledgeBase | None) -> Search | None:
        if base is None or base.kind is None:
            return None
        kind = base.kind
        return self._asked("answers", lambda: self._ports.probe.anything(base.knowledge_base_id, kind))

    def _holds_documents(self) -> bool:
        """Whether a search must find some: the last job that counts has left some in the answers, long enough ago."""
        jobs = self._ports.history.latest(self._tenant.this_life, _JOBS)
        of_this = (job for job in jobs if job.data_source.data_source_id == self._tenant.data_source_id)
        counted = next((job for job in of_this if job.outcome is not None and job.outcome.usable), None)
        if counted is None or self.began - counted.occurred_at < SEARCHABLE_WITHIN:
            return False
        counts = counted.statistics
        return counts.scanned > counts.failed + counts.skipped

    def _presence(self, what: str, is_there: Callable[[], bool]) -> Presence:
        there = self._asked(what, is_there)
        if there is None:
            return Presence.NOT_LOOKED_AT
        return Presence.THERE if there else Presence.GONE

    def _asked(self, what: str, look: Callable[[], Result]) -> Result | None:
        try:
            return look()
        except KbfleetError as error:
            self.unseen.append(f"Of {what}, nothing is known: {error}")
            return None
