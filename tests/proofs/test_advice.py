"""Some of what people are told to do, done. `make prove` does it all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs import advice
from tests.support.virtual_fleet import VirtualFleet

SAMPLE = ("a_suspended_tenant_is_resumed", "a_job_that_failed_is_tried_again", "a_held_sync_goes_on")


@pytest.fixture(scope="module")
def fleet() -> Iterator[VirtualFleet]:
    with advice.prepared() as fleet:
        yield fleet


@pytest.mark.parametrize("situation", SAMPLE)
def test_what_people_are_told_helps_where_it_is_told(fleet: VirtualFleet, situation: str) -> None:
    assert advice.unproved(fleet, situation) == []
