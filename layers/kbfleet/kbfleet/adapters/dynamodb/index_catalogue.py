"""Which indexes there are, of a store whose service cannot list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item
from kbfleet.domain.errors import ConcurrentUpdate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbfleet.adapters.dynamodb.table import Table


class DynamoDBIndexCatalogue:
    """`kbfleet.adapters.knowledge_stores.IndexCatalogue` in DynamoDB, one item an index."""

    def __init__(self, table: Table, store_type: str) -> None:
        self._table = table
        self._partition = f"KNOWLEDGE_STORE#{store_type}"

    def add(self, index_name: str) -> None:
        try:
            self._table.put(
                self._key(index_name),
                condition="attribute_not_exists(PK)",
                values={},
                subject=f"The catalogued index {index_name}",
            )
        except ConcurrentUpdate:
            # It is there already, and holds nothing but its key.
            return

    def remove(self, index_name: str) -> None:
        with translated(f"the catalogued index {index_name}"):
            self._table.client.delete_item(TableName=self._table.name, Key=as_item(self._key(index_name)))

    def index_names(self) -> Iterator[str]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk", ExpressionAttributeValues=as_item({":pk": self._partition})
        )
        return (item["SK"].removeprefix("INDEX#") for item in found)

    def _key(self, index_name: str) -> dict[str, str]:
        return {"PK": self._partition, "SK": f"INDEX#{index_name}"}
