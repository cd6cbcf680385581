"""Trigger: the tick queue, and a schedule as the safety net. One tick of the ingestion scheduler."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.telemetry import logger, metrics, tracer


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report = bootstrap.scheduler().tick()
    for tenant_id, error in report.postponed:
        logger.warning(
            "The tenant's turn is postponed", tenant_id=tenant_id, error=type(error).__name__, reason=str(error)
        )
    if not report.idle:
        metrics.add_dimension("fleet", bootstrap.fleet().fleet_name)
        metrics.add_metric("IngestionJobsRunning", MetricUnit.Count, report.running + report.started)
        metrics.add_metric("IngestionJobsStarted", MetricUnit.Count, report.started)
        metrics.add_metric("IngestionJobsEnded", MetricUnit.Count, report.ended)
        if report.stale_since is not None:
            age = bootstrap.clock().now() - report.stale_since
            metrics.add_metric("OldestPendingChangeSeconds", MetricUnit.Seconds, age.total_seconds())
        metrics.flush_metrics()
        logger.info("Tick", running=report.running, started=report.started, ended=report.ended, waiting=report.waiting)
