"""Golden questions, what is known of them, and how fast they are searched for: in memory and in DynamoDB."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.questions import (
    DynamoDBGoldenQuestions,
    DynamoDBQuestionWatches,
    DynamoDBSearchPace,
    question_key,
)
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords
from kbfleet.domain.bounds import ITEM_BYTES
from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Life
from kbfleet.domain.question_runs import (
    QuestionRun,
    QuestionWatch,
    RunCause,
    RunRequest,
    Score,
    Shortcoming,
    Standing,
    Verdict,
    not_judged,
)
from kbfleet.domain.questions import MAX_QUESTIONS, Draft, QuestionId, QuestionSet
from kbfleet.ports import GoldenQuestions, QuestionWatches, SearchPace
from tests.support.clock import START
from tests.support.questions import InMemoryGoldenQuestions, InMemoryQuestionWatches, InMemorySearchPace
from tests.support.samples import ACME, SAKURA

Q1 = QuestionId("q1111")
DRAFTS = [
    Draft("テントの保証は？\n何年？", ("規約/terms.md", "b.md"), ("二年", "2 years"), reference="二年間です。"),
    Draft("What does the moon cost?", must_refuse=True, question_id=Q1),
]
KEPT_FOR = timedelta(days=90)
INTERVAL = timedelta(milliseconds=250)


def questions(life: Life | None = None) -> QuestionSet:
    return QuestionSet(life or Life(ACME)).with_drafts(DRAFTS, KnowledgeBaseKind.VECTOR, lambda: QuestionId("q0abc"))


def run(name: str = "20261130T140500-1") -> QuestionRun:
    return QuestionRun(
        name,
        RunCause.CHANGE,
        START,
        START + timedelta(minutes=5),
        answers=True,
        verdicts=(
            Verdict(Q1, 3, searched=True, rank=2, answered=True),
            Verdict(QuestionId("q2222"), 1, True, None, "規約/x.md", shortcomings=(Shortcoming.NOT_FOUND,)),
            Verdict(QuestionId("q3333"), 1, trouble="Throttled"),
        ),
        ended_at=START + timedelta(minutes=6),
    )


WATCH = QuestionWatch(
    Life(ACME),
    {Q1: Standing(3, 0, True, START, START, True, START - timedelta(hours=1)), QuestionId("q2222"): Standing(1)},
    run=replace(run(), ended_at=None, left=(QuestionId("q4444"),)),
    waiting=RunRequest(RunCause.DEMAND, START, answers=True),
    began_at=START,
    answers_began_at=START,
    last=replace(run("20261130T130500-1"), verdicts=()),
    came_to=Score(2, 1, 1, 2 / 3, 1 / 3, 0.1, 1),
    questions=4,
)


class GoldenQuestionsSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def stored(self) -> GoldenQuestions: ...

    def test_they_come_back_as_they_went(self, stored: GoldenQuestions) -> None:
        assert stored.find(Life(ACME)) == QuestionSet(Life(ACME))
        saved = stored.save(questions())
        assert saved == replace(questions(), version=1)
        assert stored.find(Life(ACME)) == saved

    def test_each_life_of_each_tenant_has_its_own(self, stored: GoldenQuestions) -> None:
        stored.save(questions())
        stored.save(questions(Life(ACME, 2)).without(Q1))
        assert len(stored.find(Life(ACME)).questions) == 2
        assert len(stored.find(Life(ACME, 2)).questions) == 1
        assert stored.find(Life(SAKURA)).questions == ()

    def test_of_two_who_read_the_same_one_writes(self, stored: GoldenQuestions) -> None:
        first = stored.save(questions())
        stored.save(first.without(Q1))
        for late in (first, questions()):
            with pytest.raises(ConcurrentUpdate):
                stored.save(late)
        assert stored.find(Life(ACME)).find(Q1) is None


class TestInMemoryGoldenQuestions(GoldenQuestionsSuite):
    @pytest.fixture
    def stored(self) -> GoldenQuestions:
        return InMemoryGoldenQuestions()


class TestDynamoDBGoldenQuestions(GoldenQuestionsSuite):
    @pytest.fixture
    def stored(self, table: Table) -> GoldenQuestions:
        return DynamoDBGoldenQuestions(table)

    def test_nothing_of_them_is_in_the_tenants_own_partition(self, stored: GoldenQuestions, table: Table) -> None:
        """So that it takes another permission to read them."""
        stored.save(questions())
        items = table.client.scan(TableName=table.name)["Items"]
        assert [item["PK"]["S"] for item in items] == ["QUESTIONS#acme"]


class QuestionWatchesSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def watches(self) -> QuestionWatches: ...

    def test_it_comes_back_as_it_went(self, watches: QuestionWatches) -> None:
        assert watches.find(Life(ACME)) == QuestionWatch(Life(ACME))
        saved = watches.save(WATCH)
        assert saved == replace(WATCH, version=1)
        assert watches.find(Life(ACME)) == saved
        told = watches.save(replace(saved, run=None, waiting=None, last=None))
        assert watches.find(Life(ACME)) == told

    def test_what_nobody_could_judge_comes_back_as_it_went(self, watches: QuestionWatches) -> None:
        saved = watches.save(replace(WATCH, came_to=Score.of([not_judged(questions().questions[0], "AccessRefused")])))
        assert watches.find(Life(ACME)) == saved

    def test_a_run_that_is_counted_twice_counts_once(self, watches: QuestionWatches) -> None:
        watches.save(QuestionWatch(Life(ACME)), run())
        with pytest.raises(ConcurrentUpdate):
            watches.save(QuestionWatch(Life(ACME)), replace(run("20261130T140700-1"), answers=False))
        assert list(watches.runs(Life(ACME), 10)) == [run()]

    def test_the_newest_run_comes_first(self, watches: QuestionWatches) -> None:
        watch = QuestionWatch(Life(ACME))
        names = [f"20261130T14{minute:02}00-1" for minute in range(4)]
        for name in names:
            watch = watches.save(watch, run(name))
        assert [each.run_id for each in watches.runs(Life(ACME), 3)] == names[:0:-1]
        assert list(watches.runs(Life(ACME, 2), 3)) == []
        assert list(watches.runs(Life(SAKURA), 3)) == []

    def test_it_says_of_whom_something_is_known(self, watches: QuestionWatches) -> None:
        saved = watches.save(QuestionWatch(Life(ACME, 2)))
        lives = [Life(SAKURA), Life(ACME), Life(ACME, 2)]
        assert list(watches.known(lives)) == [saved]
        assert list(watches.known([])) == []


class TestInMemoryQuestionWatches(QuestionWatchesSuite):
    @pytest.fixture
    def watches(self) -> QuestionWatches:
        return InMemoryQuestionWatches()


class TestDynamoDBQuestionWatches(QuestionWatchesSuite):
    @pytest.fixture
    def watches(self, table: Table) -> QuestionWatches:
        return DynamoDBQuestionWatches(table, KEPT_FOR)

    def test_a_run_expires_and_what_is_known_does_not(self, watches: QuestionWatches, table: Table) -> None:
        watches.save(QuestionWatch(Life(ACME)), run())
        stored = table.item(question_key(Life(ACME), f"RUN#{run().run_id}"))
        assert stored is not None
        assert stored["expires_at"] == int((START + timedelta(minutes=6) + KEPT_FOR).timestamp())
        assert "expires_at" not in (table.item(question_key(Life(ACME), "WATCH")) or {})

    def test_the_largest_fits_into_an_item(self, watches: QuestionWatches, table: Table) -> None:
        ids = [QuestionId("q" + f"{number:020}") for number in range(MAX_QUESTIONS)]
        failing = tuple(
            Verdict(each, 10**6, True, None, "x" * MAX_KEY_BYTES, True, tuple(Shortcoming), "ServiceRoleUnusable")
            for each in ids
        )
        standing = Standing(10**6, 2, True, START, START, True, START)
        whole = replace(run(), verdicts=failing, left=tuple(ids))
        watch = replace(WATCH, standings=dict.fromkeys(ids, standing), run=whole)
        watches.save(watch, whole)
        bytes_of_it = sum(map(len, _texts(table.item(question_key(Life(ACME), "WATCH")))))
        assert MAX_QUESTIONS * MAX_KEY_BYTES < bytes_of_it < ITEM_BYTES

    def test_an_erased_tenant_has_none_and_whoever_is_late_writes_none(
        self, watches: QuestionWatches, table: Table
    ) -> None:
        texts = DynamoDBGoldenQuestions(table)
        for life in (Life(ACME), Life(ACME, 2), Life(ACME, 3), Life(SAKURA)):
            texts.save(questions(life))
            watches.save(QuestionWatch(life), run())
        late = watches.find(Life(ACME, 2))
        records = DynamoDBTenantRecords(table)
        assert not records.erased(Life(ACME, 2), keep_usage=True)
        records.erase(Life(ACME, 2), keep_usage=True)
        assert records.erased(Life(ACME, 2), keep_usage=True)
        with pytest.raises(ConcurrentUpdate):
            watches.save(late, run("20261130T150000-2"))
        assert records.erased(Life(ACME, 2), keep_usage=True)
        left = {(item["PK"]["S"], item["SK"]["S"]) for item in table.client.scan(TableName=table.name)["Items"]}
        assert left == {
            ("QUESTIONS#acme", "LIFE#3#TEXTS"),
            ("QUESTIONS#acme", "LIFE#3#WATCH"),
            ("QUESTIONS#acme", f"LIFE#3#RUN#{run().run_id}"),
            ("QUESTIONS#sakura", "TEXTS"),
            ("QUESTIONS#sakura", "WATCH"),
            ("QUESTIONS#sakura", f"RUN#{run().run_id}"),
        }


def _texts(value: object) -> list[str]:
    """All that an item's size is counted by: names and values."""
    if isinstance(value, dict):
        return [text for name, each in value.items() for text in (name, *_texts(each))]
    if isinstance(value, list):
        return [text for each in value for text in ("   ", *_texts(each))]
    return [str(value)]


class SearchPaceSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def pace(self) -> SearchPace: ...

    def test_no_two_searches_come_closer_than_they_may(self, pace: SearchPace) -> None:
        places = [pace.next(START) for _ in range(5)]
        assert places == [START + number * INTERVAL for number in range(5)]

    def test_what_nobody_has_used_is_not_saved_up(self, pace: SearchPace) -> None:
        pace.next(START)
        later = START + timedelta(minutes=1)
        assert [pace.next(later) for _ in range(2)] == [later, later + INTERVAL]


class TestInMemorySearchPace(SearchPaceSuite):
    @pytest.fixture
    def pace(self) -> SearchPace:
        return InMemorySearchPace(INTERVAL)


class TestDynamoDBSearchPace(SearchPaceSuite):
    @pytest.fixture
    def pace(self, table: Table) -> SearchPace:
        return DynamoDBSearchPace(table, INTERVAL)

    def test_nobody_gets_the_place_of_somebody_else(self, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = DynamoDBSearchPace(table, INTERVAL), DynamoDBSearchPace(table, INTERVAL)
        put, taken = Table.put, list[object]()

        def put_after_another(own: Table, *arguments: object, **options: object) -> None:
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(Table, "put", put)
                taken.append(second.next(START))
            monkeypatch.setattr(Table, "put", put)
            put(own, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Table, "put", put_after_another)
        taken.append(first.next(START))
        assert taken == [START, START + INTERVAL]

    def test_a_time_between_milliseconds_is_rounded_to_the_later_one(self, table: Table) -> None:
        now = START + timedelta(microseconds=1)
        assert DynamoDBSearchPace(table, INTERVAL).next(now) == START + timedelta(milliseconds=1)
