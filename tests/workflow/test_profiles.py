"""Tenants are made by their profiles, on every knowledge store, with roles that may what they say and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bedrock_emulator.reading import parsers
from bedrock_emulator.services.retrieval import Retrieval
from bedrock_emulator.world.iam_roles import IamRoles
from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.tenant_lives import Lives, sample
from tests.support.virtual_fleet import ACCOUNT, RARE_TICKS, REGION, VirtualFleet, virtual_fleet

TITAN, RERANKER = "amazon.titan-embed-text-v2:0", "cohere.rerank-v3-5:0"
PARSER, UNUSED = "apac.amazon.nova-pro-v1:0", "cohere.embed-multilingual-v3"
WRITER = "apac.amazon.nova-lite-v1:0"
FOUNDATION = f"arn:aws:bedrock:{REGION}::foundation-model"
PROFILES = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile"
PARAMETERS = {
    **RARE_TICKS,
    "IngestionModelArns": f"{PROFILES}/{PARSER},{FOUNDATION}/{RERANKER},{FOUNDATION}/{UNUSED}",
    "GenerationModelId": WRITER,
}
FIXED = {"kind": "FIXED_SIZE", "max_tokens": 200, "overlap_percentage": 10}
ANSWERING = {"passages": 3, "reranker": {"model": RERANKER, "candidates": 12}, "temperature": 0.0}
READ_BY_A_MODEL: dict[str, object] = {
    "embedding": {"model": TITAN, "dimensions": 512},
    "parser": {"kind": "FOUNDATION_MODEL", "model": PARSER, "prompt": "Write tables as Markdown."},
    "chunking": FIXED,
}
INGESTIONS: dict[str, dict[str, Any]] = {
    "S3_VECTORS": READ_BY_A_MODEL,
    "OPENSEARCH_SERVERLESS": {
        **READ_BY_A_MODEL,
        "chunking": {"kind": "HIERARCHICAL", "parent_tokens": 900, "child_tokens": 200, "overlap_tokens": 20},
    },
    "MANAGED": {"parser": {"kind": "SMART"}, "chunking": {"kind": "NONE"}},
}


@contextmanager
def fleet_with_roles(store: str) -> Iterator[Lives]:
    """Where Bedrock asks IAM what a service role may."""
    with virtual_fleet(parameters=PARAMETERS) as fleet:
        fleet.emulator._account.authority = IamRoles(fleet.client("iam"))
        yield Lives(fleet, store)


@pytest.fixture(autouse=True)
def _pages_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # The documents here are text: what reads pages is not needed.
    monkeypatch.setattr(parsers, "can_see", lambda: True)


def put(fleet: VirtualFleet, **described: object) -> dict[str, Any]:
    answer = fleet.invoke("ProfilesFunction", sample("put_profile", "acme") | {"body": json.dumps(described)})
    assert answer["statusCode"] == 200, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def give(lives: Lives, **asked: object) -> dict[str, Any]:
    """Asks for the newest version. Returns: what the API answers, once what it has started has ended."""
    lives.fleet.timeline.run_for(1)  # executions are named after the time
    body = json.dumps({"profile": "office-documents", **asked})
    answer = lives.fleet.invoke("TenantsFunction", sample("put_tenant", "acme") | {"body": body})
    told: dict[str, Any] = json.loads(answer["body"])
    if answer["statusCode"] == 202:
        (started,) = (each for each in lives.executions("provision_tenant", "acme") if each.name == told["execution"])
        execution = lives.fleet.finish(started)
        assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
    return told


def made(fleet: VirtualFleet) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only knowledge base, and its only data source."""
    agent: Any = fleet.client("bedrock-agent")
    [base] = agent.list_knowledge_bases()["knowledgeBaseSummaries"]
    names = {"knowledgeBaseId": base["knowledgeBaseId"]}
    [source] = agent.list_data_sources(**names)["dataSourceSummaries"]
    described = agent.get_data_source(**names, dataSourceId=source["dataSourceId"])["dataSource"]
    return agent.get_knowledge_base(**names)["knowledgeBase"], described


def models_of_the_role(fleet: VirtualFleet) -> dict[str, list[str]]:
    """What the tenant's service role may do of Bedrock, and on what."""
    iam: Any = fleet.client("iam")
    (name,) = (each["RoleName"] for each in iam.list_roles(PathPrefix="/kbfleet/")["Roles"])
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    return {
        each["Sid"]: each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        for each in document["Statement"]
        if "bedrock:" in str(each["Action"])
    }


def is_well(fleet: VirtualFleet) -> bool:
    answer = fleet.invoke("ReconcileFunction", sample("get_diagnosis", "acme"))
    return bool(json.loads(answer["body"])["well"])


