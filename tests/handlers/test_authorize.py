"""The authorizer with the real verifier: what it lets in, and that it refuses all else without a trace of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from kbfleet import bootstrap
from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.names import Life
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Event, Handler, Logs, event
from tests.support import tokens
from tests.support.fleet import Fleet
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.samples import ACME, NAMES, tenant
from tests.support.template import properties
from tests.support.tokens import AUDIENCE, ISSUER, TENANT_CLAIM, claims, epoch_claims, key_set, part, public_jwk, token

Authorize = Callable[[str], Any]
SECRET_SUBJECT = "secret-subject-7f3a"
SECRET_TENANT = "secret-tenant-9c1e"


@pytest.fixture
def issuer() -> Iterator[ScriptedServer]:
    """Its keys: two that sign with RS256, one that encrypts, one for another algorithm, one of an elliptic curve, one
    too short, and a secret that it should not have published."""
    published = key_set(
        "first",
        "second",
        public_jwk("encrypting", use="enc"),
        public_jwk("for-rs512", alg="RS512"),
        public_jwk("curve", "ES256"),
        public_jwk("weak"),
        {"kty": "oct", "kid": "secret", "k": part(b"s" * 32), "alg": "HS256"},
    )
    with serving(Reply(body=published)) as server:
        yield server


@pytest.fixture
def authorize(
    fleet: Fleet,
    handler: Callable[[str], Handler],
    issuer: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Authorize]:
    """Gives the authorizer's answer to a request with that header."""
    settings = {
        "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE,
        "AUDIENCE_CLAIM": "aud",
        "TENANT_CLAIM": TENANT_CLAIM,
        "KEYS_URL": issuer.url,
        "ALGORITHMS": "RS256",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"TOKEN_{name}", value)
    bootstrap.token_verifier.cache_clear()

    def run(header: str) -> Any:
        request: Event = {**event("triggers/authorize"), "authorizationToken": header}
        return handler("ask/authorize")(request)

    yield run
    bootstrap.token_verifier.cache_clear()


@pytest.fixture
def authorize_clients(authorize: Authorize, monkeypatch: pytest.MonkeyPatch) -> Authorize:
    """The same where the claim client_id says whom a token is for."""
    monkeypatch.setenv("TOKEN_AUDIENCE_CLAIM", "client_id")
    return authorize


def access_claims(**changes: Any) -> dict[str, Any]:
    """As Cognito makes them for an access token; a change to `None` leaves the claim out."""
    return claims(**{"aud": None, "client_id": AUDIENCE, "token_use": "access", **changes})


# All tokens are made when the tests are collected, which may be long before they are run.
def in_(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)


def made_by_hand(header: dict[str, Any], signature: bytes = b"") -> str:
    return f"{part({'typ': 'JWT', 'kid': 'first', **header})}.{part(epoch_claims())}.{part(signature)}"


def signed_with_a_secret(secret: bytes, kid: str = "first") -> str:
    """By HS256, made by hand: PyJWT itself declines to use a public key as a secret."""
    signed = made_by_hand({"alg": "HS256", "kid": kid}).rsplit(".", 1)[0]
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def with_payload(payload: dict[str, Any]) -> str:
    header, _, signature = token().split(".")
    return f"{header}.{part(payload)}.{signature}"


def with_another_signature() -> str:
    signed, signature = token().rsplit(".", 1)
    changed = bytearray(base64.urlsafe_b64decode(signature + "=="))
    changed[0] ^= 1
    return f"{signed}.{part(bytes(changed))}"


def signed(content: bytes) -> str:
    """A genuine token of claims that no JSON library would write."""
    return jwt.api_jws.encode(content, tokens.private_key(), "RS256", {"kid": "first"})


def nested(depth: int) -> str:
    return f"{part(b'[' * depth)}.{part({})}.{part(b'')}"


STRANGER: dict[str, Any] = {"key": "third", "kid": "third"}

