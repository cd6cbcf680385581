"""A whole fleet is rebuilt by turns, in an account that has few knowledge bases left for it, and somebody interrupts
the command: each tenant is rebuilt once, in little more than the shortest time that there can be, and who is not being
rebuilt waits for syncs hardly longer than without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from unittest.mock import patch

from typer.testing import CliRunner

import cli.main
import cli.progress
import kbfleet.bootstrap
from bedrock_emulator import Quotas
from bedrock_emulator.services.ingestion_jobs import SMALL_SYNC
from bedrock_emulator.services.knowledge_bases import DATA_SOURCE_DELETION, DELETION, VECTOR_CREATION
from benchmarks.ingestion.simulation import percentile
from cli.fleet_api import FleetApi
from cli.fleet_rebuild import AT_ONCE
from kbfleet.contracts.events import JobStateChangeDetail
from kbfleet.contracts.profiles import ProfileBody
from kbfleet.domain.ingestion_job import JobStatus
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.profiles import Answering, Chunking, ChunkingKind, Embedding, Ingestion, Profile, ProfileName
from kbfleet.domain.rebuild import STILL_ANSWERED
from kbfleet.usecases.provisioning import OUTLIVED_BY_AT_MOST
from tests.proofs.proof import Row
from tests.support.deployment_values import Deployment
from tests.support.slowness import PROMPT_BUCKETS
from tests.support.verified_fleet import Bends, VirtualFleetApi
from tests.support.virtual_fleet import ACCOUNT, AN_HOUR, REGION, VirtualFleet, virtual_fleet
from tests.support.world_copies import in_copy

TENANTS, FOR_REBUILDS = 95, 5
MOST_TIMES_THE_BOUND = 1.15
MOST_TIMES_THE_LAG = 1.5
STORE = "S3_VECTORS"
OFFICE = Profile(
    ProfileName("office"),
    1,
    Ingestion(STORE, Embedding("amazon.titan-embed-text-v2:0", 512), chunking=Chunking(ChunkingKind.NONE)),
    Answering("apac.amazon.nova-lite-v1:0"),
)
A_CHANGE_EVERY = 120.0
"""Seconds, in the whole fleet, on average."""
LOOK_EVERY = 10.0
"""Seconds between two looks of the command, in place of its one: calls of the API are not what is looked at."""
INTERRUPTED_FOR = 60.0
REAL_SECONDS = 3_600
_JOBS, _STARTS_EVERY = Quotas().jobs_per_account, 1 / Quotas().requests_per_second["StartIngestionJob"]
_CREATED_PER_SECOND = Quotas().requests_per_second["CreateKnowledgeBase"]
_BUILT = VECTOR_CREATION + SMALL_SYNC
_REMEMBERED = float(Deployment(ACCOUNT, REGION).value({"Ref": "RegistryCacheSeconds"}))
_STILL_THERE = _REMEMBERED + STILL_ANSWERED.total_seconds() + OUTLIVED_BY_AT_MOST.total_seconds()
_TAKEN = _BUILT + _STILL_THERE + DATA_SOURCE_DELETION + DELETION
"""Seconds for which a rebuild takes one of the account's knowledge bases, at least: until what was live is deleted."""


@dataclass(frozen=True)
class Change:
    """A document of a tenant was changed, in seconds since the beginning; `alone` is whether the tenant was not being
    rebuilt then."""

    tenant_id: str
    at: float
    alone: bool


@dataclass
class World:
    """
    Args:
        seconds: until the last tenant was rebuilt.
        said: by the command, each time that it ended; with its exit code.
        promoted, candidates: how often each tenant's knowledge was promoted, and given a number.
        failed: what executions have failed, and why.
        most: knowledge bases that the account had at any look.
        lags: from each change until a sync had brought it in; in order of the changes.
        jobs: how many jobs of live knowledges have begun until then.
    """

    seconds: float = 0.0
    said: list[tuple[int, str]] = field(default_factory=list)
    promoted: Counter[str] = field(default_factory=Counter)
    candidates: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    most: int = 0
    changes: list[Change] = field(default_factory=list)
    lags: list[float | None] = field(default_factory=list)
    jobs: int = 0


@dataclass(frozen=True)
class _Api(VirtualFleetApi):
    def profile(self, name: ProfileName, version: int | None) -> ProfileBody:
        assert (name, version) == (OFFICE.name, None)
        return ProfileBody.from_domain(OFFICE)


