"""`kbfleet upload` and `why`: how a document gets into answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Json, Region, Stack, Tenant
from cli.exit_codes import BAD_INPUT, FAILED, stop
from cli.fleet_api import FleetApi, Refused, UploadRefused
from cli.progress import Progress
from cli.terminal import DONE, err, literal, marked, present
from kbfleet.contracts.documents import DocumentTraceBody, UploadBody
from kbfleet.domain.document_examination import EDGE_BYTES, DocumentFault, DocumentSample, examine
from kbfleet.domain.document_names import form_of, other_spellings
from kbfleet.domain.document_trace import ObjectKey, Verdict
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.metadata_filter import is_number
from kbfleet.domain.names import TenantId
from kbfleet.domain.uploads import DocumentKey, Upload

app = typer.Typer()


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def upload(
    tenant: Tenant,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The document.")],
    key: Annotated[
        str | None, typer.Option(help="Where it goes, such as handbook/rules.pdf. By default, its name.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            help="An attribute as name=value, by which answers can be filtered. Can be repeated. A number, true and "
            'false are taken as such, as is a list of texts: \'topic=["prices","rental"]\'. Double quotes make a text '
            "of them: 'year=\"2026\"'."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Send it although it seems that Bedrock cannot read it.")
    ] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Upload a document of a tenant. It is synced by itself. One that Bedrock can never read is refused."""
    attributes = _attributes(metadata or [])
    with _naming(file, key):
        given = DocumentKey(key) if key is not None else None
    _check(file, given or file.name, although=force)
    with _naming(file, key):
        wanted = Upload(given or DocumentKey(file.name), file.stat().st_size, metadata=attributes)
    api = FleetApi.of_stack(stack, region)
    with Progress(f"Uploading {file.name}") as progress, _naming(file, key):
        progress.show("asking for a form")
        granted, form = _granted(api, tenant, wanted)
        progress.show(f"sending {wanted.size:,} bytes")
        api.upload(tenant, form, file.read_bytes())

    def shown(_: object) -> Iterator[RenderableType]:
        yield f"{DONE} {literal(granted.key)} is uploaded, and will be synced soon."
        if granted.key != wanted.key:
            yield (
                f"  It replaces the document that is there under this name in Unicode form {form_of(granted.key)}; "
                f"the name that was given is in {form_of(wanted.key)}."
            )
        for name, value in attributes.items():
            yield f"  {literal(name)} = {literal(json.dumps(value, ensure_ascii=False))} [dim]({_kind(value)})[/]"

    result = {"tenant_id": tenant, "key": granted.key, "size": granted.size, "metadata": attributes}
    present(result, shown, as_json=as_json)


def _check(file: Path, key: str, *, although: bool) -> None:
    """Looks at a file as kbfleet looks at a document that failed. Nothing is sent if it can never be read; what only
    seems so is said."""
    finding = examine(_sample(file, key))
    if finding is None:
        return
    said = f"{file.name}: {finding.explanation} {finding.remedy}"
    never_taken = {DocumentFault.EMPTY, DocumentFault.TOO_LARGE, DocumentFault.FORMAT}
    if finding.fault in never_taken:
        stop(f"{said} Nothing was sent.", BAD_INPUT)
    if finding.certain and not although:
        stop(f"{said} Nothing was sent; --force sends it all the same.", BAD_INPUT)
    err.print(marked(f"[yellow]![/] {literal(said)}"), soft_wrap=True)


def _sample(file: Path, key: str) -> DocumentSample:
    size = file.stat().st_size
    with file.open("rb") as content:
        head = content.read(EDGE_BYTES)
        content.seek(max(EDGE_BYTES, size - EDGE_BYTES))
        return DocumentSample(key, size, head, content.read(EDGE_BYTES))


@contextmanager
def _naming(file: Path, key: str | None) -> Iterator[None]:
    """A refusal of a document names its file, and where it was to go."""
    named = f"{file} (--key {key})" if key else str(file)
    try:
        yield
    except InvalidInput as error:
        # The metadata are given beside the file; key, type and size are the file's own.
        said = str(error) if error.field == "metadata" else str(error).removeprefix(f"{error.field}: ")
        raise InvalidInput(named, said) from error
    except Refused as refused:
        raise Refused(refused.status, refused.code, f"{named}: {refused.detail}") from refused
    except UploadRefused as refused:
        raise UploadRefused(f"{named}: {refused}") from refused


def _granted(api: FleetApi, tenant: TenantId, wanted: Upload) -> tuple[Upload, UploadBody]:
    """A form for the key that was wanted, or for that under which the document is there, in another Unicode form.

    Raises: Refused.
    """
    others = iter(other_spellings(wanted.key))
    upload = wanted
    while True:
        try:
            return upload, api.grant_upload(tenant, upload)
        except Refused as refused:
            other = next(others, None) if refused.code == "KeySpelledOtherwise" else None
            if other is None:
                raise
            upload = replace(wanted, key=DocumentKey(other))


def _attributes(pairs: list[str]) -> dict[str, object]:
    """Raises: InvalidInput."""
    attributes: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput("metadata", f"{pair!r} is not name=value.")
        if name in attributes:
            raise InvalidInput("metadata", f"{name!r} is given twice.", remedy=f'Give a list: \'{name}=["a","b"]\'.')
        attributes[name] = _value(name, text)
    return attributes


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


def _object_key(text: str) -> ObjectKey:
    """Also of a URI, as other commands show it. Raises: InvalidInput."""
    return ObjectKey(text.removeprefix("s3://").partition("/")[2] if text.startswith("s3://") else text)


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def why(
    tenant: Tenant,
    key: Annotated[
        ObjectKey,
        typer.Argument(
            parser=_object_key, metavar="KEY", help="Of the document, such as handbook/rules.pdf; or its s3:// URI."
        ),
    ],
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Say why a document is not found: where it is stuck on its way into answers. Exit code 1 when it is stuck."""
    body = FleetApi.of_stack(stack, region).why(tenant, key)
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
