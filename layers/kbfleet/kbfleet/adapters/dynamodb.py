"""The tenant registry, the sync ledger and the job history in the one DynamoDB table.

Keys: `PK` = `TENANT#<tenant id>`, `SK` = `PROFILE`, `SYNC`, `JOB#<started at>#<job id>`,
`ERASURE#<requested at>#<verified at>`. The sparse index `SyncQueue` (`queue`, `queue_position`) holds only tenants that
are queued or running, so that a tick's cost does not depend on how many tenants there are; `Tenants` (`listed`,
`tenant_id`) holds the profiles. Beside them: `PK` = `KNOWLEDGE_STORE#<type>`, `SK` = `INDEX#<tenant id>`, for stores
whose service cannot list its indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.table import BatchWriter
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import ConcurrentUpdate, TenantNotFound
from kbfleet.domain.ingestion import JobStateChange, Sync, SyncState
from kbfleet.domain.tenant import Tenant, TenantId

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()
_tenants = TypeAdapter(Tenant)
_syncs = TypeAdapter(Sync)
_changes = TypeAdapter(JobStateChange)
_receipts = TypeAdapter(ErasureReceipt)
_RECEIPT = "ERASURE#"
_USAGE = "USAGE#"

Item = dict[str, Any]


def _item(fields: Mapping[str, object]) -> Item:
    return {name: _serializer.serialize(value) for name, value in fields.items() if value is not None}


def _fields(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserializer.deserialize(value) for name, value in item.items()}


def _sortable(time: datetime) -> str:
    """ISO 8601 in UTC with one precision, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _key(tenant_id: TenantId, sort_key: str) -> dict[str, str]:
    return {"PK": f"TENANT#{tenant_id}", "SK": sort_key}


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table whose conditional writes raise `ConcurrentUpdate`."""

    client: DynamoDBClient
    name: str

    def get(self, tenant_id: TenantId, sort_key: str) -> dict[str, Any] | None:
        with translated(f"the {sort_key} record of tenant {tenant_id}"):
            # Leases and generations are decided on what is read here: it must be the newest.
            answer = self.client.get_item(
                TableName=self.name, Key=_item(_key(tenant_id, sort_key)), ConsistentRead=True
            )
        return _fields(answer["Item"]) if "Item" in answer else None

    def put(self, fields: Mapping[str, object], *, condition: str, values: Mapping[str, object], subject: str) -> None:
        """Raises: ConcurrentUpdate when the condition does not hold."""
        arguments: dict[str, Any] = {"ExpressionAttributeValues": _item(values)} if values else {}
        with translated(subject):
            try:
                self.client.put_item(
                    TableName=self.name, Item=_item(fields), ConditionExpression=condition, **arguments
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    raise ConcurrentUpdate(f"{subject} has changed since it was read.") from error
                raise

    def delete(self, keys: Iterable[Mapping[str, object]], *, subject: str) -> None:
        """An item that is gone already is no error."""
        # boto3's writer offers again what the table has left out of a batch.
        with translated(subject), BatchWriter(self.name, self.client) as batch:
            for key in keys:
                batch.delete_item(Key=_item(key))

    def query(self, *, limit: int | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages, up to `limit` items."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name, PaginationConfig={"MaxItems": limit} if limit else {}, **arguments
        )
        with translated(f"a query of table {self.name}"):
            for page in pages:
                yield from map(_fields, page["Items"])


class DynamoDBTenantRegistry:
    """`kbfleet.ports.TenantRegistry` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant_id: TenantId) -> Tenant | None:
        record = self._table.get(tenant_id, "PROFILE")
        return _tenants.validate_python(record) if record else None

    def get(self, tenant_id: TenantId) -> Tenant:
        tenant = self.find(tenant_id)
        if tenant is None:
            raise TenantNotFound(
                f"No tenant {tenant_id} is registered.", remedy=f"Run `kbfleet provision {tenant_id}` to add it."
            )
        return tenant

    def all(self) -> Iterator[Tenant]:
        found = self._table.query(
            IndexName="Tenants",
            KeyConditionExpression="listed = :listed",
            ExpressionAttributeValues=_item({":listed": "TENANT"}),
        )
        return map(_tenants.validate_python, found)

    def create(self, tenant: Tenant) -> None:
        self._put(tenant, "attribute_not_exists(PK)", {})

    def replace(self, tenant: Tenant, *, fence: int) -> None:
        self._put(tenant, "fence = :fence", {":fence": fence})

    def _put(self, tenant: Tenant, condition: str, values: Mapping[str, object]) -> None:
        fields = {
            **_key(tenant.tenant_id, "PROFILE"),
            "listed": "TENANT",
            **_tenants.dump_python(tenant, mode="json", exclude_none=True),
        }
        self._table.put(fields, condition=condition, values=values, subject=f"The record of tenant {tenant.tenant_id}")


