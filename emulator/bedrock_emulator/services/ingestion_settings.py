"""What a data source may be made with, and what of it can be changed later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bedrock_emulator.reading import chunking, parsers
from bedrock_emulator.services.supported import named
from bedrock_emulator.wire.errors import NotEmulatedError, validation
from bedrock_emulator.world.models import check_parses
from bedrock_emulator.world.records import KnowledgeBase

Members = Mapping[str, Any]

# As a user recorded the refusal of another one.
CONNECTORS = (
    "S3, ONEDRIVE, ZENDESK, SALESFORCE, BOX, DROPBOX, SHAREPOINT, GOOGLEDRIVE, WEB, CUSTOM, CONFLUENCEONPREM, "
    "CONFLUENCE, SERVICENOW"
)
NO_CONNECTION = "Value at 'connectionConfiguration' failed to satisfy constraint: Member must not be null"

# AWS documentation, "Customize ingestion for a data source" of MANAGED and of other knowledge bases.
_MANAGED_CHUNKING = frozenset({None, "FIXED_SIZE", "NONE"})
_MANAGED_ONLY = frozenset({"SMART_PARSING", "MULTI_MODAL_EMBEDDINGS"})
_PARSING = "vectorIngestionConfiguration.parsingConfiguration"
_NEEDED = {
    "HIERARCHICAL": "hierarchicalChunkingConfiguration",
    "SEMANTIC": "semanticChunkingConfiguration",
}


def check(base: KnowledgeBase, given: Members) -> None:
    """ServiceError ValidationException for settings that exclude each other, NotEmulatedError for what is not done."""
    settings = given.get("vectorIngestionConfiguration", {})
    _check_chunking(base, settings)
    _check_parsing(base, settings)


def _check_chunking(base: KnowledgeBase, settings: Members) -> None:
    strategy = chunking.strategy(settings)
    if base.managed and strategy not in _MANAGED_CHUNKING:
        raise validation(f"Chunking strategy {strategy} is not supported for MANAGED knowledge base type.")
    needed = _NEEDED.get(strategy or "")
    if needed and needed not in settings["chunkingConfiguration"]:
        raise validation(f"chunkingConfiguration.{needed} is required for chunkingStrategy {strategy}.")
    if strategy == "HIERARCHICAL":
        described = settings["chunkingConfiguration"][needed]
        parents, children = (level["maxTokens"] for level in described["levelConfigurations"])
        # Neither is documented of the service; it can hardly be otherwise.
        if children > parents:
            raise validation("The maxTokens of the second level can't be greater than that of the first.")
        if described["overlapTokens"] >= children:
            raise validation("overlapTokens must be less than the maxTokens of the second level.")


def _check_parsing(base: KnowledgeBase, settings: Members) -> None:
    strategy = parsers.strategy(settings)
    if (strategy in _MANAGED_ONLY) != base.managed and strategy is not None:
        kind = base.configuration["type"]
        raise validation(f"Parsing strategy {strategy} is not supported for {kind} knowledge base type.")
    if strategy is None:
        return
    described = settings["parsingConfiguration"]
    model = described.get("bedrockFoundationModelConfiguration")
    _refuse("ParsingConfiguration", described, _PARSING)
    _refuse("BedrockFoundationModelConfiguration", model or {}, f"{_PARSING}.bedrockFoundationModelConfiguration")
    if strategy in named("bedrock-agent", "ParsingStrategy").refused:
        raise NotEmulatedError(f"{_PARSING}.parsingStrategy {strategy}")
    if strategy != parsers.FOUNDATION_MODEL:
        return
    if model is None:
        raise validation(f"bedrockFoundationModelConfiguration is required for parsingStrategy {strategy}.")
    check_parses(model["modelArn"])
    if not parsers.can_see():
        raise NotEmulatedError(f"{_PARSING}.parsingStrategy {strategy} without bedrock-emulator[ocr]")


def check_source(base: KnowledgeBase, configuration: Members) -> None:
    """ServiceError ValidationException for a type that is not of the knowledge base's, NotEmulatedError for others."""
    kind = configuration["type"]
    allowed = {"MANAGED_KNOWLEDGE_BASE_CONNECTOR"} if base.managed else {"S3", "CUSTOM"}
    others = named("bedrock-agent", "DataSourceType").refused
    if kind not in (allowed if base.managed else allowed | others):
        raise validation(f"Unsupported data source type for {base.configuration['type']} knowledge base type.")
    _refuse("DataSourceConfiguration", configuration, "dataSourceConfiguration")
    if kind in others:
        raise NotEmulatedError(f"dataSourceConfiguration.type {kind}")


