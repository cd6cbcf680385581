"""`kbfleet costs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from cli.arguments import DEFAULT_STACK, Json
from cli.costs.by_profile import Chosen, chosen
from cli.costs.estimate import STORES, Estimate, Manner, Workload, estimate
from cli.costs.prices import GRADES, OURS, Prices
from cli.costs.ranges import Range
from cli.costs.stack_parts import stack_parts
from cli.costs.tables import PRICE_HEADINGS, described, headings, lines_of, price_rows
from cli.fleet_api import FleetApi
from cli.profile_file import read_profile
from cli.terminal import literal, marked, present
from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileRequest
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.profiles import ProfileName

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
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE|FILE.json",
            help="A profile by its name, in its newest version, or a file that holds one. By default, Titan embeds, "
            "Nova Lite answers, and Bedrock parses and divides as it does by itself.",
        ),
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
    stack: Annotated[
        str, typer.Option(help="CloudFormation stack that a profile's name is of.", envvar="KBFLEET_STACK")
    ] = DEFAULT_STACK,
) -> None:
    """Calculate what a fleet costs, for each knowledge store. Nothing is called, and no AWS credentials are needed,
    unless a profile is named that the stack has."""
    if region is not None and prices_file is not None:
        raise InvalidInput("region", "cannot be given with --prices: the file names its Region.")
    api = _api(profile, stack, region)
    held = Prices.read(prices_file) if prices_file is not None else Prices.of_region(_region(region, api))
    asked = None if profile is None else _chosen(profile, api, held)
    known = (held if asked is None else held.of_profile(asked.profile)).with_given(price or ())
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
    manner, stores = (None, STORES) if asked is None else (Manner.of(asked.profile), asked.stores)
    made = estimate(workload, known, stack_parts(), manner, stores)
    by = "" if asked is None else f", by profile {asked.profile.name}"

    def shown(_: object) -> Iterator[RenderableType]:
        if list_prices:
            yield _table(PRICE_HEADINGS, price_rows(known))
            yield from (f"{grade}: {meaning}" for grade, meaning in GRADES.items())
        else:
            yield f"{literal(described(made))}{by}. Region {literal(known.region)}, prices of {known.looked_up}."
            yield _table(headings(made), lines_of(made))
            if manner is not None and manner.parser is not None:
                yield "Parsing is calculated as if every document were a PDF file: the model reads no others."
            if known.unknown:
                yield (
                    f"Not known for {literal(known.region)}, and taken from nowhere else: {', '.join(known.unknown)}. "
                    "What they are part of has no upper bound. Give them with --price."
                )
            yield "Not included: free tiers, taxes, and data that leaves AWS. docs/costs.md says what is assumed."

    present(_as_data(made, known, asked), shown, as_json=as_json)


def _api(profile: str | None, stack: str, region: str | None) -> FleetApi | None:
    """Of the fleet that has the profile of that name; `None` for a file, and without a profile."""
    return None if profile is None or _is_file(profile) else FleetApi.of_stack(stack, region)


def _is_file(profile: str) -> bool:
    # No name of a profile has a dot.
    return profile.endswith(".json")


def _region(given: str | None, api: FleetApi | None) -> str:
    """Whose prices are taken: those of the stack's Region, where a stack is asked."""
    return given or (api.region if api is not None else "") or OURS.stem


def _chosen(profile: str, api: FleetApi | None, prices: Prices) -> Chosen:
    if api is None:
        file = read_profile(Path(profile))
        return chosen(file.name, file.request, prices)
    body = api.profile(ProfileName(profile), None)
    return chosen(body.name, ProfileRequest(ingestion=body.ingestion, answering=body.answering), prices, body.version)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(columns[0], *columns[1:])
    for cells in rows:
        bold = cells[0].startswith("**")
        shown = (f"[bold]{literal(cell.strip('*'))}[/]" if bold else literal(cell) for cell in cells)
        table.add_row(*map(marked, shown))
    return table


def _as_data(made: Estimate, prices: Prices, asked: Chosen | None) -> dict[str, object]:
    def bounds(cost: Range) -> dict[str, float | None]:
        return {"low": cost.low, "high": None if cost.high == inf else cost.high}

    return {
        "workload": made.workload.model_dump(),
        "profile": None if asked is None else {"name": asked.profile.name, "version": asked.profile.version},
        "region": prices.region,
        "unknown_prices": list(prices.unknown),
        "prices": {name: each.model_dump(exclude_none=True) for name, each in prices.by_name.items()},
        "fleets": {store: made.fleets[store] for store in made.stores},
        "lines": [
            {
                "when": line.when.name,
                "item": line.item,
                "usd": {store: bounds(line.by_store[store]) for store in made.stores},
            }
            for line in made.lines
        ],
        "monthly": {store: bounds(made.monthly(store)) for store in made.stores},
    }
