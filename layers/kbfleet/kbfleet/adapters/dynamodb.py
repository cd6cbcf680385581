"""The tenant registry, the sync ledger and the job history in the one DynamoDB table.

Keys: `PK` = `TENANT#<tenant id>`, `SK` = `PROFILE`, `SYNC`, `JOB#<started at>#<job id>`,
`ERASURE#<requested at>#<verified at>`, `REQUESTED_NAME#<name of the execution>`, and `DOCUMENT_WALK` while a
breach is open. The sparse index `SyncQueue`
(`queue`, `queue_position`) holds only tenants that are queued or running, so that a tick's cost does not depend on how
many tenants there are; `Tenants` (`listed`, `tenant_id`) holds the profiles. Beside them: `PK` =
`KNOWLEDGE_STORE#<type>`, `SK` = `INDEX#<tenant id>`, for stores whose service cannot list its indexes; and `PK` =
`FLEET`, `SK` = `ROUND#<walk>`, how far a walk through all tenants has come.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb_table import as_item, conversation_key, tenant_key
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import ConcurrentUpdate, TenantNotFound
from kbfleet.domain.ingestion import JobStateChange, Sync, SyncState
from kbfleet.domain.isolation import DocumentWalk
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import REQUESTED_NAME_KEPT_FOR, DisplayName, Tenant
from kbfleet.ports import Glance, JobPage, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import Any

    from kbfleet.adapters.dynamodb_table import Table
    from kbfleet.domain.ingestion import Priority
    from kbfleet.domain.knowledge_base import KnowledgeBaseKind

_tenants = TypeAdapter(Tenant)
_syncs = TypeAdapter(Sync)
# Made when first needed: most functions need neither.
_changes = cache(lambda: TypeAdapter(JobStateChange))
_receipts = cache(lambda: TypeAdapter(ErasureReceipt))
_walks = cache(lambda: TypeAdapter(DocumentWalk))
_JOB = "JOB#"
_RECEIPT = "ERASURE#"
_USAGE = "USAGE#"
_NAME = "REQUESTED_NAME#"
_WALK = "DOCUMENT_WALK"
_GIVEN_UP_AFTER_MS = 60_000
"""After which whoever wanted to publish a change of a job is taken to have died: as long as a tick may run."""


def _sortable(time: datetime) -> str:
    """ISO 8601 in UTC with one precision, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


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
            raise TenantNotFound.of(tenant_id)
        return tenant

    def all(self) -> Iterator[Tenant]:
        found = self._table.query(
            IndexName="Tenants",
            KeyConditionExpression="listed = :listed",
            ExpressionAttributeValues=as_item({":listed": "TENANT"}),
        )
        return map(_tenants.validate_python, found)

    def following(self, tenant_id: TenantId | None, limit: int) -> Sequence[Tenant]:
        after = {} if tenant_id is None else {":after": str(tenant_id)}
        found = self._table.query(
            limit=limit,
            IndexName="Tenants",
            KeyConditionExpression="listed = :listed" + (" AND tenant_id > :after" if after else ""),
            ExpressionAttributeValues=as_item({":listed": "TENANT", **after}),
        )
        return [_tenants.validate_python(record) for record in found]

    def create(self, tenant: Tenant) -> None:
        self._put(tenant, "attribute_not_exists(PK)", {})

    def replace(self, tenant: Tenant, *, fence: int) -> None:
        self._put(tenant, "fence = :fence", {":fence": fence})

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
        fields = {
            **tenant_key(tenant.tenant_id, "PROFILE"),
            "listed": "TENANT",
            **_tenants.dump_python(tenant, mode="json", exclude_none=True),
        }
        self._table.put(fields, condition=condition, values=values, subject=f"The record of tenant {tenant.tenant_id}")


