"""``python -m tests.proofs``: every proof, as a table. Exits 1 when one fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.proofs import crash_points, emulator_robustness, first_provisioning, slow_aws, storms
from tests.proofs.proof import Row

RIVAL_SEEDS = range(20)
CROWD_SEEDS = range(2)


def proofs() -> Iterator[Callable[[], Row]]:
    """In the order of their length, the shortest first."""
    stores = crash_points.stores()
    yield from (partial(first_provisioning.prove, store) for store in stores)
    yield from (partial(slow_aws.prove, store) for store in stores)
    yield from (partial(storms.prove_rivals, store, RIVAL_SEEDS) for store in stores)
    yield emulator_robustness.prove
    yield from (partial(storms.prove_crowd, store, CROWD_SEEDS) for store in stores)
    yield from (partial(crash_points.prove, crash_points.provisioning(store), store) for store in stores)


def _table() -> Table:
    table = Table(title="Proofs", title_justify="left")
    for heading in ("proof", "knowledge store"):
        table.add_column(heading)
    for heading in ("runs", "failures", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("found")
    return table


def main() -> int:
    """Gives the process's exit code."""
    console = Console(highlight=False, emoji=False)
    table, failed = _table(), []
    with Live(table, console=console, auto_refresh=False) as live:
        for prove in proofs():
            began = time.monotonic()
            row = prove()
            seconds = f"{time.monotonic() - began:,.0f}"
            runs, failures = f"{row.runs:,}", f"{len(row.failures):,}"
            table.add_row(row.proof, row.store, runs, failures, seconds, "\n".join(row.findings))
            live.refresh()
            failed += [row] if row.failures else []
    for row in failed:
        console.print(f"\nFAILED: {row.proof} {row.store}".rstrip())
        for failure in row.first_failures:
            console.print(f"  {failure}", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
