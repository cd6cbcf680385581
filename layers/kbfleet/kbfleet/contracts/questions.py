"""Bodies of the API about golden questions, and the messages by which they are asked. Questions have the names that
ragas gives them, as files have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import Field

from kbfleet.contracts import Contract, LifeNumber
from kbfleet.contracts.tenants import TenantPageQuery, token_behind
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import (
    Judgement,
    QuestionRun,
    QuestionWatch,
    RunCause,
    RunRequest,
    Score,
    Shortcoming,
    Verdict,
)
from kbfleet.domain.questions import MAX_QUESTIONS, Draft, GoldenQuestion, QuestionId, QuestionSet, fields_of


class QuestionDraftBody(Contract):
    """A question, and what is expected of its answer: at least a document in `reference_context_ids`, a text in
    `contains`, or, with `must_refuse`, that the documents do not answer it. `reference` is kept, and nothing is judged
    by it. With the `id` or the text of a question that is there, it takes its place."""

    user_input: str
    reference_context_ids: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    must_refuse: bool = Field(default=False, strict=True)
    reference: str = ""
    id: str | None = None

    def to_domain(self, place: int) -> Draft:
        """Raises: InvalidInput."""
        try:
            question_id = QuestionId(self.id) if self.id is not None else None
        except InvalidInput as error:
            raise InvalidInput(f"questions.{place}.id", error.why) from error
        return Draft(
            self.user_input,
            self.reference_context_ids,
            self.contains,
            self.must_refuse,
            self.reference,
            question_id,
        )


class QuestionsRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/questions`. All of them are taken, or none."""

    questions: tuple[QuestionDraftBody, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)

    def to_domain(self) -> list[Draft]:
        """Raises: InvalidInput."""
        return [each.to_domain(place) for place, each in enumerate(self.questions)]


class QuestionBody(Contract):
    id: QuestionId
    user_input: str
    reference_context_ids: tuple[str, ...]
    contains: tuple[str, ...]
    must_refuse: bool
    reference: str

    @classmethod
    def from_domain(cls, question: GoldenQuestion) -> Self:
        return cls.model_validate(fields_of(question))


class QuestionsBody(Contract):
    """All golden questions of a tenant, in the order in which they were added."""

    tenant_id: TenantId
    questions: tuple[QuestionBody, ...]

    @classmethod
    def from_domain(cls, questions: QuestionSet) -> Self:
        return cls(tenant_id=questions.tenant_id, questions=tuple(map(QuestionBody.from_domain, questions.questions)))


class QuestionRunRequest(Contract):
    """Body of `POST /tenants/{tenant_id}/questions/runs`. With `answers`, the questions are answered, too, by a
    model."""

    answers: bool = Field(default=False, strict=True)


class RequestedRunBody(Contract):
    """A run that begins soon: the first whose `requested_at` is not before this one."""

    tenant_id: TenantId
    requested_at: datetime
    answers: bool


class VerdictBody(Contract):
    """`rank` is that of the first passage from an expected document, `null` if there is none among the first five;
    `instead`, the key of the document that came first then. `trouble` is the class of the error that kept the question
    from being judged."""

    id: QuestionId
    judgement: Judgement
    rank: int | None
    instead: str
    shortcomings: tuple[Shortcoming, ...]
    trouble: str

    @classmethod
    def from_domain(cls, verdict: Verdict) -> Self:
        return cls(
            id=verdict.question_id,
            judgement=verdict.judgement,
            rank=verdict.rank,
            instead=verdict.instead,
            shortcomings=verdict.shortcomings,
            trouble=verdict.trouble,
        )


class ScoreBody(Contract):
    """The rates are of the questions for which a document is expected and was looked for; `null` without any. Of those
    that were not judged, `not_asked` could not be asked; the others are judged by their answers only."""

    passed: int
    failed: int
    not_judged: int
    hit_rate_5: float | None
    hit_rate_1: float | None
    mrr: float | None
    not_asked: int

    @classmethod
    def from_domain(cls, score: Score) -> Self:
        return cls(
            passed=score.passed,
            failed=score.failed,
            not_judged=score.not_judged,
            hit_rate_5=score.hit_rate_5,
            hit_rate_1=score.hit_rate_1,
            mrr=score.mrr,
            not_asked=score.not_asked,
        )


