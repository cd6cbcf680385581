"""Which knowledge stores a stack offers, and what it costs to ask."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.knowledge_stores import IndexCatalogue, StoreResources
from kbfleet.adapters.knowledge_stores.offered_stores import OfferedStores
from kbfleet.bootstrap import KNOWLEDGE_STORES, store_types
from kbfleet.domain.errors import KnowledgeStoreNotOffered
from tests.support.emulator import VECTOR_BUCKET
from tests.support.fakes import InMemoryIndexCatalogue
from tests.support.samples import ACCOUNT, INGESTION, NAMES, REGION, model_arn

COLLECTION = f"arn:aws:aoss:{REGION}:{ACCOUNT}:collection/abcdefghij0123456789"


class Stack:
    """A stack's resources, which remember what was made of them."""

    def __init__(self, *, collection_arn: str = "") -> None:
        self.made: list[str] = []
        self.resources = StoreResources(
            names=NAMES,
            ingestion=INGESTION,
            model_arn=model_arn,
            vector_bucket_name=VECTOR_BUCKET,
            collection_arn=collection_arn,
            client=self._client,
            catalogue=self._catalogue,
        )

    def _client(self, service: str) -> Any:
        self.made.append(service)
        return object()

    def _catalogue(self, store_type: str) -> IndexCatalogue:
        self.made.append(store_type)
        return InMemoryIndexCatalogue()


@pytest.mark.parametrize("default", KNOWLEDGE_STORES)
def test_the_stacks_default_comes_first(default: str) -> None:
    offered = list(OfferedStores(default, store_types(), Stack(collection_arn=COLLECTION).resources))
    assert offered[0] == default
    assert sorted(offered) == sorted(KNOWLEDGE_STORES)


def test_a_stack_without_a_collection_does_not_offer_opensearch_serverless() -> None:
    offered = OfferedStores("S3_VECTORS", store_types(), Stack().resources)
    assert list(offered) == ["S3_VECTORS", "MANAGED"]
    assert "OPENSEARCH_SERVERLESS" not in offered
    with pytest.raises(KeyError):
        offered["OPENSEARCH_SERVERLESS"]


def test_a_default_that_the_stack_lacks_is_refused_at_once() -> None:
    with pytest.raises(KnowledgeStoreNotOffered, match="OPENSEARCH_SERVERLESS"):
        OfferedStores("OPENSEARCH_SERVERLESS", store_types(), Stack().resources)


def test_asking_for_names_makes_no_client() -> None:
    stack = Stack(collection_arn=COLLECTION)
    offered = OfferedStores("S3_VECTORS", store_types(), stack.resources)
    assert "OPENSEARCH_SERVERLESS" in offered
    assert (len(offered), sorted(offered)) == (3, sorted(KNOWLEDGE_STORES))
    assert stack.made == []


def test_a_store_is_made_once_when_it_is_first_used() -> None:
    stack = Stack(collection_arn=COLLECTION)
    offered = OfferedStores("MANAGED", store_types(), stack.resources)
    assert offered["S3_VECTORS"] is offered["S3_VECTORS"]
    assert stack.made == ["s3vectors"]
    assert offered["OPENSEARCH_SERVERLESS"].kind == "VECTOR"
    assert stack.made == ["s3vectors", "opensearchserverless", "OPENSEARCH_SERVERLESS"]
