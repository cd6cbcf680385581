"""What a deployment sets through environment variables, typed, and validated at first use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kbfleet.domain.tenant import MAX_RETENTION_DAYS, ResourceNames
from kbfleet.domain.usage_plan import Tier

if TYPE_CHECKING:
    from kbfleet.domain.ingestion import Debounce


def _seconds(value: object) -> object:
    return timedelta(seconds=float(value)) if isinstance(value, str) else value


def _hours(value: object) -> object:
    return timedelta(hours=float(value)) if isinstance(value, str) else value


def _switch(value: object) -> object:
    return {"ENABLED": True, "DISABLED": False}.get(value, value) if isinstance(value, str) else value


def _list(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


TokenAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones only: with a shared secret, whoever verifies tokens could make them. Source: RFC 7518, RFC 8037."""

Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Hours = Annotated[timedelta, BeforeValidator(_hours)]
Switch = Annotated[bool, BeforeValidator(_switch)]


class EnvironmentSettings(BaseModel):
    """Read from environment variables of the fields' names in capitals."""

    model_config = ConfigDict(
        frozen=True, alias_generator=str.upper, ignored_types=(cached_property,), extra="ignore", defer_build=True
    )


class FleetSettings(EnvironmentSettings):
    """Which fleet this is. Every function has these."""

    aws_region: str
    account_id: str
    partition: str = "aws"
    stack_name: str
    fleet_name: str
    table_name: str

    @property
    def names(self) -> ResourceNames:
        return ResourceNames(self.fleet_name, self.account_id, self.aws_region)

    def model_arn(self, model_id: str) -> str:
        """The ARN of a foundation model or an inference profile.

        Inference profiles are told by the geography before the first dot (`jp.anthropic.…`), which model ids lack.
        Source: AWS documentation, Supported Regions and models for inference profiles.
        """
        geography = model_id.split(".", 1)[0]
        if geography in {"us", "us-gov", "eu", "apac", "jp", "au", "ca", "global"}:
            return f"arn:{self.partition}:bedrock:{self.aws_region}:{self.account_id}:inference-profile/{model_id}"
        return f"arn:{self.partition}:bedrock:{self.aws_region}::foundation-model/{model_id}"


class KnowledgeStoreSettings(EnvironmentSettings):
    """Where vectors live. An empty ARN or name is of a resource that the stack does not have."""

    knowledge_store: str
    embedding_model_id: str
    vector_bucket_name: str = ""
    collection_arn: str = ""


class ProvisioningSettings(EnvironmentSettings):
    knowledge_base_role_arn: str
    knowledge_base_look: Seconds = Field(alias="KNOWLEDGE_BASE_LOOK_SECONDS")
    knowledge_base_ready_within: Seconds = Field(alias="KNOWLEDGE_BASE_READY_SECONDS")
    lease: Seconds = Field(alias="LEASE_SECONDS")


class LogDeliverySettings(EnvironmentSettings):
    """Where the log of every knowledge base goes, if push monitoring is on."""

    log_delivery_destination_arn: str
    push_monitoring: Switch


class UsagePlanSettings(EnvironmentSettings):
    standard_usage_plan_id: str
    premium_usage_plan_id: str

    @property
    def plans(self) -> Mapping[Tier, str]:
        return {Tier.STANDARD: self.standard_usage_plan_id, Tier.PREMIUM: self.premium_usage_plan_id}


class IngestionSettings(EnvironmentSettings):
    tick_queue_url: str
    tick_interval: Seconds = Field(alias="TICK_SECONDS")
    start_interval: Seconds = Field(alias="INGESTION_START_INTERVAL_SECONDS")
    job_history_days: int = Field(ge=1)


class DocumentChangeSettings(EnvironmentSettings):
    debounce_quiet: Seconds = Field(alias="DEBOUNCE_QUIET_SECONDS")
    debounce_at_most: Seconds = Field(alias="DEBOUNCE_AT_MOST_SECONDS")
    change_dead_letter_queue_url: str

    @property
    def debounce(self) -> Debounce:
        from kbfleet.domain.ingestion import Debounce

        return Debounce(self.debounce_quiet, self.debounce_at_most)


class SyncScheduleSettings(EnvironmentSettings):
    """`sync_every` is zero when nothing is synced by schedule."""

    sync_every: Hours = Field(alias="SYNC_EVERY_HOURS", ge=timedelta(0))


class ForeignJobSettings(EnvironmentSettings):
    foreign_job_tenants: int = Field(ge=1)


class DocumentRetrySettings(EnvironmentSettings):
    document_retry_queue_url: str


class MeteringSettings(EnvironmentSettings):
    usage_dead_letter_queue_url: str


class UploadSettings(EnvironmentSettings):
    upload_valid: Seconds = Field(alias="UPLOAD_VALID_SECONDS")


class AnnouncementSettings(EnvironmentSettings):
    bus_name: str


class ExecutionSettings(EnvironmentSettings):
    provision_tenant_arn: str


class OffboardingSettings(EnvironmentSettings):
    lease: Seconds = Field(alias="LEASE_SECONDS")
    keep_usage: bool


class OffboardingExecutionSettings(EnvironmentSettings):
    offboard_tenant_arn: str
    retention_days: int = Field(ge=0, le=MAX_RETENTION_DAYS)


class AskSettings(EnvironmentSettings):
    """`knowledge_base_reader_role_arn` is empty when the function reads with its own role."""

    generation_model_id: str
    prompt_template: str = ""
    guardrail_id: str = ""
    guardrail_version: str = ""
    registry_cache: Seconds = Field(alias="REGISTRY_CACHE_SECONDS")
    knowledge_base_reader_role_arn: str = ""
    session_secret_arn: str


class TokenSettings(EnvironmentSettings):
    token_issuer: str
    token_audience: str
    token_tenant_claim: str
    token_keys_url: str = ""
    token_algorithms: Annotated[tuple[TokenAlgorithm, ...], BeforeValidator(_list), Field(min_length=1)]


class AlertSettings(EnvironmentSettings):
    """Where people are told. An empty ARN or id is of something that the channel does not need."""

    alert_channel: str
    slack_webhook_secret_arn: str
    slack_channel_id: str = ""
    alert_topic_arn: str = ""
    runbook_url: str = ""


Settings = TypeVar("Settings", bound=EnvironmentSettings)


def read(settings: type[Settings]) -> Settings:
    """Raises: pydantic.ValidationError naming the variables that are missing or wrong; that is a fault of the
    template."""
    return settings.model_validate(dict(os.environ))
