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
    """What the tenant's service role should be.

    Args:
        knowledge_base_ids: of the knowledge bases that are the tenant's; none while the first is yet to be made.

    Raises: ProfileNotFound.
    """
    return ServiceRole(
        names.service_role(tenant.this_life),
        names.bucket(tenant.this_life),
        names.vector_indexes(tenant.this_life),
        store_of(tenant, stores).role_services,
        names.tags(tenant.this_life),
        knowledge_base_ids,
        *profiles.models_of(tenant.profile),
    )
