"""Lives of two tenants, a few short ones: always the same, so that they end the same."""

from __future__ import annotations

from tests.proofs import life

SEED = 1_000
"""None of those that `make prove` tries."""


def test_whatever_happens_to_two_tenants_everything_is_in_order_in_the_end() -> None:
    assert life.live(SEED, lives=3, steps=12) is None