NOT_BEARER = {
    "no header": "",
    "the scheme alone": "Bearer",
    "the scheme and a space": "Bearer ",
    "another scheme": "Basic dXNlcjpwYXNz",
    "another scheme with a good token": f"Basic {token()}",
    "no scheme": token(),
    "two tokens": f"Bearer {token()} {token()}",
    "two tokens with a comma": f"Bearer {token()},Bearer {token()}",
    "two spaces": f"Bearer  {token()}",
    "a line break": f"Bearer {token()}\r\n",
}

BAD = {
    "text": "not-a-token",
    "two parts": "a.b",
    "four parts": f"{token()}.{part(b'more')}",
    "an encrypted token (JWE) of five parts": ".".join(
        [part({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "first"}), *(part(b"x" * 16) for _ in range(4))]
    ),
    "an encrypted token (JWE) that says RS256": ".".join(
        [part({"alg": "RS256", "enc": "A256GCM", "kid": "first"}), *(part(b"x" * 16) for _ in range(4))]
    ),
    "100 kB, and genuine": token(claims(padding="x" * 100_000)),
    "100 kB of nothing": "a" * 100_000,
    "deeply nested": nested(6_000),
    "lone surrogates": "\ud800.\ud800.\ud800",
    "truncated": token()[:-20],
    "without a signature": token().rsplit(".", 1)[0] + ".",
    "another signature": with_another_signature(),
    "claims changed after signing": with_payload(epoch_claims(**{TENANT_CLAIM: SECRET_TENANT})),
    # algorithms
    **{
        f"algorithm {name}": made_by_hand({"alg": name})
        for name in ("none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", None, 7, ["RS256"])
    },
    "algorithm none with a genuine signature": part({"alg": "none", "kid": "first"}) + token()[token().index(".") :],
    "no algorithm": f"{part({'typ': 'JWT', 'kid': 'first'})}.{part(epoch_claims())}.",
    "HS256 with the public key in PEM": signed_with_a_secret(tokens.public_pem()),
    "HS256 with the public key in PEM, stripped": signed_with_a_secret(tokens.public_pem().strip()),
    "HS256 with the public key as JWK": signed_with_a_secret(json.dumps(public_jwk()).encode()),
    "HS256 with the public key's modulus": signed_with_a_secret(public_jwk()["n"].encode()),
    "HS256 with an empty secret": signed_with_a_secret(b""),
    "HS256 with a secret that the issuer has published": signed_with_a_secret(b"s" * 32, kid="secret"),
    "PS256 with a key for RS256": token(algorithm="PS256"),
    "RS512 with a key for RS256": token(algorithm="RS512"),
    "RS512 with a key for RS512, which is not accepted": token(key="for-rs512", kid="for-rs512", algorithm="RS512"),
    "RS256 with a key for RS512": token(key="for-rs512", kid="for-rs512"),
    "ES256, which is not accepted": token(key="curve", kid="curve", algorithm="ES256"),
    "RS256 that names a key of an elliptic curve": token(kid="curve"),
    "RS256 with a key for encryption": token(key="encrypting", kid="encrypting"),
    "RS256 with a key of 1,024 bits": token(key="weak", kid="weak"),
    # key ids
    "no key id": token(kid=None),
    "the id of another of the issuer's keys": token(kid="second"),
    "the key of another issuer": token(**STRANGER),
    "the key of another issuer under our key's id": token(key="third"),
    **{
        f"key id {name}": token(key="third", kid=kid)
        for name, kid in {
            "of a file": "../../../../dev/null",
            "of a URL": "https://evil.example.com/keys",
            "with SQL": "first' UNION SELECT 'x",
            "with a command": "first|/usr/bin/id",
            "with a null": "first\x00",
            "of 5 kB": "k" * 5_000,
            "in upper case": "FIRST",
        }.items()
    },
    **{f"key id {kid!r}": made_by_hand({"alg": "RS256", "kid": kid}) for kid in (["first"], {"first": 1}, 1, None, "")},
    # headers that point at keys
    "jwk in the header": token(key="third", jwk=public_jwk("third")),
    "jwk in the header under an unknown id": token(**STRANGER, jwk=public_jwk("third")),
    "jku in the header": token(key="third", jku="https://evil.example.com/jwks.json"),
    "jku in the header under an unknown id": token(**STRANGER, jku="https://evil.example.com/jwks.json"),
    "x5u in the header": token(key="third", x5u="https://evil.example.com/certificate.pem"),
    "x5c in the header": token(key="third", x5c=[base64.b64encode(tokens.public_pem("third")).decode()]),
    "a critical extension": token(crit=["exp"], exp=1),
    "an empty list of critical extensions": token(crit=[]),
    "a detached payload": token(crit=["b64"], b64=False),
    **{
        f"the type {kind!r}": token(typ=kind)
        for kind in (
            "logout+jwt",
            "application/logout+jwt",
            "Logout+JWT",
            "secevent+jwt",
            "dpop+jwt",
            "entity-statement+jwt",
            "refresh+jwt",
            "JOSE",
            "jwt ",
            "text/jwt",
            7,
            ["JWT"],
            {"JWT": 1},
        )
    },
    "a critical extension that PyJWT knows": token(crit=["b64"], b64=True),
    "500 critical extensions": token(crit=[f"x{number}" for number in range(500)]),
    # what a token says that it is for
    **{
        f"the use {use!r}": token(claims(token_use=use))
        for use in ("refresh", "REFRESH", "", "device", 7, ["id"], {"id": 1}, True)
    },
    **{
        f"a refresh token that says so by {name}={value!r}": token(claims(**{name: value}))
        for name in ("typ", "token_type", "type")
        for value in ("Refresh", "refresh", "Offline", "Logout")
    },
    "a logout token": token(claims(events={"http://schemas.openid.net/event/backchannel-logout": {}})),
    # times
    **{
        f"an expiry of {value}": signed(json.dumps(epoch_claims()).encode()[:-1] + f', "exp": {value}}}'.encode())
        for value in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e308",
            "9" * 20,
            "9" * 5_000,
            "true",
            '"99999999999"',
            '"2099-01-01"',
            "[99999999999]",
            "-1",
        )
    },
    **{
        f"a {name} of {value}": signed(json.dumps(epoch_claims()).encode()[:-1] + f', "{name}": {value}}}'.encode())
        for name in ("iat", "nbf")
        for value in ("NaN", "Infinity", "true", '"1"', "-1", "9" * 5_000, "[]")
    },
    "claims nested 3,000 deep": signed(b'{"a":' * 1_500 + b"1" + b"}" * 1_500),
    "claims that are not UTF-8": signed(b'{"sub": "\xff"}'),
    "1 MB": token(claims(padding="x" * 1_000_000)),
    "an audience of 2,000, not ours among them": token(claims(aud=["x"] * 2_000)),
    "an audience of 10,000, ours among them": token(claims(aud=["x"] * 10_000 + [AUDIENCE])),
    "expired": token(claims(exp=in_(seconds=-31))),
    "expired long ago": token(claims(exp=1)),
    "not valid yet": token(claims(nbf=in_(hours=2), exp=in_(hours=3))),
    "issued in the future": token(claims(iat=in_(hours=2), exp=in_(hours=3))),
    "an expiry that is no number": token(claims(exp="tomorrow")),
    "an expiry that is a list": token(claims(exp=[in_(hours=1).timestamp()])),
    "an issue time that is no number": token(claims(iat="today")),
    # issuer and audience
    **{
        f"issuer {issuer!r}": token(claims(iss=issuer))
        for issuer in (
            "https://evil.example.com/pool",
            f"{ISSUER}/",
            f"{ISSUER}2",
            ISSUER.upper(),
            ISSUER[:-1],
            ISSUER.replace("https", "http"),
            "",
        )
    },
    **{
        f"audience {audience!r}": token(claims(aud=audience))
        for audience in (
            "another",
            "",
            [],
            ["another"],
            f"{AUDIENCE} ",
            AUDIENCE.upper(),
            AUDIENCE[:-1],
            f"{AUDIENCE},x",
        )
    },
    "an audience that is no text": jwt.api_jws.encode(
        json.dumps(epoch_claims(aud={AUDIENCE: 1})).encode(), tokens.private_key(), "RS256", {"kid": "first"}
    ),
    # claims
    **{f"no {name}": token(claims(**{name: None})) for name in ("exp", "iss", "aud", "sub")},
    "an empty subject": token(claims(sub="")),
    "a subject that is too long": token(claims(sub=SECRET_SUBJECT + "u" * 255)),
    "a subject with a line break": token(claims(sub=f"{SECRET_SUBJECT}\n")),
    "a subject that is a number": jwt.api_jws.encode(
        json.dumps(epoch_claims(sub=7)).encode(), tokens.private_key(), "RS256", {"kid": "first"}
    ),
    "claims that are a list": jwt.api_jws.encode(b"[]", tokens.private_key(), "RS256", {"kid": "first"}),
    "claims that are no JSON": jwt.api_jws.encode(b"{", tokens.private_key(), "RS256", {"kid": "first"}),
}

