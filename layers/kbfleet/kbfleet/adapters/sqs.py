"""The queue of ticks, and queues of what could not be handled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated

if TYPE_CHECKING:
    from datetime import timedelta

    from mypy_boto3_sqs.client import SQSClient

    from kbfleet.domain.errors import KbfleetError
    from kbfleet.ports import Clock


class SqsTicks:
    """`kbfleet.ports.Ticks` on a FIFO queue whose delivery delay is the tick interval.

    All requests of one interval carry the same deduplication id, so that they become one tick, however many tenants
    ask. The queue delays each message by at least that interval: a tick can therefore never collide with the one it
    was made by.

    Args:
        interval: the queue's delivery delay; at least one second.
    """

    def __init__(self, client: SQSClient, *, queue_url: str, interval: timedelta, clock: Clock) -> None:
        self._client = client
        self._queue_url = queue_url
        self._interval = interval
        self._clock = clock

    def request(self) -> None:
        interval = int(self._clock.now().timestamp() / self._interval.total_seconds())
        with translated("the tick queue"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody="tick",
                MessageGroupId="tick",
                MessageDeduplicationId=f"tick-{interval}",
            )


class SqsDeadLetters:
    """`kbfleet.ports.DeadLetters` on a queue. The message stays as it was; its attributes `Error` and `Reason` say why
    it is there."""

    def __init__(self, client: SQSClient, *, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def keep(self, message: str, error: KbfleetError) -> None:
        with translated("the dead-letter queue"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=message,
                MessageAttributes={
                    "Error": {"DataType": "String", "StringValue": type(error).__name__},
                    "Reason": {"DataType": "String", "StringValue": str(error)},
                },
            )
