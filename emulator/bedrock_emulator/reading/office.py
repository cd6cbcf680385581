"""Text out of Word and Excel files, those of the formats before 2007, too.

What a file claims of itself is not trusted: how much it unpacks to and how many cells it has is bounded.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime, time
from itertools import groupby
from typing import Any

from bedrock_emulator.reading.tables import written_out

# A document of 50 MB unpacks to some hundreds; a bomb to thousands of times its size.
_MOST_UNPACKED = 256 * 1024**2
_MOST_CELLS = 2_000_000


class UnsoundError(Exception):
    """The file is not one of its format, or claims more than any document holds."""


# --- since 2007: zip containers -------------------------------------------------------------------


def word_text(body: bytes) -> str:
    """Headings marked with #, a line a paragraph, tables written out. UnsoundError, or whatever python-docx raises."""
    import docx
    from docx.table import Table

    _check_unpacked(body, "word/")
    document = docx.Document(io.BytesIO(body))
    parts = []
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            parts.append(written_out([[cell.text for cell in row.cells] for row in item.rows]))
        elif level := _heading_level(item):
            parts.append(f"{'#' * level} {item.text}")
        else:
            parts.append(item.text)
    return "\n".join(parts)


def _heading_level(paragraph: Any) -> int:
    """0 where it is none. The names of built-in styles are the same in every language of Word."""
    name = (paragraph.style.name or "") if paragraph.style is not None else ""
    if name == "Title":
        return 1
    found = re.fullmatch(r"heading (\d)", name, re.I)
    return min(int(found[1]), 6) if found else 0


def workbook_text(body: bytes) -> str:
    """A heading and a table for each sheet that holds something. UnsoundError, or whatever openpyxl raises."""
    import openpyxl  # type: ignore[import-untyped]

    _check_unpacked(body, "xl/")
    workbook = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True)
    try:
        return _sheets((sheet.title, _cells(sheet)) for sheet in workbook.worksheets)
    finally:
        workbook.close()


def _check_unpacked(body: bytes, folder: str) -> None:
    with zipfile.ZipFile(io.BytesIO(body)) as container:
        entries = container.infolist()
        if sum(entry.file_size for entry in entries) > _MOST_UNPACKED:
            raise UnsoundError("it unpacks to more than any document holds")
        if not any(entry.filename.startswith(folder) for entry in entries):
            raise UnsoundError(f"nothing of {folder} is in it")


def _cells(sheet: Any) -> Iterator[list[str]]:
    # What a sheet says of its size may be wrong, or a million rows.
    sheet.reset_dimensions()
    for row in sheet.iter_rows(values_only=True):
        yield ["" if cell is None else _shown(cell) for cell in row]


def _shown(value: object) -> str:
    """As a sheet shows it: a day without a time has none."""
    return str(value.date() if isinstance(value, datetime) and value.time() == time() else value)


def _sheets(sheets: Iterable[tuple[str, Iterable[list[str]]]]) -> str:
    found = []
    held = 0
    for title, rows in sheets:
        filled = []
        for row in rows:
            held += len(row) + 1
            if held > _MOST_CELLS:
                raise UnsoundError("it has more cells than anybody reads")
            if any(cell.strip() for cell in row):
                filled.append(row)
        if filled:
            found.append(f"# {title}\n{written_out(filled)}")
    return "\n\n".join(found)


# --- before 2007: OLE containers ------------------------------------------------------------------


def old_workbook_text(body: bytes) -> str:
    """The same of an .xls file. UnsoundError, or whatever olefile and xlrd raise."""
    import olefile  # type: ignore[import-untyped]
    import xlrd  # type: ignore[import-untyped]

    # xlrd takes the stream alone, too; in a damaged container it would look for the stream's end for ever.
    with olefile.OleFileIO(io.BytesIO(body)) as container:
        name = next((name for name in ("Workbook", "Book") if container.exists(name)), None)
        if name is None:
            raise UnsoundError("no workbook before 2007")
        stream = container.openstream(name).read()
    workbook = xlrd.open_workbook(file_contents=stream, on_demand=True, logfile=io.StringIO())
    return _sheets((sheet.name, _old_cells(workbook, sheet)) for sheet in workbook.sheets())


