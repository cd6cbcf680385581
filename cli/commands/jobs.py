"""`kbfleet jobs`: what a tenant's ingestion jobs did."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from rich.console import RenderableType
from rich.markup import escape

from cli.arguments import DEFAULT_STACK, Json, Region, Stack, Tenant
from cli.fleet_api import FleetApi
from cli.terminal import Column, Listing, moment, present
from kbfleet.contracts.tenants import JobsBody
from kbfleet.domain.ingestion import Outcome

app = typer.Typer(help="What a tenant's ingestion jobs did.", no_args_is_help=True)


@app.command("list")
def list_jobs(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show the tenant's newest ingestion jobs: what they read, and how they ended."""

    def told(body: JobsBody) -> Iterator[RenderableType]:
        yield _listing(body) if body.jobs else f"Tenant {tenant} has no ingestion jobs yet."

    present(FleetApi.of_stack(stack, region).jobs(tenant), told, as_json=as_json)


def _listing(body: JobsBody) -> Listing:
    colours = {Outcome.SUCCEEDED: "green", None: "yellow"}
    return Listing(
        [
            Column("Job"),
            Column("Started"),
            Column("Status"),
            *(Column(name, numbers=True) for name in ("Read", "Indexed", "Deleted", "Failed")),
            Column("Why", prose=True),
        ],
        [
            (
                job.ingestion_job_id or "refused",
                moment(job.started_at or job.occurred_at),
                f"[{colours.get(job.outcome, 'red')}]{job.outcome or job.status}[/]",
                str(job.statistics.scanned),
                str(job.statistics.new + job.statistics.modified),
                str(job.statistics.deleted),
                str(job.statistics.failed),
                escape("\n".join(reason.text for reason in job.failure_reasons)),
            )
            for job in body.jobs
        ],
    )
