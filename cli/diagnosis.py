"""How a diagnosis is shown: the same words wherever a command tells what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType

from cli.terminal import DONE, literal
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.events import FindingBody
from kbfleet.domain.harm import Harm


def shown_of_diagnosis(body: DiagnosisBody) -> Iterator[RenderableType]:
    """All of it, the worst first."""
    if body.well:
        yield f"{DONE} All that answers rest on is there."
    elif not body.findings:
        yield "[yellow]Nothing wrong was found, but not everything could be looked at:[/]"
    yield from shown_of_findings(body.findings)
    yield from (f"  [yellow]?[/] {literal(unseen)}" for unseen in body.unseen)


def shown_of_findings(findings: Iterable[FindingBody]) -> Iterator[RenderableType]:
    for finding in findings:
        yield f"[red]✗[/] {finding.disagreement} {finding.kind} {literal(finding.name)}: {Harm(finding.harm).sentence}"
        yield f"  → {literal(finding.advice)}"
