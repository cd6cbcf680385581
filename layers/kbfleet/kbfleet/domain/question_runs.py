"""Runs of golden questions: what each came to, judged without a model, and when that is a regression. Pure.

A run asks each question once. It is made a part at a time, and each part is stored under the record's version: so what
is repeated counts once, and what died goes on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.answer import AnswerOutcome, GeneratedAnswer, Source
from kbfleet.domain.bounds import shortened
from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.questions import GoldenQuestion, QuestionId, QuestionSet

FIRST = 5
"""Passages among which an expected document is to be: as many as an answer rests on by default."""
TWICE = 2
"""So often a question passes until it is known to, and fails until people hear of it: once may be chance, or an index
that does not show everything yet."""


class RunCause(StrEnum):
    """Why a run was made."""

    CHANGE = "CHANGE"
    """Documents were ingested."""
    CONFIRMATION = "CONFIRMATION"
    """A question has failed that is known to pass: it is asked once more, a while later."""
    ROUND = "ROUND"
    DEMAND = "DEMAND"


class Shortcoming(StrEnum):
    """What an answer, or what it rests on, has less than was expected."""

    NOT_FOUND = "NOT_FOUND"
    """No expected document is among the first five passages."""
    WORDS_MISSING = "WORDS_MISSING"
    NOT_CITED = "NOT_CITED"
    """No statement of the answer rests on an expected document."""
    NOT_ANSWERED = "NOT_ANSWERED"
    """Nothing was found, or a guardrail has stepped in."""
    NOT_REFUSED = "NOT_REFUSED"
    """It was answered, and the documents are known not to answer it."""


class Judgement(StrEnum):
    PASSED = "PASSED"
    FAILED = "FAILED"
    NOT_JUDGED = "NOT_JUDGED"
    """By what was done in this run, nothing can be said of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one question came to in one run.

    Args:
        revision: of the question that was asked.
        searched: whether an expected document was looked for.
        rank: of the first passage from an expected document, from 1; `None` if there is none among the first five.
        instead: key of the document that came first, where none was that is expected; empty if none came at all.
        answered: whether the answer was judged, too.
        trouble: the class of the error that kept it from being judged; empty if there was none.
    """

    question_id: QuestionId
    revision: int
    searched: bool = False
    rank: int | None = None
    instead: str = ""
    answered: bool = False
    shortcomings: tuple[Shortcoming, ...] = ()
    trouble: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "instead", shortened(self.instead, MAX_KEY_BYTES))

    @property
    def judgement(self) -> Judgement:
        if self.trouble or not (self.searched or self.answered):
            return Judgement.NOT_JUDGED
        return Judgement.FAILED if self.shortcomings else Judgement.PASSED

    @property
    def found(self) -> bool | None:
        """Whether an expected document is among the first five passages; `None` where that was not looked for."""
        return self.rank is not None if self.searched and not self.trouble else None


def searched(question: GoldenQuestion, sources: Sequence[Source]) -> Verdict:
    """By what a search has found, in its order. A question without expected documents is not judged by it."""
    verdict = Verdict(question.question_id, question.revision)
    if not question.expected:
        return verdict
    documents = [source.document for source in sources[:FIRST]]
    rank = next((place for place, key in enumerate(documents, start=1) if question.expects(key)), None)
    instead = next(iter(documents), "")
    return replace(
        verdict,
        searched=True,
        rank=rank,
        instead=instead if not question.expects(instead) else "",
        shortcomings=(Shortcoming.NOT_FOUND,) if rank is None else (),
    )


def with_answer(verdict: Verdict, question: GoldenQuestion, answer: GeneratedAnswer) -> Verdict:
    """By the answer, too."""
    answered = answer.outcome is AnswerOutcome.ANSWERED
    return replace(
        verdict, answered=True, shortcomings=(*verdict.shortcomings, *_shortcomings(question, answer, answered))
    )


def _shortcomings(question: GoldenQuestion, answer: GeneratedAnswer, answered: bool) -> Iterable[Shortcoming]:
    if question.must_refuse:
        if answered:
            yield Shortcoming.NOT_REFUSED
        return
    if not answered:
        yield Shortcoming.NOT_ANSWERED
        return
    said = _plain(answer.text)
    if not all(_plain(text) in said for text in question.contains):
        yield Shortcoming.WORDS_MISSING
    if question.expected and not any(question.expects(source.document) for source in answer.sources):
        yield Shortcoming.NOT_CITED


def _plain(text: str) -> str:
    """So that it does not matter how a word is written, or where a line is broken."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def not_judged(question: GoldenQuestion, trouble: str) -> Verdict:
    return Verdict(question.question_id, question.revision, trouble=trouble)


