"""What people are told when something breaks or recovers. Pure: no channel, no formatting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kbfleet.domain.ingestion import FailureReason, JobStateChange, Outcome
from kbfleet.domain.tenant import TenantId, Workflow, WorkflowFailure


class Severity(StrEnum):
    BROKEN = "BROKEN"
    RECOVERED = "RECOVERED"


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One message for people. `identity` is the same for every repetition of the same occurrence."""

    identity: str
    severity: Severity
    title: str
    tenant_id: TenantId
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[FailureReason, ...] = ()
    advice: str = ""
    command: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which stack speaks, so that commands and links in a message work as they are.

    Args:
        stack: CloudFormation stack name.
        region: AWS Region.
    """

    stack: str
    region: str

    def command(self, verb: str, tenant_id: TenantId) -> str:
        return f"kbfleet {verb} {tenant_id} --stack {self.stack} --region {self.region}"

    def console(self, path: str) -> str:
        return f"https://{self.region}.console.aws.amazon.com/{path}"

    def knowledge_base_link(self, knowledge_base_id: str) -> Link:
        path = f"bedrock/home?region={self.region}#/knowledge-bases/{knowledge_base_id}"
        return Link("Knowledge base", self.console(path))

    def execution_link(self, execution: str) -> Link:
        return Link("Execution", self.console(f"states/home?region={self.region}#/v2/executions/details/{execution}"))


def ingestion_alert(change: JobStateChange, deployment: Deployment) -> Alert | None:
    """What to say about an ingestion: a failed or degraded one is news, and so is the first good one after it."""
    if change.outcome is None:
        return None
    counts = change.statistics
    facts = (
        ("Tenant", str(change.tenant_id)),
        ("Ingestion job", change.ingestion_job_id or "refused before it started"),
        ("Knowledge base", change.data_source.knowledge_base_id),
        ("Read", f"{counts.scanned} documents: {counts.new + counts.modified} new or changed, {counts.failed} failed"),
    )
    links = (deployment.knowledge_base_link(change.data_source.knowledge_base_id),)
    if change.outcome is Outcome.SUCCEEDED and change.previous_outcome is not None and change.previous_outcome.broken:
        return Alert(
            identity=change.identity,
            severity=Severity.RECOVERED,
            title=f"{change.tenant_id}: documents are in sync again",
            tenant_id=change.tenant_id,
            facts=facts,
            links=links,
        )
    if not change.outcome.broken:
        return None
    degraded = change.outcome is Outcome.DEGRADED
    return Alert(
        identity=change.identity,
        severity=Severity.BROKEN,
        title=f"{change.tenant_id}: " + ("some documents could not be ingested" if degraded else "ingestion failed"),
        tenant_id=change.tenant_id,
        facts=facts,
        reasons=change.failure_reasons,
        advice="Replace or remove the documents named above, then sync again."
        if degraded
        else "Answers come from the last good sync. Once the cause is gone, sync again.",
        command=deployment.command("sync", change.tenant_id),
        links=links,
    )


def workflow_alert(tenant_id: TenantId, failure: WorkflowFailure, deployment: Deployment) -> Alert:
    """What to say when a provisioning ended without an active tenant, or an offboarding with something left."""
    done, verb, advice = {
        Workflow.PROVISION_TENANT: (
            "provisioning",
            "provision",
            "Nothing that was made is lost. Once the cause is gone, provision again: it takes up where it stopped.",
        ),
        Workflow.OFFBOARD_TENANT: (
            "offboarding",
            "offboard",
            "The tenant is out of service, but not everything is deleted. Once the cause is gone, offboard again: it "
            "takes up where it stopped.",
        ),
    }[failure.workflow]
    return Alert(
        identity=failure.execution,
        severity=Severity.BROKEN,
        title=f"{tenant_id}: {done} failed",
        tenant_id=tenant_id,
        facts=(("Tenant", str(tenant_id)), ("Step", failure.step), ("Error", failure.error)),
        reasons=(FailureReason(failure.reason),),
        advice=advice,
        command=deployment.command(verb, tenant_id),
        links=(deployment.execution_link(failure.execution),),
    )
