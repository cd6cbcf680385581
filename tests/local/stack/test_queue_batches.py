"""Messages reach a function in batches of the size and the age that its event source mapping asks for."""

import time
from typing import Any

import pytest

from local.corrections.queue_batches import LEAST_WINDOW

REPORTS_ITS_BATCH = """
import boto3, os
def handler(event, context):
    size = len(event['Records'])
    boto3.client('sqs').send_message(QueueUrl=os.environ['REPORTS'], MessageBody=str(size))
"""
WINDOW_SECONDS = 2
LONG_WINDOW_SECONDS = 5


@pytest.fixture
def reports(aws: Any) -> str:
    """The queue that hears how large each batch was."""
    return str(aws.make_queue())


def subscribe(aws: Any, reports: str, **settings: Any) -> str:
    """A queue whose messages a function gets; gives the queue's URL."""
    queue = aws.make_queue(VisibilityTimeout="60")
    function = aws.make_function(REPORTS_ITS_BATCH, Environment={"Variables": {"REPORTS": reports}})
    aws.client("lambda").create_event_source_mapping(
        EventSourceArn=aws.queue_arn(queue), FunctionName=function, **settings
    )
    return str(queue)


def send(aws: Any, queue: str, count: int) -> None:
    for start in range(0, count, 10):
        entries = [{"Id": str(number), "MessageBody": "change"} for number in range(start, min(start + 10, count))]
        aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)


def test_what_comes_within_the_window_is_one_batch(aws: Any, reports: str) -> None:
    window = round(WINDOW_SECONDS * aws.configuration.speed)
    queue = subscribe(aws, reports, BatchSize=1000, MaximumBatchingWindowInSeconds=window)
    began = time.monotonic()
    send(aws, queue, 25)
    assert aws.receive(reports) == ["25"]
    assert time.monotonic() - began >= WINDOW_SECONDS


def test_a_full_batch_does_not_wait_for_the_end_of_the_window(aws: Any, reports: str) -> None:
    window = round(LONG_WINDOW_SECONDS * aws.configuration.speed)
    queue = subscribe(aws, reports, BatchSize=20, MaximumBatchingWindowInSeconds=window)
    send(aws, queue, 25)
    assert aws.receive(reports) == ["20"]
    full = time.monotonic()
    assert aws.receive(reports) == ["5"]
    assert time.monotonic() - full >= LONG_WINDOW_SECONDS / 2


def test_no_window_is_too_short_for_what_this_machine_makes(stack: Any) -> None:
    reports = str(stack.make_queue())
    queue = subscribe(stack, reports, BatchSize=1000, MaximumBatchingWindowInSeconds=1)
    for _ in ("cold", "warm"):
        began = time.monotonic()
        send(stack, queue, 1)
        assert stack.receive(reports) == ["1"]
    assert time.monotonic() - began >= LEAST_WINDOW
