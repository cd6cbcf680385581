"""What asking reads of a tenant is what registry and ledger say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.askable_tenants import DynamoDBAskableTenantRecords
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.errors import TenantFailed, TenantNotActive, TenantNotFound, TenantSuspended
from kbfleet.domain.names import Knowledge, Life
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import AskableTenantRecords, SyncLedger, TenantRegistry
from tests.support.clock import START
from tests.support.fakes import InMemoryAskableTenantRecords, InMemorySyncLedger, InMemoryTenantRegistry
from tests.support.samples import ACME, SAKURA, tenant

SYNCED_AT = START + timedelta(microseconds=123_456)
Stored = tuple[AskableTenantRecords, TenantRegistry, SyncLedger]


class AskableTenantRecordsSuite:
    @pytest.fixture
    def stored(self) -> Stored:
        raise NotImplementedError

    def test_an_active_tenant_is_given_with_its_own_knowledge_base(self, stored: Stored) -> None:
        records, registry, _ = stored
        registry.create(tenant(knowledge_base_id="KBACME"))
        registry.create(tenant(SAKURA, knowledge_base_id="KBSAKURA", knowledge_store="MANAGED"))
        never = Freshness(None, False)
        assert records.get(ACME) == AskableTenant(ACME, "KBACME", "S3_VECTORS", never)
        assert records.get(SAKURA) == AskableTenant(SAKURA, "KBSAKURA", "MANAGED", never)

    def test_an_unknown_tenant_is_not_found(self, stored: Stored) -> None:
        records, _, _ = stored
        with pytest.raises(TenantNotFound, match="acme"):
            records.get(ACME)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (TenantStatus.PROVISIONING, TenantNotActive),
            (TenantStatus.FAILED, TenantFailed),
            (TenantStatus.SUSPENDED, TenantSuspended),
        ],
    )
    def test_one_that_is_not_active_is_refused(
        self, stored: Stored, status: TenantStatus, error: type[TenantNotActive]
    ) -> None:
        records, registry, _ = stored
        registry.create(tenant(status=status))
        with pytest.raises(error):
            records.get(ACME)

    def test_one_without_a_knowledge_base_is_refused(self, stored: Stored) -> None:
        records, registry, _ = stored
        registry.create(tenant(knowledge_base_id=None))
        with pytest.raises(TenantNotActive):
            records.get(ACME)

    @pytest.mark.parametrize(("requested", "pending"), [(3, False), (4, True)])
    def test_its_freshness_is_the_ledgers(self, stored: Stored, requested: int, *, pending: bool) -> None:
        records, registry, ledger = stored
        registry.create(tenant())
        ledger.save(Sync(ACME, requested_generation=requested, synced_generation=3, synced_at=SYNCED_AT))
        assert records.get(ACME).freshness == Freshness(SYNCED_AT, pending)

    @pytest.mark.parametrize("left_out", [None, 0, 3])
    def test_how_many_documents_are_left_out_is_the_ledgers(self, stored: Stored, left_out: int | None) -> None:
        records, registry, ledger = stored
        registry.create(tenant())
        assert records.get(ACME).documents_left_out is None
        ledger.save(Sync(ACME, documents_left_out=left_out))
        assert records.get(ACME).documents_left_out == left_out

    def test_it_is_that_of_its_present_life(self, stored: Stored) -> None:
        records, registry, ledger = stored
        registry.create(tenant(life=2))
        ledger.save(Sync(ACME, synced_at=SYNCED_AT))
        assert records.get(ACME).this_life == records.life(ACME) == Life(ACME, 2)
        assert records.get(ACME).freshness == Freshness(None, False)
        ledger.save(replace(Sync.never_stored(Knowledge(Life(ACME, 2))), synced_at=SYNCED_AT))
        assert records.get(ACME).freshness == Freshness(SYNCED_AT, False)

    def test_a_life_is_known_whatever_the_status(self, stored: Stored) -> None:
        records, registry, _ = stored
        assert records.life(ACME) == Life(ACME)
        registry.create(tenant(life=3, status=TenantStatus.OFFBOARDED))
        assert records.life(ACME) == Life(ACME, 3)


class TestInMemoryAskableTenantRecords(AskableTenantRecordsSuite):
    @pytest.fixture
    def stored(self) -> Stored:
        registry, ledger = InMemoryTenantRegistry(), InMemorySyncLedger()
        return InMemoryAskableTenantRecords(registry, ledger), registry, ledger


class TestDynamoDBAskableTenantRecords(AskableTenantRecordsSuite):
    @pytest.fixture
    def stored(self, table: Table) -> Stored:
        return DynamoDBAskableTenantRecords(table), DynamoDBTenantRegistry(table), DynamoDBSyncLedger(table)

    def test_a_record_from_before_lives_were_counted_is_of_the_first(self, stored: Stored, table: Table) -> None:
        records, registry, _ = stored
        registry.create(tenant())
        table.client.update_item(
            TableName=table.name,
            Key={"PK": {"S": "TENANT#acme"}, "SK": {"S": "PROFILE"}},
            UpdateExpression="REMOVE life, knowledge",
        )
        assert records.get(ACME).this_life == records.life(ACME) == registry.get(ACME).this_life == Life(ACME)
