"""docs/deployer-policy-*.json allow what deploying the template needs, and name what they leave out."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from docs.deployer_policy import KNOW_NO_RESOURCE, UNUSED, declared_actions, is_unused, policies, schemas, translated
from tests.oracles.limits import MANAGED_POLICY_CHARACTERS

STATEMENTS = [statement for policy in policies().values() for statement in policy["Statement"]]


def allowed() -> set[str]:
    return {action for statement in STATEMENTS for action in statement["Action"]}


def test_every_type_of_resource_says_what_it_needs() -> None:
    types = {resource["Type"] for resource in translated().values()}
    assert types - declared_actions().keys() == set()
    assert [each for each, actions in declared_actions().items() if not actions] == []


def test_every_action_is_allowed_or_left_out_with_a_reason() -> None:
    declared = {action for actions in declared_actions().values() for action in actions}
    assert {action for action in declared if not is_unused(action)} - allowed() == set()


def test_nothing_is_left_out_that_no_type_asks_for() -> None:
    declared = {action for actions in declared_actions().values() for action in actions}
    needless = [
        each
        for each in UNUSED
        if not any(action.startswith(each) if each[-1] == ":" else action == each for action in declared)
    ]
    assert needless == []


def test_the_whole_account_is_open_only_to_what_knows_no_resource() -> None:
    for statement in STATEMENTS:
        if statement["Resource"] == ["*"] and statement["Sid"] != "Aoss":
            assert set(statement["Action"]) <= KNOW_NO_RESOURCE


def test_roles_are_passed_only_to_the_services_that_run_them() -> None:
    (passing,) = [statement for statement in STATEMENTS if "iam:PassRole" in statement["Action"]]
    assert passing["Condition"]["StringEquals"]["iam:PassedToService"] == [
        "lambda.amazonaws.com",
        "scheduler.amazonaws.com",
        "states.amazonaws.com",
    ]


@pytest.mark.parametrize("name", policies())
def test_each_fits_into_a_managed_policy(name: str) -> None:
    assert len(json.dumps(policies()[name], separators=(",", ":"))) <= MANAGED_POLICY_CHARACTERS


def test_no_name_in_the_template_is_the_same_in_two_fleets() -> None:
    """Else a second fleet could not be deployed beside the first, and the policy would not reach the resource."""
    for name, resource in translated().items():
        identifiers = [path.rpartition("/")[2] for path in schemas()[resource["Type"]]["primaryIdentifier"]]
        given = [resource["Properties"][each] for each in identifiers if each in resource.get("Properties", {})]
        # Of several, one that refers to something of the stack is enough.
        assert not given or any(isinstance(each, dict) for each in given), f"{name}: {given}"


def test_it_reaches_every_stack_within_the_stack() -> None:
    nested = [name for name, made in translated().items() if made["Type"] == "AWS::CloudFormation::Stack"]
    assert nested
    names = [f"arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK-{name}-1A2B3C4D5E6F7/id" for name in nested]
    (making,) = [each["Resource"] for each in STATEMENTS if "cloudformation:CreateStack" in each["Action"]]
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in making)] == []


def test_the_test_of_names_sees_schedules() -> None:
    assert [each for each in translated().values() if each["Type"] == "AWS::Scheduler::Schedule"]


@pytest.mark.parametrize("placeholder", ["REGION", "ACCOUNT", "STACK", "FLEET"])
def test_the_page_says_how_to_fill_in_every_placeholder(placeholder: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text("utf-8")
    assert placeholder in json.dumps(policies())
    assert f"s/{placeholder}/" in page
