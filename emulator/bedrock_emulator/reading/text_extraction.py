"""Text out of the file formats that the default parser reads.

AWS documentation, "Prerequisites for your Amazon Bedrock knowledge base data": .txt .md .html .doc/.docx .csv
.xls/.xlsx .pdf, 50 MB at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from threading import Lock
from typing import Any

from bedrock_emulator.reading.html_layout import html_text
from bedrock_emulator.reading.office import old_word_text, old_workbook_text, word_text, workbook_text
from bedrock_emulator.reading.pdf_layout import page_texts
from bedrock_emulator.reading.plain_text import decoded, rows
from bedrock_emulator.reading.tables import markdown_tables_written_out, written_out

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """A stretch of text; ``number`` is its page (from 1) in formats that have pages.

    ``attributes`` are those of this stretch alone, beside the document's.
    """

    text: str
    number: int | None = None
    attributes: dict[str, str] = field(default_factory=dict)


class UnreadableError(Exception):
    """The bytes are not a sound file of their format."""


Extractor = Callable[[bytes], list[Page]]


def extractor(key: str) -> Extractor | None:
    """How to read a file by the ending of its name; None when the format is not supported.

    Whatever is wrong with a file, its reader raises UnreadableError and nothing else.
    """
    return _EXTRACTORS.get(ending(key))


def ending(key: str) -> str:
    """That of a file's name, with its point, in small letters."""
    return PurePosixPath(key).suffix.lower()


def guarded(read: Extractor) -> Extractor:
    """The same reader, for which UnreadableError is all that can go wrong."""

    def reader(body: bytes) -> list[Page]:
        try:
            return read(body)
        except UnreadableError:
            raise
        except Exception as error:
            _log.debug("unreadable", exc_info=error)
            raise UnreadableError(f"{type(error).__name__}: {error}") from error

    return reader


def _plain(body: bytes) -> list[Page]:
    return [Page(decoded(body))]


def _csv(body: bytes) -> list[Page]:
    return [Page(written_out(rows(decoded(body))))]


def _markdown(body: bytes) -> list[Page]:
    (page,) = _plain(body)
    return [Page(markdown_tables_written_out(page.text))]


def _html(body: bytes) -> list[Page]:
    from bs4 import BeautifulSoup
    from bs4.dammit import EncodingDetector

    # A page may say itself in which encoding it is; else it is told as of other texts.
    declared = EncodingDetector.find_declared_encoding(body[:4_096], is_html=True)
    page = BeautifulSoup(body if declared else decoded(body), "html.parser")
    try:
        return [Page(html_text(page))]
    except RecursionError:
        return [Page(page.get_text("\n"))]  # nested deeper than any layout means something


# PDFium is not made for two threads at once.
_pdfium_in_use = Lock()


def _pdf(body: bytes) -> list[Page]:
    with opened_pdf(body) as document:
        return [Page(text, number) for number, text in enumerate(page_texts(list(document)), start=1)]


class opened_pdf:  # noqa: N801 - used like a function
    """A ``pypdfium2`` document for a ``with`` block, which no other thread has at the time."""

    def __init__(self, body: bytes) -> None:
        """``body`` is the file."""
        self._body = body
        self._document: Any = None

    def __enter__(self) -> Any:
        import pypdfium2

        _pdfium_in_use.acquire()
        try:
            self._document = pypdfium2.PdfDocument(self._body)
        except BaseException:
            _pdfium_in_use.release()
            raise
        return self._document

    def __exit__(self, *_: object) -> None:
        try:
            self._document.close()
        finally:
            _pdfium_in_use.release()


def _one(read: Callable[[bytes], str]) -> Extractor:
    return lambda body: [Page(read(body))]


def records(body: bytes, content: str, kept: Callable[[str], bool]) -> Iterator[Page]:
    """A page for each row of CSV: the text of the column ``content``, and the columns that are ``kept`` as attributes.

    UnreadableError where it has no such column.
    """
    try:
        header, *following = rows(decoded(body))
    except ValueError as error:
        raise UnreadableError("no header") from error
    if content not in header:
        raise UnreadableError(f"no column {content}")
    for row in following:
        cells = dict(zip(header, row, strict=False))
        attributes = {name: cell for name, cell in cells.items() if name != content and cell and kept(name)}
        yield Page(cells.get(content, ""), attributes=attributes)


_EXTRACTORS: dict[str, Extractor] = {
    ending: guarded(read)
    for ending, read in {
        ".txt": _plain,
        ".md": _markdown,
        ".html": _html,
        ".csv": _csv,
        ".doc": _one(old_word_text),
        ".docx": _one(word_text),
        ".pdf": _pdf,
        ".xls": _one(old_workbook_text),
        ".xlsx": _one(workbook_text),
    }.items()
}
