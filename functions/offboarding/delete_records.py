"""State "Delete Records": the table holds no more of the tenant than its tombstone will."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DoneResult, StepInput
from kbfleet.settings import read
from kbfleet.settings.provisioning import OffboardingSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.offboarding import delete_records


@workflow_step(StepInput)
def handler(step: StepInput) -> DoneResult:
    delete_records(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        records=bootstrap.records(),
        keep_usage=read(OffboardingSettings).keep_usage,
    )
    return DoneResult()
