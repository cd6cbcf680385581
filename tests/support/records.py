"""The tenant registry, the sync ledger and the job history in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.bounds import PAGE_BYTES, fitting
from kbfleet.domain.capacity import RoomCount
from kbfleet.domain.convergence import Convergence
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import ConcurrentUpdate, TenantNotFound
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.domain.isolation import DocumentRound
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.profiles import DEFAULT_PROFILE, Profile, ProfileName, ProfileReference
from kbfleet.domain.reconciliation import TenantRound
from kbfleet.domain.search_allowance import SearchAllowance
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import REQUESTED_NAME_KEPT_FOR, DisplayName, Tenant, require_as_recorded
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import Glance, JobPage, Recorded


class InMemoryTenantRegistry:
    """`kbfleet.ports.TenantRegistry`. `writes` counts what was stored, so that a test can recognize a run that changed
    nothing."""

    def __init__(self, *tenants: Tenant) -> None:
        self._tenants = {tenant.tenant_id: tenant for tenant in tenants}
        self._requested_names: dict[tuple[TenantId, str], tuple[DisplayName, datetime]] = {}
        self.writes = 0

    def find(self, tenant_id: TenantId) -> Tenant | None:
        return self._tenants.get(tenant_id)

    def get(self, tenant_id: TenantId) -> Tenant:
        tenant = self.find(tenant_id)
        if tenant is None:
            raise TenantNotFound.of(tenant_id)
        return tenant

    def all(self) -> Iterator[Tenant]:
        return iter(sorted(self._tenants.values(), key=lambda tenant: tenant.tenant_id))

    def following(self, tenant_id: TenantId | None, limit: int, beginning: str = "") -> Sequence[Tenant]:
        after = (tenant for tenant in self.all() if tenant_id is None or tenant.tenant_id > tenant_id)
        return [tenant for tenant in after if tenant.tenant_id.startswith(beginning)][:limit]

    def using(self, profile: ProfileName, limit: int) -> Sequence[TenantId]:
        users = (each for each in self.all() if each.profile.name == profile and profile != DEFAULT_PROFILE)
        return [each.tenant_id for each in users if each.status is not TenantStatus.OFFBOARDED][:limit]

    def remember_profile(self, life: Life, profile: ProfileReference) -> None:
        """No record here is written by another version."""

    def request_name(self, tenant_id: TenantId, name: DisplayName, *, execution: str, now: datetime) -> None:
        self._requested_names[tenant_id, execution] = (name, now + REQUESTED_NAME_KEPT_FOR)

    def requested_name(self, tenant_id: TenantId, *, execution: str, now: datetime) -> DisplayName | None:
        name, kept_until = self._requested_names.get((tenant_id, execution), (None, now))
        return name if kept_until > now else None

    def create(self, tenant: Tenant) -> None:
        if tenant.tenant_id in self._tenants:
            raise ConcurrentUpdate(f"The record of tenant {tenant.tenant_id} exists.")
        self._store(tenant)

    def replace(self, tenant: Tenant, *, fence: int) -> None:
        stored = self._tenants.get(tenant.tenant_id)
        if stored is None or stored.fence != fence:
            raise ConcurrentUpdate(f"The record of tenant {tenant.tenant_id} has changed since it was read.")
        self._store(tenant)

    def _store(self, tenant: Tenant) -> None:
        require_as_recorded(tenant)
        self._tenants[tenant.tenant_id] = tenant
        self.writes += 1


class InMemoryProfileRecords:
    """`kbfleet.ports.ProfileRecords`."""

    def __init__(self, *profiles: Profile) -> None:
        self._versions: dict[tuple[ProfileName, int], Profile] = {}
        self._listed: set[ProfileName] = set()
        for profile in profiles:
            self.enlist(profile.name)
            self.add(profile)

    def find(self, name: ProfileName, version: int) -> Profile | None:
        return self._versions.get((name, version))

    def newest(self, name: ProfileName) -> Profile | None:
        versions = [version for known, version in self._versions if known == name]
        return self._versions[name, max(versions)] if versions else None

    def add(self, profile: Profile) -> None:
        if (profile.name, profile.version) in self._versions:
            raise ConcurrentUpdate(f"Profile {profile.reference} exists.")
        self._versions[profile.name, profile.version] = profile

    def names(self) -> Sequence[ProfileName]:
        return sorted(self._listed)

    def is_listed(self, name: ProfileName) -> bool:
        return name in self._listed

    def enlist(self, name: ProfileName) -> None:
        self._listed.add(name)

    def delist(self, name: ProfileName) -> None:
        self._listed.discard(name)


class InMemoryAskableTenantRecords:
    """`kbfleet.ports.AskableTenantRecords`, from the other two."""

    def __init__(self, registry: InMemoryTenantRegistry, ledger: InMemorySyncLedger) -> None:
        self._registry = registry
        self._ledger = ledger

    def get(self, tenant_id: TenantId) -> AskableTenant:
        tenant = self._registry.get(tenant_id)
        sync = self._ledger.find(tenant.live_knowledge)
        freshness = Freshness(sync.synced_at, sync.pending_changes)
        left_out = sync.documents_left_out
        named = "" if tenant.profile.is_default else str(tenant.profile.name)
        return AskableTenant(
            tenant_id,
            tenant.askable(),
            tenant.knowledge_store,
            freshness,
            left_out,
            tenant.life,
            named,
            tenant.profile.version,
        )

    def life(self, tenant_id: TenantId) -> Life:
        tenant = self._registry.find(tenant_id)
        return tenant.this_life if tenant is not None else Life(tenant_id)


class InMemoryTenantNames:
    """`kbfleet.ports.TenantNames`, of the tenants of a registry."""

    def __init__(self, registry: InMemoryTenantRegistry) -> None:
        self._registry = registry

    def name_of(self, tenant_id: TenantId) -> str | None:
        tenant = self._registry.find(tenant_id)
        return tenant.name if tenant is not None else None


class InMemoryTenantRecords:
    """`kbfleet.ports.TenantRecords`: a ledger's entries, and kinds of records that a test puts into `others`."""

    def __init__(self, ledger: InMemorySyncLedger) -> None:
        self._ledger = ledger
        self.others: dict[Life, set[str]] = {}
        self.receipts: list[tuple[TenantId, ErasureReceipt]] = []

    def keep_receipt(self, tenant_id: TenantId, receipt: ErasureReceipt) -> None:
        for number, (of, kept) in enumerate(self.receipts):
            same = (kept.requested_at, kept.verified_at) == (receipt.requested_at, receipt.verified_at)
            if of == tenant_id and same:
                if kept.execution != receipt.execution:
                    raise ConcurrentUpdate(f"Another execution has kept a receipt for tenant {tenant_id}.")
                self.receipts[number] = (tenant_id, receipt)
                return
        self.receipts.append((tenant_id, receipt))

    def erase(self, life: Life, *, keep_usage: bool) -> None:
        self._ledger.forget(life)
        for each in self._until(life):
            self.others[each] &= {"usage"} if keep_usage else set()

    def erased(self, life: Life, *, keep_usage: bool) -> bool:
        others = {kind for each in self._until(life) for kind in self.others[each]}
        return not others - ({"usage"} if keep_usage else set()) and not self._ledger.remembers(life)

    def _until(self, life: Life) -> list[Life]:
        return [each for each in self.others if _not_after(each, life)]


