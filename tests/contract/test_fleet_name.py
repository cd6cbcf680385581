"""The fleet's name in a deployment."""

from __future__ import annotations

import pytest
from ministack.services.cloudformation import engine

from tests.support.template import read, template


class TestTheFleetsName:
    """It cannot change under tenants: a deployment that would is refused before anything is touched (decision 43).

    Rules are evaluated when a change set is made. Source: AWS CloudFormation user guide, Rules. The evaluation here is
    MiniStack's.
    """

    @staticmethod
    def refusal(**given: str) -> str | None:
        """Why a deployment with these parameters is refused."""
        whole = read("template.yaml")
        values = {name: {"Value": value} for name, value in given.items()}
        engine._check_rules_section(whole)
        try:
            engine._evaluate_rules(whole, values, {})
        except ValueError as error:
            return str(error)
        return None

    def test_a_first_deployment_has_to_say_it(self) -> None:
        assert "Default" not in template()["Parameters"]["ConfirmedFleetName"]

    def test_a_deployment_that_keeps_it_passes(self) -> None:
        assert self.refusal(FleetName="kbfprod", ConfirmedFleetName="kbfprod") is None

    @pytest.mark.parametrize(
        ("fleet", "confirmed"),
        [
            # What samconfig.toml says was lost to --parameter-overrides, and comes back with a plain deployment.
            ("kbfprod", "kbfleet"),
            # Its default comes in, for what samconfig.toml says was lost.
            ("kbfleet", "kbfprod"),
        ],
    )
    def test_one_that_changes_it_is_refused_and_told_why(self, fleet: str, confirmed: str) -> None:
        told = self.refusal(FleetName=fleet, ConfirmedFleetName=confirmed)
        assert told is not None
        assert "name" in told
        assert "docs/deploying.md" in told
