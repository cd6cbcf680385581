"""What tenants use, in the one DynamoDB table.

Keys: in a tenant's first life `PK` = `TENANT#<tenant id>`, `SK` = `USAGE#<yyyy-mm-dd>`, one item a life and day, to
which numbers are added; and `PK` = `USAGE_DELIVERY#<identity>`, `SK` = `PART#<number>`, which says that a part of a
delivery was added, and expires. Both are written in one transaction, so that a delivery counts once however often it
comes. `PK` = `FLEET_USAGE`, `SK` = `<yyyy-mm-dd>#<share>`, has the same numbers of all tenants together, in a few
shares a day, so that deliveries do not wait for each other; they are added in a transaction of their own, by the same
rule.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item, life_key, life_of
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.fleet_overview import UsageOfMonth
from kbfleet.domain.usage import DailyUsage, UsageCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life
    from kbfleet.domain.usage import UsagePeriod

_USAGE = "USAGE#"
_FLEET = "FLEET_USAGE"
_SHARES = 8
"""Of a day."""
_COUNTS = [field.name for field in fields(UsageCounts)]
_ADDITION = "ADD " + ", ".join(f"{name} :{name}" for name in _COUNTS)

ITEMS_IN_A_TRANSACTION = 100
"""Source: AWS documentation, Amazon DynamoDB Transactions: How it works."""

DELIVERIES_REMEMBERED_FOR = timedelta(days=30)
"""CloudWatch Logs retries for 24 hours (AWS documentation, Real-time processing of log data with subscriptions), Lambda
for 6 (Asynchronous invocation), and people what a dead-letter queue has kept for at most 14 days."""

_TOO_FAST = {"ThrottlingError", "ProvisionedThroughputExceeded"}
_serialize = TypeSerializer().serialize


class DynamoDBUsageRecords:
    """`kbfleet.ports.UsageRecords` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def add(self, usage: Sequence[DailyUsage], *, delivery: str, now: datetime) -> None:
        expires_at = int((now + DELIVERIES_REMEMBERED_FOR).timestamp())
        for number, part in enumerate(_parts(usage)):
            marker = {"PK": f"USAGE_DELIVERY#{delivery}", "SK": f"PART#{number}", "expires_at": expires_at}
            self._add_once(marker, [self._addition(each) for each in part])
        share = int(hashlib.sha256(delivery.encode()).hexdigest(), 16) % _SHARES
        days: dict[date, UsageCounts] = {}
        for each in usage:
            days[each.day] = days.get(each.day, UsageCounts()).plus(each.counts)
        for day, counts in days.items():
            marker = {"PK": f"USAGE_DELIVERY#{delivery}", "SK": f"FLEET#{day}", "expires_at": expires_at}
            self._add_once(marker, [self._update({"PK": _FLEET, "SK": f"{day.isoformat()}#{share}"}, counts)])

    def _add_once(self, marker: dict[str, object], additions: Sequence[TransactWriteItemTypeDef]) -> None:
        mark: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._table.name,
                "Item": {name: _serialize(value) for name, value in marker.items()},
                "ConditionExpression": "attribute_not_exists(PK)",
            }
        }
        client, subject = self._table.client, f"The usage of {len(additions)} days"
        with translated(subject):
            try:
                client.transact_write_items(TransactItems=[mark, *additions])
            except client.exceptions.TransactionCanceledException as error:
                reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
                if reasons[:1] == ["ConditionalCheckFailed"]:
                    return  # added already
                if "TransactionConflict" in reasons:
                    raise ConcurrentUpdate(f"{subject} met another delivery.") from error
                if _TOO_FAST & set(reasons):
                    raise Throttled(f"TransactWriteItems for {subject}: {reasons}") from error
                raise

    def _addition(self, usage: DailyUsage) -> TransactWriteItemTypeDef:
        return self._update(life_key(usage.of_life, _sort_key(usage.day)), usage.counts)

    def _update(self, key: dict[str, str], counts: UsageCounts) -> TransactWriteItemTypeDef:
        numbers = asdict(counts)
        return {
            "Update": {
                "TableName": self._table.name,
                "Key": as_item(key),
                "UpdateExpression": _ADDITION,
                "ExpressionAttributeValues": {f":{name}": _serialize(numbers[name]) for name in _COUNTS},
            }
        }

    def of_life(self, life: Life, period: UsagePeriod) -> Sequence[DailyUsage]:
        partition, first = life_key(life, _sort_key(period.first)).values()
        found = self._table.query(
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": partition},
                ":first": {"S": first},
                ":last": {"S": life_key(life, _sort_key(period.last))["SK"]},
            },
        )
        return [_daily_usage(life, item) for item in found]


def _parts(usage: Sequence[DailyUsage]) -> Iterator[Sequence[DailyUsage]]:
    """As many as go into a transaction beside the marker."""
    size = ITEMS_IN_A_TRANSACTION - 1
    for start in range(0, len(usage), size):
        yield usage[start : start + size]


def _sort_key(day: date) -> str:
    return f"{_USAGE}{day.isoformat()}"


def fleet_usage(page: Callable[..., tuple[list[dict[str, Any]], int, Any]], today: date) -> UsageOfMonth | None:
    """What all tenants together have used in this month, in two reads: a month of it is far less than a page. `None`
    where nothing was ever counted for all of them, which the version before this one has not done.

    Args:
        page: as `Table.page`.
    """
    values = as_item({":pk": _FLEET})
    first, _, _ = page(
        KeyConditionExpression="PK = :pk", ExpressionAttributeValues=values, ProjectionExpression="SK", Limit=1
    )
    if not first:
        return None
    month = today.replace(day=1)
    found, _, _ = page(
        KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
        ExpressionAttributeValues={**values, **as_item({":first": f"{month}", ":last": f"{today}~"})},
    )
    counts = UsageCounts()
    for item in found:
        counts = counts.plus(_counts(item))
    return UsageOfMonth(max(month, date.fromisoformat(first[0]["SK"].partition("#")[0])), counts)


def _counts(item: dict[str, Any]) -> UsageCounts:
    # A count that was introduced later is missing from earlier days.
    return UsageCounts(**{name: int(item.get(name, 0)) for name in _COUNTS})


def _daily_usage(life: Life, item: dict[str, Any]) -> DailyUsage:
    counts = _counts(item)
    day = date.fromisoformat(life_of(item["SK"])[1].removeprefix(_USAGE))
    return DailyUsage(life.tenant_id, day, counts, life.number)