class InMemorySyncLedger:
    """`kbfleet.ports.SyncLedger`. What it lists is a snapshot, as a page of a query is: entries may change while the
    caller goes through it."""

    def __init__(self) -> None:
        self._entries: dict[Knowledge, Sync] = {}
        self._start_claimed_at: datetime | None = None
        self.writes = 0

    def forget(self, life: Life) -> None:
        """The entries of that life, and of those before it, are gone."""
        self._entries = {each: entry for each, entry in self._entries.items() if not _not_after(each.life, life)}

    def remembers(self, life: Life) -> bool:
        """Whether there is any."""
        return any(_not_after(each.life, life) for each in self._entries)

    def find(self, knowledge: Knowledge) -> Sync:
        return self._entries.get(knowledge, Sync.never_stored(knowledge))

    @property
    def all(self) -> list[Sync]:
        return list(self._entries.values())

    def replace(self, sync: Sync) -> None:
        """As another version writes it."""
        self._entries[sync.of_knowledge] = sync

    @property
    def start_claimed_at(self) -> datetime | None:
        return self._start_claimed_at

    def entries(self, wanted: Iterable[Knowledge]) -> Iterator[Sync]:
        return iter([self.find(each) for each in wanted])

    def save(self, sync: Sync) -> Sync:
        if self.find(sync.of_knowledge).version != sync.version:
            raise ConcurrentUpdate(f"The ledger entry of tenant {sync.tenant_id} has changed since it was read.")
        stored = replace(sync, version=sync.version + 1, outlined=True)
        self._entries[sync.of_knowledge] = stored
        self.writes += 1
        return stored

    def glance(self, limit: int) -> Glance:
        going_on = [*self.running(), *self._queued()]
        return Glance(going_on[:limit], complete=len(going_on) <= limit)

    def running(self) -> Iterator[Sync]:
        return iter([entry for entry in self._entries.values() if entry.state is SyncState.RUNNING])

    def held(self) -> Iterator[Sync]:
        return iter(
            [entry for entry in self._entries.values() if entry.state is SyncState.IDLE and entry.hold is not None]
        )

    def queued(self, kind: KnowledgeBaseKind, priority: Priority, *, ready_by: datetime, limit: int) -> Sequence[Sync]:
        ready = (entry for entry in self._queued() if entry.ready_at is None or entry.ready_at <= ready_by)
        return [entry for entry in ready if (entry.kind, entry.priority) == (kind, priority)][:limit]

    def _queued(self) -> list[Sync]:
        queued = (entry for entry in self._entries.values() if entry.state is SyncState.QUEUED)
        return sorted(queued, key=_position)

    def claim_start(self, now: datetime, interval: timedelta) -> bool:
        if self._start_claimed_at is not None and now - self._start_claimed_at < interval:
            return False
        self._start_claimed_at = now
        return True


