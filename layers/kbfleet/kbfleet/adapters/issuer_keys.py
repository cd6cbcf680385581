"""The keys that an OpenID Connect issuer publishes, as a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_SET_BYTES = 262_144
_MAX_KEYS = 100
_MAX_KEY_ID_LENGTH = 1_024
_RSA_BITS = range(2_048, 8_193)
"""Shorter ones are weak (RFC 7518, section 3.3), and a signature by a longer one takes long to verify."""
_MAX_MODULUS_LENGTH, _MAX_EXPONENT_LENGTH = 1_366, 11
"""Characters of base64url of 8,192 and of 64 bits."""
_BASE64URL = re.compile("[A-Za-z0-9_-]+")

_PUBLIC_MEMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Source of the members: RFC 7518, section 6; RFC 8037, section 2."""
_ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""By type and curve of a key; the first counts for a key that names none. Source: RFC 7518, section 3.1; RFC 8037."""


class IssuerKeys(jwt.PyJWKClient):
    """The issuer's published keys. They are fetched anew when they are old, and when a token names one that is not
    among them, but for the latter no more often than each `refresh_pause`: whoever sends tokens with random key ids
    must not make us hammer the issuer. All that is PyJWT's; this class adds what happens while the issuer is down, how
    long a fetch may take and what it may bring, and which keys are used.

    Keys are not cached one by one (`cache_keys`): those would never expire, and one that the issuer has withdrawn would
    be believed for as long as this environment lives.

    Args:
        url: of the JSON Web Key Set. Redirects are not followed.
        unusable: is called about keys that are not used: how many for which reason. No part of a key is among that.
        fresh_for: how long fetched keys are used before they are fetched again.
        believed_for: how long they are used while they cannot be fetched again.
        refresh_pause: least time between a fetch and the next one for the sake of an unknown key id.
        retry_pause: least time between a fetch that failed and the next one.
        deadline: how long a fetch may take, from looking up the host's name to the last byte.
    """

    def __init__(
        self,
        url: str,
        *,
        unusable: Callable[[Mapping[str, int]], None],
        fresh_for: timedelta = timedelta(minutes=5),
        believed_for: timedelta = timedelta(hours=1),
        refresh_pause: timedelta = timedelta(seconds=30),
        retry_pause: timedelta = timedelta(seconds=5),
        deadline: timedelta = timedelta(seconds=4),
    ) -> None:
        super().__init__(
            url,
            lifespan=fresh_for.total_seconds(),
            cooldown_duration=refresh_pause.total_seconds(),
            timeout=deadline.total_seconds(),
        )
        self._unusable = unusable
        self._believed_for = believed_for.total_seconds()
        self._retry_pause = retry_pause.total_seconds()
        self._known: tuple[jwt.PyJWKSet, float] | None = None
        self._failure: tuple[jwt.PyJWKClientConnectionError, float] | None = None

    def fetch_data(self) -> Any:
        """The key set; the one known while it cannot be fetched, if that is not too old. A set without a key that can
        be used is an answer: the keys known are withdrawn.

        Raises:
            jwt.PyJWKClientConnectionError: it cannot be fetched in time, or is no key set.
        """
        if self._failure and time.monotonic() - self._failure[1] < self._retry_pause:
            return self._known_set(self._failure[0])
        try:
            fetched, skipped = key_set(_download(self.uri, self.timeout))
        except jwt.PyJWKClientConnectionError as error:
            self._failure = error, time.monotonic()
            return self._known_set(error)
        if skipped:
            self._unusable(skipped)
        self._known, self._failure = (fetched, time.monotonic()), None
        self._last_successful_fetch = time.monotonic()
        return fetched

    def _known_set(self, error: jwt.PyJWKClientConnectionError) -> jwt.PyJWKSet:
        if self._known and time.monotonic() - self._known[1] < self._believed_for:
            return self._known[0]
        raise error


class UsableKeys(jwt.PyJWKSet):
    """Keys that signatures can be verified with. Unlike PyJWT's own sets it may be empty."""

    def __init__(self, keys: list[jwt.PyJWK]) -> None:  # not the parent's, which takes the keys of an unread set
        self.keys = keys


def key_set(content: bytes) -> tuple[UsableKeys, Mapping[str, int]]:
    """The keys of a key set that can be used, and how many cannot, by the reason.

    Raises:
        jwt.PyJWKClientConnectionError: it is no key set, or holds more keys than anybody needs.
    """
    try:
        read = json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise jwt.PyJWKClientConnectionError(f"no JSON that could be read: {type(error).__name__}") from None
    published = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(published, list):
        raise jwt.PyJWKClientConnectionError("no key set")
    if len(published) > _MAX_KEYS:
        raise jwt.PyJWKClientConnectionError(f"more than {_MAX_KEYS} keys")
    skipped: Counter[str] = Counter()
    of_id: dict[str, list[tuple[object, jwt.PyJWK]]] = {}
    for each in published:
        try:
            key = _usable(each)
        except _NotUsable as reason:
            skipped[str(reason)] += 1
            continue
        same_id = of_id.setdefault(str(key.key_id), [])
        if each not in (other for other, _ in same_id):
            same_id.append((each, key))
    keys = []
    for same_id in of_id.values():
        if len(same_id) == 1:
            keys.append(same_id[0][1])
        else:
            skipped["another key has the same id"] += len(same_id)
    return UsableKeys(keys), skipped


