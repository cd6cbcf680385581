"""What tenants' questions use, counted by day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Self

from kbfleet.domain.answer import AnswerOutcome, AskUsage
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import Life, TenantId

MAX_DAYS = 366
"""Of usage that are given at once: a leap year."""


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """One question, whose it was, and when it was answered."""

    tenant_id: TenantId
    answered_at: datetime
    usage: AskUsage
    life: int = 1

    @property
    def at(self) -> datetime:
        return self.answered_at

    @property
    def counts(self) -> UsageCounts:
        return UsageCounts.of_question(self.usage)


@dataclass(frozen=True, slots=True)
class GoldenQuestionAsked:
    """A golden question was searched for, or searched for and answered. What is repeated is paid for again, and counts
    again.

    Args:
        input_tokens, output_tokens: of the model; `None` where the service does not say, and where none was asked.
    """

    tenant_id: TenantId
    at: datetime
    answered: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    life: int = 1

    @property
    def counts(self) -> UsageCounts:
        return UsageCounts(
            golden_searches=1,
            golden_answers=int(self.answered),
            golden_input_tokens=self.input_tokens or 0,
            golden_output_tokens=self.output_tokens or 0,
            golden_answers_without_tokens=int(self.answered and None in {self.input_tokens, self.output_tokens}),
        )


@dataclass(frozen=True, slots=True)
class UsageCounts:
    """Sums over questions. The tokens are those that are known; `questions_without_tokens` says of how many questions
    they are not, wholly or in part. What golden questions use is kept apart from what the tenant's users use: searches,
    of which some were for an answer, and the tokens of these."""

    questions: int = 0
    passages: int = 0
    citations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    questions_without_tokens: int = 0
    nothing_found: int = 0
    refused_by_guardrail: int = 0
    golden_searches: int = 0
    golden_answers: int = 0
    golden_input_tokens: int = 0
    golden_output_tokens: int = 0
    golden_answers_without_tokens: int = 0

    @classmethod
    def of_question(cls, usage: AskUsage) -> Self:
        return cls(
            questions=1,
            passages=usage.passages,
            citations=usage.citations,
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            questions_without_tokens=int(usage.input_tokens is None or usage.output_tokens is None),
            nothing_found=int(usage.outcome is AnswerOutcome.NOTHING_FOUND),
            refused_by_guardrail=int(usage.outcome is AnswerOutcome.REFUSED_BY_GUARDRAIL),
        )

    def plus(self, other: UsageCounts) -> UsageCounts:
        names = (count.name for count in fields(self))
        return UsageCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """A tenant's usage of one day in UTC, in one of its lives."""

    tenant_id: TenantId
    day: date
    counts: UsageCounts = UsageCounts()
    life: int = 1

    @property
    def of_life(self) -> Life:
        return Life(self.tenant_id, self.life)

    def plus(self, counts: UsageCounts) -> DailyUsage:
        return replace(self, counts=self.counts.plus(counts))


def total(days: Iterable[DailyUsage]) -> UsageCounts:
    counts = UsageCounts()
    for day in days:
        counts = counts.plus(day.counts)
    return counts


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """Days from `first` to `last`, both included.

    Raises:
        InvalidInput: naming `to`, when it is before the first day or more than 366 days are asked for.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InvalidInput("to", f"{self.last} is before {self.first}.")
        days = (self.last - self.first).days + 1
        if days > MAX_DAYS:
            raise InvalidInput("to", f"{days} days are asked for; at most {MAX_DAYS} are possible at once.")

    @classmethod
    def asked_for(cls, first: date | None, last: date | None, today: date) -> Self:
        """Ends today, and begins with the month that it ends in, unless something else is wanted."""
        end = last or max(today, first or today)
        return cls(first or end.replace(day=1), end)
