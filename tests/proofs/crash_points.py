"""Crash at every AWS call of a workflow, in every way; then run it again and look at what there is.

A `Scenario` is what to prepare, what to do, and what must be true afterwards: provisioning is one, and any other
workflow can be another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import kbfleet.bootstrap
from tests.proofs.converged import departures
from tests.proofs.proof import Row, Runs, in_processes
from tests.support.aws_calls import Call, Disturbance, Moment
from tests.support.state_machine import Execution
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, kill_at, provisioning_request, virtual_fleet
from tests.support.virtual_step_functions import ExecutionStopped
from tests.support.virtual_time import Signal, StrandDied, Unfinished

LEASE_SECONDS = 18_000
# Ticks every minute, not every five seconds: the same calls in the same order, a fifth of the time.
PARAMETERS = {"TickSeconds": "60"}


class Crash(StrEnum):
    """What ends, at a call."""

    FUNCTION_BEFORE = "the function dies before it"
    FUNCTION_AFTER = "the function dies after its effect"
    EXECUTION_BEFORE = "the whole execution stops before it"
    EXECUTION_AFTER = "the whole execution stops after its effect"
    EXECUTION_SILENTLY = "the whole execution stops after its effect, and nobody is told"
    OUTLIVED = "the execution stops and that is recorded, then its function goes on with it"
    OVERTAKEN = "the execution stops, and its function goes on with it in the midst of the next run"


_OVERTAKEN_BY_SECONDS = 20
"""Less than a function may run: longer than its timeout none can be frozen."""
OF_ANY_FUNCTION = (Crash.FUNCTION_BEFORE, Crash.FUNCTION_AFTER)
_READING = ("Get", "Head", "List", "Query", "Describe")


@dataclass(frozen=True)
class Scenario:
    """A workflow to crash.

    Args:
        source: the expression in this module that gives this scenario, to repeat a failure with.
        prepare: brings the world to where the workflow begins.
        start: starts an execution of it. The same again must bring everything in order.
        check: what is wrong afterwards, in sentences.
        stops_for_good: virtual seconds after which a run that stopped without a word no longer stands in the way.
    """

    name: str
    source: str
    prepare: Callable[[VirtualFleet], None]
    start: Callable[[VirtualFleet], Execution]
    check: Callable[[VirtualFleet], list[str]]
    tenants: tuple[str, ...]
    stops_for_good: float = LEASE_SECONDS


def _nothing(_fleet: VirtualFleet) -> None:
    pass


def _start_provisioning(store: str, fleet: VirtualFleet) -> Execution:
    return fleet.start("provision_tenant", provisioning_request("acme", store))


def _check_provisioning(store: str, fleet: VirtualFleet) -> list[str]:
    return departures(fleet, {"acme": store})


def provisioning(store: str) -> Scenario:
    """A new tenant on that knowledge store."""
    return Scenario(
        "provisioning",
        f"provisioning({store!r})",
        _nothing,
        partial(_start_provisioning, store),
        partial(_check_provisioning, store),
        ("acme",),
    )


def stores() -> list[str]:
    """Every type of knowledge store that there is."""
    return list(kbfleet.bootstrap.KNOWLEDGE_STORES)


def recorded(scenario: Scenario) -> list[Call]:
    """The calls of an undisturbed run. Raises: AssertionError when even that does not end well."""
    with virtual_fleet(parameters=PARAMETERS) as fleet:
        scenario.prepare(fleet)
        first = len(fleet.calls.made)
        execution = fleet.finish(scenario.start(fleet))
        fleet.settle(*scenario.tenants)
        calls = fleet.calls.made[first:]
        wrong = scenario.check(fleet)
        assert execution.status == "SUCCEEDED", f"{scenario.name}: {execution.failures}"
        assert not wrong, f"{scenario.name}: {wrong}"
        return calls


@dataclass(frozen=True)
class Point:
    """One crash: at this call, in this way."""

    call: Call
    crash: Crash

    def __str__(self) -> str:
        return f"at call {self.call}: {self.crash}"


def points(calls: Iterable[Call]) -> list[Point]:
    """Every way to crash at these calls. Calls that are not an execution's own can only lose their function; and to
    wait for a lease to expire, hours of virtual time, is worth it only after a call that has an effect."""
    return [Point(call, crash) for call in calls for crash in _crashes(call)]


def _crashes(call: Call) -> list[Crash]:
    if not call.strand.startswith("arn:"):
        return list(OF_ANY_FUNCTION)
    if call.operation.startswith(_READING):
        return [crash for crash in Crash if crash is not Crash.EXECUTION_SILENTLY]
    return list(Crash)


def survives(scenario: Scenario, point: Point) -> str | None:
    """Crashes there, runs the workflow again, and looks. Returns: what is wrong, with how to repeat it."""
    with virtual_fleet(parameters=PARAMETERS) as fleet:
        try:
            wrong = _crashed_and_run_again(scenario, point, fleet)
        except (Unfinished, StrandDied) as error:
            wrong = [f"{error}" if error.__cause__ is None else f"{error}: {error.__cause__!r}"]
    if not wrong:
        return None
    repeat = f"repeat({scenario.source}, {point.call.number}, Crash.{point.crash.name})"
    return f"{point}: {'; '.join(wrong)}. Repeat by tests.proofs.crash_points: {repeat}"


def repeat(scenario: Scenario, number: int, crash: Crash) -> str | None:
    """One crash again, at the call of that number. Returns: what is wrong."""
    return survives(scenario, Point(recorded(scenario)[number], crash))


def _crashed_and_run_again(scenario: Scenario, point: Point, fleet: VirtualFleet) -> list[str]:
    scenario.prepare(fleet)
    thaw = Signal()
    disturbance = _crash(point, fleet, thaw)
    with fleet.disturbed(disturbance):
        first = scenario.start(fleet)
        fleet.finish(first)
        fleet.timeline.run_for(1)
        met = next((call for call in fleet.calls.made if call.number == point.call.number), None)
        if met is None or met.kind != point.call.kind:
            fleet.settle(*scenario.tenants)
            met = next((call for call in fleet.calls.made if call.number == point.call.number), None)
        if met is None or met.kind != point.call.kind:
            return [f"the run is not the one recorded: there, call {point.call.number} is {met}"]
        if point.crash is Crash.OUTLIVED:
            thaw.set()
            fleet.timeline.run_for(1)
        if point.crash is Crash.EXECUTION_SILENTLY:
            fleet.timeline.run_for(scenario.stops_for_good)
        again = scenario.start(fleet)
        if point.crash is Crash.OVERTAKEN:
            fleet.timeline.run_for(_OVERTAKEN_BY_SECONDS)
            thaw.set()
        fleet.finish(again)
        fleet.settle(*scenario.tenants, within=2 * AN_HOUR)
    if again.status != "SUCCEEDED":
        return [f"the next run ended {again.status}: {again.failures}"]
    return scenario.check(fleet)


def _crash(point: Point, fleet: VirtualFleet, thaw: Signal) -> Disturbance:
    number = point.call.number
    moments: Mapping[Crash, Moment] = {
        Crash.FUNCTION_BEFORE: Moment.BEFORE,
        Crash.FUNCTION_AFTER: Moment.AFTER,
        Crash.EXECUTION_BEFORE: Moment.BEFORE,
        Crash.EXECUTION_AFTER: Moment.AFTER,
        Crash.EXECUTION_SILENTLY: Moment.AFTER,
        Crash.OUTLIVED: Moment.BEFORE,
        Crash.OVERTAKEN: Moment.BEFORE,
    }
    moment = moments[point.crash]
    if point.crash in OF_ANY_FUNCTION:
        return kill_at(number, moment)

    def disturb(call: Call, at: Moment) -> None:
        if call.number != number or at is not moment:
            return
        execution = fleet.step_functions.executions[call.strand]
        fleet.stop(execution, announced=point.crash is not Crash.EXECUTION_SILENTLY)
        if point.crash in {Crash.OUTLIVED, Crash.OVERTAKEN}:
            # Stopping an execution does not stop the function that it has invoked.
            fleet.timeline.wait(thaw)
        else:
            raise ExecutionStopped

    return disturb


def prove(
    scenario: Scenario, store: str, *, ways: Iterable[Crash] = Crash, nth: int = 1, run: Runs = in_processes
) -> Row:
    """Every `nth` crash point of a scenario, in these ways."""
    row = Row(f"crash at every call of {scenario.name}", store)
    chosen = [point for point in points(recorded(scenario)) if point.crash in set(ways)]
    for failure in run(partial(survives, scenario), chosen[::nth]):
        row.add(failure)
    return row
