"""What narrows the statements of our policies, and is easily lost: that nothing is missed where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.oracles import policies
from tests.oracles.expansion import FLEET
from tests.support.granted_permissions import listed

STATEMENTS = [*policies.of_templates(), *policies.of_code()]
_OF_THE_ACCOUNTS_OWN = {"lambda.amazonaws.com", "states.amazonaws.com", "scheduler.amazonaws.com"}
"""Services that take a role only from who may pass it, with a resource of the account; SAM makes these roles."""
_OF_ROLES = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
)
_OF_ITEMS = (
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
_WHOLE_TABLE: Mapping[str, str] = {
    "ReadWhatIsRecorded": "follows one document through everything that is recorded, and writes nothing",
    "ReadTheTenants": "compares all that is recorded with all that there is",
}
"""Statements about every record, each with its reason."""


def allowing(*actions: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, statement in STATEMENTS:
        if statement["Effect"] == "Allow" and set(listed(statement["Action"])) & set(actions):
            yield f"{where}: {statement.get('Sid', '')}", statement


def keys(statement: Mapping[str, Any]) -> set[str]:
    return {key for tests in statement.get("Condition", {}).values() for key in tests}


@pytest.mark.parametrize(
    ("key", "actions"),
    [
        # Else a role that is passed to another service is as good as all that it may.
        ("iam:PassedToService", ("iam:PassRole",)),
        # Else whoever makes a role makes itself an administrator.
        ("iam:PermissionsBoundary", _OF_ROLES),
        # Else any function could speak as any other.
        ("events:source", ("events:PutEvents",)),
        # Else a bucket of somebody else with such a name is read, or written to.
        ("aws:ResourceAccount", ("s3:GetObject",)),
    ],
)
def test_no_statement_has_lost_its_condition(key: str, actions: tuple[str, ...]) -> None:
    found = list(allowing(*actions))
    assert found
    assert [where for where, statement in found if key not in keys(statement)] == []


def test_whoever_writes_documents_writes_into_buckets_of_this_account() -> None:
    """A session policy needs no condition: it narrows a role that has it."""
    found = [each for each in allowing("s3:PutObject") if each[0].startswith("template.yaml")]
    assert found
    assert [where for where, statement in found if "aws:ResourceAccount" not in keys(statement)] == []


def test_no_service_can_be_made_to_act_for_somebody_else() -> None:
    """Source: IAM User Guide, The confused deputy problem."""
    found = [
        (f"{where}: {statement.get('Sid', '')}", statement)
        for where, statement in STATEMENTS
        if "Service" in (principal := statement.get("Principal", {}))
        and not set(listed(principal["Service"])) <= _OF_THE_ACCOUNTS_OWN
    ]
    assert any(where.startswith("template.yaml: KnowledgeBaseRole") for where, _ in found)
    assert [where for where, each in found if not keys(each) & {"aws:SourceAccount", "aws:SourceArn"}] == []
    assumed = [each for _, each in found if each["Action"] == "sts:AssumeRole"]
    assert [each for each in assumed if "aws:SourceAccount" not in keys(each)] == []


def test_buckets_of_the_stacks_policies_are_the_fleets() -> None:
    found = [
        (where, resource)
        for where, statement in policies.of_templates()
        for resource in listed(statement.get("Resource", []))
        if ":s3:::" in resource
    ]
    assert found
    assert [each for each in found if not each[1].partition(":::")[2].startswith(f"{FLEET}-")] == []


def test_vector_indexes_of_the_stacks_policies_are_in_its_bucket() -> None:
    found = [
        (where, resource)
        for where, statement in policies.of_templates()
        for resource in listed(statement.get("Resource", []))
        if ":s3vectors:" in resource
    ]
    assert found
    assert [each for each in found if f":bucket/{FLEET}-vectors-" not in each[1]] == []


def test_records_are_reached_by_the_beginnings_of_their_keys() -> None:
    found = [
        (where, statement)
        for where, statement in allowing(*_OF_ITEMS)
        if any("/index/" not in resource for resource in listed(statement["Resource"]))
    ]
    whole = {where.rpartition(": ")[2] for where, each in found if "dynamodb:LeadingKeys" not in keys(each)}
    assert whole == _WHOLE_TABLE.keys()
    # An empty set of keys fulfils ForAllValues; all that these actions take has a key.
    for where, each in found:
        for patterns in (
            tests["dynamodb:LeadingKeys"]
            for tests in each.get("Condition", {}).values()
            if "dynamodb:LeadingKeys" in tests
        ):
            assert all(len(pattern.rstrip("*")) > 1 for pattern in listed(patterns)), where


def test_models_of_other_regions_are_called_through_the_profile_only() -> None:
    found = [
        (where, statement)
        for where, statement in allowing("bedrock:InvokeModel")
        if any(resource.endswith("foundation-model/*") for resource in listed(statement["Resource"]))
    ]
    assert found
    assert [where for where, each in found if "bedrock:InferenceProfileArn" not in keys(each)] == []


@pytest.mark.parametrize("function", ["AuthorizeFunction", "AskFunction"])
def test_whoever_answers_the_world_sees_named_fields_of_records_only(function: str) -> None:
    found = [
        (where, statement)
        for where, statement in allowing(*_OF_ITEMS)
        if where.startswith(f"template.yaml: {function}Role:")
    ]
    assert found
    assert [where for where, each in found if "dynamodb:Attributes" not in keys(each)] == []
