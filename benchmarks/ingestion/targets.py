"""What kbfleet's ingestion promises, measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.ingestion import tick_cost
from benchmarks.ingestion.fleet import SAFETY_NET
from benchmarks.ingestion.real_time import DURATIONS, Observed, observe
from benchmarks.ingestion.service import Durations
from benchmarks.ingestion.simulation import (
    OURS,
    Result,
    earliest_makespan,
    idle,
    percentile,
    simulate,
)
from benchmarks.ingestion.starvation import Beside
from benchmarks.ingestion.tables import Results
from benchmarks.ingestion.workloads import burst, onboarding, tenant
from benchmarks.report import Measurement

_HOUR = 3_600.0
_FEW, _MANY = 100, 10_000


def of_all_workloads(results: Results) -> Iterator[Measurement]:
    """Nothing lost, nothing refused."""
    ours = [by_policy[OURS] for by_policy in results.values()]
    yield Measurement("uploads lost, all scenarios", sum(result.lost for result in ours), "", 0)
    yield Measurement("starts refused by a quota, all scenarios", sum(result.refused for result in ours), "", 0)


def of_onboarding(results: Results, seed: int) -> Iterator[Measurement]:
    """How near the makespan of 500 first syncs comes to what the quotas allow."""
    workload = onboarding(500)
    durations = Durations(seed=seed)
    jobs = [durations.of(tenant(number), 0) for number in range(workload.tenants)]
    found = results[workload.name]
    subject = "makespan of the 500"
    over = "% over the bound"
    earliest = earliest_makespan(jobs) / found[OURS].bound
    yield Measurement(f"{subject}, each start at the first possible moment", (earliest - 1) * 100, over)
    yield Measurement(f"{subject}, {OURS}", _over_bound(found[OURS]), over, 5)


def of_starvation(cases: Mapping[str, Beside]) -> Iterator[Measurement]:
    """How much longer the others wait beside a noisy tenant."""
    for quantile, name in ((0.5, "p50"), (0.99, "p99")):
        lags = cases[OURS].worst(quantile)
        yield Measurement(f"{name} of the worst tenant beside a noisy one, {OURS}", lags, "× alone", 1.5)


def of_idleness() -> Iterator[Measurement]:
    """What an hour costs in which nothing is uploaded."""
    calls = dict(idle(_HOUR))
    ticks = _HOUR / SAFETY_NET
    yield Measurement("an idle hour: DynamoDB queries", calls.pop("dynamodb:Query", 0), "", ticks)
    yield Measurement("an idle hour: Lambda invocations", calls.pop("lambda:Invoke", 0), "", ticks)
    yield Measurement("an idle hour: every other call of AWS", sum(calls.values()), "", 0)


def of_ticks() -> Iterator[Measurement]:
    """What a busy tick reads and writes, with few tenants and with many."""
    few, many = tick_cost.in_dynamodb(_FEW), tick_cost.in_dynamodb(_MANY)
    counted = tick_cost.in_memory(_FEW)
    subject = "a busy tick on DynamoDB"
    requests, items = sum(few.requests.values()), few.items_read
    yield Measurement(f"{subject}, {_FEW:,} tenants: requests", requests, "")
    yield Measurement(f"{subject}, {_MANY:,} tenants: requests", sum(many.requests.values()), "", requests)
    yield Measurement(f"{subject}, {_FEW:,} tenants: items read", items, "")
    yield Measurement(f"{subject}, {_MANY:,} tenants: items read", many.items_read, "", items)
    kinds = {*few.requests, *many.requests, *counted.requests}
    otherwise = sum(few.requests.get(kind, 0) != counted.requests.get(kind, 0) for kind in kinds)
    yield Measurement("kinds of requests that the simulation counts otherwise", otherwise, "", 0)


def in_real_time(seed: int) -> Iterator[Measurement]:
    """The simulation against the Bedrock emulator: figures of both, and how far they are apart."""
    workload = burst(8, 6, 300, seed)
    simulated = simulate(OURS, workload, seed=seed, durations=DURATIONS)
    observed = observe(workload)
    yield Measurement(f"{workload.name}, on the emulator: real time", observed.real_seconds, "s", 60)
    yield Measurement("uploads lost", observed.lost, "", 0)
    for name, unit, predicted, seen in _compared(simulated, observed):
        yield Measurement(f"{name}, simulated", predicted, unit)
        yield Measurement(f"{name}, on the emulator", seen, unit)
        yield Measurement(f"{name}, difference", abs(seen / predicted - 1) * 100, "%", 10)


def _compared(simulated: Result, observed: Observed) -> Iterator[tuple[str, str, float, float]]:
    yield "makespan", "s", simulated.makespan, observed.makespan
    yield "jobs", "", simulated.jobs, observed.jobs
    yield "lag p50", "s", simulated.lag(0.5), percentile(observed.lags, 0.5)


def _over_bound(result: Result) -> float:
    return (result.makespan / result.bound - 1) * 100
