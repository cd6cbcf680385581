"""Answering a tenant's question from the tenant's own documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kbfleet.domain.answer import Answer, Freshness, Question
from kbfleet.domain.tenant import TenantId
from kbfleet.ports import Answerer, Clock, SyncLedger, TenantRegistry


@dataclass(frozen=True, slots=True)
class AskableTenant:
    """What asking needs to know of a tenant."""

    knowledge_base_id: str
    freshness: Freshness


@dataclass(slots=True)
class AskableTenants:
    """Looks tenants up, and remembers each for a short time, so that a busy tenant costs no read per question.

    Args:
        remembered_for: also the time for which an answer's freshness may lag behind.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    clock: Clock
    remembered_for: timedelta
    _remembered: dict[TenantId, tuple[datetime, AskableTenant]] = field(default_factory=dict)

    def get(self, tenant_id: TenantId) -> AskableTenant:
        """Raises: TenantNotFound, TenantNotActive."""
        now = self.clock.now()
        if (remembered := self._remembered.get(tenant_id)) and now - remembered[0] < self.remembered_for:
            return remembered[1]
        tenant = self.registry.get(tenant_id)
        knowledge_base_id = tenant.askable()
        sync = self.ledger.find(tenant_id)
        askable = AskableTenant(knowledge_base_id, Freshness(sync.synced_at, sync.pending_changes))
        self._remembered[tenant_id] = (now, askable)
        return askable


def ask(tenant_id: TenantId, question: Question, *, tenants: AskableTenants, answerer: Answerer) -> Answer:
    """The answer, its citations, and how fresh the knowledge behind it is.

    Raises:
        TenantNotFound, TenantNotActive, Throttled, NotReadyYet, AwsRefusal.
    """
    tenant = tenants.get(tenant_id)
    return Answer(answerer.answer(tenant.knowledge_base_id, question), tenant.freshness)
