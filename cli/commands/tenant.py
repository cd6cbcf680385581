"""`kbfleet tenant`: the fleet's tenants, from their first provisioning to the receipt of their erasure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, AnyTenant, Json, NewTenant, Region, Stack, Tenant, Wait
from cli.costs.rebuilding import cost_of_rebuilding
from cli.diagnosis import shown_of_diagnosis
from cli.documents_left_out import left_out
from cli.exit_codes import BAD_INPUT, INTERRUPTED, stop
from cli.failure_reasons import reason_lines
from cli.fleet_api import FleetApi
from cli.fleet_import import MOST_BYTES, FleetImport, Imported, read
from cli.fleet_import import Outcome as ImportOutcome
from cli.fleet_rebuild import FleetRebuild, Rebuilt
from cli.fleet_rebuild import Outcome as FleetOutcome
from cli.fleet_status import troubles_listing
from cli.job_progress import lasting, running_job
from cli.progress import Progress, Show, watch
from cli.terminal import DONE, Column, Details, Listing, counted, err, literal, moment, moment_in_table, present
from kbfleet.contracts.questions import QuestionStandBody
from kbfleet.contracts.rebuilds import AN_HOUR, MAX_KEEP_HOURS, BesideBody, ComparisonBody, MeasuredBody
from kbfleet.contracts.tenants import ExecutionBody, ListedTenantBody, SyncBody, TenantBody, TenantsBody, TroubleBody
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.fleet_overview import of_regressions
from kbfleet.domain.harm import Harm, told_first
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.knowledges import KEPT_FOR, TOLERANCE, Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import DEFAULT_PROFILE, ProfileName
from kbfleet.domain.tenant import MAX_RETENTION_DAYS, DisplayName
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier

app = typer.Typer(help="The fleet's tenants.", no_args_is_help=True)

Profile = Annotated[
    ProfileName | None,
    typer.Option(
        parser=ProfileName,
        metavar="PROFILE",
        help="How its documents become knowledge and its questions are answered, in the profile's newest version; "
        "default for what the stack's parameters say.",
    ),
]
Name = Annotated[
    DisplayName | None, typer.Option(parser=DisplayName, metavar="TEXT", help="The tenant's name for people.")
]


@app.command("add")
def add_tenant(
    tenant: NewTenant,
    name: Name = None,
    knowledge_store: Annotated[
        str | None, typer.Option(help="Where its vectors live. By default, where the stack says.")
    ] = None,
    tier: Annotated[
        Tier | None,
        typer.Option(
            case_sensitive=False,
            help="How much it may ask. By default, STANDARD for a new tenant, and unchanged for an existing one.",
        ),
    ] = None,
    profile: Profile = None,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Add a tenant, or bring an existing one back to what it should be. Safe to run any number of times."""
    api = FleetApi.of_stack(stack, region)
    execution = api.provision(tenant, name, knowledge_store, tier, profile)
    _see_it_provisioned(api, tenant, execution, "active", wait=wait, as_json=as_json)


