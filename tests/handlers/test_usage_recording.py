"""From the ask function's log line to the tenant's day: what is counted, once, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kbfleet.contracts import parse_json
from kbfleet.contracts.usage import QuestionAnsweredLine
from kbfleet.domain.answer import AnswerOutcome, AskUsage
from kbfleet.domain.errors import ConcurrentUpdate, NotReadyYet
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.usage import UsageCounts, UsagePeriod
from kbfleet.logs import logger
from kbfleet.usage_log import log_golden_question, log_usage
from local.stack import filter_patterns
from tests.handlers.conftest import Event, Handler, Logs, event
from tests.support.fleet import Fleet
from tests.support.log_batches import opened, packed
from tests.support.samples import ACME
from tests.support.template import properties

Count = Callable[[Event], None]
SECOND, THIRD = date(2026, 11, 2), date(2026, 11, 3)


def counted(fleet: Fleet, tenant_id: TenantId = ACME) -> dict[date, UsageCounts]:
    found = fleet.usage_records.of_life(Life(tenant_id), UsagePeriod(date(2026, 1, 1), date(2026, 12, 31)))
    return {each.day: each.counts for each in found}


def metrics_in(text: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for line in text.splitlines():
        written |= json.loads(line)
    return written


@pytest.fixture
def count(fleet: Fleet, handler: Callable[[str], Handler]) -> Count:
    return handler("usage/record_usage")


class TestTheLine:
    USAGE = AskUsage(4, 2, 812, 96, AnswerOutcome.ANSWERED)

    def write(self, logs: Logs, usage: AskUsage = USAGE) -> str:
        log_usage(Life(ACME), usage, request_id="c6af9ac6")
        (line,) = logs.text.splitlines()
        return line

    @pytest.mark.parametrize("usage", [USAGE, AskUsage(0, 0, None, None, AnswerOutcome.NOTHING_FOUND)])
    def test_what_is_written_is_what_is_counted(self, logs: Logs, usage: AskUsage) -> None:
        read = parse_json(QuestionAnsweredLine, self.write(logs, usage)).to_domain()
        assert (read.tenant_id, read.usage) == (ACME, usage)
        assert abs((datetime.now(UTC) - read.answered_at).total_seconds()) < 60

    def test_it_is_one_that_the_subscription_filter_lets_through(self, logs: Logs) -> None:
        pattern = properties("RecordUsageFunction")["Events"]["QuestionAnswered"]["Properties"]["FilterPattern"]
        assert filter_patterns.matches(pattern, self.write(logs))

    def test_it_is_written_also_where_nobody_wants_to_read_logs(
        self, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logger._logger, "level", 40)  # what the parameter LogLevel sets
        assert self.write(logs)

    def test_it_names_the_request(self, logs: Logs) -> None:
        assert json.loads(self.write(logs))["request_id"] == "c6af9ac6"


class TestTheLineOfAGoldenQuestion:
    @pytest.mark.parametrize(
        ("answer", "counts"),
        [
            (None, UsageCounts(golden_searches=1)),
            (
                AskUsage(5, 1, 900, 80, AnswerOutcome.ANSWERED),
                UsageCounts(golden_searches=1, golden_answers=1, golden_input_tokens=900, golden_output_tokens=80),
            ),
            (
                AskUsage(5, 1, None, None, AnswerOutcome.ANSWERED),
                UsageCounts(golden_searches=1, golden_answers=1, golden_answers_without_tokens=1),
            ),
        ],
    )
    def test_it_is_let_through_and_counted_apart_from_what_users_ask(
        self, logs: Logs, count: Count, fleet: Fleet, answer: AskUsage | None, counts: UsageCounts
    ) -> None:
        log_golden_question(Life(ACME, 2), answer)
        (line,) = logs.text.splitlines()
        pattern = properties("RecordUsageFunction")["Events"]["GoldenQuestionAsked"]["Properties"]["FilterPattern"]
        assert filter_patterns.matches(pattern, line)
        batch = opened(event("triggers/record_usage"))
        batch["logEvents"] = [batch["logEvents"][0] | {"id": f"{number}", "message": line} for number in range(2)]
        for _ in range(2):
            count(packed(batch))
        period = UsagePeriod(datetime.now(UTC).date() - timedelta(days=1), datetime.now(UTC).date())
        (day,) = fleet.usage_records.of_life(Life(ACME, 2), period)
        assert day.counts == counts.plus(counts)


class TestRecordUsage:
    def test_every_question_of_the_sample_counts_for_the_day_of_its_own_time(self, count: Count, fleet: Fleet) -> None:
        count(event("triggers/record_usage"))
        assert counted(fleet) == {
            SECOND: UsageCounts(questions=1, passages=4, citations=2, questions_without_tokens=1),
            THIRD: UsageCounts(3, 8, 4, 812 + 640, 96 + 12, 0, nothing_found=1, refused_by_guardrail=1),
        }

    def test_metrics_tell_what_they_came_to(self, count: Count, capsys: pytest.CaptureFixture[str]) -> None:
        count(event("triggers/record_usage"))
        written = metrics_in(capsys.readouterr().out)
        names = ("QuestionsAnswered", "QuestionsWithoutAnswer", "AnswersGuarded")
        assert [written[name] for name in names] == [[4.0], [1.0], [1.0]]

    def test_a_delivery_that_comes_again_is_counted_once(self, count: Count, fleet: Fleet) -> None:
        for _ in range(3):
            count(event("triggers/record_usage"))
        assert counted(fleet)[THIRD].questions == 3

    def test_the_same_answers_to_other_questions_are_counted_too(self, count: Count, fleet: Fleet) -> None:
        batch = opened(event("triggers/record_usage"))
        count(packed(batch))
        for line in batch["logEvents"]:
            line["id"] = f"4{line['id']}"
        count(packed(batch))
        assert counted(fleet)[THIRD].questions == 6

    @pytest.mark.parametrize(
        "malformed",
        [
            "not JSON",
            "[]",
            "{}",
            '{"message": "Question answered"}',
            '{"message": "Question answered", "tenant_id": "ACME", "timestamp": "2026-11-03T00:00:00Z", "passages": 1,'
            ' "citations": 1, "outcome": "ANSWERED"}',
            '{"message": "Question answered", "tenant_id": "acme", "timestamp": "2026-11-03T00:00:00", "passages": 1,'
            ' "citations": 1, "outcome": "ANSWERED"}',
            '{"message": "Question answered", "tenant_id": "acme", "timestamp": "2026-11-03T00:00:00Z", "passages": 1,'
            ' "citations": 1, "outcome": "WHATEVER"}',
            '{"message": "Question answered", "tenant_id": "acme", "timestamp": "2026-11-03T00:00:00Z", "passages": -1,'
            ' "citations": 1, "outcome": "ANSWERED"}',
        ],
    )
    def test_a_line_that_cannot_be_read_is_kept_and_reported_and_the_others_are_counted(
        self, count: Count, fleet: Fleet, logs: Logs, capsys: pytest.CaptureFixture[str], malformed: str
    ) -> None:
        batch = opened(event("triggers/record_usage"))
        line = {"id": "malformed-1", "timestamp": 0, "message": malformed}
        batch["logEvents"].insert(1, line)
        count(packed(batch))
        assert [usage.questions for usage in counted(fleet).values()] == [1, 3]
        assert fleet.refused_usage.kept == [(json.dumps(line), "InvalidInput")]
        assert metrics_in(capsys.readouterr().out)["UsageLinesRefused"] == [1.0]
        assert [each["record_id"] for each in logs.lines if each["level"] == "WARNING"] == ["malformed-1"]

    def test_what_was_kept_can_be_counted_once_it_can_be_read(self, count: Count, fleet: Fleet) -> None:
        batch = opened(event("triggers/record_usage"))
        whole, batch["logEvents"][0]["message"] = batch["logEvents"][0]["message"], "{}"
        count(packed(batch))
        ((kept, _),) = fleet.refused_usage.kept
        corrected = json.loads(kept) | {"message": whole}
        for _ in range(2):
            count(packed({"messageType": "DATA_MESSAGE", "logEvents": [corrected]}))  # as the runbook says
        assert counted(fleet)[SECOND].questions == 1

    def test_a_delivery_whose_refused_line_cannot_be_kept_comes_again(self, count: Count, fleet: Fleet) -> None:
        batch = opened(event("triggers/record_usage"))
        batch["logEvents"].append({"id": "malformed-1", "timestamp": 0, "message": "{}"})
        fleet.refused_usage.down = True
        with pytest.raises(NotReadyYet):
            count(packed(batch))
        fleet.refused_usage.down = False
        count(packed(batch))
        assert counted(fleet)[THIRD].questions == 3
        assert len(fleet.refused_usage.kept) == 1

    def test_what_cannot_be_counted_fails_and_keeps_nothing_twice(
        self, count: Count, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConcurrentUpdate("Another delivery is in the way.")

        monkeypatch.setattr(fleet.usage_records, "add", refuse)
        batch = opened(event("triggers/record_usage"))
        batch["logEvents"].append({"id": "malformed-1", "timestamp": 0, "message": "{}"})
        with pytest.raises(ConcurrentUpdate):
            count(packed(batch))
        assert fleet.refused_usage.kept == []

    def test_a_message_by_which_aws_tries_the_connection_is_no_line(
        self, count: Count, fleet: Fleet, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        control = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"id": "", "timestamp": 0, "message": "CWL: test"}]}
        count(packed(opened(event("triggers/record_usage")) | control))
        assert (counted(fleet), fleet.refused_usage.kept, logs.lines, capsys.readouterr().out) == ({}, [], [], "")
