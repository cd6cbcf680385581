"""The fleet on one screen, in words: who is hurt first, then what is at work, who waits, what is full, and what was
looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import RenderableType

from cli.costs.tokens import TokenPrice
from cli.job_progress import how_far, lasting
from cli.terminal import Column, Details, Listing, counted, literal, moment
from kbfleet.contracts.fleet import (
    FleetBody,
    JobAtWorkBody,
    JobsAtOnceBody,
    OpenIncidentBody,
    RebuildAtWorkBody,
    RoomBody,
    WaitingBody,
)
from kbfleet.contracts.tenants import TroubleBody
from kbfleet.domain.capacity import WARNED_FROM
from kbfleet.domain.fleet_overview import Why
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.tenant_status import TenantStatus

_TROUBLES = 10
_LISTED = 5
"""Of jobs, of those who wait, of rebuilds and of incidents: so that all is on one screen."""
_HARMS = {
    Harm.NO_ANSWERS: "no answers",
    Harm.WRONG_ANSWERS: "wrong or old answers",
    Harm.UNKNOWN: "answers unknown",
    Harm.DOCUMENTS_MISSING: "documents missing",
    Harm.MACHINERY_ONLY: "machinery only",
}
"""In the order in which they are told."""
_BAD = {Harm.NO_ANSWERS, Harm.WRONG_ANSWERS}
_WAITS = {
    Why.CHECK: "its bucket is looked into first",
    Why.JOBS: "as many jobs run as may",
    Why.RETRY: "its last job failed for a passing cause; again {at}",
    Why.GIVES_WAY: "its start was refused; again {at}",
    Why.CHANGES: "its documents are changing; {at} at the earliest",
    Why.SCHEDULED: "it has its time, {at}",
    Why.AHEAD: "{ahead} ahead of it",
    Why.NEXT: "it is next",
}
_COLOURS = {TenantStatus.ACTIVE: "green", TenantStatus.FAILED: "red"}


def shown_of_fleet(body: FleetBody, price: TokenPrice) -> Iterator[RenderableType]:
    yield _verdict(body)
    # One cause may be behind all the troubles below it.
    yield from (
        f"[red]✗[/] {_incident(each, body.at)}: `{literal(each.command)}`" for each in body.incidents if each.command
    )
    yield from (f"[yellow]?[/] {literal(each)}" for each in body.unknown)
    yield ""
    if body.troubles:
        yield troubles_listing(body.troubles[:_TROUBLES], body.at)
        if more := body.troubles_in_all - len(body.troubles[:_TROUBLES]):
            yield f"… and {counted(more, 'tenant')} more: `kbfleet tenant list --problems` names them all."
        yield ""
    rows = {
        "Tenants": [_statuses(body)],
        "Hurt": [_harms(body)],
        "Incidents": _incidents(body),
        "At work": _jobs(body),
        "Waiting": _queue(body),
        "Rebuilds": _rebuilds(body),
        "Quotas": _quotas(body),
        "Questions": [_questions(body)],
        "This month": _cost(body, price),
        "Looked at": _looked(body),
    }
    yield Details([(name, "\n".join(lines)) for name, lines in rows.items()])


def _verdict(body: FleetBody) -> str:
    at, silent = moment(body.at), body.harms.get(Harm.NO_ANSWERS, 0)
    tenants = counted(body.tenants, "tenant")
    if silent:
        others = body.troubles_in_all - silent
        beside = f"; {others:,} more in trouble" if others else ""
        return f"[red]✗ {silent:,} of {tenants} without answers[/]{beside}. {at}"
    shared = [each for each in body.incidents if each.concern is Concern.FLEET and each.harm is Harm.NO_ANSWERS]
    if shared:
        return f"[red]✗ {tenants} may be without answers[/]: {literal(shared[0].what)}. {at}"
    if body.troubles_in_all:
        return f"[red]✗ {body.troubles_in_all:,} of {tenants} in trouble[/]; none is known to be without answers. {at}"
    if body.incidents_in_all:
        hurt = [each.harm for each in body.incidents if each.harm not in {None, Harm.MACHINERY_ONLY}]
        worst = f"the worst: {_HARMS[hurt[0]]}" if hurt else "no tenant is known to be hurt"
        return f"[red]✗ {counted(body.incidents_in_all, 'open incident')}[/]; {worst}. {at}"
    if not body.well:
        return f"[yellow]? Nothing is known to be wrong, but not everything was looked at.[/] {at}"
    if not body.tenants:
        return f"There are no tenants yet: `kbfleet tenant add TENANT` adds one. {at}"
    return f"[green]✓ The fleet is well[/]: {tenants}. {at}"


def troubles_listing(troubles: Sequence[TroubleBody], at: datetime) -> Listing:
    return Listing(
        [Column("Tenant"), Column("For"), Column("Run"), Column("What", prose=True)],
        [
            (
                each.tenant_id,
                lasting(at - each.since) if each.since is not None else "—",
                literal(each.command),
                f"[{'red' if each.harm in _BAD else 'yellow'}]{_HARMS[each.harm]}[/], {literal(each.what)}",
            )
            for each in troubles
        ],
    )


def _statuses(body: FleetBody) -> str:
    there = ((status, body.statuses.get(status, 0)) for status in TenantStatus)
    return " · ".join(f"{number:,} {_coloured(status)}" for status, number in there if number) or "none"


def _coloured(status: TenantStatus) -> str:
    return f"[{_COLOURS[status]}]{status}[/]" if status in _COLOURS else str(status)


def _harms(body: FleetBody) -> str:
    hurt = ((name, body.harms.get(harm, 0)) for harm, name in _HARMS.items())
    return " · ".join(f"{number:,} {name}" for name, number in hurt if number) or "nobody, as far as is known"


def _incidents(body: FleetBody) -> list[str]:
    if not body.incidents:
        return ["none open"]
    number = f"more than {body.incidents_in_all:,}" if body.more_incidents else f"{body.incidents_in_all:,}"
    lines = [f"{number} open", *(_incident(each, body.at) for each in body.incidents[:_LISTED])]
    return [*lines, *_more(body.incidents_in_all)]


def _incident(incident: OpenIncidentBody, at: datetime) -> str:
    named = ", ".join(map(literal, incident.named))
    more = incident.broken - len(incident.named)
    who = f"{named} and {more:,} more" if more > 0 else named
    harm = f"[{'red' if incident.harm in _BAD else 'yellow'}]{_HARMS[incident.harm]}[/], " if incident.harm else ""
    return f"{who}: {harm}{literal(incident.what)}, for {lasting(at - incident.since)}"


def _jobs(body: FleetBody) -> list[str]:
    running = ", ".join(_at_once(each) for each in body.jobs_at_once if each.running or each.quota)
    lines = [f"jobs: {running}", *(_job(each, body.at) for each in body.jobs[:_LISTED])]
    return [*lines, *_more(body.jobs_in_all)]


def _at_once(jobs: JobsAtOnceBody) -> str:
    number = f"{jobs.running:,}" if jobs.quota is None else f"{jobs.running} of {jobs.quota}"
    return f"{number} on {jobs.kind}"


def _job(job: JobAtWorkBody, at: datetime) -> str:
    far = how_far(
        job.scanned,
        job.indexed,
        job.failed,
        expected=job.expected,
        counted_at=job.counted_at,
        status=job.status,
    )
    rebuild = " (of a rebuild)" if job.of_rebuild else ""
    return f"{job.tenant_id}{rebuild}: {far}, for {lasting(at - job.started_at)}"


def _queue(body: FleetBody) -> list[str]:
    line = "nobody"
    if body.waiting_in_all:
        start = _when(body.next_start, body.at) if body.next_start is not None else "when a job ends"
        line = f"{counted(body.waiting_in_all, 'sync')}; the next start {start}"
    if body.held:
        line += f"; [red]{body.held:,} held[/] for what would be deleted"
    if body.barred:
        line += f"; [red]{body.barred:,} barred[/]: the data source may read another bucket"
    lines = [line, *(_waiting(each, body.at) for each in body.waiting[:_LISTED])]
    return [*lines, *_more(body.waiting_in_all)]


def _waiting(waiting: WaitingBody, at: datetime) -> str:
    when = _when(waiting.ready_at, at) if waiting.ready_at is not None else "now"
    since = f", changes wait for {lasting(at - waiting.pending_since)}" if waiting.pending_since is not None else ""
    rebuild = " (of a rebuild)" if waiting.of_rebuild else ""
    return f"{waiting.tenant_id}{rebuild}: {_WAITS[waiting.why].format(at=when, ahead=waiting.ahead)}{since}"


def _when(time: datetime, at: datetime) -> str:
    return f"in {lasting(time - at)}" if time > at else "now"


def _rebuilds(body: FleetBody) -> list[str]:
    kept = f"; {body.kept_for_rollback:,} kept for a rollback" if body.kept_for_rollback else ""
    lines = [f"{body.rebuilds_in_all:,} at work{kept}", *(_rebuild(each, body.at) for each in body.rebuilds[:_LISTED])]
    return [*lines, *_more(body.rebuilds_in_all)]


def _rebuild(rebuild: RebuildAtWorkBody, at: datetime) -> str:
    return f"{rebuild.tenant_id}: knowledge {rebuild.knowledge}, for {lasting(at - rebuild.since)}"


def _more(in_all: int) -> Iterable[str]:
    return [f"… and {in_all - _LISTED:,} more"] if in_all > _LISTED else []


def _quotas(body: FleetBody) -> list[str]:
    starts = f"one start of a job every {body.start_interval_seconds:g} s"
    if not body.rooms or body.rooms_counted_at is None:
        return [f"not counted yet; {starts}"]
    counted_for = lasting(body.at - body.rooms_counted_at)
    return [*map(_room, body.rooms), f"{starts}; the others as counted {counted_for} ago"]


def _room(room: RoomBody) -> str:
    share = room.used / room.quota if room.quota else 1.0
    line = f"{room.used:,} of {room.quota:,} {room.of}"
    return f"[red]{line} ({share:.0%})[/]" if share >= WARNED_FROM else line


def _questions(body: FleetBody) -> str:
    stand = body.questions
    if not stand.asked:
        return "no tenant has golden questions: `kbfleet questions suggest TENANT` proposes some"
    have = f"{counted(stand.asked, 'tenant')} {'has' if stand.asked == 1 else 'have'} some"
    if stand.passing == stand.asked:
        return f"{have}: all pass"
    said = [f"all pass in {stand.passing:,}"] if stand.passing else []
    said += [f"[red]some do not pass any more in {stand.regressed:,}[/]"] if stand.regressed else []
    said += [f"some fail in {stand.failing:,}"] if stand.failing else []
    said += [f"{stand.unasked:,} {'was' if stand.unasked == 1 else 'were'} not asked yet"] if stand.unasked else []
    return f"{have}: {', '.join(said)}"


def _cost(body: FleetBody, price: TokenPrice) -> list[str]:
    if body.used is None:
        return ["no question was counted for the whole fleet yet", _NOT_COUNTED]
    used, cost = body.used.total, price.of_usage(body.used.total)
    asked = f"{used.questions:,} questions and {used.golden_searches:,} golden ones since {body.used.since}"
    tokens = [f"{cost:,.2f} USD for the tokens of answers,"] if cost is not None else []
    without = counted(used.questions_without_tokens, "question")
    unknown = [f"of {without} the tokens are not known"] if used.questions_without_tokens else []
    return [asked, *tokens, literal(price.known_by), *unknown, _NOT_COUNTED]


_NOT_COUNTED = "not in it: storage, ingestion, searches; `kbfleet costs` estimates what a fleet costs"


def _looked(body: FleetBody) -> list[str]:
    last = body.round
    if last.ended_at is None:
        whole = "no round through all tenants has ended yet"
    else:
        missed = f", [yellow]but {last.missed:,} of them not, or not whole[/]" if last.missed else ""
        whole = f"all tenants, by the round that ended {lasting(body.at - last.ended_at)} ago{missed}"
    under_way = f"; one is under way for {lasting(body.at - last.under_way_since)}" if last.under_way_since else ""
    census = f"syncs counted {lasting(body.at - body.counted_at)} ago" if body.counted_at else "syncs not counted yet"
    return [f"{whole}{under_way}; {census}"]