@app.command("import")
def import_tenants(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            exists=True,
            dir_okay=False,
            readable=True,
            help="In UTF-8; the first line names the columns: tenant, and of name, tier, profile and knowledge_store "
            "what is wanted.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Add the tenants of a file, a hundred at a time. Run again, it goes on where it was."""
    if file.stat().st_size > MOST_BYTES:
        raise InvalidInput("FILE", f"has more than {MOST_BYTES:,} bytes.")
    wanted, unreadable = read(file.read_bytes())
    if unreadable:
        present({"tenants": unreadable}, lambda _: _shown_of_import(unreadable), as_json=as_json)
        number = counted(len(unreadable), "line")
        stop(f"{number} cannot be read: the whole file is refused, and nothing was done.", BAD_INPUT)
    everybody = FleetImport(FleetApi.of_stack(stack, region))
    if dry_run:
        planned = list(everybody.planned(wanted))
        present({"tenants": planned}, lambda _: _shown_of_import(planned, dry_run=True), as_json=as_json)
        return
    interrupted = False
    try:
        everybody.run(wanted)
    except KeyboardInterrupt:
        interrupted = True
    ended = everybody.ended
    present({"tenants": ended}, lambda _: _shown_of_import(ended), as_json=as_json)
    if interrupted:
        stop("Interrupted. What was begun goes on by itself; the same command goes on with the others.", INTERRUPTED)
    if troubles := sum(each.outcome.is_trouble for each in ended):
        stop(f"{counted(troubles, 'line')} did not come to the end that was wanted.")


def _shown_of_import(ended: Sequence[Imported], *, dry_run: bool = False) -> Iterator[RenderableType]:
    number = Counter(each.outcome for each in ended)
    said = ", ".join(f"{number[outcome]:,} {outcome}" for outcome in ImportOutcome if number[outcome])
    yield f"{'Nothing is done; it would be' if dry_run else 'Tenants'}: {said or 'none'}."
    for each in ended:
        if each.outcome.is_trouble:
            yield f"  line {each.line}, {literal(each.tenant)}: [red]{each.outcome}[/] {literal(each.reason)}"


def _see_it_provisioned(
    api: FleetApi, tenant: TenantId, execution: ExecutionBody, what: str, *, wait: bool, as_json: bool
) -> None:
    if wait:
        execution = _watch_provisioning(api, tenant, execution.execution)
    status = api.tenant(tenant).status if execution.status == "SUCCEEDED" else None
    if status in {TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}:
        stop(
            f"Tenant {tenant} is {status}: that was requested at the same time, and came first. "
            f"`kbfleet tenant show {tenant}` says until when it can be taken back.",
            BAD_INPUT,
        )

    def shown(execution: ExecutionBody) -> Iterator[RenderableType]:
        if execution.status == "SUCCEEDED":
            suspended = status is TenantStatus.SUSPENDED
            stays = f", and stays suspended until `kbfleet tenant resume {tenant}`" if suspended else ""
            yield f"{DONE} Tenant {tenant} is {'converged' if suspended else what}{stays}."
        elif execution.status == "RUNNING":
            yield f"Tenant {tenant} is being provisioned by execution {literal(execution.execution)}."

    present(execution, shown, as_json=as_json)
    if execution.status not in {"SUCCEEDED", "RUNNING"}:
        stop(f"Provisioning {tenant} {execution.status} at {execution.step}: {execution.reason}")


def _watch_provisioning(api: FleetApi, tenant: TenantId, name: str) -> ExecutionBody:
    def look(show: Show) -> ExecutionBody | None:
        execution = api.provisioning(tenant, name)
        show(execution.step or "starting")
        return execution if execution.status != "RUNNING" else None

    return watch(f"Provisioning {tenant}", look)


@app.command("list")
def list_tenants(
    status: Annotated[
        TenantStatus | None,
        typer.Option(
            case_sensitive=False,
            help="Only tenants of that status. FAILED is one whose provisioning has failed, whatever became of its "
            "syncs.",
        ),
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only tenants with whom something is wrong, the worst first.")
    ] = False,
    last_sync: Annotated[
        Outcome | None, typer.Option(case_sensitive=False, help="Only tenants whose last sync ended so.")
    ] = None,
    sort: Annotated[
        Order | None,
        typer.Option(
            case_sensitive=False,
            help="freshness: first those whose documents have waited longest for a sync, then those synced long ago.",
        ),
    ] = None,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show all tenants: status, tier, how fresh their knowledge is, and how their last sync ended. With --problems,
    what is wrong with them, the worst first, and what to run."""

    def shown(body: TenantsBody) -> Iterator[RenderableType]:
        if not body.tenants:
            yield _none_of(status, problems=problems, last_sync=last_sync)
        elif problems:
            yield troubles_listing([each.trouble for each in body.tenants if each.trouble is not None], now)
        else:
            yield _tenants_listing(body)

    api, now = FleetApi.of_stack(stack, region), datetime.now(UTC)
    with Progress("Tenants") as progress:
        body = api.tenants(status, progress.count)
    if problems and any("trouble" not in each.model_fields_set for each in body.tenants):
        raise InvalidInput("--problems", "cannot be answered by a fleet of an older release: deploy this one.")
    listed = list(_with_questions(body.tenants, api.question_stands()) if problems else body.tenants)
    if problems:
        listed = [each for each in listed if each.trouble is not None]
        listed.sort(key=_worst_first(now))
    if last_sync is not None:
        listed = [each for each in listed if each.last_outcome is last_sync]
    if sort is Order.FRESHNESS:
        listed.sort(key=_stalest_first)
    present(body.model_copy(update={"tenants": tuple(listed)}), shown, as_json=as_json)


class Order(StrEnum):
    FRESHNESS = "freshness"


def _with_questions(
    tenants: Iterable[ListedTenantBody], stands: Sequence[QuestionStandBody]
) -> Iterator[ListedTenantBody]:
    """With golden questions that do not pass any more as their trouble, where nothing is worse."""
    regressed = {each.tenant_id: each for each in stands if each.regressions}
    for tenant in tenants:
        stand, known = regressed.get(tenant.tenant_id), tenant.trouble
        if stand is not None and (known is None or told_first(known.harm) > told_first(Harm.WRONG_ANSWERS)):
            number, since = len(stand.regressions), stand.regressed_since
            lost = TroubleBody.from_domain(of_regressions(tenant.tenant_id, number, since))
            yield tenant.model_copy(update={"trouble": lost})
        else:
            yield tenant


def _worst_first(now: datetime) -> Callable[[ListedTenantBody], tuple[int, datetime, str]]:
    def place(tenant: ListedTenantBody) -> tuple[int, datetime, str]:
        trouble = tenant.trouble
        harm, since = (trouble.harm, trouble.since) if trouble is not None else (Harm.MACHINERY_ONLY, None)
        return told_first(harm), since or now, str(tenant.tenant_id)

    return place


def _stalest_first(tenant: ListedTenantBody) -> tuple[datetime, datetime, str]:
    """Who was never synced comes before those who were, among those whose documents do not wait."""
    never, always = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return tenant.pending_since or always, tenant.synced_at or never, str(tenant.tenant_id)


def _none_of(status: TenantStatus | None, *, problems: bool, last_sync: Outcome | None) -> str:
    if problems:
        return (
            "Nothing is known to be wrong with any of these tenants. When they were last looked into, `kbfleet status` "
            "says."
        )
    if last_sync is not None:
        return f"The last sync of none of these tenants ended {last_sync}."
    if status is TenantStatus.FAILED:
        return (
            "No tenant has the status FAILED: no provisioning has failed. Which syncs have, the column Last sync of "
            "`kbfleet tenant list` shows."
        )
    return f"No tenant has the status {status}." if status else "There are no tenants yet."


def _tenants_listing(body: TenantsBody) -> Listing:
    return Listing(
        [
            Column("Tenant"),
            Column("Name", prose=True),
            Column("Status"),
            Column("Tier"),
            Column("Synced at (UTC)"),
            Column("Pending since"),
            Column("Last sync"),
        ],
        [
            (
                each.tenant_id,
                literal(each.name),
                _status(each.status),
                each.tier,
                moment_in_table(each.synced_at) if each.synced_at else "never",
                moment_in_table(each.pending_since) if each.pending_since else "—",
                _last_sync(each),
            )
            for each in body.tenants
        ],
        caption=f"{len(body.tenants)} tenant{'s' if len(body.tenants) != 1 else ''}",
    )


def _status(status: TenantStatus) -> str:
    colour = {TenantStatus.ACTIVE: "green", TenantStatus.FAILED: "red"}.get(status, "yellow")
    return f"[{colour}]{status}[/]"


def _last_sync(tenant: ListedTenantBody) -> str:
    """How it ended; or that the next one is held, which is why it stays the last."""
    if tenant.held_since is not None:
        return "[red]HELD[/]"
    return _outcome(tenant.last_outcome) if tenant.last_outcome else "—"


def _outcome(outcome: Outcome) -> str:
    return f"[{'green' if outcome is Outcome.SUCCEEDED else 'red'}]{outcome}[/]"


@app.command("show")
def show_tenant(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show a tenant: lifecycle, resources, how fresh its knowledge is, how its last sync ended, and how many of its
    golden questions pass."""
    api = FleetApi.of_stack(stack, region)
    known = api.tenant(tenant)
    stand = api.question_runs(tenant, 1).stand if known.status in _EXAMINED else None
    body = ShownTenantBody(**dict(known), golden_questions=stand)

    def shown(body: ShownTenantBody) -> Iterator[RenderableType]:
        yield _details(body, body.golden_questions)
        if body.status in _EXAMINED:
            yield from shown_of_diagnosis(api.diagnosis(tenant))

    present(body, shown, as_json=as_json)


class ShownTenantBody(TenantBody):
    """A tenant, and how its golden questions stand; `null` where it is out of service for good."""

    golden_questions: QuestionStandBody | None


_EXAMINED = {TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.FAILED}
"""The resources of others come and go."""


def _details(body: TenantBody, stand: QuestionStandBody | None) -> Details:
    rows: list[tuple[str, str]] = [
        ("Status", f"{_status(body.status)} since {moment(body.status_since)}"),
        *([("Life", str(body.life))] if body.life > 1 else []),
        ("Tier", body.tier),
        ("Resources", "as this version makes them" if body.converged else "[yellow]of another version of kbfleet[/]"),
        ("Bucket", _known(body.bucket_name)),
        ("Knowledge base", _known(body.knowledge_base_id)),
        ("Data source", _known(body.data_source_id)),
        ("Knowledge store", _known(body.knowledge_store)),
        ("Knowledge", _knowledge(body)),
        ("Profile", f"{body.profile}, version {body.profile_version}" if body.profile_version else str(body.profile)),
        ("Synced at", moment(body.sync.synced_at) if body.sync.synced_at else "never"),
        ("Pending changes", f"since {moment(body.sync.pending_since)}" if body.sync.pending_since else "none"),
        *([("Unnoticed changes", _unnoticed(body.changes_unnoticed_until))] if body.changes_unnoticed_until else []),
        (
            "Sync",
            f"{body.sync.state}" + (f", {literal(running)}" if (running := _running(body.sync)) else ""),
        ),
    ]
    if hold := body.sync.hold:
        rows += [
            ("Held", f"[red]HELD[/] since {moment(hold.since)}"),
            ("", literal(hold.sentence)),
            ("", f"{hold.way_out} `{literal(hold.command)}`"),
        ]
    if result := body.sync.result:
        rows.append(("Last sync", f"{_outcome(result.outcome)}, job {literal(result.ingestion_job_id or 'refused')}"))
        rows += [("", line) for line in reason_lines(result.failure_reasons)]
    rows += zip(["Documents left out", ""], left_out(body.sync), strict=False)
    if stand is not None:
        rows += zip(["Golden questions", ""], _golden_questions(stand), strict=False)
    rows += [("Drift", literal(drift)) for drift in body.drift]
    breached = f"[red]BREACHED[/] since {moment(body.breached_since)}" if body.breached_since else "no breach is known"
    rows.append(("Isolation", breached))
    rows += [("Not its own", f"[red]{literal(foreign)}[/]") for foreign in body.foreign]
    rows += _way_out(body)
    if body.erasure:
        rows.append(("Erased", moment(body.erasure.verified_at)))
    if body.failure:
        rows.append(("Failed at", literal(f"{body.failure.step}: {body.failure.reason}")))
    return Details(
        rows,
        title=f"{body.tenant_id} · {literal(body.name)}",
    )


def _running(sync: SyncBody) -> str | None:
    running, job = running_job(sync), sync.running_job
    return f"{running}, for {lasting(datetime.now(UTC) - job.started_at)}" if running and job else running


def _golden_questions(stand: QuestionStandBody) -> Iterator[str]:
    score = stand.score
    if not stand.questions:
        yield f"none; `kbfleet questions suggest {stand.tenant_id}` proposes some"
    elif score is None or stand.judged_at is None:
        yield f"{stand.questions}, not asked yet; `kbfleet questions run {stand.tenant_id}` asks them now"
    else:
        judged = score.passed + score.failed
        share = f"{score.passed} of {judged} pass ({score.passed / judged:.0%})" if judged else "none was judged"
        share = f"[red]{share}[/]" if score.failed else share
        unknown = f"[yellow]{score.not_asked} could not be asked[/]" if score.not_asked else ""
        by_answer = score.not_judged - score.not_asked
        left = ", ".join(filter(None, [unknown, f"{by_answer} judged by answers only" if by_answer else ""]))
        yield f"{share}{'; ' if left else ''}{left}; run of {moment(stand.judged_at)}"
        if stand.regressions:
            lost = f"{counted(len(stand.regressions), 'question')} known to pass before"
            yield f"[red]Regressed[/]: {lost}. `kbfleet questions results {stand.tenant_id}` says which"


def _unnoticed(until: datetime) -> str:
    return f"possible until {moment(until)}: from then on S3 tells of all, and the bucket is listed for those before"


def _way_out(body: TenantBody) -> Iterator[tuple[str, str]]:
    if body.offboarding is None:
        return
    yield "Deleted after", moment(body.offboarding.delete_after)
    if began := body.offboarding.deletion_began_at:
        yield "Taken back", f"not any more: its deletion began at {moment(began)}"
    else:
        yield "Taken back", f"by `kbfleet tenant resume {body.tenant_id}`, until its deletion begins"


def _knowledge(body: TenantBody) -> str:
    """Which one answers, and what is beside it."""
    if body.beside is None:
        return str(body.knowledge)
    failed = f"; [red]failed at {literal(body.beside.failure.step)}[/]" if body.beside.failure is not None else ""
    kept = f", kept until {moment(body.beside.keep_until)}" if body.beside.keep_until is not None else ""
    return f"{body.knowledge}; beside it {body.beside.knowledge}, {body.beside.role}{kept}{failed}"


def _known(value: str | None) -> str:
    return literal(value) if value is not None else "—"


@app.command("update")
def update_tenant(
    tenant: Tenant,
    name: Name = None,
    tier: Annotated[Tier | None, typer.Option(case_sensitive=False, help="How much it may ask.")] = None,
    profile: Profile = None,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Change an existing tenant: its name, how much it may ask, or its profile. Its store cannot be changed."""
    if name is None and tier is None and profile is None:
        raise InvalidInput("update", "nothing to change is given.", remedy="Give --name, --tier or --profile.")
    api = FleetApi.of_stack(stack, region)
    execution = api.update(tenant, name, tier, profile)
    _see_it_provisioned(api, tenant, execution, "updated", wait=wait, as_json=as_json)


@app.command()
def suspend(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Refuse a tenant's questions and stop its syncs. Everything is kept."""
    present(
        FleetApi.of_stack(stack, region).suspend(tenant),
        lambda _: [f"{DONE} Tenant {tenant} is suspended: no questions, no syncs, everything kept."],
        as_json=as_json,
    )


@app.command()
def resume(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Take back a suspension, or an offboarding that has not begun to delete."""
    present(
        FleetApi.of_stack(stack, region).resume(tenant),
        _shown_of_resumption,
        as_json=as_json,
    )


def _shown_of_resumption(body: TenantBody) -> Iterator[RenderableType]:
    if body.status is TenantStatus.SUSPENDED:
        yield (
            f"{DONE} Tenant {body.tenant_id} is not deleted, and stays suspended, as it was before, until "
            f"`kbfleet tenant resume {body.tenant_id}`."
        )
    else:
        yield f"{DONE} Tenant {body.tenant_id} is in service again."


@app.command()
def rebuild(
    tenant: AnyTenant = None,
    profile: Annotated[
        ProfileName | None,
        typer.Option(
            parser=ProfileName,
            metavar="PROFILE",
            help="By which its documents are read, in the profile's newest version. By default, its own.",
        ),
    ] = None,
    keep_hours: Annotated[
        int,
        typer.Option(help="Hours for which what does not answer is kept, for a rollback.", min=0, max=MAX_KEEP_HOURS),
    ] = KEPT_FOR // AN_HOUR,
    tolerate: Annotated[
        int,
        typer.Option(help="Percentage points by which fewer golden questions may find their document.", min=0, max=100),
    ] = TOLERANCE,
    compare_only: Annotated[
        bool, typer.Option("--compare-only", help="Promote nothing: say what would be better, and what worse.")
    ] = False,
    stop_it: Annotated[
        bool, typer.Option("--stop", help="End the rebuild, and delete what it has built so far.")
    ] = False,
    all_of_them: Annotated[
        bool,
        typer.Option("--all", help="All tenants, by turns, with --profile. Run again, it goes on where it was."),
    ] = False,
    store: Annotated[
        str | None, typer.Option("--store", help="With --all: only tenants on that knowledge store.")
    ] = None,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Read all of a tenant's documents anew, beside what answers, and promote that when it is not worse.

    The tenant is asked all the while. It is paid for as a first ingestion of all its documents is."""
    if all_of_them == (tenant is not None):
        raise InvalidInput("TENANT", "name a tenant, or give --all.")
    if store is not None and not all_of_them:
        raise InvalidInput("--store", "is for --all.")
    if all_of_them and not stop_it and (profile is None or not wait):
        raise InvalidInput("--all", "needs --profile, and takes turns for as long as it runs: not with --no-wait.")
    api = FleetApi.of_stack(stack, region)
    if tenant is None:
        wanted = api.profile(profile or DEFAULT_PROFILE, None)
        if not stop_it:
            err.print(cost_of_rebuilding(wanted, wanted.ingestion.knowledge_store or store, api.region))
        everybody = FleetRebuild(api, wanted, store, keep_hours, tolerate, compare_only)
        _rebuild_all(everybody, stop_them=stop_it, wait=wait, as_json=as_json)
        return
    if stop_it:
        started = api.stop_rebuild(tenant)
    else:
        before = api.tenant(tenant)
        wanted = api.profile(
            *((before.profile, before.profile_version or None) if profile is None else (profile, None))
        )
        kept_on = wanted.ingestion.knowledge_store or before.knowledge_store
        err.print(cost_of_rebuilding(wanted, kept_on, api.region))
        started = api.rebuild(tenant, profile, keep_hours=keep_hours, tolerance=tolerate, compare_only=compare_only)
    if wait:
        _watch_rebuild(api, tenant, started.execution)
    body = api.tenant(tenant)
    present(body, lambda body: _shown_of_rebuild(body, stopped=stop_it), as_json=as_json)
    beside = body.beside
    comparison = beside.comparison if beside is not None and beside.role is Role.CANDIDATE else None
    if comparison is not None and comparison.refusals:
        stop(f"The candidate of tenant {tenant} is not promoted: {' '.join(comparison.refusals)}")


def _rebuild_all(everybody: FleetRebuild, *, stop_them: bool, wait: bool, as_json: bool) -> None:
    interrupted = False
    try:
        if stop_them:
            everybody.stop(wait=wait)
        else:
            everybody.run()
    except KeyboardInterrupt:
        interrupted = True
    ended = sorted(everybody.ended, key=lambda one: one.tenant_id)
    present({"tenants": ended}, lambda _: _shown_of_all(ended), as_json=as_json)
    if interrupted:
        stop(
            "Interrupted. What was begun goes on by itself; the same command goes on with the others, and "
            "`kbfleet tenant rebuild --all --stop` ends what was begun.",
            INTERRUPTED,
        )
    if troubles := sum(each.outcome.is_trouble for each in ended):
        stop(f"{counted(troubles, 'tenant')} did not come to the end that was wanted.")


def _shown_of_all(ended: Sequence[Rebuilt]) -> Iterator[RenderableType]:
    number = Counter(each.outcome for each in ended)
    said = ", ".join(f"{number[outcome]} {outcome}" for outcome in FleetOutcome if number[outcome])
    yield f"Tenants: {said or 'none'}."
    for each in ended:
        if each.outcome.is_trouble:
            yield f"  {each.tenant_id} [red]{each.outcome}[/]: {literal(each.reason)}"


def _watch_rebuild(api: FleetApi, tenant: TenantId, name: str) -> None:
    """Until the execution has ended."""

    def look(show: Show) -> ExecutionBody | None:
        execution = api.rebuilding(tenant, name)
        if execution.status not in {"RUNNING", "SUCCEEDED"}:
            stop(f"Rebuilding {tenant} {execution.status} at {execution.step}: {execution.reason}")
        show(execution.step or "starting")
        return execution if execution.status == "SUCCEEDED" else None

    watch(f"Rebuilding {tenant}", look)


def _shown_of_rebuild(body: TenantBody, *, stopped: bool) -> Iterator[RenderableType]:
    beside, tenant = body.beside, body.tenant_id
    if beside is None:
        done = "is stopped, and nothing of it is left" if stopped else "has ended"
        yield f"{DONE} The rebuild of tenant {tenant} {done}: knowledge {body.knowledge} answers."
        return
    if beside.comparison is not None:
        yield _comparison(beside.comparison)
    yield from _shown_of_both(body, beside)


def _shown_of_both(body: TenantBody, beside: BesideBody) -> Iterator[str]:
    """Which knowledge answers, and what becomes of the other."""
    tenant = body.tenant_id
    if beside.role is Role.RETIRED:
        yield f"{DONE} Knowledge {body.knowledge} of tenant {tenant} answers, by profile {body.profile}."
        if beside.comparison is not None and beside.comparison.live is None:
            yield f"Knowledge {beside.knowledge}, which was lost, goes with the next hourly round."
        elif beside.keep_until is not None:
            kept = beside.keep_until > datetime.now(UTC)
            until = f"is kept until {moment(beside.keep_until)}" if kept else "goes with the next hourly round"
            yield (
                f"Knowledge {beside.knowledge} {until}; until then, `kbfleet tenant rollback {tenant}` has it answer "
                "again."
            )
    elif beside.role is Role.LEAVING:
        yield f"Knowledge {beside.knowledge} of tenant {tenant} is being deleted; knowledge {body.knowledge} answers."
    elif beside.keep_until is not None:
        yield (
            f"Knowledge {body.knowledge} of tenant {tenant} answers as before. The candidate is kept until "
            f"{moment(beside.keep_until)}; `kbfleet tenant rebuild {tenant} --stop` deletes it now."
        )
    else:
        yield f"The candidate of tenant {tenant} is being built; knowledge {body.knowledge} answers."


def _comparison(comparison: ComparisonBody) -> Listing:
    def row(what: str, measured: MeasuredBody | None) -> tuple[str, str, str]:
        if measured is None:
            return what, "nothing was live", "—"
        documents = f"{measured.documents:,}" if measured.documents is not None else "not known"
        return what, documents, f"{measured.found} of {measured.asked}" if measured.asked else "none asked"

    rows = [row("Live before", comparison.live), row("Candidate", comparison.candidate)]
    worse, better = (", ".join(ids) or "none" for ids in (comparison.worse, comparison.better))
    return Listing(
        [Column("Knowledge"), Column("Documents answered from"), Column("Golden questions that find theirs")],
        rows,
        caption=f"Compared at {moment(comparison.at)}. Worse: {worse}. Better: {better}.",
    )


@app.command()
def rollback(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Have the knowledge answer again that was live before the last rebuild, or the last rollback."""
    api = FleetApi.of_stack(stack, region)
    kept = api.tenant(tenant).beside
    if kept is None or kept.role is not Role.RETIRED:
        stop(f"Tenant {tenant} has no knowledge that was live before and is kept.", BAD_INPUT)
    present(
        api.roll_back(tenant, kept.knowledge),
        lambda body: _shown_of_both(body, body.beside) if body.beside is not None else (),
        as_json=as_json,
    )


@app.command()
def offboard(
    tenant: Tenant,
    retention_days: Annotated[
        int | None,
        typer.Option(help="Days until deletion. By default, what the stack says.", min=0, max=MAX_RETENTION_DAYS),
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(help="The tenant's id once more. Without it, the command asks.")
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the receipt, showing progress, if the retention period is over.")
    ] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Take a tenant out of service and delete everything of it after the retention period. Ends with a receipt."""
    api = FleetApi.of_stack(stack, region)
    body = api.tenant(tenant)
    if body.status is not TenantStatus.OFFBOARDED:
        _confirm(tenant, confirm, _deleted_when(body, api.retention_days if retention_days is None else retention_days))
        execution = api.offboard(tenant, retention_days).execution
        if wait and execution is not None:
            _watch_offboarding(api, tenant, execution.execution)
        body = api.tenant(tenant)
    present(body, _shown_of_offboarding, as_json=as_json)


def _deleted_when(body: TenantBody, retention_days: int | None) -> str:
    """When what is about to be confirmed deletes everything, as words behind "will be deleted"."""
    plan, now = body.offboarding, datetime.now(UTC)
    if plan is not None and not plan.is_due(now):
        return f"after {moment(plan.delete_after)}, as was said when its offboarding was requested"
    if plan is not None or retention_days == 0:
        return "at once, and cannot be taken back"
    if retention_days is None:
        return "after the retention period of the stack"
    return f"after {moment(now + timedelta(days=retention_days))} (in {counted(retention_days, 'day')})"


def _confirm(tenant: TenantId, given: str | None, when: str) -> None:
    """Raises: InvalidInput when the answer is not the tenant's id."""
    try:
        answer = given or typer.prompt(
            f"All documents, vectors and records of {tenant} will be deleted {when}. Type its id to go on", err=True
        )
    except typer.Abort:
        raise InvalidInput("confirm", f"nobody answered; nothing was done. Give --confirm {tenant}.") from None
    if answer != tenant:
        raise InvalidInput("confirm", f"{answer!r} is not {tenant}; nothing was done.")


def _watch_offboarding(api: FleetApi, tenant: TenantId, name: str) -> None:
    """Until the execution has ended."""

    def look(show: Show) -> ExecutionBody | None:
        execution = api.offboarding(tenant, name)
        if execution.status not in {"RUNNING", "SUCCEEDED"}:
            stop(f"Offboarding {tenant} {execution.status} at {execution.step}: {execution.reason}")
        show(execution.step or "starting")
        return execution if execution.status == "SUCCEEDED" else None

    watch(f"Offboarding {tenant}", look)


def _shown_of_offboarding(body: TenantBody) -> Iterator[RenderableType]:
    if body.erasure:
        yield f"{DONE} Tenant {body.tenant_id} is offboarded. Verified at {moment(body.erasure.verified_at)}:"
        yield from (f"  {resource.kind} {literal(resource.name)} is gone" for resource in body.erasure.erased)
        yield "What remains, and until when:"
        for left in body.erasure.remaining:
            until = f"until {moment(left.until)}" if left.until else "for as long as it is there"
            yield f"  {literal(left.where)}: {literal(left.holds)}; {until}"
    elif body.offboarding and body.offboarding.deletion_began_at:
        began = moment(body.offboarding.deletion_began_at)
        yield f"Tenant {body.tenant_id} is being deleted, since {began}; it cannot be taken back."
    elif body.offboarding and body.offboarding.is_due(datetime.now(UTC)):
        yield f"Tenant {body.tenant_id} is out of service. Everything is deleted at once, and cannot be taken back."
    elif body.offboarding:
        yield (
            f"Tenant {body.tenant_id} is out of service. Everything is deleted after "
            f"{moment(body.offboarding.delete_after)}; until then, `kbfleet tenant resume {body.tenant_id}` takes it "
            "back."
        )
    else:
        yield f"Tenant {body.tenant_id} is {body.status}: the offboarding was taken back."
