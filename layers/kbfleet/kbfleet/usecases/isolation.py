"""Announcing a breach of the walls between tenants, and looking whether there is one (decision 25).

What a tenant may reach follows from its id and the number of its life, by `ResourceNames`: a record that is wrong can
lead to another life of the same tenant at most, and else proves nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.bounds import MESSAGE_BYTES, bounded_texts, shortened
from kbfleet.domain.document_names import is_in
from kbfleet.domain.errors import (
    AwsRefusal,
    ConcurrentUpdate,
    DataSourceFailed,
    KbfleetError,
    NotReadyYet,
    RequestRefused,
    Throttled,
)
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.incident import Concern
from kbfleet.domain.isolation import MAX_NAMED, Breach, DocumentRound, IsolationVerified, SeenIn
from kbfleet.domain.knowledge_base import with_drift_of_data_source
from kbfleet.domain.names import DataSourceReference
from kbfleet.domain.reconciliation import TenantRound
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.data_sources import data_sources_of
from kbfleet.usecases.ingestion import save_sync
from kbfleet.usecases.reservations import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from kbfleet.domain.knowledge_base import DataSource, KnowledgeBase
    from kbfleet.domain.names import Knowledge, Life, ResourceNames, TenantId
    from kbfleet.domain.reconciliation import WholeRound
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
    from kbfleet.usecases.profiles import Profiles
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
    announcements.isolation_breached(
        Breach(tenant_id, seen_in, bounded_texts(tuple(resources), most=MAX_NAMED), clock.now())
    )


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
        troubles: why some of those could not be looked into, and why breaches stay open in which nothing is found.
        tenants: those that were looked into.
    """

    findings: tuple[Finding, ...]
    looked_into: int
    not_looked_into: int
    troubles: tuple[tuple[TenantId, KbfleetError], ...]
    tenants: frozenset[TenantId] = field(default=frozenset(), compare=False)


NOT_LOOKED_INTO = IsolationRound((), 0, 0, ())
"""What comes of no round."""


