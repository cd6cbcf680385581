"""Trigger: the tick queue, and a schedule as the safety net. One tick of the ingestion scheduler."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.telemetry import report_tick


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report_tick(bootstrap.scheduler().tick(), now=bootstrap.clock().now())
