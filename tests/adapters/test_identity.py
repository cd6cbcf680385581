"""Genuine tokens name a user of a tenant; and which keys of the issuer are believed, for how long. What is refused is
in tests/handlers/test_authorize.py."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from pydantic import ValidationError

from kbfleet import bootstrap
from kbfleet.adapters.identity import JwksTokenVerifier
from kbfleet.adapters.issuer_keys import IssuerKeys
from kbfleet.domain.caller import Caller, UserId
from kbfleet.domain.errors import NotReadyYet, TenantClaimMissing, TokenRefused
from kbfleet.domain.names import TenantId
from kbfleet.ports import TokenVerifier
from kbfleet.settings import read
from kbfleet.settings.asking import TokenSettings
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.template import template
from tests.support.tokens import AUDIENCE, ISSUER, TENANT_CLAIM, claims, key_set, public_jwk, token

USER = Caller(TenantId("acme"), UserId("user-1"))
PARAMETER = template()["Parameters"]["TokenAlgorithms"]


@pytest.fixture
def issuer() -> Iterator[ScriptedServer]:
    with serving(Reply(body=key_set("first", "second"))) as server:
        yield server


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass, without waiting for them."""
    real, waited = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + waited[0])

    def let_pass(seconds: float) -> None:
        waited[0] += seconds

    return let_pass


def verifier_of(url: str, *algorithms: str) -> TokenVerifier:
    return JwksTokenVerifier(
        IssuerKeys(url, unusable=lambda _: None),
        issuer=ISSUER,
        audience=AUDIENCE,
        audience_claim="aud",
        tenant_claim=TENANT_CLAIM,
        algorithms=algorithms or ["RS256"],
    )


@pytest.fixture
def verifier(issuer: ScriptedServer) -> TokenVerifier:
    return verifier_of(issuer.url)


class TestGoodTokens:
    @pytest.mark.parametrize("key", ["first", "second"])
    def test_a_token_signed_with_any_published_key_names_its_tenant_and_user(
        self, verifier: TokenVerifier, key: str
    ) -> None:
        assert verifier.verify(token(key=key, kid=key)) == USER

    def test_our_audience_may_be_one_of_several(self, verifier: TokenVerifier) -> None:
        assert verifier.verify(token(claims(aud=["another", AUDIENCE]))) == USER

    @pytest.mark.parametrize(("claim", "seconds"), [("exp", -10), ("nbf", 10), ("iat", 10)])
    def test_clocks_may_differ_by_half_a_minute(self, verifier: TokenVerifier, claim: str, seconds: int) -> None:
        assert verifier.verify(token(claims(**{claim: datetime.now(UTC) + timedelta(seconds=seconds)}))) == USER

    @pytest.mark.parametrize("user", ["x", "auth0|5f7c8ec7", "利用者", "u" * 255])
    def test_a_user_is_whatever_the_issuer_calls_them(self, verifier: TokenVerifier, user: str) -> None:
        assert verifier.verify(token(claims(sub=user))).user_id == user

    @pytest.mark.parametrize("algorithm", ["PS256", "RS512", "ES256", "ES384", "ES512", "EdDSA"])
    def test_another_algorithm_is_accepted_where_it_is_set(self, algorithm: str) -> None:
        with serving(Reply(body=key_set("first", public_jwk("other", algorithm)))) as issuer:
            signed = token(key="other", kid="other", algorithm=algorithm)
            assert verifier_of(issuer.url, "RS256", algorithm).verify(signed) == USER
            with pytest.raises(TokenRefused):
                verifier_of(issuer.url, "RS256").verify(signed)

    def test_a_key_for_which_the_issuer_names_no_algorithm_counts_as_rs256(self) -> None:
        with serving(Reply(body=key_set(public_jwk(alg=None, use=None)))) as issuer:
            assert verifier_of(issuer.url, "RS256", "PS256").verify(token()) == USER
            with pytest.raises(TokenRefused):
                verifier_of(issuer.url, "RS256", "PS256").verify(token(algorithm="PS256"))

    @pytest.mark.parametrize("tenant", [None, "", "ACME", "acme/../sakura", ["acme"], 7, {"id": "acme"}])
    def test_one_that_names_no_valid_tenant_is_distinguished(self, verifier: TokenVerifier, tenant: object) -> None:
        with pytest.raises(TenantClaimMissing, match=TENANT_CLAIM):
            verifier.verify(token(claims(**{TENANT_CLAIM: tenant})))


class TestKeys:
    """`len(issuer.bodies)` is how often they were fetched."""

    def test_they_are_fetched_once(self, verifier: TokenVerifier, issuer: ScriptedServer) -> None:
        for _ in range(3):
            verifier.verify(token())
        assert len(issuer.bodies) == 1

    def test_one_that_the_issuer_has_added_since_is_found_within_half_a_minute(
        self, wait: Callable[[float], None]
    ) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=key_set("first", "second"))) as issuer:
            verifier = verifier_of(issuer.url)
            verifier.verify(token())
            wait(31)
            assert verifier.verify(token(key="second", kid="second")) == USER

    def test_one_that_the_issuer_has_withdrawn_is_believed_for_five_minutes_at_most(
        self, wait: Callable[[float], None]
    ) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=key_set("second"))) as issuer:
            verifier = verifier_of(issuer.url)
            verifier.verify(token())
            wait(301)
            with pytest.raises(TokenRefused):
                verifier.verify(token())

    def test_tokens_with_random_key_ids_cause_one_fetch_each_half_minute(
        self, verifier: TokenVerifier, issuer: ScriptedServer, wait: Callable[[float], None]
    ) -> None:
        verifier.verify(token())
        for minute_half in range(4):
            for attempt in range(20):
                with pytest.raises(TokenRefused):
                    verifier.verify(token(key="third", kid=f"{minute_half}-{attempt}"))
            assert len(issuer.bodies) == 1 + minute_half
            wait(31)

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            token(kid=None),
            jwt.encode(claims(), "", algorithm="none", headers={"kid": "first"}),
            jwt.encode(claims(), "x" * 32, algorithm="HS256", headers={"kid": "first"}),
        ],
        ids=["no token", "no key id", "none", "HS256"],
    )
    def test_tokens_that_can_be_refused_without_a_key_cause_no_fetch(
        self, verifier: TokenVerifier, issuer: ScriptedServer, bad: str
    ) -> None:
        with pytest.raises(TokenRefused):
            verifier.verify(bad)
        assert issuer.bodies == []


