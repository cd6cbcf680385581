"""Fleets as `GET /fleet` tells of them: busy, broken, empty, well, and large."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from kbfleet.contracts.fleet import FleetBody
from kbfleet.domain.capacity import Room, RoomCount, Scarce
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.fleet_overview import (
    BesideOutline,
    Census,
    FleetOutlines,
    IncidentOutline,
    JobOutline,
    QuestionsOutline,
    SyncOutline,
    TenantOutline,
    UsageOfMonth,
    overview,
)
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.domain.sync import Priority, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage import UsageCounts
from tests.support.clock import START
from tests.support.fleet import START_INTERVAL

A_MINUTE, AN_HOUR = timedelta(minutes=1), timedelta(hours=1)
_ROOMS = (
    Room(Scarce.VECTOR_KNOWLEDGE_BASES, 92, 100),
    Room(Scarce.MANAGED_KNOWLEDGE_BASES, 211, 10_000),
    Room(Scarce.BUCKETS, 318, 10_000, fixed=False),
    Room(Scarce.USAGE_KEYS, 303, 10_000),
    Room(Scarce.SERVICE_ROLES, 341, 1_000, fixed=False),
)
_USED = UsageOfMonth(
    date(START.year, START.month, 1),
    UsageCounts(
        questions=18_204,
        input_tokens=52_000_000,
        output_tokens=4_100_000,
        questions_without_tokens=12,
        golden_searches=9_030,
    ),
)


def _lost(name: str, kind: ResourceKind) -> Finding:
    return Finding(Disagreement.MISSING, kind, f"kbfleet-{name}", TenantId(name))


def _running(name: str, started: timedelta, scanned: int, expected: int | None, **fields: object) -> SyncOutline:
    job = JobOutline(
        "JOB0000001",
        JobStatus.IN_PROGRESS,
        START - started,
        scanned,
        scanned // 5,
        scanned // 90,
        START - A_MINUTE,
        expected,
    )
    return SyncOutline(TenantId(name), state=SyncState.RUNNING, job=job, **fields)  # type: ignore[arg-type]


def _queued(name: str, ready: timedelta, priority: Priority = Priority.CHANGED, **fields: object) -> SyncOutline:
    given = {"pending_since": START - 5 * A_MINUTE, **fields}
    return SyncOutline(TenantId(name), state=SyncState.QUEUED, priority=priority, ready_at=START + ready, **given)  # type: ignore[arg-type]


_WELL = FleetOutlines(
    statuses={TenantStatus.ACTIVE: 297, TenantStatus.SUSPENDED: 3, TenantStatus.OFFBOARDED: 14},
    tenants=(),
    syncs=(),
    incidents=(),
    questions=(),
    asked=280,
    rooms=RoomCount(START - 20 * A_MINUTE, _ROOMS),
    round=TenantRound(last=WholeRound(START - 9 * AN_HOUR, START - 8 * AN_HOUR)),
    census=Census(START - 4 * A_MINUTE, active=297),
    started_at=START - timedelta(seconds=4),
    used=_USED,
    reads=17,
)


def _body(outlines: FleetOutlines) -> FleetBody:
    return FleetBody.from_domain(overview(outlines, START, start_interval=START_INTERVAL, stale_after=AN_HOUR))


def _with(**fields: object) -> FleetBody:
    return _body(replace(_WELL, **fields))  # type: ignore[arg-type]


WELL = _body(_WELL)
EMPTY = _body(FleetOutlines({}, (), (), (), (), 0))

BUSY = _with(
    statuses={
        TenantStatus.ACTIVE: 289,
        TenantStatus.PROVISIONING: 5,
        TenantStatus.FAILED: 1,
        TenantStatus.OFFBOARDING: 2,
    },
    tenants=(
        TenantOutline(TenantId("umi-shoji"), TenantStatus.FAILED, START - 26 * A_MINUTE),
        *(TenantOutline(TenantId(f"new-{each}"), TenantStatus.PROVISIONING, START - A_MINUTE) for each in range(5)),
        TenantOutline(
            TenantId("globex"),
            TenantStatus.ACTIVE,
            START - 90 * 24 * AN_HOUR,
            beside=BesideOutline(2, Role.CANDIDATE, START - 2 * AN_HOUR),
        ),
    ),
    syncs=(
        _running("acme", 11 * A_MINUTE, 1_240, 4_000),
        _running("globex", 40 * A_MINUTE, 12_400, None, knowledge=2),
        SyncOutline(
            TenantId("initech"),
            state=SyncState.RUNNING,
            job=JobOutline("JOB0000002", JobStatus.STARTING, START - timedelta(seconds=20)),
        ),
        _running("managed-one", 3 * A_MINUTE, 300, 310, kind=KnowledgeBaseKind.MANAGED),
        _queued("hooli", -A_MINUTE, Priority.REQUESTED, checking=True),
        _queued("stark", timedelta(seconds=25)),
        _queued("wayne", 3 * A_MINUTE, retries=2),
        _queued("wonka", 9 * A_MINUTE, postponed=3),
        *(_queued(f"daily-{each:02}", each * A_MINUTE, Priority.SCHEDULED, pending_since=None) for each in range(9)),
        SyncOutline(
            TenantId("cyberdyne"),
            hold=Hold(HoldReason.DELETIONS, 412, 1_900, START - 3 * AN_HOUR, START),
            outcome=Outcome.SUCCEEDED,
        ),
        SyncOutline(TenantId("sakura"), outcome=Outcome.DEGRADED, ended_at=START - 30 * AN_HOUR, left_out=17),
        SyncOutline(TenantId("soylent"), outcome=Outcome.FAILED, ended_at=START - 50 * A_MINUTE),
    ),
    incidents=(
        IncidentOutline(
            "a/1",
            Concern.INGESTION,
            "a sync is held",
            START - 3 * AN_HOUR,
            1,
            Harm.WRONG_ANSWERS,
            (("cyberdyne", Harm.WRONG_ANSWERS),),
        ),
        IncidentOutline(
            "b/1",
            Concern.DOCUMENTS,
            "some documents could not be ingested",
            START - 30 * AN_HOUR,
            1,
            Harm.DOCUMENTS_MISSING,
            (("sakura", Harm.DOCUMENTS_MISSING),),
        ),
    ),
    questions=(
        QuestionsOutline(TenantId("stark"), 12, 10, 2, 1, START - 6 * AN_HOUR, START - AN_HOUR),
        QuestionsOutline(TenantId("hooli"), 8),
    ),
)
"""Jobs run, syncs wait, and a few things are wrong."""

BROKEN = _with(
    statuses={TenantStatus.ACTIVE: 290, TenantStatus.FAILED: 10},
    tenants=(
        *(
            TenantOutline(
                TenantId(f"tenant-{each:03}"),
                TenantStatus.ACTIVE,
                START,
                findings=(_lost(f"tenant-{each:03}", ResourceKind.VECTOR_INDEX),),
                found_at=START - AN_HOUR,
            )
            for each in range(140)
        ),
        *(TenantOutline(TenantId(f"failed-{each}"), TenantStatus.FAILED, START - 2 * AN_HOUR) for each in range(10)),
    ),
    syncs=tuple(
        SyncOutline(TenantId(f"tenant-{each:03}"), outcome=Outcome.FAILED, ended_at=START - 30 * A_MINUTE)
        for each in range(200)
    ),
    incidents=(
        IncidentOutline(
            "f/1",
            Concern.FLEET,
            "the knowledge store is gone, which tenants share",
            START - AN_HOUR,
            1,
            Harm.NO_ANSWERS,
            (("the fleet", Harm.NO_ANSWERS),),
        ),
        IncidentOutline(
            "g/1",
            Concern.INGESTION,
            "the service role cannot use the knowledge store",
            START - 2 * AN_HOUR,
            200,
            Harm.NO_ANSWERS,
            tuple((f"tenant-{each:03}", Harm.NO_ANSWERS) for each in range(5)),
        ),
        IncidentOutline(
            "h/1", Concern.ALARM, "an alarm went off", START - AN_HOUR, 1, None, (("StaleTenantsAlarm", None),)
        ),
    ),
    round=TenantRound(last=WholeRound(START - 60 * AN_HOUR, START - 59 * AN_HOUR, missed=3)),
    rooms=RoomCount(START - 30 * AN_HOUR, _ROOMS),
    used=None,
)
"""What all tenants share is gone, and so is whoever looks."""

LARGE = _with(
    statuses={TenantStatus.ACTIVE: 9_930, TenantStatus.PROVISIONING: 40, TenantStatus.SUSPENDED: 30},
    syncs=(
        *(
            _running(f"tenant-{each:05}", each * A_MINUTE, 80 * each, 5_000, kind=KnowledgeBaseKind.MANAGED)
            for each in range(1, 61)
        ),
        *(
            _queued(f"tenant-{each:05}", timedelta(seconds=-each), kind=KnowledgeBaseKind.MANAGED)
            for each in range(100, 1_600)
        ),
        *(
            SyncOutline(
                TenantId(f"tenant-{each:05}"), outcome=Outcome.DEGRADED, ended_at=START - each * A_MINUTE, left_out=each
            )
            for each in range(2_000, 2_180)
        ),
    ),
    asked=9_000,
    rooms=RoomCount(START - 20 * A_MINUTE, (replace(_ROOMS[1], used=9_960), replace(_ROOMS[2], used=10_031))),
    reads=24,
)
"""Ten thousand tenants, of whom some have documents that are left out."""
