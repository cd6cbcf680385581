"""What an overview of the fleet is made of, in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from kbfleet.domain.fleet_overview import (
    Census,
    FleetOutlines,
    IncidentOutline,
    QuestionsOutline,
    SyncOutline,
    TenantOutline,
    UsageOfMonth,
)
from kbfleet.domain.usage import total
from tests.support.incidents import InMemoryIncidents
from tests.support.questions import InMemoryQuestionWatches
from tests.support.records import (
    InMemoryRoomCounts,
    InMemorySyncLedger,
    InMemoryTenantRegistry,
    InMemoryTenantRounds,
)
from tests.support.usage import InMemoryUsageRecords


@dataclass
class InMemoryFleetRecords:
    """`kbfleet.ports.FleetRecords`, from the others."""

    registry: InMemoryTenantRegistry
    ledger: InMemorySyncLedger
    incidents: InMemoryIncidents
    watches: InMemoryQuestionWatches
    room_counts: InMemoryRoomCounts
    rounds: InMemoryTenantRounds
    usage: InMemoryUsageRecords
    census: Census | None = None

    def read(self, now: datetime, most_reads: int) -> FleetOutlines:
        tenants, syncs = list(self.registry.all()), [each for each in self.ledger.all if each.outlined]
        watches = [each for each in self.watches.all if each.questions]
        known = [self.incidents.find(identity) for identity in self.incidents.all]
        month = [each for each in self.usage.all if (each.day.year, each.day.month) == (now.year, now.month)]
        return FleetOutlines(
            Counter(each.status for each in tenants),
            [told for each in tenants if (told := TenantOutline.of(each)) is not None],
            [entry for each in syncs if (entry := SyncOutline.of(each)) is not None],
            [open_ for each in known if each is not None and (open_ := IncidentOutline.of(each)) is not None],
            [asked for each in watches if (asked := QuestionsOutline.of(each)) is not None],
            len(watches),
            self.room_counts.find(),
            self.rounds.find(),
            self.census,
            self.ledger.start_claimed_at,
            UsageOfMonth(min(each.day for each in month), total(month)) if month else None,
        )

    def count(self, census: Census) -> None:
        self.census = census
