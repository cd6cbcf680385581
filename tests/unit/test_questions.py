"""Golden questions: what is taken, and files of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbfleet.domain.bounds import ITEM_BYTES
from kbfleet.domain.errors import InvalidInput, QuestionNotFound
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Life
from kbfleet.domain.questions import (
    MAX_CONTAINED,
    MAX_CONTAINED_LENGTH,
    MAX_EXPECTED,
    MAX_QUESTIONS,
    MAX_REFERENCE,
    Draft,
    GoldenQuestion,
    QuestionId,
    QuestionSet,
    export_lines,
    fields_of,
    import_lines,
)
from tests.support.samples import ACME

VECTOR, MANAGED = KnowledgeBaseKind.VECTOR, KnowledgeBaseKind.MANAGED
SECRET = "a very private thing"
Ids = Callable[[], QuestionId]


@pytest.fixture
def new_id() -> Ids:
    return ids()


def ids() -> Ids:
    numbers = count(1)
    return lambda: QuestionId(f"q{next(numbers):04}")


def drafted(*texts: str) -> list[Draft]:
    return [Draft(text, ("a.md",)) for text in texts]


characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
texts = st.text(characters | st.sampled_from("\n\t\u2028\x85"[:3]), min_size=1, max_size=60).filter(str.strip)
keys = st.text(characters, min_size=1, max_size=40).filter(lambda key: key.strip() and not key.endswith(".json"))
drafts = st.builds(
    Draft,
    texts,
    st.lists(keys, min_size=1, max_size=4, unique=True).map(tuple),
    st.lists(texts.map(str.strip), max_size=3, unique=True).map(tuple),
    st.just(False),
    texts | st.just(""),
) | st.builds(Draft, texts, must_refuse=st.just(True))


@settings(deadline=None)
@given(st.lists(drafts, max_size=8, unique_by=lambda draft: draft.text.strip()))
def test_what_was_exported_is_imported_as_it_was(given_drafts: list[Draft]) -> None:
    questions = QuestionSet(Life(ACME)).with_drafts(given_drafts, VECTOR, ids())
    lines = export_lines(map(fields_of, questions.questions))
    read = [draft for _, draft in import_lines(lines)]
    assert QuestionSet(Life(ACME)).with_drafts(read, VECTOR, ids()) == questions
    # Nothing changes where all of it is there already, not even a revision.
    assert questions.with_drafts(read, VECTOR, ids()) == questions
    assert export_lines(map(fields_of, questions.questions)) == lines


def test_a_file_of_ragas_is_taken_with_what_else_ragas_writes(new_id: Ids) -> None:
    line = {
        "user_input": "How long is the warranty?",
        "reference": "Two years.",
        "reference_context_ids": ["terms.md"],
        "reference_contexts": ["…"],
        "response": None,
    }
    ((number, draft),) = import_lines("\n" + json.dumps(line) + "\n\n")
    assert number == 2
    assert draft == Draft(line["user_input"], ("terms.md",), reference="Two years.")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("{", "line 2"),
        ("[]", "line 2"),
        ('"a"', "line 2"),
        ("[" * 100_000, "line 2"),
        ('{"user_input": "a", "user_input": "b", "must_refuse": true}', "line 2"),
        ('{"user_input": NaN}', "line 2"),
        ('{"user_input": "a", "a very private thing": 1}', "line 2"),
        ("{}", "line 2, user_input"),
        ('{"user_input": 3}', "line 2, user_input"),
        ('{"user_input": "  ", "must_refuse": true}', "line 2, user_input"),
        ('{"user_input": "%s", "must_refuse": true}' % ("a" * 10_001), "line 2, user_input"),
        ('{"user_input": "\\ud800", "must_refuse": true}', "line 2, user_input"),
        ('{"user_input": "a\\u0000b", "must_refuse": true}', "line 2, user_input"),
        ('{"user_input": "a very private thing"}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": "a very private thing"}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": [1]}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": ["a", "a"]}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": [" "]}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": ["%s"]}' % ("é" * 513), "line 2, reference_context_ids"),
        ('{"user_input": "a", "reference_context_ids": ["a.md.metadata.json"]}', "line 2, reference_context_ids"),
        ('{"user_input": "a", "contains": ["%s"]}' % ("b" * 201), "line 2, contains"),
        ('{"user_input": "a", "contains": [""]}', "line 2, contains"),
        ('{"user_input": "a", "contains": {"a": 1}}', "line 2, contains"),
        ('{"user_input": "a", "contains": ["b"], "must_refuse": true}', "line 2, must_refuse"),
        ('{"user_input": "a", "must_refuse": "yes"}', "line 2, must_refuse"),
        ('{"user_input": "a", "must_refuse": true, "reference": 1}', "line 2, reference"),
        ('{"user_input": "a", "must_refuse": true, "reference": "%s"}' % ("c" * 10_001), "line 2, reference"),
        ('{"user_input": "a", "must_refuse": true, "id": "a very private thing"}', "line 2, id"),
        ('{"user_input": "a", "must_refuse": true, "id": 5}', "line 2, id"),
    ],
)
def test_a_bad_line_is_named_with_its_field_and_nothing_of_it_is_repeated(line: str, where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        import_lines(f'{{"user_input": "fine", "must_refuse": true}}\n{line}\n')
    assert refused.value.field == where
    assert SECRET not in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.text() | st.binary().map(lambda data: data.decode(errors="surrogateescape")))
def test_whatever_is_in_a_file_it_is_read_or_refused_by_its_line(text: str) -> None:
    refusals = []
    try:
        import_lines(text)
    except InvalidInput as error:
        refusals.append(error.field)
    assert all(field.startswith("line ") for field in refusals)


def test_a_question_has_as_many_characters_as_its_knowledge_base_takes(new_id: Ids) -> None:
    empty = QuestionSet(Life(ACME))
    assert empty.with_drafts(drafted("a" * 1_000), VECTOR, new_id).questions
    assert empty.with_drafts(drafted("a" * 10_000), MANAGED, new_id).questions
    with pytest.raises(InvalidInput) as refused:
        empty.with_drafts(drafted("fine", "a" * 1_001), VECTOR, new_id)
    assert refused.value.field == "questions.1.user_input"
    assert str(refused.value).startswith("questions.1.user_input: has 1,001 characters")


def test_the_same_text_takes_the_place_of_the_question_and_keeps_its_id(new_id: Ids) -> None:
    before = QuestionSet(Life(ACME)).with_drafts(drafted("one", "two"), VECTOR, new_id)
    after = before.with_drafts([Draft(" two ", ("b.md",))], VECTOR, new_id)
    assert after.questions[0] == before.questions[0]
    assert after.questions[1] == replace(before.questions[1], expected=("b.md",), revision=2)


def test_texts_may_change_places(new_id: Ids) -> None:
    before = QuestionSet(Life(ACME)).with_drafts(drafted("one", "two"), VECTOR, new_id)
    first, second = (question.question_id for question in before.questions)
    swapped = [Draft("two", ("a.md",), question_id=first), Draft("one", ("a.md",), question_id=second)]
    after = before.with_drafts(swapped, VECTOR, new_id)
    assert [(each.question_id, each.text, each.revision) for each in after.questions] == [
        (first, "two", 2),
        (second, "one", 2),
    ]


@pytest.mark.parametrize(
    ("given_drafts", "field"),
    [
        (drafted("one", "one"), "questions.1.user_input"),
        ([Draft("a", ("a",), question_id=QuestionId("qaaaa"))] * 2, "questions.1.id"),
        ([Draft("there", ("a",), question_id=QuestionId("qaaaa"))], "questions.0.user_input"),
    ],
)
def test_no_text_and_no_id_is_twice(given_drafts: list[Draft], field: str, new_id: Ids) -> None:
    there = QuestionSet(Life(ACME)).with_drafts(drafted("there"), VECTOR, new_id)
    with pytest.raises(InvalidInput) as refused:
        there.with_drafts(given_drafts, VECTOR, new_id)
    assert refused.value.field == field


def test_an_id_that_is_taken_is_drawn_again() -> None:
    drawn = iter([QuestionId("qaaaa"), QuestionId("qaaaa"), QuestionId("qbbbb")])
    questions = QuestionSet(Life(ACME)).with_drafts(drafted("one", "two"), VECTOR, lambda: next(drawn))
    assert [each.question_id for each in questions.questions] == ["qaaaa", "qbbbb"]


def test_a_tenant_has_a_hundred_at_most(new_id: Ids) -> None:
    full = QuestionSet(Life(ACME)).with_drafts(drafted(*map(str, range(MAX_QUESTIONS))), VECTOR, new_id)
    with pytest.raises(InvalidInput, match="101"):
        full.with_drafts(drafted("one more"), VECTOR, new_id)
    assert full.with_drafts(drafted("5"), VECTOR, new_id)


def longest(number: int) -> Draft:
    # JSON writes each of these characters with the most bytes, of all that are taken.
    return Draft(
        f"{number}" + "\U0001f600" * 9_990,
        tuple(f"{key:04}" + "é" * 510 for key in range(MAX_EXPECTED)),
        tuple(f"{text:03}" + "\U0001f600" * (MAX_CONTAINED_LENGTH - 3) for text in range(MAX_CONTAINED)),
        reference="\U0001f600" * MAX_REFERENCE,
    )


def test_all_questions_of_a_tenant_fit_into_one_record(new_id: Ids) -> None:
    one = QuestionSet(Life(ACME)).with_drafts([longest(0)], MANAGED, new_id)
    assert len(export_lines(map(fields_of, one.questions)).encode()) < one.questions[0].bytes < ITEM_BYTES
    with pytest.raises(InvalidInput, match="bytes"):
        one.with_drafts([longest(1), longest(2)], MANAGED, new_id)


def test_one_is_removed_by_its_id(new_id: Ids) -> None:
    two = QuestionSet(Life(ACME)).with_drafts(drafted("one", "two"), VECTOR, new_id)
    left = two.without(two.questions[0].question_id)
    assert [each.text for each in left.questions] == ["two"]
    with pytest.raises(QuestionNotFound):
        left.without(two.questions[0].question_id)


@pytest.mark.parametrize("wrong", [None, 5, "", "q", "Q1234", "q12-4", "q" + "a" * 21, "q1234\n", "acme"])
def test_an_id_is_of_a_form_of_its_own(wrong: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        QuestionId(wrong)
    assert refused.value.field == "id"


def test_a_question_expects_something() -> None:
    with pytest.raises(InvalidInput):
        GoldenQuestion(QuestionId("qaaaa"), "How long?", reference="Two years.")
