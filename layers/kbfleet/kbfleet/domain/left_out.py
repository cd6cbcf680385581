"""Whether it is known which of a tenant's documents are left out: nothing in the list is not nothing left out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.sync import Sync, SyncResult


class NotKnown(StrEnum):
    """Why it is not known."""

    NEVER_SYNCED = "NEVER_SYNCED"
    JOB_BROUGHT_NOTHING = "JOB_BROUGHT_NOTHING"
    NOT_COLLECTED = "NOT_COLLECTED"
    NOT_ALL_FOUND = "NOT_ALL_FOUND"


@dataclass(frozen=True, slots=True)
class LeftOutNotKnown:
    """Args:
    since: the end of the job since which it is not known; `None` where there was none.
    job: that job, where it is the newest one.
    finding, advice: for people.
    """

    why: NotKnown
    since: datetime | None
    job: str | None
    finding: str
    advice: str


def left_out_not_known(sync: Sync) -> LeftOutNotKnown | None:
    """`None` where it is known: the list of the tenant's failing documents then has all that are left out."""
    result = sync.result
    if sync.documents_left_out is not None:
        return None
    if result is None:
        return LeftOutNotKnown(
            NotKnown.NEVER_SYNCED,
            None,
            None,
            "No sync has ended yet, so nothing is known of any document.",
            "The first one comes by itself, once the tenant is provisioned.",
        )
    if _looked_without_finding_all(sync, result):
        return LeftOutNotKnown(
            NotKnown.NOT_ALL_FOUND,
            sync.left_out_as_of,
            None,
            "More documents may be left out than could be found.",
            f"`kbfleet jobs list {sync.tenant_id}` shows what Bedrock counted. "
            f"`kbfleet why {sync.tenant_id} KEY` looks at one document.",
        )
    job = result.ingestion_job_id or f"generation-{result.generation}"
    if not result.outcome.usable:
        return LeftOutNotKnown(
            NotKnown.JOB_BROUGHT_NOTHING,
            result.ended_at,
            job,
            f"The last sync, job {job}, ended {result.outcome}: what it would have left out is not known.",
            f"Remove the cause, if there is one: `kbfleet jobs show {sync.tenant_id} {job}` says why. Then "
            f"`kbfleet sync start {sync.tenant_id}` looks again.",
        )
    since = sync.uncounted_since or result.ended_at
    of_newest = since == result.ended_at
    return LeftOutNotKnown(
        NotKnown.NOT_COLLECTED,
        since,
        job if of_newest else None,
        f"What {f'job {job}' if of_newest else 'an earlier job'} left out has not been collected.",
        "That takes about a minute from the end of a job. If it lasts, `kbfleet dlq list` says what failed, and "
        "`kbfleet dlq redrive failures` collects it.",
    )


def _looked_without_finding_all(sync: Sync, result: SyncResult) -> bool:
    looked = sync.uncounted_since is None and sync.left_out_as_of is not None and not sync.left_out_whole
    if not looked or sync.left_out_as_of is None:
        return False
    return result.outcome is Outcome.SUCCEEDED or sync.left_out_as_of >= result.ended_at
