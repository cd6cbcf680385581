"""Usage keys in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kbfleet.domain.errors import ResourceConflict
from kbfleet.domain.finding import Drift
from kbfleet.domain.usage_plan import UsageKey


@dataclass
class StoredUsageKey:
    tags: dict[str, str]
    plans: set[str] = field(default_factory=set)
    enabled: bool = True


class InMemoryUsageKeys:
    """`kbfleet.ports.UsageKeys`. `keys` is what there is, by value, beside `others`, which are no fleet's. A key's id
    is `key-` and its name, a usage plan's its name."""

    def __init__(self) -> None:
        self.keys: dict[str, StoredUsageKey] = {}
        self.others = 0

    def ensure(
        self,
        key: UsageKey,
        tags: Mapping[str, str],
        *,
        known_as: str | None = None,
        plan_id: str,
        other_plan_ids: Collection[str],
    ) -> str:
        stored = self.keys.setdefault(key.value, StoredUsageKey(dict(tags)))
        if not tags.items() <= stored.tags.items():
            raise ResourceConflict(f"An API key has the value of usage key {key.name}, but not its tags.")
        stored.plans = stored.plans - set(other_plan_ids) | {plan_id}
        stored.enabled = True
        return f"key-{key.name}"

    def find(self, key: UsageKey) -> str | None:
        return f"key-{key.name}" if key.value in self.keys else None

    def delete(self, key: UsageKey, *, known_as: str | None = None) -> None:
        self.keys.pop(key.value, None)

    def exists(self, key: UsageKey, *, known_as: str | None = None) -> bool:
        return key.value in self.keys

    def differences(
        self, key: UsageKey, *, known_as: str | None = None, plan: str, other_plans: Collection[str]
    ) -> Sequence[Drift] | None:
        stored = self.keys.get(key.value)
        if stored is None:
            return None
        outside = False if stored.plans & set(other_plans) else None if stored.plans else True
        left = [] if plan in stored.plans else [Drift("it is not in its plan", outside)]
        return [*left, *([] if stored.enabled else [Drift("it is disabled", breaks=True)])]

    def count(self) -> int:
        return len(self.keys) + self.others
