"""The fleet on one screen: reads and seconds of `kbfleet status` with thousands of tenants, on the local table.

What the function does that answers `GET /fleet`, and what the command makes of it, is done in this process, with the
table of a local AWS: there is neither API Gateway nor a network. Seconds on AWS are others; pages are as many, since
they are cut by the same bytes.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from benchmarks.report import Measurement
from cli.costs.tokens import TokenPrice
from cli.fleet_status import shown_of_fleet
from cli.terminal import marked
from kbfleet.adapters.dynamodb.fleet_records import DynamoDBFleetRecords
from kbfleet.adapters.dynamodb.questions import DynamoDBQuestionWatches
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.contracts.fleet import FleetBody
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStatus, Outcome, Statistics
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Life, ResourceNames, TenantId
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch, RunCause, Score
from kbfleet.domain.sync import Priority, Sync, SyncResult
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.fleet_overview import MOST_READS, see_fleet
from local import deployment
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port
from tests.support.template import table_definition

_SECONDS = 2.0
_ACCOUNT = "123456789012"
_NAME = "kbfleet"
_IN_A_BATCH = 25
"""Records that one call writes at most. Source: AWS documentation, BatchWriteItem."""
_AT_ONCE = 4
_LOOKS = 5
_TROUBLED = 200
"""Tenants with whom something is wrong in a fleet that is busy; as many wait, and a quarter of that are at work."""


@dataclass(frozen=True)
class Scale:
    tenants: int = 10_000


def measure(scale: Scale, said: Callable[[str], None]) -> Iterator[Measurement]:
    with _local_table() as table:
        of = f"{scale.tenants:,} tenants"
        for name, made in (("all well", well), ("busy, some in trouble", busy), ("all in trouble", broken)):
            said(f"Writing {of}, {name} …")
            _write(table, made, scale.tenants)
            said(f"Looking at {of}, {name} …")
            # Where everybody is in trouble, nobody waits for seconds.
            yield from _looks(table, f"{of}, {name}", None if made is broken else _SECONDS)


def _looks(table: Table, of: str, at_most: float | None) -> Iterator[Measurement]:
    counted = _Counted(table.client)
    records = DynamoDBFleetRecords(Table(cast(Any, counted), table.name))
    seconds: list[float] = []
    reads: list[int] = []
    for _ in range(_LOOKS):
        counted.reads, began = 0, time.perf_counter()
        seen = see_fleet(
            records=records,
            clock=_Now(),
            start_interval=timedelta(seconds=10),
            stale_after=timedelta(hours=2),
        )
        body = FleetBody.model_validate_json(FleetBody.from_domain(seen).model_dump_json())
        _show(body)
        seconds.append(time.perf_counter() - began)
        reads.append(counted.reads)
    yield Measurement(f"{of}: reads", max(reads), "", MOST_READS)
    yield Measurement(f"{of}: a look, median of {_LOOKS}", statistics.median(seconds), "s", at_most)


def _show(body: FleetBody) -> None:
    screen = Console(file=io.StringIO(), width=120, markup=False, emoji=False)
    for each in shown_of_fleet(body, TokenPrice(None, "Prices are not known.")):
        screen.print(marked(each) if isinstance(each, str) else each, soft_wrap=True)


class _Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _Counted:
    """Counts what is read: a call is a page of a query, or one item."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.reads = 0

    def query(self, **arguments: Any) -> Any:
        self.reads += 1
        return self._client.query(**arguments)

    def get_item(self, **arguments: Any) -> Any:
        self.reads += 1
        return self._client.get_item(**arguments)


# --- the table ---


@contextmanager
def _local_table() -> Iterator[Table]:
    """A local AWS with the table of template.yaml and nothing else; nothing of it is left behind."""
    with TemporaryDirectory() as folder:
        configuration = StackConfiguration(state_directory=Path(folder), aws_port=free_port(), side_port=free_port())
        try:
            process.start(configuration)
            client = deployment.client(configuration, "dynamodb")
            client.create_table(TableName=_NAME, **table_definition())
            yield Table(client, _NAME)
        finally:
            process.stop(configuration.state_directory)


Made = tuple[Tenant, Sync, QuestionWatch]


