"""A stack in a stack is made, changed and deleted with it, and fails it."""

import json
import re
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

QUEUE = {"Type": "AWS::SQS::Queue"}
FAILS = {"Type": "AWS::SQS::QueueInlinePolicy", "DependsOn": "Queue", "Properties": {"Queue": "https://no.where/queue"}}
"""It has no policy document."""


def store(aws: Any, resources: dict[str, Any]) -> str:
    """Puts a template where CloudFormation reads it from; gives its URL."""
    bucket = f"templates-{uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    template = {
        "Parameters": {"Seconds": {"Type": "Number", "Default": 0}},
        "Resources": resources,
        "Outputs": {"Queue": {"Value": {"Fn::GetAtt": ["Queue", "QueueName"]}}},
    }
    aws.client("s3").put_object(Bucket=bucket, Key="nested.template", Body=json.dumps(template))
    return f"https://s3.amazonaws.com/{bucket}/nested.template"


def queue(**properties: Any) -> dict[str, Any]:
    return {"Queue": {**QUEUE, "Properties": properties}}


def nested(url: str, seconds: int = 0) -> dict[str, Any]:
    properties = {"TemplateURL": url, "Parameters": {"Seconds": seconds}}
    return {"Nested": {"Type": "AWS::CloudFormation::Stack", "Properties": properties}}


OUTPUTS = {"Id": {"Ref": "Nested"}, "Queue": {"Fn::GetAtt": ["Nested", "Outputs.Queue"]}}


def queues(aws: Any, prefix: str) -> list[str]:
    return [
        url.rpartition("/")[2] for url in aws.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])
    ]


def delay(aws: Any, name: str) -> str:
    url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
    return str(answer["Attributes"]["DelaySeconds"])


def ended(aws: Any, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return None if described["StackStatus"].endswith("IN_PROGRESS") else described

    found: dict[str, Any] = aws.eventually(look)
    return found


def gone(aws: Any, name: str) -> bool:
    try:
        described = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return True
    assert described["StackStatus"] != "DELETE_FAILED"
    return False


def test_it_is_a_stack_of_its_own_that_is_named_after_the_whole(aws: Any) -> None:
    whole = aws.deploy(nested(store(aws, queue(DelaySeconds={"Ref": "Seconds"})), 7), OUTPUTS)
    [part] = aws.client("cloudformation").describe_stacks(StackName=whole.outputs["Id"])["Stacks"]
    [parent] = aws.client("cloudformation").describe_stacks(StackName=whole.name)["Stacks"]
    assert part["StackId"] == whole.outputs["Id"] != parent["StackId"]
    assert (part.get("ParentId"), part.get("RootId")) == (parent["StackId"], parent["StackId"])
    # Source: AWS CloudFormation documentation, Name type.
    assert re.fullmatch(rf"{whole.name}-Nested-[A-Z0-9]+", part["StackName"])
    assert part["Parameters"] == [{"ParameterKey": "Seconds", "ParameterValue": "7"}]
    assert whole.outputs["Queue"].startswith(f"{part['StackName']}-Queue-")
    assert delay(aws, whole.outputs["Queue"]) == "7"


def test_a_part_of_a_part_knows_the_whole(aws: Any) -> None:
    inner = store(aws, queue())
    url = store(aws, {**nested(inner), **queue()})
    whole = aws.deploy(nested(url), OUTPUTS)
    cloudformation = aws.client("cloudformation")
    [found] = cloudformation.list_stack_resources(StackName=whole.outputs["Id"])["StackResourceSummaries"][:1]
    [part] = cloudformation.describe_stacks(StackName=found["PhysicalResourceId"])["Stacks"]
    [parent] = cloudformation.describe_stacks(StackName=whole.name)["Stacks"]
    assert (part.get("ParentId"), part.get("RootId")) == (whole.outputs["Id"], parent["StackId"])


def test_it_is_changed_with_the_whole(stack: Any) -> None:
    url = store(stack, {**queue(DelaySeconds={"Ref": "Seconds"}), "Second": QUEUE})
    made = stack.deploy(nested(url, 7), OUTPUTS)
    [before] = stack.client("cloudformation").describe_stacks(StackName=made.outputs["Id"])["Stacks"]
    changed = stack.deploy(nested(store(stack, queue(DelaySeconds={"Ref": "Seconds"})), 8), OUTPUTS, stack=made.name)
    assert changed.outputs == made.outputs
    assert delay(stack, changed.outputs["Queue"]) == "8"
    assert queues(stack, before["StackName"]) == [changed.outputs["Queue"]]
    [after] = stack.client("cloudformation").describe_stacks(StackName=made.outputs["Id"])["Stacks"]
    assert (after["StackStatus"], after["CreationTime"]) == ("UPDATE_COMPLETE", before["CreationTime"])


def test_it_is_deleted_with_the_whole_but_for_what_is_to_be_retained(aws: Any) -> None:
    made = aws.deploy(nested(store(aws, {**queue(), "Kept": {**QUEUE, "DeletionPolicy": "Retain"}})), OUTPUTS)
    aws.client("cloudformation").delete_stack(StackName=made.name)
    aws.eventually(lambda: gone(aws, made.name))
    assert ["-Kept-" in left for left in queues(aws, f"{made.name}-Nested")] == [True]
    assert ended(aws, made.outputs["Id"])["StackStatus"] == "DELETE_COMPLETE"


def test_if_it_cannot_be_made_the_whole_is_not_made_and_nothing_of_it_is_left(aws: Any) -> None:
    name = f"stack-{uuid4().hex[:8]}"
    body = json.dumps({"Resources": nested(store(aws, {**queue(), "Fails": FAILS}))})
    aws.client("cloudformation").create_stack(StackName=name, TemplateBody=body)
    assert ended(aws, name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert queues(aws, name) == []


def test_if_it_cannot_be_changed_all_is_as_before(aws: Any) -> None:
    made = aws.deploy(nested(store(aws, queue(DelaySeconds={"Ref": "Seconds"})), 7), OUTPUTS)
    url = store(aws, {**queue(DelaySeconds={"Ref": "Seconds"}), "Another": QUEUE, "Fails": FAILS})
    body = json.dumps({"Resources": nested(url, 8)})
    aws.client("cloudformation").update_stack(StackName=made.name, TemplateBody=body)
    assert ended(aws, made.name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ended(aws, made.outputs["Id"])["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert delay(aws, made.outputs["Queue"]) == "7"
    assert queues(aws, f"{made.name}-Nested") == [made.outputs["Queue"]]


def test_a_template_that_is_not_there_is_said_so(stack: Any) -> None:
    name = f"stack-{uuid4().hex[:8]}"
    body = json.dumps({"Resources": nested("https://s3.amazonaws.com/nowhere/nested.template")})
    stack.client("cloudformation").create_stack(StackName=name, TemplateBody=body)
    assert ended(stack, name)["StackStatus"] == "ROLLBACK_COMPLETE"
    events = stack.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    assert any("nested.template" in event.get("ResourceStatusReason", "") for event in events)
