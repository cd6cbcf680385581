"""What came of comparing the tenants' records with the resources that are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.finding import Disagreement, Finding, SharedLoss
from kbfleet.domain.names import TenantId


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison found.

    Args:
        tenants: how many records were compared.
        resources: how many resources were looked at.
        repairs: tenants whose provisioning was started, because that was asked for.
        looked_into, not_looked_into: how many tenants' knowledge bases were looked into for what is not the tenant's
            own, and how many have yet to be: Bedrock takes few calls a second, so a large fleet is done in rounds.
        unlisted: why something could not be listed. Of what was not, nothing is missed and nothing left over.
        shared_losses: what is gone of all that comes with the stack.
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

    def count(self, disagreement: Disagreement) -> int:
        return sum(finding.disagreement is disagreement for finding in self.findings)
