"""The emulator served over HTTP, on a clock that runs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from bedrock_emulator import Emulator
from bedrock_emulator.server import command, served
from emulator_support.console_script import Started, started_emulator
from emulator_support.waiting import until


@pytest.fixture
def serving() -> Iterator[tuple[str, Emulator]]:
    """A server's address and its emulator, a thousand times as fast as the service."""
    emulator = Emulator(speed=1_000, embedder="character")
    with served(emulator) as address:
        yield address, emulator


def client(service: str, address: str) -> Any:
    """A client without retries."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=address, config=config, **keys)  # type: ignore[call-overload]  # the service is not a literal here


def test_services_are_told_apart_by_signature_and_path(serving: tuple[str, Emulator]) -> None:
    address, emulator = serving
    vectors, agent = client("s3vectors", address), client("bedrock-agent", address)
    vectors.create_vector_bucket(vectorBucketName="vectors")
    arn = vectors.create_index(
        vectorBucketName="vectors", indexName="tenant", dataType="float32", dimension=1024, distanceMetric="cosine"
    )["indexArn"]
    made = agent.create_knowledge_base(
        name="tenant",
        roleArn="arn:aws:iam::000000000000:role/bedrock",
        knowledgeBaseConfiguration={
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {
                "embeddingModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
            },
        },
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": arn}},
        tags={"tenant": "acme"},
    )["knowledgeBase"]
    assert agent.list_tags_for_resource(resourceArn=made["knowledgeBaseArn"])["tags"] == {"tenant": "acme"}
    knowledge_base = made["knowledgeBaseId"]
    until(lambda: agent.get_knowledge_base(knowledgeBaseId=knowledge_base)["knowledgeBase"]["status"] == "ACTIVE")
    found = client("bedrock-agent-runtime", address).retrieve(
        knowledgeBaseId=made["knowledgeBaseId"], retrievalQuery={"text": "leave"}
    )
    assert found["retrievalResults"] == []
    assert {call["service"] for call in emulator.calls} == {"s3vectors", "bedrock-agent", "bedrock-agent-runtime"}


def test_a_broken_connection_breaks_on_the_wire(serving: tuple[str, Emulator]) -> None:
    address, emulator = serving
    emulator.faults.add({"operation": "ListKnowledgeBases", "effect": "broken_after_effect", "count": 1})
    agent = client("bedrock-agent", address)
    with pytest.raises(ConnectionClosedError):
        agent.list_knowledge_bases()
    assert agent.list_knowledge_bases()["knowledgeBaseSummaries"] == []


def test_a_service_of_xml_is_told_in_xml_that_it_is_not_emulated(serving: tuple[str, Emulator]) -> None:
    with pytest.raises(ClientError, match=r"NotEmulatedException.*service sts.* is not emulated") as caught:
        client("sts", serving[0]).get_caller_identity()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_latency_is_felt(serving: tuple[str, Emulator]) -> None:
    address, emulator = serving
    emulator.faults.add({"operation": "ListKnowledgeBases", "effect": "latency", "seconds": 200, "count": 1})
    agent = client("bedrock-agent", address)
    began = time.monotonic()
    agent.list_knowledge_bases()
    assert time.monotonic() - began >= 0.2


def test_faults_are_ordered_over_http(serving: tuple[str, Emulator]) -> None:
    address, emulator = serving
    body = json.dumps({"effect": "job_hangs"}).encode()
    with urlopen(Request(f"{address}/_emulator/faults", data=body, method="POST")) as response:  # noqa: S310 - loopback
        assert response.status == 201
    assert len(emulator.faults.listed()) == 1


def test_the_command_begins_with_the_faults_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = tmp_path / "faults.json"
    orders.write_text(json.dumps([{"effect": "job_hangs"}, {"effect": "job_fails", "failureReasons": ["x"]}]))
    begun: list[tuple[int, Emulator]] = []
    monkeypatch.setattr("bedrock_emulator.server.serve", lambda port, emulator: begun.append((port, emulator)))
    command(port=1234, speed=60.0, faults=orders, state=None)
    ((port, emulator),) = begun
    assert port == 1234
    assert [fault["effect"] for fault in emulator.faults.listed()] == ["job_hangs", "job_fails"]


JSON = b"content-type: application/json\r\n"
RAW = [
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /%ff%fe%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /\xe3\x81\x82 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /knowledgebases/?x=\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /knowledgebases/%ED%A0%80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET //////////// HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET http://elsewhere/knowledgebases HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"BREW /knowledgebases HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    b"POST /knowledgebases/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: -1\r\n\r\n",
    b"POST /knowledgebases/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{}",
    b"POST /knowledgebases/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    b"zz\r\n{}\r\n0\r\n\r\n",
    b"POST /knowledgebases/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    + JSON
    + b"content-length: 4\r\n\r\n\xff\xfe\x00{",
    b"POST /_emulator/faults HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + JSON + b"content-length: 2\r\n\r\n[[",
    b"GET /_emulator/../../etc HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started_emulator(tmp_path_factory.mktemp("emulator") / "said") as started:
        yield started


@pytest.mark.parametrize("sent", RAW, ids=lambda sent: repr(sent[:24]))
def test_what_is_no_request_does_no_harm(started: Started, sent: bytes) -> None:
    before = len(started.said.read_text())
    with socket.create_connection(("127.0.0.1", started.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += piece
    assert not received.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), received[:200]
    assert started.answers()
    assert "Traceback" not in started.said.read_text()[before:]
