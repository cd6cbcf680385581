"""`kbfleet documents`: what people read of a tenant's documents, and what is done with exactly the one they mean."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner, Result

import cli.main
from cli.fleet_api import FleetApi, Refused
from kbfleet.contracts.document_listing import (
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentLinkBody,
    DocumentsBody,
)
from kbfleet.domain.document_names import document_id, key_of
from kbfleet.domain.document_status import (
    BucketEntry,
    Deletion,
    DocumentState,
    DocumentStatus,
    KnownFrom,
    TenantDocument,
    left_out,
)
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.names import TenantId
from kbfleet.domain.printable import printable
from tests.support.clock import START
from tests.support.hostile_keys import HOSTILE_KEYS
from tests.support.hostile_words import assert_printable
from tests.support.http_server import Reply, serving

Run = Callable[..., Result]
Asked = list[tuple[str, str]]
NO_DOCUMENT = Refused(404, "DocumentNotFound", "No document.")
NOT_LIKE_URIS = [key for key in HOSTILE_KEYS if not key.startswith("s3://")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]

    def command(*arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(cli.main.app, ["documents", *arguments], input=given)

    return command


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    """Answers requests with these bodies, and gives what was asked for."""

    def answering(*bodies: Any) -> Asked:
        left, requests = iter(bodies), Asked()

        def signed(_self: FleetApi, _kind: object, method: str, path: str) -> Any:
            requests.append((method, path))
            body = next(left)
            if isinstance(body, Exception):
                raise body
            return body

        monkeypatch.setattr(FleetApi, "_signed", signed)
        return requests

    return answering


def document(key: str = "a.md", status: DocumentStatus = DocumentStatus.ANSWERED_FROM, **of: Any) -> TenantDocument:
    deleted = status in {DocumentStatus.DELETED, DocumentStatus.GONE}
    known = None if status is DocumentStatus.UNKNOWN else KnownFrom.LEDGER
    entry = BucketEntry(key, START, START, 1_234, deleted=deleted)
    return TenantDocument(f"s3://b/{key}", key, DocumentState(status, START, "JOB0000001", known), entry, **of)


FAILING = left_out(FailedDocument("s3://b/[b].pdf", "no text", START, START), "[b].pdf")


def page(*documents: TenantDocument, token: str | None = None) -> DocumentsBody:
    return DocumentsBody(documents=tuple(map(DocumentBody.from_domain, documents)), next_token=token, retry=None)


def details(found: TenantDocument, content: bytes | None = None) -> DocumentDetailsBody:
    return DocumentDetailsBody.with_attributes(found, content)


class TestTheList:
    def test_all_pages_are_one_list_with_a_sum(self, run: Run, asked: Callable[..., Asked]) -> None:
        requests = asked(page(document(), document("c.md", DocumentStatus.DELETED), token="ab"), page(FAILING))
        result = run("acme")
        assert result.exit_code == 0
        assert requests == [("GET", "/tenants/acme/documents"), ("GET", "/tenants/acme/documents?next_token=ab")]
        assert (
            "2 in the bucket: 1 answered from, 1 left out. 1 document deleted, and still answered from."
            in result.stdout
        )
        (failing,) = (line for line in result.stdout.splitlines() if "[b].pdf" in line)
        assert "left out" in failing
        assert "no text" in failing
        assert "✓" not in result.stdout

    def test_only_where_all_are_answered_from_it_is_well(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(page(document()), page(document(status=DocumentStatus.UNKNOWN)), page(document(), FAILING))
        assert "✓ 1 in the bucket: 1 answered from." in run("acme").stdout
        assert "✓" not in run("acme").stdout
        assert "✓" not in run("acme").stdout

    def test_what_is_asked_for_is_said(self, run: Run, asked: Callable[..., Asked]) -> None:
        requests = asked(page(FAILING), page(), page())
        assert "[b].pdf" in run("acme", "--failed", "--prefix", "a b/%2F&").stdout
        assert "No document of tenant acme is known to have failed" in run("--failed", "acme").stdout
        assert "Tenant show has no documents." in run("list", "show").stdout
        assert [path for _, path in requests] == [
            "/tenants/acme/documents?status=LEFT_OUT&prefix=a%20b%2F%252F%26",
            "/tenants/acme/documents?status=LEFT_OUT",
            "/tenants/show/documents",
        ]

    def test_of_many_pages_it_is_said_how_far_they_are_read(self, run: Run, asked: Callable[..., Asked]) -> None:
        hundred = [document(f"{number}.md") for number in range(100)]
        asked(*(page(*hundred, token="ab") for _ in range(24)), page(*hundred))
        result = run("acme", "--json")
        assert [line.strip() for line in result.stderr.splitlines()] == ["Documents: 1,000", "Documents: 2,000"]
        assert len(json.loads(result.stdout)["documents"]) == 2_500

    def test_programs_get_the_whole(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(page(document(), FAILING))
        body = json.loads(run("acme", "--json").stdout)
        assert [each["status"] for each in body["documents"]] == ["ANSWERED_FROM", "LEFT_OUT"]

    @pytest.mark.parametrize("option", [[], ["--failed"]], ids=["all", "failed"])
    def test_what_is_said_of_a_part_is_not_said_of_all(
        self, run: Run, asked: Callable[..., Asked], option: list[str]
    ) -> None:
        asked(page())
        assert "whose key begins with handbook/[a]" in run("acme", "--prefix", "handbook/[a]", *option).stdout

    def test_a_sum_of_a_part_says_so(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(page(document()))
        said = run("acme", "--prefix", "a").stdout
        assert "1 in the bucket whose key begins with a: 1 answered from." in said


def answers_to(verb: str, key: str) -> Sequence[object]:
    """To the request behind a command for one document."""
    deletion = Deletion(document(key, DocumentStatus.DELETED), None, whole=True)
    answers: Mapping[str, Sequence[object]] = {
        "show": [details(document(key))],
        "open": [DocumentLinkBody(url="https://b.example.com/a", expires_at=START)],
        "delete": [DeletionBody.from_domain(deletion)],
    }
    return answers[verb]


def keys_in(path: str) -> str:
    """Which key a request is about."""
    return key_of(path.split("/")[4])


class TestOneDocument:
    @pytest.mark.parametrize("key", NOT_LIKE_URIS, ids=range(len(NOT_LIKE_URIS)))
    def test_exactly_the_key_that_is_meant_is_asked_for_and_nothing_of_it_acts(
        self, run: Run, asked: Callable[..., Asked], key: str
    ) -> None:
        requests = asked(*(answer for verb in ("show", "open", "delete") for answer in answers_to(verb, key)))
        commands = (["show"], ["open"], ["delete", "--yes"])
        results = [run(*command, "--", "acme", key) for command in commands]
        assert [each.exit_code for each in results] == [0, 0, 0]
        below = f"/tenants/acme/documents/{document_id(key)}"
        assert requests == [("GET", below), ("GET", f"{below}/link"), ("DELETE", below)]
        for result in results:
            assert_printable(result.stdout + result.stderr)

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    @pytest.mark.parametrize("verb", ["show", "open", "delete"])
    def test_a_uri_names_it_too(
        self, run: Run, asked: Callable[..., Asked], verb: str, form: Literal["NFC", "NFD"]
    ) -> None:
        key = unicodedata.normalize("NFC", "handbook/ガ.md")
        given = unicodedata.normalize(form, key)
        requests = asked(details(document(key)), *answers_to(verb, key))
        result = run(verb, "acme", f"s3://b/{given}", *(["--yes"] if verb == "delete" else []))
        assert result.exit_code == 0, result.output
        assert {keys_in(path) for _, path in requests} == {given}

    @pytest.mark.parametrize("verb", ["show", "open", "delete"])
    @pytest.mark.parametrize("there", [False, True], ids=["nothing", "another"])
    def test_a_key_may_look_like_a_uri(self, run: Run, asked: Callable[..., Asked], verb: str, there: bool) -> None:
        key = "s3://kbfleet-sakura-0123456789/a.md"
        looks = [details(document("a.md"))] if there else [NO_DOCUMENT, details(document(key))]
        requests = asked(*looks, *answers_to(verb, key))
        result = run(verb, "acme", key, *(["--yes"] if verb == "delete" else []))
        assert result.exit_code == 0, result.output
        assert keys_in(requests[0][1]) == "a.md"
        assert {keys_in(path) for _, path in requests[1:]} == {key}

    def test_a_document_of_another_bucket_is_none_of_this_tenants(self, run: Run, asked: Callable[..., Asked]) -> None:
        requests = asked(details(document("a.md")), NO_DOCUMENT)
        assert run("delete", "acme", "s3://kbfleet-sakura-0123456789/a.md", "--yes").exit_code == 2
        assert [(method, keys_in(path)) for method, path in requests] == [
            ("GET", "a.md"),
            ("DELETE", "s3://kbfleet-sakura-0123456789/a.md"),
        ]

    @pytest.mark.parametrize("key", ["", "x" * 1_025, "規" * 342, f"s3://b/{'x' * 1_025}"])
    def test_what_can_be_no_key_asks_nobody(self, run: Run, key: str) -> None:
        assert run("show", "acme", key).exit_code == 2

    def test_its_attributes_are_shown(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(details(document(), b'{"metadataAttributes": {"year": 2026, "topic": ["[a]"]}}'))
        said = run("show", "acme", "a.md").stdout
        assert "year = 2026" in said
        assert 'topic = ["[a]"]' in said
        assert "1,234 bytes" in said

    def test_one_that_is_left_out_is_not_well(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(details(FAILING))
        result = run("show", "acme", "[b].pdf")
        assert (result.exit_code, "no text" in result.stdout) == (1, True)

    def test_where_nothing_is_known_it_says_who_knows_more(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(details(document(status=DocumentStatus.UNKNOWN)))
        assert "`kbfleet why acme KEY`" in run("show", "acme", "a.md").stdout

    def test_a_clash_of_names_is_told(self, run: Run, asked: Callable[..., Asked]) -> None:
        composed, decomposed = (unicodedata.normalize(form, "ガ.md") for form in ("NFC", "NFD"))
        asked(details(document(decomposed, also_there=())), details(document(composed, also_there=(decomposed,))))
        assert "is in Unicode form NFD; the one that was given looks the same and is in NFC" in (
            " ".join(run("show", "acme", composed).stdout.split())
        )
        assert "in Unicode form NFD, is there, too" in run("show", "acme", composed).stdout

    def test_a_metadata_file_that_only_looks_like_its_own_is_told(self, run: Run, asked: Callable[..., Asked]) -> None:
        composed, decomposed = (unicodedata.normalize(form, "ガ.md") for form in ("NFC", "NFD"))
        asked(details(document(composed, stray_metadata=(f"{decomposed}.metadata.json",))))
        said = " ".join(run("show", "acme", composed).stdout.split())
        assert f"{decomposed}.metadata.json, in Unicode form NFD, looks like its metadata file" in said


class TestDeleting:
    @pytest.mark.parametrize("key", ["a[1]\\.pdf", "[bold]a[/].md", "a\n\x1b[2J\u202e.md"])
    def test_whoever_is_asked_reads_the_key_itself(self, run: Run, asked: Callable[..., Asked], key: str) -> None:
        asked()
        asks = run("delete", "acme", key, given="n\n").stderr
        assert f"Delete {printable(key)}? [y/N]" in asks
        assert_printable(asks.replace("\n", ""))

    def test_nobody_who_says_nothing_deletes(self, run: Run, asked: Callable[..., Asked]) -> None:
        requests = asked()
        for given in ("", "n\n"):
            result = run("delete", "acme", "a.md", given=given)
            assert (result.exit_code, "nothing was done" in result.stderr) == (2, True)
        assert requests == []

    def test_an_erasure_goes_on_until_nothing_is_left(self, run: Run, asked: Callable[..., Asked]) -> None:
        parts = [Deletion(document(status=DocumentStatus.DELETED), number, whole=number == 2) for number in (3, 2)]
        requests = asked(*map(DeletionBody.from_domain, parts))
        result = run("delete", "acme", "a.md", "--all-versions", given="y\n")
        said = result.stdout
        assert "Deleting: 3 versions gone for good" in result.stderr
        assert "5 versions are gone for good." in said
        assert "`kbfleet documents show acme KEY` says when" in said
        assert [path.partition("?")[2] for _, path in requests] == ["all_versions=true"] * 2

    def test_what_is_not_answered_from_any_more_is_said(self, run: Run, asked: Callable[..., Asked]) -> None:
        asked(DeletionBody.from_domain(Deletion(document(status=DocumentStatus.GONE), None, whole=True)))
        said = run("delete", "acme", "a.md", "--yes").stdout
        assert "Older versions are kept in the bucket." in said
        assert "It is not answered from." in said


def test_a_document_is_saved_as_it_is(run: Run, asked: Callable[..., Asked], tmp_path: Path) -> None:
    with serving(Reply(200, b"\x00\xff")) as server:
        # Whoever resolves the path asks for another object, and is refused.
        link = DocumentLinkBody(url=f"{server.url}/a/../b%2F.md?X-Amz-Expires=300", expires_at=START + timedelta(1))
        asked(link)
        result = run("open", "acme", "a/../b/.md", "--output", str(tmp_path / "b.md"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "b.md").read_bytes() == b"\x00\xff"
    assert server.paths == ["/a/../b%2F.md?X-Amz-Expires=300"]


def test_where_it_cannot_be_saved_it_says_why(
    run: Run, asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked(DocumentLinkBody(url="https://b.example.com/a.md", expires_at=START))
    monkeypatch.setattr(FleetApi, "opened", lambda *_: b"a")
    result = run("open", "acme", "a.md", "--output", str(tmp_path / "no" / "a.md"))
    assert (result.exit_code, result.stderr.strip()) == (2, "✗ output: cannot be written: No such file or directory.")


def test_the_first_page_is_enough_to_complete_a_key(asked: Callable[..., Asked]) -> None:
    requests = asked(page(document("a.md"), document("ab.md"), token="x"))
    assert FleetApi("https://api.example.com/v1", None).keys_beginning(TenantId("acme"), "a") == ["a.md", "ab.md"]  # type: ignore[arg-type]
    assert requests == [("GET", "/tenants/acme/documents?prefix=a")]