def _without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name is repeated")
    return found


class _NotUsable(Exception):
    """Why a key is not used. It names no part of the key."""


def _usable(key: object) -> jwt.PyJWK:
    """Raises: _NotUsable."""
    if not isinstance(key, dict):
        raise _NotUsable("it is no object")
    if _PRIVATE_MEMBERS & key.keys():
        raise _NotUsable("it has private members: the issuer has published a secret")
    key_id, kind = key.get("kid"), key.get("kty")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_KEY_ID_LENGTH:
        raise _NotUsable("it has no id that a token could name")
    if key.get("use", "sig") != "sig" or not _verifies(key.get("key_ops", ["verify"])):
        raise _NotUsable("it is not for verifying signatures")
    members = _PUBLIC_MEMBERS.get(kind, ()) if isinstance(kind, str) else ()
    if not members or not all(isinstance(key.get(each), str) for each in members):
        raise _NotUsable("it is of no known type, or not whole")
    algorithms = _ALGORITHMS.get((str(kind), key.get("crv") if "crv" in members else None), ())
    algorithm = key.get("alg", next(iter(algorithms), None))
    if algorithm not in algorithms:
        raise _NotUsable("its algorithm does not go with its type or its curve")
    if not all(_BASE64URL.fullmatch(key[each]) for each in members if each != "crv"):
        raise _NotUsable("its numbers are not in base64url")
    if kind == "RSA" and not (len(key["n"]) <= _MAX_MODULUS_LENGTH and len(key["e"]) <= _MAX_EXPONENT_LENGTH):
        raise _NotUsable("it is too long")
    try:
        made = jwt.PyJWK({each: key[each] for each in ("kty", *members)} | {"kid": key_id}, algorithm)
    except (jwt.PyJWTError, ValueError):
        raise _NotUsable("it is no key of its type") from None
    if kind == "RSA" and made.key.key_size not in _RSA_BITS:
        raise _NotUsable("it is too short or too long")
    return made


def _verifies(operations: object) -> bool:
    return isinstance(operations, list) and "verify" in operations


def _download(url: str, deadline: float) -> bytes:
    """What is at a URL, by HTTPS or HTTP.

    A thread fetches it, because nothing else bounds a fetch as a whole: a socket's timeout is for each of its reads, of
    which a peer that sends a byte at a time causes as many as it likes, and looking up a name has none. At the deadline
    the connection is shut, which ends the thread.

    Raises:
        jwt.PyJWKClientConnectionError.
    """
    where = urlsplit(url)
    kind = http.client.HTTPConnection if where.scheme == "http" else _HttpsConnection
    downloaded: Future[bytes] = Future()
    opened: list[socket.socket] = []
    given_up = Event()
    try:
        connection = kind(where.hostname or "", where.port, timeout=deadline)
    except (ValueError, http.client.HTTPException) as error:
        raise jwt.PyJWKClientConnectionError(f"no URL of a key set: {type(error).__name__}") from error

    def download() -> None:
        try:
            connection.connect()
            opened.append(connection.sock)  # the connection forgets it when the answer has no length
            if given_up.is_set():  # perhaps before there was a socket to shut
                _shut(opened)
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            downloaded.set_result(_read(connection, f"{where.path or '/'}{where.query and f'?{where.query}'}"))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            downloaded.set_exception(error)
        finally:
            connection.close()

    Thread(target=download, daemon=True).start()
    try:
        return downloaded.result(deadline)
    except TimeoutError as error:
        given_up.set()
        _shut(opened)
        raise jwt.PyJWKClientConnectionError("it took too long") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        # Its kind only: the message may repeat what the peer has sent.
        raise jwt.PyJWKClientConnectionError(type(error).__name__) from error


class _HttpsConnection(http.client.HTTPConnection):
    """Unlike the library's it gives its socket before the handshake, which a peer can draw out."""

    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )


def _read(connection: http.client.HTTPConnection, path: str) -> bytes:
    # Compressed, a few bytes could become more than there is memory.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "kbfleet"}
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        if answer.status != http.client.OK:
            raise jwt.PyJWKClientConnectionError(f"HTTP status {answer.status}")
        if answer.getheader("Content-Encoding", "identity") != "identity":
            raise jwt.PyJWKClientConnectionError("it is compressed, which was not asked for")
        content = answer.read(_MAX_SET_BYTES + 1)
    if len(content) > _MAX_SET_BYTES:
        raise jwt.PyJWKClientConnectionError(f"more than {_MAX_SET_BYTES} bytes")
    return content


def _shut(sockets: list[socket.socket]) -> None:
    """Ends every read and write of theirs, whichever thread waits for it."""
    for each in sockets:
        with suppress(OSError):  # it has ended by itself
            each.shutdown(socket.SHUT_RDWR)
