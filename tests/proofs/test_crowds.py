"""Small samples of what `python -m benchmarks growth` measures at 10,000."""

from __future__ import annotations

from benchmarks.growth import bucket_deletion
from benchmarks.large_fleet import large_fleet
from benchmarks.looks import dead_letters, history, incidents, looks
from tests.proofs.crowds import MANY, behind_a_long_queue, beside_others, crowd


def test_some_tenants_at_once_are_all_active_as_soon_as_bedrock_lets_them_be() -> None:
    assert crowd(8) == []


def test_a_first_sync_is_waited_for_as_long_as_the_queue_needs_and_asked_for_once_an_hour() -> None:
    """It failed after four hours, which is behind 1,440 others; and nobody noticed when it asked every 90 seconds."""
    status, transitions = behind_a_long_queue(6)
    assert status == "SUCCEEDED"
    assert transitions <= 25 + 7


def test_a_bucket_is_emptied_in_the_time_that_there_is_and_its_rounds_fit_into_a_history() -> None:
    measured = list(bucket_deletion(1_000_000))
    assert [each.name for each in measured if not each.passed] == []
    assert {each.unit: each.value for each in measured}["events"] == 14


def test_looks_at_a_fleet_are_within_their_targets() -> None:
    with large_fleet(40) as fleet:
        assert [each.name for each in looks(fleet, 40) if not each.passed] == []


def test_what_waits_and_what_was_is_within_its_targets() -> None:
    measured = [*dead_letters(1_000), *incidents(150), *history(200)]
    assert [each.name for each in measured if not each.passed] == []


def test_one_tenant_costs_the_same_in_a_larger_fleet() -> None:
    assert beside_others(MANY) == []
