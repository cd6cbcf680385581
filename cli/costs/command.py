"""`kbfleet costs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from cli.arguments import Json
from cli.costs.estimate import STORES, Estimate, Workload, estimate
from cli.costs.prices import GRADES, OURS, Prices
from cli.costs.ranges import Range
from cli.costs.stack_parts import stack_parts
from cli.costs.tables import HEADINGS, PRICE_HEADINGS, described, lines_of, price_rows
from cli.terminal import literal, marked, present
from kbfleet.contracts import parse
from kbfleet.domain.errors import InvalidInput

_DEFAULT = Workload()


def costs(
    tenants: Annotated[int, typer.Option(help="In all.")] = _DEFAULT.tenants,
    documents: Annotated[int, typer.Option(help="Of each tenant.")] = _DEFAULT.documents,
    pages: Annotated[float, typer.Option(help="Of each document.")] = _DEFAULT.pages,
    megabytes: Annotated[float, typer.Option(help="Of each document as it is uploaded.")] = _DEFAULT.megabytes,
    changed: Annotated[float, typer.Option(help="Share of the documents that change in a month.")] = _DEFAULT.changed,
    questions: Annotated[int, typer.Option(help="Of each tenant in a month.")] = _DEFAULT.questions,
    golden_questions: Annotated[
        int, typer.Option(help="Of each tenant: asked by a search in each run.")
    ] = _DEFAULT.golden_questions,
    golden_runs: Annotated[
        int,
        typer.Option(
            help="Of each tenant in a month, because its documents have changed. The daily round is beside them."
        ),
    ] = _DEFAULT.golden_runs,
    region: Annotated[
        str | None, typer.Option(help="Region of the prices: us-east-1, which is the default, or ap-northeast-1.")
    ] = None,
    prices_file: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            help="A file with the prices of another Region, in the form of those in cli/costs/regions.",
            exists=True,
        ),
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="A price of your own, such as ocu_hour=0.334; can be repeated.")
    ] = None,
    list_prices: Annotated[
        bool, typer.Option("--list-prices", help="Show the prices, and how they are known.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Calculate what a fleet costs, for each knowledge store. Nothing is called: no AWS credentials are needed."""
    if region is not None and prices_file is not None:
        raise InvalidInput("region", "cannot be given with --prices: the file names its Region.")
    held = Prices.read(prices_file) if prices_file is not None else Prices.of_region(region or OURS.stem)
    known = held.with_given(price or ())
    workload = parse(
        Workload,
        {
            "tenants": tenants,
            "documents": documents,
            "pages": pages,
            "megabytes": megabytes,
            "changed": changed,
            "questions": questions,
            "golden_questions": golden_questions,
            "golden_runs": golden_runs,
        },
    )
    made = estimate(workload, known, stack_parts())

    def shown(_: object) -> Iterator[RenderableType]:
        if list_prices:
            yield _table(PRICE_HEADINGS, price_rows(known))
            yield from (f"{grade}: {meaning}" for grade, meaning in GRADES.items())
        else:
            yield f"{literal(described(made))}. Region {literal(known.region)}, prices of {known.looked_up}."
            yield _table(HEADINGS, lines_of(made))
            if known.unknown:
                yield (
                    f"Not known for {literal(known.region)}, and taken from nowhere else: {', '.join(known.unknown)}. "
                    "What they are part of has no upper bound. Give them with --price."
                )
            yield "Not included: free tiers, taxes, and data that leaves AWS. docs/costs.md says what is assumed."

    present(_as_data(made, known), shown, as_json=as_json)


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(headings[0], *headings[1:])
    for cells in rows:
        bold = cells[0].startswith("**")
        shown = (f"[bold]{literal(cell.strip('*'))}[/]" if bold else literal(cell) for cell in cells)
        table.add_row(*map(marked, shown))
    return table


def _as_data(made: Estimate, prices: Prices) -> dict[str, object]:
    def bounds(cost: Range) -> dict[str, float | None]:
        return {"low": cost.low, "high": None if cost.high == inf else cost.high}

    return {
        "workload": made.workload.model_dump(),
        "region": prices.region,
        "unknown_prices": list(prices.unknown),
        "prices": {name: each.model_dump(exclude_none=True) for name, each in prices.by_name.items()},
        "fleets": made.fleets,
        "lines": [
            {
                "when": line.when.name,
                "item": line.item,
                "usd": {store: bounds(cost) for store, cost in line.by_store.items()},
            }
            for line in made.lines
        ],
        "monthly": {store: bounds(made.monthly(store)) for store in STORES},
    }
