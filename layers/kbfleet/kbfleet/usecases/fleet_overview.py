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
    from kbfleet.domain.names import Knowledge
    from kbfleet.ports import Clock, FleetRecords, SyncLedger

MOST_READS = 30
"""Of one overview, however large the fleet is."""
_ENTERED_AT_ONCE = 5_000
"""In one run: each is a read and a write."""


def see_fleet(
    *, records: FleetRecords, clock: Clock, start_interval: timedelta, stale_after: timedelta
) -> FleetOverview:
    """Raises: Throttled, NotReadyYet, AwsRefusal."""
    now = clock.now()
    outlines = records.read(now, MOST_READS)
    return overview(outlines, now, start_interval=start_interval, stale_after=stale_after)


def enter_outlines(served: Iterable[Knowledge], *, ledger: SyncLedger, records: FleetRecords) -> int:
    """Stores entries of the ledger anew that overviews do not see: a version from before there were outlines has
    written them, before an update, during it, or after it was taken back.

    Args:
        served: whose documents are brought into them.

    Returns: how many were missing, and are there now.
    """
    seen, entered = records.entered(), 0
    missing = [each for each in served if each not in seen]
    for entry in ledger.entries(missing[:_ENTERED_AT_ONCE]):
        if not entry.version:
            continue  # there is none, or none any more: an erased one must not come back
        with suppress(ConcurrentUpdate):  # whoever was faster has stored it, or erased it
            ledger.save(entry)
            entered += 1
    return entered
