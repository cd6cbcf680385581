"""Trigger: a schedule. After an update, brings tenants' resources to what this version makes them like."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger
from kbfleet.usecases.convergence import converge_tenants


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    report = converge_tenants(
        resources_version=bootstrap.resources_version(),
        convergences=bootstrap.convergences(),
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
    )
    for tenant_id, error in report.refused:
        logger.warning("A tenant could not be converged yet", tenant_id=tenant_id, reason=str(error))
    if report.started or report.left:
        logger.info("Tenants are converged after an update", started=len(report.started), left=report.left)
