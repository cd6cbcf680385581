"""The one DynamoDB table: reading, conditional writing, and the keys of what belongs to a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import ConcurrentUpdate, Throttled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb.client import DynamoDBClient

    from kbfleet.domain.names import Knowledge, Life, TenantId

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()

Item = dict[str, Any]

_LIFE = "LIFE#"

_BATCH = 100
"""Records that one call reads at most. Source: AWS documentation, BatchGetItem."""


def as_item(fields: Mapping[str, object]) -> Item:
    return {name: _serializer.serialize(value) for name, value in fields.items() if value is not None}


def _fields(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserializer.deserialize(value) for name, value in item.items()}


def tenant_key(tenant_id: TenantId, sort_key: str) -> dict[str, str]:
    """Of an item in the tenant's own partition."""
    return {"PK": f"TENANT#{tenant_id}", "SK": sort_key}


def life_key(life: Life, sort_key: str) -> dict[str, str]:
    """Of an item in the tenant's partition that belongs to one of its lives. Those of the first have no number: they
    were there before lives were counted."""
    return tenant_key(life.tenant_id, f"{_of(life)}{sort_key}")


def knowledge_key(knowledge: Knowledge, sort_key: str) -> dict[str, str]:
    """As `life_key`, of an item that belongs to one knowledge."""
    number = "" if knowledge.number == 1 else f"#{knowledge.number}"
    return life_key(knowledge.life, f"{sort_key}{number}")


def life_of(sort_key: str) -> tuple[int, str]:
    """The number of the life that an item belongs to, and what it would be called in the first one. What belongs to
    none is as what belongs to the first."""
    number, _, rest = sort_key.removeprefix(_LIFE).partition("#")
    return (int(number), rest) if sort_key.startswith(_LIFE) else (1, sort_key)


def _of(life: Life) -> str:
    return "" if life.is_first else f"{_LIFE}{life.number}#"


