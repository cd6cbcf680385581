"""Who asks: a user of a tenant, as a verified token names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.validated_text import ValidatedText

MAX_USER_ID_LENGTH = 255
"""Characters of a subject identifier. Source: OpenID Connect Core 1.0, section 2, `sub`."""


class UserId(ValidatedText):
    """A user's identifier at the identity provider, unique there and opaque to us: 1 to 255 printable characters.

    Raises:
        InvalidInput: naming the field `user_id`; the value is not repeated.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_USER_ID_LENGTH or not value.isprintable():
            raise InvalidInput("user_id", f"must be text of 1 to {MAX_USER_ID_LENGTH} printable characters.")
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a verified token speaks."""

    tenant_id: TenantId
    user_id: UserId
