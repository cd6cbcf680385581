"""Text read from files, and cut into chunks."""

from __future__ import annotations

import io
from itertools import pairwise

import docx
import openpyxl  # type: ignore[import-untyped]
import pytest

from bedrock_emulator.reading.chunking import chunker
from bedrock_emulator.reading.sentences import estimated_tokens, sentences
from bedrock_emulator.reading.text_extraction import UnreadableError, extractor
from bedrock_emulator.wire.errors import NotEmulatedError


def text_of(name: str, body: bytes) -> str:
    """The whole text of a file."""
    extract = extractor(name)
    assert extract is not None
    return "\n".join(page.text for page in extract(body))


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


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx"])
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


@pytest.mark.parametrize("name", ["a.exe", "a", "a.doc", "a.txt.bak"])
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
    chunks = chunker(None)(sentence * 100)
    assert len(chunks) > 2
    assert all(chunk.endswith((".", "。")) for chunk in chunks)
    assert all(200 <= estimated_tokens(chunk) <= 300 for chunk in chunks[:-1])
    assert "".join(chunks).replace(" ", "") == (sentence * 100).replace(" ", "")


def test_chunks_of_a_fixed_size_overlap() -> None:
    text = " ".join(f"This is sentence number {number}." for number in range(60))
    plain, overlapping = chunker(fixed(50, 1))(text), chunker(fixed(50, 30))(text)
    assert max(estimated_tokens(chunk) for chunk in overlapping) <= 50
    assert len(overlapping) > len(plain)
    for before, after in pairwise(overlapping):
        assert sentences(after)[0] in sentences(before)


def test_a_sentence_longer_than_a_chunk_is_cut() -> None:
    chunks = chunker(fixed(20, 1))("あ" * 500)
    assert "".join(chunks) == "あ" * 500
    assert max(estimated_tokens(chunk) for chunk in chunks) <= 21


def test_without_chunking_a_document_is_one_chunk() -> None:
    text = "One. " * 1_000
    assert chunker({"chunkingConfiguration": {"chunkingStrategy": "NONE"}})(text) == [text]


def test_strategies_that_are_not_emulated_say_so() -> None:
    with pytest.raises(NotEmulatedError, match="SEMANTIC"):
        chunker({"chunkingConfiguration": {"chunkingStrategy": "SEMANTIC"}})
