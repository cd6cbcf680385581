"""Text from outside, made visible: the one way from what tenants, documents, events and AWS say to whatever shows it.

What moves a cursor, breaks a line, turns the direction of reading around or cannot be seen at all is written as Python
writes it in a literal, such as `\\n`, `\\x1b` or `\\u202e`. All else stays as it is, in every script: letters,
combining marks, emoji, and the spaces that stand in a line. Markup is not dealt with here: each device has a way to
show text without reading any.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable

ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER = "\u200d", "\u200c"
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and a sign by their category, but with nothing to be seen. Source: Unicode, DerivedCoreProperties,
Default_Ignorable_Code_Point, without variation selectors, which choose a form of the letter before them; and the blank
braille pattern."""
_VIRAMA = 9
"""Canonical combining class. Source: Unicode Standard, section 4.3."""
_VARIATION_SELECTOR_16 = "\ufe0f"
_SKIN_TONES = range(0x1F3FB, 0x1F400)


def printable(text: str, *, keep: str = "", written: Callable[[str], str] | None = None) -> str:
    """The same text in one line, of characters that can be seen. What is printable already is not changed.

    Args:
        keep: characters that stay although they cannot be seen, such as a line feed where several lines are meant.
        written: how a character that cannot be seen is written, if not as in a literal of Python.
    """
    if text.isascii() and text.isprintable():
        return text
    write = written or _as_in_a_literal
    return "".join(
        character if character in keep or _is_seen(text, place) else write(character)
        for place, character in enumerate(text)
    )


def printable_json(document: str) -> str:
    """JSON text that means the same, in which nothing that cannot be seen is left but its own line feeds."""
    return printable(document, keep="\n", written=lambda character: json.dumps(character)[1:-1])


def is_printable(text: str) -> bool:
    return printable(text) == text


def _as_in_a_literal(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _is_seen(text: str, place: int) -> bool:
    character = text[place]
    if character in _BLANK:
        return False
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return True
    return character in {ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER} and _joins(text, place)


def _joins(text: str, place: int) -> bool:
    """Whether a joiner changes how the characters beside it look, as in Persian, in the scripts of India, and in emoji
    of several people. Anywhere else it only makes two names that look alike.

    Source: RFC 5892, appendices A.1 and A.2; Unicode Technical Standard 51, section 2.3.
    """
    if not 0 < place < len(text) - 1:
        return False
    joiner, before, after = text[place], text[place - 1], text[place + 1]
    if not (before + after).isprintable() or not _BLANK.isdisjoint(before + after):
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if joiner == ZERO_WIDTH_NON_JOINER:
        return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    is_emoji = unicodedata.category(before) == "So" or before == _VARIATION_SELECTOR_16 or ord(before) in _SKIN_TONES
    return is_emoji and unicodedata.category(after) == "So"
