"""Trigger: the queue of deletion checks. Before a tenant's next sync, compares its bucket with what is answered
from."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import DeletionCheckRequest
from kbfleet.logs import logger

_LEFT_AT_THE_END = timedelta(seconds=40)
"""Of the function's time: for the page that is being listed, with all attempts, and for what comes of it."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    # The queue gives one message at a time.
    (record,) = event["Records"]
    knowledge = parse_json(DeletionCheckRequest, record["body"]).to_domain()
    logger.append_keys(tenant_id=knowledge.tenant_id)
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    report = bootstrap.deletion_check().run(knowledge, bootstrap.clock().now() + left - _LEFT_AT_THE_END)
    if report.postponed is not None:
        logger.warning(
            "The tenant's bucket could not be checked",
            error=type(report.postponed).__name__,
            reason=str(report.postponed),
        )
    if (hold := report.sync.hold) is not None:
        logger.warning(
            "The tenant's sync is held", reason=hold.reason, missing=hold.missing, answered_from=hold.answered_from
        )
