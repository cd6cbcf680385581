"""What a bucket holds under each key, by the real adapter on moto's S3."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.survey import PresentVersion
from tests.support.aws import client as aws_client
from tests.support.samples import ACCOUNT

BUCKET = "kbfleet-acme-0123456789"
A_PART = b"x" * 5 * 1024 * 1024
"""The least that S3 takes. Source: AWS documentation, Amazon S3 multipart upload limits."""


@pytest.fixture
def client(aws: None) -> Any:
    made = aws_client("s3")
    made.create_bucket(Bucket=BUCKET)
    made.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return made


@pytest.fixture
def contents(client: Any) -> S3BucketContents:
    return S3BucketContents(client, account=ACCOUNT)


def whole(contents: S3BucketContents) -> list[PresentVersion]:
    listed, after = list[PresentVersion](), None
    while True:
        page = contents.versions(BUCKET, after)
        listed += page.versions
        if page.following is None:
            return listed
        after = page.following


def by_pages_of(client: Any, size: int) -> None:
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectVersions", lambda params, **_: params.update(MaxKeys=size)
    )


def test_an_empty_bucket_holds_nothing(contents: S3BucketContents) -> None:
    assert whole(contents) == []


def test_of_each_key_the_newest_version_is_listed_and_when_it_was_put(client: Any, contents: S3BucketContents) -> None:
    for text in (b"one", b"two, and longer"):
        client.put_object(Bucket=BUCKET, Key="就業規則 <&>.md", Body=text)
    put_at = client.head_object(Bucket=BUCKET, Key="就業規則 <&>.md")["LastModified"]
    assert whole(contents) == [PresentVersion(put_at, size=15)]


def test_what_was_deleted_is_listed_as_that_until_it_comes_back(client: Any, contents: S3BucketContents) -> None:
    client.put_object(Bucket=BUCKET, Key="handbook.md", Body=b"one")
    marker = client.delete_object(Bucket=BUCKET, Key="handbook.md")["VersionId"]
    assert [version.deleted for version in whole(contents)] == [True]
    client.delete_object(Bucket=BUCKET, Key="handbook.md", VersionId=marker)
    assert [version.deleted for version in whole(contents)] == [False]


def test_what_was_deleted_for_good_is_not_listed(client: Any, contents: S3BucketContents) -> None:
    version = client.put_object(Bucket=BUCKET, Key="handbook.md", Body=b"one")["VersionId"]
    client.delete_object(Bucket=BUCKET, Key="handbook.md", VersionId=version)
    assert whole(contents) == []


def test_folders_and_uploads_in_parts_are_recognized(client: Any, contents: S3BucketContents) -> None:
    client.put_object(Bucket=BUCKET, Key="a folder/", Body=b"")
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="large.pdf")["UploadId"]
    of = {"Bucket": BUCKET, "Key": "large.pdf", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**of, PartNumber=number, Body=content)["ETag"]}
        for number, content in enumerate((A_PART, b"the end"), start=1)
    ]
    client.complete_multipart_upload(**of, MultipartUpload={"Parts": parts})
    assert [(version.folder, version.in_parts) for version in whole(contents)] == [(True, False), (False, True)]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_whole_list_is_read_whatever_its_pages_are(client: Any, contents: S3BucketContents, size: int) -> None:
    by_pages_of(client, size)
    for number in range(7):
        client.put_object(Bucket=BUCKET, Key=f"議事録 {number}.md", Body=b"x")
        client.put_object(Bucket=BUCKET, Key=f"議事録 {number}.md", Body=b"xx")
    client.delete_object(Bucket=BUCKET, Key="議事録 3.md")
    listed = whole(contents)
    assert sorted((version.deleted, version.size) for version in listed) == [*6 * [(False, 2)], (True, 0)]


def test_a_bucket_that_is_gone_is_missing(client: Any, contents: S3BucketContents) -> None:
    client.delete_bucket(Bucket=BUCKET)
    with pytest.raises(ResourceMissing):
        contents.versions(BUCKET, None)
