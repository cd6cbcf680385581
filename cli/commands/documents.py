"""`kbfleet documents` and `why`: what a tenant's documents come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, DOCUMENTS_PANEL, Json, Region, Stack, Tenant
from cli.document_retries import tried
from cli.documents_left_out import not_known_lines
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi
from cli.terminal import DONE, Column, Listing, literal, moment, moment_in_table, present
from kbfleet.contracts.documents import DocumentTraceBody, FailedDocumentsBody
from kbfleet.domain.document_names import form_of
from kbfleet.domain.document_trace import ObjectKey, Verdict
from kbfleet.domain.failed_documents import FailureStatus

app = typer.Typer()


@app.command(rich_help_panel=DOCUMENTS_PANEL)
def documents(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show which of the tenant's documents could not be ingested, since when, and why."""

    def shown(body: FailedDocumentsBody) -> Iterator[RenderableType]:
        if body.documents:
            yield _listing(body)
        elif body.not_known is None:
            yield f"{DONE} No document of tenant {tenant} is known to have failed."
        if body.not_known is not None:
            yield from not_known_lines(body.not_known)
        if body.retry and body.retry.ended_at is None:
            yield f"A retry of these documents began at {moment(body.retry.requested_at)}: {tried(body.retry)}."

    present(FleetApi.of_stack(stack, region).failed_documents(tenant), shown, as_json=as_json)


def _listing(body: FailedDocumentsBody) -> Listing:
    newest_first = sorted(body.documents, key=lambda document: (document.since, document.uri), reverse=True)
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
                literal(document.uri) + _unusual_form(document.uri),
                moment_in_table(document.since),
                str(document.times),
                "yes" if document.status is FailureStatus.SET_ASIDE else "no",
                literal(document.for_people),
            )
            for document in newest_first
        ],
        caption="Keys in Unicode form NFD, as some file systems give them, look like those that are typed in NFC, and "
        "are others to S3."
        if any(_unusual_form(document.uri) for document in body.documents)
        else "",
    )


def _unusual_form(uri: str) -> str:
    form = form_of(uri)
    return f" [yellow]({form})[/]" if form != "NFC" else ""


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
