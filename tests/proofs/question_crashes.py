"""Whoever asks golden questions, and whoever has them asked, dies at a call: each run counts once, none is lost for
ever, and people are told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from kbfleet.domain.question_runs import RunCause
from tests.proofs.proof import Row
from tests.support.aws_calls import Call, Moment
from tests.support.question_worlds import (
    A_ROUND,
    QUIET,
    STORE,
    TENANT,
    QuestionWorld,
    question_world,
    told_of_questions,
)
from tests.support.virtual_fleet import VirtualFleet, kill_at
from tests.support.virtual_time import Unfinished
from tests.support.world_copies import CopyDied, in_copy

EVERY = 7
REAL_SECONDS = 300
_KEY = "faq.html"
_AGAIN = 2_000
"""Seconds: a message whose function has died is offered again after 720, and then confirmed once more."""
Crash = tuple[int, Moment]


@dataclass(frozen=True)
class Occasion:
    """
    Args:
        happens: what somebody does; and all that comes of it.
        runs: by their causes, however often somebody dies.
        function: that dies.
        told: whether people hear of it, once.
    """

    name: str
    happens: Callable[[QuestionWorld], None]
    runs: Counter[RunCause]
    function: str
    told: bool


def _a_document_goes(world: QuestionWorld) -> None:
    world.remove(_KEY)
    world.settle()
    world.until(lambda: bool(world.said), QUIET)
    world.fleet.timeline.run_for(_AGAIN)


def _a_round_comes(world: QuestionWorld) -> None:
    world.until(lambda: world.runs()[0]["cause"] == RunCause.ROUND, A_ROUND)
    world.fleet.timeline.run_for(_AGAIN)


OCCASIONS = (
    Occasion(
        "a document is deleted",
        _a_document_goes,
        Counter([RunCause.CHANGE, RunCause.CONFIRMATION]),
        "RunQuestionsFunction",
        told=True,
    ),
    Occasion("a round", _a_round_comes, Counter([RunCause.ROUND]), "RequestQuestionRoundFunction", told=False),
)


def lived_through(occasion: Occasion, world: QuestionWorld, crash: Crash | None, fleet: VirtualFleet) -> list[str]:
    """Returns: what is wrong, in sentences."""
    before = {run["run"] for run in world.runs()}
    if crash is not None:
        fleet.calls.disturbances.append(kill_at(*crash))
    with world.told():
        try:
            occasion.happens(world)
        except Unfinished as error:
            return [f"{error}: people are told {world.said}, of {world.runs()[:3]}"]
        return list(_wrong(occasion, before, world))


def _wrong(occasion: Occasion, before: set[str], world: QuestionWorld) -> Iterator[str]:
    runs = [run for run in world.runs() if run["run"] not in before]
    causes = Counter(RunCause(run["cause"]) for run in runs)
    if causes != occasion.runs:
        yield f"there were these runs: {causes}"
    for run in runs:
        ids = [verdict["id"] for verdict in run["verdicts"]]
        if sorted(ids) != sorted(world.ids.values()) or run["score"]["not_judged"]:
            yield f"a run came to {run}"
    told = told_of_questions(world.said)
    if len(told) != occasion.told or any(each.ids != world.lost() for each in told):
        yield f"people are told {world.said}"


def calls_of(occasion: Occasion, world: QuestionWorld, fleet: VirtualFleet) -> list[Call]:
    """Those of the function, up to its last one that makes a difference."""
    first = len(fleet.calls.made)
    wrong = lived_through(occasion, world, None, fleet)
    assert not wrong, wrong
    made = [call for call in fleet.calls.made[first:] if call.function == occasion.function]
    if occasion.function == "RequestQuestionRoundFunction":
        (asked,) = (place for place, call in enumerate(made) if call.operation == "SendMessage")
        # Laps before and behind it only look whether a round is due.
        return made[asked - 4 : asked + 2]
    return made


def crash_everywhere(occasion: Occasion, world: QuestionWorld, *, nth: int = 1) -> tuple[list[str | None], int]:
    """Dies before and after each `nth` of its calls, each in a world of its own. Returns: what is wrong; how many calls
    there are."""
    calls: Sequence[Call] = in_copy(world.fleet, partial(calls_of, occasion, world), within=REAL_SECONDS)
    points = [(call, moment) for call in calls for moment in Moment][::nth]
    outcomes: list[str | None] = []
    for call, moment in points:
        try:
            lived = partial(lived_through, occasion, world, (call.number, moment))
            wrong = in_copy(world.fleet, lived, within=REAL_SECONDS)
        except CopyDied as error:
            wrong = [str(error)]
        outcomes.append(f"{occasion.name}, {moment} {call}: {'; '.join(wrong)}" if wrong else None)
    return outcomes, len(calls)


def prove(*, whole: bool = False) -> Row:
    row = Row(f"golden questions of {TENANT}: whoever asks them, and has them asked, dies at a call", STORE)
    with question_world() as world:
        for occasion in OCCASIONS:
            outcomes, calls = crash_everywhere(
                occasion, world, nth=1 if whole or occasion.function == "RequestQuestionRoundFunction" else EVERY
            )
            for outcome in outcomes:
                row.add(outcome)
            row.findings.append(f"{occasion.name}: {calls} AWS calls")
    return row
