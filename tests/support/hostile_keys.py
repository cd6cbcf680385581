"""Keys of documents that something on their way might take for something else: a shell, a path, a URL, XML, a policy,
another form of Unicode, a URI."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator

from kbfleet.domain.document_names import MAX_KEY_BYTES
from tests.support.hostile_words import FILLS_THE_CLIPBOARD

_COLUMN = 16
"""Blocks of Unicode begin and end with a column of so many characters. Source: Unicode Standard, 3.4."""


def _of_every_block() -> Iterator[str]:
    """Keys that together have the first printable character of each column of each block."""
    key = ""
    for first in range(0x20, sys.maxunicode + 1, _COLUMN):
        column = map(chr, range(first, first + _COLUMN))
        character = next((each for each in column if unicodedata.category(each)[0] != "C" and each != "/"), "")
        if len(f"{key}{character}.md".encode()) > MAX_KEY_BYTES:
            yield f"{key}.md"
            key = ""
        key += character
    yield f"{key}.md"


BLOCKS = tuple(_of_every_block())

LOOK_ALIKE = (
    *(unicodedata.normalize(form, "ガイド/デザイン.md") for form in ("NFC", "NFD")),
    f"{unicodedata.normalize('NFD', 'ガイド')}/{unicodedata.normalize('NFC', 'デザイン')}.md",
    "\u00c5.md",
    "\u212b.md",
    "A\u030a.md",
    *(unicodedata.normalize(form, "한글.md") for form in ("NFC", "NFD")),
    "ﬁ.md",
    "fi.md",
    "a.md",
    "A.md",
)
"""Among them the same name in both forms of Unicode and mixed, and in one that neither form keeps."""

PATHS = (
    "/a.md",
    "//a.md",
    "a//b.md",
    ".",
    "..",
    "./a.md",
    "../a.md",
    "a/../b.md",
    "a/./b.md",
    "a/..",
    "%2Fa.md",
    "%2fa.md",
    "%252Fa.md",
    "%2F..%2F..%2Fa.md",
    "%00.md",
    "%",
    "why",
    "retry",
    "a.md/link",
    "s3://kbfleet-sakura-0123456789/a.md",
    "s3:a.md",
)

SIGNS = (
    "a b+c&d=e?f#g;h.md",
    "\"'`<>[]{}|\\^~.md",
    "&lt;a&gt;.md",
    "]]><!-- a.md",
    "[red]a[/].md",
    "$(a) ${b} `c` !d.md",
    "*?.md",
    "--yes",
    "-",
    " a.md",
    "a.md ",
    " ",
    "\U0001f600 ﷽ \u202e \u200b.md",
    "\ufeffa.md",
    "x" * 1_021 + ".md",
    "規" * 340 + "a.md",
    "\U0001f600" * 256,
)

UNWRITABLE = (
    "\x01.md",
    "a\x1b[31mb.md",
    f"{FILLS_THE_CLIPBOARD}.md",
    "a\tb.md",
    "a\nb.md",
    "a\rb.md",
    "a\r\nb.md",
    "\x7f.md",
    "\x85.md",
    "\u2028.md",
    "\ufffe.md",
    "\U0001ffff.md",
)
"""What XML has no character for, or changes."""

HOSTILE_KEYS = (*LOOK_ALIKE, *PATHS, *SIGNS, *UNWRITABLE, *BLOCKS)
