"""When a knowledge base counts as ready, and the tokens that make creations idempotent."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.errors import KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet
from kbfleet.domain.knowledge_base import KnowledgeBase, KnowledgeBaseStatus, client_token
from tests.support.clock import START

DEADLINE = START + timedelta(minutes=15)


def knowledge_base(status: KnowledgeBaseStatus, *reasons: str) -> KnowledgeBase:
    return KnowledgeBase("KB00000001", "kbfleet-acme", status, reasons)


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
