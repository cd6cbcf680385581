"""How often the right manual is found, first and among the first five, by this emulator or another checkout's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.manuals.library import NotHereError
from benchmarks.report import Measurement

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / ".build" / "manuals"
# Per cent that are missed, at most: the report's targets are the most that a value may be.
MISSED_FIRST, MISSED_IN_FIVE = 20.0, 5.0


def measure(emulator: Path | None = None) -> Iterator[Measurement]:
    """Of this checkout's emulator, or of the one in the folder ``emulator``, which has no targets to meet.

    Raises NotHereError where the manuals can't be had, and RuntimeError where a question is wrong: its answer is not in
    its document.
    """
    found = asked(emulator)
    rows = found["asked"]
    ours = emulator is None
    if ours and (wrong := [row["question"] for row in rows if not row["stands there"]]):
        raise RuntimeError(f"what is expected is not in the document: {wrong}")
    yield Measurement(
        f"{len(rows)} questions to {found['documents']} documents: another document first",
        _missed(rows, 1),
        "%",
        MISSED_FIRST if ours else None,
    )
    yield Measurement("the right one not among the first five", _missed(rows, 5), "%", MISSED_IN_FIVE if ours else None)
    missed = sum(row["rank of the answer"] is None or row["rank of the answer"] > 5 for row in rows)
    yield Measurement("the answer itself in none of the first five passages", 100 * missed / len(rows), "%")
    yield Measurement("reading the documents", found["seconds of reading"], "s of the processor")


def asked(emulator: Path | None = None) -> dict[str, Any]:
    """What `benchmarks.manuals.search` prints. Raises NotHereError."""
    path = [str(each) for each in (emulator or REPOSITORY / "emulator", REPOSITORY, *sys.path) if each]
    ran = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.manuals.search", str(KEPT)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        if NotHereError.__name__ in ran.stderr:
            raise NotHereError(ran.stderr.strip().rpartition(f"{NotHereError.__name__}: ")[2])
        raise RuntimeError(ran.stderr[-2_000:])
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _missed(rows: list[dict[str, Any]], most: int) -> float:
    found = [row for row in rows if row["rank"] is not None and row["rank"] <= most]
    return 100 * (len(rows) - len(found)) / len(rows)
