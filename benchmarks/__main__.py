"""``python -m benchmarks``: every benchmark, or the ones named. Exits 1 when a target is missed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import emulator as emulator_benchmark
from benchmarks import fleet as fleet_benchmark
from benchmarks import growth as growth_benchmark
from benchmarks import listing as listing_benchmark
from benchmarks import uploads as uploads_benchmark
from benchmarks import watching as watching_benchmark
from benchmarks.asking import load as load_benchmark
from benchmarks.asking import speed
from benchmarks.ingestion import tables, targets
from benchmarks.ingestion.simulation import POLICIES, Result, simulate
from benchmarks.ingestion.starvation import Beside, beside_a_noisy_tenant
from benchmarks.ingestion.workloads import workloads
from benchmarks.manuals import measure as manuals_benchmark
from benchmarks.manuals.library import NotHereError
from benchmarks.profiles import measure as profiles_benchmark
from benchmarks.report import Measurement, show

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Benchmarks, as tables with targets.")
# A pipe has no width of its own, and 80 columns are too few for the tables.
console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 130)


_SEED = 1
_ODDITIES_SHOWN = 5


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Run all benchmarks when none is named."""
    if context.invoked_subcommand is None:
        passed = [_emulator(), _ingestion(seed=_SEED), _real_time(seed=_SEED), _ask(), _watching(), _growth()]
        _exit(all(passed))


@app.command()
def emulator() -> None:
    """The Bedrock emulator: start, ingestion, retrieval, memory."""
    _exit(_emulator())


@app.command()
def manuals(
    against: Annotated[
        Path | None, typer.Option(help="The folder of another checkout's emulator, to be measured before.")
    ] = None,
) -> None:
    """How well the emulator finds what stands in long manuals, taken out of Debian packages."""
    try:
        with console.status("Asking about manuals …"):
            if against is not None:
                show(f"Manuals, by {against}", manuals_benchmark.measure(against), console)
            passed = show("Manuals", manuals_benchmark.measure(), console)
    except NotHereError as reason:
        console.print(f"Skipped: {reason}")
        return
    _exit(passed)


@app.command()
def profiles(
    collection: Annotated[
        Literal["company-files", "scans", "price-lists", "manuals"] | None,
        typer.Option(help="By default, all of them."),
    ] = None,
) -> None:
    """What each shipped profile finds in files, scans, price lists and long manuals, in Japanese and English."""
    rows: list[profiles_benchmark.Row] = []
    table = Table(*profiles_benchmark.HEADINGS, title="Profiles", title_justify="left")
    with console.status("") as status:
        for found in profiles_benchmark.measure(collection):
            if isinstance(found, profiles_benchmark.Skipped):
                console.print(f"Skipped: {found.collection}, {found.profile}: {found.reason}")
                continue
            status.update(f"Measured: {found.collection}, {found.profile}")
            rows.append(found)
            table.add_row(*profiles_benchmark.cells(found))
    console.print(table)
    others = profiles_benchmark.apart(rows)
    console.print(f"{len(others)} rows differ from default by five points or more.")


@app.command()
def watching() -> None:
    """Calls of AWS by which kbfleet knows that nothing is lost, while nothing changes."""
    _exit(_watching())


@app.command()
def growth(
    crowd: Annotated[
        int,
        typer.Option(help="New tenants at once, at most, of 100, 1,000 and 10,000; a thousand take twenty minutes."),
    ] = growth_benchmark.SIZES[0],
) -> None:
    """What grows with a fleet: calls, items, bytes and seconds at 100, 1,000 and 10,000, in virtual time."""
    _exit(_growth(crowd))


@app.command()
def ingestion(
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Compare the simulation with the Bedrock emulator instead.")
    ] = False,
    seed: Annotated[int, typer.Option(help="What uploads and durations are drawn from.")] = _SEED,
) -> None:
    """Ingestion under several policies in virtual time: uploads lost, lag, makespan, calls."""
    _exit(_real_time(seed) if real_time else _ingestion(seed))


@app.command()
def ask(
    questions: Annotated[int, typer.Option(help="Questions to each of the two warm handlers.")] = speed.Scale.questions,
    starts: Annotated[int, typer.Option(help="Cold starts of each of the two.")] = speed.Scale.starts,
) -> None:
    """The ask function beside the plainest handler that does the job: warm overhead, cold start, layers, imports."""
    _exit(_ask(speed.Scale(questions, starts)))


