"""Commands of `kbfleet`. Exit codes: 0 it is done; 1 it failed, or what was asked about is not well; 2 the input is not
acceptable."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.dead_letter_queues import QUEUES, named
from cli.dead_letters import DeadLetters, Waiting
from cli.doctor import Finding, examine
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_stack import FleetStack
from kbfleet.contracts import parse
from kbfleet.contracts.asking import AskRequest, AskResponse
from kbfleet.contracts.documents import DocumentRetryBody, DocumentTraceBody, FailedDocumentsBody
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.contracts.tenants import ExecutionBody, JobsBody, SyncBody, TenantBody, TenantsBody
from kbfleet.contracts.usage import UsageBody, UsageCountsBody
from kbfleet.domain.answer import DEFAULT_PASSAGES
from kbfleet.domain.document_trace import ObjectKey, Verdict
from kbfleet.domain.documents import FailureStatus
from kbfleet.domain.errors import InvalidInput, KbfleetError
from kbfleet.domain.ingestion import FailureReason, Outcome
from kbfleet.domain.tenant import MAX_RETENTION_DAYS, DisplayName, TenantId, TenantStatus
from kbfleet.domain.uploads import DocumentKey, Upload
from kbfleet.domain.usage_plan import Tier

_FAILED = 1
_BAD_INPUT = 2
_POLL_SECONDS = 1.0

Result = TypeVar("Result")

app = typer.Typer(
    help="Runs a fleet of Amazon Bedrock Knowledge Bases, one per tenant.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
tenants = typer.Typer(help="The fleet's tenants.", no_args_is_help=True)
app.add_typer(tenants, name="tenant")
syncs = typer.Typer(help="Bringing a tenant's documents into its knowledge base.", no_args_is_help=True)
app.add_typer(syncs, name="sync")
ingestion_jobs = typer.Typer(help="What a tenant's ingestion jobs did.", no_args_is_help=True)
app.add_typer(ingestion_jobs, name="jobs")
out = Console()
err = Console(stderr=True)

Tenant = Annotated[str, typer.Argument(help="The tenant's id: 3 to 32 of a-z, 0-9 and single hyphens.")]
Stack = Annotated[str, typer.Option(help="CloudFormation stack of the fleet.", envvar="KBFLEET_STACK")]
Region = Annotated[str | None, typer.Option(help="AWS Region of the fleet.", envvar="AWS_REGION")]
Wait = Annotated[bool, typer.Option(help="Wait for the end, showing progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@contextmanager
def _explained() -> Iterator[None]:
    """Every expected failure as one sentence on standard error and a documented exit code."""
    try:
        yield
    except (InvalidInput, KbfleetError) as error:
        _stop(str(error), _BAD_INPUT)
    except Refused as error:
        _stop(error.detail, _BAD_INPUT if 400 <= error.status < 500 and error.status != 429 else _FAILED)
    except FleetUnreachable as error:
        _stop(str(error), _FAILED)
    except KeyboardInterrupt:
        _stop("Stopped watching. What was started goes on; run the same command to watch again.", 130)


def _stop(message: str, code: int) -> NoReturn:
    err.print(f"[red]✗[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(code)


class _Progress:
    """Says what is going on: a spinner with the elapsed time on a terminal, a line at each change elsewhere. Not where
    results go: a program may read those."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._shown = ""
        self._status = err.status(escape(what)) if err.is_terminal else None

    def __enter__(self) -> _Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, state: str) -> None:
        seconds = time.monotonic() - self._began
        if self._status:
            self._status.update(f"{escape(self._what)} · {escape(state)} · {seconds:.0f} s")
        elif state != self._shown:
            err.print(f"  {escape(self._what)}: {escape(state)}", soft_wrap=True)
        self._shown = state


def _until(look: Callable[[], Result | None]) -> Result:
    """Looks again every second until there is a result."""
    while (result := look()) is None:
        time.sleep(_POLL_SECONDS)
    return result


