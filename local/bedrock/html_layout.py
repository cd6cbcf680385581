"""Headings, paragraphs, lists and tables read from HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PreformattedString

from local.bedrock.tables import written_out

_HIDDEN = frozenset({"head", "script", "style", "template", "noscript"})
# A term is to its description what a heading is to its section; lists of questions and answers are written so.
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)} | {"dt": "#" * 6, "caption": "#" * 6}
_INLINE = frozenset(
    """
    a abbr b bdi bdo button cite code data del dfn em font i img input ins kbd label mark q rp rt ruby s samp small span
    strong sub sup time tt u var wbr
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
_SPACE = re.compile(r"\s+")


def html_text(page: BeautifulSoup) -> str:
    """The text that a reader sees: headings marked with #, list items with -, paragraphs in a line, tables in lines."""
    return "\n\n".join(_blocks(page))


def _blocks(element: Tag) -> Iterator[str]:
    inline = ""
    for child in element.children:
        if isinstance(child, NavigableString):
            # Comments and doctypes are strings to the parser too.
            inline += "" if isinstance(child, PreformattedString) else str(child)
        elif isinstance(child, Tag) and child.name not in _HIDDEN:
            if child.name in _INLINE:
                inline += child.get_text()
                continue
            yield from _paragraph(inline)
            inline = ""
            yield from _block(child)
    yield from _paragraph(inline)


def _block(element: Tag) -> Iterator[str]:
    if element.name in _HEADINGS:
        for text in _paragraph(element.get_text()):
            yield f"{_HEADINGS[element.name]} {text}"
    elif element.name == "table" and not element.find("table"):
        rows = [[_squeezed(cell.get_text(" ")) for cell in row(["th", "td"])] for row in element("tr")]
        yield from filter(None, [written_out([row for row in rows if any(row)])])
    elif element.name in ("ul", "ol"):
        items = [" ".join(_blocks(item)) for item in element("li", recursive=False)]
        yield from filter(None, ["\n".join(f"- {item}" for item in items if item)])
    elif element.name == "pre":
        yield from filter(None, [element.get_text().strip("\n")])
    else:
        yield from _blocks(element)


def _paragraph(text: str) -> Iterator[str]:
    if squeezed := _squeezed(text):
        yield squeezed


def _squeezed(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
