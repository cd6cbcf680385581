"""The role that Bedrock assumes for a tenant's knowledge bases, and what it may."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from kbfleet.domain.model_ids import foundation_model, is_inference_profile

SETTLES_WITHIN = timedelta(minutes=2)
"""After which a role that was made or changed is known everywhere. Users report ten seconds, and up to a minute; the
data access policies of OpenSearch Serverless take about a minute (AWS documentation, Data access control for Amazon
OpenSearch Serverless)."""

_PRINCIPAL = "bedrock.amazonaws.com"

_BY_DEFAULT = "EmbedPassagesAndQuestions"
"""The statement of the boundary about the models of the stack's parameters, by its id in the template. All others about
models are of profiles."""
_RERANK, _BY_PROFILE = "bedrock:Rerank", "bedrock:InferenceProfileArn"

USED_BY_EVERY_STORE = frozenset({"s3", "kms"})
"""Services whose actions are about documents, whatever store the vectors live in."""


@dataclass(frozen=True, slots=True)
class ServiceRole:
    """What a tenant's service role should be.

    Args:
        name: of the role.
        bucket: whose documents it reads.
        indexes: patterns of the vector indexes that are the tenant's, now and later.
        store_services: the services that its knowledge store needs, by their prefixes in IAM.
        knowledge_bases: ids of those for which it may be assumed; for any of the account while there are none.
        models: ids of the models that it may call, by the tenant's profiles; `None` for those of the stack's
            parameters.
        reranks: whether one of them puts passages into another order.
        by_the_stack: whether it may call those of the stack's parameters, too.
    """

    name: str
    bucket: str
    indexes: tuple[str, ...]
    store_services: frozenset[str]
    tags: Mapping[str, str] = field(default_factory=dict)
    knowledge_bases: tuple[str, ...] = ()
    models: frozenset[str] | None = None
    reranks: bool = False
    by_the_stack: bool = False

    def policy(self, boundary: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the role may: of what its permissions boundary allows for the fleet, the tenant's own part.

        Args:
            boundary: the policy document.
        """
        used = USED_BY_EVERY_STORE | self.store_services | ({"bedrock"} if self.models else frozenset())
        allowed = (self._narrowed(one) for one in boundary["Statement"] if _services(one) <= used)
        return {"Version": boundary["Version"], "Statement": [one for one in allowed if one is not None]}

    def trust_policy(self, knowledge_bases_arn: str, account: str) -> Mapping[str, Any]:
        """Who may assume it. Without these conditions Bedrock could be made to use it for somebody else. Source: Amazon
        Bedrock User Guide, Create a service role for Amazon Bedrock Knowledge Bases.

        Args:
            knowledge_bases_arn: the ARN of a knowledge base without the id and the slash before it.
        """
        own = [f"{knowledge_bases_arn}/{one}" for one in self.knowledge_bases or ("*",)]
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": _PRINCIPAL},
                    "Action": "sts:AssumeRole",
                    "Condition": {
                        "StringEquals": {"aws:SourceAccount": account},
                        "ArnLike": {"aws:SourceArn": own},
                    },
                }
            ],
        }

    def _narrowed(self, statement: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """`None` where nothing of it is the tenant's."""
        if _services(statement) == {"bedrock"}:
            return self._of_models(statement)
        resources = [own for resource in _listed(statement["Resource"]) for own in self._own(resource)]
        return {**statement, "Resource": resources}

    def _of_models(self, statement: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a statement about models gives to the tenant's profile."""
        if statement.get("Sid") == _BY_DEFAULT and (self.models is None or self.by_the_stack):
            return statement
        if self.models is None:
            return None
        if _listed(statement["Action"]) == [_RERANK]:
            return statement if self.reranks else None
        profiles = statement.get("Condition", {}).get("StringEquals", {}).get(_BY_PROFILE)
        if profiles is None:
            own = [arn for arn in _listed(statement["Resource"]) if _id(arn) in self.models]
            return {**statement, "Resource": own} if own else None
        own = [arn for arn in _listed(profiles) if _id(arn) in self.models and is_inference_profile(_id(arn))]
        models = [
            f"{any_model.rpartition('/')[0]}/{foundation_model(_id(arn))}"
            for any_model in _listed(statement["Resource"])
            for arn in own
        ]
        condition = {"StringEquals": {_BY_PROFILE: own}}
        return {**statement, "Resource": models, "Condition": condition} if own else None

    def _own(self, resource: str) -> Iterator[str]:
        """The tenant's part of a resource that a statement names."""
        arn, _, last = resource.rpartition(":")
        bucket, slash, objects = last.partition("/")
        store, _, index = resource.rpartition("/index/")
        if ":s3:" in arn and fnmatchcase(self.bucket, bucket):
            yield f"{arn}:{self.bucket}{slash}{objects}"
        elif ":s3vectors:" in arn and index == "*":
            yield from (f"{store}/index/{pattern}" for pattern in self.indexes)
        else:
            yield resource


WAY_OUT_OF_POLICIES = (
    "Delete data access policies that nothing uses: an account has 500 in a Region, and no more. Or deploy the stack "
    "with ServiceRoles=SHARED, where one role, and one policy, serves every tenant."
)
"""What to do when there is no room for more data access policies of OpenSearch Serverless: each tenant's role has
one."""


def settling(changed_at: datetime | None, now: datetime) -> bool:
    """Whether a refusal can still come from a change of the role that is not known everywhere.

    Args:
        changed_at: when the role was last seen to be changed; `None` for one that nobody has changed.
    """
    return changed_at is not None and now - changed_at < SETTLES_WITHIN


def same_policy(found: object, wanted: object) -> bool:
    """Whether two policy documents say the same. IAM may give a list of one back as its only member, and lists in
    another order (reported by users of trust policies: hashicorp/terraform-provider-aws, issue 28835)."""
    return _in_one_form(found) == _in_one_form(wanted)


def lacks(found: object, wanted: Mapping[str, Any]) -> bool:
    """Whether a policy document may not allow all that `wanted` does. Of the models of the stack's parameters, one is
    enough: a knowledge base uses one of those that a stack has had.

    Args:
        found: `None` where there is none.
        wanted: of which each statement allows.
    """
    statements = _statements(found)
    if any(each.get("Effect") != "Allow" for each in statements):
        return True
    return not all(any(_covers(own, one) for own in statements) for one in _statements(wanted))


def _statements(document: object) -> list[Mapping[str, Any]]:
    stated = document.get("Statement", []) if isinstance(document, Mapping) else []
    return [stated] if isinstance(stated, Mapping) else list(stated)


def _covers(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether all of a statement is allowed by another one."""
    unconditional = found.get("Condition") in ({}, None)
    alike = unconditional or same_policy(found["Condition"], wanted.get("Condition", {}))
    if not alike or not same_policy(found.get("Principal", {}), wanted.get("Principal", {})):
        return False

    def covered(part: str) -> Iterator[bool]:
        patterns = _listed(found.get(part, []))
        return (any(fnmatchcase(one, pattern) for pattern in patterns) for one in _listed(wanted.get(part, [])))

    enough = any if wanted.get("Sid") == _BY_DEFAULT else all
    return all(covered("Action")) and enough(covered("Resource"))


def _in_one_form(part: object) -> object:
    members = part if isinstance(part, list | tuple) else [part]
    named = (
        {name: _in_one_form(own) for name, own in one.items()} if isinstance(one, Mapping) else one for one in members
    )
    return sorted(named, key=_text)


def _text(part: object) -> str:
    return json.dumps(part, sort_keys=True)


def _id(arn: str) -> str:
    """Of a model or an inference profile."""
    return arn.rpartition("/")[2]


def _services(statement: Mapping[str, Any]) -> set[str]:
    return {action.partition(":")[0] for action in _listed(statement["Action"])}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
