"""Whether one tenant that uploads all the time makes the others wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.ingestion.simulation import percentile, simulate
from benchmarks.ingestion.workloads import NOISY, noisy

HOURS = 4
"""A tenant has a dozen uploads in an hour, too few to distinguish its 99th percentile from chance."""

Lags = Mapping[str, list[float]]
"""Seconds from upload to searchable, by tenant."""


@dataclass(frozen=True)
class Beside:
    """The same uploads of 20 tenants, without the noisy one and with it. `lost` are those of both, the noisy tenant's
    too."""

    alone: Lags
    beside: Lags
    lost: int

    def lags(self, quantile: float) -> tuple[float, float]:
        """Of the 20 tenants' uploads: alone, and beside the noisy one."""
        return _of_all(self.alone, quantile), _of_all(self.beside, quantile)

    def worst(self, quantile: float) -> float:
        """How many times as long it takes the tenant that suffers most; infinitely for one whose uploads are lost."""
        return max(
            percentile(self.beside[tenant], quantile) / percentile(lags, quantile)
            if self.beside.get(tenant)
            else float("inf")
            for tenant, lags in self.alone.items()
        )


def beside_a_noisy_tenant(policy: str, seed: int) -> Beside:
    """Both cases under that policy, four hours each, of which every one starts with nothing to do."""
    pooled: tuple[defaultdict[str, list[float]], ...] = (defaultdict(list), defaultdict(list))
    lost = 0
    for hour in range(HOURS):
        for lags, noise in zip(pooled, (False, True), strict=True):
            result = simulate(policy, noisy(noise=noise, seed=seed * HOURS + hour), seed=seed * HOURS + hour)
            lost += result.lost
            for tenant, own in result.lags.items():
                if tenant != NOISY:
                    lags[tenant] += own
    alone, beside = pooled
    return Beside(alone, beside, lost)


def _of_all(lags: Lags, quantile: float) -> float:
    return percentile([lag for own in lags.values() for lag in own], quantile)
