"""Measurements with their targets, as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Measurement:
    """Something measured: ``value`` in ``unit``, with ``target`` as the most it may be; None when it has no target."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def passed(self) -> bool:
        """Whether it is within its target."""
        return self.target is None or self.value <= self.target


def machine() -> str:
    """What was measured on: the cores at hand, the Python, the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} {'core' if cores == 1 else 'cores'} ({platform.machine()}), {python}, {platform.system()}"


def show(title: str, measurements: Iterable[Measurement], console: Console) -> bool:
    """Print the table. Gives whether every measurement is within its target."""
    measured = list(measurements)
    table = Table(title=title, caption=machine(), title_justify="left", caption_justify="left")
    table.add_column("measured")
    for heading in ("result", "target"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for measurement in measured:
        target = "" if measurement.target is None else f"≤ {measurement.target:g} {measurement.unit}"
        verdict = "" if measurement.target is None else "PASS" if measurement.passed else "FAIL"
        table.add_row(measurement.name, f"{_rounded(measurement.value)} {measurement.unit}", target, verdict)
    console.print(table)
    return all(measurement.passed for measurement in measured)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
