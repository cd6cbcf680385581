"""What is looked at of a document that failed: the fake, and the real adapter on moto's S3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.domain.document_examination import EDGE_BYTES, DocumentSample
from kbfleet.domain.errors import IsolationBreached, NotReadyYet, Throttled
from kbfleet.domain.uploads import MAX_METADATA_BYTES
from kbfleet.ports import DocumentSamples
from tests.support.aws import client as aws_client
from tests.support.fakes import InMemoryBucketContents
from tests.support.samples import ACCOUNT

BUCKET = "kbfleet-acme-0123456789"
KEY = "規程/terms & rules.pdf"
URI = f"s3://{BUCKET}/{KEY}"
LARGE = bytes(range(256)) * 2_000


class DocumentSamplesSuite:
    samples: DocumentSamples

    def put(self, content: bytes, metadata: bytes | None = None) -> None:
        raise NotImplementedError

    def sample(self) -> DocumentSample:
        found = self.samples.sample(BUCKET, URI)
        assert found is not None
        assert found.revision
        return replace(found, revision="")

    def test_of_one_that_is_gone_there_is_none(self) -> None:
        assert self.samples.sample(BUCKET, URI) is None

    def test_a_small_document_is_seen_whole(self) -> None:
        self.put(b"text")
        assert self.sample() == DocumentSample(KEY, 4, b"text")

    def test_an_empty_one_has_no_bytes(self) -> None:
        self.put(b"")
        assert self.sample() == DocumentSample(KEY, 0, b"")

    @pytest.mark.parametrize("size", [EDGE_BYTES, EDGE_BYTES + 1, 2 * EDGE_BYTES, 2 * EDGE_BYTES + 1, len(LARGE)])
    def test_of_a_large_one_the_edges_are_seen(self, size: int) -> None:
        content = LARGE[:size]
        self.put(content)
        sample = self.sample()
        assert (sample.size, sample.head) == (size, content[:EDGE_BYTES])
        assert sample.tail == content[max(EDGE_BYTES, size - EDGE_BYTES) :]
        assert sample.whole is (size <= 2 * EDGE_BYTES)

    def test_its_metadata_file_comes_with_it_unless_it_is_too_large(self) -> None:
        self.put(b"text", b"{}")
        assert self.sample() == DocumentSample(KEY, 4, b"text", metadata_size=2, metadata=b"{}")
        self.put(b"text", b"x" * (MAX_METADATA_BYTES + 1))
        assert self.sample() == DocumentSample(KEY, 4, b"text", metadata_size=MAX_METADATA_BYTES + 1)

    def test_another_revision_has_another_name(self) -> None:
        revisions = []
        for content, metadata in ((b"one", None), (b"two", None), (b"two", b"{}")):
            self.put(content, metadata)
            found = self.samples.sample(BUCKET, URI)
            assert found is not None
            revisions.append(found.revision)
        assert len(set(revisions)) == 3

    def test_nothing_outside_the_bucket_is_looked_at(self) -> None:
        with pytest.raises(IsolationBreached):
            self.samples.sample(BUCKET, "s3://another/terms.pdf")


class TestInMemory(DocumentSamplesSuite):
    @pytest.fixture(autouse=True)
    def made(self) -> None:
        self.samples = self.contents = InMemoryBucketContents()

    def put(self, content: bytes, metadata: bytes | None = None) -> None:
        self.contents.put(URI, f"{content!r} {metadata!r}", content=content, metadata=metadata)


class TestS3(DocumentSamplesSuite):
    @pytest.fixture(autouse=True)
    def made(self, aws: None) -> None:
        self.client = aws_client("s3")
        self.client.create_bucket(Bucket=BUCKET)
        self.samples = self.contents = S3BucketContents(self.client, account=ACCOUNT)

    def put(self, content: bytes, metadata: bytes | None = None) -> None:
        self.client.put_object(Bucket=BUCKET, Key=KEY, Body=content)
        if metadata is not None:
            self.client.put_object(Bucket=BUCKET, Key=f"{KEY}.metadata.json", Body=metadata)

    def refused(self, monkeypatch: pytest.MonkeyPatch, code: str, status: int = 400) -> None:
        def refuse(**_: Any) -> None:
            answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(answer, "GetObject")

        monkeypatch.setattr(self.client, "get_object", refuse)

    def test_the_revision_is_that_of_the_listing(self) -> None:
        self.put(b"text", b"{}")
        found, sample = self.contents.find(BUCKET, URI), self.contents.sample(BUCKET, URI)
        described = self.contents.describe(BUCKET, URI)
        assert found is not None
        assert sample is not None
        assert described is not None
        assert found.revision == sample.revision == described.revision

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState", "KMS.DisabledException"])
    def test_of_one_that_may_not_be_read_name_and_size_are_known(
        self, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        self.put(b"text", b"{}")
        self.refused(monkeypatch, code)
        assert self.sample() == DocumentSample(KEY, 4, metadata_size=2)

    @pytest.mark.parametrize("code", ["PreconditionFailed", "NoSuchKey", "InvalidRange"])
    def test_one_that_is_replaced_at_that_moment_is_not_mixed_with_the_new_one(
        self, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        self.put(b"text")
        self.refused(monkeypatch, code)
        assert self.samples.sample(BUCKET, URI) is None

    def test_s3_itself_refuses_to_mix_two_revisions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put(LARGE)
        read = self.client.get_object

        def replaced(**how: Any) -> Any:
            answer = read(**how)
            self.client.put_object(Bucket=BUCKET, Key=KEY, Body=LARGE[::-1])
            return answer

        monkeypatch.setattr(self.client, "get_object", replaced)
        assert self.samples.sample(BUCKET, URI) is None

    @pytest.mark.parametrize(
        ("code", "status", "error"), [("SlowDown", 503, Throttled), ("InternalError", 500, NotReadyYet)]
    )
    def test_what_passes_is_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, code: str, status: int, error: type[Exception]
    ) -> None:
        self.put(b"text")
        self.refused(monkeypatch, code, status)
        with pytest.raises(error):
            self.samples.sample(BUCKET, URI)
