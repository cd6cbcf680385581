"""What is the same however large a fleet is, and what is not: each quantity at 100, 1,000 and 10,000, in virtual time.

The real handlers and state machines run on moto and the Bedrock emulator, with Bedrock's documented rates. Of the other
tenants there is what records and lists of the account show; they do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from benchmarks.large_fleet import AS_SLOW_AS_USUAL, STORE, large_fleet
from benchmarks.looks import dead_letters, history, incidents, looks
from benchmarks.report import Measurement
from kbfleet.adapters.s3 import S3DocumentBuckets
from tests.support.api_requests import api_request
from tests.support.clock import FakeClock
from tests.support.state_machine import Execution
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, provisioning_request, virtual_fleet

SIZES = (100, 1_000, 10_000)
FEW = 10
"""Tenants beside which one takes what others are compared with."""
MOST_TIMES_THE_CALLS, MOST_TIMES_THE_SECONDS = 3.0, 1.2
MOST_EVENTS = 25_000
"""Of one execution's history. Source: AWS documentation, Step Functions service quotas."""
MOST_TIMES_THE_BOUND = 1.1
START_SECONDS = 10.0
"""Between two starts of ingestion jobs. Source: AWS documentation, Quotas for Amazon Bedrock."""
_ONE = "newcomer"
_PAGE_SECONDS = {"list_object_versions": 0.15, "delete_objects": 0.35}
"""Of S3, for 1,000 versions; a guess: half a second for both."""


@dataclass(frozen=True)
class ExecutionCost:
    """Of one execution: calls of AWS by all its functions, virtual seconds, and events in its history."""

    status: str
    calls: int
    seconds: float
    events: int


def measured(crowd: int = SIZES[0]) -> Iterator[Measurement]:
    """Every row of the table, with its target.

    Args:
        crowd: how many tenants are new at once, at most. What each does is carried out; a thousand take twenty minutes.
    """
    for size in SIZES:
        with large_fleet(size) as fleet:
            yield from looks(fleet, size)
    for measure_many in (dead_letters, incidents, history):
        for size in SIZES:
            yield from measure_many(size)
    for name, measure in (("provisioning one", provisioning_one), ("offboarding one", offboarding_one)):
        few = measure(FEW)
        for size in SIZES:
            cost = measure(size)
            failed = 0 if cost.status == "SUCCEEDED" else 1
            yield Measurement(f"{name}, the last of {size:,}: failed", failed, "executions", 0)
            yield Measurement(f"{name}, the last of {size:,}", cost.calls, "calls", MOST_TIMES_THE_CALLS * few.calls)
            yield Measurement(f"{name}, the last of {size:,}", cost.seconds, "s", MOST_TIMES_THE_SECONDS * few.seconds)
    for size in SIZES:
        if size <= crowd:
            yield from first_syncs(size)
    for versions in (*SIZES, 1_000_000):
        yield from bucket_deletion(versions)


# --- one beside many ---


def provisioning_one(size: int) -> ExecutionCost:
    """The last tenant of a fleet of that size is provisioned, with a document, when nothing else goes on."""
    with large_fleet(size - 1) as fleet:
        return _cost(fleet, fleet.provision(_ONE, STORE))


def offboarding_one(size: int) -> ExecutionCost:
    """One tenant of a fleet of that size is offboarded."""
    with large_fleet(size - 1) as fleet:
        fleet.provision(_ONE, STORE)
        fleet.settle(_ONE)
        before = len(fleet.calls.made)
        return _cost(fleet, fleet.finish(_offboarding(fleet, _ONE)), since=before)


def _offboarding(fleet: VirtualFleet, tenant_id: str) -> Execution:
    request = api_request("DELETE", "/tenants/{tenant_id}", query={"retention_days": "0"}, tenant_id=tenant_id)
    fleet.invoke("TenantsFunction", request)
    machine = fleet.machine_arn("offboard_tenant")
    (execution,) = (each for each in fleet.step_functions.executions.values() if each.machine == machine)
    return execution


