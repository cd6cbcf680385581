"""How often a tenant may be searched without anybody asking."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from kbfleet.adapters.dynamodb.rounds import DynamoDBSearchAllowances
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords
from kbfleet.domain.names import Life
from kbfleet.ports import SearchAllowances
from tests.support.clock import START
from tests.support.fakes import InMemorySearchAllowances
from tests.support.samples import ACME, SAKURA

MINUTES = range(0, 3 * 24 * 60, 20)
A_DAY = 24 * 60


class SearchAllowancesSuite:
    @pytest.fixture
    def allowances(self) -> SearchAllowances:
        raise NotImplementedError

    def test_however_often_somebody_would_search_there_are_ten_in_any_day(self, allowances: SearchAllowances) -> None:
        taken = [minute for minute in MINUTES if allowances.take(ACME, START + timedelta(minutes=minute))]
        assert max(sum(begin <= minute < begin + A_DAY for minute in taken) for begin in MINUTES) <= 10
        # None of them is kept waiting for long.
        assert max(after - before for before, after in pairwise(taken)) <= 4 * 60

    def test_two_looks_that_need_two_are_there_at_once_and_each_tenant_has_its_own(
        self, allowances: SearchAllowances
    ) -> None:
        assert [allowances.take(ACME, START) for _ in range(5)] == [True] * 4 + [False]
        assert allowances.take(SAKURA, START)


class TestInMemorySearchAllowances(SearchAllowancesSuite):
    @pytest.fixture
    def allowances(self) -> SearchAllowances:
        return InMemorySearchAllowances()


class TestDynamoDBSearchAllowances(SearchAllowancesSuite):
    @pytest.fixture
    def allowances(self, table: Table) -> SearchAllowances:
        return DynamoDBSearchAllowances(table)

    def test_what_somebody_else_takes_at_the_same_moment_is_taken_once(
        self, table: Table, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = DynamoDBSearchAllowances(table), DynamoDBSearchAllowances(table)
        first.take(ACME, START)
        read = Table.get

        def read_before_another_takes(own: Table, *arguments: object) -> object:
            found = read(own, *arguments)  # type: ignore[arg-type]
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(Table, "get", read)
                assert second.take(ACME, START)
            return found

        with monkeypatch.context() as disturbed:
            disturbed.setattr(Table, "get", read_before_another_takes)
            assert not first.take(ACME, START)
        assert [first.take(ACME, START) for _ in range(3)] == [True, True, False]

    def test_an_erased_tenant_has_none(self, table: Table) -> None:
        allowances = DynamoDBSearchAllowances(table)
        allowances.take(ACME, START)
        records = DynamoDBTenantRecords(table)
        records.erase(Life(ACME), keep_usage=True)
        assert records.erased(Life(ACME), keep_usage=True)
