"""An answerer that follows a script, and what it and the real ones are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kbfleet.domain.answer import AskableTenant, Exchange, Freshness, GeneratedAnswer, Inquiry
from kbfleet.domain.names import Life, TenantId
from kbfleet.ports import Clock


def askable(tenant_id: TenantId, knowledge_base_id: str, knowledge_store: str = "S3_VECTORS") -> AskableTenant:
    return AskableTenant(tenant_id, knowledge_base_id, knowledge_store, Freshness(None, False))


class ScriptedAnswerer:
    """`kbfleet.ports.Answerer`. Raises or gives what the script has for a knowledge base; `asked` has every question,
    `inquiries` how it was put.

    Args:
        script: by knowledge base id, an answer or an error.
    """

    def __init__(self, script: Mapping[str, GeneratedAnswer | Exception]) -> None:
        self._script = script
        self.asked: list[tuple[str, str]] = []
        self.inquiries: list[Inquiry] = []

    def answer(self, tenant: AskableTenant, inquiry: Inquiry, bucket_name: str) -> GeneratedAnswer:
        self.asked.append((tenant.knowledge_base_id, str(inquiry.question)))
        self.inquiries.append(inquiry)
        scripted = self._script[tenant.knowledge_base_id]
        if isinstance(scripted, Exception):
            raise scripted
        return scripted


class InMemoryConversations:
    """`kbfleet.ports.Conversations`, forgotten a lifetime after they began."""

    def __init__(self, clock: Clock, lifetime: timedelta) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._said: dict[tuple[Life, str], tuple[datetime, list[Exchange]]] = {}

    def exchanges(self, life: Life, conversation: str) -> Sequence[Exchange] | None:
        expires_at, exchanges = self._said.get((life, conversation), (self._clock.now(), list[Exchange]()))
        return None if expires_at <= self._clock.now() else tuple(exchanges)

    def add(self, life: Life, conversation: str, *exchanges: Exchange) -> None:
        begun = (self._clock.now() + self._lifetime, list[Exchange]())
        self._said.setdefault((life, conversation), begun)[1].extend(exchanges)

    def end(self, life: Life, conversation: str) -> None:
        self._said[life, conversation] = (self._clock.now(), [])

    def all_said(self) -> str:
        """In every conversation of everybody."""
        return repr(self._said)
