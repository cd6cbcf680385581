"""How far rounds have come: through all tenants, and through the documents of one."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item, tenant_key
from kbfleet.domain.capacity import RoomCount
from kbfleet.domain.convergence import Convergence
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.isolation import DocumentRound
from kbfleet.domain.reconciliation import TenantRound
from kbfleet.domain.search_allowance import SearchAllowance

if TYPE_CHECKING:
    from datetime import datetime

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import TenantId

_rounds = cache(lambda: TypeAdapter(DocumentRound))

_tenant_rounds = cache(lambda: TypeAdapter(TenantRound))

_room_counts = cache(lambda: TypeAdapter(RoomCount))

_convergences = cache(lambda: TypeAdapter(Convergence))

_allowances = cache(lambda: TypeAdapter(SearchAllowance))

_ROUND = "DOCUMENT_ROUND"
_SEARCHES = "SEARCHES"
ROOM = {"PK": "FLEET", "SK": "ROOM"}
ISOLATION = "ISOLATION"
"""The round that looks into all tenants."""
_CONVERGENCE = {"PK": "FLEET", "SK": "CONVERGENCE"}


def round_key(name: str) -> dict[str, str]:
    """Of the position of the round of that name."""
    return {"PK": "FLEET", "SK": f"ROUND#{name}"}


class DynamoDBTenantRounds:
    """`kbfleet.ports.TenantRounds` in DynamoDB.

    Args:
        name: of the round: each has a position of its own.
    """

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._key = round_key(name)

    def find(self) -> TenantRound:
        return _tenant_rounds().validate_python(self._table.item(self._key) or {})

    def save(self, tenant_round: TenantRound) -> None:
        fields = _tenant_rounds().dump_python(tenant_round, mode="json", exclude_none=True)
        self._table.put({**self._key, **fields}, values={}, subject=f"the position of {self._key['SK']}")


class DynamoDBConvergenceRecord:
    """`kbfleet.ports.ConvergenceRecord` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self) -> Convergence | None:
        record = self._table.item(_CONVERGENCE)
        return _convergences().validate_python(record) if record else None

    def save(self, convergence: Convergence) -> None:
        fields = _convergences().dump_python(convergence, mode="json")
        self._table.put({**_CONVERGENCE, **fields}, values={}, subject="how far the fleet is converged")


class DynamoDBRoomCounts:
    """`kbfleet.ports.RoomCounts` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self) -> RoomCount | None:
        record = self._table.item(ROOM)
        return _room_counts().validate_python(record) if record else None

    def save(self, counted: RoomCount) -> None:
        fields = _room_counts().dump_python(counted, mode="json")
        self._table.put({**ROOM, **fields}, values={}, subject="what the account has room for")

    def take(self) -> None:
        client = self._table.client
        with translated("what the account has room for"), suppress(client.exceptions.ConditionalCheckFailedException):
            client.update_item(
                TableName=self._table.name,
                Key=as_item(ROOM),
                UpdateExpression="ADD taken :one",
                ConditionExpression="attribute_exists(PK)",
                ExpressionAttributeValues=as_item({":one": 1}),
            )


class DynamoDBSearchAllowances:
    """`kbfleet.ports.SearchAllowances` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, tenant_id: TenantId, now: datetime) -> bool:
        record = self._table.get(tenant_id, _SEARCHES)
        last = _allowances().validate_python(record) if record else None
        taken = SearchAllowance.after_one_more(last, now)
        if taken is None:
            return False
        fields = _allowances().dump_python(taken, mode="json")
        values = {":last": record["whole_at"]} if record else {}
        with suppress(ConcurrentUpdate):
            self._table.put(
                # What has come back needs no record.
                {**tenant_key(tenant_id, _SEARCHES), **fields, "expires_at": int(taken.whole_at.timestamp())},
                condition="whole_at = :last" if values else "attribute_not_exists(PK)",
                values=values,
                subject=f"how often tenant {tenant_id} was searched",
            )
            return True
        return False  # somebody else searches at this moment


class DynamoDBDocumentRounds:
    """`kbfleet.ports.DocumentRounds` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant_id: TenantId) -> DocumentRound | None:
        record = self._table.get(tenant_id, _ROUND)
        return _rounds().validate_python(record) if record and "began_at" in record else None

    def save(self, tenant_id: TenantId, document_round: DocumentRound | None) -> None:
        fields = {} if document_round is None else _rounds().dump_python(document_round, mode="json", exclude_none=True)
        subject = f"where the documents of tenant {tenant_id} are to be read on"
        self._table.put({**tenant_key(tenant_id, _ROUND), **fields}, values={}, subject=subject)