def conversation_key(life: Life, conversation: str) -> dict[str, str]:
    """Of a conversation. They have partitions of their own, because what IAM can distinguish is partitions: the ask
    function writes conversations, and nothing of a tenant's record."""
    return {"PK": f"CONVERSATION#{life.tenant_id}", "SK": f"{_of(life)}{conversation}"}


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table whose conditional writes raise `ConcurrentUpdate`."""

    client: DynamoDBClient
    name: str

    def get(self, tenant_id: TenantId, sort_key: str) -> dict[str, Any] | None:
        return self.item(tenant_key(tenant_id, sort_key))

    def item(self, key: Mapping[str, str], *fields: str) -> dict[str, Any] | None:
        """Args: fields: which to read; all if none are named."""
        arguments: dict[str, Any] = {}
        if fields:
            # By placeholders: `status` and others are words of DynamoDB's own.
            names = {f"#{number}": name for number, name in enumerate(fields)}
            arguments = {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        with translated(f"the record {key['SK']} of {key['PK']}"):
            # Leases and generations are decided on what is read here: it must be the newest.
            answer = self.client.get_item(TableName=self.name, Key=as_item(key), ConsistentRead=True, **arguments)
        return _fields(answer["Item"]) if "Item" in answer else None

    def items(self, keys: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any] | None]:
        """What is at each key, in that order; each key once."""
        left = list(keys)
        for first in range(0, len(left), _BATCH):
            some = left[first : first + _BATCH]
            found = {(each["PK"], each["SK"]): each for each in self._batch(some)}
            for key in some:
                yield found.get((key["PK"], key["SK"]))

    def _batch(self, keys: list[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
        """Raises: Throttled."""
        left: Sequence[Any] = [as_item(key) for key in keys]
        while left:
            with translated(f"records of table {self.name}"):
                answer = self.client.batch_get_item(RequestItems={self.name: {"Keys": left, "ConsistentRead": True}})
            # A batch may be answered in parts: what is more than 16 MB, or more than the table gives at once, is left.
            unprocessed: Mapping[str, Any] = answer.get("UnprocessedKeys", {})
            before, left = len(left), unprocessed.get(self.name, {}).get("Keys", [])
            if len(left) == before:
                raise Throttled(f"Table {self.name} gave none of {before} records that it was asked for.")
            yield from map(_fields, answer["Responses"].get(self.name, []))

    def update(
        self,
        key: Mapping[str, str],
        fields: Mapping[str, object],
        *,
        condition: str,
        values: Mapping[str, object],
        subject: str,
    ) -> None:
        """Sets these fields and leaves the others. Raises: ConcurrentUpdate when the condition does not hold."""
        present = {name: value for name, value in fields.items() if value is not None}
        with translated(subject):
            try:
                self.client.update_item(
                    TableName=self.name,
                    Key=as_item(key),
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in present),
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in present},
                    ExpressionAttributeValues=as_item(
                        {**{f":{name}": value for name, value in present.items()}, **values}
                    ),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    raise ConcurrentUpdate(f"{subject} has changed since it was read.") from error
                raise

    def put(
        self, fields: Mapping[str, object], *, condition: str = "", values: Mapping[str, object], subject: str
    ) -> None:
        """Raises: ConcurrentUpdate when the condition does not hold, if there is one."""
        arguments: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if values:
            arguments["ExpressionAttributeValues"] = as_item(values)
        with translated(subject):
            try:
                self.client.put_item(TableName=self.name, Item=as_item(fields), **arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    raise ConcurrentUpdate(f"{subject} has changed since it was read.") from error
                raise

    def delete_if(self, key: Mapping[str, str], *, condition: str, values: Mapping[str, object], subject: str) -> None:
        """Raises: ConcurrentUpdate when the condition does not hold."""
        arguments: dict[str, Any] = {"ExpressionAttributeValues": as_item(values)} if values else {}
        with translated(subject):
            try:
                self.client.delete_item(
                    TableName=self.name, Key=as_item(key), ConditionExpression=condition, **arguments
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    raise ConcurrentUpdate(f"{subject} has changed since it was read.") from error
                raise

    def delete(self, keys: Iterable[Mapping[str, object]], *, subject: str) -> None:
        """An item that is gone already is no error."""
        # Here, because asking starts without it.
        from boto3.dynamodb.table import BatchWriter

        # It offers again what the table has left out of a batch.
        with translated(subject), BatchWriter(self.name, self.client) as batch:
            for key in keys:
                batch.delete_item(Key=as_item(key))

    def of_life(
        self, life: Life, prefix: str, *, after: str = "", limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """The items of a life whose sort keys begin with `prefix`, in their order; behind `prefix` + `after` if given.
        What follows the prefix is letters and digits."""
        partition, begins = life_key(life, prefix).values()
        return self.query(
            limit=limit,
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            # "!" comes before and "~" after every letter and digit.
            ExpressionAttributeValues=as_item(
                {
                    ":pk": partition,
                    ":first": f"{begins}{after}!" if after else begins,
                    ":last": f"{begins}~",
                }
            ),
            ConsistentRead=True,
        )

    def query(self, *, limit: int | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages, up to `limit` items."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name, PaginationConfig={"MaxItems": limit, "PageSize": limit} if limit else {}, **arguments
        )
        with translated(f"a query of table {self.name}"):
            for page in pages:
                yield from map(_fields, page["Items"])

    def page(self, **arguments: Any) -> tuple[list[dict[str, Any]], int, Any]:
        """One page of a query: its items, how many there were before they were filtered, and what the next page is
        asked for with as `ExclusiveStartKey`; `None` at the end."""
        with translated(f"a query of table {self.name}"):
            answer = self.client.query(TableName=self.name, **arguments)
        return list(map(_fields, answer.get("Items", ()))), answer["ScannedCount"], answer.get("LastEvaluatedKey")


def outlined(kind: str, place: str, outline: str | None) -> Item:
    """The attributes by which an item is in the index `Overview` beside the tenants' records, which are there by the
    status that they have anyway.

    Args:
        kind: the partition of the index.
        place: sorts the item within it.
        outline: JSON; one text, for a thousand of them are read at once. `None` where there is nothing to say.
    """
    return {"status": kind, "status_since": place} | ({"outline": outline} if outline is not None else {})


def sortable_time(time: datetime) -> str:
    """ISO 8601 in UTC with one precision, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
