"""Sentences and token estimates of Japanese, English and mixed text."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Matches start where white space starts, else a long run of it would be tried from every place in it.
# A sentence ends after 。！？ (with a closing bracket), after . ! ? before a space, at a blank line, and at a line end.
_BOUNDARY = re.compile(
    r"(?<=[。！？!?．])(?![」』）)\]。！？!?])\s*|(?<=[」』）])(?<=[。！？][」』）])(?![ぁ-ん])\s*|(?<=[.!?])\s+|(?<!\s)\s*\n\s*"
)
# A point that ends no sentence: of an abbreviation, an initial, or the number of a list item or heading.
_ABBREVIATION = re.compile(
    r"(?:^[#\s]*\d{1,3}|\b(?:Mr|Mrs|Ms|Dr|St|No|Inc|Ltd|Co|vs|e\.g|i\.e|etc|approx|Art|Sec|Fig)|(?<!°)\b[A-Z])\.$", re.M
)
_WIDE = re.compile(r"[　-ヿ㐀-鿿豈-﫿＀-￯가-힯]")

# What starts a line of its own: a list's mark, a heading's, a bar, or a label before a colon.
_LINE_STARTED = re.compile(r"\s*(?:[-*+>・•●◦‣|#]|\d{1,3}[.)．、]|[（(]\w{1,3}[）)]|[①-⑳]|[^\s:。.,][^:。.,]{0,30}: )")
_LINE_ENDED = re.compile(r"[。．.!?！？:：|」]\s*$")
_FIRST_WORD = re.compile(r"\s*([^\s　-ヿ㐀-鿿豈-﫿＀-￯가-힯]+|\S)")
# A line that goes on in small letters need not have come as close to the margin.
_GOES_ON, _CLOSE = re.compile(r"\s*[a-z]"), 0.75
# Narrower than this nobody wraps prose, and wider no terminal or typewriter does.
_NARROWEST, _WIDEST = 60, 200


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` in order, stripped, none empty.

    A line end ends one too, as in lists and headings, unless the line is wrapped there.
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence starts and ends in ``text`` (end exclusive)."""
    spans: list[tuple[int, int]] = []
    start = 0
    soft = _soft_breaks(text)
    for boundary in _BOUNDARY.finditer(text):
        line_end = text.find("\n", boundary.start(), boundary.end())
        if line_end in soft:
            continue
        if line_end < 0 and _ABBREVIATION.search(text, max(0, boundary.start() - 12), boundary.start()):
            continue
        _add(spans, text, start, boundary.start())
        start = boundary.end()
    _add(spans, text, start, len(text))
    return spans


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def estimated_tokens(text: str) -> int:
    """About how many tokens an embedding model makes of ``text``: 0.65 a wide character, 0.25 any other.

    Fitted to the XLM-RoBERTa tokenizer of multilingual-e5-small; that of Titan is not public, and no closer estimate of
    it is known.
    """
    return max(1, round(token_weight(text))) if text else 0


def token_weight(text: str) -> float:
    """The same before rounding, which can be summed up."""
    wide = sum(1 for _ in _WIDE.finditer(text))
    return wide * 0.65 + (len(text) - wide) * 0.25


def columns_wide(text: str) -> int:
    """How many columns ``text`` takes where every Latin character takes one and every Japanese one two."""
    return len(text) + sum(1 for _ in _WIDE.finditer(text))


def unwrapped(
    text: str, margin: float | None = None, *, widths: Sequence[float] | None = None, always: bool = False
) -> str:
    """``text`` with wrapped lines put together; ``always`` takes every line end for a wrap.

    Lines are wrapped at ``margin``, in columns; without it, at the widest line. ``widths`` are those of the lines,
    where they are known better than their letters tell.
    """
    soft = (
        {at for at, character in enumerate(text) if character == "\n"} if always else _soft_breaks(text, margin, widths)
    )
    result, start = "", 0
    for at in sorted(soft):
        before, after = text[start:at].rstrip(), text[at:].lstrip()
        result += before
        if not (before and after and _WIDE.match(before[-1]) and _WIDE.match(after[0])):
            result += " "
        start = len(text) - len(after)
    return result + text[start:]


def _soft_breaks(text: str, margin: float | None = None, widths: Sequence[float] | None = None) -> frozenset[int]:
    """Where the line ends that only wrap a line: the next line's first word would not have fitted before it."""
    lines = text.split("\n")
    widths = widths or [columns_wide(line.rstrip()) for line in lines]
    if margin is None:
        margin = max((width for width in widths if width <= _WIDEST), default=0)
        if margin < _NARROWEST:
            return frozenset()
    soft = set()
    at = -1
    for line, width, following in zip(lines, widths, lines[1:], strict=False):
        at += len(line) + 1
        word = _FIRST_WORD.match(following)
        if (
            word
            and width <= _WIDEST
            and width + columns_wide(word[1]) + (0 if _WIDE.match(word[1]) else 1)
            > margin * (_CLOSE if _GOES_ON.match(following) else 1)
            and not _LINE_ENDED.search(line)
            and not _LINE_STARTED.match(following)
            and not line.lstrip().startswith(("#", "|"))
        ):
            soft.add(at)
    return frozenset(soft)
