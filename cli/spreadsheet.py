"""Tables for spreadsheets, as CSV (RFC 4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from kbfleet.domain.printable import printable

_FORMULAS = tuple("=+-@\t\r＝＋－＠")
"""What a cell begins with that a spreadsheet reads as a formula, also in full width. Source: OWASP, CSV Injection."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The header and the rows. Text from outside stays text, in a spreadsheet as on a terminal.

    Args:
        rows: of texts and numbers; `None` is an empty cell.
    """
    written = StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    # A leading apostrophe makes it text, and is not shown.
    return ("'" if text.lstrip(" ").startswith(_FORMULAS) else "") + printable(text)
