"""What one busy tick asks of DynamoDB, through the real adapters on moto: with few tenants, and with many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import simpy
from samcli.yamlhelper import yaml_parse

from benchmarks.aws import client, moto
from benchmarks.ingestion.fleet import TickQueue
from benchmarks.ingestion.ports import History, KnowledgeBases, Ledger, Registry, VirtualClock, scheduler
from benchmarks.ingestion.ports import active_tenant as active
from benchmarks.ingestion.service import JOBS_PER_ACCOUNT, START_INTERVAL, Durations, IngestionService
from benchmarks.ingestion.workloads import tenant
from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from kbfleet.domain.sync import Priority
from kbfleet.ports import JobHistory, SyncLedger, TenantRegistry
from kbfleet.usecases.ingestion import Scheduler, request_sync

_TEMPLATE = Path(__file__).parents[2] / "template.yaml"
_TABLE = "kbfleet"
_WAITING = 40
"""More than a tick looks at in its first query."""


@dataclass(frozen=True)
class TickCost:
    """Requests to DynamoDB by operation, and how many items they read and wrote."""

    requests: Mapping[str, int]
    items_read: int


def in_dynamodb(tenants: int) -> TickCost:
    """One tick that ends a job and starts another, while four more run and 39 tenants wait; so many tenants in all."""
    with moto():
        dynamodb = client("dynamodb")
        dynamodb.create_table(TableName=_TABLE, **_table_definition())
        table = Table(dynamodb, _TABLE)
        registry = DynamoDBTenantRegistry(table)
        for name in _busy():
            registry.create(active(TenantId(name), _data_source(name)))
        _add_idle(dynamodb, table, tenants - JOBS_PER_ACCOUNT - _WAITING)
        requests: Counter[str] = Counter()
        items = Counter[str]()

        def count(model: Any, parsed: Mapping[str, Any], **_: Any) -> None:
            requests[f"dynamodb:{model.name}"] += 1
            items["read"] += parsed.get("Count", 1 if "Item" in parsed else 0)

        before_the_tick = _scheduler(
            registry, DynamoDBSyncLedger(table), DynamoDBJobHistory(table, kept_for=timedelta(days=1)), Counter()
        )
        dynamodb.meta.events.register("after-call.dynamodb", count)
        before_the_tick.tick()
    return TickCost(requests, items["read"])


def in_memory(tenants: int) -> TickCost:
    """The same tick on the ports of the simulation, by what they count."""
    calls: Counter[str] = Counter()
    names = [*_busy(), *(tenant(number) for number in range(JOBS_PER_ACCOUNT + _WAITING, tenants))]
    registry = cast("TenantRegistry", Registry({TenantId(name): _data_source(name) for name in names}, calls))
    ledger = Ledger(calls)
    ticking = _scheduler(registry, ledger, History(calls), calls)
    calls.clear()
    ledger.items_read = 0
    ticking.tick()
    requests = {name: count for name, count in calls.items() if name.startswith("dynamodb:")}
    return TickCost(requests, ledger.items_read + requests["dynamodb:GetItem"])


def _busy() -> Iterator[str]:
    return map(tenant, range(JOBS_PER_ACCOUNT + _WAITING))


def _data_source(name: str) -> DataSourceReference:
    return DataSourceReference(name, f"{name}-documents")


def _scheduler(
    registry: TenantRegistry, ledger: SyncLedger, history: JobHistory | History, calls: Counter[str]
) -> Scheduler:
    """Five jobs run, one of them has just ended, and the other tenants wait."""
    environment = simpy.Environment()
    clock = VirtualClock(environment)
    ticks = TickQueue(environment, calls)
    service = IngestionService(environment, Durations(), calls)
    ticking = scheduler(
        registry=registry,
        ledger=ledger,
        history=history,
        knowledge_bases=KnowledgeBases(service, calls),
        ticks=ticks,
        clock=clock,
        start_interval=START_INTERVAL,
        calls=calls,
    )
    for name in _busy():
        service.upload(name)
        request_sync(
            TenantId(name), registry=registry, ledger=ledger, ticks=ticks, clock=clock, priority=Priority.CHANGED
        )
    for _ in range(JOBS_PER_ACCOUNT):
        ticking.tick()
        environment.run(until=environment.now + START_INTERVAL)
    ticking.tick()  # sees all of them IN_PROGRESS
    while service.running == JOBS_PER_ACCOUNT:
        environment.step()
    return ticking


def _add_idle(dynamodb: Any, table: Table, count: int) -> None:
    """Tenants that have synced and rest, as copies of one: their profile and their ledger entry."""
    name = tenant(99_999)
    registry, ledger = DynamoDBTenantRegistry(table), DynamoDBSyncLedger(table)
    registry.create(active(TenantId(name), _data_source(name)))
    ledger.save(ledger.find(Knowledge(Life(TenantId(name)))))
    key = {"PK": {"S": f"TENANT#{name}"}}
    records = [
        dynamodb.get_item(TableName=_TABLE, Key={**key, "SK": {"S": sort_key}})["Item"]
        for sort_key in ("PROFILE", "SYNC")
    ]
    copies = (
        {**record, "PK": {"S": f"TENANT#{other}"}, "tenant_id": {"S": other}}
        for other in (tenant(JOBS_PER_ACCOUNT + _WAITING + number) for number in range(count - 1))
        for record in records
    )
    for batch in _batches(copies, 25):
        left_out = dynamodb.batch_write_item(RequestItems={_TABLE: [{"PutRequest": {"Item": item}} for item in batch]})[
            "UnprocessedItems"
        ]
        if left_out:
            raise RuntimeError(f"{len(left_out[_TABLE])} items were not written")


def _batches(items: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _table_definition() -> dict[str, Any]:
    properties = yaml_parse(_TEMPLATE.read_text("utf-8"))["Resources"]["Table"]["Properties"]
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {name: properties[name] for name in names}
