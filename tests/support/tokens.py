"""An identity provider's keys and tokens."""

from __future__ import annotations

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.warnings import InsecureKeyLengthWarning

ISSUER = "https://id.example.com/pool"
AUDIENCE = "kbfleet"
TENANT_CLAIM = "custom:tenant_id"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def _rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=1_024 if name == "weak" else 2_048)


@cache
def _other_key(_name: str, algorithm: str) -> PrivateKey:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[algorithm])


def private_key(name: str = "first", algorithm: str = "RS256") -> PrivateKey:
    """A key for that algorithm by its name, made once for each test process. Of RSA there is one a name."""
    return _rsa_key(name) if algorithm[:2] in {"RS", "PS"} else _other_key(name, algorithm)


def public_pem(name: str = "first") -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def public_jwk(name: str = "first", algorithm: str = "RS256", **changes: Any) -> dict[str, Any]:
    """As the issuer publishes it; a change to `None` leaves the member out."""
    public = private_key(name, algorithm).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        key = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        key = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        key = OKPAlgorithm.to_jwk(public, as_dict=True)
    made = {**key, "kid": name, "use": "sig", "alg": algorithm, **changes}
    return {member: value for member, value in made.items() if value is not None}


def private_jwk(name: str = "first") -> dict[str, Any]:
    """An RSA key as nobody should publish it."""
    key = private_key(name)
    assert isinstance(key, rsa.RSAPrivateKey)
    return public_jwk(name) | {
        member: value for member, value in RSAAlgorithm.to_jwk(key, as_dict=True).items() if member != "key_ops"
    }


def rsa_jwk_of_bits(bits: int, **members: Any) -> dict[str, Any]:
    """An RSA key of that length, for which nobody has a private one."""
    return public_jwk(n=part(b"\xff" * (bits // 8)), **members)


def key_set(*keys: str | dict[str, Any]) -> bytes:
    """The JSON Web Key Set that the issuer publishes, of RSA keys by their names and of any others."""
    return json.dumps({"keys": [public_jwk(key) if isinstance(key, str) else key for key in keys]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, for an hour, of a user of tenant acme; a change to `None` leaves the claim out."""
    now = datetime.now(UTC)
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "iat": now,
        "exp": now + timedelta(hours=1),
        TENANT_CLAIM: "acme",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def epoch_claims(**changes: Any) -> dict[str, Any]:
    """As `claims`, with times as tokens have them."""
    made = claims(**changes)
    return {name: int(value.timestamp()) if isinstance(value, datetime) else value for name, value in made.items()}


def token(
    payload: dict[str, Any] | None = None,
    *,
    key: str = "first",
    kid: str | None = "first",
    algorithm: str = "RS256",
    **headers: Any,
) -> str:
    """A token that is signed with that key."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # weak keys are made on purpose
        return jwt.encode(
            claims() if payload is None else payload,
            private_key(key, algorithm),
            algorithm=algorithm,
            headers={**({"kid": kid} if kid else {}), **headers},
        )


def part(value: Any) -> str:
    """One part of a token made by hand."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
