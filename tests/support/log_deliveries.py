"""Deliveries of knowledge bases' logs in memory."""

from __future__ import annotations

from kbfleet.domain.errors import NotReadyYet, ResourceConflict


class InMemoryLogDeliveries:
    """`kbfleet.ports.LogDeliveries`. `delivered` is the knowledge base of each, by name; `busy`, whether changes of
    others are under way."""

    def __init__(self) -> None:
        self.delivered: dict[str, str] = {}
        self.busy = False

    def ensure(self, name: str, knowledge_base_arn: str) -> None:
        if self.delivered.get(name) == knowledge_base_arn:
            return
        self._change()
        if knowledge_base_arn in self.delivered.values():
            raise ResourceConflict("This ResourceId has already been used in another Delivery Source in this account.")
        self.delivered[name] = knowledge_base_arn

    def delete(self, name: str) -> None:
        if self.exists(name):
            self._change()
            del self.delivered[name]

    def exists(self, name: str) -> bool:
        return name in self.delivered

    def _change(self) -> None:
        if self.busy:
            raise NotReadyYet("Requested resource is currently being updated.")
