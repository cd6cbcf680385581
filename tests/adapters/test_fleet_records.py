"""What an overview of the fleet is made of: in memory and in DynamoDB."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kbfleet.adapters.dynamodb.fleet_records import DynamoDBFleetRecords
from kbfleet.adapters.dynamodb.incidents import DynamoDBIncidents
from kbfleet.adapters.dynamodb.questions import DynamoDBQuestionWatches
from kbfleet.adapters.dynamodb.rounds import ISOLATION, ROOM, DynamoDBRoomCounts, DynamoDBTenantRounds
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table, as_item, outlined
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.adapters.dynamodb.usage import DynamoDBUsageRecords
from kbfleet.domain.capacity import Room, RoomCount, Scarce
from kbfleet.domain.deletions import AnsweredFrom, Hold, HoldReason
from kbfleet.domain.errors import NotReadyYet, Throttled
from kbfleet.domain.finding import Disagreement, Fact, Finding, ResourceKind, UnseenSince
from kbfleet.domain.fleet_overview import (
    BesideOutline,
    Census,
    FleetOutlines,
    IncidentOutline,
    QuestionsOutline,
    SyncOutline,
    TenantOutline,
    UsageOfMonth,
)
from kbfleet.domain.incident import Signal
from kbfleet.domain.ingestion_job import JobStatus, Outcome, Statistics
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch, RunCause, Score
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.domain.sync import Priority, Sync
from kbfleet.domain.tenant import Offboarding
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage import DailyUsage, UsageCounts, UsagePeriod, total
from kbfleet.ports import (
    FleetRecords,
    Incidents,
    QuestionWatches,
    RoomCounts,
    SyncLedger,
    TenantRegistry,
    TenantRounds,
    UsageRecords,
)
from tests.adapters.test_incidents import opened
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, first_knowledge, ingestion_job, sync_result, tenant

MOST = 30
A_MINUTE = timedelta(minutes=1)
LOST = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "kbfleet-acme", ACME)


@dataclass
class World:
    records: FleetRecords
    registry: TenantRegistry
    ledger: SyncLedger
    incidents: Incidents
    watches: QuestionWatches
    rooms: RoomCounts
    rounds: TenantRounds
    usage: UsageRecords

    def read(self) -> FleetOutlines:
        return self.records.read(START, MOST)


def dynamodb_world(table: Table) -> World:
    return World(
        DynamoDBFleetRecords(table),
        DynamoDBTenantRegistry(table),
        DynamoDBSyncLedger(table),
        DynamoDBIncidents(table),
        DynamoDBQuestionWatches(table, timedelta(days=90)),
        DynamoDBRoomCounts(table),
        DynamoDBTenantRounds(table, ISOLATION),
        DynamoDBUsageRecords(table),
    )


def judged(passed: int, failed: int = 0) -> QuestionWatch:
    score = Score(passed, failed, 0, None)
    run = QuestionRun("r1", RunCause.CHANGE, START, START, ended_at=START)
    return QuestionWatch(Life(ACME), last=run, came_to=score, questions=passed + failed)


class FleetRecordsSuite:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def test_of_an_empty_fleet_nothing_is_known(self, world: World) -> None:
        found = world.read()
        assert not sum(found.statuses.values())
        assert (found.tenants, found.syncs, found.incidents, found.questions, found.asked) == ([], [], [], [], 0)
        assert (found.rooms, found.round, found.census, found.started_at, found.used) == (
            None,
            TenantRound(),
            *3 * [None],
        )
        assert found.whole

    def test_tenants_are_counted_by_status_and_who_is_well_is_only_counted(self, world: World) -> None:
        for number, status in enumerate(TenantStatus):
            world.registry.create(tenant(TenantId(f"tenant-{number}"), status=status))
        found = world.read()
        assert {status: found.statuses.get(status) for status in TenantStatus} == dict.fromkeys(TenantStatus, 1)
        told = set(TenantStatus) - {TenantStatus.ACTIVE, TenantStatus.OFFBOARDED}
        assert {each.status for each in found.tenants} == told

    def test_what_is_wrong_with_a_tenant_is_told_and_so_is_what_is_beside(self, world: World) -> None:
        plan = RebuildPlan(START, "S3_VECTORS")
        wrong = tenant(
            ACME,
            losses=(LOST,),
            within=(replace(LOST, disagreement=Disagreement.FOREIGN),),
            found_at=START,
            updated_at=START + A_MINUTE,
            unseen=(UnseenSince(Fact.ANSWERS, START), UnseenSince(Fact.BUCKET, START - A_MINUTE)),
            beside=Beside(plan.candidate(2), Role.CANDIDATE, START, plan),
        )
        leaving = tenant(
            SAKURA,
            status=TenantStatus.OFFBOARDING,
            offboarding=Offboarding(START, START + A_MINUTE, TenantStatus.ACTIVE),
        )
        for each in (wrong, leaving):
            world.registry.create(each)
        assert sorted(world.read().tenants, key=lambda each: each.tenant_id) == [
            TenantOutline(
                ACME,
                TenantStatus.ACTIVE,
                wrong.status_since,
                1,
                (LOST, replace(LOST, disagreement=Disagreement.FOREIGN)),
                START,
                START - A_MINUTE,
                BesideOutline(2, Role.CANDIDATE, START),
                worked_at_since=True,
            ),
            TenantOutline(SAKURA, TenantStatus.OFFBOARDING, leaving.status_since, delete_after=START + A_MINUTE),
        ]

    def test_of_syncs_what_goes_on_or_is_wrong_is_told(self, world: World) -> None:
        job = ingestion_job(JobStatus.IN_PROGRESS, statistics=Statistics(scanned=40, new=7, modified=1, failed=2))
        source = AnsweredFrom("DS00000002", 100, START, START)
        running = Sync(TenantId("running"), answered_from=source).requested(START, Priority.CHANGED).started(job, 1)
        entries = [
            Sync(TenantId("idle"), result=sync_result(), requested_generation=1, synced_generation=1),
            running.progressed(job, START + A_MINUTE),
            Sync(TenantId("queued"), knowledge=2).requested(START, Priority.REQUESTED),
            Sync(TenantId("held"), hold=Hold(HoldReason.EMPTY, 9, 9, START, START)),
            Sync(TenantId("failed"), result=sync_result(Outcome.FAILED)),
            Sync(TenantId("left-out"), result=sync_result(Outcome.DEGRADED), documents_left_out=3, life=2),
        ]
        for entry in entries:
            world.ledger.save(entry)
        found = world.read()
        told = {each.tenant_id: each for each in found.syncs}
        assert sorted(told) == ["failed", "held", "left-out", "queued", "running"]
        assert told[TenantId("running")] == SyncOutline.of(entries[1])
        at_work = told[TenantId("running")].job
        assert at_work is not None
        assert (at_work.scanned, at_work.indexed, at_work.failed, at_work.expected) == (40, 8, 2, 100)

    def test_what_an_entry_says_is_that_of_the_last_write(self, world: World) -> None:
        entry = world.ledger.save(Sync(ACME).requested(START, Priority.CHANGED))
        world.ledger.save(entry.laid_to_rest())
        world.ledger.save(Sync(SAKURA))
        (left,) = world.read().syncs
        assert left.pending_since == START

    def test_open_incidents_are_told_and_those_that_are_over_are_not(self, world: World) -> None:
        timeline, incident = opened()
        world.incidents.record(timeline, [incident])
        (told,) = world.read().incidents
        assert told == IncidentOutline.of(incident)
        assert told is not None
        assert (told.broken, told.named[0][0]) == (1, timeline.subject)
        stored = world.incidents.find(incident.identity)
        assert stored is not None
        well = Signal("well", timeline.subject, timeline.concern, incident.opened_at + A_MINUTE)
        after = replace(timeline.joined_by(well, ""), version=1)
        over = replace(stored, affected={timeline.subject: after.spans(incident.identity)})
        world.incidents.record(after, [over])
        assert world.read().incidents == []

    def test_tenants_whose_questions_all_pass_are_only_counted(self, world: World) -> None:
        watch = world.watches.save(judged(5))
        found = world.read()
        assert (found.asked, found.questions) == (1, [])
        world.watches.save(replace(judged(4, 1), version=watch.version))
        found = world.read()
        assert (found.asked, found.questions) == (1, [QuestionsOutline(ACME, 5, 4, 1, judged_at=START)])

    def test_who_has_no_questions_is_not_counted(self, world: World) -> None:
        world.watches.save(QuestionWatch(Life(ACME)))
        assert world.read().asked == 0

    def test_what_the_fleet_has_one_of_comes_with_it(self, world: World) -> None:
        rooms = RoomCount(START, (Room(Scarce.BUCKETS, 3, 10, ("S3_VECTORS",)),))
        last = TenantRound(last=WholeRound(START, START + A_MINUTE, missed=1))
        census = Census(START, active=2, oldest=START, missing=1)
        world.rooms.save(rooms)
        world.rounds.save(last)
        world.records.count(census)
        assert world.ledger.claim_start(START, A_MINUTE)
        found = world.read()
        assert (found.rooms, found.round, found.census, found.started_at) == (rooms, last, census, START)

    def test_the_usage_of_all_tenants_in_this_month_is_added_up_once_for_each_delivery(self, world: World) -> None:
        today = START.date()
        used = [
            DailyUsage(each, day, UsageCounts(questions=2, input_tokens=50))
            for each in (ACME, SAKURA)
            for day in (today, today - timedelta(days=40))
        ]
        for delivery in ("one", "two", "two"):
            world.usage.add(used, delivery=delivery, now=START)
        found = world.read().used
        assert found is not None
        assert found.counts == UsageCounts(questions=8, input_tokens=200)


class TestInMemoryFleetRecords(FleetRecordsSuite):
    @pytest.fixture
    def world(self) -> World:
        fleet = Fleet()
        return World(
            fleet.fleet_records,
            fleet.registry,
            fleet.ledger,
            fleet.incidents,
            fleet.question_watches,
            fleet.room_counts,
            fleet.isolation_rounds,
            fleet.usage_records,
        )


class TestDynamoDBFleetRecords(FleetRecordsSuite):
    @pytest.fixture
    def world(self, table: Table) -> World:
        return dynamodb_world(table)

    def test_a_tenant_of_an_older_version_is_counted_and_what_it_lost_is_told(self, table: Table, world: World) -> None:
        world.registry.create(tenant(ACME, losses=(LOST,)))
        world.registry.create(tenant(SAKURA))
        for name in (ACME, SAKURA):
            key = {"PK": f"TENANT#{name}", "SK": "PROFILE"}
            _without(table, key, "outline", *(["losses", "within", "unseen"] if name == SAKURA else []))
        found = world.read()
        assert found.statuses[TenantStatus.ACTIVE] == 2
        assert [(each.tenant_id, each.findings) for each in found.tenants] == [(ACME, (LOST,))]

    def test_an_entry_of_an_older_version_is_missed_until_it_is_stored_again(self, table: Table, world: World) -> None:
        for name in (ACME, SAKURA):
            world.ledger.save(Sync(name, result=sync_result(Outcome.FAILED)))
        _without(table, {"PK": "TENANT#acme", "SK": "SYNC"}, "status", "status_since", "outline", "outlined")
        assert [each.tenant_id for each in world.read().syncs] == [SAKURA]
        older, newer = world.ledger.entries(first_knowledge(name) for name in (ACME, SAKURA))
        assert (older.outlined, newer.outlined) == (False, True)
        world.ledger.save(older)
        assert len(world.read().syncs) == 2

    @pytest.mark.parametrize(
        "outline",
        [
            "{",
            "[]",
            "null",
            "",
            '{"tenant_id": "acme"',
            '{"tenant_id": "acme", "state": "ASLEEP"}',
            '{"state": "IDLE"}',
        ],
    )
    def test_an_outline_that_cannot_be_read_is_named_and_hides_no_other(
        self, table: Table, world: World, outline: str
    ) -> None:
        for name in (ACME, SAKURA):
            world.ledger.save(Sync(name, result=sync_result(Outcome.FAILED)))
        _set(table, {"PK": "TENANT#acme", "SK": "SYNC"}, outline=outline)
        found = world.read()
        assert [each.tenant_id for each in found.syncs] == [SAKURA]
        assert found.unread == ["SYNC of TENANT#acme"]

    def test_nor_does_an_incident_that_cannot_be_read(self, table: Table, world: World) -> None:
        timeline, incident = opened()
        world.incidents.record(timeline, [incident])
        item = outlined("INCIDENT", "0#a", '{"identity": "i/1", "concern": "WEATHER"}')
        table.put({"PK": "INCIDENT#1", "SK": "0001", **item}, values={}, subject="an incident of a newer version")
        found = world.read()
        assert [each.identity for each in found.incidents] == [incident.identity]
        assert found.unread == ["0001 of INCIDENT#1"]

    @pytest.mark.parametrize(
        "damage", [{"losses": [{"disagreement": "ASTRAY"}]}, {"beside": "none"}, {"status_since": "yesterday"}]
    )
    def test_nor_does_a_record_and_its_tenant_is_counted_all_the_same(
        self, table: Table, world: World, damage: dict[str, Any]
    ) -> None:
        world.registry.create(tenant(ACME, losses=(LOST,)))
        world.registry.create(tenant(SAKURA, losses=(LOST,)))
        _set(table, {"PK": "TENANT#acme", "SK": "PROFILE"}, **damage)
        found = world.read()
        assert found.statuses[TenantStatus.ACTIVE] == 2
        assert [each.tenant_id for each in found.tenants] == [SAKURA]
        assert found.unread == ["PROFILE of TENANT#acme"]

    def test_nor_does_what_the_fleet_has_one_of(self, table: Table, world: World) -> None:
        world.rooms.save(RoomCount(START, (Room(Scarce.BUCKETS, 3, 10, ("S3_VECTORS",)),)))
        world.records.count(Census(START))
        _set(table, {"PK": "FLEET", "SK": "CENSUS"}, at="yesterday")
        _set(table, ROOM, rooms=[{"of": "moons", "used": 1, "quota": 1}])
        found = world.read()
        assert (found.rooms, found.census) == (None, None)
        assert sorted(found.unread) == ["CENSUS of FLEET", f"{ROOM['SK']} of FLEET"]

    def test_what_a_newer_version_says_beside_is_left_out(self, table: Table, world: World) -> None:
        world.ledger.save(Sync(ACME, result=sync_result(Outcome.FAILED)))
        said = '{"tenant_id": "acme", "outcome": "FAILED", "mood": "gloomy"}'
        _set(table, {"PK": "TENANT#acme", "SK": "SYNC"}, outline=said)
        found = world.read()
        assert ([each.outcome for each in found.syncs], found.unread) == ([Outcome.FAILED], [])

    @pytest.mark.parametrize(
        ("code", "message", "error"),
        [
            ("ValidationException", "Cannot read from backfilling global secondary index: Overview", NotReadyYet),
            ("ValidationException", "The table does not have the specified index: Overview", NotReadyYet),
            ("ProvisionedThroughputExceededException", "Slow down.", Throttled),
            ("InternalServerError", "Once more.", NotReadyYet),
        ],
    )
    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_a_page_that_fails_is_never_taken_for_the_end(
        self, table: Table, code: str, message: str, error: type[Exception], after: int
    ) -> None:
        """While AWS makes the index, or deletes it, or has a bad day: who asks is to ask again."""
        failing = _FailingClient(table.client, after, code, message)
        with pytest.raises(error):
            DynamoDBFleetRecords(Table(failing, table.name)).read(START, MOST)  # type: ignore[arg-type]

    def test_reads_are_counted_and_when_there_are_too_few_that_is_told(self, table: Table, world: World) -> None:
        for number in range(3):
            world.registry.create(tenant(TenantId(f"tenant-{number}"), status=TenantStatus.FAILED))
        counted = _CountedClient(table.client)
        whole = DynamoDBFleetRecords(Table(counted, table.name)).read(START, MOST)  # type: ignore[arg-type]
        assert (whole.whole, whole.reads) == (True, counted.calls)
        few = world.records.read(START, 8)
        assert (few.whole, few.reads) == (False, 8)
        assert few.statuses[TenantStatus.FAILED] == 3

    def test_the_outline_of_a_long_list_is_read_over_all_pages(
        self, table: Table, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("moto.dynamodb.models.table.RESULT_SIZE_LIMIT", 4_000)
        for number in range(9):
            world.ledger.save(Sync(TenantId(f"tenant-{number}")).requested(START, Priority.CHANGED))
        assert len(world.read().syncs) == 9

    def test_fewer_incidents_than_there_are_may_be_read_and_that_is_told(
        self, table: Table, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("moto.dynamodb.models.table.RESULT_SIZE_LIMIT", 6_000)
        for number in range(12):
            timeline, incident = opened(number + 1)
            world.incidents.record(replace(timeline, subject=f"tenant-{number}"), [incident])
        found = world.read()
        assert found.incidents_left_out
        assert 0 < len(found.incidents) < 12
        assert found.whole

    def test_days_before_the_fleet_was_counted_are_not_claimed(self, table: Table, world: World) -> None:
        today = START.date()
        world.usage.add([DailyUsage(ACME, today, UsageCounts(questions=1))], delivery="one", now=START)
        assert world.read().used == UsageOfMonth(today, UsageCounts(questions=1))

    @pytest.mark.parametrize("survived", range(5))
    def test_whoever_dies_while_usage_is_counted_leaves_sums_that_are_right_after_the_next_try(
        self, table: Table, world: World, survived: int
    ) -> None:
        today = START.date()
        days = [today, today - timedelta(days=1)]
        used = [DailyUsage(each, day, UsageCounts(questions=3)) for each in (ACME, SAKURA) for day in days]
        with suppress(_Died):
            mortal = _MortalClient(table.client, survived)
            dying = DynamoDBUsageRecords(Table(mortal, table.name))  # type: ignore[arg-type]
            dying.add(used, delivery="one", now=START)
        world.usage.add(used, delivery="one", now=START)
        period = UsagePeriod(today.replace(day=1), today)
        own = [each for name in (ACME, SAKURA) for each in world.usage.of_life(Life(name), period)]
        found = world.read().used
        assert found is not None
        assert found.counts == total(own)


class _Died(Exception):
    """As a function that runs out of time."""


class _MortalClient:
    """Dies at a transaction, before or after AWS has made it. Args: survived: calls, of which each has two moments."""

    def __init__(self, client: Any, survived: int) -> None:
        self._client = client
        self._left = survived
        self.exceptions = client.exceptions

    def transact_write_items(self, **arguments: Any) -> Any:
        self._pass()
        answer = self._client.transact_write_items(**arguments)
        self._pass()
        return answer

    def _pass(self) -> None:
        if not self._left:
            raise _Died
        self._left -= 1


def _without(table: Table, key: dict[str, str], *fields: str) -> None:
    """As an older version has stored it."""
    table.client.update_item(
        TableName=table.name,
        Key=as_item(key),
        UpdateExpression="REMOVE " + ", ".join(f"#{name}" for name in fields),
        ExpressionAttributeNames={f"#{name}": name for name in fields},
    )


def _set(table: Table, key: dict[str, str], **fields: Any) -> None:
    """As a newer version has stored it, or nobody should."""
    table.client.update_item(
        TableName=table.name,
        Key=as_item(key),
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
        ExpressionAttributeNames={f"#{name}": name for name in fields},
        ExpressionAttributeValues=as_item({f":{name}": value for name, value in fields.items()}),
    )


class _FailingClient:
    """Refuses each query of an index after the first ones."""

    def __init__(self, client: Any, after: int, code: str, message: str) -> None:
        self._client = client
        self._left = after
        self._error = ClientError(
            {
                "Error": {"Code": code, "Message": message},
                "ResponseMetadata": {"HTTPStatusCode": 500 if code == "InternalServerError" else 400},  # type: ignore[typeddict-item]
            },
            "Query",
        )

    def get_item(self, **arguments: Any) -> Any:
        return self._client.get_item(**arguments)

    def query(self, **arguments: Any) -> Any:
        if "IndexName" in arguments:
            if not self._left:
                raise self._error
            self._left -= 1
        return self._client.query(**arguments)


class _CountedClient:
    """Counts what is read: a call is a page, or an item."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        assert name in {"query", "get_item"}
        self.calls += 1
        return getattr(self._client, name)
