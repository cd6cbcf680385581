"""`kbfleet why`: how far a document is on its way into answers."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Document, Json, Region, Stack, Tenant
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi
from cli.terminal import DONE, literal, present
from kbfleet.contracts.documents import DocumentTraceBody
from kbfleet.domain.document_trace import ObjectKey, Verdict

app = typer.Typer()


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def why(
    tenant: Tenant,
    key: Document,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Say why a document is not found: where it is stuck on its way into answers. Exit code 1 when it is stuck."""
    api = FleetApi.of_stack(stack, region)
    body = api.why(tenant, ObjectKey(api.meant_key(tenant, key)))
    present(body, _shown_of_trace, as_json=as_json)
    if body.stuck_at is not None:
        raise typer.Exit(FAILED)


def _shown_of_trace(body: DocumentTraceBody) -> Iterator[RenderableType]:
    signs = {Verdict.PASSED: DONE, Verdict.WAITING: "[yellow]…[/]", Verdict.BROKEN: "[red]✗[/]"}
    for hop in body.hops:
        name = hop.hop.lower().replace("_", " ")
        yield f"{signs[hop.verdict]} {name}: {literal(hop.finding)}"
        if hop.advice:
            yield f"  → {literal(hop.advice)}"
