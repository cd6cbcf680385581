"""The Bedrock emulator under thousands of generated requests and changed files: what everything else here stands on."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.proofs.proof import Row
from tests.support.template import REPOSITORY

REQUESTS = 10_000
FILES_OF_EACH_FORMAT = 2_000


def prove() -> Row:
    """Runs the suite with that many requests, in a process of its own."""
    row = Row("the Bedrock emulator answers whatever it is asked as a service does")
    told = _told(row, "emulator/tests/test_robustness.py", "BEDROCK_EMULATOR_REQUESTS", REQUESTS)
    counted = re.search(r"([\d,]+) requests", told)
    row.findings.append(counted[0] if counted else f"{REQUESTS:,} requests wanted")
    return row


def prove_files() -> Row:
    """Runs the suite with that many changed files of each format, in a process of its own."""
    row = Row("whatever is wrong with a file, the Bedrock emulator's job goes on without it")
    told = _told(row, "emulator/tests/test_unsound_files.py", "BEDROCK_EMULATOR_FILES", FILES_OF_EACH_FORMAT)
    row.findings += re.findall(r"[\d,]+ changed files of \.\w+, [\d,]+ of them readable", told)
    return row


def _told(row: Row, suite: str, name: str, wanted: int) -> str:
    """What the suite printed, run with that number of what the variable counts."""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and our own suite
        [sys.executable, "-m", "pytest", "-s", "-q", suite],
        cwd=REPOSITORY,
        env={**os.environ, name: str(wanted)},
        capture_output=True,
        text=True,
        check=False,
    )
    row.add(
        None if ran.returncode == 0 else f"{name}={wanted} pytest -s {suite}: {ran.stdout[-2_000:]}{ran.stderr[-500:]}"
    )
    return ran.stdout
