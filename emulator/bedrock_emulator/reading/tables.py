"""Tables written out as lines that can be understood away from their header."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKDOWN_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_MARKDOWN_BAR = re.compile(r"(?<!\\)\|")


def written_out(rows: Sequence[Sequence[str]]) -> str:
    """One line a row, each cell with the name of its column; the first row is the header.

    A row away from its header says nothing. Cells without content are left out.
    """
    if len(rows) < 2:
        return "\n".join(", ".join(cell for cell in row if cell) for row in rows)
    header, *records = rows
    return "\n".join(filter(None, (_record(header, record) for record in records)))


def _record(header: Sequence[str], record: Sequence[str]) -> str:
    return ", ".join(
        f"{header[column]}: {cell}" if column < len(header) and header[column].strip() else cell
        for column, cell in enumerate(record)
        if cell.strip()
    )


def markdown_tables_written_out(text: str) -> str:
    """``text`` with its Markdown tables (a header, a line of dashes, rows between bars) written out."""
    lines = text.split("\n")
    result: list[str] = []
    at = 0
    while at < len(lines):
        rule = lines[at + 1] if at + 1 < len(lines) else ""
        if "|" not in lines[at] or "|" not in rule or not _MARKDOWN_RULE.fullmatch(rule):
            result.append(lines[at])
            at += 1
            continue
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        result.append(written_out([_cells(line) for line in (lines[at], *lines[at + 2 : end])]))
        at = end
    return "\n".join(result)


def _cells(line: str) -> list[str]:
    bare = line.strip().removeprefix("|")
    if bare.endswith("|") and not bare.endswith("\\|"):
        bare = bare[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _MARKDOWN_BAR.split(bare)]
