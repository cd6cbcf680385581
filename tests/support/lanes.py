"""How pytest-xdist shares the tests out: a lane is what one process runs, and the longest lanes start first.

Files are lanes of their own. Those that share a local AWS are one together, since each process would start and deploy
another, for over a minute of a core; they wait more than they compute, so that more processes than cores are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

END_TO_END = "tests/e2e"
LOCAL_STACK = "tests/local/stack"
LONGEST = (
    END_TO_END,
    LOCAL_STACK,
    "tests/workflow/test_foreign_data_source.py",
    "tests/contract/test_permissions.py",
    "tests/local/samples/test_answers.py",
    "tests/proofs/test_crash_points.py",
    "tests/unit/test_incidents.py",
    "tests/proofs/test_state_machine.py",
    "tests/proofs/test_hostile_words.py",
    "tests/adapters/test_knowledge_bases.py",
)
"""The lanes that take more than ten seconds, in this order."""


def lane_of(test: str) -> str:
    """The lane of a test, given its node id."""
    file = test.split("::", 1)[0]
    if file.startswith(f"{END_TO_END}/test_"):
        return END_TO_END
    return LOCAL_STACK if file.startswith(f"{LOCAL_STACK}/") else file


def in_order(tests: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Those of the longest lanes first, all else as it was."""
    places = {lane: place for place, lane in enumerate(LONGEST)}
    return sorted(tests, key=lambda test: places.get(lane_of(test.nodeid), len(LONGEST)))


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Lanes in the order in which their tests were collected."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False  # else the lane of the most tests is first
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
