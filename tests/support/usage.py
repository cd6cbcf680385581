"""Tenants' usage in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from kbfleet.domain.names import Life
from kbfleet.domain.usage import DailyUsage, UsagePeriod


class InMemoryUsageRecords:
    """`kbfleet.ports.UsageRecords`."""

    def __init__(self) -> None:
        self._days: dict[tuple[Life, date], DailyUsage] = {}
        self._delivered: set[str] = set()

    def add(self, usage: Sequence[DailyUsage], *, delivery: str, now: datetime) -> None:
        if delivery in self._delivered:
            return
        self._delivered.add(delivery)
        for each in usage:
            known = self._days.get((each.of_life, each.day), DailyUsage(each.tenant_id, each.day, life=each.life))
            self._days[each.of_life, each.day] = known.plus(each.counts)

    @property
    def all(self) -> list[DailyUsage]:
        return list(self._days.values())

    def of_life(self, life: Life, period: UsagePeriod) -> Sequence[DailyUsage]:
        own = [usage for (of, day), usage in self._days.items() if of == life and period.first <= day <= period.last]
        return sorted(own, key=lambda usage: usage.day)
