"""Runs of golden questions: verdicts, numbers, and what is a regression."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.answer import AnswerOutcome, Citation, GeneratedAnswer, Source
from kbfleet.domain.names import Life
from kbfleet.domain.question_runs import (
    FIRST,
    Judgement,
    News,
    QuestionRun,
    QuestionWatch,
    RunCause,
    RunRequest,
    Score,
    Shortcoming,
    Standing,
    Verdict,
    not_judged,
    searched,
    with_answer,
)
from kbfleet.domain.questions import GoldenQuestion, QuestionId, QuestionSet
from tests.support.clock import START
from tests.support.samples import ACME

Q1, Q2 = QuestionId("q1111"), QuestionId("q2222")
ASKED = GoldenQuestion(Q1, "How long is the warranty?", ("terms.md", "warranty.md"))
REFUSING = GoldenQuestion(Q2, "What does the moon cost?", must_refuse=True)


def passages(*keys: str) -> list[Source]:
    return [Source(key, f"s3://b/{key}", "…") for key in keys]


# --- verdicts ---


@pytest.mark.parametrize(
    ("found", "rank", "instead"),
    [
        (["terms.md"], 1, ""),
        (["other.md", "warranty.md", "terms.md"], 2, "other.md"),
        (["a", "b", "c", "d", "terms.md"], 5, "a"),
        (["a", "b", "c", "d", "e", "terms.md"], None, "a"),
        (["terms.md.bak"], None, "terms.md.bak"),
        ([], None, ""),
    ],
)
def test_an_expected_document_is_among_the_first_five_passages_or_not(
    found: list[str], rank: int | None, instead: str
) -> None:
    verdict = searched(ASKED, passages(*found))
    assert (verdict.rank, verdict.instead) == (rank, instead)
    assert verdict.judgement is (Judgement.FAILED if rank is None else Judgement.PASSED)
    assert verdict.shortcomings == ((Shortcoming.NOT_FOUND,) if rank is None else ())


TYPED, FROM_A_MAC = (unicodedata.normalize(form, "案内/パンフレット.md") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("expected", "key"), [(TYPED, FROM_A_MAC), (FROM_A_MAC, TYPED), (f"é/{FROM_A_MAC}", f"é/{TYPED}")]
)
def test_a_key_is_the_same_in_both_forms_of_unicode(expected: str, key: str) -> None:
    """The two look the same, and whoever types one of them cannot see which the bucket has."""
    question = GoldenQuestion(Q1, "Where is the brochure?", (expected,))
    verdict = searched(question, passages("other.md", key))
    assert (verdict.rank, verdict.instead, verdict.judgement) == (2, "other.md", Judgement.PASSED)
    assert searched(question, passages(key)).instead == ""
    assert with_answer(verdict, question, answer("There.", key)).shortcomings == ()
    assert searched(question, passages(key.replace("パ", "バ").replace("ハ\u309a", "ハ\u3099"))).rank is None


def test_a_question_without_documents_is_not_judged_by_a_search() -> None:
    assert searched(REFUSING, passages("a")).judgement is Judgement.NOT_JUDGED
    assert not_judged(ASKED, "Throttled").judgement is Judgement.NOT_JUDGED
    assert replace(searched(ASKED, []), trouble="Throttled").judgement is Judgement.NOT_JUDGED


def answer(text: str, *cited: str, outcome: AnswerOutcome = AnswerOutcome.ANSWERED) -> GeneratedAnswer:
    citations = tuple(Citation(text, 0, len(text), tuple(passages(key))) for key in cited)
    return GeneratedAnswer(text, citations, outcome)


WORDY = replace(ASKED, contains=("two years", "保証２年"))


@pytest.mark.parametrize(
    ("question", "given_answer", "shortcomings"),
    [
        (WORDY, answer("It is TWO\n years. 保証2年 です。", "terms.md"), ()),
        (WORDY, answer("It is two years.", "terms.md"), (Shortcoming.WORDS_MISSING,)),
        (ASKED, answer("It is two years.", "other.md"), (Shortcoming.NOT_CITED,)),
        (WORDY, answer("No.", "other.md"), (Shortcoming.WORDS_MISSING, Shortcoming.NOT_CITED)),
        (ASKED, answer("?", outcome=AnswerOutcome.NOTHING_FOUND), (Shortcoming.NOT_ANSWERED,)),
        (ASKED, answer("?", outcome=AnswerOutcome.REFUSED_BY_GUARDRAIL), (Shortcoming.NOT_ANSWERED,)),
        (REFUSING, answer("?", outcome=AnswerOutcome.NOTHING_FOUND), ()),
        (REFUSING, answer("?", outcome=AnswerOutcome.REFUSED_BY_GUARDRAIL), ()),
        (REFUSING, answer("One million.", "terms.md"), (Shortcoming.NOT_REFUSED,)),
        (GoldenQuestion(Q1, "How?", contains=("so",)), answer("So."), ()),
    ],
)
def test_an_answer_has_the_words_the_document_or_the_refusal(
    question: GoldenQuestion, given_answer: GeneratedAnswer, shortcomings: tuple[Shortcoming, ...]
) -> None:
    verdict = with_answer(searched(question, passages("terms.md")), question, given_answer)
    assert verdict.shortcomings == shortcomings
    assert verdict.judgement is (Judgement.FAILED if shortcomings else Judgement.PASSED)


# --- numbers ---

ranks = st.lists(st.none() | st.integers(1, FIRST), max_size=30)


@given(ranks, st.integers(0, 3))
def test_the_numbers_are_of_those_that_were_looked_for(found: list[int | None], others: int) -> None:
    verdicts = [
        *(
            Verdict(Q1, 1, searched=True, rank=rank, shortcomings=() if rank else (Shortcoming.NOT_FOUND,))
            for rank in found
        ),
        *(not_judged(ASKED, "Throttled") for _ in range(others)),
    ]
    score = Score.of(verdicts)
    assert (score.passed + score.failed, score.not_judged) == (len(found), others)
    if not found:
        assert (score.hit_rate_5, score.hit_rate_1, score.mrr) == (None, None, None)
        return
    assert score.hit_rate_5 == score.passed / len(found)
    assert score.hit_rate_1 is not None
    assert score.mrr is not None
    assert 0 <= score.hit_rate_1 <= score.mrr <= score.hit_rate_5 <= 1
    better = [rank - 1 if rank is not None and rank > 1 else rank for rank in found]
    assert Score.of([Verdict(Q1, 1, True, rank) for rank in better]).mrr >= score.mrr - 1e-9  # type: ignore[operator]


def test_the_mean_reciprocal_rank_is_what_its_name_says() -> None:
    score = Score.of([Verdict(Q1, 1, True, rank) for rank in (1, 2, None, 4)])
    assert (score.hit_rate_5, score.hit_rate_1, score.mrr) == (0.75, 0.25, (1 + 1 / 2 + 0 + 1 / 4) / 4)


# --- regressions ---


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def questions(*ids: QuestionId, revision: int = 1) -> QuestionSet:
    return QuestionSet(
        Life(ACME), tuple(GoldenQuestion(each, f"{each}?", ("a.md",), revision=revision) for each in ids)
    )


def ran(
    watch: QuestionWatch, minute: int, results: dict[QuestionId, bool | None], *, cause: RunCause = RunCause.CHANGE
) -> QuestionWatch:
    """After one more run. Args: results: whether each was found; `None` where that was not judged."""
    own = questions(*results)
    watch = watch.requested(RunRequest(cause, at(minute))).begun(own, at(minute))
    for question in own.questions:
        result = results[question.question_id]
        verdict = searched(question, passages("a.md" if result else "b.md"))
        watch = watch.judged(question.question_id, not_judged(question, "Throttled") if result is None else verdict)
    return watch.ended(own, at(minute))[0]


def after(*results: bool | None) -> QuestionWatch:
    watch = QuestionWatch(Life(ACME))
    for minute, result in enumerate(results):
        watch = ran(watch, minute, {Q1: result})
    return watch


def regressed(watch: QuestionWatch) -> list[QuestionId]:
    return [regression.question_id for regression in watch.regressions]


@given(st.lists(st.booleans() | st.none(), max_size=12))
def test_a_regression_has_passed_twice_and_failed_twice(results: list[bool | None]) -> None:
    """By another way to say the same: of the whole list, not run by run."""
    judged = [result for result in results if result is not None]
    passed_twice = any(a and b for a, b in pairwise(judged))
    expected = passed_twice and judged[-2:] == [False, False]
    assert bool(regressed(after(*results))) is expected


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([True, True, False, False], True),
        ([True, True, False], False),
        ([True, True, False, None, False], True),
        ([True, True, None, None], False),
        ([True, True, False, True, False], False),
        ([True, False, False], False),
        ([False, False, False], False),
        ([True, True, False, False, False], True),
        ([True, True, False, False, True], False),
        ([True, True, False, True, False, False], True),
        ([True, True, False, False, True, False, False], True),
    ],
)
def test_what_is_told(results: list[bool | None], expected: bool) -> None:
    assert bool(regressed(after(*results))) is expected


def test_a_better_document_that_takes_the_first_place_is_none() -> None:
    watch = after(True, True)
    for minute in (2, 3, 4):
        own = questions(Q1)
        watch = watch.requested(RunRequest(RunCause.CHANGE, at(minute))).begun(own, at(minute))
        watch, run = watch.judged(Q1, searched(own.questions[0], passages("better.md", "a.md"))).ended(own, at(minute))
        assert run is not None
        assert run.score.hit_rate_1 == 0
    assert regressed(watch) == []


def test_it_says_since_which_sync_and_people_hear_once() -> None:
    watch = after(True, True)
    assert watch.untold is None
    assert not watch.unconfirmed
    watch = ran(watch, 2, {Q1: False})
    assert watch.unconfirmed
    assert watch.untold is None
    watch = ran(watch, 3, {Q1: False}, cause=RunCause.CONFIRMATION)
    assert not watch.unconfirmed
    (regression,) = watch.regressions
    assert (regression.since, regression.after_sync, regression.passed_at) == (at(2), at(2), at(1))
    assert watch.untold == News(at(3))
    assert watch.told().untold is None


def test_a_failure_that_no_sync_came_before_names_none() -> None:
    watch = after(True, True)
    for minute in (2, 3):
        watch = ran(watch, minute, {Q1: False}, cause=RunCause.ROUND)
    assert [each.after_sync for each in watch.regressions] == [None]


def test_one_more_is_news() -> None:
    watch = QuestionWatch(Life(ACME))
    for minute, results in enumerate([(True, True), (True, True), (False, True), (False, False), (False, False)]):
        watch = ran(watch.told(), minute, dict(zip((Q1, Q2), results, strict=True)))
    assert regressed(watch) == [Q1, Q2]
    assert watch.untold == News(at(4), more=True)


def test_it_is_over_when_the_question_is_removed_or_becomes_another() -> None:
    watch = replace(after(True, True, False, False).told(), questions=1)
    assert watch.keeping(questions(Q1), at(9)) == watch
    for changed in (questions(), questions(Q1, revision=2)):
        over = watch.keeping(changed, at(9))
        assert (regressed(over), over.untold) == ([], News(at(9)))


def test_a_question_that_changed_while_it_was_asked_is_not_judged_by_what_was_asked() -> None:
    own = questions(Q1)
    watch = QuestionWatch(Life(ACME)).requested(RunRequest(RunCause.DEMAND, at(0))).begun(own, at(0))
    watch = watch.judged(Q1, searched(own.questions[0], passages("a.md")))
    assert watch.ended(questions(Q1, revision=2), at(1))[0].standings == {}
    assert watch.ended(questions(), at(1))[0].standings == {}
    assert watch.ended(own, at(1))[0].standings == {Q1: Standing(1, passes=1, passed_at=at(0))}


# --- requests ---


def test_what_is_requested_again_and_again_is_run_once() -> None:
    change = RunRequest(RunCause.CHANGE, at(5))
    watch = QuestionWatch(Life(ACME)).requested(change)
    assert watch.requested(change) == watch
    begun = watch.begun(questions(Q1), at(6))
    assert begun.requested(change) is begun
    assert begun.begun(questions(Q1), at(7)) is begun
    ended, run = begun.ended(questions(Q1), at(8))
    assert run is not None
    assert ended.ended(questions(Q1), at(9)) == (ended, None)
    assert ended.requested(change) is ended
    assert not ended.requested(RunRequest(RunCause.CHANGE, at(6))).at_work


def test_what_changed_while_a_run_is_made_is_asked_behind_it() -> None:
    watch = QuestionWatch(Life(ACME)).requested(RunRequest(RunCause.ROUND, at(0))).begun(questions(Q1), at(0))
    watch = watch.requested(RunRequest(RunCause.CHANGE, at(1))).requested(RunRequest(RunCause.DEMAND, at(2), True))
    assert watch.waiting == RunRequest(RunCause.CHANGE, at(2), answers=True)
    watch = watch.ended(questions(Q1), at(3))[0].begun(questions(Q1), at(3))
    assert watch.run is not None
    assert (watch.run.cause, watch.run.requested_at, watch.run.answers) == (RunCause.CHANGE, at(2), True)
    assert watch.serves(RunRequest(RunCause.DEMAND, at(2), True))
    assert not watch.serves(RunRequest(RunCause.DEMAND, at(4)))


def test_a_run_without_answers_is_not_what_was_wanted_with_them() -> None:
    watch = QuestionWatch(Life(ACME)).requested(RunRequest(RunCause.CHANGE, at(0))).begun(questions(Q1), at(1))
    assert watch.serves(RunRequest(RunCause.DEMAND, at(0)))
    assert not watch.serves(RunRequest(RunCause.DEMAND, at(0), answers=True))


def test_the_clocks_of_others_may_go_ahead() -> None:
    """A change from the future would be run again and again."""
    change = RunRequest(RunCause.CHANGE, at(30))
    watch = QuestionWatch(Life(ACME)).requested(change).begun(questions(Q1), at(0))
    assert watch.serves(change)


def test_each_run_of_a_life_has_a_name_of_its_own() -> None:
    watch, names = QuestionWatch(Life(ACME)), set()
    for version in range(3):
        watch = replace(watch.requested(RunRequest(RunCause.DEMAND, at(version))), version=version)
        watch = watch.begun(questions(Q1), at(3))
        assert watch.run is not None
        names.add(watch.run.run_id)
        watch = replace(watch.ended(questions(Q1), at(3))[0], began_at=None)
    assert len(names) == 3


def test_a_run_asks_each_question_once() -> None:
    run = QuestionRun("r", RunCause.DEMAND, START, START, left=(Q1, Q2))
    run = run.judged(Q1, Verdict(Q1, 1)).judged(Q2, None)
    assert (run.left, len(run.verdicts)) == ((), 1)
