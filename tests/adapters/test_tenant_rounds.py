"""What every round through all tenants remembers."""

from __future__ import annotations

import pytest

from kbfleet.adapters.dynamodb.rounds import DynamoDBTenantRounds
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.ports import TenantRounds
from tests.support.fakes import InMemoryTenantRounds
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
