"""Slack's Web API and incoming webhooks on loopback, as far as alerts need them, with everything that goes wrong there.

Source: Slack documentation, methods chat.postMessage, chat.update, conversations.history and conversations.replies;
Rate limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 2
"""Messages in a page, so that whoever reads only the first one is found out."""


@dataclass
class FakeSlack:
    """`trouble` says for each call what happens to it: a status, "lost" (nobody answers, and it was not taken) or
    "unanswered" (nobody answers, but it was taken); after the last, all is well. `refusal` is an error that every
    call gets."""

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    trouble: list[int | str] = field(default_factory=list)
    retry_after: str = "0"
    refusal: str = ""
    calls: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def roots(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if not message.get("thread_ts")]

    def answer(self, method: str, sent: dict[str, Any]) -> dict[str, Any]:
        if self.refusal:
            return {"ok": False, "error": self.refusal}
        match method:
            case "chat.postMessage":
                message = {**sent, "ts": f"{1_793_610_000 + len(self.messages)}.000100"}
                self.messages.append(message)
                return {"ok": True, "ts": message["ts"], "channel": sent["channel"]}
            case "chat.update":
                found = [message for message in self.messages if message["ts"] == sent["ts"]]
                if not found:
                    return {"ok": False, "error": "message_not_found"}
                found[0].update(text=sent["text"], blocks=sent["blocks"])
                return {"ok": True, "ts": sent["ts"]}
            case "conversations.history":
                return self._page(self.roots, sent)
            case "conversations.replies":
                thread = [
                    message for message in self.messages if sent["ts"] in {message["ts"], message.get("thread_ts")}
                ]
                return self._page(thread, sent)
        return {"ok": False, "error": "unknown_method"}

    def _page(self, messages: list[dict[str, Any]], sent: dict[str, Any]) -> dict[str, Any]:
        start = int(sent.get("cursor") or 0)
        following = str(start + PAGE) if start + PAGE < len(messages) else ""
        found = messages[start : start + PAGE]
        if str(sent.get("include_all_metadata")).lower() not in {"true", "1"}:
            found = [{name: value for name, value in message.items() if name != "metadata"} for message in found]
        return {"ok": True, "messages": found, "response_metadata": {"next_cursor": following}}


@contextmanager
def slack() -> Iterator[FakeSlack]:
    """Serves on a free port of 127.0.0.1 until the block is left. `/api/` is the Web API, all else a webhook."""
    fake = FakeSlack()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            with fake.lock:
                self._respond(parts.path, _arguments(body, parts.query))

        def _respond(self, path: str, sent: dict[str, Any]) -> None:
            fake.calls.append(path)
            fate = fake.trouble.pop(0) if fake.trouble else 200
            if fate == "lost":
                return None  # the connection is closed without an answer
            if isinstance(fate, int) and fate != 200:
                return self._send(fate, b"trouble")
            if path.startswith("/api/"):
                answer = json.dumps(fake.answer(path.removeprefix("/api/"), sent)).encode()
            elif fake.refusal:
                return self._send(404, fake.refusal.encode())
            else:
                fake.messages.append(sent)
                answer = b"ok"
            if fate == "unanswered":
                return None
            return self._send(200, answer)

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            if status == 429:
                self.send_header("Retry-After", fake.retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests read `calls` instead."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _arguments(body: bytes, query: str) -> dict[str, Any]:
    """JSON, or a form: slack_sdk sends both."""
    if body.startswith(b"{"):
        sent: dict[str, Any] = json.loads(body)
        return sent
    return {name: values[0] for name, values in parse_qs(body.decode() or query).items()}
