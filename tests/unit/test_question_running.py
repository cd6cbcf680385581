"""Asking golden questions: in parts, at a pace, once, and whatever happens in between."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import pytest

from kbfleet.domain.answer import AnswerOutcome, Citation, GeneratedAnswer, Source
from kbfleet.domain.errors import (
    AccessRefused,
    InvalidInput,
    IsolationBreached,
    NotReadyYet,
    QuestionNotFound,
    ServiceRoleRefused,
    TenantOffboarding,
    TenantSuspended,
    Throttled,
)
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import (
    ChangedDocuments,
    Judgement,
    QuestionRun,
    QuestionsJudged,
    RunCause,
    RunRequest,
    Shortcoming,
    Verdict,
)
from kbfleet.domain.questions import Draft, QuestionId
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.question_running import LONGEST_RUN, QuestionRunner
from kbfleet.usecases.questions import add_questions, remove_question, request_run
from tests.support.clock import START
from tests.support.fleet import QUESTIONS_AFTER, SEARCH_INTERVAL, Fleet
from tests.support.samples import ACME, NAMES, SAKURA, tenant

A_PART = timedelta(seconds=60)


@dataclass
class World:
    """A fleet whose tenants have questions. Args: parts: how long a part of a run may take."""

    parts: timedelta = A_PART
    fleet: Fleet = field(default_factory=Fleet)
    around: Callable[[str, Any], Any] = lambda _name, port: port
    """What is put between the runner and a port."""

    def __post_init__(self) -> None:
        self.clock = self.fleet.clock
        self.questions, self.watches = self.fleet.golden_questions, self.fleet.question_watches
        self.runs, self.retriever, self.answers = self.fleet.question_runs, self.fleet.retriever, self.fleet.answers
        self.breaches = self.fleet.breaches
        self.numbers = count(1)

    @property
    def runner(self) -> QuestionRunner:
        runner = self.fleet.question_runner
        return replace(
            runner,
            watches=self.around("watches", self.watches),
            retrievers=lambda *_: self.around("retriever", self.retriever),
            pace=self.around("pace", runner.pace),
            runs=self.around("runs", self.runs),
            announcements=self.around("announcements", runner.announcements),
        )

    def add(self, tenant_id: TenantId, *drafts: Draft) -> list[QuestionId]:
        if self.fleet.registry.find(tenant_id) is None:
            self.fleet.registry.create(tenant(tenant_id))
        added = add_questions(
            tenant_id,
            drafts,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            questions=self.questions,
            runs=self.runs,
            new_id=lambda: QuestionId(f"q{next(self.numbers):04}"),
        )
        return [question.question_id for question in added.questions]

    def request(self, tenant_id: TenantId = ACME, *, answers: bool = False) -> RunRequest:
        return request_run(
            tenant_id,
            answers=answers,
            registry=self.fleet.registry,
            questions=self.questions,
            runs=self.runs,
            clock=self.clock,
        )

    def change(self, tenant_id: TenantId = ACME) -> None:
        """An ingestion has ended."""
        self.runs.later(Life(tenant_id), RunRequest(RunCause.CHANGE, self.clock.now()))

    def work(self, at_most: int = 500) -> None:
        """Until nothing waits."""
        for _ in range(at_most):
            message = self.runs.take()
            if message is None:
                return
            self.runner.run(*message, self.clock.now() + self.parts)
        raise AssertionError("there is no end of it")

    def ended(self, tenant_id: TenantId = ACME) -> Sequence[QuestionRun]:
        return self.watches.runs(Life(tenant_id), 100)

    def verdicts(self) -> dict[QuestionId, Verdict]:
        return {verdict.question_id: verdict for verdict in self.ended()[0].verdicts}

    @property
    def told(self) -> list[QuestionsJudged]:
        return self.fleet.announcements.judged_questions

    def regressed(self) -> list[QuestionId]:
        return [each.question_id for each in self.watches.find(Life(ACME)).regressions]


@pytest.fixture
def world() -> World:
    return World()


def expecting(text: str, key: str = "a.md") -> Draft:
    return Draft(text, (key,))


def test_a_run_on_demand_judges_each_question_by_a_search(world: World) -> None:
    found, other, refusing = world.add(ACME, expecting("one"), expecting("two"), Draft("three", must_refuse=True))
    world.retriever.found = {"one": ["b.md", "a.md"], "two": ["b.md"]}
    world.request()
    world.work()
    (run,) = world.ended()
    assert (run.cause, run.answers, run.left) == (RunCause.DEMAND, False, ())
    assert [verdict.judgement for verdict in world.verdicts().values()] == [
        Judgement.PASSED,
        Judgement.FAILED,
        Judgement.NOT_JUDGED,
    ]
    assert (world.verdicts()[found].rank, world.verdicts()[other].instead) == (2, "b.md")
    assert refusing in world.verdicts()
    assert [text for _, _, text in world.retriever.asked] == ["one", "two"]


def test_with_answers_the_whole_way_is_judged_and_nothing_is_kept(world: World) -> None:
    good, silent = world.add(ACME, Draft("one", ("a.md",), ("two years",)), Draft("two", must_refuse=True))
    world.retriever.found = {"one": ["a.md"]}
    cited = (Citation("x", 0, 1, (Source("a.md", f"s3://{NAMES.bucket(Life(ACME))}/a.md", "…"),)),)
    world.fleet.answers = {"KB00000001": GeneratedAnswer("Two years.", cited, AnswerOutcome.ANSWERED)}
    world.request(answers=True)
    world.work()
    assert world.ended()[0].answers
    assert world.verdicts()[good].judgement is Judgement.PASSED
    assert world.verdicts()[silent].shortcomings == (Shortcoming.NOT_REFUSED,)


def test_searches_of_all_tenants_together_keep_their_pace(world: World) -> None:
    tenants = [TenantId(f"tenant-{number}") for number in range(6)]
    for tenant_id in tenants:
        world.add(tenant_id, *(expecting(f"{number}?") for number in range(20)))
        world.change(tenant_id)
    world.work()
    times = [time for time, _, _ in world.retriever.asked]
    assert len(times) == 120
    assert all(later - earlier >= SEARCH_INTERVAL for earlier, later in pairwise(times))
    assert times[-1] - times[0] <= 120 * SEARCH_INTERVAL * 1.1


def test_the_next_round_comes_to_those_whose_questions_nobody_has_asked_yet(world: World) -> None:
    world.add(ACME, expecting("one"), expecting("two"))
    world.work()
    assert world.ended() == []
    assert world.fleet.question_rounds.go_on() == 1
    world.work()
    assert [run.cause for run in world.ended()] == [RunCause.ROUND]


def test_it_is_known_how_many_there_are_and_what_the_last_run_came_to(world: World) -> None:
    first, _, _ = world.add(ACME, expecting("one"), expecting("two"), Draft("three", must_refuse=True))
    world.work()
    watch = world.watches.find(Life(ACME))
    assert (watch.questions, watch.came_to) == (3, None)
    world.retriever.found = {"one": ["a.md"], "two": AccessRefused("no")}
    world.change()
    world.work()
    score = world.watches.find(Life(ACME)).came_to
    assert score is not None
    assert (score.passed, score.failed, score.not_judged, score.not_asked, score.share) == (1, 0, 2, 1, 1.0)
    remove_question(ACME, first, registry=world.fleet.registry, questions=world.questions, runs=world.runs)
    world.work()
    assert world.watches.find(Life(ACME)).questions == 2


def test_each_search_that_was_made_is_counted_also_where_it_is_repeated(world: World) -> None:
    world.add(ACME, expecting("one"), expecting("two"), Draft("three", must_refuse=True))
    answered = GeneratedAnswer("Yes.", (), AnswerOutcome.ANSWERED, input_tokens=900, output_tokens=80)
    world.fleet.answers = {"KB00000001": answered}
    world.retriever.found = {"one": ["a.md"], "two": Throttled("no")}
    world.request(answers=True)
    for _ in range(3):
        message = world.runs.take()
        assert message is not None
        world.runner.run(*message, world.clock.now() + world.parts)
    world.retriever.found = {"one": ["a.md"], "two": ["a.md"]}
    world.work()
    # What Bedrock refuses is not paid for, and nothing that was judged is asked again.
    assert len(world.ended()) == 1
    spent = [answer.input_tokens if answer is not None else None for _, answer in world.fleet.spent]
    assert sorted(spent, key=str) == [900, 900, 900, None, None]
    assert {life for life, _ in world.fleet.spent} == {Life(ACME)}


def test_a_long_run_is_made_in_parts(world: World) -> None:
    world.parts = timedelta(seconds=1)
    world.add(ACME, *(expecting(f"{number}?") for number in range(30)))
    world.request()
    world.work()
    assert len(world.retriever.asked) == 30
    assert [len(run.verdicts) for run in world.ended()] == [30]


def test_syncs_that_follow_each_other_are_asked_of_together(world: World) -> None:
    world.add(ACME, expecting("one"))
    began = []
    for minute in range(20):
        world.clock.set(START + timedelta(minutes=minute))
        world.change()
        while world.runs.waiting and min(world.runs.waiting, key=lambda each: each[0])[0] <= world.clock.now():
            message = world.runs.take()
            assert message is not None
            world.runner.run(*message, world.clock.now() + A_PART)
    world.work()
    began = sorted(run.began_at for run in world.ended())
    assert all(later - earlier >= QUESTIONS_AFTER for earlier, later in pairwise(began))
    assert len(began) == 4
    assert began[-1] >= START + timedelta(minutes=19)


def test_a_question_that_fails_after_a_sync_is_asked_once_more_and_then_told(world: World) -> None:
    (question,) = world.add(ACME, expecting("one"))
    world.retriever.found = {"one": ["a.md"]}
    for _ in range(2):
        world.clock.advance(600)
        world.change()
        world.work()
    world.retriever.found = {"one": ["b.md"]}
    world.clock.advance(600)
    changed_at = world.clock.now()
    world.change()
    world.work()
    assert [run.cause for run in world.ended()][:2] == [RunCause.CONFIRMATION, RunCause.CHANGE]
    assert world.ended()[0].began_at - world.ended()[1].began_at >= QUESTIONS_AFTER
    (regression,) = world.watches.find(Life(ACME)).regressions
    assert (regression.question_id, regression.after_sync) == (question, changed_at)
    (told,) = world.told
    assert (told.tenant_id, told.asked, told.regressions, told.worse) == (ACME, 1, (regression,), False)
    remove_question(ACME, question, registry=world.fleet.registry, questions=world.questions, runs=world.runs)
    world.work()
    assert world.regressed() == []
    assert [each.regressions for each in world.told] == [(regression,), ()]
    assert len({each.identity for each in world.told}) == 2


def regress(world: World, key: str = "a.md") -> QuestionId:
    (question,) = world.add(ACME, expecting("one", key))
    for found in (key, key, "b.md"):
        world.retriever.found = {"one": [found]}
        world.clock.advance(3_600)
        world.change()
        world.work()
    return question


def test_what_has_changed_is_told_what_is_expected_first(world: World) -> None:
    world.fleet.bucket_contents.changed_documents = ChangedDocuments(("z.md", "a.md"), 3)
    regress(world)
    (told,) = world.told
    assert told.changed == ChangedDocuments(("a.md", "z.md"), 3)
    (since,) = world.fleet.bucket_contents.changes_asked_since
    (regression,) = told.regressions
    assert regression.passed_at is not None
    assert since < regression.passed_at < regression.since


def test_what_is_expected_comes_first_in_either_form_of_unicode(world: World) -> None:
    typed, there = (unicodedata.normalize(form, "パンフレット.md") for form in ("NFC", "NFD"))
    world.fleet.bucket_contents.changed_documents = ChangedDocuments(("a.md", there), 3)
    regress(world, typed)
    (told,) = world.told
    assert told.changed == ChangedDocuments((there, "a.md"), 3)


def test_that_nobody_can_list_what_has_changed_keeps_nothing_from_being_told(world: World) -> None:
    world.fleet.bucket_contents.refusal = AccessRefused("no")
    regress(world)
    (told,) = world.told
    assert told.changed is None


def test_it_is_over_when_the_question_passes_again(world: World) -> None:
    regress(world)
    world.retriever.found = {"one": ["better.md", "a.md"]}
    world.clock.advance(600)
    world.change()
    world.work()
    assert [bool(each.regressions) for each in world.told] == [True, False]


def test_what_is_known_is_told_again_and_is_no_news(world: World) -> None:
    regress(world)
    world.clock.advance(600)
    world.change()
    world.work()
    assert [each.worse for each in world.told] == [False, False]


def test_a_hiccup_is_not_told(world: World) -> None:
    world.add(ACME, expecting("one"))
    for found in (["a.md"], ["a.md"], []):
        world.retriever.found = {"one": found}
        world.clock.advance(600)
        world.change()
        if not found:
            message = world.runs.take()
            assert message is not None
            world.runner.run(*message, world.clock.now() + A_PART)
            world.retriever.found = {"one": ["a.md"]}
        world.work()
    assert world.ended()[0].cause is RunCause.CONFIRMATION
    assert world.regressed() == []


@pytest.mark.parametrize("refusal", [Throttled("too fast"), NotReadyYet("down", for_everybody=True)])
def test_those_who_ask_in_earnest_come_first(world: World, refusal: Exception) -> None:
    world.add(ACME, expecting("one"), expecting("two"))
    world.retriever.found = {"one": ["a.md"], "two": refusal}
    world.request()
    for _ in range(6):
        message = world.runs.take()
        assert message is not None
        world.runner.run(*message, world.clock.now() + A_PART)
    times = [time for time, _, text in world.retriever.asked if text == "two"]
    assert all(later - earlier >= timedelta(seconds=30) for earlier, later in pairwise(times))
    assert world.ended() == []
    world.retriever.found["two"] = ["a.md"]
    world.work()
    assert [verdict.judgement for verdict in world.ended()[0].verdicts] == [Judgement.PASSED] * 2
    assert [text for _, _, text in world.retriever.asked].count("one") == 1


def test_what_cannot_be_asked_for_hours_is_not_judged(world: World) -> None:
    (question,) = world.add(ACME, expecting("one"))
    world.retriever.found = {"one": Throttled("too fast")}
    world.request()
    world.work(at_most=2_000)
    assert world.verdicts()[question].trouble == "Throttled"
    assert world.clock.now() - START <= LONGEST_RUN + timedelta(minutes=2)
    assert world.ended()[0].score.hit_rate_5 is None


SECRET = "What is the price of our secret product?"


@pytest.mark.parametrize("refusal", [AccessRefused(f"no: {SECRET}"), ServiceRoleRefused(f"no: {SECRET}")])
def test_what_bedrock_refuses_is_not_judged_and_its_words_are_not_kept(world: World, refusal: Exception) -> None:
    bad, good = world.add(ACME, expecting(SECRET), expecting("two"))
    world.retriever.found = {SECRET: refusal, "two": ["a.md"]}
    world.request()
    world.work()
    assert world.verdicts()[bad].trouble == type(refusal).__name__
    assert world.verdicts()[good].judgement is Judgement.PASSED
    assert SECRET not in repr(world.watches.find(Life(ACME))) + repr(world.ended())


def test_a_passage_that_is_not_the_tenants_own_is_told_as_asking_tells_it(world: World) -> None:
    (question,) = world.add(ACME, expecting("one"))
    world.retriever.found = {"one": ["a.md"]}
    world.retriever.foreign = NAMES.bucket(Life(SAKURA))
    world.request()
    world.work()
    assert world.breaches == [ACME]
    assert world.verdicts()[question].trouble == IsolationBreached.__name__


def test_the_last_wall_stands_behind_whoever_retrieves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (question,) = world.add(ACME, expecting("one"))

    def careless(*_: object) -> list[Source]:
        return [Source("a.md", f"s3://{NAMES.bucket(Life(SAKURA))}/a.md", "…")]

    monkeypatch.setattr(world.retriever, "retrieve", careless)
    world.request()
    world.work()
    assert world.breaches == [ACME]
    assert world.verdicts()[question].judgement is Judgement.NOT_JUDGED


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED])
def test_a_tenant_out_of_service_is_not_asked(world: World, status: TenantStatus) -> None:
    world.add(ACME, expecting("one"))
    world.request()
    world.fleet.registry = type(world.fleet.registry)(tenant(ACME, status=status))
    world.work()
    assert world.retriever.asked == []
    assert not world.watches.find(Life(ACME)).at_work


def test_what_comes_late_of_another_life_reaches_nothing(world: World) -> None:
    world.add(ACME, expecting("one"))
    world.request()
    world.fleet.registry = type(world.fleet.registry)(tenant(ACME, life=2))
    world.work()
    assert world.retriever.asked == []
    assert world.watches.find(Life(ACME, 2)).version == 0
    assert world.watches.find(Life(ACME)).version == 0


def test_a_tenant_without_questions_costs_nothing(world: World) -> None:
    world.fleet.registry.create(tenant(ACME))
    world.change()
    world.work()
    assert world.watches.find(Life(ACME)).version == 0
    with pytest.raises(InvalidInput):
        world.request()


@pytest.mark.parametrize(
    ("status", "error"), [(TenantStatus.SUSPENDED, TenantSuspended), (TenantStatus.OFFBOARDING, TenantOffboarding)]
)
def test_no_run_of_a_tenant_out_of_service_is_requested(
    world: World, status: TenantStatus, error: type[Exception]
) -> None:
    world.add(ACME, expecting("one"))
    world.fleet.registry = type(world.fleet.registry)(tenant(ACME, status=status))
    with pytest.raises(error):
        world.request()


def test_questions_of_a_tenant_that_leaves_are_not_changed(world: World) -> None:
    (question,) = world.add(ACME, expecting("one"))
    world.fleet.registry = type(world.fleet.registry)(tenant(ACME, status=TenantStatus.OFFBOARDING))
    with pytest.raises(TenantOffboarding):
        world.add(ACME, expecting("two"))
    with pytest.raises(TenantOffboarding):
        remove_question(ACME, question, registry=world.fleet.registry, questions=world.questions, runs=world.runs)


def test_a_question_that_is_not_there_is_not_removed(world: World) -> None:
    world.add(ACME, expecting("one"))
    with pytest.raises(QuestionNotFound):
        remove_question(
            ACME, QuestionId("q9999"), registry=world.fleet.registry, questions=world.questions, runs=world.runs
        )


def test_a_question_that_is_removed_while_it_waits_is_not_asked(world: World) -> None:
    world.parts = timedelta(milliseconds=10)
    _, second = world.add(ACME, expecting("one"), expecting("two"))
    world.runs.waiting.clear()
    world.request()
    message = world.runs.take()
    assert message is not None
    world.runner.run(*message, world.clock.now() + world.parts)
    remove_question(ACME, second, registry=world.fleet.registry, questions=world.questions, runs=world.runs)
    world.work()
    assert [text for _, _, text in world.retriever.asked] == ["one"]
    assert len(world.ended()) == 1


def test_two_at_once_do_not_ask_twice(world: World) -> None:
    """One begins while the other is at it, and comes again later."""
    world.add(ACME, expecting("one"))
    world.runs.waiting.clear()
    request = world.request()
    world.runs.waiting.clear()
    ran, inner = world.retriever.retrieve, list[object]()

    def meanwhile(*arguments: Any) -> Sequence[Source]:
        world.retriever.retrieve = ran  # type: ignore[method-assign]
        inner.append(world.runner.run(Life(ACME), request, world.clock.now() + A_PART))
        return ran(*arguments)

    world.retriever.retrieve = meanwhile  # type: ignore[method-assign, assignment]
    world.runner.run(Life(ACME), request, world.clock.now() + A_PART)
    world.work()
    assert len(inner) == len(world.retriever.asked) == len(world.ended()) == 1


# --- whoever dies ---


class Died(BaseException):
    """The function's process has ended."""


