"""The two back ends of the documents page, and browsers of their users, without a network between."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Protocol

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from jwt.algorithms import RSAAlgorithm

from examples import fastapi_app
from examples.kbfleet_client import Kbfleet
from tests.support.backends import django_backend

ISSUER, AUDIENCE = "https://users.example.com", "product"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def token(tenant: str) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mina", "exp": 2**32, "custom:tenant_id": tenant}
    return jwt.encode(claims, _KEY, "RS256")


class _Published:
    def get_signing_key_from_jwt(self, _token: str) -> object:
        return jwt.PyJWK(RSAAlgorithm.to_jwk(_KEY.public_key(), as_dict=True), "RS256")


@dataclass
class Seen:
    """What a browser got. `rows` are the names in the table, `links` where links lead to, by what they are called,
    `hidden` the hidden fields of forms, `shown` the text, and `tags` all elements with their attributes."""

    status: int
    headers: Mapping[str, str]
    text: str
    rows: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    shown: str = ""
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.text)


class _Reader(HTMLParser):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen
        self._in: list[str] = []
        self._row: str | None = None
        self._link: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.seen.tags.append((tag, given))
        if tag == "th" and given.get("scope") == "row":
            self._row = ""
        if tag == "a":
            called = given.get("aria-label")
            self._link = ("", given.get("href") or "") if called is None else None
            if called is not None:
                self.seen.links[called] = given.get("href") or ""
        if tag == "input" and given.get("type") == "hidden":
            self.seen.hidden[given.get("name") or ""] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "th" and self._row is not None:
            self.seen.rows.append(self._row)
            self._row = None
        if tag == "a" and self._link is not None:
            self.seen.links[self._link[0].strip()] = self._link[1]
            self._link = None

    def handle_data(self, data: str) -> None:
        self.seen.shown += data
        if self._row is not None:
            self._row += data
        if self._link is not None:
            self._link = (self._link[0] + data, self._link[1])


def _seen(status: int, headers: Mapping[str, str], text: str) -> Seen:
    seen = Seen(status, headers, text)
    _Reader(seen).feed(text)
    return seen


class Person:
    """Somebody with a browser, who is at the page. Redirects are not followed."""

    def __init__(self, send: Callable[..., Seen]) -> None:
        self._send = send

    def get(self, path: str = "", *, language: str = "en", accept: str = "text/html", **query: str) -> Seen:
        return self._send("GET", path, query, {"Accept-Language": language, "Accept": accept})

    def post(self, path: str, fields: Mapping[str, str], *, accept: str = "text/html") -> Seen:
        return self._send("POST", path, fields, {"Accept-Language": "en", "Accept": accept})

    def form(self, path: str, **fields: str) -> Seen:
        """Posts with what makes a form this page's own."""
        csrf = {name: value for name, value in self.get().hidden.items() if "csrf" in name}
        assert csrf
        return self.post(path, {**csrf, **fields}, accept="application/json" if path == "upload" else "text/html")


class Backend(Protocol):
    """`csrf` is the name of the field that makes a form the page's own."""

    name: str
    csrf: str

    def person(self, tenant: str | None) -> Person: ...

    def application(self) -> tuple[Any, str]:
        """And whether it is `asgi` or `wsgi`."""

    def cookies(self, tenant: str) -> dict[str, str]:
        """What a browser has when somebody has signed in."""


class _FastApi:
    name, csrf = "fastapi", "csrf"

    def __init__(self, module: Any) -> None:
        self._module = module

    def _client(self, tenant: str | None) -> TestClient:
        client = TestClient(self._module.app, "https://testserver", follow_redirects=False)
        if tenant is not None:
            assert client.post("/session", headers={"Authorization": f"Bearer {token(tenant)}"}).status_code == 204
        return client

    def person(self, tenant: str | None) -> Person:
        client = self._client(tenant)

        def send(method: str, path: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Seen:
            # Of an empty query, the path's own would be lost.
            given = {"data": fields} if method == "POST" else {"params": fields} if fields else {}
            answer = client.request(method, f"/documents/{path}", headers=dict(headers), **given)  # type: ignore[arg-type]
            return _seen(answer.status_code, answer.headers, answer.text)

        return Person(send)

    def application(self) -> tuple[Any, str]:
        return self._module.app, "asgi"

    def cookies(self, tenant: str) -> dict[str, str]:
        return dict(self._client(tenant).cookies.items())


class _Django:
    name, csrf = "django", "csrfmiddlewaretoken"

    def __init__(self) -> None:
        self._backend = django_backend()

    def _client(self, tenant: str | None) -> Any:
        client = self._backend.anonymous() if tenant is None else self._backend.signed_in(f"of-{tenant}", tenant=tenant)
        client.handler.enforce_csrf_checks = True
        return client

    def person(self, tenant: str | None) -> Person:
        client = self._client(tenant)

        def send(method: str, path: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Seen:
            call = client.get if method == "GET" else client.post
            answer = call(f"/documents/{path}", fields, headers=headers)
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            return _seen(answer.status_code, answer.headers, body.decode())

        return Person(send)

    def application(self) -> tuple[Any, str]:
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application(), "wsgi"

    def cookies(self, tenant: str) -> dict[str, str]:
        return {name: morsel.value for name, morsel in self._client(tenant).cookies.items()}


@contextmanager
def backend(name: str, kbfleet: Kbfleet, uploads_to: str, patch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """One of the two, which calls that client."""
    if name == "django":
        made = django_backend()
        from django.test import override_settings

        with made.calling(kbfleet), override_settings(UPLOADS_TO=uploads_to):
            yield _Django()
        return
    given = {
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "SESSION_SECRET": "of a test",
        "UPLOADS_TO": uploads_to,
    }
    for variable, value in given.items():
        patch.setenv(variable, value)
    # It is made with its secret when it is imported.
    module: Any = importlib.import_module("examples.fastapi_documents")
    overridden = {fastapi_app.kbfleet: lambda: kbfleet, fastapi_app.keys: _Published}
    patch.setattr(module.app, "dependency_overrides", overridden)
    yield _FastApi(module)
