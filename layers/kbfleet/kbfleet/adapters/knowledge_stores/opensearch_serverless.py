"""Amazon OpenSearch Serverless: one index a tenant in the fleet's shared collection. Semantic and hybrid search, and a
price for the collection whether it is used or not.

Indexes are made through the control plane (`opensearchserverless`), so that the collection can be closed to every
network but Bedrock's. A call needs three permissions: the IAM action of its name, `aoss:APIAccessAll` on the
collection, and the collection's data access policy (`aoss:CreateIndex`, `aoss:DescribeIndex`, `aoss:DeleteIndex`).
Sources: AWS service authorization reference for OpenSearch Serverless; AWS documentation, Data access control for
Amazon OpenSearch Serverless; that the last two are checked for the control plane too is reported by users.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.knowledge_stores import (
    differences,
    s3_data_source,
    storage,
    vector_ingestion,
    vector_knowledge_base,
)
from kbfleet.domain.errors import CapacityExceeded, KnowledgeStoreUnusable, NotReadyYet, ResourceConflict
from kbfleet.domain.knowledge_base import Index, KnowledgeBaseKind
from kbfleet.domain.service_role import WAY_OUT_OF_POLICIES
from kbfleet.domain.uploads import MAX_METADATA_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kbfleet.adapters.knowledge_stores import (
        IndexCatalogue,
        StoreResources,
    )
    from kbfleet.domain.names import Knowledge, Life, ResourceNames
    from kbfleet.domain.profiles import Ingestion

_VECTOR_FIELD = "bedrock-knowledge-base-default-vector"
_TEXT_FIELD = "AMAZON_BEDROCK_TEXT_CHUNK"
_METADATA_FIELD = "AMAZON_BEDROCK_METADATA"


def _schema_of(dimensions: int | None) -> Mapping[str, Any]:
    """What Bedrock wants of an index: the engine faiss, Euclidean distance for float vectors, a text field that is
    searched, and a metadata field that is not. The field names are those of the indexes that Bedrock makes itself.
    Source: AWS documentation, Prerequisites for using a vector store you created for a knowledge base."""
    return {
        "settings": {"index": {"knn": True}},
        "mappings": {
            "properties": {
                _VECTOR_FIELD: {
                    "type": "knn_vector",
                    "dimension": dimensions,
                    "method": {"name": "hnsw", "engine": "faiss", "space_type": "l2"},
                },
                _TEXT_FIELD: {"type": "text"},
                _METADATA_FIELD: {"type": "text", "index": False},
            }
        },
    }


_PERMISSIONS_OF_THE_ROLE = ("aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument")
"""Source: Amazon Bedrock User Guide, Set up security configurations for your knowledge base."""


class OpenSearchServerlessKnowledgeStore:
    """`kbfleet.ports.KnowledgeStore` on OpenSearch Serverless.

    Args:
        client: boto3 client of `opensearchserverless`.
        catalogue: remembers the indexes, because the control plane cannot list them (botocore model) and the data
            plane's `_cat/indices` would need the collection's network opened.
    """

    kind = KnowledgeBaseKind.VECTOR
    unknown_filter_operators = frozenset[str]()
    usual_creation = timedelta(seconds=85)  # reported by users
    usual_data_source_creation = timedelta()  # AVAILABLE in the answer to its creation, as users report
    max_metadata_bytes = MAX_METADATA_BYTES
    max_metadata_attributes: int | None = None
    role_services = frozenset({"bedrock", "aoss"})

    def __init__(
        self,
        client: Any,
        *,
        collection_arn: str,
        names: ResourceNames,
        ingestion: Ingestion,
        model_arn: Callable[[str], str],
        catalogue: IndexCatalogue,
    ) -> None:
        self._client = client
        self._collection_arn = collection_arn
        self._collection_id = collection_arn.rpartition("/")[2]
        self._names = names
        self._ingestion = ingestion
        self._model_arn = model_arn
        self._wanted = _schema_of(ingestion.embedding.dimensions)
        self._catalogue = catalogue

    @classmethod
    def offered_by(cls, resources: StoreResources) -> bool:
        return bool(resources.collection_arn)

    @classmethod
    def made_of(cls, resources: StoreResources) -> Self:
        return cls(
            resources.client("opensearchserverless"),
            collection_arn=resources.collection_arn,
            names=resources.names,
            ingestion=resources.ingestion,
            model_arn=resources.model_arn,
            catalogue=resources.catalogue("OPENSEARCH_SERVERLESS"),
        )

    def made_by(self, ingestion: Ingestion) -> Self:
        return type(self)(
            self._client,
            collection_arn=self._collection_arn,
            names=self._names,
            ingestion=ingestion,
            model_arn=self._model_arn,
            catalogue=self._catalogue,
        )

    def ensure(self, knowledge: Knowledge) -> str:
        """Returns: the index's name."""
        # Before the index is made: a crash in between must not leave one that nobody knows of.
        self._catalogue.add(self._names.vector_index(knowledge))
        with translated(self._subject(knowledge)):
            schema = self._schema(knowledge)
            if schema is None:
                self._create(knowledge)
            else:
                self._check(schema, knowledge)
        return self._names.vector_index(knowledge)

    def find(self, knowledge: Knowledge) -> Index | None:
        with translated(self._subject(knowledge)):
            schema = self._schema(knowledge)
        return Index(knowledge, _made_at(schema)) if schema is not None else None

    def delete(self, knowledge: Knowledge) -> None:
        with translated(self._subject(knowledge)), suppress(self._client.exceptions.ResourceNotFoundException):
            self._client.delete_index(id=self._collection_id, indexName=self._names.vector_index(knowledge))
        self._catalogue.remove(self._names.vector_index(knowledge))

    def holds(self, knowledge: Knowledge, configuration: Mapping[str, object]) -> bool:
        found = storage(configuration, "OPENSEARCH_SERVERLESS", "opensearchServerlessConfiguration")
        place = (found.get("collectionArn"), found.get("vectorIndexName"))
        return place == (self._collection_arn, self._names.vector_index(knowledge))

    def admit(self, life: Life, role_arn: str) -> datetime | None:
        wanted = self._access(life, role_arn)
        with translated(f"data access policy of tenant {life}"):
            found = self._access_policy(life)
            if found is None:
                found = self._create_access_policy(life, wanted)
            elif found["policy"] != wanted:
                found = self._client.update_access_policy(
                    name=found["name"], type="data", policyVersion=found["policyVersion"], policy=json.dumps(wanted)
                )["accessPolicyDetail"]
        return datetime.fromtimestamp(found["lastModifiedDate"] / 1000, UTC)

    def dismiss(self, life: Life) -> None:
        name = self._names.data_access_policy(life)
        with (
            translated(f"data access policy of tenant {life}"),
            suppress(self._client.exceptions.ResourceNotFoundException),
        ):
            self._client.delete_access_policy(name=name, type="data")

    def admits(self, life: Life) -> bool:
        with translated(f"data access policy of tenant {life}"):
            return self._access_policy(life) is not None

    def _create_access_policy(self, life: Life, wanted: Sequence[Mapping[str, object]]) -> Mapping[str, Any]:
        name, policy = self._names.data_access_policy(life), json.dumps(wanted)
        try:
            with translated(f"data access policy of tenant {life}"):
                made: Mapping[str, Any] = self._client.create_access_policy(name=name, type="data", policy=policy)
        except ResourceConflict as error:
            raise NotReadyYet(f"Data access policy {name} has just been made by somebody else.") from error
        except CapacityExceeded as error:
            # 500 an account and Region, not adjustable. Source: AWS documentation, OpenSearch Serverless quotas.
            raise CapacityExceeded(error.what, remedy=WAY_OUT_OF_POLICIES) from error
        found: Mapping[str, Any] = made["accessPolicyDetail"]
        return found

    def _access_policy(self, life: Life) -> Mapping[str, Any] | None:
        try:
            answer = self._client.get_access_policy(name=self._names.data_access_policy(life), type="data")
        except self._client.exceptions.ResourceNotFoundException:
            return None
        found: Mapping[str, Any] = answer["accessPolicyDetail"]
        return found

    def _access(self, life: Life, role_arn: str) -> list[Mapping[str, object]]:
        """The tenant's part of what the collection's data access policy gives the shared role."""
        indexes = [f"index/{self._names.collection}/{pattern}" for pattern in self._names.vector_indexes(life)]
        rule = {
            "ResourceType": "index",
            "Resource": indexes,
            "Permission": list(_PERMISSIONS_OF_THE_ROLE),
        }
        return [{"Description": "Bedrock keeps and searches vectors", "Principal": [role_arn], "Rules": [rule]}]

    def is_there(self) -> bool:
        with translated(f"collection {self._collection_id}"):
            found = self._client.batch_get_collection(ids=[self._collection_id])
        # What is not there is among its errors (botocore model).
        return bool(found["collectionDetails"])

    def indexes(self) -> Iterator[Index]:
        # No call lists them: each is looked up, of which there are as many as knowledge bases of type VECTOR, 100.
        catalogued = map(self._names.knowledge_of_vector_index, self._catalogue.index_names())
        found = (self.find(knowledge) for knowledge in catalogued if knowledge is not None)
        return (index for index in found if index is not None)

    def room(self) -> tuple[int, int] | None:
        return None  # none is documented; its data access policies are made first, with the role

    def _subject(self, knowledge: Knowledge) -> str:
        return f"OpenSearch index {self._names.vector_index(knowledge)} of tenant {knowledge.tenant_id}"

    def _schema(self, knowledge: Knowledge) -> Mapping[str, Any] | None:
        try:
            answer = self._client.get_index(id=self._collection_id, indexName=self._names.vector_index(knowledge))
        except self._client.exceptions.ResourceNotFoundException:
            return None
        schema: Mapping[str, Any] = answer["indexSchema"]
        return schema

    def _create(self, knowledge: Knowledge) -> None:
        try:
            self._client.create_index(
                id=self._collection_id, indexName=self._names.vector_index(knowledge), indexSchema=self._wanted
            )
        except self._client.exceptions.ConflictException as error:
            # Created between our look and our call, or before it and not visible yet: users report that it takes
            # seconds.
            schema = self._schema(knowledge)
            if schema is None:
                raise NotReadyYet(f"The {self._subject(knowledge)} exists, but is not visible yet.") from error
            self._check(schema, knowledge)

    def _check(self, schema: Mapping[str, Any], knowledge: Knowledge) -> None:
        """Raises: KnowledgeStoreUnusable."""
        wrong = list(differences(self._wanted["mappings"], schema.get("mappings", {})))
        if wrong:
            raise KnowledgeStoreUnusable(
                f"The {self._subject(knowledge)} in collection {self._collection_id} cannot be used: "
                f"{'; '.join(wrong)}.",
                remedy="A field's type cannot be changed: delete that index if nothing uses it, then provision the "
                "tenant again.",
            )

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:
        return vector_knowledge_base(
            self._ingestion.embedding,
            self._model_arn,
            {
                "type": "OPENSEARCH_SERVERLESS",
                "opensearchServerlessConfiguration": {
                    "collectionArn": self._collection_arn,
                    "vectorIndexName": reference,
                    "fieldMapping": {
                        "vectorField": _VECTOR_FIELD,
                        "textField": _TEXT_FIELD,
                        "metadataField": _METADATA_FIELD,
                    },
                },
            },
        )

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        return s3_data_source(bucket_name, self._client.meta.partition)

    def ingestion_configuration(self) -> Mapping[str, object]:
        return vector_ingestion(self._ingestion, self._model_arn)


def _made_at(schema: Mapping[str, Any]) -> datetime | None:
    """`index.creation_date`, in milliseconds since 1970, among the settings that OpenSearch gives of an index. That
    GetIndex gives it, too, is not documented: it gives "field mappings and settings" (OpenSearch Serverless API
    reference), and CloudFormation's type for an index reads the UUID that stands beside it."""
    index = schema.get("settings", {}).get("index", {})
    try:
        return datetime.fromtimestamp(int(index["creation_date"]) / 1000, UTC)
    except (KeyError, TypeError, ValueError):
        return None
