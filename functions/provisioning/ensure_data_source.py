"""State "Ensure Data Source": the knowledge base reads the tenant's bucket, and nothing else."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import DataSourceResult, StepInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import ensure_data_source


@workflow_step(StepInput)
def handler(step: StepInput) -> DataSourceResult:
    data_source_id = ensure_data_source(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return DataSourceResult(data_source_id=data_source_id)
