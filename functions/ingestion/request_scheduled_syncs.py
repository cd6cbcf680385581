"""Trigger: a schedule. Requests a sync for tenants that have not had one for a while."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.telemetry import metrics, tracer


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report = bootstrap.sync_schedule().run()
    metrics.add_dimension("fleet", bootstrap.fleet().fleet_name)
    metrics.add_metric("ScheduledSyncsRequested", MetricUnit.Count, len(report.requested))
    metrics.add_metric("ScheduledSyncsLeftOver", MetricUnit.Count, report.left_over)
    metrics.flush_metrics()
    if report.requested or report.left_over:
        logger.info("Scheduled syncs", requested=len(report.requested), left_over=report.left_over)
