"""Who uploads when: the scenarios that every policy has to go through."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ZIPF_EXPONENT = 1.0
CHANGES_A_DAY = 2_000
"""Below what the account can do: at most 8,640 starts a day, and 5 slots of 150 seconds on average are 2,880 jobs."""

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Uploads as pairs of time (virtual seconds) and tenant, in order of time.

    Args:
        first_syncs: the uploads stand for tenants that are being provisioned, whose first sync is requested outright.
    """

    name: str
    tenants: int
    uploads: Sequence[tuple[float, str]]
    first_syncs: bool = False


def tenant(number: int) -> str:
    return f"tenant-{number:05}"


def workloads(seed: int) -> Iterator[Workload]:
    """Every scenario; the same for the same seed."""
    yield burst(1, 50, 5, seed)
    yield burst(12, 8, 60, seed)
    yield burst(30, 1, 10, seed)
    yield burst(40, 4, 3_600, seed)
    yield onboarding(500)
    yield day(10_000, CHANGES_A_DAY, seed)


def burst(tenants: int, each: int, seconds: float, seed: int) -> Workload:
    """Each of the tenants uploads so many times, at random within the time."""
    chance = _chance("burst", tenants, each, seconds, seed)
    uploads = sorted((chance.uniform(0, seconds), tenant(number)) for number in range(tenants) for _ in range(each))
    span = "an hour" if seconds == 3_600 else f"{seconds:g} s"
    return Workload(f"{tenants} × {each} in {span}", tenants, uploads)


def onboarding(tenants: int) -> Workload:
    """All at once."""
    return Workload(
        f"{tenants} tenants onboarded at once", tenants, [(0.0, tenant(number)) for number in range(tenants)], True
    )


def day(tenants: int, changes: int, seed: int) -> Workload:
    """Changes at random over a day, by tenants at random: few change much, and most hardly ever (Zipf's law)."""
    chance = _chance("day", tenants, changes, seed)
    weights = list(itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, tenants + 1)))
    changing = chance.choices(range(tenants), cum_weights=weights, k=changes)
    uploads = sorted((chance.uniform(0, _DAY), tenant(number)) for number in changing)
    return Workload(f"{tenants:,} tenants, {changes:,} changes a day", tenants, uploads)


def noisy(*, noise: bool, seed: int) -> Workload:
    """20 tenants change a document every five minutes on average for an hour; one more does so every second, or not at
    all."""
    chance = _chance("noisy", seed)
    uploads: list[tuple[float, str]] = []
    for number in range(1, 21):
        at = chance.expovariate(1 / 300)
        while at < 3_600:
            uploads.append((at, tenant(number)))
            at += chance.expovariate(1 / 300)
    if noise:
        uploads += [(float(second), NOISY) for second in range(3_600)]
    return Workload("beside a noisy tenant" if noise else "alone", 21, sorted(uploads))


NOISY = tenant(0)


def _chance(*parts: object) -> random.Random:
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - repeatable on purpose
