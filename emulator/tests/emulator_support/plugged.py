"""pytest as somebody has it who has installed the package."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PACKAGE = Path(__file__).parents[2]


def run_tests(folder: Path, tests: str) -> str:
    """What pytest says of tests in an empty folder, with the package's plugin alone. They pass."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(textwrap.dedent(tests))
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    environment = {**others, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PACKAGE)}
    program = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_bedrock_emulator", "-p", "no:cacheprovider"]
    ended = subprocess.run(  # noqa: S603 - this interpreter
        program, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
