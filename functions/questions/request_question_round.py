"""Trigger: a schedule. Has the golden questions of the next tenants asked, round after round."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    tenants = bootstrap.question_rounds().go_on()
    logger.info("Questions are to be asked", tenants=tenants)
