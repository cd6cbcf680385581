"""Patterns of the service models, on a machine that has other things to do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from botocore.model import StringShape

from bedrock_emulator.wire import shapes

IDENTIFIER = StringShape("Identifier", {"type": "string", "pattern": "^[0-9a-zA-Z]+$"})
BACKTRACKING = StringShape("Name", {"type": "string", "pattern": "^(([a-z]+)+)+$"})
COMPILED = shapes._compiled


class BusyMachine:
    """Matches as `regex` does, but only at the third try: before that, its time is over without having run."""

    def __init__(self, pattern: str) -> None:
        self._fullmatch: Callable[..., object] = COMPILED(pattern).fullmatch
        self.tries = 0

    def fullmatch(self, value: str, *, timeout: float) -> object:
        self.tries += 1
        if self.tries < 3:
            raise TimeoutError
        return self._fullmatch(value, timeout=timeout)


def test_a_value_that_had_to_wait_for_the_processor_is_matched_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = BusyMachine("^[0-9a-zA-Z]+$")
    monkeypatch.setattr(shapes, "_compiled", lambda _pattern: busy)
    assert shapes.check(IDENTIFIER, "KB00000001") is None
    assert busy.tries == 3


def test_a_pattern_that_backtracks_for_minutes_is_given_up() -> None:
    began = time.monotonic()
    violation = shapes.check(BACKTRACKING, "a" * 40 + "!")
    assert violation is not None
    assert "satisfy regular expression pattern" in str(violation)
    assert time.monotonic() - began < 10
