"""What whoever deploys the stack must be allowed to do, made of the template.

The actions on each type of resource are those that its type declares that CloudFormation calls for it (the handlers'
permissions of the CloudFormation registry's schemas, which cfn-lint ships), without those that only serve properties
that the template does not use. Nothing here was tried on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import cfnlint
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

_ROOT = Path(__file__).parents[1]

UNUSED: Mapping[str, str] = {
    "kms:": "no key of one's own",
    "ec2:": "no function in a network",
    "elasticfilesystem:": "no file system",
    "firehose:": "no delivery by Firehose",
    "kinesis:": "no stream",
    "s3files:": "no file system",
    "s3:": "packages are read by the statement on sam's bucket",
    "dynamodb:BatchWriteItem": "no replicas, and no imports: data are not the deployer's",
    "dynamodb:DeleteItem": "the same",
    "dynamodb:GetItem": "the same",
    "dynamodb:PutItem": "the same",
    "dynamodb:Query": "the same",
    "dynamodb:Scan": "the same",
    "dynamodb:UpdateItem": "the same",
    "dynamodb:AssociateTableReplica": "the same",
    "dynamodb:CreateTableReplica": "the same",
    "dynamodb:ImportTable": "the same",
    "iam:AttachGroupPolicy": "policies are of roles only",
    "iam:DetachGroupPolicy": "the same",
    "iam:AttachUserPolicy": "the same",
    "iam:DetachUserPolicy": "the same",
    "iam:DeleteGroupPolicy": "the same",
    "iam:GetGroupPolicy": "the same",
    "iam:PutGroupPolicy": "the same",
    "iam:DeleteUserPolicy": "the same",
    "iam:GetUserPolicy": "the same",
    "iam:PutUserPolicy": "the same",
    "iam:PassRole": "a statement of its own",
    "iam:CreateServiceLinkedRole": "a statement of its own",
    "secretsmanager:RemoveRegionsFromReplication": "no replicas",
    "secretsmanager:ReplicateSecretToRegions": "the same",
    "lambda:PassCapacityProvider": "no capacity provider",
    "events:PutPermission": "no policy of a bus",
    "events:RemovePermission": "the same",
    "logs:DeleteIndexPolicy": "no field indexes",
    "logs:PutIndexPolicy": "the same",
    "aoss:AddCollectionToCollectionGroup": "no collection group",
    "logs:CreateLogDelivery": "of log groups it is for delivery to other accounts",
    "logs:PutBearerTokenAuthentication": "log groups take no tokens",
    "cloudformation:GetStackPolicy": "nested stacks have no policy",
    "cloudformation:SetStackPolicy": "the same",
    "cloudformation:UpdateTerminationProtection": "of a nested stack, it is that of the whole",
}
"""Actions, and services by their prefix, that are left out, each with its reason."""

_ARN = "arn:aws:{service}:REGION:ACCOUNT:{resource}"
RESOURCES: Mapping[str, tuple[str, ...]] = {
    # API Gateway's own ARNs have no account. Names of the other resources begin with the stack's or the fleet's.
    "apigateway": (
        "arn:aws:apigateway:REGION::/restapis",
        "arn:aws:apigateway:REGION::/restapis/*",
        "arn:aws:apigateway:REGION::/usageplans",
        "arn:aws:apigateway:REGION::/usageplans/*",
        "arn:aws:apigateway:REGION::/tags/*",
    ),
    "aoss": ("*",),
    "cloudwatch": (
        _ARN.format(service="cloudwatch", resource="alarm:STACK-*"),
        "arn:aws:cloudwatch::ACCOUNT:dashboard/*",
    ),
    "cloudformation": (_ARN.format(service="cloudformation", resource="stack/STACK-Monitoring-*/*"),),
    "dynamodb": (_ARN.format(service="dynamodb", resource="table/STACK-*"),),
    "events": (
        _ARN.format(service="events", resource="event-bus/FLEET"),
        _ARN.format(service="events", resource="rule/STACK-*"),
        _ARN.format(service="events", resource="rule/FLEET/STACK-*"),
    ),
    "iam": ("arn:aws:iam::ACCOUNT:role/STACK-*", "arn:aws:iam::ACCOUNT:policy/STACK-*"),
    "lambda": (
        _ARN.format(service="lambda", resource="function:STACK-*"),
        _ARN.format(service="lambda", resource="layer:STACK-*"),
        _ARN.format(service="lambda", resource="event-source-mapping:*"),
    ),
    "logs": (
        _ARN.format(service="logs", resource="log-group:STACK-*"),
        _ARN.format(service="logs", resource="log-group:/aws/vendedlogs/states/STACK-*"),
    ),
    "s3vectors": (_ARN.format(service="s3vectors", resource="bucket/FLEET-*"),),
    "scheduler": (_ARN.format(service="scheduler", resource="schedule/default/FLEET-*"),),
    # The names that CloudFormation gives to secrets are not documented.
    "secretsmanager": (_ARN.format(service="secretsmanager", resource="secret:*"),),
    "sns": (_ARN.format(service="sns", resource="STACK-*"),),
    "sqs": (_ARN.format(service="sqs", resource="STACK-*"),),
    "states": (_ARN.format(service="states", resource="stateMachine:FLEET-*"),),
}
KNOW_NO_RESOURCE = frozenset(
    {
        # By the service authorization reference; asked of the whole account or Region.
        "cloudformation:ListStacks",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListDashboards",
        "dynamodb:ListTables",
        "events:ListEventBuses",
        "events:ListRules",
        "iam:ListPolicies",
        "iam:ListRoles",
        "lambda:CreateEventSourceMapping",
        "lambda:ListEventSourceMappings",
        "lambda:ListFunctions",
        "lambda:ListLayerVersions",
        "logs:DeleteResourcePolicy",
        "logs:DescribeDeliveryDestinations",
        "logs:DescribeIndexPolicies",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:PutResourcePolicy",
        "s3vectors:ListVectorBuckets",
        "scheduler:ListSchedules",
        "secretsmanager:GetRandomPassword",
        "secretsmanager:ListSecrets",
        "sqs:ListQueues",
        "states:ListStateMachines",
    }
)
_SAM_BUCKET_ACTIONS = (
    "s3:CreateBucket",
    "s3:GetBucketLocation",
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutObject",
)
"""On the bucket for packages, which `sam deploy` makes in a stack `aws-sam-cli-managed-default` (resolve_s3 in
samconfig.toml)."""
_STACK_ACTIONS = (
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStackResources",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplate",
    "cloudformation:GetTemplateSummary",
    "cloudformation:ListStackResources",
)


@cache
def expanded_by_sam(template: Path) -> dict[str, Any]:
    """A template as SAM's own translator makes it, under every condition. Nested applications stay resources."""
    source = yaml_parse(template.read_text("utf-8"))
    for resource in source["Resources"].values():
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://packages/package"
    session = boto3.Session(region_name="us-east-1")
    made: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(source, parameter_values={})
    return made


