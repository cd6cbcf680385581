"""Bringing every tenant's resources to what this version of kbfleet makes them like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus

CONVERGED_BY_ITSELF = frozenset({TenantStatus.ACTIVE, TenantStatus.SUSPENDED})
"""Others are converged by what comes next for them: provisioning, `tenant add`, `tenant resume`."""


LOOKED_AGAIN_AFTER = timedelta(hours=1)
"""After a round has ended, tenants of an older version still come into service: an execution of that version goes on
for hours, somebody takes a tenant back, or the older version was deployed in between."""


@dataclass(frozen=True, slots=True)
class Convergence:
    """A round through the fleet that an update has started.

    Args:
        resources_version: what tenants' resources are converged to.
        ended_at: when each tenant was found to have been tried, the last time that somebody looked.
    """

    resources_version: str
    began_at: datetime
    ended_at: datetime | None = None

    @classmethod
    def to(cls, resources_version: str, last: Convergence | None, now: datetime) -> Convergence:
        """The round that is under way or has ended; a new one, if the last was to another version."""
        return last if last is not None and last.resources_version == resources_version else cls(resources_version, now)

    def rests(self, now: datetime) -> bool:
        """Whether nobody has to look at the tenants yet."""
        return self.ended_at is not None and now - self.ended_at < LOOKED_AGAIN_AFTER

    def waits_for(self, tenant: Tenant) -> bool:
        """Whether it has to try that tenant. One that has failed since the round began is left to people."""
        tried = tenant.failure is not None and tenant.failure.at >= self.began_at
        return tenant.status in CONVERGED_BY_ITSELF and tenant.resources_version != self.resources_version and not tried
