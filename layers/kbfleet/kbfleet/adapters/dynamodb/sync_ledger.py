"""The sync ledger: one entry for each knowledge, and the sparse index `SyncQueue` of those that are queued,
running or held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.table import as_item, knowledge_key, outlined, sortable_time
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.fleet_overview import SyncOutline
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.ports import Glance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.knowledge_base import KnowledgeBaseKind
    from kbfleet.domain.names import Knowledge
    from kbfleet.domain.sync import Priority

_syncs = TypeAdapter(Sync)

_outlines = cache(lambda: TypeAdapter(SyncOutline))

_QUEUE = "SYNC"
OUTLINES = "SYNC"
"""The partition of the index `Overview` of those that have something to say."""
_HELD = "HELD"
"""Beside the queue, in the same index: those whose next sync is held. An entry that an older version has stored comes
into it with its next check, which is a day later at most."""


INGESTION_START = {"PK": "FLEET", "SK": "INGESTION_START"}


def claimed_at(record: Mapping[str, Any] | None) -> datetime | None:
    """When the right to start a job was last taken, by the item that says so."""
    return datetime.fromtimestamp(int(record["claimed_at"]) / 1000, UTC) if record else None


def _lane(kind: KnowledgeBaseKind, priority: Priority) -> str:
    return f"1#{kind}#{priority}#"


def _name(sync: Sync) -> str:
    return str(sync.tenant_id) if sync.of_knowledge.is_first else f"{sync.tenant_id}.{sync.life}.{sync.knowledge}"


def _position(sync: Sync) -> str:
    """The running ones first; then the queued ones by kind, priority and the time from which they are ready."""
    of = _name(sync)
    if sync.state is SyncState.RUNNING:
        return f"0#{of}"
    return f"{_lane(sync.kind, sync.priority)}{sortable_time(sync.ready_at) if sync.ready_at else ''}#{of}"


class DynamoDBSyncLedger:
    """`kbfleet.ports.SyncLedger` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, knowledge: Knowledge) -> Sync:
        record = self._table.item(knowledge_key(knowledge, "SYNC"))
        return _syncs.validate_python(record) if record else Sync.never_stored(knowledge)

    def entries(self, wanted: Iterable[Knowledge]) -> Iterator[Sync]:
        knowledges = list(wanted)
        records = self._table.items(knowledge_key(each, "SYNC") for each in knowledges)
        for knowledge, record in zip(knowledges, records, strict=True):
            yield _syncs.validate_python(record) if record else Sync.never_stored(knowledge)

    def save(self, sync: Sync) -> Sync:
        stored = replace(sync, version=sync.version + 1, outlined=True)
        fields: dict[str, object] = {
            **knowledge_key(sync.of_knowledge, "SYNC"),
            **_syncs.dump_python(stored, mode="json", exclude_none=True),
        }
        if (outline := SyncOutline.of(stored)) is not None:
            said = _outlines().dump_json(outline, exclude_defaults=True).decode()
            fields |= outlined(OUTLINES, _name(stored), said)
        if stored.state is not SyncState.IDLE:
            fields["queue"] = _QUEUE
            fields["queue_position"] = _position(stored)
        elif stored.hold is not None:
            fields["queue"] = _HELD
            fields["queue_position"] = _name(stored)
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

    def held(self) -> Iterator[Sync]:
        found = self._table.query(
            IndexName="SyncQueue",
            KeyConditionExpression="queue = :queue",
            ExpressionAttributeValues=as_item({":queue": _HELD}),
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
                {":queue": _QUEUE, ":first": lane, ":last": f"{lane}{sortable_time(ready_by)}$"}
            ),
        )
        return list(map(_syncs.validate_python, found))

    def claim_start(self, now: datetime, interval: timedelta) -> bool:
        at = int(now.timestamp() * 1000)
        try:
            self._table.put(
                {**INGESTION_START, "claimed_at": at},
                condition="attribute_not_exists(PK) OR claimed_at <= :latest",
                values={":latest": at - int(interval.total_seconds() * 1000)},
                subject="The right to start an ingestion job",
            )
        except ConcurrentUpdate:
            return False
        return True
