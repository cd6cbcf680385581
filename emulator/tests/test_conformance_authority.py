"""An authority is asked whenever Bedrock acts with a knowledge base's service role, and what it refuses is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import IamRoles
from emulator_support.workbench import ACCOUNT, REGION, ROLE, TITAN, Workbench

fact = pytest.mark.fact

BUCKET = "arn:aws:s3:::documents"
INDEX = f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/vectors/index/index-tenant"


@dataclass
class Strict:
    """Allows what is not refused, and notes what was asked. `refused` are (action, resource)."""

    assumable: bool = True
    refused: set[tuple[str, str]] = field(default_factory=set)
    assumed: list[tuple[str, str, str]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> Strict | None:
        self.assumed.append((role_arn, source_arn, source_account))
        return self if self.assumable else None

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:
        self.asked.append((action, resource, dict(conditions)))
        return (action, resource) not in self.refused

    def asked_since(self, number: int) -> set[tuple[str, str]]:
        return {(action, resource) for action, resource, _ in self.asked[number:]}


@pytest.fixture
def authority() -> Strict:
    return Strict()


@pytest.fixture
def bench(workbench_of: Any, authority: Strict) -> Workbench:
    made: Workbench = workbench_of(authority=authority)
    return made


def stocked(bench: Workbench) -> dict[str, str]:
    base, source = bench.stocked(**{"leave.txt": "Paid leave is twenty days."})
    return {"knowledgeBaseId": base, "dataSourceId": source}


def document(uri: str = "s3://documents/leave.txt") -> dict[str, Any]:
    return {"content": {"dataSourceType": "S3", "s3": {"s3Location": {"uri": uri}}}}


def ingested(bench: Workbench, names: dict[str, str], given: dict[str, Any]) -> dict[str, Any]:
    """The document's detail when it has ended."""
    made = bench.agent.ingest_knowledge_base_documents(**names, documents=[given])["documentDetails"][0]
    for _ in range(3):
        bench.clock.advance(30)
        bench.agent.list_knowledge_bases()
    found: dict[str, Any] = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=[made["identifier"]])[
        "documentDetails"
    ][0]
    return found


