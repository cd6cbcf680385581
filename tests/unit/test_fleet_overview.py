"""The fleet on one screen: who is hurt and worst, who waits and why, and when nothing wrong is known to be well."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from kbfleet.domain.capacity import COUNTED_FOR, RoomCount
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.finding import UNSEEN_FOR, Disagreement, Finding, ResourceKind
from kbfleet.domain.fleet_overview import (
    CENSUS_OVERDUE_AFTER,
    ROUND_OVERDUE_AFTER,
    SHOWN,
    BesideOutline,
    Census,
    FleetOutlines,
    FleetOverview,
    IncidentOutline,
    JobOutline,
    QuestionsOutline,
    SyncOutline,
    TenantOutline,
    Why,
    overview,
)
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.fleet_overview import enter_outlines, see_fleet
from tests.support.clock import START
from tests.support.fleet import START_INTERVAL, Fleet
from tests.support.samples import ACME, SAKURA, first_knowledge, sync_result, tenant

AN_HOUR = timedelta(hours=1)
LOST = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "kbfleet-acme", ACME)
STUCK = Finding(Disagreement.STUCK, ResourceKind.TENANT, "acme", ACME)
LOOKED_AT = FleetOutlines(
    statuses={TenantStatus.ACTIVE: 2},
    tenants=(),
    syncs=(),
    incidents=(),
    questions=(),
    asked=0,
    rooms=RoomCount(START),
    round=TenantRound(last=WholeRound(START - AN_HOUR, START)),
    census=Census(START, active=2),
)
"""Two tenants who are well, and all was looked at just now."""


def seen(now: datetime = START, **others: Any) -> FleetOverview:
    return overview(
        replace(LOOKED_AT, **others),
        now,
        start_interval=START_INTERVAL,
        stale_after=AN_HOUR,
    )


def active(**fields: object) -> TenantOutline:
    return TenantOutline(**{"tenant_id": ACME, "status": TenantStatus.ACTIVE, "since": START, **fields})  # type: ignore[arg-type]


def queued(name: str, **fields: object) -> SyncOutline:
    given = {
        "state": SyncState.QUEUED,
        "priority": Priority.REQUESTED,
        "ready_at": START,
        "pending_since": START,
        **fields,
    }
    return SyncOutline(TenantId(name), **given)  # type: ignore[arg-type]


def running(name: str, **fields: object) -> SyncOutline:
    job = JobOutline("JOB0000001", JobStatus.IN_PROGRESS, START)
    return SyncOutline(TenantId(name), state=SyncState.RUNNING, **{"job": job, **fields})  # type: ignore[arg-type]


def look(fleet: Fleet) -> FleetOverview:
    return see_fleet(records=fleet.fleet_records, clock=fleet.clock, start_interval=START_INTERVAL, stale_after=AN_HOUR)


class TestWell:
    def test_a_fleet_is_well_that_was_looked_at_and_has_nothing_wrong(self) -> None:
        assert seen().is_well

    def test_a_fleet_without_tenants_hurts_nobody(self) -> None:
        nothing = FleetOutlines({}, (), (), (), (), 0)
        assert overview(nothing, START, start_interval=START_INTERVAL, stale_after=AN_HOUR).is_well

    @pytest.mark.parametrize(
        ("others", "said"),
        [
            ({"round": TenantRound()}, "No round has looked into all tenants yet"),
            ({"round": TenantRound(last=WholeRound(START, START, missed=1))}, "could not look into 1 tenant,"),
            ({"rooms": None}, "hourly round has not come to its end yet"),
            ({"census": None}, "have not been counted yet"),
            ({"census": Census(START, missing=1)}, "Of 1 tenant it is not known"),
            ({"whole": False}, "more than is read"),
            ({"unread": ["SYNC of TENANT#acme"]}, "1 record could not be read: SYNC of TENANT#acme."),
            ({"unread": [f"SYNC of TENANT#{each}" for each in "abcdefg"]}, "7 records could not be read: SYNC of"),
        ],
    )
    def test_what_was_not_looked_at_is_said_and_is_not_well(self, others: dict[str, Any], said: str) -> None:
        found = seen(**others)
        assert not found.is_well
        (unknown,) = found.unknown
        assert said in unknown

    @pytest.mark.parametrize(
        ("after", "said"),
        [
            (ROUND_OVERDUE_AFTER, "daily round is overdue"),
            (COUNTED_FOR, "hourly round has not come to its end since"),
            (CENSUS_OVERDUE_AFTER, "Tenants were last counted at"),
        ],
    )
    def test_a_round_that_is_overdue_is_not_well(self, after: timedelta, said: str) -> None:
        assert not any(said in each for each in seen(START + after).unknown)
        assert any(said in each for each in seen(START + after + timedelta(seconds=1)).unknown)

    @pytest.mark.parametrize(
        "others",
        [
            {"tenants": (active(findings=(LOST,)),)},
            {"incidents": (IncidentOutline("i/1", Concern.ALARM, "an alarm went off", START, 1),)},
        ],
    )
    def test_nor_is_one_in_which_anything_is_wrong(self, others: dict[str, Any]) -> None:
        assert not seen(**others).is_well

    @pytest.mark.parametrize("status", [TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.PROVISIONING])
    def test_while_anybody_could_be_hurt_somebody_must_have_looked(self, status: TenantStatus) -> None:
        """Also at who is being provisioned: only the hourly round sees whether that is stuck."""
        found = seen(statuses={status: 1}, round=TenantRound(), rooms=None, census=None)
        assert len(found.unknown) == 3

    def test_where_everybody_is_gone_nobody_need_look(self) -> None:
        assert seen(statuses={TenantStatus.OFFBOARDED: 4}, round=TenantRound(), rooms=None, census=None).is_well


class TestTroubles:
    @pytest.mark.parametrize(
        ("others", "harm", "command"),
        [
            ({"tenants": (active(status=TenantStatus.FAILED),)}, Harm.NO_ANSWERS, "kbfleet tenant add acme"),
            ({"tenants": (active(findings=(LOST,)),)}, Harm.NO_ANSWERS, "kbfleet tenant rebuild acme"),
            (
                {"tenants": (active(findings=(LOST,), worked_at_since=True),)},
                Harm.NO_ANSWERS,
                "kbfleet tenant show acme",
            ),
            (
                {"tenants": (active(findings=(replace(LOST, kind=ResourceKind.BUCKET),)),)},
                Harm.WRONG_ANSWERS,
                "kbfleet tenant show acme",
            ),
            (
                {"tenants": (active(status=TenantStatus.PROVISIONING, findings=(LOST, STUCK)),)},
                Harm.NO_ANSWERS,
                "kbfleet tenant add acme",
            ),
            ({"tenants": (active(unseen_since=START - UNSEEN_FOR),)}, Harm.UNKNOWN, "kbfleet tenant show acme"),
            (
                {"tenants": (active(status=TenantStatus.OFFBOARDING, delete_after=START - timedelta(days=4)),)},
                Harm.MACHINERY_ONLY,
                "kbfleet tenant offboard acme",
            ),
            (
                {"syncs": (SyncOutline(ACME, hold=Hold(HoldReason.EMPTY, 9, 9, START, START)),)},
                Harm.WRONG_ANSWERS,
                "kbfleet tenant show acme",
            ),
            ({"syncs": (SyncOutline(ACME, distrusted=True),)}, Harm.WRONG_ANSWERS, "kbfleet tenant add acme"),
            ({"syncs": (SyncOutline(ACME, outcome=Outcome.FAILED),)}, Harm.UNKNOWN, "kbfleet tenant show acme"),
            (
                {"syncs": (SyncOutline(ACME, outcome=Outcome.FAILED, ever_synced=False),)},
                Harm.NO_ANSWERS,
                "kbfleet tenant show acme",
            ),
            (
                {"syncs": (SyncOutline(ACME, pending_since=START - timedelta(hours=2)),)},
                Harm.WRONG_ANSWERS,
                "kbfleet tenant show acme",
            ),
            ({"syncs": (SyncOutline(ACME, left_out=2),)}, Harm.DOCUMENTS_MISSING, "kbfleet documents acme --failed"),
            (
                {"syncs": (SyncOutline(ACME, outcome=Outcome.DEGRADED),)},
                Harm.DOCUMENTS_MISSING,
                "kbfleet documents acme --failed",
            ),
            (
                {"questions": (QuestionsOutline(ACME, 3, 2, 1, 1, START, START),), "asked": 1},
                Harm.WRONG_ANSWERS,
                "kbfleet questions results acme",
            ),
        ],
    )
    def test_each_has_its_harm_and_a_command(self, others: dict[str, Any], harm: Harm, command: str) -> None:
        found = seen(**others)
        (trouble,) = found.troubles
        assert (trouble.tenant_id, trouble.harm, trouble.command) == (ACME, harm, command)
        assert found.harms == {harm: 1}

    @pytest.mark.parametrize(
        "others",
        [
            {"tenants": (active(status=TenantStatus.PROVISIONING),)},
            {"tenants": (active(status=TenantStatus.PROVISIONING, findings=(LOST,)),)},
            {
                "tenants": (active(status=TenantStatus.SUSPENDED),),
                "questions": (QuestionsOutline(ACME, 3, 2, 1, 1, START, START),),
                "asked": 1,
            },
            {"tenants": (active(status=TenantStatus.SUSPENDED, findings=(LOST,)),)},
            {"tenants": (active(unseen_since=START - AN_HOUR),)},
            {"tenants": (active(beside=BesideOutline(2, Role.RETIRED, START)),)},
            {"syncs": (SyncOutline(ACME, on_hold=True, outcome=Outcome.FAILED),)},
            {"syncs": (SyncOutline(ACME, pending_since=START - AN_HOUR),)},
            {"syncs": (SyncOutline(ACME, outcome=Outcome.DEGRADED, left_out=0),)},
            {"syncs": (running("acme", outcome=Outcome.FAILED),)},
            {"syncs": (queued("acme", outcome=Outcome.FAILED, retries=1),)},
            {"questions": (QuestionsOutline(ACME, 3, 2, 1, 0, None, START),), "asked": 1},
            {
                "tenants": (active(beside=BesideOutline(2, Role.CANDIDATE, START)),),
                "syncs": (SyncOutline(ACME, knowledge=2, outcome=Outcome.FAILED),),
            },
        ],
    )
    def test_what_hurts_nobody_is_no_trouble(self, others: dict[str, Any]) -> None:
        assert not seen(**others).troubles_in_all

    def test_a_tenant_is_told_once_with_the_worst(self) -> None:
        found = seen(tenants=(active(findings=(LOST,)),), syncs=(SyncOutline(ACME, left_out=2),))
        assert [each.harm for each in found.troubles] == [Harm.NO_ANSWERS]

    def test_the_worst_come_first_and_then_those_of_long_ago(self) -> None:
        at = [START - number * AN_HOUR for number in range(4)]
        syncs = (
            SyncOutline(TenantId("a-missing"), left_out=1, ended_at=at[3]),
            SyncOutline(TenantId("failed"), outcome=Outcome.FAILED, ended_at=at[2]),
            SyncOutline(TenantId("no-answers"), outcome=Outcome.FAILED, ended_at=at[0], ever_synced=False),
            SyncOutline(TenantId("no-answers-for-long"), outcome=Outcome.FAILED, ended_at=at[1], ever_synced=False),
        )
        named = [str(each.tenant_id) for each in seen(syncs=syncs).troubles]
        assert named == ["no-answers-for-long", "no-answers", "failed", "a-missing"]

    def test_a_long_list_is_bounded_and_counted(self) -> None:
        syncs = tuple(SyncOutline(TenantId(f"tenant-{number}"), left_out=1) for number in range(SHOWN + 5))
        found = seen(syncs=syncs)
        assert (len(found.troubles), found.troubles_in_all) == (SHOWN, SHOWN + 5)

    def test_an_incident_says_how_a_failed_sync_hurts(self) -> None:
        incident = IncidentOutline(
            "i/1", Concern.INGESTION, "ingestion fails", START, 1, Harm.NO_ANSWERS, (("acme", Harm.NO_ANSWERS),)
        )
        found = seen(syncs=(SyncOutline(ACME, outcome=Outcome.FAILED),), incidents=(incident,))
        assert [each.harm for each in found.troubles] == [Harm.NO_ANSWERS]


class TestIncidents:
    """Of who is out of service, nobody asks."""

    @pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.OFFBOARDING])
    @pytest.mark.parametrize("concern", [Concern.INGESTION, Concern.DOCUMENTS, Concern.KNOWLEDGE, Concern.QUESTIONS])
    def test_what_hurts_nobody_any_more_is_not_told(self, status: TenantStatus, concern: Concern) -> None:
        found = seen(tenants=(active(status=status),), incidents=(self.of(concern, "acme"),))
        assert (found.incidents_in_all, found.is_well) == (0, True)

    @pytest.mark.parametrize(
        ("status", "concern", "named", "broken"),
        [
            (TenantStatus.ACTIVE, Concern.INGESTION, ["acme"], 1),
            (TenantStatus.FAILED, Concern.PROVISIONING, ["acme"], 1),
            (TenantStatus.SUSPENDED, Concern.ISOLATION, ["acme"], 1),
            (TenantStatus.OFFBOARDING, Concern.OFFBOARDING, ["acme"], 1),
            (TenantStatus.SUSPENDED, Concern.INGESTION, ["acme", "sakura"], 2),
            (TenantStatus.SUSPENDED, Concern.INGESTION, ["acme"], 2),
            (TenantStatus.SUSPENDED, Concern.INGESTION, [], 1),
            (TenantStatus.SUSPENDED, Concern.ALARM, ["kbfleet-TicksFailingAlarm-1A2B"], 1),
        ],
    )
    def test_what_may_hurt_somebody_is(
        self, status: TenantStatus, concern: Concern, named: list[str], broken: int
    ) -> None:
        found = seen(tenants=(active(status=status),), incidents=(self.of(concern, *named, broken=broken),))
        assert found.incidents_in_all == 1

    @staticmethod
    def of(concern: Concern, *named: str, broken: int = 1) -> IncidentOutline:
        harm = Harm.WRONG_ANSWERS
        return IncidentOutline("i/1", concern, "it fails", START, broken, harm, tuple((each, harm) for each in named))


class TestQueue:
    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({}, Why.NEXT),
            ({"checking": True}, Why.CHECK),
            ({"ready_at": START + AN_HOUR}, Why.SCHEDULED),
            ({"ready_at": START + AN_HOUR, "priority": Priority.CHANGED}, Why.CHANGES),
            ({"ready_at": START + AN_HOUR, "retries": 1}, Why.RETRY),
            ({"ready_at": START + AN_HOUR, "postponed": 1}, Why.GIVES_WAY),
        ],
    )
    def test_it_is_said_why_a_sync_waits(self, fields: dict[str, Any], why: Why) -> None:
        (waiting,) = seen(syncs=(queued("acme", **fields),)).waiting
        assert waiting.why is why

    def test_who_is_behind_others_is_told_of_how_many(self) -> None:
        syncs = (
            queued("second", ready_at=START - AN_HOUR, priority=Priority.SCHEDULED),
            queued("first", ready_at=START - AN_HOUR),
        )
        found = seen(syncs=syncs)
        assert [(str(each.tenant_id), each.ahead, each.why) for each in found.waiting] == [
            ("first", 0, Why.NEXT),
            ("second", 1, Why.AHEAD),
        ]

    def test_while_as_many_jobs_run_as_may_the_others_wait_for_that(self) -> None:
        full = tuple(running(f"tenant-{number}") for number in range(5))
        found = seen(syncs=(*full, queued("acme")))
        assert found.jobs_at_once == {KnowledgeBaseKind.VECTOR: 5}
        assert [each.why for each in found.waiting] == [Why.JOBS]
        assert found.next_start is None
        managed = seen(syncs=(*full, queued("acme", kind=KnowledgeBaseKind.MANAGED)))
        assert (managed.waiting[0].why, managed.next_start) == (Why.NEXT, START)

    @pytest.mark.parametrize(
        ("ready", "started", "expected"),
        [
            (START, None, START),
            (START, START - timedelta(seconds=4), START - timedelta(seconds=4) + START_INTERVAL),
            (START + AN_HOUR, START, START + AN_HOUR),
            (START - AN_HOUR, START - AN_HOUR, START),
        ],
    )
    def test_the_next_start_is_when_somebody_is_ready_and_a_start_is_allowed(
        self, ready: datetime, started: datetime | None, expected: datetime
    ) -> None:
        assert seen(syncs=(queued("acme", ready_at=ready),), started_at=started).next_start == expected

    def test_syncs_that_nobody_starts_are_counted_apart(self) -> None:
        held = SyncOutline(ACME, hold=Hold(HoldReason.EMPTY, 9, 9, START, START))
        found = seen(syncs=(held, SyncOutline(SAKURA, distrusted=True)))
        assert (found.held, found.barred, found.waiting_in_all, found.next_start) == (1, 1, 0, None)

    def test_jobs_of_a_rebuild_are_told_as_that(self) -> None:
        beside = active(beside=BesideOutline(2, Role.CANDIDATE, START))
        found = seen(tenants=(beside,), syncs=(running("acme", knowledge=2), running("sakura")))
        assert [(str(each.tenant_id), each.of_rebuild) for each in found.at_work] == [("acme", True), ("sakura", False)]
        assert [each.tenant_id for each in found.rebuilds] == [ACME]


class TestQuestions:
    def test_tenants_are_counted_by_how_theirs_stand(self) -> None:
        outlines = (
            QuestionsOutline(ACME, 3, 2, 1, 0, None, START),
            QuestionsOutline(SAKURA, 3, 1, 2, 2, START, START),
            QuestionsOutline(TenantId("new"), 3),
        )
        stand = seen(questions=outlines, asked=10).questions
        assert (stand.asked, stand.passing, stand.failing, stand.regressed, stand.unasked) == (10, 7, 1, 1, 1)


class TestEntering:
    def older(self, fleet: Fleet, name: TenantId) -> Sync:
        """As a version from before there were outlines has stored it."""
        fleet.registry.create(tenant(name))
        stored = fleet.ledger.save(Sync(name, result=sync_result(Outcome.FAILED)))
        fleet.ledger.replace(replace(stored, outlined=False))
        return fleet.ledger.find(first_knowledge(name))

    def test_entries_that_an_older_version_has_stored_are_stored_again(self) -> None:
        fleet = Fleet()
        entries = [self.older(fleet, name) for name in (ACME, SAKURA)]
        assert not look(fleet).troubles
        assert enter_outlines(entries, ledger=fleet.ledger) == 0
        assert [each.tenant_id for each in look(fleet).troubles] == [ACME, SAKURA]
        entries = [fleet.ledger.find(first_knowledge(name)) for name in (ACME, SAKURA)]
        writes = fleet.ledger.writes
        assert enter_outlines(entries, ledger=fleet.ledger) == 0
        assert fleet.ledger.writes == writes

    def test_what_there_are_too_many_of_is_left_and_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kbfleet.usecases.fleet_overview._ENTERED_AT_ONCE", 1)
        fleet = Fleet()
        entries = [self.older(fleet, name) for name in (ACME, SAKURA)]
        assert enter_outlines(entries, ledger=fleet.ledger) == 1
        assert [each.tenant_id for each in look(fleet).troubles] == [ACME]

    def test_an_entry_that_was_erased_does_not_come_back(self) -> None:
        fleet = Fleet()
        entry = self.older(fleet, ACME)
        fleet.ledger.forget(Life(ACME))
        assert enter_outlines([entry, Sync(SAKURA)], ledger=fleet.ledger) == 0
        assert not fleet.ledger.all
