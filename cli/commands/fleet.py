"""`kbfleet doctor` and `reconcile`: the fleet as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, FLEET_PANEL, Json, Region, Stack
from cli.diagnosis import shown_of_findings
from cli.doctor import CheckResult, Verdict, examine
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack
from cli.progress import Progress
from cli.terminal import counted, literal, present
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.domain.names import TenantId

app = typer.Typer()


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
        bool, typer.Option("--repair", help="Provision tenants that lack something, or are stuck. Deletes nothing.")
    ] = False,
    tenant: Annotated[
        TenantId | None,
        typer.Option(
            parser=TenantId,
            metavar="TENANT",
            help="Look into this tenant first. A large fleet takes several runs.",
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
    unrepaired = [finding for finding in report.findings if finding.tenant_id not in report.repairs]
    if report.unlisted or report.shared_losses or unrepaired:
        raise typer.Exit(FAILED)


def _shown_of_reconciliation(report: ReconciliationDetail) -> Iterator[RenderableType]:
    found = len(report.findings) + len(report.shared_losses)
    unseen = report.unlisted or report.troubles
    agreed = "[yellow]nothing wrong was found, but not everything could be looked at.[/]" if unseen else ""
    verdict = f"[red]{counted(found, 'disagreement')}.[/]" if found else agreed or "[green]they agree.[/]"
    yield f"{counted(report.tenants, 'tenant')} and {counted(report.resources, 'resource')}: {verdict}"
    looked = f"{counted(report.looked_into, 'tenant')} looked into for what is not their own"
    more = f"; [yellow]{report.not_looked_into} not yet: run it again[/]" if report.not_looked_into else ""
    yield f"{looked}{more}."
    for loss in report.shared_losses:
        yield f"[red]✗[/] MISSING {loss.kind} {literal(loss.name)} of all tenants: {loss.harm.sentence}"
        yield f"  → {literal(loss.advice)}"
    yield from shown_of_findings(report.findings)
    yield from (f"  [yellow]Not looked at[/]: {literal(reason)}" for reason in report.unlisted)
    for trouble in report.troubles:
        yield f"  [yellow]{trouble.tenant_id}[/]: {literal(trouble.reason)}"
    yield from (f"  Provisioning of {tenant} is started." for tenant in report.repairs)
