"""The states of provision_tenant, in order: each handler parses its input, runs one use case and answers."""

from kbfleet import bootstrap
from kbfleet.contracts.workflows import (
    ActivateTenantInput,
    ActivationResult,
    BucketResult,
    CapacityResult,
    DataSourceResult,
    DoneResult,
    EnsureDataSourceInput,
    EnsureKnowledgeBaseInput,
    EnsureKnowledgeStoreInput,
    KnowledgeBaseResult,
    KnowledgeStoreResult,
    ReserveTenantInput,
    ReserveTenantResult,
    RunFirstSyncInput,
    ServiceRoleResult,
    StepInput,
    UsageKeyResult,
    WorkflowFailedInput,
)
from kbfleet.domain.errors import NotReadyYet
from kbfleet.settings import read
from kbfleet.settings.ingestion import ChangeEventSettings
from kbfleet.settings.provisioning import CapacitySettings, ProvisioningSettings, ServiceRoleSettings, UsagePlanSettings
from kbfleet.telemetry import report_rooms, workflow_step
from kbfleet.usecases import provisioning


@workflow_step(ReserveTenantInput)
def reserve_tenant(step: ReserveTenantInput) -> ReserveTenantResult:
    """State "Reserve Tenant": registers the tenant and takes its lease for this execution."""
    settings = read(ProvisioningSettings)
    reservation = provisioning.reserve_tenant(
        step.request.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        executions=bootstrap.executions(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
        lease=settings.lease,
        ready_within=settings.knowledge_base_ready_within,
    )
    return ReserveTenantResult.from_domain(reservation)


@workflow_step(StepInput)
def check_capacity(step: StepInput) -> CapacityResult:
    """State "Check Capacity": the account has room for one more of everything, before anything is made."""
    rooms = provisioning.check_capacity(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        counts=bootstrap.room_counts(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        buckets=bootstrap.buckets(),
        service_roles=bootstrap.service_roles(),
        usage_keys=bootstrap.usage_keys(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        for_rebuilds=read(CapacitySettings).knowledge_bases_for_rebuilds,
    )
    if rooms is None:
        return CapacityResult(left=None)
    report_rooms(rooms)
    return CapacityResult(left=min(room.left for room in rooms))


@workflow_step(StepInput)
def ensure_service_role(step: StepInput) -> ServiceRoleResult:
    """State "Ensure Service Role": there is a role that reads the tenant's documents and vectors, and no others."""
    changed_at = provisioning.ensure_service_role(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        knowledge_bases=bootstrap.knowledge_bases(),
        service_roles=bootstrap.service_roles(),
        names=bootstrap.fleet().names,
    )
    return ServiceRoleResult(changed_at=changed_at)


@workflow_step(StepInput)
def ensure_bucket(step: StepInput) -> BucketResult:
    """State "Ensure Bucket": the tenant's document bucket exists, with every promised setting."""
    bucket_name = provisioning.ensure_bucket(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        buckets=bootstrap.buckets(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        stack_id=read(ServiceRoleSettings).stack_id,
    )
    return BucketResult(bucket_name=bucket_name)


@workflow_step(EnsureKnowledgeStoreInput)
def ensure_knowledge_store(step: EnsureKnowledgeStoreInput) -> KnowledgeStoreResult:
    """State "Ensure Knowledge Store": the tenant's own vector index exists."""
    reference = provisioning.ensure_knowledge_store(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return KnowledgeStoreResult(reference=reference)


@workflow_step(EnsureKnowledgeBaseInput)
def ensure_knowledge_base(step: EnsureKnowledgeBaseInput) -> KnowledgeBaseResult:
    """State "Ensure Knowledge Base": it exists; runs again until it is ready or the deadline has passed."""
    settings = read(ProvisioningSettings)
    state = provisioning.ensure_knowledge_base(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        knowledge_bases=bootstrap.knowledge_bases(),
        service_roles=bootstrap.service_roles() if step.service_role else bootstrap.shared_service_role(),
        role_changed_at=step.service_role.changed_at if step.service_role else None,
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        announcements=bootstrap.announcements(),
        look_after_at_most=settings.knowledge_base_look,
        ready_within=settings.knowledge_base_ready_within,
    )
    return KnowledgeBaseResult.from_domain(state)


@workflow_step(StepInput)
def narrow_service_role(step: StepInput) -> DoneResult:
    """State "Narrow Service Role": the role is assumed for the tenant's own knowledge base and for no other."""
    provisioning.narrow_service_role(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        knowledge_bases=bootstrap.knowledge_bases(),
        service_roles=bootstrap.service_roles(),
        names=bootstrap.fleet().names,
    )
    return DoneResult()


@workflow_step(EnsureDataSourceInput)
def ensure_data_source(step: EnsureDataSourceInput) -> DataSourceResult:
    """State "Ensure Data Source": the knowledge base reads the tenant's bucket, and nothing else; runs again until the
    data source is ready or the deadline has passed."""
    state = provisioning.ensure_data_source(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        stores=bootstrap.stores(),
        profiles=bootstrap.profiles(),
        knowledge_bases=bootstrap.knowledge_bases(),
        callbacks=bootstrap.callbacks(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        look_after_at_most=read(ProvisioningSettings).knowledge_base_look,
    )
    if not state.ready and not step.looks_again:
        raise NotReadyYet(f"Data source {state.data_source_id} is {state.status}.")
    return DataSourceResult.from_domain(state)


@workflow_step(StepInput)
def ensure_usage_key(step: StepInput) -> UsageKeyResult:
    """State "Ensure Usage Key": what the tenant asks counts against the rate and quota of its tier."""
    tier = provisioning.ensure_usage_key(
        step.reservation.to_domain(),
        registry=bootstrap.registry(),
        usage_keys=bootstrap.usage_keys(),
        plans=read(UsagePlanSettings).plans,
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return UsageKeyResult(tier=tier)


@workflow_step(RunFirstSyncInput)
def run_first_sync(step: RunFirstSyncInput) -> None:
    """State "Run First Sync": asks for a sync, and leaves the task's token with the ledger, which answers when it has
    ended; an empty bucket needs none."""
    provisioning.run_first_sync(
        step.reservation.to_domain(),
        task_token=step.task_token,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        ledger=bootstrap.ledger(),
        bucket_contents=bootstrap.bucket_contents(),
        incidents=bootstrap.incidents(),
        callbacks=bootstrap.callbacks(),
        ticks=bootstrap.ticks(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        events_after=read(ChangeEventSettings).events_after,
    )


@workflow_step(ActivateTenantInput)
def activate_tenant(step: ActivateTenantInput) -> ActivationResult:
    """State "Activate Tenant": the tenant may be asked, unless it is suspended, and the lease is given back."""
    # Where an update has come since the execution began, some steps were of one version and some of another.
    of_one_version = step.resources_version == bootstrap.resources_version()
    tenant = provisioning.activate_tenant(
        step.reservation.to_domain(),
        resources_version=step.resources_version if of_one_version else None,
        registry=bootstrap.registry(),
        announcements=bootstrap.announcements(),
        clock=bootstrap.clock(),
    )
    return ActivationResult(status=tenant.status)


@workflow_step(WorkflowFailedInput)
def mark_tenant_failed(step: WorkflowFailedInput) -> None:
    """State "Mark Tenant Failed": the record says which step failed and why, and the lease is given back."""
    provisioning.mark_tenant_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        registry=bootstrap.registry(),
        announcements=bootstrap.announcements(),
    )


@workflow_step(WorkflowFailedInput)
def announce_provisioning_failed(step: WorkflowFailedInput) -> None:
    """State "Announce Provisioning Failed": the bus learns which step failed and why."""
    provisioning.announce_provisioning_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        announcements=bootstrap.announcements(),
    )
