"""Documents come and go in a tenant's bucket, and nobody runs a command, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local import deployment
from local.demo import Demo
from local.identity_provider import IdentityProvider
from tests.support.waiting import until

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = "watchers"
BURST = 200


class Bucket:
    """The tenant's own, and what the fleet makes of it."""

    def __init__(self, demo: Demo, name: str) -> None:
        self._demo = demo
        self.name = name
        self.s3 = deployment.client(demo.configuration, "s3")

    def put(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=key)

    def ask(self, question: str) -> dict[str, Any]:
        configuration = self._demo.configuration
        token = IdentityProvider.open(configuration.token_issuer, configuration.signing_key).mint(TENANT)
        status, answer = self._demo.post_ask(json.dumps({"question": question}).encode(), token)
        assert status == 200, answer
        return answer

    def cited(self, question: str) -> set[str]:
        sources = (source for citation in self.ask(question)["citations"] for source in citation["sources"])
        return {source["document"] for source in sources}

    def synced(self) -> bool:
        sync = self._demo.status(TENANT).sync
        return sync.state == "IDLE" and not sync.pending_changes

    def starts(self) -> int:
        """How many jobs were started since the emulator's log was emptied."""
        return sum(call["operation"] == "StartIngestionJob" for call in self._demo.calls())


@pytest.fixture(scope="module")
def bucket(demo: Demo, kbfleet: KbFleet) -> Bucket:
    """Of a tenant that has no documents yet, and nothing to be synced."""
    provisioned = kbfleet("tenant", "add", TENANT)
    assert provisioned.returncode == 0, provisioned.stderr
    bucket = Bucket(demo, str(demo.status(TENANT).bucket_name))
    until(bucket.synced, "the first sync has not ended")
    return bucket


def dead_letters(demo: Demo) -> list[dict[str, Any]]:
    described = deployment.client(demo.configuration, "cloudformation").describe_stack_resource(
        StackName="kbfleet", LogicalResourceId="ChangeDeadLetterQueue"
    )
    url = described["StackResourceDetail"]["PhysicalResourceId"]
    answer = deployment.client(demo.configuration, "sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


@pytest.mark.parametrize(
    ("key", "text", "question"),
    [
        (
            "Opening hours of the tower 2026.md",
            "The watch tower opens at 7:45 on Sundays.",
            "When does the watch tower open on Sundays?",
        ),
        ("灯台/料金表.md", "灯台の入場料は大人680円です。", "灯台の入場料はいくらですか。"),
    ],
)
def test_a_document_is_answered_from_a_while_after_it_came_and_not_after_it_went(
    bucket: Bucket, key: str, text: str, question: str
) -> None:
    bucket.put("what stays.md", "The harbour is open all year.")  # the last document of a tenant is not deleted unasked
    bucket.put(key, text)
    until(lambda: key in bucket.cited(question), "the document is not answered from")
    bucket.delete(key)
    until(lambda: key not in bucket.cited(question), "the deleted document is still answered from")
    until(bucket.synced, "the tenant is not at rest")


def test_a_burst_of_uploads_makes_one_or_two_jobs(demo: Demo, bucket: Bucket) -> None:
    demo.emulator("DELETE", "/_emulator/calls")
    with ThreadPoolExecutor(4) as uploads:
        for _ in uploads.map(
            lambda number: bucket.put(f"log/{number}.txt", f"Entry {number} of the log."), range(BURST)
        ):
            pass
    until(lambda: "log/57.txt" in bucket.cited("What is entry 57 of the log?"), "the burst is not answered from")
    until(bucket.synced, "the tenant is not at rest")
    assert 1 <= bucket.starts() <= 2


def test_a_metadata_file_alone_makes_a_sync(demo: Demo, bucket: Bucket) -> None:
    demo.emulator("DELETE", "/_emulator/calls")
    bucket.put("log/1.txt.metadata.json", json.dumps({"metadataAttributes": {"kind": "log"}}))
    until(bucket.starts, "no job was started")
    until(bucket.synced, "the tenant is not at rest")


def test_what_happens_in_a_bucket_that_is_no_tenants_is_kept_with_its_reason(demo: Demo) -> None:
    s3 = deployment.client(demo.configuration, "s3")
    s3.create_bucket(Bucket="kbfleet-logs")

    def switched_on() -> bool:
        """A bucket that was just made is not there for a while."""
        try:
            s3.put_bucket_notification_configuration(
                Bucket="kbfleet-logs", NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
        except s3.exceptions.ClientError as refused:
            if refused.response["Error"]["Code"] not in {"NoSuchBucket", "OperationAborted"}:
                raise
            return False
        return True

    until(switched_on, "the bucket is not there")
    # Nothing says when S3 begins to tell of changes, which it does only after a while.
    began, configuration = time.monotonic(), demo.configuration
    until(lambda: time.monotonic() > began + configuration.delays.bucket_events / configuration.speed, "")
    s3.put_object(Bucket="kbfleet-logs", Key="today.log", Body=b"")
    (kept,) = until(lambda: dead_letters(demo), "it is not in the dead-letter queue")
    assert json.loads(kept["Body"])["detail"]["bucket"]["name"] == "kbfleet-logs"
    assert kept["MessageAttributes"]["Error"]["StringValue"] == "TenantNotFound"
    assert "kbfleet-logs" in kept["MessageAttributes"]["Reason"]["StringValue"]


def test_the_deletions_of_an_offboarding_wake_nobody(demo: Demo, bucket: Bucket, kbfleet: KbFleet) -> None:
    before = len(dead_letters(demo))
    gone = kbfleet("tenant", "offboard", TENANT, "--retention-days", "0", "--confirm", TENANT, "--wait")
    assert gone.returncode == 0, gone.stderr
    log = demo.configuration.log_file
    counted = r'"ChangesOfLeavingTenants": ?\[[1-9]'
    until(lambda: re.search(counted, log.read_text("utf-8", errors="replace")), "no deletion was reported")
    assert len(dead_letters(demo)) == before
    client = deployment.client(demo.configuration, "dynamodb")
    key = {"PK": {"S": f"TENANT#{TENANT}"}, "SK": {"S": "SYNC"}}
    assert "Item" not in client.get_item(TableName=demo.outputs["TableName"], Key=key)
