"""Headings, paragraphs and tables read from the places that text has on a PDF page.

A PDF knows letters at places, not paragraphs: what belongs together shows in gaps, columns and the size of type.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from bedrock_emulator.reading.sentences import columns_wide, unwrapped
from bedrock_emulator.reading.tables import written_out

_PAGE_NUMBER = re.compile(r"\W*(?:(?:page|p\.)\s*)?\d{1,4}\s*(?:(?:/|of)\s*\d{1,4})?\W*", re.I)
_DIGITS = re.compile(r"\d+")
_SOFT_HYPHEN = "\u00ad"
_BROKEN_WORD = re.compile(r"\u00ad\s*")
# A table of contents leads to pages by points; what stands there is only the headings once more.
_LEADER = re.compile(r"(?:\s*\.){5,}\s*[\divxlc]*")
_NUMBER_AT_AN_END = re.compile(r"\A(\d{1,4})\b|\b(\d{1,4})\Z")
# Type this much larger than most of the document is a heading.
_HEADING_SIZE = 1.15
# Cells of a table are short; text set in two columns is not.
_LONGEST_MEAN_CELL = 30
# In sizes of the type: letters further apart than this have a space between them, cells a gap.
_SPACE, _GAP = 0.15, 1.2
# Letters stand on one line that are raised or lowered by less than this, as notes' numbers are.
_RAISED = 0.4
# Lines further apart than this many times the usual are of two paragraphs; large type may stand further apart.
_APART, _APART_IN_HEADINGS = 1.25, 1.5
# Of the width of the page's text: how close to its right a line that is wrapped comes.
_CLOSE_TO_MARGIN = 0.98
# What stands at the head or the foot of so many pages is no part of the text.
_REPEATED = 3
# A page with more letters than this is no page for people.
_MOST_LETTERS = 200_000

_Cells = list[tuple[int, str]]


@dataclass(frozen=True)
class _Word:
    text: str
    left: float
    right: float
    height: float
    size: float
    spaced: bool


@dataclass(frozen=True)
class _Line:
    """``cells`` have the columns that they start at, and ``right`` is where it ends, in widths of a Latin letter."""

    cells: _Cells
    height: float
    size: float
    right: float

    @property
    def text(self) -> str:
        return " ".join(cell for _, cell in self.cells)


_Block = list[_Line]


class CrowdedPageError(Exception):
    """A page holds more letters than anybody can read."""


def page_texts(pages: Sequence[Any]) -> list[str]:
    """The text of each page of ``pypdfium2``: headings marked with #, a line a paragraph, tables written out.

    CrowdedPageError where a page is none.
    """
    read = [_read(page) for page in pages]
    lines = [lines for lines, _ in read]
    levels = _levels(lines)
    furniture = _Furniture(lines)
    return [
        _page_text(_without(page, furniture.of(number, page)), running, levels)
        for number, (page, running) in enumerate(read)
    ]


# --- letters become words, words lines ------------------------------------------------------------


def _read(page: Any) -> tuple[list[_Line], str]:
    """The lines of a page from its top, and its text in the order it was written in."""
    letters = page.get_textpage()
    try:
        count = letters.count_chars()
        if count > _MOST_LETTERS:
            raise CrowdedPageError
        words = _words(letters.raw, count)
        return [line for line in _lines(words) if not any(map(_leads, line.cells))], letters.get_text_range().replace(
            "\r", ""
        ).replace("\ufffe", _SOFT_HYPHEN)
    finally:
        letters.close()


def _leads(cell: tuple[int, str]) -> bool:
    found = _LEADER.search(cell[1])
    return found is not None and found.end() == len(cell[1])


def _words(raw: Any, count: int) -> list[_Word]:
    import pypdfium2.raw as pdfium

    words: list[_Word] = []
    box, matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    x, y = ctypes.c_double(), ctypes.c_double()
    text, left, right, height, size = "", 0.0, 0.0, 0.0, 0.0
    for at in range(count):
        code = pdfium.FPDFText_GetUnicode(raw, at)
        letter = _SOFT_HYPHEN if code in (0x02, 0xFFFE) else chr(code) if 0x20 <= code < 0x110000 else " "
        if letter.isspace() or not pdfium.FPDFText_GetLooseCharBox(raw, at, box):
            if text:
                words.append(_Word(text, left, right, height, size, spaced=True))
                text = ""
            continue
        pdfium.FPDFText_GetCharOrigin(raw, at, x, y)
        near = text and abs(y.value - height) <= _RAISED * size and -size <= box.left - right <= _SPACE * size
        if not near:
            if text:
                words.append(_Word(text, left, right, height, size, spaced=False))
            pdfium.FPDFText_GetMatrix(raw, at, matrix)
            size = abs(pdfium.FPDFText_GetFontSize(raw, at) * (matrix.d or matrix.b)) or 1.0
            text, left, height = "", box.left, y.value
        text += letter
        right = box.right
    if text:
        words.append(_Word(text, left, right, height, size, spaced=True))
    return words


def _lines(words: Sequence[_Word]) -> list[_Line]:
    width = sum(word.right - word.left for word in words) / max(1, sum(columns_wide(word.text) for word in words))
    rows: list[list[_Word]] = []
    for word in sorted(words, key=lambda each: -each.height):
        if rows and abs(rows[-1][0].height - word.height) <= _RAISED * max(rows[-1][0].size, word.size):
            rows[-1].append(word)
        else:
            rows.append([word])
    return [_line(sorted(row, key=lambda word: word.left), max(width, 0.1)) for row in rows]


def _line(row: Sequence[_Word], width: float) -> _Line:
    cells: _Cells = [(_column(row[0], width), row[0].text)]
    for before, word in pairwise(row):
        gap = word.left - before.right
        size = max(before.size, word.size)
        if gap > _GAP * size:
            cells.append((_column(word, width), word.text))
        else:
            column, text = cells[-1]
            cells[-1] = (column, f"{text}{' ' if before.spaced or gap > _SPACE * size else ''}{word.text}")
    sizes: Counter[float] = Counter()
    for word in row:
        sizes[round(word.size, 1)] += len(word.text)
    return _Line(cells, row[0].height, sizes.most_common(1)[0][0], row[-1].right / width)


def _column(word: _Word, width: float) -> int:
    return int(max(0.0, word.left) / width)


# --- what stands at the head or the foot of every page --------------------------------------------


class _Furniture:
    """Lines at the heads and feet of several pages: the same on each, or with the number of the page at an end."""

    def __init__(self, pages: Sequence[Sequence[_Line]]) -> None:
        self._repeated: Counter[str] = Counter()
        self._numbered: Counter[int] = Counter()
        for number, lines in enumerate(pages):
            for line in _edges(lines):
                self._repeated.update({_DIGITS.sub("0", cell) for _, cell in line.cells})
                self._numbered.update(_offsets(line, number))

    def of(self, number: int, lines: Sequence[_Line]) -> list[_Line]:
        """Those lines of page ``number``, counted from 0."""
        return [line for line in _edges(lines) if self._is(number, line)]

    def _is(self, number: int, line: _Line) -> bool:
        return (
            bool(_PAGE_NUMBER.fullmatch(line.text))
            or any(self._repeated[_DIGITS.sub("0", cell)] >= _REPEATED for _, cell in line.cells)
            or any(self._numbered[offset] >= _REPEATED for offset in _offsets(line, number))
        )


def _edges(lines: Sequence[_Line]) -> list[_Line]:
    return [line for line in (*lines[:1], *lines[1:][-1:]) if len(line.cells) <= 3]


def _offsets(line: _Line, number: int) -> set[int]:
    """By how much the numbers at the ends of a line are ahead of the page's own."""
    return {int(first or last) - number for first, last in _NUMBER_AT_AN_END.findall(line.text)}


