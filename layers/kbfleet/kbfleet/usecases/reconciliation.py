"""Comparing the tenants' records with the resources that are there. It reports, and repairs only on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar
from uuid import NAMESPACE_OID, uuid5

from kbfleet.domain.diagnosis import SETTLED, THE_FLEET, Diagnosis, FleetDiagnosis, held
from kbfleet.domain.errors import AwsRefusal, ConcurrentUpdate, KbfleetError, NotReadyYet, Retryable
from kbfleet.domain.finding import NOWHERE, Disagreement, Finding, ResourceKind, SharedLoss
from kbfleet.domain.incident import Concern
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, content_lost
from kbfleet.domain.knowledges import TOLERANCE, Role
from kbfleet.domain.names import MAX_LIFE, Life
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.isolation import NOT_LOOKED_INTO
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.rebuilding import request_rebuild
from kbfleet.usecases.reservations import announce_status, without_dead_lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Set
    from datetime import datetime

    from kbfleet.domain.knowledge_base import Index
    from kbfleet.domain.names import Knowledge, ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        DocumentBuckets,
        Executions,
        Incidents,
        KnowledgeBases,
        KnowledgeStore,
        ServiceRoles,
        SyncLedger,
        TenantRegistry,
    )
    from kbfleet.usecases.examination import TenantExamination
    from kbfleet.usecases.isolation import IsolationLook
    from kbfleet.usecases.profiles import Profiles
    from kbfleet.usecases.reservations import Stores

REPAIRS_AT_ONCE = 100
"""Executions that bring tenants back at a time: they share the rates of Bedrock and IAM with all else, and whoever
asked waits until they are started."""
_ATTEMPTS = 5
"""Names of executions that are tried for one record: each that is taken is one that was stopped before it began."""
_A_WHILE = timedelta(minutes=5)
_STUCK_AFTER = timedelta(minutes=15)
"""Without a word of the execution that provisions a tenant, until somebody looks whether it still runs."""
_CHANGING = {TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING}
"""Their resources come and go while we look."""
_REPAIRED = {TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.PROVISIONING}
"""A suspended one is left to whoever has suspended it."""


@dataclass(frozen=True, slots=True)
class _Resources:
    """What is there, each with what it is by its name; `None` where it could not be listed.

    Args:
        indexes: by the store; one whose indexes could not be listed is left out.
    """

    buckets: Mapping[str, Life] | None
    knowledge_bases: Mapping[str, Knowledge] | None
    service_roles: Mapping[str, Life] | None
    indexes: Mapping[str, Mapping[Knowledge, Index]]

    def __len__(self) -> int:
        named = (self.buckets, self.knowledge_bases, self.service_roles, *self.indexes.values())
        return sum(len(each) for each in named if each is not None)


Listed = TypeVar("Listed")


@dataclass(frozen=True, slots=True)
class _Time:
    clock: Clock
    until: datetime

    @property
    def is_up(self) -> bool:
        return self.clock.now() >= self.until


class _Lists:
    """Lists of the account. One that AWS refuses keeps nobody from the others.

    Args:
        refused: why lists could not be made.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def made(self, make: Callable[[], Listed]) -> Listed | None:
        try:
            return make()
        except KbfleetError as error:
            self.refused.append(str(error))
            return None


class _Examined:
    """What examinations have shown of tenants, each examined once.

    Args:
        quietly: whether nothing is written down or told of it.
        asked: of whom somebody wants to know just now.
        findings: of each that could be examined.
        troubles: why others could not be, or not whole.
    """

    def __init__(self, examination: TenantExamination, *, quietly: bool, asked: TenantId | None) -> None:
        self._examination = examination
        self._quietly = quietly
        self._asked = asked
        self._done: set[TenantId] = set()
        self.findings: dict[TenantId, tuple[Finding, ...]] = {}
        self.troubles: list[tuple[TenantId, KbfleetError]] = []

    def add(self, tenant: Tenant) -> tuple[Finding, ...]:
        """Returns: what was found that nobody else keeps; losses are in the record, holds in the ledger."""
        if tenant.tenant_id not in self._done:
            self._done.add(tenant.tenant_id)
            self._examine(tenant)
        found = self.findings.get(tenant.tenant_id, ())
        return tuple(finding for finding in found if not finding.hurts and finding.hold is None)

    def _examine(self, tenant: Tenant) -> None:
        tenant_id = tenant.tenant_id
        try:
            diagnosis = self._examination.examine(tenant, asked=self._quietly or tenant_id == self._asked)
            if not self._quietly:
                self._examination.publish(diagnosis)
        except KbfleetError as error:
            self.troubles.append((tenant_id, error))
            return
        self.troubles += ((tenant_id, NotReadyYet(str(each))) for each in diagnosis.unseen)
        findings = (*diagnosis.findings, *diagnosis.left_open(tenant.losses))
        if findings or not diagnosis.unseen:
            self.findings[tenant_id] = findings


