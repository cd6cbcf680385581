"""The knowledge stores of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kbfleet.domain.errors import KnowledgeStoreNotOffered
from kbfleet.ports import KnowledgeStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbfleet.adapters.knowledge_stores import StoreResources, StoreType


class OfferedStores(Mapping[str, KnowledgeStore]):
    """The stores that the stack offers, the default first. Each is made, with its client, when it is first used."""

    def __init__(self, default: str, types: Mapping[str, type[StoreType]], resources: StoreResources) -> None:
        """Raises: KnowledgeStoreNotOffered when the default is not among them; that is a fault of the template."""
        offered = {name: kind for name, kind in types.items() if kind.offered_by(resources)}
        if default not in offered:
            raise KnowledgeStoreNotOffered(
                f"The stack's default knowledge store {default!r} is not among those that it offers.",
                remedy=f"Set the parameter KnowledgeStore to one of: {', '.join(offered)}.",
            )
        self._types = {default: offered.pop(default), **offered}
        self._resources = resources
        self._made: dict[str, KnowledgeStore] = {}

    def __getitem__(self, store_type: str) -> KnowledgeStore:
        if store_type not in self._made:
            self._made[store_type] = self._types[store_type].made_of(self._resources)
        return self._made[store_type]

    def __contains__(self, store_type: object) -> bool:
        # The inherited one asks for the item, and so would make the store.
        return store_type in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