def _not_after(one: Life, other: Life) -> bool:
    return one.tenant_id == other.tenant_id and one.number <= other.number


def _position(sync: Sync) -> tuple[str, int, float, str]:
    return sync.kind, sync.priority, sync.ready_at.timestamp() if sync.ready_at else 0.0, sync.tenant_id


class InMemoryJobHistory:
    """`kbfleet.ports.JobHistory`."""

    def __init__(self) -> None:
        self._changes: dict[tuple[Life, datetime, str], JobStateChange] = {}
        self._claims: dict[str, datetime] = {}
        self._published: set[str] = set()

    def record(self, change: JobStateChange, now: datetime) -> Recorded:
        key = (change.of_life, change.started_at or change.occurred_at, change.name)
        stored = self._changes.get(key)
        if stored is None or stored.occurred_at <= change.occurred_at:
            self._changes[key] = change
        if change.identity in self._published:
            return Recorded.PUBLISHED
        claimed = self._claims.get(change.identity)
        if claimed is not None and now - claimed < timedelta(minutes=1):
            return Recorded.ANOTHERS
        self._claims[change.identity] = now
        return Recorded.YOURS

    def published(self, change: JobStateChange) -> None:
        self._published.add(change.identity)

    def latest(self, life: Life, limit: int) -> Sequence[JobStateChange]:
        own = self._places(life)
        return [own[place] for place in sorted(own, reverse=True)[:limit]]

    def page(self, life: Life, limit: int, after: str | None) -> JobPage:
        own = self._places(life)
        places = [place for place in sorted(own, reverse=True) if after is None or place < after]
        kept = fitting(places, lambda place: own[place].size, most_bytes=PAGE_BYTES, most=limit)
        return JobPage([own[place] for place in kept], kept[-1] if len(places) > len(kept) else None)

    def find(self, life: Life, name: str) -> JobStateChange | None:
        return next((change for change in self.latest(life, len(self._changes)) if change.name == name), None)

    def _places(self, life: Life) -> dict[str, JobStateChange]:
        return {f"{key[1].isoformat()}#{key[2]}": change for key, change in self._changes.items() if key[0] == life}

    def started_since(self, life: Life, since: datetime) -> Iterator[JobStateChange]:
        return iter([change for key, change in self._changes.items() if key[0] == life and key[1] >= since])


class InMemoryConvergenceRecord:
    """`kbfleet.ports.ConvergenceRecord`."""

    def __init__(self) -> None:
        self._stored: Convergence | None = None

    def find(self) -> Convergence | None:
        return self._stored

    def save(self, convergence: Convergence) -> None:
        self._stored = convergence


class InMemoryRoomCounts:
    """`kbfleet.ports.RoomCounts`."""

    def __init__(self) -> None:
        self._stored: RoomCount | None = None

    def find(self) -> RoomCount | None:
        return self._stored

    def save(self, counted: RoomCount) -> None:
        self._stored = counted

    def take(self) -> None:
        if self._stored is not None:
            self._stored = replace(self._stored, taken=self._stored.taken + 1)


class InMemoryTenantRounds:
    """`kbfleet.ports.TenantRounds`."""

    def __init__(self) -> None:
        self._stored = TenantRound()

    def find(self) -> TenantRound:
        return self._stored

    def save(self, tenant_round: TenantRound) -> None:
        self._stored = tenant_round


class InMemoryDocumentRounds:
    """`kbfleet.ports.DocumentRounds`."""

    def __init__(self) -> None:
        self._rounds: dict[TenantId, DocumentRound] = {}

    def find(self, tenant_id: TenantId) -> DocumentRound | None:
        return self._rounds.get(tenant_id)

    def save(self, tenant_id: TenantId, document_round: DocumentRound | None) -> None:
        if document_round is None:
            self._rounds.pop(tenant_id, None)
        else:
            self._rounds[tenant_id] = document_round


class InMemorySearchAllowances:
    """`kbfleet.ports.SearchAllowances`."""

    def __init__(self) -> None:
        self._last: dict[TenantId, SearchAllowance] = {}

    def take(self, tenant_id: TenantId, now: datetime) -> bool:
        taken = SearchAllowance.after_one_more(self._last.get(tenant_id), now)
        if taken is not None:
            self._last[tenant_id] = taken
        return taken is not None
