"""Trigger: what is logged of questions that users or golden questions have asked, by subscription filters. Adds them to
their tenants' days."""

import hashlib
import json
from collections import Counter
from typing import Any

from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from aws_lambda_powertools.utilities.data_classes.cloud_watch_logs_event import CloudWatchLogsLogEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.usage import UsageLine
from kbfleet.domain.answer import AnswerOutcome
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.usage import AnsweredQuestion, GoldenQuestionAsked
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish
from kbfleet.usecases.usage import count_usage


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    batch = CloudWatchLogsEvent(event).parse_logs_data()
    if batch.message_type != "DATA_MESSAGE":
        return  # CloudWatch Logs only tries whether we can be reached
    asked: list[AnsweredQuestion | GoldenQuestionAsked] = []
    refused: list[tuple[CloudWatchLogsLogEvent, InvalidInput]] = []
    for line in batch.log_events:
        try:
            asked.append(parse_json(UsageLine, line.message).root.to_domain())
        except InvalidInput as error:
            refused.append((line, error))
    delivery = _identity(batch.log_events)
    counted = count_usage(asked, delivery=delivery, records=bootstrap.usage_records(), clock=bootstrap.clock())
    # Behind the counting: when it fails the delivery comes again, and what is kept here would be kept again.
    for line, reason in refused:
        bootstrap.refused_usage().keep(json.dumps(line.raw_event, ensure_ascii=False), reason)
        logger.warning("A line of usage cannot be read and is kept", record_id=line.get_id, reason=str(reason))
    questions = [each for each in asked if isinstance(each, AnsweredQuestion)]
    outcomes = Counter(question.usage.outcome for question in questions)
    publish(
        {
            Metric.QUESTIONS_ANSWERED: len(questions),
            Metric.QUESTIONS_WITHOUT_ANSWER: outcomes[AnswerOutcome.NOTHING_FOUND],
            Metric.ANSWERS_GUARDED: outcomes[AnswerOutcome.REFUSED_BY_GUARDRAIL],
            Metric.USAGE_LINES_REFUSED: len(refused),
        }
    )
    logger.info(
        "Usage is counted",
        delivery=delivery,
        questions=len(questions),
        golden=len(asked) - len(questions),
        days=len(counted),
    )


def _identity(lines: list[CloudWatchLogsLogEvent]) -> str:
    """The same whenever these lines are delivered together: a line keeps its id, a delivery has none."""
    return hashlib.sha256("\n".join(sorted(line.get_id for line in lines)).encode()).hexdigest()
