"""Requests as the utilities of AWS's samples make them, written here: all of them are answered, or refused by name.

After ``knowledge_base.py`` and ``managed_knowledge_base.py`` of aws-samples/amazon-bedrock-samples, in the order in
which those send them. The index is made by OpenSearch's own client there, whose data plane is not emulated; here it is
made by the control plane.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Request
from emulator_support.workbench import NOVA, REGION, ROLE, TITAN

COLLECTION, INDEX, FIELDS = "sample-rag", "sample-rag-index", ("vector", "text", "text-metadata")
ENDED = ("COMPLETE", "FAILED", "STOPPED")
CHUNKINGS: dict[str, dict[str, Any]] = {
    "NONE": {},
    "FIXED_SIZE": {"fixedSizeChunkingConfiguration": {"maxTokens": 300, "overlapPercentage": 20}},
    "HIERARCHICAL": {
        "hierarchicalChunkingConfiguration": {
            "levelConfigurations": [{"maxTokens": 1500}, {"maxTokens": 300}],
            "overlapTokens": 60,
        }
    },
    "SEMANTIC": {
        "semanticChunkingConfiguration": {"maxTokens": 300, "bufferSize": 1, "breakpointPercentileThreshold": 95}
    },
}
HANDBOOK = "Paid leave is twenty days a year. The canteen opens at noon. Keys are left at the desk."


def stored(bench: Any) -> dict[str, Any]:
    """The storageConfiguration of a collection with its three policies and its index, made as the sample makes them."""
    client, resource = bench.client("opensearchserverless"), [f"collection/{COLLECTION}"]
    of_collection = {"Rules": [{"Resource": resource, "ResourceType": "collection"}]}
    encryption, network = {**of_collection, "AWSOwnedKey": True}, [{**of_collection, "AllowFromPublic": True}]
    access = [
        {
            "Rules": [
                {
                    "Resource": resource,
                    "Permission": [
                        f"aoss:{verb}CollectionItems" for verb in ("Create", "Delete", "Update", "Describe")
                    ],
                    "ResourceType": "collection",
                },
                {
                    "Resource": [f"index/{COLLECTION}/*"],
                    "Permission": [
                        *(f"aoss:{verb}Index" for verb in ("Create", "Delete", "Update", "Describe")),
                        "aoss:ReadDocument",
                        "aoss:WriteDocument",
                    ],
                    "ResourceType": "index",
                },
            ],
            "Principal": ["arn:aws:iam::000000000000:user/somebody", ROLE],
            "Description": "Easy data policy",
        }
    ]
    client.create_security_policy(name="sample-sp", type="encryption", policy=json.dumps(encryption))
    client.create_security_policy(name="sample-np", type="network", policy=json.dumps(network))
    client.create_access_policy(name="sample-ap", type="data", policy=json.dumps(access))
    made = client.create_collection(name=COLLECTION, type="VECTORSEARCH")["createCollectionDetail"]
    while client.batch_get_collection(names=[COLLECTION])["collectionDetails"][0]["status"] == "CREATING":
        bench.clock.advance(30)
    vector, text, metadata = FIELDS
    method = {"name": "hnsw", "engine": "faiss", "space_type": "l2"}
    schema = {
        "settings": {
            "index.knn": "true",
            "number_of_shards": 1,
            "knn.algo_param.ef_search": 512,
            "number_of_replicas": 0,
        },
        "mappings": {
            "properties": {
                vector: {"type": "knn_vector", "dimension": 1024, "method": method},
                text: {"type": "text"},
                metadata: {"type": "text"},
            }
        },
    }
    client.create_index(id=made["id"], indexName=INDEX, indexSchema=schema)
    bench.clock.advance(60)
    return {
        "type": "OPENSEARCH_SERVERLESS",
        "opensearchServerlessConfiguration": {
            "collectionArn": made["arn"],
            "vectorIndexName": INDEX,
            "fieldMapping": {"vectorField": vector, "textField": text, "metadataField": metadata},
        },
    }


def made(bench: Any, storage: dict[str, Any], **more: Any) -> str:
    """The knowledge base; where there is one of that name, that one, as the sample finds it."""
    configuration = {"embeddingModelArn": TITAN, **more}
    try:
        base = bench.agent.create_knowledge_base(
            name="sample",
            description="Sample",
            roleArn=ROLE,
            knowledgeBaseConfiguration={"type": "VECTOR", "vectorKnowledgeBaseConfiguration": configuration},
            storageConfiguration=storage,
        )["knowledgeBase"]
    except bench.agent.exceptions.ConflictException:
        listed = bench.agent.list_knowledge_bases(maxResults=100)["knowledgeBaseSummaries"]
        (found,) = (each["knowledgeBaseId"] for each in listed if each["name"] == "sample")
        base = bench.agent.get_knowledge_base(knowledgeBaseId=found)["knowledgeBase"]
    bench.clock.advance(90)
    return str(base["knowledgeBaseId"])


def source_of(bench: Any, base: str, configuration: dict[str, Any], name: str = "s3", **ingestion: Any) -> str:
    made = bench.agent.create_data_source(
        name=f"{base}-{name}",
        description="Sample",
        knowledgeBaseId=base,
        dataSourceConfiguration=configuration,
        vectorIngestionConfiguration={"chunkingConfiguration": {"chunkingStrategy": "NONE"}, **ingestion},
    )
    return str(made["dataSource"]["dataSourceId"])


def ingested(bench: Any, base: str, source: str) -> dict[str, Any]:
    """The job, asked for until it has ended."""
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    job: dict[str, Any] = bench.agent.start_ingestion_job(**names)["ingestionJob"]
    for _ in range(100):
        if job["status"] in ENDED:
            return job
        bench.clock.advance(10)
        job = bench.agent.get_ingestion_job(**names, ingestionJobId=job["ingestionJobId"])["ingestionJob"]
    raise AssertionError(job)


def put_handbook(bench: Any) -> dict[str, Any]:
    bench.s3.create_bucket(Bucket="sample-documents")
    bench.put("sample-documents", **{"handbook.txt": HANDBOOK})
    return {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::sample-documents"}}


def test_a_knowledge_base_lives_as_in_the_sample(bench: Any) -> None:
    storage, documents = stored(bench), put_handbook(bench)
    base = made(bench, storage)
    assert made(bench, storage) == base
    sources = []
    for strategy, settings in CHUNKINGS.items():
        chunking = {"chunkingStrategy": strategy, **settings}
        name = strategy.lower().replace("_", "-")
        sources.append(source_of(bench, base, documents, name, chunkingConfiguration=chunking))
        ended = ingested(bench, base, sources[-1])
        assert (ended["status"], ended["statistics"]["numberOfNewDocumentsIndexed"]) == ("COMPLETE", 1), strategy
        bench.clock.advance(40)
    search = {
        "numberOfResults": 5,
        "overrideSearchType": "HYBRID",
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {
                "modelConfiguration": {"modelArn": f"arn:aws:bedrock:{REGION}::foundation-model/cohere.rerank-v3-5:0"}
            },
        },
    }
    (best, *_) = bench.retrieved(base, "How many days of paid leave are there?", **search)
    assert "twenty days" in best["content"]["text"]
    answered = bench.ask(base, "How many days of paid leave are there?", NOVA)
    assert "twenty days" in answered["output"]["text"]
    for source in sources:
        bench.agent.delete_data_source(dataSourceId=source, knowledgeBaseId=base)
    bench.clock.advance(60)
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(60)
    with pytest.raises(bench.agent.exceptions.ResourceNotFoundException):
        bench.agent.get_knowledge_base(knowledgeBaseId=base)
    client = bench.client("opensearchserverless")
    client.delete_collection(id=storage["opensearchServerlessConfiguration"]["collectionArn"].rpartition("/")[2])
    client.delete_access_policy(type="data", name="sample-ap")
    client.delete_security_policy(type="network", name="sample-np")
    client.delete_security_policy(type="encryption", name="sample-sp")


def test_who_deletes_the_collection_first_is_left_with_the_knowledge_base(bench: Any) -> None:
    """As the sample does it."""
    storage, documents = stored(bench), put_handbook(bench)
    base = made(bench, storage)
    source = source_of(bench, base, documents)
    collection = storage["opensearchServerlessConfiguration"]["collectionArn"].rpartition("/")[2]
    bench.client("opensearchserverless").delete_collection(id=collection)
    bench.clock.advance(300)
    bench.agent.delete_data_source(dataSourceId=source, knowledgeBaseId=base)
    bench.clock.advance(60)
    found = bench.agent.get_data_source(dataSourceId=source, knowledgeBaseId=base)["dataSource"]
    assert found["status"] == "DELETE_UNSUCCESSFUL"
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(60)
    left = bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]
    assert left["status"] == "DELETE_UNSUCCESSFUL"


def test_a_conflict_is_how_the_sample_finds_what_is_there(bench: Any) -> None:
    stored(bench)
    client = bench.client("opensearchserverless")
    policies: dict[str, Any] = {
        "encryption": {"Rules": [{"Resource": ["collection/x"], "ResourceType": "collection"}], "AWSOwnedKey": True}
    }
    with pytest.raises(client.exceptions.ConflictException):
        client.create_security_policy(name="sample-sp", type="encryption", policy=json.dumps(policies["encryption"]))
    assert client.get_security_policy(name="sample-sp", type="encryption")["securityPolicyDetail"]["policy"]
    assert client.get_access_policy(name="sample-ap", type="data")["accessPolicyDetail"]["policy"]
    with pytest.raises(client.exceptions.ConflictException):
        client.create_collection(name=COLLECTION, type="VECTORSEARCH")


TRANSFORMED = {
    "customTransformationConfiguration": {
        "intermediateStorage": {"s3Location": {"uri": "s3://sample-intermediate/"}},
        "transformations": [
            {
                "transformationFunction": {
                    "transformationLambdaConfiguration": {
                        "lambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:sample"
                    }
                },
                "stepToApply": "POST_CHUNKING",
            }
        ],
    }
}
SEEN = {
    "parsingConfiguration": {
        "bedrockFoundationModelConfiguration": {"parsingModality": "MULTIMODAL", "modelArn": NOVA},
        "parsingStrategy": "BEDROCK_FOUNDATION_MODEL",
    }
}
AUTOMATED = {
    "parsingConfiguration": {
        "bedrockDataAutomationConfiguration": {"parsingModality": "MULTIMODAL"},
        "parsingStrategy": "BEDROCK_DATA_AUTOMATION",
    }
}
CRAWLER = {
    "webConfiguration": {
        "sourceConfiguration": {"urlConfiguration": {"seedUrls": [{"url": "https://example.com"}]}},
        "crawlerConfiguration": {
            "crawlerLimits": {"rateLimit": 50},
            "scope": "HOST_ONLY",
            "inclusionFilters": [".*"],
            "exclusionFilters": [".*private.*"],
        },
    },
    "type": "WEB",
}


@pytest.mark.parametrize(
    ("ingestion", "named"),
    [
        (TRANSFORMED, "customTransformationConfiguration"),
        (SEEN, r"bedrockFoundationModelConfiguration\.parsingModality"),
        (AUTOMATED, r"parsingConfiguration\.bedrockDataAutomationConfiguration"),
    ],
    ids=["custom chunking", "multimodal model", "data automation"],
)
def test_what_the_sample_can_be_told_to_ask_for_is_refused_by_name(
    bench: Any, ingestion: dict[str, Any], named: str
) -> None:
    base, documents = bench.knowledge_base(), put_handbook(bench)
    with pytest.raises(ClientError, match=f"{named} is not emulated"):
        source_of(bench, base, documents, **ingestion)


def test_other_sources_and_stores_of_the_sample_are_refused_by_name(bench: Any) -> None:
    with pytest.raises(ClientError, match=r"dataSourceConfiguration\.webConfiguration is not emulated"):
        source_of(bench, bench.knowledge_base(), CRAWLER, "web")
    kept = {"storageLocations": [{"s3Location": {"uri": "s3://sample-intermediate"}, "type": "S3"}]}
    with pytest.raises(ClientError, match="supplementalDataStorageConfiguration is not emulated"):
        made(bench, stored(bench), supplementalDataStorageConfiguration=kept)
    # The index itself, as OpenSearch's client would make it.
    assert bench.emulator.answer(Request("PUT", f"/{INDEX}", body=b"{}")).status == 501


def test_a_managed_knowledge_base_lives_as_in_the_sample(bench: Any) -> None:
    request = {
        "name": "managed-sample",
        "description": "Managed Knowledge Base",
        "roleArn": ROLE,
        "knowledgeBaseConfiguration": {"type": "MANAGED", "managedKnowledgeBaseConfiguration": {}},
    }
    base = bench.agent.create_knowledge_base(**request)["knowledgeBase"]["knowledgeBaseId"]
    with pytest.raises(bench.agent.exceptions.ConflictException):
        bench.agent.create_knowledge_base(**request)
    listed = bench.agent.list_knowledge_bases(maxResults=100)["knowledgeBaseSummaries"]
    assert [each["knowledgeBaseId"] for each in listed if each["name"] == "managed-sample"] == [base]
    bench.clock.advance(130)
    put_handbook(bench)
    bench.put("sample-documents", **{"private/keys.txt": "The keys are in the safe."})
    connector = {
        "deletionProtectionConfiguration": {"deletionProtectionStatus": "ENABLED", "deletionProtectionThreshold": 50},
        "connectorParameters": {
            "type": "S3",
            "version": "1",
            "connectionConfiguration": {"bucketName": "sample-documents", "bucketOwnerAccountId": "000000000000"},
            "filterConfiguration": {"inclusionPrefixes": ["hand"]},
        },
    }
    source = bench.agent.create_data_source(
        knowledgeBaseId=base,
        name="documents",
        dataDeletionPolicy="DELETE",
        dataSourceConfiguration={
            "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
            "managedKnowledgeBaseConnectorConfiguration": connector,
        },
        vectorIngestionConfiguration={"parsingConfiguration": {"parsingStrategy": "SMART_PARSING"}},
    )["dataSource"]["dataSourceId"]
    bench.clock.advance(300)
    ended = ingested(bench, base, source)
    assert (ended["status"], ended["statistics"]["numberOfNewDocumentsIndexed"]) == ("COMPLETE", 1)
    found = bench.runtime.retrieve(
        knowledgeBaseId=base,
        retrievalQuery={"text": "paid leave"},
        retrievalConfiguration={"managedSearchConfiguration": {"numberOfResults": 3}},
    )["retrievalResults"]
    assert ["twenty days" in each["content"]["text"] for each in found] == [True]
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(60)
    assert bench.agent.list_knowledge_bases(maxResults=100)["knowledgeBaseSummaries"] == []


def test_an_index_of_kendra_is_refused_by_name(bench: Any) -> None:
    """What the sample called managed before there were knowledge bases of type MANAGED."""
    kendra = {"kendraIndexArn": "arn:aws:kendra:us-east-1:000000000000:index/12345678-1234-1234-1234-123456789012"}
    with pytest.raises(ClientError, match=r"knowledgeBaseConfiguration\.(type KENDRA|kendra\w+) is not emulated"):
        bench.agent.create_knowledge_base(
            name="managed-sample",
            roleArn=ROLE,
            knowledgeBaseConfiguration={"type": "KENDRA", "kendraKnowledgeBaseConfiguration": kendra},
        )
