"""`kbfleet ask` and `usage`: questions, and what they used and cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Json, Region, Stack
from cli.completion import tenant_ids
from cli.costs.tokens import TokenPrice
from cli.fleet_api import FleetApi
from cli.progress import Progress
from cli.spreadsheet import table
from cli.terminal import Column, Listing, counted, literal, present
from kbfleet.contracts import parse
from kbfleet.contracts.asking import AskRequest, AskResponse
from kbfleet.contracts.tenants import ListedTenantBody
from kbfleet.contracts.usage import UsageBody, UsageCountsBody
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import MAX_LIFE, Life, TenantId
from kbfleet.domain.tenant_status import TenantStatus

app = typer.Typer()


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="1 to 1,000 characters.")],
    token: Annotated[
        str | None, typer.Option(help="A user's bearer token; it says which tenant asks.", envvar="KBFLEET_TOKEN")
    ] = None,
    tenant: Annotated[
        TenantId | None,
        typer.Option(
            parser=TenantId,
            metavar="TENANT",
            help="In place of a token: ask for this tenant, with your own AWS rights.",
            autocompletion=tenant_ids,
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            help="'new' begins a conversation, and the session that an answer names continues it. "
            "Without, the question stands alone, and nothing of it is kept."
        ),
    ] = None,
    passages: Annotated[
        int | None,
        typer.Option(
            help="How many passages the answer may rest on, 1 to 100. By default, as many as the tenant's profile says."
        ),
    ] = None,
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
    """Ask a question: as a tenant's user, by a token; or for a tenant, with your own rights."""
    given = {
        "question": question,
        "session": None if session == _NEW_SESSION else session,
        "passages": passages,
        "filter": _json(filter_, "filter"),
        "keep": session is not None,
    }
    asked = parse(AskRequest, given)
    asked.to_domain()  # says what is wrong before anything is sent
    token_from = context.get_parameter_source("token")
    if tenant is not None and token_from is not None and token_from.name == "COMMANDLINE":
        raise InvalidInput("tenant", "cannot be given with --token: the token names its tenant.")
    api = FleetApi.of_stack(stack, region)
    with Progress("Asking") as progress:
        progress.show("waiting for the answer")
        if tenant is not None:
            answer = api.ask_for_tenant(tenant, asked)
        elif token is not None:
            answer = api.ask(asked, token)
        else:
            raise InvalidInput("tenant", "is missing: give --tenant to ask with your own rights, or a user's --token.")
    # A session stays the same for as long as its conversation: it is told where that begins.
    begins = answer.session != session
    present(answer, lambda answer: _shown_of_answer(answer, session_is_new=begins), as_json=as_json)


_NEW_SESSION = "new"


def _json(text: str | None, field: str) -> Any:
    """Raises: InvalidInput."""
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InvalidInput(field, f"is not JSON: {error}.") from None


