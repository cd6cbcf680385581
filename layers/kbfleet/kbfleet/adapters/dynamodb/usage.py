"""What tenants use, in the one DynamoDB table.

Keys: in a tenant's first life `PK` = `TENANT#<tenant id>`, `SK` = `USAGE#<yyyy-mm-dd>`, one item a life and day, to
which numbers are added; and `PK` = `USAGE_DELIVERY#<identity>`, `SK` = `PART#<number>`, which says that a part of a
delivery was added, and expires. Both are written in one transaction, so that a delivery counts once however often it
comes.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item, life_key, life_of
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.usage import DailyUsage, UsageCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life
    from kbfleet.domain.usage import UsagePeriod

_USAGE = "USAGE#"
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
            self._add_once(marker, part)

    def _add_once(self, marker: dict[str, object], part: Sequence[DailyUsage]) -> None:
        mark: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._table.name,
                "Item": {name: _serialize(value) for name, value in marker.items()},
                "ConditionExpression": "attribute_not_exists(PK)",
            }
        }
        client, subject = self._table.client, f"The usage of {len(part)} tenants' days"
        with translated(subject):
            try:
                client.transact_write_items(TransactItems=[mark, *map(self._addition, part)])
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
        counts = asdict(usage.counts)
        return {
            "Update": {
                "TableName": self._table.name,
                "Key": as_item(life_key(usage.of_life, _sort_key(usage.day))),
                "UpdateExpression": _ADDITION,
                "ExpressionAttributeValues": {f":{name}": _serialize(counts[name]) for name in _COUNTS},
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


def _daily_usage(life: Life, item: dict[str, Any]) -> DailyUsage:
    # A count that was introduced later is missing from earlier days.
    counts = UsageCounts(**{name: int(item.get(name, 0)) for name in _COUNTS})
    day = date.fromisoformat(life_of(item["SK"])[1].removeprefix(_USAGE))
    return DailyUsage(life.tenant_id, day, counts, life.number)