def bound(tenants: int, for_rebuilds: int, others_jobs: float = 0.0) -> float:
    """The shortest time in seconds that there can be: by the account's five jobs, less those that people's changes
    take, by one start of a job in ten seconds, by two knowledge bases made in a second, or by those that are left for
    candidates. The last ones need not be deleted.

    Args:
        others_jobs: that are at work on average without a rebuild.
    """
    by_room = max(0, tenants - for_rebuilds) / for_rebuilds * _TAKEN + _BUILT
    # A candidate's, and that of the sync which follows from its promotion.
    jobs = 2 * tenants
    by_jobs = jobs * SMALL_SYNC / (_JOBS - others_jobs)
    return max(by_room, by_jobs, jobs * _STARTS_EVERY, tenants / _CREATED_PER_SECOND)


def provision(fleet: VirtualFleet, tenants: int, for_rebuilds: int) -> None:
    """So many tenants, each with a document that is ingested; somebody else has all knowledge bases but those that are
    left to rebuilds."""
    names = [f"tenant-{number:02}" for number in range(tenants)]
    runs = [fleet.start("provision_tenant", {"tenant_id": name, "knowledge_store": STORE}) for name in names]
    fleet.finish(*runs, within=10 * AN_HOUR)
    assert {run.status for run in runs} == {"SUCCEEDED"}, [run.failures for run in runs if run.status != "SUCCEEDED"]
    fleet.settle(*names)
    fleet.fill_account(left=for_rebuilds)
    records = kbfleet.bootstrap.profile_records()
    records.enlist(OFFICE.name)
    records.add(OFFICE)
    fleet.timeline.run_for(AN_HOUR)  # S3 has told of all, and every bucket was listed


def lived(tenants: int, until: float | None, *, fleet: VirtualFleet) -> World:
    """While people change documents. Args: until: seconds without a rebuild; `None` for as long as one takes."""
    world, began = World(), fleet.timeline.now()
    given, over = len(fleet.events), False

    def people() -> None:
        chance, s3 = Random(2), fleet.client("s3")  # noqa: S311 - repeatable on purpose
        for number in count():
            fleet.timeline.sleep(chance.expovariate(1 / A_CHANGE_EVERY))
            if over:
                return
            tenant = fleet.tenant(f"tenant-{chance.randrange(tenants):02}")
            assert tenant is not None
            text = f"Snow shoes are rented for {number + 12} days."
            world.changes.append(Change(tenant.tenant_id, fleet.timeline.now() - began, tenant.beside is None))
            s3.put_object(Bucket=str(tenant.bucket_name), Key="first.md", Body=text.encode())

    fleet.timeline.spawn("people", people)
    if until is None:
        _rebuild_all(fleet, world, tenants)
        world.seconds = fleet.timeline.now() - began
    else:
        fleet.timeline.run_for(until)
    over, ended = True, fleet.timeline.now()
    fleet.timeline.run_for(AN_HOUR)
    jobs = [
        JobStateChangeDetail.model_validate(event["Detail"])
        for event in fleet.events[given:]
        if event["DetailType"] == "Ingestion Job State Change"
    ]
    whole = [job for job in jobs if job.status is JobStatus.COMPLETE and not job.beside]
    world.jobs = sum(job.started_at is not None and job.started_at.timestamp() < ended for job in whole)
    world.lags = [_lag(change, whole, began) for change in world.changes]
    for event in fleet.events[given:]:
        if event["DetailType"] == "Rebuild Ended":
            world.promoted[event["Detail"]["tenant_id"]] += event["Detail"]["outcome"] == "PROMOTED"
    for number in range(tenants):
        tenant = fleet.tenant(f"tenant-{number:02}")
        assert tenant is not None
        assert until is not None or tenant.profile.name == OFFICE.name, tenant
        world.candidates[tenant.tenant_id] = tenant.last_knowledge
    machine = fleet.machine_arn("rebuild_tenant")
    runs = [run for run in fleet.step_functions.executions.values() if run.machine == machine]
    world.failed = [f"{run.name} is {run.status}: {run.failures}" for run in runs if run.status != "SUCCEEDED"]
    return world


def _rebuild_all(fleet: VirtualFleet, world: World, tenants: int) -> None:
    """As an operator does, who interrupts it after a while, and runs it again."""
    api = _Api("https://api.example.com", None, fleet=fleet, bends=Bends())  # type: ignore[arg-type]
    interrupted = False

    def pause() -> None:
        nonlocal interrupted
        bases = fleet.emulator._account.knowledge_bases.values()
        world.most = max(world.most, len(bases))
        ended = sum(event["DetailType"] == "Rebuild Ended" for event in fleet.events)
        if not interrupted and ended >= tenants // 3:
            interrupted = True
            raise KeyboardInterrupt
        fleet.timeline.run_for(LOOK_EVERY)

    at_the_terminal = (
        patch.object(FleetApi, "of_stack", lambda *_: api),
        patch.object(cli.progress, "pause", pause),
    )
    with at_the_terminal[0], at_the_terminal[1]:
        for _ in range(2):
            result = CliRunner().invoke(cli.main.app, ["tenant", "rebuild", "--all", "--profile", "office"])
            world.said.append((result.exit_code, f"{result.stdout} {result.stderr.splitlines()[-1:]}"))
            if result.exit_code != 0:
                fleet.timeline.run_for(INTERRUPTED_FOR)


