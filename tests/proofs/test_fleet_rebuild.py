"""A sample of `make prove`: a small fleet is rebuilt by turns, interrupted, and gone on with."""

from __future__ import annotations

import pytest

from tests.proofs import fleet_rebuild

pytestmark = pytest.mark.timeout(600)


def test_a_small_fleet_is_rebuilt_by_turns_and_nobody_twice() -> None:
    assert fleet_rebuild.prove(4, 2).failures == []