@pytest.mark.parametrize("store", KNOWLEDGE_STORES)
def test_a_tenant_is_made_by_its_profile(store: str) -> None:
    with fleet_with_roles(store) as lives:
        fleet = lives.fleet
        assert (
            put(fleet, ingestion={"knowledge_store": store, **INGESTIONS[store]}, answering=ANSWERING)["version"] == 1
        )
        give(lives)
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert (tenant.status, tenant.knowledge_store, str(tenant.profile)) == (
            TenantStatus.ACTIVE,
            store,
            "office-documents version 1",
        )
        base, source = made(fleet)
        ingestion = source["vectorIngestionConfiguration"]
        assert ingestion["chunkingConfiguration"]["chunkingStrategy"] == INGESTIONS[store]["chunking"]["kind"]
        if store == "MANAGED":
            assert ingestion["parsingConfiguration"] == {"parsingStrategy": "SMART_PARSING"}
            assert models_of_the_role(fleet) == {"UseModelsOfProfiles": [f"{FOUNDATION}/{RERANKER}"], "Rerank": ["*"]}
        else:
            model = ingestion["parsingConfiguration"]["bedrockFoundationModelConfiguration"]
            assert model["modelArn"] == f"{PROFILES}/{PARSER}"
            embedding = base["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"]
            assert embedding["embeddingModelConfiguration"]["bedrockEmbeddingModelConfiguration"]["dimensions"] == 512
            # Those of its profile, and not the one beside them.
            assert models_of_the_role(fleet) == {
                "EmbedPassagesAndQuestions": [f"{FOUNDATION}/{TITAN}"],
                "UseModelsOfProfiles": [f"{PROFILES}/{PARSER}", f"{FOUNDATION}/{RERANKER}"],
                "UseThemInTheRegionsOfTheirProfiles": ["arn:aws:bedrock:*::foundation-model/amazon.nova-pro-v1:0"],
                "Rerank": ["*"],
            }
        lives.ask("acme")
        assert is_well(fleet)
        # Nothing is left to do.
        before = made(fleet)
        give(lives)
        assert made(fleet) == before


def test_the_role_of_a_tenant_without_a_profile_is_what_it_was() -> None:
    with fleet_with_roles("S3_VECTORS") as lives:
        lives.provisioned("acme")
        assert models_of_the_role(lives.fleet) == {"EmbedPassagesAndQuestions": [f"{FOUNDATION}/{TITAN}"]}
        assert "vectorIngestionConfiguration" not in made(lives.fleet)[1]


def test_another_prompt_of_the_parser_has_everything_read_again_by_a_rebuild() -> None:
    with fleet_with_roles("S3_VECTORS") as lives:
        fleet = lives.fleet
        put(fleet, ingestion=READ_BY_A_MODEL, answering=ANSWERING)
        give(lives)
        _, before = made(fleet)
        again = {
            **READ_BY_A_MODEL,
            "parser": {"kind": "FOUNDATION_MODEL", "model": PARSER, "prompt": "Read every figure."},
        }
        put(fleet, ingestion=again, answering=ANSWERING)
        refused = give(lives)
        assert (refused["status"], refused["field"]) == (400, "profile")
        assert "`kbfleet tenant rebuild acme --profile office-documents`" in refused["detail"]
        assert made(fleet)[1] == before
        rebuilt = fleet.finish(lives.rebuild("acme", profile="office-documents", keep_hours=0))
        assert rebuilt.status == "SUCCEEDED", rebuilt.failures
        fleet.settle("acme")
        tenant = fleet.tenant("acme")
        assert tenant is not None
        read = fleet.client("bedrock-agent").get_data_source(
            knowledgeBaseId=tenant.knowledge_base_id, dataSourceId=tenant.data_source_id
        )["dataSource"]
        told = read["vectorIngestionConfiguration"]["parsingConfiguration"]["bedrockFoundationModelConfiguration"]
        assert told["parsingPrompt"]["parsingPromptText"] == "Read every figure."
        assert (tenant.status, tenant.profile.version, tenant.knowledge) == (TenantStatus.ACTIVE, 2, 2)
        lives.ask("acme")


def test_what_somebody_changes_of_the_parser_is_found_and_put_right() -> None:
    with fleet_with_roles("S3_VECTORS") as lives:
        fleet = lives.fleet
        put(fleet, ingestion=READ_BY_A_MODEL)
        give(lives)
        _, before = made(fleet)
        ingestion = json.loads(json.dumps(before["vectorIngestionConfiguration"]))
        del ingestion["parsingConfiguration"]["bedrockFoundationModelConfiguration"]["parsingPrompt"]
        kept = {name: before[name] for name in ("knowledgeBaseId", "dataSourceId", "name", "dataSourceConfiguration")}
        fleet.client("bedrock-agent").update_data_source(**kept, vectorIngestionConfiguration=ingestion)
        give(lives)
        assert made(fleet)[1]["vectorIngestionConfiguration"] == before["vectorIngestionConfiguration"]
        assert made(fleet)[1]["dataSourceId"] == before["dataSourceId"]


