"""What README.md tells to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from emulator_support.console_script import started_emulator
from emulator_support.plugged import run_tests

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
IN_PYTEST, SERVED, IN_PROCESS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
VARIABLES = dict(re.findall(r"(AWS_\w+)=(\S+)", README))
PORT = "9666"


def run(program: str, variables: dict[str, str]) -> str:
    """What a program prints that sees no variables of AWS but these."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], env=others | variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_boto3_is_pointed_at_the_console_script_by_its_variables(tmp_path: Path) -> None:
    with started_emulator(tmp_path / "said", "--speed", "1000") as emulator:
        variables = {name: value.replace(PORT, str(emulator.port)) for name, value in VARIABLES.items()}
        printed = run(SERVED, variables)
    assert printed.strip() == re.findall(r"^print\(.*  # (.*)$", SERVED, re.MULTILINE)[0]


def test_clients_are_attached_in_a_test() -> None:
    keys = {name: value for name, value in VARIABLES.items() if not name.startswith("AWS_ENDPOINT")}
    assert run(IN_PROCESS, keys) == ""


def test_pytest_finds_the_fixtures(tmp_path: Path) -> None:
    assert "1 passed" in run_tests(tmp_path, IN_PYTEST)
