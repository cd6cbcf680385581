"""Who asks: JSON Web Tokens of an OpenID Connect issuer, by PyJWT."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import jwt

from kbfleet.domain.caller import Caller, UserId
from kbfleet.domain.errors import InvalidInput, NotReadyYet, TenantClaimMissing, TokenRefused
from kbfleet.domain.names import TenantId

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kbfleet.adapters.issuer_keys import IssuerKeys

_CLOCK_SKEW = timedelta(seconds=30)
_MAX_TOKEN_LENGTH = 10_240
"""API Gateway takes no more than these bytes of headers altogether (AWS documentation, Amazon API Gateway quotas)."""


_TOKEN_TYPES = ("jwt", "at+jwt")
"""What a token may call itself in its header, if it does (RFC 7519, section 5.1; RFC 9068, section 2.1). A logout token
(`logout+jwt`) or a security event (`secevent+jwt`) is signed by the same keys, for the same audience."""
_USES = ("access", "id")
"""What Cognito says of a token in its claim `token_use`. Source: AWS documentation, Verifying JSON Web Tokens."""
_NO_PROOFS = ("refresh", "offline", "logout")
"""What Keycloak says in its claim `typ` of tokens that are for the issuer itself; other providers say it in a claim of
another name. Source: Keycloak's TokenUtil."""
_LATEST_TIME = 253_402_300_799
"""Seconds since 1970 of the last moment of the year 9999. What is later is no time."""


class JwksTokenVerifier:
    """`kbfleet.ports.TokenVerifier` by the issuer's published keys.

    A token's header decides nothing but which of those keys to try: its `alg` must be one that is accepted and the
    key's own (a key that the set gives no `alg` counts as RS256, as ES256, ES384 or ES512 by its curve, or as EdDSA);
    `jku`, `jwk`, `x5u` and `x5c` are not read; `crit` is refused. A token that says that it is for anything else than
    proving who asks, such as a refresh token or a logout token, is refused.

    Args:
        keys: fetches and caches the key set.
        issuer: what `iss` must be.
        audience: whom a token must be for.
        audience_claim: the claim that says so. With `aud`, a token without it is refused. With `client_id`, nothing is
            accepted but access tokens of Cognito: `token_use` must be `access`, and a token with an `aud` is refused,
            for that names the resource that it is for, which is another one. ID tokens have `aud`, not `client_id`.
            Source: AWS documentation, Understanding the access token, and Resource binding.
        tenant_claim: name of the claim that holds the tenant id.
        algorithms: those accepted, all of them asymmetric.
    """

    def __init__(
        self,
        keys: IssuerKeys,
        *,
        issuer: str,
        audience: str,
        audience_claim: Literal["aud", "client_id"],
        tenant_claim: str,
        algorithms: Collection[str],
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._audience_claim = audience_claim
        self._tenant_claim = tenant_claim
        self._algorithms = tuple(algorithms)

    def verify(self, token: str) -> Caller:
        claims = self._claims(token)
        try:
            user_id = UserId(claims["sub"])
        except InvalidInput as error:
            raise TokenRefused(f"The token was refused: its claim sub names no user: {error}") from error
        try:
            return Caller(TenantId(claims.get(self._tenant_claim)), user_id)
        except InvalidInput as error:
            raise TenantClaimMissing(
                f"The token's claim {self._tenant_claim!r} names no tenant.",
                remedy="Have the identity provider put the tenant's id into that claim.",
            ) from error

    def _claims(self, token: str) -> dict[str, Any]:
        by_client = self._audience_claim == "client_id"
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._signing_key(token),
                algorithms=self._algorithms,
                # Without an audience to compare it with, PyJWT refuses every token that has an `aud`.
                audience=None if by_client else self._audience,
                issuer=self._issuer,
                leeway=_CLOCK_SKEW,
                options={"require": ["exp", "iss", self._audience_claim, "sub"], "enforce_minimum_key_length": True},
            )
            _require_times(claims)
            _require_proof(claims)
            if by_client:
                _require_access_by(self._audience, claims)
        except jwt.PyJWKClientConnectionError as error:
            raise NotReadyYet(f"The signing keys of {self._issuer} could not be fetched: {error}.") from error
        except (jwt.PyJWTError, UnicodeError) as error:
            # Its kind only: the message may repeat what the token says.
            raise TokenRefused(f"The token was refused: {type(error).__name__}.") from error
        return claims

    def _signing_key(self, token: str) -> jwt.PyJWK:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise jwt.DecodeError("too long")
        header = jwt.get_unverified_header(token)
        # Before the key is looked up, which may cause a fetch.
        if header.get("alg") not in self._algorithms:
            raise jwt.InvalidAlgorithmError("not accepted")
        if "crit" in header:
            raise jwt.InvalidTokenError("critical extensions")
        if "typ" in header and _media_type(header["typ"]) not in _TOKEN_TYPES:
            raise jwt.InvalidTokenError("of another type")
        if not header.get("kid"):
            raise jwt.PyJWKClientError("no key id")
        return self._keys.get_signing_key(header["kid"])


def _media_type(value: object) -> object:
    """A media type as it is compared: in any case, and `application/` may be left out (RFC 7515, section 4.1.9)."""
    return value.casefold().removeprefix("application/") if isinstance(value, str) else value


def _require_times(claims: Mapping[str, Any]) -> None:
    """Times are numbers (RFC 7519, section 2, NumericDate). PyJWT takes text and truth values that can be made one."""
    for name in {"exp", "nbf", "iat"} & claims.keys():
        value = claims[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_TIME:
            raise jwt.DecodeError(f"{name} is no time")


def _require_access_by(client_id: str, claims: Mapping[str, Any]) -> None:
    if "aud" in claims or claims["client_id"] != client_id:
        raise jwt.InvalidAudienceError("for somebody else")
    if claims.get("token_use") != "access":
        raise jwt.InvalidTokenError("no access token")


def _require_proof(claims: Mapping[str, Any]) -> None:
    if claims.get("token_use", "id") not in _USES:
        raise jwt.InvalidTokenError("for another use")
    if any(str(claims.get(name)).casefold() in _NO_PROOFS for name in ("typ", "token_type", "type")):
        raise jwt.InvalidTokenError("for the issuer itself")
    # Of a logout token, and of every other security event (RFC 8417, section 2.2).
    if "events" in claims:
        raise jwt.InvalidTokenError("a security event")
