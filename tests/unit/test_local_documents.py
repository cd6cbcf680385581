"""Which files of a machine are documents, under which keys, and which are not and why."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from cli.local_documents import FoundDocuments, found_in

NFC, NFD = (unicodedata.normalize(form, "ガイド.pdf") for form in ("NFC", "NFD"))


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    return folder


def keys(found: FoundDocuments) -> list[str]:
    return [document.key for document in found.documents]


def reasons(found: FoundDocuments, folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): reason for path, reason in [*found.refused, *found.left_out]}


def test_a_key_is_the_path_in_the_folder_that_was_given(tmp_path: Path) -> None:
    write(tmp_path / "handbook", "rules.pdf", "prices/winter/tents.csv", "規程/就業規則.md")
    assert keys(found_in([tmp_path / "handbook"])) == ["prices/winter/tents.csv", "rules.pdf", "規程/就業規則.md"]
    assert keys(found_in([tmp_path])) == [
        "handbook/prices/winter/tents.csv",
        "handbook/rules.pdf",
        "handbook/規程/就業規則.md",
    ]


def test_that_of_a_file_is_its_name_or_the_one_given(tmp_path: Path) -> None:
    write(tmp_path, "a/rules.pdf", "b/prices.csv")
    assert keys(found_in([tmp_path / "a/rules.pdf", tmp_path / "b/prices.csv"])) == ["prices.csv", "rules.pdf"]
    assert keys(found_in([tmp_path / "a/rules.pdf"], "handbook/rules.pdf")) == ["handbook/rules.pdf"]


def test_what_is_hidden_or_a_link_is_left_out_of_a_folder_and_said(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "secret.md")
    folder = write(tmp_path / "given", "rules.md", ".DS_Store", ".git/config", "a/.b/c.md")
    (folder / "link.md").symlink_to(tmp_path / "elsewhere/secret.md")
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "a/loop").symlink_to(folder, target_is_directory=True)
    (folder / "broken.md").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe.md")
    found = found_in([folder])
    assert keys(found) == ["rules.md"]
    assert found.refused == []
    assert reasons(found, folder) == {
        ".DS_Store": "It is hidden.",
        ".git": "It is hidden.",
        "a/.b": "It is hidden.",
        "link.md": "It is a symbolic link.",
        "linked": "It is a symbolic link.",
        "a/loop": "It is a symbolic link.",
        "broken.md": "It is a symbolic link.",
        "pipe.md": "It is no file.",
    }


def test_a_folder_may_be_deeper_than_python_calls_itself(tmp_path: Path) -> None:
    deepest = tmp_path
    for _ in range(1_500):
        deepest /= "a"
        deepest.mkdir()
    found = found_in([tmp_path])
    assert (found.documents, found.left_out) == ([], [])
    # What clears up after tests calls itself, too.
    while deepest != tmp_path:
        deepest.rmdir()
        deepest = deepest.parent


def test_given_by_itself_it_is_taken(tmp_path: Path) -> None:
    folder = write(tmp_path, ".hidden.md", "rules.md")
    (folder / "link.md").symlink_to(folder / "rules.md")
    assert keys(found_in([folder / ".hidden.md", folder / "link.md"])) == [".hidden.md", "link.md"]
    os.mkfifo(folder / "pipe.md")
    assert found_in([folder / "pipe.md"]).refused == [(folder / "pipe.md", "It is no file.")]


def test_a_file_that_is_given_twice_is_one(tmp_path: Path) -> None:
    folder = write(tmp_path, "rules.md")
    assert keys(found_in([folder, folder / "rules.md", folder / ".." / folder.name])) == ["rules.md"]


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scandir = write(tmp_path, "closed/rules.md", "open/rules.md"), os.scandir

    def refusing(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = found_in([folder])
    assert reasons(found, folder) == {"closed": "It cannot be listed: Permission denied."}
    assert keys(found) == ["open/rules.md"]


class TestMetadataFiles:
    @pytest.mark.parametrize("document", [NFC, NFD])
    @pytest.mark.parametrize("metadata", [NFC, NFD])
    def test_they_are_found_in_whichever_form_of_unicode(self, tmp_path: Path, document: str, metadata: str) -> None:
        folder = write(tmp_path, f"a/{document}", f"a/{metadata}.metadata.json")
        for paths in (
            [folder],
            [folder / "a" / document],
            [folder / "a" / document, folder / "a" / f"{metadata}.metadata.json"],
        ):
            (found,) = found_in(paths).documents
            assert found.path == folder / "a" / document
            assert found.metadata is not None
            assert found.metadata.name == f"{metadata}.metadata.json"

    def test_two_of_one_document_are_told(self, tmp_path: Path) -> None:
        folder = write(tmp_path, NFC, f"{NFC}.metadata.json", f"{NFD}.metadata.json")
        found = found_in([folder])
        assert keys(found) == []
        assert "several metadata files" in reasons(found, folder)[NFC]

    def test_one_that_is_not_taken_keeps_its_document(self, tmp_path: Path) -> None:
        """Else it were sent without the attributes by which a filter hides it."""
        for name in ("link.md", "pipe.md", "fine.md", "given.md"):
            (tmp_path / name).write_bytes(b"a")
        (tmp_path / "elsewhere").write_text("{}")
        (tmp_path / "link.md.metadata.json").symlink_to("elsewhere")
        os.mkfifo(tmp_path / "pipe.md.metadata.json")
        found = found_in([tmp_path])
        assert {path.name: reason for path, reason in found.refused if path.suffix == ".md"} == {
            "link.md": "Its metadata file is a symbolic link.",
            "pipe.md": "Its metadata file is no file.",
        }
        assert {document.path.name for document in found.documents} == {"elsewhere", "fine.md", "given.md"}
        pipe = [tmp_path / "pipe.md", tmp_path / "pipe.md.metadata.json"]
        assert [reason for _, reason in found_in(pipe).refused] == ["Its metadata file is no file."]

    def test_one_without_its_document_is_refused(self, tmp_path: Path) -> None:
        folder = write(tmp_path, "rules.pdf", "other.pdf.metadata.json", "a/rules.pdf.metadata.json")
        found = found_in([folder])
        assert keys(found) == ["rules.pdf"]
        assert set(reasons(found, folder)) == {"other.pdf.metadata.json", "a/rules.pdf.metadata.json"}
        assert "its document is not beside it" in reasons(found, folder)["other.pdf.metadata.json"]


class TestClashes:
    @pytest.mark.parametrize(
        ("one", "other"), [(NFC, NFD), (f"{NFC[:-4]}/a.md", f"{NFD[:-4]}/a.md"), (f"a/{NFC}", f"a/{NFD}")]
    )
    def test_keys_that_differ_in_their_form_only_are_both_refused(self, tmp_path: Path, one: str, other: str) -> None:
        folder = write(tmp_path, one, other, "rules.md")
        found = found_in([folder])
        assert keys(found) == ["rules.md"]
        assert set(reasons(found, folder)) == {one, other}
        assert all("of Unicode. Rename or remove one." in reason for reason in reasons(found, folder).values())

    def test_as_are_those_that_are_alike(self, tmp_path: Path) -> None:
        write(tmp_path, "a/rules.md", "b/rules.md", "b/other.md")
        found = found_in([tmp_path / "a", tmp_path / "b"])
        assert keys(found) == ["other.md"]
        assert str(tmp_path / "b/rules.md") in dict(found.refused)[tmp_path / "a/rules.md"]
