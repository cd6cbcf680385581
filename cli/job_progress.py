"""How far a running ingestion job is, in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from cli.terminal import counted
from kbfleet.contracts.tenants import SyncBody


def how_far(
    scanned: int, indexed: int, failed: int, *, expected: int | None, counted_at: datetime | None, status: str
) -> str:
    """Args: expected: how many documents there were when the last job ended; there may be more or fewer by now."""
    if counted_at is None:
        return f"{status}, no documents counted yet"
    # With more than there were, how many there will be is anybody's guess.
    known = expected is not None and scanned <= expected
    seen = f"{scanned:,} of about {expected:,} documents" if known else counted(scanned, "document")
    return f"{seen} read, {indexed:,} indexed" + (f", {failed:,} failed" if failed else "")


def running_job(sync: SyncBody) -> str | None:
    """`None` while none runs."""
    if sync.running_job_id is None:
        return None
    job, status = sync.running_job, str(sync.running_job_status)
    name = f"job {sync.running_job_id}"
    if job is None:  # a fleet of an older release does not tell
        return f"{name} {status}"
    far = how_far(job.scanned, job.indexed, job.failed, expected=job.expected, counted_at=job.counted_at, status=status)
    return f"{name}: {far}"


def lasting(time: timedelta) -> str:
    """Rounded down to what people say: `40 s`, `4 min`, `4 h 48 min`, `3 d`."""
    seconds = max(0, int(time.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"
