"""An OpenID Connect issuer for development: publishes its keys as a real one does, and signs any claims it is asked to.

Only what a resource server needs: discovery and the key set (OpenID Connect Discovery 1.0, RFC 7517). There is no
log-in; tokens are minted in process or by `kbfleet-local token`.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.stack.certificates import write_private_key
from local.stack.configuration import TENANT_CLAIM, TOKEN_AUDIENCE

ALGORITHM = "RS256"
DEFAULT_LIFETIME = 3600


class IdentityProvider:
    """Signs tokens for one issuer with one RSA key."""

    def __init__(self, issuer: str, key: rsa.RSAPrivateKey) -> None:
        self.issuer = issuer
        self._key = key
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = hashlib.sha256(public).hexdigest()[:16]

    @classmethod
    def open(cls, issuer: str, key_file: Path) -> "IdentityProvider":
        """Reads the signing key, or makes it: tokens stay valid when the stack is started again."""
        if key_file.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise ValueError(f"{key_file} holds no RSA key")
            return cls(issuer, key)
        key_file.parent.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private_key(key_file, key)
        return cls(issuer, key)

    def mint(
        self,
        tenant: str | None,
        *,
        audience: str | None = TOKEN_AUDIENCE,
        subject: str = "developer",
        expires_in: float = DEFAULT_LIFETIME,
        tenant_claim: str = TENANT_CLAIM,
        key_id: str | None = None,
        **claims: Any,
    ) -> str:
        """A signed token.

        tenant: value of the tenant claim, None leaves the claim out; the same holds for audience.
        expires_in: seconds from now, negative for a token that has expired.
        key_id: announces another key than the one that signed.
        claims: added, or replacing the ones above (`iss`, `nbf`, …).
        """
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "sub": subject,
            "iat": now if expires_in > 0 else int(now + expires_in - 1),
            "exp": int(now + expires_in),
            "token_use": "id",
        }
        if audience is not None:
            payload["aud"] = audience
        if tenant is not None:
            payload[tenant_claim] = tenant
        return jwt.encode(payload | claims, self._key, ALGORITHM, headers={"kid": key_id or self.key_id})

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{"kty": key["kty"], "n": key["n"], "e": key["e"]} | self._key_use()]}

    def discovery(self) -> dict[str, Any]:
        """The provider's metadata, for its `/.well-known/openid-configuration`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def application(self) -> Starlette:
        """The two documents over HTTP, to be mounted at the issuer's path."""

        async def discovery(_: Request) -> JSONResponse:
            return JSONResponse(self.discovery())

        async def key_set(_: Request) -> JSONResponse:
            return JSONResponse(self.key_set(), headers={"Cache-Control": "public, max-age=300"})

        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", discovery),
                Route("/.well-known/jwks.json", key_set),
            ]
        )

    def _key_use(self) -> dict[str, str]:
        return {"kid": self.key_id, "use": "sig", "alg": ALGORITHM}
