"""`kbfleet verify` on the local AWS: every fact is observed and confirmed, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.verify.facts import FACTS
from local import deployment
from local.identity_provider import IdentityProvider
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port
from tests.e2e.conftest import KBFLEET

pytestmark = [pytest.mark.drill, pytest.mark.local_stack, pytest.mark.timeout(1_800)]
SPEED = 6.0
"""Faster, and the machine's own seconds (cold starts, one in which a queue gathers changes) count for too many."""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfiguration]:
    """Of a local AWS on which nobody is served yet, and every call needs a permission."""
    folder = tmp_path_factory.mktemp("local-aws")
    configuration = StackConfiguration(
        state_directory=folder, aws_port=free_port(), side_port=free_port(), authorization=True, speed=SPEED
    )
    process.start(configuration)
    try:
        deployment.deploy(configuration)
        yield configuration
    finally:
        process.stop(folder)


def test_every_fact_is_confirmed_of_the_local_aws(configuration: StackConfiguration, tmp_path: Path) -> None:
    issuer = IdentityProvider.open(configuration.token_issuer, configuration.signing_key)
    token = issuer.mint("verify-one", expires_in=3_600)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= configuration.client_environment()

    def kbfleet(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- our own program
            [str(KBFLEET), *arguments], env=environment, capture_output=True, text=True, timeout=1_500, check=False
        )

    file = tmp_path / "report.json"
    options = ("--probe-limits", "--yes", "--speed", str(SPEED), "--user-token", token, "--report", str(file))
    ran = kbfleet("verify", *options)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    report = json.loads(file.read_text("utf-8"))
    assert {line["fact"]: line["verdict"] for line in report["facts"]} == dict.fromkeys(FACTS, "CONFIRMED"), ran.stdout
    for secret in (configuration.account, "arn:", "://", "127.0.0.1", token):
        assert secret not in file.read_text("utf-8")
    assert kbfleet("verify", "--compare", str(file)).returncode == 0
    assert "there was nothing" in kbfleet("verify", "--clean-up", "--speed", str(SPEED)).stdout
    assert kbfleet("reconcile").returncode == 0
