"""State "Run First Sync": asks for a sync, and leaves the task's token with the ledger, which answers when it has
ended."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import RunFirstSyncInput
from kbfleet.telemetry import workflow_step
from kbfleet.usecases.provisioning import run_first_sync


@workflow_step(RunFirstSyncInput)
def handler(step: RunFirstSyncInput) -> None:
    run_first_sync(
        step.reservation.to_domain(),
        task_token=step.task_token,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        ledger=bootstrap.ledger(),
        incidents=bootstrap.incidents(),
        callbacks=bootstrap.callbacks(),
        ticks=bootstrap.ticks(),
        clock=bootstrap.clock(),
    )
