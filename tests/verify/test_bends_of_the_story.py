"""Each fact that `kbfleet verify` comes by in its story can be refuted: the world is bent in that one respect, and that
fact alone is reported. In virtual time, on copies of a world that was prepared once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.verify import run, story
from cli.verify.facts import FACTS
from cli.verify.report import Report
from tests.support.verified_fleet import BENDS, PROBED, VirtualFleetUnderTest, a_trial, bend, refuted, verified_fleet
from tests.support.virtual_fleet import VirtualFleet
from tests.support.world_copies import in_copy

pytestmark = pytest.mark.timeout(900)
_COPY_SECONDS = 600.0


@pytest.fixture(scope="module")
def fresh() -> Iterator[VirtualFleetUnderTest]:
    """A fleet without tenants."""
    with verified_fleet() as under_test:
        under_test.fleet.rest()
        yield under_test


def test_every_fact_has_a_bend() -> None:
    assert list(BENDS) == list(FACTS)


TOLD = [fact for fact in FACTS if fact not in PROBED]


@pytest.mark.parametrize("fact", [TOLD[0], *(pytest.param(fact, marks=pytest.mark.drill) for fact in TOLD[1:])])
def test_a_bend_refutes_its_fact_alone(fresh: VirtualFleetUnderTest, fact: str) -> None:
    def work(_: VirtualFleet) -> Report:
        bend(fresh, BENDS[fact])
        return run.verify(a_trial(fresh), (story.ONE, story.TWO), limits=False)

    assert refuted(in_copy(fresh.fleet, work, within=_COPY_SECONDS)) == {fact}
