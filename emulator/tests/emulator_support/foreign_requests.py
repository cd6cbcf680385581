"""Requests that a web page can make a browser send to a server on this machine, and a name that leads here."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

OWN = "{name}:{port}"
NAMES = ("127.0.0.1", "localhost")
OWN_HEADERS: tuple[tuple[str, ...], ...] = (
    (),
    ("Sec-Fetch-Site: none",),
    ("Sec-Fetch-Site: same-origin", "Origin: {scheme}://{name}:{port}"),
)
PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
FOREIGN: dict[str, tuple[str, str | None, *tuple[str, ...]]] = {
    "a page of another site": ("GET {path} HTTP/1.1", OWN, "Origin: https://evil.example"),
    "a page of another port": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://127.0.0.1:3000"),
    "a page of another scheme": ("GET {path} HTTP/1.1", OWN, "Origin: {other_scheme}://{name}:{port}"),
    "a page under our other name": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://{other_name}:{port}"),
    "a sandboxed page or a file": ("GET {path} HTTP/1.1", OWN, "Origin: null"),
    "an empty origin": ("GET {path} HTTP/1.1", OWN, "Origin:"),
    "two origins": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://{name}:{port}", "Origin: https://evil.example"),
    "a form of another site": (
        "POST {path} HTTP/1.1",
        OWN,
        "Origin: https://evil.example",
        "Content-Type: text/plain",
        "Content-Length: 0",
    ),
    "a picture on another site": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
    "a picture on another port": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: same-site"),
    "a browser's new word": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: anything-else"),
    "two fetch sites": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
    "a preflight": ("OPTIONS {path} HTTP/1.1", OWN, "Origin: https://evil.example", *PREFLIGHT),
    "a preflight from nowhere": ("OPTIONS {path} HTTP/1.1", OWN, *PREFLIGHT),
    "a websocket of another site": (
        "GET {path} HTTP/1.1",
        OWN,
        "Origin: https://evil.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a rebound name": ("GET {path} HTTP/1.1", "evil.example:{port}"),
    "a rebound name without port": ("GET {path} HTTP/1.1", "evil.example"),
    "a rebound name that begins like ours": ("GET {path} HTTP/1.1", "{name}.evil.example:{port}"),
    "a rebound name that ends like ours": ("GET {path} HTTP/1.1", "evil.{name}:{port}"),
    "a bucket's name": ("GET {path} HTTP/1.1", "bucket.s3.localhost:{port}"),
    "a trailing dot": ("GET {path} HTTP/1.1", "{name}.:{port}"),
    "upper case": ("GET {path} HTTP/1.1", "LOCALHOST:{port}"),
    "another port": ("GET {path} HTTP/1.1", "{name}:1{port}"),
    "no port": ("GET {path} HTTP/1.1", "{name}"),
    "user information": ("GET {path} HTTP/1.1", "user@{name}:{port}"),
    "our name as user information": ("GET {path} HTTP/1.1", "{name}:{port}@evil.example"),
    "an address that means us": ("GET {path} HTTP/1.1", "0.0.0.0:{port}"),
    "another loopback address": ("GET {path} HTTP/1.1", "127.0.0.2:{port}"),
    "IPv6, on which nothing listens": ("GET {path} HTTP/1.1", "[::1]:{port}"),
    "a number that means us": ("GET {path} HTTP/1.1", "2130706433:{port}"),
    "an empty host": ("GET {path} HTTP/1.1", ""),
    "two hosts": ("GET {path} HTTP/1.1", OWN, "Host: evil.example"),
    "two hosts, ours last": ("GET {path} HTTP/1.1", "evil.example", "Host: {name}:{port}"),
    "two hosts in one": ("GET {path} HTTP/1.1", "{name}:{port}, evil.example"),
    "another authority in the target": ("GET http://evil.example{path} HTTP/1.1", OWN),
    "a whole URL as the target": ("GET {scheme}://{name}:{port}{path} HTTP/1.1", OWN),
    "no host, as HTTP/1.0 allows": ("GET {path} HTTP/1.0", None),
    "no host": ("GET {path} HTTP/1.1", None),
    "no version": ("GET {path}", None),
}


@dataclass(frozen=True)
class Server:
    """A server on 127.0.0.1, by https where there is a file of authorities to `trust`, and what answers to a GET."""

    port: int
    trust: Path | None
    path: str
    status: int

    def answer(self, start: str, *headers: str, name: str = "127.0.0.1") -> tuple[int, str]:
        """Sends a request as it stands; gives the status and the head. `name` is what we are called."""
        scheme, other_scheme = ("http", "https") if self.trust is None else ("https", "http")
        values = {
            "path": self.path,
            "port": self.port,
            "name": name,
            "other_name": "localhost" if name == "127.0.0.1" else "127.0.0.1",
            "scheme": scheme,
            "other_scheme": other_scheme,
        }
        lines = [line.format(**values) for line in (start, *headers)]
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            self._secured(plain) as connection,
        ):
            connection.sendall(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        head = received.partition(b"\r\n\r\n")[0].decode("latin-1")
        status = re.match(r"HTTP/1\.[01] (\d+)", head)
        # What has no version is answered without a status, too.
        return int(status[1]) if status else 403 if b"403" in received else 0, head

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self.trust is None:
            return plain
        return ssl.create_default_context(cafile=str(self.trust)).wrap_socket(plain, server_hostname="127.0.0.1")


def assert_foreign_requests_are_refused(server: Server, name: str) -> None:
    """Whatever a page of another origin can have a browser send to the server, called by that name."""
    refused = {}
    for what, (start, host, *headers) in FOREIGN.items():
        named = () if host is None else (f"Host: {host}",)
        refused[what] = server.answer(start, *named, *headers, name=name)[0]
    # 400: the server itself refuses what is no proper request.
    assert {what: status for what, status in refused.items() if status not in (400, 403)} == {}
    assert refused["a page of another site"] == refused["a rebound name"] == 403


def assert_own_requests_are_answered(server: Server, name: str) -> None:
    """Those of programs, of people and of the server's own pages; without a word to other pages."""
    for headers in OWN_HEADERS:
        status, head = server.answer("GET {path} HTTP/1.1", f"Host: {OWN}", *headers, name=name)
        assert status == server.status, headers
        assert "access-control-" not in head.lower(), headers
