"""A plugin of pytest that witnesses which advice each test brings about: `-p tests.support.advice_witness`.

It traces the functions that say something. Whatever is said is at once a line of the file that `ADVICE_WITNESS` names,
as JSON: the test, and the key. So it is also witnessed in a copy of a world, a process that ends without a word.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from tests.support.advice import Advice, of_the_code
from tests.support.template import REPOSITORY

_SAID: set[tuple[str, str]] = set()
_LINES: dict[str, dict[int, list[Advice]]] = defaultdict(lambda: defaultdict(list))
for _each in of_the_code():
    for _line in range(_each.lines[0], _each.lines[1] + 1):
        _LINES[str(REPOSITORY / _each.place)][_line].append(_each)
_KNOWN: dict[CodeType, bool] = {}


def _says(code: CodeType) -> bool:
    lines = _LINES.get(code.co_filename)
    return lines is not None and any(line in lines for _, _, line in code.co_lines())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    def look(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            for each in _LINES[frame.f_code.co_filename].get(frame.f_lineno, ()):
                _write_down(item.nodeid, each.key)
        return look

    def enter(frame: FrameType, _event: str, _: Any) -> Any:
        code = frame.f_code
        if (known := _KNOWN.get(code)) is None:
            known = _KNOWN[code] = _says(code)
        return look if known else None

    before = sys.gettrace()
    sys.settrace(enter)
    threading.settrace(enter)
    try:
        return (yield)
    finally:
        sys.settrace(before)
        threading.settrace(before)


def _write_down(test: str, key: str) -> None:
    if (test, key) not in _SAID:
        _SAID.add((test, key))
        with Path(os.environ["ADVICE_WITNESS"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps([test, key]) + "\n")


def witnessed(file: Path) -> Mapping[str, Set[str]]:
    """What each test of a run brought about, by its node id. Args: file: that `ADVICE_WITNESS` named."""
    said: dict[str, set[str]] = defaultdict(set)
    for line in file.read_text("utf-8").splitlines():
        test, key = json.loads(line)
        said[test].add(key)
    return said
