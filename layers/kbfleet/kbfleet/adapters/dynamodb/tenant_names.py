"""What tenants call themselves, for messages to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.dynamodb.table import tenant_key

if TYPE_CHECKING:
    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import TenantId


class DynamoDBTenantNames:
    """`kbfleet.ports.TenantNames` in DynamoDB. Whoever uses it may read the name of a record, and no other field."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def name_of(self, tenant_id: TenantId) -> str | None:
        record = self._table.item(tenant_key(tenant_id, "PROFILE"), "name")
        return record.get("name") if record else None
