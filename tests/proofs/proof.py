"""What a proof gives: a row of the table, and how to repeat what failed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Item = TypeVar("Item")
Result = TypeVar("Result")

_SHOWN_FAILURES = 5


@dataclass
class Row:
    """A proof's outcome: how many things were tried, what failed and how to repeat it, what was measured, and the real
    seconds that it took, on the clock and of all cores together."""

    proof: str
    store: str = ""
    runs: int = 0
    failures: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    core_seconds: float = 0.0

    def add(self, failure: str | None) -> None:
        """One more run, and what was wrong with it."""
        self.runs += 1
        if failure is not None:
            self.failures.append(failure)

    @property
    def first_failures(self) -> list[str]:
        return self.failures[:_SHOWN_FAILURES]


Proof = Callable[[], Row]
"""A world or many of them, tried."""


class Runs(Protocol):
    """How a proof's runs are made: `in_processes`, or one after another by `one_by_one`."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]: ...


def one_by_one(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    return [work(item) for item in items]


def in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """One process a core. They are spawned, not forked: the table's progress lives in a thread."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, items))


def try_each(drawn: st.SearchStrategy[Item], number: int, attempt: Callable[[Item], None]) -> None:
    """Makes so many attempts, the same ones at each call."""

    @hypothesis.seed(0)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # a failure is shown as it is
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def run(one: Item) -> None:
        attempt(one)

    run()
