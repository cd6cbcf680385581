"""`kbfleet verify`: whether AWS is as kbfleet takes it to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, FLEET_PANEL, Json, Region, Stack
from cli.exit_codes import FAILED, INTERRUPTED, stop
from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack
from cli.progress import Progress
from cli.terminal import DONE, Column, Listing, counted, err, literal, marked, present
from cli.verify import run
from cli.verify.facts import FACTS, Verdict
from cli.verify.report import Comparison, Report, compare
from cli.verify.run import Plan
from cli.verify.under_test import FleetUnderTest, Late, Trial
from kbfleet.domain.errors import InvalidInput

app = typer.Typer()

Result = TypeVar("Result")

_SIGNS = {
    Verdict.CONFIRMED: "[green]confirmed[/]",
    Verdict.REFUTED: "[red]refuted[/]",
    Verdict.NOT_OBSERVED: "[yellow]not observed[/]",
}


@app.command(rich_help_panel=FLEET_PANEL)
def verify(
    probe_limits: Annotated[
        bool,
        typer.Option(
            "--probe-limits",
            help="Make six more tenants, and use up the account's limits. Only where nobody is served.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a report that may be published to this file.", dir_okay=False)
    ] = None,
    compare_with: Annotated[
        Path | None,
        typer.Option(
            "--compare", help="Only say how this report differs from what the emulator plays.", metavar="REPORT"
        ),
    ] = None,
    clean: Annotated[bool, typer.Option("--clean-up", help="Only take back what a former run has left.")] = False,
    user_token: Annotated[
        str | None,
        typer.Option(help="A bearer token of a user of tenant verify-one.", envvar="KBFLEET_VERIFY_USER_TOKEN"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    speed: Annotated[
        float, typer.Option(help="How many times as fast as AWS the fleet lives, for stand-ins.", min=0.01, hidden=True)
    ] = 1.0,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Try on a deployed stack, with tenants of its own, what kbfleet takes for true of AWS. It says first what it makes
    and what that costs. Exit code 1 when a fact is refuted, or something could not be taken back."""
    if compare_with is not None:
        _compare(compare_with, as_json=as_json)
        return
    fleet = FleetUnderTest(FleetStack.named(stack, region), FleetApi.of_stack(stack, region), speed)
    if clean:
        found = _tried(fleet, None, run.clean_up)
        present(
            found, lambda found: [f"{DONE} Taken back: {', '.join(found) or 'there was nothing'}."], as_json=as_json
        )
        return
    planned = run.plan(fleet, limits=probe_limits)
    _agree(fleet.stack, planned, yes=yes)

    def run_and_write(trial: Trial) -> Report:
        try:
            return run.verify(trial, planned.tenants, limits=probe_limits)
        finally:
            # However it ends: what was observed was paid for.
            if report is not None:
                report.write_text(run.written(trial, limits=probe_limits).model_dump_json(indent=2) + "\n", "utf-8")

    if report is not None:
        _require_writable(report)
    made = _tried(fleet, user_token, run_and_write)
    present(made, _shown, as_json=as_json)
    if made.count(Verdict.REFUTED):
        raise typer.Exit(FAILED)


def _require_writable(path: Path) -> None:
    """Raises: InvalidInput; after an hour it would be too late."""
    try:
        path.open("a").close()
    except OSError as error:
        raise InvalidInput("report", f"cannot be written: {error.strerror}.") from error


def _agree(stack: FleetStack, planned: Plan, *, yes: bool) -> None:
    """Raises: InvalidInput when somebody does not."""
    tenants = ", ".join(planned.tenants)
    _, _, _, region, account, _ = stack.description["StackId"].split(":", 5)
    for line in (
        f"It runs on stack {stack.name} in {region} of account {account}.",
        f"It makes {counted(len(planned.tenants), 'tenant')} ({tenants}), and a role and a bucket for its probes. It "
        "deletes them; what stays is what an offboarding leaves: receipts, logs, and usage if the stack keeps it.",
        f"It costs {planned.costs}, and takes {planned.seconds / 60:.0f} minutes at most.",
    ):
        err.print(marked(literal(line)), soft_wrap=True)
    if not yes and not typer.confirm("Go on?", err=True):
        raise InvalidInput("yes", "nobody agreed; nothing was done.")


def _tried(fleet: FleetUnderTest, user_token: str | None, act: Callable[[Trial], Result]) -> Result:
    """What it gives; when it was stopped, or something could not be taken back, it says how to go on."""
    with Progress("Verifying") as progress:
        try:
            return act(Trial(fleet, progress.show, user_token))
        except KeyboardInterrupt:
            stop("Stopped. What could be taken back was; `kbfleet verify --clean-up` looks once more.", INTERRUPTED)
        except Late as late:
            stop(f"Something could not be taken back: {late}. `kbfleet verify --clean-up` tries again.")


def _shown(report: Report) -> Iterator[RenderableType]:
    yield Listing(
        [
            Column("Fact"),
            Column("What", prose=True),
            Column("Known", prose=True),
            Column("Expected", prose=True),
            Column("Observed", prose=True),
            Column("Seconds", numbers=True),
            Column("Verdict"),
        ],
        [
            (
                line.fact,
                FACTS[line.fact].says,
                str(FACTS[line.fact].mark),
                str(FACTS[line.fact].expected),
                literal(str(line.observation)),
                f"{line.took:.0f}",
                _SIGNS[line.verdict],
            )
            for line in report.facts
        ],
    )
    counts = ", ".join(f"{report.count(verdict)} {sign}" for verdict, sign in _SIGNS.items())
    yield f"{counts}."


def _compare(path: Path, *, as_json: bool) -> None:
    report = Report.read(path)
    made = compare(report)
    present(made, lambda found: _shown_of_comparison(report, found), as_json=as_json)
    if made.differences:
        raise typer.Exit(FAILED)


def _shown_of_comparison(report: Report, made: Comparison) -> Iterator[RenderableType]:
    place = f"A report of {report.made_on} from {literal(report.region)}"
    yield f"{place}: {made.confirmed} facts are as the emulator has them."
    if report.speed != 1:
        yield f"It is not of AWS, but of a stand-in that lives {report.speed:g} times as fast."
    if made.differences:
        yield Listing(
            [
                Column("Fact"),
                Column("Expected", prose=True),
                Column("Observed", prose=True),
                Column("What changes", prose=True),
            ],
            [
                (each.fact.identity, str(each.fact.expected), literal(str(each.observation)), each.fact.plays)
                for each in made.differences
            ],
            title=f"[red]{counted(len(made.differences), 'fact')} otherwise[/]",
        )
    if made.not_observed:
        yield f"Not observed: {', '.join(made.not_observed)}."
    if made.unknown:
        yield f"Facts of the report that this version does not know: {made.unknown}."
