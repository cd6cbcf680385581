"""The queue of the runs of golden questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.questions import QuestionRunMessage

if TYPE_CHECKING:
    from datetime import timedelta

    from mypy_boto3_sqs.client import SQSClient

    from kbfleet.domain.names import Life
    from kbfleet.domain.question_runs import RunRequest


class SqsQuestionRuns:
    """`kbfleet.ports.QuestionRuns` on a queue with a delivery delay, which messages may have shorter."""

    def __init__(self, client: SQSClient, *, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def request(self, life: Life, request: RunRequest | None, *, after: timedelta) -> None:
        # Never 0: that the queue's own delay does not hold for a message is said of a number that it is sent with.
        self._send(life, request, DelaySeconds=max(1, int(after.total_seconds())))

    def later(self, life: Life, request: RunRequest) -> None:
        self._send(life, request)

    def _send(self, life: Life, request: RunRequest | None, **delay: Any) -> None:
        with translated("the queue of question runs"):
            self._client.send_message(
                QueueUrl=self._queue_url, MessageBody=QuestionRunMessage.of(life, request).model_dump_json(), **delay
            )
