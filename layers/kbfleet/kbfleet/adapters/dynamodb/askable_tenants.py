"""What asking needs of a tenant's profile and of its entry in the sync ledger.

The two are read field by field: models of the whole items would take a good part of a cold start to build.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.dynamodb.table import knowledge_key, tenant_key
from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.errors import TenantNotFound
from kbfleet.domain.names import Knowledge, Life
from kbfleet.domain.tenant_status import TenantStatus, askable_knowledge_base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import TenantId

RECORD_FIELDS = ("status", "knowledge_base_id", "knowledge_store", "life", "knowledge", "profile")
SYNC_FIELDS = ("synced_at", "requested_generation", "synced_generation", "documents_left_out")
"""Whoever looks a tenant up here is permitted to read these, and no other fields of it."""


class DynamoDBAskableTenantRecords:
    """`kbfleet.ports.AskableTenantRecords` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, tenant_id: TenantId) -> AskableTenant:
        profile = self._table.item(tenant_key(tenant_id, "PROFILE"), *RECORD_FIELDS)
        if profile is None:
            raise TenantNotFound.of(tenant_id)
        knowledge_base_id = askable_knowledge_base(
            tenant_id, TenantStatus(profile["status"]), profile.get("knowledge_base_id")
        )
        life = _life(tenant_id, profile)
        sync = (
            self._table.item(knowledge_key(Knowledge(life, int(profile.get("knowledge", 1))), "SYNC"), *SYNC_FIELDS)
            or {}
        )
        synced_at = sync.get("synced_at")
        pending_changes = sync.get("requested_generation", 0) > sync.get("synced_generation", 0)
        freshness = Freshness(datetime.fromisoformat(synced_at) if synced_at else None, pending_changes)
        left_out = sync.get("documents_left_out")
        chosen = profile.get("profile") or {}
        version = int(chosen.get("version", 0))
        return AskableTenant(
            tenant_id,
            knowledge_base_id,
            profile["knowledge_store"],
            freshness,
            left_out,
            life.number,
            chosen["name"] if version else "",
            version,
        )

    def life(self, tenant_id: TenantId) -> Life:
        return _life(tenant_id, self._table.item(tenant_key(tenant_id, "PROFILE"), "life") or {})


def _life(tenant_id: TenantId, profile: Mapping[str, Any]) -> Life:
    """A record from before lives were counted is of the first."""
    return Life(tenant_id, int(profile.get("life", 1)))
