"""Where the list of a tenant's documents is to be read on."""

from __future__ import annotations

import pytest

from kbfleet.adapters.dynamodb.rounds import DynamoDBDocumentRounds
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords
from kbfleet.domain.isolation import DocumentRound
from kbfleet.domain.names import Life
from kbfleet.ports import DocumentRounds
from tests.support.clock import START
from tests.support.fakes import InMemoryDocumentRounds
from tests.support.samples import ACME, SAKURA

ROUND = DocumentRound("DS00000002", START, after="a token/of+Bedrock=")


class DocumentRoundsSuite:
    @pytest.fixture
    def rounds(self) -> DocumentRounds:
        raise NotImplementedError

    def test_each_tenant_has_one_until_it_is_at_its_end(self, rounds: DocumentRounds) -> None:
        assert rounds.find(ACME) is None
        rounds.save(ACME, ROUND)
        assert (rounds.find(ACME), rounds.find(SAKURA)) == (ROUND, None)
        rounds.save(ACME, None)
        assert rounds.find(ACME) is None


class TestInMemoryDocumentRounds(DocumentRoundsSuite):
    @pytest.fixture
    def rounds(self) -> DocumentRounds:
        return InMemoryDocumentRounds()


class TestDynamoDBDocumentRounds(DocumentRoundsSuite):
    @pytest.fixture
    def rounds(self, table: Table) -> DocumentRounds:
        return DynamoDBDocumentRounds(table)

    def test_it_goes_with_the_tenant(self, table: Table, rounds: DocumentRounds) -> None:
        rounds.save(ACME, ROUND)
        records = DynamoDBTenantRecords(table)
        assert not records.erased(Life(ACME), keep_usage=True)
        records.erase(Life(ACME), keep_usage=True)
        assert records.erased(Life(ACME), keep_usage=True)
