"""What every knowledge store does. A new one is a subclass of the suite."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kbfleet.adapters.bedrock import BedrockKnowledgeBases
from kbfleet.adapters.dynamodb.index_catalogue import DynamoDBIndexCatalogue
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.knowledge_stores import IndexCatalogue, differences
from kbfleet.domain.errors import KnowledgeStoreUnusable, NotReadyYet, ResourceMissing
from kbfleet.domain.knowledge_base import Index, KnowledgeBase, KnowledgeBaseKind, KnowledgeBaseStatus, client_token
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from kbfleet.ports import KnowledgeStore
from tests.support.emulator import SERVICE_ROLE, EmulatedAws
from tests.support.fakes import InMemoryIndexCatalogue
from tests.support.knowledge_base_worlds import LONGEST_CREATION_SECONDS, LONGEST_DATA_SOURCE_CREATION_SECONDS
from tests.support.knowledge_store_worlds import InMemory, Managed, OnOpenSearchServerless, OnS3Vectors, StoreWorld
from tests.support.samples import ACCOUNT, ACME, NAMES, SAKURA, first_knowledge

BUCKET = "kbfleet-acme-0123456789"


def known(store: KnowledgeStore) -> list[Knowledge]:
    """Whose indexes are listed."""
    return [index.knowledge for index in store.indexes()]


class KnowledgeStoreSuite:
    """Of every store."""

    @pytest.fixture
    def world(self) -> StoreWorld:
        raise NotImplementedError

    @pytest.fixture
    def store(self, world: StoreWorld) -> KnowledgeStore:
        return world.store

    def test_ensuring_it_twice_gives_the_same_reference(self, store: KnowledgeStore) -> None:
        assert store.ensure(first_knowledge(ACME)) == store.ensure(first_knowledge(ACME))

    def test_a_data_source_reads_the_tenants_bucket(self, store: KnowledgeStore) -> None:
        assert BUCKET in str(store.data_source_configuration(BUCKET))

    def test_a_knowledge_base_is_of_the_stores_kind(self, store: KnowledgeStore) -> None:
        configuration = store.knowledge_base_configuration(store.ensure(first_knowledge(ACME)))
        assert f"'type': '{store.kind}'" in str(configuration["knowledgeBaseConfiguration"])

    def test_deleting_what_is_not_there_is_fine(self, store: KnowledgeStore) -> None:
        store.delete(first_knowledge(ACME))
        assert store.find(first_knowledge(ACME)) is None

    def test_it_knows_a_knowledge_base_on_the_tenants_own_index(self, store: KnowledgeStore) -> None:
        assert store.holds(
            first_knowledge(ACME), store.knowledge_base_configuration(store.ensure(first_knowledge(ACME)))
        )

    def test_a_knowledge_base_of_another_kind_is_nobodys(self, store: KnowledgeStore) -> None:
        assert not store.holds(first_knowledge(ACME), {"knowledgeBaseConfiguration": {"type": "KENDRA"}})

    def test_nobody_is_admitted_at_first_and_dismissing_is_fine(self, store: KnowledgeStore) -> None:
        assert not store.admits(Life(ACME))
        store.dismiss(Life(ACME))

    def test_whoever_is_admitted_again_or_dismissed_leaves_the_others_alone(self, store: KnowledgeStore) -> None:
        alone = store.admits(Life(SAKURA))
        store.admit(Life(SAKURA), SERVICE_ROLE)
        store.admit(Life(ACME), SERVICE_ROLE)
        assert store.admit(Life(ACME), SERVICE_ROLE) == store.admit(Life(ACME), SERVICE_ROLE)
        decides = store.admits(Life(ACME))
        store.dismiss(Life(ACME))
        assert not store.admits(Life(ACME))
        assert (store.admits(Life(SAKURA)), alone) == (decides, False)

    def test_what_came_with_the_stack_is_there(self, store: KnowledgeStore) -> None:
        assert store.is_there()

    def test_nobody_is_there_at_first(self, store: KnowledgeStore) -> None:
        assert known(store) == []


class IndexedStoreSuite(KnowledgeStoreSuite):
    """Of stores that keep an index for each tenant."""

    def test_every_tenant_has_an_index_of_its_own(self, store: KnowledgeStore) -> None:
        tenants = [ACME, SAKURA, TenantId("acme-2")]
        assert len({store.ensure(first_knowledge(tenant_id)) for tenant_id in tenants}) == 3
        assert set(known(store)) == set(map(first_knowledge, tenants))

    def test_every_life_has_an_index_of_its_own_and_so_has_each_knowledge_in_it(self, store: KnowledgeStore) -> None:
        one, again = first_knowledge(ACME), Knowledge(Life(ACME, 2))
        other = Knowledge(Life(ACME, 2), 2)
        assert len({store.ensure(one), store.ensure(again), store.ensure(other)}) == 3
        assert set(known(store)) == {one, again, other}
        assert store.holds(again, store.knowledge_base_configuration(store.ensure(again)))
        assert not store.holds(again, store.knowledge_base_configuration(store.ensure(one)))
        assert not store.holds(one, store.knowledge_base_configuration(store.ensure(other)))
        store.delete(one)
        assert set(known(store)) == {again, other}

    def test_a_knowledge_base_is_bound_to_that_index_and_no_other(self, store: KnowledgeStore) -> None:
        one, other = store.ensure(first_knowledge(ACME)), store.ensure(first_knowledge(SAKURA))
        assert one in str(store.knowledge_base_configuration(one))
        assert other not in str(store.knowledge_base_configuration(one))

    def test_a_knowledge_base_on_anothers_index_is_not_the_tenants(self, store: KnowledgeStore) -> None:
        assert not store.holds(
            first_knowledge(ACME), store.knowledge_base_configuration(store.ensure(first_knowledge(SAKURA)))
        )
        assert not store.holds(
            first_knowledge(ACME), store.knowledge_base_configuration(store.ensure(first_knowledge(TenantId("acme-2"))))
        )

    def test_an_index_that_has_vanished_is_made_again(self, world: StoreWorld) -> None:
        reference = world.store.ensure(first_knowledge(ACME))
        world.drop(ACME)
        assert world.store.find(first_knowledge(ACME)) is None
        assert known(world.store) == []
        assert world.store.ensure(first_knowledge(ACME)) == reference
        assert world.store.find(first_knowledge(ACME))

    def test_it_is_listed_and_found_with_the_time_at_which_it_was_made(self, world: StoreWorld) -> None:
        world.store.ensure(first_knowledge(ACME))
        made = world.store.find(first_knowledge(ACME))
        assert made is not None
        assert made.made_at is not None
        assert list(world.store.indexes()) == [made]
        world.advance(60)
        world.store.ensure(first_knowledge(ACME))
        assert world.store.find(first_knowledge(ACME)) == made
        world.drop(ACME)
        world.store.ensure(first_knowledge(ACME))
        again = world.store.find(first_knowledge(ACME))
        assert again is not None
        assert again.made_at is not None
        assert again.made_at - made.made_at >= timedelta(seconds=60)

    def test_each_index_takes_room_if_there_is_a_quota(self, store: KnowledgeStore) -> None:
        before = store.room()
        store.ensure(first_knowledge(ACME))
        after = store.room()
        assert (after is None) == (before is None)
        assert before is None or after == (before[0] + 1, before[1])

    def test_only_the_deleted_index_is_gone(self, store: KnowledgeStore) -> None:
        store.ensure(first_knowledge(ACME))
        store.ensure(first_knowledge(SAKURA))
        store.delete(first_knowledge(ACME))
        assert (store.find(first_knowledge(ACME)) is None, store.find(first_knowledge(SAKURA)) is None) == (True, False)
        assert known(store) == [first_knowledge(SAKURA)]

    def test_an_index_of_another_shape_is_refused_saying_what_is_wrong_and_what_to_do(self, world: StoreWorld) -> None:
        world.take_name(ACME)
        with pytest.raises(KnowledgeStoreUnusable, match="acme") as caught:
            world.store.ensure(first_knowledge(ACME))
        assert "elete" in caught.value.remedy

    def test_such_an_index_counts_as_there_and_can_be_deleted(self, world: StoreWorld) -> None:
        world.take_name(ACME)
        assert world.store.find(first_knowledge(ACME))
        world.store.delete(first_knowledge(ACME))
        assert world.store.ensure(first_knowledge(ACME))


class EmulatedStoreSuite(KnowledgeStoreSuite):
    """Of real adapters: what Bedrock does with what the store says."""

    @pytest.fixture
    def account(self, aws: None) -> EmulatedAws:
        return EmulatedAws()

    def create(self, account: EmulatedAws, store: KnowledgeStore) -> KnowledgeBase:
        return self.knowledge_bases(account).create(
            "kbfleet-acme",
            role_arn=SERVICE_ROLE,
            configuration=store.knowledge_base_configuration(store.ensure(first_knowledge(ACME))),
            tags=NAMES.tags(Life(ACME)),
            client_token=client_token("acme"),
        )

    def knowledge_bases(self, account: EmulatedAws) -> BedrockKnowledgeBases:
        return BedrockKnowledgeBases(account.client("bedrock-agent"))

    def test_a_document_is_ingested_and_found_again(self, account: EmulatedAws, store: KnowledgeStore) -> None:
        bases = self.knowledge_bases(account)
        made = self.create(account, store)
        account.s3.create_bucket(Bucket=BUCKET)
        account.s3.put_object(Bucket=BUCKET, Key="leave.md", Body=b"Paid leave is twenty days a year.")
        account.advance(LONGEST_CREATION_SECONDS)
        active = bases.get(made.knowledge_base_id)
        assert active is not None
        assert active.status is KnowledgeBaseStatus.ACTIVE
        source = bases.create_data_source(
            made.knowledge_base_id,
            "documents",
            configuration=store.data_source_configuration(BUCKET),
            client_token=client_token("documents"),
        )
        account.advance(LONGEST_DATA_SOURCE_CREATION_SECONDS)
        reference = DataSourceReference(made.knowledge_base_id, source.data_source_id)
        job = bases.start_ingestion(reference, client_token=client_token("job"))
        account.advance(600)
        assert bases.ingestion_job(reference, job.ingestion_job_id).statistics.new == 1
        found = account.client("bedrock-agent-runtime").retrieve(
            knowledgeBaseId=made.knowledge_base_id, retrievalQuery={"text": "How many days of paid leave?"}
        )["retrievalResults"]
        assert [result["content"]["text"] for result in found] == ["Paid leave is twenty days a year."]


class LateIndexSuite(EmulatedStoreSuite, IndexedStoreSuite):
    """Of stores whose new index Bedrock may not see for seconds."""

    def test_an_index_that_bedrock_does_not_see_yet_is_worth_another_try(
        self, account: EmulatedAws, store: KnowledgeStore
    ) -> None:
        account.emulator.faults.add({"effect": "index_not_visible", "seconds": 20})
        with pytest.raises(NotReadyYet):
            self.create(account, store)
        account.advance(21)
        assert self.create(account, store).status is KnowledgeBaseStatus.CREATING

    @staticmethod
    def look_past(world: Any, looks: int) -> None:
        """The store's next looks find nothing, whatever is there."""
        look, missed = world.client.get_index, iter(range(looks))

        def get_index(**arguments: Any) -> Any:
            return look(**arguments if next(missed, None) is None else arguments | {"indexName": "not-made-yet"})

        world.client.get_index = get_index

    def test_one_that_another_execution_makes_between_look_and_call_is_adopted(self, world: StoreWorld) -> None:
        reference = world.store.ensure(first_knowledge(ACME))
        self.look_past(world, 1)
        assert world.store.ensure(first_knowledge(ACME)) == reference

    def test_one_that_somebody_makes_between_look_and_call_is_checked_too(self, world: StoreWorld) -> None:
        world.take_name(ACME)
        self.look_past(world, 1)
        with pytest.raises(KnowledgeStoreUnusable):
            world.store.ensure(first_knowledge(ACME))

    def test_one_that_exists_but_cannot_be_looked_at_yet_is_worth_another_try(self, world: StoreWorld) -> None:
        world.store.ensure(first_knowledge(ACME))
        self.look_past(world, 2)
        with pytest.raises(NotReadyYet, match="not visible yet"):
            world.store.ensure(first_knowledge(ACME))


