"""What came of comparing the tenants' records with the resources that are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.finding import Disagreement, Finding, SharedLoss
from kbfleet.domain.names import TenantId


@dataclass(frozen=True, slots=True)
class WholeRound:
    """A round that has come to the last tenant.

    Args:
        missed: how many tenants could not be looked at on the way, or not whole.
    """

    began_at: datetime
    ended_at: datetime
    missed: int = 0


@dataclass(frozen=True, slots=True)
class TenantRound:
    """How far a round through all tenants has come. It is done a few of them at a time, again and again.

    Args:
        visited: the last tenant that was; `None` at the beginning of a round.
        began_at: when the round began that is under way; `None` if none is, or it is of a version that did not keep it.
        missed: of the round that is under way, as of a whole one.
        again: those that come once more at its end, since AWS took no more calls when it was their turn.
        last: the last that came to its end; `None` if none has, since that is kept.
    """

    visited: TenantId | None = None
    began_at: datetime | None = None
    missed: int = 0
    last: WholeRound | None = None
    again: tuple[TenantId, ...] = ()

    def moved(
        self,
        to: TenantId | None,
        *,
        since: datetime,
        now: datetime,
        missed: int = 0,
        again: tuple[TenantId, ...] = (),
    ) -> TenantRound:
        """
        Args:
            to: the last tenant that is visited now; `None` if no other comes behind.
            since: when the first was that is visited now.
            missed: of those.
        """
        under_way = self.visited is not None
        began_at, missed = (self.began_at, self.missed + missed) if under_way else (since, missed)
        if to is not None:
            return TenantRound(to, began_at, missed, self.last, again)
        # Of one that an older version began, nobody knows when that was.
        return TenantRound(last=WholeRound(began_at, now, missed) if began_at is not None else self.last)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison found.

    Args:
        tenants: how many records were compared.
        resources: how many resources were looked at.
        repairs: tenants whose repair was started, because that was asked for, or goes on.
        repairs_left: how many tenants wait for theirs, since only some are repaired at once.
        looked_into, not_looked_into: how many tenants' knowledge bases were looked into for what is not the tenant's
            own, and how many have yet to be: Bedrock takes few calls a second, so a large fleet is done in rounds.
        unlisted: why something could not be listed. Of what was not, nothing is missed and nothing left over.
        shared_losses: what is gone of all that comes with the stack.
        recorded: what was found within tenants that were not looked into this time, when they last were.
        last_round: the one by which all of them have been.
        troubles: why some of those could not be looked into, and why breaches stay open in which nothing is found.
    """

    at: datetime
    tenants: int
    resources: int
    findings: tuple[Finding, ...]
    repairs: tuple[TenantId, ...] = ()
    looked_into: int = 0
    not_looked_into: int = 0
    troubles: tuple[tuple[TenantId, KbfleetError], ...] = ()
    unlisted: tuple[str, ...] = ()
    shared_losses: tuple[SharedLoss, ...] = ()
    recorded: tuple[Finding, ...] = ()
    last_round: WholeRound | None = None
    repairs_left: int = 0

    def count(self, disagreement: Disagreement) -> int:
        return sum(finding.disagreement is disagreement for finding in chain(self.findings, self.recorded))
