"""The fleet on one screen: read from outlines, and these put right where an older version has written."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.fleet_overview import overview

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from kbfleet.domain.fleet_overview import FleetOverview
    from kbfleet.domain.sync import Sync
    from kbfleet.ports import Clock, FleetRecords, SyncLedger

MOST_READS = 30
"""Of one overview, however large the fleet is."""
_ENTERED_AT_ONCE = 5_000
"""In one run, which has more to do."""


def see_fleet(
    *, records: FleetRecords, clock: Clock, start_interval: timedelta, stale_after: timedelta
) -> FleetOverview:
    """Raises: Throttled, NotReadyYet, AwsRefusal."""
    now = clock.now()
    outlines = records.read(now, MOST_READS)
    return overview(outlines, now, start_interval=start_interval, stale_after=stale_after)


def enter_outlines(entries: Iterable[Sync], *, ledger: SyncLedger) -> int:
    """Stores entries of the ledger anew that overviews do not know of: a version from before there were outlines has
    written them, before an update, during it, or after it was taken back.

    Returns: how many are left for the next time.
    """
    # What was never stored has nothing to say; and what was erased since it was read must not come back.
    missing = [each for each in entries if each.version and not each.outlined]
    for entry in missing[:_ENTERED_AT_ONCE]:
        with suppress(ConcurrentUpdate):  # whoever was faster has stored it, or erased it
            ledger.save(entry)
    return len(missing[_ENTERED_AT_ONCE:])
