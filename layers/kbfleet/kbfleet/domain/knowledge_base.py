"""Knowledge bases and data sources as kbfleet sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.errors import DataSourceFailed, KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet


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
    knowledge_base_id: str
    name: str
    status: KnowledgeBaseStatus
    failure_reasons: tuple[str, ...] = ()

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


@dataclass(frozen=True, slots=True)
class KnowledgeBaseState:
    knowledge_base_id: str
    status: str
    ready: bool


class DataSourceStatus(StrEnum):
    """Source: botocore service model of bedrock-agent, shape DataSourceStatus."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    DELETE_UNSUCCESSFUL = "DELETE_UNSUCCESSFUL"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DataSource:
    data_source_id: str
    name: str
    status: DataSourceStatus
    failure_reasons: tuple[str, ...] = ()

    def require_usable(self) -> None:
        """Documents can be ingested through it.

        Raises:
            NotReadyYet: it is being created, changed or deleted.
            DataSourceFailed: Bedrock gave it up; one of a MANAGED knowledge base can do so after it was created without
                an error (reported by users).
        """
        match self.status:
            case DataSourceStatus.AVAILABLE:
                return
            case DataSourceStatus.FAILED | DataSourceStatus.DELETE_UNSUCCESSFUL:
                reasons = "; ".join(self.failure_reasons) or "no reason given"
                raise DataSourceFailed(
                    f"Data source {self.name} ({self.data_source_id}) is {self.status}: {reasons}.",
                    remedy="Mend the cause, delete that data source, then provision the tenant again.",
                )
        raise NotReadyYet(f"Data source {self.name} ({self.data_source_id}) is {self.status}.")


def client_token(*parts: str, configuration: Mapping[str, object] | None = None) -> str:
    """A deterministic idempotency token for Bedrock: the same request gives the same token, a changed one another.

    Returns:
        64 hexadecimal characters, within the 33 to 256 that the botocore model allows.
    """
    text = json.dumps([*parts, configuration or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
