"""What a proof gives: a row of the table, and how to repeat what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_SHOWN_FAILURES = 5


@dataclass
class Row:
    """A proof's outcome. `runs` is how many worlds were tried; `findings` are measurements worth showing."""

    proof: str
    store: str = ""
    runs: int = 0
    failures: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, failure: str | None) -> None:
        """One more run, and what was wrong with it."""
        self.runs += 1
        if failure is not None:
            self.failures.append(failure)

    @property
    def first_failures(self) -> list[str]:
        return self.failures[:_SHOWN_FAILURES]


Proof = Callable[[], Row]


def timed(proof: Proof) -> Row:
    """Runs a proof and notes how long that took, in real seconds."""
    began = time.monotonic()
    row = proof()
    row.seconds = time.monotonic() - began
    return row


def every(nth: int, total: int) -> Iterator[int]:
    """Each `nth` of so many points, from the first."""
    return iter(range(0, total, nth))