def _lag(change: Change, jobs: Sequence[JobStateChangeDetail], began: float) -> float | None:
    """Seconds until the first job has ended that began after it; `None` where there was none."""
    ends = [
        job.occurred_at.timestamp() - began - change.at
        for job in jobs
        if job.tenant_id == change.tenant_id
        and job.started_at is not None
        and job.started_at.timestamp() - began >= change.at
    ]
    return min(ends, default=None)


def prove(tenants: int = TENANTS, for_rebuilds: int = FOR_REBUILDS) -> Row:
    row = Row(f"{tenants} tenants are rebuilt by turns with {for_rebuilds} knowledge bases left for it", STORE)
    parameters = {"KnowledgeBasesForRebuilds": str(for_rebuilds)}
    with virtual_fleet(parameters=parameters, slowness=PROMPT_BUCKETS, late_event_seconds=0.0) as fleet:
        provision(fleet, tenants, for_rebuilds)
        fleet.rest()
        busy = in_copy(fleet, lambda copied: lived(tenants, None, fleet=copied), within=REAL_SECONDS)
        quiet = in_copy(fleet, partial(_quietly, tenants, busy.seconds), within=REAL_SECONDS)
    shortest = bound(tenants, for_rebuilds, quiet.jobs * SMALL_SYNC / busy.seconds)
    for wrong in _wrong(quiet, busy, tenants, shortest):
        row.add(wrong)
    row.runs = tenants + len(busy.changes)
    row.findings += list(_found(quiet, busy, shortest))
    return row


def _quietly(tenants: int, seconds: float, fleet: VirtualFleet) -> World:
    return lived(tenants, seconds, fleet=fleet)


def _compared(quiet: World, busy: World) -> tuple[list[float], list[float]]:
    """Lags of the same changes without a rebuild and with one, of tenants that were not being rebuilt."""
    pairs = zip(quiet.lags, busy.lags, busy.changes, strict=False)
    same = [(before, after) for before, after, change in pairs if change.alone and before and after]
    return [before for before, _ in same], [after for _, after in same]


def _wrong(quiet: World, busy: World, tenants: int, shortest: float) -> Iterator[str]:
    if [code for code, _ in busy.said] != [130, 0]:
        yield f"the command ended otherwise: {busy.said}"
    others = {name: number for name, number in busy.promoted.items() if number != 1}
    if len(busy.promoted) != tenants or others:
        yield f"{len(busy.promoted)} of {tenants} were promoted, and more than once {others}"
    again = {name: number for name, number in busy.candidates.items() if number != 2}
    if again:
        yield f"rebuilt more than once, or never: {again}"
    if busy.failed:
        yield f"executions have failed: {busy.failed[:3]}"
    if busy.most > KnowledgeBaseKind.VECTOR.quota:
        yield f"the account had {busy.most} knowledge bases"
    if busy.seconds > MOST_TIMES_THE_BOUND * shortest:
        yield f"it took {busy.seconds:,.0f} s, and the bound is {shortest:,.0f} s"
    if None in busy.lags or None in quiet.lags:
        yield f"changes were never brought in: {busy.lags.count(None)}, and {quiet.lags.count(None)} without a rebuild"
    before, after = _compared(quiet, busy)
    for quantile in (0.5, 0.95):
        if before and percentile(after, quantile) > MOST_TIMES_THE_LAG * percentile(before, quantile):
            slow, usual = percentile(after, quantile), percentile(before, quantile)
            yield f"{quantile:.0%} of changes waited up to {slow:,.0f} s, and {usual:,.0f} s without a rebuild"
    # In a fleet so small that everybody is rebuilt at once, nobody is left to be looked at.
    if not before and tenants > 2 * AT_ONCE:
        yield "no change was looked at"


def _found(quiet: World, busy: World, shortest: float) -> Iterator[str]:
    times = busy.seconds / shortest
    yield f"done after {busy.seconds:,.0f} s; bound {shortest:,.0f} s; {times:.2f} of {MOST_TIMES_THE_BOUND} times that"
    before, after = _compared(quiet, busy)
    for quantile in (0.5, 0.95):
        if before:
            slow, usual = percentile(after, quantile), percentile(before, quantile)
            yield f"{len(after)} changes of others: p{quantile * 100:.0f} lag {slow:.0f} s, without {usual:.0f} s"
