"""Documents come in by granted forms, over plain HTTP, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from urllib3.filepost import encode_multipart_formdata

from cli.fleet_api import FleetApi
from kbfleet.contracts.documents import UploadBody
from kbfleet.domain.names import TenantId
from kbfleet.domain.uploads import DocumentKey, Upload
from local.demo import Demo
from local.identity_provider import IdentityProvider

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = TenantId("senders")
KEY = DocumentKey("規程/雪靴 rental.md")
TEXT = b"# Snow shoes\n\nSnow shoes are rented for eleven days at most, and returned dry.\n"


@pytest.fixture(scope="module")
def sender(demo: Demo, kbfleet: KbFleet) -> Demo:
    """The fleet, with a tenant that has no documents yet."""
    ran = kbfleet("tenant", "add", TENANT)
    assert ran.returncode == 0, ran.stderr
    return demo


@pytest.fixture(scope="module")
def api(sender: Demo) -> FleetApi:
    environment = sender.configuration.client_environment()
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=sender.configuration.region,
    )
    return FleetApi(sender.outputs["ApiUrl"], session)


def send(form: UploadBody, content: bytes, **changed: str) -> tuple[int, str]:
    """As a browser or a back end does, without any credentials. Returns: status and text."""
    fields = {**form.fields, **changed}
    body, content_type = encode_multipart_formdata([*fields.items(), ("file", ("document", content))])
    request = urllib.request.Request(form.url, body, {"Content-Type": content_type})  # noqa: S310 -- the local AWS
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- the local AWS
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def answer(sender: Demo, question: str) -> dict[str, Any]:
    token = IdentityProvider.open(sender.configuration.token_issuer, sender.configuration.signing_key).mint(TENANT)
    status, body = sender.post_ask(json.dumps({"question": question}).encode(), token)
    assert status == 200, body
    return body


def cited(sender: Demo, question: str) -> dict[str, Any]:
    """The metadata of the documents that the answer rests on."""
    sources = (source for citation in answer(sender, question)["citations"] for source in citation["sources"])
    return {source["document"]: source["metadata"] for source in sources}


def test_what_was_uploaded_by_a_form_is_synced_and_answered_from(sender: Demo, api: FleetApi) -> None:
    form = api.grant_upload(TENANT, Upload(KEY, len(TEXT), metadata={"season": "winter"}))
    status, text = send(form, TEXT)
    assert status in {200, 201, 204}, text
    found = sender._until(
        lambda: cited(sender, "For how many days are snow shoes rented?") or None, "no answer cites it"
    )
    assert found[KEY]["season"] == "winter"


@pytest.mark.parametrize(
    ("content", "changed", "reason"),
    [
        (TEXT + b"x", {}, "EntityTooLarge"),
        (TEXT[:-1], {}, "EntityTooSmall"),
        (TEXT, {"Content-Type": "text/html"}, "AccessDenied"),
        (TEXT, {"key": "another.md"}, "AccessDenied"),
        (TEXT, {"x-amz-meta-more": "x"}, "AccessDenied"),
        (TEXT, {"x-amz-signature": "0" * 64}, "SignatureDoesNotMatch"),
    ],
)
def test_s3_takes_no_other_document_than_the_one_that_was_granted(
    api: FleetApi, content: bytes, changed: dict[str, str], reason: str
) -> None:
    form = api.grant_upload(TENANT, Upload(DocumentKey("refused.md"), len(TEXT)))
    status, text = send(form, content, **changed)
    assert status in {400, 403}
    assert reason in text


def test_the_command_line_uploads_and_names_what_is_wrong(sender: Demo, kbfleet: KbFleet, tmp_path: Path) -> None:
    file = tmp_path / "sledges.md"
    file.write_text("Sledges are rented by the hour, for 7 euros.", "utf-8")
    ran = kbfleet("upload", TENANT, str(file), "--key", "winter/sledges.md", "--metadata", "season=winter")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = kbfleet("upload", "nobody", str(file))
    assert (ran.returncode, "nobody" in ran.stderr) == (2, True)
    assert kbfleet("tenant", "suspend", TENANT).returncode == 0
    try:
        ran = kbfleet("upload", TENANT, str(file))
        assert (ran.returncode, "suspended" in ran.stderr) == (2, True)
    finally:
        assert kbfleet("tenant", "resume", TENANT).returncode == 0
