"""Which of the keys that an issuer publishes are used, and that no answer of its holds a request up."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest

from kbfleet.adapters.identity import JwksTokenVerifier
from kbfleet.adapters.issuer_keys import IssuerKeys
from kbfleet.domain.errors import KbfleetError, NotReadyYet, TokenRefused
from kbfleet.ports import TokenVerifier
from tests.support.http_server import Reply, serving
from tests.support.template import properties
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    TENANT_CLAIM,
    key_set,
    part,
    private_jwk,
    public_jwk,
    rsa_jwk_of_bits,
    token,
)

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
Reported = list[Mapping[str, int]]


def verifier_of(url: str, reported: Reported | None = None, **settings: timedelta) -> TokenVerifier:
    def unusable(keys: Mapping[str, int]) -> None:
        if reported is not None:
            reported.append(keys)

    return JwksTokenVerifier(
        IssuerKeys(url, unusable=unusable, **settings),
        issuer=ISSUER,
        audience=AUDIENCE,
        audience_claim="aud",
        tenant_claim=TENANT_CLAIM,
        algorithms=ALGORITHMS,
    )


def nested(depth: int) -> bytes:
    return b'{"keys": ' + b"[" * depth + b"]" * depth + b"}"


NO_KEY_SETS = {
    "nothing": b"",
    "text": b"not json",
    "no UTF-8": b"\xff\xfe",
    "UTF-8 that ends half-way": key_set("first")[:-2] + b"\xe3\x81",
    "an empty object": b"{}",
    "a list": b"[]",
    "a number": b"1",
    "keys that are an object": b'{"keys": {}}',
    "nested 100,000 deep": nested(100_000),
    "objects nested 100,000 deep": b'{"keys":' * 100_000,
    "a number of 5,000 digits": b'{"keys": [], "n": ' + b"9" * 5_000 + b"}",
    "the member keys twice": b'{"keys": [], ' + key_set("first")[1:],
    "a member of a key twice": key_set("first").replace(b'"kid"', b'"kid": "other", "kid"'),
    "300 keys": key_set(*(public_jwk(kid=f"key-{number}") for number in range(300))),
    "300 kB": key_set("first")[:-1] + b" " * 300_000 + b"}",
}


@pytest.mark.parametrize("body", NO_KEY_SETS.values(), ids=NO_KEY_SETS.keys())
class TestWhatIsNoKeySet:
    def test_says_nothing_about_a_token(self, body: bytes) -> None:
        with serving(Reply(body=body)) as issuer, pytest.raises(NotReadyYet) as raised:
            verifier_of(issuer.url).verify(token())
        assert token()[:20] not in str(raised.value)

    def test_does_not_withdraw_the_keys_known(self, body: bytes) -> None:
        with serving(Reply(body=key_set("first")), Reply(body=body)) as issuer:
            verifier = verifier_of(issuer.url, fresh_for=timedelta(microseconds=1))
            assert verifier.verify(token()) == verifier.verify(token())
            assert len(issuer.bodies) == 2

    def test_is_not_fetched_again_for_each_token(self, body: bytes) -> None:
        with serving(Reply(body=body)) as issuer:
            verifier = verifier_of(issuer.url)
            for _ in range(3):
                with pytest.raises(NotReadyYet):
                    verifier.verify(token())
            assert len(issuer.bodies) == 1


def changed(**changes: Any) -> dict[str, Any]:
    """The key that the token is signed with, changed; a member of `None` is left out."""
    return public_jwk(**changes)


NOT_USABLE: Mapping[str, object] = {
    "no object": ["first"],
    "nothing": None,
    "with its private members": private_jwk(),
    "with some of its private members": {**public_jwk(), "d": private_jwk()["d"]},
    "with private members that make no sense": {**public_jwk(), "d": 7, "p": None},
    "with one of them only": {**public_jwk(), "p": "AQAB"},
    "with other primes": {**public_jwk(), "oth": []},
    "a secret": {"kty": "oct", "kid": "first", "k": part(b"s" * 32)},
    "for encryption": changed(use="enc"),
    "for both": changed(use="sig enc"),
    "with a use that is no text": changed(use=["sig"]),
    "with operations for encryption": changed(key_ops=["encrypt"]),
    "with operations to sign": changed(key_ops=["sign"]),
    "with no operation": changed(key_ops=[]),
    "with operations that are text": changed(key_ops="verify"),
    "without a type": changed(kty=None),
    "of an unknown type": changed(kty="DSA"),
    "of a type that is no text": changed(kty=["RSA"]),
    "of another type": changed(kty="EC"),
    "without a modulus": changed(n=None),
    "with a modulus that is a number": changed(n=65_537),
    "with a modulus that is not in base64url": changed(n="!!!!" + public_jwk()["n"]),
    "with an empty modulus": changed(n=""),
    "with the exponent 1": changed(e="AQ"),
    "with an even exponent": changed(e="Ag"),
    "with an exponent of 8,192 bits": changed(e=part(b"\x01" * 1_024)),
    "of 1,024 bits": public_jwk("weak", kid="first"),
    "of 16,384 bits": rsa_jwk_of_bits(16_384, kid="first"),
    "of a million bits": rsa_jwk_of_bits(1_000_000, kid="first"),
    "for another algorithm": changed(alg="RS512"),
    "for an algorithm of another type": changed(alg="ES256"),
    "for an algorithm with a secret": changed(alg="HS256"),
    "for no algorithm": changed(alg="none"),
    "for an algorithm that is no text": changed(alg=["RS256"]),
    "for an unknown algorithm": changed(alg="RS1024"),
    "of an elliptic curve": public_jwk("first", "ES256"),
    "without an id": changed(kid=""),
    "with an id that is a number": changed(kid=7),
    "with an id of 5 kB": changed(kid="k" * 5_000),
}


@pytest.mark.parametrize("key", NOT_USABLE.values(), ids=NOT_USABLE.keys())
def test_such_a_key_is_not_used_and_the_others_are(key: object) -> None:
    reported: Reported = []
    body = json.dumps({"keys": [key, public_jwk("second")]}).encode()
    with serving(Reply(body=body)) as issuer:
        verifier = verifier_of(issuer.url, reported)
        started = time.monotonic()
        with pytest.raises(TokenRefused):
            verifier.verify(token())
        assert verifier.verify(token(key="second", kid="second"))
        assert time.monotonic() - started < 2
        assert len(issuer.bodies) == 1


REPORTED = {
    name: key for name, key in NOT_USABLE.items() if name not in ("for another algorithm", "of an elliptic curve")
}


@pytest.mark.parametrize("key", REPORTED.values(), ids=REPORTED.keys())
def test_it_learns_which_keys_are_not_used_and_why_without_a_word_of_them(key: object) -> None:
    reported: Reported = []
    with serving(Reply(body=json.dumps({"keys": [key]}).encode())) as issuer, pytest.raises(TokenRefused):
        verifier_of(issuer.url, reported).verify(token())
    ((reason, count),) = reported[0].items()
    assert count == 1
    values = [str(value) for value in key.values()] if isinstance(key, dict) else []
    assert not [value for value in values if len(value) > 8 and value in reason]


class TestCurves:
    @pytest.mark.parametrize(
        "changes",
        [{"crv": "P-384"}, {"crv": "secp256k1"}, {"crv": None}, {"crv": 7}, {"x": "AA"}, {"y": None}, {"alg": "ES384"}],
        ids=str,
    )
    def test_a_key_whose_curve_does_not_go_with_it_is_not_used(self, changes: dict[str, Any]) -> None:
        with (
            serving(Reply(body=key_set(public_jwk("curve", "ES256", **changes)))) as issuer,
            pytest.raises(TokenRefused),
        ):
            verifier_of(issuer.url).verify(token(key="curve", kid="curve", algorithm="ES256"))

    def test_one_that_is_not_on_its_curve_is_not_used(self) -> None:
        first, second = public_jwk("curve", "ES256"), public_jwk("another", "ES256")
        with serving(Reply(body=key_set({**first, "y": second["y"]}))) as issuer, pytest.raises(TokenRefused):
            verifier_of(issuer.url).verify(token(key="curve", kid="curve", algorithm="ES256"))

    def test_one_whose_issuer_names_no_algorithm_counts_as_its_curves(self) -> None:
        with serving(Reply(body=key_set(public_jwk("curve", "ES384", alg=None)))) as issuer:
            assert verifier_of(issuer.url).verify(token(key="curve", kid="curve", algorithm="ES384"))


class TestKeysOfOneId:
    @pytest.mark.parametrize("order", [1, -1])
    def test_two_of_them_are_both_not_used(self, order: int) -> None:
        keys = [public_jwk("first"), public_jwk("third", kid="first")][::order]
        with serving(Reply(body=key_set(*keys))) as issuer:
            for key in ("first", "third"):
                with pytest.raises(TokenRefused):
                    verifier_of(issuer.url).verify(token(key=key))

    def test_the_same_key_twice_is_one(self) -> None:
        with serving(Reply(body=key_set("first", "first"))) as issuer:
            assert verifier_of(issuer.url).verify(token())

    def test_one_for_encryption_does_not_stand_in_the_way(self) -> None:
        with serving(Reply(body=key_set(public_jwk("third", kid="first", use="enc"), "first"))) as issuer:
            assert verifier_of(issuer.url).verify(token())


def test_a_key_may_have_members_that_mean_nothing_to_us() -> None:
    with serving(Reply(body=key_set(changed(key_ops=["verify"], x5c=["MIIC"], x5t="abc")))) as issuer:
        assert verifier_of(issuer.url).verify(token())


# --- what the issuer's server does ---------------------------------------------------------------

DEADLINE = timedelta(seconds=0.4)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def sending(
    pieces: Callable[[], Iterator[bytes]], *, pause: float, scheme: str = "http"
) -> Iterator[tuple[str, Event]]:
    """A server that sends those, with a pause after each, until nobody reads; gives its URL, and an event that happens
    then."""
    ended, over = Event(), Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                try:
                    for piece in pieces():
                        connection.sendall(piece)
                        if over.wait(pause):
                            return
                except OSError:
                    ended.set()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/keys", ended
        over.set()  # who sends nothing does not see that nobody reads
        thread.join(5)


def endless(before: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([before], itertools.repeat(piece))


SLOW = {
    "nothing": endless(b"", b""),
    "its status, a byte at a time": endless(b"HTTP/1.1 ", b"2"),
    "a header, a byte at a time": endless(HEAD + b"X: ", b"x"),
    "headers, one at a time": endless(HEAD, b"X: x\r\n"),
    "keys, a byte at a time": endless(HEAD + b'Content-Length: 9999\r\n\r\n{"keys": [', b" "),
    "keys without a length, a byte at a time": endless(HEAD + b"\r\n", b" "),
    "a chunk at a time": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW.keys())
def test_an_issuer_that_is_slow_holds_nobody_up(pieces: Callable[[], Iterator[bytes]]) -> None:
    with sending(pieces, pause=0.01) as (url, ended):
        started = time.monotonic()
        with pytest.raises(NotReadyYet):
            verifier_of(url, deadline=DEADLINE).verify(token())
        assert time.monotonic() - started < DEADLINE.total_seconds() + 1
        if pieces is not SLOW["nothing"]:
            assert ended.wait(5)


def looking_up_takes(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> None:
    """Until `wait` returns."""
    look_up = socket.getaddrinfo

    def slowly(*arguments: Any, **options: Any) -> Any:
        wait()
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW.keys())
def test_a_connection_that_is_there_only_after_the_deadline_is_not_read_from(
    pieces: Callable[[], Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = Event()
    looking_up_takes(monkeypatch, lambda: given_up.wait(5))
    with sending(pieces, pause=0.01) as (url, ended):
        with pytest.raises(NotReadyYet):
            verifier_of(url, deadline=DEADLINE).verify(token())
        given_up.set()
        if pieces is not SLOW["nothing"]:
            assert ended.wait(5)


def test_a_handshake_that_is_sent_a_byte_at_a_time_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    # By itself it has as long again as looking up the name has taken.
    looked_up_after, deadline = timedelta(seconds=1.8), timedelta(seconds=2)
    looking_up_takes(monkeypatch, lambda: time.sleep(looked_up_after.total_seconds()))
    a_long_record = b"\x16\x03\x03\x40\x00"
    with sending(endless(a_long_record, b"\x02"), pause=0.01, scheme="https") as (url, ended):
        with pytest.raises(NotReadyYet):
            verifier_of(url, deadline=deadline).verify(token())
        assert ended.wait(looked_up_after.total_seconds() / 2)


FAST = {
    "a status without an end": endless(b"HTTP/1.1 ", b"2" * 65_536),
    "a header without an end": endless(HEAD + b"X: ", b"x" * 65_536),
    "headers without an end": endless(HEAD, b"X: x\r\n" * 5_000),
    "keys without an end": endless(HEAD + b"\r\n" + b'{"keys": [', b" " * 65_536),
    "chunks without an end": endless(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n"
    ),
    "more than there is memory": endless(HEAD + b"Content-Length: 99999999999999\r\n\r\n", b" " * 65_536),
}


@pytest.mark.parametrize("pieces", FAST.values(), ids=FAST.keys())
def test_an_issuer_that_does_not_end_is_not_read_to_the_end(pieces: Callable[[], Iterator[bytes]]) -> None:
    with sending(pieces, pause=0) as (url, ended):
        with pytest.raises(NotReadyYet):
            verifier_of(url).verify(token())
        assert ended.wait(5)


OTHERWISE = {
    "compressed": Reply(body=gzip.compress(key_set("first")), headers={"Content-Encoding": "gzip"}),
    "a compressed bomb": Reply(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
    "no content": Reply(status=204, body=b""),
    "not found": Reply(status=404, body=key_set("first")),
    "an error with keys": Reply(status=500, body=key_set("first")),
    "a redirect to a file": Reply(status=302, body=b"", headers={"Location": "file:///etc/passwd"}),
    "a redirect to plain HTTP": Reply(status=307, body=b"", headers={"Location": "http://127.0.0.1:1/"}),
    "a redirect to nowhere": Reply(status=308, body=key_set("first")),
}


@pytest.mark.parametrize("reply", OTHERWISE.values(), ids=OTHERWISE.keys())
def test_any_other_answer_holds_no_keys(reply: Reply) -> None:
    with serving(reply) as issuer, pytest.raises(NotReadyYet):
        verifier_of(issuer.url).verify(token())


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:1/keys", "http://127.0.0.1:99999/", "http://[", "https:///keys", "https://a..b/"],
)
def test_a_url_that_leads_nowhere_is_an_error_of_ours(url: str) -> None:
    with pytest.raises((KbfleetError, ValueError)):
        verifier_of(url).verify(token())


def test_the_whole_fetch_fits_into_the_authorizers_time() -> None:
    keys = IssuerKeys("https://id.example.com/keys", unusable=lambda _: None)
    assert keys.timeout < properties("AuthorizeFunction")["Timeout"] / 2
