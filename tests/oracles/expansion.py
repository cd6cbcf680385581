"""The templates as SAM's own translator expands them, and how long what they hold can get.

Names, parameters and conditions are such that the text is longest: the stack's name and the fleet's have all the
characters that they may have, a parameter the most that it takes, and of two branches of a condition the longer counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from docs.deployer_policy import expanded_by_sam
from tests.oracles import limits
from tests.support.template import REPOSITORY

MAIN = "template.yaml"
NESTED = "monitoring/template.yaml"
PATHS = (MAIN, NESTED)
ACCOUNT = "123456789012"
REGION = "ap-southeast-1"
"""None has a longer name."""
PARTITION = "aws-us-gov"
"""The same."""
STACK = "s" * limits.STACK_NAME_CHARACTERS
FLEET = "f" * limits.FLEET_NAME_CHARACTERS

_ABSENT = object()
_ARNS: Mapping[str, str] = {
    "AWS::CloudFormation::Stack": "cloudformation:{region}:{account}:stack/{name}/00000000-0000-0000-0000-000000000000",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{name}",
    # On the default bus, the ARN has no name of a bus.
    "AWS::Events::Rule": "events:{region}:{account}:rule/" + FLEET + "/{name}",
    "AWS::IAM::ManagedPolicy": "iam::{account}:policy/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::LayerVersion": "lambda:{region}:{account}:layer:{name}:9999",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::OpenSearchServerless::Collection": "aoss:{region}:{account}:collection/{name}",
    "AWS::S3Vectors::VectorBucket": "s3vectors:{region}:{account}:bucket/{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::SecretsManager::Secret": "secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
}
_REFERRED_TO_BY_ARN = {
    "AWS::CloudFormation::Stack",
    "AWS::IAM::ManagedPolicy",
    "AWS::Lambda::LayerVersion",
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachine",
}
_NAMES = (
    "AlarmName",
    "DashboardName",
    "FunctionName",
    "LayerName",
    "LogGroupName",
    "Name",
    "QueueName",
    "RoleName",
    "StageName",
    "StateMachineName",
    "TableName",
    "VectorBucketName",
)
WIDEST = "𠮷"
"""A character of four bytes, which is as many as UTF-8 has for one."""


def written(value: Any) -> str:
    """JSON without white space, as policies and patterns are measured."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@cache
def document(path: str) -> dict[str, Any]:
    """A template after SAM's transform, its conditions and references as they are."""
    return expanded_by_sam(REPOSITORY / path)


def resources(path: str, kind: str) -> dict[str, dict[str, Any]]:
    return {name: made for name, made in document(path)["Resources"].items() if made["Type"] == kind}


@cache
def longest(path: str) -> Values:
    """The values of a template where they are longest; a nested application has what its application gives it."""
    given = {}
    if path != MAIN:
        (stack,) = [
            made["Properties"].get("Parameters", {})
            for made in resources(MAIN, "AWS::CloudFormation::Stack").values()
            if str(PurePosixPath(MAIN).parent / made["Properties"]["TemplateURL"]) == path
        ]
        given = {name: longest(MAIN).value(value) for name, value in stack.items()}
    return Values(document(path), given=given)


def all_branches(path: str, given: Mapping[str, str]) -> tuple[Values, Values]:
    """The values of a template where every condition is met, and where none is.

    Args:
        given: values of parameters; of the others they are the longest.
    """
    given = {**longest(path).given, **given}
    return (
        Values(document(path), given=given, choose=lambda met, _: met),
        Values(document(path), given=given, choose=lambda _, unmet: unmet),
    )


def _longer(met: Any, unmet: Any) -> Any:
    return max((met, unmet), key=lambda each: -1 if each is _ABSENT else len(written(each)))


