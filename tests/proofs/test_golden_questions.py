"""Samples of `make prove`: golden questions on documents that are really read and searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.proofs import golden_questions
from tests.proofs.golden_questions import REGRESSIONS, false_alarms, told_once
from tests.support.question_worlds import QuestionWorld, question_world
from tests.support.world_copies import in_copy

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def world() -> Iterator[QuestionWorld]:
    with question_world() as world:
        yield world


def test_a_wrong_document_is_told_once_with_its_questions_and_it_is_over_when_it_is_put_right(
    world: QuestionWorld,
) -> None:
    assert in_copy(world.fleet, lambda fleet: told_once(REGRESSIONS[0], fleet, world), within=120) == []


def test_the_proof_sees_what_it_should_not_see(world: QuestionWorld) -> None:
    other = replace(REGRESSIONS[0], hits=frozenset({"faq.html"}), named=frozenset())
    (lost, named) = in_copy(world.fleet, lambda fleet: told_once(other, fleet, world), within=120)
    assert "warranty-policy.md" in lost
    assert "warranty-policy.md" in named


def test_new_documents_on_the_same_topic_are_told_never(world: QuestionWorld) -> None:
    assert in_copy(world.fleet, lambda fleet: false_alarms(range(3), fleet, world), within=120) == [None] * 3


def test_there_are_fifteen_kinds_of_regressions_at_least() -> None:
    assert len({each.name for each in golden_questions.REGRESSIONS}) >= 15
