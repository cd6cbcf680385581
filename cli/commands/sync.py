"""`kbfleet sync`: bringing a tenant's documents into its knowledge base."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Json, Region, Stack, Tenant, Wait
from cli.document_retries import tried
from cli.exit_codes import stop
from cli.failure_reasons import reason_lines
from cli.fleet_api import FleetApi
from cli.job_progress import running_job
from cli.progress import Show, watch
from cli.terminal import DONE, counted, literal, present
from kbfleet.contracts.documents import DocumentRetryBody
from kbfleet.contracts.tenants import MOST_DOCUMENTS, SyncBody, SyncHoldBody
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import SyncState

app = typer.Typer(help="Bringing a tenant's documents into its knowledge base.", no_args_is_help=True)


@app.command()
def start(
    tenant: Tenant,
    accept_deletions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_DOCUMENTS,
            metavar="DOCUMENTS",
            help="Have a sync go on that is held, and delete so many documents from the knowledge base for good.",
        ),
    ] = None,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Ingest the tenant's documents now. Exit code 1 when some could not be ingested, or the sync is held."""
    api = FleetApi.of_stack(stack, region)
    sync = api.request_sync(tenant, accept_deletions)
    if wait:
        sync = _watch(api, tenant, sync.requested_generation)
    held = _held(sync) if wait else None
    ended = sync.result if wait and held is None else None
    good = ended is not None and ended.outcome is Outcome.SUCCEEDED

    def shown(_: SyncBody) -> Iterator[RenderableType]:
        if held is not None:
            return
        if ended is None:
            yield f"A sync of tenant {tenant} is requested."
        elif good:
            yield f"{DONE} Tenant {tenant} is in sync (job {literal(ended.ingestion_job_id or '')})."

    present(sync, shown, as_json=as_json)
    if held is not None:
        stop(
            f"The sync of tenant {tenant} is held. {held.sentence}",
            details=[
                "Put the documents back, and it goes on by itself. Only if they are to go for good:",
                literal(held.command),
            ],
        )
    if ended is not None and not good:
        reasons = list(reason_lines(ended.failure_reasons))
        stop(f"The sync of tenant {tenant} ended {ended.outcome}{':' if reasons else '.'}", details=reasons)


def _held(sync: SyncBody) -> SyncHoldBody | None:
    """While it is queued, what it would delete is being looked into anew."""
    return sync.hold if sync.state is SyncState.IDLE else None


def _watch(api: FleetApi, tenant: TenantId, generation: int) -> SyncBody:
    def look(show: Show) -> SyncBody | None:
        sync = api.tenant(tenant).sync
        if _held(sync) is not None:
            return sync
        if sync.result is not None and sync.result.generation >= generation:
            return sync
        show(running_job(sync) or "waiting for its turn")
        return None

    return watch(f"Syncing {tenant}", look)


@app.command("stop")
def stop_sync(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Stop the tenant's running ingestion job and take the tenant off the queue. Nothing is deleted."""

    def shown(body: SyncBody) -> Iterator[RenderableType]:
        stopping = f", job {literal(body.running_job_id)} is stopping" if body.running_job_id else ""
        yield f"{DONE} Nothing is started for tenant {tenant} until a sync is requested{stopping}."

    present(FleetApi.of_stack(stack, region).stop_sync(tenant), shown, as_json=as_json)


@app.command("retry-failed")
def retry_failed(
    tenant: Tenant, wait: Wait = True, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None
) -> None:
    """Retry only the documents that failed; nothing else is synced. Those that can never be read as they are, are left
    out. Exit code 1 when some still fail."""
    api = FleetApi.of_stack(stack, region)
    retry = api.retry_documents(tenant)
    if wait:
        retry = _watch_retry(api, tenant, retry)
    trouble = _trouble(tenant, retry)

    def shown(retry: DocumentRetryBody) -> Iterator[RenderableType]:
        if retry.ended_at is None:
            yield f"The failed documents of tenant {tenant} are being tried again."
        elif not trouble and retry.fixed:
            fixed = counted(retry.fixed, "document")
            yield f"{DONE} {fixed} of tenant {tenant} {'is' if retry.fixed == 1 else 'are'} fixed, and none failed."
        elif not trouble:
            yield (
                f"Nothing was retried: no document of tenant {tenant} is in the list of those that failed. "
                f"`kbfleet documents {tenant} --failed` says whether all are known."
            )

    present(retry, shown, as_json=as_json)
    if trouble:
        stop(trouble)


def _watch_retry(api: FleetApi, tenant: TenantId, requested: DocumentRetryBody) -> DocumentRetryBody:
    def look(show: Show) -> DocumentRetryBody | None:
        retry = api.document_retry(tenant) or requested
        show(tried(retry))
        return retry if retry.ended_at is not None else None

    return watch(f"Trying the failed documents of {tenant} again", look)


def _trouble(tenant: TenantId, retry: DocumentRetryBody) -> str:
    """Empty while it goes on, and where all went well."""
    if retry.ended_at is None:
        return ""
    if retry.stopped:
        return f"The retry stopped early: {retry.stopped}"
    if retry.failed or retry.unanswered or retry.skipped:
        unanswered = f", {retry.unanswered} got no answer in time" if retry.unanswered else ""
        skipped = (
            f", {retry.skipped} were not tried: no retry helps, they have to be fixed and uploaded again"
            if retry.skipped
            else ""
        )
        return (
            f"Of the documents that were retried, {retry.fixed} are fixed, {retry.failed} failed again"
            f"{unanswered}{skipped}. "
            f"`kbfleet documents {tenant} --failed` says why."
        )
    return ""
