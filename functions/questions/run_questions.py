"""Trigger: the queue of question runs, into which jobs that have ended come, too. Makes a part of a run of a tenant's
golden questions."""

import json
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse, parse_json
from kbfleet.contracts.events import JobStateChangeEvent
from kbfleet.contracts.questions import QuestionRunMessage
from kbfleet.domain.names import Life
from kbfleet.domain.question_runs import RunCause, RunRequest
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish

_PART = timedelta(seconds=60)
"""Half of the function's time: behind it, the question that is being asked may take all of its own."""


def _wanted(body: str) -> tuple[Life, RunRequest | None]:
    if "detail-type" in json.loads(body):
        job = parse(JobStateChangeEvent, json.loads(body)).detail.to_domain()
        return Life(job.tenant_id, job.life), RunRequest(RunCause.CHANGE, job.occurred_at)
    message = parse_json(QuestionRunMessage, body)
    return message.of_life, message.to_domain()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    # The queue gives one message at a time.
    (record,) = event["Records"]
    life, request = _wanted(record["body"])
    logger.append_keys(tenant_id=life.tenant_id)
    part = bootstrap.question_runner().run(life, request, bootstrap.clock().now() + _PART)
    watch = part.watch
    if part.ended is not None:
        score = part.ended.score
        publish(
            {
                Metric.GOLDEN_QUESTIONS_PASSED: score.passed,
                Metric.GOLDEN_QUESTIONS_FAILED: score.failed,
                Metric.GOLDEN_QUESTIONS_NOT_JUDGED: score.not_judged,
            }
        )
    # Ids and numbers: what was asked stays out of the log.
    if watch.run is not None:
        logger.info("A run of questions goes on", run=watch.run.run_id, left=len(watch.run.left))
    elif watch.last is not None:
        logger.info(
            "No question waits",
            last_run=watch.last.run_id,
            cause=watch.last.cause,
            regressions=[each.question_id for each in watch.regressions],
        )
