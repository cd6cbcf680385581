"""Announcing a breach of the walls between tenants, and looking whether there is one (decision 25).

What a tenant may reach follows from its id alone, by `ResourceNames`: a record that is wrong proves nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.document_names import is_in
from kbfleet.domain.errors import (
    AwsRefusal,
    ConcurrentUpdate,
    DataSourceFailed,
    KbfleetError,
    RequestRefused,
    Throttled,
)
from kbfleet.domain.incident import Concern
from kbfleet.domain.isolation import MAX_NAMED, Breach, DocumentRound, IsolationVerified, SeenIn
from kbfleet.domain.names import DataSourceReference
from kbfleet.domain.reconciliation import Disagreement, Finding, ResourceKind
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.data_sources import data_sources_of
from kbfleet.usecases.ingestion import save_sync
from kbfleet.usecases.reservations import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from kbfleet.domain.knowledge_base import KnowledgeBase
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.sync import Sync, Waiter
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        DocumentRounds,
        Incidents,
        IngestedDocuments,
        KnowledgeBases,
        PassageSearch,
        SyncLedger,
        TaskCallbacks,
        TenantRegistry,
        TenantRounds,
    )
    from kbfleet.usecases.reservations import Stores

_SETTLED = {TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.SUSPENDED}
"""Whose knowledge base is neither just being made nor deleted."""

MAX_DOCUMENT_PAGES = 50
"""Of a hundred documents each, of a tenant whose incident is open; the next look reads on. ListKnowledgeBaseDocuments
may be called five times a second (AWS documentation, Quotas for Amazon Bedrock)."""


def announce_breach(
    tenant_id: TenantId, seen_in: SeenIn, resources: Iterable[str], *, announcements: Announcements, clock: Clock
) -> None:
    """Publishes that something is within a tenant's reach that is not its own: the incident follows from it. It may be
    announced again and again; one tenant has one incident.

    Args:
        resources: what it is, by kind and id, such as `data source ABCDEFGHIJ`. Never a tenant's text, and never the
            key of somebody else's document.

    Raises: Throttled, NotReadyYet, AwsRefusal.
    """
    announcements.isolation_breached(Breach(tenant_id, seen_in, tuple(resources)[:MAX_NAMED], clock.now()))


def failing_those_who_wait(tenant_id: TenantId, callbacks: TaskCallbacks) -> Callable[[Waiter], None]:
    """For `save_sync` of an entry that is not to be trusted any more. Their executions end: `tenant add`, which puts it
    right, would only join one that still waits."""

    def answer(waiter: Waiter) -> None:
        callbacks.fail(
            waiter.task_token,
            DataSourceFailed.__name__,
            f"The data source of tenant {tenant_id} was seen to read another bucket: nothing is synced from it.",
        )

    return answer


@dataclass(frozen=True, slots=True)
class IsolationRound:
    """What one part of a round through the tenants found.

    Args:
        looked_into, not_looked_into: tenants.
        troubles: why some of those could not be looked into.
    """

    findings: tuple[Finding, ...]
    looked_into: int
    not_looked_into: int
    troubles: tuple[tuple[TenantId, KbfleetError], ...]


@dataclass(frozen=True, slots=True)
class IsolationLook:
    """Looks into what tenants have for what is not their own.

    A tenant costs four calls: its knowledge base, the tags and the data sources of that, and what the tenant's own
    source reads. An account has ten of each a second (AWS documentation, Quotas for Amazon Bedrock), which calls one
    after the other do not reach. While a breach of a tenant is open, the documents in its index are listed, too, and
    its knowledge base is searched by the credentials by which its questions are answered: that shows whether they open
    it, and what a data source has left behind that is gone.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    stores: Stores
    knowledge_bases: KnowledgeBases
    ingested_documents: IngestedDocuments
    passage_search: PassageSearch
    document_rounds: DocumentRounds
    incidents: Incidents
    callbacks: TaskCallbacks
    announcements: Announcements
    rounds: TenantRounds
    names: ResourceNames
    clock: Clock

    def go_round(
        self, tenants: Mapping[TenantId, Tenant], *, until: datetime, first: TenantId | None
    ) -> IsolationRound:
        """Takes up where the last time stopped.

        Args:
            until: when to stop; one tenant is looked into at least.
            first: with which tenant to begin, wherever the round is.
        """
        left = self._in_order(tenants)
        asked = [first] if first in left else []
        findings: list[Finding] = []
        troubles: list[tuple[TenantId, KbfleetError]] = []
        looked_into, last = 0, self.rounds.position()
        waiting = [*asked, *(tenant_id for tenant_id in left if tenant_id != first)]
        for number, tenant_id in enumerate(waiting):
            if number and self.clock.now() >= until:
                break
            try:
                findings += self._look_into(tenants[tenant_id])
                looked_into += 1
            except Throttled as error:
                # Ticks need the request rate more urgently: the next time begins with this tenant.
                troubles.append((tenant_id, error))
                break
            except KbfleetError as error:
                # One tenant's trouble must not hold up the others.
                troubles.append((tenant_id, error))
            if tenant_id not in asked:
                last = tenant_id
        else:
            last = None
        self.rounds.move(last)
        return IsolationRound(tuple(findings), looked_into, len(waiting) - looked_into, tuple(troubles))

    def _in_order(self, tenants: Mapping[TenantId, Tenant]) -> list[TenantId]:
        settled = sorted(
            tenant_id
            for tenant_id, tenant in tenants.items()
            if tenant.status in _SETTLED and tenant.knowledge_base_id is not None
        )
        last = self.rounds.position()
        if last is None:
            return settled
        behind = [tenant_id for tenant_id in settled if tenant_id > last]
        return behind + [tenant_id for tenant_id in settled if tenant_id <= last]

    def _look_into(self, tenant: Tenant) -> tuple[Finding, ...]:
        began = self.clock.now()
        timeline = self.incidents.timeline(str(tenant.tenant_id), Concern.ISOLATION)
        open_since = None if timeline.settled else timeline.last_at
        findings, seen_since = self._found(tenant, began, open_since)
        if findings:
            announce_breach(
                tenant.tenant_id,
                SeenIn.RESOURCES,
                map(str, findings),
                announcements=self.announcements,
                clock=self.clock,
            )
        elif seen_since is not None and not timeline.settled:
            self.announcements.isolation_verified(IsolationVerified(tenant.tenant_id, seen_since))
        if findings or seen_since is not None:
            self._write_down(tenant.tenant_id, tuple(map(str, findings)))
        return findings

    def _found(
        self, tenant: Tenant, began: datetime, sighted_at: datetime | None
    ) -> tuple[tuple[Finding, ...], datetime | None]:
        """
        Args:
            began: when this look did.
            sighted_at: when the breach that is open was last seen; `None` if none is.

        Returns: what is foreign, and since when that is all there can be; `None` while there can be more.
        """
        knowledge_base = self.knowledge_bases.get(str(tenant.knowledge_base_id))
        if knowledge_base is None:
            return (), None
        of_record = self._of_record(tenant, knowledge_base)
        if any(finding.kind is ResourceKind.KNOWLEDGE_BASE for finding in of_record):
            # What it reads is somebody else's as well, and all right where it is.
            return of_record, began
        own, of_sources = self._of_data_sources(tenant, knowledge_base.knowledge_base_id)
        findings = of_record + of_sources
        sync = self.ledger.find(tenant.tenant_id)
        if sync.distrusted and not findings:
            # Somebody has put it right in the console, which nobody else knows: nothing would be synced ever again.
            name = f"that data source {tenant.data_source_id} may have brought from another bucket"
            findings = (_foreign(ResourceKind.DOCUMENTS, name, tenant.tenant_id),)
        if own is None or sighted_at is None:
            return findings, began if own is not None else None
        listed, seen_since = self._of_documents(tenant, own, sync, began, sighted_at)
        findings += listed
        if not findings:
            # What is known by its name explains what would be found.
            findings, all_searched = self._of_passages(tenant, knowledge_base, own, sync)
            seen_since = seen_since if all_searched else None
        return findings, seen_since if sync.has_synced(own.data_source_id) else None

    def _of_record(self, tenant: Tenant, knowledge_base: KnowledgeBase) -> tuple[Finding, ...]:
        tenant_id, found = tenant.tenant_id, list[Finding]()
        if tenant.bucket_name not in {None, self.names.bucket(tenant_id)}:
            found.append(_foreign(ResourceKind.BUCKET, f"{tenant.bucket_name} in its record", tenant_id))
        own_id = knowledge_base.knowledge_base_id
        if not self.names.owned(knowledge_base.name, self.knowledge_bases.tags(knowledge_base), tenant_id):
            found.append(_foreign(ResourceKind.KNOWLEDGE_BASE, own_id, tenant_id))
        elif not store_of(tenant, self.stores).holds(tenant_id, knowledge_base.configuration):
            found.append(_foreign(ResourceKind.VECTOR_INDEX, f"of knowledge base {own_id}", tenant_id))
        return tuple(found)

    def _of_data_sources(
        self, tenant: Tenant, knowledge_base_id: str
    ) -> tuple[DataSourceReference | None, tuple[Finding, ...]]:
        """Returns: the tenant's own one, and what is foreign."""
        tenant_id = tenant.tenant_id
        wanted = store_of(tenant, self.stores).data_source_configuration(self.names.bucket(tenant_id))
        there = data_sources_of(
            tenant, knowledge_base_id, wanted, knowledge_bases=self.knowledge_bases, names=self.names
        )
        found = [_foreign(ResourceKind.DATA_SOURCE, one.data_source_id, tenant_id) for one in there.foreign]
        if there.recorded is not None and not there.recorded.reads(wanted):
            reference = DataSourceReference(knowledge_base_id, there.recorded.data_source_id)
            self._distrust(tenant_id, reference, wanted)
        if there.own is None:
            return None, tuple(found)
        if not there.own.reads(wanted):
            found.append(_foreign(ResourceKind.BUCKET, f"of data source {there.own.data_source_id}", tenant_id))
        return DataSourceReference(knowledge_base_id, there.own.data_source_id), tuple(found)

    def _distrust(self, tenant_id: TenantId, recorded: DataSourceReference, wanted: Mapping[str, object]) -> None:
        """Has no job started from it any more, unless somebody has put it right meanwhile."""
        entry = self.ledger.find(tenant_id)
        # Looked at once more behind that: whoever puts it right from here on writes the entry, and then this does not.
        named = self.registry.get(tenant_id).data_source_id == recorded.data_source_id
        again = self.knowledge_bases.data_source(recorded) if named else None
        if entry.distrusted or again is None or again.reads(wanted):
            return
        answer = failing_those_who_wait(tenant_id, self.callbacks)
        with suppress(ConcurrentUpdate):
            save_sync(entry, entry.not_to_be_trusted(), ledger=self.ledger, answer=answer)

    def _of_documents(
        self, tenant: Tenant, own: DataSourceReference, sync: Sync, began: datetime, sighted_at: datetime
    ) -> tuple[tuple[Finding, ...], datetime | None]:
        """Returns: what is foreign, and since when all documents have been seen; `None` while they have not been."""
        tenant_id, bucket = tenant.tenant_id, self.names.bucket(tenant.tenant_id)
        stored = self.document_rounds.find(tenant_id)
        goes_on = stored is not None and stored.data_source_id == own.data_source_id and stored.began_at > sighted_at
        document_round = stored if stored is not None and goes_on else DocumentRound(own.data_source_id, began)
        findings, seen_since = tuple[Finding, ...](), None
        left: DocumentRound | None = None
        try:
            for number, page in enumerate(self.ingested_documents.pages(own, document_round.after), start=1):
                document_round = replace(document_round, after=page.following)
                if any(not is_in(bucket, document.uri) for document in page.documents):
                    findings = (_foreign(ResourceKind.DOCUMENTS, f"of data source {own.data_source_id}", tenant_id),)
                    break
                if number >= MAX_DOCUMENT_PAGES and page.following is not None:
                    left = document_round
                    break
            else:
                seen_since = document_round.began_at
        except RequestRefused:
            # Whether a knowledge base of type MANAGED lists documents is not documented. A job takes out what is not in
            # the bucket (decision 25). Or only the place is not known any more: then the list is begun anew.
            refused_whole = document_round.after is None
            seen_since = sync.whole_since if refused_whole and _is_after(sync.whole_since, sighted_at) else None
        if left != stored:
            self.document_rounds.save(tenant_id, left)
        return findings, seen_since

    def _of_passages(
        self, tenant: Tenant, knowledge_base: KnowledgeBase, own: DataSourceReference, sync: Sync
    ) -> tuple[tuple[Finding, ...], bool]:
        """Returns: what is foreign, and whether anything foreign would have been found."""
        if knowledge_base.kind is None:
            return (), False
        freshness = Freshness(sync.synced_at, sync.pending_changes)
        asked = AskableTenant(tenant.tenant_id, own.knowledge_base_id, tenant.knowledge_store, freshness)
        try:
            found = self.passage_search.search(asked, knowledge_base.kind, own)
        except AwsRefusal:
            # By whatever it is refused: nobody has looked.
            return (), False
        bucket = self.names.bucket(tenant.tenant_id)
        if all(is_in(bucket, uri) for uri in found.uris):
            return (), found.whole
        name = f"of knowledge base {own.knowledge_base_id}"
        return (_foreign(ResourceKind.PASSAGES, name, tenant.tenant_id),), True

    def _write_down(self, tenant_id: TenantId, foreign: tuple[str, ...]) -> None:
        """For whoever looks at the tenant. An execution that has its lease may write the record at this moment."""
        stored = self.registry.find(tenant_id)
        if stored is None or stored.lease is not None or stored.foreign == foreign:
            return
        with suppress(ConcurrentUpdate):  # somebody else has the tenant: the next look is soon enough
            self.registry.replace(replace(stored, foreign=foreign), fence=stored.fence)


def _is_after(time: datetime | None, other: datetime) -> bool:
    return time is not None and time > other


def _foreign(kind: ResourceKind, name: str, tenant_id: TenantId) -> Finding:
    return Finding(Disagreement.FOREIGN, kind, name, tenant_id)