class TestAnIssuerThatIsDown:
    def test_the_keys_known_are_used_for_an_hour(self, wait: Callable[[float], None]) -> None:
        with serving(Reply(body=key_set("first")), Reply(status=503)) as issuer:
            verifier = verifier_of(issuer.url)
            for _ in range(11):
                assert verifier.verify(token()) == USER
                wait(320)
            wait(301)
            with pytest.raises(NotReadyYet):
                verifier.verify(token())

    def test_tokens_cause_one_fetch_each_five_seconds(self, wait: Callable[[float], None]) -> None:
        with serving(Reply(status=503)) as issuer:
            verifier = verifier_of(issuer.url)
            for seconds in (0, 4, 2, 4, 2):
                wait(seconds)
                with pytest.raises(NotReadyYet):
                    verifier.verify(token())
            assert len(issuer.bodies) == 3

    def test_once_it_is_back_its_keys_are_fetched(self, wait: Callable[[float], None]) -> None:
        with serving(Reply(status=503), Reply(body=key_set("first"))) as issuer:
            verifier = verifier_of(issuer.url)
            with pytest.raises(NotReadyYet):
                verifier.verify(token())
            wait(6)
            assert verifier.verify(token()) == USER

    def test_a_key_that_is_not_among_those_known_is_refused(self, wait: Callable[[float], None]) -> None:
        with serving(Reply(body=key_set("first")), Reply(status=503)) as issuer:
            verifier = verifier_of(issuer.url)
            verifier.verify(token())
            wait(31)
            with pytest.raises(TokenRefused):
                verifier.verify(token(key="second", kid="second"))

    def test_one_that_is_not_there_is_worth_another_try(self) -> None:
        with serving(Reply()) as issuer:
            gone = issuer.url
        with pytest.raises(NotReadyYet):
            verifier_of(gone).verify(token())

    def test_a_redirect_is_not_followed(self, issuer: ScriptedServer) -> None:
        with (
            serving(Reply(status=302, headers={"Location": issuer.url})) as moved,
            pytest.raises(NotReadyYet),
        ):
            verifier_of(moved.url).verify(token())
        assert issuer.bodies == []

    @pytest.mark.parametrize("body", [b"not json", b"{}", b'{"keys": []}', b'{"keys": {}}', b"[]", b"\xff\xfe"])
    def test_a_key_set_that_makes_no_sense_lets_nobody_in(self, body: bytes) -> None:
        with serving(Reply(body=body)) as issuer, pytest.raises((TokenRefused, NotReadyYet)):
            verifier_of(issuer.url).verify(token())

    def test_an_issuer_that_withdraws_all_its_keys_is_believed_at_once(self, wait: Callable[[float], None]) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=b'{"keys": []}')) as issuer:
            verifier = verifier_of(issuer.url)
            verifier.verify(token())
            wait(301)
            with pytest.raises(TokenRefused):
                verifier.verify(token())


class TestTheFleetsOwnVerifier:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        settings = {
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "AUDIENCE_CLAIM": "aud",
            "TENANT_CLAIM": TENANT_CLAIM,
            "ALGORITHMS": "ES256,RS256",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"TOKEN_{name}", value)
        bootstrap.token_verifier.cache_clear()
        yield
        bootstrap.token_verifier.cache_clear()

    def test_it_is_made_of_the_templates_parameters(
        self, monkeypatch: pytest.MonkeyPatch, issuer: ScriptedServer
    ) -> None:
        monkeypatch.setenv("TOKEN_KEYS_URL", issuer.url)
        assert bootstrap.token_verifier().verify(token()) == USER

    @pytest.mark.parametrize("algorithms", ["RS256", "ES256,RS256", "PS512,EdDSA"])
    def test_asymmetric_algorithms_can_be_set(self, monkeypatch: pytest.MonkeyPatch, algorithms: str) -> None:
        monkeypatch.setenv("TOKEN_ALGORITHMS", algorithms)
        assert read(TokenSettings).token_algorithms == tuple(algorithms.split(","))
        assert re.fullmatch(PARAMETER["AllowedPattern"], algorithms)

    @pytest.mark.parametrize("algorithms", ["", "HS256", "none", "RS256,HS256", "RS256,none", "rs256", "RS256,", "*"])
    def test_no_other_can(self, monkeypatch: pytest.MonkeyPatch, algorithms: str) -> None:
        monkeypatch.setenv("TOKEN_ALGORITHMS", algorithms)
        with pytest.raises(ValidationError, match="TOKEN_ALGORITHMS"):
            read(TokenSettings)
        assert not re.fullmatch(PARAMETER["AllowedPattern"], algorithms)
