"""The body of the API about the fleet as a whole."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Self

from kbfleet.contracts import Contract
from kbfleet.contracts.tenants import TroubleBody
from kbfleet.contracts.usage import UsageCountsBody
from kbfleet.domain.capacity import Room, Scarce
from kbfleet.domain.fleet_overview import (
    AtWork,
    FleetOverview,
    IncidentOutline,
    Questions,
    Rebuild,
    UsageOfMonth,
    Waiting,
    Why,
)
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStatus
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus


class JobAtWorkBody(Contract):
    """A running ingestion job. `scanned`, `indexed` and `failed` are documents, as Bedrock has counted them at
    `counted_at`, which is `null` while it has told none; `expected`, how many the last good job has left in the index,
    if that is known. `of_rebuild`: it reads for a knowledge that does not answer."""

    tenant_id: TenantId
    ingestion_job_id: str
    status: JobStatus
    started_at: datetime
    scanned: int
    indexed: int
    failed: int
    counted_at: datetime | None
    expected: int | None
    external: bool
    of_rebuild: bool

    @classmethod
    def from_domain(cls, at_work: AtWork) -> Self:
        return cls(tenant_id=at_work.tenant_id, of_rebuild=at_work.of_rebuild, **asdict(at_work.job))


class WaitingBody(Contract):
    """A queued sync. `ahead` is how many come before it by their times. `why` has not it started: its bucket is
    compared with what is answered from first (CHECK); as many jobs run as may (JOBS); the last job failed for a cause
    that passes (RETRY); its start was refused, and it gives way (GIVES_WAY); its documents are changing (CHANGES); it
    has its time (SCHEDULED); others are ahead (AHEAD); it is the next one (NEXT)."""

    tenant_id: TenantId
    why: Why
    ahead: int
    ready_at: datetime | None
    pending_since: datetime | None
    of_rebuild: bool

    @classmethod
    def from_domain(cls, waiting: Waiting) -> Self:
        return cls(**asdict(waiting))


class RebuildAtWorkBody(Contract):
    """A knowledge that is being built, or compared, beside the one that answers."""

    tenant_id: TenantId
    knowledge: int
    since: datetime

    @classmethod
    def from_domain(cls, rebuild: Rebuild) -> Self:
        return cls(tenant_id=rebuild.tenant_id, knowledge=rebuild.beside.knowledge, since=rebuild.beside.since)


class RoomBody(Contract):
    """How much of a quota is used. Unless it is `fixed`, AWS may have given the account more."""

    of: Scarce
    used: int
    quota: int
    fixed: bool

    @classmethod
    def from_domain(cls, room: Room) -> Self:
        return cls(of=room.of, used=room.used, quota=room.quota, fixed=room.fixed)


class JobsAtOnceBody(Contract):
    """Running jobs on knowledge bases of a kind; `quota` is `null` where only each knowledge base has a limit."""

    kind: KnowledgeBaseKind
    running: int
    quota: int | None


class FleetQuestionsBody(Contract):
    """Tenants by how their golden questions stand: those that have some, all pass, some fail, some were known to pass
    and do not any more, and none was asked yet."""

    asked: int
    passing: int
    failing: int
    regressed: int
    unasked: int

    @classmethod
    def from_domain(cls, questions: Questions) -> Self:
        return cls(**asdict(questions))


class OpenIncidentBody(Contract):
    """`broken` is how many tenants, or alarms, are still in it; `named`, the first of them; `command` says what to do
    about what all tenants share, and is empty where each tenant has its own."""

    identity: str
    concern: Concern
    what: str
    since: datetime
    broken: int
    harm: Harm | None
    named: tuple[str, ...]
    command: str

    @classmethod
    def from_domain(cls, incident: IncidentOutline) -> Self:
        return cls(
            identity=incident.identity,
            concern=incident.concern,
            what=incident.what,
            since=incident.since,
            broken=incident.broken,
            harm=incident.harm,
            named=tuple(name for name, _ in incident.named),
            command=incident.command,
        )


class FleetUsageBody(Contract):
    """What all tenants together have used this month in UTC, from the day `since` on: before, it was not counted for
    all of them."""

    since: date
    total: UsageCountsBody

    @classmethod
    def from_domain(cls, used: UsageOfMonth) -> Self:
        return cls(since=used.since, total=UsageCountsBody(**asdict(used.counts)))


class RoundBody(Contract):
    """The last round that has looked into all tenants; `missed` is how many of them it could not look into, or not
    whole. `under_way_since` is when that began that is under way, if one is."""

    began_at: datetime | None
    ended_at: datetime | None
    missed: int
    under_way_since: datetime | None


class FleetBody(Contract):
    """The fleet at one time. `well`: all was looked at, and nothing is wrong. `unknown` are sentences about what nobody
    knows: while there is any, the fleet is not known to be well.

    `statuses` and `harms` count tenants: by status, and by the worst that is known of each. Of long lists, the first
    are given, with how many there are in all. `held` and `barred` are syncs that nobody starts: for what they would
    delete, and since the tenant's data source may read another bucket. `next_start` is the earliest time at which the
    next job may start; `null` where nothing waits, or only for a job's end. `counted_at` is when tenants and syncs were
    last counted one by one. `reads` is what this answer has cost: pages of a query, and items."""

    at: datetime
    well: bool
    tenants: int
    statuses: dict[TenantStatus, int]
    harms: dict[Harm, int]
    troubles: tuple[TroubleBody, ...]
    troubles_in_all: int
    jobs: tuple[JobAtWorkBody, ...]
    jobs_in_all: int
    waiting: tuple[WaitingBody, ...]
    waiting_in_all: int
    held: int
    barred: int
    next_start: datetime | None
    rebuilds: tuple[RebuildAtWorkBody, ...]
    rebuilds_in_all: int
    kept_for_rollback: int
    rooms: tuple[RoomBody, ...]
    rooms_counted_at: datetime | None
    jobs_at_once: tuple[JobsAtOnceBody, ...]
    start_interval_seconds: float
    questions: FleetQuestionsBody
    incidents: tuple[OpenIncidentBody, ...]
    incidents_in_all: int
    more_incidents: bool
    used: FleetUsageBody | None
    round: RoundBody
    counted_at: datetime | None
    unknown: tuple[str, ...]
    reads: int

    @classmethod
    def from_domain(cls, fleet: FleetOverview) -> Self:
        last = fleet.round.last
        return cls(
            at=fleet.at,
            well=fleet.is_well,
            tenants=fleet.tenants,
            statuses={status: fleet.statuses.get(status, 0) for status in TenantStatus},
            harms={harm: fleet.harms.get(harm, 0) for harm in Harm},
            troubles=tuple(map(TroubleBody.from_domain, fleet.troubles)),
            troubles_in_all=fleet.troubles_in_all,
            jobs=tuple(map(JobAtWorkBody.from_domain, fleet.at_work)),
            jobs_in_all=fleet.at_work_in_all,
            waiting=tuple(map(WaitingBody.from_domain, fleet.waiting)),
            waiting_in_all=fleet.waiting_in_all,
            held=fleet.held,
            barred=fleet.barred,
            next_start=fleet.next_start,
            rebuilds=tuple(map(RebuildAtWorkBody.from_domain, fleet.rebuilds)),
            rebuilds_in_all=fleet.rebuilds_in_all,
            kept_for_rollback=fleet.kept_for_rollback,
            rooms=tuple(map(RoomBody.from_domain, fleet.rooms)),
            rooms_counted_at=fleet.rooms_counted_at,
            jobs_at_once=tuple(
                JobsAtOnceBody(kind=kind, running=fleet.jobs_at_once.get(kind, 0), quota=kind.concurrent_jobs)
                for kind in KnowledgeBaseKind
            ),
            start_interval_seconds=fleet.start_interval.total_seconds(),
            questions=FleetQuestionsBody.from_domain(fleet.questions),
            incidents=tuple(map(OpenIncidentBody.from_domain, fleet.incidents)),
            incidents_in_all=fleet.incidents_in_all,
            more_incidents=fleet.more_incidents,
            used=FleetUsageBody.from_domain(fleet.used) if fleet.used is not None else None,
            round=RoundBody(
                began_at=last.began_at if last is not None else None,
                ended_at=last.ended_at if last is not None else None,
                missed=last.missed if last is not None else 0,
                under_way_since=fleet.round.began_at,
            ),
            counted_at=fleet.census.at if fleet.census is not None else None,
            unknown=tuple(fleet.unknown),
            reads=fleet.reads,
        )
