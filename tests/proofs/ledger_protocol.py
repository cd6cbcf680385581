"""The sync ledger under thousands of histories: uploads, ticks that overlap, repeat and die, jobs of every outcome."""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proofs.proof import Row
from tests.unit.test_ledger_protocol import LedgerProtocol

HISTORIES = 200
STEPS = 60


def prove() -> Row:
    """Each history ends with ticks that come again; then nothing that was requested is left unsynced."""
    row = Row("no requested generation is left unsynced, whatever happens to uploads, ticks and jobs")
    machine = hypothesis.seed(0)(type("Histories", (LedgerProtocol,), {}))
    chosen = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except Exception as failure:  # noqa: BLE001 - whatever is wrong is what the row has to show
        row.add(f"{type(failure).__name__}: {failure}. Repeat by tests.proofs.ledger_protocol.prove()")
    row.runs = HISTORIES
    row.findings.append(f"of {STEPS} steps each")
    return row
