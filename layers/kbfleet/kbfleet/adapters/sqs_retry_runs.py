"""The queue of the runs in which documents are tried again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.documents import RetryRunRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

    from kbfleet.domain.failed_documents import DocumentRetry


class SqsRetryRuns:
    """`kbfleet.ports.RetryRuns` on a FIFO queue with a delivery delay.

    All are of one message group, so that there is one run at a time: together they keep within the five requests a
    second of the account. A run's deduplication id is its version: however often it is asked for, within five minutes
    it comes once (AWS documentation, Amazon SQS, Exactly-once processing).
    """

    def __init__(self, client: SQSClient, *, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def request(self, retry: DocumentRetry) -> None:
        identity = f"{retry.of_life} {retry.version}"
        with translated("the queue of document retries"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=RetryRunRequest(
                    tenant_id=retry.tenant_id, version=retry.version, life=retry.life
                ).model_dump_json(),
                MessageGroupId="retry",
                MessageDeduplicationId=hashlib.sha256(identity.encode()).hexdigest(),
            )