@dataclass(frozen=True, slots=True)
class _Own:
    """The tenant's own data source.

    Args:
        described: as AWS described it in this look.
        says_what_it_reads: whether it can be judged.
        as_wanted: whether it is set as kbfleet sets it.
        drift: how it reads otherwise than it should, for people, where nobody can change that.
    """

    reference: DataSourceReference
    described: DataSource
    says_what_it_reads: bool
    as_wanted: bool
    drift: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Times:
    """Of a look.

    Args:
        began: when it did.
        until: when it is to end.
        sighted_at: when the breach that is open was last seen.
        patient: whether the list of documents is read on until then, and not for a number of pages.
    """

    began: datetime
    until: datetime
    sighted_at: datetime
    patient: bool = False


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the list of a tenant's documents shows.

    Args:
        since: since when all documents have been seen; `None` while they have not been.
        empty: whether it is known that there are none.
        unsure: why they have not been seen.
    """

    findings: tuple[Finding, ...] = ()
    since: datetime | None = None
    empty: bool = False
    unsure: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look has seen of a tenant.

    Args:
        since: since when `findings` is all there can be; `None` while there can be more.
        unsure: why there can be more.
        drift: how its data source reads otherwise than it should, where nobody can change that; `None` where that was
            not looked at.
    """

    findings: tuple[Finding, ...] = ()
    since: datetime | None = None
    unsure: str = ""
    drift: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class IsolationLook:
    """Looks into what tenants have for what is not their own.

    A tenant costs four calls of Bedrock: its knowledge base, the tags and the data sources of that, and what the
    tenant's own source reads. An account has ten of each a second (AWS documentation, Quotas for Amazon Bedrock), which
    calls one after the other do not reach. While a breach of a tenant is open, the documents in its index are listed,
    too, and its knowledge base is searched as its questions are answered: that shows whether credentials for the tenant
    open it, and what a data source has left behind that is gone. An examination looks at its service role.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    stores: Stores
    profiles: Profiles
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

    @property
    def under_way(self) -> bool:
        """Whether a round has not come to its end yet."""
        return self.rounds.find().visited is not None

    @property
    def last_round(self) -> WholeRound | None:
        """The last one that has come to its end."""
        return self.rounds.find().last

    def go_round(
        self,
        tenants: Mapping[TenantId, Tenant],
        *,
        until: datetime,
        first: TenantId | None,
        by_schedule: bool = True,
        visited: Callable[[Tenant], tuple[Finding, ...]] = lambda _: (),
    ) -> IsolationRound:
        """Takes up where the last time stopped.

        Args:
            until: when to stop.
            first: with which tenant to begin, wherever the round is.
            by_schedule: a round is begun, or goes on, to its end; one tenant is looked into at least. Else none is
                begun: whoever looks sees what there is time for, and a round that is under way is the shorter for it.
            visited: called with each tenant that was looked into. It gives what else was found, which people are not
                told of: that is kept with the tenant, too.
        """
        began, position = self.clock.now(), self.rounds.find()
        settled = _settled(tenants)
        behind = [tenant_id for tenant_id in settled if position.visited is None or tenant_id > position.visited]
        again = [tenant_id for tenant_id in position.again if tenant_id in settled and tenant_id not in behind]
        if not behind and not again:
            # Those that were left to visit are gone.
            position, behind = TenantRound(last=position.last), settled
        asked = [first] if first in settled else []
        before = [] if by_schedule else settled[: len(settled) - len(behind)]
        findings: list[Finding] = []
        troubles: list[tuple[TenantId, KbfleetError]] = []
        looked_into: set[TenantId] = set()
        last, in_turn, left = position.visited, set(behind), {*behind, *again}
        waiting = list(dict.fromkeys((*asked, *behind, *again, *before)))
        for number, tenant_id in enumerate(waiting):
            if number >= max(int(by_schedule), len(asked)) and self.clock.now() >= until:
                break
            if tenant_id in in_turn and tenant_id not in asked:
                # Also if it is throttled: the next time begins behind it, or it would hold up the others for ever. It
                # comes once more at the end.
                last = tenant_id
            try:
                found, trouble = self._look_into(tenants[tenant_id], until, visited)
            except Throttled as error:
                # Ticks need the request rate more urgently.
                troubles.append((tenant_id, error))
                if tenant_id in again:
                    left.discard(tenant_id)
                else:
                    again.append(tenant_id)
                break
            except KbfleetError as error:
                # One tenant's trouble must not hold up the others.
                troubles.append((tenant_id, error))
                left.discard(tenant_id)
                continue
            findings += found
            looked_into.add(tenant_id)
            left.discard(tenant_id)
            if trouble is not None:
                troubles.append((tenant_id, trouble))
        under_way = by_schedule or position.visited is not None
        if not left or (under_way and last is not None):
            moved = position.moved(
                last if left else None,
                since=began,
                now=self.clock.now(),
                missed=len({tenant_id for tenant_id, _ in troubles} - left),
                again=tuple(tenant_id for tenant_id in again if tenant_id in left),
            )
            self.rounds.save(moved)
        return IsolationRound(
            tuple(findings),
            len(looked_into),
            len(settled) - len(looked_into),
            tuple(troubles),
            frozenset(looked_into),
        )

    def _look_into(
        self, tenant: Tenant, until: datetime, visited: Callable[[Tenant], tuple[Finding, ...]]
    ) -> tuple[tuple[Finding, ...], KbfleetError | None]:
        """Returns: what was found, and why there can be more where nothing that was found explains it."""
        began = self.clock.now()
        timeline = self.incidents.timeline(str(tenant.tenant_id), Concern.ISOLATION)
        seen = self._seen(tenant, began, until, None if timeline.settled else timeline.last_at)
        foreign = _foreign_among(seen.findings)
        if foreign:
            announce_breach(
                tenant.tenant_id, SeenIn.RESOURCES, foreign, announcements=self.announcements, clock=self.clock
            )
        elif seen.since is not None and not timeline.settled:
            self.announcements.isolation_verified(IsolationVerified(tenant.tenant_id, seen.since))
        also = visited(tenant)
        if foreign or seen.since is not None:
            self._write_down(tenant.tenant_id, foreign, (*seen.findings, *also), seen.drift)
        if not seen.unsure or foreign:
            return seen.findings, None
        doubt = "could not be looked into" if timeline.settled else "has a breach that stays open"
        return seen.findings, NotReadyYet(f"Tenant {tenant.tenant_id} {doubt}: {seen.unsure}.")

    def _seen(self, tenant: Tenant, began: datetime, until: datetime, sighted_at: datetime | None) -> _Seen:
        """
        Args:
            began: when this look did.
            until: when it is to end.
            sighted_at: when the breach that is open was last seen; `None` if none is.
        """
        knowledge_base = self.knowledge_bases.get(str(tenant.knowledge_base_id))
        if knowledge_base is None:
            return _Seen(unsure="its knowledge base is gone")
        of_record = self._of_record(tenant, knowledge_base)
        if any(finding.kind is ResourceKind.KNOWLEDGE_BASE for finding in of_record):
            # What it reads is somebody else's as well, and all right where it is.
            return _Seen(of_record, began)
        own, of_sources = self._of_data_sources(tenant, knowledge_base.knowledge_base_id)
        seen = self._seen_of(tenant, knowledge_base, own, of_record + of_sources, began, until, sighted_at)
        return replace(seen, drift=own.drift if own is not None else None)

    def _seen_of(
        self,
        tenant: Tenant,
        knowledge_base: KnowledgeBase,
        own: _Own | None,
        findings: tuple[Finding, ...],
        began: datetime,
        until: datetime,
        sighted_at: datetime | None,
    ) -> _Seen:
        """As `_seen`, with what the record and the data sources have shown."""
        sync = self.ledger.find(tenant.live_knowledge)
        if sync.distrusted and not _foreign_among(findings):
            # Somebody has put it right in the console, which nobody else knows: nothing would be synced ever again.
            name = f"that data source {tenant.data_source_id} may have brought from another bucket"
            findings += (_foreign(ResourceKind.DOCUMENTS, name, tenant.tenant_id),)
        if own is None:
            return _Seen(findings, unsure="it has no data source")
        if not own.says_what_it_reads:
            return _Seen(findings, unsure="AWS does not say what its data source reads")
        if sighted_at is None:
            return _Seen(findings, began)
        listed = self._of_documents(tenant, own, sync, _Times(began, until, sighted_at))
        findings += listed.findings
        if _foreign_among(findings):
            # What is known by its name explains what would be found.
            return _Seen(findings)
        passages, unsure = self._of_passages(tenant, knowledge_base, own.reference, sync, empty=listed.empty)
        findings += passages
        if not sync.has_synced(own.reference.data_source_id):
            unsure = "it was not synced since its index was put right"
        unsure = unsure or listed.unsure
        return _Seen(findings, None if unsure else listed.since, unsure)

    def _of_record(self, tenant: Tenant, knowledge_base: KnowledgeBase) -> tuple[Finding, ...]:
        tenant_id, found = tenant.tenant_id, list[Finding]()
        if tenant.bucket_name not in {None, self.names.bucket(tenant.this_life)}:
            found.append(_foreign(ResourceKind.BUCKET, f"{tenant.bucket_name} in its record", tenant_id))
        own_id = knowledge_base.knowledge_base_id
        if not self.names.owned(knowledge_base.name, self.knowledge_bases.tags(knowledge_base), tenant.this_life):
            found.append(_foreign(ResourceKind.KNOWLEDGE_BASE, own_id, tenant_id))
        elif not store_of(tenant, self.stores).holds(tenant.live_knowledge, knowledge_base.configuration):
            found.append(_foreign(ResourceKind.VECTOR_INDEX, f"of knowledge base {own_id}", tenant_id))
        return tuple(found)

    def _of_data_sources(self, tenant: Tenant, knowledge_base_id: str) -> tuple[_Own | None, tuple[Finding, ...]]:
        """Returns: the tenant's own one, and what is foreign, or otherwise than it should be."""
        tenant_id = tenant.tenant_id
        store = self.profiles.store_of(tenant, self.stores)
        wanted, ingestion = (
            store.data_source_configuration(self.names.bucket(tenant.this_life)),
            store.ingestion_configuration(),
        )
        there = data_sources_of(
            tenant, knowledge_base_id, wanted, knowledge_bases=self.knowledge_bases, names=self.names
        )
        found = [_foreign(ResourceKind.DATA_SOURCE, one.data_source_id, tenant_id) for one in there.foreign]
        if there.recorded is not None and there.recorded.reads_another(wanted):
            reference = DataSourceReference(knowledge_base_id, there.recorded.data_source_id)
            self._distrust(tenant.live_knowledge, reference, wanted)
        if there.own is None:
            return None, tuple(found)
        own_id = there.own.data_source_id
        own = _Own(
            DataSourceReference(knowledge_base_id, own_id),
            there.own,
            says_what_it_reads=there.own.says_what_it_reads(wanted),
            as_wanted=there.own.reads_as(wanted) and not there.own.ingests_otherwise(ingestion),
            drift=there.own.drift_from(ingestion),
        )
        if there.own.reads_another(wanted):
            found.append(_foreign(ResourceKind.BUCKET, f"of data source {own_id}", tenant_id))
        elif own.says_what_it_reads and not own.as_wanted:
            found.append(Finding(Disagreement.CHANGED, ResourceKind.DATA_SOURCE, own_id, tenant_id))
        return own, tuple(found)

    def _distrust(self, knowledge: Knowledge, recorded: DataSourceReference, wanted: Mapping[str, object]) -> None:
        """Has no job started from it any more, unless somebody has put it right meanwhile."""
        entry = self.ledger.find(knowledge)
        # Looked at once more behind that: whoever puts it right from here on writes the entry, and then this does not.
        named = self.registry.get(knowledge.tenant_id).data_source_id == recorded.data_source_id
        again = self.knowledge_bases.data_source(recorded) if named else None
        if entry.distrusted or again is None or not again.reads_another(wanted):
            return
        answer = failing_those_who_wait(knowledge.tenant_id, self.callbacks)
        with suppress(ConcurrentUpdate):
            save_sync(entry, entry.not_to_be_trusted(), ledger=self.ledger, answer=answer)

    def _of_documents(self, tenant: Tenant, own: _Own, sync: Sync, times: _Times) -> _Listed:
        tenant_id, own_id = tenant.tenant_id, own.reference.data_source_id
        stored = self.document_rounds.find(tenant_id)
        goes_on = stored is not None and stored.data_source_id == own_id and stored.began_at > times.sighted_at
        document_round = stored if stored is not None and goes_on else DocumentRound(own_id, times.began)
        listed = self._read_on(tenant.this_life, own, document_round, times, stored)
        if listed is None and document_round.after is not None:
            # Only the place is not known any more. Places that do not live until the next look lead to no end: so this
            # one goes on for as long as it may.
            document_round, times = DocumentRound(own_id, times.began), replace(times, patient=True)
            listed = self._read_on(tenant.this_life, own, document_round, times, stored)
        return self._instead_of_a_list(own, sync, times) if listed is None else listed

    def _read_on(
        self, life: Life, own: _Own, document_round: DocumentRound, times: _Times, stored: DocumentRound | None
    ) -> _Listed | None:
        """Whatever ends it, the place that was reached is kept. Returns: `None` where it is refused to begin with."""
        bucket, empty, number = self.names.bucket(life), document_round.after is None, 0
        place: DocumentRound | None = document_round if document_round.after else None
        try:
            pages = self.ingested_documents.pages(own.reference, document_round.after)
            for number, page in enumerate(pages, start=1):
                place = replace(document_round, after=page.following) if page.following else None
                empty = empty and not page.documents
                if any(not is_in(bucket, document.uri) for document in page.documents):
                    place = None
                    name = f"of data source {own.reference.data_source_id}"
                    return _Listed((_foreign(ResourceKind.DOCUMENTS, name, life.tenant_id),))
                go_on = self.clock.now() < times.until if times.patient else number < MAX_DOCUMENT_PAGES
                if place is not None and not go_on:
                    return _Listed(unsure="the list of its documents is to be read on")
            return _Listed(since=document_round.began_at, empty=empty)
        except RequestRefused:
            if number:
                raise
            return None
        finally:
            if place != stored:
                self.document_rounds.save(life.tenant_id, place)

    def _instead_of_a_list(self, own: _Own, sync: Sync, times: _Times) -> _Listed:
        """Whether a knowledge base of type MANAGED lists documents is not documented. A job takes out what is not in
        the bucket (decision 25), if it read the bucket: the data source is now what it was when the job began."""
        since, changed_at = sync.whole_since, own.described.updated_at
        counts = own.as_wanted and changed_at is not None and since is not None and changed_at <= since < times.began
        if since is None or not counts or since <= times.sighted_at:
            return _Listed(
                unsure="its documents are not listed, and no whole job that kbfleet started has begun since its data "
                "source was last changed and the breach last seen"
            )
        return _Listed(since=since)

    def _of_passages(
        self, tenant: Tenant, knowledge_base: KnowledgeBase, own: DataSourceReference, sync: Sync, *, empty: bool
    ) -> tuple[tuple[Finding, ...], str]:
        """
        Args:
            empty: whether it is known that there are no documents.

        Returns: what is foreign, and why there can be more than that.
        """
        if knowledge_base.kind is None:
            return (), "its knowledge base is of a kind that kbfleet does not know"
        freshness = Freshness(sync.synced_at, sync.pending_changes)
        asked = AskableTenant(tenant.tenant_id, own.knowledge_base_id, tenant.knowledge_store, freshness, tenant.life)
        try:
            found = self.passage_search.search(asked, knowledge_base.kind, own)
        except AwsRefusal as error:
            # By whatever it is refused: nobody has looked.
            return (), f"its knowledge base could not be searched: {error}"
        bucket = self.names.bucket(tenant.this_life)
        if found.left_behind or not all(is_in(bucket, uri) for uri in found.uris):
            name = f"of knowledge base {own.knowledge_base_id}"
            return (_foreign(ResourceKind.PASSAGES, name, tenant.tenant_id),), ""
        if not found.uris and not empty:
            return (), "nothing at all is found in its knowledge base, although there may be documents"
        return (), "" if found.whole else "a search of its knowledge base may not find all there is"

    def _write_down(
        self,
        tenant_id: TenantId,
        foreign: tuple[str, ...],
        found: tuple[Finding, ...],
        drift: tuple[str, ...] | None,
    ) -> None:
        """For whoever looks at the tenant. An execution that has its lease may write the record at this moment."""
        within = tuple(replace(each, name=shortened(each.name, MESSAGE_BYTES)) for each in found)
        stored = self.registry.find(tenant_id)
        if stored is None or stored.lease is not None:
            return
        drift = stored.drift if drift is None else with_drift_of_data_source(stored.drift, drift)
        known = (stored.foreign, stored.within, stored.drift) == (foreign, within, drift)
        if known and not (within and stored.worked_at_since):
            return
        seen_at = self.clock.now() if within or stored.losses else None
        noted = replace(stored, foreign=foreign, within=within, drift=drift, found_at=seen_at)
        with suppress(ConcurrentUpdate):  # somebody else has the tenant: the next look is soon enough
            self.registry.replace(noted, fence=stored.fence)


def _settled(tenants: Mapping[TenantId, Tenant]) -> list[TenantId]:
    """Those who can be looked into, in the order of a round."""
    return sorted(
        tenant_id
        for tenant_id, tenant in tenants.items()
        if tenant.status in _SETTLED and tenant.knowledge_base_id is not None
    )


def _foreign_among(findings: Iterable[Finding]) -> tuple[str, ...]:
    return bounded_texts([str(finding) for finding in findings if finding.disagreement is Disagreement.FOREIGN])


def _foreign(kind: ResourceKind, name: str, tenant_id: TenantId) -> Finding:
    return Finding(Disagreement.FOREIGN, kind, name, tenant_id)