class DynamoDBTenantRecords:
    """`kbfleet.ports.TenantRecords` in DynamoDB: every item of the tenant's partition, and of its conversations'."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep_receipt(self, tenant_id: TenantId, receipt: ErasureReceipt) -> None:
        # An execution that died behind this leaves its receipt beside that of the next one, which verifies anew.
        self._table.put(
            tenant_key(tenant_id, f"{_RECEIPT}{_sortable(receipt.requested_at)}#{_sortable(receipt.verified_at)}")
            | _receipts().dump_python(receipt, mode="json", exclude_none=True),
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
        for key in (tenant_key(tenant_id, ""), conversation_key(tenant_id, "")):
            found = self._table.query(
                KeyConditionExpression="PK = :pk",
                ExpressionAttributeValues=as_item({":pk": key["PK"]}),
                ProjectionExpression="PK, SK",
                ConsistentRead=True,
            )
            # Only an id of kbfleet's own making is a conversation's: none begins as one of these.
            yield from (dict(item) for item in found if not item["SK"].startswith(kept))


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
            self._table.client.delete_item(TableName=self._table.name, Key=as_item(self._key(tenant_id)))

    def tenants(self) -> Iterator[TenantId]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk", ExpressionAttributeValues=as_item({":pk": self._partition})
        )
        return (TenantId(item["SK"].removeprefix("INDEX#")) for item in found)

    def _key(self, tenant_id: TenantId) -> dict[str, str]:
        return {"PK": self._partition, "SK": f"INDEX#{tenant_id}"}


_QUEUE = "SYNC"


def _lane(kind: KnowledgeBaseKind, priority: Priority) -> str:
    return f"1#{kind}#{priority}#"


def _position(sync: Sync) -> str:
    """The running ones first; then the queued ones by kind, priority and the time from which they are ready."""
    if sync.state is SyncState.RUNNING:
        return f"0#{sync.tenant_id}"
    return f"{_lane(sync.kind, sync.priority)}{_sortable(sync.ready_at) if sync.ready_at else ''}#{sync.tenant_id}"


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
            **tenant_key(sync.tenant_id, "SYNC"),
            **_syncs.dump_python(stored, mode="json", exclude_none=True),
        }
        if stored.state is not SyncState.IDLE:
            fields["queue"] = _QUEUE
            fields["queue_position"] = _position(stored)
        new = sync.version == 0
        self._table.put(
            fields,
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": sync.version},
            subject=f"The ledger entry of tenant {sync.tenant_id}",
        )
        return stored

    def glance(self, limit: int) -> Glance:
        found = self._table.query(
            limit=limit + 1,
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue",
            ExpressionAttributeValues=as_item({":queue": _QUEUE}),
        )
        entries = list(map(_syncs.validate_python, found))
        return Glance(entries[:limit], complete=len(entries) <= limit)

    def running(self) -> Iterator[Sync]:
        found = self._table.query(
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue AND begins_with(queue_position, :running)",
            ExpressionAttributeValues=as_item({":queue": _QUEUE, ":running": "0#"}),
        )
        return map(_syncs.validate_python, found)

    def queued(self, kind: KnowledgeBaseKind, priority: Priority, *, ready_by: datetime, limit: int) -> Sequence[Sync]:
        lane = _lane(kind, priority)
        found = self._table.query(
            limit=limit,
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue AND queue_position BETWEEN :first AND :last",
            # "$" comes after "#": the whole moment `ready_by` is within.
            ExpressionAttributeValues=as_item(
                {":queue": _QUEUE, ":first": lane, ":last": f"{lane}{_sortable(ready_by)}$"}
            ),
        )
        return list(map(_syncs.validate_python, found))

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

    def record(self, change: JobStateChange, now: datetime) -> Recorded:
        occurred_at = change.occurred_at.timestamp()
        fields: dict[str, object] = {
            **_changes().dump_python(change, mode="json", exclude_none=True),
            "occurred_at_ms": int(occurred_at * 1000),
            "expires_at": int(occurred_at + self._kept_for.total_seconds()),
        }
        subject = f"The history of {change.identity}"
        with suppress(ConcurrentUpdate):  # a later state of this job is stored already: the history must not go back
            self._table.update(
                self._key(change),
                fields,
                condition="attribute_not_exists(PK) OR attribute_not_exists(occurred_at_ms) OR occurred_at_ms <= :at",
                values={":at": fields["occurred_at_ms"]},
                subject=subject,
            )
        claim, done = f"claimed_{change.status}", f"published_{change.status}"
        at = int(now.timestamp() * 1000)
        try:
            self._table.update(
                self._key(change),
                {claim: at},
                condition=f"attribute_not_exists({done}) AND (attribute_not_exists({claim}) OR {claim} <= :given_up)",
                values={":given_up": at - _GIVEN_UP_AFTER_MS},
                subject=subject,
            )
        except ConcurrentUpdate:
            stored = self._table.item(self._key(change)) or {}
            return Recorded.PUBLISHED if done in stored else Recorded.ANOTHERS
        return Recorded.YOURS

    def published(self, change: JobStateChange) -> None:
        done = {f"published_{change.status}": True}
        self._table.update(
            self._key(change),
            done,
            condition="attribute_exists(PK)",
            values={},
            subject=f"The history of {change.identity}",
        )

    def _key(self, change: JobStateChange) -> dict[str, str]:
        began = change.started_at or change.occurred_at
        return tenant_key(change.tenant_id, f"{_JOB}{_sortable(began)}#{change.name}")

    def latest(self, tenant_id: TenantId, limit: int) -> Sequence[JobStateChange]:
        return self.page(tenant_id, limit, None).jobs

    def page(self, tenant_id: TenantId, limit: int, after: str | None) -> JobPage:
        found = list(self._newest_first(tenant_id, after=after, limit=limit + 1))
        following = found[limit - 1]["SK"].removeprefix(_JOB) if len(found) > limit else None
        return JobPage([_changes().validate_python(item) for item in found[:limit]], following)

    def find(self, tenant_id: TenantId, name: str) -> JobStateChange | None:
        # When a job began is in its key, and not known here: the history of one tenant is looked through.
        found = (item for item in self._newest_first(tenant_id) if item["SK"].endswith(f"#{name}"))
        return next(map(_changes().validate_python, found), None)

    def _newest_first(
        self, tenant_id: TenantId, *, after: str | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        start = {"ExclusiveStartKey": as_item(tenant_key(tenant_id, f"{_JOB}{after}"))} if after is not None else {}
        return self._table.query(
            limit=limit,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :job)",
            ExpressionAttributeValues=as_item({":pk": tenant_key(tenant_id, "")["PK"], ":job": _JOB}),
            ScanIndexForward=False,
            **start,
        )

    def started_since(self, tenant_id: TenantId, since: datetime) -> Iterator[JobStateChange]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            # "$" comes after "#": every moment and every job is within.
            ExpressionAttributeValues=as_item(
                {":pk": tenant_key(tenant_id, "")["PK"], ":first": f"{_JOB}{_sortable(since)}", ":last": "JOB$"}
            ),
        )
        return map(_changes().validate_python, found)


class DynamoDBTenantRounds:
    """`kbfleet.ports.TenantRounds` in DynamoDB.

    Args:
        name: of the walk: each has a position of its own.
    """

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._key = {"PK": "FLEET", "SK": f"ROUND#{name}"}

    def position(self) -> TenantId | None:
        stored = self._table.item(self._key) or {}
        return TenantId(stored["visited"]) if "visited" in stored else None

    def move(self, to: TenantId | None) -> None:
        with translated(f"the position of {self._key['SK']}"):
            self._table.client.put_item(TableName=self._table.name, Item=as_item({**self._key, "visited": to}))


class DynamoDBDocumentWalks:
    """`kbfleet.ports.DocumentWalks` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant_id: TenantId) -> DocumentWalk | None:
        record = self._table.get(tenant_id, _WALK)
        return _walks().validate_python(record) if record and "began_at" in record else None

    def save(self, tenant_id: TenantId, walk: DocumentWalk | None) -> None:
        fields = {} if walk is None else _walks().dump_python(walk, mode="json", exclude_none=True)
        subject = f"where the documents of tenant {tenant_id} are to be read on"
        self._table.put({**tenant_key(tenant_id, _WALK), **fields}, values={}, subject=subject)
