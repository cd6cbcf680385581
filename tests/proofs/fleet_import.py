"""A thousand tenants are added from a file, and somebody interrupts the command: each is made once, in little more than
the shortest time that there can be. What is run again goes on where it was, and then changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from typer.testing import CliRunner

import cli.main
import cli.progress
from bedrock_emulator import Quotas
from bedrock_emulator.services.ingestion_jobs import SMALL_SYNC
from benchmarks.growth import soonest
from benchmarks.large_fleet import AS_SLOW_AS_USUAL
from cli.fleet_api import FleetApi
from cli.fleet_import import Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from tests.proofs.proof import Row
from tests.support.verified_fleet import Bends, VirtualFleetApi
from tests.support.virtual_fleet import ACCOUNT, AN_HOUR, VirtualFleet, virtual_fleet

TENANTS = 1_000
STORE = "MANAGED"
"""Of which an account has 10,000 knowledge bases; of type VECTOR, a hundred."""
MOST_TIMES_THE_BOUND = 1.15
LOOK_EVERY = 10.0
"""Seconds between two looks of the command, in place of its one: calls of the API are not what is looked at."""
INTERRUPTED_FOR = 60.0
COLUMNS = "tenant,name,tier,profile,knowledge_store"
UNREADABLE = {
    "Not An Id,,,,": "tenant",
    "tenant-0000,Again,,,": "is in line 2, too",
    "other,,GOLD,,": "'GOLD' is none of",
}
"""Lines that the command refuses, each with a word of the reason."""
REFUSED = {"no-profile,,,nobodys,": "nobodys", "no-store,,,,NOWHERE": "NOWHERE"}
"""Lines that the API refuses, each with a word of the reason."""
_INTERRUPTED, _BAD_INPUT, _FAILED = 130, 2, 1
_AT_THE_SAME_MOMENT = 1


@dataclass(frozen=True)
class Run:
    """Of the command: its exit code, its last words, and what it has said of each line."""

    exit_code: int
    said: str
    lines: tuple[dict[str, Any], ...]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(line["outcome"] for line in self.lines)


@dataclass
class World:
    """
    Args:
        seconds: until the last tenant was in service.
        runs: of the command: with lines that cannot be read; interrupted; again; and once more.
        changed: executions and states of records that are new after the last run.
        bases, buckets, jobs: by tenants, how many there are.
        succeeded: by tenants, how many executions have succeeded; `otherwise`, how the others have ended.
        most_at_work: executions at once.
    """

    seconds: float = 0.0
    runs: list[Run] = field(default_factory=list)
    changed: tuple[int, int] = (0, 0)
    bases: Counter[str] = field(default_factory=Counter)
    buckets: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    otherwise: Counter[str] = field(default_factory=Counter)
    most_at_work: int = 0


def bound(tenants: int) -> float:
    """The shortest time in seconds that there can be: by one start of a job in ten seconds, by the jobs that an account
    may have at once (of MANAGED any number), and by the knowledge bases that are made in a second."""
    at_once = KnowledgeBaseKind.MANAGED.concurrent_jobs
    by_jobs = tenants * SMALL_SYNC / at_once if at_once else 0.0
    return max(soonest(tenants), by_jobs, tenants / Quotas().requests_per_second["CreateKnowledgeBase"])


def imported(tenants: int) -> World:
    """As an operator does: with a file that has wrong lines; without those, until somebody interrupts it; again; and
    once more when all is done."""
    world = World()
    good = [COLUMNS, *(f"{_name(number)},Tenant {number},,," for number in range(tenants)), *REFUSED, ""]
    parameters = {"TickSeconds": "5", "KnowledgeStore": STORE}
    with (
        TemporaryDirectory() as folder,
        virtual_fleet(parameters=parameters, safety_net_seconds=AN_HOUR, slowness=AS_SLOW_AS_USUAL) as fleet,
    ):
        # A role for each tenant: that is more than an account has unasked.
        iam_backends[ACCOUNT]["aws"].account_summary._roles_quota = 2 * tenants + 1_000
        file, began = Path(folder) / "tenants.csv", fleet.timeline.now()
        file.write_text("\n".join((*good[:-1], *UNREADABLE, "")), "utf-8")
        world.runs.append(_run(fleet, world, file))
        file.write_text("\n".join(good), "utf-8")
        world.runs.append(_run(fleet, world, file, interrupted_at=tenants // 2))
        fleet.timeline.run_for(INTERRUPTED_FOR)
        world.runs.append(_run(fleet, world, file))
        world.seconds = fleet.timeline.now() - began
        before = _changes(fleet)
        world.runs.append(_run(fleet, world, file))
        fleet.timeline.run_for(AN_HOUR)
        world.changed = _changes(fleet)[0] - before[0], _changes(fleet)[1] - before[1]
        _count(fleet, world)
    return world


def _name(number: int) -> str:
    return f"tenant-{number:04}"


def _changes(fleet: VirtualFleet) -> tuple[int, int]:
    return len(fleet.step_functions.executions), len(fleet.stored)


def _run(fleet: VirtualFleet, world: World, file: Path, *, interrupted_at: int | None = None) -> Run:
    """Args: interrupted_at: by so many provisionings that have succeeded."""
    api = VirtualFleetApi("https://api.example.com", None, fleet=fleet, bends=Bends())  # type: ignore[arg-type]

    def pause() -> None:
        statuses = Counter(run.status for run in fleet.step_functions.executions.values())
        world.most_at_work = max(world.most_at_work, statuses["RUNNING"])
        if interrupted_at is not None and statuses["SUCCEEDED"] >= interrupted_at:
            raise KeyboardInterrupt
        fleet.timeline.run_for(LOOK_EVERY)

    with patch.object(FleetApi, "of_stack", lambda *_: api), patch.object(cli.progress, "pause", pause):
        result = CliRunner().invoke(cli.main.app, ["tenant", "import", str(file), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stderr.strip()[-500:], tuple(json.loads(result.stdout)["tenants"]))


def _count(fleet: VirtualFleet, world: World) -> None:
    account = fleet.emulator._account
    prefix = f"{fleet.names.fleet}-"
    name_of = {each.identifier: each.name.removeprefix(prefix) for each in account.knowledge_bases.values()}
    world.bases = Counter(name_of.values())
    for (base, _), jobs in account.jobs.items():
        world.jobs[name_of.get(base, base)] += len(jobs)
    for bucket in s3_backends[ACCOUNT]["aws"].buckets:
        world.buckets[bucket.removeprefix(prefix).rpartition("-")[0]] += 1
    for run in fleet.step_functions.executions.values():
        if run.status == "SUCCEEDED":
            world.succeeded[run.input["tenant_id"]] += 1
        else:
            world.otherwise[f"{run.status} {run.error}"] += 1


def prove(tenants: int = TENANTS) -> Row:
    row = Row(f"{tenants:,} tenants are added from a file, interrupted and gone on with", STORE)
    world, shortest = imported(tenants), bound(tenants)
    for wrong in _wrong(world, tenants, shortest):
        row.add(wrong)
    row.runs = tenants
    row.findings += list(_found(world, shortest))
    return row


def _wrong(world: World, tenants: int, shortest: float) -> Iterator[str]:
    unreadable, interrupted, again, done = world.runs
    if [run.exit_code for run in world.runs] != [_BAD_INPUT, _INTERRUPTED, _FAILED, _FAILED]:
        yield f"the command ended otherwise: {[(run.exit_code, run.said) for run in world.runs]}"
    yield from _not_refused(unreadable, tuple(UNREADABLE.values()))
    for run in (again, done):
        yield from _not_refused(run, tuple(REFUSED.values()))
    for run in world.runs:
        if twice := [line for line, times in Counter(line["line"] for line in run.lines).items() if times > 1]:
            yield f"lines of which it is said twice what became of them: {twice[:3]}"
    if not 0 < interrupted.outcomes[Outcome.ADDED] < tenants:
        yield f"it was not interrupted in the middle: {interrupted.outcomes}"
    if again.outcomes[Outcome.ADDED] + again.outcomes[Outcome.ALREADY] != tenants:
        yield f"run again, it came to {again.outcomes}"
    if done.outcomes[Outcome.ALREADY] != tenants or any(world.changed):
        yield f"run once more, it came to {done.outcomes}; {world.changed} executions and states are new"
    once = Counter({_name(number): 1 for number in range(tenants)})
    # One whose execution ends between a look at it and the request that follows is converged once more.
    twice = [name for name, number in world.succeeded.items() if number == 2]
    if len(twice) <= _AT_THE_SAME_MOMENT:
        world.succeeded.subtract(twice)
    for what in ("bases", "buckets", "jobs", "succeeded"):
        found: Counter[str] = getattr(world, what)
        if others := {name: found[name] for name in {*found, *once} if found[name] != once[name]}:
            yield f"{what}: of {len(others)} not one: {dict(list(others.items())[:3])}"
    if world.otherwise:
        yield f"executions that have ended otherwise: {world.otherwise}"
    if world.seconds > MOST_TIMES_THE_BOUND * shortest:
        yield f"it took {world.seconds:,.0f} s, and the bound is {shortest:,.0f} s"


def _not_refused(run: Run, reasons: tuple[str, ...]) -> Iterator[str]:
    refused = [line for line in run.lines if line["outcome"] == Outcome.REFUSED]
    if len(refused) != len(reasons) or any(
        word not in line["reason"] for line, word in zip(refused, reasons, strict=False)
    ):
        yield f"not refused as expected: {refused[:5]}"


def _found(world: World, shortest: float) -> Iterator[str]:
    times = world.seconds / shortest
    yield (
        f"done after {world.seconds:,.0f} s; bound {shortest:,.0f} s; {times:.2f} of {MOST_TIMES_THE_BOUND} times that"
    )
    _, interrupted, again, _ = world.runs
    yield f"interrupted after {interrupted.outcomes[Outcome.ADDED]:,}; then {again.outcomes[Outcome.ADDED]:,} added"
    yield f"{world.most_at_work:,} executions at once at most"
