"""What the emulated services remember, as plain data. Times are seconds since 1970 on the emulator's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

STATISTICS = (
    "numberOfDocumentsScanned",
    "numberOfMetadataDocumentsScanned",
    "numberOfNewDocumentsIndexed",
    "numberOfModifiedDocumentsIndexed",
    "numberOfMetadataDocumentsModified",
    "numberOfDocumentsDeleted",
    "numberOfDocumentsFailed",
    "numberOfDocumentsSkipped",
)

RUNNING = frozenset({"STARTING", "IN_PROGRESS", "STOPPING"})


@dataclass
class KnowledgeBase:
    """A knowledge base. ``configuration`` and ``storage`` are as they were sent."""

    identifier: str
    arn: str
    name: str
    role_arn: str
    configuration: dict[str, Any]
    storage: dict[str, Any] | None
    description: str | None
    status: str
    created_at: float
    updated_at: float
    failure_reasons: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    name_taken_from: float = 0.0

    @property
    def managed(self) -> bool:
        """Whether it is of type MANAGED."""
        return bool(self.configuration["type"] == "MANAGED")

    @property
    def store_type(self) -> str:
        """The type of its vector store; MANAGED for the type that has none of its own."""
        return "MANAGED" if self.storage is None else str(self.storage["type"])


@dataclass(frozen=True)
class DocumentIdentifier:
    """Names a document: ``reference`` is its S3 URI, or the id given to a CUSTOM document."""

    kind: Literal["S3", "CUSTOM"]
    reference: str


@dataclass
class Document:
    """What a data source remembers of a document. ``etag`` is None when it was given in line."""

    identifier: DocumentIdentifier
    status: str
    updated_at: float
    etag: str | None = None
    sidecar_etag: str | None = None
    status_reason: str | None = None


@dataclass
class DataSource:
    """A data source and its documents. ``members`` holds the configurations as they were sent."""

    identifier: str
    knowledge_base_id: str
    name: str
    description: str | None
    members: dict[str, Any]
    deletion_policy: str
    status: str
    created_at: float
    updated_at: float
    failure_reasons: list[str] = field(default_factory=list)
    documents: dict[DocumentIdentifier, Document] = field(default_factory=dict)


@dataclass
class IngestionJob:
    """An ingestion job."""

    identifier: str
    knowledge_base_id: str
    data_source_id: str
    description: str | None
    status: str
    started_at: float
    updated_at: float
    statistics: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATISTICS, 0))
    failure_reasons: list[str] = field(default_factory=list)
    text_ready_at: float | None = None


@dataclass
class Index:
    """A vector index of S3 Vectors or of an OpenSearch Serverless collection, by its key (see `account.index_key`)."""

    key: str
    name: str
    dimension: int | None
    distance_metric: str
    created_at: float
    visible_from: float
    definition: dict[str, Any]
    non_filterable_keys: frozenset[str] = frozenset()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class VectorBucket:
    """A vector bucket of S3 Vectors with its indexes by name."""

    name: str
    arn: str
    created_at: float
    encryption: dict[str, Any]
    indexes: dict[str, Index] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Collection:
    """A collection of OpenSearch Serverless. ``members`` holds what else was sent."""

    identifier: str
    name: str
    arn: str
    status: str
    created_at: float
    members: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Policy:
    """An encryption, network or data access policy of OpenSearch Serverless."""

    kind: str
    name: str
    version: str
    description: str | None
    document: Any
    created_at: float
    updated_at: float


@dataclass
class Session:
    """A conversation with one knowledge base. ``asked`` is its last question, put on its own feet."""

    knowledge_base_id: str
    expires_at: float
    asked: str


@dataclass(frozen=True)
class GuardrailVersion:
    """A guardrail as it was at one time. ``words`` are those of its word policy, as they were sent."""

    name: str
    description: str | None
    words: list[dict[str, Any]]
    on_input: str
    on_output: str
    updated_at: float


@dataclass
class Guardrail:
    """A guardrail and its versions by number; the one that can be changed is called DRAFT."""

    identifier: str
    arn: str
    created_at: float
    versions: dict[str, GuardrailVersion]
    last_version: int = 0