def _write(table: Table, made: Callable[[int], Made], number: int) -> None:
    """As the adapters store them, but many in a call."""
    items: list[dict[str, Any]] = []
    kept = SimpleNamespace(put_item=lambda *, Item, **_: items.append(Item))  # noqa: N803 - boto3's name
    stored(Table(cast(Any, kept), table.name), made, number)
    puts = [{"PutRequest": {"Item": item}} for item in items]
    batches = [puts[first : first + _IN_A_BATCH] for first in range(0, len(puts), _IN_A_BATCH)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for answer in threads.map(lambda some: table.client.batch_write_item(RequestItems={_NAME: some}), batches):
            if answer.get("UnprocessedItems"):
                raise RuntimeError("The table has left something out.")


def stored(table: Table, made: Callable[[int], Made], number: int) -> None:
    """By the adapters, one by one."""
    registry, ledger = DynamoDBTenantRegistry(table), DynamoDBSyncLedger(table)
    watches = DynamoDBQuestionWatches(table, timedelta(days=90))
    for each in range(number):
        tenant, sync, watch = made(each)
        registry.create(tenant)
        ledger.save(sync)
        watches.save(watch)


# --- the tenants ---


def well(number: int) -> Made:
    """With everything in its record that a tenant has after some months."""
    now = datetime.now(UTC)
    life = Life(TenantId(f"tenant-of-usual-name-{number:05}"))
    names = ResourceNames("kbfleet", _ACCOUNT, "us-east-1")
    tenant = Tenant(
        tenant_id=life.tenant_id,
        name=f"Tenant {number}",
        status=TenantStatus.ACTIVE,
        knowledge_store=KnowledgeBaseKind.MANAGED,
        created_at=now,
        updated_at=now,
        status_since=now,
        previous_status=TenantStatus.PROVISIONING,
        announced=True,
        bucket_name=names.bucket(life),
        knowledge_base_id=f"X{number:09}",
        data_source_id=f"Y{number:09}",
        resources_version="3/PER_TENANT/arn:aws:cloudformation:us-east-1:123456789012:stack/kbfleet/1",
        found_at=now,
        usage_key_id=f"Z{number:09}",
        data_source_made_at=now,
    )
    result = SyncResult(Outcome.SUCCEEDED, 9, now, "JOB0000001", data_source_id="Y", started_at=now, documents=400)
    sync = Sync(
        life.tenant_id,
        kind=KnowledgeBaseKind.MANAGED,
        requested_generation=9,
        synced_generation=9,
        synced_at=now,
        synced_data_source_id="Y",
        result=result,
        answered_from=AnsweredFrom("Y", 400, now, now),
        documents_left_out=0,
    )
    run = QuestionRun("20261130T140500-1", RunCause.CHANGE, now, now, ended_at=now)
    return tenant, sync, QuestionWatch(life, last=run, came_to=Score(12, 0, 0), questions=12)


def busy(number: int) -> Made:
    tenant, sync, watch = well(number)
    now = datetime.now(UTC)
    if number < _TROUBLED:
        reasons = (FailureReason("Ignored 3 files as no text content found."),)
        result = SyncResult(Outcome.DEGRADED, 9, now, "JOB0000001", failure_reasons=reasons, left_out=3)
        sync = replace(sync, result=result, documents_left_out=3)
    elif number < 2 * _TROUBLED:
        sync = sync.requested(now, Priority.CHANGED)
    elif number < 2 * _TROUBLED + _TROUBLED // 4:
        job = IngestionJob("JOB0000002", JobStatus.IN_PROGRESS, now, now, Statistics(scanned=200, new=20))
        sync = sync.requested(now, Priority.CHANGED).started(job, 10).progressed(job, now)
    return tenant, sync, watch


def broken(number: int) -> Made:
    """All that can be wrong at once: lost, failed, and not answered rightly."""
    tenant, sync, watch = well(number)
    now = datetime.now(UTC)
    lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, f"kbfleet-{tenant.tenant_id}", tenant.tenant_id)
    changed = replace(lost, disagreement=Disagreement.CHANGED, kind=ResourceKind.BUCKET)
    reasons = (FailureReason("The knowledge base storage configuration provided is invalid..."),)
    result = SyncResult(Outcome.FAILED, 10, now, "JOB0000003", failure_reasons=reasons)
    failed = replace(sync.requested(now, Priority.CHANGED).laid_to_rest(), result=result)
    return (
        replace(tenant, losses=(lost, changed)),
        failed,
        replace(watch, came_to=Score(4, 8, 0)),
    )
