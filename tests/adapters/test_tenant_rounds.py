"""What every round through all tenants remembers, and the one after an update."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from kbfleet.adapters.dynamodb.rounds import DynamoDBConvergenceRecord, DynamoDBRoomCounts, DynamoDBTenantRounds
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.capacity import Room, RoomCount, Scarce
from kbfleet.domain.convergence import Convergence
from kbfleet.ports import ConvergenceRecord, RoomCounts, TenantRounds
from tests.support.clock import START
from tests.support.fakes import InMemoryConvergenceRecord, InMemoryRoomCounts, InMemoryTenantRounds
from tests.support.samples import ACME, SAKURA


class TenantRoundsSuite:
    @pytest.fixture
    def rounds(self) -> TenantRounds:
        raise NotImplementedError

    def test_a_round_begins_before_the_first_tenant(self, rounds: TenantRounds) -> None:
        assert rounds.position() is None

    def test_it_goes_on_after_the_tenant_that_was_visited_last_and_begins_anew(self, rounds: TenantRounds) -> None:
        for position in (ACME, SAKURA, None, ACME):
            rounds.move(position)
            assert rounds.position() == position


class TestInMemoryTenantRounds(TenantRoundsSuite):
    @pytest.fixture
    def rounds(self) -> TenantRounds:
        return InMemoryTenantRounds()


class TestDynamoDBTenantRounds(TenantRoundsSuite):
    @pytest.fixture
    def rounds(self, table: Table) -> TenantRounds:
        return DynamoDBTenantRounds(table, "EXTERNAL_JOBS")

    def test_rounds_are_kept_apart(self, table: Table) -> None:
        DynamoDBTenantRounds(table, "EXTERNAL_JOBS").move(ACME)
        assert DynamoDBTenantRounds(table, "ANOTHER").position() is None


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
