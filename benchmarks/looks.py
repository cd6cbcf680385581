"""What a look at a whole fleet costs, by the API, by schedules, and by the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import cli.doctor
from benchmarks.large_fleet import (
    A_CALL,
    Cost,
    as_function,
    counted,
    large_fleet,
    lose_buckets,
    lose_roles,
    written_directly,
)
from benchmarks.report import Measurement
from cli.dead_letter_queues import QUEUES
from cli.dead_letters import DeadLetters
from cli.doctor import CheckResult
from cli.fleet_api import Body, FleetApi, Refused
from cli.fleet_stack import FleetStack
from kbfleet.adapters.dynamodb.incidents import DynamoDBIncidents
from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.domain.bounds import ANSWER_BYTES, ITEM_BYTES
from kbfleet.domain.ingestion_job import JobStatus, Outcome, Statistics
from kbfleet.domain.names import TenantId
from kbfleet.domain.signals import of_ingestion
from kbfleet.usecases.incidents import IncidentDesk
from kbfleet.usecases.reconciliation import REPAIRS_AT_ONCE
from tests.support.api_requests import api_request
from tests.support.clock import FakeClock
from tests.support.fakes import RecordingAlertChannel
from tests.support.samples import DEPLOYMENT, job_state_change
from tests.support.virtual_fleet import VirtualFleet

Result = TypeVar("Result")

_GATEWAY_SECONDS, _COMPLETION_SECONDS, _LOOK_SECONDS = 29, 3, 600
"""After which API Gateway gives up (AWS documentation, Quotas for configuring and running a REST API), the shell's
completion does, and messages are shown to others again that somebody is looking at."""
_RECONCILED_SECONDS = 10
_OPERATOR = "operator"
"""The strand in which everything is asked for."""
_PAGE = 100
"""Tenants, or jobs, that the command line asks for at a time."""


@dataclass(frozen=True)
class _Api(FleetApi):
    """Its requests reach the functions, within the strand of whoever asks."""

    fleet: VirtualFleet = field(kw_only=True)
    bytes_of: list[int] = field(kw_only=True, default_factory=list)

    def _signed(self, kind: type[Body], method: str, path: str, body: dict[str, Any] | None = None) -> Body:
        url, strand = urlsplit(path), self.fleet.timeline.current
        query = dict(parse_qsl(url.query))
        function = "ReconcileFunction" if url.path == "/reconciliations" else "TenantsFunction"
        parts = url.path.strip("/").split("/")
        names = {"tenant_id": parts[1]} if len(parts) > 1 else {}
        resource = "/" + "/".join([parts[0], *(["{tenant_id}"] if names else []), *parts[2:]])
        asked = self.fleet.functions(function, api_request(method, resource, body=body, query=query, **names))
        if strand is not None:
            strand.function = _OPERATOR
        self.bytes_of.append(len(asked["body"].encode()))
        if asked["statusCode"] >= 400:
            raise Refused(asked["statusCode"], "", asked["body"])
        return kind.model_validate_json(asked["body"])


def looks(fleet: VirtualFleet, size: int) -> Iterator[Measurement]:
    """The rows of one fleet of that size."""
    fleet.rest()
    api = _Api("https://api.example.com", cast(Any, None), fleet=fleet)

    def measured(
        name: str,
        look: Callable[[], object],
        *,
        calls: float,
        seconds: float,
        items: float | None = None,
        most_bytes: float = ANSWER_BYTES,
    ) -> Iterator[Measurement]:
        """Args: calls, seconds, items: at most. most_bytes: of one answer of the API."""
        api.bytes_of.clear()
        with counted(fleet, _OPERATOR) as cost:
            as_function(fleet, _OPERATOR, look)
        yield from rows(f"{name}, {size:,} tenants", cost, calls=calls, seconds=seconds, items=items)
        if api.bytes_of:
            yield Measurement(f"{name}, {size:,} tenants: largest answer", max(api.bytes_of), "bytes", most_bytes)

    pages = -(-size // _PAGE)
    # Of 1,000 resources, and of records as many as fit into 1 MB.
    lists = 3 * -(-size // 1_000) + -(-size // 500) + 15
    yield from measured("listing", lambda: api.tenants(None), calls=4 * pages + 4, seconds=0.2 * pages + 1)
    yield from measured("completion", lambda: api.ids_beginning("tenant-"), calls=4, seconds=_COMPLETION_SECONDS)
    yield from measured("reconcile", api.reconcile, calls=lists + 200, seconds=_RECONCILED_SECONDS)
    yield from measured(
        "doctor", lambda: _doctor(fleet, api), calls=4 * pages + 2 * lists + 100, seconds=0.2 * pages + 30
    )
    for name, function in (
        ("schedule", "RequestScheduledSyncsFunction"),
        ("external jobs", "FindExternalJobsFunction"),
    ):
        # One looks at all entries, and asks for as many syncs as there is room for; the other visits 500 tenants.
        yield from measured(name, _run(fleet, function), calls=max(0.05 * size + 150, 520), seconds=60)
    lose_roles()
    yield from measured("reconcile, all roles are lost", api.reconcile, calls=lists + 200, seconds=_RECONCILED_SECONDS)
    first = "reconcile --repair, all roles are lost"
    for name in (first, "the same command at once again"):
        before, reports = len(fleet.step_functions.executions), list[ReconciliationDetail]()
        yield from measured(
            name,
            lambda: reports.append(api.reconcile(repair=True)),  # noqa: B023 - called before the next one is made
            calls=lists + 200 + 8 * REPAIRS_AT_ONCE,
            seconds=_GATEWAY_SECONDS - 5,
        )
        (report,) = reports
        at_work = len(report.repairs) + report.repairs_left_out
        started = len(fleet.step_functions.executions) - before
        yield Measurement(f"{name}, {size:,} tenants: started", started, "executions", REPAIRS_AT_ONCE)
        if name == first:
            lost = size - at_work - report.repairs_left
            yield Measurement(f"{name}, {size:,} tenants: neither begun nor left", lost, "tenants", 0)
    asked_for = Counter(execution.input["tenant_id"] for execution in fleet.step_functions.executions.values())
    twice = sum(times > 1 for times in asked_for.values())
    yield Measurement(f"both, {size:,} tenants: started twice", twice, "tenants", 0)
    lose_buckets()
    name = "reconcile, buckets are lost, too"
    yield from measured(name, api.reconcile, calls=lists + 200, seconds=_RECONCILED_SECONDS)


def rows(name: str, cost: Cost, *, calls: float, seconds: float, items: float | None = None) -> Iterator[Measurement]:
    yield Measurement(name, cost.calls, "calls", calls)
    yield Measurement(f"{name}: read", cost.items, "items", items)
    yield Measurement(f"{name}: read", cost.read, "bytes")
    yield Measurement(name, cost.seconds, "s", seconds)


def _run(fleet: VirtualFleet, function: str) -> Callable[[], object]:
    return lambda: fleet.functions(function, {})


def _doctor(fleet: VirtualFleet, api: _Api) -> list[CheckResult]:
    """Its checks that look at tenants; the others look at the stack."""
    given = {"ApiUrl": api.url}
    stack = cast(
        FleetStack,
        SimpleNamespace(
            outputs=given, session=None, parameters={}, client=fleet.client, deployed_at=fleet.clock.datetime()
        ),
    )
    checks = {name: cli.doctor._CHECKS[name] for name in ("tenants", "knowledge", "capacity")}
    with patch.object(cli.doctor, "FleetApi", lambda *_: api), patch.object(cli.doctor, "_CHECKS", checks):
        return list(cli.doctor.examine(stack))


# --- what waits ---


class _LongQueue:
    """SQS, as far as one dead-letter queue with so many messages is looked at and emptied, taking its time."""

    def __init__(self, messages: int, clock: FakeClock) -> None:
        self._visible = {str(number): None for number in range(messages)}
        self._hidden: dict[str, None] = {}
        self._clock = clock
        self.calls = 0

    def _take_time(self) -> None:
        self.calls += 1
        self._clock.advance(A_CALL)

    def receive_message(self, **_: Any) -> Mapping[str, Any]:
        self._take_time()
        some = list(islice(self._visible, 10))
        for each in some:
            self._hidden[each] = self._visible.pop(each)
        sent = {"SentTimestamp": "0"}
        return {
            "Messages": [{"MessageId": each, "ReceiptHandle": each, "Attributes": sent, "Body": "{}"} for each in some]
        }

    def change_message_visibility_batch(self, *, Entries: Sequence[Mapping[str, Any]], **_: Any) -> None:  # noqa: N803 - boto3's name
        self._take_time()
        for entry in Entries:
            if entry["ReceiptHandle"] in self._hidden:
                self._visible[entry["ReceiptHandle"]] = self._hidden.pop(entry["ReceiptHandle"])

    def delete_message_batch(self, *, Entries: Sequence[Mapping[str, Any]], **_: Any) -> Mapping[str, Any]:  # noqa: N803 - as above
        self._take_time()
        for entry in Entries:
            del self._hidden[entry["ReceiptHandle"]]
        return {}


def dead_letters(size: int) -> Iterator[Measurement]:
    """So many messages wait, are shown, and are deleted."""
    clock = FakeClock()
    queue = _LongQueue(size, clock)
    stack = SimpleNamespace(client=lambda _: queue, resources={each.resource: "queue" for each in QUEUES})
    letters = DeadLetters(cast(FleetStack, stack))
    looks: Sequence[tuple[str, Callable[[], int]]] = (
        ("dead letters, shown", lambda: len(letters.messages(QUEUES[0], size))),
        ("dead letters, purged", lambda: letters.purge(QUEUES[0], lambda _: True)),
    )
    for name, look in looks:
        began, queue.calls = clock.now(), 0
        unseen = size - look()
        yield Measurement(f"{name}, {size:,}: not seen", unseen, "messages", 0)
        yield Measurement(f"{name}, {size:,}", queue.calls, "calls", 0.35 * size + 10)
        yield Measurement(f"{name}, {size:,}", (clock.now() - began).total_seconds(), "s", _LOOK_SECONDS)


class _Items:
    """DynamoDB, as far as incidents are kept in it by one writer: conditions hold."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Any]] = {}
        self.calls = self.read = self.largest = 0

    def get_item(self, *, Key: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:  # noqa: N803 - boto3's name
        self.calls += 1
        found = self._items.get(Key["PK"]["S"], {}).get(Key["SK"]["S"])
        self.read += len(json.dumps(found)) if found is not None else 0
        return {"Item": found} if found is not None else {}

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> None:  # noqa: N803 - as above
        self.calls += 1
        for write in TransactItems:
            ((kind, given),) = write.items()
            item = given["Item"] if kind == "Put" else given["Key"]
            partition = self._items.setdefault(item["PK"]["S"], {})
            partition.pop(item["SK"]["S"], None)
            if kind == "Put":
                partition[item["SK"]["S"]] = item
                self.largest = max(self.largest, len(json.dumps(item)))

    def get_paginator(self, _operation: str) -> _Items:
        return self

    def paginate(self, *, ExpressionAttributeValues: Mapping[str, Any], **asked: Any) -> Iterator[Mapping[str, Any]]:  # noqa: N803 - as above
        self.calls += 1
        found = sorted(self._items.get(ExpressionAttributeValues[":pk"]["S"], {}).items())
        if not asked.get("ScanIndexForward", True):
            found.reverse()
        items = [item for _, item in found][: asked["PaginationConfig"].get("MaxItems")]
        self.read += sum(len(json.dumps(item)) for item in items)
        yield {"Items": items}


def incidents(size: int) -> Iterator[Measurement]:
    """So many tenants are hit by the same: what the last one's signal costs, and the first one's that all is well."""
    items, clock = _Items(), FakeClock()
    kept = DynamoDBIncidents(Table(cast(Any, items), "table"))
    desk = IncidentDesk(kept, RecordingAlertChannel(), clock, DEPLOYMENT)

    def signal(number: int, *, well: bool = False) -> None:
        clock.advance(1)
        failed = job_state_change(
            tenant_id=TenantId(f"tenant-{number}"),
            status=JobStatus.COMPLETE if well else JobStatus.FAILED,
            outcome=Outcome.SUCCEEDED if well else Outcome.FAILED,
            occurred_at=clock.now(),
        )
        for each in of_ingestion(failed, DEPLOYMENT):
            desk.record(each)

    for number in range(size):
        items.calls = items.read = 0
        signal(number)
    yield Measurement(f"incidents, a signal of the last of {size:,}", items.calls, "calls", 8)
    yield Measurement(f"incidents, a signal of the last of {size:,}: read", items.read, "bytes", ITEM_BYTES)
    items.calls = items.read = 0
    signal(0, well=True)
    yield Measurement(f"incidents, the first of {size:,} is well", items.calls, "calls", 8)
    yield Measurement(f"incidents of {size:,} tenants: largest item", items.largest, "bytes", ITEM_BYTES)


def history(size: int) -> Iterator[Measurement]:
    """The newest page of a tenant with so many jobs."""
    with large_fleet(1) as fleet:
        fleet.rest()
        written = DynamoDBJobHistory(written_directly(fleet), kept_for=timedelta(days=400))
        for number in range(size):
            began = fleet.clock.datetime() - timedelta(minutes=5 * number)
            job = job_state_change(
                tenant_id=TenantId("tenant-0"),
                ingestion_job_id=f"J{number:09}",
                started_at=began,
                occurred_at=began + timedelta(minutes=3),
                statistics=Statistics(scanned=12, new=9, modified=3),
            )
            written.record(job, fleet.clock.datetime())
        api = _Api("https://api.example.com", cast(Any, None), fleet=fleet)
        with counted(fleet, _OPERATOR) as cost:
            as_function(fleet, _OPERATOR, lambda: api.jobs(TenantId("tenant-0"), _PAGE))
        yield from rows(f"history, the newest {_PAGE} of {size:,} jobs", cost, calls=6, seconds=2, items=_PAGE + 10)
        yield Measurement(f"history of {size:,} jobs: largest answer", max(api.bytes_of), "bytes", ANSWER_BYTES)
