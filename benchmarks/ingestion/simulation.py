"""One policy through one workload, and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import simpy

from benchmarks.ingestion.fleet import PUSHED_AFTER, Fleet
from benchmarks.ingestion.policies import Events, FixedPoll, Policy, StepFunctionsRetry, SyncPerObject
from benchmarks.ingestion.service import JOBS_PER_ACCOUNT, START_INTERVAL, Durations, IngestionService
from benchmarks.ingestion.workloads import Workload, tenant

POLLING, PUSHED = "kbfleet", "kbfleet, push path"
PER_OBJECT, FIXED_POLL, RETRIES = "sync per object, SQS retries", "poll every 5 minutes", "Step Functions retries"

_Made = Callable[[simpy.Environment, IngestionService, Counter[str], Workload, int], Policy]


def _fleet(pushed_after: float | None) -> _Made:
    return lambda environment, service, calls, workload, _: Fleet(
        environment,
        service,
        calls,
        map(tenant, range(workload.tenants)),
        pushed_after=pushed_after,
        first_syncs=workload.first_syncs,
    )


POLICIES: Mapping[str, _Made] = {
    POLLING: _fleet(None),
    PUSHED: _fleet(PUSHED_AFTER),
    PER_OBJECT: lambda environment, service, calls, _, seed: SyncPerObject(environment, service, calls, seed=seed),
    FIXED_POLL: lambda environment, service, calls, _, __: FixedPoll(environment, service, calls),
    RETRIES: lambda environment, service, calls, _, seed: StepFunctionsRetry(environment, service, calls, seed=seed),
}

_LONGEST = 10 * 86_400.0
"""Virtual seconds after which a policy that has not come to rest is given up on."""


@dataclass(frozen=True)
class Result:
    """What a policy made of a workload. Times in seconds.

    Args:
        lags: from upload to searchable, by tenant; of those that became searchable.
        bound: no policy could have been done sooner with the jobs that made something searchable.
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
    chosen = POLICIES[policy](environment, service, calls, workload, seed)
    feeding = environment.process(_feed(environment, workload, service, chosen))
    while not (feeding.triggered and chosen.at_rest and not service.running):
        if environment.now > _LONGEST:
            raise RuntimeError(f"{policy} is not at rest after {environment.now:,.0f} s of {workload.name}")
        environment.run(until=environment.now + 10)
    return _result(service, calls)


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
    in_a_row: Counter[str] = Counter()
    arrival = 0.0
    for job in useful:
        in_a_row[job.tenant] += job.duration  # type: ignore[assignment]  # a Counter adds up floats just as well
    last = {upload.tenant: upload for upload in service.uploads}
    for job in useful:
        upload = last[job.tenant]
        if upload.searchable_at == job.started_at + job.duration:
            arrival = max(arrival, upload.at - began + job.duration)
    return max(
        sum(job.duration for job in useful) / JOBS_PER_ACCOUNT,
        len(useful) * START_INTERVAL,
        max(in_a_row.values(), default=0.0),
        arrival,
    )
