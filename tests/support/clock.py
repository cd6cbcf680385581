"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class FakeClock:
    """`kbfleet.ports.Clock` for tests."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the time on. Raises: ValueError when `seconds` is negative."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += timedelta(seconds=seconds)

    def set(self, now: datetime) -> None:
        """Moves the time on to `now`. Raises: ValueError when that is past already."""
        self.advance((now - self._now).total_seconds())
