"""No text and no number of tenants makes anything too large. A sample; `make prove` tries thousands."""

from __future__ import annotations

from tests.proofs import sizes


def test_nothing_gets_too_large_and_what_is_left_out_is_counted() -> None:
    row = sizes.prove(15)
    assert row.runs >= 60
    assert row.first_failures == []
