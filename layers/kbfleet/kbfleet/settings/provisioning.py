"""Of provisioning, offboarding and rebuilding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kbfleet.domain.profiles import Embedding, Ingestion
from kbfleet.domain.tenant import MAX_RETENTION_DAYS
from kbfleet.domain.usage_plan import Tier
from kbfleet.settings import EnvironmentSettings, Seconds

EMBEDDING_DIMENSION = 1024
"""What the parameter EmbeddingModelId promises. Of Titan Text Embeddings V2, the default. Source: AWS documentation,
Amazon Titan Text Embeddings models."""


def _list(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class KnowledgeStoreSettings(EnvironmentSettings):
    """Where vectors live. An empty ARN or name is of a resource that the stack does not have."""

    knowledge_store: str
    embedding_model_id: str
    vector_bucket_name: str = ""
    collection_arn: str = ""

    @property
    def ingestion(self) -> Ingestion:
        """How documents become knowledge by the profile `default`."""
        return Ingestion(self.knowledge_store, Embedding(self.embedding_model_id, EMBEDDING_DIMENSION))


class ProvisioningSettings(EnvironmentSettings):
    knowledge_base_look: Seconds = Field(alias="KNOWLEDGE_BASE_LOOK_SECONDS")
    knowledge_base_ready_within: Seconds = Field(alias="KNOWLEDGE_BASE_READY_SECONDS")
    lease: Seconds = Field(alias="LEASE_SECONDS")


class KnowledgeDeletionSettings(EnvironmentSettings):
    """`registry_cache` is for how long the ask function remembers a tenant's record."""

    registry_cache: Seconds = Field(alias="REGISTRY_CACHE_SECONDS")


class CapacitySettings(EnvironmentSettings):
    knowledge_bases_for_rebuilds: int = Field(ge=0)


class ServiceRoleSettings(EnvironmentSettings):
    """`knowledge_base_role_arn` is of the role that all tenants' knowledge bases assume where it is shared."""

    service_roles: Literal["PER_TENANT", "SHARED"]
    stack_id: str
    service_role_boundary_arn: str
    knowledge_base_role_arn: str


class UsagePlanSettings(EnvironmentSettings):
    standard_usage_plan_id: str
    premium_usage_plan_id: str

    @property
    def plans(self) -> Mapping[Tier, str]:
        return {Tier.STANDARD: self.standard_usage_plan_id, Tier.PREMIUM: self.premium_usage_plan_id}


class OffboardingLeaseSettings(EnvironmentSettings):
    lease: Seconds = Field(alias="OFFBOARDING_LEASE_SECONDS")


class OffboardingSettings(EnvironmentSettings):
    keep_usage: bool


class UndeliveredMessageSettings(EnvironmentSettings):
    """The dead-letter queues that hold messages about tenants."""

    dead_letter_queue_urls: Annotated[tuple[str, ...], BeforeValidator(_list)]


class ErasureSettings(EnvironmentSettings):
    log_retention_days: int = Field(ge=1)


class RetentionSettings(EnvironmentSettings):
    retention_days: int = Field(ge=0, le=MAX_RETENTION_DAYS)
