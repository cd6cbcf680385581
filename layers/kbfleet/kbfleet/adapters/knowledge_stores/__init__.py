"""One file a knowledge store. `bootstrap.KNOWLEDGE_STORES` is the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kbfleet.domain.profile_rules import usual_dimensions
from kbfleet.domain.profiles import ChunkingKind, ParserKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kbfleet.domain.knowledge_base import KnowledgeBaseKind
    from kbfleet.domain.names import ResourceNames
    from kbfleet.domain.profiles import Embedding, Ingestion, Parser
    from kbfleet.ports import KnowledgeStore


class IndexCatalogue(Protocol):
    """Names of a store's indexes, for a service that cannot list them."""

    def add(self, index_name: str) -> None:
        """Repeating it changes nothing."""
        ...

    def remove(self, index_name: str) -> None:
        """One that is not in it is fine."""
        ...

    def index_names(self) -> Iterator[str]:
        """Over all pages."""
        ...


@dataclass(frozen=True, slots=True)
class StoreResources:
    """What a stack has for stores to be made of.

    Args:
        ingestion: what the stack's parameters say.
        model_arn: gives the ARN of a model or an inference profile, of its id.
        client: makes the boto3 client of a service.
        catalogue: makes the catalogue of the store of that type.
        vector_bucket_name, collection_arn: empty when the stack has none.
    """

    names: ResourceNames
    ingestion: Ingestion
    model_arn: Callable[[str], str]
    vector_bucket_name: str
    collection_arn: str
    client: Callable[[str], Any]
    catalogue: Callable[[str], IndexCatalogue]


class StoreType(Protocol):
    """What `bootstrap.KNOWLEDGE_STORES` names: the class of a store."""

    kind: KnowledgeBaseKind
    role_services: frozenset[str]
    unknown_filter_operators: frozenset[str]
    """Of `domain.metadata_filter.OPERATORS`."""

    @classmethod
    def offered_by(cls, resources: StoreResources) -> bool:
        """Whether the stack has what the store needs. Makes no client."""
        ...

    @classmethod
    def made_of(cls, resources: StoreResources) -> KnowledgeStore: ...


def storage(configuration: Mapping[str, object], kind: str, member: str) -> Mapping[str, object]:
    """That member of a `storageConfiguration` of that type; empty if it is of another."""
    found = configuration.get("storageConfiguration")
    if not isinstance(found, Mapping) or found.get("type") != kind:
        return {}
    own = found.get(member)
    return own if isinstance(own, Mapping) else {}


def vector_knowledge_base(
    embedding: Embedding, model_arn: Callable[[str], str], storage: Mapping[str, object]
) -> Mapping[str, object]:
    """The arguments of CreateKnowledgeBase for a knowledge base of type VECTOR on that `storageConfiguration`."""
    model: dict[str, object] = {"embeddingModelArn": model_arn(str(embedding.model))}
    # What the model does by itself is not asked for: models that make vectors of one dimension may refuse to be told.
    if embedding.dimensions != usual_dimensions(embedding):
        wanted = {"dimensions": embedding.dimensions, "embeddingDataType": "FLOAT32"}
        model["embeddingModelConfiguration"] = {"bedrockEmbeddingModelConfiguration": wanted}
    return {
        "knowledgeBaseConfiguration": {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": model},
        "storageConfiguration": storage,
    }


def vector_ingestion(ingestion: Ingestion, model_arn: Callable[[str], str]) -> Mapping[str, object]:
    """`vectorIngestionConfiguration` of CreateDataSource; empty where all of it is Bedrock's default. Source: botocore
    model of bedrock-agent."""
    parts = {
        "parsingConfiguration": _parsing(ingestion.parser, model_arn),
        "chunkingConfiguration": _chunking(ingestion),
    }
    return {name: part for name, part in parts.items() if part}


def _parsing(parser: Parser, model_arn: Callable[[str], str]) -> Mapping[str, object]:
    if parser.kind is ParserKind.FOUNDATION_MODEL:
        model: dict[str, object] = {"modelArn": model_arn(str(parser.model))}
        if parser.prompt is not None:
            model["parsingPrompt"] = {"parsingPromptText": parser.prompt}
        return {"parsingStrategy": "BEDROCK_FOUNDATION_MODEL", "bedrockFoundationModelConfiguration": model}
    strategies = {ParserKind.DATA_AUTOMATION: "BEDROCK_DATA_AUTOMATION", ParserKind.SMART: "SMART_PARSING"}
    return {"parsingStrategy": strategies[parser.kind]} if parser.kind in strategies else {}


def _chunking(ingestion: Ingestion) -> Mapping[str, object]:
    chunking = ingestion.chunking
    strategy = {"chunkingStrategy": str(chunking.kind)}
    match chunking.kind:
        case ChunkingKind.DEFAULT:
            return {}
        case ChunkingKind.NONE:
            return strategy
        case ChunkingKind.FIXED_SIZE:
            sizes = {"maxTokens": chunking.max_tokens, "overlapPercentage": chunking.overlap_percentage}
            return {**strategy, "fixedSizeChunkingConfiguration": sizes}
        case ChunkingKind.HIERARCHICAL:
            levels = [{"maxTokens": chunking.parent_tokens}, {"maxTokens": chunking.child_tokens}]
            described = {"levelConfigurations": levels, "overlapTokens": chunking.overlap_tokens}
            return {**strategy, "hierarchicalChunkingConfiguration": described}
        case ChunkingKind.SEMANTIC:
            breaks = {
                "maxTokens": chunking.max_tokens,
                "bufferSize": chunking.buffer_size,
                "breakpointPercentileThreshold": chunking.breakpoint_percentile,
            }
            return {**strategy, "semanticChunkingConfiguration": breaks}


def s3_data_source(bucket_name: str, partition: str) -> Mapping[str, object]:
    """`dataSourceConfiguration` for a knowledge base of type VECTOR: the whole bucket.

    Args:
        partition: of AWS, as ARNs name it; a client knows that of its Region.
    """
    return {"type": "S3", "s3Configuration": {"bucketArn": f"arn:{partition}:s3:::{bucket_name}"}}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Where `found` is not what is expected, for people; members that are not expected do not matter.

    Values are compared as text without regard to case: OpenSearch gives `false` and `"false"` for the same setting.
    """
    for name, value in expected.items():
        actual = found.get(name)
        if isinstance(value, Mapping):
            yield from differences(value, actual if isinstance(actual, Mapping) else {}, f"{path}{name}.")
        elif str(actual).lower() != str(value).lower():
            yield f"{path}{name} is {actual}, not {value}"
