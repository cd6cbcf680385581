"""Requests that no well-behaved client sends are refused as a service refuses them, at once and without effect."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Emulator, Request, Response
from bedrock_emulator.wire.errors import ServiceError
from bedrock_emulator.wire.protocol import SERVICES, protocol


def post(emulator: Emulator, path: str, body: bytes, method: str = "POST") -> tuple[int, str]:
    """The HTTP status and error code of a request to bedrock-agent."""
    return told(emulator.handle("bedrock-agent", Request(method, path, body=body)))


def told(response: Response) -> tuple[int, str]:
    return response.status, response.headers.get("x-amzn-ErrorType", "")


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"filters":' * 900 + b"1" + b"}" * 900,
        b'{"maxResults": NaN}',
        b'{"maxResults": 1e999}',
        b'{"nextToken": "\\ud800"}',
        b'{"nextToken": "\xff"}',
        b'{"maxResults": ' + b"9" * 5_000 + b"}",
        b"[]",
        b"null",
    ],
    ids=lambda body: body[:20],
)
def test_a_body_that_is_no_sound_json_object_is_refused(bench: Any, body: bytes) -> None:
    assert post(bench.emulator, "/knowledgebases/", body) == (400, "SerializationException")


def test_a_document_nested_without_end_is_refused(bench: Any) -> None:
    deep: Any = "leave"
    for _ in range(200):
        deep = {"andAll": [deep, deep]} if deep == "leave" else {"andAll": [deep]}
    search = {"vectorSearchConfiguration": {"filter": deep}}
    body = json.dumps({"retrievalQuery": {"text": "leave"}, "retrievalConfiguration": search}).encode()
    request = Request("POST", f"/knowledgebases/{bench.knowledge_base()}/retrieve", body=body)
    assert told(bench.emulator.handle("bedrock-agent-runtime", request)) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("service", "request_"),
    [
        ("bedrock-runtime", Request("GET", "/async-invoke", "submitTimeAfter=yesterday")),
        (
            "bedrock-agent-runtime",
            Request("PUT", "/sessions/A1B2C3D4E5/invocationSteps", body=b'{"invocationStepTime": [1]}'),
        ),
    ],
)
def test_a_time_that_is_none_is_refused(service: str, request_: Request) -> None:
    spoken = protocol(service)  # no operation that is emulated takes a time
    route = spoken.route(request_)
    assert route is not None
    with pytest.raises(ServiceError, match="SerializationException"):
        spoken.parse(route, request_)


# Long values and paths: answered at once


@pytest.mark.parametrize("text", ["a" * 60_000 + "!", "a-" * 30_000 + "!", "arn:aws:" * 8_000 + "!"])
def test_a_long_value_is_judged_at_once(bench: Any, text: str) -> None:
    names = {"mongoDbAtlasConfiguration": {"endpointServiceName": text, "endpoint": text}}
    began = time.monotonic()
    body = json.dumps({"name": text, "roleArn": text, "clientToken": text, "storageConfiguration": names}).encode()
    assert post(bench.emulator, "/knowledgebases/", body, "PUT") == (400, "ValidationException")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("service", SERVICES)
def test_a_long_path_is_routed_at_once(bench: Any, service: str) -> None:
    began = time.monotonic()
    for piece in ("/knowledgebases/a/datasources/a/ingestionjobs/a", "/agents/a/agentversions/a", "/datasources"):
        request = Request("GET", "/knowledgebases" + piece * 3_000 + "/x", headers={"X-Amz-Target": "x" * 60_000})
        assert bench.emulator.handle(service, request).status in (400, 501)
    assert time.monotonic() - began < 2


# Tokens of pages


@pytest.mark.parametrize("start", ["x", -5, 0, True, None, 1.5, [], {}])
def test_a_forged_next_token_is_refused(bench: Any, start: Any) -> None:
    for number in range(3):
        bench.create(f"tenant-{number}")
    genuine = bench.agent.list_knowledge_bases(maxResults=1)["nextToken"]
    scope, _ = json.loads(base64.urlsafe_b64decode(genuine))
    for content in ([scope, start], start, [scope], {"a": 1, "b": 2}):
        token = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        with pytest.raises(ClientError, match="nextToken is invalid"):
            bench.agent.list_knowledge_bases(nextToken=token)


def test_a_long_question_has_further_pages_too(bench: Any) -> None:
    base, _ = bench.stocked(**{f"{number}.txt": "有給休暇" for number in range(3)})
    question = {"text": "有給休暇は何日ですか。" * 90}
    search = {"vectorSearchConfiguration": {"numberOfResults": 2}}
    given = {"knowledgeBaseId": base, "retrievalQuery": question, "retrievalConfiguration": search}
    first = bench.runtime.retrieve(**given)
    assert len(bench.runtime.retrieve(**given, nextToken=first["nextToken"])["retrievalResults"]) == 1


# Members that the model leaves to the service


@pytest.mark.parametrize(
    "connection", ["bucketName", ["bucketName"], 5, {"bucketName": 5}, {"bucketName": ["a"]}, None]
)
def test_a_connector_must_name_its_bucket(bench: Any, connection: Any) -> None:
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": connection}
    configuration = {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }
    with pytest.raises(ClientError, match=r"bucketName is required"):
        bench.data_source(bench.managed(), configuration=configuration)


def test_a_connector_beside_a_bucket_is_left_alone(bench: Any) -> None:
    """The model takes both; which of them counts, the type says."""
    configuration = {
        "type": "S3",
        "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"},
        "managedKnowledgeBaseConnectorConfiguration": {},
    }
    made = bench.agent.create_data_source(
        knowledgeBaseId=bench.knowledge_base(), name="documents", dataSourceConfiguration=configuration
    )["dataSource"]
    assert made["dataSourceConfiguration"] == configuration


def test_a_connectors_filter_is_an_object(bench: Any) -> None:
    parameters = {
        "type": "S3",
        "version": "1",
        "connectionConfiguration": {"bucketName": "documents"},
        "filterConfiguration": 5,
    }
    configuration = {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }
    with pytest.raises(ClientError, match=r"filterConfiguration is not an object"):
        bench.data_source(bench.managed(), configuration=configuration)


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("encryption", {"Rules": 5}),
        ("encryption", {"Rules": [5]}),
        ("encryption", {"Rules": [{"ResourceType": "collection", "Resource": 5}]}),
        ("encryption", {"Rules": [{"ResourceType": "collection", "Resource": [5]}]}),
        ("network", [5]),
        ("network", [{"Rules": "x"}]),
    ],
)
def test_a_malformed_security_policy_is_refused(bench: Any, kind: str, policy: Any) -> None:
    search = bench.client("opensearchserverless")
    with pytest.raises(ClientError, match="Policy json is invalid"):
        search.create_security_policy(type=kind, name="policy", policy=json.dumps(policy))


@pytest.mark.parametrize("policy", [[{"Rules": [], "Principal": 5}], [{"Rules": [], "Principal": [5]}], [[]]])
def test_a_malformed_access_policy_is_refused(bench: Any, policy: Any) -> None:
    search = bench.client("opensearchserverless")
    with pytest.raises(ClientError, match="Policy json is invalid"):
        search.create_access_policy(type="data", name="policy", policy=json.dumps(policy))


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {"mappings": 5},
        {"mappings": {"properties": []}},
        {"mappings": {"properties": {"vector": "knn_vector"}}},
    ],
)
def test_a_malformed_index_schema_is_refused(bench: Any, schema: Any) -> None:
    search = bench.client("opensearchserverless")
    rules = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/*"]}], "AWSOwnedKey": True}
    search.create_security_policy(type="encryption", name="all", policy=json.dumps(rules))
    made = search.create_collection(name="tenants", type="VECTORSEARCH")["createCollectionDetail"]
    bench.clock.advance(200)
    body = json.dumps({"id": made["id"], "indexName": "tenant", "indexSchema": schema}).encode()
    request = Request("POST", "/", "", {"X-Amz-Target": "OpenSearchServerless.CreateIndex"}, body)
    answered = bench.emulator.handle("opensearchserverless", request)
    assert answered.status == 400
    assert b"ValidationException" in answered.body


def document(**custom: Any) -> dict[str, Any]:
    named = {"customDocumentIdentifier": {"id": "leave"}, **custom}
    return {"content": {"dataSourceType": "CUSTOM", "custom": named}}


@pytest.mark.parametrize(
    "given",
    [
        document(sourceType="IN_LINE"),
        document(sourceType="IN_LINE", inlineContent={"type": "TEXT"}),
        document(sourceType="IN_LINE", inlineContent={"type": "BYTE"}),
        document(sourceType="S3_LOCATION"),
        document(sourceType="IN_LINE", inlineContent={"type": "TEXT", "textContent": {"data": "Leave."}})
        | {"metadata": {"type": "S3_LOCATION"}},
        document(sourceType="IN_LINE", inlineContent={"type": "TEXT", "textContent": {"data": "Leave."}})
        | {"metadata": {"type": "IN_LINE_ATTRIBUTE"}},
    ],
    ids=["no content", "no text", "no bytes", "no location", "no sidecar", "no attributes"],
)
def test_a_document_must_hold_what_its_types_say(bench: Any, given: dict[str, Any]) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, configuration={"type": "CUSTOM"})
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    with pytest.raises(ClientError, match=r"is required for") as caught:
        bench.agent.ingest_knowledge_base_documents(**names, documents=[given])
    assert caught.value.response["Error"]["Code"] == "ValidationException"


# Sidecars


@pytest.mark.parametrize("content", ['{"metadataAttributes": {"year": NaN}}', '{"metadataAttributes":' + "[" * 900])
def test_a_sidecar_that_is_no_sound_json_ignores_its_document_only(bench: Any, content: str) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"a.txt": "Text.", "a.txt.metadata.json": content, "b.txt": "More."})
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE", ended
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1


# Orders of faults


@pytest.mark.parametrize(
    "order",
    [
        5,
        [5],
        {"effect": "latency", "operation": "Retrieve", "seconds": "long"},
        {"effect": "latency", "operation": "Retrieve", "seconds": -1},
        {"effect": "latency", "operation": "Retrieve", "seconds": 1e15},
        {"effect": "job_hangs", "count": "x"},
        {"effect": "job_hangs", "match": 5},
        {"effect": "job_hangs", "probability": 2},
        {"effect": "job_fails", "failureReasons": "reason"},
        {"effect": "error", "operation": "Retrieve", "code": 5, "message": "x"},
        {"effect": []},
    ],
)
def test_a_malformed_fault_is_refused(bench: Any, order: Any) -> None:
    answered = bench.emulator.control(Request("POST", "/_emulator/faults", body=json.dumps(order).encode()))
    assert answered.status == 400
    assert bench.emulator.faults.listed() == []


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff", b'"text"', b"5", b""])
def test_a_malformed_order_to_the_emulator_itself_is_refused(bench: Any, body: bytes) -> None:
    assert bench.emulator.control(Request("POST", "/_emulator/faults", body=body)).status == 400