def _without(lines: Sequence[_Line], left_out: Sequence[_Line]) -> list[_Line]:
    return [line for line in lines if not any(line is each for each in left_out)]


# --- lines become paragraphs, tables and headings -------------------------------------------------


def _page_text(lines: Sequence[_Line], running: str, levels: Mapping[float, int]) -> str:
    blocks = _blocks(lines)
    if _set_in_columns(blocks):
        return _BROKEN_WORD.sub("", unwrapped(running))
    margin = _CLOSE_TO_MARGIN * _margin(lines)
    parts: list[str] = []
    at = 0
    while at < len(blocks):
        end = at
        while end < len(blocks) and _is_tabular(blocks[end]):
            end += 1
        if end > at and (rows := _rows(blocks[at:end])):
            parts.append(written_out(rows))
        else:
            end = max(end, at + 1)
            parts.extend(_paragraph(block, levels, margin) for block in blocks[at:end])
        at = end
    return "\n\n".join(parts)


def _margin(lines: Sequence[_Line]) -> float:
    """The right margin: on a page of many lines, a few may go beyond it."""
    rights = sorted(line.right for line in lines)
    return rights[len(rights) - 1 - len(rights) // 10] if rights else 0.0


def _blocks(lines: Sequence[_Line]) -> list[_Block]:
    """Lines that stand close to each other and are set in type of one size."""
    if not lines:
        return []
    steps = [above.height - below.height for above, below in pairwise(lines) if _alike(above, below)]
    usual = median(steps) if steps else 0.0
    blocks = [[lines[0]]]
    for above, below in pairwise(lines):
        least = min(above.size, below.size)
        close = above.height - below.height <= max(_APART * max(usual, least), _APART_IN_HEADINGS * least)
        if close and _alike(above, below):
            blocks[-1].append(below)
        else:
            blocks.append([below])
    return [part for block in blocks for part in _with_rest_apart(block)]


def _with_rest_apart(block: _Block) -> list[_Block]:
    """A table, and the text close below it: lines of one cell that goes beyond the first column."""
    last = max((at for at, line in enumerate(block) if len(line.cells) > 1), default=len(block))
    second = min((line.cells[1][0] for line in block if len(line.cells) > 1), default=0)
    rest = next((at for at in range(last + 1, len(block)) if block[at].right > second + 1), len(block))
    return [block[:rest], block[rest:]] if 0 < rest < len(block) and _is_tabular(block) else [block]


def _alike(above: _Line, below: _Line) -> bool:
    return max(above.size, below.size) < _HEADING_SIZE * min(above.size, below.size)


def _is_tabular(block: _Block) -> bool:
    return len(block[0].cells) > 1


def _set_in_columns(blocks: list[_Block]) -> bool:
    lines = [line for block in blocks for line in block]
    cells = [cell for line in lines if len(line.cells) > 1 for _, cell in line.cells]
    mostly = sum(len(line.cells) > 1 for line in lines) > len(lines) / 2
    return mostly and sum(map(columns_wide, cells)) > _LONGEST_MEAN_CELL * len(cells)


def _rows(blocks: list[_Block]) -> list[list[str]]:
    """The rows of a table; none when its lines share no columns. A row's further lines stand close below its first."""
    spaced = len(blocks) > 1
    lines = [line.cells for block in blocks for line in block]
    widest = max(lines, key=len)
    starts = [start for start, _ in widest]
    shared = sum(any(abs(start - known) <= 1 for known in starts[1:] for start, _ in line[1:]) for line in lines)
    if shared < 2:
        return []
    rows: list[list[str]] = []
    for block in blocks:
        for number, line in enumerate(block):
            if number == 0 or not spaced:
                rows.append([""] * len(starts))
            for start, cell in line.cells:
                column = min(range(len(starts)), key=lambda known: abs(starts[known] - start))
                rows[-1][column] = unwrapped(f"{rows[-1][column]}\n{cell}".strip(), always=True)
    return rows


def _paragraph(block: _Block, levels: Mapping[float, int], margin: float) -> str:
    text = "\n".join(line.text for line in block)
    level = levels.get(block[0].size)
    if level is not None:
        return "#" * level + " " + _BROKEN_WORD.sub("", unwrapped(text, always=True))
    return _BROKEN_WORD.sub("", unwrapped(text, margin, widths=[line.right for line in block]))


def _levels(pages: Sequence[Sequence[_Line]]) -> dict[float, int]:
    """The sizes of type that headings are set in, with their levels: the larger the type, the higher."""
    used: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            used[line.size] += len(line.text)
    if not used:
        return {}
    usual = used.most_common(1)[0][0]
    large = sorted((size for size in used if size >= usual * _HEADING_SIZE), reverse=True)
    return {size: min(level, 6) for level, size in enumerate(large, start=1)}