def _shown_of_answer(answer: AskResponse, *, session_is_new: bool) -> Iterator[RenderableType]:
    yield literal(answer.answer, keep="\n")
    sources = {source.uri: source for citation in answer.citations for source in citation.sources}
    for number, source in enumerate(sources.values(), start=1):
        page = f", page {source.page}" if source.page is not None else ""
        yield f"  [dim]\\[{number}] {literal(source.document)}{page}[/]"
    if answer.freshness.pending_changes:
        yield "  [yellow]Some changes to the documents are not part of this answer yet.[/]"
    if answer.documents_left_out:
        left_out = counted(answer.documents_left_out, "document")
        yield f"  [yellow]{left_out} could not be indexed and may be missing from this answer.[/]"
    if answer.session and session_is_new:
        yield f"  [dim]To go on: --session {literal(answer.session)}[/]"


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def usage(
    tenant: Annotated[
        TenantId | None,
        typer.Argument(parser=TenantId, metavar="[TENANT]", help="The tenant's id.", autocompletion=tenant_ids),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Of all tenants, a row each.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="With --all: print CSV for spreadsheets.")] = False,
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, in UTC.")] = None,
    life: Annotated[
        int | None, typer.Option(min=1, max=MAX_LIFE, help="Of an earlier life of that id; 1 is the first.")
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show what a tenant's questions used, by day; or all tenants'. Without --from and --to, of the current month.

    An id that was offboarded and provisioned again begins with nothing; what it used before is under --life.
    """
    if (tenant is None) is not all_:
        raise InvalidInput("tenant", "is missing: name one, or give --all." if tenant is None else "and --all are two.")
    if as_csv and (not all_ or as_json):
        raise InvalidInput("csv", "goes with --all, and not with --json.")
    if all_ and life is not None:
        raise InvalidInput("life", "is of one tenant; --all shows all lives.")
    first_day, last_day = (day.date() if day else None for day in (first, last))
    api = FleetApi.of_stack(stack, region)
    price = TokenPrice.of(api)
    if tenant is not None:
        body = api.usage(tenant, first_day, last_day, life)
        present(body, lambda body: _shown_of_usage(body, price), as_json=as_json)
        return
    used = _used_by_all(api, first_day, last_day, price)
    if as_csv:
        columns = [field.name for field in fields(TenantUsage)]
        typer.echo(table(columns, map(astuple, used)), nl=False)
    else:
        present(used, lambda used: _shown_of_all(used, price), as_json=as_json)


@dataclass(frozen=True)
class TenantUsage:
    """A row of all tenants' usage; its fields are the columns, in this order. New ones are added at the end.

    Args:
        tokens_usd: what the tokens that are known cost, where their price is known.
    """

    tenant_id: str
    name: str
    tier: str
    status: str
    first_day: date
    last_day: date
    questions: int
    passages: int
    citations: int
    input_tokens: int
    output_tokens: int
    questions_without_tokens: int
    nothing_found: int
    refused_by_guardrail: int
    tokens_usd: float | None
    life: int
    golden_searches: int = 0
    golden_answers: int = 0
    golden_input_tokens: int = 0
    golden_output_tokens: int = 0
    golden_answers_without_tokens: int = 0


def _used_by_all(api: FleetApi, first: date | None, last: date | None, price: TokenPrice) -> list[TenantUsage]:
    used: list[TenantUsage] = []
    with Progress("Usage") as progress:
        for tenant in api.tenants(None).tenants:
            progress.show(f"of {tenant.tenant_id}")
            newest = api.usage(tenant.tenant_id, first, last, None)
            # The first answer decides: the month may change meanwhile.
            first, last = newest.first_day, newest.last_day
            earlier = (api.usage(tenant.tenant_id, first, last, life) for life in range(1, newest.life))
            # An earlier life counts only if it used something in these days.
            used += [_row(_before(tenant), body, price) for body in earlier if body.days]
            used.append(_row(tenant, newest, price))
    return used


def _before(tenant: ListedTenantBody) -> ListedTenantBody:
    """What is left of an earlier life of that id, which was somebody else's: its name and tier are erased."""
    return tenant.model_copy(update={"name": tenant.tenant_id, "tier": "", "status": TenantStatus.OFFBOARDED})


def _row(tenant: ListedTenantBody, body: UsageBody, price: TokenPrice) -> TenantUsage:
    cost = price.of_usage(body.total)
    return TenantUsage(
        tenant_id=str(tenant.tenant_id),
        name=str(tenant.name),
        tier=str(tenant.tier),
        status=str(tenant.status),
        first_day=body.first_day,
        last_day=body.last_day,
        **body.total.model_dump(),
        tokens_usd=round(cost, 6) if cost is not None else None,
        life=body.life,
    )


def _shown_of_all(used: Sequence[TenantUsage], price: TokenPrice) -> Iterator[RenderableType]:
    if not used:
        yield "There are no tenants."
        return
    totals = UsageCountsBody(
        **{name: sum(getattr(each, name) for each in used) for name in UsageCountsBody.model_fields}
    )
    yield Listing(
        [Column("Tenant"), *(Column(name, numbers=True) for name in _COUNTED)],
        [
            (str(Life(TenantId(each.tenant_id), each.life)), *_counts(UsageCountsBody(**_counts_of(each))))
            for each in used
        ],
        title=f"{used[0].first_day} to {used[0].last_day}",
        footer=("Total", *_counts(totals)),
    )
    yield _cost_of(totals, price)
    yield from _golden(totals, price)


def _counts_of(used: TenantUsage) -> dict[str, int]:
    return {name: getattr(used, name) for name in UsageCountsBody.model_fields}


def _cost_of(counts: UsageCountsBody, price: TokenPrice) -> str:
    cost = price.of_usage(counts)
    if cost is None:
        return f"[dim]{literal(price.known_by)}[/]"
    least = "at least " if counts.questions_without_tokens else ""
    return f"[dim]The tokens cost {least}USD {cost:,.4f}, {literal(price.known_by)}.[/]"


def _golden(counts: UsageCountsBody, price: TokenPrice) -> Iterator[str]:
    """What golden questions used, which is not among what the tenant's users used."""
    if not counts.golden_searches:
        return
    searches = f"{counts.golden_searches:,} {'search' if counts.golden_searches == 1 else 'searches'}"
    said = f"Beside these, golden questions: {searches}"
    if counts.golden_answers:
        said += (
            f", {counted(counts.golden_answers, 'answer')} ({counts.golden_input_tokens:,} tokens in, "
            f"{counts.golden_output_tokens:,} out)"
        )
        if price.of_one is not None:
            read, written = price.of_one
            cost = counts.golden_input_tokens * read + counts.golden_output_tokens * written
            least = "at least " if counts.golden_answers_without_tokens else ""
            said += f", whose tokens cost {least}USD {cost:,.4f}"
    yield f"[dim]{said}.[/]"


def _shown_of_usage(body: UsageBody, price: TokenPrice) -> Iterator[RenderableType]:
    if body.days:
        yield _usage_listing(body)
        yield _cost_of(body.total, price)
        yield from _golden(body.total, price)
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
