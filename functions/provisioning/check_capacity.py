"""State "Check Capacity": the account has room for one more knowledge base, before anything is made."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import CapacityResult, StepInput
from kbfleet.metrics import Metric, publish
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import check_capacity


@workflow_step(StepInput)
def handler(step: StepInput) -> CapacityResult:
    capacity = check_capacity(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
    )
    if capacity is None:
        return CapacityResult(left=None)
    publish({Metric.KNOWLEDGE_BASES_LEFT: capacity.left})
    return CapacityResult(left=capacity.left)
