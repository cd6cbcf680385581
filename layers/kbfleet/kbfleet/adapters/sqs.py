"""The queue of ticks, and queues of what could not be handled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.dead_letters import is_about

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from kbfleet.domain.errors import KbfleetError
    from kbfleet.domain.names import TenantId
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


_AT_ONCE = 10
"""Messages that one call gives at most (AWS documentation, ReceiveMessage)."""

_CALLS = 20
"""For one queue: what is behind some two hundred messages is left to its expiry, since a function's time is limited."""

_LOOK_SECONDS = 5
"""For which messages that are looked at are hidden from others at most, if the function dies. Whoever comes next waits
for so long that they can be seen again."""


class SqsUndeliveredMessages:
    """`kbfleet.ports.UndeliveredMessages` in standard queues that no queue stands behind, so that looking at a message
    moves it nowhere."""

    def __init__(self, client: SQSClient, *, queue_urls: Sequence[str]) -> None:
        self._client = client
        self._queue_urls = queue_urls

    def delete(self, tenant_id: TenantId, bucket_name: str) -> bool:
        complete = [self._delete_from(url, tenant_id, bucket_name) for url in self._queue_urls]
        return all(complete)

    def _delete_from(self, queue_url: str, tenant_id: TenantId, bucket_name: str) -> bool:
        others: dict[str, str] = {}
        # Any long poll asks every server of SQS (AWS documentation, Amazon SQS short and long polling).
        wait_seconds, waited = 1, False
        with translated("a dead-letter queue"):
            try:
                for _ in range(_CALLS):
                    messages = self._receive(queue_url, wait_seconds)
                    if not messages and (waited or self._hidden(queue_url) <= len(others)):
                        return True
                    wait_seconds, waited = (1, waited) if messages else (_LOOK_SECONDS + 1, True)
                    # One that was hidden for too short a time comes again: only its last receipt shows it.
                    for message in messages:
                        if is_about(message["Body"], tenant_id=tenant_id, bucket_name=bucket_name):
                            self._client.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                        else:
                            others[message["MessageId"]] = message["ReceiptHandle"]
                return False
            finally:
                for receipt in others.values():
                    self._client.change_message_visibility(
                        QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=0
                    )

    def _receive(self, queue_url: str, wait_seconds: int) -> Sequence[MessageTypeDef]:
        return self._client.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_LOOK_SECONDS,
            WaitTimeSeconds=wait_seconds,
        ).get("Messages", [])

    def _hidden(self, queue_url: str) -> int:
        """Messages that somebody is looking at, approximately, ourselves among them."""
        answer = self._client.get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])
