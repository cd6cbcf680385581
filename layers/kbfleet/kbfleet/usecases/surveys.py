"""Surveys: once events of a bucket come for certain, it is listed for what no job has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.survey import Survey, was_seen_by
from kbfleet.usecases.ingestion import update_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import BucketContents, Clock, JobHistory, SyncLedger, Ticks

PAGES_A_RUN = 100
"""Of a thousand versions each, that are listed of one bucket before it is the next one's turn."""


@dataclass(frozen=True, slots=True)
class SurveyReport:
    """What one run did: for whom a sync was requested, and whose bucket could not be listed, with the reason."""

    requested: tuple[TenantId, ...] = ()
    postponed: tuple[tuple[TenantId, KbfleetError], ...] = ()


@dataclass(frozen=True, slots=True)
class Surveys:
    """Lists buckets, and requests a sync where one holds, or lacks, something that no job has seen.

    A run that dies anywhere is made again: that a sync is requested and that the bucket was surveyed is one write.

    Args:
        events_after: how long after S3 was asked for events they come for certain.
    """

    ledger: SyncLedger
    history: JobHistory
    bucket_contents: BucketContents
    ticks: Ticks
    clock: Clock
    names: ResourceNames
    events_after: timedelta

    def run(self, tenants: Iterable[Tenant], until: datetime) -> SurveyReport:
        """Surveys the buckets of these, who are active. One that takes too long is gone on with by the next run.

        Args:
            until: when to stop.
        """
        requested: list[TenantId] = []
        postponed: list[tuple[TenantId, KbfleetError]] = []
        for tenant in tenants:
            if self.clock.now() >= until:
                break
            try:
                if self._survey(tenant, until):
                    requested.append(tenant.tenant_id)
            except KbfleetError as error:
                # One tenant's trouble must not keep the others; the next run is soon enough.
                postponed.append((tenant.tenant_id, error))
        if requested:
            self.ticks.request()
        return SurveyReport(tuple(requested), tuple(postponed))

    def _survey(self, tenant: Tenant, until: datetime) -> bool:
        """Returns: whether a sync was requested."""
        since = tenant.events_since
        entry = self.ledger.find(tenant.live_knowledge)
        if since is None or entry.has_surveyed(since):
            return False
        job = self._last_job(tenant, entry)
        if job is None and entry.never_used:
            # No job has seen anything, and none is needed while there is nothing.
            survey, unseen = self._listed(tenant, _begun(entry, since), None, until)
        elif job is None or job.started_at is None:
            # What it has seen is not known: to look whether something is missing in the index is what a sync does.
            return self._request(tenant, since, entry)
        elif job.started_at >= since + self.events_after:
            survey, unseen = Survey(since, ended=True), False
        else:
            survey, unseen = self._listed(tenant, _begun(entry, since), job, until)
        if unseen:
            return self._request(tenant, since, entry)
        self._write(tenant, lambda sync: sync.surveyed(survey))
        return False

    def _last_job(self, tenant: Tenant, entry: Sync) -> JobStateChange | None:
        """The newest job, if it has ended and has read the tenant's bucket, whoever started it."""
        result = entry.result
        if result is None or not result.outcome.usable or result.ingestion_job_id is None:
            return None
        if result.data_source_id != tenant.data_source_id:
            return None
        return self.history.find(tenant.this_life, result.ingestion_job_id)

    def _listed(
        self, tenant: Tenant, survey: Survey, job: JobStateChange | None, until: datetime
    ) -> tuple[Survey, bool]:
        """Returns: how far the bucket is listed now, and whether there is something that the job has not seen.

        Args:
            job: the last one; `None` where there has been none.
        """
        bucket = self.names.bucket(tenant.this_life)
        for _ in range(PAGES_A_RUN):
            page = self.bucket_contents.versions(bucket, survey.after)
            if not all(job is not None and was_seen_by(job, version) for version in page.versions):
                return survey, True
            present = sum(not (version.deleted or version.folder) for version in page.versions)
            survey = replace(survey, objects=survey.objects + present, after=page.following)
            if page.following is None:
                # Of a version that was deleted for good, and of a delete marker that was taken away, nothing is listed.
                counted = job.statistics.scanned + job.statistics.metadata_scanned if job is not None else 0
                return replace(survey, ended=True), survey.objects != counted
            if self.clock.now() >= until:
                break
        return survey, False

    def _request(self, tenant: Tenant, since: datetime, entry: Sync) -> bool:
        now = self.clock.now()
        after = self._write(tenant, lambda sync: sync.found_unnoticed(since, now))
        return after.requested_generation > entry.requested_generation

    def _write(self, tenant: Tenant, change: Callable[[Sync], Sync]) -> Sync:
        """Changes the tenant's entry, unless offboarding has deleted it since: it must not come back."""
        return update_sync(
            tenant.live_knowledge, lambda sync: change(sync) if sync.version else sync, ledger=self.ledger
        )


def _begun(entry: Sync, since: datetime) -> Survey:
    """The survey that is under way for that request for events, or a new one."""
    return entry.survey if entry.survey is not None and entry.survey.events_since == since else Survey(since)
