"""Crash at every AWS call of a workflow, in every way; then run it again and look at what there is.

What is crashed is a `tests.proofs.scenarios.Scenario`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from unittest.mock import patch

from bedrock_emulator.reading import parsers
from tests.proofs.late_events import LATE_SECONDS
from tests.proofs.proof import Row, Runs, in_processes
from tests.proofs.scenarios import Scenario
from tests.support.aws_calls import Call, Disturbance, Moment
from tests.support.state_machine import Execution
from tests.support.virtual_fleet import AN_HOUR, RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, kill_at, virtual_fleet
from tests.support.virtual_step_functions import ExecutionStopped
from tests.support.virtual_time import Signal, StrandDied, Unfinished
from tests.support.world_copies import CopyDied, in_copy


class Crash(StrEnum):
    """What ends, at a call."""

    FUNCTION_BEFORE = "the function dies before it"
    FUNCTION_AFTER = "the function dies after its effect"
    EXECUTION_BEFORE = "the whole execution stops before it"
    EXECUTION_AFTER = "the whole execution stops after its effect"
    EXECUTION_SILENTLY = "the whole execution stops after its effect, and nobody is notified"
    OUTLIVED = "the execution stops and that is recorded, then its function goes on with it"
    OVERTAKEN = "the execution stops, and its function goes on with it in the midst of the next run"


_OVERTAKEN_BY_SECONDS = 20
"""Less than a function may run: longer than its timeout none can be frozen."""
OF_ANY_FUNCTION = (Crash.FUNCTION_BEFORE, Crash.FUNCTION_AFTER)
REAL_SECONDS = 120
"""For one crash; it takes less than one."""
_POINTS_A_WORLD = 20
"""A share that is large enough to pay for its world, and small enough to keep every core busy to the end."""
_READING = ("Get", "Head", "List", "Query", "Describe")
_LATE_ROLE_SECONDS = 10.0
"""IAM agrees with itself within seconds, users report."""


@contextmanager
def _world(scenario: Scenario) -> Iterator[VirtualFleet]:
    with (
        # The documents here are text: what reads the pages of scans is not needed.
        patch.object(parsers, "can_see", return_value=True),
        virtual_fleet(
            parameters=RARE_TICKS,
            safety_net_seconds=RARE_SCHEDULE_SECONDS,
            late_role_seconds=_LATE_ROLE_SECONDS,
            slowness=scenario.slowness,
            first_documents=scenario.first_documents,
            late_event_seconds=LATE_SECONDS,
        ) as fleet,
    ):
        yield fleet


@cache
def recorded(scenario: Scenario) -> Sequence[Call]:
    """The calls of an undisturbed run that are to be crashed at; they are the same in every run.

    Raises: AssertionError when even that does not end well.
    """
    with _prepared(scenario) as fleet:
        return tuple(in_copy(fleet, partial(_recorded, scenario), within=REAL_SECONDS))


@contextmanager
def _prepared(scenario: Scenario) -> Iterator[VirtualFleet]:
    """A world at rest where the workflow can begin, to be copied for each crash."""
    _load(scenario)
    with _world(scenario) as fleet:
        scenario.prepare(fleet)
        fleet.rest()
        yield fleet


@cache
def _load(scenario: Scenario) -> None:
    """Handlers and botocore's models are loaded when they are first used: once in the original, not in every copy."""
    with _world(scenario) as fleet:
        scenario.prepare(fleet)
        fleet.finish(scenario.start(fleet))
        scenario.check(fleet)


def _as_it_should(execution: Execution, scenario: Scenario) -> bool:
    """Whether it ended so."""
    return execution.status == "SUCCEEDED" or execution.failures[-1:] in [[each] for each in scenario.refusals]


def _recorded(scenario: Scenario, fleet: VirtualFleet) -> list[Call]:
    first = len(fleet.calls.made)
    execution = fleet.finish(scenario.start(fleet))
    fleet.settle(*scenario.tenants)
    crashed = scenario.crashed
    calls = [call for call in fleet.calls.made[first:] if not crashed or call.function in crashed]
    wrong = scenario.check(fleet)
    assert _as_it_should(execution, scenario), f"{scenario.name}: {execution.failures}"
    assert not wrong, f"{scenario.name}: {wrong}"
    return calls


@dataclass(frozen=True)
class Point:
    """One crash: at this call, in this way."""

    call: Call
    crash: Crash

    def __str__(self) -> str:
        return f"at call {self.call}: {self.crash}"


