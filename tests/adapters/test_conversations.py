"""Conversations that Bedrock does not keep: in memory and in DynamoDB."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from kbfleet.adapters.dynamodb.conversations import MAX_EXCHANGES, DynamoDBConversations
from kbfleet.adapters.dynamodb.table import Table, as_item, conversation_key
from kbfleet.adapters.sessions import LIFETIME
from kbfleet.domain.answer import Exchange
from kbfleet.domain.names import Life
from kbfleet.ports import Conversations
from tests.support.answerer import InMemoryConversations
from tests.support.fakes import FakeClock
from tests.support.samples import ACME, SAKURA

FIRST = Exchange("テントの保証は？", "二年間です。")
SECOND = Exchange("And for shoes?", "One year.")


class ConversationsSuite(ABC):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    @abstractmethod
    def conversations(self, clock: FakeClock) -> Conversations: ...

    def test_a_conversation_is_shown_in_its_order(self, conversations: Conversations) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        conversations.add(Life(ACME), "c1", SECOND)
        assert list(conversations.exchanges(Life(ACME), "c1") or ()) == [FIRST, SECOND]

    def test_one_that_never_was_is_not_one_in_which_nothing_was_said(self, conversations: Conversations) -> None:
        conversations.add(Life(ACME), "c1")
        begun = conversations.exchanges(Life(ACME), "c1")
        assert begun is not None
        assert list(begun) == []
        assert conversations.exchanges(Life(ACME), "c2") is None

    def test_no_tenant_is_shown_anothers(self, conversations: Conversations) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        assert conversations.exchanges(Life(SAKURA), "c1") is None

    def test_nor_is_one_life_shown_anothers(self, conversations: Conversations) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        conversations.add(Life(ACME, 2), "c2", SECOND)
        assert conversations.exchanges(Life(ACME, 2), "c1") is None
        assert conversations.exchanges(Life(ACME), "c2") is None
        conversations.end(Life(ACME), "c2")
        assert list(conversations.exchanges(Life(ACME, 2), "c2") or ()) == [SECOND]

    def test_a_conversation_is_over_a_day_after_it_began(self, conversations: Conversations, clock: FakeClock) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        clock.advance(LIFETIME.total_seconds() - 1)
        conversations.add(Life(ACME), "c1", SECOND)
        assert list(conversations.exchanges(Life(ACME), "c1") or ()) == [FIRST, SECOND]
        clock.advance(1)
        assert conversations.exchanges(Life(ACME), "c1") is None

    def test_one_that_was_ended_stays_over_whatever_else_is_said_in_it(self, conversations: Conversations) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        conversations.add(Life(ACME), "c2", SECOND)
        conversations.end(Life(ACME), "c1")
        assert conversations.exchanges(Life(ACME), "c1") is None
        conversations.add(Life(ACME), "c1", SECOND)
        assert conversations.exchanges(Life(ACME), "c1") is None
        assert conversations.exchanges(Life(ACME), "c2")


class TestInMemoryConversations(ConversationsSuite):
    @pytest.fixture
    def conversations(self, clock: FakeClock) -> Conversations:
        return InMemoryConversations(clock, LIFETIME)


class TestDynamoDBConversations(ConversationsSuite):
    @pytest.fixture
    def conversations(self, table: Table, clock: FakeClock) -> Conversations:
        return DynamoDBConversations(table, clock, LIFETIME)

    def test_one_that_has_become_too_long_to_keep_is_over(self, conversations: Conversations) -> None:
        for _ in range(MAX_EXCHANGES):
            conversations.add(Life(ACME), "c1", FIRST)
        assert conversations.exchanges(Life(ACME), "c1") is None

    def test_nothing_is_kept_of_one_that_was_ended(self, conversations: Conversations, table: Table) -> None:
        conversations.add(Life(ACME), "c1", FIRST)
        conversations.end(Life(ACME), "c1")
        stored = table.item(conversation_key(Life(ACME), "c1"), "exchanges")
        assert stored == {"exchanges": []}

    def test_one_that_another_release_has_written_is_not_taken_up(
        self, conversations: Conversations, table: Table, clock: FakeClock
    ) -> None:
        written = {"turns": [], "expires_at": int((clock.now() + LIFETIME).timestamp())}
        table.client.put_item(TableName=table.name, Item=as_item(conversation_key(Life(ACME), "c1") | written))
        assert conversations.exchanges(Life(ACME), "c1") is None
