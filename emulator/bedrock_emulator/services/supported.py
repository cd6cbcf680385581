"""What is emulated of each operation's input: the one table that says which members and values are taken.

botocore's models know more than this emulator, and newer ones know more still. What they name and this table does not
is answered HTTP 501 by name, at the call that asks for it. So to offer something more is to write its name here.

Names are those of the models' shapes. Of a structure: its members, those after the bar without effect here (they are
taken, and kept where the service tells them again). Of an enumeration: its values. Those after a second bar Bedrock
refuses itself in some settings, in its own words: there the operation answers 400, and 501 by name in all others.
Documents, which hold any JSON, are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from bedrock_emulator.wire.errors import NotEmulatedError
from bedrock_emulator.wire.shapes import is_document

_KNOWLEDGE_BASE_AND_SOURCE = "knowledgeBaseId dataSourceId"
_GENERATION = "promptTemplate guardrailConfiguration | additionalModelRequestFields inferenceConfig performanceConfig"
_RERANKING_MODEL = "modelArn | additionalModelRequestFields"
_RERANKED = "modelConfiguration numberOfRerankedResults metadataConfiguration"
_CONVERSE = (
    "modelId messages system inferenceConfig guardrailConfig"
    " | requestMetadata additionalModelRequestFields performanceConfig serviceTier"
)
_POLICY = "type name description policy | clientToken"
_GUARDRAIL = "name description wordPolicyConfig blockedInputMessaging blockedOutputsMessaging"

SUPPORTED: Mapping[str, Mapping[str, str]] = {
    "bedrock-agent": {
        # knowledge bases
        "CreateKnowledgeBaseRequest": (
            "clientToken name description roleArn knowledgeBaseConfiguration storageConfiguration tags"
        ),
        "GetKnowledgeBaseRequest": "knowledgeBaseId",
        "ListKnowledgeBasesRequest": "maxResults nextToken",
        "UpdateKnowledgeBaseRequest": (
            "knowledgeBaseId name description roleArn knowledgeBaseConfiguration storageConfiguration"
        ),
        "DeleteKnowledgeBaseRequest": "knowledgeBaseId",
        "KnowledgeBaseConfiguration": "type vectorKnowledgeBaseConfiguration managedKnowledgeBaseConfiguration",
        "KnowledgeBaseType": "VECTOR MANAGED",
        "VectorKnowledgeBaseConfiguration": "embeddingModelArn embeddingModelConfiguration",
        "EmbeddingModelConfiguration": "bedrockEmbeddingModelConfiguration",
        "BedrockEmbeddingModelConfiguration": "dimensions embeddingDataType",
        "EmbeddingDataType": "FLOAT32 | | BINARY",
        "ManagedKnowledgeBaseConfiguration": (
            "embeddingModelType | embeddingModelArn embeddingModelConfiguration serverSideEncryptionConfiguration"
        ),
        "EmbeddingModelType": "MANAGED CUSTOM",
        "StorageConfiguration": "type s3VectorsConfiguration opensearchServerlessConfiguration",
        "KnowledgeBaseStorageType": "S3_VECTORS OPENSEARCH_SERVERLESS",
        "S3VectorsConfiguration": "vectorBucketArn indexArn indexName",
        "OpenSearchServerlessConfiguration": "collectionArn vectorIndexName fieldMapping",
        "OpenSearchServerlessFieldMapping": "vectorField | textField metadataField",
        "TagResourceRequest": "resourceArn tags",
        "UntagResourceRequest": "resourceArn tagKeys",
        "ListTagsForResourceRequest": "resourceArn",
        # data sources
        "CreateDataSourceRequest": (
            "knowledgeBaseId clientToken name description dataSourceConfiguration dataDeletionPolicy"
            " vectorIngestionConfiguration | serverSideEncryptionConfiguration"
        ),
        "GetDataSourceRequest": _KNOWLEDGE_BASE_AND_SOURCE,
        "ListDataSourcesRequest": "knowledgeBaseId maxResults nextToken",
        "UpdateDataSourceRequest": (
            "knowledgeBaseId dataSourceId name description dataSourceConfiguration dataDeletionPolicy"
            " vectorIngestionConfiguration | serverSideEncryptionConfiguration"
        ),
        "DeleteDataSourceRequest": _KNOWLEDGE_BASE_AND_SOURCE,
        "DataSourceConfiguration": (
            "type s3Configuration managedKnowledgeBaseConnectorConfiguration"
            " | | webConfiguration confluenceConfiguration salesforceConfiguration sharePointConfiguration"
        ),
        "DataSourceType": (
            "S3 CUSTOM MANAGED_KNOWLEDGE_BASE_CONNECTOR | | WEB CONFLUENCE SALESFORCE SHAREPOINT REDSHIFT_METADATA"
        ),
        "DataDeletionPolicy": "RETAIN DELETE",
        "S3DataSourceConfiguration": "bucketArn inclusionPrefixes | bucketOwnerAccountId",
        "ManagedKnowledgeBaseConnectorConfiguration": (
            "connectorParameters | deletionProtectionConfiguration mediaExtractionConfiguration"
        ),
        "DeletionProtectionConfiguration": "| deletionProtectionStatus deletionProtectionThreshold",
        "MediaExtractionConfiguration": (
            "| imageExtractionConfiguration audioExtractionConfiguration videoExtractionConfiguration"
        ),
        "ImageExtractionConfiguration": "| imageExtractionStatus",
        "AudioExtractionConfiguration": "| audioExtractionStatus",
        "VideoExtractionConfiguration": "| videoExtractionStatus",
        "EnabledOrDisabledState": "ENABLED DISABLED",
        "ServerSideEncryptionConfiguration": "| kmsKeyArn",
        "VectorIngestionConfiguration": "chunkingConfiguration parsingConfiguration",
        "ChunkingConfiguration": (
            "chunkingStrategy fixedSizeChunkingConfiguration hierarchicalChunkingConfiguration"
            " semanticChunkingConfiguration"
        ),
        "ChunkingStrategy": "FIXED_SIZE NONE HIERARCHICAL SEMANTIC",
        "FixedSizeChunkingConfiguration": "maxTokens overlapPercentage",
        "HierarchicalChunkingConfiguration": "levelConfigurations overlapTokens",
        "HierarchicalChunkingLevelConfiguration": "maxTokens",
        "SemanticChunkingConfiguration": "maxTokens bufferSize breakpointPercentileThreshold",
        "ParsingConfiguration": (
            "parsingStrategy bedrockFoundationModelConfiguration | | bedrockDataAutomationConfiguration"
        ),
        "ParsingStrategy": (
            "BEDROCK_FOUNDATION_MODEL SMART_PARSING | | BEDROCK_DATA_AUTOMATION MULTI_MODAL_EMBEDDINGS"
        ),
        "BedrockFoundationModelConfiguration": "modelArn | parsingPrompt | parsingModality",
        "ParsingPrompt": "| parsingPromptText",
        # ingestion jobs
        "StartIngestionJobRequest": "knowledgeBaseId dataSourceId clientToken description",
        "GetIngestionJobRequest": "knowledgeBaseId dataSourceId ingestionJobId",
        "StopIngestionJobRequest": "knowledgeBaseId dataSourceId ingestionJobId",
        "ListIngestionJobsRequest": "knowledgeBaseId dataSourceId filters sortBy maxResults nextToken",
        "IngestionJobFilter": "attribute operator values",
        "IngestionJobFilterAttribute": "STATUS",
        "IngestionJobFilterOperator": "EQ",
        "IngestionJobSortBy": "attribute order",
        "IngestionJobSortByAttribute": "STATUS STARTED_AT",
        "SortOrder": "ASCENDING DESCENDING",
        # documents
        "IngestKnowledgeBaseDocumentsRequest": "knowledgeBaseId dataSourceId clientToken documents",
        "GetKnowledgeBaseDocumentsRequest": "knowledgeBaseId dataSourceId documentIdentifiers",
        "ListKnowledgeBaseDocumentsRequest": "knowledgeBaseId dataSourceId maxResults nextToken",
        "DeleteKnowledgeBaseDocumentsRequest": "knowledgeBaseId dataSourceId documentIdentifiers | clientToken",
        "DocumentIdentifier": "dataSourceType s3 custom",
        "CustomDocumentIdentifier": "id",
        "S3Location": "uri",
        "KnowledgeBaseDocument": "metadata content",
        "DocumentMetadata": "type inlineAttributes s3Location",
        "MetadataSourceType": "IN_LINE_ATTRIBUTE S3_LOCATION",
        "MetadataAttribute": "key value",
        "MetadataAttributeValue": "type numberValue booleanValue stringValue stringListValue",
        "MetadataValueType": "BOOLEAN NUMBER STRING STRING_LIST",
        "CustomS3Location": "uri | bucketOwnerAccountId",
        "DocumentContent": "dataSourceType custom s3",
        "ContentDataSourceType": "CUSTOM S3",
        "CustomContent": "customDocumentIdentifier sourceType s3Location inlineContent",
        "CustomSourceType": "IN_LINE S3_LOCATION",
        "InlineContent": "type byteContent textContent",
        "InlineContentType": "BYTE TEXT",
        "ByteContentDoc": "mimeType data",
        "TextContentDoc": "data",
        "S3Content": "s3Location",
    },
    "bedrock-agent-runtime": {
        "RetrieveRequest": "knowledgeBaseId retrievalQuery retrievalConfiguration nextToken guardrailConfiguration",
        "KnowledgeBaseQuery": "text type",
        "KnowledgeBaseQueryType": "TEXT",
        "GuardrailConfiguration": "guardrailId guardrailVersion",
        "KnowledgeBaseRetrievalConfiguration": "vectorSearchConfiguration managedSearchConfiguration",
        "KnowledgeBaseVectorSearchConfiguration": "filter numberOfResults overrideSearchType rerankingConfiguration",
        "SearchType": "HYBRID SEMANTIC",
        "ManagedSearchConfiguration": "filter numberOfResults rerankingConfiguration rerankingModelType",
        "RerankingModelType": "CUSTOM MANAGED NONE",
        "RetrievalFilter": (
            "andAll orAll equals notEquals greaterThan greaterThanOrEquals lessThan lessThanOrEquals in notIn"
            " listContains startsWith stringContains"
        ),
        "FilterAttribute": "key value",
        "VectorSearchRerankingConfiguration": "type bedrockRerankingConfiguration",
        "VectorSearchRerankingConfigurationType": "BEDROCK_RERANKING_MODEL",
        "VectorSearchBedrockRerankingConfiguration": _RERANKED,
        "VectorSearchBedrockRerankingModelConfiguration": _RERANKING_MODEL,
        "ManagedSearchRerankingConfiguration": "type bedrockRerankingConfiguration",
        "ManagedSearchRerankingConfigurationType": "BEDROCK_RERANKING_MODEL",
        "ManagedSearchBedrockRerankingConfiguration": _RERANKED,
        "ManagedSearchBedrockRerankingModelConfiguration": _RERANKING_MODEL,
        "MetadataConfigurationForReranking": "selectionMode selectiveModeConfiguration",
        "RerankingMetadataSelectionMode": "SELECTIVE ALL",
        "RerankingMetadataSelectiveModeConfiguration": "fieldsToExclude fieldsToInclude",
        "FieldForReranking": "fieldName",
        "RetrieveAndGenerateRequest": "input retrieveAndGenerateConfiguration sessionId | sessionConfiguration",
        "RetrieveAndGenerateStreamRequest": "input retrieveAndGenerateConfiguration sessionId | sessionConfiguration",
        "RetrieveAndGenerateInput": "text",
        "RetrieveAndGenerateSessionConfiguration": "| kmsKeyArn",
        "RetrieveAndGenerateConfiguration": "type knowledgeBaseConfiguration",
        "RetrieveAndGenerateType": "KNOWLEDGE_BASE",
        "KnowledgeBaseRetrieveAndGenerateConfiguration": (
            "knowledgeBaseId modelArn retrievalConfiguration generationConfiguration | orchestrationConfiguration"
        ),
        "GenerationConfiguration": _GENERATION,
        "PromptTemplate": "| textPromptTemplate",
        "InferenceConfig": "| textInferenceConfig",
        "TextInferenceConfig": "| maxTokens stopSequences temperature topP",
        "PerformanceConfiguration": "| latency",
        "PerformanceConfigLatency": "standard optimized",
        "OrchestrationConfiguration": "| additionalModelRequestFields inferenceConfig performanceConfig promptTemplate",
        "RerankRequest": "queries sources rerankingConfiguration nextToken",
        "RerankQuery": "type textQuery",
        "RerankQueryContentType": "TEXT",
        "RerankTextDocument": "text",
        "RerankSource": "type inlineDocumentSource",
        "RerankSourceType": "INLINE",
        "RerankDocument": "type textDocument jsonDocument",
        "RerankDocumentType": "TEXT JSON",
        "RerankingConfiguration": "type bedrockRerankingConfiguration",
        "RerankingConfigurationType": "BEDROCK_RERANKING_MODEL",
        "BedrockRerankingConfiguration": "modelConfiguration numberOfResults",
        "BedrockRerankingModelConfiguration": _RERANKING_MODEL,
    },
    "bedrock-runtime": {
        "ConverseRequest": _CONVERSE,
        "ConverseStreamRequest": _CONVERSE,
        "Message": "role content",
        "ConversationRole": "user assistant",
        "ContentBlock": "text searchResult document guardContent citationsContent | cachePoint reasoningContent",
        "SystemContentBlock": "text guardContent | cachePoint",
        "CachePointBlock": "| type ttl",
        "CachePointType": "default",
        "CacheTTL": "5m 1h",
        "ReasoningContentBlock": "| reasoningText redactedContent",
        "ReasoningTextBlock": "| text signature",
        "SearchResultBlock": "source title content citations",
        "SearchResultContentBlock": "text",
        "CitationsConfig": "enabled",
        "DocumentBlock": "source | format name context citations",
        "DocumentFormat": "pdf csv doc docx xls xlsx html txt md",
        "DocumentSource": "text content",
        "DocumentContentBlock": "text",
        "CitationsContentBlock": "| content citations",
        "CitationGeneratedContent": "| text",
        "Citation": "| title source sourceContent location",
        "CitationSourceContent": "| text",
        "CitationLocation": "| web documentChar documentPage documentChunk searchResultLocation",
        "WebLocation": "| url domain",
        "DocumentCharLocation": "| documentIndex start end",
        "DocumentPageLocation": "| documentIndex start end",
        "DocumentChunkLocation": "| documentIndex start end",
        "SearchResultLocation": "| searchResultIndex start end",
        "GuardrailConverseContentBlock": "text",
        "GuardrailConverseTextBlock": "text | qualifiers",
        "GuardrailConverseContentQualifier": "grounding_source query guard_content",
        "InferenceConfiguration": "maxTokens | temperature topP stopSequences",
        "PerformanceConfiguration": "| latency",
        "PerformanceConfigLatency": "standard optimized",
        "ServiceTier": "| type",
        "ServiceTierType": "priority default flex reserved",
        "GuardrailConfiguration": "guardrailIdentifier guardrailVersion trace",
        "GuardrailStreamConfiguration": "guardrailIdentifier guardrailVersion trace | streamProcessingMode",
        "GuardrailTrace": "enabled disabled enabled_full",
        "GuardrailStreamProcessingMode": "sync async",
        "ApplyGuardrailRequest": "guardrailIdentifier guardrailVersion source content | outputScope",
        "GuardrailContentSource": "INPUT OUTPUT",
        "GuardrailOutputScope": "INTERVENTIONS FULL",
        "GuardrailContentBlock": "text",
        "GuardrailTextBlock": "text | qualifiers",
        "GuardrailContentQualifier": "grounding_source query guard_content",
    },
    "s3vectors": {
        "CreateVectorBucketInput": "vectorBucketName tags | encryptionConfiguration",
        "GetVectorBucketInput": "vectorBucketName vectorBucketArn",
        "ListVectorBucketsInput": "maxResults nextToken prefix",
        "DeleteVectorBucketInput": "vectorBucketName vectorBucketArn",
        "CreateIndexInput": (
            "vectorBucketName vectorBucketArn indexName dataType dimension distanceMetric metadataConfiguration tags"
            " | encryptionConfiguration"
        ),
        "DataType": "float32",
        "DistanceMetric": "euclidean cosine",
        "MetadataConfiguration": "nonFilterableMetadataKeys",
        "EncryptionConfiguration": "| sseType kmsKeyArn",
        "SseType": "AES256 aws:kms",
        "GetIndexInput": "vectorBucketName indexName indexArn",
        "ListIndexesInput": "vectorBucketName vectorBucketArn maxResults nextToken prefix",
        "DeleteIndexInput": "vectorBucketName indexName indexArn",
        "TagResourceInput": "resourceArn tags",
        "UntagResourceInput": "resourceArn tagKeys",
        "ListTagsForResourceInput": "resourceArn",
    },
    "opensearchserverless": {
        "CreateCollectionRequest": (
            "name type description tags encryptionConfig deletionProtection | standbyReplicas clientToken"
        ),
        "CollectionType": "SEARCH TIMESERIES VECTORSEARCH",
        "StandbyReplicas": "ENABLED DISABLED",
        "DeletionProtection": "ENABLED DISABLED",
        "EncryptionConfig": "| aWSOwnedKey kmsKeyArn",
        "BatchGetCollectionRequest": "ids names",
        "ListCollectionsRequest": "collectionFilters nextToken maxResults",
        "CollectionFilters": "name status",
        "CollectionStatus": "CREATING DELETING ACTIVE FAILED UPDATING UPDATE_FAILED",
        "DeleteCollectionRequest": "id | clientToken",
        "Tag": "key value",
        "TagResourceRequest": "resourceArn tags",
        "UntagResourceRequest": "resourceArn tagKeys",
        "ListTagsForResourceRequest": "resourceArn",
        "CreateIndexRequest": "id indexName indexSchema",
        "GetIndexRequest": "id indexName",
        "UpdateIndexRequest": "id indexName indexSchema",
        "DeleteIndexRequest": "id indexName",
        "SecurityPolicyType": "encryption network",
        "CreateSecurityPolicyRequest": _POLICY,
        "GetSecurityPolicyRequest": "type name",
        "UpdateSecurityPolicyRequest": f"policyVersion {_POLICY}",
        "DeleteSecurityPolicyRequest": "type name | clientToken",
        "ListSecurityPoliciesRequest": "type nextToken maxResults",
        "AccessPolicyType": "data",
        "CreateAccessPolicyRequest": _POLICY,
        "GetAccessPolicyRequest": "type name",
        "UpdateAccessPolicyRequest": f"policyVersion {_POLICY}",
        "DeleteAccessPolicyRequest": "type name | clientToken",
        "ListAccessPoliciesRequest": "type nextToken maxResults",
    },
    "bedrock": {
        "CreateGuardrailRequest": f"{_GUARDRAIL} clientRequestToken | kmsKeyId tags",
        "UpdateGuardrailRequest": f"guardrailIdentifier {_GUARDRAIL} | kmsKeyId",
        "CreateGuardrailVersionRequest": "guardrailIdentifier description clientRequestToken",
        "GetGuardrailRequest": "guardrailIdentifier guardrailVersion",
        "ListGuardrailsRequest": "guardrailIdentifier maxResults nextToken",
        "DeleteGuardrailRequest": "guardrailIdentifier guardrailVersion",
        "GuardrailWordPolicyConfig": "wordsConfig",
        "GuardrailWordConfig": "text inputAction outputAction inputEnabled outputEnabled",
        "GuardrailWordAction": "BLOCK NONE",
        "Tag": "| key value",
    },
}


@dataclass(frozen=True)
class Named:
    """The names of one shape's row of the table: between bars ``effective``, ``plain``, ``refused``.

    Of those that are ``refused`` the operation says how: as Bedrock does, or as not emulated.
    """

    effective: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    @property
    def taken(self) -> frozenset[str]:
        """With or without effect."""
        return self.effective | self.plain


@cache
def named(service: str, shape: str) -> Named:
    """What the table has of a shape; nothing where it does not know it."""
    return Named(*(frozenset(names.split()) for names in SUPPORTED[service].get(shape, "").split("|")))


def check_supported(operation: OperationModel, given: Mapping[str, Any]) -> None:
    """NotEmulatedError, by name, when an operation's input, as parsed, asks for something that is not emulated."""
    shape = operation.input_shape
    if shape is None:
        return
    missing = next(_missing(operation.service_model.service_name, shape, given, ""), None)
    if missing is not None:
        raise NotEmulatedError(f"{operation.name}: {missing}")


def _missing(service: str, shape: Shape, value: Any, path: str) -> Iterator[str]:
    if is_document(shape):
        return
    if isinstance(shape, StructureShape):
        known = named(service, shape.name)
        for name, item in value.items():
            below = f"{path}.{name}" if path else name
            if name in known.taken:
                yield from _missing(service, shape.members[name], item, below)
            elif name not in known.refused:
                yield below
    elif isinstance(shape, ListShape):
        for item in value:
            yield from _missing(service, shape.member, item, path)
    elif isinstance(shape, MapShape):
        for item in value.values():
            yield from _missing(service, shape.value, item, path)
    elif isinstance(shape, StringShape) and shape.enum:
        known = named(service, shape.name)
        if value not in known.taken | known.refused:
            yield f"{path} {value}"
