"""What SAM's own translator makes of the templates is what we expect, and fits what AWS takes.

Sizes are those of the longest names and parameters (tests/oracles/expansion.py) against tests/oracles/limits.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from samcli.yamlhelper import yaml_dump, yaml_parse

from docs.deployer_policy import schemas
from tests.oracles import limits
from tests.oracles.expansion import MAIN, PATHS, document, longest, longest_parameter, resources, written
from tests.support.template import REPOSITORY, read

SERVERLESS = {
    "AWS::Serverless::Api": "AWS::ApiGateway::RestApi",
    "AWS::Serverless::Application": "AWS::CloudFormation::Stack",
    "AWS::Serverless::Function": "AWS::Lambda::Function",
    "AWS::Serverless::LayerVersion": "AWS::Lambda::LayerVersion",
    "AWS::Serverless::StateMachine": "AWS::StepFunctions::StateMachine",
}
"""What SAM makes of its own types."""
BESIDE = {
    "AWS::Serverless::Api": ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"),
    "AWS::Serverless::Function": ("AWS::IAM::Role",),
    "AWS::Serverless::StateMachine": ("AWS::IAM::Role",),
}
"""What SAM makes beside them."""
FOR_AN_EVENT = {
    "Api": ("AWS::Lambda::Permission",),
    "CloudWatchLogs": ("AWS::Lambda::Permission", "AWS::Logs::SubscriptionFilter"),
    "EventBridgeRule": ("AWS::Events::Rule", "AWS::Lambda::Permission"),
    "SQS": ("AWS::Lambda::EventSourceMapping",),
    "ScheduleV2": ("AWS::IAM::Role", "AWS::Scheduler::Schedule"),
}
"""What SAM makes of an event of a function."""
each_template = pytest.mark.parametrize("path", PATHS)
ROLES = resources(MAIN, "AWS::IAM::Role")
FUNCTIONS = resources(MAIN, "AWS::Lambda::Function")
RULES = [(path, name) for path in PATHS for name in resources(path, "AWS::Events::Rule")]
STATE_MACHINES = resources(MAIN, "AWS::StepFunctions::StateMachine")


def explained(path: str) -> Iterator[str]:
    """The types of the resources that the source of a template accounts for."""
    for resource in read(path)["Resources"].values():
        kind, given = resource["Type"], resource.get("Properties", {})
        yield SERVERLESS.get(kind, kind)
        yield from BESIDE.get(kind, ())
        if kind == "AWS::Serverless::Api":
            # What the authorizer is invoked by.
            yield from ("AWS::Lambda::Permission" for _ in given["Auth"]["Authorizers"])
        if "EventInvokeConfig" in given:
            yield "AWS::Lambda::EventInvokeConfig"
        for event in given.get("Events", {}).values():
            yield from FOR_AN_EVENT[event["Type"]]


class TestWhatIsMade:
    @each_template
    def test_there_is_no_resource_that_nobody_expects(self, path: str) -> None:
        made = Counter(resource["Type"] for resource in document(path)["Resources"].values())
        assert made == Counter(explained(path))

    def test_the_api_has_one_stage_with_a_throttle_and_traces(self) -> None:
        # A deployment that names a stage makes it, without anything that a stage resource says.
        # Source: API Gateway API Reference, CreateDeployment.
        by_deployments = [
            made["Properties"]["StageName"]
            for made in resources(MAIN, "AWS::ApiGateway::Deployment").values()
            if "StageName" in made["Properties"]
        ]
        (stage,) = (made["Properties"] for made in resources(MAIN, "AWS::ApiGateway::Stage").values())
        assert [*by_deployments, stage["StageName"]] == ["v1"]
        assert any(setting["ResourcePath"] == "/*" for setting in stage["MethodSettings"])
        assert stage["TracingEnabled"] is True

    def test_no_older_layer_is_kept(self) -> None:
        layers = resources(MAIN, "AWS::Lambda::LayerVersion").values()
        assert [made["DeletionPolicy"] for made in layers] == ["Delete", "Delete"]

    def test_no_queue_has_two_policies(self) -> None:
        """A queue has one, and the last that is made is it."""
        policies = [longest(MAIN).properties(name) for name in resources(MAIN, "AWS::SQS::QueuePolicy")]
        queues = Counter(queue for policy in policies for queue in policy["Queues"])
        assert queues
        assert [queue for queue, count in queues.items() if count > 1] == []


class TestTemplates:
    @each_template
    def test_what_is_uploaded_and_what_it_is_expanded_to_fits(self, path: str) -> None:
        uploaded = yaml_dump(yaml_parse((REPOSITORY / path).read_text("utf-8")))
        assert len(uploaded.encode()) <= limits.TEMPLATE_BYTES
        assert len(written(document(path)).encode()) <= limits.TEMPLATE_BYTES

    @each_template
    def test_there_are_not_too_many_resources_parameters_and_outputs(self, path: str) -> None:
        expanded = document(path)
        assert 0 < len(expanded["Resources"]) <= limits.RESOURCES
        assert 0 < len(expanded["Parameters"]) <= limits.PARAMETERS
        assert 0 < len(expanded["Outputs"]) <= limits.OUTPUTS
        names = [name for section in ("Resources", "Parameters", "Outputs") for name in expanded[section]]
        assert [name for name in names if len(name) > limits.NAME_CHARACTERS] == []

    @each_template
    def test_descriptions_are_not_too_long(self, path: str) -> None:
        assert len(document(path)["Description"].encode()) <= limits.TEMPLATE_DESCRIPTION_BYTES
        for name, parameter in document(path)["Parameters"].items():
            assert len(parameter.get("Description", "")) <= limits.PARAMETER_DESCRIPTION_CHARACTERS, name

    @each_template
    def test_a_parameter_takes_no_more_than_a_parameter_can_hold(self, path: str) -> None:
        for name, parameter in document(path)["Parameters"].items():
            assert len(str(parameter.get("Default", "")).encode()) <= limits.PARAMETER_VALUE_BYTES, name
            assert parameter.get("MaxLength", 0) <= limits.PARAMETER_VALUE_BYTES, name

    def test_what_a_nested_application_is_given_fits_into_parameters(self) -> None:
        stacks = resources(MAIN, "AWS::CloudFormation::Stack")
        given = [longest(MAIN).properties(name)["Parameters"] for name in stacks]
        assert given
        for name, value in (item for parameters in given for item in parameters.items()):
            assert len(value.encode()) <= limits.PARAMETER_VALUE_BYTES, name

    def test_a_text_that_functions_are_given_has_a_length(self) -> None:
        """Else nobody can say whether it fits into their environments."""
        declared = document(MAIN)["Parameters"]
        given = {
            reference["Ref"]
            for function in FUNCTIONS.values()
            for reference in function["Properties"]["Environment"]["Variables"].values()
            if isinstance(reference, Mapping) and reference.get("Ref") in declared
        }
        endless = [
            name for name in given if len(longest_parameter(declared[name]).encode()) >= limits.PARAMETER_VALUE_BYTES
        ]
        assert sorted(endless) == []


class TestPolicies:
    @pytest.mark.parametrize("name", ROLES)
    def test_a_roles_inline_policies_fit_together(self, name: str) -> None:
        own = longest(MAIN).properties(name)
        policies = [each["PolicyDocument"] for each in own.get("Policies", [])]
        for other, made in resources(MAIN, "AWS::IAM::Policy").items():
            # Under one condition or another it is attached to whatever it names.
            if re.search(rf'"{name}"', json.dumps(made["Properties"]["Roles"])):
                policies.append(longest(MAIN).properties(other)["PolicyDocument"])
        assert sum(len(written(policy)) for policy in policies) <= limits.ROLE_INLINE_CHARACTERS
        assert len(written(own["AssumeRolePolicyDocument"])) <= limits.TRUST_POLICY_CHARACTERS
        assert len(own.get("ManagedPolicyArns", [])) <= limits.MANAGED_POLICIES_OF_A_ROLE

    @pytest.mark.parametrize("name", resources(MAIN, "AWS::IAM::ManagedPolicy"))
    def test_a_managed_policy_fits(self, name: str) -> None:
        policy = longest(MAIN).properties(name)["PolicyDocument"]
        assert len(written(policy)) <= limits.MANAGED_POLICY_CHARACTERS

    @pytest.mark.parametrize("name", resources(MAIN, "AWS::SQS::QueuePolicy"))
    def test_a_queues_policy_fits(self, name: str) -> None:
        policy = longest(MAIN).properties(name)["PolicyDocument"]
        assert len(written(policy).encode()) <= limits.QUEUE_POLICY_BYTES
        assert len(policy["Statement"]) <= limits.QUEUE_POLICY_STATEMENTS

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_what_lets_others_invoke_a_function_fits(self, name: str) -> None:
        values = longest(MAIN)
        function = values.value({"Fn::GetAtt": [name, "Arn"]})
        statements = [
            {
                "Sid": values.value({"Fn::Sub": "${AWS::StackName}"}) + f"-{permission}-" + "R" * 12,
                "Effect": "Allow",
                "Principal": {"Service": own["Principal"]},
                "Action": own["Action"],
                "Resource": function,
                "Condition": {"ArnLike": {"AWS:SourceArn": own.get("SourceArn")}},
            }
            for permission, own in ((each, values.properties(each)) for each in PERMISSIONS.get(name, ()))
        ]
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        assert len(written(policy).encode()) <= limits.FUNCTION_POLICY_BYTES


def permissions() -> dict[str, list[str]]:
    """By function, the resources that let others invoke it."""
    found: dict[str, list[str]] = {}
    for name, made in resources(MAIN, "AWS::Lambda::Permission").items():
        (reference,) = made["Properties"]["FunctionName"].values()
        function = reference[0] if isinstance(reference, list) else reference.partition(".")[0]
        found.setdefault(function, []).append(name)
    return found


PERMISSIONS = permissions()


class TestFunctions:
    def test_whoever_may_invoke_a_function_is_known(self) -> None:
        assert PERMISSIONS
        assert PERMISSIONS.keys() <= FUNCTIONS.keys()

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_its_environment_fits(self, name: str) -> None:
        variables = longest(MAIN).properties(name)["Environment"]["Variables"]
        given = written({key: str(value) for key, value in variables.items()})
        assert len(given.encode()) <= limits.ENVIRONMENT_BYTES, {
            key: len(str(value).encode()) for key, value in variables.items() if len(str(value).encode()) > 200
        }

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_its_layers_are_not_too_many(self, name: str) -> None:
        assert 0 < len(longest(MAIN).properties(name)["Layers"]) <= limits.LAYERS_OF_A_FUNCTION


class TestRules:
    @pytest.mark.parametrize(("path", "name"), RULES)
    def test_its_pattern_and_its_targets_are_such_as_eventbridge_takes(self, path: str, name: str) -> None:
        rule = longest(path).properties(name)
        # With indentation: nobody says how a pattern is counted that CloudFormation writes.
        assert len(json.dumps(rule["EventPattern"], indent=1)) <= limits.EVENT_PATTERN_CHARACTERS
        assert 0 < len(rule["Targets"]) <= limits.TARGETS_OF_A_RULE

    def test_a_bus_has_room_for_them(self) -> None:
        assert len(RULES) <= limits.RULES_OF_A_BUS


class TestStateMachines:
    @pytest.mark.parametrize("name", STATE_MACHINES)
    def test_its_definition_fits(self, name: str) -> None:
        path = REPOSITORY / read(MAIN)["Resources"][name]["Properties"]["DefinitionUri"]
        substituted = longest(MAIN).properties(name)["DefinitionSubstitutions"]
        text = path.read_text("utf-8")
        assert substituted
        for key, value in substituted.items():
            assert f"${{{key}}}" in text
            text = text.replace(f"${{{key}}}", str(value))
        assert "${" not in text
        assert len(text.encode()) <= limits.DEFINITION_BYTES


class TestTheApi:
    def test_its_paths_are_not_too_many(self) -> None:
        (api,) = resources(MAIN, "AWS::ApiGateway::RestApi").values()
        paths = api["Properties"]["Body"]["paths"]
        parts = {path[: match.start()] for path in paths for match in re.finditer(r"/|$", path)}
        assert 0 < len(parts) <= limits.API_RESOURCES


# --- every text that a resource's own schema bounds ---


def too_long(value: Any, declared: Mapping[str, Any], whole: Mapping[str, Any], at: str) -> Iterator[str]:
    """The texts in a value that are longer than its schema lets them be."""
    if "$ref" in declared:
        declared = whole["definitions"][declared["$ref"].rpartition("/")[2]]
    if isinstance(value, str) and len(value) > declared.get("maxLength", len(value)):
        yield f"{at} has {len(value)} characters of {declared['maxLength']}: {value}"
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in declared.get("properties", {}):
                yield from too_long(inner, declared["properties"][name], whole, f"{at}.{name}")
    if isinstance(value, list) and isinstance(declared.get("items"), Mapping):
        for inner in value:
            yield from too_long(inner, declared["items"], whole, at)


class TestTexts:
    @each_template
    def test_names_and_other_texts_are_as_long_as_their_types_let_them_be(self, path: str) -> None:
        found = [
            problem
            for name, kind, given in longest(path).every_resource()
            for problem in too_long(given, schemas()[kind], schemas()[kind], name)
        ]
        assert found == []

    def test_the_test_sees_a_name_that_is_too_long(self) -> None:
        kind = "AWS::Lambda::LayerVersion"
        given = {"LayerName": "x" * 141, "Description": "y" * 256}
        (problem,) = too_long(given, schemas()[kind], schemas()[kind], "Layer")
        assert problem.startswith("Layer.LayerName has 141 characters of 140")
