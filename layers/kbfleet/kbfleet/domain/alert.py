"""What people read when something breaks or recovers. Pure: no channel, no formatting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

from kbfleet.domain.bounds import fitting, size
from kbfleet.domain.deletions import HoldReason, SyncHeld
from kbfleet.domain.diagnosis import THE_FLEET, Diagnosis, FleetDiagnosis
from kbfleet.domain.errors import KnowledgeLost
from kbfleet.domain.failed_documents import (
    SET_ASIDE_AFTER,
    FailureReport,
    News,
    ReportedDocument,
    RetryReport,
)
from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import JobStateChange, Outcome
from kbfleet.domain.isolation import Breach, SeenIn
from kbfleet.domain.names import TenantId
from kbfleet.domain.question_runs import ChangedDocuments, QuestionsJudged
from kbfleet.domain.workflow import Workflow, WorkflowFailure

MAX_COMMANDED = 60
"""Tenants in one command: with ids of 32 characters that is as much as one block of a Slack message holds."""


class Severity(StrEnum):
    BROKEN = "BROKEN"
    RECOVERED = "RECOVERED"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is broken, and which documents that keeps from being answered from; `documents_left_out` is how
    many more there are."""

    text: str
    documents: tuple[str, ...] = ()
    documents_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """`url` is empty for something that has its place in the repository only."""

    label: str
    url: str
    runbook: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """One message for people. `identity` is the same for every repetition of the same occurrence; `subject` is the
    tenant or the alarm that it is about, empty where it is about several.

    Title, facts and reasons may hold what outsiders have written. `notice`, which says the title as far as that is
    ours, `advice` and `command` hold nothing of it but ids that were checked. `harm` is `None` where nobody's answers
    are concerned; `hurt` says it, and of how many, in a few words of ours. `reasons_left_out` is how many more reasons
    there are. A fact that is a time is shown in the reader's zone where the channel can; what is kept as evidence has
    none among its facts, but `since`: from when on it is so, where that is before it was seen.
    """

    identity: str
    severity: Severity
    title: str
    subject: str
    facts: tuple[tuple[str, str | datetime], ...]
    reasons: tuple[Reason, ...] = ()
    advice: str = ""
    command: str = ""
    links: tuple[Link, ...] = ()
    notice: str = ""
    harm: Harm | None = None
    reasons_left_out: int = 0
    hurt: str = ""
    since: datetime | None = None

    def within(self, most_bytes: int) -> Alert:
        """With as many of its reasons, and of their documents, as fit into so many bytes; the others are counted."""
        room, kept = most_bytes, []
        for reason in self.reasons:
            room -= size(reason.text) + _AROUND
            if room < 0:
                break
            documents = fitting(reason.documents, lambda uri: size(uri) + _AROUND, most_bytes=room)
            room -= sum(size(uri) + _AROUND for uri in documents)
            left_out = reason.documents_left_out + len(reason.documents) - len(documents)
            kept.append(replace(reason, documents=tuple(documents), documents_left_out=left_out))
        left_out = self.reasons_left_out + len(self.reasons) - len(kept)
        return replace(self, reasons=tuple(kept), reasons_left_out=left_out)