class Values:
    """Resolves what a template says, without AWS.

    Args:
        given: values of parameters.
        choose: which of the two values of a condition counts.
    """

    def __init__(
        self,
        expanded: Mapping[str, Any],
        *,
        given: Mapping[str, Any],
        choose: Callable[[Any, Any], Any] = _longer,
    ) -> None:
        self.given = given
        self._parameters = expanded["Parameters"]
        self._resources = expanded["Resources"]
        self._choose = choose

    def value(self, node: Any) -> Any:
        """A node as deploying resolves it. Raises: NotImplementedError for an intrinsic that is not known here."""
        if isinstance(node, list):
            return [value for part in node if (value := self.value(part)) is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._intrinsic(name, argument)
        resolved = {name: self.value(part) for name, part in node.items()}
        return {name: value for name, value in resolved.items() if value is not _ABSENT}

    def properties(self, logical_id: str) -> Any:
        return self.value(self._resources[logical_id].get("Properties", {}))

    def every_resource(self) -> Iterator[tuple[str, str, Any]]:
        """Logical id, type and resolved properties."""
        for name, made in self._resources.items():
            yield name, made["Type"], self.properties(name)

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
                return self._attribute(logical_id, attribute)
            case "Fn::Sub":
                text, own = (argument, {}) if isinstance(argument, str) else argument
                own = {name: self.value(part) for name, part in own.items()}
                return re.sub(r"\$\{([^!}]+)\}", lambda match: str(self._substituted(match[1], own)), text)
            case "Fn::If":
                _, met, unmet = argument
                return self._choose(self.value(met), self.value(unmet))
            case "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self.value(parts)))
        if name == "Fn::Split":
            delimiter, text = argument
            return self.value(text).split(delimiter)
        raise NotImplementedError(f"{name} of {argument!r}")

    def _substituted(self, name: str, own: Mapping[str, Any]) -> Any:
        if name in own:
            return own[name]
        return self._attribute(*name.split(".", 1)) if "." in name else self._reference(name)

    def _reference(self, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": _ABSENT,
            "AWS::Partition": PARTITION,
            "AWS::Region": REGION,
            "AWS::StackId": self._arn("AWS::CloudFormation::Stack", STACK),
            "AWS::StackName": STACK,
            "AWS::URLSuffix": "amazonaws.com.cn",
        }
        if name in pseudo:
            return pseudo[name]
        if name in self._parameters:
            declared = self._parameters[name]
            given = self.given.get(name) or (FLEET if name == "FleetName" else longest_parameter(declared))
            return given.split(",") if declared["Type"] == "CommaDelimitedList" else given
        kind = self._resources[name]["Type"]
        own = self._name(name)
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{own}"
        return self._arn(kind, own) if kind in _REFERRED_TO_BY_ARN else own

    def _attribute(self, logical_id: str, attribute: str) -> str:
        kind = self._resources[logical_id]["Type"]
        if attribute in {"Arn", "VectorBucketArn", "Id"}:
            return self._arn(kind, self._name(logical_id))
        if attribute == "QueueName":
            return self._name(logical_id)
        if attribute.startswith("Outputs."):
            return self._output(logical_id, attribute.removeprefix("Outputs."))
        raise NotImplementedError(f"{attribute} of {logical_id}, a {kind}")

    def _output(self, logical_id: str, name: str) -> str:
        path = self._resources[logical_id]["Properties"]["TemplateURL"]
        # What it is given does not matter to an output that refers to what the nested stack itself has made.
        return str(Values(document(path), given={}).value(document(path)["Outputs"][name]["Value"]))

    def _name(self, logical_id: str) -> str:
        made = self._resources[logical_id]
        given = next((made["Properties"][name] for name in _NAMES if name in made.get("Properties", {})), None)
        if given is not None:
            return str(self.value(given))
        kind = made["Type"]
        most = limits.NAMES_MADE_BY_CLOUDFORMATION[kind]
        suffix = limits.RANDOM_SUFFIXES.get(kind, limits.RANDOM_SUFFIX_CHARACTERS)
        own = f"{logical_id}-{'R' * suffix}"
        stack = "" if kind in limits.NAMED_WITHOUT_THE_STACK else f"{STACK[: most - len(own) - 1]}-"
        return f"{stack}{own}"[-most:]

    @staticmethod
    def _arn(kind: str, name: str) -> str:
        return f"arn:{PARTITION}:" + _ARNS[kind].format(region=REGION, account=ACCOUNT, name=name)


def longest_parameter(declared: Mapping[str, Any]) -> str:
    """A text as long as the parameter takes."""
    if "AllowedValues" in declared:
        return max(map(str, declared["AllowedValues"]), key=len)
    if declared["Type"] == "Number":
        return str(declared.get("MaxValue", 10**12))
    if "MaxLength" not in declared:
        return "x" * limits.PARAMETER_VALUE_BYTES
    # What a pattern allows outside a set of characters: anything, or anything that is no white space.
    pattern = re.sub(r"\[[^\]]*\]", "", declared.get("AllowedPattern", "."))
    wide = re.search(r"(?<!\\)\.|\\S", pattern) is not None
    return (WIDEST if wide else "x") * int(declared["MaxLength"])