NO_TENANT = {
    "none": None,
    "empty": "",
    "in upper case": "ACME",
    "of look-alikes": "аcme",
    "full width": "ａｃｍｅ",
    "with white space before": " acme",
    "with white space after": "acme ",
    "with a line break": "acme\n",
    "with a null": "acme\x00",
    "with a path": "acme/../sakura",
    "too short": "ac",
    "too long": SECRET_TENANT + "a" * 32,
    "with a wildcard": "*",
    "as a list": ["acme"],
    "as two": ["acme", SECRET_TENANT],
    "as an object": {"id": "acme"},
    "as a number": 7,
    "as true": True,
}


def leaked(logs: Logs, header: str) -> list[str]:
    """What the log has of a token, its headers or its claims."""
    written = logs.text
    pieces = [piece for piece in header.replace(",", " ").replace(".", " ").split() if len(piece) > 12]
    secrets = [SECRET_SUBJECT, SECRET_TENANT, "user-1", "evil.example.com", "/usr/bin/id", "UNION", "kkkk", "аcme"]
    return [piece for piece in (*pieces, *secrets) if piece in written]


class TestAGenuineToken:
    def test_allows_the_user_every_method_of_this_stage_of_this_api(self, authorize: Authorize) -> None:
        policy = authorize(f"Bearer {token()}")
        assert policy["principalId"] == "acme"
        assert policy["context"] == {"tenant_id": "acme", "user_id": "user-1"}
        assert policy["usageIdentifierKey"] == NAMES.usage_key(Life(ACME)).value
        (statement,) = policy["policyDocument"]["Statement"]
        assert statement == {
            "Action": "execute-api:Invoke",
            "Effect": "Allow",
            "Resource": "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1/*",
        }

    @pytest.mark.parametrize("status", [TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.OFFBOARDED])
    def test_counts_against_the_usage_key_of_the_tenants_present_life(
        self, authorize: Authorize, fleet: Fleet, status: TenantStatus
    ) -> None:
        fleet.registry.create(tenant(life=2, status=status))
        assert authorize(f"Bearer {token()}")["usageIdentifierKey"] == NAMES.usage_key(Life(ACME, 2)).value

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_may_have_the_scheme_in_any_case(self, authorize: Authorize, scheme: str) -> None:
        assert authorize(f"{scheme} {token()}")["principalId"] == "acme"

    @pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"])
    def test_may_call_itself_what_it_is(self, authorize: Authorize, kind: str) -> None:
        assert authorize(f"Bearer {token(typ=kind)}")["principalId"] == "acme"

    def test_need_not_call_itself_anything(self, authorize: Authorize) -> None:
        assert authorize(f"Bearer {token(typ=None)}")["principalId"] == "acme"

    @pytest.mark.parametrize(
        "said",
        [{"token_use": "id"}, {"token_use": "access"}, {"typ": "Bearer"}, {"typ": "ID"}, {"type": 7}],
        ids=str,
    )
    def test_may_say_that_it_proves_who_asks(self, authorize: Authorize, said: dict[str, Any]) -> None:
        assert authorize(f"Bearer {token(claims(**said))}")["principalId"] == "acme"

    def test_is_in_no_log_line(self, authorize: Authorize, logs: Logs) -> None:
        genuine = token(claims(sub=SECRET_SUBJECT))
        authorize(f"Bearer {genuine}")
        assert leaked(logs, genuine) == []

    def test_is_no_pass_where_the_keys_cannot_be_had(self, authorize: Authorize, issuer: ScriptedServer) -> None:
        issuer.replies[:] = [Reply(status=503)]
        with pytest.raises(NotReadyYet):
            authorize(f"Bearer {token()}")