class TestInMemoryKnowledgeStore(IndexedStoreSuite):
    @pytest.fixture
    def world(self) -> StoreWorld:
        return InMemory()


class TestS3VectorsKnowledgeStore(LateIndexSuite):
    @pytest.fixture
    def world(self, account: EmulatedAws) -> OnS3Vectors:
        return OnS3Vectors(account)

    def test_the_index_tells_whose_it_is(self, world: OnS3Vectors) -> None:
        reference = world.store.ensure(first_knowledge(ACME))
        assert world.client.list_tags_for_resource(resourceArn=reference)["tags"] == NAMES.tags(Life(ACME))

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ({"dimension": 256}, "dimension is 256, not 1024"),
            ({"distanceMetric": "euclidean"}, "distanceMetric is euclidean, not cosine"),
            (
                {"metadataConfiguration": {"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT"]}},
                "nonFilterableMetadataKeys lack AMAZON_BEDROCK_METADATA",
            ),
        ],
    )
    def test_what_cannot_be_changed_of_an_index_is_reported(
        self, world: OnS3Vectors, members: dict[str, Any], reason: str
    ) -> None:
        world.create_index("acme", **members)
        with pytest.raises(KnowledgeStoreUnusable, match=reason):
            world.store.ensure(first_knowledge(ACME))

    def test_an_index_with_more_keys_that_are_not_filtered_by_is_good(self, world: OnS3Vectors) -> None:
        keys = ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA", "summary"]
        world.create_index("acme", metadataConfiguration={"nonFilterableMetadataKeys": keys})
        assert world.store.ensure(first_knowledge(ACME))

    def test_tenants_are_found_on_every_page_and_nobody_elses_index(self, world: OnS3Vectors) -> None:
        tenants = [TenantId(f"tenant-{number}") for number in range(501)]  # a page holds 500
        for tenant_id in tenants:
            world.create_index(NAMES.vector_index(first_knowledge(tenant_id)))
        for name in ("not.a.tenant", "acme.1.1", "acme.2", "acme.02.1"):
            world.create_index(name)
        assert set(known(world.store)) == set(map(first_knowledge, tenants))

    def test_without_the_fleets_vector_bucket_it_says_what_is_missing(self, account: EmulatedAws) -> None:
        with pytest.raises(ResourceMissing, match="acme"):
            OnS3Vectors(account, vector_bucket="gone").store.ensure(first_knowledge(ACME))

    def test_without_the_fleets_vector_bucket_it_cannot_say_who_is_there(self, account: EmulatedAws) -> None:
        with pytest.raises(ResourceMissing, match="gone"):
            known(OnS3Vectors(account, vector_bucket="gone").store)

    def test_without_the_fleets_vector_bucket_it_is_not_there(self, account: EmulatedAws) -> None:
        assert not OnS3Vectors(account, vector_bucket="gone").store.is_there()


