"""What a granted upload lets its holder do, wherever it is signed. S3 itself is asked in tests/local and tests/e2e."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from kbfleet import bootstrap
from kbfleet.adapters.s3_uploads import S3Uploads
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.uploads import DocumentKey, Upload
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.samples import ACCOUNT

BUCKET = "kbfleet-acme-0123456789"
KEY = DocumentKey("規程/就業 規則 <&>.pdf")
UPLOAD = Upload(KEY, 12_345)


@pytest.fixture(params=["us-east-1", "ap-northeast-1"])
def client(aws: None, request: pytest.FixtureRequest) -> Any:
    """Of the settings that the composition root makes it with."""
    return aws_client("s3", region=request.param, config=bootstrap._CLIENT.merge(bootstrap._SIGNED_FOR_ITS_REGION))


@pytest.fixture
def uploads(client: Any) -> S3Uploads:
    return S3Uploads(client, account=ACCOUNT, clock=FakeClock())


def policy_of(fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return decoded


def test_the_policy_pins_bucket_key_type_and_size(uploads: S3Uploads) -> None:
    form = uploads.form(BUCKET, UPLOAD, timedelta(minutes=15))
    conditions = policy_of(form.fields)["conditions"]
    for condition in (
        {"bucket": BUCKET},
        {"key": str(KEY)},
        {"Content-Type": "application/pdf"},
        ["content-length-range", 12_345, 12_345],
    ):
        assert condition in conditions
    assert (form.fields["key"], form.fields["Content-Type"]) == (KEY, "application/pdf")


def test_it_ends_when_it_says(uploads: S3Uploads) -> None:
    form = uploads.form(BUCKET, UPLOAD, timedelta(minutes=15))
    signed_at = datetime.strptime(f"{form.fields['x-amz-date']}+0000", "%Y%m%dT%H%M%SZ%z")
    ends = datetime.fromisoformat(policy_of(form.fields)["expiration"])
    assert abs((ends - signed_at - timedelta(minutes=15)).total_seconds()) <= 1
    assert form.expires_at == START + timedelta(minutes=15)


def test_it_is_signed_for_the_buckets_own_region_and_with_version_4(uploads: S3Uploads, client: Any) -> None:
    form = uploads.form(BUCKET, UPLOAD, timedelta(minutes=15))
    assert form.url == f"https://{BUCKET}.s3.{client.meta.region_name}.amazonaws.com/"
    assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_metadata_are_stored_beside_the_document(uploads: S3Uploads, client: Any) -> None:
    place = {"CreateBucketConfiguration": {"LocationConstraint": client.meta.region_name}}
    client.create_bucket(Bucket=BUCKET, **({} if client.meta.region_name == "us-east-1" else place))
    content = '{"metadataAttributes":{"部署":"営業"}}'.encode()
    uploads.put_metadata(BUCKET, KEY, content)
    stored = client.get_object(Bucket=BUCKET, Key=f"{KEY}.metadata.json")
    assert (stored["Body"].read(), stored["ContentType"]) == (content, "application/json")


def test_a_bucket_that_is_gone_is_told(uploads: S3Uploads) -> None:
    with pytest.raises(ResourceMissing):
        uploads.put_metadata(BUCKET, KEY, b"{}")
