"""The statuses of a tenant's life, and in which it may be asked."""

from __future__ import annotations

from enum import StrEnum

from kbfleet.domain.errors import (
    TenantFailed,
    TenantNotActive,
    TenantOffboarded,
    TenantOffboarding,
    TenantSuspended,
)
from kbfleet.domain.names import TenantId


class TenantStatus(StrEnum):
    PROVISIONING = "PROVISIONING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"
    SUSPENDED = "SUSPENDED"
    OFFBOARDING = "OFFBOARDING"
    OFFBOARDED = "OFFBOARDED"
    """A tombstone: nothing of the tenant is left but the receipt of its erasure. The id can be provisioned anew."""


def askable_knowledge_base(tenant_id: TenantId, status: TenantStatus, knowledge_base_id: str | None) -> str:
    """The id of the knowledge base that answers.

    Raises:
        TenantSuspended, TenantOffboarding, TenantOffboarded, TenantFailed, TenantNotActive.
    """
    match status:
        case TenantStatus.ACTIVE if knowledge_base_id is not None:
            return knowledge_base_id
        case TenantStatus.SUSPENDED:
            raise TenantSuspended(f"Tenant {tenant_id} is suspended.", remedy="Ask again once it is resumed.")
        case TenantStatus.OFFBOARDING:
            raise TenantOffboarding(f"Tenant {tenant_id} is being offboarded and cannot be asked any more.")
        case TenantStatus.OFFBOARDED:
            raise TenantOffboarded(f"Tenant {tenant_id} is offboarded and cannot be asked any more.")
        case TenantStatus.FAILED:
            raise TenantFailed(
                f"The provisioning of tenant {tenant_id} has failed: there is nothing to ask yet.",
                remedy="Ask again once its provisioning has succeeded.",
            )
    raise TenantNotActive(
        f"Tenant {tenant_id} is {status} and cannot be asked.",
        remedy="Ask again once its provisioning has succeeded.",
    )
