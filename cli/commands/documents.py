"""`kbfleet documents`: a tenant's documents, what is true of each, and what can be done with one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from typer.core import TyperGroup

from cli.arguments import DEFAULT_STACK, Document, Json, Region, Stack, Tenant
from cli.completion import ids_of_the_fleet
from cli.document_retries import tried
from cli.documents_left_out import not_known_lines
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi
from cli.progress import Progress
from cli.terminal import DONE, Column, Details, Listing, counted, literal, moment, moment_in_table, present
from kbfleet.contracts.document_listing import (
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentLinkBody,
)
from kbfleet.domain.document_names import appearance, form_of
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.printable import printable


class _ListingGroup(TyperGroup):
    """`kbfleet documents acme` is `kbfleet documents list acme`. A tenant that is called as one of the commands has to
    be listed by the latter."""

    otherwise = "list"
    """The command that is meant where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = args[:1]
        others = given and given[0] not in {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, [self.otherwise, *args] if others else args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        return [*super().shell_complete(ctx, incomplete), *map(_Completed, ids_of_the_fleet(incomplete))]


@dataclass(frozen=True, slots=True)
class _Completed:
    """What a shell is told; of what typer has for it, it makes no part of what others may use."""

    value: str
    type: str = "plain"
    help: str | None = None


app = typer.Typer(
    cls=_ListingGroup,
    help="A tenant's documents: which are answered from, which are left out and why. `kbfleet documents acme` lists "
    "them.",
    no_args_is_help=True,
)


@app.command("list")
def list_documents(
    tenant: Tenant,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that are left out, and why.")] = False,
    prefix: Annotated[str, typer.Option(help="Only those whose keys begin so.")] = "",
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show the tenant's documents: which are answered from, which are not yet, which are left out and why."""
    api = FleetApi.of_stack(stack, region)
    with Progress("Documents") as progress:
        body = api.documents(tenant, DocumentStatus.LEFT_OUT if failed else None, prefix, progress.count)

    def shown(_: object) -> Iterator[RenderableType]:
        if body.documents:
            yield _failures(body.documents) if failed else _listing(body.documents)
        if not failed:
            yield _summary(tenant, body.documents, prefix)
            yield from _clashes(body.documents)
        elif not body.documents and body.not_known is None:
            yield f"{DONE} No document of tenant {tenant}{_beginning(prefix)} is known to have failed."
        if body.not_known is not None:
            yield from not_known_lines(body.not_known)
        if body.retry and body.retry.ended_at is None:
            yield f"A retry of these documents began at {moment(body.retry.requested_at)}: {tried(body.retry)}."

    present(body, shown, as_json=as_json)


_WORDS: Mapping[DocumentStatus, str] = {
    DocumentStatus.ANSWERED_FROM: "answered from",
    DocumentStatus.LEFT_OUT: "left out",
    DocumentStatus.BEING_INDEXED: "being indexed",
    DocumentStatus.NOT_SEEN_YET: "not seen yet",
    DocumentStatus.UNKNOWN: "not known",
    DocumentStatus.DELETED: "deleted, still answered from",
    DocumentStatus.GONE: "deleted, not answered from",
}
_COLOURS = {DocumentStatus.ANSWERED_FROM: "green", DocumentStatus.LEFT_OUT: "red", DocumentStatus.GONE: "dim"}


def _status(document: DocumentBody) -> str:
    return f"[{_COLOURS.get(document.status, 'yellow')}]{_WORDS[document.status]}[/]"


def _listing(documents: Sequence[DocumentBody]) -> Listing:
    return Listing(
        [
            Column("Document"),
            Column("Bytes", numbers=True),
            Column("Changed (UTC)"),
            Column("Status"),
            Column("Since (UTC)"),
            Column("Reason", prose=True),
        ],
        [
            (
                literal(each.key) + _unusual_form(each.key),
                "" if each.size is None else f"{each.size:,}",
                _time(each.changed_at),
                _status(each),
                _time(each.since),
                literal(each.for_people) if each.status is DocumentStatus.LEFT_OUT else "",
            )
            for each in documents
        ],
        caption=_caption(documents),
    )


def _failures(documents: Iterable[DocumentBody]) -> Listing:
    newest_first = sorted(documents, key=lambda each: (_time(each.since), each.uri), reverse=True)
    return Listing(
        [
            Column("Document"),
            Column("Since (UTC)"),
            Column("Times", numbers=True),
            Column("Set aside"),
            Column("Reason", prose=True),
        ],
        [
            (
                literal(each.uri) + _unusual_form(each.key),
                _time(each.since),
                "" if each.times is None else str(each.times),
                "yes" if each.set_aside else "no",
                literal(each.for_people),
            )
            for each in newest_first
        ],
        caption=_caption(newest_first),
    )


def _time(at: Any) -> str:
    return "" if at is None else moment_in_table(at)


def _unusual_form(key: str) -> str:
    form = form_of(key)
    return f" [yellow]({form})[/]" if form != "NFC" else ""


def _caption(documents: Sequence[DocumentBody]) -> str:
    if not any(_unusual_form(each.key) for each in documents):
        return ""
    return (
        "Keys in Unicode form NFD, as some file systems give them, look like those that are typed in NFC, and are "
        "others to S3."
    )


def _beginning(prefix: str) -> str:
    return f" whose key begins with {literal(prefix)}" if prefix else ""


def _summary(tenant: TenantId, documents: Sequence[DocumentBody], prefix: str) -> str:
    """Args: prefix: how the keys of all of these begin; whatever else there is, is not counted."""
    counts = Counter(each.status for each in documents)
    gone = counts.pop(DocumentStatus.DELETED, 0)
    in_bucket = sum(counts.values())
    if not in_bucket and not gone:
        return f"Tenant {tenant} has no document{_beginning(prefix) or 's'}."
    parts = [f"{counts[status]:,} {word}" for status, word in _WORDS.items() if counts[status]]
    listed = f": {', '.join(parts)}" if parts else ""
    deleted = f" {counted(gone, 'document')} deleted, and still answered from." if gone else ""
    sign = f"{DONE} " if counts[DocumentStatus.ANSWERED_FROM] == in_bucket and not gone else ""
    return f"{sign}{in_bucket:,} in the bucket{_beginning(prefix)}{listed}.{deleted}"


def _clashes(documents: Iterable[DocumentBody]) -> Iterator[str]:
    """Names that look the same, and are two to S3."""
    alike: dict[str, list[str]] = {}
    for each in documents:
        if each.status not in {DocumentStatus.DELETED, DocumentStatus.GONE}:
            alike.setdefault(appearance(each.key), []).append(each.key)
    for keys in (keys for keys in alike.values() if len(keys) > 1):
        forms = " and ".join(map(form_of, keys))
        yield (
            f"[yellow]![/] {literal(keys[0])} is there {len(keys)} times, in Unicode forms {forms}, which look the "
            "same: each is answered from. Delete the one that is not meant."
        )


@app.command("show")
def show_document(
    tenant: Tenant, key: Document, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None
) -> None:
    """Show what is known of one document. Exit code 1 when it is left out."""
    api = FleetApi.of_stack(stack, region)
    key = api.meant_key(tenant, key)
    body = api.document(tenant, key)

    def shown(_: object) -> Iterator[RenderableType]:
        yield Details(list(_details(body)), title=literal(body.key))
        if body.key != key:
            yield (
                f"[yellow]![/] Its key is in Unicode form {form_of(body.key)}; the one that was given looks the same "
                f"and is in {form_of(key)}, which S3 takes for another."
            )
        yield from _also_there(body)
        if body.status is DocumentStatus.UNKNOWN:
            yield f"→ `kbfleet why {tenant} KEY` follows it on its way into answers."

    present(body, shown, as_json=as_json)
    if body.status is DocumentStatus.LEFT_OUT:
        raise typer.Exit(FAILED)


def _details(body: DocumentDetailsBody) -> Iterator[tuple[str, str]]:
    since = f" since {moment(body.since)}" if body.since is not None else ""
    yield "status", f"{_status(body)}{since}"
    if body.known_from is not None:
        yield "known from", literal(body.known_from.lower())
    if body.job is not None:
        yield "job", literal(body.job)
    if body.status is DocumentStatus.LEFT_OUT:
        yield "reason", literal(body.for_people)
    if body.size is not None:
        yield "size", f"{body.size:,} bytes"
    if body.changed_at is not None:
        yield "changed", moment(body.changed_at)
    if body.metadata is not None:
        for name, value in body.metadata.items():
            yield "metadata", f"{literal(name)} = {literal(json.dumps(value, ensure_ascii=False))}"
    elif body.metadata_bytes is not None:
        yield "metadata", f"{body.metadata_bytes:,} bytes that cannot be read"


def _also_there(body: DocumentDetailsBody) -> Iterator[str]:
    for other in body.also_there:
        yield (
            f"[yellow]![/] {literal(other)}, in Unicode form {form_of(other)}, is there, too: it looks the same, and "
            "both are answered from."
        )
    for stray in body.stray_metadata:
        yield (
            f"[yellow]![/] {literal(stray)}, in Unicode form {form_of(stray)}, looks like its metadata file, and "
            "Bedrock does not read it. Upload the document anew with both files in one folder."
        )


@app.command("open")
def open_document(
    tenant: Tenant,
    key: Document,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save it there, in place of showing a link.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the link in the browser.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Give a link to a document that is good for a few minutes, for whoever has it; or save the document."""
    api = FleetApi.of_stack(stack, region)
    key = api.meant_key(tenant, key)
    link = api.document_link(tenant, key)
    if output is not None:
        _write(output, api.opened(link))
    if browser:
        typer.launch(link.url)

    def shown(_: DocumentLinkBody) -> Iterator[RenderableType]:
        if output is not None:
            yield f"{DONE} {literal(key)} is saved as {literal(str(output))}."
        else:
            yield literal(link.url)

    present(link, shown, as_json=as_json)


def _write(output: Path, content: bytes) -> None:
    """Raises: InvalidInput."""
    try:
        output.write_bytes(content)
    except OSError as error:
        raise InvalidInput("output", f"cannot be written: {error.strerror}.") from error


@app.command("delete")
def delete_document(
    tenant: Tenant,
    key: Document,
    all_versions: Annotated[
        bool,
        typer.Option(
            "--all-versions", help="Remove older versions, too, as a law may ask for: nothing brings it back."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Delete a document with its metadata file. It is answered from until the next sync, which comes by itself."""
    api = FleetApi.of_stack(stack, region)
    key = api.meant_key(tenant, key)
    if not yes:
        _confirm(key, for_good=all_versions)
    with Progress("Deleting") as progress:

        def removed(versions: int) -> None:
            progress.show(f"{counted(versions, 'version')} gone for good")

        body = api.delete_document(tenant, key, all_versions=all_versions, removed_so_far=removed)

    def shown(deleted: DeletionBody) -> Iterator[RenderableType]:
        kept = (
            "Older versions are kept in the bucket."
            if deleted.versions_removed is None
            else f"{counted(deleted.versions_removed, 'version')} are gone for good."
        )
        yield f"{DONE} {literal(deleted.document.key)} is deleted from the bucket. {kept}"
        if deleted.document.status is DocumentStatus.GONE:
            yield "It is not answered from."
        else:
            yield (
                "It may be answered from until the next sync has ended, which comes by itself: `kbfleet documents show "
                f"{tenant} KEY` says when."
            )

    present(body, shown, as_json=as_json)


def _confirm(key: str, *, for_good: bool) -> None:
    """Raises: InvalidInput when the answer is not yes."""
    question = f"Delete {printable(key)}{' with all its versions, for good' if for_good else ''}?"
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise InvalidInput("key", "nobody answered; nothing was done. Give --yes.") from None
    if not agreed:
        raise InvalidInput("key", "nothing was done.")
