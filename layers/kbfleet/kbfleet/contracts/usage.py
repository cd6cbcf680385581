"""A tenant's usage: the log line that it is counted by, and the API's bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, RootModel

from kbfleet.contracts import Contract, LifeNumber
from kbfleet.domain.answer import AnswerOutcome, AskUsage
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.usage import AnsweredQuestion, DailyUsage, GoldenQuestionAsked, UsagePeriod, total


class QuestionAnsweredLine(BaseModel):
    """What the ask function logs of an answered question, as far as it is counted."""

    message: Literal["Question answered"]
    timestamp: AwareDatetime
    tenant_id: TenantId
    life: LifeNumber = 1
    passages: int = Field(ge=0)
    citations: int = Field(ge=0)
    # Powertools leaves out what is None.
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    outcome: AnswerOutcome

    def to_domain(self) -> AnsweredQuestion:
        usage = AskUsage(self.passages, self.citations, self.input_tokens, self.output_tokens, self.outcome)
        return AnsweredQuestion(self.tenant_id, self.timestamp, usage, self.life)


class GoldenQuestionAskedLine(BaseModel):
    """What is logged of a golden question that was searched for, or answered."""

    message: Literal["Golden question asked"]
    timestamp: AwareDatetime
    tenant_id: TenantId
    life: LifeNumber = 1
    answered: bool
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)

    def to_domain(self) -> GoldenQuestionAsked:
        return GoldenQuestionAsked(
            self.tenant_id, self.timestamp, self.answered, self.input_tokens, self.output_tokens, self.life
        )


class UsageLine(RootModel[Annotated[QuestionAnsweredLine | GoldenQuestionAskedLine, Field(discriminator="message")]]):
    """Any line that usage is counted by."""


def _day(value: object) -> object:
    # Pydantic also takes numbers of seconds, and Python other forms of ISO 8601.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written as 2026-11-30")
    return value


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Day = Annotated[date, BeforeValidator(_day)]


class UsageQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/usage`: days in UTC, both included; of the present life unless another is
    named."""

    first: Day | None = Field(default=None, alias="from")
    last: Day | None = Field(default=None, alias="to")
    life: LifeNumber | None = None

    def to_domain(self, today: date) -> UsagePeriod:
        """Raises: InvalidInput."""
        return UsagePeriod.asked_for(self.first, self.last, today)


class UsageCountsBody(Contract):
    """What the tenant's users used; and apart from it, by the names that begin with `golden`, what its golden questions
    used: searches, of which some were for an answer, and the tokens of these."""

    questions: int
    passages: int
    citations: int
    input_tokens: int
    output_tokens: int
    questions_without_tokens: int
    nothing_found: int
    refused_by_guardrail: int
    golden_searches: int
    golden_answers: int
    golden_input_tokens: int
    golden_output_tokens: int
    golden_answers_without_tokens: int


class DailyUsageBody(UsageCountsBody):
    day: date


class UsageBody(Contract):
    """A tenant's usage in one of its lives. Days without questions are left out."""

    tenant_id: TenantId
    life: int
    first_day: date
    last_day: date
    days: tuple[DailyUsageBody, ...]
    total: UsageCountsBody

    @classmethod
    def from_domain(cls, life: Life, period: UsagePeriod, days: Sequence[DailyUsage]) -> Self:
        return cls(
            tenant_id=life.tenant_id,
            life=life.number,
            first_day=period.first,
            last_day=period.last,
            days=tuple(DailyUsageBody(day=each.day, **asdict(each.counts)) for each in days),
            total=UsageCountsBody(**asdict(total(days))),
        )
