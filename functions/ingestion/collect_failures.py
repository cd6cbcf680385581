"""Trigger: a rule on the bus, when an ingestion job has ended. Brings the list of documents that fail up to date; of a
job that failed as a whole, it has the function that examines tenants look what that does to answers."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse
from kbfleet.contracts.events import JobStateChangeEvent
from kbfleet.domain.ingestion_job import JobStateChange, Outcome
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish

_OUTCOMES = {
    Outcome.SUCCEEDED: Metric.INGESTION_JOBS_SUCCEEDED,
    Outcome.DEGRADED: Metric.INGESTION_JOBS_DEGRADED,
    Outcome.FAILED: Metric.INGESTION_JOBS_FAILED,
    Outcome.STOPPED: Metric.INGESTION_JOBS_STOPPED,
}


def _count(job: JobStateChange) -> None:
    counts, ended_as = job.statistics, _OUTCOMES.get(job.outcome) if job.outcome else None
    measured: dict[Metric, float] = {ended_as: 1} if ended_as else {}
    publish(
        {
            **measured,
            Metric.DOCUMENTS_INDEXED: counts.new + counts.modified,
            Metric.DOCUMENTS_FAILED: counts.failed,
        }
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    job = parse(JobStateChangeEvent, event).detail.to_domain()
    logger.append_keys(tenant_id=job.tenant_id, ingestion_job_id=job.ingestion_job_id)
    if job.outcome is Outcome.FAILED and job.final and not job.beside:
        # A job that failed for a passing cause is tried again by itself: only what stays broken is news; and nobody is
        # answered from what is beside the live knowledge. This comes first: what fails behind it must not keep people
        # from hearing of it.
        bootstrap.examiner().examine_after(job)
    report = bootstrap.failure_collector().collect(job)
    # Behind the collecting: when that fails the event comes again, and the job would be counted twice.
    _count(job)
    if report is None:
        return
    if not report.complete:
        logger.warning("More documents may have failed than could be looked at")
    logger.info(
        "Documents that fail",
        new=report.new,
        again=report.again,
        set_aside_now=report.set_aside_now,
        set_aside=report.set_aside,
        fixed=report.fixed,
    )
