"""A thousand tenants are added from a file, and somebody interrupts the command: each is made once, in little more than
the shortest time that there can be; what is run again goes on where it was, and then changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from typer.testing import CliRunner

import cli.main
import cli.progress
from bedrock_emulator import Quotas
from bedrock_emulator.services.ingestion_jobs import SMALL_SYNC
from cli.fleet_api import FleetApi
from kbfleet.domain.names import TenantId
from tests.proofs.proof import Row
from tests.support.slowness import AS_SLOW_AS_USUAL
from tests.support.verified_fleet import Bends, VirtualFleetApi
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, virtual_fleet

TENANTS = 1_000
STORE = "MANAGED"
"""Of which an account has 10,000 knowledge bases; of type VECTOR, a hundred."""
MOST_TIMES_THE_BOUND = 1.15
LOOK_EVERY = 10.0
"""Seconds between two looks of the command, in place of its one: calls of the API are not what is looked at."""
INTERRUPTED_FOR = 60.0
ADDED, ALREADY, REFUSED = "ADDED", "ALREADY", "REFUSED"
_REFUSED_LINES = (
    ("Not An Id", "Nobody", "STANDARD", "tenant"),
    ("tenant-0000", "Twice", "STANDARD", "is in line 2, too"),
    ("tier-unknown", "Somebody", "GOLD", "tier"),
)
"""In the file beside the others, each with a word of the reason for which it is refused."""
_JOBS, _STARTS_EVERY = Quotas().jobs_per_account, 1 / Quotas().requests_per_second["StartIngestionJob"]
_CREATED_PER_SECOND = Quotas().requests_per_second["CreateKnowledgeBase"]


@dataclass
class Run:
    """Of the command: its exit code, what it has said of each line, and what it has said as a whole."""

    exit_code: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(line["outcome"] for line in self.lines)
