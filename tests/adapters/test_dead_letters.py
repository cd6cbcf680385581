"""What could not be handled waits in a queue, as it was, with its reason beside it."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.sqs import SqsDeadLetters
from kbfleet.domain.errors import InvalidInput, ResourceMissing, TenantNotFound
from tests.support.aws import client as aws_client


@pytest.fixture
def queue(aws: None) -> tuple[Any, str]:
    client: Any = aws_client("sqs")
    return client, client.create_queue(QueueName="dead-letters")["QueueUrl"]


@pytest.mark.parametrize("message", ["not json", '{"key": "就業規則.md"}', "x" * 200_000])
def test_a_message_is_kept_with_its_error_and_reason(queue: tuple[Any, str], message: str) -> None:
    client, url = queue
    SqsDeadLetters(client, queue_url=url).keep(message, InvalidInput("detail.bucket", "Field required."))
    (kept,) = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert kept["Body"] == message
    reported = {name: attribute["StringValue"] for name, attribute in kept["MessageAttributes"].items()}
    assert reported == {"Error": "InvalidInput", "Reason": "detail.bucket: Field required."}


def test_a_queue_that_is_gone_is_an_error_of_ours(queue: tuple[Any, str]) -> None:
    client, url = queue
    client.delete_queue(QueueUrl=url)
    with pytest.raises(ResourceMissing):
        SqsDeadLetters(client, queue_url=url).keep("not json", TenantNotFound("No tenant."))
