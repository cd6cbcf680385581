"""`kbfleet questions suggest`: what documents suggest, what is refused, and that nothing of them acts on a terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import cli.main
from cli.fleet_api import FleetApi, Refused
from cli.question_suggestions import LONGEST, MOST_BYTES, READ, Suggestion, Unreadable, gathered, suggestions
from kbfleet.contracts.document_listing import DocumentBody, DocumentLinkBody, DocumentsBody
from kbfleet.contracts.questions import QuestionsBody
from kbfleet.domain.document_status import BucketEntry, DocumentState, DocumentStatus, TenantDocument
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Life
from kbfleet.domain.printable import is_printable
from kbfleet.domain.questions import Draft, QuestionId, QuestionSet, import_lines
from tests.support.clock import START
from tests.support.hostile_words import assert_printable
from tests.support.samples import ACME

MARKDOWN = """---
title: What is this?
---
# Rental terms

Everything about renting.

## 1. Prices

A tent costs 10 a day.

## Empty

## **How long** is the [warranty](warranty.md)?

Two years,
from the day of purchase.

More is said elsewhere.

Returns
-------

Within 30 days.

```sh
# Is this a heading?
no
```

Q: May I bring a dog?
A: Yes, on a lead.

Q1. 予約は必要ですか？
A1. 必要ありません。

