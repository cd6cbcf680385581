"""`POST /tenants/{tenant_id}/uploads`: what is answered, and what is refused before anything is signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.names import Life
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, tenant

Send = Callable[..., tuple[int, dict[str, Any]]]
SAMPLE = {"key": "handbook/rental-terms.pdf", "size": 12_345}
BUCKET = NAMES.bucket(Life(ACME))


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends the sample request, or one with another body; gives status and body."""

    def to(body: object = ..., **changes: Any) -> tuple[int, dict[str, Any]]:
        request = {**event("triggers/post_upload"), **changes}
        if body is not ...:
            request["body"] = body if body is None or isinstance(body, str) else json.dumps(body)
        answer = handler("admin/uploads")(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def test_the_sample_request_is_granted_with_all_that_its_sender_needs(send: Send, fleet: Fleet) -> None:
    fleet.registry.create(tenant(bucket_name=BUCKET))
    status, body = send()
    assert status == 201
    assert set(body) == {"url", "fields", "expires_at"}
    assert body["url"] == f"https://{BUCKET}.example.com/"
    assert (body["fields"]["key"], body["fields"]["Content-Type"]) == ("handbook/rental-terms.pdf", "application/pdf")
    assert body["expires_at"] == (START + timedelta(minutes=15)).isoformat().replace("+00:00", "Z")
    ((_, beside),) = fleet.uploads.stored
    assert beside == "handbook/rental-terms.pdf.metadata.json"


def test_that_its_bucket_is_gone_is_told_in_words_of_ours(
    send: Send, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.registry.create(tenant(bucket_name=BUCKET))

    def missing(*_: object) -> None:
        raise ResourceMissing(f"PutObject for {BUCKET}: NoSuchBucket")

    monkeypatch.setattr(fleet.uploads, "put_metadata", missing)
    status, body = send()
    assert (status, body["code"]) == (502, "BucketGone")
    assert body["detail"].startswith("The bucket of tenant acme does not exist any more")
    assert BUCKET not in body["detail"]


def test_type_and_metadata_may_be_left_out(send: Send, fleet: Fleet) -> None:
    fleet.registry.create(tenant(bucket_name=BUCKET))
    status, body = send(SAMPLE)
    assert (status, body["fields"]["Content-Type"]) == (201, "application/pdf")
    assert fleet.uploads.stored == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ("not json", "body"),
        ({}, "key"),
        (SAMPLE | {"key": "../a.pdf"}, "key"),
        (SAMPLE | {"key": "a.pdf.metadata.json"}, "key"),
        (SAMPLE | {"size": 0}, "size"),
        (SAMPLE | {"size": 50 * 1024**2 + 1}, "size"),
        (SAMPLE | {"size": "12345"}, "size"),
        (SAMPLE | {"size": 1.5}, "size"),
        (SAMPLE | {"size": True}, "size"),
        (SAMPLE | {"content_type": "image/png"}, "content_type"),
        (SAMPLE | {"metadata": {"a": {"b": "c"}}}, "metadata"),
        (SAMPLE | {"metadata": ["a"]}, "metadata"),
        (SAMPLE | {"metadata": {"a": "x" * 2_048}}, "metadata"),
        (SAMPLE | {"bucket": "another"}, "bucket"),
        (SAMPLE | {"tenant_id": "sakura"}, "tenant_id"),
    ],
)
def test_a_bad_request_names_the_field_and_nothing_is_granted(
    send: Send, fleet: Fleet, body: object, field: str
) -> None:
    fleet.registry.create(tenant(bucket_name=BUCKET))
    status, problem = send(body)
    assert (status, problem["code"], problem["field"]) == (400, "InvalidInput", field)
    assert fleet.uploads.stored == {}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (TenantStatus.SUSPENDED, "TenantSuspended"),
        (TenantStatus.OFFBOARDING, "TenantOffboarding"),
        (TenantStatus.OFFBOARDED, "TenantOffboarded"),
    ],
)
def test_whoever_is_out_of_service_gets_a_problem_of_its_own(
    send: Send, fleet: Fleet, status: TenantStatus, code: str
) -> None:
    fleet.registry.create(tenant(status=status, bucket_name=BUCKET))
    answered, problem = send()
    assert (answered, problem["code"]) == (409, code)


def test_an_unknown_tenant_is_not_found(send: Send) -> None:
    status, problem = send()
    assert (status, problem["code"]) == (404, "TenantNotFound")


