"""Every loss, whole and half, on every store on which it can happen: told alike everywhere, and brought back."""

from __future__ import annotations

from tests.proofs.proof import Row
from tests.support.world_copies import CopyDied
from tests.workflow.test_losses import EVERY, lost, world


def prove() -> Row:
    row = Row("losses: told alike everywhere, and brought back by the command that is told")
    with world() as fleet:
        for store, name in EVERY:
            try:
                lost(fleet, store, name)
            except CopyDied as wrong:
                row.add(f"{name} on {store}: {wrong}")
            else:
                row.add(None)
    return row
