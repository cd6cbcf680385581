"""Trigger: the SaaS product's event Tenant Onboarding Requested. A malformed one goes to the dead-letter queue."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse
from kbfleet.contracts.events import TenantOnboardingRequestedEvent
from kbfleet.logs import logger
from kbfleet.usecases.provisioning import onboard_tenant


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    requested = parse(TenantOnboardingRequestedEvent, event)
    execution, kept = onboard_tenant(
        requested.detail.to_domain(),
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        clock=bootstrap.clock(),
        occurrence=requested.id,
    )
    logger.append_keys(tenant_id=requested.detail.tenant_id)
    if kept:
        # Their values are the product's text, and stay out of the log.
        logger.warning("The tenant is there already, and keeps what it has", asked_otherwise=kept)
    logger.info("Provisioning runs", execution=execution.name)
