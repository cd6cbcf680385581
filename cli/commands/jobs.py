"""`kbfleet jobs`: what a tenant's ingestion jobs did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Job, Json, Region, Stack, Tenant
from cli.failure_reasons import reason_lines
from cli.fleet_api import FleetApi
from cli.terminal import Column, Details, Listing, literal, moment, moment_in_table, present
from kbfleet.contracts.events import JobStateChangeDetail
from kbfleet.contracts.jobs import JobBody, JobsBody
from kbfleet.domain.failed_documents import FailureStatus
from kbfleet.domain.ingestion_job import Outcome

app = typer.Typer(help="What a tenant's ingestion jobs did.", no_args_is_help=True)


@app.command("list")
def list_jobs(
    tenant: Tenant,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 20,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show the tenant's newest ingestion jobs: what they read, and how they ended."""

    def shown(body: JobsBody) -> Iterator[RenderableType]:
        yield _listing(body) if body.jobs else f"Tenant {tenant} has no ingestion jobs yet."

    present(FleetApi.of_stack(stack, region).jobs(tenant, limit), shown, as_json=as_json)


def _listing(body: JobsBody) -> Listing:
    shown = len(body.jobs)
    return Listing(
        [
            Column("Job"),
            Column("Started (UTC)"),
            Column("Status"),
            *(Column(name, numbers=True) for name in ("Read", "Indexed", "Deleted", "Failed")),
            Column("Why", prose=True),
        ],
        [
            (
                literal(job.to_domain().name),
                moment_in_table(job.started_at or job.occurred_at),
                _state(job),
                str(job.statistics.scanned),
                str(job.statistics.new + job.statistics.modified),
                str(job.statistics.deleted),
                str(job.statistics.failed),
                "\n".join(literal(reason.text) for reason in job.failure_reasons),
            )
            for job in body.jobs
        ],
        caption=f"There are older ones: --limit {shown * 5} shows more." if body.next_token else "",
    )


def _state(job: JobStateChangeDetail) -> str:
    colour = {Outcome.SUCCEEDED: "green", None: "yellow"}.get(job.outcome, "red")
    return f"[{colour}]{job.outcome or job.status}[/]"


@app.command("show")
def show_job(
    tenant: Tenant, job: Job, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None
) -> None:
    """Show one ingestion job: what it read and did, when, how it ended and why, and which documents it left out."""
    present(FleetApi.of_stack(stack, region).job(tenant, job), _shown_of_job, as_json=as_json)


def _shown_of_job(body: JobBody) -> Iterator[RenderableType]:
    job, counts = body.job, body.job.statistics
    refused = "" if job.ingestion_job_id else " (Bedrock refused to start it)"
    by = "somebody else, not by kbfleet" if job.external else "kbfleet"
    rows = [
        ("Status", _state(job) + ("" if job.final else ", will be tried again") + refused),
        ("Started", f"{moment(job.started_at)} by {by}" if job.started_at else "never"),
        ("Ended" if job.outcome else "Last seen", moment(job.occurred_at) + _after(job)),
        ("Generation", str(job.generation)),
        ("Job before it", str(job.previous_outcome) if job.previous_outcome else "none"),
        ("Knowledge base", literal(job.knowledge_base_id)),
        ("Data source", literal(job.data_source_id)),
        ("Documents", f"{counts.scanned} read: {counts.new} new, {counts.modified} changed, {counts.deleted} deleted, "
         f"{counts.failed} failed, {counts.skipped} skipped"),
        ("Metadata files", f"{counts.metadata_scanned} read: {counts.metadata_modified} changed"),
    ]  # fmt: skip
    rows += [("Why", "\n".join(reason_lines(job.failure_reasons)))] if job.failure_reasons else []
    yield Details(rows, title=f"{job.tenant_id} · {literal(job.to_domain().name)}")
    if body.left_out:
        yield ""
        yield _left_out(body)


def _after(job: JobStateChangeDetail) -> str:
    return f", after {(job.occurred_at - job.started_at).total_seconds():,.0f} s" if job.started_at else ""


def _left_out(body: JobBody) -> Listing:
    shown = len(body.left_out)
    more = f"{shown} of {body.left_out_total}; `kbfleet documents {body.job.tenant_id} --failed` shows all."
    return Listing(
        [Column("Left out, and not fixed since"), Column("Set aside"), Column("Reason", prose=True)],
        [
            (
                literal(document.uri),
                "yes" if document.status is FailureStatus.SET_ASIDE else "no",
                literal(document.for_people),
            )
            for document in body.left_out
        ],
        caption=more if shown < body.left_out_total else "",
    )
