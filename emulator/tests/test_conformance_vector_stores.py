"""What is known of S3 Vectors and OpenSearch Serverless as vector stores, shown of the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

fact = pytest.mark.fact

ROLE = "arn:aws:iam::000000000000:role/service-role/knowledge-base"
SCHEMA = {
    "settings": {"index": {"knn": True}},
    "mappings": {
        "properties": {
            "vector": {"type": "knn_vector", "dimension": 1024, "method": {"engine": "faiss", "name": "hnsw"}},
            "text": {"type": "text"},
            "metadata": {"type": "text", "index": False},
        }
    },
}
FIELDS = {"vectorField": "vector", "textField": "text", "metadataField": "metadata"}


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """The HTTP status, code and message of the error that a call is answered."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


# S3 Vectors


@fact(
    "a vector index is made with float32, a dimension, a distance metric and its non-filterable keys, and told so", "M"
)
def test_an_index_tells_what_it_was_made_with(bench: Any) -> None:
    arn = bench.index("tenant")
    found = bench.vectors.get_index(indexArn=arn)["index"]
    assert (found["vectorBucketName"], found["indexName"], found["indexArn"]) == ("vectors", "tenant", arn)
    assert (found["dataType"], found["dimension"], found["distanceMetric"]) == ("float32", 1024, "cosine")
    assert found["metadataConfiguration"] == {
        "nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]
    }


@fact("names are unique: ConflictException is 409, NotFoundException 404", "M")
def test_buckets_and_indexes_conflict_and_are_missed(bench: Any) -> None:
    bench.index("tenant")
    assert refusal(bench.vectors.create_vector_bucket, vectorBucketName="vectors")[:2] == (409, "ConflictException")
    again = {"vectorBucketName": "vectors", "indexName": "tenant", "dataType": "float32"}
    assert refusal(bench.vectors.create_index, **again, dimension=4, distanceMetric="cosine")[0] == 409
    assert refusal(bench.vectors.get_index, vectorBucketName="vectors", indexName="other")[:2] == (
        404,
        "NotFoundException",
    )
    assert refusal(bench.vectors.get_vector_bucket, vectorBucketName="other")[0] == 404


@fact("lists of indexes and vector buckets are paged and take a prefix", "M")
def test_indexes_are_listed_in_pages(bench: Any) -> None:
    for number in range(7):
        bench.index(f"tenant-{number}")
    bench.index("another")
    pages = bench.vectors.get_paginator("list_indexes").paginate(
        vectorBucketName="vectors", prefix="tenant-", PaginationConfig={"PageSize": 3}
    )
    assert [len(page["indexes"]) for page in pages] == [3, 3, 1]
    assert len(bench.vectors.list_vector_buckets()["vectorBuckets"]) == 1


@fact("a vector bucket is deleted only when it is empty", "D")
def test_a_bucket_with_an_index_is_not_deleted(bench: Any) -> None:
    bench.index("tenant")
    assert refusal(bench.vectors.delete_vector_bucket, vectorBucketName="vectors")[1] == "ConflictException"
    bench.vectors.delete_index(vectorBucketName="vectors", indexName="tenant")
    bench.vectors.delete_vector_bucket(vectorBucketName="vectors")
    assert bench.vectors.list_vector_buckets()["vectorBuckets"] == []


@fact("an index's dimension is 1 to 4,096", "M")
def test_a_dimension_has_a_range(bench: Any) -> None:
    bench.vectors.create_vector_bucket(vectorBucketName="vectors")
    members = {"vectorBucketName": "vectors", "indexName": "tenant", "dataType": "float32", "distanceMetric": "cosine"}
    status, code, message = refusal(bench.vectors.create_index, **members, dimension=4_097)
    assert (status, code) == (400, "ValidationException")
    assert "Member must have value less than or equal to 4096" in message


@fact("buckets and indexes can be tagged", "M")
def test_an_index_can_be_tagged(bench: Any) -> None:
    arn = bench.index("tenant", tags={"tenant": "acme"})
    bench.vectors.tag_resource(resourceArn=arn, tags={"tier": "gold"})
    bench.vectors.untag_resource(resourceArn=arn, tagKeys=["tenant"])
    assert bench.vectors.list_tags_for_resource(resourceArn=arn)["tags"] == {"tier": "gold"}


# OpenSearch Serverless


