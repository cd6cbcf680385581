"""Virtual time: many strands of work on one clock, exactly one of them running at any moment.

Waiting costs nothing: when every strand waits, the clock jumps to the next moment at which something happens. What runs
beside what is decided here alone, so that a run can be repeated exactly, and code that is not safe for threads (moto's
backends are not) is never entered by two at once.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from random import Random
from threading import Semaphore, Thread

from tests.support.clock import START

_JOIN_SECONDS = 10
"""Real seconds that a strand gets to unwind when its world closes."""


class Unfinished(AssertionError):
    """What was waited for has not come within the virtual time that it was given, or can no longer come."""


class StrandDied(AssertionError):
    """A strand ended by an error that nobody caught; its cause is that error."""


class Cancelled(BaseException):
    """Unwinds a strand whose world closes."""


class VirtualClock:
    """`bedrock_emulator.world.clock.Clock` and `kbfleet.ports.Clock` of one world. Only its timeline moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start.timestamp()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def real_seconds_until(self, when: float) -> float | None:
        """Always None: no real time passes."""
        return None

    def wall_time(self, when: float) -> float:
        return when

    def move_to(self, when: float) -> None:
        self._now = max(self._now, when)

    def datetime(self) -> datetime:
        return datetime.fromtimestamp(self._now, UTC)


