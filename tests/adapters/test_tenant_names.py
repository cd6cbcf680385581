"""What tenants call themselves is what the registry says."""

from __future__ import annotations

import pytest

from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenant_names import DynamoDBTenantNames
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.ports import TenantNames, TenantRegistry
from tests.support.fakes import InMemoryTenantNames, InMemoryTenantRegistry
from tests.support.samples import ACME, SAKURA, tenant

Stored = tuple[TenantNames, TenantRegistry]


class TenantNamesSuite:
    @pytest.fixture
    def stored(self) -> Stored:
        raise NotImplementedError

    def test_each_tenant_has_its_own(self, stored: Stored) -> None:
        names, registry = stored
        registry.create(tenant(name="Acme, Inc."))
        registry.create(tenant(SAKURA, name="さくら商事"))
        assert (names.name_of(ACME), names.name_of(SAKURA)) == ("Acme, Inc.", "さくら商事")

    def test_nobody_has_none(self, stored: Stored) -> None:
        names, _ = stored
        assert names.name_of(ACME) is None


class TestInMemoryTenantNames(TenantNamesSuite):
    @pytest.fixture
    def stored(self) -> Stored:
        registry = InMemoryTenantRegistry()
        return InMemoryTenantNames(registry), registry


class TestDynamoDBTenantNames(TenantNamesSuite):
    @pytest.fixture
    def stored(self, table: Table) -> Stored:
        return DynamoDBTenantNames(table), DynamoDBTenantRegistry(table)
