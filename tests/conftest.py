"""What holds for every test."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.lanes import Lanes, in_order
from tests.support.remembered import remember

# A busy machine takes its time, and that says nothing about the code.
settings.register_profile("kbfleet", deadline=None)
settings.load_profile("kbfleet")

remember()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Lanes:
    return Lanes(config, log)
