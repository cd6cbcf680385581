"""Amazon S3 Vectors: one index a tenant in the fleet's shared vector bucket. No idle cost, semantic search only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.tenant import ResourceNames, TenantId

if TYPE_CHECKING:
    from mypy_boto3_s3vectors.client import S3VectorsClient

EMBEDDING_DIMENSION = 1024
"""Of Titan Text Embeddings V2, the default. Source: AWS documentation, Amazon Titan Text Embeddings models."""

_NOT_FILTERABLE = ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]
"""Bedrock keeps the passage itself in these; as filterable metadata they would break S3 Vectors' limit of 2,048
bytes, and the choice cannot be changed later. Source: AWS documentation, S3 Vectors with Bedrock Knowledge Bases; the
failure is reported by users."""


class S3VectorsKnowledgeStore:
    """`kbfleet.ports.KnowledgeStore` on S3 Vectors."""

    def __init__(
        self, client: S3VectorsClient, *, vector_bucket: str, names: ResourceNames, embedding_model_arn: str
    ) -> None:
        self._client = client
        self._vector_bucket = vector_bucket
        self._names = names
        self._embedding_model_arn = embedding_model_arn

    def ensure(self, tenant_id: TenantId) -> str:
        """Returns: the index's ARN."""
        index = self._names.vector_index(tenant_id)
        with translated(f"vector index {index} of tenant {tenant_id}"):
            return self._arn(index) or self._create(index)

    def _arn(self, index: str) -> str | None:
        try:
            answer = self._client.get_index(vectorBucketName=self._vector_bucket, indexName=index)
        except self._client.exceptions.NotFoundException:
            return None
        return answer["index"]["indexArn"]

    def _create(self, index: str) -> str:
        try:
            answer = self._client.create_index(
                vectorBucketName=self._vector_bucket,
                indexName=index,
                dataType="float32",
                dimension=EMBEDDING_DIMENSION,
                distanceMetric="cosine",
                metadataConfiguration={"nonFilterableMetadataKeys": _NOT_FILTERABLE},
            )
        except self._client.exceptions.ConflictException as error:
            existing = self._arn(index)
            if existing is None:
                raise ClientError(error.response, "CreateIndex") from error
            return existing
        return answer["indexArn"]

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:
        return {
            "knowledgeBaseConfiguration": {
                "type": "VECTOR",
                "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": self._embedding_model_arn},
            },
            "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": reference}},
        }

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        return {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{bucket_name}"}}
