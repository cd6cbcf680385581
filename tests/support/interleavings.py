"""Every order in which strands of work can make their calls, one order after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TypeVar

from tests.support.virtual_time import Timeline, VirtualClock

Outcome = TypeVar("Outcome")


class Order(Random):
    """Who goes next, each time that several could: as it is written down, and behind that the first.

    Args:
        choices: what is written down, each the place of who goes next among those that could.
    """

    def __init__(self, choices: Sequence[int] = ()) -> None:
        super().__init__(0)
        self._choices = choices
        self._taken: list[tuple[int, int]] = []

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """The next choice among `start`, as a `Timeline` asks for it."""
        assert (stop, step) == (None, 1)
        place = len(self._taken)
        choice = self._choices[place] if place < len(self._choices) else 0
        self._taken.append((choice, start))
        return choice

    @property
    def taken(self) -> list[int]:
        """All choices so far: `Order(taken)` repeats them."""
        return [choice for choice, _ in self._taken]

    def following(self) -> Order | None:
        """The order behind this one, once this one has been run through; `None` behind the last."""
        for place in reversed(range(len(self._taken))):
            choice, among = self._taken[place]
            if choice + 1 < among:
                return Order([*self.taken[:place], choice + 1])
        return None


def in_order(order: Order, work: Callable[[Timeline], Sequence[Callable[[], None]]]) -> None:
    """Runs strands to their ends, in that order.

    Args:
        work: gives what the strands do; where the timeline's baton is passed, another may go on.

    Raises:
        StrandDied.
    """
    timeline = Timeline(VirtualClock(), interleaving=order)
    strands = [timeline.spawn(f"strand {place}", each) for place, each in enumerate(work(timeline))]
    timeline.run_until(lambda: all(strand.ended.is_set for strand in strands), within=0)


def every_order(run: Callable[[Order], Outcome]) -> Iterator[Outcome]:
    """Runs the same work in every order. Its strands must do the same whenever they are run in the same order."""
    order: Order | None = Order()
    while order is not None:
        yield run(order)
        order = order.following()
