"""Trigger: an hourly schedule. External jobs get into the histories of the tenants that are next."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report = bootstrap.external_jobs().find()
    publish({Metric.EXTERNAL_INGESTION_JOBS: len(report.found) + len(report.adopted)})
    for change in (*report.found, *report.adopted):
        logger.warning(
            "Somebody else has started an ingestion job",
            tenant_id=change.tenant_id,
            ingestion_job_id=change.ingestion_job_id,
            status=change.status,
        )
    for tenant_id, error in report.postponed:
        logger.warning(
            "The tenant's jobs could not be compared",
            tenant_id=tenant_id,
            error=type(error).__name__,
            reason=str(error),
        )