def test_neither_key_nor_metadata_nor_signature_reach_the_log(send: Send, fleet: Fleet, logs: Logs) -> None:
    fleet.registry.create(tenant(bucket_name=BUCKET))
    _, body = send()
    (line,) = logs.lines
    assert (line["tenant_id"], line["size"], line["metadata"]) == ("acme", 12_345, True)
    assert not [secret for secret in ("rental-terms", "sales", body["fields"]["policy"]) if secret in logs.text]


class TestSeveral:
    """`POST /tenants/{tenant_id}/uploads/batch`."""

    MD5 = "9e107d9d372bb6826bd81d3542a419d6"

    @pytest.fixture
    def send_several(self, fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
        fleet.registry.create(tenant(bucket_name=BUCKET))

        def to(body: object = ...) -> tuple[int, dict[str, Any]]:
            request = event("triggers/post_uploads")
            if body is not ...:
                request["body"] = json.dumps(body)
            answer = handler("admin/uploads")(request)
            return answer["statusCode"], json.loads(answer["body"])

        return to

    def test_the_sample_request_is_granted(self, send_several: Send, fleet: Fleet) -> None:
        status, body = send_several()
        assert status == 200
        terms, prices = body["documents"]
        assert (terms["key"], prices["key"]) == ("handbook/rental-terms.pdf", "prices.csv")
        assert set(terms["form"]) == {"url", "fields", "expires_at"}
        assert (terms["refusal"], terms["metadata_written"]) == (None, True)
        stored = json.loads(fleet.uploads.stored[BUCKET, "prices.csv.metadata.json"])
        assert set(stored) == {"metadataAttributes", "documentStructureConfiguration"}

    def test_what_is_there_needs_no_form_and_what_is_refused_gets_none(self, send_several: Send, fleet: Fleet) -> None:
        fleet.bucket_contents.put(f"s3://{BUCKET}/a.md", self.MD5, content=b"12345")
        fleet.bucket_contents.put(f"s3://{BUCKET}/e\u0301.md", content=b"12345")
        there, spelled, too_much = (
            {"key": "a.md", "size": 5, "md5": self.MD5},
            {"key": "é.md", "size": 5},
            {"key": "b.md", "size": 5, "metadata": {"a": "x" * 2_048}},
        )
        status, body = send_several({"documents": [there, spelled, too_much]})
        assert status == 200
        assert [each["form"] for each in body["documents"]] == [None] * 3
        refusals = [each["refusal"] for each in body["documents"]]
        assert refusals[0] is None
        assert (refusals[1]["code"], refusals[1]["there_as"]) == ("KeySpelledOtherwise", "e\u0301.md")
        assert (refusals[2]["field"], refusals[2]["there_as"]) == ("metadata", None)
        assert fleet.uploads.stored == {}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "documents"),
            ({"documents": []}, "documents"),
            ({"documents": [SAMPLE] * 26}, "documents"),
            ({"documents": [SAMPLE, SAMPLE | {"key": "../a.pdf"}]}, "key"),
            ({"documents": [SAMPLE | {"md5": "x"}]}, "documents.0.md5"),
            ({"documents": [SAMPLE | {"md5": MD5.upper()}]}, "documents.0.md5"),
            ({"documents": [SAMPLE, SAMPLE | {"metadata_file": {}}]}, "documents.1.metadata_file"),
            ({"documents": [SAMPLE | {"content_type": "image/png"}]}, "documents.0.content_type"),
            ({"documents": [SAMPLE], "tenant_id": "sakura"}, "tenant_id"),
        ],
    )
    def test_a_bad_request_names_the_field_and_nothing_is_granted(
        self, send_several: Send, fleet: Fleet, body: object, field: str
    ) -> None:
        status, problem = send_several(body)
        assert (status, problem["code"], problem["field"]) == (400, "InvalidInput", field)
        assert fleet.uploads.stored == {}

    def test_no_key_metadata_or_signature_reaches_the_log(self, send_several: Send, logs: Logs) -> None:
        _, body = send_several()
        (line,) = logs.lines
        assert (line["documents"], line["forms"], line["refused"], line["metadata"]) == (2, 2, 0, 2)
        policy = body["documents"][0]["form"]["fields"]["policy"]
        assert not [secret for secret in ("rental-terms", "sales", policy) if secret in logs.text]
