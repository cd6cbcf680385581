"""What an event says about who is broken or well. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

from kbfleet.domain.alert import (
    Alert,
    Deployment,
    alarm_alert,
    breach_alert,
    document_alert,
    held_sync_alert,
    ingestion_alert,
    loss_alert,
    question_alert,
    repair_of_ingestion,
    repair_of_workflow,
    retry_alert,
    shared_loss_alert,
    workflow_alert,
)
from kbfleet.domain.deletions import SyncHeld
from kbfleet.domain.diagnosis import THE_FLEET, Diagnosis, FleetDiagnosis
from kbfleet.domain.failed_documents import FailureReport, RetryReport
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern, Failure, Signal
from kbfleet.domain.ingestion_job import JobStateChange, Outcome
from kbfleet.domain.isolation import Breach, IsolationVerified, SeenIn
from kbfleet.domain.names import TenantId
from kbfleet.domain.question_runs import QuestionsJudged
from kbfleet.domain.root_cause import (
    CREDENTIALS_REFUSED,
    RootCause,
    held_sync,
    own_documents,
    own_questions,
    root_cause,
)
from kbfleet.domain.workflow import Workflow, WorkflowFailure

_CONCERNS = {
    Workflow.PROVISION_TENANT: Concern.PROVISIONING,
    Workflow.OFFBOARD_TENANT: Concern.OFFBOARDING,
    Workflow.REBUILD_TENANT: Concern.REBUILDING,
}
_DOCUMENTS = "documents"
_RETRY = "sync retry-failed"
_ISOLATION = "isolation"
_KNOWLEDGE = "knowledge"
_FLEET = "fleet"
_QUESTIONS = "questions"


def of_ingestion(change: JobStateChange, deployment: Deployment, *, harm: Harm = Harm.UNKNOWN) -> tuple[Signal, ...]:
    """A failed job, or a good one. Of one that left documents out, `of_documents` speaks. Nothing of one that has read
    for a knowledge that answers nobody: whoever builds it is told.

    Args:
        harm: how askers are hurt by a failure, if somebody has looked.
    """
    if change.beside:
        return ()
    tenant, failure = str(change.tenant_id), None
    if (alert := ingestion_alert(change, deployment, harm)) is not None:
        texts = [reason.text for reason in change.failure_reasons] or [""]
        failure = Failure(_causes("ingestion", texts, tenant), alert, repair_of_ingestion(change))
    elif change.outcome is not Outcome.SUCCEEDED:
        return ()
    return (Signal(change.identity, tenant, Concern.INGESTION, change.occurred_at, failure),)


def of_held_sync(held: SyncHeld, deployment: Deployment) -> tuple[Signal, ...]:
    """A sync that is held for what it would delete. Each tenant has an incident of its own: nobody is to accept for
    many at once that their documents go."""
    tenant = str(held.tenant_id)
    failure = Failure((held_sync(tenant),), held_sync_alert(held, deployment), news=held.worse)
    return (Signal(held.identity, tenant, Concern.INGESTION, held.hold.seen_at, failure),)


def of_documents(report: FailureReport, deployment: Deployment) -> tuple[Signal, ...]:
    """Documents that a job left out, or that none is left out any more. A job that left documents out has gone through:
    what kept the tenant's ingestion from running is over."""
    alert, job, tenant = document_alert(report, deployment), report.job, str(report.job.tenant_id)
    signals = []
    if job.outcome is Outcome.DEGRADED:
        # Incidents of documents that the last version recorded are in this timeline, too: those go on.
        signals.append(Signal(report.identity, tenant, Concern.INGESTION, job.occurred_at, leaves=_DOCUMENTS))
    if alert is not None:
        texts = [document.reason for document in report.documents] or [reason.text for reason in job.failure_reasons]
        news = report.new > 0 or report.set_aside_now > 0
        failure = _failure_of_documents(alert, texts, tenant, deployment, news=news)
        signals.append(Signal(report.identity, tenant, Concern.DOCUMENTS, job.occurred_at, failure))
    elif report.well:
        signals.append(Signal(report.identity, tenant, Concern.DOCUMENTS, job.occurred_at))
    return tuple(signals)


def of_retry(report: RetryReport, deployment: Deployment) -> tuple[Signal, ...]:
    """The end of a retry of documents: which are left, or that none is."""
    tenant, failure = str(report.tenant_id), None
    if (alert := retry_alert(report, deployment)) is not None:
        texts = [document.reason for document in report.documents]
        failure = _failure_of_documents(alert, texts, tenant, deployment, news=True)
    elif not report.well:
        return ()
    return (Signal(report.identity, tenant, Concern.DOCUMENTS, report.ended_at, failure),)


def _failure_of_documents(
    alert: Alert, reasons: list[str], tenant: str, deployment: Deployment, *, news: bool
) -> Failure:
    """Each tenant has an incident of its own: what is wrong with one's files must not hide in another's. Only where all
    that is wrong is known to lie in what tenants share, one incident is about all of them."""
    found = _causes(_DOCUMENTS, reasons or [""], tenant)
    own = own_documents(_DOCUMENTS, tenant)
    if not all(cause.shared for cause in found):
        # The command is of what these documents have.
        return Failure((own,), alert, news=news)
    # Nothing is wrong with these documents, and a sync reads only what has changed.
    advice = "The cause is not in the documents. Remove it; then retry them:"
    retried = replace(alert, advice=advice, command=deployment.command(_RETRY, tenant))
    return Failure((*found, own), retried, _RETRY, news)