@app.command()
def load(
    seconds: Annotated[float, typer.Option(help="How long each crowd asks.")] = load_benchmark.Scale.seconds,
    tenants: Annotated[int, typer.Option(min=2, help="Tenants that are asked for.")] = load_benchmark.Scale.tenants,
    askers: Annotated[int, typer.Option(help="Askers at once, of all tenants.")] = load_benchmark.Scale.askers,
    concurrency: Annotated[
        int, typer.Option(help="Most environments of one function at a time.")
    ] = load_benchmark.Scale.concurrency,
    rate: Annotated[float, typer.Option(help="Questions a second, when limited.")] = load_benchmark.Scale.rate,
) -> None:
    """Many askers at once on the local AWS: answer times, refusals, and each tenant's share when Bedrock is limited."""
    scale = load_benchmark.Scale(seconds, tenants, askers, concurrency, rate)
    with console.status("") as status:
        crowds = load_benchmark.measure(scale, status.update)
    console.print(load_benchmark.table(crowds))
    for crowd in crowds:
        for oddity, times in crowd.oddities.most_common(_ODDITIES_SHOWN):
            console.print(f"{crowd.name}: {times} × {oddity}")
    _exit(show("Asking under load", load_benchmark.measurements(crowds), console))


@app.command()
def uploads(
    files: Annotated[int, typer.Option(help="Of the tree.")] = uploads_benchmark.Scale.files,
) -> None:
    """`kbfleet upload` on a local AWS: a tree of files one by one, at once, and again."""
    with console.status("") as status:
        measured = uploads_benchmark.measure(uploads_benchmark.Scale(files), status.update)
    _exit(show("Uploads", measured, console))


@app.command()
def fleet(
    tenants: Annotated[int, typer.Option(help="How many there are.")] = fleet_benchmark.Scale.tenants,
) -> None:
    """`kbfleet status` on the table of a local AWS: reads and seconds for a fleet that is well, busy, and broken."""
    with console.status("") as status:
        measured = list(fleet_benchmark.measure(fleet_benchmark.Scale(tenants), status.update))
    _exit(show("The fleet on one screen", measured, console))


@app.command()
def listing(
    number: Annotated[int, typer.Option(help="Of the tenant.")] = listing_benchmark.Scale.documents,
) -> None:
    """`kbfleet documents` on a local AWS: a long list, page by page."""
    with console.status("") as status:
        measured = listing_benchmark.measure(listing_benchmark.Scale(number), status.update)
    _exit(show("Listing documents", measured, console))


def _watching() -> bool:
    shown = [
        show(f"Watching a fleet on {store}", watching_benchmark.measured(store), console)
        for store in watching_benchmark.STORES
    ]
    return all(shown)


def _growth(crowd: int = growth_benchmark.SIZES[0]) -> bool:
    measured: list[Measurement] = []
    with console.status("Growing …") as status:
        for measurement in growth_benchmark.measured(crowd):
            status.update(f"Growing: {measurement.name} …")
            measured.append(measurement)
    return show("Growth", measured, console)


def _emulator() -> bool:
    measured: list[Measurement] = []
    with console.status("Measuring the Bedrock emulator …"):
        for measurement in emulator_benchmark.measure(emulator_benchmark.Scale()):
            measured.append(measurement)
    return show("Bedrock emulator", measured, console)


def _ingestion(seed: int) -> bool:
    results: dict[str, dict[str, Result]] = {}
    cases: dict[str, Beside] = {}
    with console.status("Simulating …") as status:
        for workload in workloads(seed):
            for policy in POLICIES:
                status.update(f"Simulating {workload.name}: {policy} …")
                results.setdefault(workload.name, {})[policy] = simulate(policy, workload, seed=seed)
        for policy in POLICIES:
            status.update(f"Simulating a noisy tenant: {policy} …")
            cases[policy] = beside_a_noisy_tenant(policy, seed)
        for table in (tables.outcomes(results), tables.costs(results), tables.starvation(cases)):
            console.print(table)
        status.update("Counting what a tick asks of DynamoDB …")
        measured = itertools.chain(
            targets.of_all_workloads(results),
            targets.of_onboarding(results, seed),
            targets.of_starvation(cases),
            targets.of_idleness(),
            targets.of_ticks(),
        )
        return show(f"Ingestion by kbfleet, seed {seed}", measured, console)


def _real_time(seed: int) -> bool:
    with console.status("Running the scheduler against the Bedrock emulator …"):
        return show(f"Simulation and emulator, seed {seed}", targets.in_real_time(seed), console)


def _ask(scale: speed.Scale | None = None) -> bool:
    with console.status("Asking …"):
        return show("Asking", speed.measure(scale or speed.Scale()), console)


def _exit(passed: bool) -> None:
    if not passed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
