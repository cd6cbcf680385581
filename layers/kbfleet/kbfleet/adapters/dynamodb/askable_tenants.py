"""What asking needs of a tenant's profile and of its entry in the sync ledger.

The two are read field by field: models of the whole items would take a good part of a cold start to build.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from kbfleet.adapters.dynamodb.table import tenant_key
from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.errors import TenantNotFound
from kbfleet.domain.tenant_status import TenantStatus, askable_knowledge_base

if TYPE_CHECKING:
    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import TenantId

_PROFILE = ("status", "knowledge_base_id", "knowledge_store")
_SYNC = ("synced_at", "requested_generation", "synced_generation", "documents_left_out")
"""The ask function is permitted to read these and no others."""


class DynamoDBAskableTenantRecords:
    """`kbfleet.ports.AskableTenantRecords` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, tenant_id: TenantId) -> AskableTenant:
        profile = self._table.item(tenant_key(tenant_id, "PROFILE"), *_PROFILE)
        if profile is None:
            raise TenantNotFound.of(tenant_id)
        knowledge_base_id = askable_knowledge_base(
            tenant_id, TenantStatus(profile["status"]), profile.get("knowledge_base_id")
        )
        sync = self._table.item(tenant_key(tenant_id, "SYNC"), *_SYNC) or {}
        synced_at = sync.get("synced_at")
        pending_changes = sync.get("requested_generation", 0) > sync.get("synced_generation", 0)
        freshness = Freshness(datetime.fromisoformat(synced_at) if synced_at else None, pending_changes)
        left_out = sync.get("documents_left_out")
        return AskableTenant(tenant_id, knowledge_base_id, profile["knowledge_store"], freshness, left_out)