def in_utc(time: datetime) -> str:
    """As people read a time where nothing shows it in their own zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_AROUND = 64
"""Bytes of what is around a text in an item, at most."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which stack speaks, so that commands and links in a message work as they are.

    Args:
        stack: CloudFormation stack name.
        region: AWS Region.
        runbook: where the runbook's pages are on the web, without a slash at the end; empty if nowhere.
    """

    stack: str
    region: str
    runbook: str = ""

    def command(self, verb: str, tenant_id: TenantId | str) -> str:
        return self.qualified(f"kbfleet {verb} {tenant_id}")

    def qualified(self, command: str) -> str:
        """For whoever has several stacks."""
        return f"{command} --stack {self.stack} --region {self.region}"

    def commands(self, verb: str, tenants: Sequence[str]) -> str:
        """For a shell: the same for each of the tenants, of whom `MAX_COMMANDED` are named at most.

        Raises:
            InvalidInput: one of them is no tenant's id.
        """
        tenants = [TenantId(tenant) for tenant in tenants]
        if len(tenants) == 1:
            return self.command(verb, tenants[0])
        named, each = " ".join(tenants[:MAX_COMMANDED]), self.command(verb, '"$tenant"')
        return f"for tenant in {named}; do {each}; done"

    def logical_name(self, physical: str) -> str:
        """As the template calls a resource that CloudFormation has named: without the stack and the letters by chance.

        Source: AWS CloudFormation documentation, Name type: `<stack>-<logical id>-<unique id>`. A nested stack is named
        in the same way.
        """
        return re.sub(rf"^{re.escape(self.stack)}-(?:\w+-[A-Za-z0-9]+-)?(\w+)-[A-Za-z0-9]+$", r"\1", physical)

    def runbook_link(self, page: str) -> Link:
        url = f"{self.runbook}/{page}.md" if self.runbook else ""
        return Link("Runbook" if url else f"docs/runbook/{page}.md", url, runbook=True)

    def console(self, path: str) -> str:
        return f"https://{self.region}.console.aws.amazon.com/{path}"

    def knowledge_base_link(self, knowledge_base_id: str) -> Link:
        path = f"bedrock/home?region={self.region}#/knowledge-bases/{_in_url(knowledge_base_id)}"
        return Link("Knowledge base", self.console(path))

    def execution_link(self, execution: str) -> Link:
        path = f"states/home?region={self.region}#/v2/executions/details/{_in_url(execution)}"
        return Link("Execution", self.console(path))

    def alarm_link(self, name: str) -> Link:
        return Link("Alarm", self.console(f"cloudwatch/home?region={self.region}#alarmsV2:alarm/{_in_url(name)}"))


def _in_url(text: str) -> str:
    return quote(text, safe=":", errors="replace")


def _ingestion_facts(change: JobStateChange) -> tuple[tuple[str, str], ...]:
    counts = change.statistics
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    read = f"{counts.scanned}: {counts.new + counts.modified} indexed, {counts.failed} failed{skipped}"
    return (
        ("Tenant", str(change.tenant_id)),
        ("Ingestion job", change.ingestion_job_id or "refused before it started"),
        ("Knowledge base", change.data_source.knowledge_base_id),
        # Of a job that never ran, zeros would read as if it had found nothing.
        *([("Documents read", read)] if change.ingestion_job_id else []),
    )


def ingestion_alert(change: JobStateChange, deployment: Deployment, harm: Harm = Harm.UNKNOWN) -> Alert | None:
    """What to say about an ingestion that failed. Of one that left documents out, `document_alert` speaks, which knows
    them.

    Args:
        harm: how askers are hurt meanwhile, as far as somebody has looked.
    """
    links = (
        deployment.knowledge_base_link(change.data_source.knowledge_base_id),
        deployment.runbook_link("ingestion-failed"),
    )
    if change.outcome is not Outcome.FAILED:
        return None
    return Alert(
        identity=change.identity,
        severity=Severity.BROKEN,
        title=f"{change.tenant_id}: ingestion failed",
        subject=str(change.tenant_id),
        facts=_ingestion_facts(change),
        reasons=tuple(Reason(reason.whole) for reason in change.failure_reasons),
        advice=_ADVICE_OF_INGESTION[repair_of_ingestion(change)],
        command=deployment.command(repair_of_ingestion(change), change.tenant_id),
        reasons_left_out=change.reasons_left_out,
        links=links,
        harm=harm,
    )


def repair_of_ingestion(change: JobStateChange) -> str:
    """The command of `kbfleet` for an ingestion that failed. Where Bedrock has refused to start a job, something is not
    as kbfleet makes it, or may not be used: what puts that right syncs as well, and a sync alone would be refused."""
    return "sync start" if change.ingestion_job_id else "tenant add"


_ADVICE_OF_INGESTION: Mapping[str, str] = {
    "sync start": "Remove the cause; then sync again:",
    "tenant add": "Remove the cause, if it is outside of kbfleet. This then puts right what kbfleet makes, and syncs:",
}


def held_sync_alert(held: SyncHeld, deployment: Deployment) -> Alert:
    """What to say about a sync that is held for what it would delete. Its command destroys: what saves comes first."""
    tenant, hold = held.tenant_id, held.hold
    facts = [
        ("Tenant", str(tenant)),
        ("Answered from", f"{hold.answered_from:,} documents"),
        ("Not in the bucket any more", f"{hold.missing:,}"),
    ]
    commands = {"add": deployment.command("tenant add", tenant), "start": deployment.command("sync start", tenant)}
    unknown = hold.reason in {HoldReason.GONE, HoldReason.UNREADABLE}
    return Alert(
        identity=held.identity,
        severity=Severity.BROKEN,
        title=f"{tenant}: sync held, since it would delete what is answered from",
        subject=str(tenant),
        facts=tuple(facts[:2] if unknown else facts),
        reasons=(Reason(hold.sentence),),
        advice="Answers come from the last good sync, and nothing newer is ingested. "
        f"{_BEFORE_DELETIONS[hold.reason].format(**commands)} "
        f"{_WITH_DELETIONS.get(hold.reason, _FOR_GOOD)}",
        command=deployment.qualified(hold.command(tenant)),
        links=(deployment.runbook_link("sync-held"),),
        harm=Harm.WRONG_ANSWERS,
    )


_FOR_GOOD = "Only if these documents are to go for good, this deletes them from the knowledge base:"
_ONCE_BACK = (
    "kbfleet cannot see that they are the same: once all are back, this reads them in, and deletes what is not:"
)
_WITH_DELETIONS: Mapping[HoldReason, str] = {HoldReason.REPLACED: _ONCE_BACK, HoldReason.GONE: _ONCE_BACK}
_RESTORE = "Put the documents back, from the versions in the bucket or from a backup: the sync then goes on by itself."
_BEFORE_DELETIONS: Mapping[HoldReason, str] = {
    HoldReason.DELETIONS: _RESTORE,
    HoldReason.EMPTY: _RESTORE,
    HoldReason.REPLACED: "Find out whether the bucket was made anew. If so, put all documents into it before anything "
    "else.",
    HoldReason.GONE: "`{add}` makes the bucket again, empty. Then put all documents back into it, from a backup.",
    HoldReason.UNREADABLE: "Look for what denies listing it, mostly a statement in its policy, and take that out; "
    "then `{start}` checks again.",
}


def document_alert(report: FailureReport, deployment: Deployment) -> Alert | None:
    """What to say about documents that an ingestion left out. Those that are set aside are reported once, and then only
    counted."""
    if not report.newsworthy:
        return None
    job = report.job
    aside_now = [document for document in report.documents if document.news is News.SET_ASIDE_NOW]
    reasons = _by_reason([document for document in report.documents if document.news is not News.SET_ASIDE_NOW])
    aside = f"Failed {SET_ASIDE_AFTER} times in a row: set aside, not reported again until they change. "
    reasons += tuple(replace(reason, text=aside + reason.text) for reason in _by_reason(aside_now))
    # What names no document may be all that is known.
    named = {uri for reason in reasons for uri in reason.documents}
    reasons += tuple(Reason(reason.whole) for reason in job.failure_reasons if not reason.names or not named)
    advice, command = _repair_of_documents(job.tenant_id, report.documents, deployment)
    return Alert(
        identity=report.identity,
        severity=Severity.BROKEN,
        title=f"{job.tenant_id}: some documents could not be ingested",
        subject=str(job.tenant_id),
        facts=(*_ingestion_facts(job), ("Left out", _left_out(report))),
        reasons=reasons,
        reasons_left_out=job.reasons_left_out,
        advice=advice,
        command=command,
        links=(
            deployment.knowledge_base_link(job.data_source.knowledge_base_id),
            deployment.runbook_link("documents-left-out"),
        ),
        harm=Harm.DOCUMENTS_MISSING,
    )


def _left_out(report: FailureReport) -> str:
    """How many, and which of them are new. That the others failed before goes without saying: whoever reads it in the
    first message about them has not heard of that."""
    more = "" if report.complete else "; there may be more"
    total = report.new + report.again + report.set_aside_now + report.set_aside
    if not total:
        return f"none that could be named{more}"
    documents = "document" if total == 1 else "documents"
    if report.new == total:
        return f"{total} new {documents}{more}"
    counted = (
        (report.new, "new"),
        (report.set_aside_now, "set aside now"),
        (report.set_aside, "set aside earlier"),
    )
    apart = ", ".join(f"{count} {what}" for count, what in counted if count)
    return f"{total} {documents}{f', of which {apart}' if apart else ''}{more}"


def retry_alert(report: RetryReport, deployment: Deployment) -> Alert | None:
    """What to say about documents that fail after a retry; `None` when none does."""
    if not report.left:
        return None
    tenant, one = str(report.tenant_id), report.left == 1
    counted = (
        (report.fixed, "fixed"),
        (report.failed, "failed again"),
        (report.unanswered, "without an answer in time"),
    )
    advice, command = _repair_of_documents(report.tenant_id, report.documents, deployment)
    came_to = ", ".join(f"{count} {what}" for count, what in counted if count) or "nothing was tried"
    return Alert(
        identity=report.identity,
        severity=Severity.BROKEN,
        title=f"{tenant}: {report.left} {'document' if one else 'documents'} still left out after a retry",
        subject=tenant,
        facts=(
            ("Tenant", tenant),
            ("Retry", came_to),
            *([("Ended early", report.stopped)] if report.stopped else []),
            ("Left out", f"{report.left} {'document' if one else 'documents'}"),
        ),
        reasons=_by_reason(report.documents),
        advice=advice,
        command=command,
        links=(deployment.runbook_link("documents-left-out"),),
        harm=Harm.DOCUMENTS_MISSING,
    )


def _repair_of_documents(
    tenant: TenantId, documents: Sequence[ReportedDocument], deployment: Deployment
) -> tuple[str, str]:
    """What to do, and the command for it. A sync is never it: one starts by itself when a document is uploaded or
    deleted, and until then the same documents fail again."""
    if not documents:
        return (
            "Which ones, could not be seen. This lists those that are known to fail, and what helps:",
            deployment.command("documents --failed", tenant),
        )
    upload = deployment.qualified(f"kbfleet upload {tenant} FILE --key KEY")
    hopeless = [document for document in documents if not document.retry_may_help]
    if len(hopeless) == len(documents):
        return (
            "No retry helps. Fix each as its reason says, and upload it again under its key, or delete it in the "
            "bucket. A sync then starts by itself:",
            upload,
        )
    left_out = ", without those that can never be read as they are" if hopeless else ""
    return (
        f"Fix what is wrong with a document, and upload it again with `{upload}`, or delete it in the bucket. A sync "
        "then starts by itself. Where nothing is wrong with a document, a retry may help. This gives them to Bedrock "
        f"once more{left_out}:",
        deployment.command("sync retry-failed", tenant),
    )


def _by_reason(documents: Sequence[ReportedDocument]) -> tuple[Reason, ...]:
    texts = dict.fromkeys(document.for_people for document in documents)
    return tuple(
        Reason(text, tuple(document.uri for document in documents if document.for_people == text)) for text in texts
    )


def repair_of_workflow(failure: WorkflowFailure) -> str:
    """The command of `kbfleet` that goes on where an execution has ended; or, where what was read of the documents is
    gone, that has them read anew."""
    if failure.deletes:
        return "tenant rebuild --stop"
    if failure.error == KnowledgeLost.__name__:
        return "tenant rebuild"
    return _VERBS[failure.workflow]


_VERBS = {
    Workflow.PROVISION_TENANT: "tenant add",
    Workflow.OFFBOARD_TENANT: "tenant offboard",
    Workflow.REBUILD_TENANT: "tenant rebuild",
}


CHECKS_ROOM = "Check Capacity"
"""A state of the provisioning. Whoever has a knowledge base passes it."""


def workflow_alert(tenant_id: TenantId, failure: WorkflowFailure, deployment: Deployment) -> Alert:
    """What to say when a provisioning ended without an active tenant, an offboarding with something left, or a rebuild
    without a verdict."""
    done, advice, harm = {
        Workflow.PROVISION_TENANT: (
            "provisioning",
            "Nothing that was made is lost. Remove the cause; then this continues where it stopped:",
            Harm.UNKNOWN,
        ),
        Workflow.OFFBOARD_TENANT: (
            "offboarding",
            "The tenant is out of service, but not everything is deleted. Remove the cause; then this takes up where "
            "it stopped:",
            None,
        ),
        Workflow.REBUILD_TENANT: (
            "rebuilding",
            "The tenant is answered as before. Remove the cause; then this continues where it stopped:",
            Harm.MACHINERY_ONLY,
        ),
    }[failure.workflow]
    if failure.deletes:
        advice = "What does not answer any more is not deleted yet. Remove the cause; then this continues:"
    if failure.error == KnowledgeLost.__name__:
        advice, harm = "No other cause need be removed. This reads all of the tenant's documents anew:", Harm.UNKNOWN
    if (failure.workflow, failure.step) == (Workflow.PROVISION_TENANT, CHECKS_ROOM):
        # It fails for tenants that have no knowledge base, and for no others.
        harm = Harm.NO_ANSWERS
    return Alert(
        identity=failure.execution,
        severity=Severity.BROKEN,
        title=f"{tenant_id}: {done} failed",
        subject=str(tenant_id),
        facts=(("Tenant", str(tenant_id)), ("Step", failure.step), ("Error", failure.error)),
        reasons=(Reason(failure.reason),),
        advice=advice,
        command=deployment.command(repair_of_workflow(failure), tenant_id),
        links=(
            deployment.execution_link(failure.execution),
            deployment.runbook_link(f"{done}-failed"),
        ),
        harm=harm,
    )


_SEEN: Mapping[SeenIn, tuple[str, str, Harm]] = {
    SeenIn.ANSWER: (
        "an answer, which was refused",
        "Nothing of what was seen was shown: whoever asked was refused. The tenant's knowledge base holds a document "
        "that is not the tenant's.",
        Harm.WRONG_ANSWERS,
    ),
    SeenIn.CREDENTIALS: (
        "a question, which was refused before anything was read",
        "Nothing was shown: whoever asked was refused. The tenant's record names a knowledge base that its "
        "credentials do not open.",
        Harm.NO_ANSWERS,
    ),
    SeenIn.RESOURCES: (
        "its resources",
        "An answer that cites a document of another bucket is refused. Whether an answer used one without citing it is "
        "not known.",
        Harm.WRONG_ANSWERS,
    ),
}


def loss_alert(diagnosis: Diagnosis, deployment: Deployment) -> Alert:
    """What to say when something is lost that a tenant's answers rest on."""
    losses = diagnosis.losses
    worst = losses[0]
    job = diagnosis.failed_job
    return Alert(
        identity=diagnosis.identity,
        severity=Severity.BROKEN,
        title=f"{diagnosis.tenant_id}: {worst.cause}",
        subject=str(diagnosis.tenant_id),
        facts=(
            ("Tenant", str(diagnosis.tenant_id)),
            *((loss.cause.capitalize(), loss.name) for loss in losses),
            *((("Ingestion job", job.name),) if job is not None else ()),
        ),
        # In AWS's words: what was found need not be all that it failed for.
        reasons=tuple(Reason(reason.whole) for reason in job.failure_reasons) if job is not None else (),
        reasons_left_out=job.reasons_left_out if job is not None else 0,
        advice=" ".join(filter(None, (*(loss.before for loss in losses), worst.outcome))),
        command=deployment.command(worst.command, diagnosis.tenant_id),
        links=(deployment.runbook_link("bucket-lost" if worst.loses_the_documents else "knowledge-lost"),),
        harm=worst.harm,
    )


