"""What `kbfleet verify` could not try confirms nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.verify import story
from cli.verify.facts import FACTS, Verdict
from cli.verify.under_test import AlertsLeft, Trial
from tests.support.verified_fleet import VirtualFleetUnderTest, a_trial, verified_fleet

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def under_test() -> Iterator[VirtualFleetUnderTest]:
    with verified_fleet() as fleet:
        yield fleet


def test_tenants_that_know_nothing_are_not_kept_apart(under_test: VirtualFleetUnderTest) -> None:
    """Nobody reaches a document that is in no index."""
    trial = a_trial(under_test)
    story.provision(trial, (story.ONE, story.TWO))
    story.cross(trial)
    seen = trial.observed["tenants-kept-apart"]
    assert FACTS["tenants-kept-apart"].verdict(seen) is Verdict.NOT_OBSERVED
    assert str(seen) == "not observed, because the tenants did not answer from their own documents"


class Alerts:
    """A fleet whose alerts are as they are said to be, one look after the other, and then as at the last."""

    speed = 1.0

    def __init__(self, *looks: AlertsLeft) -> None:
        self._looks, self._now = list(looks), 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def alerts_left(self) -> AlertsLeft:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([AlertsLeft(0, 0)], Verdict.CONFIRMED),
        ([AlertsLeft(2, 0), AlertsLeft(1, 0), AlertsLeft(0, 0)], Verdict.CONFIRMED),
        # Somebody's of last week.
        ([AlertsLeft(0, 3)], Verdict.CONFIRMED),
        # Given up after an hour and a half: a webhook that was never set shows in the queue only.
        ([AlertsLeft(0, 3), AlertsLeft(1, 3)], Verdict.REFUTED),
        ([AlertsLeft(0, 3), AlertsLeft(0, 4)], Verdict.REFUTED),
    ],
)
def test_an_alert_that_waits_to_be_tried_again_is_not_delivered(looks: list[AlertsLeft], verdict: Verdict) -> None:
    trial = Trial(Alerts(*looks), lambda _: None)  # type: ignore[arg-type]
    before = trial.fleet.alerts_left()
    story.look_for_the_alert(trial, before)
    assert FACTS["alert-delivered"].verdict(trial.observed["alert-delivered"]) is verdict
