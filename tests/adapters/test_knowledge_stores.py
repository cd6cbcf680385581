"""What every knowledge store does. A new one is a subclass of the suite."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.knowledge_stores.s3_vectors import EMBEDDING_DIMENSION, S3VectorsKnowledgeStore
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.tenant import TenantId
from kbfleet.ports import KnowledgeStore
from tests.support.emulator import TITAN, VECTOR_BUCKET, EmulatedAws
from tests.support.fakes import InMemoryKnowledgeStore
from tests.support.samples import ACME, NAMES, SAKURA


class KnowledgeStoreSuite:
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        raise NotImplementedError

    def test_an_index_is_made_once(self, store: KnowledgeStore) -> None:
        assert store.ensure(ACME) == store.ensure(ACME)

    def test_every_tenant_has_an_index_of_its_own(self, store: KnowledgeStore) -> None:
        tenants = [ACME, SAKURA, TenantId("acme-2")]
        assert len({store.ensure(tenant_id) for tenant_id in tenants}) == 3

    def test_a_knowledge_base_is_bound_to_that_index_and_no_other(self, store: KnowledgeStore) -> None:
        one, other = store.ensure(ACME), store.ensure(SAKURA)
        assert one in str(store.knowledge_base_configuration(one))
        assert other not in str(store.knowledge_base_configuration(one))

    def test_a_data_source_reads_the_tenants_bucket(self, store: KnowledgeStore) -> None:
        assert "kbfleet-acme-0123456789" in str(store.data_source_configuration("kbfleet-acme-0123456789"))


class TestInMemoryKnowledgeStore(KnowledgeStoreSuite):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return InMemoryKnowledgeStore(NAMES)


class TestS3VectorsKnowledgeStore(KnowledgeStoreSuite):
    @pytest.fixture
    def vectors(self, aws: None) -> Any:
        client = EmulatedAws().client("s3vectors")
        client.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        return client

    @pytest.fixture
    def store(self, vectors: Any) -> KnowledgeStore:
        return self.of(vectors)

    def of(self, vectors: Any) -> S3VectorsKnowledgeStore:
        return S3VectorsKnowledgeStore(vectors, vector_bucket=VECTOR_BUCKET, names=NAMES, embedding_model_arn=TITAN)

    def test_the_index_is_what_bedrock_needs(self, vectors: Any) -> None:
        self.of(vectors).ensure(ACME)
        index = vectors.get_index(vectorBucketName=VECTOR_BUCKET, indexName="acme")["index"]
        assert (index["dataType"], index["dimension"], index["distanceMetric"]) == (
            "float32",
            EMBEDDING_DIMENSION,
            "cosine",
        )
        assert set(index["metadataConfiguration"]["nonFilterableMetadataKeys"]) == {
            "AMAZON_BEDROCK_TEXT",
            "AMAZON_BEDROCK_METADATA",
        }

    def test_one_that_another_execution_makes_between_look_and_call_is_adopted(self, vectors: Any) -> None:
        reference = self.of(vectors).ensure(ACME)
        look = vectors.get_index
        looks = 0

        def get_index(**arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            return look(**{**arguments, "indexName": "not-made-yet"} if looks == 1 else arguments)

        vectors.get_index = get_index
        assert self.of(vectors).ensure(ACME) == reference
        assert looks == 2

    def test_without_the_fleets_vector_bucket_it_says_what_is_missing(self, vectors: Any) -> None:
        store = S3VectorsKnowledgeStore(vectors, vector_bucket="gone", names=NAMES, embedding_model_arn=TITAN)
        with pytest.raises(ResourceMissing, match="acme"):
            store.ensure(ACME)