def shared_loss_alert(diagnosis: FleetDiagnosis, deployment: Deployment) -> Alert:
    """What to say when something is gone that comes with the stack, and that all tenants share."""
    losses = diagnosis.losses
    first = losses[0]
    return Alert(
        identity=diagnosis.identity,
        severity=Severity.BROKEN,
        title=f"{THE_FLEET}: {first.cause}",
        subject=THE_FLEET,
        facts=tuple((str(loss.kind).capitalize(), loss.name) for loss in losses),
        advice=" ".join((*(loss.before for loss in losses), first.outcome)),
        command=deployment.qualified(first.command),
        links=(deployment.runbook_link("shared-resource-lost"),),
        harm=first.harm,
    )


_NAMED_QUESTIONS = 20


def question_alert(judged: QuestionsJudged, deployment: Deployment) -> Alert:
    """What to say when golden questions that were known to pass do not any more. Of the questions, it has ids."""
    tenant, regressions = str(judged.tenant_id), judged.regressions
    first = min(regressions, key=lambda each: each.since)
    find = "finds its" if len(regressions) == 1 else "find their"
    named = ", ".join(each.question_id for each in regressions[:_NAMED_QUESTIONS])
    more = len(regressions) - _NAMED_QUESTIONS
    return Alert(
        identity=judged.identity,
        severity=Severity.BROKEN,
        title=f"{tenant}: {len(regressions)} of {judged.asked} questions no longer {find} document",
        subject=tenant,
        facts=(
            ("Tenant", tenant),
            ("Questions", f"{named} and {more} more" if more > 0 else named),
            *((("Began with", "the sync that ended then"),) if first.after_sync is not None else ()),
        ),
        reasons=(_changed_documents(judged.changed),),
        advice="Each was known to pass, and has failed twice: no document that is expected is among the first five "
        "passages. Put right what has changed, or change what is expected; it is over once they pass again, or are "
        "removed. This says what came first instead:",
        command=deployment.command("questions results", tenant),
        links=(deployment.runbook_link("questions-regressed"),),
        harm=Harm.WRONG_ANSWERS,
        since=first.after_sync or first.since,
    )


