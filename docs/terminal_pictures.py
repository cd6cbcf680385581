"""Draws what a terminal shows as SVG: text with the control sequences for colours in, a picture out. `docs/generate.py`
writes the pictures. Nothing is fetched by whoever looks at one: the fonts are those that the reader has.
"""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH = 112
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono CJK JP", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_THEME = TerminalTheme(
    background=(30, 34, 42),
    foreground=(220, 223, 228),
    normal=[
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


def drawn(name: str, shown: str) -> str:
    """The picture.

    Args:
        name: of the picture: a word of letters and hyphens, unique on a page.
        shown: what was typed, and what was printed.
    """
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, color_system="truecolor")
    text = Text.from_ansi(shown)
    text.highlight_regex(r"^\$ .*$", "bold")
    console.print(text, highlight=False, soft_wrap=False)
    svg = console.export_svg(title="", theme=_THEME, code_format=_FORMAT, unique_id=name)
    return "\n".join(line.rstrip() for line in re.sub(r"\n\s*\n+", "\n", svg).splitlines()) + "\n"
