"""``python -m tests.proofs [--whole]``: every proof, as a table. Exits 1 when one fails."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.proofs import (
    advice,
    crash_points,
    documented_api,
    emulator_robustness,
    first_provisioning,
    fleet_import,
    fleet_rebuild,
    golden_questions,
    hostile_words,
    isolation,
    late_events,
    ledger_protocol,
    ledger_races,
    life,
    losses,
    poisoned_jobs,
    question_crashes,
    question_load,
    role_isolation,
    scenarios,
    sizes,
    slow_aws,
    storms,
)
from tests.proofs.proof import Proof, Row

RIVAL_SEEDS = range(20)
CROWD_SEEDS = range(2)
LIFE_SEEDS = range(8)
A_FIFTH = fleet_import.TENANTS // 5
"""Of those who are added from a file: all of them take seven minutes of a core, and what is new with each is little."""
EVERY = 7
"""Which crash points are tried in half an hour: a prime, so that the chosen ones are of every kind of crash."""


def proofs(*, whole: bool) -> Iterator[Proof]:
    """In the order of their length, the shortest first.

    Args:
        whole: crash at every point of the workflows, which takes hours, and add a thousand tenants from a file. Losses
            are many, and what follows them is much the same: of these every seventh is enough.
    """
    stores = scenarios.stores()
    yield from (partial(first_provisioning.prove, store) for store in stores)
    yield from (partial(slow_aws.prove, store) for store in stores)
    yield from (partial(storms.prove_rivals, store, RIVAL_SEEDS) for store in stores)
    yield from (partial(late_events.prove, store) for store in stores)
    yield poisoned_jobs.prove
    yield documented_api.prove
    yield advice.prove
    yield advice.prove_said
    yield losses.prove
    yield emulator_robustness.prove
    yield emulator_robustness.prove_files
    yield ledger_protocol.prove
    yield ledger_races.prove
    yield sizes.prove
    yield hostile_words.prove
    yield role_isolation.prove
    yield isolation.prove
    yield golden_questions.prove
    yield question_load.prove
    yield partial(fleet_import.prove, fleet_import.TENANTS if whole else A_FIFTH)
    yield fleet_rebuild.prove
    yield partial(question_crashes.prove, whole=whole)
    yield partial(life.prove, LIFE_SEEDS)
    yield from (partial(storms.prove_crowd, store, CROWD_SEEDS) for store in stores)
    yield from (
        partial(crash_points.prove, scenario, store, nth=1 if whole else EVERY)
        for store in stores
        for scenario in scenarios.scenarios(store)
    )
    yield from (
        partial(crash_points.prove, scenario, store, nth=EVERY)
        for store in stores
        for scenario in scenarios.restorations(store)
    )


def _table() -> Table:
    table = Table(title="Proofs", title_justify="left")
    for heading in ("proof", "knowledge store"):
        table.add_column(heading)
    for heading in ("runs", "failures", "seconds", "of the cores"):
        table.add_column(heading, justify="right")
    table.add_column("found")
    return table


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (f"{row.runs:,}", f"{len(row.failures):,}", f"{row.seconds:,.0f}", f"{row.core_seconds:,.0f}")
    return (row.proof, row.store, *numbers, "\n".join(row.findings))


def _core_seconds() -> float:
    """What this process and its children that have ended have computed so far."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> int:
    """Gives the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs", description="Every proof, as a table.")
    parser.add_argument(
        "--whole", action="store_true", help="crash at every point, not at every seventh, and more: hours"
    )
    chosen = parser.parse_args()
    console = Console(highlight=False, emoji=False)
    table = _table()
    failed: list[Row] = []
    with Live(table, console=console, auto_refresh=False) as live:
        for prove in proofs(whole=chosen.whole):
            began, core_seconds = time.monotonic(), _core_seconds()
            row = _tried(prove)
            row.seconds, row.core_seconds = time.monotonic() - began, _core_seconds() - core_seconds
            table.add_row(*_cells(row))
            live.refresh()
            if not console.is_terminal:
                # There, the table is shown at the end only.
                console.print(" | ".join(cell.replace("\n", "; ") for cell in _cells(row) if cell), soft_wrap=True)
                _print_failures(row, console)
            failed += [row] if row.failures else []
    for row in failed:
        _print_failures(row, console)
    return 1 if failed else 0


def _tried(prove: Proof) -> Row:
    """One that cannot even be tried has failed, and keeps no other from being tried."""
    try:
        return prove()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is shown in the table
        row = Row(getattr(prove, "func", prove).__module__)
        row.add(f"{type(error).__name__}: {error}"[:2_000])
        return row


def _print_failures(row: Row, console: Console) -> None:
    if row.failures:
        console.print(f"FAILED: {row.proof} {row.store}".rstrip())
    for failure in row.first_failures:
        console.print(f"  {failure}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