def _changed_documents(changed: ChangedDocuments | None) -> Reason:
    if changed is None:
        return Reason("Which documents have changed since they passed last could not be listed.")
    if not changed.keys:
        return Reason("No document has changed since they passed last: look at the index, and at its settings.")
    return Reason("These documents have changed since an hour before they passed last.", changed.keys, changed.left_out)


def breach_alert(breach: Breach, deployment: Deployment) -> Alert:
    """What to say when something is in a tenant's reach that is not its own. It claims no more than was looked at."""
    where, shown, harm = _SEEN[breach.seen_in]
    found = ", ".join(breach.resources)
    label = "Not its own" if breach.seen_in is SeenIn.RESOURCES else "Asked of"
    looked = deployment.command("reconcile --tenant", breach.tenant_id)
    return Alert(
        identity=breach.identity,
        severity=Severity.BROKEN,
        title=f"{breach.tenant_id}: something within its reach is not its own",
        subject=str(breach.tenant_id),
        facts=(("Tenant", str(breach.tenant_id)), ("Seen in", where), *([(label, found)] if found else [])),
        advice=f"{shown} `{looked}` says what is not its own. The command below takes out what it can, and syncs. The "
        "incident is over once the first command finds nothing any more:",
        command=deployment.command("tenant add", breach.tenant_id),
        links=(deployment.runbook_link("isolation-breached"),),
        harm=harm,
    )


