"""What is deleted of an offboarded tenant, and what is kept, wherever its records are."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse
from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.conversations import DynamoDBConversations
from kbfleet.adapters.dynamodb.index_catalogue import DynamoDBIndexCatalogue
from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords, DynamoDBTenantRegistry
from kbfleet.adapters.dynamodb.usage import DynamoDBUsageRecords
from kbfleet.domain.answer import Exchange
from kbfleet.domain.erasure import ErasedResource, ErasureReceipt, Remainder
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.usage import DailyUsage, UsageCounts, UsagePeriod
from kbfleet.ports import SyncLedger, TenantRecords, TenantRegistry
from tests.support.clock import START, FakeClock
from tests.support.fakes import InMemorySyncLedger, InMemoryTenantRecords, InMemoryTenantRegistry
from tests.support.samples import ACME, SAKURA, first_knowledge, job_state_change, tenant

RECEIPT = ErasureReceipt(
    START,
    START + timedelta(days=30, microseconds=1),
    "arn:aws:states:us-east-1:123456789012:execution:kbfleet-offboard-tenant:acme-1",
    (ErasedResource("bucket", "kbfleet-acme"), ErasedResource("knowledge base", "KB00000001")),
    (Remainder("usage", "numbers"), Remainder("logs", "counts", START + timedelta(days=60))),
)
A_SMALL_PAGE = 7
MORE_THAN_A_PAGE = A_SMALL_PAGE + 1
MORE_THAN_TWO_BATCHES = 60
USED = UsageCounts(questions=3)


class World(ABC):
    """Where records are, and what others write there."""

    records: TenantRecords
    registry: TenantRegistry
    ledger: SyncLedger

    @abstractmethod
    def add_jobs(self, tenant_id: TenantId, count: int) -> None: ...

    @abstractmethod
    def add_usage(self, tenant_id: TenantId) -> None: ...

    @abstractmethod
    def receipts(self, tenant_id: TenantId) -> list[ErasureReceipt]:
        """That are kept, the oldest first."""

    @abstractmethod
    def usage(self, tenant_id: TenantId) -> bool:
        """Whether there is any."""

    def add_everything(self, tenant_id: TenantId, *, jobs: int = MORE_THAN_A_PAGE) -> None:
        self.registry.create(tenant(tenant_id))
        self.ledger.save(Sync(tenant_id))
        self.add_jobs(tenant_id, jobs)
        self.add_usage(tenant_id)


class TenantRecordsSuite:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    # --- erasing ---

    @pytest.mark.parametrize("keep_usage", [True, False])
    def test_of_a_tenant_that_has_nothing_nothing_is_left(self, world: World, keep_usage: bool) -> None:
        world.records.erase(Life(ACME), keep_usage=keep_usage)
        assert world.records.erased(Life(ACME), keep_usage=keep_usage)

    def test_everything_goes_however_much_there_is(self, world: World) -> None:
        world.add_everything(ACME, jobs=MORE_THAN_TWO_BATCHES)
        assert not world.records.erased(Life(ACME), keep_usage=False)
        world.records.erase(Life(ACME), keep_usage=False)
        assert world.records.erased(Life(ACME), keep_usage=False)
        assert world.ledger.find(first_knowledge(ACME)) == Sync(ACME)
        assert not world.usage(ACME)

    def test_the_entry_in_the_registry_stays(self, world: World) -> None:
        world.add_everything(ACME)
        world.records.erase(Life(ACME), keep_usage=False)
        assert world.registry.get(ACME) == tenant(ACME)

    def test_usage_is_kept_where_that_is_the_policy(self, world: World) -> None:
        world.add_everything(ACME)
        world.records.erase(Life(ACME), keep_usage=True)
        assert world.usage(ACME)
        assert world.records.erased(Life(ACME), keep_usage=True)
        assert not world.records.erased(Life(ACME), keep_usage=False)

    @pytest.mark.parametrize("left", ["a ledger entry", "one job"])
    def test_a_single_record_that_is_left_is_seen(self, world: World, left: str) -> None:
        if left == "a ledger entry":
            world.ledger.save(Sync(ACME))
        else:
            world.add_jobs(ACME, 1)
        assert not world.records.erased(Life(ACME), keep_usage=True)

    def test_another_tenant_loses_nothing(self, world: World) -> None:
        neighbour = TenantId("acme2")
        for each in (ACME, SAKURA, neighbour):
            world.add_everything(each)
        world.records.erase(Life(ACME), keep_usage=False)
        for other in (SAKURA, neighbour):
            assert not world.records.erased(Life(other), keep_usage=True)
            assert world.usage(other)
            assert world.ledger.find(first_knowledge(other)).version == 1

    def test_what_is_left_of_a_life_and_of_those_before_goes_and_a_later_one_loses_nothing(self, world: World) -> None:
        lives = [Life(ACME, number) for number in (1, 2, 3, 12)]
        for life in lives:
            world.ledger.save(Sync.never_stored(Knowledge(life)))
            world.ledger.save(Sync.never_stored(Knowledge(life, 2)))
        world.records.erase(lives[1], keep_usage=True)
        for number in (1, 2):
            left = [world.ledger.find(Knowledge(life, number)).version for life in lives]
            assert left == [0, 0, 1, 1]
        assert [world.records.erased(life, keep_usage=True) for life in lives] == [True, True, False, False]

    # --- receipts ---

    def test_a_receipt_outlives_everything(self, world: World) -> None:
        world.records.keep_receipt(ACME, RECEIPT)
        assert world.records.erased(Life(ACME), keep_usage=False)
        world.records.erase(Life(ACME), keep_usage=False)
        assert world.receipts(ACME) == [RECEIPT]

    def test_the_same_receipt_is_kept_once_and_a_later_verification_beside_it(self, world: World) -> None:
        later = replace(RECEIPT, verified_at=RECEIPT.verified_at + timedelta(minutes=5))
        for receipt in (RECEIPT, RECEIPT, later):
            world.records.keep_receipt(ACME, receipt)
        assert world.receipts(ACME) == [RECEIPT, later]

    def test_another_execution_does_not_replace_it(self, world: World) -> None:
        world.records.keep_receipt(ACME, RECEIPT)
        with pytest.raises(ConcurrentUpdate):
            world.records.keep_receipt(ACME, replace(RECEIPT, execution=f"{RECEIPT.execution}-another"))
        assert world.receipts(ACME) == [RECEIPT]

    def test_a_tenant_that_came_back_and_left_again_has_both_receipts(self, world: World) -> None:
        again = replace(RECEIPT, requested_at=START + timedelta(days=90), execution=f"{RECEIPT.execution}-another")
        for receipt in (again, RECEIPT):
            world.records.keep_receipt(ACME, receipt)
        assert world.receipts(ACME) == [RECEIPT, again]
        assert world.receipts(SAKURA) == []


class InMemory(World):
    def __init__(self) -> None:
        self.registry = InMemoryTenantRegistry()
        self.ledger = ledger = InMemorySyncLedger()
        self.records = self.memory = InMemoryTenantRecords(ledger)

    def add_jobs(self, tenant_id: TenantId, count: int) -> None:
        self.memory.others.setdefault(Life(tenant_id), set()).update(f"job {number}" for number in range(count))

    def add_usage(self, tenant_id: TenantId) -> None:
        self.memory.others.setdefault(Life(tenant_id), set()).add("usage")

    def usage(self, tenant_id: TenantId) -> bool:
        return "usage" in self.memory.others.get(Life(tenant_id), set())

    def receipts(self, tenant_id: TenantId) -> list[ErasureReceipt]:
        own = [receipt for of, receipt in self.memory.receipts if of == tenant_id]
        return sorted(own, key=lambda receipt: receipt.requested_at)


class OnDynamoDB(World):
    """Every query takes many pages."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.registry = DynamoDBTenantRegistry(table)
        self.ledger = DynamoDBSyncLedger(table)
        self.records = DynamoDBTenantRecords(table)
        self.history = DynamoDBJobHistory(table, kept_for=timedelta(days=90))
        table.client.meta.events.register("before-parameter-build.dynamodb.Query", _ask_for_a_small_page)

    def add_jobs(self, tenant_id: TenantId, count: int) -> None:
        for number in range(count):
            started_at = START + timedelta(minutes=number)
            job = f"JOB{number:07}"
            self.history.record(
                job_state_change(tenant_id=tenant_id, ingestion_job_id=job, started_at=started_at), START
            )

    def add_usage(self, tenant_id: TenantId) -> None:
        days = [DailyUsage(tenant_id, START.date() + timedelta(days=number), USED) for number in range(10)]
        DynamoDBUsageRecords(self.table).add(days, delivery=f"of {tenant_id}", now=START)

    def usage(self, tenant_id: TenantId) -> bool:
        return len(self._stored(tenant_id, "USAGE#")) == 10

    def receipts(self, tenant_id: TenantId) -> list[ErasureReceipt]:
        return [TypeAdapter(ErasureReceipt).validate_python(fields) for fields in self._stored(tenant_id, "ERASURE#")]

    def _stored(self, tenant_id: TenantId, sort_key: str) -> list[dict[str, Any]]:
        found = self.table.query(
            KeyConditionExpression="PK = :pk AND begins_with(SK, :sk)",
            ExpressionAttributeValues={":pk": {"S": f"TENANT#{tenant_id}"}, ":sk": {"S": sort_key}},
        )
        return list(found)