def reconcile(
    *,
    registry: TenantRegistry,
    ledger: SyncLedger,
    incidents: Incidents,
    buckets: DocumentBuckets,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    executions: Executions,
    rebuild_executions: Executions,
    announcements: Announcements,
    isolation: IsolationLook,
    examination: TenantExamination,
    names: ResourceNames,
    clock: Clock,
    until: datetime,
    first: TenantId | None = None,
    repair_until: datetime | None = None,
    looking_in: bool = True,
    by_schedule: bool = True,
    quietly: bool = False,
) -> Reconciliation:
    """Looks at every record and every resource of the fleet, and publishes what it found. Then it goes on looking into
    tenants' knowledge bases for what is not their own, as long as there is time. Of those that there was none for, it
    tells what was found within them when they were last looked into.

    What all tenants share is looked at first. Where it is gone, people hear of that once, and not of each tenant.

    A status that nobody could publish is published. The resources are listed before the records are read: what is
    written down meanwhile explains what was listed. Whoever seems to lack something, or did the last time, is examined.

    Args:
        until, first, by_schedule: see `IsolationLook.go_round`. Lists are made whole, whatever time they take.
        repair_until: start the provisioning of tenants that miss something, or are stuck in theirs, and the rebuild of
            those that have lost what they are answered from, until then; some of them at a time. Without it, nobody's.
            What is there too much stays for people.
        looking_in: whether to look into knowledge bases, too, which is what takes time.
        quietly: change nothing: whatever would be written, published or moved on stays as it is. Nobody's knowledge
            base is looked into.
    """
    lists, began = _Lists(), clock.now()

    def indexes_of(store: KnowledgeStore) -> Mapping[Knowledge, Index] | None:
        return lists.made(lambda: {index.knowledge: index for index in store.indexes()})

    shared, whole = _shared_losses(stores, service_roles, lists)
    gone = {loss.name for loss in shared}
    there = {name: store for name, store in stores.items() if name not in gone}
    indexes = {name: indexes_of(store) for name, store in there.items() if store.kind is KnowledgeBaseKind.VECTOR}
    resources = _Resources(
        lists.made(lambda: dict(buckets.of_fleet(names))),
        lists.made(lambda: dict(knowledge_bases.of_fleet(names))),
        lists.made(lambda: dict(service_roles.of_fleet(names))),
        {name: listed for name, listed in indexes.items() if listed is not None},
    )
    tenants = {tenant.tenant_id: tenant for tenant in registry.all()}
    missing = list(_missing(tenants, resources, names, service_roles))
    suspects = {finding.tenant_id for finding in missing}
    known_losses = {tenant_id for tenant_id, tenant in tenants.items() if tenant.losses and tenant.status in SETTLED}
    examined = _Examined(examination, quietly=quietly, asked=first)
    looking_in = looking_in and not quietly
    # Those of whom nobody knows yet come first, and the look into knowledge bases has its share of the time.
    share = clock.now() + (until - clock.now()) / 2 if looking_in else until
    for tenant_id in (*sorted(suspects - known_losses), *sorted(known_losses)):
        if clock.now() >= share:
            examined.troubles.append((tenant_id, NotReadyYet("There was no time to examine it; the next round does.")))
        else:
            examined.add(tenants[tenant_id])
    stuck = tuple(_stuck(tenants, executions, clock, share, examined.troubles))
    time = _Time(clock, share)
    unexplained = tuple(
        _unexplained(tenants, resources, names, knowledge_bases, service_roles, stores, examined.troubles, time)
    )
    # Last of what takes time: it writes records as well.
    looked = NOT_LOOKED_INTO
    if looking_in:
        looked = isolation.go_round(tenants, until=until, first=first, by_schedule=by_schedule, visited=examined.add)
    if not quietly:
        for finding in stuck:
            if clock.now() >= until:
                break  # the next round finds those that are left
            examination.publish(Diagnosis(finding.tenant_id, clock.now(), (finding,)), lease_is_dead=True)
    findings = (
        *_overdue(tenants, clock.now()),
        *stuck,
        *_held(ledger, tenants, names, examined.findings),
        # A list may not show what is there, and shows nothing of what has come to an index.
        *(finding for finding in missing if finding.tenant_id not in examined.findings),
        *(finding for found in examined.findings.values() for finding in found),
        *unexplained,
    )
    recorded = tuple(_recorded(tenants, looked.tenants, examined.findings, missing))
    repairs: list[TenantId] = []
    repairs_left = 0
    if repair_until is not None:
        # What only its owner can bring back is not repaired unasked.
        # Nor is what was seen before the tenant was worked at: whether that is over, the next look says.
        seen = [*findings, *(each for each in recorded if not tenants[each.tenant_id].worked_at_since)]
        lost = {finding.tenant_id for finding in seen if finding.repairable}
        lost -= {finding.tenant_id for finding in (*seen, *recorded) if finding.loses_the_documents}
        wanted = [tenants[tenant_id] for tenant_id in lost if tenants[tenant_id].status in _REPAIRED]
        rebuilt = {finding.tenant_id for finding in seen if finding.holds_content and finding.repairable}
        start = _Repairs(
            began, registry, executions, rebuild_executions, stores, examination.profiles, clock, repair_until, rebuilt
        )
        repairs, repairs_left = start.some_of(wanted, examined.troubles)
    for tenant in tenants.values():
        if quietly or clock.now() >= until:
            break  # the next round publishes it
        # Whoever has just stored a status is about to publish it.
        if clock.now() - tenant.status_since > _A_WHILE:
            announce_status(tenant, registry=registry, announcements=announcements)
    report = Reconciliation(
        clock.now(),
        len(tenants),
        len(resources),
        (*looked.findings, *findings),
        tuple(repairs),
        looked_into=looked.looked_into,
        not_looked_into=looked.not_looked_into,
        troubles=(*examined.troubles, *looked.troubles),
        unlisted=tuple(lists.refused),
        shared_losses=shared,
        recorded=recorded,
        last_round=isolation.last_round,
        repairs_left=repairs_left,
    )
    if not quietly:
        known = not incidents.timeline(THE_FLEET, Concern.FLEET).settled
        if shared or (known and whole):
            announcements.fleet_diagnosed(FleetDiagnosis(report.at, shared))
        announcements.reconciled(report)
    return report


