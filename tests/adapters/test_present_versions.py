"""What a bucket holds under each key, by the real adapter on moto's S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.question_runs import ChangedDocuments
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


@pytest.mark.parametrize("size", [1, 2, 1_000])
def test_what_has_changed_since_a_time_is_named_the_newest_first(
    client: Any, contents: S3BucketContents, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kbfleet.adapters.s3._PAGES_OF_CHANGES", 100)
    by_pages_of(client, size)

    def at(hour: int, minute: int) -> None:
        now = datetime(2026, 11, 2, hour, minute)  # noqa: DTZ001 - as moto has it
        monkeypatch.setattr("moto.s3.models.utcnow", lambda: now)

    at(9, 0)
    for key in ("old.md", "replaced.md", "gone.md", "back.md"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    for minute, key in ((1, "gone.md"), (2, "back.md")):
        at(10, minute)
        client.delete_object(Bucket=BUCKET, Key=key)
    for minute, key in ((3, "back.md"), (4, "replaced.md"), (5, "folder/"), (6, "新.md")):
        at(10, minute)
        client.put_object(Bucket=BUCKET, Key=key, Body=b"2")
    since = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    assert contents.changed(BUCKET, since, 10) == ChangedDocuments(("新.md", "replaced.md", "back.md", "gone.md"))
    assert contents.changed(BUCKET, since, 1) == ChangedDocuments(("新.md",), 3)
    assert contents.changed(BUCKET, since.replace(hour=11), 1) == ChangedDocuments()


def test_of_a_bucket_that_is_gone_nothing_is_known_to_have_changed(contents: S3BucketContents) -> None:
    with pytest.raises(ResourceMissing):
        contents.changed("gone", datetime(2026, 11, 2, tzinfo=UTC), 10)


class TestWhatHasBecomeOfDocuments:
    """Since a job has read them."""

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2026, 11, 2, 9, 0, 0)  # noqa: DTZ001 - as moto has it
        monkeypatch.setattr("moto.s3.models.utcnow", self.later)

    def later(self) -> datetime:
        """A second with each version, so that they have an order."""
        self.now += timedelta(seconds=1)
        return self.now

    def read(self) -> AnsweredFrom:
        """By a job that is a minute long."""
        began = self.now.replace(tzinfo=UTC) + timedelta(seconds=1)
        self.now += timedelta(minutes=1)
        return AnsweredFrom("DS00000002", 0, began, self.now.replace(tzinfo=UTC))

    def counted(
        self, contents: S3BucketContents, answered_from: AnsweredFrom, left_out: frozenset[str] = frozenset()
    ) -> tuple[int, int, int]:
        kept, deleted, added, after = 0, 0, 0, None
        while True:
            page = contents.compared(BUCKET, answered_from, left_out, after)
            kept, deleted, added = kept + page.kept, deleted + page.deleted, added + page.added
            after = page.following
            if after is None:
                return kept, deleted, added

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
    def test_is_counted_whatever_the_pages_are(self, client: Any, contents: S3BucketContents, size: int) -> None:
        by_pages_of(client, size)
        put, delete = partial(client.put_object, Bucket=BUCKET), partial(client.delete_object, Bucket=BUCKET)
        for key in ("a folder/", "deleted before.md", "deleted.md", "kept.md", "kept.md.metadata.json"):
            put(Key=key, Body=b"1")
        for key in ("gone for good.md", "back.md", "replaced.md", "replaced often.md", "規程.md"):
            put(Key=key, Body=b"1")
        delete(Key="deleted before.md")
        answered_from = self.read()
        delete(Key="deleted.md")
        delete(Key="back.md")
        put(Key="back.md", Body=b"2")
        put(Key="replaced.md", Body=b"2")
        for text in (b"2", b"3", b"4"):
            put(Key="replaced often.md", Body=text)
        put(Key="replaced often.md.metadata.json", Body=b"{}")
        put(Key="new.md", Body=b"1")
        put(Key="new and gone.md", Body=b"1")
        delete(Key="new and gone.md")
        version = client.head_object(Bucket=BUCKET, Key="gone for good.md")["VersionId"]
        delete(Key="gone for good.md", VersionId=version)
        # kept.md, back.md, replaced.md, replaced often.md and 規程.md; deleted.md; new.md
        assert self.counted(contents, answered_from) == (5, 1, 1)
        # Where these could not be read: replaced.md may be read now, from deleted.md nothing was answered.
        left_out = frozenset({"replaced.md", "deleted.md", "gone for good.md"})
        assert self.counted(contents, answered_from, left_out) == (4, 0, 2)

    def test_what_was_put_while_the_job_ran_it_may_have_read(self, client: Any, contents: S3BucketContents) -> None:
        began = self.now.replace(tzinfo=UTC)
        client.put_object(Bucket=BUCKET, Key="during.md", Body=b"1")
        answered_from = AnsweredFrom("DS00000002", 1, began, self.now.replace(tzinfo=UTC) + timedelta(minutes=1))
        assert self.counted(contents, answered_from) == (1, 0, 0)
        client.delete_object(Bucket=BUCKET, Key="during.md")
        assert self.counted(contents, answered_from) == (0, 1, 0)

    def test_a_bucket_that_was_made_anew_has_kept_nothing(self, client: Any, contents: S3BucketContents) -> None:
        answered_from = self.read()
        client.put_object(Bucket=BUCKET, Key="kept.md", Body=b"1")
        assert self.counted(contents, answered_from) == (0, 0, 1)

    def test_a_bucket_that_is_gone_is_missing(self, client: Any, contents: S3BucketContents) -> None:
        client.delete_bucket(Bucket=BUCKET)
        with pytest.raises(ResourceMissing):
            contents.compared(BUCKET, self.read(), frozenset(), None)
