"""Headings, paragraphs and tables read from the places that text has on a PDF page.

A PDF knows lines at places, not paragraphs: what belongs together shows in blank lines, columns and the size of type.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bedrock_emulator.reading.sentences import columns_wide, unwrapped
from bedrock_emulator.reading.tables import written_out

_CELL = re.compile(r"\S+(?: \S+)*")
_PAGE_NUMBER = re.compile(r"\W*(?:(?:page|p\.)\s*)?\d{1,4}\s*(?:(?:/|of)\s*\d{1,4})?\W*", re.I)
# Type this much larger than most of the page is a heading.
_HEADING_SIZE = 1.15
# Cells of a table are short; text set in two columns is not.
_LONGEST_MEAN_CELL = 30

_Line = list[tuple[int, str]]
_Block = list[_Line]


def page_texts(pages: Sequence[Any]) -> list[str]:
    """The text of each ``pypdf`` page: headings marked with #, a line a paragraph, tables written out."""
    headings = _headings(pages)
    return [_page_text(page, headings) for page in pages]


def _page_text(page: Any, headings: Mapping[str, int]) -> str:
    blocks = _blocks(page.extract_text(extraction_mode="layout"))
    if _set_in_columns(blocks):
        return unwrapped(page.extract_text())
    # Type is not all of one width, so lines that reach the margin come to different counts of characters.
    margin = 0.92 * max((columns_wide(_indented(line)) for block in blocks for line in block), default=0)
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
            parts.extend(_paragraph(block, headings, margin) for block in blocks[at:end])
        at = end
    return "\n\n".join(parts)


def _blocks(layout: str) -> list[_Block]:
    """Lines between blank lines, each as its cells with the columns they start at; page numbers left out."""
    blocks: list[_Block] = [[]]
    for line in layout.splitlines():
        cells = [(cell.start(), cell[0]) for cell in _CELL.finditer(line)]
        if cells:
            blocks[-1].append(cells)
        elif blocks[-1]:
            blocks.append([])
    blocks = [block for block in blocks if block]
    for place in (0, -1):
        if blocks and len(blocks[place]) == 1 and _PAGE_NUMBER.fullmatch(_joined(blocks[place][0])):
            del blocks[place]
    return blocks


def _joined(line: _Line) -> str:
    return " ".join(cell for _, cell in line)


def _indented(line: _Line) -> str:
    return " " * line[0][0] + _joined(line)


def _is_tabular(block: _Block) -> bool:
    return len(block[0]) > 1


def _set_in_columns(blocks: list[_Block]) -> bool:
    cells = [cell for block in blocks for line in block if len(line) > 1 for _, cell in line]
    lines = [line for block in blocks for line in block]
    mostly = sum(len(line) > 1 for line in lines) > len(lines) / 2
    return mostly and sum(map(columns_wide, cells)) > _LONGEST_MEAN_CELL * len(cells)


def _rows(blocks: list[_Block]) -> list[list[str]]:
    """The rows of a table; none when its lines share no columns. A row's further lines stand close below its first."""
    spaced = len(blocks) > 1
    lines = [line for block in blocks for line in block]
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
            for start, cell in line:
                column = min(range(len(starts)), key=lambda known: abs(starts[known] - start))
                rows[-1][column] = unwrapped(f"{rows[-1][column]}\n{cell}".strip(), always=True)
    return rows


def _paragraph(block: _Block, headings: Mapping[str, int], margin: float) -> str:
    levels = [headings.get(_squeezed(_joined(line)), 0) for line in block]
    if all(levels):
        return "#" * min(levels) + " " + unwrapped("\n".join(map(_joined, block)), always=True)
    lines = unwrapped("\n".join(map(_indented, block)), margin).split("\n")
    return "\n".join(line.strip() for line in lines)


def _headings(pages: Sequence[Any]) -> dict[str, int]:
    """The lines set in large type, without their spaces, with their levels: the larger the type, the higher."""
    lines: dict[tuple[int, int], list[tuple[float, str]]] = defaultdict(list)
    for number, page in enumerate(pages):

        def visit(text: str, cm: list[float], tm: list[float], _: object, size: float, number: int = number) -> None:
            if text.strip():
                height = round(tm[5] * cm[3] + cm[5])
                lines[number, height].append((round(abs(size * tm[3] * cm[3]), 1), text))

        page.extract_text(visitor_text=visit)
    used: Counter[float] = Counter()
    for runs in lines.values():
        for size, text in runs:
            used[size] += len(text)
    if not used:
        return {}
    usual = used.most_common(1)[0][0]
    large = {
        _squeezed("".join(text for _, text in runs)): size
        for runs in lines.values()
        if (size := min(size for size, _ in runs)) >= usual * _HEADING_SIZE
    }
    levels = {size: min(level, 6) for level, size in enumerate(sorted(set(large.values()), reverse=True), start=1)}
    return {line: levels[size] for line, size in large.items()}


def _squeezed(text: str) -> str:
    return "".join(text.split())