def alarm_alert(name: str, description: str, reason: str, deployment: Deployment) -> Alert:
    """What to say when an alarm of the stack goes off. Its description begins with how askers are hurt, which is not
    known where it does not say so. It ends with the command that shows or repairs what is wrong, and with its page of
    the runbook. Whoever changes a description proposes no command by that: only those of `ALARM_REMEDIES` are."""
    remedy = next((known for known in ALARM_REMEDIES if description.endswith(f" {_as_described(*known)}")), None)
    command, page = remedy or ("", "")
    what = description.removesuffix(_as_described(*remedy)) if remedy else description
    harm = next((each for each in Harm if what.startswith(f"{each.label}. ")), None)
    what = what.removeprefix(f"{harm.label}. ") if harm else what
    links = (deployment.alarm_link(name),)
    return Alert(
        identity=name,
        severity=Severity.BROKEN,
        title=f"{name}: {what.strip() or 'the alarm went off'}",
        subject=name,
        facts=(("Alarm", name),),
        reasons=(Reason(reason),),
        advice=_advice(command),
        command=deployment.qualified(command) if command else "",
        links=(*links, deployment.runbook_link(page)) if page else links,
        harm=harm or Harm.UNKNOWN,
    )


ALARM_REMEDIES: frozenset[tuple[str, str]] = frozenset(
    {
        ("kbfleet dlq list", "queues-stuck"),
        ("kbfleet dlq redrive alerts", "alerts-undelivered"),
        ("kbfleet dlq redrive checks", "deletion-checks-failing"),
        ("kbfleet dlq redrive executions", "stopped-executions-unreported"),
        ("kbfleet dlq redrive failures", "failures-uncollected"),
        ("kbfleet dlq redrive questions", "question-runs-failing"),
        ("kbfleet dlq redrive retries", "document-retries-failing"),
        ("kbfleet dlq redrive ticks", "ticks-failing"),
        ("kbfleet dlq redrive usage", "usage-uncounted"),
        ("kbfleet dlq show changes", "changes-refused"),
        ("kbfleet dlq show onboarding", "onboarding-refused"),
        ("kbfleet doctor", "alerts-waiting"),
        ("kbfleet doctor", "api-failing"),
        ("kbfleet doctor", "ask-slow"),
        ("kbfleet doctor", "capacity-low"),
        ("kbfleet doctor", "concurrency-exhausted"),
        ("kbfleet doctor", "requests-throttled"),
        ("kbfleet doctor", "scheduled-work-failing"),
        ("kbfleet reconcile", "isolation-breached"),
        ("kbfleet reconcile", "scheduled-work-failing"),
        ("kbfleet tenant list", "changes-waiting"),
        ("kbfleet tenant list", "executions-failing"),
    }
)
"""Command and page of the runbook, as the descriptions of the stack's alarms name them; a test compares them with the
template."""


def _as_described(command: str, page: str) -> str:
    return f"Run `{command}`. See docs/runbook/{page}.md"


def _advice(command: str) -> str:
    if command.startswith("kbfleet dlq redrive "):
        return "Remove the cause first; the runbook says how to find it. Then give back what waits:"
    return "This shows what is wrong; the runbook says what to do about it:" if command else ""
