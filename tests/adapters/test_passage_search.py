"""What is looked for in an index by the credentials by which a tenant's questions are answered."""

from __future__ import annotations

from typing import Any

import pytest

from kbfleet.adapters.bedrock_retrieval import BedrockPassageSearch
from kbfleet.domain.answer import AskableTenant, Freshness
from kbfleet.domain.errors import RequestRefused
from kbfleet.domain.isolation import FoundPassages
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, client_token
from kbfleet.domain.names import DataSourceReference, Life
from tests.support.knowledge_base_worlds import BUCKET, LONGEST_DATA_SOURCE_CREATION_SECONDS, Emulated
from tests.support.knowledge_store_worlds import Managed, OnOpenSearchServerless, OnS3Vectors, StoreWorld
from tests.support.samples import ACME, NAMES, SAKURA

OTHERS = NAMES.bucket(Life(SAKURA))
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
        self.world.advance(LONGEST_DATA_SOURCE_CREATION_SECONDS)
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


def test_what_the_tenants_own_former_one_has_left_behind_is_reported(searched: Searched) -> None:
    left = searched.leave_behind(BUCKET)
    assert searched.search() == FoundPassages((left,), whole=False, left_behind=True)


class Scripted:
    """A client whose Retrieve gives these pages, the first one to who names no place; of others than the tenant's own
    source, `others`."""

    def __init__(self, *pages: list[dict[str, Any]], others: tuple[list[dict[str, Any]], ...] = ([],)) -> None:
        self.pages = pages
        self.others = others

    def retrieve(self, *, retrievalConfiguration: Any, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's
        (search,) = retrievalConfiguration.values()
        pages = self.others if "notEquals" in search.get("filter", {}) else self.pages
        place = int(nextToken)
        following = {"nextToken": str(place + 1)} if place + 1 < len(pages) else {}
        return {"retrievalResults": pages[place], **following}

    def search(self, kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR) -> FoundPassages:
        tenant = AskableTenant(ACME, "KB00000001", "any", Freshness(None, pending_changes=False))
        return BedrockPassageSearch(lambda *_: self).search(tenant, kind, DataSourceReference("KB00000001", OWN))


OWN = "DS00000002"
THEIRS = f"s3://{OTHERS}/secret.md"


def passage(uri: str, data_source_id: str = OWN) -> dict[str, Any]:
    return {
        "location": {"type": "S3", "s3Location": {"uri": uri}},
        "metadata": {"x-amz-bedrock-kb-data-source-id": data_source_id},
    }


def test_an_empty_page_is_not_the_end_of_what_there_is() -> None:
    own = passage(f"s3://{BUCKET}/0.md")
    assert THEIRS in Scripted([own], others=([], [], [passage(THEIRS, "DSGONE0000")])).search().uris
    assert Scripted([], [own]).search() == FoundPassages((f"s3://{BUCKET}/0.md",), whole=True)


def test_a_search_of_empty_pages_without_an_end_proves_nothing() -> None:
    endless: tuple[list[dict[str, Any]], ...] = ([],) * 1_000
    assert Scripted(*endless).search() == FoundPassages((), whole=False)
    assert not Scripted([passage(f"s3://{BUCKET}/0.md")], others=endless).search().whole


@pytest.mark.parametrize("kind", KnowledgeBaseKind)
@pytest.mark.parametrize("prefix", ["x-amz-bedrock-kb-source-uri", "_source_uri"])
def test_a_passage_that_names_its_document_by_an_attribute_only_is_understood(
    kind: KnowledgeBaseKind, prefix: str
) -> None:
    assert Scripted([{"metadata": {prefix: THEIRS}}]).search(kind).uris == (THEIRS,)


def test_a_passage_of_another_data_source_of_a_managed_knowledge_base_is_reported() -> None:
    found = Scripted([{"metadata": {"_source_uri": THEIRS, "_data_source_id": "DSGONE0000"}}])
    assert found.search(KnowledgeBaseKind.MANAGED).left_behind


def test_a_passage_that_does_not_say_where_it_is_from_has_no_uri(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        searched.client, "retrieve", lambda **_: {"retrievalResults": [{"content": {"text": "A house."}}]}
    )
    assert searched.search() == FoundPassages(("",), whole=False)


def test_a_refusal_is_one(searched: Searched) -> None:
    searched.world.on.drop(ACME)
    with pytest.raises(RequestRefused):
        searched.search()
