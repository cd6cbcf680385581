"""A part of the proof about late events; `make prove` tries all of it."""

from __future__ import annotations

import pytest

from tests.proofs.late_events import crash_everywhere


@pytest.mark.parametrize(
    "case",
    [
        ("S3_VECTORS", "the first provisioning", "upload"),
        ("MANAGED", "a repair", "nothing"),
    ],
)
def test_no_change_is_lost_although_events_were_not_on(case: tuple[str, str, str]) -> None:
    outcomes = crash_everywhere(case)
    assert outcomes
    assert [outcome for outcome in outcomes if outcome is not None] == []
