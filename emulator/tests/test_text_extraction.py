"""Text read from files, and cut into chunks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import docx
import openpyxl  # type: ignore[import-untyped]
import pytest

from bedrock_emulator.reading.chunking import Piece, TooLongError, chunker
from bedrock_emulator.reading.plain_text import rows
from bedrock_emulator.reading.sentences import estimated_tokens, sentences
from bedrock_emulator.reading.text_extraction import UnreadableError, extractor

FILES = Path(__file__).parent / "files"


def text_of(name: str, body: bytes) -> str:
    """The whole text of a file."""
    extract = extractor(name)
    assert extract is not None
    return "\n".join(page.text for page in extract(body))


def cut(settings: dict[str, Any] | None, text: str) -> list[str]:
    """The chunks of a text, by a strategy that needs no meaning."""
    return [piece.text for piece in chunker(settings, no_distances)(text)]


def no_distances(texts: Sequence[str]) -> list[float]:
    raise AssertionError("only SEMANTIC chunking asks for meaning")


def fixed(most: int, overlap: int) -> dict[str, object]:
    """A vectorIngestionConfiguration with chunks of a fixed size."""
    settings = {"maxTokens": most, "overlapPercentage": overlap}
    return {"chunkingConfiguration": {"chunkingStrategy": "FIXED_SIZE", "fixedSizeChunkingConfiguration": settings}}


def test_hidden_parts_of_a_page_are_left_out() -> None:
    page = "<html><head><style>p{}</style></head><body><p>Shown.</p><script>hidden()</script></body></html>"
    assert text_of("a.html", page.encode()) == "Shown."


def test_a_page_keeps_its_headings_lists_questions_and_tables() -> None:
    page = (
        "<html><head><title>Help</title></head><body><!-- note --><h1>Leave</h1><p>Twenty <b>days</b>,<br>paid.</p>"
        "<ul><li>First<li>Second</ul><dl><dt>May I carry days over?</dt><dd>Yes.</dd></dl>"
        "<table><tr><th>Kind</th><th>Days</th></tr><tr><td>Sick</td><td>5</td></tr></table>At the end.</body></html>"
    )
    assert text_of("a.html", page.encode()).split("\n\n") == [
        "# Leave",
        "Twenty days,\npaid.",
        "- First\n- Second",
        "###### May I carry days over?",
        "Yes.",
        "Kind: Sick, Days: 5",
        "At the end.",
    ]


def test_rows_of_a_table_carry_the_names_of_its_columns() -> None:
    assert text_of("a.csv", "部署,人数\n人事,5\n総務,\n".encode()) == "部署: 人事, 人数: 5\n部署: 総務"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_japanese_text_is_read_in_its_usual_encodings(encoding: str) -> None:
    assert text_of("休暇.TXT", "有給休暇".encode(encoding)) == "有給休暇"


def test_a_word_document_gives_headings_paragraphs_and_tables() -> None:
    document = docx.Document()
    document.add_heading("Leave", level=1)
    document.add_paragraph("Paid leave is twenty days.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ["Kind", "Days", "Paid", "20"], strict=True
    ):
        cell.text = text
    body = io.BytesIO()
    document.save(body)
    assert text_of("a.docx", body.getvalue()) == "# Leave\nPaid leave is twenty days.\nKind: Paid, Days: 20"


def test_a_workbook_gives_every_sheet() -> None:
    workbook = openpyxl.Workbook()
    workbook.active.title = "Leave"
    for row in (["Kind", "Days"], ["Paid", 20]):
        workbook.active.append(row)
    workbook.create_sheet("Empty")
    body = io.BytesIO()
    workbook.save(body)
    assert text_of("a.xlsx", body.getvalue()) == "# Leave\nKind: Paid, Days: 20"


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx", "a.doc", "a.xls"])
def test_a_damaged_file_is_told_from_an_empty_one(name: str) -> None:
    with pytest.raises(UnreadableError):
        text_of(name, b"damaged")


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
def test_so_is_another_kind_of_office_file_under_its_ending(name: str) -> None:
    body = io.BytesIO()
    if name == "a.docx":
        openpyxl.Workbook().save(body)
    else:
        docx.Document().save(body)
    with pytest.raises(UnreadableError):
        text_of(name, body.getvalue())


@pytest.mark.parametrize("name", ["a.exe", "a", "a.htm", "a.txt.bak"])
def test_other_formats_are_not_supported(name: str) -> None:
    assert extractor(name) is None


def test_sentences_end_where_readers_see_them_end() -> None:
    assert sentences("Dr. Smith paid 3.50 dollars. He left! 彼は「帰る。」と言った。終わり\n# Next") == [
        "Dr. Smith paid 3.50 dollars.",
        "He left!",
        "彼は「帰る。」と言った。",
        "終わり",
        "# Next",
    ]


@pytest.mark.parametrize("sentence", ["The office opens at nine in the morning. ", "会社は午前九時に始まります。"])
def test_default_chunks_are_whole_sentences_of_about_300_tokens(sentence: str) -> None:
    chunks = cut(None, sentence * 100)
    assert len(chunks) > 2
    assert all(chunk.endswith((".", "。")) for chunk in chunks)
    assert all(200 <= estimated_tokens(chunk) <= 300 for chunk in chunks[:-1])
    assert "".join(chunks).replace(" ", "") == (sentence * 100).replace(" ", "")


def test_chunks_of_a_fixed_size_overlap() -> None:
    text = " ".join(f"This is sentence number {number}." for number in range(60))
    plain, overlapping = cut(fixed(50, 1), text), cut(fixed(50, 30), text)
    assert max(estimated_tokens(chunk) for chunk in overlapping) <= 50
    assert len(overlapping) > len(plain)
    for before, after in pairwise(overlapping):
        assert sentences(after)[0] in sentences(before)


def test_a_sentence_longer_than_a_chunk_is_cut() -> None:
    chunks = cut(fixed(20, 1), "あ" * 500)
    assert "".join(chunks) == "あ" * 500
    assert max(estimated_tokens(chunk) for chunk in chunks) <= 21


def test_without_chunking_a_document_is_one_chunk() -> None:
    text = "One. " * 1_000
    assert cut({"chunkingConfiguration": {"chunkingStrategy": "NONE"}}, text) == [text]


def test_children_stand_in_their_parents() -> None:
    levels = {"levelConfigurations": [{"maxTokens": 60}, {"maxTokens": 20}], "overlapTokens": 8}
    settings = {"chunkingStrategy": "HIERARCHICAL", "hierarchicalChunkingConfiguration": levels}
    text = " ".join(f"This is sentence number {number}." for number in range(60))
    pieces = chunker({"chunkingConfiguration": settings}, no_distances)(text)
    parents = list(dict.fromkeys(piece.parent for piece in pieces))
    assert len(pieces) > len(parents) > 5
    assert all(piece.parent is not None and piece.text in piece.parent for piece in pieces)
    assert all(estimated_tokens(piece.text) <= 20 < estimated_tokens(piece.parent or "") <= 60 for piece in pieces[:-3])
    for before, after in pairwise(parents):
        assert sentences(after or "")[0] in sentences(before or "")


def semantic(beside: int = 0) -> dict[str, Any]:
    """Cuts at the tenth of the places where the meaning changes most."""
    settings = {"maxTokens": 100, "bufferSize": beside, "breakpointPercentileThreshold": 90}
    return {"chunkingConfiguration": {"chunkingStrategy": "SEMANTIC", "semanticChunkingConfiguration": settings}}


def test_a_text_is_cut_where_its_meaning_changes_most() -> None:
    topics = ["Tents are rented by the day."] * 8 + ["Soup is cooked with salt."] * 8
    asked: list[Sequence[str]] = []

    def distances(texts: Sequence[str]) -> list[float]:
        asked.append(texts)
        return [0.0 if one[:4] == other[:4] else 1.0 for one, other in pairwise(texts)]

    pieces = chunker(semantic(), distances)(" ".join(topics))
    assert pieces == [Piece(" ".join(topics[:8])), Piece(" ".join(topics[8:]))]
    chunker(semantic(beside=1), distances)(" ".join(topics))
    assert asked[1][8] == " ".join(topics[7:10])


def test_semantic_chunking_takes_no_text_over_its_limit() -> None:
    with pytest.raises(TooLongError, match="File body text exceeds size limit of 1000000 for semantic chunking"):
        chunker(semantic(), no_distances)("A word. " * 130_000)


WORDS = {
    "ja": "有給休暇は年に二十日付与されます。\n会社は九時に始まります。\n",
    "zh": "员工每年享有二十天带薪休假。\n公司九点开始营业。\n",
    "de": "Die Öffnungszeiten für den Laden.\nTäglich ab acht.\n",
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        *(("ja", each) for each in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932", "euc_jp", "iso2022_jp")),
        *(("zh", each) for each in ("gbk", "gb18030", "utf-16-le")),
        *(("de", each) for each in ("cp1252", "utf-16", "utf-16-be")),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_a_text_in_another_encoding_is_read(name: str, language: str, encoding: str) -> None:
    read = text_of(name, WORDS[language].encode(encoding))
    assert "".join(read.split()) == "".join(WORDS[language].replace("\n", "").split())


def test_a_page_says_in_which_encoding_it_is() -> None:
    page = "<meta charset=Shift_JIS><h1>価格</h1>"
    assert text_of("a.html", page.encode("cp932")) == "# 価格"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\r1,2\r", [["a", "b"], ["1", "2"]]),
        ('"a","say ""x"""\n"two\nlines",2\n', [["a", 'say "x"'], ["two\nlines", "2"]]),
        (",x\n\n \n", [["", "x"]]),
        ('"never closed,2\n3,4', [['"never closed', "2"], ["3", "4"]]),
        (f"a,{'x' * 200_000}", [["a", "x" * 200_000]]),
        ("", []),
    ],
)
def test_rows_of_csv(text: str, expected: list[list[str]]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize("name", ["rules.doc", "rules.docx", "rules.pdf"])
def test_a_document_says_the_same_in_every_format(name: str) -> None:
    text = text_of(name, (FILES / name).read_bytes())
    for line in (
        "Employees receive 20 days of paid leave after one year of service. Unused days may be carried over for one "
        "year.",
        "A doctor's note is needed from the third day on.",
        "Kind 区分: Sick leave 病気休暇, Days 日数: 5, Paid: yes",
        "Kind 区分: Moving 引越, Days 日数: 2, Paid: no",
        "The office closes at six in the evening.",
    ):
        assert line in text.split("\n")
    assert "千円を超える支出には領収書の添付が必須です。" in text
    if name != "rules.doc":
        assert {"# Rental rules 貸出規程", "### 1.1 Sick leave" if name == "rules.pdf" else "## 1.1 Sick leave"} <= set(
            text.split("\n")
        )


@pytest.mark.parametrize("name", ["prices.xls", "prices.xlsx"])
def test_a_workbook_says_the_same_in_either_format(name: str) -> None:
    assert text_of(name, (FILES / name).read_bytes()) == (
        "# Prices 価格\n"
        "Item 品目: Tent テント, Price: 12000, From: 2026-04-01\n"
        "Item 品目: Stove, Price: 4500.5, From: 2026-05-10\n"
        "Item 品目: Lamp ランプ, Price: True\n\n"
        "# Notes\nOnly one line."
    )