@pytest.mark.parametrize("store", ["S3_VECTORS", "OPENSEARCH_SERVERLESS"])
def test_a_tenant_without_a_profile_reads_by_no_parser_that_somebody_has_chosen(store: str) -> None:
    """Bedrock cannot change the kind of parser: somebody has deleted the data source, and made another of its name."""
    with fleet_with_roles(store) as lives:
        fleet = lives.fleet
        lives.provisioned("acme")
        _, before = made(fleet)
        agent: Any = fleet.client("bedrock-agent")
        agent.delete_data_source(knowledgeBaseId=before["knowledgeBaseId"], dataSourceId=before["dataSourceId"])
        fleet.timeline.run_for(600)
        kept = {name: before[name] for name in ("knowledgeBaseId", "name", "dataSourceConfiguration")}
        parser = {"modelArn": f"{PROFILES}/{PARSER}"}
        by_a_model = {"parsingStrategy": "BEDROCK_FOUNDATION_MODEL", "bedrockFoundationModelConfiguration": parser}
        agent.create_data_source(**kept, vectorIngestionConfiguration={"parsingConfiguration": by_a_model})
        fleet.timeline.run_for(600)
        assert not is_well(fleet)
        lives.read_anew("acme")
        _, after = made(fleet)
        assert "vectorIngestionConfiguration" not in after
        assert is_well(fleet)


def test_an_update_that_is_taken_back_and_made_again_leaves_each_tenant_its_profile() -> None:
    with fleet_with_roles("S3_VECTORS") as lives:
        fleet = lives.fleet
        put(fleet, ingestion=READ_BY_A_MODEL, answering=ANSWERING)
        give(lives)
        before, role = made(fleet), models_of_the_role(fleet)
        # The older version writes what it knows of a record, and nothing else.
        table: Any = fleet.client("dynamodb")
        (name,) = table.list_tables()["TableNames"]
        key = {"PK": {"S": "TENANT#acme"}, "SK": {"S": "PROFILE"}}
        unknown = "REMOVE profile, queue, queue_position"
        table.update_item(TableName=name, Key=key, UpdateExpression=unknown)
        lives.provisioned("acme")
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert str(tenant.profile) == "office-documents version 1"
        assert tenant.drift == ()
        assert made(fleet) == before
        assert models_of_the_role(fleet) == role
        assert is_well(fleet)


def test_a_rebuild_is_refused_with_the_old_one_in_force() -> None:
    with fleet_with_roles("S3_VECTORS") as lives:
        fleet = lives.fleet
        put(fleet, ingestion=READ_BY_A_MODEL)
        give(lives)
        before = made(fleet)
        put(fleet, ingestion={**READ_BY_A_MODEL, "chunking": {"kind": "NONE"}})
        told = give(lives)
        assert (told["status"], told["field"]) == (400, "profile")
        assert "ingestion.chunking.kind" in told["detail"]
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.profile.version == 1
        assert made(fleet) == before


def test_another_way_of_answering_counts_at_the_next_question_without_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[Any] = []

    def seen(own: Retrieval, given: dict[str, Any], retrieve: Any = Retrieval.retrieve) -> Any:
        searched.append(given["retrievalConfiguration"]["vectorSearchConfiguration"])
        return retrieve(own, given)

    monkeypatch.setattr(Retrieval, "retrieve", seen)
    with fleet_with_roles("S3_VECTORS") as lives:
        fleet = lives.fleet

        def asked() -> tuple[int, str | None]:
            """How many passages the next question is answered from, and by which model they are put in order."""
            searched.clear()
            lives.ask("acme")
            (search,) = searched
            reranking = search.get("rerankingConfiguration", {}).get("bedrockRerankingConfiguration", {})
            model = reranking.get("modelConfiguration", {}).get("modelArn")
            return reranking.get("numberOfRerankedResults", search["numberOfResults"]), model

        put(fleet, ingestion=READ_BY_A_MODEL, answering={"passages": 3})
        give(lives)
        fleet.settle("acme")
        jobs = lives.api("get_jobs", "acme")["jobs"]
        assert asked() == (3, None)
        put(fleet, ingestion=READ_BY_A_MODEL, answering={**ANSWERING, "passages": 7})
        give(lives)
        fleet.timeline.run_for(20)  # for as long as the tenant's record is remembered
        assert asked() == (7, f"{FOUNDATION}/{RERANKER}")
        fleet.settle("acme")
        assert lives.api("get_jobs", "acme")["jobs"] == jobs
