"""Tenants' usage in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from kbfleet.domain.names import TenantId
from kbfleet.domain.usage import DailyUsage, UsagePeriod


class InMemoryUsageRecords:
    """`kbfleet.ports.UsageRecords`."""

    def __init__(self) -> None:
        self._days: dict[tuple[TenantId, date], DailyUsage] = {}
        self._delivered: set[str] = set()

    def add(self, usage: Sequence[DailyUsage], *, delivery: str, now: datetime) -> None:
        if delivery in self._delivered:
            return
        self._delivered.add(delivery)
        for each in usage:
            known = self._days.get((each.tenant_id, each.day), DailyUsage(each.tenant_id, each.day))
            self._days[each.tenant_id, each.day] = known.plus(each.counts)

    def of_tenant(self, tenant_id: TenantId, period: UsagePeriod) -> Sequence[DailyUsage]:
        own = [
            usage for (of, day), usage in self._days.items() if of == tenant_id and period.first <= day <= period.last
        ]
        return sorted(own, key=lambda usage: usage.day)
