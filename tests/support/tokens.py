"""An identity provider's keys and tokens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://id.example.com/pool"
AUDIENCE = "kbfleet"
TENANT_CLAIM = "custom:tenant_id"


@cache
def private_key(name: str = "first") -> rsa.RSAPrivateKey:
    """A key by its name, made once for each test process."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def public_pem(name: str = "first") -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def key_set(*names: str) -> bytes:
    """The JSON Web Key Set that the issuer publishes."""
    keys = [
        {
            **RSAAlgorithm.to_jwk(private_key(name).public_key(), as_dict=True),
            "kid": name,
            "use": "sig",
            "alg": "RS256",
        }
        for name in names
    ]
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of a user of tenant acme; a change to `None` leaves the claim out."""
    now = datetime.now(UTC)
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        TENANT_CLAIM: "acme",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(payload: dict[str, Any] | None = None, *, key: str = "first", kid: str | None = "first") -> str:
    """A token signed with RS256."""
    return jwt.encode(
        claims() if payload is None else payload,
        private_key(key),
        algorithm="RS256",
        headers={"kid": kid} if kid else None,
    )
