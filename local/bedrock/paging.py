"""Lists given out in pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TypeVar

from local.bedrock.errors import validation

T = TypeVar("T")

# How long an unasked page is, AWS does not say. Short, so that reading only the first page shows.
DEFAULT_PAGE = 10


def page(
    items: Sequence[T], what: str, size: int | None, token: str | None, default: int = DEFAULT_PAGE
) -> tuple[list[T], str | None]:
    """One page of ``items`` and the token of the next, None at the end.

    ``what`` names the list and its scope: a token of another list is refused with a ValidationException.
    """
    start = 0
    if token is not None:
        try:
            of, start = json.loads(base64.urlsafe_b64decode(token))
        except (binascii.Error, ValueError, TypeError):
            raise validation("The provided nextToken is invalid.") from None
        if of != what:
            raise validation("The provided nextToken is invalid.")
    end = start + (size or default)
    following = base64.urlsafe_b64encode(json.dumps([what, end]).encode()).decode() if end < len(items) else None
    return list(items[start:end]), following
