"""The fleet's tenants, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kbfleet.domain.names import TenantId
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import Tenant
    from kbfleet.domain.tenant_status import TenantStatus
    from kbfleet.ports import SyncLedger, TenantRegistry

_BATCH = 100
MOST_LOOKED_AT = 1_000
"""Records that are read for one page. The registry knows no status: where few tenants have the one that is asked for, a
page ends early, and the next one goes on."""


@dataclass(frozen=True, slots=True)
class ListedTenant:
    tenant: Tenant
    sync: Sync


@dataclass(frozen=True, slots=True)
class TenantPage:
    """`last` is the tenant behind which the next page begins; `None` on the last page. A page may be shorter than asked
    for, and even empty, without being the last one."""

    tenants: Sequence[ListedTenant]
    last: TenantId | None


def list_tenants(
    *,
    after: TenantId | None,
    limit: int,
    status: TenantStatus | None,
    registry: TenantRegistry,
    ledger: SyncLedger,
    beginning: str = "",
) -> TenantPage:
    """Tenants in the order of their ids, also those that are offboarded; of one status, if one is given.

    Args:
        after: behind which tenant the page begins; `None` for the first page.
        limit: most tenants of the page.
        beginning: of their ids.
    """
    found: list[Tenant] = []
    last = after
    for _ in range(MOST_LOOKED_AT // _BATCH):
        batch = registry.following(last, _BATCH, beginning)
        for tenant in batch:
            if len(found) == limit:
                return _page(found, last, ledger)
            last = tenant.tenant_id
            if status is None or tenant.status is status:
                found.append(tenant)
        if len(batch) < _BATCH:
            return _page(found, None, ledger)
    return _page(found, last, ledger)


def _page(tenants: Sequence[Tenant], last: TenantId | None, ledger: SyncLedger) -> TenantPage:
    entries = ledger.entries(tenant.live_knowledge for tenant in tenants)
    return TenantPage([ListedTenant(*each) for each in zip(tenants, entries, strict=True)], last)
