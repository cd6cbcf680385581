"""When a knowledge base counts as ready, and the tokens that make creations idempotent."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.errors import KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet
from kbfleet.domain.knowledge_base import KnowledgeBase, KnowledgeBaseStatus, client_token
from tests.support.clock import START

DEADLINE = START + timedelta(minutes=15)


def knowledge_base(status: KnowledgeBaseStatus, *reasons: str) -> KnowledgeBase:
    return KnowledgeBase("KB00000001", "arn:kb", "kbfleet-acme", status, START, START, reasons)


@pytest.mark.parametrize("status", [KnowledgeBaseStatus.ACTIVE, KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL])
def test_a_knowledge_base_in_force_is_ready_even_past_the_deadline(status: KnowledgeBaseStatus) -> None:
    assert knowledge_base(status).ready(now=START, deadline=DEADLINE)
    assert knowledge_base(status).ready(now=DEADLINE, deadline=DEADLINE)


@pytest.mark.parametrize("status", [KnowledgeBaseStatus.CREATING, KnowledgeBaseStatus.UPDATING])
def test_one_in_the_making_is_not_ready_until_the_deadline(status: KnowledgeBaseStatus) -> None:
    assert not knowledge_base(status).ready(now=DEADLINE - timedelta(seconds=1), deadline=DEADLINE)
    with pytest.raises(KnowledgeBaseNotReady, match=f"KB00000001.*{status}"):
        knowledge_base(status).ready(now=DEADLINE, deadline=DEADLINE)


@pytest.mark.parametrize("status", [KnowledgeBaseStatus.FAILED, KnowledgeBaseStatus.DELETE_UNSUCCESSFUL])
def test_one_that_bedrock_gave_up_fails_with_its_reasons(status: KnowledgeBaseStatus) -> None:
    with pytest.raises(KnowledgeBaseFailed, match="no such index; role is missing"):
        knowledge_base(status, "no such index", "role is missing").ready(now=START, deadline=DEADLINE)
    with pytest.raises(KnowledgeBaseFailed, match="no reason given"):
        knowledge_base(status).ready(now=START, deadline=DEADLINE)


def test_one_that_is_being_deleted_is_worth_another_try() -> None:
    with pytest.raises(NotReadyYet):
        knowledge_base(KnowledgeBaseStatus.DELETING).ready(now=START, deadline=DEADLINE)


class TestLookingAgain:
    USUAL = timedelta(seconds=85)

    def looks(self, ready_after: float) -> list[float]:
        """The seconds at which one that is ready after that time is looked at."""
        at = [0.0]
        one = knowledge_base(KnowledgeBaseStatus.CREATING)
        while at[-1] < ready_after:
            at.append(at[-1] + one.look_again_after(START + timedelta(seconds=at[-1]), self.USUAL).total_seconds())
        return at

    def test_one_that_takes_the_usual_time_is_looked_at_once(self) -> None:
        assert self.looks(83) == [0, 85]

    def test_a_slow_one_is_found_ready_at_most_15_percent_late(self) -> None:
        for ready_after in range(86, 900, 7):
            assert self.looks(ready_after)[-1] <= ready_after * 1.15 + 1

    def test_a_slow_one_costs_few_looks(self) -> None:
        assert len(self.looks(170)) <= 7

    def test_the_shortest_wait_is_a_second(self) -> None:
        one = knowledge_base(KnowledgeBaseStatus.UPDATING)
        assert one.look_again_after(START, timedelta(0)) == timedelta(seconds=1)


class TestDrift:
    WANTED: ClassVar = {
        "knowledgeBaseConfiguration": {
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": "a"},
        },
        "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "acme"}},
    }

    def made_with(self, **changes: object) -> KnowledgeBase:
        return replace(knowledge_base(KnowledgeBaseStatus.ACTIVE), configuration={**self.WANTED, **changes})

    def test_one_that_was_made_the_same_way_has_none(self) -> None:
        assert self.made_with().drift_from(self.WANTED) == ()
        assert self.made_with().stores_as(self.WANTED)

    def test_what_the_service_adds_is_none(self) -> None:
        storage = {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "acme", "vectorBucketArn": "bucket"}}
        assert self.made_with(storageConfiguration=storage).stores_as(self.WANTED)

    def test_another_model_is_reported_with_what_to_do(self) -> None:
        other = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": "b"}}
        (drift,) = self.made_with(knowledgeBaseConfiguration=other).drift_from(self.WANTED)
        assert re.search("KB00000001 was made with .*offboard the tenant and provision it anew", drift)

    @pytest.mark.parametrize(
        "changes",
        [
            {"storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "sakura"}}},
            {"storageConfiguration": None},
            {"knowledgeBaseConfiguration": {"type": "MANAGED"}},
        ],
    )
    def test_one_on_another_index_or_of_another_kind_does_not_store_the_same(self, changes: dict[str, object]) -> None:
        assert not self.made_with(**changes).stores_as(self.WANTED)


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_client_tokens_have_the_form_that_bedrock_takes(parts: list[str], configuration: dict[str, str]) -> None:
    # Source: botocore model of bedrock-agent, shape ClientToken.
    token = client_token(*parts, configuration=configuration)
    assert 33 <= len(token) <= 256
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}", token)


def test_the_same_request_has_the_same_token_whatever_the_order_of_its_members() -> None:
    assert client_token("a", configuration={"x": 1, "y": 2}) == client_token("a", configuration={"y": 2, "x": 1})


def test_a_changed_request_has_another_token() -> None:
    tokens = {
        client_token("a", "b"),
        client_token("ab"),
        client_token("a", "b", configuration={"x": 1}),
        client_token("a", "b", configuration={"x": 2}),
    }
    assert len(tokens) == 4
