"""A stack is made anew of what an older one has left."""

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

Resources = dict[str, Any]


def kept(name: str) -> Resources:
    """A resource of each type that the fleet's stack leaves behind, and one that goes with the stack."""

    def policy(kind: str, document: object) -> Resources:
        return {"Name": name, "Type": kind, "Policy": json.dumps(document)}

    covered = [{"ResourceType": "collection", "Resource": [f"collection/{name}"]}]
    types: Resources = {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
            },
        },
        "VectorBucket": {"Type": "AWS::S3Vectors::VectorBucket", "Properties": {"VectorBucketName": name}},
        "Encryption": {
            "Type": "AWS::OpenSearchServerless::SecurityPolicy",
            "Properties": policy("encryption", {"Rules": covered, "AWSOwnedKey": True}),
        },
        "Network": {
            "Type": "AWS::OpenSearchServerless::SecurityPolicy",
            "Properties": policy("network", [{"Rules": covered, "AllowFromPublic": True}]),
        },
        "Collection": {
            "Type": "AWS::OpenSearchServerless::Collection",
            "DependsOn": ["Encryption", "Network"],
            "Properties": {"Name": name, "Type": "VECTORSEARCH"},
        },
    }
    return {logical: {**resource, "DeletionPolicy": "Retain"} for logical, resource in types.items()}


def identifiers(physical: dict[str, str], name: str) -> dict[str, dict[str, str]]:
    return {
        "Table": {"TableName": physical["Table"]},
        "VectorBucket": {"VectorBucketArn": physical["VectorBucket"]},
        "Encryption": {"Type": "encryption", "Name": name},
        "Network": {"Type": "network", "Name": name},
        "Collection": {"Id": physical["Collection"]},
    }


def physical_ids(aws: Any, stack: str) -> dict[str, str]:
    found = aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}


def delete(aws: Any, stack: str) -> None:
    cloudformation = aws.client("cloudformation")
    identifier = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=stack)
    aws.eventually(
        lambda: cloudformation.describe_stacks(StackName=identifier)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    )


def propose(aws: Any, stack: str, resources: Resources, named: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The change set that imports them."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName="import",
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": resources}),
        ResourcesToImport=[
            {"ResourceType": resources[each]["Type"], "LogicalResourceId": each, "ResourceIdentifier": identifier}
            for each, identifier in named.items()
        ],
    )
    described: dict[str, Any] = cloudformation.describe_change_set(StackName=stack, ChangeSetName="import")
    return described


def test_a_new_stack_takes_in_what_an_older_one_has_left(aws: Any) -> None:
    name = f"kept-{uuid4().hex[:8]}"
    made = aws.deploy(kept(name), {"Table": {"Ref": "Table"}}, stack="")
    before = physical_ids(aws, made.name)
    delete(aws, made.name)

    proposed = propose(aws, made.name, kept(name), identifiers(before, name))
    assert proposed["ExecutionStatus"] == "AVAILABLE", proposed.get("StatusReason")
    cloudformation = aws.client("cloudformation")
    cloudformation.execute_change_set(StackName=made.name, ChangeSetName="import")
    aws.eventually(
        lambda: cloudformation.describe_stacks(StackName=made.name)["Stacks"][0]["StackStatus"] == "IMPORT_COMPLETE"
    )
    assert physical_ids(aws, made.name) == before
    after = aws.deploy(kept(name), {"Arn": {"Fn::GetAtt": ["Collection", "Arn"]}}, stack=made.name)
    assert after.outputs["Arn"].endswith(before["Collection"])


@pytest.mark.parametrize("missing", ["VectorBucket", "Encryption", "Collection"])
def test_what_does_not_exist_is_not_taken_in(aws: Any, missing: str) -> None:
    name = f"never-{uuid4().hex[:8]}"
    nowhere = {"VectorBucket": f"arn:aws:s3vectors:eu-west-1:000000000000:bucket/{name}", "Collection": "0000000000"}
    named = identifiers({"Table": "", **nowhere}, name)[missing]
    resource = {key: value for key, value in kept(name)[missing].items() if key != "DependsOn"}
    proposed = propose(aws, f"stack-{name}", {missing: resource}, {missing: named})
    assert proposed["Status"] == "FAILED"
    assert "was not found" in proposed["StatusReason"]


def test_nothing_is_taken_in_that_would_go_with_the_stack(aws: Any) -> None:
    name = f"going-{uuid4().hex[:8]}"
    arn = aws.client("s3vectors").create_vector_bucket(vectorBucketName=name)["vectorBucketArn"]
    bucket = {"Type": "AWS::S3Vectors::VectorBucket", "Properties": {"VectorBucketName": name}}
    with pytest.raises(ClientError, match="DeletionPolicy"):
        propose(aws, f"stack-{name}", {"Bucket": bucket}, {"Bucket": {"VectorBucketArn": arn}})
