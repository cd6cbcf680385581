"""Comparing the tenants' records with the resources that are there. It reports, and repairs only on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.reconciliation import NOWHERE, Disagreement, Finding, Reconciliation, ResourceKind
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.provisioning import start_provisioning
from kbfleet.usecases.reservations import announce_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import Announcements, Clock, DocumentBuckets, Executions, KnowledgeBases, TenantRegistry
    from kbfleet.usecases.isolation import IsolationLook
    from kbfleet.usecases.reservations import Stores

_A_WHILE = timedelta(minutes=5)
_CHANGING = {TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING}
"""Their resources come and go while we look."""


@dataclass(frozen=True, slots=True)
class _Resources:
    """What is there, each with the tenant that it belongs to by its name."""

    buckets: Mapping[str, TenantId]
    knowledge_bases: Mapping[str, TenantId]
    indexes: Mapping[str, set[TenantId]]

    def __len__(self) -> int:
        return len(self.buckets) + len(self.knowledge_bases) + sum(map(len, self.indexes.values()))


def reconcile(
    *,
    registry: TenantRegistry,
    buckets: DocumentBuckets,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    executions: Executions,
    announcements: Announcements,
    isolation: IsolationLook,
    names: ResourceNames,
    clock: Clock,
    until: datetime,
    first: TenantId | None = None,
    repair: bool = False,
) -> Reconciliation:
    """Looks at every record and every resource of the fleet, and publishes what it found. Then it goes on looking into
    tenants' knowledge bases for what is not their own, as long as there is time.

    A status that nobody could publish is published. The resources are listed before the records are read: what is
    written down meanwhile explains what was listed.

    Args:
        until, first: see `IsolationLook.go_round`.
        repair: start the provisioning of tenants that miss something. What is there too much stays for people.
    """
    resources = _Resources(
        dict(buckets.of_fleet(names)),
        dict(knowledge_bases.of_fleet(names)),
        {name: set(store.tenants()) for name, store in stores.items() if store.kind is KnowledgeBaseKind.VECTOR},
    )
    tenants = {tenant.tenant_id: tenant for tenant in registry.all()}
    findings = (
        *_missing(tenants, resources, names),
        *_unexplained(tenants, resources, names, knowledge_bases, stores),
    )
    missing = {finding.tenant_id for finding in findings if finding.disagreement is Disagreement.MISSING}
    repairs = [tenant_id for tenant_id in sorted(missing) if repair and _in_service(tenants[tenant_id])]
    for tenant_id in repairs:
        request = ProvisioningRequest(tenant_id)
        start_provisioning(request, registry=registry, executions=executions, stores=stores, clock=clock)
    for tenant in tenants.values():
        # Whoever has just stored a status is about to publish it.
        if clock.now() - tenant.status_since > _A_WHILE:
            announce_status(tenant, registry=registry, announcements=announcements)
    # Last: it writes records as well.
    looked = isolation.go_round(tenants, until=until, first=first)
    report = Reconciliation(
        clock.now(),
        len(tenants),
        len(resources),
        (*looked.findings, *findings),
        tuple(repairs),
        looked_into=looked.looked_into,
        not_looked_into=looked.not_looked_into,
        troubles=looked.troubles,
    )
    announcements.reconciled(report)
    return report


def _in_service(tenant: Tenant) -> bool:
    return tenant.status in {TenantStatus.ACTIVE, TenantStatus.FAILED}


def _missing(tenants: Mapping[TenantId, Tenant], resources: _Resources, names: ResourceNames) -> Iterator[Finding]:
    for tenant_id, tenant in tenants.items():
        if tenant.status in _CHANGING:
            continue
        if tenant.bucket_name is not None and tenant.bucket_name not in resources.buckets:
            yield Finding(Disagreement.MISSING, ResourceKind.BUCKET, tenant.bucket_name, tenant_id)
        if tenant.knowledge_base_id is not None and tenant.knowledge_base_id not in resources.knowledge_bases:
            yield Finding(Disagreement.MISSING, ResourceKind.KNOWLEDGE_BASE, tenant.knowledge_base_id, tenant_id)
        indexes = resources.indexes.get(tenant.knowledge_store)
        if tenant.knowledge_store_reference is not None and indexes is not None and tenant_id not in indexes:
            yield Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, names.vector_index(tenant_id), tenant_id)


def _unexplained(
    tenants: Mapping[TenantId, Tenant],
    resources: _Resources,
    names: ResourceNames,
    knowledge_bases: KnowledgeBases,
    stores: Stores,
) -> Iterator[Finding]:
    known = {tenant_id: tenant for tenant_id, tenant in tenants.items() if tenant.status is not TenantStatus.OFFBOARDED}
    left_on = {owner: store_type for store_type, owners in resources.indexes.items() for owner in owners}
    found_bases: list[tuple[str, TenantId]] = []
    for knowledge_base_id, tenant_id in resources.knowledge_bases.items():
        owner = known.get(tenant_id)
        if owner is not None and (owner.status in _CHANGING or owner.knowledge_base_id == knowledge_base_id):
            continue
        # Others may have given theirs a name that looks like ours: the tags decide.
        found = knowledge_bases.get(knowledge_base_id)
        if found is not None and names.marked(knowledge_bases.tags(found), tenant_id):
            found_bases.append((knowledge_base_id, tenant_id))
            holding = (name for name, store in stores.items() if store.holds(tenant_id, found.configuration))
            left_on[tenant_id] = next(holding, NOWHERE)

    def unexplained(kind: ResourceKind, name: str, tenant_id: TenantId) -> Finding:
        return Finding(Disagreement.UNEXPLAINED, kind, name, tenant_id, left_on.get(tenant_id))

    for name, tenant_id in resources.buckets.items():
        if tenant_id not in known:
            yield unexplained(ResourceKind.BUCKET, name, tenant_id)
    for store_type, owners in resources.indexes.items():
        for tenant_id in sorted(owners):
            owner = known.get(tenant_id)
            if owner is None or owner.knowledge_store != store_type:
                yield unexplained(ResourceKind.VECTOR_INDEX, names.vector_index(tenant_id), tenant_id)
    for knowledge_base_id, tenant_id in found_bases:
        yield unexplained(ResourceKind.KNOWLEDGE_BASE, knowledge_base_id, tenant_id)