@tenants.command("add")
def add_tenant(
    tenant: Tenant,
    name: Annotated[str | None, typer.Option(help="The tenant's name for people.")] = None,
    knowledge_store: Annotated[
        str | None, typer.Option(help="Where its vectors live; the stack's default else.")
    ] = None,
    tier: Annotated[
        Tier | None,
        typer.Option(case_sensitive=False, help="How much it may ask; STANDARD for a new tenant, unchanged else."),
    ] = None,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Add a tenant, or bring an existing one back to what it should be. Safe to run any number of times."""
    with _explained():
        tenant_id = TenantId(tenant)
        api = FleetApi.of_stack(stack, region)
        execution = api.provision(tenant_id, DisplayName(name) if name is not None else None, knowledge_store, tier)
        if wait:
            execution = _watch_provisioning(api, tenant_id, execution.execution)
        _report_provisioning(tenant_id, execution, as_json=as_json)


def _watch_provisioning(api: FleetApi, tenant_id: TenantId, name: str) -> ExecutionBody:
    with _Progress(f"Provisioning {tenant_id}") as progress:

        def look() -> ExecutionBody | None:
            execution = api.provisioning(tenant_id, name)
            progress.show(execution.step or "starting")
            return execution if execution.status != "RUNNING" else None

        return _until(look)


def _report_provisioning(tenant_id: TenantId, execution: ExecutionBody, *, as_json: bool) -> None:
    if as_json:
        out.print_json(execution.model_dump_json())
    elif execution.status == "SUCCEEDED":
        out.print(f"[green]✓[/] Tenant {tenant_id} is active.")
    elif execution.status == "RUNNING":
        out.print(f"Tenant {tenant_id} is being provisioned by execution {execution.execution}.", soft_wrap=True)
    if execution.status not in {"SUCCEEDED", "RUNNING"}:
        _stop(f"Provisioning {tenant_id} {execution.status} at {execution.step}: {execution.reason}", _FAILED)


@tenants.command()
def suspend(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Refuse a tenant's questions and stop its syncs. Everything is kept."""
    with _explained():
        body = FleetApi.of_stack(stack, region).suspend(TenantId(tenant))
        _report_status(body, "is suspended: no questions, no syncs, everything kept", as_json=as_json)


@tenants.command()
def resume(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Take back a suspension, or an offboarding that has not begun to delete."""
    with _explained():
        body = FleetApi.of_stack(stack, region).resume(TenantId(tenant))
        _report_status(body, "is in service again", as_json=as_json)


def _report_status(body: TenantBody, what: str, *, as_json: bool) -> None:
    if as_json:
        out.print_json(body.model_dump_json())
    else:
        out.print(f"[green]✓[/] Tenant {body.tenant_id} {what}.")


@tenants.command()
def offboard(
    tenant: Tenant,
    retention_days: Annotated[
        int | None, typer.Option(help="Days until deletion; the stack's setting else.", min=0, max=MAX_RETENTION_DAYS)
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(help="The tenant's id once more, instead of being asked for it.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the receipt, showing progress.")] = False,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Take a tenant out of service and delete everything of it after the retention period. Ends with a receipt."""
    with _explained():
        tenant_id = TenantId(tenant)
        api = FleetApi.of_stack(stack, region)
        body = api.tenant(tenant_id)
        if body.status is not TenantStatus.OFFBOARDED:
            _confirm(tenant_id, confirm)
            execution = api.offboard(tenant_id, retention_days).execution
            body = _watch_offboarding(api, tenant_id, execution, to_the_end=wait)
        _report_offboarding(body, as_json=as_json)


def _confirm(tenant_id: TenantId, given: str | None) -> None:
    """Raises: InvalidInput when the answer is not the tenant's id."""
    answer = given or typer.prompt(
        f"All documents, vectors and records of {tenant_id} will be deleted. Type its id to go on", err=True
    )
    if answer != tenant_id:
        raise InvalidInput("confirm", f"{answer!r} is not {tenant_id}; nothing was done.")


def _watch_offboarding(api: FleetApi, tenant_id: TenantId, name: str, *, to_the_end: bool) -> TenantBody:
    """Until the execution has ended, or the tenant is out of service when that is enough."""
    with _Progress(f"Offboarding {tenant_id}") as progress:

        def look() -> TenantBody | None:
            execution = api.offboarding(tenant_id, name)
            if execution.status not in {"RUNNING", "SUCCEEDED"}:
                _stop(f"Offboarding {tenant_id} {execution.status} at {execution.step}: {execution.reason}", _FAILED)
            progress.show(execution.step or "starting")
            body = api.tenant(tenant_id)
            out_of_service = body.status is TenantStatus.OFFBOARDING and not to_the_end
            return body if out_of_service or execution.status == "SUCCEEDED" else None

        return _until(look)


def _report_offboarding(body: TenantBody, *, as_json: bool) -> None:
    if as_json:
        out.print_json(body.model_dump_json())
    elif body.erasure:
        out.print(f"[green]✓[/] Tenant {body.tenant_id} is offboarded. Verified at {_time(body.erasure.verified_at)}:")
        for resource in body.erasure.erased:
            out.print(f"  {resource.kind} {escape(resource.name)} is gone", soft_wrap=True)
        for kind in body.erasure.kept:
            out.print(f"  {kind} is kept")
    elif body.offboarding and body.offboarding.deletion_began_at:
        out.print(f"Tenant {body.tenant_id} is being deleted.")
    elif body.offboarding:
        out.print(
            f"Tenant {body.tenant_id} is out of service. Everything is deleted after "
            f"{_time(body.offboarding.delete_after)}; until then, "
            f"`kbfleet tenant resume {body.tenant_id}` takes it back.",
            soft_wrap=True,
        )
    else:
        out.print(f"Tenant {body.tenant_id} is {body.status}: the offboarding was taken back.")


@app.command()
def reconcile(
    repair: Annotated[
        bool, typer.Option("--repair", help="Provision tenants that miss something. Deletes nothing.")
    ] = False,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Compare the tenants' records with the resources that are there. Exit code 1 when they do not agree."""
    with _explained():
        report = FleetApi.of_stack(stack, region).reconcile(repair=repair)
        if as_json:
            out.print_json(report.model_dump_json())
        else:
            _print_reconciliation(report)
        if report.findings and not repair:
            raise typer.Exit(_FAILED)


def _print_reconciliation(report: ReconciliationDetail) -> None:
    out.print(f"{report.tenants} tenants and {report.resources} resources: ", end="")
    out.print("[green]they agree.[/]" if not report.findings else f"[red]{len(report.findings)} disagreements.[/]")
    for finding in report.findings:
        out.print(
            f"  {finding.disagreement} {finding.kind} {escape(finding.name)}: {escape(finding.advice)}", soft_wrap=True
        )
    for tenant_id in report.repairs:
        out.print(f"  Provisioning of {tenant_id} is started.")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"


@tenants.command("show")
def show_tenant(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Show a tenant: lifecycle, resources, how fresh its knowledge is, and how its last sync ended."""
    with _explained():
        tenant_id = TenantId(tenant)
        body = FleetApi.of_stack(stack, region).tenant(tenant_id)
        if as_json:
            out.print_json(body.model_dump_json())
        else:
            out.print(_tenant_table(body))


def _tenant_table(body: TenantBody) -> Table:
    table = Table(show_header=False, title=f"{body.tenant_id} · {escape(body.name)}", title_justify="left")
    colour = {TenantStatus.ACTIVE: "green", TenantStatus.FAILED: "red"}.get(body.status, "yellow")
    rows: list[tuple[str, object]] = [
        ("Status", f"[{colour}]{body.status}[/]"),
        ("Knowledge base", body.knowledge_base_id),
        ("Data source", body.data_source_id),
        ("Bucket", body.bucket_name),
        ("Knowledge store", body.knowledge_store),
        ("Tier", body.tier),
        ("Synced at", _time(body.sync.synced_at) if body.sync.synced_at else "never"),
        ("Pending changes", f"since {_time(body.sync.pending_since)}" if body.sync.pending_since else "none"),
        ("Sync", f"{body.sync.state}" + (f", job {body.sync.running_job_id}" if body.sync.running_job_id else "")),
    ]
    if body.sync.result:
        result = body.sync.result
        outcome_colour = "green" if result.outcome is Outcome.SUCCEEDED else "red"
        rows.append(("Last sync", f"[{outcome_colour}]{result.outcome}[/], job {result.ingestion_job_id or 'refused'}"))
        rows += [("", line) for line in _reason_lines(result.failure_reasons)]
    rows += [("Drift", escape(drift)) for drift in body.drift]
    if body.offboarding:
        rows.append(("Deleted after", _time(body.offboarding.delete_after)))
    if body.erasure:
        rows.append(("Erased", _time(body.erasure.verified_at)))
    if body.failure:
        rows.append(("Failed at", escape(f"{body.failure.step}: {body.failure.reason}")))
    for name, value in rows:
        table.add_row(name, str(value) if value is not None else "—")
    return table


def _reason_lines(reasons: tuple[FailureReason, ...]) -> Iterator[str]:
    for reason in reasons:
        yield escape(reason.text)
        yield from (escape(f"  {uri}") for uri in reason.documents)


@syncs.command("start")
def start_sync(
    tenant: Tenant, wait: Wait = True, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None
) -> None:
    """Ingest the tenant's documents now."""
    with _explained():
        tenant_id = TenantId(tenant)
        api = FleetApi.of_stack(stack, region)
        requested = api.request_sync(tenant_id)
        body = _watch_sync(api, tenant_id, requested.requested_generation) if wait else requested
        if as_json:
            out.print_json(body.model_dump_json())
        if not wait:
            if not as_json:
                out.print(f"A sync of tenant {tenant_id} is requested.")
            return
        _report_sync(tenant_id, body, as_json=as_json)


@syncs.command("stop")
def stop_sync(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Stop the tenant's running ingestion job and take the tenant off the queue."""
    with _explained():
        tenant_id = TenantId(tenant)
        body = FleetApi.of_stack(stack, region).stop_sync(tenant_id)
        if as_json:
            out.print_json(body.model_dump_json())
        else:
            stopping = f", job {body.running_job_id} is stopping" if body.running_job_id else ""
            out.print(f"[green]✓[/] Nothing is started for tenant {tenant_id} until a sync is requested{stopping}.")


def _watch_sync(api: FleetApi, tenant_id: TenantId, generation: int) -> SyncBody:
    with _Progress(f"Syncing {tenant_id}") as progress:

        def look() -> SyncBody | None:
            sync = api.tenant(tenant_id).sync
            if sync.result is not None and sync.result.generation >= generation:
                return sync
            running = f"job {sync.running_job_id} {sync.running_job_status}" if sync.running_job_id else None
            progress.show(running or "waiting for its turn")
            return None

        return _until(look)


def _report_sync(tenant_id: TenantId, body: SyncBody, *, as_json: bool) -> None:
    if body.result is None:
        return
    if body.result.outcome is Outcome.SUCCEEDED:
        if not as_json:
            out.print(f"[green]✓[/] Tenant {tenant_id} is in sync (job {body.result.ingestion_job_id}).")
        return
    reasons = "\n  ".join(
        line
        for reason in body.result.failure_reasons
        for line in (reason.text, *(f"  {uri}" for uri in reason.documents))
    )
    _stop(f"The sync of tenant {tenant_id} ended {body.result.outcome}:\n  {reasons}", _FAILED)


@ingestion_jobs.command("list")
def list_jobs(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Show the tenant's newest ingestion jobs: what they read, and how they ended."""
    with _explained():
        body = FleetApi.of_stack(stack, region).jobs(TenantId(tenant))
        if as_json:
            out.print_json(body.model_dump_json())
        elif body.jobs:
            out.print(_jobs_table(body))
        else:
            out.print(f"Tenant {tenant} has no ingestion jobs yet.")


def _jobs_table(body: JobsBody) -> Table:
    table = Table("Job", "Started", "Status", "Read", "Indexed", "Deleted", "Failed", "Why")
    for job in body.jobs:
        counts = job.statistics
        state = job.outcome or job.status
        colour = {Outcome.SUCCEEDED: "green", None: "yellow"}.get(job.outcome, "red")
        table.add_row(
            job.ingestion_job_id or "refused",
            _time(job.started_at or job.occurred_at),
            f"[{colour}]{state}[/]",
            str(counts.scanned),
            str(counts.new + counts.modified),
            str(counts.deleted),
            str(counts.failed),
            escape("\n".join(reason.text for reason in job.failure_reasons)),
        )
    return table


@app.command()
def upload(
    tenant: Tenant,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The document.")],
    key: Annotated[str | None, typer.Option(help="Where it goes, such as handbook/rules.pdf; its name else.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="An attribute as name=value, by which answers can be filtered; repeatable.")
    ] = None,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Upload a document of a tenant. It is synced by itself."""
    with _explained():
        tenant_id = TenantId(tenant)
        wanted = Upload(DocumentKey(key or file.name), file.stat().st_size, metadata=_attributes(metadata or []))
        api = FleetApi.of_stack(stack, region)
        with _Progress(f"Uploading {file.name}") as progress:
            progress.show("asking for leave")
            form = api.grant_upload(tenant_id, wanted)
            progress.show(f"sending {wanted.size:,} bytes")
            api.upload(form, file.read_bytes())
        if as_json:
            out.print_json(data={"tenant_id": tenant_id, "key": wanted.key, "size": wanted.size})
        else:
            out.print(f"[green]✓[/] {escape(wanted.key)} is uploaded, and will be synced soon.", soft_wrap=True)


def _attributes(pairs: list[str]) -> dict[str, str]:
    """Raises: InvalidInput."""
    attributes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput("metadata", f"{pair!r} is not name=value.")
        attributes[name] = value
    return attributes


@app.command()
def usage(
    tenant: Tenant,
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, in UTC.")] = None,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Show what a tenant's questions used, by day; of the current month, unless other days are asked for."""
    with _explained():
        days = [day.date() if day else None for day in (first, last)]
        body = FleetApi.of_stack(stack, region).usage(TenantId(tenant), *days)
        if as_json:
            out.print_json(body.model_dump_json())
        else:
            out.print(_usage_table(body))


def _usage_table(body: UsageBody) -> Table:
    table = Table(
        "Day", title=f"{body.tenant_id} · {body.first_day} to {body.last_day}", title_justify="left", show_footer=True
    )
    table.columns[0].footer = "Total"
    for header, footer in zip(_USAGE_COLUMNS, _usage_row(body.total), strict=True):
        table.add_column(header, footer=footer, justify="right")
    for day in body.days:
        table.add_row(str(day.day), *_usage_row(day))
    if body.total.questions_without_tokens:
        table.caption = f"Of {body.total.questions_without_tokens} questions, the service did not tell the tokens."
    return table


_USAGE_COLUMNS = ("Questions", "Passages", "Citations", "Tokens in", "Tokens out", "Guarded")


def _usage_row(counts: UsageCountsBody) -> list[str]:
    numbers = (
        counts.questions,
        counts.passages,
        counts.citations,
        counts.input_tokens,
        counts.output_tokens,
        counts.guarded,
    )
    return [f"{number:,}" for number in numbers]


@app.command()
def documents(tenant: Tenant, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Show which of the tenant's documents could not be ingested, since when, and why."""
    with _explained():
        body = FleetApi.of_stack(stack, region).failed_documents(TenantId(tenant))
        if as_json:
            out.print_json(body.model_dump_json())
        elif body.documents:
            out.print(_documents_table(body))
        else:
            out.print(f"[green]✓[/] No document of tenant {tenant} is known to have failed.")
        if body.retry and body.retry.ended_at is None and not as_json:
            since = _time(body.retry.requested_at)
            out.print(f"Documents are being tried again since {since}: {_tried(body.retry)}.", soft_wrap=True)


def _documents_table(body: FailedDocumentsBody) -> Table:
    table = Table("Document", "Reason", "Since", "Times", "Set aside")
    for document in sorted(body.documents, key=lambda document: (document.since, document.uri), reverse=True):
        aside = "yes" if document.status is FailureStatus.SET_ASIDE else "no"
        table.add_row(escape(document.uri), escape(document.reason), _time(document.since), str(document.times), aside)
    return table


@app.command()
def why(
    tenant: Tenant,
    key: Annotated[str, typer.Argument(help="Of the document, such as handbook/rules.pdf.")],
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Say why a document is not found: where it is stuck on its way into answers. Exit code 1 when it is."""
    with _explained():
        body = FleetApi.of_stack(stack, region).why(TenantId(tenant), ObjectKey(key))
        if as_json:
            out.print_json(body.model_dump_json())
        else:
            _print_trace(body)
        if body.stuck_at is not None:
            raise typer.Exit(_FAILED)


def _print_trace(body: DocumentTraceBody) -> None:
    signs = {Verdict.PASSED: "[green]✓[/]", Verdict.WAITING: "[yellow]…[/]", Verdict.BROKEN: "[red]✗[/]"}
    for hop in body.hops:
        name = hop.hop.lower().replace("_", " ")
        out.print(f"{signs[hop.verdict]} {name}: {escape(hop.finding)}", soft_wrap=True)
        if hop.advice:
            out.print(f"  → {escape(hop.advice)}", soft_wrap=True)


@syncs.command("retry-failed")
def retry_failed(
    tenant: Tenant, wait: Wait = True, as_json: Json = False, stack: Stack = "kbfleet", region: Region = None
) -> None:
    """Ingest only the documents that failed again, without syncing everything. Exit code 1 when some still fail."""
    with _explained():
        tenant_id = TenantId(tenant)
        api = FleetApi.of_stack(stack, region)
        retry = api.retry_documents(tenant_id)
        if wait:
            retry = _watch_retry(api, tenant_id, retry)
        if as_json:
            out.print_json(retry.model_dump_json())
        _report_retry(tenant_id, retry, as_json=as_json)


def _watch_retry(api: FleetApi, tenant_id: TenantId, requested: DocumentRetryBody) -> DocumentRetryBody:
    with _Progress(f"Trying the failed documents of {tenant_id} again") as progress:

        def look() -> DocumentRetryBody | None:
            retry = api.document_retry(tenant_id) or requested
            progress.show(_tried(retry))
            return retry if retry.ended_at is not None else None

        return _until(look)


def _tried(retry: DocumentRetryBody) -> str:
    return f"{retry.mended} mended, {retry.failed + retry.unanswered} not, {retry.under_way} under way"


def _report_retry(tenant_id: TenantId, retry: DocumentRetryBody, *, as_json: bool) -> None:
    if retry.ended_at is None:
        if not as_json:
            out.print(f"The failed documents of tenant {tenant_id} are being tried again.")
        return
    if retry.stopped:
        _stop(f"The retry ended before its time: {retry.stopped}", _FAILED)
    if retry.failed or retry.unanswered:
        unanswered = f", {retry.unanswered} got no answer in time" if retry.unanswered else ""
        _stop(
            f"{retry.mended} documents are mended, {retry.failed} failed again{unanswered}. "
            f"`kbfleet documents {tenant_id}` says why.",
            _FAILED,
        )
    if not as_json:
        out.print(f"[green]✓[/] {retry.mended} documents of tenant {tenant_id} are mended, and none failed.")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="1 to 1,000 characters.")],
    token: Annotated[
        str, typer.Option(help="The user's bearer token; it says which tenant asks.", envvar="KBFLEET_TOKEN")
    ],
    session: Annotated[
        str | None, typer.Option(help="Of an earlier answer to the same user: takes the conversation up.")
    ] = None,
    passages: Annotated[int, typer.Option(help="How many the answer may rest on, 1 to 100.")] = DEFAULT_PASSAGES,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="""JSON in Bedrock's grammar, such as '{"equals": {"key": "department", "value": "sales"}}'.""",
        ),
    ] = None,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Ask a question as a tenant's user. The tenant is the one in the token."""
    with _explained():
        told = {"question": question, "session": session, "passages": passages, "filter": _json(filter_, "filter")}
        asked = parse(AskRequest, told)
        asked.to_domain()  # says what is wrong before anything is sent
        api = FleetApi.of_stack(stack, region)
        with _Progress("Asking") as progress:
            progress.show("waiting for the answer")
            answer = api.ask(asked, token)
        if as_json:
            out.print_json(answer.model_dump_json())
        else:
            _print_answer(answer)


def _json(text: str | None, field: str) -> Any:
    """Raises: InvalidInput."""
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InvalidInput(field, f"is no JSON: {error}.") from None


def _print_answer(answer: AskResponse) -> None:
    out.print(escape(answer.answer), soft_wrap=True)
    sources = {source.uri: source for citation in answer.citations for source in citation.sources}
    for number, source in enumerate(sources.values(), start=1):
        page = f", page {source.page}" if source.page is not None else ""
        out.print(f"  [dim]\\[{number}] {escape(source.document)}{page}[/]", soft_wrap=True)
    if answer.freshness.pending_changes:
        out.print("  [yellow]Some changes to the documents are not part of this answer yet.[/]")
    out.print(f"  [dim]To go on: --session {answer.session}[/]", soft_wrap=True)


# --- the fleet as a whole ---


@app.command()
def doctor(as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Check the fleet place by place, with your own AWS credentials. Exit code 1 when anything is wrong or unknown."""
    with _explained():
        findings: list[Finding] = []
        for finding in examine(FleetStack.named(stack, region)):
            findings.append(finding)
            if not as_json:
                _print_finding(finding)
        if as_json:
            out.print_json(data=[asdict(finding) for finding in findings])
        wrong = sum(finding.counts for finding in findings)
        if not as_json:
            out.print(f"[red]{wrong} things need attention.[/]" if wrong else "[green]The fleet is well.[/]")
        if wrong:
            raise typer.Exit(_FAILED)


def _print_finding(finding: Finding) -> None:
    signs = {"WELL": "[green]✓[/]", "NOTE": "[yellow]![/]", "WRONG": "[red]✗[/]", "UNKNOWN": "[red]?[/]"}
    out.print(f"{signs[finding.verdict]} {finding.check}: {escape(finding.finding)}", soft_wrap=True)
    if finding.advice:
        out.print(f"  → {escape(finding.advice)}", soft_wrap=True)


# --- tenants ---


@tenants.command("list")
def list_tenants(
    status: Annotated[
        TenantStatus | None, typer.Option(case_sensitive=False, help="Only tenants of that status.")
    ] = None,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Show all tenants: status, tier, how fresh their knowledge is, and how their last sync ended."""
    with _explained():
        body = FleetApi.of_stack(stack, region).tenants(status)
        if as_json:
            out.print_json(body.model_dump_json())
        elif body.tenants:
            out.print(_tenants_table(body))
        else:
            out.print(f"No tenant is {status}." if status else "There are no tenants yet.")


def _tenants_table(body: TenantsBody) -> Table:
    table = Table("Tenant", "Name", "Status", "Tier", "Synced at", "Pending changes", "Last sync")
    for each in body.tenants:
        colour = {TenantStatus.ACTIVE: "green", TenantStatus.FAILED: "red"}.get(each.status, "yellow")
        outcome = {Outcome.SUCCEEDED: "[green]SUCCEEDED[/]", None: "—"}
        table.add_row(
            each.tenant_id,
            escape(each.name),
            f"[{colour}]{each.status}[/]",
            each.tier,
            _time(each.synced_at) if each.synced_at else "never",
            f"since {_time(each.pending_since)}" if each.pending_since else "none",
            outcome.get(each.last_outcome, f"[red]{each.last_outcome}[/]"),
        )
    table.caption = f"{len(body.tenants)} tenants"
    return table


# --- dead-letter queues ---

dead_letter_queues = typer.Typer(help="What could not be handled, and waits for people.", no_args_is_help=True)
app.add_typer(dead_letter_queues, name="dlq")


@dead_letter_queues.command("list")
def list_dead_letters(as_json: Json = False, stack: Stack = "kbfleet", region: Region = None) -> None:
    """Show what waits in the dead-letter queues, since when, and why. Exit code 1 when anything does."""
    with _explained():
        waiting = list(DeadLetters(FleetStack.named(stack, region)).waiting())
        if as_json:
            out.print_json(data=[_waiting_json(each) for each in waiting])
        elif any(each.messages for each in waiting):
            out.print(_dead_letters_table(waiting))
        else:
            out.print(f"[green]✓[/] Nothing waits in the {len(waiting)} dead-letter queues.")
        if any(each.messages for each in waiting):
            raise typer.Exit(_FAILED)


def _waiting_json(waiting: Waiting) -> dict[str, object]:
    return {
        "queue": waiting.queue.name,
        "resource": waiting.queue.resource,
        "messages": waiting.messages,
        "oldest_sent_at": waiting.oldest_sent_at.isoformat() if waiting.oldest_sent_at else None,
        "reasons": list(waiting.reasons),
        "meaning": waiting.queue.meaning,
        "page": f"docs/runbook/{waiting.queue.page}.md",
    }


def _dead_letters_table(waiting: list[Waiting]) -> Table:
    table = Table("Queue", "Messages", "Oldest seen", "What it means", "Reasons seen", "Runbook")
    for each in waiting:
        if each.messages:
            oldest = _time(each.oldest_sent_at) if each.oldest_sent_at else "—"
            reasons = escape("\n".join(each.reasons)) or "—"
            table.add_row(each.queue.name, str(each.messages), oldest, each.queue.meaning, reasons, each.queue.page)
    return table


@dead_letter_queues.command("redrive")
def redrive_dead_letters(
    queue: Annotated[
        str,
        typer.Argument(
            help="Its name, as `kbfleet dlq list` shows it.", autocompletion=lambda: [each.name for each in QUEUES]
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = "kbfleet",
    region: Region = None,
) -> None:
    """Give what waits back to whom it was meant for; remove the cause first. Exit code 1 when some of it stays."""
    with _explained():
        wanted = named(queue)
        if wanted is None:
            raise InvalidInput("queue", f"there is no {queue!r}; there are: {', '.join(each.name for each in QUEUES)}.")
        steps = DeadLetters(FleetStack.named(stack, region)).redrive(wanted)
        state = next(steps)
        asked = f"Give {state.total} messages back to {wanted.returns_to}?"
        if not state.ended and not yes and not typer.confirm(asked, err=True):
            raise InvalidInput("queue", "nothing was done.")
        with _Progress(f"Redriving {wanted.name}") as progress:
            while not state.ended:
                state = next(steps)
                progress.show(f"{state.moved} of {state.total}")
                if not state.ended and wanted.returns_to_a_queue:
                    time.sleep(_POLL_SECONDS)
        if as_json:
            out.print_json(data={"queue": wanted.name, **asdict(state)})
        if state.refused:
            _stop(f"{state.moved} of {state.total} went back; the others stay: {state.refused}", _FAILED)
        if not as_json:
            out.print(f"[green]✓[/] {state.moved} messages of {wanted.name} went back to {wanted.returns_to}.")


def main() -> None:
    """Entry point of the console script."""
    sys.exit(app())
