"""What template.yaml becomes when SAM expands it, held against AWS's limits at the longest names and values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from ministack.services.cloudformation import engine

from docs.deployer_policy import translated
from tests.support.template import read, template

PARAMETERS: Mapping[str, Mapping[str, Any]] = template()["Parameters"]
EXPANDED = translated()
FUNCTIONS = [name for name, made in EXPANDED.items() if made["Type"] == "AWS::Lambda::Function"]
RULES = [name for name, made in EXPANDED.items() if made["Type"] == "AWS::Events::Rule"]
WIDEST = "𠮷"
"""A character that takes as many bytes as UTF-8 has for one."""
STACK = "s" * 128  # AWS CloudFormation user guide: a stack's name has 128 characters at most
ACCOUNT, REGION, PARTITION = "123456789012", "ap-southeast-1", "aws-us-gov"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": PARTITION,
    "AWS::StackName": STACK,
    "AWS::StackId": f"arn:{PARTITION}:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/{'0' * 36}",
}
# Of names that CloudFormation makes: the stack's, the resource's, and letters and digits. Sources: the longest that
# SQS, IAM, DynamoDB and API Gateway take (their API references).
LONGEST = {
    "AWS::SQS::Queue": f"https://sqs.{REGION}.amazonaws.com.cn/{ACCOUNT}/{'q' * 80}",
    "AWS::IAM::ManagedPolicy": f"arn:{PARTITION}:iam::{ACCOUNT}:policy/{'p' * 128}",
    "AWS::IAM::Role": f"arn:{PARTITION}:iam::{ACCOUNT}:role/{'r' * 64}",
    "AWS::DynamoDB::Table": f"{STACK}-Table-{'T' * 13}",
    "AWS::ApiGateway::UsagePlan": "u" * 10,
    "AWS::CloudWatch::Alarm": "a" * 255,
    "AWS::StepFunctions::StateMachine": f"arn:{PARTITION}:states:{REGION}:{ACCOUNT}:stateMachine:{'m' * 80}",
    "AWS::OpenSearchServerless::Collection": f"arn:{PARTITION}:aoss:{REGION}:{ACCOUNT}:collection/{'c' * 40}",
    "AWS::SecretsManager::Secret": f"arn:{PARTITION}:secretsmanager:{REGION}:{ACCOUNT}:secret:{'n' * 60}-123456",
}


def longest(name: str) -> str:
    """The value of a parameter that takes the most bytes."""
    made = PARAMETERS[name]
    if "AllowedValues" in made:
        return max(map(str, made["AllowedValues"]), key=len)
    if made["Type"] == "Number":
        return str(made.get("MaxValue", 10**9))
    # A pattern that does not take such a character alone may take it after a beginning that it asks for.
    tried = (f"{begun}{WIDEST}" for begun in ("", "https://", "$search_results$"))
    wide = any(re.fullmatch(made["AllowedPattern"], text) for text in tried)
    return (WIDEST if wide else "x") * int(made["MaxLength"])


def valued(node: Any) -> str:
    """A node of the expanded template as text, as long as it can be."""
    if not isinstance(node, dict):
        return str(node).lower() if isinstance(node, bool) else str(node)
    ((function, argument),) = node.items()
    match function:
        case "Ref":
            return referred(argument)
        case "Fn::GetAtt":
            name = argument[0] if isinstance(argument, list) else argument.split(".")[0]
            return LONGEST[EXPANDED[name]["Type"]]
        case "Fn::Sub":
            return re.sub(r"\$\{([^}]+)\}", lambda found: referred(found[1]), argument)
        case "Fn::If":
            return max(map(valued, argument[1:]), key=lambda text: len(text.encode()))
        case "Fn::Join":
            return str(argument[0].join(map(valued, argument[1])))
    raise NotImplementedError(node)


def referred(name: str) -> str:
    if name in PSEUDO:
        return PSEUDO[name]
    if name in PARAMETERS:
        return longest(name)
    if "." in name:
        return LONGEST[EXPANDED[name.split(".")[0]]["Type"]]
    if EXPANDED[name]["Type"] == "AWS::Events::EventBus":
        return valued(EXPANDED[name]["Properties"]["Name"])
    return LONGEST[EXPANDED[name]["Type"]]


@pytest.mark.parametrize("name", [name for name, made in PARAMETERS.items() if made["Type"] == "String"])
def test_every_text_has_a_length_that_it_cannot_exceed(name: str) -> None:
    made = PARAMETERS[name]
    assert "AllowedValues" in made or made["MaxLength"] <= 4_096


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_environment_is_larger_than_lambda_takes(name: str) -> None:
    # Source: AWS documentation, Lambda quotas: all variables of a function, names and values, 4 KB.
    variables = EXPANDED[name]["Properties"]["Environment"]["Variables"]
    sizes = {key: len(key.encode()) + len(valued(value).encode()) for key, value in variables.items()}
    assert sum(sizes.values()) <= 4_096, dict(sorted(sizes.items(), key=lambda size: -size[1])[:6])


@pytest.mark.parametrize("name", RULES)
def test_no_event_pattern_is_larger_than_eventbridge_takes(name: str) -> None:
    # Source: AWS documentation, Amazon EventBridge quotas: 2,048 characters. Written with indentation, for nobody says
    # how they are counted.
    def written(node: Any) -> Any:
        if isinstance(node, list):
            return list(map(written, node))
        if isinstance(node, dict) and not {"Ref", "Fn::Sub", "Fn::GetAtt"} & node.keys():
            return {key: written(value) for key, value in node.items()}
        return valued(node)

    assert len(json.dumps(written(EXPANDED[name]["Properties"]["EventPattern"]), indent=1)) <= 2_048


def test_there_is_one_stage_and_it_has_the_throttles() -> None:
    """SAM makes another, called Stage, with the deployment (serverless-application-model, issue 191)."""
    kinds = ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage")
    stages = [made["Properties"].get("StageName") for made in EXPANDED.values() if made["Type"] in kinds]
    assert sorted(filter(None, stages)) == ["v1"]
    (stage,) = [made["Properties"] for made in EXPANDED.values() if made["Type"] == "AWS::ApiGateway::Stage"]
    assert len(stage["MethodSettings"]) == 2


def test_no_older_layer_is_kept() -> None:
    policies = [made["DeletionPolicy"] for made in EXPANDED.values() if made["Type"] == "AWS::Lambda::LayerVersion"]
    assert policies == ["Delete", "Delete"]


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
        assert "Default" not in PARAMETERS["ConfirmedFleetName"]

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
