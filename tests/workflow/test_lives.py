"""A tenant is offboarded, and its id is provisioned again, while what its first life has given out is still around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.tenant import Tenant
from tests.support.api_requests import queried
from tests.support.breaches import ask, foreign, reconcile
from tests.support.document_changes import change_message, sqs_batch
from tests.support.tenant_lives import A_DAY, Lives, sample
from tests.support.virtual_fleet import FIRST_DOCUMENT, RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet

ACME = TenantId("acme")
BEFORE, NOW = Life(ACME, 1), Life(ACME, 2)
HOUSE = "The house at the lake has seven rooms."
TENTS = "A tent is rented for three days at least."


@pytest.fixture(params=["S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        yield fleet


def of_record(fleet: VirtualFleet) -> Tenant:
    tenant = fleet.tenant("acme")
    assert tenant is not None
    return tenant


def upload_form(fleet: VirtualFleet) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(fleet.invoke("UploadsFunction", sample("post_upload", "acme"))["body"])
    return body


def use(form: dict[str, Any]) -> int:
    """Returns: the HTTP status."""
    files = {"file": ("document", b"x" * 10)}
    return requests.post(form["url"], data=form["fields"], files=files, timeout=10).status_code


def keys_in(fleet: VirtualFleet, bucket: str) -> list[str]:
    listed = fleet.client("s3").list_object_versions(Bucket=bucket)
    return [each["Key"] for each in listed.get("Versions", ())]


def ended_job(fleet: VirtualFleet) -> dict[str, Any]:
    """The event about the last job that has ended."""
    event = [each for each in fleet.events if each["Detail"].get("outcome") and "ingestion_job_id" in each["Detail"]][
        -1
    ]
    return {"detail-type": event["DetailType"], "detail": event["Detail"]}


def usage(lives: Lives, **query: str) -> tuple[int, int]:
    """Returns: of which life, and how many questions."""
    body = lives.api("get_usage", "acme", **(queried(**query) if query else {}))
    return body["life"], body["total"]["questions"]


def live_once(lives: Lives) -> None:
    lives.provisioned("acme")
    lives.upload("acme", "house.md", HOUSE)
    lives.sync("acme")
    lives.fleet.timeline.run_for(120)  # what the ask function remembers


def test_nothing_of_the_life_before_is_seen_in_the_next(fleet: VirtualFleet, store: str) -> None:
    lives = Lives(fleet, store)
    live_once(lives)
    answer = ask(lives, HOUSE, "acme")
    assert (answer["status"], answer["outcome"]) == (200, "ANSWERED")
    assert ask(lives, HOUSE, "acme", session=answer["session"])["status"] == 200
    lives.count_usage("acme")
    form, job, before = upload_form(fleet), ended_job(fleet), of_record(fleet)
    assert use(form) in {200, 204}
    assert before.this_life == BEFORE
    lives.remove("acme", "house.md")

    assert fleet.finish(lives.offboard("acme"), within=A_DAY).status == "SUCCEEDED"
    tombstone = of_record(fleet)
    assert (tombstone.this_life, tombstone.erasure and tombstone.erasure.life) == (BEFORE, 1)
    assert usage(lives) == (1, 1)  # kept by policy

    lives.provisioned("acme")
    after = of_record(fleet)
    assert after.this_life == NOW
    assert after.bucket_name not in {before.bucket_name, None}
    assert after.knowledge_base_id not in {before.knowledge_base_id, None}
    assert foreign(reconcile(lives, "acme")) == []
    lives.let_in("acme")

    # The upload form leads nowhere.
    assert use(form) in {403, 404}
    assert keys_in(fleet, str(after.bucket_name)) == [FIRST_DOCUMENT]
    assert upload_form(fleet)["url"] != form["url"]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        keys_in(fleet, str(before.bucket_name))

    # No document of it answers, and its session is noise.
    lives.upload("acme", "tents.md", TENTS)
    lives.sync("acme")
    fleet.timeline.run_for(120)
    assert HOUSE not in json.dumps(ask(lives, HOUSE, "acme"))
    refused = ask(lives, TENTS, "acme", session=answer["session"])
    assert (refused["status"], refused["code"]) == (400, "SessionRefused")
    renewed = ask(lives, TENTS, "acme")
    assert ask(lives, TENTS, "acme", session=renewed["session"])["status"] == 200

    # Usage begins with nothing, and that of the life before is there under its number.
    assert usage(lives) == (2, 0)
    assert usage(lives, life="1") == (1, 1)

    # Late events change nothing.
    entry, published = fleet.sync("acme"), len(fleet.events)
    old = [change_message(str(before.bucket_name), deleted=deleted) for deleted in (True, False)]
    assert fleet.invoke("NoteChangesFunction", sqs_batch(old)) == {"batchItemFailures": []}
    assert len(fleet.dead_letters["ChangeDeadLetterQueue"].messages) == 1  # that somebody puts documents there
    job["detail"] |= {"outcome": "DEGRADED", "failure_reasons": [{"text": "x", "names": "[Files: s3://x/a.md]"}]}
    fleet.invoke("CollectFailuresFunction", job)
    assert lives.failing("acme")["documents"] == []
    assert fleet.sync("acme") == entry
    assert len(fleet.events) == published
    assert kbfleet.bootstrap.ledger().find(Knowledge(BEFORE)).version == 0
    # A change of its own does.
    assert fleet.invoke("NoteChangesFunction", sqs_batch([change_message(str(after.bucket_name))]))
    assert fleet.sync("acme").requested_generation == entry.requested_generation + 1


def test_the_next_life_can_begin_while_the_name_of_the_last_bucket_is_not_free(
    fleet: VirtualFleet,
) -> None:
    lives = Lives(fleet, "S3_VECTORS")
    live_once(lives)
    kept = of_record(fleet).bucket_name
    fleet.finish(lives.offboard("acme"), within=A_DAY)
    fleet.client("s3").create_bucket(  # by whoever is faster
        Bucket=kept, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    lives.provisioned("acme")
    assert of_record(fleet).bucket_name != kept
    report = reconcile(lives, "acme")
    assert kept in [found["name"] for found in report["findings"] if found["disagreement"] == "UNEXPLAINED"]


def test_each_life_ends_with_a_receipt_of_its_own(fleet: VirtualFleet) -> None:
    lives = Lives(fleet, "S3_VECTORS")
    receipts = []
    for number in (1, 2, 3):
        lives.provisioned("acme")
        assert of_record(fleet).life == number
        fleet.finish(lives.offboard("acme"), within=A_DAY)
        receipt = of_record(fleet).erasure
        assert receipt is not None
        receipts.append(receipt)
    assert [receipt.life for receipt in receipts] == [1, 2, 3]
    names = [{each.name for each in receipt.erased if each.kind == "bucket"} for receipt in receipts]
    assert names == [{fleet.names.bucket(Life(ACME, number))} for number in (1, 2, 3)]
