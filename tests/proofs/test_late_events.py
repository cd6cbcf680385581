"""A part of the proof about late events: see `late_events`."""

from __future__ import annotations

import pytest

from tests.proofs.late_events import OCCASIONS, crash_everywhere


@pytest.mark.parametrize(
    ("occasion", "change"), [(occasion, change) for occasion, (_, changes) in OCCASIONS.items() for change in changes]
)
def test_no_change_is_lost_although_events_were_not_on(occasion: str, change: str) -> None:
    outcomes = crash_everywhere(("S3_VECTORS", occasion, change))
    assert outcomes
    assert [outcome for outcome in outcomes if outcome is not None] == []
