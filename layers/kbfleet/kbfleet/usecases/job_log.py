"""The push side of job monitoring: what knowledge bases log of their jobs makes a tick come sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kbfleet.domain.ingestion import LoggedJobState
    from kbfleet.ports import SyncLedger
    from kbfleet.usecases.ingestion import Scheduler, TickReport


def tick_on_news(logged: Iterable[LoggedJobState], *, ledger: SyncLedger, scheduler: Scheduler) -> TickReport | None:
    """Runs a tick at once if a job that the ledger follows has come further than the ledger knows.

    What was logged is not believed beyond that: the tick asks Bedrock. Without it the next tick would find out all the
    same, so records may get lost; those of knowledge bases of type MANAGED tell of no end (reported by users).

    Returns: what the tick did; `None` when there was no news.
    """
    states = list(logged)
    if not states:
        return None
    followed = {sync.job.ingestion_job_id: sync.job.status for sync in ledger.running() if sync.job}
    known = ((state, followed.get(state.ingestion_job_id)) for state in states)
    news = any(status is not None and state.is_news_to(status) for state, status in known)
    return scheduler.tick() if news else None
