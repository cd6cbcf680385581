"""External jobs: ingestion jobs that somebody else started, such as in the console, while nothing was queued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.errors import KbfleetError, Throttled
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.domain.sync import SyncResult, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.ingestion import publish_once, update_sync

if TYPE_CHECKING:
    from datetime import datetime

    from kbfleet.domain.ingestion_job import IngestionJob, Outcome
    from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        Announcements,
        Clock,
        JobHistory,
        KnowledgeBases,
        SyncLedger,
        TenantRegistry,
        TenantRounds,
        Ticks,
    )

_SETTLED = {TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.SUSPENDED}
"""Whose knowledge base is neither just being made nor deleted."""

LOOK_BACK = timedelta(days=2)
"""How long ago a job may have been started to be found. A job can be older than one that is known, because it was
running, or its tenant busy, at the last visit: so what is known says nothing about what is older. Longer than a round
through the largest fleet takes."""


@dataclass(frozen=True, slots=True)
class ExternalJobsReport:
    """What one part of a round found.

    Args:
        tenants: how many it was about.
        found: jobs that had ended, now in the history and published.
        adopted: jobs that run, and are followed from now on.
        postponed: tenants who could not be looked at this time, with the reason.
    """

    tenants: int
    found: tuple[JobStateChange, ...]
    adopted: tuple[JobStateChange, ...]
    postponed: tuple[tuple[TenantId, KbfleetError], ...]


@dataclass(frozen=True, slots=True)
class ExternalJobs:
    """Goes round all tenants, a few of them each time, and compares their newest jobs with what the history knows.

    Rounds may overlap, repeat, or die anywhere. Publishing comes before storing, as everywhere.

    Args:
        at_a_time: most tenants that are visited each time; each costs a ListIngestionJobs call at least, of which an
            account has 10 a second (AWS documentation, Quotas for Amazon Bedrock).
        look_back: how long ago a job may have been started to be found. No longer than the history is kept, or a job
            that it has forgotten would be news again.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    history: JobHistory
    knowledge_bases: KnowledgeBases
    announcements: Announcements
    rounds: TenantRounds
    ticks: Ticks
    clock: Clock
    at_a_time: int
    look_back: timedelta

    def find(self) -> ExternalJobsReport:
        found: list[JobStateChange] = []
        adopted: list[JobStateChange] = []
        postponed: list[tuple[TenantId, KbfleetError]] = []
        began, position = self.clock.now(), self.rounds.find()
        last = position.visited
        throttled = False
        tenants = self.registry.following(last, self.at_a_time)
        for tenant in tenants:
            # Whatever comes of it: one tenant's trouble must not hold up the others; the next round is soon enough.
            last = tenant.tenant_id
            try:
                self._visit(tenant, found, adopted)
            except Throttled as error:
                # Ticks need the request rate more urgently.
                postponed.append((tenant.tenant_id, error))
                throttled = True
                break
            except KbfleetError as error:
                postponed.append((tenant.tenant_id, error))
        at_the_end = len(tenants) < self.at_a_time and not throttled
        to = None if at_the_end else last
        self.rounds.save(position.moved(to, since=began, now=self.clock.now(), missed=len(postponed)))
        if adopted:
            self.ticks.request()
        return ExternalJobsReport(len(tenants), tuple(found), tuple(adopted), tuple(postponed))

    def _visit(self, tenant: Tenant, found: list[JobStateChange], adopted: list[JobStateChange]) -> None:
        if tenant.status not in _SETTLED or tenant.data_source_id is None:
            return
        data_source = tenant.data_source()
        for job in self._unknown(tenant.this_life, data_source):
            if job.outcome is not None:
                found.append(self._record(tenant.live_knowledge, data_source, job, job.outcome))
            elif change := self._adopt(tenant.live_knowledge, data_source, job):
                adopted.append(change)

    def _unknown(self, life: Life, data_source: DataSourceReference) -> list[IngestionJob]:
        """The oldest first, so that each outcome follows the one before it."""
        since = self.clock.now() - self.look_back
        listed = self._listed(data_source, since)
        if not listed:
            return []
        known = {change.ingestion_job_id for change in self.history.started_since(life, since)}
        newest = listed[0].ingestion_job_id
        # As the job itself says: the list leaves out why it failed.
        return [
            self.knowledge_bases.ingestion_job(data_source, job.ingestion_job_id).as_of(
                self.clock.now(), over=job.ingestion_job_id != newest
            )
            for job in reversed(listed)
            if job.ingestion_job_id not in known
        ]

    def _listed(self, data_source: DataSourceReference, since: datetime) -> list[IngestionJob]:
        newest = []
        for job in self.knowledge_bases.ingestion_jobs(data_source):
            if job.started_at < since:
                break
            newest.append(job)
        return newest

    def _record(
        self, knowledge: Knowledge, data_source: DataSourceReference, job: IngestionJob, outcome: Outcome
    ) -> JobStateChange:
        before = self.ledger.find(knowledge)
        earlier = before.result if before.result and before.result.ended_at < job.updated_at else None
        change = JobStateChange(
            knowledge.tenant_id,
            data_source,
            generation=0,
            status=job.status,
            occurred_at=job.updated_at,
            ingestion_job_id=job.ingestion_job_id,
            started_at=job.started_at,
            outcome=outcome,
            previous_outcome=earlier.outcome if earlier else None,
            statistics=job.statistics,
            failure_reasons=job.failure_reasons,
            reasons_left_out=job.reasons_left_out,
            external=True,
            after_hold=before.after_hold,
            life=knowledge.life.number,
        )
        publish_once(change, history=self.history, announcements=self.announcements, clock=self.clock)
        result = SyncResult.of_job(job, outcome, 0, data_source.data_source_id)
        update_sync(knowledge, lambda sync: sync.noted(result), ledger=self.ledger)
        return change

    def _adopt(
        self, knowledge: Knowledge, data_source: DataSourceReference, job: IngestionJob
    ) -> JobStateChange | None:
        """A tenant that is queued or has a job already meets this one by itself, or the next round does."""
        sync = self.ledger.find(knowledge)
        if sync.state is not SyncState.IDLE:
            return None
        change = JobStateChange(
            knowledge.tenant_id,
            data_source,
            generation=sync.synced_generation,
            status=job.status,
            occurred_at=job.updated_at,
            ingestion_job_id=job.ingestion_job_id,
            started_at=job.started_at,
            previous_outcome=sync.result.outcome if sync.result else None,
            statistics=job.statistics,
            failure_reasons=job.failure_reasons,
            reasons_left_out=job.reasons_left_out,
            external=True,
            life=knowledge.life.number,
        )
        publish_once(change, history=self.history, announcements=self.announcements, clock=self.clock)
        self.ledger.save(sync.adopted(job))
        return change