class TestAnyOtherToken:
    @pytest.mark.parametrize("header", NOT_BEARER.values(), ids=NOT_BEARER.keys())
    def test_in_another_form_is_unauthorized(self, authorize: Authorize, logs: Logs, header: str) -> None:
        # API Gateway makes a 401 of exactly this message.
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(header)
        assert leaked(logs, header) == []

    @pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
    def test_is_unauthorized_and_in_no_log_line(self, authorize: Authorize, logs: Logs, bad: str) -> None:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(f"Bearer {bad}")
        *before, line = logs.lines
        assert (line["level"], line["message"]) == ("WARNING", "The token was refused")
        assert {each["message"] for each in before} <= {"Some of the issuer's keys are not used"}
        assert leaked(logs, bad) == []

    @pytest.mark.parametrize("tenant", NO_TENANT.values(), ids=NO_TENANT.keys())
    def test_that_is_genuine_but_names_no_tenant_is_denied(
        self, authorize: Authorize, logs: Logs, tenant: object
    ) -> None:
        genuine = token(claims(**{TENANT_CLAIM: tenant}))
        policy = authorize(f"Bearer {genuine}")
        assert policy["policyDocument"]["Statement"][0]["Effect"] == "Deny"
        assert (policy["principalId"], set(policy)) == ("unknown", {"principalId", "policyDocument"})
        assert leaked(logs, genuine) == []

    def test_that_names_a_key_that_is_not_used_leaves_a_line_that_says_why(
        self, authorize: Authorize, issuer: ScriptedServer, logs: Logs
    ) -> None:
        private = tokens.private_jwk()
        issuer.replies[:] = [Reply(body=key_set(private))]
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(f"Bearer {token()}")
        assert "the issuer has published a secret" in logs.text
        assert not [value for name, value in private.items() if len(value) > 8 and value in logs.text]

    def test_of_a_key_that_was_withdrawn_is_unauthorized(self, authorize: Authorize, issuer: ScriptedServer) -> None:
        issuer.replies[:] = [Reply(body=key_set("second"))]
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(f"Bearer {token()}")

    def test_makes_us_ask_nobody_but_the_issuer(self, authorize: Authorize, issuer: ScriptedServer) -> None:
        with serving(Reply(body=key_set("third"))) as evil:
            for name in ("jku", "x5u"):
                with pytest.raises(Exception, match=r"^Unauthorized$"):
                    authorize(f"Bearer {token(None, **STRANGER, **{name: evil.url})}")
            assert evil.bodies == []
        assert len(issuer.bodies) == 1


