"""Suspending, resuming, stopping, offboarding, provisioning, ticks, uploads and looks, each beside each, at one entry
of the ledger."""

from __future__ import annotations

from tests.proofs.proof import Row, Runs, in_processes
from tests.support.ledger_races import SITUATIONS, USE_CASES, races, run


def prove(runs: Runs = in_processes) -> Row:
    """Every pair in every situation, in every order of their calls at the ledger; again with one dying at each of its
    calls, and called again."""
    row = Row("no waiter and no request is lost, in whatever order two use cases call the ledger")
    tried = runs(run, list(races()))
    row.runs = sum(each.orders for each in tried)
    row.failures = [failure for each in tried for failure in each.failures]
    row.findings.append(f"{len(tried)} pairs of {len(USE_CASES)} use cases, in {len(SITUATIONS)} situations")
    return row
