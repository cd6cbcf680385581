"""Golden questions, what is known of them, and how fast they are searched for, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.names import Life
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch
from kbfleet.domain.questions import QuestionSet


class InMemoryGoldenQuestions:
    """`kbfleet.ports.GoldenQuestions`."""

    def __init__(self) -> None:
        self._sets: dict[Life, QuestionSet] = {}

    def find(self, life: Life) -> QuestionSet:
        return self._sets.get(life, QuestionSet(life))

    def save(self, questions: QuestionSet) -> QuestionSet:
        if self.find(questions.of_life).version != questions.version:
            raise ConcurrentUpdate(f"The questions of tenant {questions.of_life} have changed since they were read.")
        stored = self._sets[questions.of_life] = replace(questions, version=questions.version + 1)
        return stored


class InMemoryQuestionWatches:
    """`kbfleet.ports.QuestionWatches`."""

    def __init__(self) -> None:
        self._watches: dict[Life, QuestionWatch] = {}
        self._runs: dict[tuple[Life, str], QuestionRun] = {}

    def find(self, life: Life) -> QuestionWatch:
        return self._watches.get(life, QuestionWatch(life))

    def watched(self, lives: Sequence[Life]) -> Iterator[Life]:
        return iter([life for life in lives if life in self._watches])

    def save(self, watch: QuestionWatch, ended: QuestionRun | None = None) -> QuestionWatch:
        if self.find(watch.of_life).version != watch.version:
            raise ConcurrentUpdate(f"What is known of {watch.of_life} has changed since it was read.")
        stored = self._watches[watch.of_life] = replace(watch, version=watch.version + 1)
        if ended is not None:
            self._runs[watch.of_life, ended.run_id] = ended
        return stored

    def runs(self, life: Life, limit: int) -> Sequence[QuestionRun]:
        own = [run for (of_life, _), run in self._runs.items() if of_life == life]
        return sorted(own, key=lambda run: run.run_id, reverse=True)[:limit]


class InMemorySearchPace:
    """`kbfleet.ports.SearchPace`."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval
        self._last: datetime | None = None

    def next(self, now: datetime) -> datetime:
        self._last = now if self._last is None else max(now, self._last + self._interval)
        return self._last