ANY_AUDIENCES: tuple[object, ...] = (AUDIENCE, [AUDIENCE], "https://another.example.com", "", [], {}, 0, False)
NOT_OF_OUR_CLIENT = {
    "an id token": token(claims(token_use="id")),
    "an id token with a client's id beside": token(claims(token_use="id", client_id=AUDIENCE)),
    "an id token with a client's id and no audience": token(access_claims(token_use="id")),
    "no use": token(access_claims(token_use=None)),
    **{
        f"the use {use!r}": token(access_claims(token_use=use))
        for use in ("refresh", "ACCESS", "", 7, ["access"], True)
    },
    **{
        f"client {client!r}": token(access_claims(client_id=client))
        for client in (
            None,
            "another",
            "",
            AUDIENCE.upper(),
            f"{AUDIENCE} ",
            AUDIENCE[:-1],
            [AUDIENCE],
            {AUDIENCE: 1},
            7,
        )
    },
    # for that resource, and for no other
    **{f"audience {audience!r}": token(access_claims(aud=audience)) for audience in ANY_AUDIENCES},
    "an audience that is null": signed(
        json.dumps(epoch_claims() | {"aud": None, "client_id": AUDIENCE, "token_use": "access"}).encode()
    ),
    "expired": token(access_claims(exp=in_(seconds=-31))),
    "another issuer": token(access_claims(iss="https://evil.example.com/pool")),
    "no subject": token(access_claims(sub=None)),
    "the key of another issuer": token(access_claims(), **STRANGER),
}


