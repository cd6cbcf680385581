"""How much a tenant may ask: its tier, and the key by which API Gateway counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """What a tenant has bought. Each has a usage plan of its own: requests a second, burst, and monthly quota."""

    STANDARD = "STANDARD"
    PREMIUM = "PREMIUM"


@dataclass(frozen=True, slots=True)
class UsageKey:
    """The API key of one tenant. It is no secret and opens nothing: API Gateway takes it from the authorizer only, once
    a token has been verified, to know whose rate and quota a request counts against.

    Args:
        value: what the authorizer says; 20 to 128 characters, unique in the account and Region.
    """

    name: str
    value: str
