"""How long something had a status, of which single looks are all that there is."""

from __future__ import annotations

from cli.verify.facts import Took
from cli.verify.story import Sightings

KIND = "knowledge base MANAGED"


def test_what_is_first_seen_long_after_it_was_made_may_have_been_so_from_then_on() -> None:
    sightings = Sightings(began=0.0)
    sightings.note(KIND, "KB1", "CREATING", 100.0, lambda: 40.0)
    sightings.note(KIND, "KB1", "CREATING", 110.0, lambda: 50.0)
    sightings.note(KIND, "KB1", "ACTIVE", 120.0, lambda: 60.0)
    assert sightings.lasted(KIND, "CREATING", "ACTIVE") == Took(10.0, 60.0)


def test_nothing_was_so_before_it_was_asked_for_whatever_the_clocks_say() -> None:
    for age in (4_000.0, -4_000.0):
        sightings = Sightings(began=90.0)
        sightings.note(KIND, "KB1", "CREATING", 100.0, lambda age=age: age)  # type: ignore[misc]
        sightings.note(KIND, "KB1", "ACTIVE", 120.0, lambda: 0.0)
        assert sightings.lasted(KIND, "CREATING", "ACTIVE") == Took(0.0, 30.0 if age > 0 else 20.0)