class Mortal:
    """A port that dies at one of its calls, before or after it was made."""

    def __init__(self, port: Any, calls: count[int], at: int, *, after: bool) -> None:
        self._port, self._calls, self._at, self._after = port, calls, at, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def called(*arguments: Any, **options: Any) -> Any:
            number = next(self._calls)
            if number == self._at and not self._after:
                raise Died
            answer = method(*arguments, **options)
            if number == self._at:
                raise Died
            return answer

        return called


def lived_through(at: int, *, after: bool) -> tuple[World, bool]:
    """Two changes, an index that loses a document, and all that comes of it; with one death on the way."""
    world, calls, died = World(parts=timedelta(milliseconds=600)), count(1), False
    world.add(ACME, *(expecting(f"{number}?") for number in range(4)))
    world.work()
    world.around = lambda _name, port: Mortal(port, calls, at, after=after)
    world.retriever.found = {f"{number}?": ["a.md"] for number in range(4)}
    for change in range(3):
        if change == 2:
            world.retriever.found["1?"] = ["b.md"]
        world.clock.advance(3_600)
        world.change()
        while (message := world.runs.take()) is not None:
            try:
                world.runner.run(*message, world.clock.now() + world.parts)
            except Died:
                died = True
                # The queue offers the message again.
                world.runs.request(*message, after=timedelta(minutes=6))
    return world, died


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_wherever_it_dies_each_run_counts_once_and_none_is_lost(after: bool) -> None:
    calls = 0
    for at in count(1):
        world, died = lived_through(at, after=after)
        if not died:
            break
        calls += 1
        causes = sorted(run.cause for run in world.ended())
        assert causes == sorted([RunCause.CHANGE] * 3 + [RunCause.CONFIRMATION]), (at, causes)
        assert all(len(run.verdicts) == 4 for run in world.ended())
        assert world.regressed() == [QuestionId("q0002")]
        # However often it is told, it is told as one.
        assert len({each.identity for each in world.told}) == 1
        standings = world.watches.find(Life(ACME)).standings
        assert {each.passes for each in standings.values() if not each.regressed} == {2}
    assert calls > 40
