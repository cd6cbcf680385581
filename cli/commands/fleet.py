"""`kbfleet status`, `doctor` and `reconcile`: the fleet as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, FLEET_PANEL, Json, Region, Stack
from cli.costs.tokens import TokenPrice
from cli.diagnosis import shown_of_findings
from cli.doctor import CheckResult, Verdict, examine
from cli.exit_codes import FAILED, stop_watching
from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack
from cli.fleet_status import shown_of_fleet
from cli.progress import Progress, keep_showing
from cli.terminal import counted, literal, present
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId

app = typer.Typer()


@app.command(rich_help_panel=FLEET_PANEL)
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show the fleet on one screen: who is hurt, worst first, and what to run; jobs at work, who waits and why, quotas,
    golden questions, incidents, cost. Exit code 1 when anything is wrong or unknown."""
    if watch and as_json:
        raise InvalidInput("watch", "is for people, and --json for programs: give one of them.")
    api = FleetApi.of_stack(stack, region)
    price = TokenPrice.of(api)
    if watch:
        try:
            keep_showing(lambda: shown_of_fleet(api.overview(), price))
        except KeyboardInterrupt:
            stop_watching()
    body = api.overview()
    present(body, lambda body: shown_of_fleet(body, price), as_json=as_json)
    if not body.well:
        raise typer.Exit(FAILED)


@app.command(rich_help_panel=FLEET_PANEL)
def doctor(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Check the fleet place by place, with your own AWS credentials. It changes nothing. Exit code 1 when anything is
    wrong or unknown."""
    findings: list[CheckResult] = []

    def found() -> Iterator[CheckResult]:
        for finding in examine(FleetStack.named(stack, region)):
            findings.append(finding)
            yield finding

    def shown(found: Iterable[CheckResult]) -> Iterator[RenderableType]:
        for finding in found:  # each is shown as soon as it is known
            yield from _shown_of_finding(finding)
        yield _summary(findings)

    present(list(found()) if as_json else found(), shown, as_json=as_json)
    if _count_wrong(findings):
        raise typer.Exit(FAILED)


def _summary(findings: list[CheckResult]) -> str:
    if wrong := _count_wrong(findings):
        return f"[red]{'1 thing needs' if wrong == 1 else f'{wrong} things need'} attention.[/]"
    if notes := sum(finding.verdict is Verdict.NOTE for finding in findings):
        return f"[yellow]Nothing is broken; {counted(notes, 'note')}.[/]"
    return "[green]The fleet is well.[/]"


def _count_wrong(findings: list[CheckResult]) -> int:
    return sum(finding.counts for finding in findings)


def _shown_of_finding(finding: CheckResult) -> Iterator[RenderableType]:
    signs = {"WELL": "[green]✓[/]", "NOTE": "[yellow]![/]", "WRONG": "[red]✗[/]", "UNKNOWN": "[red]?[/]"}
    yield f"{signs[finding.verdict]} {finding.check}: {literal(finding.finding)}"
    if finding.advice:
        yield f"  → {literal(finding.advice)}"


@app.command(rich_help_panel=FLEET_PANEL)
def reconcile(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Provision tenants that lack something, or are stuck, some at a time. Deletes nothing.",
        ),
    ] = False,
    tenant: Annotated[
        TenantId | None,
        typer.Option(
            parser=TenantId,
            metavar="TENANT",
            help="Look into this tenant now. Of a large fleet, others are shown as the daily round has found them.",
        ),
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Compare the tenants' records with the resources that exist, and look for what is not a tenant's own. Exit code 1
    when something is found and not repaired."""
    with Progress("Comparing records with resources") as progress:
        progress.show("looking")
        report = FleetApi.of_stack(stack, region).reconcile(repair=repair, first=tenant)
    present(report, _shown_of_reconciliation, as_json=as_json)
    found = (*report.findings, *report.recorded)
    unrepaired = any(finding.tenant_id not in report.repairs for finding in found)
    left_out = report.findings_left_out or report.recorded_left_out or report.repairs_left
    if report.unlisted or report.shared_losses or unrepaired or left_out:
        raise typer.Exit(FAILED)


def _shown_of_reconciliation(report: ReconciliationDetail) -> Iterator[RenderableType]:
    found = len(report.findings) + report.findings_left_out + len(report.shared_losses)
    found += len(report.recorded) + report.recorded_left_out
    unseen = report.unlisted or report.troubles or (report.not_looked_into and report.round_ended_at is None)
    agreed = "[yellow]nothing wrong was found, but not everything could be looked at.[/]" if unseen else ""
    verdict = f"[red]{counted(found, 'disagreement')}.[/]" if found else agreed or "[green]they agree.[/]"
    yield f"{counted(report.tenants, 'tenant')} and {counted(report.resources, 'resource')}: {verdict}"
    looked = f"{counted(report.looked_into, 'tenant')} looked into for what is not their own"
    yield f"{looked}; {_others_looked_into(report)}." if report.not_looked_into else f"{looked}."
    for loss in report.shared_losses:
        yield f"[red]✗[/] MISSING {loss.kind} {literal(loss.name)} of all tenants: {loss.harm.sentence}"
        yield f"  → {literal(loss.advice)}"
    yield from shown_of_findings(report.findings)
    yield from _left_out(report.findings_left_out, "disagreement")
    if report.recorded:
        yield "Found within tenants when they were last looked into:"
    yield from shown_of_findings(report.recorded)
    yield from _left_out(report.recorded_left_out, "disagreement")
    yield from (f"  [yellow]Not looked at[/]: {literal(reason)}" for reason in report.unlisted)
    for trouble in report.troubles:
        yield f"  [yellow]{trouble.tenant_id}[/]: {literal(trouble.reason)}"
    yield from _left_out(report.troubles_left_out, "tenant")
    yield from (f"  The repair of {tenant} is started." for tenant in report.repairs)
    yield from _left_out(report.repairs_left_out, "tenant")
    if report.repairs_left:
        waiting = f"{counted(report.repairs_left, 'tenant')} {'waits' if report.repairs_left == 1 else 'wait'}"
        yield f"  [yellow]{waiting} to be repaired[/]: when those are done, {_GO_ON}"


_GO_ON = "run `kbfleet reconcile --repair` again."


def _others_looked_into(report: ReconciliationDetail) -> str:
    """When the tenants were that were not this time."""
    others = counted(report.not_looked_into, "other")
    if report.round_began_at is None or report.round_ended_at is None:
        return f"[yellow]{others} not yet, since no daily round has come to its end[/]"
    began, ended = (f"{at:%Y-%m-%d %H:%M} UTC" for at in (report.round_began_at, report.round_ended_at))
    missed = (
        f"; [yellow]{counted(report.round_missed, 'tenant')} it could not look into[/]" if report.round_missed else ""
    )
    return f"{others} by the daily round from {began} to {ended}{missed}"


def _left_out(number: int, what: str) -> Iterator[RenderableType]:
    if number:
        yield f"  [yellow]… and {counted(number, what)} more.[/]"
