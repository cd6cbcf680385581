"""Trigger: the queue of document retries. One run of giving Bedrock the documents that failed, without a sync."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import RetryRunRequest
from kbfleet.domain.names import Life
from kbfleet.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    # The queue gives one message at a time.
    (record,) = event["Records"]
    request = parse_json(RetryRunRequest, record["body"])
    logger.append_keys(tenant_id=request.tenant_id)
    retry = bootstrap.retry_runner().run(Life(request.tenant_id, request.life), request.version)
    if retry is not None and retry.ended_at is not None:
        logger.info(
            "The retry has ended",
            fixed=retry.fixed,
            failed=retry.failed,
            unanswered=retry.unanswered,
            skipped=retry.skipped,
            stopped=retry.stopped,
        )
