"""The lines that questions are counted by."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from kbfleet.contracts.asking import GOLDEN_QUESTION_ASKED, QUESTION_ANSWERED

if TYPE_CHECKING:
    from kbfleet.domain.answer import AskUsage
    from kbfleet.domain.names import Life

# Written whatever the level of the others is, with the time in UTC. No dot in its name: the log of the function would
# write its lines, too.
usage_logger = Logger(service="kbfleet-usage", level="INFO", use_rfc3339=True, utc=True)


def log_usage(life: Life, usage: AskUsage, *, request_id: str) -> None:
    """Writes the line of an answered question that usage is counted by; nothing of question and answer is in it.

    A line on standard output costs the answer nothing. A subscription filter of the log group takes it to
    RecordUsageFunction.

    Args:
        request_id: of the API request, to find the line of an answer.
    """
    usage_logger.info(
        QUESTION_ANSWERED, tenant_id=life.tenant_id, life=life.number, request_id=request_id, **asdict(usage)
    )


def log_golden_question(life: Life, answer: AskUsage | None) -> None:
    """Writes the line of a golden question that was searched for, and, where `answer` is given, answered. It is written
    once the service has answered: what is repeated is paid for again, and is another line.
    """
    usage_logger.info(
        GOLDEN_QUESTION_ASKED,
        tenant_id=life.tenant_id,
        life=life.number,
        answered=answer is not None,
        input_tokens=answer.input_tokens if answer is not None else None,
        output_tokens=answer.output_tokens if answer is not None else None,
    )
