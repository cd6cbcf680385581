"""Lists given out in pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from bedrock_emulator.wire.errors import validation

T = TypeVar("T")

# How long an unasked page is, AWS does not say. Short, so that reading only the first page shows.
DEFAULT_PAGE = 10


def page(
    items: Sequence[T], what: str, size: int | None, token: str | None, default: int = DEFAULT_PAGE
) -> tuple[list[T], str | None]:
    """One page of ``items`` and the token of the next, None at the end.

    ``what`` names the list and its scope: a token of another list is refused with a ValidationException.
    """
    # A digest, because the scope of a search holds the whole question, and the models limit a token's length.
    scope = blake2b(what.encode(), digest_size=12).hexdigest()
    start = _start(token, scope) if token is not None else 0
    end = start + (size or default)
    following = base64.urlsafe_b64encode(json.dumps([scope, end]).encode()).decode() if end < len(items) else None
    return list(items[start:end]), following


def _start(token: str, scope: str) -> int:
    try:
        match json.loads(base64.urlsafe_b64decode(token)):
            case [str(of), int(start)] if of == scope and type(start) is int and start > 0:
                return start
    except (binascii.Error, ValueError, RecursionError):
        raise validation("The provided nextToken is invalid.") from None
    raise validation("The provided nextToken is invalid.")
