"""Ticks of the scheduler, and checks of what a sync would delete, during which something happens: the process dies, or
somebody else acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, TypeVar

from kbfleet.usecases.deletion_checks import DeletionCheck
from kbfleet.usecases.ingestion import Scheduler, TickReport
from tests.support.fleet import Fleet

_Work = TypeVar("_Work", Scheduler, DeletionCheck)


class Died(BaseException):
    """The process ended, without a chance to catch anything."""


class PortCalls:
    """Counts the calls that a scheduler and a check make of their ports, over any number of ticks, and acts just before
    one.

    Args:
        at: the number of that call, from 0. A tick that ends before has not been disturbed.
        act: what happens then; it may raise `Died`.
    """

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._at = at
        self._act = act
        self.made = 0

    @property
    def acted(self) -> bool:
        return self.made > self._at

    def tick(self, scheduler: Scheduler) -> TickReport:
        return self._tapped(scheduler).tick()

    def check_deletions(self, fleet: Fleet) -> None:
        """Every check that was asked for. One that dies is made again, as the queue offers it again."""
        while fleet.checks.waiting:
            (first, *_) = fleet.checks.waiting
            self._tapped(fleet.deletion_check).run(first, fleet.clock.now() + timedelta(minutes=4))
            fleet.checks.done(first)

    def _tapped(self, work: _Work) -> _Work:
        ports: dict[str, Any] = {
            part.name: Tapped(getattr(work, part.name), self._tap)
            for part in fields(work)
            if part.name not in {"clock", "start_interval", "names", "limit"}
        }
        return replace(work, **ports)

    def _tap(self) -> None:
        self.made += 1
        if self.made == self._at + 1:
            self._act()


class Tapped:
    """A port that calls `tap` before each of its calls."""

    def __init__(self, port: object, tap: Callable[[], None]) -> None:
        self._port = port
        self._tap = tap

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*arguments: object, **named: object) -> Any:
            self._tap()
            return method(*arguments, **named)

        return call


def die() -> None:
    raise Died
