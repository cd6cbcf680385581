"""Which documents AWS's words name: only keys that are in the tenant's own bucket, whatever they are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.document_names import (
    MAX_KEY_BYTES,
    MAX_REASON_LENGTH,
    form_of,
    is_in,
    key_in,
    named_in,
    other_spellings,
    words_and_names,
)
from kbfleet.domain.errors import IsolationBreached
from kbfleet.domain.root_cause import root_cause

BUCKET, OTHER = "kbfleet-acme-eb805c6c3f", "kbfleet-beta-eb805c6c3f"
NO_TEXT = "Encountered error: Ignored {} as no text content found"
TAIL = ". Call to Customer Source did not succeed."


def said(*keys: str, counted: int | None = None) -> str:
    """As Bedrock words it."""
    number = len(keys) if counted is None else counted
    files = ", ".join(f"s3://{BUCKET}/{key}" for key in keys)
    return f"{NO_TEXT.format(f'{number} file' + 's' * (number != 1))} [Files: {files}]{TAIL}"


def named(text: str, in_the_bucket: Collection[str]) -> tuple[str, ...]:
    def present(keys: Sequence[str]) -> Collection[str]:
        assert all(key.startswith(keys[0]) for key in keys)
        return set(keys) & set(in_the_bucket)

    return named_in(*words_and_names(text), BUCKET, present)


@pytest.mark.parametrize(
    "key",
    [
        "scan.pdf",
        "[draft] budget.txt",
        "x [v1].pdf",
        "[重要] 規程.pdf",
        "ends in a space ",
        " begins with one",
        "a, b.pdf",
        f"a, s3://{OTHER}/house.md].pdf",
        f"a, s3://{BUCKET}/b.pdf",
        "x] kms b.pdf",
        "line\nfeed.pdf",
        "]",
        "[Files: s3://",
        "e\u0301.pdf",
        "深" * 341,
    ],
)
def test_a_key_is_named_exactly_whatever_it_holds(key: str) -> None:
    assert named(said(key), {key, "another.md"}) == (key,)
    assert named(said("a.md", key, "z.md"), {"a.md", key, "z.md"}) == ("a.md", key, "z.md")


def test_what_is_not_in_the_bucket_is_not_named() -> None:
    assert named(said("gone.pdf"), {"another.md"}) == ()
    assert named(said(f"a, s3://{OTHER}/house.md].pdf"), {"house.md", "a"}) == ()


def test_another_buckets_documents_are_not_named() -> None:
    text = f"{NO_TEXT.format('1 file')} [Files: s3://{OTHER}/house.md]{TAIL}"
    assert named(text, {"house.md"}) == ()


def test_names_that_can_be_read_in_two_ways_name_nothing() -> None:
    both = {"a", "b", f"a, s3://{BUCKET}/b"}
    assert named(said("a", "b", counted=7), both) == ()
    assert named(f"Failed [Files: s3://{BUCKET}/a, s3://{BUCKET}/b]", both) == ()


def test_how_many_there_are_decides_between_two_ways() -> None:
    both = {"a", "b", f"a, s3://{BUCKET}/b"}
    assert named(said("a", "b"), both) == ("a", "b")
    assert named(said(f"a, s3://{BUCKET}/b"), both) == (f"a, s3://{BUCKET}/b",)


def test_a_list_that_was_cut_is_read_as_far_as_it_goes() -> None:
    assert named(said("a", "b", counted=200), {"a", "b"}) == ("a", "b")


def test_a_name_that_was_cut_in_two_names_no_other_document() -> None:
    assert named(f"Ignored 9 files [Files: s3://{BUCKET}/report", {"report", "report-2026.pdf"}) == ()


def test_what_stands_behind_a_name_that_is_gone_blames_no_document_that_begins_like_it() -> None:
    assert named(said("x].pdf"), {"x", "another.md"}) == ()


def test_text_that_is_longer_than_bedrock_gives_it_names_nothing() -> None:
    assert named(said(*["a"] * MAX_REASON_LENGTH), {"a"}) == ()


@given(st.text(), st.sets(st.text()))
def test_no_text_names_what_is_not_there(text: str, in_the_bucket: set[str]) -> None:
    assert set(named(text, in_the_bucket)) <= in_the_bucket


_HOSTILE = st.lists(
    st.sampled_from(["a", " ", "]", "[", ",", "]. ", "[Files: ", f", s3://{BUCKET}/", f", s3://{OTHER}/", "\n", "重"]),
    min_size=1,
    max_size=5,
).map("".join)


@given(st.lists(_HOSTILE, min_size=1, max_size=4, unique=True), st.sets(_HOSTILE, max_size=4))
def test_a_key_that_is_there_is_named_or_nothing_is(keys: list[str], beside: set[str]) -> None:
    found = named(said(*keys), {*keys, *beside})
    assert set(found) <= {*keys, *beside}
    if not beside and len(keys) == 1:
        assert found == tuple(keys)


class TestWhatIsTheTenantsOwn:
    @pytest.mark.parametrize("key", ["a", "/", "../x", "a/b, c].pdf"])
    def test_what_is_in_its_bucket(self, key: str) -> None:
        assert is_in(BUCKET, f"s3://{BUCKET}/{key}")
        assert key_in(BUCKET, f"s3://{BUCKET}/{key}") == key

    @pytest.mark.parametrize(
        "uri",
        [f"s3://{OTHER}/a", f"s3://{BUCKET}", f"s3://{BUCKET}/", f"s3://{BUCKET}x/a", f"S3://{BUCKET}/a", "a", ""],
    )
    def test_and_nothing_else(self, uri: str) -> None:
        assert not is_in(BUCKET, uri)
        with pytest.raises(IsolationBreached) as refusal:
            key_in(BUCKET, uri)
        assert OTHER not in str(refusal.value)  # a name that is not the tenant's goes nowhere


class TestCauses:
    @pytest.mark.parametrize("key", ["x] kms b.pdf", "no text content found].pdf", "x] Ignored 9 files as y [.pdf"])
    def test_a_name_does_not_choose_the_cause(self, key: str) -> None:
        cause = "Encountered error: Ignored 1 file due to something new"
        plain = root_cause("documents", f"{cause} [Files: s3://{BUCKET}/plain.pdf]{TAIL}")
        assert root_cause("documents", f"{cause} [Files: s3://{BUCKET}/{key}]{TAIL}") == plain

    def test_nor_does_the_name_of_an_object_in_an_arn(self) -> None:
        refused = "User x is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/kms:Decrypt.pdf"
        assert root_cause("ingestion", refused).label == "the service role cannot read from S3"


class TestOtherSpellings:
    @given(st.text(alphabet="aé/e\u0301がか\u3099", min_size=1, max_size=40))
    def test_look_the_same_and_are_others(self, key: str) -> None:
        others = other_spellings(key)
        assert key not in others
        assert len(set(others)) == len(others) <= 16
        assert {unicodedata.normalize("NFC", each) for each in others} <= {unicodedata.normalize("NFC", key)}

    @pytest.mark.parametrize("key", ["handbook/rules.pdf", "規程/就業規則.pdf", ""])
    def test_there_are_none_of_what_has_one_form_only(self, key: str) -> None:
        assert other_spellings(key) == ()
        assert form_of(key) == "NFC"

    def test_of_a_deep_key_only_the_whole_forms_are_thought_of(self) -> None:
        deep = "/".join(["é"] * 9)
        assert other_spellings(deep) == (unicodedata.normalize("NFD", deep),)

    def test_none_is_longer_than_a_key_may_be(self) -> None:
        longest = "é" * (MAX_KEY_BYTES // 2)
        assert other_spellings(longest) == ()

    def test_the_form_is_named(self) -> None:
        one, two = (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))
        assert [form_of(key) for key in (one, two, one + two)] == ["NFC", "NFD", "NFC and NFD, mixed"]