def points(calls: Sequence[Call]) -> list[Point]:
    """Every way to crash at these calls that leaves AWS, or a function, in a state of its own."""
    before: list[Call | None] = [None, *calls[:-1]]
    return [
        Point(call, crash) for previous, call in zip(before, calls, strict=True) for crash in _crashes(previous, call)
    ]


def _crashes(previous: Call | None, call: Call) -> Iterator[Crash]:
    yield from OF_ANY_FUNCTION
    if not call.strand.startswith("arn:"):
        return  # a tick is no execution's own
    # Of an execution that stops for good only AWS is left, and that is the same after a call that reads as before it:
    # crashes of it come before the first call of each function, and after the calls that have an effect. A function
    # that goes on knows what it has read so far, and is stopped everywhere.
    if previous is None or (previous.strand, previous.function) != (call.strand, call.function):
        yield Crash.EXECUTION_BEFORE
    if not call.operation.startswith(_READING):
        yield Crash.EXECUTION_AFTER
        yield Crash.EXECUTION_SILENTLY
    yield Crash.OUTLIVED
    yield Crash.OVERTAKEN


def survive(scenario: Scenario, chosen: Sequence[Point]) -> list[str | None]:
    """Crashes at each of these points in a world of its own. Returns: what is wrong, with how to repeat it."""
    with _prepared(scenario) as fleet:
        return [_survives(scenario, point, fleet) for point in chosen]


def _survives(scenario: Scenario, point: Point, fleet: VirtualFleet) -> str | None:
    """Crashes there, runs the workflow again, and looks."""
    try:
        wrong = in_copy(fleet, partial(_crashed_and_run_again, scenario, point), within=REAL_SECONDS)
    except CopyDied as error:
        wrong = [str(error)]
    if not wrong:
        return None
    repeat = f"repeat({scenario.source}, {point.call.number}, Crash.{point.crash.name})"
    return f"{point}: {'; '.join(wrong)}. Repeat by tests.proofs.crash_points: {repeat}"


def repeat(scenario: Scenario, number: int, crash: Crash) -> str | None:
    """One crash again, at the call of that number. Returns: what is wrong."""
    call = next(call for call in recorded(scenario) if call.number == number)
    return survive(scenario, [Point(call, crash)])[0]


def _crashed_and_run_again(scenario: Scenario, point: Point, fleet: VirtualFleet) -> list[str]:
    try:
        return _crashed(scenario, point, fleet)
    except (Unfinished, StrandDied) as error:
        return [f"{error}" if error.__cause__ is None else f"{error}: {error.__cause__!r}"]


def _crashed(scenario: Scenario, point: Point, fleet: VirtualFleet) -> list[str]:
    thaw = Signal()
    with fleet.disturbed(_crash(point, fleet, thaw)):
        fleet.finish(scenario.start(fleet))
        fleet.timeline.run_for(1)
        if not _met(point, fleet):
            fleet.settle(*scenario.tenants)
        if not _met(point, fleet):
            return [f"the run is not the one recorded: there is no call {point.call}"]
        if point.crash is Crash.OUTLIVED:
            thaw.set()
            fleet.timeline.run_for(1)
        wrong = scenario.check_meanwhile(fleet)
        again = scenario.start(fleet)
        if point.crash is Crash.OVERTAKEN:
            fleet.timeline.run_for(_OVERTAKEN_BY_SECONDS)
            thaw.set()
        fleet.finish(again)
        fleet.settle(*scenario.tenants, within=2 * AN_HOUR)
    if not _as_it_should(again, scenario):
        wrong.append(f"the next run ended {again.status}: {again.failures}")
    return wrong + scenario.check(fleet)


def _met(point: Point, fleet: VirtualFleet) -> bool:
    number = point.call.number
    return number < len(fleet.calls.made) and fleet.calls.made[number].kind == point.call.kind


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
    calls = recorded(scenario)
    every = [point for point in points(calls) if point.crash in set(ways)]
    chosen = every[::nth]
    worlds = [chosen[first : first + _POINTS_A_WORLD] for first in range(0, len(chosen), _POINTS_A_WORLD)]
    for failures in run(partial(survive, scenario), worlds):
        for failure in failures:
            row.add(failure)
    row.findings.append(f"{len(calls)} AWS calls, {len(every)} points to crash at")
    return row
