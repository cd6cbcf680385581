"""What is due to happen later, on the emulator's clock."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable
from threading import Condition, RLock, Thread

from bedrock_emulator.world.clock import Clock

_log = logging.getLogger(__name__)


class Agenda:
    """Actions that run when their time has come: at the next request, or earlier by a thread of its own.

    The thread exists only while something is due, and never with a clock that is moved by hand.
    """

    def __init__(self, clock: Clock, lock: RLock) -> None:
        """Actions run holding ``lock``, the one that guards the state they change."""
        self._clock = clock
        self._changed = Condition(lock)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._thread: Thread | None = None

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run ``action`` once, not before ``when`` (seconds since 1970)."""
        with self._changed:
            heapq.heappush(self._due, (when, next(self._order), action))
            if self._clock.real_seconds_until(when) is None:
                return
            if self._thread is None:
                self._thread = Thread(target=self._keep_time, name="bedrock-agenda", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def run_due(self) -> None:
        """Run all that is due by now, in order of time; what an action adds for a time already past runs too."""
        with self._changed:
            while self._due and self._due[0][0] <= self._clock.now():
                _, _, action = heapq.heappop(self._due)
                try:
                    action()
                except Exception:  # noqa: BLE001 - an action's fault must neither fail an unrelated request nor stop the thread
                    _log.exception("a scheduled change failed")

    def _keep_time(self) -> None:
        with self._changed:
            while self._due:
                self.run_due()
                if self._due:
                    self._changed.wait(self._clock.real_seconds_until(self._due[0][0]))
            self._thread = None