class TestOpenSearchServerlessKnowledgeStore(LateIndexSuite):
    def test_without_the_fleets_collection_it_is_not_there(self, world: OnOpenSearchServerless) -> None:
        world.client.delete_collection(id=world.collection_arn.rpartition("/")[2])
        world.advance(600)
        assert not world.store.is_there()

    @pytest.fixture
    def world(self, account: EmulatedAws, table: Table) -> OnOpenSearchServerless:
        return OnOpenSearchServerless(account, DynamoDBIndexCatalogue(table, "OPENSEARCH_SERVERLESS"))

    def test_the_index_is_what_bedrock_needs(self, world: OnOpenSearchServerless) -> None:
        name = world.store.ensure(first_knowledge(ACME))
        schema = world.client.get_index(id=world.collection_id, indexName=name)["indexSchema"]
        assert schema["settings"]["index"]["knn"] is True
        vector, text, metadata = schema["mappings"]["properties"].values()
        assert (vector["type"], vector["dimension"]) == ("knn_vector", 1024)
        assert vector["method"] == {"name": "hnsw", "engine": "faiss", "space_type": "l2"}
        assert (text, metadata) == ({"type": "text"}, {"type": "text", "index": False})

    def test_the_fields_that_bedrock_is_given_are_those_of_the_index(self, world: OnOpenSearchServerless) -> None:
        name = world.store.ensure(first_knowledge(ACME))
        schema = world.client.get_index(id=world.collection_id, indexName=name)["indexSchema"]
        storage: Any = world.store.knowledge_base_configuration(name)["storageConfiguration"]
        reported = storage["opensearchServerlessConfiguration"]
        assert set(reported["fieldMapping"].values()) == set(schema["mappings"]["properties"])
        assert (reported["collectionArn"], reported["vectorIndexName"]) == (world.collection_arn, "acme")

    def test_an_index_is_catalogued_before_it_is_made(self, world: OnOpenSearchServerless, table: Table) -> None:
        def create_index(**_: Any) -> None:
            raise KeyboardInterrupt

        create, world.client.create_index = world.client.create_index, create_index
        with pytest.raises(KeyboardInterrupt):
            world.store.ensure(first_knowledge(ACME))
        assert list(DynamoDBIndexCatalogue(table, "OPENSEARCH_SERVERLESS").index_names()) == ["acme"]
        assert known(world.store) == []  # it is catalogued, but there is none
        world.client.create_index = create
        world.store.ensure(first_knowledge(ACME))
        assert known(world.store) == [first_knowledge(ACME)]

    @pytest.mark.parametrize("given", [{}, {"creation_date": "yesterday"}, {"creation_date": None}])
    def test_one_of_which_aws_does_not_say_since_when_it_is_there_is_there_all_the_same(
        self, world: OnOpenSearchServerless, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.store.ensure(first_knowledge(ACME))
        monkeypatch.setattr(world.client, "get_index", lambda **_: {"indexSchema": {"settings": {"index": given}}})
        assert list(world.store.indexes()) == [Index(first_knowledge(ACME))]

    def test_without_the_fleets_collection_it_says_what_is_missing(self, world: OnOpenSearchServerless) -> None:
        world.client.delete_collection(id=world.collection_id)
        world.aws.advance(60)
        with pytest.raises(ResourceMissing, match="acme"):
            world.store.ensure(first_knowledge(ACME))


class TestManagedKnowledgeStore(EmulatedStoreSuite):
    @pytest.fixture
    def world(self, account: EmulatedAws) -> Managed:
        return Managed(account)

    def test_there_is_no_index(self, store: KnowledgeStore) -> None:
        assert store.ensure(first_knowledge(ACME)) == store.ensure(first_knowledge(SAKURA))
        assert store.find(first_knowledge(ACME)) is None
        assert known(store) == []

    def test_the_bucket_is_read_only_if_it_is_our_own(self, store: KnowledgeStore) -> None:
        assert f"'bucketOwnerAccountId': '{ACCOUNT}'" in str(store.data_source_configuration(BUCKET))


class IndexCatalogueSuite:
    @pytest.fixture
    def catalogue(self) -> IndexCatalogue:
        raise NotImplementedError

    def test_it_holds_each_name_once_until_it_is_removed(self, catalogue: IndexCatalogue) -> None:
        for name in ("acme", "sakura", "acme"):
            catalogue.add(name)
        assert sorted(catalogue.index_names()) == ["acme", "sakura"]
        catalogue.remove("acme")
        catalogue.remove("acme")
        assert list(catalogue.index_names()) == ["sakura"]


class TestInMemoryIndexCatalogue(IndexCatalogueSuite):
    @pytest.fixture
    def catalogue(self) -> IndexCatalogue:
        return InMemoryIndexCatalogue()


class TestDynamoDBIndexCatalogue(IndexCatalogueSuite):
    @pytest.fixture
    def catalogue(self, table: Table) -> IndexCatalogue:
        return DynamoDBIndexCatalogue(table, "OPENSEARCH_SERVERLESS")

    def test_every_store_type_has_its_own(self, catalogue: IndexCatalogue, table: Table) -> None:
        catalogue.add("acme")
        assert list(DynamoDBIndexCatalogue(table, "ANOTHER").index_names()) == []


class TestDifferences:
    def test_a_flag_may_come_as_text(self) -> None:
        assert list(differences({"index": False, "dimension": 1024}, {"index": "false", "dimension": "1024"})) == []

    def test_what_is_not_expected_does_not_matter(self) -> None:
        assert list(differences({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3})) == []

    def test_what_is_missing_is_named_with_its_place(self) -> None:
        assert list(differences({"a": {"b": 1}}, {"a": 5})) == ["a.b is None, not 1"]


@pytest.mark.parametrize(("kind", "quota"), [(KnowledgeBaseKind.VECTOR, 100), (KnowledgeBaseKind.MANAGED, 10_000)])
def test_a_kind_knows_the_accounts_quota(kind: KnowledgeBaseKind, quota: int) -> None:
    assert kind.quota == quota