@cache
def translated(template: Path = _ROOT / "template.yaml") -> dict[str, Any]:
    """The resources of a template and of its nested applications as SAM makes them, under every condition."""
    made = dict(expanded_by_sam(template)["Resources"])
    for resource in expanded_by_sam(template)["Resources"].values():
        if resource["Type"] == "AWS::CloudFormation::Stack":
            made |= translated(template.parent / resource["Properties"]["TemplateURL"])
    return made


@cache
def schemas() -> Mapping[str, Mapping[str, Any]]:
    """The registry's schema of each type of resource of the stack."""
    wanted = {resource["Type"] for resource in translated().values()}
    paths = (Path(cfnlint.__file__).parent / "data" / "schemas" / "resources").glob("*.json")
    held = (json.loads(path.read_text("utf-8")) for path in paths)
    return {schema["typeName"]: schema for schema in held if schema["typeName"] in wanted}


@cache
def declared_actions() -> Mapping[str, frozenset[str]]:
    """By type of resource of the stack: what its type declares that it calls."""
    return {
        name: frozenset(action for each in schema.get("handlers", {}).values() for action in each["permissions"])
        for name, schema in schemas().items()
    }


def is_unused(action: str) -> bool:
    return action in UNUSED or f"{action.partition(':')[0]}:" in UNUSED


def services_that_are_passed_a_role() -> tuple[str, ...]:
    """Those that the stack's roles trust; the knowledge bases' role is passed to Bedrock by a function, not by you."""
    principals = [
        statement["Principal"].get("Service", ())
        for resource in translated().values()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    ]
    services = {each for held in principals for each in ([held] if isinstance(held, str) else held)}
    return tuple(sorted(services - {"bedrock.amazonaws.com"}))


_CODE = ("Stacks", "Packages", "WholeAccount", "Cloudformation", "Iam", "Lambda", "PassRoles")
"""The statements that are about the stack itself, its code and its roles."""


def policies() -> Mapping[str, dict[str, Any]]:
    """IAM policies, by their names, both of which are needed: one alone would be too long. REGION, ACCOUNT, STACK (the
    stack's name) and FLEET (the fleet's) are to be replaced."""
    statements = list(_statements())
    code = [statement for statement in statements if statement["Sid"] in _CODE]
    resources = [statement for statement in statements if statement["Sid"] not in _CODE]
    return {
        name: {"Version": "2012-10-17", "Statement": part} for name, part in (("code", code), ("resources", resources))
    }


def _statements() -> Iterator[dict[str, Any]]:
    stacks = [
        "arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK/*",
        "arn:aws:cloudformation:REGION:ACCOUNT:stack/aws-sam-cli-managed-default/*",
        "arn:aws:cloudformation:REGION:aws:transform/Serverless-2016-10-31",
    ]
    yield _statement("Stacks", _STACK_ACTIONS, stacks)
    yield _statement(
        "Packages",
        _SAM_BUCKET_ACTIONS,
        ["arn:aws:s3:::aws-sam-cli-managed-default-*", "arn:aws:s3:::aws-sam-cli-managed-default-*/*"],
    )
    actions = {action for each in declared_actions().values() for action in each if not is_unused(action)}
    yield _statement("WholeAccount", actions & KNOW_NO_RESOURCE, ["*"])
    for service in sorted({action.partition(":")[0] for action in actions}):
        own = [action for action in actions - KNOW_NO_RESOURCE if action.startswith(f"{service}:")]
        yield _statement(service.capitalize(), own, list(RESOURCES[service]))
    passing = _statement("PassRoles", ["iam:PassRole"], [RESOURCES["iam"][0]])
    yield passing | {"Condition": {"StringEquals": {"iam:PassedToService": list(services_that_are_passed_a_role())}}}
    yield _statement(
        "FirstCollectionOfTheAccount",
        ["iam:CreateServiceLinkedRole"],
        ["arn:aws:iam::ACCOUNT:role/aws-service-role/observability.aoss.amazonaws.com/*"],
    )


def _statement(sid: str, actions: Iterable[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def documents() -> Mapping[str, str]:
    """The files in `docs/`, by their names."""
    return {f"deployer-policy-{name}.json": json.dumps(each, indent=2) + "\n" for name, each in policies().items()}
