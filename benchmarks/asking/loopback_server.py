"""The least HTTP/1.1 server that botocore and Lambda's runtime client can talk to: what it takes is not measured."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` by their names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered; the length is added."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Request], Response | None]
"""Gives None to drop the connection."""


@contextmanager
def serving(answer: Answer, port: int = 0) -> Iterator[int]:
    """Serves on a port of 127.0.0.1, each connection in a thread of its own; a free port when none is given."""
    with _Server(("127.0.0.1", port), _handler(answer)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    # A thread may wait for a request that never comes.
    block_on_close = False


def _handler(answer: Answer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        # Nagle's algorithm would hold an answer for 40 ms.
        disable_nagle_algorithm = True

        def handle(self) -> None:
            try:
                while (request := _read(self.rfile)) and (response := answer(request)):
                    self.wfile.write(_written(response))
            except ConnectionError:
                return  # the other side has ended, as it does when its process is killed

    return Handler


def _read(stream: BufferedIOBase) -> Request | None:
    """The next request of a connection; None at its end. Bodies need a Content-Length."""
    start = stream.readline().decode("latin-1").split()
    if not start:
        return None
    method, path, _version = start
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers or "expect" in headers:
        raise NotImplementedError("a body in chunks, or one that wants to be asked for")
    return Request(method, path, headers, stream.read(int(headers.get("content-length", 0))))


def _written(response: Response) -> bytes:
    headers = (("Content-Length", str(len(response.body))), *response.headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    # In one write, so that it is one packet.
    return f"HTTP/1.1 {response.status} -\r\n{lines}\r\n".encode("latin-1") + response.body