def _old_cells(workbook: Any, sheet: Any) -> Iterator[list[str]]:
    import xlrd

    for number in range(sheet.nrows):
        row = []
        for cell in sheet.row(number):
            if cell.ctype == xlrd.XL_CELL_DATE:
                row.append(_date(cell.value, workbook.datemode))
            elif cell.ctype == xlrd.XL_CELL_NUMBER:
                row.append(str(int(cell.value)) if cell.value == int(cell.value) else str(cell.value))
            elif cell.ctype == xlrd.XL_CELL_BOOLEAN:
                row.append(str(bool(cell.value)))
            else:
                row.append("" if cell.ctype == xlrd.XL_CELL_ERROR else str(cell.value))
        yield row


def _date(value: float, datemode: int) -> str:
    import xlrd

    return _shown(xlrd.xldate_as_datetime(value, datemode))


# Microsoft, [MS-DOC]: the base of the file information block has its marks at these places (2.5.1), and its 34th pair
# of offsets, after the counts of what stands before, names the piece table (2.5.6, fcClx).
_MAGIC, _ENCRYPTED, _TABLE_1 = 0xA5EC, 0x0100, 0x0200
_CLX = 33
# Special characters of the text (2.4.1): cells and rows end with 7, and fields are their instruction between 19 and 20,
# what is shown between 20 and 21.
_FIELD = re.compile("\x13[^\x13\x14\x15]*\x14?([^\x13\x14\x15]*)\x15")
_BREAKS = str.maketrans({"\x0b": "\n", "\x0c": "\n", "\r": "\n", "\x1e": "-", "\x1f": "", "\xa0": " "})
_NOT_SHOWN = re.compile(r"[\x00-\x06\x08\x0e-\x1d]")


def old_word_text(body: bytes) -> str:
    """The paragraphs and tables of a .doc file, in its own words. UnsoundError, or whatever olefile raises."""
    import olefile

    with olefile.OleFileIO(io.BytesIO(body)) as container:
        if not container.exists("WordDocument"):
            raise UnsoundError("no Word document before 2007")
        text = container.openstream("WordDocument").read()
        (magic,) = struct.unpack_from("<H", text, 0)
        (flags,) = struct.unpack_from("<H", text, 10)
        if magic != _MAGIC or flags & _ENCRYPTED:
            raise UnsoundError("encrypted, or of a format before Word 97")
        table = container.openstream("1Table" if flags & _TABLE_1 else "0Table").read()
    return _paragraphs("".join(_pieces(text, table)))


def _pieces(text: bytes, table: bytes) -> Iterator[str]:
    """The text in order: pieces of one byte a letter, or of two ([MS-DOC] 2.4.1, 2.8.35, 2.9.73)."""
    (words,) = struct.unpack_from("<H", text, 32)
    at = 34 + 2 * words
    (longs,) = struct.unpack_from("<H", text, at)
    at += 2 + 4 * longs
    # The main text comes first; what follows are notes, headers and comments.
    (main,) = struct.unpack_from("<I", text, at - 4 * longs + 12)
    start, length = struct.unpack_from("<II", text, at + 2 + 8 * _CLX)
    clx = table[start : start + length]
    while clx[:1] == b"\x01":
        (skipped,) = struct.unpack_from("<H", clx, 1)
        clx = clx[3 + skipped :]
    if clx[:1] != b"\x02":
        raise UnsoundError("no piece table")
    (size,) = struct.unpack_from("<I", clx, 1)
    pieces = clx[5 : 5 + size]
    count = (len(pieces) - 4) // 12
    places = struct.unpack_from(f"<{count + 1}I", pieces, 0)
    for number in range(count):
        letters = min(places[number + 1], main) - places[number]
        if letters <= 0:
            continue
        (found,) = struct.unpack_from("<I", pieces, 4 * (count + 1) + 8 * number + 2)
        offset = found & 0x3FFF_FFFF
        if found & 0x4000_0000:
            yield text[offset // 2 : offset // 2 + letters].decode("cp1252", "replace")
        else:
            yield text[offset : offset + 2 * letters].decode("utf-16-le", "replace")


def _paragraphs(text: str) -> str:
    while _FIELD.search(text):
        text = _FIELD.sub(r"\1", text)
    text = _NOT_SHOWN.sub("", text.translate(_BREAKS))
    # A row ends with two marks: its last cell's and its own.
    rows = re.split(r"\x07\x07|\n(?=[^\x07\n]*(?:\n|\Z))|(?<=\n)", text)
    parts = []
    for tabular, found in groupby((row.strip("\n") for row in rows if row), key=lambda row: "\x07" in row):
        if tabular:
            parts.append(written_out([[" ".join(cell.split()) for cell in row.split("\x07")] for row in found]))
        else:
            parts.extend(found)
    return "\n".join(parts)
