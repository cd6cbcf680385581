"""Events reach functions with Lambda's retries, or a dead-letter queue."""

import json
from typing import Any
from uuid import uuid4

REPORTS_TRIES = """
import boto3, os
tries = 0
def handler(event, context):
    global tries
    tries += 1
    boto3.client('sqs').send_message(QueueUrl=os.environ['QUEUE'], MessageBody=f"{event['detail-type']} {tries}")
    if tries < int(os.environ['SUCCEEDS_AT']): raise RuntimeError
"""


def put_event(aws: Any, target: dict[str, Any]) -> None:
    name = f"rule-{uuid4().hex[:8]}"
    aws.client("events").put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    aws.client("events").put_targets(Rule=name, Targets=[{"Id": "target", **target}])
    aws.client("events").put_events(Entries=[{"Source": name, "DetailType": "Done", "Detail": "{}"}])


def function_arn(aws: Any, name: str) -> str:
    return f"arn:aws:lambda:{aws.configuration.region}:{aws.configuration.account}:function:{name}"


def test_a_function_that_raises_is_invoked_again(aws: Any) -> None:
    queue = aws.make_queue()
    function = aws.make_function(REPORTS_TRIES, Environment={"Variables": {"QUEUE": queue, "SUCCEEDS_AT": "2"}})
    put_event(aws, {"Arn": function_arn(aws, function)})
    assert aws.receive(queue, count=2) == ["Done 1", "Done 2"]


def test_an_event_that_fails_three_times_goes_to_the_functions_dead_letter_queue(aws: Any) -> None:
    dead_letters = aws.make_queue()
    function = aws.make_function(
        "def handler(event, context): raise RuntimeError",
        DeadLetterConfig={"TargetArn": aws.queue_arn(dead_letters)},
    )
    put_event(aws, {"Arn": function_arn(aws, function)})
    assert "Done" in aws.receive(dead_letters)[0]


def test_an_event_for_a_function_that_is_gone_goes_to_the_targets_dead_letter_queue(aws: Any) -> None:
    dead_letters = aws.make_queue()
    target = {"Arn": function_arn(aws, "gone"), "DeadLetterConfig": {"Arn": aws.queue_arn(dead_letters)}}
    put_event(aws, target)
    assert json.loads(aws.receive(dead_letters)[0])["detail-type"] == "Done"