def _ask_for_a_small_page(params: dict[str, Any], **_: Any) -> None:
    params["Limit"] = A_SMALL_PAGE


class TestInMemoryTenantRecords(TenantRecordsSuite):
    @pytest.fixture
    def world(self) -> World:
        return InMemory()


class TestDynamoDBTenantRecords(TenantRecordsSuite):
    @pytest.fixture
    def world(self, table: Table) -> OnDynamoDB:
        return OnDynamoDB(table)

    def test_what_the_table_leaves_out_of_a_batch_is_offered_again(self, world: OnDynamoDB) -> None:
        world.add_everything(ACME)
        refusals = iter(range(2))

        def leave_all_out(request: Any, **_: Any) -> AWSResponse | None:
            if next(refusals, None) is None:
                return None
            body = json.dumps({"UnprocessedItems": json.loads(request.body)["RequestItems"]})
            return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(body.encode()))

        client: Any = world.table.client
        client.meta.events.register_first("before-send.dynamodb.BatchWriteItem", leave_all_out)
        world.records.erase(Life(ACME), keep_usage=False)
        assert world.records.erased(Life(ACME), keep_usage=False)
        assert next(refusals, None) is None

    def test_every_kind_of_record_of_a_later_life_goes_or_stays_as_of_the_first(self, world: OnDynamoDB) -> None:
        again = Life(ACME, 2)
        world.history.record(job_state_change(life=2), START)
        day = DailyUsage(ACME, START.date(), USED, life=2)
        DynamoDBUsageRecords(world.table).add([day], delivery="one", now=START)
        conversations = DynamoDBConversations(world.table, FakeClock(), timedelta(days=1))
        conversations.add(again, "c1", Exchange("What?", "This."))
        world.records.erase(again, keep_usage=True)
        assert world.records.erased(again, keep_usage=True)
        assert list(world.history.latest(again, 9)) == []
        assert conversations.exchanges(again, "c1") is None
        usage = DynamoDBUsageRecords(world.table).of_life(again, UsagePeriod(day.day, day.day))
        assert list(usage) == [day]
        assert not world.records.erased(again, keep_usage=False)
        world.records.erase(again, keep_usage=False)
        assert world.records.erased(again, keep_usage=False)

    def test_names_that_were_asked_for_go_too(self, world: OnDynamoDB) -> None:
        world.registry.request_name(ACME, DisplayName("アクメ"), execution="acme-1", now=START)
        assert not world.records.erased(Life(ACME), keep_usage=True)
        world.records.erase(Life(ACME), keep_usage=True)
        assert world.records.erased(Life(ACME), keep_usage=True)

    def test_what_belongs_to_the_fleet_stays(self, world: OnDynamoDB) -> None:
        catalogue = DynamoDBIndexCatalogue(world.table, "OPENSEARCH_SERVERLESS")
        catalogue.add("acme")
        DynamoDBSyncLedger(world.table).claim_start(START, timedelta(seconds=10))
        world.records.erase(Life(ACME), keep_usage=False)
        assert list(catalogue.index_names()) == ["acme"]
        assert not DynamoDBSyncLedger(world.table).claim_start(START, timedelta(seconds=10))
