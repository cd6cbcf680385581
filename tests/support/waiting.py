"""Waiting for what must happen on a local AWS, which lives in real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

PATIENCE_SECONDS = 300
"""It costs nothing where all is well, and a machine that is busy with something else makes no test fail."""


def until(look: Callable[[], Seen | None], what: Callable[[], str] | str, *, every: float = 0.2) -> Seen:
    """Looks again until there is something.

    Args:
        look: gives something true once it has happened.
        what: the sentence to fail with.
        every: seconds between two looks.

    Raises:
        AssertionError: it has not happened after `PATIENCE_SECONDS`.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        otherwise = what if isinstance(what, str) else what()
        assert time.monotonic() < end, f"after {PATIENCE_SECONDS} seconds: {otherwise}"
        time.sleep(every)
    return seen
