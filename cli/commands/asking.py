"""`kbfleet ask` and `usage`: questions, and what they used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Json, Region, Stack, Tenant
from cli.fleet_api import FleetApi
from cli.progress import Progress
from cli.terminal import Column, Listing, counted, literal, present
from kbfleet.contracts import parse
from kbfleet.contracts.asking import AskRequest, AskResponse
from kbfleet.contracts.usage import UsageBody, UsageCountsBody
from kbfleet.domain.answer import DEFAULT_PASSAGES
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import MAX_LIFE, Life

app = typer.Typer()


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def ask(
    question: Annotated[str, typer.Argument(help="1 to 1,000 characters.")],
    token: Annotated[
        str, typer.Option(help="The user's bearer token; it says which tenant asks.", envvar="KBFLEET_TOKEN")
    ],
    session: Annotated[
        str | None, typer.Option(help="From an earlier answer to the same user: continues that conversation.")
    ] = None,
    passages: Annotated[
        int, typer.Option(help="How many passages the answer may rest on, 1 to 100.")
    ] = DEFAULT_PASSAGES,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="""JSON in Bedrock's grammar, such as '{"equals": {"key": "department", "value": "sales"}}'.""",
        ),
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Ask a question as a tenant's user. The tenant is the one in the token."""
    given = {"question": question, "session": session, "passages": passages, "filter": _json(filter_, "filter")}
    asked = parse(AskRequest, given)
    asked.to_domain()  # says what is wrong before anything is sent
    api = FleetApi.of_stack(stack, region)
    with Progress("Asking") as progress:
        progress.show("waiting for the answer")
        answer = api.ask(asked, token)
    present(answer, _shown_of_answer, as_json=as_json)


def _json(text: str | None, field: str) -> Any:
    """Raises: InvalidInput."""
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InvalidInput(field, f"is not JSON: {error}.") from None


def _shown_of_answer(answer: AskResponse) -> Iterator[RenderableType]:
    yield literal(answer.answer, keep="\n")
    sources = {source.uri: source for citation in answer.citations for source in citation.sources}
    for number, source in enumerate(sources.values(), start=1):
        page = f", page {source.page}" if source.page is not None else ""
        yield f"  [dim]\\[{number}] {literal(source.document)}{page}[/]"
    if answer.freshness.pending_changes:
        yield "  [yellow]Some changes to the documents are not part of this answer yet.[/]"
    yield f"  [dim]To go on: --session {literal(answer.session)}[/]"


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def usage(
    tenant: Tenant,
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, in UTC.")] = None,
    life: Annotated[
        int | None, typer.Option(min=1, max=MAX_LIFE, help="Of an earlier life of that id; 1 is the first.")
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show what a tenant's questions used, by day. Without --from and --to, of the current month.

    An id that was offboarded and provisioned again begins with nothing; what it used before is under --life.
    """
    first_day, last_day = (day.date() if day else None for day in (first, last))
    body = FleetApi.of_stack(stack, region).usage(tenant, first_day, last_day, life)
    present(body, _shown_of_usage, as_json=as_json)


def _shown_of_usage(body: UsageBody) -> Iterator[RenderableType]:
    if body.days:
        yield _usage_listing(body)
    else:
        yield f"Tenant {_of_life(body)} used nothing from {body.first_day} to {body.last_day}."


def _of_life(body: UsageBody) -> str:
    return str(Life(body.tenant_id, body.life))


_COUNTED = ("Questions", "Passages", "Citations", "Tokens in", "Tokens out", "Nothing found", "Refused")


def _usage_listing(body: UsageBody) -> Listing:
    unknown = body.total.questions_without_tokens
    return Listing(
        [Column("Day"), *(Column(name, numbers=True) for name in _COUNTED)],
        [(str(day.day), *_counts(day)) for day in body.days],
        title=f"{_of_life(body)} · {body.first_day} to {body.last_day}",
        caption=f"For {counted(unknown, 'question')} the service did not name the tokens." if unknown else "",
        footer=("Total", *_counts(body.total)),
    )


def _counts(counts: UsageCountsBody) -> list[str]:
    unknown = 0 < counts.questions <= counts.questions_without_tokens
    return [
        f"{counts.questions:,}",
        f"{counts.passages:,}",
        f"{counts.citations:,}",
        # A question with only one of the two is among those without tokens, and the one it has is shown.
        *("—" if unknown and not tokens else f"{tokens:,}" for tokens in (counts.input_tokens, counts.output_tokens)),
        f"{counts.nothing_found:,}",
        f"{counts.refused_by_guardrail:,}",
    ]
