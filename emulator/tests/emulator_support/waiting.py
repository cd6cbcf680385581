"""Waiting for what must happen in real time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300
"""It costs nothing where all is well, and a machine that is busy with something else makes no test fail."""


def until(happened: Callable[[], bool]) -> None:
    """Looks every ten milliseconds until it has happened.

    Raises:
        AssertionError: it has not after `PATIENCE_SECONDS`.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end, f"not after {PATIENCE_SECONDS} seconds"
        time.sleep(0.01)
