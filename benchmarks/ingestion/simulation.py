"""One policy through one workload, and what came of it."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import simpy

from benchmarks.ingestion.fleet import modelled_fleet
from benchmarks.ingestion.policies import Events, FixedPoll, Policy, StepFunctionsRetry, SyncPerObject
from benchmarks.ingestion.service import JOBS_PER_ACCOUNT, START_INTERVAL, Durations, IngestionService
from benchmarks.ingestion.workloads import Workload, tenant

OURS = "kbfleet"

_Made = Callable[[simpy.Environment, IngestionService, Counter[str], Workload, int], Policy]


_POLICIES: Mapping[str, _Made] = {
    OURS: lambda environment, service, calls, workload, _: modelled_fleet(
        environment,
        service,
        calls,
        map(tenant, range(workload.tenants)),
        first_syncs=workload.first_syncs,
    ),
    "sync per object": lambda environment, service, calls, _, seed: SyncPerObject(
        environment, service, calls, seed=seed, max_receives=1
    ),
    "sync per object, SQS retries": lambda environment, service, calls, _, seed: SyncPerObject(
        environment, service, calls, seed=seed
    ),
    "poll every 5 minutes": lambda environment, service, calls, _, __: FixedPoll(environment, service, calls),
    "Step Functions retries": lambda environment, service, calls, _, seed: StepFunctionsRetry(
        environment, service, calls, seed=seed
    ),
}

POLICIES = tuple(_POLICIES)
"""The names of those that are compared."""

_LONGEST = 10 * 86_400.0
"""Virtual seconds after which a policy that has not come to rest is given up on."""


@dataclass(frozen=True)
class Result:
    """What a policy made of a workload. Times in seconds.

    Args:
        lags: from upload to searchable, by tenant; of those that became searchable.
        bound: what the jobs that made something searchable take at least: five at once, a start in ten seconds, one job
            at a time for each knowledge base, and the last upload's own job after it.
        refused: calls of StartIngestionJob that were answered with an error.
        calls: of every kind, until the policy was at rest.
    """

    uploads: int
    lags: Mapping[str, list[float]]
    makespan: float
    bound: float
    jobs: int
    refused: int
    calls: Mapping[str, int]

    @property
    def lost(self) -> int:
        """Uploads that no job covered that succeeded."""
        return self.uploads - sum(map(len, self.lags.values()))

    def lag(self, quantile: float) -> float:
        return percentile([lag for lags in self.lags.values() for lag in lags], quantile)


def percentile(values: list[float], quantile: float) -> float:
    """The smallest value that so many of all are not above (nearest rank). NaN of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)] if ordered else math.nan


def simulate(policy: str, workload: Workload, *, seed: int, durations: Durations | None = None) -> Result:
    """Runs until everything is at rest. Raises: RuntimeError when that takes more than ten days."""
    environment = simpy.Environment()
    calls: Counter[str] = Counter()
    service = IngestionService(environment, durations or Durations(seed=seed), calls)
    chosen = _POLICIES[policy](environment, service, calls, workload, seed)
    feeding = environment.process(_feed(environment, workload, service, chosen))
    while not (feeding.triggered and chosen.at_rest and not service.running):
        if environment.now > _LONGEST:
            raise RuntimeError(f"{policy} is not at rest after {environment.now:,.0f} s of {workload.name}")
        environment.run(until=environment.now + 10)
    return _result(service, calls)


def idle(seconds: float) -> Mapping[str, int]:
    """The calls that kbfleet makes in that time when there is nothing to do."""
    environment = simpy.Environment()
    calls: Counter[str] = Counter()
    modelled_fleet(environment, IngestionService(environment, Durations(), calls), calls, [tenant(0)])
    environment.run(until=seconds + 1)
    return calls


def _feed(environment: simpy.Environment, workload: Workload, service: IngestionService, policy: Policy) -> Events:
    for at, name in workload.uploads:
        yield environment.timeout(at - environment.now)
        policy.changed(service.upload(name))


def _result(service: IngestionService, calls: Counter[str]) -> Result:
    lags: dict[str, list[float]] = {}
    for upload in service.uploads:
        if upload.searchable_at is not None:
            lags.setdefault(upload.tenant, []).append(upload.searchable_at - upload.at)
    searchable = [upload.searchable_at for upload in service.uploads if upload.searchable_at is not None]
    began = service.uploads[0].at
    return Result(
        len(service.uploads),
        lags,
        max(searchable, default=math.nan) - began,
        _bound(service, began),
        len(service.jobs),
        service.refusals.total(),
        calls,
    )


def _bound(service: IngestionService, began: float) -> float:
    useful = [job for job in service.jobs if job.made_searchable]
    last_upload = {upload.tenant: upload.at for upload in service.uploads if upload.searchable_at is not None}
    in_a_row: defaultdict[str, list[float]] = defaultdict(list)
    for job in useful:
        in_a_row[job.tenant].append(job.duration)
    return max(
        sum(job.duration for job in useful) / JOBS_PER_ACCOUNT,
        len(useful) * START_INTERVAL,
        max((sum(durations) for durations in in_a_row.values()), default=0.0),
        # Nothing can be searched sooner than a job after it was uploaded.
        max((last_upload[name] - began + durations[-1] for name, durations in in_a_row.items()), default=0.0),
    )


def earliest_makespan(durations: Iterable[float]) -> float:
    """When the last of these jobs ends if each starts, in this order, the very moment at which a slot is free and the
    start rate allows it: what no scheduler that sees job after job can do better."""
    slots = [0.0] * JOBS_PER_ACCOUNT
    start = -START_INTERVAL
    for duration in durations:
        start = max(heapq.heappop(slots), start + START_INTERVAL)
        heapq.heappush(slots, start + duration)
    return max(slots)
