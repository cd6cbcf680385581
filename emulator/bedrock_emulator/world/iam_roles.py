"""The authority that reads service roles from IAM: the trust policy, the inline policies and the attached ones.

Actions and resources are matched with their wildcards and an explicit Deny wins. Of conditions, those of a trust policy
on aws:SourceArn and aws:SourceAccount are evaluated; all others are taken as met. Permissions boundaries, the policies
of buckets and service control policies are left out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

PRINCIPAL = "bedrock.amazonaws.com"

Statement = dict[str, Any]


class IamRoles:
    """Roles as IAM has them when they are assumed."""

    def __init__(self, iam: Any) -> None:
        """``iam`` is a boto3 client."""
        self._iam = iam

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> _AssumedRole | None:
        """See `Authority.assume`."""
        name = role_arn.rpartition("/")[2]
        request = {"aws:sourcearn": source_arn, "aws:sourceaccount": source_account}
        try:
            trust = self._iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
            effects = {
                statement["Effect"]
                for statement in _listed(trust["Statement"])
                if _matches(statement.get("Action", ()), "sts:AssumeRole")
                and PRINCIPAL in _listed(statement.get("Principal", {}).get("Service", ()))
                and _met(statement.get("Condition", {}), request)
            }
            return _AssumedRole(list(self._statements(name))) if effects == {"Allow"} else None
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return None
            raise

    def _statements(self, name: str) -> Iterator[Statement]:
        for page in self._iam.get_paginator("list_role_policies").paginate(RoleName=name):
            for policy in page["PolicyNames"]:
                found = self._iam.get_role_policy(RoleName=name, PolicyName=policy)
                yield from _listed(found["PolicyDocument"]["Statement"])
        for page in self._iam.get_paginator("list_attached_role_policies").paginate(RoleName=name):
            for attached in page["AttachedPolicies"]:
                arn = attached["PolicyArn"]
                version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
                yield from _listed(found["PolicyVersion"]["Document"]["Statement"])


class _AssumedRole:
    def __init__(self, statements: list[Statement]) -> None:
        self._statements = statements

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:  # noqa: ARG002 - as promised
        """See `RoleSession.may`."""
        effects = {
            statement["Effect"]
            for statement in self._statements
            if _matches(statement.get("Action", ()), action) and _matches(statement.get("Resource", ()), resource)
        }
        return effects == {"Allow"}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _matches(patterns: Any, value: str) -> bool:
    # IAM compares actions without regard to case; resources differ by case in few services, none of them used here.
    return any(fnmatchcase(value.lower(), pattern.lower()) for pattern in _listed(patterns))


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringLike": fnmatchcase,
    "ArnEquals": fnmatchcase,
    "ArnLike": fnmatchcase,
}


def _met(conditions: Mapping[str, Mapping[str, Any]], request: Mapping[str, str]) -> bool:
    return all(
        any(_OPERATORS[name](request[key.lower()], pattern) for pattern in _listed(patterns))
        for name, keys in conditions.items()
        for key, patterns in keys.items()
        if name in _OPERATORS and key.lower() in request
    )
