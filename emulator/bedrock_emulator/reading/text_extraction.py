"""Text out of the file formats that the default parser reads.

AWS documentation, "Prerequisites for your Amazon Bedrock knowledge base data": .txt .md .html .doc/.docx .csv
.xls/.xlsx .pdf, 50 MB at most. Of these the emulator leaves out the binary formats .doc and .xls.
"""

from __future__ import annotations

import csv
import io
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from bedrock_emulator.reading.html_layout import html_text
from bedrock_emulator.reading.pdf_layout import page_texts
from bedrock_emulator.reading.tables import markdown_tables_written_out, written_out


@dataclass(frozen=True)
class Page:
    """A stretch of text; ``number`` is its page (from 1) in formats that have pages."""

    text: str
    number: int | None = None


class UnreadableError(Exception):
    """The bytes are not a sound file of their format."""


def extractor(key: str) -> Callable[[bytes], list[Page]] | None:
    """How to read a file by the ending of its name; None when the format is not supported."""
    return _EXTRACTORS.get(PurePosixPath(key).suffix.lower())


def _plain(body: bytes) -> list[Page]:
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return [Page(body.decode(encoding))]
        except UnicodeDecodeError:
            continue
    raise UnreadableError("not text in UTF-8 or Shift_JIS")


def _csv(body: bytes) -> list[Page]:
    (page,) = _plain(body)
    rows = [row for row in csv.reader(io.StringIO(page.text)) if any(cell.strip() for cell in row)]
    return [Page(written_out(rows))]


def _markdown(body: bytes) -> list[Page]:
    (page,) = _plain(body)
    return [Page(markdown_tables_written_out(page.text))]


def _html(body: bytes) -> list[Page]:
    from bs4 import BeautifulSoup

    return [Page(html_text(BeautifulSoup(body, "html.parser")))]


def _pdf(body: bytes) -> list[Page]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = PdfReader(io.BytesIO(body))
        return [Page(text, number) for number, text in enumerate(page_texts(reader.pages), start=1)]
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        # pypdf meets damaged files with whatever exception their damage happens to cause.
        raise UnreadableError(f"not a readable PDF: {error}") from error


def _docx(body: bytes) -> list[Page]:
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table

    try:
        document = docx.Document(io.BytesIO(body))
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UnreadableError(f"not a readable Word document: {error}") from error
    parts = []
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            parts.append(written_out([[cell.text for cell in row.cells] for row in item.rows]))
        elif item.style is not None and (item.style.name or "").startswith("Heading"):
            parts.append(f"# {item.text}")
        else:
            parts.append(item.text)
    return [Page("\n".join(parts))]


def _xlsx(body: bytes) -> list[Page]:
    import openpyxl  # type: ignore[import-untyped]
    from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

    try:
        workbook = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UnreadableError(f"not a readable Excel workbook: {error}") from error
    sheets = []
    for sheet in workbook.worksheets:
        rows = [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        filled = [row for row in rows if any(cell.strip() for cell in row)]
        if filled:
            sheets.append(f"# {sheet.title}\n{written_out(filled)}")
    workbook.close()
    return [Page("\n\n".join(sheets))]


_EXTRACTORS: dict[str, Callable[[bytes], list[Page]]] = {
    ".txt": _plain,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".csv": _csv,
    ".docx": _docx,
    ".pdf": _pdf,
    ".xlsx": _xlsx,
}
