"""State "Delete Records": the table holds no more of the tenant than its tombstone will, and dead-letter queues no
message about it."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.logs import logger
from kbfleet.settings import read
from kbfleet.settings.provisioning import OffboardingSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_records


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    complete = delete_records(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        records=bootstrap.records(),
        incidents=bootstrap.incidents(),
        undelivered=bootstrap.undelivered_messages(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        keep_usage=read(OffboardingSettings).keep_usage,
    )
    if not complete:
        logger.warning("Not all dead letters were looked at: too many wait")
    return DoneResult()
