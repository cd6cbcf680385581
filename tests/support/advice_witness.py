"""A plugin of pytest that witnesses which advice each test brings about: `-p tests.support.advice_witness`.

It traces the functions that say something, and writes the keys of what was said into the file that `ADVICE_WITNESS`
names, test by test, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from tests.support.advice import Advice, of_the_code
from tests.support.template import REPOSITORY

_SAID: dict[str, set[str]] = defaultdict(set)
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
    said = _SAID[item.nodeid]

    def look(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            said.update(each.key for each in _LINES[frame.f_code.co_filename].get(frame.f_lineno, ()))
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


def pytest_sessionfinish() -> None:
    found = {nodeid: sorted(said) for nodeid, said in sorted(_SAID.items()) if said}
    Path(os.environ["ADVICE_WITNESS"]).write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")
