"""What is looked for in an index by the credentials by which a tenant's questions are answered."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.bedrock_retrieval import BedrockPassageSearch
from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.errors import RequestRefused
from kbfleet.domain.isolation import FoundPassages
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, client_token
from kbfleet.domain.names import DataSourceReference
from tests.support.knowledge_base_worlds import BUCKET, Emulated
from tests.support.knowledge_store_worlds import Managed, OnOpenSearchServerless, OnS3Vectors, StoreWorld
from tests.support.samples import ACME, NAMES, SAKURA

OTHERS = NAMES.bucket(SAKURA)
A_PAGE = 100


class Searched:
    """A knowledge base that reads the tenant's bucket."""

    def __init__(self, on: type[StoreWorld]) -> None:
        self.world = Emulated(on)
        self.kind = KnowledgeBaseKind.MANAGED if on is Managed else KnowledgeBaseKind.VECTOR
        self.own = self.world.data_source("acme")
        self.world.aws.s3.create_bucket(Bucket=OTHERS)
        self.client = self.world.aws.client("bedrock-agent-runtime")

    def sync(self, data_source: DataSourceReference) -> None:
        self.world.ended(data_source, self.world.start(data_source, f"{self.world.aws.clock.now()}"))
        self.world.advance(600)

    def put(self, bucket: str, number: int = 1) -> None:
        for each in range(number):
            content = f"House number {each} has a garden."
            self.world.aws.s3.put_object(Bucket=bucket, Key=f"{each}.md", Body=content.encode())

    def add_another(self, bucket: str) -> DataSourceReference:
        made = self.world.knowledge_bases.create_data_source(
            self.own.knowledge_base_id,
            "quick-test",
            configuration=self.world.store.data_source_configuration(bucket),
            client_token=client_token(self.own.knowledge_base_id, "quick-test"),
        )
        return DataSourceReference(self.own.knowledge_base_id, made.data_source_id)

    def leave_behind(self, bucket: str) -> str:
        """Another data source has read that bucket, and was deleted without its vectors. Returns: a URI of one."""
        another = self.add_another(bucket)
        self.put(bucket)
        self.sync(another)
        self.world.knowledge_bases.retain_vectors(another)
        self.world.knowledge_bases.delete_data_source(another)
        self.world.advance(60)
        return f"s3://{bucket}/0.md"

    def search(self) -> FoundPassages:
        asked: list[str] = []

        def clients(operation: str, tenant: AskableTenant) -> Any:
            asked.append(f"{operation} {tenant.tenant_id}")
            return self.client

        tenant = AskableTenant(ACME, self.own.knowledge_base_id, "any", Freshness(None, pending_changes=False))
        found = BedrockPassageSearch(clients).search(tenant, self.kind, self.own)
        assert set(asked) == {"Retrieve acme"}
        return found


@pytest.fixture(params=[OnS3Vectors, OnOpenSearchServerless, Managed])
def every(request: pytest.FixtureRequest, aws: None) -> Searched:
    return Searched(request.param)


@pytest.fixture(params=[OnS3Vectors, OnOpenSearchServerless])
def searched(request: pytest.FixtureRequest, aws: None) -> Searched:
    """Where vectors can be left behind. A data source of a MANAGED knowledge base takes its own along."""
    return Searched(request.param)


def test_an_empty_index_holds_nothing_of_anybody(every: Searched) -> None:
    assert every.search() == FoundPassages((), whole=True)


def test_what_others_have_is_found(every: Searched) -> None:
    another = every.add_another(OTHERS)
    every.put(OTHERS)
    every.sync(another)
    assert f"s3://{OTHERS}/0.md" in every.search().uris


def test_of_the_tenants_own_alone_it_says_so(every: Searched) -> None:
    every.put(BUCKET, 3)
    every.sync(every.own)
    found = every.search()
    assert set(found.uris) == {f"s3://{BUCKET}/{number}.md" for number in range(3)}
    assert found.whole


def test_what_was_left_behind_is_found_among_many_of_the_tenants_own(searched: Searched) -> None:
    searched.put(BUCKET, A_PAGE + 20)
    searched.sync(searched.own)
    left = searched.leave_behind(OTHERS)
    assert left in searched.search().uris


def test_where_the_filter_is_not_understood_nobody_knows(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    searched.put(BUCKET, 3)
    searched.sync(searched.own)
    retrieve = searched.client.retrieve

    def unfiltered(**given: Any) -> Any:
        given["retrievalConfiguration"]["vectorSearchConfiguration"].pop("filter", None)
        return retrieve(**given)

    def of_nothing(**given: Any) -> Any:
        filtered = "filter" in given["retrievalConfiguration"]["vectorSearchConfiguration"]
        return {"retrievalResults": []} if filtered else retrieve(**given)

    for ignoring in (unfiltered, of_nothing):
        monkeypatch.setattr(searched.client, "retrieve", ignoring)
        assert not searched.search().whole


def test_what_the_tenants_own_have_left_behind_is_nobody_elses_but_may_hide_it(searched: Searched) -> None:
    left = searched.leave_behind(BUCKET)
    found = searched.search()
    assert (set(found.uris), found.whole) == ({left}, False)


def test_a_passage_that_does_not_say_where_it_is_from_proves_nothing(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        searched.client, "retrieve", lambda **_: {"retrievalResults": [{"content": {"text": "A house."}}]}
    )
    assert searched.search() == FoundPassages((), whole=False)


def test_a_refusal_is_one(searched: Searched) -> None:
    searched.world.on.drop(ACME)
    with pytest.raises(RequestRefused):
        searched.search()