def _refuse(shape: str, given: Members, path: str) -> None:
    """NotEmulatedError for members that Bedrock takes, once it is clear that it would take them here, too."""
    for name in sorted(named("bedrock-agent", shape).refused & given.keys()):
        raise NotEmulatedError(f"{path}.{name}")


def check_unchanged(before: Members, given: Members) -> None:
    """ServiceError ValidationException for what is for ever, as CloudFormation's schema and the User Guide say.

    That is the type, the chunking and the kind of parser; model and prompt of a parser can be changed.
    """
    if given["dataSourceConfiguration"]["type"] != before["dataSourceConfiguration"]["type"]:
        raise validation("dataSourceConfiguration.type cannot be updated once created")
    earlier, later = (of.get("vectorIngestionConfiguration", {}) for of in (before, given))
    if earlier.get("chunkingConfiguration") != later.get("chunkingConfiguration"):
        raise validation("You cannot modify the chunking configuration of a data source once it is created.")
    if parsers.strategy(earlier) != parsers.strategy(later):
        # As a user recorded it.
        raise validation("vectorIngestionConfiguration.parsingConfiguration cannot be updated once created")


def parsing_model(settings: Members | None) -> str | None:
    """The ARN of the model that parses the documents, if one does."""
    if settings is None or parsers.strategy(settings) != parsers.FOUNDATION_MODEL:
        return None
    return str(settings["parsingConfiguration"]["bedrockFoundationModelConfiguration"]["modelArn"])


def check_connector(configuration: Members) -> None:
    """ServiceError ValidationException for parameters of a connector, in words that a user recorded.

    What is within ``connectionConfiguration`` shows later only: the data source turns FAILED.
    """
    parameters = configuration.get("managedKnowledgeBaseConnectorConfiguration", {}).get("connectorParameters")
    if not isinstance(parameters, dict):
        raise validation("connectorParameters is required for a data source of type MANAGED_KNOWLEDGE_BASE_CONNECTOR.")
    if "type" not in parameters:
        raise validation("Connector type is required in connector parameters")
    if parameters["type"] not in CONNECTORS.split(", "):
        raise validation(f"Invalid connector type '{parameters['type']}'. Supported types are: {CONNECTORS}.")
    if "version" not in parameters:
        raise validation("The 'version' field is required in connector parameters.")
    if parameters["version"] != "1":
        raise validation(f"Invalid connector version '{parameters['version']}'. Supported versions are: 1.")
    if parameters["type"] != "S3":
        raise NotEmulatedError(f"connectorParameters.type {parameters['type']}")
    connection = parameters.get("connectionConfiguration", {"bucketName": ""})
    if not isinstance(connection, dict) or not isinstance(connection.get("bucketName"), str):
        raise validation("connectorParameters.connectionConfiguration.bucketName is required.")
    filters = parameters.get("filterConfiguration", {})
    prefixes = filters.get("inclusionPrefixes", []) if isinstance(filters, dict) else None
    if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
        raise validation("connectorParameters.filterConfiguration is not an object.")


def lacks_connection(configuration: Members) -> bool:
    """Whether a connector is told nothing of what it connects to."""
    if configuration["type"] != "MANAGED_KNOWLEDGE_BASE_CONNECTOR":
        return False
    connector = configuration["managedKnowledgeBaseConnectorConfiguration"]
    return "connectionConfiguration" not in connector["connectorParameters"]
