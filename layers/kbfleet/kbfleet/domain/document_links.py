"""Links by which single documents can be opened, and how what is behind them is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote

LINK_VALID = timedelta(minutes=5)
"""Ours: long enough to follow it, too short to pass it on."""

_SHOWN = {".pdf": "application/pdf", ".txt": "text/plain; charset=utf-8", ".md": "text/plain; charset=utf-8"}
"""What a browser shows and in which nothing runs, whatever type the object says that it has."""


@dataclass(frozen=True, slots=True)
class DocumentLink:
    """The right to read one document as it is in the bucket, for whoever has the link."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Presentation:
    """With which headers a document is sent.

    Args:
        content_type: `None` for the object's own.
    """

    disposition: str
    content_type: str | None = None


def presentation(key: str) -> Presentation:
    """PDFs and plain text are shown; everything else, web pages first of all, is saved under the document's name."""
    path = PurePosixPath(key)
    content_type = _SHOWN.get(path.suffix.lower())
    # Of RFC 8187, in which nothing of a name can act.
    name = quote(path.name or "document", safe="")
    return Presentation(f"{'attachment' if content_type is None else 'inline'}; filename*=UTF-8''{name}", content_type)
