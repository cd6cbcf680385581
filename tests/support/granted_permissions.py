"""What the roles of the stack are permitted, by template.yaml.

Policies are resolved as deploying would, and evaluated by MiniStack's evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator

from tests.support.deployment_values import Deployment

SERVICE_ROLE = "KnowledgeBaseRole"
"""The role that every knowledge base assumes; it stands beside the functions."""
READER_ROLE = "KnowledgeBaseReaderRole"
"""The role that the ask function assumes; it stands beside them, too."""
UPLOADER_ROLE = "UploaderRole"
"""The role that the uploads function assumes, too."""
SEARCHER_ROLE = "KnowledgeBaseSearcherRole"
"""The role that the reconcile function assumes, too."""
REMOVER_ROLE = "DocumentRemoverRole"
"""The role that the documents function assumes, too."""
OPENER_ROLE = "DocumentOpenerRole"
"""The role that the links function assumes, too."""
ROLES = (SERVICE_ROLE, READER_ROLE, UPLOADER_ROLE, SEARCHER_ROLE, REMOVER_ROLE, OPENER_ROLE)
NO_RESOURCE = "*"
"""The resource of an action that knows none."""


@dataclass(frozen=True)
class Need:
    """That `who` (a function's logical id, or a role beside the functions) may do `action` to `resource` (an ARN or
    `NO_RESOURCE`).

    `conditions` are the condition keys of the request and their values.
    """

    who: str
    action: str
    resource: str
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Grant:
    """That a statement of a policy allows `who` to do `action` to what `resource` matches."""

    who: str
    sid: str
    action: str
    resource: str


class Permissions:
    """The policies of a deployment's roles."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        functions = deployment.made("AWS::Serverless::Function")
        self._statements = {who: list(self._statements_of(who)) for who in (*functions, *ROLES)}

    def allow(self, need: Need) -> bool:
        keys: dict[str, Any] = {key: list(values) for key, values in need.conditions}
        context = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{self._deployment.account}:assumed-role/{need.who}/{need.who}",
            principal_type="AssumedRole",
            principal_account=self._deployment.account,
            action=need.action,
            resource_arn=need.resource,
            region=self._deployment.region,
            # A condition without a set operator looks at one value only.
            service_context={key: values[0] if len(values) == 1 else values for key, values in keys.items()},
        )
        document = {"Version": "2012-10-17", "Statement": self._statements[need.who]}
        policies = [iam_evaluator.parse_policy_document(document)]
        return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")

    def grants(self) -> list[Grant]:
        """Every action of every statement on each of its resources."""
        return [
            Grant(who, statement["Sid"], action, resource)
            for who, statements in self._statements.items()
            for statement in statements
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        ]

    def table(self) -> str:
        """Every statement of every role, in Markdown."""
        rows = ["| who | may | on | only if |", "|---|---|---|---|"]
        for who, statements in self._statements.items():
            for statement in statements:
                cells = (
                    who,
                    _lines(statement["Action"]),
                    _lines(statement["Resource"]),
                    "<br>".join(_conditions(statement.get("Condition", {}))),
                )
                rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
        return "\n".join(rows)

    def _statements_of(self, who: str) -> Iterator[dict[str, Any]]:
        if self._deployment.has(who, "Policies"):
            for policy in self._deployment.property(who, "Policies"):
                yield from policy.get("PolicyDocument", policy)["Statement"]
        if self._deployment.has(who, "ManagedPolicyArns"):
            for policy in self._deployment.made("AWS::IAM::ManagedPolicy"):
                if self._deployment.value({"Ref": policy}) in self._deployment.property(who, "ManagedPolicyArns"):
                    yield from self._deployment.property(policy, "PolicyDocument")["Statement"]
        role = who if who in ROLES else f"{who}Role"
        for policy in self._deployment.made("AWS::IAM::Policy"):
            if role in self._deployment.property(policy, "Roles"):
                yield from self._deployment.property(policy, "PolicyDocument")["Statement"]


def listed(value: Any) -> list[Any]:
    """What a policy may write as one value or as a list of them."""
    return value if isinstance(value, list) else [value]


def _lines(value: Any) -> str:
    return "<br>".join(f"`{each}`" for each in listed(value))


def _conditions(condition: dict[str, dict[str, Any]]) -> Iterator[str]:
    for operator, keys in condition.items():
        for key, value in keys.items():
            yield f"{operator} `{key}` {_lines(value)}"
