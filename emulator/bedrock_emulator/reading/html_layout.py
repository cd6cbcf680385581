"""Headings, paragraphs, lists and tables read from HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PreformattedString

from bedrock_emulator.reading.tables import written_out

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
            inline += "" if isinstance(child, PreformattedString) else _SPACE.sub(" ", child)
        elif isinstance(child, Tag) and child.name == "br":
            inline += "\n"
        elif isinstance(child, Tag) and child.name not in _HIDDEN:
            if child.name in _INLINE:
                inline += _SPACE.sub(" ", child.get_text())
                continue
            yield from _paragraph(inline)
            inline = ""
            yield from _block(child)
    yield from _paragraph(inline)


def _block(element: Tag) -> Iterator[str]:
    if element.name in _HEADINGS:
        if text := _squeezed(element.get_text(" ")):
            yield f"{_HEADINGS[element.name]} {text}"
    elif element.name == "table" and not element.find("table"):
        yield from _table(element)
    elif element.name in ("ul", "ol"):
        yield from filter(None, ["\n".join(_blocks(element))])
    elif element.name == "li":
        yield from _item(element)
    elif element.name == "pre":
        yield from filter(None, [element.get_text().strip("\n")])
    else:
        yield from _blocks(element)


def _table(element: Tag) -> Iterator[str]:
    """In one pass: a page that leaves out end tags has its cells within each other."""
    caption = ""
    rows: list[list[list[str]]] = []
    for part in element.descendants:
        if isinstance(part, Tag) and part.name == "tr":
            rows.append([])
        elif isinstance(part, Tag) and part.name in ("td", "th"):
            if not rows:
                rows.append([])
            rows[-1].append([])
        elif isinstance(part, NavigableString) and not isinstance(part, PreformattedString):
            if part.parent is not None and part.parent.name == "caption":
                caption += part
            elif rows and rows[-1]:
                rows[-1][-1].append(part)
    texts = [[_squeezed(" ".join(cell)) for cell in row] for row in rows]
    if caption.strip():
        yield f"{_HEADINGS['caption']} {_squeezed(caption)}"
    yield from filter(None, [written_out([row for row in texts if any(row)])])


def _item(element: Tag) -> Iterator[str]:
    own: list[str] = []
    for part in _blocks(element):
        # A list within the item, or the next item where the page leaves out the end tag.
        if part.startswith("- "):
            yield from filter(None, [" ".join(own) and f"- {' '.join(own)}", part])
            own = []
        else:
            own.append(part)
    if own:
        yield f"- {' '.join(own)}"


def _paragraph(text: str) -> Iterator[str]:
    if lines := [line for line in map(_squeezed, text.split("\n")) if line]:
        yield "\n".join(lines)


def _squeezed(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