@dataclass(frozen=True, slots=True)
class Score:
    """What a run comes to in numbers. The rates are of the questions for which a document was looked for; without any,
    they are `None`: that is not 0, and not 1.

    Args:
        hit_rate_5: share that finds an expected document among the first five passages.
        hit_rate_1: share of which the first passage is from an expected document.
        mrr: mean reciprocal rank, in which one that is not found counts as 0.
        not_asked: of those not judged, the ones that could not be asked. The others are judged by an answer only.
    """

    passed: int
    failed: int
    not_judged: int
    hit_rate_5: float | None = None
    hit_rate_1: float | None = None
    mrr: float | None = None
    not_asked: int = 0

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Score:
        all_of_them = list(verdicts)
        judged = [verdict.judgement for verdict in all_of_them]
        ranks = [verdict.rank for verdict in all_of_them if verdict.found is not None]
        return cls(
            judged.count(Judgement.PASSED),
            judged.count(Judgement.FAILED),
            judged.count(Judgement.NOT_JUDGED),
            _mean([float(rank is not None) for rank in ranks]),
            _mean([float(rank == 1) for rank in ranks]),
            _mean([1 / rank if rank is not None else 0.0 for rank in ranks]),
            sum(bool(verdict.trouble) for verdict in all_of_them),
        )

    @property
    def share(self) -> float | None:
        """Of those that were judged, how many pass; `None` if none was."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Somebody wants all questions asked that were there at that time, of what was ingested by then.

    Args:
        at: of a change, when its ingestion ended. A run that begins then or later is what was wanted.
        answers: whether answers are to be judged, too.
    """

    cause: RunCause
    at: datetime
    answers: bool = False


