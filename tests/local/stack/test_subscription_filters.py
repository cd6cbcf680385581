"""What is logged reaches the functions that subscribe to the log group."""

import base64
import gzip
import json
from typing import Any
from uuid import uuid4

import pytest

from local.stack import filter_patterns

FORWARDS = """
import boto3, os
def handler(event, context):
    boto3.client('sqs').send_message(QueueUrl=os.environ['QUEUE'], MessageBody=event['awslogs']['data'])
"""
ANSWERS_ONLY = '{ $.message = "Question answered" }'


def log(aws: Any, function: str, messages: list[str], pattern: str = "") -> None:
    """Logs messages to a group that a function subscribes to."""
    logs, group = aws.client("logs"), f"group-{uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    arn = f"arn:aws:lambda:{aws.configuration.region}:{aws.configuration.account}:function:{function}"
    logs.put_subscription_filter(logGroupName=group, filterName="answers", filterPattern=pattern, destinationArn=arn)
    logs.put_log_events(
        logGroupName=group,
        logStreamName="stream",
        logEvents=[{"timestamp": 1_793_610_180_000, "message": message} for message in messages],
    )


def test_a_subscription_filter_selects_by_a_member_of_json(aws: Any) -> None:
    queue = aws.make_queue()
    function = aws.make_function(FORWARDS, Environment={"Variables": {"QUEUE": queue}})
    texts = ("Question answered late", "Question answered")
    messages = [json.dumps({"message": text, "said": "Question answered"}) for text in texts]
    log(aws, function, messages, ANSWERS_ONLY)
    (data,) = aws.receive(queue)
    batch = json.loads(gzip.decompress(base64.b64decode(data)))
    assert [event["message"] for event in batch["logEvents"]] == messages[1:]


def test_log_events_that_a_function_fails_to_take_are_kept_in_its_dead_letter_queue(aws: Any) -> None:
    dead_letters = aws.make_queue()
    function = aws.make_function(
        "def handler(event, context): raise RuntimeError", DeadLetterConfig={"TargetArn": aws.queue_arn(dead_letters)}
    )
    log(aws, function, ["lost?"])
    assert "awslogs" in aws.receive(dead_letters)[0]


class TestFilterPatterns:
    @pytest.mark.parametrize(
        ("pattern", "message", "passes"),
        [
            (ANSWERS_ONLY, {"message": "Question answered"}, True),
            (ANSWERS_ONLY, {"message": "Question answered late"}, False),
            (ANSWERS_ONLY, {"other": "Question answered"}, False),
            (ANSWERS_ONLY, {"message": ["Question answered"]}, False),
            (ANSWERS_ONLY, [], False),
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
        assert not filter_patterns.matches(ANSWERS_ONLY, "Question answered message")

    @pytest.mark.parametrize("pattern", ["", "ERROR", "{ $.a = 1 }", '{ $.a = "x*" }', '{ $.a = "x" && $.b = "y" }'])
    def test_the_rest_of_the_grammar_is_refused_rather_than_guessed(self, pattern: str) -> None:
        assert not filter_patterns.is_known(pattern)
        with pytest.raises(ValueError, match="not known"):
            filter_patterns.matches(pattern, "{}")
