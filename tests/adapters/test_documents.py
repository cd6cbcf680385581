"""What every list of a bucket's documents does, every removal and every link; and what rights these have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.core import iam_evaluator

from kbfleet import bootstrap
from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.adapters.s3_documents import DELETING, OPENING, S3DocumentLinks, S3DocumentRemoval, document_policy
from kbfleet.adapters.scoped_credentials import MAX_POLICY, ScopedRole, serialized
from kbfleet.domain.document_status import BucketEntry
from kbfleet.domain.errors import AccessRefused, InvalidInput, IsolationBreached, ResourceMissing
from kbfleet.ports import BucketContents, DocumentRemoval, EntryPage
from local.corrections.policy_conditions import matching
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.fakes import InMemoryBucketContents, InMemoryDocumentRemoval
from tests.support.hostile_keys import HOSTILE_KEYS
from tests.support.samples import ACCOUNT

BUCKET, OTHERS = "kbfleet-acme-0123456789", "kbfleet-sakura-0123456789"


class DocumentsSuite:
    """A bucket's documents, listed and removed."""

    @pytest.fixture
    def contents(self) -> BucketContents:
        raise NotImplementedError

    @pytest.fixture
    def removal(self) -> DocumentRemoval:
        raise NotImplementedError

    def put(self, key: str, content: bytes = b"A tent.", metadata: bytes | None = None) -> None:
        raise NotImplementedError

    def pages(self, contents: BucketContents, prefix: str = "", limit: int = 100) -> Iterator[EntryPage]:
        after = None
        while True:
            yield (page := contents.entries(BUCKET, prefix=prefix, after=after, limit=limit))
            if page.following is None:
                return
            assert after is None or page.following > after
            after = page.following

    def listed(self, contents: BucketContents, prefix: str = "", limit: int = 100) -> list[BucketEntry]:
        return [entry for page in self.pages(contents, prefix, limit) for entry in page.entries]

    def test_documents_are_listed_with_their_metadata_files_and_without_folders(self, contents: BucketContents) -> None:
        for key in ("b.md", "a.md", "folder/", "alone.metadata.json"):
            self.put(key)
        self.put("a.md", b"A longer text.", b'{"metadataAttributes": {}}')
        first, second = self.listed(contents)
        assert (first.key, first.size, first.metadata_bytes, first.deleted) == ("a.md", 14, 26, False)
        assert (second.key, second.metadata_bytes) == ("b.md", None)
        assert first.listed_from > first.changed_at
        assert first.revision
        assert first.revision != second.revision

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_each_comes_once_whatever_the_pages_are(self, contents: BucketContents, limit: int) -> None:
        keys = [f"{number}.md" for number in range(7)]
        for key in keys:
            self.put(key)
            self.put(key, b"again", b"{}")
        assert [(each.key, each.metadata_bytes) for each in self.listed(contents, limit=limit)] == [
            (key, 2) for key in keys
        ]

    def test_only_those_of_the_prefix_are_listed(self, contents: BucketContents) -> None:
        for key in ("a.md", "handbook/a.md", "handbook2.md", "z.md"):
            self.put(key)
        assert [each.key for each in self.listed(contents, "handbook/")] == ["handbook/a.md"]
        assert self.listed(contents, "nothing") == []

    def test_what_was_deleted_is_listed_as_that_until_it_comes_back(
        self, contents: BucketContents, removal: DocumentRemoval
    ) -> None:
        self.put("a.md", metadata=b"{}")
        self.put("a.md-2.md")
        removal.delete(BUCKET, "a.md")
        gone, there = self.listed(contents)
        assert (gone.key, gone.deleted, gone.metadata_bytes) == ("a.md", True, None)
        assert not there.deleted
        removal.delete(BUCKET, "a.md")
        assert len(self.listed(contents)) == 2
        self.put("a.md")
        (back, _) = self.listed(contents)
        assert (back.deleted, back.metadata_bytes) == (False, None)

    def test_an_erasure_leaves_no_version_of_it_and_every_other(
        self, contents: BucketContents, removal: DocumentRemoval
    ) -> None:
        for key in ("a.md", "a.md.old", "a.m"):
            for content in (b"1", b"22"):
                self.put(key, content)
        erased = removal.erase(BUCKET, "a.md", until=START + timedelta(hours=1))
        assert (erased.versions, erased.whole) == (2, True)
        assert [(each.key, each.deleted) for each in self.listed(contents)] == [("a.m", False), ("a.md.old", False)]
        assert removal.erase(BUCKET, "a.md", until=START + timedelta(hours=1)).versions == 0

    def test_the_first_of_its_key_is_known_as_that(self, contents: BucketContents, removal: DocumentRemoval) -> None:
        for key in ("a.md", "b.md", "b.md", "c.md"):
            self.put(key)
        assert {each.key: each.first for each in self.listed(contents)} == {"a.md": True, "b.md": False, "c.md": True}
        removal.delete(BUCKET, "a.md")
        self.put("a.md")
        assert {each.key: each.first for each in self.listed(contents)} == {"a.md": False, "b.md": False, "c.md": True}

    def test_exactly_the_one_that_is_meant_is_removed(
        self, contents: BucketContents, removal: DocumentRemoval, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A client for each of them would take most of the test's time.
        deleter = aws_client("s3")
        monkeypatch.setattr(removal, "_make", lambda **_: deleter, raising=False)
        for key in HOSTILE_KEYS:
            self.put(key, b"1")
            self.put(key, b"22")
        assert {each.key for each in self.listed(contents)} == set(HOSTILE_KEYS)
        assert contents.objects(BUCKET, HOSTILE_KEYS).keys() == set(HOSTILE_KEYS)
        kept, doomed = HOSTILE_KEYS[::2], HOSTILE_KEYS[1::2]  # neighbours look alike
        for key in doomed:
            (first, *_) = contents.entries(BUCKET, prefix=key, after=None, limit=1).entries
            assert (first.key, first.deleted) == (key, False)
            removal.delete(BUCKET, key)
        assert {each.key: each.deleted for each in self.listed(contents)} == {
            **dict.fromkeys(kept, False),
            **dict.fromkeys(doomed, True),
        }
        for key in HOSTILE_KEYS:
            erased = removal.erase(BUCKET, key, until=START + timedelta(hours=1))
            assert (erased.versions, erased.whole) == (2, True)
            if key == doomed[-1]:
                assert {each.key for each in self.listed(contents)} <= set(kept)
        assert self.listed(contents) == []

    def test_attributes_are_those_of_the_file_beside_it(self, contents: BucketContents) -> None:
        self.put("a.md", metadata=b'{"metadataAttributes": {"a": 1}}')
        self.put("b.md")
        assert contents.attributes(BUCKET, f"s3://{BUCKET}/a.md") == b'{"metadataAttributes": {"a": 1}}'
        assert contents.attributes(BUCKET, f"s3://{BUCKET}/b.md") is None
        with pytest.raises(IsolationBreached):
            contents.attributes(BUCKET, f"s3://{OTHERS}/a.md")


class TestInMemory(DocumentsSuite):
    @pytest.fixture(autouse=True)
    def _world(self) -> None:
        self.contents_ = InMemoryBucketContents()

    @pytest.fixture
    def contents(self) -> BucketContents:
        return self.contents_

    @pytest.fixture
    def removal(self) -> DocumentRemoval:
        return InMemoryDocumentRemoval(self.contents_, FakeClock())

    def put(self, key: str, content: bytes = b"A tent.", metadata: bytes | None = None) -> None:
        self.contents_.put(f"s3://{BUCKET}/{key}", f"{len(content)} {key}", content=content, metadata=metadata)


class TestS3(DocumentsSuite):
    @pytest.fixture(autouse=True)
    def _world(self, aws: None) -> None:
        self.s3 = aws_client("s3")
        for bucket in (BUCKET, OTHERS):
            self.s3.create_bucket(Bucket=bucket)
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self.clock = FakeClock()
        self.assumed: list[dict[str, Any]] = []
        self.sts = aws_client("sts")
        self.sts.meta.events.register("provide-client-params.sts.AssumeRole", self._note)
        self.sts.meta.events.register("after-call.sts.AssumeRole", self._expire)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.assumed.append(params)

    def _expire(self, parsed: dict[str, Any], **_: Any) -> None:
        if "Credentials" in parsed:
            parsed["Credentials"]["Expiration"] = self.clock.now() + timedelta(hours=1)

    def _of_documents(self) -> dict[str, Any]:
        config = bootstrap._CLIENT.merge(bootstrap._SIGNED_FOR_ITS_REGION)
        return {
            "make": partial(aws_client, "s3", config=config),
            "objects": "arn:aws:s3:::",
            "account": ACCOUNT,
            "clock": self.clock,
        }

    @property
    def role(self) -> ScopedRole:
        return ScopedRole(self.sts, f"arn:aws:iam::{ACCOUNT}:role/documents")

    @pytest.fixture
    def contents(self) -> BucketContents:
        return S3BucketContents(self.s3, account=ACCOUNT)

    @pytest.fixture
    def removal(self) -> DocumentRemoval:
        return S3DocumentRemoval(self.s3, self.role, **self._of_documents())

    @pytest.fixture
    def links(self) -> S3DocumentLinks:
        return S3DocumentLinks(self.role, **self._of_documents())

    def put(self, key: str, content: bytes = b"A tent.", metadata: bytes | None = None) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        if metadata is not None:
            self.s3.put_object(Bucket=BUCKET, Key=f"{key}.metadata.json", Body=metadata)

    def by_pages_of(self, size: int) -> None:
        self.s3.meta.events.register(
            "before-parameter-build.s3.ListObjectVersions", lambda params, **_: params.update(MaxKeys=size)
        )

    def test_what_was_there_with_other_attributes_or_is_shown_in_part_is_not_known_as_the_first(
        self, contents: BucketContents
    ) -> None:
        for key in ("a.md", "b.md"):
            self.s3.put_object(Bucket=BUCKET, Key=f"{key}.metadata.json", Body=b"{}")
            self.put(key)
        self.s3.put_object(Bucket=BUCKET, Key="b.md.metadata.json", Body=b"{ }")
        assert {each.key: each.first for each in self.listed(contents)} == {"a.md": True, "b.md": False}
        self.by_pages_of(2)
        # Behind the end of a page there may be more of its last key.
        assert not any(each.first for each in self.listed(contents))

    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_a_metadata_file_on_another_page_is_found(self, contents: BucketContents, size: int) -> None:
        self.put("a.md", metadata=b"{}")
        for number in range(5):
            self.put(f"a.md-{number}.md")  # between the two
        self.put("b.md")
        self.by_pages_of(size)
        found = {each.key: each.metadata_bytes for each in self.listed(contents)}
        assert found == {"a.md": 2, **{f"a.md-{number}.md": None for number in range(5)}, "b.md": None}

    def test_a_page_costs_two_requests_at_most(self, contents: BucketContents) -> None:
        calls: list[str] = []
        for number in range(40):
            self.put(f"{number:02}.md", metadata=b"{}")
        self.s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
        for page in self.pages(contents, limit=7):
            assert len(calls) <= 2
            assert len(page.entries) <= 7
            calls.clear()

    def test_a_metadata_file_that_was_deleted_is_a_change(self, contents: BucketContents) -> None:
        self.put("a.md", metadata=b"{}")
        (before,) = self.listed(contents)
        self.s3.delete_object(Bucket=BUCKET, Key="a.md.metadata.json")
        (after,) = self.listed(contents)
        assert (after.metadata_bytes, after.changed_at >= before.changed_at) == (None, True)
        assert after.revision != before.revision

    def test_a_bucket_that_is_gone_is_missing(self, contents: BucketContents, removal: DocumentRemoval) -> None:
        with pytest.raises(ResourceMissing):
            contents.entries("kbfleet-gone-0123456789", prefix="", after=None, limit=1)
        with pytest.raises(ResourceMissing):
            removal.delete("kbfleet-gone-0123456789", "a.md")

    def test_the_document_goes_before_its_attributes(self, removal: DocumentRemoval) -> None:
        """Without them, a filter that is to hide it would let it pass."""
        self.put("a.md", metadata=b"{}")
        removal.delete(BUCKET, "a.md")
        resources = [json.loads(each["Policy"])["Statement"][0]["Resource"] for each in self.assumed]
        assert resources == [f"arn:aws:s3:::{BUCKET}/a.md", f"arn:aws:s3:::{BUCKET}/a.md.metadata.json"]
        assert "Contents" not in self.s3.list_objects_v2(Bucket=BUCKET)

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_an_erasure_of_many_versions_goes_on_where_it_stopped(self, removal: DocumentRemoval, size: int) -> None:
        for number in range(5):
            self.put("a.md", str(number).encode())
        self.by_pages_of(size)
        first = removal.erase(BUCKET, "a.md", until=self.clock.now())
        assert (first.versions, first.whole) == (0, False)
        # No older version has come back meanwhile.
        assert "Contents" not in self.s3.list_objects_v2(Bucket=BUCKET)
        assert removal.erase(BUCKET, "a.md", until=START + timedelta(hours=1)).whole
        left = self.s3.list_object_versions(Bucket=BUCKET)
        assert (left.get("Versions", []), left.get("DeleteMarkers", [])) == ([], [])

    @pytest.mark.parametrize("erasing", [False, True], ids=["deleted", "erased"])
    def test_interrupted_anywhere_and_repeated_it_ends_as_if_it_was_not(
        self, contents: BucketContents, removal: DocumentRemoval, erasing: bool
    ) -> None:
        """As long as the list shows the document, its metadata file does not outlive it."""
        later, calls, last = START + timedelta(hours=1), 0, 0
        make, client = removal._make, removal._client  # type: ignore[attr-defined]

        def die(**_: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                raise InterruptedError

        def dying(**credentials: Any) -> Any:
            (made := make(**credentials)).meta.events.register("before-call.s3", die)
            return made

        def remove() -> None:
            if erasing:
                removal.erase(BUCKET, "a.md", until=later)
            else:
                removal.delete(BUCKET, "a.md")

        interrupted = True
        while interrupted:
            for content in (b"1", b"22"):
                self.put("a.md", content, b"{}")
            calls, last = 0, last + 1
            removal._make = dying  # type: ignore[attr-defined]
            client.meta.events.register("before-call.s3", die)
            try:
                remove()
                interrupted = False
            except InterruptedError:
                pass
            client.meta.events.unregister("before-call.s3", die)
            removal._make = make  # type: ignore[attr-defined]
            if interrupted and any(each.key == "a.md" for each in self.listed(contents)):
                remove()
            left = self.s3.list_object_versions(Bucket=BUCKET).get("Versions", [])
            assert not [each for each in left if erasing or each["IsLatest"]]
        assert last > 4

    def test_what_is_put_there_while_it_is_erased_stays(self, removal: DocumentRemoval) -> None:
        self.put("a.md", b"old")
        puts = iter([b"new"])

        def put_once(**_: Any) -> None:
            for content in puts:
                aws_client("s3").put_object(Bucket=BUCKET, Key="a.md", Body=content)

        def register(*_: Any, **arguments: Any) -> Any:
            made = aws_client("s3", **arguments)
            made.meta.events.register("after-call.s3.DeleteObject", put_once)
            return made

        removal._make = register  # type: ignore[attr-defined]
        removal.erase(BUCKET, "a.md", until=START + timedelta(hours=1))
        assert self.s3.get_object(Bucket=BUCKET, Key="a.md")["Body"].read() == b"new"
        assert len(self.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1

    def test_versions_that_are_refused_are_told(self, removal: DocumentRemoval) -> None:
        self.put("a.md")

        def refuse(parsed: dict[str, Any], **_: Any) -> None:
            parsed["Errors"] = [{"Code": "AccessDenied", "Message": "a.md"}]

        def register(*_: Any, **arguments: Any) -> Any:
            made = aws_client("s3", **arguments)
            made.meta.events.register("after-call.s3.DeleteObjects", refuse)
            return made

        removal._make = register  # type: ignore[attr-defined]
        with pytest.raises(AccessRefused) as refused:
            removal.erase(BUCKET, "a.md", until=START + timedelta(hours=1))
        assert "a.md" not in str(refused.value)

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
    def test_a_link_is_to_that_document_for_that_long(self, links: S3DocumentLinks, key: str) -> None:
        link = links.link(BUCKET, key, timedelta(minutes=5))
        url = urlsplit(link.url)
        assert link.url.isascii()
        assert (url.hostname or "").startswith(f"{BUCKET}.s3.")
        assert unquote(url.path.removeprefix("/")) == key
        query = parse_qs(url.query)
        assert query["X-Amz-Expires"] == ["300"]
        assert link.expires_at == START + timedelta(minutes=5)
        assert {"response-content-disposition", "X-Amz-Security-Token"} <= set(query)
        (asked,) = self.assumed
        assert json.loads(asked["Policy"]) == document_policy(OPENING, f"arn:aws:s3:::{BUCKET}/", key, ACCOUNT)

    def test_it_ends_with_its_credentials(self, links: S3DocumentLinks) -> None:
        assert links.link(BUCKET, "a.md", timedelta(hours=2)).expires_at == START + timedelta(hours=1)

    def test_where_no_policy_is_taken_nothing_is_signed(self, links: S3DocumentLinks) -> None:
        def refuse(**_: Any) -> tuple[Any, dict[str, Any]]:
            error = {"Code": "PackedPolicyTooLarge", "Message": "Too large."}
            return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}

        self.sts.meta.events.register("before-call.sts.AssumeRole", refuse)
        with pytest.raises(InvalidInput):
            links.link(BUCKET, "a.md", timedelta(minutes=5))


def allows(policy: dict[str, Any], action: str, bucket: str, key: str) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/documents/{BUCKET}",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=f"arn:aws:s3:::{bucket}/{key}",
        region="us-east-1",
        service_context={"aws:resourceaccount": ACCOUNT},
    )
    with patch.object(iam_evaluator, "_fnmatch_compile", matching):
        parsed = iam_evaluator.parse_policy_document(policy)
        return bool(iam_evaluator.evaluate(context, [parsed]).decision == "Allow")


KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


@settings(deadline=None)
@given(KEYS, KEYS)
def test_credentials_open_that_document_and_no_other(key: str, other: str) -> None:
    for actions in (OPENING, DELETING):
        policy = document_policy(actions, f"arn:aws:s3:::{BUCKET}/", key, ACCOUNT)
        for action in {*OPENING, *DELETING, "s3:PutObject"}:
            assert allows(policy, action, BUCKET, key) is (action in actions)
            assert not allows(policy, action, OTHERS, key)
            assert other == key or not allows(policy, action, BUCKET, other)


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
def test_no_key_is_too_long_for_a_policy(key: str) -> None:
    policy = document_policy(DELETING, f"arn:aws:s3:::{'b' * 63}/", key, ACCOUNT)
    assert len(serialized(policy)) <= MAX_POLICY
    assert allows(document_policy(DELETING, f"arn:aws:s3:::{BUCKET}/", key, ACCOUNT), "s3:DeleteObject", BUCKET, key)