class ProductClock:
    """`kbfleet.ports.Clock` by the virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.datetime()


class Signal:
    """Something that strands wait for; once set, it stays set."""

    def __init__(self) -> None:
        self.is_set = False
        self._waiting: list[Callable[[], None]] = []

    def set(self) -> None:
        self.is_set = True
        for wake in self._waiting:
            wake()
        self._waiting.clear()

    def wakes(self, wake: Callable[[], None]) -> None:
        self._waiting.append(wake)


class Strand:
    """One line of work, in a thread of its own. `function` and `deadline`: which Lambda function it runs now, and when
    that one times out (seconds since 1970)."""

    def __init__(self, name: str, work: Callable[[], object], timeline: Timeline) -> None:
        self.name = name
        self.ended = Signal()
        self.error: BaseException | None = None
        self.function: str | None = None
        self.deadline = float("inf")
        self._work = work
        self._timeline = timeline
        self._go = Semaphore(0)
        self._interruption: BaseException | None = None
        self._wait = 0
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._pause()
            self._work()
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - reported by the timeline, in whose thread it can be raised
            self.error = error
        self.ended.set()
        self._timeline.back.release()

    def _pause(self) -> None:
        self._go.acquire()
        if self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            raise interruption

    # --- for the timeline ---

    def suspend(self) -> None:
        """Gives the baton back and waits for it. Raises: what `interrupt` was given meanwhile."""
        self._timeline.back.release()
        self._pause()

    def resume(self) -> None:
        self._wait += 1
        self._go.release()

    def interrupt(self, error: BaseException) -> None:
        """`error` is raised in the strand where it waits, when it gets the baton next."""
        self._interruption = error

    @property
    def wait(self) -> int:
        """Numbers its waits, so that a wake-up meant for an earlier one can be recognized."""
        return self._wait

    def join(self) -> bool:
        """Whether its thread has ended."""
        self._thread.join(_JOIN_SECONDS)
        return not self._thread.is_alive()


class Timeline:
    """Runs strands on a virtual clock.

    Args:
        interleaving: chooses who runs next, at every point where the baton may pass. None: each strand runs until it
            waits, in the order in which they became ready.
        due: when the world itself (the Bedrock emulator's agenda) does something next, in seconds since 1970.
        run_due: lets it do so.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        interleaving: Random | None = None,
        due: Callable[[], float | None] = lambda: None,
        run_due: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.current: Strand | None = None
        self.back = Semaphore(0)
        self._interleaving = interleaving
        self._due = due
        self._run_due = run_due
        self._strands: list[Strand] = []
        self._ready: list[Strand] = []
        self._wakes: list[tuple[float, int, Strand, int]] = []
        self._order = itertools.count()
        self._closing = False

    def now(self) -> float:
        return self.clock.now()

    def spawn(self, name: str, work: Callable[[], object]) -> Strand:
        """Begins a strand; it runs when it is the next."""
        strand = Strand(name, work, self)
        self._strands.append(strand)
        self._ready.append(strand)
        return strand

    # --- called by strands ---

    def sleep(self, seconds: float) -> None:
        """Waits. Outside of any strand: lets everything else happen for that long."""
        if self.current is None:
            self.run_for(seconds)
        else:
            self._wait_until(self.current, self.now() + seconds)

    def wait(self, signal: Signal, until: float | None = None) -> bool:
        """Waits for the signal. Returns: whether it was set by `until` (seconds since 1970)."""
        strand = self._strand()
        if not signal.is_set:
            number = strand.wait
            signal.wakes(lambda: self._wake(strand, number))
            self._wait_until(strand, until)
        return signal.is_set

    def pass_baton(self) -> None:
        """Somebody else may go on here, if an interleaving is wanted."""
        strand = self.current
        if strand is None:
            return
        if self._closing:
            raise Cancelled
        if self._interleaving is not None and self._ready:
            self._ready.append(strand)
            strand.suspend()

    def _strand(self) -> Strand:
        if self.current is None:
            raise RuntimeError("only a strand can wait for a signal")
        return self.current

    def _wait_until(self, strand: Strand, when: float | None) -> None:
        if self._closing:
            raise Cancelled
        if when is not None:
            heapq.heappush(self._wakes, (when, next(self._order), strand, strand.wait))
        strand.suspend()

    def _wake(self, strand: Strand, number: int) -> None:
        if strand.wait == number and not strand.ended.is_set and strand not in self._ready:
            self._ready.append(strand)

    # --- called from outside ---

    def run_until(self, reached: Callable[[], bool], *, within: float) -> None:
        """Lets everything happen until `reached`.

        Args:
            within: virtual seconds.

        Raises:
            Unfinished: naming who waits.
            StrandDied: as soon as one has.
        """
        end = self.now() + within
        while not reached():
            if self._ready:
                self._run_next()
            elif self._wakes and self._wakes[0][0] <= end:
                self._to_next_wake()
            else:
                waiting = ", ".join(strand.name for strand in self._strands if not strand.ended.is_set) or "nobody"
                raise Unfinished(f"not reached within {within:g} virtual seconds; waiting: {waiting}")

    def run_for(self, seconds: float) -> None:
        """Lets everything happen that does within `seconds` of virtual time."""
        end = self.now() + seconds
        while True:
            if self._ready:
                self._run_next()
            elif self._wakes and self._wakes[0][0] <= end:
                self._to_next_wake()
            elif self._move_to(end):
                return

    def interrupt(self, strand: Strand, error: BaseException) -> None:
        """Raises `error` in a strand that waits, now."""
        strand.interrupt(error)
        self._wake(strand, strand.wait)

    def dismiss(self, strands: Iterable[Strand]) -> None:
        """Unwinds strands that wait. Raises: RuntimeError when others are left; their world is not at rest."""
        for strand in strands:
            self._ready = [ready for ready in self._ready if ready is not strand]
            strand.interrupt(Cancelled())
            self._give_baton(strand)
        if self._strands:
            raise RuntimeError(f"still at work: {', '.join(strand.name for strand in self._strands)}")

    def close(self) -> None:
        """Ends every strand. Raises: StrandDied when one does not end, or ends by an error of its own."""
        self._closing = True
        died: list[StrandDied] = []
        for strand in list(self._strands):
            strand.interrupt(Cancelled())
            try:
                self._give_baton(strand)
            except StrandDied as error:
                died.append(error)
        died += [StrandDied(f"{strand.name} runs on although its world is closed") for strand in self._strands]
        if died:
            raise died[0]

    def _run_next(self) -> None:
        chosen = self._interleaving.randrange(len(self._ready)) if self._interleaving else 0
        self._give_baton(self._ready.pop(chosen))

    def _give_baton(self, strand: Strand) -> None:
        outer, self.current = self.current, strand
        strand.resume()
        self.back.acquire()
        self.current = outer
        if strand.ended.is_set:
            self._strands.remove(strand)
            if not strand.join():
                raise StrandDied(f"the thread of {strand.name} does not end")
        if strand.error is not None:
            raise StrandDied(f"{strand.name} died: {strand.error!r}") from strand.error

    def _to_next_wake(self) -> None:
        when, _, strand, number = self._wakes[0]
        if strand.wait == number and not strand.ended.is_set:
            if not self._move_to(when):
                return
            self._wake(strand, number)
        heapq.heappop(self._wakes)

    def _move_to(self, when: float) -> bool:
        """Returns: whether it is then. What the world does on the way can make somebody ready, who comes first."""
        while (due := self._due()) is not None and due <= when:
            self.clock.move_to(due)
            self._run_due()
            if self._ready:
                return False
        self.clock.move_to(when)
        return True
