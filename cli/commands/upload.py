"""`kbfleet upload`: files and folders into a tenant's bucket."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Json, Region, Stack, Tenant
from cli.exit_codes import FAILED, INTERRUPTED, stop
from cli.fleet_api import FleetApi
from cli.local_documents import found_in
from cli.progress import Progress
from cli.terminal import DONE, counted, err, literal, marked, present
from cli.uploading import ENDED_BEFORE, UploadedFile, Uploading, UploadStatus
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.metadata_filter import is_number
from kbfleet.domain.uploads import DocumentKey, check_attributes

app = typer.Typer()

_NAMED = 3
"""Of what was left out, by people."""


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def upload(
    tenant: Tenant,
    paths: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            metavar="PATH",
            help="Documents, and folders with all that is in them but hidden files and symbolic links. The key of a "
            "document is its path in the folder. A metadata file beside a document (rules.pdf.metadata.json) goes with "
            "it.",
        ),
    ],
    key: Annotated[
        str | None, typer.Option(help="Where a single file goes, such as handbook/rules.pdf. By default, its name.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            help="An attribute of all of them as name=value, by which answers can be filtered. Can be repeated. A "
            'number, true and false are taken as such, as is a list of texts: \'topic=["prices","rental"]\'. Double '
            "quotes make a text of them: 'year=\"2026\"'. With := the value must be one of these: year:=2026."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Send also what it seems that Bedrock cannot read.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Upload documents of a tenant: only those that are not there as they are, so that it goes on where it was
    interrupted. They are synced by themselves. Exit code 1 when one was refused, such as one that Bedrock can never
    read."""
    attributes = _attributes(metadata or [])
    if key is not None:
        _require_one_file(paths, key)
    found = found_in(paths, key)
    api = FleetApi.of_stack(stack, region)
    with Progress("Uploading") as progress:
        ended = count(1)

        def tell(file: UploadedFile) -> None:
            if file.status is not UploadStatus.LEFT_OUT and found.number > 1:
                progress.count(next(ended), found.number)

        uploading = Uploading(api, tenant, attributes, force, _warn, tell, _say_that_it_ends)
        files = uploading.run(found)
    number = Counter(file.status for file in files)
    # Where nothing was done, why it ended says all.
    if uploading.ended_by is None or number[UploadStatus.SENT] or number[UploadStatus.UNCHANGED]:
        result = {"tenant_id": tenant, "metadata": attributes, "documents": files}
        present(result, lambda _: _shown(files, number, attributes), as_json=as_json)
        _tell_of_troubles(files, number)
    if isinstance(uploading.ended_by, KeyboardInterrupt):
        stop("Interrupted. The same command goes on with what was not sent.", INTERRUPTED)
    if uploading.ended_by is not None:
        raise uploading.ended_by
    if number[UploadStatus.REFUSED] or number[UploadStatus.NOT_SENT]:
        raise typer.Exit(FAILED)


def _require_one_file(paths: Sequence[Path], key: str) -> None:
    """Raises: InvalidInput."""
    if len(paths) != 1 or paths[0].is_dir():
        raise InvalidInput("--key", "is for a single file.", remedy="Documents of a folder have their paths as keys.")
    try:
        DocumentKey(key)
    except InvalidInput as error:
        raise InvalidInput(f"{paths[0]} (--key {key})", str(error).removeprefix(f"{error.field}: ")) from error


def _say_that_it_ends() -> None:
    err.print("Ending: what is being sent comes to its end first.")


def _warn(path: Path, said: str) -> None:
    err.print(marked(f"[yellow]![/] {literal(f'{path}: {said}')}"), soft_wrap=True)


