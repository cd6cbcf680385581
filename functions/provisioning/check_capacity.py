"""State "Check Capacity": the account has room for one more knowledge base, before anything is made."""

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from kbfleet import bootstrap
from kbfleet.contracts.workflows import CapacityResult, StepInput
from kbfleet.telemetry import METRICS_NAMESPACE, workflow_step
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
    with single_metric(
        name="KnowledgeBasesLeft",
        unit=MetricUnit.Count,
        value=capacity.left,
        namespace=METRICS_NAMESPACE,
        default_dimensions={"fleet": bootstrap.fleet().fleet_name, "kind": capacity.kind},
    ):
        pass
    return CapacityResult(left=capacity.left)
