"""What every round through all tenants remembers, and the one after an update."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kbfleet.adapters.dynamodb.rounds import DynamoDBConvergenceRecord, DynamoDBRoomCounts, DynamoDBTenantRounds
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.capacity import Room, RoomCount, Scarce
from kbfleet.domain.convergence import Convergence
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.ports import ConvergenceRecord, RoomCounts, TenantRounds
from tests.support.clock import START
from tests.support.fakes import InMemoryConvergenceRecord, InMemoryRoomCounts, InMemoryTenantRounds
from tests.support.samples import ACME, SAKURA


class TenantRoundsSuite:
    @pytest.fixture
    def rounds(self) -> TenantRounds:
        raise NotImplementedError

    def test_a_round_begins_before_the_first_tenant(self, rounds: TenantRounds) -> None:
        assert rounds.find() == TenantRound()

    def test_it_goes_on_after_the_tenant_that_was_visited_last_and_begins_anew(self, rounds: TenantRounds) -> None:
        for number, position in enumerate((ACME, SAKURA, None, ACME)):
            at = START + timedelta(hours=number)
            moved = rounds.find().moved(position, since=at, now=at + timedelta(minutes=1), missed=number)
            rounds.save(moved)
            assert (rounds.find(), moved.visited) == (moved, position)
        assert moved.last == WholeRound(START, START + timedelta(hours=2, minutes=1), missed=0 + 1 + 2)
        assert (moved.began_at, moved.missed) == (START + timedelta(hours=3), 3)


class TestInMemoryTenantRounds(TenantRoundsSuite):
    @pytest.fixture
    def rounds(self) -> TenantRounds:
        return InMemoryTenantRounds()


class TestDynamoDBTenantRounds(TenantRoundsSuite):
    @pytest.fixture
    def rounds(self, table: Table) -> TenantRounds:
        return DynamoDBTenantRounds(table, "EXTERNAL_JOBS")

    def test_rounds_are_kept_apart(self, table: Table) -> None:
        DynamoDBTenantRounds(table, "EXTERNAL_JOBS").save(TenantRound(ACME))
        assert DynamoDBTenantRounds(table, "ANOTHER").find() == TenantRound()

    def test_one_that_an_older_version_began_goes_on_and_nobody_says_when_it_began(self, table: Table) -> None:
        table.put({"PK": "FLEET", "SK": "ROUND#ISOLATION", "visited": str(ACME)}, values={}, subject="a round")
        found = DynamoDBTenantRounds(table, "ISOLATION").find()
        assert found == TenantRound(ACME)
        assert found.moved(None, since=START, now=START).last is None


class ConvergenceRecordSuite:
    @pytest.fixture
    def record(self) -> ConvergenceRecord:
        raise NotImplementedError

    def test_there_is_none_before_the_first_round(self, record: ConvergenceRecord) -> None:
        assert record.find() is None

    @pytest.mark.parametrize(("before", "last"), [(None, START), (START, None)])
    def test_it_is_found_as_it_was_saved_last(
        self, record: ConvergenceRecord, before: datetime | None, last: datetime | None
    ) -> None:
        record.save(Convergence("1", START, before))
        record.save(Convergence("2", START, last))
        assert record.find() == Convergence("2", START, last)


class TestInMemoryConvergenceRecord(ConvergenceRecordSuite):
    @pytest.fixture
    def record(self) -> ConvergenceRecord:
        return InMemoryConvergenceRecord()


class TestDynamoDBConvergenceRecord(ConvergenceRecordSuite):
    @pytest.fixture
    def record(self, table: Table) -> ConvergenceRecord:
        return DynamoDBConvergenceRecord(table)


COUNTED = RoomCount(
    START,
    (Room(Scarce.USAGE_KEYS, 7_999, 10_000, ("S3_VECTORS", "MANAGED")), Room(Scarce.BUCKETS, 1, 2, (), fixed=False)),
)


class RoomCountsSuite:
    @pytest.fixture
    def counts(self) -> RoomCounts:
        raise NotImplementedError

    def test_nobody_is_let_in_before_anything_is_counted(self, counts: RoomCounts) -> None:
        counts.take()
        assert counts.find() is None

    def test_it_is_found_as_it_was_saved_last_with_who_was_let_in_since(self, counts: RoomCounts) -> None:
        counts.save(COUNTED)
        for _ in range(2):
            counts.take()
        assert counts.find() == replace(COUNTED, taken=2)
        counts.save(COUNTED)
        assert counts.find() == COUNTED


class TestInMemoryRoomCounts(RoomCountsSuite):
    @pytest.fixture
    def counts(self) -> RoomCounts:
        return InMemoryRoomCounts()


class TestDynamoDBRoomCounts(RoomCountsSuite):
    @pytest.fixture
    def counts(self, table: Table) -> RoomCounts:
        return DynamoDBRoomCounts(table)
