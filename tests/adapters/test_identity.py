"""Whose token proves what: genuine ones name a tenant, all others are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from kbfleet import bootstrap
from kbfleet.adapters.identity import JwksTokenVerifier
from kbfleet.domain.errors import NotReadyYet, TenantClaimMissing, TokenRefused
from kbfleet.ports import TokenVerifier
from tests.support import tokens
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.tokens import AUDIENCE, ISSUER, TENANT_CLAIM, claims, key_set, token


@pytest.fixture
def issuer() -> Iterator[ScriptedServer]:
    with serving(Reply(body=key_set("first", "second"))) as server:
        yield server


def verifier_of(url: str) -> TokenVerifier:
    keys = jwt.PyJWKClient(url, timeout=3, cooldown_duration=0)
    return JwksTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, tenant_claim=TENANT_CLAIM)


@pytest.fixture
def verifier(issuer: ScriptedServer) -> TokenVerifier:
    return verifier_of(issuer.url)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _epoch_claims() -> dict[str, Any]:
    return {name: int(value.timestamp()) if isinstance(value, datetime) else value for name, value in claims().items()}


def _signed_with_the_public_key() -> str:
    # Made by hand: PyJWT itself declines to use a public key as an HMAC secret.
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{_part(_epoch_claims())}"
    signature = hmac.new(tokens.public_pem(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _ago(**duration: float) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


class TestGoodTokens:
    @pytest.mark.parametrize("key", ["first", "second"])
    def test_a_token_signed_with_any_published_key_names_its_tenant(self, verifier: TokenVerifier, key: str) -> None:
        assert verifier.tenant_of(token(key=key, kid=key)) == "acme"

    def test_our_audience_may_be_one_of_several(self, verifier: TokenVerifier) -> None:
        assert verifier.tenant_of(token(claims(aud=["another", AUDIENCE]))) == "acme"

    def test_clocks_may_differ_by_half_a_minute(self, verifier: TokenVerifier) -> None:
        assert verifier.tenant_of(token(claims(exp=_ago(seconds=10)))) == "acme"

    def test_the_keys_are_fetched_once(self, verifier: TokenVerifier, issuer: ScriptedServer) -> None:
        for _ in range(3):
            verifier.tenant_of(token())
        assert len(issuer.bodies) == 1

    def test_a_key_that_the_issuer_has_added_since_is_found(self) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=key_set("first", "second"))) as issuer:
            verifier = verifier_of(issuer.url)
            verifier.tenant_of(token())
            assert verifier.tenant_of(token(key="second", kid="second")) == "acme"


class TestTheFleetsOwnVerifier:
    @pytest.fixture(autouse=True)
    def fresh(self) -> Iterator[None]:
        bootstrap.token_verifier.cache_clear()
        yield
        bootstrap.token_verifier.cache_clear()

    def configure(self, monkeypatch: pytest.MonkeyPatch, keys_url: str) -> None:
        settings = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "TENANT_CLAIM": TENANT_CLAIM, "KEYS_URL": keys_url}
        for name, value in settings.items():
            monkeypatch.setenv(f"TOKEN_{name}", value)

    def test_it_is_made_of_the_templates_parameters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(Reply(body=key_set("first"))) as issuer:
            self.configure(monkeypatch, issuer.url)
            assert bootstrap.token_verifier().tenant_of(token()) == "acme"

    def test_a_key_that_the_issuer_has_withdrawn_is_not_believed_for_longer_than_an_hour(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=key_set("second"))) as issuer:
            self.configure(monkeypatch, issuer.url)
            verifier = bootstrap.token_verifier()
            verifier.tenant_of(token())
            later = time.monotonic() + 3_601
            monkeypatch.setattr("jwt.jwk_set_cache.time", SimpleNamespace(monotonic=lambda: later))
            with pytest.raises(TokenRefused):
                verifier.tenant_of(token())


REFUSED = {
    "no token": "",
    "no token at all but text": "not a token",
    "two parts only": "a.b",
    "expired": token(claims(exp=_ago(minutes=1))),
    "not valid yet": token(claims(nbf=_ago(minutes=-5))),
    "signed with another key": token(key="third", kid="first"),
    "key id unknown": token(key="third", kid="third"),
    "no key id": token(kid=None),
    "another audience": token(claims(aud="another")),
    "another issuer": token(claims(iss="https://evil.example.com/pool")),
    "issuer with a slash more": token(claims(iss=f"{ISSUER}/")),
    "no expiry": token(claims(exp=None)),
    "no audience": token(claims(aud=None)),
    "no issuer": token(claims(iss=None)),
    "algorithm none": f"{_part({'alg': 'none', 'typ': 'JWT', 'kid': 'first'})}.{_part(_epoch_claims())}.",
    "HS256 with the public key as the secret": _signed_with_the_public_key(),
    "claims changed after signing": ".".join(
        [
            token().split(".")[0],
            _part({**_epoch_claims(), TENANT_CLAIM: "sakura"}),
            token().split(".")[2],
        ]
    ),
    "signature cut off": token().rsplit(".", 1)[0] + ".",
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED.keys())
def test_any_other_token_is_refused(verifier: TokenVerifier, bad: str) -> None:
    with pytest.raises(TokenRefused):
        verifier.tenant_of(bad)


@pytest.mark.parametrize("tenant", [None, "", "ACME", "acme/../sakura", ["acme"], 7, {"id": "acme"}])
def test_a_genuine_token_that_names_no_valid_tenant_says_so(verifier: TokenVerifier, tenant: object) -> None:
    with pytest.raises(TenantClaimMissing, match=TENANT_CLAIM):
        verifier.tenant_of(token(claims(**{TENANT_CLAIM: tenant})))


def test_keys_that_cannot_be_fetched_are_worth_another_try() -> None:
    with serving(Reply(status=503)) as issuer, pytest.raises(NotReadyYet):
        verifier_of(issuer.url).tenant_of(token())


def test_an_issuer_that_is_not_there_is_worth_another_try() -> None:
    with serving(Reply()) as issuer:
        gone = issuer.url
    with pytest.raises(NotReadyYet):
        verifier_of(gone).tenant_of(token())


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"keys": []}', b"[]"])
def test_a_key_set_that_makes_no_sense_lets_nobody_in(body: bytes) -> None:
    with serving(Reply(body=body)) as issuer, pytest.raises((TokenRefused, NotReadyYet)):
        verifier_of(issuer.url).tenant_of(token())
