"""A bucket's list of versions has every key as it is, and versions of exactly that key are deleted."""

import hashlib
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from kbfleet.adapters.s3_versions import batches, remove
from tests.local.stack.conftest import LocalAws
from tests.support.hostile_keys import HOSTILE_KEYS


def bucket_with(s3: Any, *keys: str) -> str:
    bucket = f"bucket-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def test_a_key_is_listed_as_it_is(aws: LocalAws) -> None:
    keys = ["a\rb.md", "a&lt;b.md", "a%2Fb c+d.md"]
    s3 = aws.client("s3")
    listed = s3.list_object_versions(Bucket=bucket_with(s3, *keys))["Versions"]
    assert sorted(each["Key"] for each in listed) == sorted(keys)


def test_every_key_is_listed_read_and_removed(stack: LocalAws) -> None:
    s3 = stack.client("s3")
    bucket = bucket_with(s3, *HOSTILE_KEYS)
    s3.delete_object(Bucket=bucket, Key=HOSTILE_KEYS[0])
    for key in HOSTILE_KEYS[1:]:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    versions = [each for page in pages for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]
    assert sorted(each["Key"] for each in versions) == sorted((*HOSTILE_KEYS, HOSTILE_KEYS[0]))
    for key in HOSTILE_KEYS:
        (first, *_) = s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions") or [{"Key": key}]
        assert first["Key"] == key
    doomed = [each for each in versions if each["Key"] in HOSTILE_KEYS[::2]]
    for batch in batches(doomed):
        remove(s3, {"Bucket": bucket}, batch)
    left = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert sorted(each["Key"] for each in left) == sorted(HOSTILE_KEYS[1::2])


def test_no_batch_names_what_xml_has_no_character_for(stack: LocalAws) -> None:
    s3 = stack.client("s3")
    bucket = bucket_with(s3, "\x01.md")
    (version,) = s3.list_object_versions(Bucket=bucket)["Versions"]
    doomed = {"Key": version["Key"], "VersionId": version["VersionId"]}
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [doomed]})
    s3.delete_object(Bucket=bucket, **doomed)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_what_is_put_in_one_piece_is_listed_with_its_md5(stack: LocalAws) -> None:
    s3 = stack.client("s3")
    (listed,) = s3.list_objects_v2(Bucket=bucket_with(s3, "a.md"))["Contents"]
    assert listed["ETag"].strip('"') == hashlib.md5(b"a.md", usedforsecurity=False).hexdigest()
