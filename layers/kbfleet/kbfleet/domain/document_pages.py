"""Places in the list of a tenant's documents, as a caller keeps them between two pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import unicodedata
from dataclasses import dataclass, replace
from typing import Self

from kbfleet.domain.document_names import MAX_KEY_BYTES, other_spellings
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import Life

_DIGEST_BYTES = 12
MAX_TOKEN_LENGTH = 1_400
"""Characters: a key has 1,024 bytes at most, and base64 makes four of three."""


@dataclass(frozen=True, slots=True)
class DocumentList:
    """Which documents are listed.

    Args:
        of: whose they are.
        status: only those; all of them if `None`.
        prefix: how their keys begin, in whichever Unicode form.

    Raises:
        InvalidInput: naming `prefix`.
    """

    of: Life
    status: DocumentStatus | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if len(self.prefix.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
            raise InvalidInput("prefix", f"has more than {MAX_KEY_BYTES} bytes of UTF-8.")
        if any(unicodedata.category(each) == "Cs" or each == "\0" for each in self.prefix):
            raise InvalidInput("prefix", "holds characters that cannot be part of a key.")

    @property
    def spellings(self) -> tuple[str, ...]:
        """Beginnings to look for, one after the other: names that look the same can be two to S3."""
        return (self.prefix, *(each for each in other_spellings(self.prefix) if not each.startswith(self.prefix)))

    def has(self, key: str) -> bool:
        return key.startswith(self.spellings)

    @property
    def first_place(self) -> ListPlace:
        return ListPlace(self)

    def place(self, token: str | None) -> ListPlace:
        """The place that a token stands for.

        Raises:
            InvalidInput: naming `next_token`: it is of another list, such as another tenant's, or of none.
        """
        return self.first_place if token is None else ListPlace.of_token(token, self)


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Where a list is to be read on.

    Args:
        spelling: which of the list's spellings of its prefix.
        after: behind which key, or other name; `None` at the beginning of that spelling.
    """

    of: DocumentList
    spelling: int = 0
    after: str | None = None

    def behind(self, after: str | None) -> ListPlace | None:
        """The next place; `None` at the end of the list.

        Args:
            after: the last key that was read; `None` where there is none behind it.
        """
        if after is not None:
            return replace(self, after=after)
        more = self.spelling + 1 < len(self.of.spellings)
        return ListPlace(self.of, self.spelling + 1) if more else None

    @property
    def prefix(self) -> str:
        return self.of.spellings[self.spelling]

    @property
    def token(self) -> str:
        """Good for this list only: what is told apart is whose it is, and what it is a list of. It opens nothing by
        itself, so it need not be secret."""
        return base64.urlsafe_b64encode(self._digest() + self._place()).decode().rstrip("=")

    def _place(self) -> bytes:
        return bytes([self.spelling]) + (self.after or "").encode()

    def _digest(self) -> bytes:
        of = self.of
        parts = [str(of.of.tenant_id), of.of.number, of.status, of.prefix]
        return hashlib.sha256(json.dumps(parts).encode() + b"\0" + self._place()).digest()[:_DIGEST_BYTES]

    @classmethod
    def of_token(cls, token: str, of: DocumentList) -> Self:
        try:
            given = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            place = cls(of, given[_DIGEST_BYTES], given[_DIGEST_BYTES + 1 :].decode() or None)
            if place.token == token and place.spelling < len(of.spellings):
                return place
        except (binascii.Error, ValueError, IndexError):
            pass
        raise InvalidInput("next_token", "is not of this list.", remedy="Read the list again from its beginning.")
