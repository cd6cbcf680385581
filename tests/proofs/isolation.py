"""No tenant reaches another's documents: hundreds of ways to try, over HTTP, on a local AWS that enforces IAM; and from
within, in virtual time."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.proofs import isolation_within
from tests.proofs.proof import Row, try_each
from tests.support.isolation_attempts import CANARIES, Attempt, Fleet, attempts, fleet_of_canaries

ATTEMPTS = 600


def prove() -> Row:
    """Every attempt is one run; that every tenant knows its own canary before and after shows that they could fail."""
    with tempfile.TemporaryDirectory(prefix="kbfleet-isolation-") as folder, fleet_of_canaries(Path(folder)) as fleet:
        row = tried(fleet, ATTEMPTS)
        for tenant_id, canary in CANARIES.items():
            answer = fleet.ask(tenant_id)
            row.add(None if canary in answer.text else f"{tenant_id} does not know its own canary: {answer}")
    isolation_within.attempt_all(row, "S3_VECTORS")
    return row


def tried(fleet: Fleet, number: int) -> Row:
    """That many attempts, the same ones at each call."""
    row = Row("attempts to reach another tenant, by requests and from within")
    kinds: Counter[str] = Counter()

    def attempt(made: Attempt) -> None:
        kinds[made.what] += 1
        row.add(fleet.breach(made))

    try_each(attempts(fleet), number, attempt)
    row.findings.append(", ".join(f"{count} by {kind}" for kind, count in kinds.most_common()))
    return row
