"""Sentences and token estimates of Japanese, English and mixed text."""

from __future__ import annotations

import re

# A sentence ends after 。！？ (with a closing bracket), after . ! ? before a space, at a blank line, and at a line end.
_BOUNDARY = re.compile(
    r"(?<=[。！？!?．])(?![」』）)\]。！？!?])\s*|(?<=[」』）])(?<=[。！？][」』）])(?![ぁ-ん])\s*|(?<=[.!?])\s+|\s*\n\s*"
)
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|Inc|Ltd|Co|vs|e\.g|i\.e|etc|approx|Art|Sec|Fig)|\b[A-Z])\.$")
_WIDE = re.compile(r"[　-ヿ㐀-鿿豈-﫿＀-￯가-힯]")


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` in order, stripped, none empty. A line end ends one too, as in lists and headings."""
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence starts and ends in ``text`` (end exclusive)."""
    spans: list[tuple[int, int]] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if _ABBREVIATION.search(text, max(0, boundary.start() - 12), boundary.start()):
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
