"""Requests for checks of what a sync would delete, on the FIFO queue of template.yaml."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kbfleet.adapters.sqs_deletion_checks import SqsDeletionChecks
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import DeletionCheckRequest
from kbfleet.domain.names import Knowledge, Life
from kbfleet.domain.sync import Sync
from kbfleet.ports import DeletionChecks
from tests.support.aws import client as aws_client
from tests.support.fakes import RecordingDeletionChecks
from tests.support.samples import ACME, SAKURA, first_knowledge
from tests.support.template import properties

LATER = Knowledge(Life(ACME, 3), 2)
ENTRIES = [
    Sync(ACME, version=1),
    Sync(ACME, version=1),
    Sync(ACME, version=2),
    Sync(SAKURA, version=1),
    replace(Sync.never_stored(LATER), version=1),
    Sync(ACME, version=1),
]
ONCE_EACH = [first_knowledge(ACME), first_knowledge(ACME), first_knowledge(SAKURA), LATER]


class DeletionChecksSuite:
    @pytest.fixture
    def checks(self) -> DeletionChecks:
        raise NotImplementedError

    def waiting(self, checks: Any) -> list[Knowledge]:
        raise NotImplementedError

    def test_a_check_comes_once_for_each_version_of_an_entry(self, checks: DeletionChecks) -> None:
        for entry in ENTRIES:
            checks.request(entry)
        assert sorted(self.waiting(checks), key=str) == sorted(ONCE_EACH, key=str)


class TestInMemory(DeletionChecksSuite):
    @pytest.fixture
    def checks(self) -> DeletionChecks:
        return RecordingDeletionChecks()

    def waiting(self, checks: RecordingDeletionChecks) -> list[Knowledge]:
        return checks.waiting


class TestSqs(DeletionChecksSuite):
    @pytest.fixture
    def checks(self, aws: None) -> DeletionChecks:
        self.client: Any = aws_client("sqs")
        attributes = {"FifoQueue": "true", "DelaySeconds": str(properties("DeletionCheckQueue")["DelaySeconds"])}
        self.url = self.client.create_queue(QueueName="checks.fifo", Attributes=attributes)["QueueUrl"]
        return SqsDeletionChecks(self.client, queue_url=self.url)

    def waiting(self, checks: SqsDeletionChecks) -> list[Knowledge]:
        found = list[Knowledge]()
        while messages := self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(parse_json(DeletionCheckRequest, message["Body"]).to_domain())
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return found
