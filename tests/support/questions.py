"""Golden questions, what is known of them, and how fast they are searched for, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kbfleet.domain.answer import AskableTenant, Inquiry, Source, require_own
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch, RunRequest
from kbfleet.domain.questions import QuestionSet
from tests.support.clock import FakeClock


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

    @property
    def all(self) -> list[QuestionWatch]:
        return list(self._watches.values())

    def known(self, lives: Sequence[Life]) -> Iterator[QuestionWatch]:
        return iter([self._watches[life] for life in lives if life in self._watches])

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


class RecordingQuestionRuns:
    """`kbfleet.ports.QuestionRuns`: a queue in virtual time. Args: settling: for which it waits what comes `later`."""

    def __init__(self, clock: FakeClock, settling: timedelta) -> None:
        self._clock = clock
        self._settling = settling
        self.waiting: list[tuple[datetime, Life, RunRequest | None]] = []

    def request(self, life: Life, request: RunRequest | None, *, after: timedelta) -> None:
        self.waiting.append((self._clock.now() + after, life, request))

    def later(self, life: Life, request: RunRequest) -> None:
        self.request(life, request, after=self._settling)

    def take(self) -> tuple[Life, RunRequest | None] | None:
        """The first, once its time has come; the clock goes there."""
        if not self.waiting:
            return None
        first = min(self.waiting, key=lambda each: each[0])
        self.waiting.remove(first)
        self._clock.advance(max(0.0, (first[0] - self._clock.now()).total_seconds()))
        return first[1:]


@dataclass
class ScriptedRetriever:
    """`kbfleet.ports.Retriever`: the keys that are found for a text, or the error. `asked` has when and what."""

    clock: FakeClock
    takes: timedelta = timedelta(milliseconds=50)
    found: dict[str, Sequence[str] | Exception] = field(default_factory=dict)
    foreign: str = ""
    asked: list[tuple[datetime, TenantId, str]] = field(default_factory=list)

    def retrieve(self, tenant: AskableTenant, inquiry: Inquiry, bucket_name: str) -> Sequence[Source]:
        self.asked.append((self.clock.now(), tenant.tenant_id, str(inquiry.question)))
        self.clock.advance(self.takes.total_seconds())
        found = self.found.get(str(inquiry.question), ())
        if isinstance(found, Exception):
            raise found
        sources = [Source(key, f"s3://{self.foreign or bucket_name}/{key}", "…") for key in found][: inquiry.passages]
        require_own(sources, bucket_name, tenant.tenant_id)
        return sources
