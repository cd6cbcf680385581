"""Syncs by schedule: for what no event has reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.fleet_overview import Census
from kbfleet.domain.survey import unnoticed_until
from kbfleet.domain.sync import Priority, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.fleet_overview import enter_outlines
from kbfleet.usecases.ingestion import update_sync

if TYPE_CHECKING:
    from datetime import datetime

    from kbfleet.domain.names import Knowledge, TenantId
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import Clock, FleetRecords, SyncLedger, TenantRegistry, Ticks

RUN_EVERY = timedelta(minutes=15)
"""How often the schedule runs: what one run requests is spread over the time until the next one."""
_SHARE = 2
"""Of the account's starts every second one at most: the others are left to those who wait for a sync."""


@dataclass(frozen=True, slots=True)
class ScheduleReport:
    """What one run did. `left_over` is how many tenants were due and must wait for a later run; `unsurveyed`, whose
    bucket may hold changes that no event has told of, and is to be listed; `census`, what was counted on the way."""

    census: Census = field(compare=False)
    requested: tuple[TenantId, ...] = ()
    left_over: int = 0
    unsurveyed: tuple[Tenant, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncSchedule:
    """Requests a sync for every active tenant that has not had one for a while.

    A run takes those that have waited longest, no more than can be started until the next run, and lines them up: a
    thousand tenants that are due at once, after an outage or with the first deployment, become no crowd. A run that is
    repeated finds what it has requested in the queue, and requests nothing twice. It reads all tenants: so it counts
    them, too, and puts right what overviews of the fleet are made of.

    Args:
        every: after how long without a sync, or a request for one, a tenant is due; zero for never.
        start_interval: least time between two StartIngestionJob calls of the account.
        stale_after: after how long a change that is not synced makes its tenant stale.
        events_after: how long after S3 was asked for events they come for certain.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    fleet: FleetRecords
    ticks: Ticks
    clock: Clock
    every: timedelta
    start_interval: timedelta
    stale_after: timedelta
    events_after: timedelta

    def run(self) -> ScheduleReport:
        now = self.clock.now()
        due: list[tuple[datetime, TenantId, Knowledge]] = []
        unsurveyed: list[Tenant] = []
        active = failed = queued = stale = lined_up = 0
        oldest: datetime | None = None
        served: list[Tenant] = []
        for tenant in self.registry.all():
            active += tenant.status is TenantStatus.ACTIVE
            failed += tenant.status is TenantStatus.FAILED
            if tenant.status is TenantStatus.ACTIVE and tenant.data_source_id is not None:
                served.append(tenant)
        entries: list[Sync] = []
        for tenant, entry in zip(served, self.ledger.entries(each.live_knowledge for each in served), strict=True):
            entries += [] if entry.outlined else [entry]
            sync = self._taken_off_hold(entry, tenant, now)
            queued += sync.state is SyncState.QUEUED
            if (waits_since := sync.stale_since()) is not None:
                oldest = min(oldest or waits_since, waits_since)
                stale += waits_since <= now - self.stale_after
            lined_up += sync.state is SyncState.QUEUED and sync.priority is Priority.SCHEDULED
            since = _idle_since(sync, tenant)
            if since is not None and self._may_be_surveyed(tenant, sync, now):
                unsurveyed.append(tenant)
            if self.every and since is not None and since <= now - self.every:
                due.append((since, tenant.tenant_id, tenant.live_knowledge))
        spacing = _SHARE * self.start_interval
        room = max(0, int(RUN_EVERY / spacing) - lined_up)
        chosen = [knowledge for _, _, knowledge in sorted(due, key=lambda one: one[:2])[:room]]
        for place, knowledge in enumerate(chosen, start=lined_up):
            self._request(knowledge, now, ready_at=now + place * spacing)
        if chosen:
            self.ticks.request()
        census = Census(now, active, failed, queued, stale, oldest, enter_outlines(entries, ledger=self.ledger))
        self.fleet.count(census)
        return ScheduleReport(
            census, tuple(knowledge.tenant_id for knowledge in chosen), len(due) - len(chosen), tuple(unsurveyed)
        )

    def _may_be_surveyed(self, tenant: Tenant, sync: Sync, now: datetime) -> bool:
        until = unnoticed_until(tenant, sync, self.events_after)
        return until is not None and until <= now

    def _taken_off_hold(self, sync: Sync, tenant: Tenant, now: datetime) -> Sync:
        """The tenant's entry, as it is if whoever resumed the tenant has not died before taking it off hold."""
        if not sync.on_hold:
            return sync
        return update_sync(
            tenant.live_knowledge, lambda entry: entry.taken_off_hold(now, tenant.fence), ledger=self.ledger
        )

    def _request(self, knowledge: Knowledge, now: datetime, *, ready_at: datetime) -> None:
        def requested(entry: Sync) -> Sync:
            # Somebody may have requested a sync, or taken the tenant out of service, since the entry was read.
            if entry.state is not SyncState.IDLE or entry.barred:
                return entry
            return entry.requested(now, Priority.SCHEDULED, ready_at=ready_at)

        update_sync(knowledge, requested, ledger=self.ledger)


def _idle_since(sync: Sync, tenant: Tenant) -> datetime | None:
    """`None` while a sync is queued or runs, or must not."""
    if sync.state is not SyncState.IDLE or sync.barred:
        return None
    return sync.attended_at or tenant.status_since
