"""The states of offboard_tenant, in order: each handler parses its input, runs one use case and answers.

Its executions, too, end in `provisioning/steps.mark_tenant_failed` when they fail."""

from datetime import timedelta

from kbfleet import bootstrap
from kbfleet.contracts.workflows import (
    ActivationResult,
    DeleteBucketInput,
    DoneResult,
    ErasureResult,
    FenceOffResult,
    FenceOffResultBefore,
    FenceOffTenantInput,
    MarkTenantOffboardedInput,
    StepInput,
    WorkflowFailedInput,
)
from kbfleet.logs import logger
from kbfleet.settings import read
from kbfleet.settings.provisioning import ErasureSettings, OffboardingLeaseSettings, OffboardingSettings
from kbfleet.telemetry import timed_workflow_step, workflow_step
from kbfleet.usecases import offboarding

FOR_THE_LAST_PAGE = timedelta(seconds=20)
"""In which a page of a bucket is listed and deleted, and the bucket after it; a call is given up after ten seconds, and
made three times (bootstrap)."""


@workflow_step(FenceOffTenantInput)
def fence_off_tenant(step: FenceOffTenantInput) -> FenceOffResult:
    """State "Fence Off Tenant": the retention period is over, and nobody else works on the tenant any more."""
    reservation = offboarding.fence_off_tenant(
        step.request.tenant_id,
        retention=step.request.retention,
        execution=step.execution,
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        ledger=bootstrap.ledger(),
        callbacks=bootstrap.callbacks(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
        lease=read(OffboardingLeaseSettings).lease,
    )
    result = FenceOffResult.from_domain(reservation)
    if step.request.retention is None:
        return result
    # It has the lease, so there is nothing to wait for.
    return FenceOffResultBefore(**result.model_dump(), deadline=bootstrap.clock().now())


@workflow_step(StepInput)
def refuse_uploads(step: StepInput) -> DoneResult:
    """State "Refuse Uploads": nobody can put documents into the tenant's bucket any more."""
    offboarding.refuse_uploads(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()


@workflow_step(StepInput)
def stop_ingestion(step: StepInput) -> DoneResult:
    """State "Stop Ingestion": nothing was deleted before this; runs again until no ingestion job of the tenant runs."""
    offboarding.stop_ingestion(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return DoneResult()


@workflow_step(StepInput)
def delete_usage_key(step: StepInput) -> DoneResult:
    """State "Delete Usage Key": API Gateway lets nobody of the tenant in any more, and counts nothing for it."""
    offboarding.delete_usage_key(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        usage_keys=bootstrap.usage_keys(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return DoneResult()


@workflow_step(StepInput)
def delete_data_sources(step: StepInput) -> DoneResult:
    """State "Delete Data Sources": runs again until no data source is left."""
    offboarding.delete_data_sources(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()


@workflow_step(StepInput)
def delete_knowledge_base(step: StepInput) -> DoneResult:
    """State "Delete Knowledge Base": runs again until no knowledge base of the tenant is left."""
    offboarding.delete_knowledge_base(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()


@workflow_step(StepInput)
def delete_service_role(step: StepInput) -> DoneResult:
    """State "Delete Service Role": nothing can be read in the tenant's name any more."""
    offboarding.delete_service_role(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        service_roles=bootstrap.service_roles(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()


@workflow_step(StepInput)
def delete_knowledge_store(step: StepInput) -> DoneResult:
    """State "Delete Knowledge Store": the tenant's vector index is gone."""
    offboarding.delete_knowledge_store(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
    )
    return DoneResult()


@timed_workflow_step(DeleteBucketInput)
def delete_bucket(step: DeleteBucketInput, left: timedelta) -> DoneResult:
    """State "Delete Bucket": documents with their versions, for as long as there is time, then the bucket itself."""
    gone = offboarding.delete_bucket(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        until=bootstrap.clock().now() + left - FOR_THE_LAST_PAGE,
        waits=step.waits,
    )
    return DoneResult(done=gone)


@workflow_step(StepInput)
def delete_records(step: StepInput) -> DoneResult:
    """State "Delete Records": the table holds no more of the tenant than its tombstone will, and dead-letter queues no
    message about it."""
    complete = offboarding.delete_records(
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


@workflow_step(StepInput)
def verify_erasure(step: StepInput) -> ErasureResult:
    """State "Verify Erasure": everything is looked up again, and what was found gone is on the receipt."""
    settings = read(OffboardingSettings)
    receipt = offboarding.verify_erasure(
        step.reservation.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        service_roles=bootstrap.service_roles(),
        usage_keys=bootstrap.usage_keys(),
        records=bootstrap.records(),
        incidents=bootstrap.incidents(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        keep_usage=settings.keep_usage,
        logs_kept_for=timedelta(days=read(ErasureSettings).log_retention_days),
    )
    return ErasureResult(receipt=receipt)


@workflow_step(MarkTenantOffboardedInput)
def mark_tenant_offboarded(step: MarkTenantOffboardedInput) -> ActivationResult:
    """State "Mark Tenant Offboarded": the record becomes a tombstone with the receipt, and the bus learns of it."""
    tenant = offboarding.mark_tenant_offboarded(
        step.reservation.to_domain(),
        step.receipt,
        registry=bootstrap.registry(),
        records=bootstrap.records(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    return ActivationResult(status=tenant.status)


@workflow_step(WorkflowFailedInput)
def announce_offboarding_failed(step: WorkflowFailedInput) -> None:
    """State "Announce Offboarding Failed": the bus learns which step failed and why."""
    offboarding.announce_offboarding_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        announcements=bootstrap.announcements(),
    )
