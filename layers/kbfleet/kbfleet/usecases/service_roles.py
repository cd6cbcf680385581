"""What several use cases do with the service roles of tenants' knowledge bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.service_role import ServiceRole
from kbfleet.usecases.reservations import store_of

if TYPE_CHECKING:
    from kbfleet.domain.names import ResourceNames
    from kbfleet.domain.tenant import Tenant
    from kbfleet.usecases.profiles import Profiles
    from kbfleet.usecases.reservations import Stores


def service_role_of(
    tenant: Tenant, *knowledge_base_ids: str, stores: Stores, profiles: Profiles, names: ResourceNames
) -> ServiceRole:
    """What the tenant's service role should be: it is one for all of the tenant's knowledge.

    Args:
        knowledge_base_ids: of the knowledge bases that are the tenant's, apart from one beside the one that the record
            is seen from; none while one is yet to be made.

    Raises: ProfileNotFound, KnowledgeStoreNotOffered.
    """
    # What was deleted needs no right any more.
    each = [
        one
        for one in tenant.each_knowledge()
        if one.beside is None or not one.is_seen_from_beside or not one.beside.deleted
    ]
    chosen = [profiles.models_of(one.profile) for one in each]
    models = [named for named, _ in chosen if named is not None]
    others = [one.knowledge_base_id for one in each if one.knowledge != tenant.knowledge]
    # Until all are made, Bedrock may assume it for any.
    beside = [one for one in others if one is not None and one not in knowledge_base_ids and knowledge_base_ids]
    return ServiceRole(
        names.service_role(tenant.this_life),
        names.bucket(tenant.this_life),
        names.vector_indexes(tenant.this_life),
        frozenset[str]().union(*(store_of(one, stores).role_services for one in each)),
        names.tags(tenant.this_life),
        tuple(sorted({*knowledge_base_ids, *beside})),
        frozenset[str]().union(*models) if models else None,
        reranks=any(reranks for _, reranks in chosen),
        by_the_stack=bool(models) and len(models) < len(chosen),
    )
