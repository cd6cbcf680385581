"""The real template, deployed to a local AWS of this test run's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from local import deployment
from local.demo import Demo
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port

# So few that tests can use them up, and come back so slowly that they stay used up.
TIGHT_PREMIUM = {"PremiumRequestsPerSecond": "0.01", "PremiumBurst": "3", "PremiumRequestsPerMonth": "2"}
ROOM_OF_A_NEW_ACCOUNT = 10
"""Lambda invocations at a time."""
KBFLEET = Path(sys.executable).with_name("kbfleet")


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfiguration]:
    """Of a running local AWS with the template deployed. Every function may do what its role says, and nothing else."""
    folder = tmp_path_factory.mktemp("local-aws")
    configuration = StackConfiguration(
        state_directory=folder,
        aws_port=free_port(),
        side_port=free_port(),
        authorization=True,
        account_concurrency=ROOM_OF_A_NEW_ACCOUNT,
    )
    process.start(configuration)
    try:
        deployment.deploy(configuration, parameter_overrides=TIGHT_PREMIUM)
        yield configuration
    finally:
        process.stop(folder)


@pytest.fixture(scope="session")
def demo(configuration: StackConfiguration) -> Demo:
    """The fleet as it was deployed; other tests may have made tenants of their own."""
    outputs = deployment.read_outputs(configuration)
    return Demo(configuration, Console(file=sys.stdout, width=120), TIGHT_PREMIUM, outputs)


@pytest.fixture(scope="session")
def story(demo: Demo) -> Demo:
    """The fleet after the whole story was played on it once."""
    demo.play()
    return demo


@pytest.fixture(scope="session")
def kbfleet(configuration: StackConfiguration) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the operator's command line against the fleet."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- our own program
            [str(KBFLEET), *arguments],
            env=environment | configuration.client_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