@dataclass(frozen=True, slots=True)
class QuestionRun:
    """
    Args:
        run_id: unique in a life; in the order of their beginnings.
        requested_at: the time of the request that it serves.
        left: questions that have yet to be asked.
    """

    run_id: str
    cause: RunCause
    requested_at: datetime
    began_at: datetime
    answers: bool = False
    left: tuple[QuestionId, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    ended_at: datetime | None = None

    def judged(self, question_id: QuestionId, verdict: Verdict | None) -> QuestionRun:
        """Args: verdict: `None` for a question that is no more."""
        left = tuple(each for each in self.left if each != question_id)
        return replace(self, left=left, verdicts=(*self.verdicts, verdict) if verdict is not None else self.verdicts)

    @property
    def score(self) -> Score:
        return Score.of(self.verdicts)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the runs until now say of one revision of a question.

    Args:
        passes: in a row, as far as they count.
        known_to_pass: whether it has passed twice in a row at any time.
        failing_since: when the run began in which it failed first of those in a row; `None` while it passes.
        after_sync: when the ingestion ended after which that run was made, if it was.
        regressed: whether it was known to pass, and has failed twice in a row.
    """

    revision: int
    passes: int = 0
    known_to_pass: bool = False
    failing_since: datetime | None = None
    after_sync: datetime | None = None
    regressed: bool = False
    passed_at: datetime | None = None

    def after(self, found: bool, run: QuestionRun) -> Standing:
        """
        Args:
            found: whether an expected document was among the first five passages: whichever came before it is no
                reason to complain.
        """
        if found:
            passes = min(TWICE, self.passes + 1)
            known = self.known_to_pass or passes == TWICE
            return Standing(self.revision, passes, known, passed_at=run.began_at)
        if self.failing_since is not None:
            return replace(self, regressed=self.regressed or self.known_to_pass)
        sync = run.requested_at if run.cause is RunCause.CHANGE else None
        return replace(self, passes=0, failing_since=run.began_at, after_sync=sync)


@dataclass(frozen=True, slots=True)
class Regression:
    """A question that was known to pass, and does not any more.

    Args:
        since: when it was seen first.
        after_sync: when the ingestion ended after which that was; `None` where none had just ended.
        passed_at: when it had passed last, if that is known.
    """

    question_id: QuestionId
    since: datetime
    after_sync: datetime | None = None
    passed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class News:
    """Something that people have yet to be told. `more` says whether there are regressions that they know nothing of,
    beside others that they know."""

    at: datetime
    more: bool = False


@dataclass(frozen=True, slots=True)
class QuestionWatch:
    """What is known of a tenant's golden questions, in one of its lives, and how the run stands that is being made. It
    has no text. `version` is for optimistic locking; 0 means never stored.

    Args:
        run: that is being made; `None` if none is.
        waiting: for a run behind that one.
        began_at: when the last run began; `answers_began_at`, the last one that judged answers.
        last: the last run that has ended, without its verdicts; `came_to`, what it came to in numbers.
        questions: how many there are, as they were last looked at.
        untold: what people have yet to be told.
        busy_until: whoever makes a part of the run has ended by then.
    """

    of_life: Life
    standings: Mapping[QuestionId, Standing] = field(default_factory=dict)
    run: QuestionRun | None = None
    waiting: RunRequest | None = None
    began_at: datetime | None = None
    answers_began_at: datetime | None = None
    last: QuestionRun | None = None
    untold: News | None = None
    busy_until: datetime | None = None
    version: int = 0
    came_to: Score | None = None
    questions: int = 0

    @property
    def tenant_id(self) -> TenantId:
        return self.of_life.tenant_id

    @property
    def regressions(self) -> tuple[Regression, ...]:
        return tuple(
            Regression(question_id, each.failing_since, each.after_sync, each.passed_at)
            for question_id, each in sorted(self.standings.items())
            if each.regressed and each.failing_since is not None
        )

    @property
    def regressed_since(self) -> datetime | None:
        """Since when the first of them is seen; `None` where there is none."""
        return min((each.since for each in self.regressions), default=None)

    @property
    def at_work(self) -> bool:
        return self.run is not None or self.waiting is not None or self.untold is not None

    def serves(self, request: RunRequest) -> bool:
        """Whether a run began that is what was wanted: then it is not wanted any more."""
        began_at = self.answers_began_at if request.answers else self.began_at
        return began_at is not None and began_at >= request.at

    def requested(self, request: RunRequest) -> QuestionWatch:
        """The run waits for its beginning. However often it is requested, it is made once."""
        if self.serves(request):
            return self
        if self.waiting is None:
            return replace(self, waiting=request)
        answers = request.answers or self.waiting.answers
        # Of two, the later one: whoever wanted the other gets what has changed since, too.
        newest = max(self.waiting, request, key=lambda each: each.at)
        # A change that waits is told by the first sync after which a question fails.
        cause = RunCause.CHANGE if RunCause.CHANGE in {self.waiting.cause, request.cause} else newest.cause
        return replace(self, waiting=RunRequest(cause, newest.at, answers))

    def begun(self, questions: QuestionSet, now: datetime) -> QuestionWatch:
        """With the run that waits begun, if none is being made."""
        if self.run is not None or self.waiting is None:
            return self
        request = self.waiting
        # Times of a change are another clock's: a run that begins now serves what was before.
        run = QuestionRun(
            f"{now:%Y%m%dT%H%M%S}-{self.version + 1}",
            request.cause,
            request.at,
            now,
            request.answers,
            tuple(question.question_id for question in questions.questions),
        )
        began_at = max(now, request.at)
        answers_began_at = began_at if request.answers else self.answers_began_at
        return replace(self, run=run, waiting=None, began_at=began_at, answers_began_at=answers_began_at)

    def judged(self, question_id: QuestionId, verdict: Verdict | None) -> QuestionWatch:
        return replace(self, run=self.run.judged(question_id, verdict)) if self.run is not None else self

    def ended(self, questions: QuestionSet, now: datetime) -> tuple[QuestionWatch, QuestionRun | None]:
        """The run has asked everything: it counts, for the questions that are as they were when it asked them.

        Returns: what is known now, and the run for the history.
        """
        if self.run is None:
            return self, None
        run = replace(self.run, ended_at=now, left=())
        standings = dict(self.keeping(questions, now).standings)
        for verdict in run.verdicts:
            question = questions.find(verdict.question_id)
            if question is None or question.revision != verdict.revision or verdict.found is None:
                continue
            before = standings.get(question.question_id, Standing(question.revision))
            standings[question.question_id] = before.after(verdict.found, run)
        # The history has the verdicts: there is room for those of one run.
        ended = replace(self, run=None, last=replace(run, verdicts=()), came_to=run.score)
        return ended._standing(standings, now), run

    def keeping(self, questions: QuestionSet, now: datetime) -> QuestionWatch:
        """Without the questions that are no more, or are others now."""
        revisions = {question.question_id: question.revision for question in questions.questions}
        kept = {each: one for each, one in self.standings.items() if revisions.get(each) == one.revision}
        counted = replace(self, questions=len(revisions))
        return counted._standing(kept, now) if len(kept) < len(self.standings) else counted

    def _standing(self, standings: Mapping[QuestionId, Standing], now: datetime) -> QuestionWatch:
        before = {regression.question_id for regression in self.regressions}
        changed = replace(self, standings=standings)
        after = {regression.question_id for regression in changed.regressions}
        if not before and not after:
            return changed
        more = bool(before and after - before) or (self.untold is not None and self.untold.more)
        return replace(changed, untold=News(now, more))

    def given_up(self) -> QuestionWatch:
        """Nothing can be asked: no run is made, and none waits."""
        return replace(self, run=None, waiting=None)

    def told(self) -> QuestionWatch:
        return replace(self, untold=None)

    def judged_for_people(self, asked: int, changed: ChangedDocuments | None) -> QuestionsJudged | None:
        """`None` where they have been told. However often it is told, it is told as the same."""
        if self.untold is None:
            return None
        identity = f"{self.of_life}/questions/{self.version}"
        news = self.untold
        return QuestionsJudged(identity, self.of_life, news.at, asked, self.regressions, changed, news.more)

    @property
    def unconfirmed(self) -> bool:
        """Whether the last run leaves a question that was known to pass, and has failed once: it is asked again."""
        return self.last is not None and any(
            each.known_to_pass and not each.regressed and each.failing_since == self.last.began_at
            for each in self.standings.values()
        )


@dataclass(frozen=True, slots=True)
class ChangedDocuments:
    """Of a bucket, since a time. Args: keys: some of them; `left_out`: how many more, of all that were looked at."""

    keys: tuple[str, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class QuestionsJudged:
    """What people are told of a tenant's golden questions.

    Args:
        asked: how many there are.
        regressions: empty when none is left.
        changed: documents that have changed since the questions passed last; `None` where nobody could look.
        worse: whether there are regressions that people know nothing of, beside others that they know.
    """

    identity: str
    of_life: Life
    at: datetime
    asked: int
    regressions: tuple[Regression, ...]
    changed: ChangedDocuments | None = None
    worse: bool = False

    @property
    def tenant_id(self) -> TenantId:
        return self.of_life.tenant_id