def _recorded(
    tenants: Mapping[TenantId, Tenant],
    looked_into: Set[TenantId],
    examined: Mapping[TenantId, tuple[Finding, ...]],
    missing: Iterable[Finding],
) -> Iterator[Finding]:
    """What the records say of tenants that nobody has looked at now."""
    told = {(finding.tenant_id, finding.kind) for finding in missing}
    for tenant_id, tenant in tenants.items():
        if tenant.status not in SETTLED or tenant_id in looked_into:
            continue
        losses = () if tenant_id in examined else tenant.losses
        yield from (finding for finding in (*tenant.within, *losses) if (tenant_id, finding.kind) not in told)


@dataclass(frozen=True, slots=True)
class _Repairs:
    """Provisioning of tenants that lack something, and rebuilds of those that have lost what they are answered from.

    Args:
        listed_at: when it was begun to list what there is.
        rebuilt: who is rebuilt.
    """

    listed_at: datetime
    registry: TenantRegistry
    executions: Executions
    rebuild_executions: Executions
    stores: Stores
    profiles: Profiles
    clock: Clock
    until: datetime
    rebuilt: Set[TenantId]

    def some_of(
        self, wanted: Iterable[Tenant], troubles: list[tuple[TenantId, KbfleetError]]
    ) -> tuple[list[TenantId], int]:
        """Returns: whose repair goes on now, and how many wait for theirs.

        Who was changed longest ago comes first: whoever was tried in vain is behind the others.

        Args:
            troubles: whose could not be started is added. Who cannot be repaired so does not wait.
        """
        in_order = sorted(wanted, key=lambda tenant: (tenant.updated_at, tenant.tenant_id))
        now = self.clock.now()
        leased = [tenant for tenant in in_order if tenant.leased_at(now)]
        # Those at work come first: what they do counts, and one whose execution was stopped is begun anew.
        order = leased + [tenant for tenant in in_order if not tenant.leased_at(now)]
        begun: list[TenantId] = []
        refused = 0
        for tenant in order:
            if len(begun) >= REPAIRS_AT_ONCE or self.clock.now() >= self.until:
                break
            if not tenant.leased_at(self.clock.now()) and tenant.updated_at > self.listed_at:
                continue  # somebody has worked at it since: whether it still lacks something, the next look says
            try:
                self._start(tenant)
            except ConcurrentUpdate:
                continue  # the same
            except (AwsRefusal, Retryable) as error:
                # AWS that refuses one refuses the others, too.
                troubles.append((tenant.tenant_id, error))
                break
            except KbfleetError as error:
                troubles.append((tenant.tenant_id, error))
                refused += 1
            else:
                begun.append(tenant.tenant_id)
        return begun, len(order) - len(begun) - refused

    def _start(self, tenant: Tenant) -> None:
        """Run again at once, it finds what it has started: an execution has a name by the record that it was started
        for, which it changes as soon as it begins. One that was stopped before has left that as it was."""
        if tenant.tenant_id in self.rebuilt:
            self._rebuild(tenant)
            return
        for attempt in range(_ATTEMPTS):
            execution = start_provisioning(
                ProvisioningRequest(tenant.tenant_id),
                registry=self.registry,
                executions=self.executions,
                stores=self.stores,
                clock=self.clock,
                occurrence=str(uuid5(NAMESPACE_OID, f"{tenant.tenant_id}/repair/{tenant.fence}/{attempt}")),
                fence=tenant.fence,
            )
            if execution.status == "RUNNING":
                return
        raise NotReadyYet(f"No execution for tenant {tenant.tenant_id} has begun, {_ATTEMPTS} times in a row.")

    def _rebuild(self, tenant: Tenant) -> None:
        """What is lost is kept for no rollback."""
        candidate = tenant.beside
        if candidate is not None and candidate.role is Role.CANDIDATE and candidate.keep_until is None:
            return  # it is being built, or the round goes on with it
        request_rebuild(
            tenant.tenant_id,
            keep=timedelta(0),
            tolerance=TOLERANCE,
            registry=self.registry,
            executions=self.rebuild_executions,
            stores=self.stores,
            profiles=self.profiles,
            clock=self.clock,
        )


