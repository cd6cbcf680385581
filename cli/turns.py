"""Many things to do to a fleet, some at a time. What is done, the fleet's records say: nothing else is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cli.progress import Show, watch

Item = TypeVar("Item")
Ended = TypeVar("Ended")
LOOKS = 5
"""At executions, between two pauses: the oldest first, in turn."""


@dataclass
class Turns(Generic[Item, Ended]):
    """
    Args:
        begin: an item's execution, by its name, or how it ended without one.
        end_of: how an execution ended; `None` while it runs.
        at_once: executions at work.
        ended: what is done, also of those that were done before.
        at_work: items whose executions run, with their names; also of those that were begun otherwise.
    """

    begin: Callable[[Item], str | Ended]
    end_of: Callable[[Item, str], Ended | None]
    at_once: int
    ended: list[Ended] = field(default_factory=list)
    at_work: deque[tuple[Item, str]] = field(default_factory=deque)
    _left: deque[Item] = field(default_factory=deque)

    def run(self, what: str, items: Iterable[Item]) -> None:
        """Until each has ended.

        Raises:
            FleetUnreachable, Refused: the fleet does not answer any more. What was begun goes on by itself.
        """
        self._left.extend(items)
        number = len(self._left) + len(self.at_work) + len(self.ended)

        def look(show: Show) -> bool | None:
            self._step()
            at_work = f", {len(self.at_work)} at work" if self.at_work else ""
            show(f"{len(self.ended):,} of {number:,}{at_work}")
            return None if self._left or self.at_work else True

        watch(what, look)

    def _step(self) -> None:
        """Repeated where the fleet did not answer, it loses nothing and does nothing twice."""
        while self._left and len(self.at_work) < self.at_once:
            begun = self.begin(self._left[0])
            item = self._left.popleft()
            if isinstance(begun, str):
                self.at_work.append((item, begun))
            else:
                self.ended.append(begun)
        for _ in range(min(LOOKS, len(self.at_work))):
            ended = self.end_of(*self.at_work[0])
            if ended is None:
                self.at_work.rotate(-1)
            else:
                self.at_work.popleft()
                self.ended.append(ended)
