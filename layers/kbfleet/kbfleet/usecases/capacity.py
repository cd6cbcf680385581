"""Counting what the account has room for, by lists of all of it: once an hour, not once a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.capacity import BUCKETS, USAGE_KEYS, Room, RoomCount, Scarce
from kbfleet.domain.knowledge_base import KnowledgeBaseKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbfleet.ports import (
        Clock,
        DocumentBuckets,
        KnowledgeBases,
        RoomCounts,
        ServiceRoles,
        TenantRegistry,
        UsageKeys,
    )
    from kbfleet.usecases.reservations import Stores

KNOWLEDGE_BASES = {
    KnowledgeBaseKind.VECTOR: Scarce.VECTOR_KNOWLEDGE_BASES,
    KnowledgeBaseKind.MANAGED: Scarce.MANAGED_KNOWLEDGE_BASES,
}


def beside_live_ones(registry: TenantRegistry, stores: Stores, kind: KnowledgeBaseKind) -> int:
    """How many of the fleet's knowledge bases of that kind rebuilds have taken: candidates, and what is kept."""
    besides = (tenant.beside for tenant in registry.all())
    of_kind = {name for name, store in stores.items() if store.kind is kind}
    return sum(
        each is not None and each.record.knowledge_base_id is not None and each.record.knowledge_store in of_kind
        for each in besides
    )


def count_rooms(
    *,
    counts: RoomCounts,
    stores: Stores,
    knowledge_bases: KnowledgeBases,
    buckets: DocumentBuckets,
    service_roles: ServiceRoles,
    usage_keys: UsageKeys,
    clock: Clock,
) -> RoomCount:
    """Counts everything of which a tenant takes one, and keeps the count for those who make tenants.

    Raises: Throttled, NotReadyYet, AwsRefusal: something could not be counted; the last count stays.
    """

    def rooms() -> Iterator[Room]:
        everybody = tuple(stores)
        for kind in {store.kind: None for store in stores.values()}:
            of_kind = tuple(name for name, store in stores.items() if store.kind is kind)
            yield Room(KNOWLEDGE_BASES[kind], knowledge_bases.count(kind), kind.quota, of_kind)
        for name, store in stores.items():
            if (indexes := store.room()) is not None:
                used, quota = indexes
                yield Room(Scarce.VECTOR_INDEXES, used, quota, (name,))
        yield Room(Scarce.BUCKETS, buckets.count(), BUCKETS, everybody, fixed=False)
        yield Room(Scarce.USAGE_KEYS, usage_keys.count(), USAGE_KEYS, everybody)
        if (roles := service_roles.room()) is not None:
            used, quota = roles
            yield Room(Scarce.SERVICE_ROLES, used, quota, everybody)

    now = clock.now()
    counted = RoomCount(now, tuple(rooms()))
    counts.save(counted)
    return counted