def _shared_losses(stores: Stores, service_roles: ServiceRoles, lists: _Lists) -> tuple[tuple[SharedLoss, ...], bool]:
    """Returns: what is gone of all that comes with the stack, and whether all of it could be looked at."""
    shares = [
        *((ResourceKind.KNOWLEDGE_STORE, name, store.is_there) for name, store in stores.items()),
        (ResourceKind.SERVICE_ROLE, service_roles.arn(""), service_roles.shared_is_there),
    ]
    looked = [(kind, name, lists.made(is_there)) for kind, name, is_there in shares]
    gone = tuple(SharedLoss(kind, name) for kind, name, there in looked if there is False)
    return gone, all(there is not None for _, _, there in looked)


def _stuck(
    tenants: Mapping[TenantId, Tenant],
    executions: Executions,
    clock: Clock,
    until: datetime,
    troubles: list[tuple[TenantId, KbfleetError]],
) -> Iterator[Finding]:
    """Tenants that are being provisioned by nobody: the execution was stopped, and nobody could write that down."""
    for tenant_id, tenant in tenants.items():
        now = clock.now()
        if tenant.status is not TenantStatus.PROVISIONING or now - tenant.updated_at < _STUCK_AFTER:
            continue
        if now >= until:
            troubles.append((tenant_id, NotReadyYet("There was no time to look whether its provisioning goes on.")))
            continue
        try:
            at_work = without_dead_lease(tenant, executions, now).leased_at(now)
        except KbfleetError as error:
            troubles.append((tenant_id, error))
            continue
        if not at_work:
            yield Finding(Disagreement.STUCK, ResourceKind.TENANT, str(tenant_id), tenant_id)


def _held(
    ledger: SyncLedger,
    tenants: Mapping[TenantId, Tenant],
    names: ResourceNames,
    examined: Mapping[TenantId, tuple[Finding, ...]],
) -> Iterator[Finding]:
    """Syncs that are held, of tenants that were not examined, or of whom only losses are known."""
    for sync in ledger.held():
        tenant = tenants.get(sync.tenant_id)
        if tenant is None or sync.hold is None or sync.of_knowledge != tenant.live_knowledge:
            continue
        told = any(
            finding.hold is not None or finding.loses_the_documents for finding in examined.get(sync.tenant_id, ())
        )
        if tenant.status in SETTLED and not told:
            yield held(sync.hold, names.bucket(tenant.this_life), sync.tenant_id)


def _life_to_provision(tenant_id: TenantId, tenants: Mapping[TenantId, Tenant]) -> Life | None:
    """Of what `tenant add` takes up what there is; `None` where the tenant has all that it uses."""
    tenant = tenants.get(tenant_id)
    if tenant is None:
        return Life(tenant_id)
    if tenant.status in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        return None
    over = tenant.status is TenantStatus.OFFBOARDED and tenant.life < MAX_LIFE
    return Life(tenant_id, tenant.life + 1) if over else tenant.this_life


