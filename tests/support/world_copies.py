"""Copies of a prepared world, made by fork: what takes long to prepare is prepared once, and then tried in many ways.

For POSIX systems. Threads are not copied, so a world has to `rest` before.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

from tests.support.virtual_fleet import VirtualFleet

Result = TypeVar("Result")


class CopyDied(AssertionError):
    """The work in a copy ended by an error, whose trace this shows, or did not end."""


def in_copy(fleet: VirtualFleet, work: Callable[[VirtualFleet], Result], *, within: float) -> Result:
    """Runs `work` in a copy of the world; the world itself stays as it is.

    Args:
        fleet: resting.
        work: its result must be picklable.
        within: real seconds, after which it is ended.

    Raises:
        CopyDied
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _be_the_copy(fleet, work, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            if not select.select([pipe], [], [], within)[0]:
                os.kill(process, signal.SIGKILL)
                raise CopyDied(f"not ended after {within:g} real seconds")
            reported = pipe.read()
    finally:
        _, status = os.waitpid(process, 0)
    if not reported:
        raise CopyDied(f"the copy ended without a word: {status}")
    result, trace = pickle.loads(reported)  # noqa: S301 - written by our own fork
    if trace:
        raise CopyDied(trace)
    answered: Result = result
    return answered


def _be_the_copy(fleet: VirtualFleet, work: Callable[[VirtualFleet], Result], writing: int) -> None:
    """Never returns: what the original would do after this is not the copy's."""
    # The collector would touch, and so copy, every page of memory.
    gc.freeze()
    status = 1
    try:
        try:
            fleet.wake()
            reported = pickle.dumps((work(fleet), ""))
        except BaseException:  # noqa: BLE001 - reported to the original, which raises
            reported = pickle.dumps((None, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(reported)
        status = 0
    finally:
        os._exit(status)