def collection(bench: Any, name: str = "tenants") -> dict[str, Any]:
    """An ACTIVE collection with an encryption policy."""
    client = bench.client("opensearchserverless")
    rules = [{"ResourceType": "collection", "Resource": [f"collection/{name}"]}]
    policy = json.dumps({"Rules": rules, "AWSOwnedKey": True})
    client.create_security_policy(type="encryption", name=name, policy=policy)
    client.create_collection(name=name, type="VECTORSEARCH")
    bench.clock.advance(300)
    (found,) = client.batch_get_collection(names=[name])["collectionDetails"]
    assert found["status"] == "ACTIVE"
    return dict(found)


def admit(bench: Any, role: str = ROLE) -> None:
    """A data access policy for a role on every index."""
    rules = [{"ResourceType": "index", "Resource": ["index/tenants/*"], "Permission": ["aoss:*"]}]
    bench.client("opensearchserverless").create_access_policy(
        type="data", name="tenants", policy=json.dumps([{"Rules": rules, "Principal": [role]}])
    )


def request(bench: Any, found: dict[str, Any], index: str = "tenant") -> dict[str, Any]:
    """The members of CreateKnowledgeBase on a collection."""
    members: dict[str, Any] = bench.knowledge_base_request("tenant", "")
    members["storageConfiguration"] = {
        "type": "OPENSEARCH_SERVERLESS",
        "opensearchServerlessConfiguration": {
            "collectionArn": found["arn"],
            "vectorIndexName": index,
            "fieldMapping": FIELDS,
        },
    }
    return members


@fact("a collection needs an encryption policy that covers its name; it is CREATING for minutes", "D")
def test_a_collection_needs_an_encryption_policy(bench: Any) -> None:
    client = bench.client("opensearchserverless")
    status, code, message = refusal(client.create_collection, name="tenants", type="VECTORSEARCH")
    assert (status, code) == (400, "ValidationException")
    assert "No matching security policy of encryption type" in message
    assert collection(bench)["collectionEndpoint"].startswith("https://")
    assert [found["name"] for found in client.list_collections()["collectionSummaries"]] == ["tenants"]


@fact("an index is created, read, updated and deleted through the control plane", "M")
def test_an_index_lives_in_its_collection(bench: Any) -> None:
    client, identifier = bench.client("opensearchserverless"), collection(bench)["id"]
    client.create_index(id=identifier, indexName="tenant", indexSchema=SCHEMA)
    found = client.get_index(id=identifier, indexName="tenant")["indexSchema"]
    # OpenSearch gives it in milliseconds, as a text.
    assert int(found["settings"]["index"].pop("creation_date")) == int(bench.clock.now() * 1000)
    assert found == SCHEMA
    assert refusal(client.create_index, id=identifier, indexName="tenant")[1] == "ConflictException"
    added = {"mappings": {"properties": {"tenant": {"type": "keyword"}}}}
    client.update_index(id=identifier, indexName="tenant", indexSchema=added)
    assert client.get_index(id=identifier, indexName="tenant")["indexSchema"]["mappings"]["properties"].keys() == {
        "vector",
        "text",
        "metadata",
        "tenant",
    }
    client.delete_index(id=identifier, indexName="tenant")
    assert refusal(client.get_index, id=identifier, indexName="tenant")[1] == "ResourceNotFoundException"


@fact("OpenSearch 403: 400 `…is invalid... Request failed: [security_exception] 403 Forbidden`", "R")
def test_the_role_must_be_named_in_a_data_access_policy(bench: Any) -> None:
    found = collection(bench)
    bench.client("opensearchserverless").create_index(id=found["id"], indexName="tenant", indexSchema=SCHEMA)
    _, code, message = refusal(bench.agent.create_knowledge_base, **request(bench, found))
    assert (code, message) == (
        "ValidationException",
        "The knowledge base storage configuration provided is invalid... "
        "Request failed: [security_exception] 403 Forbidden",
    )
    admit(bench)
    assert bench.agent.create_knowledge_base(**request(bench, found))


@fact("OpenSearch index missing: 400 `…status code: 404, error message: no such index [{idx}]`", "R")
def test_the_index_must_exist(bench: Any) -> None:
    found = collection(bench)
    admit(bench)
    _, _, message = refusal(bench.agent.create_knowledge_base, **request(bench, found))
    assert message == (
        "The knowledge base storage configuration provided is invalid... "
        "Dependency error document status code: 404, error message: no such index [tenant]"
    )


@fact("an OpenSearch index is not seen for seconds after it was created: `no such index [{idx}]`", "R")
def test_a_new_opensearch_index_can_be_invisible_for_seconds(bench: Any) -> None:
    found = collection(bench)
    admit(bench)
    bench.emulator.faults.add({"effect": "index_not_visible", "seconds": 20})
    bench.client("opensearchserverless").create_index(id=found["id"], indexName="tenant", indexSchema=SCHEMA)
    _, _, message = refusal(bench.agent.create_knowledge_base, **request(bench, found))
    assert message.endswith("no such index [tenant]")
    bench.clock.advance(21)
    assert bench.agent.create_knowledge_base(**request(bench, found))


