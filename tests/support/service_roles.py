"""Service roles in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from kbfleet.domain.capacity import Scarce
from kbfleet.domain.errors import CapacityExceeded, ResourceMissing
from kbfleet.domain.finding import Drift
from kbfleet.domain.names import Life, ResourceNames
from kbfleet.domain.service_role import ServiceRole
from kbfleet.ports import Clock

SHARED_ROLE = "arn:aws:iam::123456789012:role/knowledge-base"


class InMemoryServiceRoles:
    """`kbfleet.ports.ServiceRoles`.

    Tests script it: `quota`, `per_tenant`, `shared_is_gone`, and `drift`, which is what somebody has changed of a role,
    by its name.
    Tests look at `roles` and at `changes`, how often one was made or changed.
    """

    def __init__(self, clock: Clock, names: ResourceNames) -> None:
        self._clock = clock
        self._names = names
        self.per_tenant = True
        self.shared_is_gone = False
        self.quota = 1_000
        self.roles: dict[str, ServiceRole] = {}
        self.drift: dict[str, list[Drift]] = {}
        self.changes = 0
        self._changed_at: dict[str, datetime] = {}

    def arn(self, name: str) -> str:
        own = f"arn:aws:iam::{self._names.account}:role{self._names.service_role_path}{name}"
        return own if self.per_tenant else SHARED_ROLE

    def ensure(self, role: ServiceRole) -> datetime | None:
        if not self.per_tenant:
            return None
        if role.name not in self.roles and len(self.roles) >= self.quota:
            raise CapacityExceeded(f"The account has {self.quota} roles.", remedy=Scarce.SERVICE_ROLES.way_out)
        if self.roles.get(role.name) != role or role.name in self.drift:
            self._change(role)
        self.drift.pop(role.name, None)
        return self._changed_at[role.name]

    def trust(self, role: ServiceRole) -> None:
        if not self.per_tenant:
            self.delete(role.name)
        elif role.name not in self.roles:
            raise ResourceMissing(f"There is no role {role.name}.")
        elif self.roles[role.name] != role:
            self._change(role)

    def differences(self, role: ServiceRole) -> Sequence[Drift] | None:
        if not self.per_tenant:
            return ()
        found = self.roles.get(role.name)
        if found is None:
            return None
        others = found.knowledge_bases and found.knowledge_bases != role.knowledge_bases
        changed = [Drift("it is assumed for others", breaks=bool(others))] if found != role else []
        return [*changed, *self.drift.get(role.name, ())]

    def delete(self, name: str) -> None:
        self.roles.pop(name, None)

    def exists(self, name: str) -> bool:
        return name in self.roles

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        for name in self.roles:
            life = names.life_of_service_role(name)
            if life is not None:
                yield name, life

    def shared_is_there(self) -> bool:
        return self.per_tenant or not self.shared_is_gone

    def room(self) -> tuple[int, int] | None:
        return (len(self.roles), self.quota) if self.per_tenant else None

    def _change(self, role: ServiceRole) -> None:
        self.roles[role.name] = role
        self._changed_at[role.name] = self._clock.now()
        self.changes += 1
