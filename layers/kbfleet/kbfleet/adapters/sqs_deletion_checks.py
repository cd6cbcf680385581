"""The queue of checks of what a sync would delete."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.documents import DeletionCheckRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

    from kbfleet.domain.sync import Sync


class SqsDeletionChecks:
    """`kbfleet.ports.DeletionChecks` on a FIFO queue.

    Each tenant is a message group: one of its checks at a time, beside those of others. A check's deduplication id is
    the version of the ledger's entry: however many ticks ask for it within five minutes, it comes once (AWS
    documentation, Amazon SQS, Exactly-once processing).
    """

    def __init__(self, client: SQSClient, *, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def request(self, sync: Sync) -> None:
        request = DeletionCheckRequest.of(sync.of_knowledge).model_dump_json()
        identity = f"{request} {sync.version}"
        with translated("the queue of deletion checks"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=request,
                MessageGroupId=str(sync.tenant_id),
                MessageDeduplicationId=hashlib.sha256(identity.encode()).hexdigest(),
            )
