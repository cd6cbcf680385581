"""`kbfleet upload` of files and folders: what is sent, what is not and why, and how a run goes on after another."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import threading
import time
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.exceptions import TokenRetrievalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import cli.main
import cli.uploading
from cli.commands import upload as upload_command
from cli.fleet_api import FleetApi, NoAnswer, Refused, UploadRefused
from cli.local_documents import found_in
from cli.uploading import Uploading, UploadStatus
from kbfleet.contracts.documents import GrantedUploadBody
from kbfleet.domain.uploads import MAX_DOCUMENT_BYTES, MOST_UPLOADS
from tests.support.folder_uploads import FolderUploads, Killed
from tests.support.samples import ACME
from tests.support.waiting import PATIENCE_SECONDS
from tests.unit.test_document_examination import OLE, PICTURE, SCANNED, encrypted_word, excel, pdf, word

NFC, NFD = (unicodedata.normalize(form, "ガイド.md") for form in ("NFC", "NFD"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FolderUploads:
    made = FolderUploads()
    made.installed(monkeypatch)
    monkeypatch.setattr(cli.uploading, "PAUSES_SECONDS", (0, 0, 0))
    return made


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def upload(*arguments: object) -> Any:
    return CliRunner().invoke(cli.main.app, ["upload", "acme", *map(str, arguments)])


def statuses(result: Any, folder: Path) -> dict[str, str]:
    """By the path in the folder."""
    files = json.loads(result.stdout)["documents"]
    return {Path(file["path"]).relative_to(folder).as_posix(): file["status"] for file in files}


TREE = {f"part {number % 7}/chapter {number:03}.md": f"# Chapter {number}".encode() for number in range(60)}


class TestAFolder:
    def test_ends_in_the_bucket_and_a_second_run_sends_nothing(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, TREE)
        result = upload(folder)
        assert (result.exit_code, world.held) == (0, TREE), result.output
        assert "60 documents are uploaded" in result.stdout
        world.revived()
        result = upload(folder)
        assert (result.exit_code, world.sent) == (0, [])
        assert "60 documents are there as before, and not sent again." in result.stdout

    def test_only_what_is_missing_or_changed_is_sent(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, TREE)
        assert upload(folder).exit_code == 0
        changed, *_, new = (*sorted(TREE), "new.md")
        write(folder, {changed: TREE[changed].swapcase(), new: b"new"})
        world.revived()
        result = upload(folder, "--json")
        assert sorted(world.sent) == sorted([changed, new])
        assert {name for name, status in statuses(result, folder).items() if status == "SENT"} == {changed, new}

    def test_no_call_asks_for_more_than_the_api_takes(self, world: FolderUploads, tmp_path: Path) -> None:
        many = {f"{number:04}.md": b"# Chapter" for number in range(8 * MOST_UPLOADS + 1)}
        assert upload(write(tmp_path, many)).exit_code == 0
        assert max(world.asked) == MOST_UPLOADS
        assert len(world.asked) == 9

    def test_a_program_reads_one_document_and_progress_elsewhere(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, {"a.md": b"a", "b.pptx": b"PK", ".hidden": b""})
        result = upload(folder, "--json")
        assert result.exit_code == 1
        assert statuses(result, folder) == {"a.md": "SENT", "b.pptx": "REFUSED", ".hidden": "LEFT_OUT"}
        assert "Uploading" not in result.stdout
        assert [line.strip() for line in result.stderr.splitlines()][:2] == ["Uploading: 1 of 2", "Uploading: 2 of 2"]

    def test_where_there_is_no_terminal_a_few_lines_say_how_far_it_is(
        self, world: FolderUploads, tmp_path: Path
    ) -> None:
        result = upload(write(tmp_path, {f"{number:03}.md": b"# a" for number in range(250)}))
        said = [line for line in result.stderr.splitlines() if "Uploading" in line]
        assert len(said) <= 11
        assert said[-1].strip() == "Uploading: 250 of 250"

    def test_progress_is_shown_on_a_terminal_and_standard_output_stays_clean(
        self, world: FolderUploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = io.StringIO()
        terminal = Console(file=shown, force_terminal=True, width=120)
        monkeypatch.setattr("cli.progress.err", terminal)
        result = upload(write(tmp_path, TREE), "--json")
        assert "Uploading" in shown.getvalue()
        assert "60 of 60" in shown.getvalue()
        assert len(json.loads(result.stdout)["documents"]) == len(TREE)

    def test_an_empty_one_is_no_mistake(self, world: FolderUploads, tmp_path: Path) -> None:
        result = upload(write(tmp_path, {".hidden": b"x"}))
        assert (result.exit_code, world.asked) == (0, [])
        assert "There was nothing to upload." in result.stdout
        assert f"{tmp_path / '.hidden'}. It is hidden." in result.stdout

    def test_a_key_cannot_be_given_to_it(self, world: FolderUploads, tmp_path: Path) -> None:
        for paths in ([tmp_path], [write(tmp_path, {"a.md": b"a", "b.md": b"b"}) / "a.md", tmp_path / "b.md"]):
            result = upload(*paths, "--key", "c.md")
            assert (result.exit_code, world.asked) == (2, [])
            assert "is for a single file" in result.stderr


ODD = {
    "blank.md": (b" \n", "It holds nothing but blanks."),
    "cut.pdf": (pdf()[:-60], "Its end is missing"),
    "cut.docx": (word()[:-40], "Its end is missing"),
    "deck.pptx": (b"PK\x03\x04", "Bedrock does not read files of its format."),
    "empty.md": (b"", "It is empty."),
    "large.txt": (b"x" * (MAX_DOCUMENT_BYTES + 1), "It has 52,428,801 bytes; Bedrock reads 52,428,800 at most."),
    "locked.docx": (encrypted_word(), "It is encrypted"),
    "locked.pdf": (pdf(password="secret"), "It is encrypted"),
    "noise.txt.exe": (b"MZ", "Bedrock does not read files of its format."),
    "old.docx": (OLE, "it looks like an Office file of the format before 2007"),
    "page.pdf": (b"<!DOCTYPE html><p>Not found", "it looks like a web page"),
    "photo.txt": (PICTURE, "it looks like a picture"),
    "run.txt": (b"#!/bin/sh\necho\n", "it looks like a script"),
    "table.docx": (excel(), "it looks like an Excel workbook"),
    "turned\u202eround.md": (b"# Rules", "turn text around"),
}
"""That are refused."""
DOUBTFUL = {
    "prices.csv": ("価格".encode("cp932"), "does not seem to be UTF-8"),
    "scan.pdf": (SCANNED, "It seems to be a scan"),
}
"""That may yet be read."""


def beside(metadata: object) -> dict[str, bytes]:
    content = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return {"rules.md": b"# Rules", "rules.md.metadata.json": content}


ODD_METADATA = {
    "no JSON": (b"{", "Its metadata file cannot be read."),
    "no attributes": ({"year": 2026}, "Its metadata file cannot be read."),
    "too large": ({"metadataAttributes": {"a": "x" * 11_000}}, "Its metadata file has"),
    "more than the store takes": ({"metadataAttributes": {"a": "x" * 1_500}}, "makes a file of"),
    "reserved": ({"metadataAttributes": {"_source_uri": "s3://b/a.md"}}, "must not be named"),
    "an empty text": ({"metadataAttributes": {"a": ""}}, "no text may be empty"),
    "of no type": ({"metadataAttributes": {"a": {"value": {"type": "DATE", "dateValue": "x"}}}}, "typed attributes"),
    "of another type": (
        {"metadataAttributes": {"a": {"value": {"type": "NUMBER", "numberValue": "1"}}}},
        "is not of its type",
    ),
    "rows of no CSV": (
        {"metadataAttributes": {}, "documentStructureConfiguration": {"type": "RECORD_BASED_STRUCTURE_METADATA"}},
        "is for .csv only",
    ),
    "something more": ({"metadataAttributes": {}, "other": 1}, "at most"),
}


def _become_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


class TestOddFiles:
    def test_each_is_told_for_what_it_is_and_nothing_of_it_is_sent(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, {name: content for name, (content, _) in ODD.items()} | {"good.md": b"# Good"})
        result = upload(folder)
        assert (result.exit_code, world.sent) == (1, ["good.md"])
        assert sum(world.asked) == 1
        lines = result.stderr.splitlines()
        for name, (_, said) in ODD.items():
            shown = name.replace("\u202e", "\\u202e")
            (line,) = [line for line in lines if line.startswith(f"✗ {folder / shown}: ")]
            assert said in line
        assert f"{len(ODD)} files refused. Nothing was sent of them." in lines
        assert "good.md is uploaded" in result.stdout

    def test_one_whose_name_is_no_unicode_is_told_too(self, world: FolderUploads, tmp_path: Path) -> None:
        name = os.fsdecode(b"r\xffules.md")
        folder = write(tmp_path, {name: b"# Rules", "good.md": b"# Good"})
        result = upload(folder, "--json")
        assert (result.exit_code, world.sent) == (1, ["good.md"])
        assert statuses(result, folder) == {"r\\xffules.md": "REFUSED", "good.md": "SENT"}

    @pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["people", "programs"])
    def test_also_where_two_of_them_clash_or_one_is_given_by_itself(
        self, world: FolderUploads, tmp_path: Path, as_json: list[str]
    ) -> None:
        names = [os.fsdecode(b"\xff" + "é.md".encode()), os.fsdecode(b"\xff" + "e\u0301.md".encode())]
        write(tmp_path, dict.fromkeys(names, b"a") | {"fine.md": b"fine"})
        result = upload(tmp_path, *as_json)
        assert (result.exit_code, world.documents) == (1, ["fine.md"]), result.output
        assert "is not its own" in result.stderr
        result = upload(tmp_path / names[0], *as_json)
        assert (result.exit_code, world.documents) == (1, ["fine.md"]), result.exception
        assert "1 file refused" in result.stderr

    @pytest.mark.parametrize("name", DOUBTFUL)
    def test_what_may_yet_be_read_is_told_before_it_is_sent(
        self, world: FolderUploads, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content, said = DOUBTFUL[name]
        told: list[str] = []
        monkeypatch.setattr("cli.commands.upload._warn", lambda path, text: told.append(f"{path.name}: {text}"))
        world.before_sending = lambda key: told.append(f"{key} is sent")
        assert upload(write(tmp_path, {name: content})).exit_code == 0
        assert (said in told[0], told[1:]) == (True, [f"{name} is sent"])

    @pytest.mark.parametrize("name", ODD_METADATA)
    def test_a_metadata_file_that_is_not_taken_keeps_its_document(
        self, world: FolderUploads, tmp_path: Path, name: str
    ) -> None:
        metadata, said = ODD_METADATA[name]
        result = upload(write(tmp_path, beside(metadata)))
        assert (result.exit_code, world.held) == (1, {})
        assert said in result.stderr
        assert upload(tmp_path, "--force").exit_code == 1

    def test_what_can_never_be_read_is_sent_when_that_is_asked_for(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, {"cut.pdf": ODD["cut.pdf"][0], "empty.md": b""})
        result = upload(folder, "--force")
        assert (result.exit_code, world.sent) == (1, ["cut.pdf"])
        assert "cut.pdf: Its end is missing" in result.stderr

    @pytest.mark.parametrize("metadata", [b"[1]", b'{"metadataAttributes": {"a": "' + b"x" * 20_000 + b'"}}'])
    def test_but_never_without_what_its_metadata_file_says(
        self, world: FolderUploads, tmp_path: Path, metadata: bytes
    ) -> None:
        write(tmp_path, {"cut.pdf": b"%PDF-1.4 cut", "cut.pdf.metadata.json": metadata})
        result = upload(tmp_path, "--force")
        assert (result.exit_code, world.held) == (1, {}), result.output
        assert "Its metadata file" in result.stderr

    @pytest.mark.timeout(60)
    def test_a_pipe_that_has_taken_the_place_of_a_file_holds_nobody_up(
        self, world: FolderUploads, tmp_path: Path
    ) -> None:
        folder = write(tmp_path, {"a.md": b"a", "b.md": b"b", "b.md.metadata.json": b"{}", "c.md": b"c"})
        found = found_in([folder])
        for name in ("a.md", "b.md.metadata.json"):
            (folder / name).unlink()
            os.mkfifo(folder / name)
        world.before_granting = lambda: _become_pipe(folder / "c.md")
        api = FleetApi.of_stack("kbfleet", None)
        ended = Uploading(api, ACME, {}, False, lambda *_: None, lambda _: None, lambda: None).run(found)
        said = {Path(file.path).name: (file.status, file.reason) for file in ended}
        assert said == {
            "a.md": (UploadStatus.REFUSED, "It cannot be read: it is no file any more."),
            "b.md": (UploadStatus.REFUSED, "It cannot be read: it is no file any more."),
            "c.md": (UploadStatus.NOT_SENT, "It cannot be read: it is no file any more."),
        }

    def test_one_that_changes_after_it_was_looked_at_is_not_sent(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, {"a.md": b"a", "b.md": b"b"})

        def changing(granted: GrantedUploadBody) -> GrantedUploadBody:
            if granted.key == "a.md":
                write(folder, {"a.md": b"A"})
            return granted

        world.bent = changing
        result = upload(folder)
        assert (result.exit_code, world.sent) == (1, ["b.md"])
        assert "a.md: It has changed since it was looked at." in result.stderr


ROWS = {
    "metadataAttributes": {"shop": "Acme"},
    "documentStructureConfiguration": {
        "type": "RECORD_BASED_STRUCTURE_METADATA",
        "recordBasedStructureMetadata": {
            "contentFields": [{"fieldName": "text"}],
            "metadataFieldsSpecification": {"fieldsToInclude": [{"fieldName": "price"}]},
        },
    },
}


class TestMetadata:
    def test_of_a_file_beside_a_document_goes_with_it(self, world: FolderUploads, tmp_path: Path) -> None:
        typed = {"value": {"type": "STRING_LIST", "stringListValue": ["a"]}, "includeForEmbedding": True}
        given = {"metadataAttributes": {"year": 2026, "topic": typed}}
        assert upload(write(tmp_path, beside(given))).exit_code == 0
        assert json.loads(world.held["rules.md.metadata.json"]) == given

    def test_of_the_rows_of_a_csv_file_is_sent(self, world: FolderUploads, tmp_path: Path) -> None:
        rows = json.dumps(ROWS).encode()
        result = upload(
            write(tmp_path, {"p.csv": b"text,price\na,1\n", "p.csv.metadata.json": rows}), "--metadata", "a=b"
        )
        assert result.exit_code == 0, result.output
        stored = json.loads(world.held["p.csv.metadata.json"])
        assert stored == {**ROWS, "metadataAttributes": {"shop": "Acme", "a": "b"}}

    def test_that_are_given_count_before_those_of_the_file(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, {**beside({"metadataAttributes": {"year": 1, "a": "b"}}), "other.md": b"# Other"})
        assert upload(folder, "--metadata", "year:=2026").exit_code == 0
        held = {key: json.loads(content) for key, content in world.held.items() if key.endswith(".json")}
        assert held == {
            "rules.md.metadata.json": {"metadataAttributes": {"year": 2026, "a": "b"}},
            "other.md.metadata.json": {"metadataAttributes": {"year": 2026}},
        }

    def test_are_written_anew_alone_where_only_they_have_changed(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, beside({"metadataAttributes": {"year": 2025}}))
        assert upload(folder).exit_code == 0
        write(folder, beside({"metadataAttributes": {"year": 2026}}))
        world.revived()
        result = upload(folder)
        assert (result.exit_code, world.sent) == (0, [])
        assert "written anew" in result.stdout
        assert b"2026" in world.held["rules.md.metadata.json"]
        assert "written anew" not in upload(folder).stdout

    @pytest.mark.parametrize("document", [NFC, NFD])
    @pytest.mark.parametrize("metadata", [NFC, NFD])
    def test_stand_beside_the_document_in_its_own_form_of_unicode(
        self, world: FolderUploads, tmp_path: Path, document: str, metadata: str
    ) -> None:
        given = json.dumps({"metadataAttributes": {"year": 2026}}).encode()
        assert upload(write(tmp_path, {document: b"#", f"{metadata}.metadata.json": given})).exit_code == 0
        assert set(world.held) == {document, f"{document}.metadata.json"}


class TestNamesInTwoForms:
    def test_in_one_upload_neither_is_sent(self, world: FolderUploads, tmp_path: Path) -> None:
        result = upload(write(tmp_path, {NFC: b"from Windows", NFD: b"from a Mac", "a.md": b"a"}))
        assert (result.exit_code, world.sent) == (1, ["a.md"])
        assert "in form NFD of Unicode" in result.stderr
        assert "in form NFC of Unicode" in result.stderr

    @pytest.mark.parametrize(("here", "there"), [(NFC, NFD), (NFD, NFC)])
    def test_what_is_there_in_the_other_is_told_before_it_is_replaced_and_never_doubled(
        self, world: FolderUploads, tmp_path: Path, here: str, there: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.put(there, b"before")
        told: list[str] = []
        monkeypatch.setattr("cli.commands.upload._warn", lambda _, text: told.append(text))
        world.before_sending = told.append
        folder = write(tmp_path, {here: b"now", "a.md": b"a"})
        assert upload(folder).exit_code == 0
        assert world.held == {there: b"now", "a.md": b"a"}
        form = "NFC" if there == NFC else "NFD"
        (said,) = [text for text in told if f"in Unicode form {form};" in text]
        assert told.index(said) < told.index(there)
        world.revived()
        assert (upload(folder).exit_code, world.sent) == (0, [])


class TestTroubles:
    @pytest.mark.parametrize(
        "trouble",
        [
            NoAnswer("S3 did not answer."),
            Refused(429, "Throttled", "Wait."),
            Refused(503, "NotReadyYet", "Wait."),
            UploadRefused("SlowDown", passing=True),
        ],
        ids=str,
    )
    def test_that_pass_are_waited_for(self, world: FolderUploads, tmp_path: Path, trouble: Exception) -> None:
        world.troubles = [trouble] * 2
        result = upload(write(tmp_path, TREE))
        assert (result.exit_code, world.held) == (0, TREE), result.output

    def test_that_last_end_it_and_say_how_it_goes_on(self, world: FolderUploads, tmp_path: Path) -> None:
        folder = write(tmp_path, TREE)
        world.troubles = [NoAnswer("https://b.example.com did not answer.")] * 1_000
        result = upload(folder)
        assert result.exit_code == 1
        assert "did not answer" in result.stderr
        world.troubles = []
        assert (upload(folder).exit_code, world.held) == (0, TREE)

    def test_credentials_that_end_in_the_middle_leave_a_sum_of_what_was_sent(
        self, world: FolderUploads, tmp_path: Path
    ) -> None:
        class OverSession:
            region_name, profile_name = "eu-west-1", "night-watch"

            def get_credentials(self) -> None:
                raise TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed")

        over = FleetApi("https://api.example.com/v1", OverSession())  # type: ignore[arg-type]

        def sign() -> None:
            if world.sent:
                over.tenant(ACME)

        world.before_granting = sign
        result = upload(write(tmp_path, {f"{number:03}.md": b"# a" for number in range(300)}))
        assert result.exit_code == 1
        assert f"{len(world.sent)} document" in result.stdout
        assert f"{300 - len(world.sent)} documents not sent" in result.stderr
        assert "with profile night-watch (Error when retrieving token from sso" in result.stderr
        assert "Set AWS_PROFILE, or log in" in result.stderr

    def test_a_tenant_that_is_suspended_gets_nothing(self, world: FolderUploads, tmp_path: Path) -> None:
        world.troubles = [Refused(409, "TenantSuspended", "Tenant acme is suspended.")] * 8
        result = upload(write(tmp_path, TREE))
        assert (result.exit_code, world.sent, result.stdout) == (2, [], "")
        assert "is suspended" in result.stderr

    def test_one_document_that_s3_does_not_take_keeps_no_other(self, world: FolderUploads, tmp_path: Path) -> None:
        def refusing(key: str) -> None:
            if key == sorted(TREE)[7]:
                raise UploadRefused("S3 did not take the document: AccessDenied: no.")

        world.before_sending = refusing
        result = upload(write(tmp_path, TREE))
        assert (result.exit_code, len(world.sent)) == (1, len(TREE) - 1)
        assert "AccessDenied" in result.stderr
        assert "1 document not sent. The same command sends what is not there." in result.stderr

    def test_a_form_that_is_too_old_is_asked_for_anew(self, world: FolderUploads, tmp_path: Path) -> None:
        late = iter([True] * 3)

        def bent(granted: GrantedUploadBody) -> GrantedUploadBody:
            assert granted.form is not None
            earlier = granted.form.expires_at - timedelta(hours=next(late, False))
            return granted.model_copy(update={"form": granted.form.model_copy(update={"expires_at": earlier})})

        world.bent = bent
        assert (upload(write(tmp_path, TREE)).exit_code, world.held) == (0, TREE)


def run(world: FolderUploads, folder: Path) -> Uploading:
    """Raises: Killed."""
    api: Any = type(
        "Api",
        (),
        {"grant_uploads": lambda _, *given: world.grant(*given), "upload": lambda _, *given: world.take(*given)},
    )()
    uploading = Uploading(api, ACME, {}, False, lambda *_: None, lambda _: None, lambda: None)
    uploading.run(found_in([folder]))
    return uploading


names = st.text("abガé", min_size=1, max_size=4).map(lambda text: f"{unicodedata.normalize('NFC', text)}.md")
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=2).map(
        lambda parts: "/".join([*(f"{part}.d" for part in parts[:-1]), parts[-1]])
    ),
    st.tuples(st.binary(min_size=1, max_size=9).map(lambda content: b"# " + content.hex().encode()), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees, killed_at=st.integers(0, 50), killed_after=st.booleans())
def test_killed_at_any_request_and_repeated_it_sends_only_what_is_missing(
    tree: dict[str, tuple[bytes, bool]], killed_at: int, killed_after: bool
) -> None:
    metadata = json.dumps({"metadataAttributes": {"year": 2026}}, separators=(",", ":")).encode()
    files = {name: content for name, (content, _) in tree.items()}
    beside_them = {f"{name}.metadata.json": metadata for name, (_, has) in tree.items() if has}
    world = FolderUploads()
    world.killed_at, world.killed_after = killed_at, killed_after
    with TemporaryDirectory() as name:
        folder = write(Path(name), files | beside_them)
        try:
            run(world, folder)
        except Killed:
            assert killed_at <= len(files) + 8
        else:
            assert set(world.held) == set(files | beside_them)
        missing = sorted(set(files) - set(world.documents))
        world.revived()
        run(world, folder)
        assert sorted(world.sent) == missing
        assert world.held == files | beside_them
        world.revived()
        run(world, folder)
        assert world.sent == []


@pytest.mark.parametrize("after", [False, True], ids=["before it counts", "after it counts"])
def test_killed_at_each_request_in_turn_it_goes_on(tmp_path: Path, after: bool) -> None:
    files = {f"part {number % 3}/{number:02}.md": b"# %d" % number for number in range(12)}
    beside = {f"{name}.metadata.json": b'{"metadataAttributes":{"year":2026}}' for name in list(files)[::2]}
    folder, killed_at, ended = write(tmp_path, files | beside), 0, False
    while not ended:
        world = FolderUploads()
        world.killed_at, world.killed_after = killed_at, after
        try:
            run(world, folder)
            ended = True
        except Killed:
            missing = sorted(set(files) - set(world.documents))
            world.revived()
            run(world, folder)
            assert sorted(world.sent) == missing
        assert world.held == files | beside
        killed_at += 1
    assert killed_at == len(files) + 6 + 1  # each document, each call for forms of two of them, and nothing behind


def test_whoever_stops_it_is_told_how_it_goes_on(
    world: FolderUploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, TREE)
    main, ending = threading.main_thread().ident, threading.Event()
    assert main is not None
    say = upload_command._say_that_it_ends

    def said() -> None:
        say()
        ending.set()

    def stop(_: str) -> None:
        if len(world.sent) == 5 and not ending.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            assert ending.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(upload_command, "_say_that_it_ends", said)
    world.before_sending = stop
    # Whatever runs in the background of a shell, such as these tests, is born deaf to it.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = upload(folder, "--json")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert result.exit_code == 130
    assert "Ending: what is being sent comes to its end first." in result.stderr
    assert "The same command goes on with what was not sent." in result.stderr
    told = statuses(result, folder)
    assert {name for name, status in told.items() if status == UploadStatus.SENT} == set(world.held)
    assert {name for name, status in told.items() if status == UploadStatus.NOT_SENT} == set(TREE) - set(world.held)
    assert 5 < len(world.held) < len(TREE)
    missing = set(TREE) - set(world.held)
    world.revived()
    assert (upload(folder).exit_code, set(world.sent)) == (0, missing)


def test_whoever_stops_it_while_it_starts_stops_it_before_anything_is_sent(
    world: FolderUploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread pool forgets a thread when it is interrupted between starting and remembering it."""
    folder = write(tmp_path, TREE)
    start, started = threading.Thread.start, itertools.count(1)

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if next(started) == 3:
            thread.join(0.1)  # as long as it takes whoever begins too early to send something
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    result = upload(folder)
    assert (result.exit_code, world.held) == (130, {})


def test_a_tree_of_200_files_takes_a_tenth_of_the_time_of_one_by_one(world: FolderUploads, tmp_path: Path) -> None:
    """In real time, with 20 ms for each request in place of a network. One by one is counted from 20 of them, in this
    process: the start of Python, which is most of it, is left out to the disadvantage of the folder. Of three trees the
    fastest counts: whatever else runs on this machine can only slow one down."""
    world.seconds = 0.02
    took: list[float] = []
    for tree in range(3):
        many = {f"{tree}/part {number % 7}/chapter {number:03}.md": b"# Chapter %d" % number for number in range(200)}
        folder = write(tmp_path / f"tree {tree}", many)
        began = time.monotonic()
        assert upload(folder).exit_code == 0
        took.append(time.monotonic() - began)
    began = time.monotonic()
    for name in sorted(many)[:20]:
        assert upload(folder / name, "--key", f"single/{name}").exit_code == 0
    one_by_one = (time.monotonic() - began) * 10
    assert len(world.sent) == 620
    assert one_by_one >= 10 * min(took), (one_by_one, took)
