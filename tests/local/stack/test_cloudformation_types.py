"""Resource types that the template needs can be made, changed and deleted."""

import json
from typing import Any

from botocore.exceptions import ClientError


def delete(aws: Any, name: str) -> None:
    cloudformation = aws.client("cloudformation")
    cloudformation.delete_stack(StackName=name)

    def gone() -> bool:
        try:
            [described] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError:
            return True
        assert described["StackStatus"] != "DELETE_FAILED"
        return False

    aws.eventually(gone)


def vector_buckets(aws: Any) -> list[str]:
    pages = aws.client("s3vectors").get_paginator("list_vector_buckets").paginate()
    return [bucket["vectorBucketName"] for page in pages for bucket in page["vectorBuckets"]]


def test_a_vector_bucket_with_an_index(aws: Any) -> None:
    bucket = {"Type": "AWS::S3Vectors::VectorBucket", "Properties": {"VectorBucketName": "bucket-of-a-stack"}}
    index = {
        "Type": "AWS::S3Vectors::Index",
        "Properties": {
            "VectorBucketArn": {"Fn::GetAtt": ["Bucket", "VectorBucketArn"]},
            "IndexName": "index-of-a-stack",
            "DataType": "float32",
            "Dimension": 8,
            "DistanceMetric": "cosine",
            "MetadataConfiguration": {"NonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT"]},
        },
    }
    outputs = {"Bucket": {"Ref": "Bucket"}, "Index": {"Ref": "Index"}}
    stack = aws.deploy({"Bucket": bucket, "Index": index}, outputs)
    assert stack.outputs["Bucket"].endswith(":bucket/bucket-of-a-stack")
    found = aws.client("s3vectors").get_index(indexArn=stack.outputs["Index"])["index"]
    assert found["metadataConfiguration"] == {"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT"]}
    delete(aws, stack.name)
    assert "bucket-of-a-stack" not in vector_buckets(aws)


def test_a_vector_bucket_of_another_name_replaces_the_first(stack: Any) -> None:
    def bucket(name: str) -> dict[str, Any]:
        return {"Bucket": {"Type": "AWS::S3Vectors::VectorBucket", "Properties": {"VectorBucketName": name}}}

    made = stack.deploy(bucket("bucket-before"))
    stack.deploy(bucket("bucket-after"), stack=made.name)
    assert "bucket-after" in vector_buckets(stack)
    assert "bucket-before" not in vector_buckets(stack)
    delete(stack, made.name)


def test_a_vector_bucket_without_a_name_gets_one(stack: Any) -> None:
    made = stack.deploy({"Bucket": {"Type": "AWS::S3Vectors::VectorBucket"}}, {"Arn": {"Ref": "Bucket"}})
    assert f"/{made.name}-bucket-" in made.outputs["Arn"]
    delete(stack, made.name)


def test_a_collection_with_its_policies(aws: Any) -> None:
    encryption = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/fleet"]}], "AWSOwnedKey": True}
    access = [{"Rules": [{"ResourceType": "index", "Resource": ["index/fleet/*"], "Permission": ["aoss:*"]}]}]
    resources = {
        "Encryption": {
            "Type": "AWS::OpenSearchServerless::SecurityPolicy",
            "Properties": {"Name": "fleet-encryption", "Type": "encryption", "Policy": json.dumps(encryption)},
        },
        "Access": {
            "Type": "AWS::OpenSearchServerless::AccessPolicy",
            "Properties": {
                "Name": "fleet-access",
                "Type": "data",
                "Policy": json.dumps([{**access[0], "Principal": ["arn:aws:iam::000000000000:role/any"]}]),
            },
        },
        "Collection": {
            "Type": "AWS::OpenSearchServerless::Collection",
            "DependsOn": "Encryption",
            "Properties": {"Name": "fleet", "Type": "VECTORSEARCH", "StandbyReplicas": "DISABLED"},
        },
    }
    outputs = {"Arn": {"Fn::GetAtt": ["Collection", "Arn"]}, "Id": {"Ref": "Collection"}}
    made = aws.deploy(resources, outputs)
    assert made.outputs["Arn"].endswith(made.outputs["Id"])
    # What depends on the collection needs it ACTIVE, so CloudFormation waits for that.
    [found] = aws.client("opensearchserverless").batch_get_collection(ids=[made.outputs["Id"]])["collectionDetails"]
    assert (found["status"], found["type"], found["standbyReplicas"]) == ("ACTIVE", "VECTORSEARCH", "DISABLED")
    delete(aws, made.name)


def test_the_policy_of_a_queue_and_of_a_bus(aws: Any) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}],
    }
    statement = {"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": "*"}
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "QueuePolicy": {
            "Type": "AWS::SQS::QueueInlinePolicy",
            "Properties": {"Queue": {"Ref": "Queue"}, "PolicyDocument": policy},
        },
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "bus-with-a-policy"}},
        "BusPolicy": {
            "Type": "AWS::Events::EventBusPolicy",
            "Properties": {"EventBusName": {"Ref": "Bus"}, "StatementId": "anyone", "Statement": statement},
        },
    }
    made = aws.deploy(resources, {"Queue": {"Ref": "Queue"}})
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=made.outputs["Queue"], AttributeNames=["Policy"])
    assert json.loads(attributes["Attributes"]["Policy"]) == policy
    bus = aws.client("events").describe_event_bus(Name="bus-with-a-policy")
    assert json.loads(bus["Policy"])["Statement"] == [{**statement, "Sid": "anyone"}]
    delete(aws, made.name)