class TestWhereTheClientSaysWhomATokenIsFor:
    def test_an_access_token_of_our_client_allows_its_user(self, authorize_clients: Authorize) -> None:
        policy = authorize_clients(f"Bearer {token(access_claims())}")
        assert policy["context"] == {"tenant_id": "acme", "user_id": "user-1"}

    def test_a_machine_is_the_user_that_its_subject_names(self, authorize_clients: Authorize) -> None:
        policy = authorize_clients(f"Bearer {token(access_claims(sub=AUDIENCE, scope='kbfleet/ask'))}")
        assert policy["context"] == {"tenant_id": "acme", "user_id": AUDIENCE}

    @pytest.mark.parametrize("bad", NOT_OF_OUR_CLIENT.values(), ids=NOT_OF_OUR_CLIENT.keys())
    def test_any_other_token_is_unauthorized_and_in_no_log_line(
        self, authorize_clients: Authorize, logs: Logs, bad: str
    ) -> None:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize_clients(f"Bearer {bad}")
        assert logs.lines[-1]["message"] == "The token was refused"
        assert leaked(logs, bad) == []

    @pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
    def test_nothing_passes_that_is_refused_elsewhere(self, authorize_clients: Authorize, bad: str) -> None:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize_clients(f"Bearer {bad}")

    def test_access_tokens_are_no_passes_where_the_audience_says_it(self, authorize: Authorize) -> None:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(f"Bearer {token(access_claims())}")


class TestTheFirstLook:
    """API Gateway's own, at the form of the header."""

    EXPRESSION = properties("Api")["Auth"]["Authorizers"]["TenantToken"]["Identity"]["ValidationExpression"]

    @pytest.mark.parametrize("status", [TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.OFFBOARDED])
    def test_counts_against_the_usage_key_of_the_tenants_present_life(
        self, authorize: Authorize, fleet: Fleet, status: TenantStatus
    ) -> None:
        fleet.registry.create(tenant(life=2, status=status))
        assert authorize(f"Bearer {token()}")["usageIdentifierKey"] == NAMES.usage_key(Life(ACME, 2)).value

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_lets_genuine_tokens_through(self, scheme: str) -> None:
        assert re.fullmatch(self.EXPRESSION, f"{scheme} {token()}")

    @pytest.mark.parametrize("header", NOT_BEARER.values(), ids=NOT_BEARER.keys())
    def test_stops_what_has_another_form(self, header: str) -> None:
        assert not re.fullmatch(self.EXPRESSION, header)
