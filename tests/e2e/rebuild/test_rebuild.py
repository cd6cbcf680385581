"""The story of `make demo-rebuild`, where every function may do what its role says, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bedrock_emulator.reading.parsers import can_see
from local.rebuild_demo import RebuildDemo
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not can_see(), reason="the packages that read scans are not installed: `make scans` does it"),
]


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[StackConfiguration]:
    folder = tmp_path / "local-aws"
    made = StackConfiguration(
        state_directory=folder, aws_port=free_port(), side_port=free_port(), authorization=True, speed=120
    )
    process.start(made)
    try:
        yield made
    finally:
        process.stop(folder)


def test_a_tenant_is_rebuilt_taken_back_and_promoted_again_and_no_user_sees_it(
    configuration: StackConfiguration,
) -> None:
    RebuildDemo(configuration, Console(file=sys.stdout, width=120)).play()
