"""Every action, resource and condition key of our policies is one that AWS's service authorization reference knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.oracles import policies
from tests.oracles.expansion import MAIN, all_branches
from tests.oracles.iam_reference import actions_like, findings
from tests.support.template import REPOSITORY

STATEMENTS = [*policies.of_templates(), *policies.of_documents(), *policies.of_code()]
ACCEPTED: Mapping[str, str] = {
    # A session's token is of an execution, and the state machine is what is looked at: tried on AWS by the authors of
    # the CDK, which grants it so (aws-cdk, pull request 8486). "*" would let a function answer for every other one.
    "states:SendTaskSuccess takes no ": "works on the state machine, as was tried",
    "states:SendTaskFailure takes no ": "the same",
    # CloudFormation User Guide, Control CloudFormation access with IAM, Manage transforms.
    "arn:aws:cloudformation:REGION:aws:transform/Serverless-2016-10-31 ": "a transform is used by CreateChangeSet",
    # The statement beside it is about the bucket, too.
    "arn:aws:s3:::kbfleet-acme-eb805c6c3f is taken by no ": "one list of resources for all statements of a bucket",
}
"""Beginnings of what is found and stays, each with its reason."""


@cache
def found() -> list[tuple[str, str]]:
    return sorted({(where, finding) for where, statement in STATEMENTS for finding in findings(statement)})


def test_nothing_is_found_but_what_is_accepted() -> None:
    assert [each for each in found() if not each[1].startswith(tuple(ACCEPTED))] == []


def test_what_is_accepted_is_still_found() -> None:
    assert [each for each in ACCEPTED if not any(finding.startswith(each) for _, finding in found())] == []


def test_every_policy_is_looked_at() -> None:
    places = {where.partition(":")[0] for where, _ in STATEMENTS}
    assert places >= {
        "template.yaml",
        "docs/deploying.md",
        "docs/deployer-policy-code.json",
        "docs/deployer-policy-resources.json",
        "docs/saas-product-policy.json",
    }
    assert {where for where, _ in policies.of_code()} == {path.rpartition("/")[2] for path in policies.MADE_BY_CODE}
    making = {
        str(path.relative_to(REPOSITORY))
        for folder in ("layers", "functions", "cli")
        for path in (REPOSITORY / folder).rglob("*.py")
        if '"Statement": [' in path.read_text("utf-8") or '"Effect": ' in path.read_text("utf-8")
    }
    assert making <= policies.MADE_BY_CODE


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"Action": "s3:GetObjects"}, "s3:GetObjects is no action"),
        ({"Action": "s4:GetObject"}, "s4:GetObject is no action"),
        ({"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b/*"}, "s3:ListBucket takes no arn:aws:s3:::b/*"),
        (
            {"Action": "bedrock:ListKnowledgeBases", "Resource": "arn:aws:bedrock:r:1:knowledge-base/*"},
            "bedrock:ListKnowledgeBases takes no arn:aws:bedrock:r:1:knowledge-base/*",
        ),
        (
            {"Action": "s3:GetObject", "Resource": ["arn:aws:s3:::b/*", "arn:aws:sqs:r:1:q"]},
            "arn:aws:sqs:r:1:q is taken by no action of the statement",
        ),
        (
            {"Action": "sqs:SendMessage", "Condition": {"StringEquals": {"dynamodb:LeadingKeys": "x"}}},
            "sqs:SendMessage does not know dynamodb:LeadingKeys",
        ),
    ],
)
def test_what_the_reference_does_not_know_is_found(statement: dict[str, Any], said: str) -> None:
    assert list(findings(statement)) == [said]


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["arn:aws:s3:::b-*", "arn:aws:s3:::b-*/*"]},
        {"Action": "s3:*", "Resource": "arn:aws:s3:::b", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Action": "bedrock:InvokeModel", "Resource": "arn:aws:bedrock:r::foundation-model/amazon.titan-v2:0"},
        {
            "Action": "bedrock:GetKnowledgeBase",
            "Resource": "arn:aws:bedrock:r:1:knowledge-base/*",
            "Condition": {"StringEquals": {"aws:ResourceTag/kbfleet:tenant": "acme"}},
        },
    ],
)
def test_what_it_knows_is_not(statement: dict[str, Any]) -> None:
    assert list(findings(statement)) == []


def test_who_is_admitted_to_the_collection_may_what_opensearch_serverless_has() -> None:
    """What a data access policy permits are no actions of IAM. Source: Amazon OpenSearch Service Developer Guide, Data
    access control for Amazon OpenSearch Serverless, Supported policy permissions."""
    kinds = {
        "collection": {f"aoss:{verb}CollectionItems" for verb in ("Create", "Delete", "Update", "Describe")},
        "index": {
            f"aoss:{name}"
            for name in ("CreateIndex", "DeleteIndex", "UpdateIndex", "DescribeIndex", "ReadDocument", "WriteDocument")
        },
    }
    met, _ = all_branches(MAIN, {})
    rules = [rule for each in json.loads(met.properties("CollectionAccess")["Policy"]) for rule in each["Rules"]]
    assert rules
    for rule in rules:
        assert set(rule["Permission"]) <= kinds[rule["ResourceType"]]
        assert all(resource.startswith(f"{rule['ResourceType']}/") for resource in rule["Resource"])
    assert actions_like("aoss:APIAccessAll")
