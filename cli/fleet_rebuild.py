"""Rebuilding all tenants of a fleet, by turns.

What is done and what is left, the tenants' records say: nothing else is kept, and whoever runs it again goes on. That
there is room for candidates, and that few are filled at once, is seen to where they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cli.fleet_api import FleetApi, Refused
from cli.progress import Progress
from cli.turns import Turns
from kbfleet.contracts.profiles import ProfileBody
from kbfleet.contracts.tenants import ListedTenantBody, TenantBody
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus

AT_ONCE = 5
"""Rebuilds that are begun: three are filled at once where jobs are scarce, while others are made, compared, or wait for
room."""
_ENDED = {TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}


class Outcome(StrEnum):
    PROMOTED = "PROMOTED"
    ALREADY = "ALREADY"
    """It answers by that profile since before."""
    COMPARED = "COMPARED"
    STOPPED = "STOPPED"
    REFUSED = "REFUSED"
    """The candidate is worse, or the fleet does not begin it."""
    FAILED = "FAILED"
    UNFINISHED = "UNFINISHED"
    """Its execution has ended, and something is still to be done."""

    @property
    def is_trouble(self) -> bool:
        return self in {Outcome.REFUSED, Outcome.FAILED, Outcome.UNFINISHED}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of one tenant, and why, where it did not end as it was to."""

    tenant_id: TenantId
    outcome: Outcome
    reason: str = ""


@dataclass
class FleetRebuild:
    """
    Args:
        profile: by which they are rebuilt, in the version that each is to have.
        store: only tenants that live there; all, if not given.
    """

    api: FleetApi
    profile: ProfileBody
    store: str | None
    keep_hours: int
    tolerance: int
    compare_only: bool
    turns: Turns[TenantId, Rebuilt] = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Turns(self._begin, self._end_of, AT_ONCE)

    @property
    def ended(self) -> list[Rebuilt]:
        return self.turns.ended

    def run(self) -> None:
        """Until each has ended.

        Raises:
            FleetUnreachable, Refused: the fleet does not answer any more. What was begun goes on by itself.
        """
        left = list[TenantId]()
        for each in self._listed():
            if self._is_built(each):
                self.ended.append(Rebuilt(each.tenant_id, Outcome.ALREADY))
            else:
                left.append(each.tenant_id)
        self.turns.run(f"Rebuilding by profile {self.profile.name}", left)

    def stop(self, *, wait: bool) -> None:
        """Ends each rebuild, and deletes its candidate.

        Raises: FleetUnreachable, Refused: as `run`.
        """
        listed = self._listed()
        with Progress("Rebuilds that are stopped") as progress:
            for number, each in enumerate(listed, start=1):
                try:
                    self.turns.at_work.append((each.tenant_id, self.api.stop_rebuild(each.tenant_id).execution))
                except Refused as refused:
                    if refused.passing:
                        raise
                    if refused.code != "NothingBeside":
                        self.ended.append(Rebuilt(each.tenant_id, Outcome.REFUSED, refused.detail))
                progress.count(number, len(listed))
        if wait:
            self.turns.run("Candidates that are deleted", ())
        else:
            self.ended.extend(Rebuilt(tenant_id, Outcome.STOPPED) for tenant_id, _ in self.turns.at_work)

    def _listed(self) -> Sequence[ListedTenantBody]:
        with Progress("Tenants") as progress:
            listed = self.api.tenants(None, progress.count).tenants
        here = (each for each in listed if self.store in {None, each.knowledge_store})
        return [each for each in here if each.status not in _ENDED]

    def _is_built(self, tenant: ListedTenantBody | TenantBody) -> bool:
        return (tenant.profile, tenant.profile_version) == (self.profile.name, self.profile.version)

    def _begin(self, tenant_id: TenantId) -> str | Rebuilt:
        body = self.api.tenant(tenant_id)
        decided = self._decided(body)
        if decided is not None:
            return decided
        try:
            begun = self.api.rebuild(
                tenant_id,
                self.profile.name,
                keep_hours=self.keep_hours,
                tolerance=self.tolerance,
                compare_only=self.compare_only,
            )
        except Refused as refused:
            if refused.passing:
                raise
            return Rebuilt(tenant_id, Outcome.REFUSED, refused.detail)
        return begun.execution

    def _decided(self, body: TenantBody) -> Rebuilt | None:
        """What became of it before; `None` where it is to be begun, or gone on with."""
        if self._is_built(body):
            return Rebuilt(body.tenant_id, Outcome.ALREADY)
        beside = body.beside
        if beside is None or (beside.profile, beside.profile_version) != (self.profile.name, self.profile.version):
            return None
        if beside.role is Role.RETIRED:
            tenant_id, profile = body.tenant_id, self.profile.name
            reason = f"It was rolled back. `kbfleet tenant rebuild {tenant_id} --profile {profile}` builds it anew."
            return Rebuilt(tenant_id, Outcome.REFUSED, reason)
        if beside.role is not Role.CANDIDATE or beside.keep_until is None or beside.comparison is None:
            return None
        if beside.comparison.refusals:
            return Rebuilt(body.tenant_id, Outcome.REFUSED, " ".join(beside.comparison.refusals))
        return Rebuilt(body.tenant_id, Outcome.COMPARED) if self.compare_only else None

    def _end_of(self, tenant_id: TenantId, name: str) -> Rebuilt | None:
        """`None` while its execution runs."""
        execution = self.api.rebuilding(tenant_id, name)
        if execution.status == "RUNNING":
            return None
        if execution.status == "SUCCEEDED":
            return self._became(self.api.tenant(tenant_id))
        return Rebuilt(tenant_id, Outcome.FAILED, f"{execution.status} at {execution.step}: {execution.reason}")

    def _became(self, body: TenantBody) -> Rebuilt:
        if self._is_built(body):
            return Rebuilt(body.tenant_id, Outcome.PROMOTED)
        decided = self._decided(body)
        if decided is not None:
            return decided
        if body.beside is None:
            return Rebuilt(body.tenant_id, Outcome.STOPPED)
        reason = f"The tenant is {body.status}, and beside its knowledge is a {body.beside.role}. It is gone on with."
        return Rebuilt(body.tenant_id, Outcome.UNFINISHED, reason)
