"""Ticks of the scheduler during which something happens: the process dies, or somebody else acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from kbfleet.usecases.ingestion import Scheduler, TickReport


class Died(BaseException):
    """The process ended, without a chance to catch anything."""


class PortCalls:
    """Counts the calls that a scheduler makes of its ports, over any number of ticks, and acts just before one.

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
        ports: dict[str, Any] = {
            part.name: Tapped(getattr(scheduler, part.name), self._tap)
            for part in fields(scheduler)
            if part.name not in {"clock", "start_interval"}
        }
        return replace(scheduler, **ports).tick()

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
