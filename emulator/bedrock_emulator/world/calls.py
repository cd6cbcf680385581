"""The log of calls that the emulator has answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import Any

_KEPT = 10_000


class Calls:
    """The last 10,000 calls, oldest first: time, Region, service, operation, input members, HTTP status, error code,
    usage, request id.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        """Empty."""
        self._lock = Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def add(
        self,
        *,
        at: float,
        region: str,
        service: str,
        operation: str,
        members: dict[str, Any],
        status: int | None,
        error: str | None,
        usage: dict[str, int] | None,
        request_id: str,
    ) -> None:
        """Note a call; ``status`` is None when the connection broke, ``usage`` where the answer names no tokens."""
        entry = {
            "time": at,
            "region": region,
            "service": service,
            "operation": operation,
            "input": members,
            "status": status,
            "error": error,
            "usage": usage,
            "requestId": request_id,
        }
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()

    def of(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation."""
        return [entry for entry in self if entry["operation"] == operation]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The calls as they are now."""
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._entries)
