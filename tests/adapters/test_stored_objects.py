"""Which of some keys are in a bucket, and with what: the real adapter on moto's S3, and the one in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbfleet.adapters import s3
from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.uploads import StoredObject
from kbfleet.ports import BucketContents
from tests.support.aws import client as aws_client
from tests.support.failed_documents import InMemoryBucketContents
from tests.support.samples import ACCOUNT

BUCKET = "kbfleet-acme-0123456789"
Put = Callable[[str, bytes], None]


@pytest.fixture
def client(aws: None) -> Any:
    made = aws_client("s3")
    made.create_bucket(Bucket=BUCKET)
    return made


@pytest.fixture
def contents(client: Any) -> S3BucketContents:
    return S3BucketContents(client, account=ACCOUNT)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def stored(content: bytes) -> StoredObject:
    return StoredObject(len(content), md5(content))


@pytest.fixture(params=["S3", "in memory"])
def bucket(request: pytest.FixtureRequest, client: Any, contents: S3BucketContents) -> tuple[BucketContents, Put]:
    """One of the two, and what puts an object there."""
    if request.param == "S3":
        return contents, lambda key, content: client.put_object(Bucket=BUCKET, Key=key, Body=content)
    memory = InMemoryBucketContents()
    return memory, lambda key, content: memory.put(f"s3://{BUCKET}/{key}", md5(content), content=content)


class TestBoth:
    def test_say_what_is_there_with_size_and_etag(self, bucket: tuple[BucketContents, Put]) -> None:
        contents, put = bucket
        for key in ("a.md", "a.md.metadata.json", "a.mdx", "規程/ガイド.pdf"):
            put(key, key.encode())
        found = contents.objects(BUCKET, ["規程/ガイド.pdf", "a.md", "a", "b.md", "a.md.metadata.json"])
        assert found == {key: stored(key.encode()) for key in ("a.md", "a.md.metadata.json", "規程/ガイド.pdf")}

    def test_say_nothing_of_nothing(self, bucket: tuple[BucketContents, Put]) -> None:
        contents, put = bucket
        put("a.md", b"a")
        assert contents.objects(BUCKET, []) == {}
        assert contents.objects(BUCKET, ["b.md"]) == {}

    def test_tell_an_object_that_is_replaced_from_the_one_before(self, bucket: tuple[BucketContents, Put]) -> None:
        contents, put = bucket
        for content in (b"one", b"two"):
            put("a.md", content)
            assert contents.objects(BUCKET, ["a.md"])["a.md"].holds(3, md5(content))
            assert not contents.objects(BUCKET, ["a.md"])["a.md"].holds(3, md5(b"six"))


class TestS3:
    def test_a_bucket_that_is_gone_is_no_empty_one(self, contents: S3BucketContents) -> None:
        with pytest.raises(ResourceMissing):
            contents.objects("kbfleet-nobody-0123456789", ["a.md"])

    def test_neighbours_take_one_call(self, client: Any, contents: S3BucketContents) -> None:
        keys = [f"handbook/{number:02}.md" for number in range(25)]
        for key in keys:
            client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        calls = counted(client)
        assert set(contents.objects(BUCKET, keys)) == set(keys)
        assert len(calls) == 1

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        there=st.sets(st.text("ab/éガ\U0001f600", min_size=1, max_size=5), max_size=20),
        asked=st.sets(st.text("ab/éガ\U0001f600", min_size=1, max_size=5), max_size=8),
        page=st.integers(1, 4),
    )
    def test_whatever_lies_between_them_is_found_in_bounded_calls(
        self, client: Any, contents: S3BucketContents, there: set[str], asked: set[str], page: int
    ) -> None:
        for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=each["Key"])
        for key in there:
            client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        calls = counted(client)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(s3, "KEYS_A_PAGE", page)
            found = contents.objects(BUCKET, asked)
        assert found == {key: stored(key.encode()) for key in there & asked}
        assert len(calls) <= 2 + len(asked)


def counted(client: Any) -> list[str]:
    """Gets an entry for each listing from now on."""
    calls: list[str] = []
    client.meta.events.register("before-call.s3.ListObjectsV2", lambda model, **_: calls.append(model.name))
    return calls
