"""Places where knowledge stores are, for tests of what they do: in memory, and emulated behind the real adapters."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from kbfleet.adapters.knowledge_stores import IndexCatalogue
from kbfleet.adapters.knowledge_stores.managed import ManagedKnowledgeStore
from kbfleet.adapters.knowledge_stores.opensearch_serverless import OpenSearchServerlessKnowledgeStore
from kbfleet.adapters.knowledge_stores.s3_vectors import S3VectorsKnowledgeStore
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import Ingestion
from kbfleet.ports import KnowledgeStore
from tests.support.clock import FakeClock
from tests.support.emulator import SERVICE_ROLE, VECTOR_BUCKET, EmulatedAws
from tests.support.fakes import InMemoryIndexCatalogue, InMemoryKnowledgeStore
from tests.support.samples import INGESTION, NAMES, first_knowledge, model_arn


def create_collection(client: Any, name: str = "kbfleet-vectors") -> str:
    """A collection that admits the service role; it is CREATING for minutes. Returns: its ARN."""
    rules = [{"ResourceType": "collection", "Resource": [f"collection/{name}"]}]
    client.create_security_policy(
        type="encryption", name=name, policy=json.dumps({"Rules": rules, "AWSOwnedKey": True})
    )
    permissions = ["aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument"]
    indexes = [{"ResourceType": "index", "Resource": [f"index/{name}/*"], "Permission": permissions}]
    access = json.dumps([{"Rules": indexes, "Principal": [SERVICE_ROLE]}])
    client.create_access_policy(type="data", name=name, policy=access)
    arn: str = client.create_collection(name=name, type="VECTORSEARCH")["createCollectionDetail"]["arn"]
    return arn


class StoreWorld(ABC):
    """A knowledge store, and what tests do to it from outside."""

    store: KnowledgeStore

    @abstractmethod
    def take_name(self, tenant_id: TenantId) -> None:
        """Somebody makes an index of the tenant's name that Bedrock could not use."""

    @abstractmethod
    def drop(self, tenant_id: TenantId) -> None:
        """The tenant's index is deleted behind kbfleet's back."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Time goes by."""


class InMemory(StoreWorld):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = self.memory = InMemoryKnowledgeStore(NAMES, self.clock)

    def take_name(self, tenant_id: TenantId) -> None:
        self.memory.foreign.add(NAMES.vector_index(first_knowledge(tenant_id)))

    def drop(self, tenant_id: TenantId) -> None:
        self.memory.drop(first_knowledge(tenant_id))

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class Emulated(StoreWorld):
    aws: EmulatedAws

    def advance(self, seconds: float) -> None:
        self.aws.advance(seconds)


class OnS3Vectors(Emulated):
    def __init__(self, aws: EmulatedAws, vector_bucket: str = VECTOR_BUCKET) -> None:
        self.aws = aws
        self.client = aws.client("s3vectors")
        self.client.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        self.store = S3VectorsKnowledgeStore(
            self.client, vector_bucket=vector_bucket, names=NAMES, ingestion=INGESTION, model_arn=model_arn
        )

    def create_index(self, name: str, **members: Any) -> None:
        """An index as Bedrock needs it, but for `members`."""
        needed = {
            "dataType": "float32",
            "dimension": INGESTION.embedding.dimensions,
            "distanceMetric": "cosine",
            "metadataConfiguration": {"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]},
        }
        self.client.create_index(vectorBucketName=VECTOR_BUCKET, indexName=name, **(needed | members))

    def take_name(self, tenant_id: TenantId) -> None:
        self.create_index(NAMES.vector_index(first_knowledge(tenant_id)), dimension=256)

    def drop(self, tenant_id: TenantId) -> None:
        self.client.delete_index(
            vectorBucketName=VECTOR_BUCKET, indexName=NAMES.vector_index(first_knowledge(tenant_id))
        )


class OnOpenSearchServerless(Emulated):
    """With a collection that is ACTIVE and admits the service role."""

    def __init__(self, aws: EmulatedAws, catalogue: IndexCatalogue | None = None) -> None:
        self.aws = aws
        self.client = aws.client("opensearchserverless")
        self.collection_arn = create_collection(self.client)
        aws.advance(300)
        self.collection_id = self.collection_arn.rpartition("/")[2]
        self.store = OpenSearchServerlessKnowledgeStore(
            self.client,
            collection_arn=self.collection_arn,
            names=NAMES,
            ingestion=INGESTION,
            model_arn=model_arn,
            catalogue=catalogue or InMemoryIndexCatalogue(),
        )

    def create_index(self, name: str, schema: Any) -> None:
        self.client.create_index(id=self.collection_id, indexName=name, indexSchema=schema)

    def take_name(self, tenant_id: TenantId) -> None:
        self.create_index(
            NAMES.vector_index(first_knowledge(tenant_id)), {"mappings": {"properties": {"text": {"type": "text"}}}}
        )

    def drop(self, tenant_id: TenantId) -> None:
        self.client.delete_index(id=self.collection_id, indexName=NAMES.vector_index(first_knowledge(tenant_id)))


class Managed(Emulated):
    def __init__(self, aws: EmulatedAws) -> None:
        self.aws = aws
        self.store = ManagedKnowledgeStore(names=NAMES, ingestion=Ingestion("MANAGED"), model_arn=model_arn)

    def take_name(self, tenant_id: TenantId) -> None:
        raise AssertionError("there is no index")

    def drop(self, tenant_id: TenantId) -> None:
        raise AssertionError("there is no index")
