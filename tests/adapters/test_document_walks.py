"""Where the list of a tenant's documents is to be read on."""

from __future__ import annotations

import pytest

from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords
from kbfleet.adapters.dynamodb.walks import DynamoDBDocumentWalks
from kbfleet.domain.isolation import DocumentWalk
from kbfleet.ports import DocumentWalks
from tests.support.clock import START
from tests.support.fakes import InMemoryDocumentWalks
from tests.support.samples import ACME, SAKURA

WALK = DocumentWalk("DS00000002", START, after="a token/of+Bedrock=")


class DocumentWalksSuite:
    @pytest.fixture
    def walks(self) -> DocumentWalks:
        raise NotImplementedError

    def test_each_tenant_has_one_until_it_is_at_its_end(self, walks: DocumentWalks) -> None:
        assert walks.find(ACME) is None
        walks.save(ACME, WALK)
        assert (walks.find(ACME), walks.find(SAKURA)) == (WALK, None)
        walks.save(ACME, None)
        assert walks.find(ACME) is None


class TestInMemoryDocumentWalks(DocumentWalksSuite):
    @pytest.fixture
    def walks(self) -> DocumentWalks:
        return InMemoryDocumentWalks()


class TestDynamoDBDocumentWalks(DocumentWalksSuite):
    @pytest.fixture
    def walks(self, table: Table) -> DocumentWalks:
        return DynamoDBDocumentWalks(table)

    def test_it_goes_with_the_tenant(self, table: Table, walks: DocumentWalks) -> None:
        walks.save(ACME, WALK)
        records = DynamoDBTenantRecords(table)
        assert not records.erased(ACME, keep_usage=True)
        records.erase(ACME, keep_usage=True)
        assert records.erased(ACME, keep_usage=True)
