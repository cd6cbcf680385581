"""Each fact that a probe of `kbfleet verify` observes can be refuted: the world is bent in that one respect, and that
fact alone is reported; and nothing is refuted of a world that is as expected. In virtual time, on copies of a world
that was prepared once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.verify import run, story
from cli.verify.facts import FACTS, Verdict
from cli.verify.report import Report
from cli.verify.under_test import Trial
from tests.support.verified_fleet import (
    BENDS,
    PROBED,
    Bends,
    VirtualFleetUnderTest,
    a_trial,
    bend,
    refuted,
    verified_fleet,
)
from tests.support.virtual_fleet import VirtualFleet
from tests.support.world_copies import in_copy

pytestmark = pytest.mark.timeout(900)
_COPY_SECONDS = 600.0


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[VirtualFleetUnderTest, Trial]]:
    """A trial of all tenants, before its probes."""
    with verified_fleet() as under_test:
        trial = a_trial(under_test)
        assert run.tell(trial, story.IDS)
        under_test.fleet.rest()
        yield under_test, trial


def probed(told: tuple[VirtualFleetUnderTest, Trial], bends: Bends) -> Report:
    under_test, trial = told

    def work(_: VirtualFleet) -> Report:
        bend(under_test, bends)
        run.probe(trial, limits=True)
        run.end(trial, story.IDS)
        return run.written(trial, limits=True)

    return in_copy(under_test.fleet, work, within=_COPY_SECONDS)


def test_every_fact_is_confirmed_of_a_world_that_is_as_expected(told: tuple[VirtualFleetUnderTest, Trial]) -> None:
    report = probed(told, Bends())
    assert {line.fact: line.verdict for line in report.facts} == dict.fromkeys(FACTS, Verdict.CONFIRMED)


@pytest.mark.drill
@pytest.mark.parametrize("fact", sorted(PROBED))
def test_a_bend_refutes_its_fact_alone(told: tuple[VirtualFleetUnderTest, Trial], fact: str) -> None:
    report = probed(told, BENDS[fact])
    assert refuted(report) == {fact}
    assert report.count(Verdict.CONFIRMED) == len(FACTS) - 1