Q: Is this one without an answer?
"""
PAGE = """<!DOCTYPE html><html><head><title>Shop</title><style>h1 { color: red }</style>
<body><nav><h2>Menu</h2><p>Home</p></nav>
<h1>Help &amp; more</h1><p>If a < b, ask.</p>
<!-- <h2>Is this hidden?</h2><p>Yes.</p> -->
<script>document.write("<h2>Is this code?</h2><p>Yes.</p>")</script>
<h2>Can I <em>return</em> it?</h2><p>Within 30 days.</p><p>Unused.</p>
<dl><dt>Who pays?</dt><dd>You do.</dd><dt>VAT</dt><dd>A tax.</dd></dl>
<details><summary>送料はいくらですか</summary>500円です。</details>
"""


def texts(key: str, content: str | bytes) -> dict[str, str]:
    """The questions, with their answers."""
    found = suggestions(key, content.encode() if isinstance(content, str) else content)
    return {each.text: each.answer for each in found}


def test_markdown_suggests_its_questions_and_then_its_headings() -> None:
    assert texts("terms.md", MARKDOWN) == {
        "How long is the warranty?": "Two years, from the day of purchase.",
        "May I bring a dog?": "Yes, on a lead.",
        "予約は必要ですか？": "必要ありません。",
        "What does “Rental terms” say about “Prices”?": "",
        "What does “Rental terms” say about “Returns”?": "",
    }


def test_a_japanese_heading_is_asked_for_in_japanese() -> None:
    assert list(texts("a.md", "# 利用規約\n\n## 返品\n\n30日以内です。\n")) == [
        "「利用規約」では、「返品」についてどのように書かれていますか。"
    ]


def test_text_suggests_questions_that_are_marked_as_such() -> None:
    text = "FAQ\r\n\r\nQ: How long?\r\nA: Two years.\r\nFor tents.\r\n\r\n"
    text += "質問：返品できますか\r\n回答：できます。\r\nWhy?\r\n"
    assert texts("faq.TXT", text) == {"How long?": "Two years. For tents.", "返品できますか": "できます。 Why?"}


def test_a_page_suggests_what_is_shown_of_it() -> None:
    assert texts("help.html", PAGE) == {
        "Can I return it?": "Within 30 days. Unused.",
        "Who pays?": "You do.",
        "送料はいくらですか": "500円です。",
        "What does “Help & more” say about “VAT”?": "",
    }


ANOTHER_FORMAT, NOT_UTF_8 = "its name does not end in .md, .txt, .html", "it is not text in UTF-8"


@pytest.mark.parametrize(
    ("key", "content", "why"),
    [
        ("a.pdf", b"# A?\n\nB.", ANOTHER_FORMAT),
        ("a", b"", ANOTHER_FORMAT),
        ("a.md", b"\xff\xfe#\0 \0A\0", NOT_UTF_8),
        ("a.txt", "保証は何年ですか".encode("cp932"), NOT_UTF_8),
        ("a.html", b"\x80", NOT_UTF_8),
        ("a.txt", b"a\0b", NOT_UTF_8),
    ],
)
def test_what_is_no_text_is_not_read_and_it_is_said_why(key: str, content: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=f"^{re.escape(why)}$"):
        suggestions(key, content)


def test_of_a_long_document_the_beginning_is_read_and_nothing_that_may_be_cut() -> None:
    begins = b"# Terms\n\nQ: How long?\nA: Two years.\n\n"
    filled = begins + "返".encode() * MOST_BYTES
    assert texts("a.md", filled[:MOST_BYTES]) == {"How long?": "Two years."}
    cut = b" " * (MOST_BYTES - 20) + b"\nQ: How?\nA: Two years."
    assert texts("a.txt", cut) == {}


HIDDEN = ["\x1b]52;c;YQ==\x07", "\u202e", "\u2028", "\x9b31m", "\u200b", "\x07"]


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("ending", READ)
def test_what_would_act_on_a_terminal_is_no_question(ending: str, hidden: str) -> None:
    where = [f"Q: How {hidden}long?\nA: Two years.", f"Q: How long?\nA: Two{hidden} years."]
    html = [f"<h2>How {hidden}long?</h2><p>Two</p>", f"<h2>How long?</h2><p>Two{hidden} years</p>"]
    escaped = [each.replace("\x1b", "&#x1b;").replace("\u202e", "&#x202e;") for each in html]
    for text in [*html, *escaped] if ending == ".html" else where:
        assert all(is_printable(each) and is_printable(answer) for each, answer in texts(f"a{ending}", text).items())


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["#", "Q:", "A:", "\n", "<h1>", "</h1>", "<", "x?", " ", "```"])).map("".join)
)
def test_whatever_is_in_it_comes_back_as_questions_that_can_be_imported(text: str) -> None:
    for ending in READ:
        try:
            found = suggestions(f"a{ending}", text.encode("utf-8", "surrogatepass"))
        except Unreadable:
            continue
        for each in found:
            assert len(each.text) <= 2 * LONGEST
            assert each.draft.question(QuestionId("q0000")).expected == (f"a{ending}",)


@pytest.mark.parametrize("ending", READ)
@pytest.mark.parametrize(
    "bad",
    ["<a ", "<!--", "<", "<a", "[", "[](", "*_`", "Q:\n", "# a?\n\n", "Q: a?\n", "---\n", "<p>", "&", "&#1", "\n"],
)
def test_no_document_takes_long(ending: str, bad: str) -> None:
    began = time.process_time()
    suggestions(f"a{ending}", (bad * MOST_BYTES).encode()[:MOST_BYTES])
    assert time.process_time() - began < 10


def of(text: str, *keys: str) -> Suggestion:
    return Suggestion(text, keys, asked=True)


def test_each_document_has_its_turn_and_what_two_ask_either_answers() -> None:
    found = [[of(f"{number}", "a.md") for number in range(9)], [of("x", "b.md"), of("0", "b.md")]]
    assert [(each.text, each.documents) for each in gathered(found, ["1"], 3)] == [
        ("0", ("a.md", "b.md")),
        ("x", ("b.md",)),
        ("2", ("a.md",)),
    ]


def test_what_very_many_documents_have_asks_for_none_of_them() -> None:
    assert gathered([[of("Contact", f"{number}.md")] for number in range(21)], [], 10) == []


# --- the command ---------------------------------------------------------------------------------

Suggest = Callable[..., Result]


def listed(key: str, status: DocumentStatus = DocumentStatus.ANSWERED_FROM, size: int = 100) -> DocumentBody:
    return DocumentBody.from_domain(
        TenantDocument(f"s3://b/{key}", key, DocumentState(status), BucketEntry(key, START, START, size))
    )


@pytest.fixture
def suggest(monkeypatch: pytest.MonkeyPatch) -> Suggest:
    """Runs the command. Args: bucket: what is under each key; an exception is raised where its link is asked for."""

    def run(bucket: Mapping[str, bytes | Exception], *arguments: str, known: tuple[str, ...] = ()) -> Result:
        questions = QuestionSet(Life(ACME)).with_drafts(
            [Draft(text, ("a.md",)) for text in known],
            KnowledgeBaseKind.VECTOR,
            lambda: QuestionId("q0001"),
        )

        def signed(_: FleetApi, kind: type, method: str, path: str, body: object = None) -> Any:
            assert (method, body) == ("GET", None)
            if kind is QuestionsBody:
                return QuestionsBody.from_domain(questions)
            assert kind is DocumentsBody
            # Each on a page of its own: nobody may take the first page for all.
            keys = list(bucket)
            place = int(path.partition("next_token=")[2] or 0)
            following = str(place + 1) if place + 1 < len(keys) else None
            return DocumentsBody(
                documents=tuple(map(listed, keys[place : place + 1])), next_token=following, retry=None
            )

        def link(_: FleetApi, __: object, key: str) -> DocumentLinkBody:
            content = bucket[key]
            if isinstance(content, Exception):
                raise content
            return DocumentLinkBody(url=key, expires_at=START)

        def opened(_: FleetApi, link: DocumentLinkBody, most: int | None = None) -> bytes:
            assert most is not None
            return bytes(bucket[link.url])[:most]  # type: ignore[arg-type]

        monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
        for name, answer in (("_signed", signed), ("document_link", link), ("opened", opened)):
            monkeypatch.setattr(FleetApi, name, answer)
        return CliRunner().invoke(cli.main.app, ["questions", "suggest", "acme", *arguments])

    return run


FAQ = b"Q: How long?\nA: Two years.\n"


def test_what_it_prints_is_what_import_takes(suggest: Suggest) -> None:
    result = suggest({"a.pdf": b"%PDF", "faq.txt": FAQ, "terms.md": MARKDOWN.encode()}, known=("May I bring a dog?",))
    assert result.exit_code == 0
    read = [draft for _, draft in import_lines(result.stdout)]
    assert read[0] == Draft("How long?", ("faq.txt",), reference="Two years.")
    assert len(read) == 5
    assert "May I bring a dog?" not in result.stdout
    assert "2 documents read, 0 could not be: 5 new questions." in result.stderr
    programs = json.loads(suggest({"faq.txt": FAQ}, "--json").stdout)
    assert [each["user_input"] for each in programs] == ["How long?"]


def test_no_more_is_read_and_proposed_than_is_wanted(suggest: Suggest) -> None:
    bucket = {f"{number}.txt": FAQ.replace(b"long", f"long {number}".encode()) for number in range(9)}
    result = suggest(bucket, "--documents", "4", "--most", "3")
    assert len(import_lines(result.stdout)) == 3
    assert "4 documents read" in result.stderr


def test_what_is_gone_or_no_text_keeps_no_other_from_being_read(suggest: Suggest) -> None:
    gone = Refused(404, "DocumentNotFound", "no")
    result = suggest({"a.txt": gone, "b.txt": b"\xff", "c.txt": FAQ})
    assert (result.exit_code, len(import_lines(result.stdout))) == (0, 1)
    said = result.stderr.splitlines()
    assert "1 document read, 2 could not be: 1 new question." in said
    assert "  a.txt: it was deleted meanwhile" in said
    assert f"  b.txt: {NOT_UTF_8}" in said
    assert suggest({"a.txt": Refused(403, "AccessDenied", "no")}).exit_code == 2


def test_of_many_that_could_not_be_read_the_first_are_named(suggest: Suggest) -> None:
    said = suggest({f"{number:02}.md": b"\x80" for number in range(15)}).stderr.splitlines()
    assert [line for line in said if line.endswith(NOT_UTF_8)] == [f"  {each:02}.md: {NOT_UTF_8}" for each in range(10)]
    assert "  … and 5 more" in said


def test_where_nothing_can_be_read_it_is_said(suggest: Suggest) -> None:
    result = suggest({"a.pdf": b"%PDF"})
    assert (result.exit_code, result.stdout) == (0, "")
    assert "None of the first documents ends in .md, .txt, .html" in result.stderr


@pytest.mark.parametrize("hidden", HIDDEN)
def test_no_key_acts_on_a_terminal_and_all_come_back_as_they_are(suggest: Suggest, hidden: str) -> None:
    key = f"[bold]{hidden.replace(chr(27), '')}\u202e :bomb:.txt"
    result = suggest({key: FAQ})
    for each in (result, suggest({key: b"\x80"})):
        assert_printable(each.stdout)
        assert_printable(each.stderr)
    found = [draft.expected for _, draft in import_lines(result.stdout)]
    # A key with control characters is none that a question may expect.
    assert found in ([(key,)], [])
    assert found or hidden in {"\x1b]52;c;YQ==\x07", "\x9b31m", "\x07"}
