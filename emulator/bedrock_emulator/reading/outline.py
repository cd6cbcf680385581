"""What a text states, and under which headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bedrock_emulator.reading.sentences import columns_wide, sentence_spans, unwrapped
from bedrock_emulator.reading.tables import markdown_tables_written_out

_MARKED_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
_LIST_MARK = re.compile(
    r"\A(?:(?:[-*+>・•●◦‣]|\d{1,3}[.)．])\s+|[・•●◦‣]|[（(][\d０-９]{1,3}[）)]\s*|[①-⑳]\s*|\d{1,2}(?:\.\d{1,2})+\s+(?=[A-Z]))"
)
_EMPHASIS = re.compile(r"\*\*|__|`")
_RULE = re.compile(r"[\W_]+")
_GAP = re.compile(r"\s*\t\s*|\s{3,}")
_QUESTION = re.compile(r"[?？]$|(?:です|ます|でしょう|ました|ません)か[。]?$")
_SHORTEST = 4
# A heading without a mark is the short first line of a block of text, or a line in capitals.
_PLAIN_LEVEL, _PLAIN_COLUMNS = 6, 60
_CAPITALS = re.compile(r"(?=.*[A-Z]{4})[^a-zぁ-ヿ一-鿿:]+")
_NOT_IN_HEADINGS = re.compile(r"[。．.!?！？:：;；,、|]$|[。：]|: |\. |\s{3,}|\t|@")
_BULLET = re.compile(r"[-*+>・•●◦‣（(①-⑳]")
_NUMBERED = re.compile(r"\d{1,3}[.)．]\s")

Headings = tuple[tuple[int, str], ...]
"""The headings that a text stands under, each with its level, the outermost first."""


@dataclass(frozen=True)
class Statement:
    """A sentence or a table's row without mark-up, and the headings it stands under."""

    text: str
    headings: Headings

    @property
    def in_context(self) -> str:
        """The statement after its headings."""
        return " ".join([*(text for _, text in self.headings), self.text])


def title(name: str) -> Headings:
    """The outermost heading of a document: its file's name in words."""
    words = re.sub(r"[-_\s]+", " ", PurePosixPath(name).stem).strip()
    return ((0, words),) if words else ()


def read(text: str, headings: Headings = ()) -> tuple[list[Statement], Headings]:
    """What ``text`` states, in order, and the headings in force at its end; ``headings`` are those at its start.

    Questions state nothing.
    """
    found = []
    for part in _read(text, headings):
        if isinstance(part, Statement):
            found.append(part)
        else:
            headings = part
    return found, headings


def _read(text: str, headings: Headings) -> Iterator[Statement | Headings]:
    text = markdown_tables_written_out(text)
    spans = sentence_spans(text)
    for number, (start, end) in enumerate(spans):
        sentence = text[start:end]
        if heading := _heading(text, spans, number):
            level = heading[0]
            headings = (*(known for known in headings if known[0] < level), heading)
            yield headings
            continue
        plain = _plain(sentence)
        if len(plain) >= _SHORTEST and not _RULE.fullmatch(plain) and not _QUESTION.search(plain):
            yield Statement(plain, headings)


def _plain(sentence: str) -> str:
    bare = _EMPHASIS.sub("", _LIST_MARK.sub("", unwrapped(sentence, always=True), count=1))
    return _GAP.sub(": ", bare).strip()


def _heading(text: str, spans: Sequence[tuple[int, int]], number: int) -> tuple[int, str] | None:
    start, end = spans[number]
    sentence = text[start:end]
    if marked := _MARKED_HEADING.fullmatch(sentence):
        return len(marked[1]), _EMPHASIS.sub("", _LIST_MARK.sub("", marked[2]))
    unnumbered = _LIST_MARK.sub("", sentence)
    if "\n" in sentence or columns_wide(sentence) > _PLAIN_COLUMNS:
        return None
    before = text[spans[number - 1][1] : start] if number else "\n\n"
    after = text[end : spans[number + 1][0]] if number + 1 < len(spans) else ""
    if "\n" not in before or "\n" not in after:
        return None
    if not _CAPITALS.fullmatch(unnumbered):
        if (
            _BULLET.match(sentence)
            or _NOT_IN_HEADINGS.search(unnumbered)
            or before.count("\n") < 2
            or after.count("\n") != 1
        ):
            return None
        following = text[slice(*spans[number + 1])]
        if _NUMBERED.match(sentence) and _NUMBERED.match(following):
            return None
    return (_PLAIN_LEVEL if number else 1), unnumbered