def _shown(
    files: Sequence[UploadedFile], number: Mapping[UploadStatus, int], attributes: Mapping[str, object]
) -> Iterator[RenderableType]:
    sent = [file for file in files if file.status is UploadStatus.SENT]
    if len(sent) == 1:
        yield f"{DONE} {literal(sent[0].key)} is uploaded, and will be synced soon."
    elif sent:
        yield f"{DONE} {counted(len(sent), 'document')} are uploaded, and will be synced soon."
    there = [file for file in files if file.status is UploadStatus.UNCHANGED]
    if there:
        yield f"{DONE} {_of_those_that_are_there(there)}"
    if not sent and not there and not number[UploadStatus.REFUSED] and not number[UploadStatus.NOT_SENT]:
        yield "There was nothing to upload."
    for name, value in attributes.items() if sent or there else ():
        yield f"  {literal(name)} = {literal(json.dumps(value, ensure_ascii=False))} [dim]({_kind(value)})[/]"
    yield from _left_out(files)


def _of_those_that_are_there(there: Sequence[UploadedFile]) -> str:
    what = f"{literal(there[0].key)} is" if len(there) == 1 else f"{counted(len(there), 'document')} are"
    written = sum(file.metadata_written for file in there)
    of_metadata = f" The metadata of {written:,} of them are written anew." if written else ""
    return f"{what} there as before, and not sent again.{of_metadata}"


def _left_out(files: Sequence[UploadedFile]) -> Iterator[str]:
    reasons: dict[str, list[UploadedFile]] = defaultdict(list)
    for file in files:
        if file.status is UploadStatus.LEFT_OUT:
            reasons[file.reason].append(file)
    for reason, left_out in reasons.items():
        more = f", and {len(left_out) - _NAMED:,} more" if len(left_out) > _NAMED else ""
        yield f"[dim]Left out:[/] {literal(', '.join(each.path for each in left_out[:_NAMED]))}{more}. {reason}"


def _tell_of_troubles(files: Sequence[UploadedFile], number: Mapping[UploadStatus, int]) -> None:
    for file in files:
        if file.status is UploadStatus.REFUSED or (
            file.status is UploadStatus.NOT_SENT and file.reason != ENDED_BEFORE
        ):
            err.print(marked(f"[red]✗[/] {literal(f'{file.path}: {file.reason}')}"), soft_wrap=True)
    if refused := number[UploadStatus.REFUSED]:
        err.print(f"{counted(refused, 'file')} refused. Nothing was sent of {'it' if refused == 1 else 'them'}.")
    if waiting := number[UploadStatus.NOT_SENT]:
        err.print(f"{counted(waiting, 'document')} not sent. The same command sends what is not there.")


def _attributes(pairs: list[str]) -> dict[str, object]:
    """Raises: InvalidInput."""
    attributes: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput("metadata", f"{pair!r} is not name=value.")
        exactly = name.endswith(":")
        name = name.removesuffix(":")
        if name in attributes:
            raise InvalidInput("metadata", f"{name!r} is given twice.", remedy=f'Give a list: \'{name}=["a","b"]\'.')
        attributes[name] = _exact_value(name, text) if exactly else _value(name, text)
    check_attributes(attributes)
    return attributes


def _exact_value(name: str, text: str) -> object:
    """What was given with `:=` must be JSON. Raises: InvalidInput."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        remedy = f'A number is {name}:=2026, a list is \'{name}:=["a","b"]\'; a text is {name}=…, with = alone.'
        raise InvalidInput("metadata", f"{name}: {text!r} is no JSON, as := takes it.", remedy=remedy) from error


def _value(name: str, text: str) -> object:
    """What stands for a number, a boolean, a list or a text in JSON is that; everything else is text.

    Raises: InvalidInput: what begins like a list or a quoted text must be one.
    """
    try:
        value = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        if text.startswith(("[", '"')):
            remedy = f'A list is \'{name}=["a","b"]\'; a text that begins so is written in JSON\'s double quotes.'
            raise InvalidInput(
                "metadata", f"{name}: {text!r} is no list and no text in JSON.", remedy=remedy
            ) from error
        return text
    if is_number(value) or isinstance(value, bool | list | str):
        return value
    if isinstance(value, int | float):
        remedy = f"To have it as text: '{name}=\"{text}\"'."
        raise InvalidInput("metadata", f"{name}: {text} is too large a number.", remedy=remedy)
    return text


def _no_number(name: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


def _kind(value: object) -> str:
    return {bool: "true or false", int: "number", float: "number", list: "list of texts"}.get(type(value), "text")