def _cost(fleet: VirtualFleet, execution: Execution, *, since: int = 0) -> ExecutionCost:
    calls = sum(call.strand == execution.arn for call in fleet.calls.made[since:])
    return ExecutionCost(execution.status, calls, execution.seconds, execution.events)


# --- many at once ---


def first_syncs(tenants: int) -> Iterator[Measurement]:
    """So many new tenants at once, each with a document: none fails, and the last is active when the account's rate of
    jobs lets it be."""
    executions, took = all_at_once(tenants)
    failed = sum(execution.status != "SUCCEEDED" for execution in executions)
    name = f"first syncs, {tenants:,} at once"
    yield Measurement(f"{name}: failed", failed, "executions", 0)
    yield Measurement(f"{name}: the last is active", took, "s", MOST_TIMES_THE_BOUND * soonest(tenants))
    events = max(execution.events for execution in executions)
    yield Measurement(f"{name}: history of the longest execution", events, "events", MOST_EVENTS / 10)


def all_at_once(tenants: int) -> tuple[list[Execution], float]:
    """Returns: the executions, and after how many virtual seconds the last of them has ended."""
    with virtual_fleet(parameters={"TickSeconds": "5"}, safety_net_seconds=AN_HOUR, slowness=AS_SLOW_AS_USUAL) as fleet:
        began = fleet.timeline.now()
        requests = [provisioning_request(f"tenant-{number}", STORE) for number in range(tenants)]
        executions = [fleet.start("provision_tenant", request) for request in requests]
        fleet.finish(*executions, within=3 * soonest(tenants) + AN_HOUR)
        return executions, fleet.timeline.now() - began


def soonest(tenants: int) -> float:
    """Seconds after which the last can be active: its knowledge base and data source take their time, then its job is
    the last to be started, and takes its own."""
    made = AS_SLOW_AS_USUAL.managed_knowledge_base[1] + AS_SLOW_AS_USUAL.managed_data_source[1]
    return made + tenants * START_SECONDS + 180.0


# --- a large bucket ---


class _LargeBucket:
    """S3, as far as one bucket with so many versions is emptied and deleted, taking its time."""

    def __init__(self, versions: int, clock: FakeClock) -> None:
        self.left = versions
        self._clock = clock
        self._page = 0

    def get_paginator(self, _operation: str) -> _LargeBucket:
        return self

    def paginate(self, **_: Any) -> Iterator[Mapping[str, Any]]:
        while True:
            self._clock.advance(_PAGE_SECONDS["list_object_versions"])
            shown = min(self.left, 1_000)
            more = self.left > shown
            yield {"Versions": [{"Key": "k", "VersionId": str(n)} for n in range(shown)], "IsTruncated": more}
            if not more:
                return

    def delete_objects(self, *, Delete: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:  # noqa: N803 - boto3's name
        self._clock.advance(_PAGE_SECONDS["delete_objects"])
        self.left -= len(Delete["Objects"])
        return {}

    def delete_bucket(self, **_: Any) -> None:
        if self.left:
            raise AssertionError("it is not empty")


def bucket_deletion(versions: int, *, function_seconds: float = 280.0) -> Iterator[Measurement]:
    """A bucket with so many versions is deleted, in rounds as long as the function has time."""
    clock = FakeClock()
    began = clock.now()
    bucket = _LargeBucket(versions, clock)
    buckets = S3DocumentBuckets(bucket, account="1", region="us-east-1", clock=clock)  # type: ignore[arg-type]
    rounds, longest, gone = 0, timedelta(0), False
    while not gone:
        round_began: datetime = clock.now()
        gone = buckets.delete("bucket", until=round_began + timedelta(seconds=function_seconds))
        rounds, longest = rounds + 1, max(longest, clock.now() - round_began)
    name = f"deleting a bucket, {versions:,} versions"
    yield Measurement(name, (clock.now() - began).total_seconds(), "s", 2 * 86_400)
    yield Measurement(f"{name}: states", 2 * rounds, "states")
    # Two states are entered and left, and a task scheduled, started and ended.
    yield Measurement(f"{name}: history", 7 * rounds, "events", MOST_EVENTS)
    yield Measurement(f"{name}: the longest round", longest.total_seconds(), "s", 300)
