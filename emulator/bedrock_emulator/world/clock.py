"""The emulator's own time.

Every delay, expiry, quota and rate is measured on a clock, so that one knob (``speed``) or one call (``advance``) moves
all of them together.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and how long in real seconds a wait for a later time may take."""

    def now(self) -> float:
        """The time now, in seconds since 1970-01-01T00:00Z."""
        ...

    def real_seconds_until(self, when: float) -> float | None:
        """Real seconds until ``when``, at least 0; None when time only moves by hand."""
        ...

    def wall_time(self, when: float) -> float:
        """What callers are told for ``when``, in seconds since 1970: their own clocks run at real speed."""
        ...


class ScaledClock:
    """Runs ``speed`` times as fast as the wall clock, starting from the present at the earliest."""

    def __init__(self, speed: float = 1.0, not_before: float = 0.0) -> None:
        """``speed`` is emulated seconds per real second and must be above 0, else ValueError.

        ``not_before`` is the earliest time to start from, for a clock that carries on where a fast one has stopped.
        """
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self._speed = speed
        self._began = time.time()
        self._epoch = max(self._began, not_before)
        self._origin = time.monotonic()

    def now(self) -> float:
        """See `Clock.now`."""
        return self._epoch + (time.monotonic() - self._origin) * self._speed

    def real_seconds_until(self, when: float) -> float | None:
        """See `Clock.real_seconds_until`."""
        return max(0.0, (when - self.now()) / self._speed)

    def wall_time(self, when: float) -> float:
        """See `Clock.wall_time`. Seconds of emulated time are shorter than real ones, from the start on."""
        return self._began + (when - self._epoch) / self._speed


class ManualClock:
    """Stands still until `advance` is called. For tests: nothing happens between two requests unless time was moved."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        """``start`` is the first time told, in seconds since 1970."""
        self._now = start
        self._lock = Lock()

    def now(self) -> float:
        """See `Clock.now`."""
        with self._lock:
            return self._now

    def real_seconds_until(self, when: float) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Always None: no real time passes."""
        return None

    def wall_time(self, when: float) -> float:
        """``when`` itself."""
        return when

    def advance(self, seconds: float) -> None:
        """Move the time on by ``seconds``, at least 0."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._now += seconds
