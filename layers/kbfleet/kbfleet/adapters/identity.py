"""Who asks: JSON Web Tokens of an OpenID Connect issuer, by PyJWT."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt

from kbfleet.domain.caller import Caller, UserId
from kbfleet.domain.errors import InvalidInput, NotReadyYet, TenantClaimMissing, TokenRefused
from kbfleet.domain.tenant import TenantId

if TYPE_CHECKING:
    from collections.abc import Collection

_CLOCK_SKEW = timedelta(seconds=30)
_MAX_TOKEN_LENGTH = 10_240
"""API Gateway takes no more than these bytes of headers altogether (AWS documentation, Amazon API Gateway quotas)."""


class IssuerKeys(jwt.PyJWKClient):
    """The issuer's published keys. They are fetched anew when they are old, and when a token names one that is not
    among them, but for the latter no more often than each `refresh_pause`: whoever sends tokens with random key ids
    must not make us hammer the issuer. All that is PyJWT's; this class adds what happens while the issuer is down.

    Keys are not cached one by one (`cache_keys`): those would never expire, and one that the issuer has withdrawn would
    be believed for as long as this environment lives.

    Args:
        url: of the JSON Web Key Set. Redirects are not followed.
        fresh_for: how long fetched keys are used before they are fetched again.
        believed_for: how long they are used while they cannot be fetched again.
        refresh_pause: least time between a fetch and the next one for the sake of an unknown key id.
        retry_pause: least time between a fetch that failed and the next one.
    """

    def __init__(
        self,
        url: str,
        *,
        fresh_for: timedelta = timedelta(minutes=5),
        believed_for: timedelta = timedelta(hours=1),
        refresh_pause: timedelta = timedelta(seconds=30),
        retry_pause: timedelta = timedelta(seconds=5),
    ) -> None:
        super().__init__(
            url, lifespan=fresh_for.total_seconds(), cooldown_duration=refresh_pause.total_seconds(), timeout=3
        )
        self._believed_for = believed_for.total_seconds()
        self._retry_pause = retry_pause.total_seconds()
        self._known: tuple[jwt.PyJWKSet, float] | None = None
        self._failure: tuple[jwt.PyJWKClientConnectionError, float] | None = None

    def fetch_data(self) -> Any:
        """The key set; the one known while it cannot be fetched, if that is not too old.

        Raises:
            jwt.PyJWKClientConnectionError: it cannot be fetched, or is no JSON.
            jwt.PyJWTError: it holds no usable key. That is an answer: the keys known are withdrawn.
        """
        if self._failure and time.monotonic() - self._failure[1] < self._retry_pause:
            return self._known_set(self._failure[0])
        try:
            fetched = jwt.PyJWKSet.from_dict(super().fetch_data())
        except jwt.PyJWKClientConnectionError as error:
            return self._failed(error)
        except ValueError as error:
            return self._failed(jwt.PyJWKClientConnectionError(f"no JSON: {type(error).__name__}"))
        self._known, self._failure = (fetched, time.monotonic()), None
        return fetched

    def _failed(self, error: jwt.PyJWKClientConnectionError) -> jwt.PyJWKSet:
        self._failure = error, time.monotonic()
        return self._known_set(error)

    def _known_set(self, error: jwt.PyJWKClientConnectionError) -> jwt.PyJWKSet:
        if self._known and time.monotonic() - self._known[1] < self._believed_for:
            return self._known[0]
        raise error


class JwksTokenVerifier:
    """`kbfleet.ports.TokenVerifier` by the issuer's published keys.

    A token's header decides nothing but which of those keys to try: its `alg` must be one that is accepted and the
    key's own (a key that the set gives no `alg` counts as RS256, as ES256, ES384 or ES512 by its curve, or as EdDSA);
    `jku`, `jwk`, `x5u` and `x5c` are not read; `crit` is refused.

    Args:
        keys: fetches and caches the key set.
        issuer, audience: what `iss` and `aud` must be.
        tenant_claim: name of the claim that holds the tenant id.
        algorithms: those accepted, all of them asymmetric.
    """

    def __init__(
        self, keys: IssuerKeys, *, issuer: str, audience: str, tenant_claim: str, algorithms: Collection[str]
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
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
        try:
            return jwt.decode(
                token,
                self._signing_key(token),
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_CLOCK_SKEW,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise NotReadyYet(f"The signing keys of {self._issuer} could not be fetched: {error}.") from error
        except (jwt.PyJWTError, UnicodeError) as error:
            # Its kind only: the message may repeat what the token says.
            raise TokenRefused(f"The token was refused: {type(error).__name__}.") from error

    def _signing_key(self, token: str) -> jwt.PyJWK:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise jwt.DecodeError("too long")
        header = jwt.get_unverified_header(token)
        # Before the key is looked up, which may cause a fetch.
        if header.get("alg") not in self._algorithms:
            raise jwt.InvalidAlgorithmError("not accepted")
        if not header.get("kid"):
            raise jwt.PyJWKClientError("no key id")
        return self._keys.get_signing_key(header["kid"])
