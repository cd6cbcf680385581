"""Which documents may be uploaded, and for whom."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from kbfleet.domain.errors import (
    BucketGone,
    InvalidInput,
    KeySpelledOtherwise,
    NotReadyYet,
    ResourceMissing,
    TenantNotActive,
    TenantNotFound,
    TenantOffboarded,
    TenantOffboarding,
    TenantSuspended,
)
from kbfleet.domain.names import Life
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import CONTENT_TYPES, MAX_DOCUMENT_BYTES, DocumentKey, GrantedUpload, Upload, UploadForm
from kbfleet.usecases.uploads import grant_upload, grant_uploads
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, tenant

PDF = DocumentKey("handbook/rules.pdf")


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            "a.txt",
            "規程/就業規則.pdf",
            "Price List (2026).XLSX",
            "a/b/c/d.html",
            ".hidden.md",
            "a..b.csv",
            "x" * 1_006 + ".pdf",
        ],
        ids=lambda key: key[:30],
    )
    def test_what_people_call_documents_is_a_key(self, key: str) -> None:
        assert DocumentKey(key) == key

    @pytest.mark.parametrize(
        "key",
        [
            None,
            7,
            "",
            "/a.pdf",
            "a//b.pdf",
            "a/",
            "a/../b.pdf",
            "../b.pdf",
            "./b.pdf",
            "a\n.pdf",
            "a\x00.pdf",
            "a\x7f.pdf",
            "a\ud800.pdf",
            "a\uffff.pdf",
            "${filename}.pdf",
            "a.pdf.metadata.json",
            "a.pdf.METADATA.JSON",
            "a.json",
            "a.png",
            "a.exe",
            "a",
            ".pdf",
            "x" * 1_007 + ".pdf",
            "あ" * 336 + ".pdf",
        ],
        ids=lambda key: repr(key)[:30],
    )
    def test_anything_else_is_refused_by_name(self, key: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            DocumentKey(key)
        assert refused.value.field == "key"

    def test_the_longest_key_leaves_room_for_its_metadata_file(self) -> None:
        assert len(DocumentKey("x" * 1_006 + ".pdf").metadata_key.encode()) == 1_024


class TestDocuments:
    @pytest.mark.parametrize("ending", CONTENT_TYPES)
    def test_the_usual_type_is_taken_where_none_is_given(self, ending: str) -> None:
        assert Upload(DocumentKey(f"a{ending}"), 1).content_type == CONTENT_TYPES[ending][0]

    @pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "TEXT/PLAIN"])
    def test_a_type_may_have_parameters(self, content_type: str) -> None:
        assert Upload(DocumentKey("a.txt"), 1, content_type).content_type == content_type

    @pytest.mark.parametrize(
        "content_type", ["text/html", "text/plain;" + "x" * 255, "application/octet-stream", "x", "text/plain\n", "文"]
    )
    def test_another_type_than_the_keys_is_refused(self, content_type: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            Upload(DocumentKey("a.txt"), 1, content_type)
        assert refused.value.field == "content_type"

    @pytest.mark.parametrize("size", [1, MAX_DOCUMENT_BYTES])
    def test_any_size_that_bedrock_reads_is_fine(self, size: int) -> None:
        assert Upload(PDF, size).size == size

    @pytest.mark.parametrize("size", [-1, 0, MAX_DOCUMENT_BYTES + 1])
    def test_others_are_refused(self, size: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            Upload(PDF, size)
        assert refused.value.field == "size"


class TestMetadata:
    def test_it_is_written_as_bedrock_reads_it(self) -> None:
        attributes = {"部署": "営業", "year": 2026, "rate": 0.5, "public": False, "tags": ["a", "b"]}
        assert json.loads(Upload(PDF, 1, metadata=attributes).metadata_content(1_024, None) or b"") == {
            "metadataAttributes": attributes
        }

    @pytest.mark.parametrize(
        "metadata",
        [
            {"": "a"},
            {" ": "a"},
            {"a": ""},
            {"a": None},
            {"a": []},
            {"a": [""]},
            {"a": ["b", 1]},
            {"a": {"b": "c"}},
            {"a": float("inf")},
            {"a": float("nan")},
            {"a": "\ud800"},
            {"\ud800": "a"},
            {"x-amz-bedrock-kb-source-uri": "s3://elsewhere/a.pdf"},
            {"x-amz-bedrock-other": "a"},
            {"AMAZON_BEDROCK_TEXT": "a"},
            {"AMAZON_BEDROCK_METADATA": "{}"},
            {"_source_uri": "s3://elsewhere/a.pdf"},
            {"id": "a"},
            {"n" * 101: "a"},
            {"a\x00": "b"},
            {"a": int("9" * 400)},
            {"a": 2**53 + 1},
            {"a": ["b"] * 101},
        ],
        ids=repr,
    )
    def test_what_bedrock_would_not_read_is_refused(self, metadata: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as refused:
            Upload(PDF, 1, metadata=metadata)
        assert refused.value.field == "metadata"

    @pytest.mark.parametrize("name", ["identity", "ID", "source_uri", "amazon", "n" * 100, "部署 名"])
    def test_other_names_are_a_tenants_own(self, name: str) -> None:
        assert Upload(PDF, 1, metadata={name: "a"}).metadata

    def test_a_document_has_as_many_attributes_as_the_store_takes_and_no_more(self) -> None:
        attributes = {f"a{number}": number for number in range(35)}
        assert json.loads(Upload(PDF, 1, metadata=attributes).metadata_content(1_024, 35) or b"")
        with pytest.raises(InvalidInput, match="36 attributes"):
            Upload(PDF, 1, metadata={**attributes, "one more": 1}).metadata_content(1_024, 35)

    def test_a_file_is_as_long_as_the_store_takes_and_no_longer(self) -> None:
        empty = len(Upload(PDF, 1, metadata={"a": "x"}).metadata_content(1_024, None) or b"") - 1
        assert len(Upload(PDF, 1, metadata={"a": "x" * (1_024 - empty)}).metadata_content(1_024, None) or b"") == 1_024
        with pytest.raises(InvalidInput, match="1025 bytes"):
            Upload(PDF, 1, metadata={"a": "x" * (1_025 - empty)}).metadata_content(1_024, None) or b""


class TestGranting:
    BUCKET = NAMES.bucket(Life(ACME))

    @pytest.fixture
    def fleet(self) -> Fleet:
        return Fleet()

    def grant(self, fleet: Fleet, upload: Upload) -> UploadForm:
        return grant_upload(
            ACME,
            upload,
            valid_for=timedelta(minutes=15),
            registry=fleet.registry,
            stores=fleet.stores,
            uploads=fleet.uploads,
            bucket_contents=fleet.bucket_contents,
            names=NAMES,
        )

    def test_the_document_ends_in_the_tenants_own_bucket(self, fleet: Fleet) -> None:
        for each in (ACME, SAKURA):
            fleet.registry.create(tenant(each, bucket_name=NAMES.bucket(Life(each))))
        assert fleet.uploads.use(self.grant(fleet, Upload(PDF, 3)), b"pdf")
        assert fleet.uploads.stored == {(self.BUCKET, PDF): b"pdf"}

    def test_its_metadata_are_there_before_it(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET))
        self.grant(fleet, Upload(PDF, 3, metadata={"year": 2026}))
        assert fleet.uploads.stored == {(self.BUCKET, PDF.metadata_key): b'{"metadataAttributes":{"year":2026}}'}

    @pytest.mark.parametrize(("given", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_a_key_that_looks_like_another_is_refused_and_nothing_is_written(
        self, fleet: Fleet, given: Literal["NFC", "NFD"], there: Literal["NFC", "NFD"]
    ) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET))
        key = DocumentKey(unicodedata.normalize(given, "ガイド/cafés.pdf"))
        fleet.bucket_contents.put(f"s3://{self.BUCKET}/{unicodedata.normalize(there, key)}")
        with pytest.raises(KeySpelledOtherwise, match=f"form {there}, this one in {given}"):
            self.grant(fleet, Upload(key, 3, metadata={"year": 2026}))
        assert fleet.uploads.stored == {}
        # It is there itself by now, however that came.
        fleet.bucket_contents.put(f"s3://{self.BUCKET}/{key}")
        assert self.grant(fleet, Upload(key, 3))

    @pytest.mark.parametrize(
        ("status", "refusal"),
        [
            (TenantStatus.PROVISIONING, (NotReadyYet, "NoSuchBucket")),
            (TenantStatus.ACTIVE, (BucketGone, "bucket of tenant acme does not exist")),
        ],
    )
    def test_a_bucket_that_does_not_show_is_worth_another_try_while_the_tenant_is_new(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, status: TenantStatus, refusal: tuple[type[Exception], str]
    ) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET, status=status))

        def missing(*_: object) -> None:
            raise ResourceMissing("PutObject: NoSuchBucket")

        monkeypatch.setattr(fleet.uploads, "put_metadata", missing)
        kind, says = refusal
        with pytest.raises(kind, match=says):
            self.grant(fleet, Upload(PDF, 3, metadata={"year": 2026}))

    def test_more_metadata_than_the_tenants_store_takes_are_refused_and_nothing_is_written(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET))
        with pytest.raises(InvalidInput) as refused:
            self.grant(fleet, Upload(PDF, 3, metadata={"a": "x" * fleet.store.max_metadata_bytes}))
        assert refused.value.field == "metadata"
        assert fleet.uploads.stored == {}

    def test_nor_is_anything_written_for_a_key_that_no_form_can_be_signed_for(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET))

        def refused(*_: object) -> UploadForm:
            raise InvalidInput("key", "is too long.")

        monkeypatch.setattr(fleet.uploads, "form", refused)
        with pytest.raises(InvalidInput, match="too long"):
            self.grant(fleet, Upload(PDF, 3, metadata={"year": 2026}))
        assert fleet.uploads.stored == {}

    def test_nor_more_attributes(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(bucket_name=self.BUCKET))
        with pytest.raises(InvalidInput, match="at most 35"):
            self.grant(fleet, Upload(PDF, 3, metadata={f"a{number}": 1 for number in range(36)}))
        assert fleet.uploads.stored == {}

    def test_a_record_that_names_anothers_bucket_leads_there_nobody(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(bucket_name=NAMES.bucket(Life(SAKURA))))
        form = self.grant(fleet, Upload(DocumentKey("a.md"), 5, metadata={"season": "winter"}))
        assert fleet.uploads.use(form, b"12345")
        assert {bucket for bucket, _ in fleet.uploads.stored} == {self.BUCKET}

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.FAILED, TenantStatus.ACTIVE])
    def test_whoever_has_a_bucket_can_be_given_documents(self, fleet: Fleet, status: TenantStatus) -> None:
        fleet.registry.create(tenant(status=status, bucket_name=self.BUCKET))
        assert fleet.uploads.use(self.grant(fleet, Upload(PDF, 3)), b"pdf")

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (TenantStatus.SUSPENDED, TenantSuspended),
            (TenantStatus.OFFBOARDING, TenantOffboarding),
            (TenantStatus.OFFBOARDED, TenantOffboarded),
        ],
    )
    def test_whoever_is_out_of_service_cannot(self, fleet: Fleet, status: TenantStatus, error: type[Exception]) -> None:
        fleet.registry.create(tenant(status=status, bucket_name=self.BUCKET))
        with pytest.raises(error):
            self.grant(fleet, Upload(PDF, 3, metadata={"year": 2026}))
        assert fleet.uploads.stored == {}

    def test_nor_can_one_that_has_no_bucket_yet(self, fleet: Fleet) -> None:
        fleet.registry.create(replace(tenant(status=TenantStatus.PROVISIONING), bucket_name=None))
        with pytest.raises(TenantNotActive, match="no bucket yet"):
            self.grant(fleet, Upload(PDF, 3))

    def test_nor_can_one_that_nobody_knows(self, fleet: Fleet) -> None:
        with pytest.raises(TenantNotFound):
            self.grant(fleet, Upload(PDF, 3))


class TestGrantingMany:
    """What one call for several documents answers."""

    BUCKET = NAMES.bucket(Life(ACME))
    MD5 = hashlib.md5(b"pdf", usedforsecurity=False).hexdigest()

    @pytest.fixture
    def fleet(self) -> Fleet:
        made = Fleet()
        made.registry.create(tenant(bucket_name=self.BUCKET))
        return made

    def grant(self, fleet: Fleet, *wanted: Upload) -> Sequence[GrantedUpload]:
        return grant_uploads(
            ACME,
            wanted,
            valid_for=timedelta(minutes=15),
            registry=fleet.registry,
            stores=fleet.stores,
            uploads=fleet.uploads,
            bucket_contents=fleet.bucket_contents,
            names=NAMES,
        )

    def put(self, fleet: Fleet, key: str, content: bytes) -> None:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        fleet.bucket_contents.put(f"s3://{self.BUCKET}/{key}", md5, content=content)

    def test_each_has_a_form_of_its_own_in_order(self, fleet: Fleet) -> None:
        keys = [DocumentKey(f"{number}.pdf") for number in (2, 1, 3)]
        granted = self.grant(fleet, *(Upload(key, 3) for key in keys))
        assert [each.form.fields["key"] for each in granted if each.form] == keys
        assert [each.key for each in granted] == keys

    def test_what_is_there_with_that_content_has_none(self, fleet: Fleet) -> None:
        self.put(fleet, PDF, b"pdf")
        (granted,) = self.grant(fleet, Upload(PDF, 3, md5=self.MD5))
        assert (granted.form, granted.refusal) == (None, None)

    @pytest.mark.parametrize(
        ("size", "md5", "etag"),
        [
            (3, "", MD5),  # nothing was said of what is in it
            (4, MD5, MD5),
            (3, MD5, "9e107d9d372bb6826bd81d3542a419d6"),  # another content, or encrypted with a key of KMS
            (3, MD5, f"{MD5}-1"),  # put in parts
        ],
    )
    def test_what_may_be_another_is_granted(self, fleet: Fleet, size: int, md5: str, etag: str) -> None:
        fleet.bucket_contents.put(f"s3://{self.BUCKET}/{PDF}", etag, content=b"pdf")
        (granted,) = self.grant(fleet, Upload(PDF, size, md5=md5))
        assert granted.form is not None

    def test_a_metadata_file_is_written_where_it_is_another_or_none(self, fleet: Fleet) -> None:
        upload = Upload(PDF, 3, metadata={"year": 2026}, md5=self.MD5)
        for there, written in ((None, True), (b'{"metadataAttributes":{"year":2025}}', True), (None, False)):
            if there is not None:
                self.put(fleet, PDF.metadata_key, there)
            (granted,) = self.grant(fleet, upload)
            assert granted.metadata_written == written
            self.put(fleet, PDF.metadata_key, fleet.uploads.stored[self.BUCKET, PDF.metadata_key])

    def test_one_that_is_refused_keeps_no_other(self, fleet: Fleet) -> None:
        fine, too_much = DocumentKey("a.md"), DocumentKey("b.md")
        refused, granted = self.grant(fleet, Upload(too_much, 3, metadata={"a": "x" * 2_000}), Upload(fine, 3))
        assert (refused.form, getattr(refused.refusal, "field", "")) == (None, "metadata")
        assert granted.form is not None
        assert fleet.uploads.stored == {}

    @pytest.mark.parametrize(("given", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_where_one_is_there_in_another_form_its_key_is_said(
        self, fleet: Fleet, given: Literal["NFC", "NFD"], there: Literal["NFC", "NFD"]
    ) -> None:
        asked, existing = (unicodedata.normalize(form, "ガイド.pdf") for form in (given, there))
        self.put(fleet, existing, b"pdf")
        (granted,) = self.grant(fleet, Upload(DocumentKey(asked), 3, metadata={"year": 2026}))
        assert isinstance(granted.refusal, KeySpelledOtherwise)
        assert (granted.there_as, granted.form, fleet.uploads.stored) == (existing, None, {})

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_two_that_look_the_same_are_not_both_granted(self, fleet: Fleet, form: Literal["NFC", "NFD"]) -> None:
        one, other = DocumentKey("ガイド.pdf"), DocumentKey(unicodedata.normalize(form, "ガイド.pdf"))
        first, second = self.grant(fleet, Upload(one, 3), Upload(other, 3, metadata={"year": 2026}))
        assert first.form is not None
        assert (second.form, fleet.uploads.stored) == (None, {})
        assert "given twice" in str(second.refusal)

    def test_a_bucket_that_is_gone_is_told_before_anything_is_signed(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object) -> None:
            raise ResourceMissing("NoSuchBucket")

        monkeypatch.setattr(fleet.bucket_contents, "objects", missing)
        with pytest.raises(BucketGone):
            self.grant(fleet, Upload(PDF, 3))


def rows(*, content: object = ({"fieldName": "text"},), **columns: object) -> dict[str, object]:
    records = {"contentFields": list(content) if isinstance(content, tuple) else content}
    return {
        "type": "RECORD_BASED_STRUCTURE_METADATA",
        "recordBasedStructureMetadata": records | ({"metadataFieldsSpecification": columns} if columns else {}),
    }


def typed(kind: str, **value: object) -> dict[str, object]:
    return {"value": {"type": kind, **value}}


FIELD = {"fieldName": "price"}
METADATA_FILES: list[tuple[str, dict[str, object], bool]] = [
    ("a.md", {"metadataAttributes": {}}, True),
    ("a.md", {"metadataAttributes": {"year": 2026, "a": ["b"]}}, True),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue="b")}}, True),
    ("a.md", {"metadataAttributes": {"a": typed("NUMBER", numberValue=1.5)}}, True),
    ("a.md", {"metadataAttributes": {"a": typed("BOOLEAN", booleanValue=False)}}, True),
    ("a.md", {"metadataAttributes": {"a": typed("STRING_LIST", stringListValue=["b"])}}, True),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue="b") | {"includeForEmbedding": True}}}, True),
    ("a.CSV", {"metadataAttributes": {}, "documentStructureConfiguration": rows()}, True),
    (
        "a.csv",
        {
            "metadataAttributes": {"a": "b"},
            "documentStructureConfiguration": rows(fieldsToInclude=[FIELD], fieldsToExclude=[]),
        },
        True,
    ),
    ("a.md", {}, False),
    ("a.md", {"metadataAttributes": []}, False),
    ("a.md", {"metadataAttributes": {}, "more": 1}, False),
    ("a.md", {"metadataAttributes": {"_a": 1}}, False),
    ("a.md", {"metadataAttributes": {"a": {}}}, False),
    ("a.md", {"metadataAttributes": {"a": {"value": "b"}}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("DATE", dateValue="b")}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", numberValue=1)}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue="")}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue=1)}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("NUMBER", numberValue=True)}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("NUMBER", numberValue=2**60)}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING_LIST", stringListValue=[])}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING_LIST", stringListValue="b")}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue="b") | {"includeForEmbedding": 1}}}, False),
    ("a.md", {"metadataAttributes": {"a": typed("STRING", stringValue="b") | {"more": 1}}}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": None}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": {"type": "ROWS"}}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(content=())}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(content=(FIELD, FIELD))}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(content="text")}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(content=({"fieldName": ""},))}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(fieldsToInclude=["price"])}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(fieldsToInclude=None)}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows(more=[FIELD])}, False),
    ("a.csv", {"metadataAttributes": {}, "documentStructureConfiguration": rows() | {"more": float("inf")}}, False),
    (
        "a.csv",
        {
            "metadataAttributes": {},
            "documentStructureConfiguration": {
                "type": "RECORD_BASED_STRUCTURE_METADATA",
                "recordBasedStructureMetadata": {"contentFields": [FIELD], "more": "\ud800"},
            },
        },
        False,
    ),
]
"""Of a document of that key; whether they are taken."""


@pytest.mark.parametrize(("key", "content", "taken"), METADATA_FILES)
def test_a_whole_metadata_file_is_as_bedrock_reads_it(key: str, content: dict[str, object], taken: bool) -> None:
    if taken:
        upload = Upload(DocumentKey(key), 1, metadata_file=content)
        assert json.loads(upload.metadata_content(1_024, None) or b"") == content
    else:
        with pytest.raises(InvalidInput, match="metadata"):
            Upload(DocumentKey(key), 1, metadata_file=content)


def test_rows_are_of_csv_files_only_and_attributes_are_given_once() -> None:
    whole: dict[str, object] = {"metadataAttributes": {}, "documentStructureConfiguration": rows()}
    with pytest.raises(InvalidInput, match=r"is for \.csv only"):
        Upload(PDF, 1, metadata_file=whole)
    with pytest.raises(InvalidInput, match="cannot both be given"):
        Upload(PDF, 1, metadata={"a": "b"}, metadata_file={"metadataAttributes": {}})


def test_attributes_of_a_whole_file_are_counted_too() -> None:
    whole: dict[str, object] = {"metadataAttributes": {f"a{number}": number for number in range(36)}}
    with pytest.raises(InvalidInput, match="36 attributes"):
        Upload(PDF, 1, metadata_file=whole).metadata_content(1_024, 35)
