"""State "Ensure Knowledge Base": it exists; runs again until it is ready or the deadline has passed."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import KnowledgeBaseResult, StepInput
from kbfleet.settings import read
from kbfleet.settings.provisioning import ProvisioningSettings
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import ensure_knowledge_base


@workflow_step(StepInput)
def handler(step: StepInput) -> KnowledgeBaseResult:
    state = ensure_knowledge_base(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        announcements=bootstrap.announcements(),
        look_after_at_most=read(ProvisioningSettings).knowledge_base_look,
    )
    return KnowledgeBaseResult.from_domain(state)