def _overdue(tenants: Mapping[TenantId, Tenant], now: datetime) -> Iterator[Finding]:
    for tenant_id, tenant in tenants.items():
        if tenant.offboarding is not None and tenant.offboarding.is_overdue(now):
            yield Finding(Disagreement.OVERDUE, ResourceKind.TENANT, str(tenant_id), tenant_id)


def _missing(
    tenants: Mapping[TenantId, Tenant], resources: _Resources, names: ResourceNames, service_roles: ServiceRoles
) -> Iterator[Finding]:
    for tenant_id, tenant in tenants.items():
        if tenant.status in _CHANGING:
            continue
        buckets, bases, roles = resources.buckets, resources.knowledge_bases, resources.service_roles
        if tenant.bucket_name is not None and buckets is not None and tenant.bucket_name not in buckets:
            yield Finding(Disagreement.MISSING, ResourceKind.BUCKET, tenant.bucket_name, tenant_id)
        if tenant.knowledge_base_id is not None and bases is not None and tenant.knowledge_base_id not in bases:
            yield Finding(Disagreement.MISSING, ResourceKind.KNOWLEDGE_BASE, tenant.knowledge_base_id, tenant_id)
        role = names.service_role(tenant.this_life)
        owns_role = service_roles.per_tenant and tenant.knowledge_base_id is not None
        if owns_role and roles is not None and role not in roles:
            yield Finding(Disagreement.MISSING, ResourceKind.SERVICE_ROLE, role, tenant_id)
        indexes = resources.indexes.get(tenant.knowledge_store)
        if tenant.knowledge_base_id is None or indexes is None:
            continue
        index, name = indexes.get(tenant.live_knowledge), names.vector_index(tenant.live_knowledge)
        if index is None:
            yield Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, name, tenant_id)
        elif content_lost(index.made_at, tenant.data_source_made_at):
            yield Finding(Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, name, tenant_id)


def _unexplained(
    tenants: Mapping[TenantId, Tenant],
    resources: _Resources,
    names: ResourceNames,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    stores: Stores,
    troubles: list[tuple[TenantId, KbfleetError]],
    time: _Time,
) -> Iterator[Finding]:
    present = [tenant for tenant in tenants.values() if tenant.status is not TenantStatus.OFFBOARDED]
    lives = {tenant.this_life for tenant in present}
    known = {each.live_knowledge: each for tenant in present for each in tenant.each_knowledge()}
    left_on = {one.life: store_type for store_type, owners in resources.indexes.items() for one in owners}
    found_bases: list[tuple[str, Life]] = []
    for knowledge_base_id, knowledge in (resources.knowledge_bases or {}).items():
        owner = known.get(knowledge)
        # Of what is built or deleted beside the live one, resources come and go.
        changing = owner is not None and (owner.status in _CHANGING or owner.is_seen_from_beside)
        if owner is not None and (changing or owner.knowledge_base_id == knowledge_base_id):
            continue
        if time.is_up:
            why = f"There was no time to look whose knowledge base {knowledge_base_id} is."
            troubles.append((knowledge.tenant_id, NotReadyYet(why)))
            continue
        # Others may have given theirs a name that looks like ours: the tags decide.
        found = knowledge_bases.get(knowledge_base_id)
        if found is not None and names.marked(knowledge_bases.tags(found), knowledge.life):
            found_bases.append((knowledge_base_id, knowledge.life))
            holding = (name for name, store in stores.items() if store.holds(knowledge, found.configuration))
            left_on[knowledge.life] = next(holding, NOWHERE)

    def unexplained(kind: ResourceKind, name: str, life: Life) -> Finding:
        taken_up = _life_to_provision(life.tenant_id, tenants) == life
        return Finding(Disagreement.UNEXPLAINED, kind, name, life.tenant_id, left_on.get(life), taken_up)

    for name, life in (resources.buckets or {}).items():
        if life not in lives:
            yield unexplained(ResourceKind.BUCKET, name, life)
    wanted = {tenant.this_life for tenant in present if service_roles.per_tenant or tenant.status in _CHANGING}
    for name, life in (resources.service_roles or {}).items():
        if life not in wanted:
            yield unexplained(ResourceKind.SERVICE_ROLE, name, life)
    for store_type, owners in resources.indexes.items():
        for index, knowledge in sorted(((names.vector_index(one), one) for one in owners), key=itemgetter(0)):
            owner = known.get(knowledge)
            if owner is None or owner.knowledge_store != store_type:
                yield unexplained(ResourceKind.VECTOR_INDEX, index, knowledge.life)
    for knowledge_base_id, life in found_bases:
        yield unexplained(ResourceKind.KNOWLEDGE_BASE, knowledge_base_id, life)
