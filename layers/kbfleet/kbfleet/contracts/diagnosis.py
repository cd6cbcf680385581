"""What is wrong with a tenant, as the API says it."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from kbfleet.contracts.events import FindingBody
from kbfleet.domain.diagnosis import Diagnosis
from kbfleet.domain.harm import Harm
from kbfleet.domain.names import TenantId


class DiagnosisBody(BaseModel):
    """`findings` has the worst first. `unseen` is what could not be looked at, and why: a tenant is well if both are
    empty."""

    tenant_id: TenantId
    looked_at: datetime
    well: bool
    harm: Harm | None
    findings: tuple[FindingBody, ...]
    unseen: tuple[str, ...]

    @classmethod
    def from_domain(cls, diagnosis: Diagnosis) -> Self:
        return cls(
            tenant_id=diagnosis.tenant_id,
            looked_at=diagnosis.at,
            well=diagnosis.well,
            harm=diagnosis.findings[0].harm if diagnosis.findings else None,
            findings=tuple(map(FindingBody.from_domain, diagnosis.findings)),
            unseen=tuple(map(str, diagnosis.unseen)),
        )
