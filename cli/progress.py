"""Waiting for something to end, and saying how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import NoReturn, TypeVar

from rich.console import Group, RenderableType
from rich.live import Live

from cli.fleet_api import FleetUnreachable, Refused
from cli.terminal import err, literal, marked, out

POLL_SECONDS = 1.0
REDRAW_EVERY = 5
"""Looks of others: what is redrawn is read by people, and each look costs some reads of all that there is."""
_LINES = 10
"""That a count with a known end makes where there is no terminal."""
_COUNTED_A_LINE = 1_000
"""Where the end is not known."""
_UNANSWERED_LOOKS = 10
"""In a row, after which waiting makes no sense any more."""

Result = TypeVar("Result")
Show = Callable[[str], None]


class Progress:
    """Says what is going on: a spinner with the elapsed time on a terminal, a line at each change elsewhere. Not where
    results go: a program may read those."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._shown = ""
        self._line = 0
        self._status = err.status(marked(literal(what))) if err.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, state: str) -> None:
        seconds = time.monotonic() - self._began
        if self._status:
            self._status.update(marked(literal(f"{self._what} · {state} · {seconds:.0f} s")))
        elif state != self._shown:
            err.print(marked(literal(f"  {self._what}: {state}")), soft_wrap=True)
        self._shown = state

    def count(self, number: int, of: int | None = None) -> None:
        """Says how many are done, and of how many, where that is known: each on a terminal; a line now and then
        elsewhere."""
        line = number // _COUNTED_A_LINE if of is None else number * _LINES // max(of, 1)
        if self._status or line > self._line:
            self.show(f"{number:,}" if of is None else f"{number:,} of {of:,}")
        self._line = max(line, self._line)


def watch(what: str, look: Callable[[Show], Result | None]) -> Result:
    """Looks again every second until there is a result.

    Args:
        look: is given what shows how it goes.

    Raises:
        FleetUnreachable, Refused: the fleet has not answered, or only that it is busy, many times in a row; what else
            it refuses at once.
    """
    patience = _Patience()
    with Progress(what) as progress:
        while True:
            try:
                result = look(progress.show)
            except (FleetUnreachable, Refused) as error:
                patience.tried(error)
                progress.show("no answer, looking again")
            else:
                patience = _Patience()
                if result is not None:
                    return result
            pause()


def keep_showing(look: Callable[[], Iterable[RenderableType]]) -> NoReturn:
    """Shows what a look gives, and looks again every few seconds, until somebody interrupts it: on a terminal in place
    of the last look, which stays when it is over; elsewhere below it.

    Raises:
        KeyboardInterrupt.
        FleetUnreachable, Refused: as `watch`.
    """
    patience, shown = _Patience(), Group()
    screen = Live(console=out, screen=True, auto_refresh=False, vertical_overflow="ellipsis")
    with screen if out.is_terminal else nullcontext():
        try:
            while True:
                try:
                    shown = Group(*(marked(each) if isinstance(each, str) else each for each in look()))
                except (FleetUnreachable, Refused) as error:
                    patience.tried(error)
                    note = marked("[yellow]No answer: looking again. What is shown is of before.[/]")
                    current = Group(note, shown)
                else:
                    patience, current = _Patience(), shown
                if out.is_terminal:
                    screen.update(current, refresh=True)
                else:
                    out.print(current, soft_wrap=True)
                pause(REDRAW_EVERY)
        finally:
            if out.is_terminal:
                screen.stop()
                out.print(shown, soft_wrap=True)


class _Patience:
    """Of whoever looks again and again."""

    def __init__(self) -> None:
        self._unanswered = 0

    def tried(self, error: FleetUnreachable | Refused) -> None:
        """Raises: the error, where looking again makes no sense any more."""
        self._unanswered += 1
        if self._unanswered == _UNANSWERED_LOOKS or (isinstance(error, Refused) and not error.passing):
            raise error


def pause(times: int = 1) -> None:
    """Between two looks. Args: times: as long."""
    time.sleep(times * POLL_SECONDS)
