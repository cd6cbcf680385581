"""Every metric that kbfleet writes of itself, and the one way to write them.

They go to standard output in CloudWatch's embedded metric format, so writing costs no call. All have the same
dimensions, `service` and `fleet`, and never one of a tenant: a metric is paid for by name and dimensions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from kbfleet.settings import FleetSettings, read

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "kbfleet"
SERVICE = "kbfleet"
DIMENSIONS = ("service", "fleet")


class Metric(StrEnum):
    """A metric's name; with its unit, and what it means to whoever reads the dashboard."""

    unit: MetricUnit
    meaning: str

    def __new__(cls, name: str, unit: MetricUnit, meaning: str) -> Self:
        metric = str.__new__(cls, name)
        metric._value_ = name
        metric.unit, metric.meaning = unit, meaning
        return metric

    # --- how the fleet is: every quarter of an hour ---
    TENANTS_ACTIVE = "TenantsActive", MetricUnit.Count, "tenants in service"
    TENANTS_FAILED = "TenantsFailed", MetricUnit.Count, "tenants whose provisioning or offboarding has failed"
    TENANTS_QUEUED = "TenantsQueued", MetricUnit.Count, "active tenants whose sync waits for its turn"
    TENANTS_STALE = (
        "TenantsStale",
        MetricUnit.Count,
        "active tenants with a change that is not synced for longer than `StaleAfterSeconds`, whatever the reason",
    )
    SCHEDULED_SYNCS_REQUESTED = "ScheduledSyncsRequested", MetricUnit.Count, "syncs requested by schedule"
    SCHEDULED_SYNCS_LEFT_OVER = "ScheduledSyncsLeftOver", MetricUnit.Count, "tenants that were due and have to wait"

    # --- ingestion: each tick that has work ---
    INGESTION_JOBS_RUNNING = "IngestionJobsRunning", MetricUnit.Count, "jobs that run; the account may have five"
    INGESTION_JOBS_STARTED = "IngestionJobsStarted", MetricUnit.Count, "jobs that were started"
    INGESTION_JOBS_ENDED = "IngestionJobsEnded", MetricUnit.Count, "jobs that were seen to have ended"
    JOB_EVENTS_REFUSED = (
        "JobEventsRefused",
        MetricUnit.Count,
        "changes of jobs that the event bus has refused for good; they are in the job history only",
    )
    OLDEST_PENDING_CHANGE_SECONDS = (
        "OldestPendingChangeSeconds",
        MetricUnit.Seconds,
        "how long the oldest change has waited: each quarter of an hour, of all active tenants; at each tick, of those "
        "at the head of the queue",
    )
    # --- each job that ended ---
    INGESTION_JOBS_SUCCEEDED = "IngestionJobsSucceeded", MetricUnit.Count, "jobs that left nothing out"
    INGESTION_JOBS_DEGRADED = "IngestionJobsDegraded", MetricUnit.Count, "jobs that left documents out"
    INGESTION_JOBS_FAILED = "IngestionJobsFailed", MetricUnit.Count, "jobs that failed, those that are tried again too"
    INGESTION_JOBS_STOPPED = "IngestionJobsStopped", MetricUnit.Count, "jobs that somebody stopped"
    DOCUMENTS_INDEXED = "DocumentsIndexed", MetricUnit.Count, "documents, new or changed, that jobs have indexed"
    DOCUMENTS_FAILED = "DocumentsFailed", MetricUnit.Count, "documents that jobs have left out"

    # --- what starts ingestion ---
    CHANGES_NOTED = "ChangesNoted", MetricUnit.Count, "changes of documents that made a sync due"
    CHANGES_OF_LEAVING_TENANTS = "ChangesOfLeavingTenants", MetricUnit.Count, "changes of tenants that are offboarded"
    CHANGES_OF_UNKNOWN_TENANTS = "ChangesOfUnknownTenants", MetricUnit.Count, "changes in buckets of nobody"
    MALFORMED_CHANGES = "MalformedChanges", MetricUnit.Count, "messages that are no change of a document"
    EXTERNAL_INGESTION_JOBS = "ExternalIngestionJobs", MetricUnit.Count, "jobs that were started by somebody else"

    # --- questions ---
    QUESTIONS_ANSWERED = (
        "QuestionsAnswered",
        MetricUnit.Count,
        "questions that were taken and counted, whatever they came to",
    )
    QUESTIONS_WITHOUT_ANSWER = (
        "QuestionsWithoutAnswer",
        MetricUnit.Count,
        "of these, the ones to which no document had an answer",
    )
    ANSWERS_GUARDED = "AnswersGuarded", MetricUnit.Count, "of these, the ones at which a guardrail stepped in"
    REQUESTS_THROTTLED = (
        "RequestsThrottled",
        MetricUnit.Count,
        "requests answered 429 because AWS was called too fast; not those that API Gateway itself refuses",
    )
    ISOLATION_BREACHES = (
        "IsolationBreaches",
        MetricUnit.Count,
        "answers that were refused, and resources that were found, because they are not the tenant's own",
    )
    USAGE_LINES_REFUSED = "UsageLinesRefused", MetricUnit.Count, "lines of usage that cannot be read"

    # --- golden questions: each run that has ended ---
    GOLDEN_QUESTIONS_PASSED = "GoldenQuestionsPassed", MetricUnit.Count, "golden questions that passed"
    GOLDEN_QUESTIONS_FAILED = "GoldenQuestionsFailed", MetricUnit.Count, "golden questions that failed"
    GOLDEN_QUESTIONS_NOT_JUDGED = (
        "GoldenQuestionsNotJudged",
        MetricUnit.Count,
        "golden questions that could not be asked, or that are judged by their answers only",
    )

    # --- resources ---
    TENANTS_LEFT = (
        "TenantsLeft",
        MetricUnit.Count,
        "further tenants that the account has room for, by the quota of which least is left",
    )
    CAPACITY_USED = (
        "CapacityUsed",
        MetricUnit.Percent,
        "of the quota of which most is used, by everybody in the account",
    )
    RESOURCES_MISSING = "ResourcesMissing", MetricUnit.Count, "resources that a record names and that are gone"
    RESOURCES_UNEXPLAINED = "ResourcesUnexplained", MetricUnit.Count, "resources of ours that no record names"
    DELETIONS_OVERDUE = "DeletionsOverdue", MetricUnit.Count, "tenants that should have been deleted by now"


def publish(measured: Mapping[Metric, float]) -> None:
    """Writes one line with all of them, of the fleet that the environment names."""
    line = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
    line.add_dimension("fleet", read(FleetSettings).fleet_name)
    for metric, value in measured.items():
        line.add_metric(metric.value, metric.unit, value)
    line.flush_metrics()
