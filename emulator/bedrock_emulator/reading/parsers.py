"""The parsers that a data source can choose, and what each reads.

AWS documentation, "Parsing options for your data source": the default parser reads text only. A foundation model reads
the pages of PDF files as they look; where it fails at a file, the default parser reads that instead, and nothing says
so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from bedrock_emulator.reading.text_extraction import Extractor, Page, UnreadableError, ending, extractor, guarded

FOUNDATION_MODEL = "BEDROCK_FOUNDATION_MODEL"

Parser = Callable[[str], Extractor | None]
"""How to read a file, by its name; None when its format is not supported."""


def strategy(ingestion: Mapping[str, Any] | None) -> str | None:
    """The ``parsingStrategy``; None where there is none, which means the default parser."""
    found = (ingestion or {}).get("parsingConfiguration", {}).get("parsingStrategy")
    return None if found is None else str(found)


def can_see() -> bool:
    """Whether the packages are installed that read a page from its pixels (``bedrock-emulator[ocr]``)."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


def parser(ingestion: Mapping[str, Any] | None, fails_at: Callable[[str], bool] = lambda _: False) -> Parser:
    """The parser of a ``vectorIngestionConfiguration``. ``fails_at`` says at which files it is to fail."""
    if strategy(ingestion) != FOUNDATION_MODEL:
        return extractor

    def chosen(key: str) -> Extractor | None:
        plain = extractor(key)
        if plain is None or ending(key) != ".pdf" or fails_at(key):
            return plain
        return lambda body: _seen_or_plain(body, plain)

    return chosen


def _seen_or_plain(body: bytes, plain: Extractor) -> list[Page]:
    from bedrock_emulator.reading.pixels import seen_pages

    try:
        return guarded(seen_pages)(body)
    except UnreadableError:
        return plain(body)
