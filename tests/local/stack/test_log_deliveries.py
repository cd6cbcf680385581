"""What knowledge bases log reaches the functions that subscribe to the log group of their deliveries."""

import base64
import gzip
import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from local.stack import filter_patterns

FORWARDS = """
import boto3, os
def handler(event, context):
    boto3.client('sqs').send_message(QueueUrl=os.environ['QUEUE'], MessageBody=event['awslogs']['data'])
"""
JOBS_ONLY = '{ $.event_type = "StartIngestionJob.StatusChanged" }'


def knowledge_base_arn(aws: Any, identifier: str) -> str:
    return f"arn:aws:bedrock:{aws.configuration.region}:{aws.configuration.account}:knowledge-base/{identifier}"


def put_source(aws: Any, name: str, arn: str) -> None:
    aws.client("logs").put_delivery_source(name=name, resourceArn=arn, logType="APPLICATION_LOGS")


def log(aws: Any, function: str, messages: list[str], pattern: str = "") -> None:
    """Logs messages to a group that a function subscribes to."""
    logs, group = aws.client("logs"), f"group-{uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    arn = f"arn:aws:lambda:{aws.configuration.region}:{aws.configuration.account}:function:{function}"
    logs.put_subscription_filter(logGroupName=group, filterName="jobs", filterPattern=pattern, destinationArn=arn)
    logs.put_log_events(
        logGroupName=group,
        logStreamName="stream",
        logEvents=[{"timestamp": 1_793_610_180_000, "message": message} for message in messages],
    )


def test_a_subscription_filter_selects_by_a_member_of_json(aws: Any) -> None:
    queue = aws.make_queue()
    function = aws.make_function(FORWARDS, Environment={"Variables": {"QUEUE": queue}})
    kinds = ("StartIngestionJob.ResourceStatusChanged", "StartIngestionJob.StatusChanged")
    messages = [json.dumps({"event_type": kind, "event": "StartIngestionJob.StatusChanged"}) for kind in kinds]
    log(aws, function, messages, JOBS_ONLY)
    (data,) = aws.receive(queue, within=5)
    batch = json.loads(gzip.decompress(base64.b64decode(data)))
    assert [event["message"] for event in batch["logEvents"]] == messages[1:]


def test_log_events_that_a_function_fails_to_take_are_kept_in_its_dead_letter_queue(aws: Any) -> None:
    dead_letters = aws.make_queue()
    function = aws.make_function(
        "def handler(event, context): raise RuntimeError", DeadLetterConfig={"TargetArn": aws.queue_arn(dead_letters)}
    )
    log(aws, function, ["lost?"])
    assert "awslogs" in aws.receive(dead_letters, within=10)[0]


@pytest.mark.parametrize("second", ["same name", "same resource"])
def test_a_source_keeps_its_resource_and_a_resource_its_source(aws: Any, second: str) -> None:
    name, identifier = f"source-{uuid4().hex[:8]}", uuid4().hex[:10].upper()
    put_source(aws, name, knowledge_base_arn(aws, identifier))
    put_source(aws, name, knowledge_base_arn(aws, identifier))
    other = (name, "ANOTHER000") if second == "same name" else (f"{name}-2", identifier)
    with pytest.raises(ClientError, match="ConflictException"):
        put_source(aws, other[0], knowledge_base_arn(aws, other[1]))


def test_a_source_with_a_delivery_is_not_deleted(aws: Any) -> None:
    logs, name = aws.client("logs"), f"source-{uuid4().hex[:8]}"
    group = f"arn:aws:logs:{aws.configuration.region}:{aws.configuration.account}:log-group:{name}:*"
    put_source(aws, name, knowledge_base_arn(aws, uuid4().hex[:10].upper()))
    made = logs.put_delivery_destination(name=name, deliveryDestinationConfiguration={"destinationResourceArn": group})[
        "deliveryDestination"
    ]
    delivery = logs.create_delivery(deliverySourceName=name, deliveryDestinationArn=made["arn"])["delivery"]
    with pytest.raises(ClientError, match="ConflictException"):
        logs.delete_delivery_source(name=name)
    logs.delete_delivery(id=delivery["id"])
    logs.delete_delivery_source(name=name)


def test_a_destination_of_a_template_can_be_delivered_to(aws: Any) -> None:
    name = f"destination-{uuid4().hex[:8]}"
    resources = {
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/aws/vendedlogs/bedrock/{name}"}},
        "Destination": {
            "Type": "AWS::Logs::DeliveryDestination",
            "Properties": {
                "Name": name,
                "DestinationResourceArn": {"Fn::GetAtt": ["Group", "Arn"]},
                "OutputFormat": "json",
            },
        },
    }
    made = aws.deploy(resources, {"Arn": {"Fn::GetAtt": ["Destination", "Arn"]}})
    put_source(aws, name, knowledge_base_arn(aws, uuid4().hex[:10].upper()))
    delivery = aws.client("logs").create_delivery(deliverySourceName=name, deliveryDestinationArn=made.outputs["Arn"])
    assert delivery["delivery"]["deliveryDestinationType"] == "CWL"


class TestFilterPatterns:
    @pytest.mark.parametrize(
        ("pattern", "message", "passes"),
        [
            (JOBS_ONLY, {"event_type": "StartIngestionJob.StatusChanged"}, True),
            (JOBS_ONLY, {"event_type": "StartIngestionJob.ResourceStatusChanged"}, False),
            (JOBS_ONLY, {"other": "StartIngestionJob.StatusChanged"}, False),
            (JOBS_ONLY, {"event_type": ["StartIngestionJob.StatusChanged"]}, False),
            (JOBS_ONLY, [], False),
            ('{$.event.status="FAILED"}', {"event": {"status": "FAILED"}}, True),
            ('{$.event.status="FAILED"}', {"event": "FAILED"}, False),
            ('{ $.level != "INFO" }', {"level": "WARN"}, True),
            ('{ $.level != "INFO" }', {"level": "INFO"}, False),
            ('{ $.level != "INFO" }', {}, False),
        ],
    )
    def test_a_member_is_compared_with_text(self, pattern: str, message: object, passes: bool) -> None:
        assert filter_patterns.matches(pattern, json.dumps(message)) is passes

    def test_what_is_not_json_never_passes(self) -> None:
        assert not filter_patterns.matches(JOBS_ONLY, "StartIngestionJob.StatusChanged event_type")

    @pytest.mark.parametrize("pattern", ["", "ERROR", "{ $.a = 1 }", '{ $.a = "x*" }', '{ $.a = "x" && $.b = "y" }'])
    def test_the_rest_of_the_grammar_is_refused_rather_than_guessed(self, pattern: str) -> None:
        assert not filter_patterns.is_known(pattern)
        with pytest.raises(ValueError, match="not known"):
            filter_patterns.matches(pattern, "{}")
