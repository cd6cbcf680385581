"""What is known of the service role of a knowledge base, shown of the emulator."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import IamRoles

fact = pytest.mark.fact

ROLE = "arn:aws:iam::000000000000:role/service-role/knowledge-base"
NAME = "knowledge-base"


@pytest.fixture
def bench(workbench_of: Any) -> Any:
    """A workbench that checks roles."""
    return workbench_of(authority=IamRoles(boto3.client("iam")))


def role(bench: Any, *allowed: str, principal: str = "bedrock.amazonaws.com", account: str = "000000000000") -> None:
    """The role, with a policy that allows these actions on everything."""
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": principal},
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    bench.client("iam").create_role(RoleName=NAME, Path="/service-role/", AssumeRolePolicyDocument=document)
    allow(bench, *allowed)


def allow(bench: Any, *actions: str, effect: str = "Allow", policy: str = "store") -> None:
    """An inline policy."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    bench.client("iam").put_role_policy(
        RoleName=NAME, PolicyName=policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )


STORE = ("s3vectors:GetIndex", "s3vectors:QueryVectors", "s3vectors:PutVectors")
REST = ("bedrock:InvokeModel", "s3:ListBucket", "s3:GetObject")


@fact("a role that does not exist, or does not trust bedrock.amazonaws.com for the account, can't be assumed", "D")
@pytest.mark.parametrize(
    "trust",
    [None, {"principal": "lambda.amazonaws.com"}, {"account": "111111111111"}],
    ids=["none", "other", "account"],
)
def test_a_role_must_trust_bedrock(bench: Any, trust: dict[str, str] | None) -> None:
    if trust is not None:
        role(bench, "*", **trust)
    with pytest.raises(ClientError, match="Bedrock Knowledge Base was unable to assume the given role"):
        bench.create("tenant")


@fact('"unable to assume the given role" also masks missing s3vectors permissions', "R")
def test_missing_permissions_on_the_store_are_masked(bench: Any) -> None:
    role(bench, "s3vectors:GetIndex")
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    with pytest.raises(ClientError, match="unable to assume the given role"):
        bench.agent.create_knowledge_base(**request)
    allow(bench, *STORE)
    assert bench.agent.create_knowledge_base(**request)


@fact("embedding model not callable: at StartIngestionJob, 400 `Knowledge base role {arn} is not able to call …`", "R")
def test_a_missing_model_permission_shows_when_a_job_is_started(bench: Any) -> None:
    role(bench, *STORE)
    base = bench.knowledge_base()
    source = bench.data_source(base)
    with pytest.raises(
        ClientError, match=f"Knowledge base role {ROLE} is not able to call specified bedrock embedding model"
    ):
        bench.start(base, source)
    allow(bench, *STORE, *REST)
    assert bench.sync(base, source)["status"] == "COMPLETE"


@fact("the role needs s3:ListBucket and s3:GetObject on the bucket", "D")
def test_a_job_needs_permission_to_read_the_bucket(bench: Any) -> None:
    role(bench, *STORE, "bedrock:InvokeModel", "s3:ListBucket")
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave."})
    ended = bench.sync(base, source)
    assert ended["status"] == "FAILED"
    assert "s3:GetObject" in ended["failureReasons"][0]


@fact("a missing s3vectors:DeleteVectors fails only the second sync", "R")
def test_a_missing_delete_permission_shows_in_the_second_sync(bench: Any) -> None:
    role(bench, *STORE, *REST)
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave."})
    assert bench.sync(base, source)["status"] == "COMPLETE"
    bench.put("documents", **{"leave.txt": "Paid leave, changed."})
    ended = bench.sync(base, source)
    assert ended["status"] == "FAILED"
    assert "s3vectors:DeleteVectors" in ended["failureReasons"][0]


@fact("an explicit Deny wins; managed policies count as inline ones do", "D")
def test_a_deny_wins_over_an_attached_policy(bench: Any) -> None:
    role(bench, "s3:GetObject")
    statement = {"Effect": "Allow", "Action": "s3vectors:*", "Resource": "arn:aws:s3vectors:*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = bench.client("iam").create_policy(PolicyName="vectors", PolicyDocument=document)["Policy"]["Arn"]
    bench.client("iam").attach_role_policy(RoleName=NAME, PolicyArn=arn)
    assert bench.create("tenant")
    allow(bench, "s3vectors:PutVectors", effect="Deny", policy="deny")
    with pytest.raises(ClientError, match="unable to assume the given role"):
        bench.create("other")


@fact("delete when a permission or the role itself is gone: DELETE_UNSUCCESSFUL, too", "R")
@pytest.mark.parametrize("role_gone", [False, True], ids=["permission", "role"])
def test_a_data_source_is_not_deleted_without_permission(bench: Any, role_gone: bool) -> None:
    role(bench, *STORE, *REST)
    base = bench.knowledge_base()
    source = bench.data_source(base)
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    if role_gone:
        bench.client("iam").delete_role_policy(RoleName=NAME, PolicyName="store")
        bench.client("iam").delete_role(RoleName=NAME)
    bench.agent.delete_data_source(**names)
    bench.clock.advance(60)
    found = bench.agent.get_data_source(**names)["dataSource"]
    assert found["status"] == "DELETE_UNSUCCESSFUL"
    assert found["failureReasons"][0].startswith(
        f"Unable to delete data from vector store for data source with ID {source}."
    )
    if not role_gone:
        allow(bench, *STORE, "s3vectors:DeleteVectors")
        bench.agent.delete_data_source(**names)
        bench.clock.advance(60)
        assert bench.agent.list_data_sources(knowledgeBaseId=base)["dataSourceSummaries"] == []


@fact("for OpenSearch Serverless the role needs aoss:APIAccessAll beside the data access policy", "D")
def test_a_role_needs_access_to_the_collection(bench: Any) -> None:
    role(bench, *REST)
    search = bench.client("opensearchserverless")
    rules = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/*"]}], "AWSOwnedKey": True}
    search.create_security_policy(type="encryption", name="all", policy=json.dumps(rules))
    made = search.create_collection(name="tenants", type="VECTORSEARCH")["createCollectionDetail"]
    bench.clock.advance(200)
    admitted = [{"Rules": [{"ResourceType": "index", "Resource": ["index/*/*"]}], "Principal": [ROLE]}]
    search.create_access_policy(type="data", name="bedrock", policy=json.dumps(admitted))
    fields = {"vector": {"type": "knn_vector", "dimension": 1024}}
    search.create_index(id=made["id"], indexName="tenant", indexSchema={"mappings": {"properties": fields}})
    names = {"vectorField": "vector", "textField": "text", "metadataField": "metadata"}
    settings = {"collectionArn": made["arn"], "vectorIndexName": "tenant", "fieldMapping": names}
    request = bench.knowledge_base_request("tenant", "") | {
        "storageConfiguration": {"type": "OPENSEARCH_SERVERLESS", "opensearchServerlessConfiguration": settings}
    }
    with pytest.raises(ClientError, match=r"security_exception\] 403 Forbidden"):
        bench.agent.create_knowledge_base(**request)
    allow(bench, *REST, "aoss:APIAccessAll")
    assert bench.agent.create_knowledge_base(**request)
