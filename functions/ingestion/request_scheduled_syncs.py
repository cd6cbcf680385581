"""Trigger: a schedule. Requests a sync for tenants that have not had one for a while, counts tenants, and lists the
buckets of those that S3 has been asked to tell of a while ago."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish

_LEFT_AT_THE_END = timedelta(seconds=60)
"""Of the function's time: for the page that is being listed, with all attempts, and for what comes of it."""


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], context: LambdaContext) -> None:
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    until = bootstrap.clock().now() + left - _LEFT_AT_THE_END
    report = bootstrap.sync_schedule().run()
    measured: dict[Metric, float] = {
        Metric.TENANTS_ACTIVE: report.census.active,
        Metric.TENANTS_FAILED: report.census.failed,
        Metric.TENANTS_QUEUED: report.census.queued,
        Metric.TENANTS_STALE: report.census.stale,
        Metric.SCHEDULED_SYNCS_REQUESTED: len(report.requested),
        Metric.SCHEDULED_SYNCS_LEFT_OVER: report.left_over,
    }
    if report.census.oldest is not None:
        waits = bootstrap.clock().now() - report.census.oldest
        measured[Metric.OLDEST_PENDING_CHANGE_SECONDS] = waits.total_seconds()
    publish(measured)
    if report.requested or report.left_over:
        logger.info("Scheduled syncs", requested=len(report.requested), left_over=report.left_over)
    if not report.unsurveyed:
        return
    survey = bootstrap.surveys().run(report.unsurveyed, until)
    for tenant_id in survey.requested:
        logger.info("Documents have changed before S3 told of changes", tenant_id=tenant_id)
    for tenant_id, error in survey.postponed:
        logger.warning("The tenant's bucket could not be listed", tenant_id=tenant_id, reason=str(error))
