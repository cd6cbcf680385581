"""Who asks: JSON Web Tokens of an OpenID Connect issuer, by PyJWT."""

from __future__ import annotations

from json import JSONDecodeError
from typing import Any

import jwt

from kbfleet.domain.errors import InvalidInput, NotReadyYet, TenantClaimMissing, TokenRefused
from kbfleet.domain.tenant import TenantId

_CLOCK_SKEW_SECONDS = 30
_ALGORITHMS = ["RS256"]
"""Fixed here, never taken from the token: a token that chooses its own algorithm can choose `none`."""


class JwksTokenVerifier:
    """`kbfleet.ports.TokenVerifier` by the issuer's published keys.

    Args:
        keys: fetches and caches the key set.
        issuer, audience: what `iss` and `aud` must be.
        tenant_claim: name of the claim that holds the tenant id.
    """

    def __init__(self, keys: jwt.PyJWKClient, *, issuer: str, audience: str, tenant_claim: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim

    def tenant_of(self, token: str) -> TenantId:
        claims = self._claims(token)
        try:
            return TenantId(claims.get(self._tenant_claim))
        except InvalidInput as error:
            raise TenantClaimMissing(
                f"The token's claim {self._tenant_claim!r} names no tenant.",
                remedy="Have the identity provider put the tenant's id into that claim.",
            ) from error

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            return jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWKClientConnectionError, JSONDecodeError) as error:
            raise NotReadyYet(f"The signing keys of {self._issuer} could not be fetched: {error}.") from error
        except jwt.PyJWTError as error:
            raise TokenRefused(f"The token was refused: {error}.") from error
