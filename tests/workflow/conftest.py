"""Fleets to run state machines on."""

from collections.abc import Iterator

import pytest

from tests.support.workflow_fleet import Fleet, deployed_fleet


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Lifecycles that are over in an instant: a knowledge base takes 83 seconds on AWS, an ingestion three minutes."""
    with deployed_fleet(monkeypatch, speed=600) as fleet:
        yield fleet


@pytest.fixture
def slow_fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A knowledge base is ready after about three seconds."""
    with deployed_fleet(monkeypatch, speed=30) as fleet:
        yield fleet
