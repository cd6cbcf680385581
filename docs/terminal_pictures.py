"""Draws what a terminal shows as SVG: text with the control sequences for colours in, a picture out. `docs/generate.py`
writes the pictures. Nothing is fetched by whoever looks at one: the fonts are those that the reader has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from rich.cells import cell_len, get_character_cell_size
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH = 112
"""Cells of a line; longer ones are broken."""
_CELL, _LINE, _MARGIN, _BAR = 8.4, 19, 14, 34
"""Pixels: of a cell's width, of a line's height, around the text, and of the window's bar."""
_BACKGROUND, _FOREGROUND = "#1e222a", "#dcdfe4"
_THEME = TerminalTheme(
    (30, 34, 42),
    (220, 223, 228),
    [
        (75, 82, 99),
        (240, 113, 120),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (220, 223, 228),
    ],
)
_DISCS = {"🔴": "#dd2e44", "🟢": "#78b159"}
"""Drawn, because not every machine has a font with them."""


def drawn(shown: str) -> str:
    """The picture.

    Args:
        shown: what was typed, and what was printed, with or without control sequences for colours.
    """
    console = Console(width=WIDTH, force_terminal=True, color_system="truecolor")
    text = Text.from_ansi(shown.rstrip())
    text.highlight_regex(r"(?m)^\$ .*$", "bold")
    if "\x1b" not in shown:  # it was recorded where there were no colours
        text.highlight_regex(r"(?m)^.* ─+$", "bold cyan")
        text.highlight_regex(r"✓", "green")
    lines = console.render_lines(text, console.options, pad=False)
    width, height = round(WIDTH * _CELL + 2 * _MARGIN), len(lines) * _LINE + _BAR + _MARGIN
    size = f'width="{width}" height="{height}"'
    dots = "".join(
        f'<circle cx="{20 + 20 * number}" cy="18" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    fonts = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans Mono CJK JP', monospace"
    parts = (part for number, line in enumerate(lines) for part in _line(line, _BAR + (number + 0.75) * _LINE))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>',
            f'<rect width="{width}" height="{height}" rx="8" fill="{_BACKGROUND}"/>{dots}',
            f'<g font-family="{fonts}" font-size="14" fill="{_FOREGROUND}">',
            *parts,
            "</g>",
            "</svg>\n",
        ]
    )


def _line(segments: list[Segment], base: float) -> Iterator[str]:
    cell = 0
    for segment in segments:
        for run in _runs(segment.text):
            if run.strip():
                yield _run(run, _MARGIN + cell * _CELL, base, segment.style or Style())
            cell += cell_len(run)


def _runs(text: str) -> Iterator[str]:
    """Parts that are one picture each: signs of one width without a gap between them, a gap, a disc. So everything
    stands in its cell, whatever the widths of the reader's font."""
    for part in re.findall(rf"[{''.join(_DISCS)}]| {{2,}}|(?:[^ {''.join(_DISCS)}]| (?! ))+|.", text):
        run = ""
        for sign in part:
            if run and get_character_cell_size(sign) != get_character_cell_size(run[-1]):
                yield run
                run = ""
            run += sign
        yield run


def _run(run: str, left: float, base: float, style: Style) -> str:
    if run in _DISCS:
        return f'<circle cx="{left + _CELL:.1f}" cy="{base - 5:.1f}" r="6" fill="{_DISCS[run]}"/>'
    left += (len(run) - len(run.lstrip(" "))) * _CELL
    shown = run.strip(" ")
    looks = ""
    if style.color is not None and not style.color.is_default:
        looks += f' fill="{style.color.get_truecolor(_THEME).hex}"'
    if style.bold:
        looks += ' font-weight="bold"'
    if style.dim:
        looks += ' opacity="0.6"'
    length = f"{cell_len(shown) * _CELL:.1f}"
    return f'<text x="{left:.1f}" y="{base:.1f}" textLength="{length}"{looks}>{escape(shown)}</text>'
