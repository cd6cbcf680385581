"""`kbfleet profile`: how documents become knowledge, and how questions are answered from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi
from cli.profile_file import read_profile
from cli.terminal import DONE, Column, Details, Listing, counted, literal, present
from kbfleet.contracts.profiles import ProfileBody, ProfileChangeBody, ProfileCheckBody, ProfilesBody
from kbfleet.domain.profiles import Effect, ProfileName

app = typer.Typer(help="How documents become knowledge, and how questions are answered.", no_args_is_help=True)

Name = Annotated[
    ProfileName,
    typer.Argument(parser=ProfileName, metavar="PROFILE", help="Its name: 2 to 32 of a-z, 0-9 and single hyphens."),
]
File = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="A profile as JSON: docs/profile.schema.json."),
]

_EFFECTS = {
    Effect.NEXT_QUESTION: "the next question",
    Effect.READ_AGAIN: "documents that are read again",
    Effect.REBUILD: "tenants that are provisioned anew",
}
_SHOWN = 200
"""Characters of a value; all of it is in the JSON."""


@app.command("list")
def list_profiles(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show the profiles that tenants can be given, and what the stack's parameters say."""

    def shown(body: ProfilesBody) -> Iterator[RenderableType]:
        yield Listing(
            [Column(name) for name in ("Profile", "Version", "Store", "Parser", "Chunking", "Answerer", "Model")],
            [
                (
                    each.name,
                    str(each.version) if each.version else "—",
                    literal(each.knowledge_store),
                    each.parser,
                    each.chunking,
                    each.answerer,
                    literal(each.model),
                )
                for each in body.profiles
            ],
        )

    present(FleetApi.of_stack(stack, region).profiles(), shown, as_json=as_json)


@app.command("show")
def show_profile(
    profile: Name,
    version: Annotated[int | None, typer.Option(min=1, help="By default, the newest.")] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show one version of a profile."""
    present(FleetApi.of_stack(stack, region).profile(profile, version), _shown_of_profile, as_json=as_json)


def _shown_of_profile(body: ProfileBody) -> Iterator[RenderableType]:
    described = body.model_dump(mode="json", exclude_none=True, include={"ingestion", "answering"})
    version = f" · version {body.version}" if body.version else ""
    yield Details([(name, _value(value)) for name, value in _fields(described)], title=f"{body.name}{version}")


def _fields(part: Any, place: str = "") -> Iterator[tuple[str, object]]:
    for name, value in part.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _value(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return literal(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)")


@app.command("put")
def put_profile(file: File, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Make this the newest version of a profile. Tenants keep the version that they have."""

    def shown(body: ProfileBody) -> Iterator[RenderableType]:
        yield f"{DONE} Profile {body.name} is at version {body.version}."

    wanted = read_profile(file)
    present(FleetApi.of_stack(stack, region).put_profile(wanted), shown, as_json=as_json)


@app.command("check")
def check_profile(file: File, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Say what the stack, its Region and the knowledge store would refuse of a profile. Nothing is changed."""

    def shown(body: ProfileCheckBody) -> Iterator[RenderableType]:
        if not body.refusals:
            yield f"{DONE} Nothing is refused."
            return
        for each in body.refusals:
            said = f"is {_value(each.value)}: {literal(each.rule)} {literal(each.instead)}"
            yield f"[red]✗[/] {literal(each.field)} {said} [dim]({each.whose})[/]"

    wanted = read_profile(file)
    body = FleetApi.of_stack(stack, region).check_profile(wanted)
    present(body, shown, as_json=as_json)
    if body.refusals:
        raise typer.Exit(FAILED)


@app.command("diff")
def diff_profile(file: File, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show what a file would change of a profile's newest version, and what it takes for that to count."""

    def shown(body: ProfileCheckBody) -> Iterator[RenderableType]:
        if body.newest is None:
            yield f"There is no profile {wanted.name} yet: everything in the file is new."
        elif not body.changes:
            yield f"Nothing changes: version {body.newest} says the same."
        else:
            yield _changes(body.changes, body.newest)

    wanted = read_profile(file)
    present(FleetApi.of_stack(stack, region).check_profile(wanted), shown, as_json=as_json)


def _changes(changes: tuple[ProfileChangeBody, ...], newest: int) -> Listing:
    return Listing(
        [Column("Field"), Column("Now", prose=True), Column("Then", prose=True), Column("Counts for")],
        [(literal(each.field), _value(each.before), _value(each.after), _EFFECTS[each.effect]) for each in changes],
        caption=f"{counted(len(changes), 'change')} against version {newest}",
    )


@app.command("remove")
def remove_profile(profile: Name, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Remove a profile that no tenant uses."""

    def shown(body: ProfileBody) -> Iterator[RenderableType]:
        yield f"{DONE} Profile {body.name} is removed; it was at version {body.version}."

    present(FleetApi.of_stack(stack, region).remove_profile(profile), shown, as_json=as_json)
