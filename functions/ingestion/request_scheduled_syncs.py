"""Trigger: a schedule. Requests a sync for tenants that have not had one for a while, and counts tenants."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report = bootstrap.sync_schedule().run()
    publish(
        {
            Metric.TENANTS_ACTIVE: report.census.active,
            Metric.TENANTS_FAILED: report.census.failed,
            Metric.TENANTS_QUEUED: report.census.queued,
            Metric.TENANTS_STALE: report.census.stale,
            Metric.SCHEDULED_SYNCS_REQUESTED: len(report.requested),
            Metric.SCHEDULED_SYNCS_LEFT_OVER: report.left_over,
        }
    )
    if report.requested or report.left_over:
        logger.info("Scheduled syncs", requested=len(report.requested), left_over=report.left_over)
