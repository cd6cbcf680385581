"""What does not agree between the tenants' records and the resources that are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.names import TenantId


class Disagreement(StrEnum):
    UNEXPLAINED = "UNEXPLAINED"
    """A resource that is tagged or named as this fleet's, and that no tenant's record names."""
    MISSING = "MISSING"
    """A resource that a tenant's record names, and that is not there."""
    FOREIGN = "FOREIGN"
    """Something within a tenant's reach that is not the tenant's own, by the names that follow from its id."""
    CHANGED = "CHANGED"
    """Something of the tenant's own that somebody has set otherwise than kbfleet does."""
    OVERDUE = "OVERDUE"
    """A tenant that should have been deleted by now."""


class ResourceKind(StrEnum):
    TENANT = "tenant"
    BUCKET = "bucket"
    VECTOR_INDEX = "vector index"
    SERVICE_ROLE = "service role"
    KNOWLEDGE_BASE = "knowledge base"
    DATA_SOURCE = "data source"
    DOCUMENTS = "documents"
    PASSAGES = "passages"


NOWHERE = ""
"""Where a knowledge base keeps its vectors that names an index of no store of this stack."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement, and what to do about it.

    Args:
        left_on: the store on which an unexplained resource's tenant has vectors, `NOWHERE`, or `None` if it has none.
        taken_up: whether an unexplained resource is of the life that `tenant add` would provision. What another life
            has left is not, nor what a tenant that is in service does not use.
    """

    disagreement: Disagreement
    kind: ResourceKind
    name: str
    tenant_id: TenantId
    left_on: str | None = None
    taken_up: bool = True

    @property
    def advice(self) -> str:
        if self.disagreement is Disagreement.FOREIGN:
            return f"{self._way_out} Then `kbfleet reconcile --tenant {self.tenant_id}` says whether it is over."
        if self.disagreement is Disagreement.MISSING:
            return f"`kbfleet tenant add {self.tenant_id}` makes it again."
        if self.disagreement is Disagreement.CHANGED:
            return f"`kbfleet tenant add {self.tenant_id}` sets it again as it should be."
        if self.disagreement is Disagreement.OVERDUE:
            return (
                f"It should have been deleted. `kbfleet tenant show {self.tenant_id}` says since when, and why if that "
                f"failed; `kbfleet tenant offboard {self.tenant_id}` deletes it now."
            )
        if not self.taken_up and self.kind is ResourceKind.SERVICE_ROLE:
            return f"`kbfleet tenant add {self.tenant_id}` deletes it, if it is the tenant's; else delete it by hand."
        if not self.taken_up:
            return (
                f"Tenant {self.tenant_id} does not use it, as the tenant is now, and no command takes it up or deletes "
                "it. Look what it is, and delete it by hand before that id is provisioned again."
            )
        if self.left_on == NOWHERE:
            return (
                f"Tenant {self.tenant_id}'s knowledge base keeps its vectors where this stack has no index, which "
                "cannot be changed. Delete it in the console, its data source with deletion policy RETAIN; then "
                f"`kbfleet tenant add {self.tenant_id}` takes up what else there is, and ingests the documents anew."
            )
        store = f" --knowledge-store {self.left_on}" if self.left_on else ""
        return (
            f"`kbfleet tenant add {self.tenant_id}{store}` takes it up; `kbfleet tenant offboard {self.tenant_id}` "
            "after that deletes it."
        )

    @property
    def _way_out(self) -> str:
        match self.kind:
            case ResourceKind.VECTOR_INDEX:
                return (
                    "Delete that knowledge base in the console, for its index cannot be changed; then `kbfleet tenant "
                    f"add {self.tenant_id}` makes the tenant's own."
                )
            case ResourceKind.KNOWLEDGE_BASE:
                return f"`kbfleet tenant add {self.tenant_id}` gives the tenant its own again."
            case ResourceKind.BUCKET:
                return f"`kbfleet tenant add {self.tenant_id}` makes it the tenant's own bucket, and syncs again."
            case ResourceKind.DOCUMENTS:
                return f"`kbfleet tenant add {self.tenant_id}` syncs again, which takes out what is not in the bucket."
            case ResourceKind.PASSAGES:
                return (
                    f"`kbfleet tenant add {self.tenant_id}` syncs again. What is found even then was left behind by a "
                    "data source that is gone: delete that knowledge base and its index in the console, then run it "
                    "once more."
                )
        return f"`kbfleet tenant add {self.tenant_id}` deletes it, with what it has brought."

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison found.

    Args:
        tenants: how many records were compared.
        resources: how many resources were looked at.
        repairs: tenants whose provisioning was started, because that was asked for.
        looked_into, not_looked_into: how many tenants' knowledge bases were looked into for what is not the tenant's
            own, and how many have yet to be: Bedrock takes few calls a second, so a large fleet is done in rounds.
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

    def count(self, disagreement: Disagreement) -> int:
        return sum(finding.disagreement is disagreement for finding in self.findings)
