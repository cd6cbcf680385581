"""Conversations in the one DynamoDB table.

Key in a tenant's first life: `PK` = `CONVERSATION#<tenant id>`, `SK` = the conversation. They expire with the session
that leads to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item, conversation_key
from kbfleet.domain.answer import Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life
    from kbfleet.ports import Clock

MAX_EXCHANGES = 50
"""A question has 1,000 characters and an answer a few thousand: so many stay far below the 400 KB of an item."""


class DynamoDBConversations:
    """`kbfleet.ports.Conversations` in DynamoDB."""

    def __init__(self, table: Table, clock: Clock, lifetime: timedelta) -> None:
        self._table = table
        self._clock = clock
        self._lifetime = lifetime

    def exchanges(self, life: Life, conversation: str) -> Sequence[Exchange] | None:
        record = self._table.item(conversation_key(life, conversation), "exchanges", "expires_at")
        # Another release may have kept it in another way.
        if record is None or "exchanges" not in record:
            return None
        # DynamoDB deletes what has expired within days, not at once (AWS documentation, Time to Live).
        if record["expires_at"] <= self._clock.now().timestamp():
            return None
        exchanges = [Exchange(exchange["question"], exchange["answer"]) for exchange in record["exchanges"]]
        return None if len(exchanges) >= MAX_EXCHANGES else exchanges

    def add(self, life: Life, conversation: str, *exchanges: Exchange) -> None:
        said = [{"M": {"question": {"S": one.question}, "answer": {"S": one.answer}}} for one in exchanges]
        expires_at = int((self._clock.now() + self._lifetime).timestamp())
        with translated(f"a conversation of tenant {life}"):
            self._table.client.update_item(
                TableName=self._table.name,
                Key=as_item(conversation_key(life, conversation)),
                UpdateExpression=(
                    "SET exchanges = list_append(if_not_exists(exchanges, :none), :said), "
                    "expires_at = if_not_exists(expires_at, :expires_at)"
                ),
                ExpressionAttributeValues={
                    ":none": {"L": []},
                    ":said": {"L": said},
                    ":expires_at": {"N": str(expires_at)},
                },
            )

    def end(self, life: Life, conversation: str) -> None:
        # It stays as one that has expired: the ask function may change conversations, and delete nothing.
        with translated(f"a conversation of tenant {life}"):
            self._table.client.update_item(
                TableName=self._table.name,
                Key=as_item(conversation_key(life, conversation)),
                UpdateExpression="SET exchanges = :none, expires_at = :now",
                ExpressionAttributeValues={
                    ":none": {"L": []},
                    ":now": {"N": str(int(self._clock.now().timestamp()))},
                },
            )
