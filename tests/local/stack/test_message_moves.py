"""Dead letters can be sent back; FIFO queues with a delay work without any correction."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def queue_with_dead_letter(aws: Any) -> tuple[str, str]:
    """A queue and its dead-letter queue, which holds one message."""
    dead_letters = aws.make_queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead_letters), "maxReceiveCount": 1}
    queue = aws.make_queue(RedrivePolicy=json.dumps(policy), VisibilityTimeout="0")
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="alert")
    sqs.receive_message(QueueUrl=queue)
    sqs.receive_message(QueueUrl=queue)
    return queue, dead_letters


def test_dead_letters_go_back_where_they_came_from(aws: Any, queue_with_dead_letter: tuple[str, str]) -> None:
    queue, dead_letters = queue_with_dead_letter
    arn = aws.queue_arn(dead_letters)
    aws.client("sqs").start_message_move_task(SourceArn=arn)
    assert aws.receive(queue) == ["alert"]
    [task] = aws.client("sqs").list_message_move_tasks(SourceArn=arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)


def test_dead_letters_go_to_another_queue_if_asked(aws: Any, queue_with_dead_letter: tuple[str, str]) -> None:
    _, dead_letters = queue_with_dead_letter
    other = aws.make_queue()
    aws.client("sqs").start_message_move_task(
        SourceArn=aws.queue_arn(dead_letters), DestinationArn=aws.queue_arn(other)
    )
    assert aws.receive(other) == ["alert"]


def test_only_a_dead_letter_queue_can_be_emptied(aws: Any) -> None:
    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
        aws.client("sqs").start_message_move_task(SourceArn=aws.queue_arn(aws.make_queue()))


def test_a_fifo_queue_delays_each_message_and_drops_duplicates(stack: Any) -> None:
    queue = stack.make_queue(".fifo", FifoQueue="true", DelaySeconds="1")
    began = time.monotonic()
    for body, deduplication in (("first", "a"), ("duplicate", "a"), ("second", "b")):
        stack.client("sqs").send_message(
            QueueUrl=queue, MessageBody=body, MessageGroupId="ticks", MessageDeduplicationId=deduplication
        )
    assert stack.receive(queue, count=2) == ["first", "second"]
    assert time.monotonic() - began >= 1
