"""What tenants' usage promises, wherever it is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.usage import ITEMS_IN_A_TRANSACTION, DynamoDBUsageRecords
from kbfleet.domain.errors import ConcurrentUpdate, RequestRefused, Throttled
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.usage import DailyUsage, UsageCounts, UsagePeriod
from kbfleet.ports import UsageRecords
from tests.support.clock import START
from tests.support.fakes import InMemoryUsageRecords
from tests.support.samples import ACME, SAKURA

FIRST = date(2026, 11, 1)
NOVEMBER = UsagePeriod(FIRST, date(2026, 11, 30))
SOME = UsageCounts(1, 4, 2, 812, 96, 0, 1)
MORE = UsageCounts(2, 5, 1, 0, 0, 2, 0)


def on(day: int, counts: UsageCounts = SOME, tenant_id: TenantId = ACME) -> DailyUsage:
    return DailyUsage(tenant_id, FIRST + timedelta(days=day - 1), counts)


class UsageRecordsSuite:
    @pytest.fixture
    def records(self) -> UsageRecords:
        raise NotImplementedError

    def add(self, records: UsageRecords, delivery: str, *usage: DailyUsage) -> None:
        records.add(usage, delivery=delivery, now=START)

    def test_a_tenant_that_used_nothing_has_no_days(self, records: UsageRecords) -> None:
        self.add(records, "empty")
        assert list(records.of_life(Life(ACME), NOVEMBER)) == []

    def test_deliveries_of_one_day_add_up(self, records: UsageRecords) -> None:
        self.add(records, "first", on(3, SOME))
        self.add(records, "second", on(3, MORE))
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(3, SOME.plus(MORE))]

    def test_a_delivery_that_comes_again_is_counted_once(self, records: UsageRecords) -> None:
        for _ in range(3):
            self.add(records, "first", on(3), on(4))
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(3), on(4)]

    def test_days_are_in_their_order_and_within_the_period(self, records: UsageRecords) -> None:
        self.add(records, "late", on(30), on(31), on(1), on(0))
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(1), on(30)]
        assert list(records.of_life(Life(ACME), UsagePeriod(FIRST, FIRST))) == [on(1)]

    def test_every_tenant_has_its_own(self, records: UsageRecords) -> None:
        neighbour = TenantId("acme2")
        self.add(records, "all", on(3), on(3, MORE, SAKURA), on(3, MORE, neighbour))
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(3)]
        assert list(records.of_life(Life(SAKURA), NOVEMBER)) == [on(3, MORE, SAKURA)]

    def test_and_so_has_every_life(self, records: UsageRecords) -> None:
        again, later = replace(on(3, MORE), life=2), replace(on(4, MORE), life=12)
        self.add(records, "all", on(3), again, later)
        self.add(records, "more", again)
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(3)]
        assert list(records.of_life(Life(ACME, 2), NOVEMBER)) == [again.plus(MORE)]
        assert list(records.of_life(Life(ACME, 12), NOVEMBER)) == [later]
        assert list(records.of_life(Life(ACME, 3), NOVEMBER)) == []

    def test_a_delivery_may_be_of_more_tenants_than_a_transaction_takes(self, records: UsageRecords) -> None:
        tenants = [TenantId(f"tenant{number}") for number in range(2 * ITEMS_IN_A_TRANSACTION + 1)]
        usage = [on(3, SOME, tenant_id) for tenant_id in tenants]
        for _ in range(2):
            self.add(records, "large", *usage)
        assert [list(records.of_life(Life(tenant_id), NOVEMBER)) for tenant_id in tenants] == [[each] for each in usage]


class TestInMemoryUsageRecords(UsageRecordsSuite):
    @pytest.fixture
    def records(self) -> UsageRecords:
        return InMemoryUsageRecords()


class TestDynamoDBUsageRecords(UsageRecordsSuite):
    @pytest.fixture
    def records(self, table: Table) -> UsageRecords:
        return DynamoDBUsageRecords(table)

    def test_what_says_that_a_delivery_was_counted_expires(self, records: UsageRecords, table: Table) -> None:
        self.add(records, "first", on(3))
        marker = table.item({"PK": "USAGE_DELIVERY#first", "SK": "PART#0"})
        assert marker is not None
        assert int(marker["expires_at"]) == int((START + timedelta(days=30)).timestamp())

    def test_a_delivery_that_was_cut_short_is_completed_when_it_comes_again(
        self, records: UsageRecords, table: Table
    ) -> None:
        tenants = [TenantId(f"tenant{number}") for number in range(ITEMS_IN_A_TRANSACTION + 1)]
        usage = [on(3, SOME, tenant_id) for tenant_id in tenants]
        cancel(table, ["None", "TransactionConflict"], after=1)
        with pytest.raises(ConcurrentUpdate):
            self.add(records, "large", *usage)
        self.add(records, "large", *usage)
        assert [list(records.of_life(Life(tenant_id), NOVEMBER)) for tenant_id in tenants] == [[each] for each in usage]

    @pytest.mark.parametrize(
        ("reasons", "error"),
        [
            (["None", "TransactionConflict"], ConcurrentUpdate),
            (["TransactionConflict", "None"], ConcurrentUpdate),
            (["None", "ThrottlingError"], Throttled),
            (["None", "ProvisionedThroughputExceeded"], Throttled),
            (["None", "ValidationError"], RequestRefused),
        ],
    )
    def test_a_cancelled_transaction_says_whether_to_try_again(
        self, records: UsageRecords, table: Table, reasons: list[str], error: type[Exception]
    ) -> None:
        cancel(table, reasons)
        with pytest.raises(error):
            self.add(records, "first", on(3))
        self.add(records, "first", on(3))
        assert list(records.of_life(Life(ACME), NOVEMBER)) == [on(3)]


def cancel(table: Table, reasons: list[str], *, after: int = 0) -> None:
    """One transaction is cancelled for these reasons, `after` that many. Source: botocore model of DynamoDB."""
    codes = ", ".join(f'{{"Code": "{reason}"}}' for reason in reasons)
    body = f'{{"__type": "x#TransactionCanceledException", "Message": "no", "CancellationReasons": [{codes}]}}'
    answers = iter([*[None] * after, body])

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        text = next(answers, None)
        return AWSResponse(request.url, 400, HTTPHeaders(), MockRawResponse(text.encode())) if text else None

    client: Any = table.client
    client.meta.events.register_first("before-send.dynamodb.TransactWriteItems", answer)