def of_workflow_failure(tenant_id: TenantId, failed: WorkflowFailure, deployment: Deployment) -> tuple[Signal, ...]:
    """A provisioning, an offboarding or a rebuild that did not reach its end."""
    cause = root_cause(failed.workflow, failed.reason, tenant=str(tenant_id), error=failed.error)
    alert, verb = workflow_alert(tenant_id, failed, deployment), repair_of_workflow(failed)
    failure = Failure((cause,), alert, verb)
    return (Signal(failed.execution, str(tenant_id), _CONCERNS[failed.workflow], failed.at, failure),)


def of_workflow_success(
    tenant_id: TenantId, workflow: Workflow, execution: str, ended_at: datetime
) -> tuple[Signal, ...]:
    """A provisioning or an offboarding that reached its end. With its offboarding, all of a tenant's troubles end."""
    own = _CONCERNS[workflow]
    every = (
        *_CONCERNS.values(),
        Concern.INGESTION,
        Concern.DOCUMENTS,
        Concern.ISOLATION,
        Concern.KNOWLEDGE,
        Concern.QUESTIONS,
    )
    ended = every if own is Concern.OFFBOARDING else (own,)
    # Step Functions can take an execution up again that has failed: it then has failed and succeeded.
    return tuple(Signal(f"{execution}/SUCCEEDED", str(tenant_id), concern, ended_at) for concern in ended)


def of_breach(breach: Breach, deployment: Deployment) -> tuple[Signal, ...]:
    """Something is within a tenant's reach that is not its own. Each tenant has an incident of its own: one's must not
    hide in another's. Where credentials are refused, it may be their role that is wrong, which hits all tenants at
    once. Whatever it began as, it stays one incident."""
    tenant = str(breach.tenant_id)
    own = root_cause(_ISOLATION, "", error=f"of tenant {tenant}")
    shared = root_cause(_ISOLATION, CREDENTIALS_REFUSED)
    causes = (shared, own) if breach.seen_in is SeenIn.CREDENTIALS else (own, shared)
    # A look names what is wrong; thousands of refused answers after it do not.
    weight = 1 if breach.seen_in is SeenIn.RESOURCES else 0
    failure = Failure(causes, breach_alert(breach, deployment), "tenant add", weight=weight)
    return (Signal(breach.identity, tenant, Concern.ISOLATION, breach.occurred_at, failure),)


def of_isolation_verified(verified: IsolationVerified) -> tuple[Signal, ...]:
    return (Signal(verified.identity, str(verified.tenant_id), Concern.ISOLATION, verified.occurred_at),)


def of_diagnosis(diagnosis: Diagnosis, deployment: Deployment) -> tuple[Signal, ...]:
    """Somebody has looked at what a tenant's answers rest on. What is lost explains why an ingestion failed, and its
    repair is another one: then nothing else is said of that."""
    tenant, losses, job = str(diagnosis.tenant_id), diagnosis.losses, diagnosis.failed_job
    explained = any(loss.explains_a_failed_ingestion for loss in losses)
    told = of_ingestion(job, deployment, harm=diagnosis.harm) if job is not None and not explained else ()
    if diagnosis.unseen and not losses:
        return told
    failure = None
    if losses:
        causes = tuple(root_cause(_KNOWLEDGE, loss.cause) for loss in losses)
        failure = Failure(causes, loss_alert(diagnosis, deployment), losses[0].command, diagnosis.worse)
    return (*told, Signal(diagnosis.identity, tenant, Concern.KNOWLEDGE, diagnosis.at, failure))


def of_fleet_diagnosis(diagnosis: FleetDiagnosis, deployment: Deployment) -> tuple[Signal, ...]:
    """What comes with the stack is gone, or all of it is there again. However many tenants it hits, it is one incident,
    whose subject is the fleet."""
    failure = None
    if diagnosis.losses:
        causes = tuple(root_cause(_FLEET, loss.cause) for loss in diagnosis.losses)
        failure = Failure(causes, shared_loss_alert(diagnosis, deployment))
    return (Signal(diagnosis.identity, THE_FLEET, Concern.FLEET, diagnosis.at, failure),)


def of_questions(judged: QuestionsJudged, deployment: Deployment) -> tuple[Signal, ...]:
    """Golden questions that were known to pass do not any more, or none is left that does not. Each tenant has an
    incident of its own: what is expected of its documents is its own."""
    tenant, failure = str(judged.tenant_id), None
    if judged.regressions:
        cause = own_questions(_QUESTIONS, tenant)
        failure = Failure((cause,), question_alert(judged, deployment), news=judged.worse)
    return (Signal(judged.identity, tenant, Concern.QUESTIONS, judged.at, failure),)


def of_alarm(
    name: str, *, ringing: bool, description: str, reason: str, at: datetime, deployment: Deployment
) -> tuple[Signal, ...]:
    """An alarm of the stack that went off, or went back to normal."""
    failure = None
    if ringing:
        alert = alarm_alert(name, description, reason, deployment)
        failure = Failure((root_cause("alarm", "", error=name),), alert)
    return (Signal(f"{name}/{at.isoformat()}", name, Concern.ALARM, at, failure),)


def _causes(kind: str, reasons: list[str], tenant: str) -> tuple[RootCause, ...]:
    """The most frequent first; among equals the order of their keys decides."""
    counted = Counter(root_cause(kind, reason, tenant=tenant) for reason in reasons)
    return tuple(sorted(counted, key=lambda cause: (-counted[cause], cause.key)))
