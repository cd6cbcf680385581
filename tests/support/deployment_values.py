"""The values that deploying template.yaml would give: parameters, references and conditions, resolved without AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.template import resources, template

_ABSENT = object()
_GIVEN: Mapping[str, str] = {"GenerationModelId": "apac.amazon.nova-lite-v1:0"}
"""Parameters that have no default, and that tests depend on: for Tokyo, where most of them are."""

_ARNS: Mapping[str, str] = {
    "AWS::Serverless::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::Serverless::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::{account}:policy/{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::Events::EventBus": "arn:aws:events:{region}:{account}:event-bus/{name}",
    "AWS::OpenSearchServerless::Collection": "arn:aws:aoss:{region}:{account}:collection/{name}",
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:{region}:{account}:secret:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3Vectors::VectorBucket": "arn:aws:s3vectors:{region}:{account}:bucket/{name}",
}
_REFERENCES: Mapping[str, str] = {
    "AWS::SQS::Queue": "https://sqs.{region}.amazonaws.com/{account}/{name}",
    "AWS::Serverless::StateMachine": _ARNS["AWS::Serverless::StateMachine"],
    "AWS::SecretsManager::Secret": _ARNS["AWS::SecretsManager::Secret"],
    "AWS::SNS::Topic": _ARNS["AWS::SNS::Topic"],
    "AWS::IAM::ManagedPolicy": _ARNS["AWS::IAM::ManagedPolicy"],
}
_NAMES = ("Name", "TableName", "QueueName", "FunctionName", "VectorBucketName", "LogGroupName")


@dataclass(frozen=True)
class Deployment:
    """The stack as it would be after deploying it with these parameters; the others have their defaults.

    Args:
        arns: of resources that exist somewhere under an ARN of their own, by logical id.
    """

    account: str
    region: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    stack: str = "kbfleet"
    arns: Mapping[str, str] = field(default_factory=dict)

    def value(self, node: Any) -> Any:
        """A node of the template as deploying resolves it. Raises: NotImplementedError for an unknown intrinsic."""
        if isinstance(node, list):
            return [value for part in node if (value := self.value(part)) is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" or name == "Condition" or name.startswith("Fn::"):
                return self._intrinsic(name, argument)
        resolved = {name: self.value(part) for name, part in node.items()}
        return {name: value for name, value in resolved.items() if value is not _ABSENT}

    def made(self, kind: str) -> list[str]:
        """The logical ids of the resources of a type that are made."""
        found = resources(kind).items()
        return [name for name, made in found if "Condition" not in made or self._condition(made["Condition"])]

    def property(self, logical_id: str, name: str) -> Any:
        """A resolved property of a resource. Raises: KeyError when it is not set."""
        value = self.value(template()["Resources"][logical_id]["Properties"][name])
        if value is _ABSENT:
            raise KeyError(name)
        return value

    def has(self, logical_id: str, name: str) -> bool:
        return name in template()["Resources"][logical_id].get("Properties", {})

    def function(self, logical_id: str) -> dict[str, Any]:
        """A function's resolved properties with those that Globals give it, its environment variables as text."""
        everywhere = template()["Globals"]["Function"]
        own = resources("AWS::Serverless::Function")[logical_id]["Properties"]
        variables = {
            **everywhere["Environment"]["Variables"],
            **own.get("Environment", {}).get("Variables", {}),
        }
        merged = {**everywhere, **own, "Environment": {"Variables": variables}}
        wanted = {name: merged[name] for name in ("CodeUri", "Handler", "Timeout", "Environment")}
        resolved: dict[str, Any] = self.value(wanted)
        given = resolved["Environment"]["Variables"]
        resolved["Environment"] = {"Variables": {name: _text(value) for name, value in given.items()}}
        return resolved

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Condition":
                return self._condition(argument)
            case "Fn::GetAtt":
                logical_id, attribute = argument.split(".") if isinstance(argument, str) else argument
                return self._attribute(logical_id, attribute)
            case "Fn::Sub":
                text, own = (argument, {}) if isinstance(argument, str) else argument
                own = {name: self.value(part) for name, part in own.items()}
                return re.sub(r"\$\{([^}]+)\}", lambda match: str(own.get(match[1]) or self._named(match[1])), text)
            case "Fn::If":
                condition, met, unmet = argument
                return self.value(met if self._condition(condition) else unmet)
            case "Fn::Equals":
                return self.value(argument[0]) == self.value(argument[1])
            case "Fn::Not":
                return not self.value(argument[0])
            case "Fn::And":
                return all(map(self.value, argument))
            case "Fn::Or":
                return any(map(self.value, argument))
            case "Fn::Split":
                delimiter, text = argument
                return self.value(text).split(delimiter)
            case "Fn::Join":
                return argument[0].join(map(str, self.value(argument[1])))
        raise NotImplementedError(f"{name} of {argument!r}")

    def _condition(self, name: str) -> bool:
        return bool(self.value(template()["Conditions"][name]))

    def _named(self, name: str) -> Any:
        return self._attribute(*name.split(".", 1)) if "." in name else self._reference(name)

    def _reference(self, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::Partition": "aws",
            "AWS::StackName": self.stack,
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{self.stack}/1",
            "AWS::NoValue": _ABSENT,
        }
        if name in pseudo:
            return pseudo[name]
        declared = template()["Parameters"].get(name)
        if declared is not None:
            return self.parameters.get(name, declared.get("Default", _GIVEN.get(name, f"unset-{name}")))
        return self._filled(_REFERENCES.get(self._type(name), "{name}"), name)

    def _attribute(self, logical_id: str, attribute: str) -> str:
        if attribute.endswith("Name"):
            return self._physical_name(logical_id)
        if logical_id in self.arns:
            return self.arns[logical_id]
        kind = self._type(logical_id)
        # The Id of a secret is its ARN (AWS documentation of AWS::SecretsManager::Secret).
        if attribute not in {"Arn", "VectorBucketArn", "Id"} or kind not in _ARNS:
            raise NotImplementedError(f"{attribute} of {logical_id}, a {kind}")
        return self._filled(_ARNS[kind], logical_id)

    def _filled(self, pattern: str, logical_id: str) -> str:
        return pattern.format(region=self.region, account=self.account, name=self._physical_name(logical_id))

    def _physical_name(self, logical_id: str) -> str:
        given = template()["Resources"].get(logical_id, {}).get("Properties", {})
        named = next((given[name] for name in _NAMES if name in given), None)
        return logical_id if named is None else str(self.value(named))

    def _type(self, logical_id: str) -> str:
        # SAM makes each function a role of this name (AWS documentation, Generated CloudFormation resources).
        if logical_id.endswith("Role") and logical_id[:-4] in resources("AWS::Serverless::Function"):
            return "AWS::IAM::Role"
        return str(template()["Resources"][logical_id]["Type"])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