class DynamoDBTenantRecords:
    """`kbfleet.ports.TenantRecords` in DynamoDB: every item of the tenant's partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep_receipt(self, tenant_id: TenantId, receipt: ErasureReceipt) -> None:
        # An execution that died behind this leaves its receipt beside that of the next one, which verifies anew.
        self._table.put(
            _key(tenant_id, f"{_RECEIPT}{_sortable(receipt.requested_at)}#{_sortable(receipt.verified_at)}")
            | _receipts.dump_python(receipt, mode="json", exclude_none=True),
            condition="attribute_not_exists(PK) OR execution = :execution",
            values={":execution": receipt.execution},
            subject=f"The receipt of the erasure of tenant {tenant_id}",
        )

    def erase(self, tenant_id: TenantId, *, keep_usage: bool) -> None:
        self._table.delete(self._doomed(tenant_id, keep_usage), subject=f"the records of tenant {tenant_id}")

    def erased(self, tenant_id: TenantId, *, keep_usage: bool) -> bool:
        return next(self._doomed(tenant_id, keep_usage), None) is None

    def _doomed(self, tenant_id: TenantId, keep_usage: bool) -> Iterator[dict[str, object]]:
        kept = ("PROFILE", _RECEIPT, *([_USAGE] if keep_usage else []))
        found = self._table.query(
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues=_item({":pk": f"TENANT#{tenant_id}"}),
            ProjectionExpression="PK, SK",
            ConsistentRead=True,
        )
        return (dict(item) for item in found if not item["SK"].startswith(kept))


class DynamoDBIndexCatalogue:
    """`kbfleet.adapters.knowledge_stores.IndexCatalogue` in DynamoDB, one item an index."""

    def __init__(self, table: Table, store_type: str) -> None:
        self._table = table
        self._partition = f"KNOWLEDGE_STORE#{store_type}"

    def add(self, tenant_id: TenantId) -> None:
        try:
            self._table.put(
                self._key(tenant_id),
                condition="attribute_not_exists(PK)",
                values={},
                subject=f"The catalogued index of tenant {tenant_id}",
            )
        except ConcurrentUpdate:
            # It is there already, and holds nothing but its key.
            return

    def remove(self, tenant_id: TenantId) -> None:
        with translated(f"the catalogued index of tenant {tenant_id}"):
            self._table.client.delete_item(TableName=self._table.name, Key=_item(self._key(tenant_id)))

    def tenants(self) -> Iterator[TenantId]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk", ExpressionAttributeValues=_item({":pk": self._partition})
        )
        return (TenantId(item["SK"].removeprefix("INDEX#")) for item in found)

    def _key(self, tenant_id: TenantId) -> dict[str, str]:
        return {"PK": self._partition, "SK": f"INDEX#{tenant_id}"}


class DynamoDBSyncLedger:
    """`kbfleet.ports.SyncLedger` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant_id: TenantId) -> Sync:
        record = self._table.get(tenant_id, "SYNC")
        return _syncs.validate_python(record) if record else Sync(tenant_id)

    def save(self, sync: Sync) -> Sync:
        stored = replace(sync, version=sync.version + 1)
        fields: dict[str, object] = {
            **_key(sync.tenant_id, "SYNC"),
            **_syncs.dump_python(stored, mode="json", exclude_none=True),
        }
        if stored.state is not SyncState.IDLE:
            fields["queue"] = f"SYNC#{stored.state}"
            fields["queue_position"] = (
                f"{stored.priority}#{_sortable(stored.queued_at) if stored.queued_at else ''}#{sync.tenant_id}"
            )
        new = sync.version == 0
        self._table.put(
            fields,
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": sync.version},
            subject=f"The ledger entry of tenant {sync.tenant_id}",
        )
        return stored

    def running(self) -> Iterator[Sync]:
        return self._in_state(SyncState.RUNNING)

    def queued(self) -> Iterator[Sync]:
        return self._in_state(SyncState.QUEUED)

    def _in_state(self, state: SyncState) -> Iterator[Sync]:
        found = self._table.query(
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue",
            ExpressionAttributeValues=_item({":queue": f"SYNC#{state}"}),
        )
        return map(_syncs.validate_python, found)

    def claim_start(self, now: datetime, interval: timedelta) -> bool:
        at = int(now.timestamp() * 1000)
        try:
            self._table.put(
                {"PK": "FLEET", "SK": "INGESTION_START", "claimed_at": at},
                condition="attribute_not_exists(PK) OR claimed_at <= :latest",
                values={":latest": at - int(interval.total_seconds() * 1000)},
                subject="The right to start an ingestion job",
            )
        except ConcurrentUpdate:
            return False
        return True


class DynamoDBJobHistory:
    """`kbfleet.ports.JobHistory` in DynamoDB; entries expire by the table's time to live."""

    def __init__(self, table: Table, *, kept_for: timedelta) -> None:
        self._table = table
        self._kept_for = kept_for

    def record(self, change: JobStateChange) -> None:
        began = change.started_at or change.occurred_at
        job = change.ingestion_job_id or f"generation-{change.generation}"
        occurred_at = change.occurred_at.timestamp()
        fields: dict[str, object] = {
            **_key(change.tenant_id, f"JOB#{_sortable(began)}#{job}"),
            **_changes.dump_python(change, mode="json", exclude_none=True),
            "occurred_at_ms": int(occurred_at * 1000),
            "expires_at": int(occurred_at + self._kept_for.total_seconds()),
        }
        try:
            self._table.put(
                fields,
                condition="attribute_not_exists(PK) OR occurred_at_ms <= :occurred_at_ms",
                values={":occurred_at_ms": fields["occurred_at_ms"]},
                subject=f"The history of job {job} of tenant {change.tenant_id}",
            )
        except ConcurrentUpdate:
            # Another tick has stored a later state of this job: the history must not go back.
            return

    def latest(self, tenant_id: TenantId, limit: int) -> Sequence[JobStateChange]:
        found = self._table.query(
            limit=limit,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :job)",
            ExpressionAttributeValues=_item({":pk": f"TENANT#{tenant_id}", ":job": "JOB#"}),
            ScanIndexForward=False,
        )
        return [_changes.validate_python(item) for item in found]
