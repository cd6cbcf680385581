"""What does not agree between the tenants' records and the resources that are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.tenant import TenantId


class Disagreement(StrEnum):
    UNEXPLAINED = "UNEXPLAINED"
    """A resource that is tagged or named as this fleet's, and that no tenant's record names."""
    MISSING = "MISSING"
    """A resource that a tenant's record names, and that is not there."""


class ResourceKind(StrEnum):
    BUCKET = "bucket"
    VECTOR_INDEX = "vector index"
    KNOWLEDGE_BASE = "knowledge base"


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement, and what to do about it."""

    disagreement: Disagreement
    kind: ResourceKind
    name: str
    tenant_id: TenantId

    @property
    def advice(self) -> str:
        if self.disagreement is Disagreement.MISSING:
            return f"`kbfleet tenant add {self.tenant_id}` makes it again."
        return (
            f"`kbfleet tenant add {self.tenant_id}` takes it up; `kbfleet tenant offboard {self.tenant_id}` after that "
            "deletes it."
        )


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison found.

    Args:
        tenants: how many records were compared.
        resources: how many resources were looked at.
        repairs: tenants whose provisioning was started, because that was asked for.
    """

    at: datetime
    tenants: int
    resources: int
    findings: tuple[Finding, ...]
    repairs: tuple[TenantId, ...] = ()

    def count(self, disagreement: Disagreement) -> int:
        return sum(finding.disagreement is disagreement for finding in self.findings)
