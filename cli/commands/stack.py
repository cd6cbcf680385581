"""`kbfleet stack`: removing the stack, and deploying it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi, FleetUnreachable
from cli.fleet_stack import FleetStack
from cli.progress import Progress, pause
from cli.stack_import import Kept, StackImport, chosen
from cli.stack_remaining import Remaining, remaining
from cli.terminal import DONE, Column, Listing, counted, literal, present

app = typer.Typer(help="Remove the stack, and deploy it again.", no_args_is_help=True)


@app.command("remaining")
def show_remaining(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Say what would stay if the stack were deleted now, and what it would cost. Reads only. Exit code 1 when anything
    of a tenant would stay, or an execution runs that the deletion would wait for."""
    found = remaining(FleetStack.named(stack, region), FleetApi.of_stack(stack, region))
    present(found, _shown_of_remaining, as_json=as_json)
    if not found.ready:
        raise typer.Exit(FAILED)


def _shown_of_remaining(found: Remaining) -> Iterator[RenderableType]:
    if found.tenants:
        yield _of_tenants(found)
    else:
        yield f"{DONE} No tenant is left."
    for arn in found.executions:
        name = literal(arn.rpartition(":")[2])
        yield f"[red]✗[/] The deletion of the stack would wait until execution {name} has ended."
    yield _of_the_stack(found)
    if found.tenants:
        kept = counted(len(found.tenants), "tenant")
        yield f"What is left of {kept} goes on costing, and only a stack can delete it. docs/deploying.md: Removing it."


def _of_tenants(found: Remaining) -> Listing:
    return Listing(
        [
            Column("Tenant"),
            Column("Status"),
            Column("What stays of it", prose=True),
            Column("Costs a month", prose=True),
            Column("What to do", prose=True),
        ],
        [
            (
                literal(each.tenant_id),
                literal(each.status),
                literal(", ".join(each.resources)),
                literal(each.costs),
                literal(each.advice),
            )
            for each in found.tenants
        ],
        title="Of tenants, which are no part of the stack",
    )


def _of_the_stack(found: Remaining) -> Listing:
    return Listing(
        [Column("Resource"), Column("Type"), Column("Name"), Column("Costs a month", prose=True)],
        [
            (literal(each.logical_id), literal(each.kind), literal(each.name), literal(each.costs))
            for each in found.resources
        ],
        title="Of the stack itself, which are retained",
        caption="`kbfleet stack import` makes a new stack of them; else delete them by hand when nobody needs them.",
    )


@app.command("import")
def import_kept(
    fleet: Annotated[str, typer.Option(help="FleetName that the older stack had.")] = "kbfleet",
    table: Annotated[
        str | None, typer.Option(help="The table to take in, where several are left.", metavar="NAME")
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Make the stack anew of what an older one has left, before you deploy it again. Changes none of it."""
    anew = StackImport.of(stack, fleet, region)
    kept = chosen(anew.kept(table), table)
    if not kept:
        raise FleetUnreachable(
            f"An older stack {stack} of fleet {fleet} has left nothing: `sam deploy` makes a new, empty one."
        )
    with Progress(f"Stack {stack}") as progress:
        anew.take_in(kept, progress.show, pause)

    def shown(found: tuple[Kept, ...]) -> Iterator[RenderableType]:
        yield f"{DONE} Stack {literal(stack)} holds again what was kept:"
        yield Listing(
            [Column("Resource"), Column("Type"), Column("Name"), Column("Contents", prose=True)],
            [
                (literal(each.logical_id), literal(each.kind), literal(each.name), literal(each.details))
                for each in found
            ],
        )
        if not any(each.logical_id == "Table" for each in found):
            yield "[yellow]No table was left: tenants, usage and receipts are not known any more.[/]"
        if any(each.logical_id == "Collection" for each in found):
            yield "Deploy with OfferOpenSearchServerless=true, unless it is the default; else it leaves the stack."
        yield (
            "Next: `sam build`, `sam deploy`, `kbfleet alerts connect`, then `kbfleet tenant add TENANT` for each "
            "tenant in service."
        )

    present(kept, shown, as_json=as_json)
