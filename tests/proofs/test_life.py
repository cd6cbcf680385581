"""Lives of two tenants, a few short ones: always the same, so that they end the same."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

import pytest

from tests.proofs import life
from tests.support.losses import Loss, lose

SEED = 1_000
"""None of those that `make prove` tries."""
LOOKING = ("kbfleet.usecases.examination", "kbfleet.usecases.reconciliation")


def test_whatever_happens_to_two_tenants_everything_is_in_order_in_the_end() -> None:
    assert life.live(SEED, lives=3, steps=12) is None


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(True, r"acme: \[.*EMPTIED.*vector index", id="it is not read anew"),
        pytest.param(False, "acme reports well, but .*handbook.txt is in the bucket", id="nor missed"),
    ],
)
def test_a_lost_index_that_somebody_makes_again_and_that_stays_empty_is_found(seen: bool, found: str) -> None:
    """Nobody reads it anew; or nobody sees that the index is younger than what was read into it."""
    lived = life.FleetLife()
    with ExitStack() as stack:
        stack.callback(lived.close)
        lived.deploy(chosen=("S3_VECTORS", "S3_VECTORS"), active={"acme"})
        lived.let_time_pass(seconds=4_000)
        lived.upload(tenant_id="acme", key="handbook.txt", text="One thing.")
        lived.let_everything_end()
        lived.let_time_pass(seconds=4_000)
        lived.look(tenant_id="acme")
        stack.enter_context(patch.object(lived, "_rebuild"))
        for module in () if seen else LOOKING:
            stack.enter_context(patch(f"{module}.content_lost", lambda *_: False))
        if not seen:
            # Nor does a search that finds nothing tell anybody.
            stack.enter_context(patch("kbfleet.usecases.examination._Look._holds_documents", lambda _: False))
        lose(lived.fleet, "S3_VECTORS", "acme", Loss.INDEX_REPLACED)
        with pytest.raises(AssertionError, match=found):
            lived.end()
