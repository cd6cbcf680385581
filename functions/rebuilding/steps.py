"""The states of rebuild_tenant, in order: each handler parses its input, runs one use case and answers.

Between Reserve Rebuild and Begin Candidate Sync are states of `provision_tenant`: `provisioning/steps`. So is the one
in which its executions end when they fail."""

from dataclasses import replace
from datetime import timedelta
from time import sleep

from kbfleet import bootstrap
from kbfleet.contracts.workflows import (
    AwaitCandidateInput,
    BegunResult,
    CandidateResult,
    CandidateStepInput,
    CompareKnowledgeInput,
    ComparisonResult,
    DeleteKnowledgeInput,
    ForgetKnowledgeInput,
    ForgottenResult,
    PromotionResult,
    ProvisioningReservationPayload,
    RebuildReservedResult,
    ReserveRebuildInput,
    WorkflowFailedInput,
)
from kbfleet.settings import read
from kbfleet.settings.provisioning import KnowledgeDeletionSettings, ProvisioningSettings
from kbfleet.telemetry import timed_workflow_step, workflow_step
from kbfleet.usage_log import log_golden_question
from kbfleet.usecases import rebuilding

FOR_THE_LAST_QUESTION = timedelta(seconds=50)
"""In which it waits for its places, and is searched for in both knowledges."""


@workflow_step(ReserveRebuildInput)
def reserve_rebuild(step: ReserveRebuildInput) -> RebuildReservedResult:
    """State "Reserve Rebuild": takes the tenant's lease, to build what is beside its live knowledge or to delete it."""
    settings = read(ProvisioningSettings)
    reservation = rebuilding.reserve_rebuild(
        step.request.tenant_id,
        execution=step.execution,
        registry=bootstrap.registry(),
        executions=bootstrap.rebuild_executions(),
        counts=bootstrap.room_counts(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        lease=settings.lease,
        ready_within=settings.knowledge_base_ready_within,
    )
    return RebuildReservedResult.from_domain(reservation)


@workflow_step(CandidateStepInput)
def begin_candidate_sync(step: CandidateStepInput) -> BegunResult:
    """State "Begin Candidate Sync": asks for the candidate's first sync, and gives the tenant's lease back."""
    rebuilding.begin_candidate_sync(
        step.reservation.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        clock=bootstrap.clock(),
    )
    return BegunResult(deadline=bootstrap.clock().now() + rebuilding.INGESTED_WITHIN)


@workflow_step(AwaitCandidateInput)
def await_candidate(step: AwaitCandidateInput) -> CandidateResult:
    """State "Await Candidate": runs again until the candidate has all that the live knowledge has."""
    state = rebuilding.await_candidate(
        step.reservation.tenant_id,
        step.reservation.knowledge,
        execution=step.execution,
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        clock=bootstrap.clock(),
        deadline=step.deadline,
        within=rebuilding.INGESTED_WITHIN,
    )
    return CandidateResult.from_domain(state.complete, state.look_again_after)


@timed_workflow_step(CompareKnowledgeInput)
def compare_knowledge(step: CompareKnowledgeInput, left: timedelta) -> ComparisonResult:
    """State "Compare Knowledge": asks golden questions of both, for as long as there is time."""
    asked, whole = rebuilding.compare_knowledge(
        step.reservation.tenant_id,
        step.reservation.knowledge,
        [each.to_domain() for each in step.asked],
        execution=step.execution,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        questions=bootstrap.golden_questions(),
        retrievers=bootstrap.question_retriever,
        pace=bootstrap.search_pace(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
        pause=lambda wait: sleep(wait.total_seconds()),
        breached=bootstrap.breached,
        spent=log_golden_question,
        until=bootstrap.clock().now() + left - FOR_THE_LAST_QUESTION,
    )
    return ComparisonResult.from_domain(asked, whole)


@workflow_step(CompareKnowledgeInput)
def promote_knowledge(step: CompareKnowledgeInput) -> PromotionResult:
    """State "Promote Knowledge": the candidate answers from here on, unless it is worse, or was only to be compared."""
    tenant = rebuilding.promote_knowledge(
        step.reservation.tenant_id,
        step.reservation.knowledge,
        [each.to_domain() for each in step.asked],
        execution=step.execution,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        ledger=bootstrap.ledger(),
        ticks=bootstrap.ticks(),
        announcements=bootstrap.announcements(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    return PromotionResult(live=tenant.knowledge)


@workflow_step(DeleteKnowledgeInput)
def delete_knowledge(step: DeleteKnowledgeInput) -> RebuildReservedResult:
    """State "Delete Knowledge": runs again until nothing is left of what is beside the live knowledge."""
    reservation = step.reservation.to_domain()
    rebuilding.delete_knowledge(
        reservation,
        alone_from=step.alone_from,
        remembered=read(KnowledgeDeletionSettings).registry_cache,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        knowledge_bases=bootstrap.knowledge_bases(),
        names=bootstrap.fleet().names,
        clock=bootstrap.clock(),
    )
    left = ProvisioningReservationPayload.from_domain(replace(reservation, knowledge=None))
    return RebuildReservedResult(reservation=left, builds=False, alone_from=step.alone_from, deleted=True)


@workflow_step(ForgetKnowledgeInput)
def forget_knowledge(step: ForgetKnowledgeInput) -> ForgottenResult:
    """State "Forget Knowledge": takes it out of the record, and says whether another is to be built."""
    following = rebuilding.forget_knowledge(
        step.reservation.to_domain(),
        execution=step.execution,
        registry=bootstrap.registry(),
        ledger=bootstrap.ledger(),
        clock=bootstrap.clock(),
        ready_within=read(ProvisioningSettings).knowledge_base_ready_within,
    )
    reserved = RebuildReservedResult.from_domain(following) if following is not None else None
    return ForgottenResult(tenant_id=step.reservation.tenant_id, reserved=reserved, another=following is not None)


@workflow_step(WorkflowFailedInput)
def announce_rebuild_failed(step: WorkflowFailedInput) -> None:
    """State "Announce Rebuild Failed": the bus learns which step failed and why."""
    rebuilding.announce_rebuild_failed(
        step.progress.tenant_id,
        step.to_domain(bootstrap.clock().now()),
        registry=bootstrap.registry(),
        announcements=bootstrap.announcements(),
    )
