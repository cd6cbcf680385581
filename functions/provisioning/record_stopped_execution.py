"""Trigger: Step Functions says that an execution of ours timed out or was aborted, and so never reached Mark Tenant
Failed."""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse
from kbfleet.contracts.aws_events import StoppedExecutionDetail, StoppedExecutionInput
from kbfleet.domain.workflow import describe_failure
from kbfleet.logs import logger
from kbfleet.usecases.provisioning import record_stopped_execution


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    detail = parse(StoppedExecutionDetail, event["detail"])
    tenant_id = parse(StoppedExecutionInput, json.loads(detail.input)).tenant_id
    logger.append_keys(tenant_id=tenant_id, execution=detail.executionArn)
    failure = describe_failure(
        detail.workflow,
        execution=detail.executionArn,
        step="Execution",
        error=detail.status,
        cause=f"The execution ended as {detail.status} before it could report.",
        now=bootstrap.clock().now(),
    )
    record_stopped_execution(tenant_id, failure, registry=bootstrap.registry(), announcements=bootstrap.announcements())
    logger.info("The stopped execution is recorded")
