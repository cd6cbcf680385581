"""Knowledge bases and data sources as kbfleet sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.errors import KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet

_GROWTH = 0.15
_LEAST_WAIT = timedelta(seconds=1)
"""The shortest wait that Step Functions knows."""


class KnowledgeBaseStatus(StrEnum):
    """Source: botocore service model of bedrock-agent, shape KnowledgeBaseStatus."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    DELETING = "DELETING"
    UPDATING = "UPDATING"
    FAILED = "FAILED"
    DELETE_UNSUCCESSFUL = "DELETE_UNSUCCESSFUL"
    UPDATE_UNSUCCESSFUL = "UPDATE_UNSUCCESSFUL"


class KnowledgeBaseKind(StrEnum):
    """Source: botocore service model of bedrock-agent, shape KnowledgeBaseType; only the kinds that kbfleet makes."""

    VECTOR = "VECTOR"
    MANAGED = "MANAGED"

    @property
    def quota(self) -> int:
        """Most knowledge bases of this kind in an account and Region, not adjustable. Source: AWS documentation, Quotas
        for Amazon Bedrock."""
        return {KnowledgeBaseKind.VECTOR: 100, KnowledgeBaseKind.MANAGED: 10_000}[self]


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """A knowledge base as Bedrock describes it.

    Args:
        configuration: `knowledgeBaseConfiguration` and, unless it is of type MANAGED, `storageConfiguration`, in the
            API's own words. Neither can be changed once it is made.
        settled: whether service role and description are those of the fleet.
        status_since: when its status last changed.
    """

    knowledge_base_id: str
    arn: str
    name: str
    status: KnowledgeBaseStatus
    created_at: datetime
    status_since: datetime
    failure_reasons: tuple[str, ...] = ()
    configuration: Mapping[str, object] = field(default_factory=dict)
    settled: bool = True

    def stores_as(self, wanted: Mapping[str, object]) -> bool:
        """Whether its vectors are where a knowledge base made with the arguments `wanted` would have them."""
        kind, own_kind = (given.get("knowledgeBaseConfiguration") or {} for given in (wanted, self.configuration))
        same_kind = isinstance(kind, dict) and isinstance(own_kind, dict) and kind.get("type") == own_kind.get("type")
        return same_kind and wanted.get("storageConfiguration") == self.configuration.get("storageConfiguration")

    def drift_from(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """What it was made with that a new one would be made without, for people; Bedrock cannot change it."""
        own, new = self.configuration.get("knowledgeBaseConfiguration"), wanted.get("knowledgeBaseConfiguration")
        if own == new:
            return ()
        return (
            f"Knowledge base {self.knowledge_base_id} was made with {json.dumps(own, sort_keys=True)}, a new one would "
            f"be made with {json.dumps(new, sort_keys=True)}. It works on as it is; to change it, offboard the tenant "
            "and provision it anew.",
        )

    def ready(self, *, now: datetime, deadline: datetime) -> bool:
        """Whether documents can be ingested and questions asked; `False` means look again later.

        Raises:
            NotReadyYet: it is being deleted, so its name is not free yet either.
            KnowledgeBaseFailed: Bedrock gave it up.
            KnowledgeBaseNotReady: the deadline has passed.
        """
        match self.status:
            case KnowledgeBaseStatus.ACTIVE | KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL:
                # A failed update leaves the former configuration in force and the knowledge base usable.
                return True
            case KnowledgeBaseStatus.DELETING:
                raise NotReadyYet(f"Knowledge base {self.name} ({self.knowledge_base_id}) is being deleted.")
            case KnowledgeBaseStatus.FAILED | KnowledgeBaseStatus.DELETE_UNSUCCESSFUL:
                reasons = "; ".join(self.failure_reasons) or "no reason given"
                raise KnowledgeBaseFailed(
                    f"Knowledge base {self.name} ({self.knowledge_base_id}) is {self.status}: {reasons}.",
                    remedy="Mend the cause, delete that knowledge base, then provision the tenant again.",
                )
        if now >= deadline:
            raise KnowledgeBaseNotReady(
                f"Knowledge base {self.name} ({self.knowledge_base_id}) is still {self.status} at the deadline.",
                remedy="Provision the tenant again: it takes up where this execution stopped.",
            )
        return False

    def look_again_after(self, now: datetime, usual: timedelta) -> timedelta:
        """How long to wait before looking at it again while it is not ready.

        Its first look is due when it is `usual`ly ready; after that the time grows with the time that has gone by, so
        that a slow one costs few looks, and is found ready at most 15 % late.
        """
        elapsed = now - self.status_since
        return max(usual - elapsed, elapsed * _GROWTH, _LEAST_WAIT)


@dataclass(frozen=True, slots=True)
class KnowledgeBaseState:
    knowledge_base_id: str
    status: str
    ready: bool
    look_again_after: timedelta


@dataclass(frozen=True, slots=True)
class DataSource:
    data_source_id: str
    name: str
    status: str


def client_token(*parts: str, configuration: Mapping[str, object] | None = None) -> str:
    """A deterministic idempotency token for Bedrock: the same request gives the same token, a changed one another.

    Returns:
        64 hexadecimal characters, within the 33 to 256 that the botocore model allows.
    """
    text = json.dumps([*parts, configuration or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
