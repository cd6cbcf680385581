"""`kbfleet upload`: types of attributes, and which file a refusal is about."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.main
from cli.fleet_api import FleetApi, refused_by_s3
from kbfleet.contracts.documents import (
    GrantedUploadBody,
    GrantedUploadsBody,
    UploadBody,
    UploadRefusalBody,
    UploadsRequest,
)
from kbfleet.domain.names import TenantId
from kbfleet.domain.uploads import DocumentKey, Upload
from tests.support.clock import START
from tests.support.http_server import Reply, serving
from tests.support.samples import ACME

FORM = UploadBody(url="https://b.example.com/", fields={"key": "rules.md"}, expires_at=START)

Run = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "rules.md"
    file.write_bytes(b"# Rules")
    return file


class Granting:
    """Grants what `refused` does not refuse; `asked` has what was asked for, `sent` what was uploaded."""

    def __init__(self) -> None:
        self.asked: list[Upload] = []
        self.sent: list[bytes] = []
        self.refused: Callable[[Upload], UploadRefusalBody | None] = lambda _: None

    def grant(self, _tenant_id: TenantId, uploads: Sequence[Upload]) -> Sequence[GrantedUploadBody]:
        self.asked += uploads
        return [granted(each, self.refused(each)) for each in uploads]


def granted(
    upload: Upload, refusal: UploadRefusalBody | None = None, form: UploadBody | None = FORM
) -> GrantedUploadBody:
    given = None if refusal else form
    return GrantedUploadBody(key=upload.key, form=given, metadata_written=False, refusal=refusal)


@pytest.fixture
def granting(monkeypatch: pytest.MonkeyPatch) -> Granting:
    api = Granting()
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    monkeypatch.setattr(FleetApi, "grant_uploads", lambda _, *given: api.grant(*given))
    monkeypatch.setattr(FleetApi, "upload", lambda _, _tenant_id, _form, content: api.sent.append(content))
    return api


def upload(file: Path, *arguments: str) -> Any:
    return CliRunner().invoke(cli.main.app, ["upload", "acme", str(file), *arguments])


class TestMetadata:
    @pytest.mark.parametrize(
        ("given", "stored", "kind"),
        [
            ("2026", 2026, "number"),
            ("-1.5", -1.5, "number"),
            ("true", True, "true or false"),
            ("false", False, "true or false"),
            ('["a", "部"]', ["a", "部"], "list of texts"),
            ('"2026"', "2026", "text"),
            ('"true"', "true", "text"),
            ("sales=east", "sales=east", "text"),
            ("営業", "営業", "text"),
            # Of none of them JSON has a number.
            ("007", "007", "text"),
            ("2026-11-30", "2026-11-30", "text"),
            ("NaN", "NaN", "text"),
            ("Infinity", "Infinity", "text"),
            ("True", "True", "text"),
            ("null", "null", "text"),
            ('{"a": 1}', '{"a": 1}', "text"),
        ],
    )
    def test_has_the_type_that_it_is_written_as(
        self, granting: Granting, file: Path, given: str, stored: object, kind: str
    ) -> None:
        result = upload(file, "--metadata", f"value={given}")
        assert result.exit_code == 0, result.output
        (asked,) = granting.asked
        assert asked.metadata == {"value": stored}
        assert type(asked.metadata["value"]) is type(stored)
        assert f"value = {json.dumps(stored, ensure_ascii=False)} ({kind})" in result.stdout

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("value:=2026", {"value": 2026}),
            ("value:=true", {"value": True}),
            ('value:=["a", "部"]', {"value": ["a", "部"]}),
            ('value:="2026"', {"value": "2026"}),
            ("value=a:=b", {"value": "a:=b"}),
        ],
    )
    def test_a_colon_says_that_it_is_no_plain_text(
        self, granting: Granting, file: Path, given: str, stored: dict[str, object]
    ) -> None:
        result = upload(file, "--metadata", given)
        assert result.exit_code == 0, result.output
        assert granting.asked[0].metadata == stored

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (["value=[a, b]"], "is no list and no text in JSON"),
            (['value="a'], "is no list and no text in JSON"),
            (["value=[1, 2]"], "lists of 1 to 100 texts"),
            (["value=123456789012345678901"], "too large a number"),
            (["value=1e999"], "too large a number"),
            (["value=1", "value=2"], "is given twice"),
            (["value"], "is not name=value"),
            (["value="], "no text may be empty"),
            (["value:=a"], "is no JSON"),
            (["value:=NaN"], "is no JSON"),
            (["value:=[1, 2]"], "lists of 1 to 100 texts"),
            (["value:=null"], "must be text, booleans"),
            (['value:={"a": 1}'], "must be text, booleans"),
            (["value:=1", "value=2"], "is given twice"),
            ([":=1"], "need a name"),
        ],
    )
    def test_what_would_be_stored_otherwise_than_meant_is_refused(
        self, granting: Granting, file: Path, given: list[str], says: str
    ) -> None:
        result = upload(file, *(each for pair in given for each in ("--metadata", pair)))
        assert result.exit_code == 2
        assert says in result.stderr
        assert granting.asked == []

    def test_a_program_reads_them_too(self, granting: Granting, file: Path) -> None:
        result = upload(file, "--metadata", "year=2026", "--json")
        assert json.loads(result.stdout)["metadata"] == {"year": 2026}


class TestRefusals:
    def test_of_an_empty_file_names_it(self, granting: Granting, tmp_path: Path) -> None:
        (tmp_path / "empty.pdf").touch()
        result = upload(tmp_path / "empty.pdf")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"✗ {tmp_path / 'empty.pdf'}: It is empty.")
        assert "Nothing was sent" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "named", "code"),
        [((), "rules.exe: Bedrock does not read", 1), (("--key", "b.exe"), "rules.exe (--key b.exe): must", 2)],
    )
    def test_of_a_key_names_the_file(
        self, granting: Granting, tmp_path: Path, arguments: tuple[str, ...], named: str, code: int
    ) -> None:
        (tmp_path / "rules.exe").write_bytes(b"MZ")
        result = upload(tmp_path / "rules.exe", *arguments)
        assert result.exit_code == code
        assert named in result.stderr

    def test_of_the_api_names_the_file(self, granting: Granting, file: Path) -> None:
        granting.refused = lambda _: UploadRefusalBody(
            code="InvalidInput", detail="metadata: makes a file of 2,000 bytes.", field="metadata"
        )
        result = upload(file)
        assert (result.exit_code, result.stderr.splitlines()[0]) == (
            1,
            f"✗ {file}: metadata: makes a file of 2,000 bytes.",
        )
        assert granting.sent == []

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (
                Reply(404, b"<Error><Code>NoSuchBucket</Code></Error>"),
                "The bucket of tenant acme does not exist any more",
            ),
            (Reply(403, b"<Error><Code>AccessDenied</Code></Error>"), "S3 did not take the document: AccessDenied"),
        ],
    )
    def test_of_s3_is_no_wrong_use_of_the_command(
        self, monkeypatch: pytest.MonkeyPatch, file: Path, reply: Reply, says: str
    ) -> None:
        api = FleetApi("https://api.example.com/v1", None)  # type: ignore[arg-type]
        monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)
        with serving(reply) as s3:
            form = FORM.model_copy(update={"url": s3.url})
            monkeypatch.setattr(
                FleetApi, "grant_uploads", lambda _, _tenant_id, uploads: [granted(uploads[0], form=form)]
            )
            result = upload(file)
        assert result.exit_code == 1
        assert f"{file}: {says}" in result.stderr


@pytest.mark.parametrize(("given", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_document_is_replaced_where_it_is_though_its_key_is_in_the_other_form(
    granting: Granting, file: Path, given: Any, there: Any
) -> None:
    name = "ガイド/cafés.md"
    asked, existing = (unicodedata.normalize(form, name) for form in (given, there))
    granting.refused = lambda wanted: None if wanted.key == existing else spelled_otherwise(existing)
    result = upload(file, "--key", asked, "--metadata", "year=2026")
    assert result.exit_code == 0, result.output
    assert granting.asked[-1].key == existing
    assert granting.asked[-1].metadata == {"year": 2026}
    assert granting.sent == [b"# Rules"]
    assert f"in Unicode form {there}" in result.stderr


def spelled_otherwise(there: str) -> UploadRefusalBody:
    return UploadRefusalBody(code="KeySpelledOtherwise", detail="key: looks the same.", field="key", there_as=there)


def test_a_refusal_that_no_other_form_ends_is_told(granting: Granting, file: Path) -> None:
    granting.refused = lambda _: spelled_otherwise("e\u0301.md")
    result = upload(file, "--key", "é.md")
    assert result.exit_code == 1
    assert "looks the same" in result.stderr
    assert granting.sent == []


def test_the_api_is_asked_as_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def signed(_: FleetApi, kind: type[GrantedUploadsBody], *request: object) -> GrantedUploadsBody:
        asked.append(request)
        return kind(documents=())

    monkeypatch.setattr(FleetApi, "_signed", signed)
    uploads = [
        Upload(DocumentKey("a.md"), 1, metadata={"year": 2026}, md5="0" * 32),
        Upload(DocumentKey("b.csv"), 2, metadata_file={"metadataAttributes": {"year": 2026}}),
    ]
    api = FleetApi("https://api.example.com/v1", None)  # type: ignore[arg-type]
    assert api.grant_uploads(ACME, uploads) == ()
    ((method, path, body),) = asked
    assert (method, path) == ("POST", "/tenants/acme/uploads/batch")
    assert UploadsRequest.model_validate(body).to_domain() == uploads


@pytest.mark.parametrize(
    ("status", "body", "passing", "expired"),
    [
        (503, b"<Error><Code>SlowDown</Code></Error>", True, False),
        (500, b"", True, False),
        (400, b"<Error><Code>RequestTimeout</Code></Error>", True, False),
        (400, b"<html>", False, False),
        (400, b"<Error><Code>EntityTooLarge</Code></Error>", False, False),
        (400, b"<Error><Code>ExpiredToken</Code></Error>", False, True),
        (
            403,
            b"<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>",
            False,
            True,
        ),
        (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", False, False),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", False, False),
    ],
)
def test_of_what_s3_answers_it_is_known_whether_to_try_again(
    status: int, body: bytes, passing: bool, expired: bool
) -> None:
    refused = refused_by_s3(ACME, status, body)
    assert (refused.passing, refused.expired) == (passing, expired)
