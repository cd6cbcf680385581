"""Documents of whatever keys are listed, opened and erased over plain HTTP, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from cli.fleet_api import FleetApi
from kbfleet.adapters.s3_versions import batches, remove
from kbfleet.contracts.document_listing import DocumentLinkBody
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.names import TenantId
from local.demo import Demo
from local.identity_provider import IdentityProvider
from tests.support.hostile_keys import HOSTILE_KEYS, LOOK_ALIKE, SIGNS

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = TenantId("shelves")


@pytest.fixture(scope="module")
def session(demo: Demo) -> boto3.Session:
    environment = demo.configuration.client_environment()
    return boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=demo.configuration.region,
    )


@pytest.fixture(scope="module")
def api(demo: Demo, session: boto3.Session, kbfleet: KbFleet) -> Iterator[FleetApi]:
    ran = kbfleet("tenant", "add", TENANT)
    assert ran.returncode == 0, ran.stderr
    yield FleetApi(demo.outputs["ApiUrl"], session)
    # All that it was answered from is gone, which waits for somebody to accept it.
    gone = kbfleet("tenant", "offboard", TENANT, "--retention-days", "0", "--confirm", TENANT, "--wait")
    assert gone.returncode == 0, gone.stderr


@pytest.fixture
def bucket(demo: Demo, session: boto3.Session, api: FleetApi) -> Iterator[Any]:
    """The tenant's bucket, as whoever may do all with it."""
    s3 = session.resource("s3", endpoint_url=demo.configuration.aws_url)
    bucket = s3.Bucket(str(api.tenant(TENANT).bucket_name))
    yield bucket
    for page in bucket.meta.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name):
        for batch in batches([*page.get("Versions", ()), *page.get("DeleteMarkers", ())]):
            remove(bucket.meta.client, {"Bucket": bucket.name}, batch)


def keys_of_versions(bucket: Any) -> set[str]:
    pages = bucket.meta.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name)
    return {each["Key"] for page in pages for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))}


# First: a sync that would delete much of what the tenant is answered from is held.
def test_a_user_opens_what_an_answer_has_cited_and_nobody_else_does(demo: Demo, api: FleetApi, bucket: Any) -> None:
    key, text = "規程/snow shoes [2026].md", b"# Snow shoes\n\nSnow shoes are rented for eleven days at most.\n"
    bucket.put_object(Key=key, Body=text)
    api.request_sync(TENANT)
    demo._until(
        lambda: api.document(TENANT, key).status is DocumentStatus.ANSWERED_FROM or None, "it is not answered from"
    )
    issuer = IdentityProvider.open(demo.configuration.token_issuer, demo.configuration.signing_key)
    question = json.dumps({"question": "For how many days are snow shoes rented?"}).encode()

    def cited() -> dict[str, Any] | None:
        status, answer = demo.post_ask(question, issuer.mint(TENANT))
        assert status == 200, answer
        return next((source for each in answer["citations"] for source in each["sources"]), None)

    source = demo._until(cited, "no answer cites it")
    assert source["document"] == key
    wanted = json.dumps({"uri": source["uri"], "ticket": source["ticket"]}).encode()
    status, body = demo.post("/documents/link", wanted, issuer.mint(TENANT))
    assert status == 200, body
    assert api.opened(DocumentLinkBody.model_validate(body)) == text
    status, body = demo.post("/documents/link", wanted, issuer.mint("acme"))
    assert status in {403, 404}, body
    assert "url" not in body


def test_each_key_is_listed_opened_and_erased_as_exactly_the_one_that_is_meant(api: FleetApi, bucket: Any) -> None:
    for number, key in enumerate(HOSTILE_KEYS):
        bucket.put_object(Key=key, Body=b"older")
        bucket.put_object(Key=key, Body=b"%d" % number)
    assert {each.key for each in api.documents(TENANT).documents} == {*HOSTILE_KEYS}
    for number, key in enumerate(HOSTILE_KEYS):
        assert api.document(TENANT, key).key == key
        assert api.opened(api.document_link(TENANT, key)) == b"%d" % number
    kept, doomed = HOSTILE_KEYS[::2], HOSTILE_KEYS[1::2]  # neighbours look alike
    for key in doomed:
        body = api.delete_document(TENANT, key, all_versions=True, removed_so_far=lambda _: None)
        assert (body.document.key, body.versions_removed) == (key, 2)
    assert keys_of_versions(bucket) == {*kept}
    for key in kept:
        assert api.delete_document(TENANT, key, all_versions=True, removed_so_far=lambda _: None).versions_removed == 2
    assert keys_of_versions(bucket) == set()


@pytest.mark.parametrize("key", [*LOOK_ALIKE[:2], *SIGNS[:2], "--yes", "../a.md", "a\x1b[31m\rb.md"])
def test_the_command_line_means_the_same(api: FleetApi, bucket: Any, kbfleet: KbFleet, key: str) -> None:
    for each in (key, "a.md", *LOOK_ALIKE[:2]):
        bucket.put_object(Key=each, Body=b"x")
    before = keys_of_versions(bucket)
    listed = json.loads(kbfleet("documents", TENANT, "--json").stdout)
    assert {each["key"] for each in listed["documents"]} == before
    for command in (["show", "--json"], ["open", "--json"], ["delete", "--all-versions", "--yes", "--json"]):
        ran = kbfleet("documents", *command, "--", TENANT, key)
        assert ran.returncode == 0, ran.stderr
    assert keys_of_versions(bucket) == before - {key}
