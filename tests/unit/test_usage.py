"""Usage: what is added up to which day, and which days can be asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from kbfleet.domain.answer import AnswerOutcome, AskUsage
from kbfleet.domain.errors import ConcurrentUpdate, InvalidInput
from kbfleet.domain.names import Life
from kbfleet.domain.usage import AnsweredQuestion, DailyUsage, UsageCounts, UsagePeriod, total
from kbfleet.usecases.usage import count_usage
from tests.support.clock import FakeClock
from tests.support.fakes import InMemoryUsageRecords
from tests.support.samples import ACME, SAKURA

TODAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KNOWN = AskUsage(passages=4, citations=2, input_tokens=812, output_tokens=96, outcome=AnswerOutcome.ANSWERED)
UNKNOWN = AskUsage(1, 0, None, None, AnswerOutcome.REFUSED_BY_GUARDRAIL)
NOTHING = AskUsage(5, 0, 700, 10, AnswerOutcome.NOTHING_FOUND)
ALWAYS = UsagePeriod(date(2026, 1, 1), date(2026, 12, 31))


class TestCounting:
    @pytest.fixture
    def records(self) -> InMemoryUsageRecords:
        return InMemoryUsageRecords()

    def count(self, records: InMemoryUsageRecords, *questions: AnsweredQuestion, delivery: str = "one") -> None:
        count_usage(questions, delivery=delivery, records=records, clock=FakeClock())

    def test_questions_of_a_day_are_added_up_and_unknown_tokens_are_reported(
        self, records: InMemoryUsageRecords
    ) -> None:
        self.count(records, AnsweredQuestion(ACME, NOON, KNOWN), AnsweredQuestion(ACME, NOON, UNKNOWN))
        (day,) = records.of_life(Life(ACME), ALWAYS)
        assert day == DailyUsage(
            ACME,
            TODAY,
            UsageCounts(
                questions=2,
                passages=5,
                citations=2,
                input_tokens=812,
                output_tokens=96,
                questions_without_tokens=1,
                refused_by_guardrail=1,
            ),
        )

    def test_questions_are_counted_by_what_they_came_to(self, records: InMemoryUsageRecords) -> None:
        questions = [AnsweredQuestion(ACME, NOON, usage) for usage in (KNOWN, NOTHING, NOTHING, UNKNOWN)]
        self.count(records, *questions)
        (day,) = records.of_life(Life(ACME), ALWAYS)
        assert (day.counts.questions, day.counts.nothing_found, day.counts.refused_by_guardrail) == (4, 2, 1)

    def test_half_known_tokens_are_counted_and_reported(self) -> None:
        counts = UsageCounts.of_question(AskUsage(0, 0, 7, None, AnswerOutcome.ANSWERED))
        assert (counts.input_tokens, counts.output_tokens, counts.questions_without_tokens) == (7, 0, 1)

    def test_a_question_counts_for_the_day_in_utc_on_which_it_was_answered(self, records: InMemoryUsageRecords) -> None:
        tokyo = timezone(timedelta(hours=9))
        self.count(
            records,
            AnsweredQuestion(ACME, datetime(2026, 11, 23, 8, 59, tzinfo=tokyo), KNOWN),
            AnsweredQuestion(ACME, datetime(2026, 11, 23, 9, 0, tzinfo=tokyo), KNOWN),
        )
        assert [day.day for day in records.of_life(Life(ACME), ALWAYS)] == [TODAY, TODAY + timedelta(days=1)]

    def test_tenants_are_kept_apart(self, records: InMemoryUsageRecords) -> None:
        self.count(records, AnsweredQuestion(ACME, NOON, KNOWN), AnsweredQuestion(SAKURA, NOON, UNKNOWN))
        assert [day.counts.passages for day in records.of_life(Life(SAKURA), ALWAYS)] == [1]

    def test_another_delivery_in_the_way_is_tried_again(self, records: InMemoryUsageRecords) -> None:
        crowded = Crowded(times=3)
        self.count(crowded, AnsweredQuestion(ACME, NOON, KNOWN))
        assert total(crowded.of_life(Life(ACME), ALWAYS)).questions == 1

    def test_losing_every_time_is_reported(self) -> None:
        with pytest.raises(ConcurrentUpdate, match="one"):
            self.count(Crowded(times=10_000), AnsweredQuestion(ACME, NOON, KNOWN))


class Crowded(InMemoryUsageRecords):
    """Another delivery is in the way that many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def add(self, *arguments: object, **keywords: object) -> None:
        if self._left:
            self._left -= 1
            raise ConcurrentUpdate("Another delivery is in the way.")
        super().add(*arguments, **keywords)  # type: ignore[arg-type]  # handed on as they are


class TestPeriods:
    @pytest.mark.parametrize(
        ("first", "last", "expected"),
        [
            (None, None, (date(2026, 11, 1), TODAY)),
            (date(2026, 3, 9), None, (date(2026, 3, 9), TODAY)),
            (None, date(2026, 2, 28), (date(2026, 2, 1), date(2026, 2, 28))),
            (date(2026, 2, 1), date(2026, 2, 1), (date(2026, 2, 1), date(2026, 2, 1))),
            (date(2026, 12, 24), None, (date(2026, 12, 24), date(2026, 12, 24))),
            (date(2024, 1, 1), date(2024, 12, 31), (date(2024, 1, 1), date(2024, 12, 31))),
        ],
    )
    def test_what_is_left_out_is_the_month_up_to_today(
        self, first: date | None, last: date | None, expected: tuple[date, date]
    ) -> None:
        assert UsagePeriod.asked_for(first, last, TODAY) == UsagePeriod(*expected)

    @pytest.mark.parametrize(
        ("first", "last"), [(date(2026, 2, 2), date(2026, 2, 1)), (date(2026, 1, 1), date(2027, 1, 2))]
    )
    def test_a_period_that_ends_before_it_begins_or_is_longer_than_a_year_is_refused(
        self, first: date, last: date
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            UsagePeriod.asked_for(first, last, TODAY)
        assert refused.value.field == "to"
