"""The tenants' records, and what is left of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.table import as_item, life_key, life_of, sortable_time, tenant_key
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import TenantNotFound
from kbfleet.domain.fleet_overview import TenantOutline
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileReference
from kbfleet.domain.tenant import REQUESTED_NAME_KEPT_FOR, DisplayName, Tenant, require_as_recorded
from kbfleet.domain.tenant_status import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life
    from kbfleet.domain.profiles import ProfileName

_tenants = TypeAdapter(Tenant)
_profiles = TypeAdapter(ProfileReference)
_receipts = cache(lambda: TypeAdapter(ErasureReceipt))
_RECEIPT = "ERASURE#"
_USAGE = "USAGE#"
_NAME = "REQUESTED_NAME#"
_GIVEN_PROFILE = "GIVEN_PROFILE"
NOTHING_TO_SAY = ""
"""In the place of an outline in the index `Overview`, where the record itself is one. It is what a filter looks at:
comparing all that a record may say takes longer than reading it."""
_USERS = "PROFILE#"
"""Beside the queue of syncs, in the same index: the tenants that use a profile. It is sparse, and so knows them without
looking at others; and it is of the record itself, and so never says anything else."""


class DynamoDBTenantRegistry:
    """`kbfleet.ports.TenantRegistry` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant_id: TenantId) -> Tenant | None:
        record = self._table.get(tenant_id, "PROFILE")
        if record is None:
            return None
        tenant = _tenants.validate_python(record)
        if "profile" in record:
            return tenant
        # It was written by a version from before there were profiles: ever since, or after an update was taken back.
        remembered = self._table.item(life_key(tenant.this_life, _GIVEN_PROFILE))
        return replace(tenant, profile=_profiles.validate_python(remembered)) if remembered else tenant

    def get(self, tenant_id: TenantId) -> Tenant:
        tenant = self.find(tenant_id)
        if tenant is None:
            raise TenantNotFound.of(tenant_id)
        return tenant

    def all(self) -> Iterator[Tenant]:
        found = self._table.query(
            IndexName="Tenants",
            KeyConditionExpression="listed = :listed",
            ExpressionAttributeValues=as_item({":listed": "TENANT"}),
        )
        return map(_tenants.validate_python, found)

    def following(self, tenant_id: TenantId | None, limit: int, beginning: str = "") -> Sequence[Tenant]:
        # "!" comes before and "~" after all that an id may have.
        first, last = max(beginning or "!", f"{tenant_id}!" if tenant_id is not None else ""), f"{beginning}~"
        if first > last:
            return []
        found = self._table.query(
            limit=limit,
            IndexName="Tenants",
            KeyConditionExpression="listed = :listed AND tenant_id BETWEEN :first AND :last",
            ExpressionAttributeValues=as_item({":listed": "TENANT", ":first": first, ":last": last}),
        )
        return [_tenants.validate_python(record) for record in found]

    def using(self, profile: ProfileName, limit: int) -> Sequence[TenantId]:
        found = self._table.query(
            limit=limit,
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue",
            ExpressionAttributeValues=as_item({":queue": f"{_USERS}{profile}"}),
        )
        return [TenantId(record["tenant_id"]) for record in found]

    def create(self, tenant: Tenant) -> None:
        self._put(tenant, "attribute_not_exists(PK)", {})

    def replace(self, tenant: Tenant, *, fence: int) -> None:
        self._put(tenant, "fence = :fence", {":fence": fence})

    def remember_profile(self, life: Life, profile: ProfileReference) -> None:
        self._table.put(
            {**life_key(life, _GIVEN_PROFILE), **_profiles.dump_python(profile, mode="json")},
            values={},
            subject=f"The profile that tenant {life.tenant_id} was given",
        )

    def request_name(self, tenant_id: TenantId, name: DisplayName, *, execution: str, now: datetime) -> None:
        expires_at = int((now + REQUESTED_NAME_KEPT_FOR).timestamp())
        self._table.put(
            {**tenant_key(tenant_id, f"{_NAME}{execution}"), "name": str(name), "expires_at": expires_at},
            values={},
            subject=f"The name of tenant {tenant_id}",
        )

    def requested_name(self, tenant_id: TenantId, *, execution: str, now: datetime) -> DisplayName | None:
        record = self._table.get(tenant_id, f"{_NAME}{execution}")
        # DynamoDB deletes what has expired within days, not at once (AWS documentation, Using time to live).
        if record is None or record["expires_at"] <= now.timestamp():
            return None
        return DisplayName(record["name"])

    def _put(self, tenant: Tenant, condition: str, values: Mapping[str, object]) -> None:
        require_as_recorded(tenant)
        fields = {
            **tenant_key(tenant.tenant_id, "PROFILE"),
            "listed": "TENANT",
            **_tenants.dump_python(tenant, mode="json", exclude_none=True),
        }
        if TenantOutline.of(tenant) is None:
            fields["outline"] = NOTHING_TO_SAY
        if not tenant.profile.is_default and tenant.status is not TenantStatus.OFFBOARDED:
            fields["queue"] = f"{_USERS}{tenant.profile.name}"
            fields["queue_position"] = str(tenant.tenant_id)
        self._table.put(fields, condition=condition, values=values, subject=f"The record of tenant {tenant.tenant_id}")


class DynamoDBTenantRecords:
    """`kbfleet.ports.TenantRecords` in DynamoDB: every item of the tenant's partition, and of those of its
    conversations and its golden questions."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep_receipt(self, tenant_id: TenantId, receipt: ErasureReceipt) -> None:
        # An execution that died behind this leaves its receipt beside that of the next one, which verifies anew.
        self._table.put(
            tenant_key(
                tenant_id, f"{_RECEIPT}{sortable_time(receipt.requested_at)}#{sortable_time(receipt.verified_at)}"
            )
            | _receipts().dump_python(receipt, mode="json", exclude_none=True),
            condition="attribute_not_exists(PK) OR execution = :execution",
            values={":execution": receipt.execution},
            subject=f"The receipt of the erasure of tenant {tenant_id}",
        )

    def erase(self, life: Life, *, keep_usage: bool) -> None:
        self._table.delete(self._doomed(life, keep_usage), subject=f"the records of tenant {life}")

    def erased(self, life: Life, *, keep_usage: bool) -> bool:
        return next(self._doomed(life, keep_usage), None) is None

    def _doomed(self, life: Life, keep_usage: bool) -> Iterator[dict[str, object]]:
        kept = ("PROFILE", _RECEIPT, *([_USAGE] if keep_usage else []))
        for kind in ("TENANT", "CONVERSATION", "QUESTIONS"):
            found = self._table.query(
                KeyConditionExpression="PK = :pk",
                ExpressionAttributeValues=as_item({":pk": f"{kind}#{life.tenant_id}"}),
                ProjectionExpression="PK, SK",
                ConsistentRead=True,
            )
            for item in found:
                # Only an id of kbfleet's own making is a conversation's: none begins as one of these.
                number, sort_key = life_of(item["SK"])
                # Whoever erases may be late: what a later life has is none of its business.
                if number <= life.number and not sort_key.startswith(kept):
                    yield dict(item)
