"""Whether the service role of a knowledge base may do what Bedrock does in its name.

Read from IAM: the trust policy, the inline policies and the attached ones. Actions and resources are matched with their
wildcards and an explicit Deny wins; conditions are taken as met, except that the trust policy must not be conditioned
on another account. Permissions boundaries and service control policies are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

PRINCIPAL = "bedrock.amazonaws.com"

Statement = dict[str, Any]


class ServiceRole:
    """A role as IAM has it now."""

    def __init__(self, iam: Any, arn: str) -> None:
        """``iam`` is a boto3 client."""
        self._iam = iam
        self._name = arn.rpartition("/")[2]

    def assumable(self, account: str) -> bool:
        """Whether the role exists and trusts Bedrock, for ``account``."""
        try:
            trust = self._iam.get_role(RoleName=self._name)["Role"]["AssumeRolePolicyDocument"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False
            raise
        return any(
            statement["Effect"] == "Allow"
            and _matches(statement.get("Action", ()), "sts:AssumeRole")
            and PRINCIPAL in _listed(statement.get("Principal", {}).get("Service", ()))
            and account in _accounts(statement, account)
            for statement in _listed(trust["Statement"])
        )

    def may(self, action: str, resource: str) -> bool:
        """Whether a policy of the role allows ``action`` on ``resource`` (an ARN) and none denies it.

        A role that is gone may do nothing.
        """
        try:
            effects = {
                statement["Effect"]
                for statement in self._statements()
                if _matches(statement.get("Action", ()), action) and _matches(statement.get("Resource", ()), resource)
            }
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False
            raise
        return effects == {"Allow"}

    def _statements(self) -> Iterator[Statement]:
        for page in self._iam.get_paginator("list_role_policies").paginate(RoleName=self._name):
            for name in page["PolicyNames"]:
                found = self._iam.get_role_policy(RoleName=self._name, PolicyName=name)
                yield from _listed(found["PolicyDocument"]["Statement"])
        for page in self._iam.get_paginator("list_attached_role_policies").paginate(RoleName=self._name):
            for attached in page["AttachedPolicies"]:
                arn = attached["PolicyArn"]
                version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
                yield from _listed(found["PolicyVersion"]["Document"]["Statement"])


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _matches(patterns: Any, value: str) -> bool:
    # IAM compares actions without regard to case; resources differ by case in few services, none of them used here.
    return any(fnmatchcase(value.lower(), pattern.lower()) for pattern in _listed(patterns))


def _accounts(statement: Statement, default: str) -> list[str]:
    for operator in ("StringEquals", "StringLike"):
        for key, value in statement.get("Condition", {}).get(operator, {}).items():
            if key.lower() == "aws:sourceaccount":
                return _listed(value)
    return [default]
