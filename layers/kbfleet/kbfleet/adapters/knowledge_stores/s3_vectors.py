"""Amazon S3 Vectors: one index a tenant in the fleet's shared vector bucket. No idle cost, semantic search only."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.knowledge_stores import (
    differences,
    s3_data_source,
    storage,
    vector_ingestion,
    vector_knowledge_base,
)
from kbfleet.domain.errors import KnowledgeStoreUnusable, NotReadyYet
from kbfleet.domain.knowledge_base import Index, KnowledgeBaseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from mypy_boto3_s3vectors.client import S3VectorsClient

    from kbfleet.adapters.knowledge_stores import (
        StoreResources,
    )
    from kbfleet.domain.names import Knowledge, Life, ResourceNames
    from kbfleet.domain.profiles import Ingestion

_SHAPE: Mapping[str, Any] = {"dataType": "float32", "distanceMetric": "cosine"}
"""Of every index; how many dimensions it has, the profile says."""
_PAGE = 500
"""The most that ListIndexes gives at once. Source: botocore model."""
_INDEXES = 10_000
"""Of a vector bucket (Amazon S3 User Guide, Limitations and restrictions of S3 Vectors)."""
_NOT_FILTERABLE = ("AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA")
"""Bedrock keeps the passage itself in these; as filterable metadata they would break S3 Vectors' limit of 2,048
bytes, and the choice cannot be changed later. Source: AWS documentation, S3 Vectors with Bedrock Knowledge Bases; the
failure is reported by users."""


class S3VectorsKnowledgeStore:
    """`kbfleet.ports.KnowledgeStore` on S3 Vectors."""

    kind = KnowledgeBaseKind.VECTOR
    unknown_filter_operators = frozenset({"startsWith", "stringContains"})
    """Source: AWS documentation, RetrievalFilter: one is for OpenSearch Serverless, the other not for S3 Vectors."""
    usual_creation = timedelta(seconds=85)  # reported by users
    usual_data_source_creation = timedelta()  # AVAILABLE in the answer to its creation, as users report
    max_metadata_bytes = 1_024
    max_metadata_attributes: int | None = 35
    """Source of both: Amazon Bedrock User Guide, Prerequisites for using a vector store: 1 KB and 35 keys. Whether
    Bedrock's own count among them is not said. A vector has room for 50 (Amazon S3 User Guide, Limitations of S3
    Vectors): Bedrock's are taken to be among the other 15."""
    role_services = frozenset({"bedrock", "s3vectors"})

    def __init__(
        self,
        client: S3VectorsClient,
        *,
        vector_bucket: str,
        names: ResourceNames,
        ingestion: Ingestion,
        model_arn: Callable[[str], str],
    ) -> None:
        self._client = client
        self._vector_bucket = vector_bucket
        self._names = names
        self._ingestion = ingestion
        self._model_arn = model_arn
        self._shape = {**_SHAPE, "dimension": ingestion.embedding.dimensions}

    @classmethod
    def offered_by(cls, resources: StoreResources) -> bool:
        return bool(resources.vector_bucket_name)

    @classmethod
    def made_of(cls, resources: StoreResources) -> Self:
        return cls(
            resources.client("s3vectors"),
            vector_bucket=resources.vector_bucket_name,
            names=resources.names,
            ingestion=resources.ingestion,
            model_arn=resources.model_arn,
        )

    def made_by(self, ingestion: Ingestion) -> Self:
        return type(self)(
            self._client,
            vector_bucket=self._vector_bucket,
            names=self._names,
            ingestion=ingestion,
            model_arn=self._model_arn,
        )

    def ensure(self, knowledge: Knowledge) -> str:
        """Returns: the index's ARN."""
        with translated(self._subject(knowledge)):
            found = self._described(knowledge)
            return self._checked(found, knowledge) if found else self._create(knowledge)

    def find(self, knowledge: Knowledge) -> Index | None:
        with translated(self._subject(knowledge)):
            found = self._described(knowledge)
        return Index(knowledge, found["creationTime"]) if found else None

    def delete(self, knowledge: Knowledge) -> None:
        with translated(self._subject(knowledge)), suppress(self._client.exceptions.NotFoundException):
            self._client.delete_index(
                vectorBucketName=self._vector_bucket, indexName=self._names.vector_index(knowledge)
            )

    def holds(self, knowledge: Knowledge, configuration: Mapping[str, object]) -> bool:
        found = storage(configuration, "S3_VECTORS", "s3VectorsConfiguration").get("indexArn")
        names = self._names
        place = f"s3vectors:{names.region}:{names.account}:bucket/{self._vector_bucket}/index"
        return isinstance(found, str) and found.split(":", 2)[-1] == f"{place}/{names.vector_index(knowledge)}"

    def is_there(self) -> bool:
        with translated(f"vector bucket {self._vector_bucket}"):
            try:
                self._client.get_vector_bucket(vectorBucketName=self._vector_bucket)
            except self._client.exceptions.NotFoundException:
                return False
        return True

    def indexes(self) -> Iterator[Index]:
        for index in self._listed():
            # Of another name, it was made by somebody else.
            if knowledge := self._names.knowledge_of_vector_index(index["indexName"]):
                yield Index(knowledge, index["creationTime"])

    def room(self) -> tuple[int, int] | None:
        return sum(1 for _ in self._listed()), _INDEXES

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        with translated(f"the indexes of vector bucket {self._vector_bucket}"):
            pages = self._client.get_paginator("list_indexes").paginate(
                vectorBucketName=self._vector_bucket, PaginationConfig={"PageSize": _PAGE}
            )
            for page in pages:
                yield from page["indexes"]

    def _subject(self, knowledge: Knowledge) -> str:
        return f"vector index {self._names.vector_index(knowledge)} of tenant {knowledge.tenant_id}"

    def _described(self, knowledge: Knowledge) -> Mapping[str, Any] | None:
        try:
            answer = self._client.get_index(
                vectorBucketName=self._vector_bucket, indexName=self._names.vector_index(knowledge)
            )
        except self._client.exceptions.NotFoundException:
            return None
        return answer["index"]

    def _create(self, knowledge: Knowledge) -> str:
        try:
            answer = self._client.create_index(
                vectorBucketName=self._vector_bucket,
                indexName=self._names.vector_index(knowledge),
                metadataConfiguration={"nonFilterableMetadataKeys": list(_NOT_FILTERABLE)},
                tags=self._names.tags(knowledge.life),
                **self._shape,
            )
        except self._client.exceptions.ConflictException as error:
            # Created between our look and our call.
            found = self._described(knowledge)
            if found is None:
                raise NotReadyYet(f"The {self._subject(knowledge)} exists, but is not visible yet.") from error
            return self._checked(found, knowledge)
        return answer["indexArn"]

    def _checked(self, index: Mapping[str, Any], knowledge: Knowledge) -> str:
        """Raises: KnowledgeStoreUnusable."""
        wrong = list(differences(self._shape, index))
        held = set(index.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", ()))
        if missing := [key for key in _NOT_FILTERABLE if key not in held]:
            wrong.append(f"nonFilterableMetadataKeys lack {' and '.join(missing)}")
        if wrong:
            raise KnowledgeStoreUnusable(
                f"The {self._subject(knowledge)} in vector bucket {self._vector_bucket} cannot be used: "
                f"{'; '.join(wrong)}.",
                remedy="None of this can be changed: delete that index if nothing uses it, then provision the tenant "
                "again.",
            )
        return str(index["indexArn"])

    def admit(self, life: Life, role_arn: str) -> datetime | None:  # noqa: ARG002 - IAM alone decides
        return None

    def dismiss(self, life: Life) -> None:
        """Nothing to do: IAM alone decides."""

    def admits(self, life: Life) -> bool:  # noqa: ARG002 - as above
        return False

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:
        return vector_knowledge_base(
            self._ingestion.embedding,
            self._model_arn,
            {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": reference}},
        )

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        return s3_data_source(bucket_name, self._client.meta.partition)

    def ingestion_configuration(self) -> Mapping[str, object]:
        return vector_ingestion(self._ingestion, self._model_arn)
