"""Comparing the tenants' records with the resources that are there. It reports, and repairs only on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from kbfleet.domain.errors import KbfleetError, NotReadyYet
from kbfleet.domain.finding import NOWHERE, Disagreement, Finding, ResourceKind
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, content_lost
from kbfleet.domain.names import MAX_LIFE, Life
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.isolation import NOT_LOOKED_INTO
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.reservations import announce_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from kbfleet.domain.knowledge_base import Index
    from kbfleet.domain.names import Knowledge, ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        DocumentBuckets,
        Executions,
        KnowledgeBases,
        KnowledgeStore,
        ServiceRoles,
        TenantRegistry,
    )
    from kbfleet.usecases.examination import TenantExamination
    from kbfleet.usecases.isolation import IsolationLook
    from kbfleet.usecases.reservations import Stores

_SETTLED = {TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.FAILED}
_A_WHILE = timedelta(minutes=5)
_CHANGING = {TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING}
"""Their resources come and go while we look."""


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
        findings: of each that could be examined.
        troubles: why others could not be, or not whole.
    """

    def __init__(self, examination: TenantExamination) -> None:
        self._examination = examination
        self._done: set[TenantId] = set()
        self.findings: dict[TenantId, tuple[Finding, ...]] = {}
        self.troubles: list[tuple[TenantId, KbfleetError]] = []

    def add(self, tenant: Tenant) -> None:
        tenant_id = tenant.tenant_id
        if tenant_id in self._done:
            return
        self._done.add(tenant_id)
        try:
            diagnosis = self._examination.examine(tenant)
            self._examination.publish(diagnosis)
        except KbfleetError as error:
            self.troubles.append((tenant_id, error))
            return
        self.troubles += ((tenant_id, NotReadyYet(reason)) for reason in diagnosis.unseen)
        if diagnosis.findings or not diagnosis.unseen:
            self.findings[tenant_id] = diagnosis.findings


def reconcile(
    *,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    service_roles: ServiceRoles,
    executions: Executions,
    announcements: Announcements,
    isolation: IsolationLook,
    examination: TenantExamination,
    names: ResourceNames,
    clock: Clock,
    until: datetime,
    first: TenantId | None = None,
    repair: bool = False,
    looking_in: bool = True,
) -> Reconciliation:
    """Looks at every record and every resource of the fleet, and publishes what it found. Then it goes on looking into
    tenants' knowledge bases for what is not their own, as long as there is time.

    A status that nobody could publish is published. The resources are listed before the records are read: what is
    written down meanwhile explains what was listed. Whoever seems to lack something, or did the last time, is examined.

    Args:
        until, first: see `IsolationLook.go_round`.
        looking_in: whether to look into knowledge bases, too, which is what takes time.
        repair: start the provisioning of tenants that miss something. What is there too much stays for people.
    """
    lists = _Lists()

    def indexes_of(store: KnowledgeStore) -> Mapping[Knowledge, Index] | None:
        return lists.made(lambda: {index.knowledge: index for index in store.indexes()})

    indexes = {name: indexes_of(store) for name, store in stores.items() if store.kind is KnowledgeBaseKind.VECTOR}
    resources = _Resources(
        lists.made(lambda: dict(buckets.of_fleet(names))),
        lists.made(lambda: dict(knowledge_bases.of_fleet(names))),
        lists.made(lambda: dict(service_roles.of_fleet(names))),
        {name: listed for name, listed in indexes.items() if listed is not None},
    )
    tenants = {tenant.tenant_id: tenant for tenant in registry.all()}
    missing = list(_missing(tenants, resources, names, service_roles))
    suspects = {finding.tenant_id for finding in missing}
    known_losses = {tenant_id for tenant_id, tenant in tenants.items() if tenant.losses and tenant.status in _SETTLED}
    examined = _Examined(examination)
    # Those of whom nobody knows yet come first, and the look into knowledge bases has its share of the time.
    share = clock.now() + (until - clock.now()) / 2 if looking_in else until
    for tenant_id in (*sorted(suspects - known_losses), *sorted(known_losses)):
        if clock.now() >= share:
            examined.troubles.append((tenant_id, NotReadyYet("There was no time to examine it; the next round does.")))
        else:
            examined.add(tenants[tenant_id])
    # Last of what takes time: it writes records as well.
    looked = NOT_LOOKED_INTO
    if looking_in:
        looked = isolation.go_round(tenants, until=until, first=first, visited=examined.add)
    findings = (
        *_overdue(tenants, clock.now()),
        # A list may not show what is there, and shows nothing of what has come to an index.
        *(finding for finding in missing if finding.tenant_id not in examined.findings),
        *(finding for found in examined.findings.values() for finding in found),
        *_unexplained(tenants, resources, names, knowledge_bases, service_roles, stores),
    )
    # What only its owner can bring back is not repaired unasked.
    lost = {finding.tenant_id for finding in findings if finding.hurts}
    lost -= {finding.tenant_id for finding in findings if finding.loses_the_documents}
    repairs = [tenant_id for tenant_id in sorted(lost) if repair and _in_service(tenants[tenant_id])]
    for tenant_id in repairs:
        request = ProvisioningRequest(tenant_id)
        start_provisioning(request, registry=registry, executions=executions, stores=stores, clock=clock)
    for tenant in tenants.values():
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
    )
    announcements.reconciled(report)
    return report


def _life_to_provision(tenant_id: TenantId, tenants: Mapping[TenantId, Tenant]) -> Life | None:
    """Of what `tenant add` takes up what there is; `None` where the tenant has all that it uses."""
    tenant = tenants.get(tenant_id)
    if tenant is None:
        return Life(tenant_id)
    if tenant.status in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        return None
    over = tenant.status is TenantStatus.OFFBOARDED and tenant.life < MAX_LIFE
    return Life(tenant_id, tenant.life + 1) if over else tenant.this_life


def _in_service(tenant: Tenant) -> bool:
    return tenant.status in {TenantStatus.ACTIVE, TenantStatus.FAILED}


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
        if tenant.knowledge_store_reference is None or indexes is None:
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
) -> Iterator[Finding]:
    present = [tenant for tenant in tenants.values() if tenant.status is not TenantStatus.OFFBOARDED]
    lives = {tenant.this_life for tenant in present}
    known = {tenant.live_knowledge: tenant for tenant in present}
    left_on = {one.life: store_type for store_type, owners in resources.indexes.items() for one in owners}
    found_bases: list[tuple[str, Life]] = []
    for knowledge_base_id, knowledge in (resources.knowledge_bases or {}).items():
        owner = known.get(knowledge)
        if owner is not None and (owner.status in _CHANGING or owner.knowledge_base_id == knowledge_base_id):
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
