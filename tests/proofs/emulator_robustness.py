"""The Bedrock emulator under thousands of generated requests: what everything else here stands on."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.proofs.proof import Row
from tests.support.template import REPOSITORY

REQUESTS = 10_000
_SUITE = "emulator/tests/test_robustness.py"


def prove() -> Row:
    """Runs the suite with that many requests, in a process of its own."""
    row = Row("the Bedrock emulator answers whatever it is asked as a service does")
    command = [sys.executable, "-m", "pytest", "-s", "-q", _SUITE]
    reported = f"BEDROCK_EMULATOR_REQUESTS={REQUESTS} pytest -s {_SUITE}"
    ran = subprocess.run(  # noqa: S603 - our own interpreter and our own suite
        command,
        cwd=REPOSITORY,
        env={**os.environ, "BEDROCK_EMULATOR_REQUESTS": str(REQUESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    row.add(None if ran.returncode == 0 else f"{reported}: {ran.stdout[-2_000:]}{ran.stderr[-500:]}")
    counted = re.search(r"([\d,]+) requests", ran.stdout)
    row.findings.append(counted[0] if counted else f"{REQUESTS:,} requests wanted")
    return row
