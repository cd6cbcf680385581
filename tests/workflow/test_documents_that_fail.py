"""Documents that can never be read, through the real functions: each has its own reason, and none is tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedrock_emulator import Quotas
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet

SCAN = b"%PDF-1.4 4 0 obj<</Type /XObject /Subtype /Image>>stream endstream endobj trailer<<>> startxref 0 %%EOF"
DEFECTS = {
    "empty.md": (b"", "EMPTY"),
    "scan.pdf": (SCAN, "SCAN"),
    "locked.pdf": (SCAN.replace(b"<<>>", b"<</Encrypt 9 0 R>>"), "ENCRYPTED"),
    "cut.pdf": (SCAN[:60], "CUT"),
    "deck.pptx": (b"PK\x03\x04", "FORMAT"),
}


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        yield fleet


def test_a_reason_of_many_becomes_one_of_each_and_bedrock_is_not_asked_again(fleet: VirtualFleet) -> None:
    lives = Lives(fleet, "S3_VECTORS")
    lives.provisioned("acme")
    s3, bucket = lives.client("s3"), lives.bucket("acme")
    for key, (content, _) in DEFECTS.items():
        s3.put_object(Bucket=bucket, Key=key, Body=content)
    lives.upload("acme", "rules.md", "A tent is rented for three days at least.")
    s3.put_object(Bucket=bucket, Key="rules.md.metadata.json", Body=b"{")
    lives.sync("acme")
    lives.collect("acme")
    listed = {each["uri"].removeprefix(f"s3://{bucket}/"): each for each in lives.failing("acme")["documents"]}
    assert {key: each["finding"]["fault"] for key, each in listed.items()} == {
        **{key: fault for key, (_, fault) in DEFECTS.items()},
        "rules.md": "METADATA_INVALID",
    }
    assert all(each["finding"]["certain"] for each in listed.values())
    (*_, reported) = (event for event in fleet.events if event["DetailType"] == "Document Failures Collected")
    assert all(each["finding"] for each in reported["Detail"]["documents"])

    def given() -> int:
        return sum(call["operation"] == "IngestKnowledgeBaseDocuments" for call in fleet.emulator.calls)

    lives.api("post_document_retry", "acme")
    lives.until(lambda: lives.failing("acme")["retry"]["ended_at"] is not None)
    retry = lives.failing("acme")["retry"]
    assert (retry["skipped"], retry["failed"], retry["fixed"]) == (len(DEFECTS) + 1, 0, 0)
    assert given() == 0

    s3.delete_object(Bucket=bucket, Key="rules.md.metadata.json")
    lives.api("post_document_retry", "acme")
    lives.until(lambda: lives.failing("acme")["retry"]["fixed"] == 1)
    assert given() > 0
