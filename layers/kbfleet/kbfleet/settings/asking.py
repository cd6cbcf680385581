"""Of asking, of who may ask, and of what is counted and uploaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kbfleet.domain.profiles import AnswererKind, Answering, Guardrail
from kbfleet.settings import EnvironmentSettings, Seconds


def _list(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


TokenAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones only: with a shared secret, whoever verifies tokens could make them. Source: RFC 7518, RFC 8037."""


class UsageSettings(EnvironmentSettings):
    usage_dead_letter_queue_url: str


class UploadSettings(EnvironmentSettings):
    upload_valid: Seconds = Field(alias="UPLOAD_VALID_SECONDS")
    uploader_role_arn: str


class RemovalSettings(EnvironmentSettings):
    document_remover_role_arn: str


class LinkSettings(EnvironmentSettings):
    document_opener_role_arn: str


class SessionSettings(EnvironmentSettings):
    session_secret_arn: str


class ReaderSettings(EnvironmentSettings):
    """`knowledge_base_reader_role_arn` is empty when the function reads with its own role."""

    knowledge_base_reader_role_arn: str = ""


class SearcherSettings(EnvironmentSettings):
    """`knowledge_base_searcher_role_arn` is empty when the function searches with its own role."""

    knowledge_base_searcher_role_arn: str = ""


class AnswerSettings(EnvironmentSettings):
    """What the stack's parameters say of answers, but for its texts, for which no other function has room."""

    answering: AnswererKind
    generation_model_id: str
    guardrail_id: str = ""
    guardrail_version: str = ""

    @property
    def by_default(self) -> Answering:
        """How questions are answered by the profile `default`."""
        return Answering(
            self.generation_model_id,
            self.answering,
            guardrail=Guardrail(self.guardrail_id, self.guardrail_version) if self.guardrail_id else None,
        )


class AskSettings(AnswerSettings):
    """`prompt_template_secret_arn` is empty where answers are written by the answerer's own prompt;
    the words for nothing found, where nobody is given an answer."""

    nothing_found_english: str = ""
    nothing_found_japanese: str = ""
    prompt_template_secret_arn: str = ""
    registry_cache: Seconds = Field(alias="REGISTRY_CACHE_SECONDS")


class TokenSettings(EnvironmentSettings):
    token_issuer: str
    token_audience: str
    token_audience_claim: Literal["aud", "client_id"]
    token_tenant_claim: str
    token_keys_url: str = ""
    token_algorithms: Annotated[tuple[TokenAlgorithm, ...], BeforeValidator(_list), Field(min_length=1)]