@fact("OpenSearch Serverless searches semantic and hybrid, and knows startsWith and stringContains", "D")
def test_hybrid_search_is_for_opensearch(bench: Any) -> None:
    found = collection(bench)
    admit(bench)
    bench.client("opensearchserverless").create_index(id=found["id"], indexName="tenant", indexSchema=SCHEMA)
    base = bench.agent.create_knowledge_base(**request(bench, found))["knowledgeBase"]["knowledgeBaseId"]
    bench.clock.advance(90)
    source = bench.data_source(base)
    # No limit of 1,024 bytes for sidecars here.
    bench.put(
        "documents", **{"a.txt": "Paid leave.", "a.txt.metadata.json": bench.sidecar(team="hr", note="x" * 2_000)}
    )
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1
    assert len(bench.retrieved(base, "leave", overrideSearchType="HYBRID")) == 1
    for given, count in (
        ({"startsWith": {"key": "team", "value": "h"}}, 1),
        ({"stringContains": {"key": "team", "value": "z"}}, 0),
    ):
        assert len(bench.retrieved(base, "leave", filter=given)) == count


@fact("policies have versions: an update names the present one", "M")
def test_a_policy_is_updated_from_its_version(bench: Any) -> None:
    client = bench.client("opensearchserverless")
    admit(bench)
    found = client.get_access_policy(type="data", name="tenants")["accessPolicyDetail"]
    changed = json.dumps([{"Rules": found["policy"][0]["Rules"], "Principal": [ROLE, f"{ROLE}-2"]}])
    names = {"type": "data", "name": "tenants", "policy": changed}
    bench.clock.advance(1)
    updated = client.update_access_policy(**names, policyVersion=found["policyVersion"])["accessPolicyDetail"]
    assert updated["policy"][0]["Principal"] == [ROLE, f"{ROLE}-2"]
    assert refusal(client.update_access_policy, **names, policyVersion=found["policyVersion"])[1] == "ConflictException"
    assert len(client.list_access_policies(type="data")["accessPolicySummaries"]) == 1
    client.delete_access_policy(type="data", name="tenants")
    assert refusal(client.get_access_policy, type="data", name="tenants")[1] == "ResourceNotFoundException"


def embedded_by(bench: Any, index_arn: str, model: str, **settings: Any) -> dict[str, Any]:
    """The members of CreateKnowledgeBase for an embedding model."""
    configuration: dict[str, Any] = {"embeddingModelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}"}
    if settings:
        configuration["embeddingModelConfiguration"] = {"bedrockEmbeddingModelConfiguration": settings}
    described = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": configuration}
    request: dict[str, Any] = bench.knowledge_base_request("tenant", index_arn, knowledgeBaseConfiguration=described)
    return request


@fact("each embedding model has dimensions of its own, one of them the usual", "D")
@pytest.mark.parametrize(
    ("model", "dimension", "settings"),
    [
        ("amazon.titan-embed-text-v2:0", 1024, {}),
        ("amazon.titan-embed-text-v2:0", 256, {"dimensions": 256}),
        ("amazon.titan-embed-text-v1", 1536, {}),
        ("cohere.embed-multilingual-v3", 1024, {}),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 1024, {}),
    ],
)
def test_an_index_fits_its_embedding_model(bench: Any, model: str, dimension: int, settings: dict[str, Any]) -> None:
    fitting = bench.index("fitting", dimension=dimension)
    other = bench.index("other", dimension=dimension + 1)
    with pytest.raises(ClientError, match=f"has dimension {dimension + 1}"):
        bench.agent.create_knowledge_base(**embedded_by(bench, other, model, **settings))
    assert bench.agent.create_knowledge_base(**embedded_by(bench, fitting, model, **settings))


@fact("a dimension that the embedding model does not have is refused", "I")
@pytest.mark.parametrize(
    ("model", "dimension"),
    [
        ("amazon.titan-embed-text-v2:0", 768),
        ("cohere.embed-english-v3", 512),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 3072),
    ],
)
def test_a_model_has_no_other_dimensions(bench: Any, model: str, dimension: int) -> None:
    arn = bench.index("tenant", dimension=dimension)
    with pytest.raises(ClientError, match=f"makes vectors of dimension .*, not {dimension}"):
        bench.agent.create_knowledge_base(**embedded_by(bench, arn, model, dimensions=dimension))