class QuestionRunBody(Contract):
    """`ended_at` is `null` while it is being made; `left` is how many questions have yet to be asked."""

    run: str
    cause: RunCause
    requested_at: datetime
    began_at: datetime
    ended_at: datetime | None
    answers: bool
    left: int
    score: ScoreBody
    verdicts: tuple[VerdictBody, ...]

    @classmethod
    def from_domain(cls, run: QuestionRun) -> Self:
        return cls(
            run=run.run_id,
            cause=run.cause,
            requested_at=run.requested_at,
            began_at=run.began_at,
            ended_at=run.ended_at,
            answers=run.answers,
            left=len(run.left),
            score=ScoreBody.from_domain(run.score),
            verdicts=tuple(map(VerdictBody.from_domain, run.verdicts)),
        )


class RegressionBody(Contract):
    """A question that was known to pass, and has failed twice in a row. `since` is the first of these runs;
    `after_sync`, the end of the sync that came before it; `passed_at`, when it had passed last."""

    id: QuestionId
    since: datetime
    after_sync: datetime | None
    passed_at: datetime | None


class QuestionStandBody(Contract):
    """How a tenant's golden questions stand: how many there are, as they were last looked at, which is soon after they
    have changed; what their last run came to, and when it ended, which is `null` where none has; and which of them were
    known to pass and do not any more, and since when."""

    tenant_id: TenantId
    questions: int
    judged_at: datetime | None
    answers: bool
    score: ScoreBody | None
    regressions: tuple[QuestionId, ...]
    regressed_since: datetime | None = None

    @classmethod
    def from_domain(cls, watch: QuestionWatch) -> Self:
        last = watch.last
        return cls(
            tenant_id=watch.tenant_id,
            questions=watch.questions,
            judged_at=last.ended_at if last is not None else None,
            answers=last is not None and last.answers,
            score=ScoreBody.from_domain(watch.came_to) if watch.came_to is not None else None,
            regressions=tuple(each.question_id for each in watch.regressions),
            regressed_since=watch.regressed_since,
        )


class QuestionStandsQuery(TenantPageQuery):
    """Query of `GET /questions`."""


class QuestionStandsBody(Contract):
    """A page of the tenants in service, in the order of their ids, also of those without questions; `next_token` is
    `null` on the last one. A page before it may be short, or empty."""

    tenants: tuple[QuestionStandBody, ...]
    next_token: str | None

    @classmethod
    def from_page(cls, watches: Sequence[QuestionWatch], last: TenantId | None) -> Self:
        return cls(
            tenants=tuple(map(QuestionStandBody.from_domain, watches)),
            next_token=token_behind(last),
        )


class QuestionRunsQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/questions/runs`."""

    limit: int = Field(default=5, ge=1, le=20)


class QuestionRunsBody(Contract):
    """The newest runs come first; `under_way` is the one that is being made. `stand` is how the questions stand."""

    tenant_id: TenantId
    stand: QuestionStandBody
    under_way: QuestionRunBody | None
    runs: tuple[QuestionRunBody, ...]
    regressions: tuple[RegressionBody, ...]

    @classmethod
    def from_domain(cls, watch: QuestionWatch, runs: Sequence[QuestionRun]) -> Self:
        return cls(
            tenant_id=watch.tenant_id,
            stand=QuestionStandBody.from_domain(watch),
            under_way=QuestionRunBody.from_domain(watch.run) if watch.run is not None else None,
            runs=tuple(map(QuestionRunBody.from_domain, runs)),
            regressions=tuple(
                RegressionBody(
                    id=each.question_id, since=each.since, after_sync=each.after_sync, passed_at=each.passed_at
                )
                for each in watch.regressions
            ),
        )


class QuestionRunMessage(Contract):
    """The message by which a tenant's golden questions are asked. Without a `cause`, what was begun goes on, and what
    has changed is taken in."""

    tenant_id: TenantId
    life: LifeNumber = 1
    cause: RunCause | None = None
    at: datetime | None = None
    answers: bool = False

    @classmethod
    def of(cls, life: Life, request: RunRequest | None) -> Self:
        return cls(
            tenant_id=life.tenant_id,
            life=life.number,
            cause=request.cause if request is not None else None,
            at=request.at if request is not None else None,
            answers=request is not None and request.answers,
        )

    @property
    def of_life(self) -> Life:
        return Life(self.tenant_id, self.life)

    def to_domain(self) -> RunRequest | None:
        if self.cause is None or self.at is None:
            return None
        return RunRequest(self.cause, self.at, self.answers)
