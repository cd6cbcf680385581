"""What `kbfleet verify` could not try confirms nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.verify import story
from cli.verify.facts import FACTS, Verdict
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