@fact("each use assumes the role with aws:SourceArn, the knowledge base's ARN, and aws:SourceAccount", "D")
def test_each_use_assumes_the_role_for_the_knowledge_base(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    base = bench.agent.get_knowledge_base(knowledgeBaseId=names["knowledgeBaseId"])["knowledgeBase"]
    for_it = (ROLE, base["knowledgeBaseArn"], ACCOUNT)
    assert set(authority.assumed) == {for_it}
    configuration = {key: base[key] for key in ("knowledgeBaseConfiguration", "storageConfiguration")}
    for use in (
        lambda: bench.retrieved(names["knowledgeBaseId"], "leave"),
        lambda: bench.ask(names["knowledgeBaseId"], "leave"),
        lambda: bench.start(**{"knowledge_base": names["knowledgeBaseId"], "source": names["dataSourceId"]}),
        lambda: ingested(bench, names, document()),
        lambda: bench.agent.update_knowledge_base(
            knowledgeBaseId=names["knowledgeBaseId"], name="tenant", roleArn=ROLE, **configuration
        ),
    ):
        authority.assumed.clear()
        use()
        assert set(authority.assumed) == {for_it}


@fact("an ingestion lists the bucket, reads each document, embeds it and writes it", "D")
def test_an_ingestion_asks_for_all_that_it_does(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    read = {("s3:ListBucket", BUCKET), ("s3:GetObject", f"{BUCKET}/leave.txt"), ("bedrock:InvokeModel", TITAN)}
    assert authority.asked_since(0) >= read | {("s3vectors:PutVectors", INDEX)}
    before = len(authority.asked)
    bench.put("documents", **{"leave.txt": "Paid leave, changed.", "leave.txt.metadata.json": bench.sidecar(a="b")})
    bench.sync(names["knowledgeBaseId"], names["dataSourceId"])
    changed = {("s3:GetObject", f"{BUCKET}/leave.txt.metadata.json"), ("s3vectors:DeleteVectors", INDEX)}
    assert authority.asked_since(before) >= changed


@fact("a role may be kept to a prefix of the bucket: s3:prefix says which one is listed", "D")
def test_the_prefix_that_is_listed_is_said(bench: Workbench, authority: Strict) -> None:
    base = bench.knowledge_base()
    settings = {"bucketArn": BUCKET, "inclusionPrefixes": ["rules/"]}
    source = bench.data_source(base, configuration={"type": "S3", "s3Configuration": settings})
    bench.sync(base, source)
    assert ("s3:ListBucket", BUCKET, {"s3:prefix": "rules/"}) in authority.asked


@fact(
    "a document that the role may not read: the job is FAILED, `User: …assumed-role/… is not authorized to perform: "
    's3:GetObject on resource: "…"`',
    "R",
)
@pytest.mark.parametrize("refused", [("s3:ListBucket", BUCKET), ("s3:GetObject", f"{BUCKET}/leave.txt")])
def test_a_job_that_may_not_read_fails(bench: Workbench, authority: Strict, refused: tuple[str, str]) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    authority.refused = {refused}
    ended = bench.sync(base, source)
    assert ended["status"] == "FAILED"
    action, resource = refused
    [text] = json.loads(ended["failureReasons"][0])
    said = f'is not authorized to perform: {action} on resource: "{resource}" because no identity-based policy allows'
    assert said in text
    assert text.startswith(f"Encountered error: User: arn:aws:sts::{ACCOUNT}:assumed-role/knowledge-base/")
    assert bench.retrieved(base, "leave") == []


@fact("an index that the role may not write, or a model that it may no longer invoke: the job is FAILED", "I")
def test_a_job_that_may_not_write_fails(bench: Workbench, authority: Strict) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    authority.refused = {("s3vectors:PutVectors", INDEX)}
    ended = bench.sync(base, source)
    assert ended["status"] == "FAILED"
    assert "s3vectors:PutVectors" in ended["failureReasons"][0]
    authority.refused = set()
    bench.start(base, source)
    authority.refused = {("bedrock:InvokeModel", TITAN)}
    bench.clock.advance(10)
    bench.agent.list_knowledge_bases()
    bench.clock.advance(600)
    [job] = bench.agent.list_ingestion_jobs(
        knowledgeBaseId=base,
        dataSourceId=source,
        maxResults=1,
        sortBy={"attribute": "STARTED_AT", "order": "DESCENDING"},
    )["ingestionJobSummaries"]
    assert job["status"] == "FAILED"


@fact("a role that can't be assumed any more: the job is FAILED, a call is refused", "I")
def test_a_role_that_lost_its_trust_serves_nothing(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    job = bench.start(names["knowledgeBaseId"], names["dataSourceId"])
    authority.assumable = False
    bench.clock.advance(10)
    bench.agent.list_knowledge_bases()
    bench.clock.advance(600)
    ended = bench.job(names["knowledgeBaseId"], names["dataSourceId"], job)
    assert ended["status"] == "FAILED"
    assert "unable to assume the given role" in ended["failureReasons"][0]
    for call in (
        lambda: bench.retrieved(names["knowledgeBaseId"], "leave"),
        lambda: bench.ask(names["knowledgeBaseId"], "leave"),
        lambda: bench.start(names["knowledgeBaseId"], names["dataSourceId"]),
        lambda: ingested(bench, names, document()),
    ):
        with pytest.raises(ClientError, match="unable to assume the given role") as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "ValidationException"


@fact("a search needs InvokeModel on the embedding model, and QueryVectors and GetVectors on the index", "D")
@pytest.mark.parametrize(
    "refused",
    [("bedrock:InvokeModel", TITAN), ("s3vectors:QueryVectors", INDEX), ("s3vectors:GetVectors", INDEX)],
    ids=lambda refused: refused[0],
)
def test_a_search_that_may_not_is_refused(bench: Workbench, authority: Strict, refused: tuple[str, str]) -> None:
    names = stocked(bench)
    authority.refused = {refused}
    for search in (bench.retrieved, bench.ask):
        with pytest.raises(ClientError, match=f"not authorized to perform: {refused[0]} on resource") as said:
            search(names["knowledgeBaseId"], "leave")
        assert said.value.response["Error"]["Code"] == "ValidationException"


@fact("direct ingestion reads documents and metadata files with the role: one that it may not read is FAILED", "I")
def test_a_document_that_may_not_be_read_fails(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    bench.s3.create_bucket(Bucket="others")
    bench.put("others", **{"secret.txt": "A secret.", "secret.json": bench.sidecar(secret="A secret.")})
    authority.refused = {("s3:GetObject", f"arn:aws:s3:::others/secret.{ending}") for ending in ("txt", "json")}
    location = {"type": "S3_LOCATION", "s3Location": {"uri": "s3://others/secret.json"}}
    for given in (document("s3://others/secret.txt"), {**document(), "metadata": location}):
        ended = ingested(bench, names, given)
        assert ended["status"] == "FAILED"
        assert "not authorized to perform: s3:GetObject" in ended["statusReason"]
    assert "secret" not in json.dumps(bench.retrieved(names["knowledgeBaseId"], "secret")).lower()


@fact(
    "direct ingestion checks at once whether the role can call its model: 400 `Knowledge base role {arn} is not …`", "R"
)
def test_direct_ingestion_checks_the_model_at_once(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    authority.refused = {("bedrock:InvokeModel", TITAN)}
    with pytest.raises(ClientError, match=f"Knowledge base role {ROLE} is not able to call specified"):
        ingested(bench, names, document())


@fact("direct ingestion and deletion need PutVectors and DeleteVectors: the document is FAILED", "I")
def test_documents_that_may_not_be_stored_or_removed_fail(bench: Workbench, authority: Strict) -> None:
    names = stocked(bench)
    authority.refused = {("s3vectors:PutVectors", INDEX)}
    assert ingested(bench, names, document())["status"] == "FAILED"
    authority.refused = set()
    assert ingested(bench, names, document())["status"] == "INDEXED"
    authority.refused = {("s3vectors:DeleteVectors", INDEX)}
    identifiers = [{"dataSourceType": "S3", "s3": {"uri": "s3://documents/leave.txt"}}]
    bench.agent.delete_knowledge_base_documents(**names, documentIdentifiers=identifiers)
    bench.clock.advance(30)
    [found] = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=identifiers)["documentDetails"]
    assert found["status"] == "FAILED"
    assert "s3vectors:DeleteVectors" in found["statusReason"]
    assert bench.retrieved(names["knowledgeBaseId"], "leave")


@fact("a MANAGED knowledge base reads documents with its role; its index and model are the service's own", "I")
def test_a_managed_knowledge_base_reads_with_its_role(bench: Workbench, authority: Strict) -> None:
    base = bench.managed()
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": "documents"}}
    kind = "MANAGED_KNOWLEDGE_BASE_CONNECTOR"
    connector = {"managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters}}
    source = bench.data_source(base, configuration={"type": kind, **connector})
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    assert bench.sync(base, source)["status"] == "COMPLETE"
    bench.runtime.retrieve(knowledgeBaseId=base, retrievalQuery={"text": "leave"})
    assert authority.asked_since(0) == {("s3:ListBucket", BUCKET), ("s3:GetObject", f"{BUCKET}/leave.txt")}
    authority.refused = {("s3:GetObject", f"{BUCKET}/more.txt")}
    bench.put("documents", **{"more.txt": "More."})
    assert bench.sync(base, source)["status"] == "FAILED"


@fact("on OpenSearch Serverless, each use needs aoss:APIAccessAll and a data access policy with the permission", "D")
def test_each_use_of_a_collection_is_checked(bench: Workbench, authority: Strict) -> None:
    search = bench.client("opensearchserverless")
    rules = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/*"]}], "AWSOwnedKey": True}
    search.create_security_policy(type="encryption", name="all", policy=json.dumps(rules))
    made = search.create_collection(name="tenants", type="VECTORSEARCH")["createCollectionDetail"]
    bench.clock.advance(200)

    def admit(*permissions: str) -> None:
        rule = {"ResourceType": "index", "Resource": ["index/tenants/tenant"]}
        document = [{"Rules": [{**rule, "Permission": list(permissions)}], "Principal": [ROLE]}]
        present = [summary["name"] for summary in search.list_access_policies(type="data")["accessPolicySummaries"]]
        if present:
            search.delete_access_policy(type="data", name="bedrock")
        search.create_access_policy(type="data", name="bedrock", policy=json.dumps(document))

    admit("aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument")
    fields = {"vector": {"type": "knn_vector", "dimension": 1024}}
    search.create_index(id=made["id"], indexName="tenant", indexSchema={"mappings": {"properties": fields}})
    mapping = {"vectorField": "vector", "textField": "text", "metadataField": "metadata"}
    settings = {"collectionArn": made["arn"], "vectorIndexName": "tenant", "fieldMapping": mapping}
    storage = {"type": "OPENSEARCH_SERVERLESS", "opensearchServerlessConfiguration": settings}
    request = bench.knowledge_base_request("tenant", "") | {"storageConfiguration": storage}
    base = bench.agent.create_knowledge_base(**request)["knowledgeBase"]["knowledgeBaseId"]
    bench.clock.advance(90)
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    admit("aoss:DescribeIndex", "aoss:ReadDocument")
    assert "security_exception" in bench.sync(base, source)["failureReasons"][0]
    admit("aoss:*")
    assert bench.sync(base, source)["status"] == "COMPLETE"
    assert bench.retrieved(base, "leave")
    admit("aoss:WriteDocument")
    with pytest.raises(ClientError, match="security_exception"):
        bench.retrieved(base, "leave")
    admit("aoss:*")
    authority.refused = {("aoss:APIAccessAll", made["arn"])}
    with pytest.raises(ClientError, match="security_exception"):
        bench.retrieved(base, "leave")


@fact("IAM agrees with itself late: a role made seconds ago can't be assumed yet", "R")
@pytest.mark.parametrize("way", ["role_propagation", "fault"])
def test_a_role_just_made_can_not_be_assumed(workbench_of: Any, way: str) -> None:
    bench = workbench_of(role_propagation=20.0 if way == "role_propagation" else 0.0)
    if way == "fault":
        bench.emulator.faults.add({"effect": "new_role_not_assumable", "seconds": 20})
    assert bench.create("old")
    bench.emulator.role_made(ROLE)
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    for _ in range(2):
        with pytest.raises(ClientError, match="unable to assume the given role"):
            bench.agent.create_knowledge_base(**request)
        bench.clock.advance(9)
    other = {**request, "name": "other", "roleArn": ROLE.replace("knowledge-base", "other")}
    assert bench.agent.create_knowledge_base(**other)
    bench.clock.advance(2)
    assert bench.agent.create_knowledge_base(**request)


@fact("a role made anew under its name is new", "I")
def test_a_role_made_anew_is_late_again(workbench_of: Any) -> None:
    bench = workbench_of()
    bench.emulator.faults.add({"effect": "new_role_not_assumable", "seconds": 20})
    base = bench.knowledge_base()
    bench.emulator.role_made(ROLE)
    with pytest.raises(ClientError, match="unable to assume the given role"):
        bench.retrieved(base, "leave")
    bench.clock.advance(20)
    assert bench.retrieved(base, "leave") == []


@fact("a trust policy with another knowledge base's aws:SourceArn does not let Bedrock assume the role", "D")
def test_trust_narrowed_to_another_knowledge_base(workbench_of: Any) -> None:
    iam = boto3.client("iam")
    bench = workbench_of(authority=IamRoles(iam))

    def trust(**condition: dict[str, str]) -> str:
        principal = {"Service": "bedrock.amazonaws.com"}
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, "Condition": condition}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    any_base = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base/*"
    iam.create_role(
        RoleName="knowledge-base",
        Path="/service-role/",
        AssumeRolePolicyDocument=trust(ArnLike={"aws:SourceArn": any_base}),
    )
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="knowledge-base", PolicyName="all", PolicyDocument=json.dumps(everything))
    base = bench.knowledge_base()
    for condition, assumable in (
        ({"ArnLike": {"aws:SourceArn": any_base.replace("*", base)}}, True),
        ({"StringEquals": {"AWS:SourceArn": any_base.replace("*", base)}}, True),
        ({"StringEquals": {"aws:SourceArn": any_base}}, False),
        ({"ArnEquals": {"aws:SourceArn": any_base.replace("*", "OTHER00000")}}, False),
        ({"StringEquals": {"aws:SourceAccount": "111111111111"}}, False),
    ):
        iam.update_assume_role_policy(RoleName="knowledge-base", PolicyDocument=trust(**condition))
        if assumable:
            assert bench.retrieved(base, "leave") == []
        else:
            with pytest.raises(ClientError, match="unable to assume the given role"):
                bench.retrieved(base, "leave")
