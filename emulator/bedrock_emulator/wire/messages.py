"""The HTTP request and response that pass in and out of the emulator, free of any server's or client's own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    ``path`` is best given as it was sent, still percent-encoded; a decoded path is understood too. ``query`` is the raw
    query string without its question mark. Header names are matched without regard to case.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of the header ``name`` in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


@dataclass(frozen=True)
class Response:
    """One HTTP response, complete."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
