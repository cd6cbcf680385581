"""How much room an account has for further tenants: each uses up a part of several quotas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

WARNED_FROM = 0.8
"""Of a quota: from here on people hear of it, in time to ask AWS for more or to find another place."""
BUCKETS = 10_000
"""Of an account, unless AWS has given it more (Amazon S3 User Guide, General purpose bucket quotas)."""
USAGE_KEYS = 10_000
"""API keys of an account and Region, not adjustable (API Gateway Developer Guide, Quotas for configuring and running a
REST API)."""
COUNTED_FOR = timedelta(hours=6)
"""The hourly round counts; so many of them may fail before whoever makes a tenant counts for itself."""


class Scarce(StrEnum):
    """What a tenant takes one of, as it is called before people."""

    VECTOR_KNOWLEDGE_BASES = "knowledge bases of type VECTOR"
    MANAGED_KNOWLEDGE_BASES = "knowledge bases of type MANAGED"
    BUCKETS = "buckets"
    SERVICE_ROLES = "roles"
    USAGE_KEYS = "API keys"
    VECTOR_INDEXES = "indexes of the vector bucket"

    @property
    def way_out(self) -> str:
        """What to do when there is no room."""
        return _WAYS_OUT[self]


_OTHERS = "Offboard tenants, or run another fleet in another account or Region"
_WAYS_OUT = {
    Scarce.VECTOR_KNOWLEDGE_BASES: (
        f"{_OTHERS}; new tenants on the knowledge store MANAGED have a quota of 10,000 of their own."
    ),
    Scarce.MANAGED_KNOWLEDGE_BASES: f"{_OTHERS}.",
    Scarce.BUCKETS: "Ask AWS for more buckets (Service Quotas, Amazon S3), or delete some that nobody needs.",
    Scarce.SERVICE_ROLES: (
        "Ask AWS for more roles (up to 10,000 are granted without a review), or deploy the stack with "
        "ServiceRoles=SHARED, where one role serves every tenant."
    ),
    Scarce.USAGE_KEYS: f"Delete API keys that nobody needs: AWS gives no more. {_OTHERS}.",
    Scarce.VECTOR_INDEXES: "Run `kbfleet reconcile`: it names indexes that no tenant needs. Delete those.",
}


@dataclass(frozen=True, slots=True)
class Room:
    """Of one quota, how much is used.

    Args:
        needed_by: the types of knowledge store whose tenants take one.
        fixed: whether the account cannot have more than `quota`. Else AWS may have given it more, and only AWS's own
            refusal shows that there is no room.
        kept: how many of the quota are for rebuilds, and not for whoever asks.
    """

    of: Scarce
    used: int
    quota: int
    needed_by: tuple[str, ...] = ()
    fixed: bool = True
    kept: int = 0

    @property
    def left(self) -> int:
        return max(0, self.quota - self.kept - self.used)

    @property
    def share(self) -> float:
        """Of the quota that is used; 1 for all of it."""
        return min(1.0, self.used / self.quota) if self.quota else 1.0

    @property
    def is_scarce(self) -> bool:
        return self.share >= WARNED_FROM

    @property
    def is_full(self) -> bool:
        """For certain."""
        return self.fixed and self.left == 0

    def __str__(self) -> str:
        kept = f", and keeps {self.kept} for rebuilds" if self.kept else ""
        return f"{self.used:,} of {self.quota:,} {self.of}{kept}"


@dataclass(frozen=True, slots=True)
class RoomCount:
    """All that was counted at one time.

    Args:
        taken: how many tenants have been let in since.
    """

    counted_at: datetime
    rooms: tuple[Room, ...] = ()
    taken: int = 0

    def for_tenants_on(self, store: str) -> tuple[Room, ...]:
        """What a tenant on that type of store needs, as if each that was let in since had taken one."""
        return tuple(replace(room, used=room.used + self.taken) for room in self.rooms if store in room.needed_by)

    def keeping(self, for_rebuilds: int) -> RoomCount:
        """For a new tenant: so many knowledge bases are left to rebuilds. Of type VECTOR only: of the other there are a
        hundred times as many, and AWS gives more."""
        vector = Scarce.VECTOR_KNOWLEDGE_BASES
        rooms = (replace(room, kept=for_rebuilds if room.of is vector else 0) for room in self.rooms)
        return replace(self, rooms=tuple(rooms))

    def suffices(self, store: str, now: datetime) -> bool:
        """Whether there certainly is room for one more such tenant. Else it has to be counted anew: a count costs a
        hundred calls in a large account, and is not made for every tenant."""
        rooms = self.for_tenants_on(store)
        known = bool(rooms) and now - self.counted_at < COUNTED_FOR
        return known and all(room.left > _margin(room) for room in rooms if room.fixed)


def _margin(room: Room) -> int:
    """So few may have been taken by others since, or be taken at this moment."""
    return max(10, room.quota // 100)
