"""Whom a request is meant for: its Region, its account, its service, shown of the emulator."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from botocore.config import Config
from botocore.exceptions import ClientError

from bedrock_emulator import Emulator, ManualClock, Request, attach
from bedrock_emulator.server import command
from emulator_support.model_requests import operations, written
from emulator_support.workbench import NON_FILTERABLE, ROLE

fact = pytest.mark.fact

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
TOKYO, OREGON = "ap-northeast-1", "us-west-2"
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def client(emulator: Emulator, service: str, region: str) -> Any:
    config = Config(retries={"total_max_attempts": 1})
    return attach(boto3.client(service, region_name=region, config=config, **KEYS), emulator)  # type: ignore[call-overload]


def signed(region: str, name: str = "bedrock", method: str = "GET", path: str = "/", **headers: str) -> Request:
    scope = f"AWS4-HMAC-SHA256 Credential=AKIA/20260401/{region}/{name}/aws4_request, SignedHeaders=host, Signature=0"
    return Request(method, path, headers={"Authorization": scope, **headers})


def index(emulator: Emulator, region: str) -> str:
    vectors = client(emulator, "s3vectors", region)
    vectors.create_vector_bucket(vectorBucketName="vectors")
    made = vectors.create_index(
        vectorBucketName="vectors",
        indexName="tenant",
        dataType="float32",
        dimension=1024,
        distanceMetric="cosine",
        metadataConfiguration={"nonFilterableMetadataKeys": NON_FILTERABLE},
    )
    return str(made["indexArn"])


def create(emulator: Emulator, region: str, index_arn: str) -> dict[str, Any]:
    model = f"arn:aws:bedrock:{region}::foundation-model/amazon.titan-embed-text-v2:0"
    made: dict[str, Any] = client(emulator, "bedrock-agent", region).create_knowledge_base(
        name="tenant",
        roleArn=ROLE,
        knowledgeBaseConfiguration={
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": model},
        },
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": index_arn}},
    )["knowledgeBase"]
    return made


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(embedder="character", clock=ManualClock(), account="123456789012")


@fact("the Region that a request is signed for has the resources that it makes, and its name stands in their ARNs", "D")
@pytest.mark.parametrize("region", [TOKYO, OREGON, "us-gov-west-1"])
def test_the_signed_region_decides(emulator: Emulator, region: str) -> None:
    arn = index(emulator, region)
    made = create(emulator, region, arn)
    partition = "aws-us-gov" if region.startswith("us-gov") else "aws"
    assert arn == f"arn:{partition}:s3vectors:{region}:123456789012:bucket/vectors/index/tenant"
    assert made["knowledgeBaseArn"] == (
        f"arn:{partition}:bedrock:{region}:123456789012:knowledge-base/{made['knowledgeBaseId']}"
    )


@fact("Regions know nothing of each other: names and quotas are of an account and a Region", "D")
def test_regions_are_apart(emulator: Emulator) -> None:
    made = {region: create(emulator, region, index(emulator, region)) for region in (TOKYO, OREGON)}
    for region, own in made.items():
        agent = client(emulator, "bedrock-agent", region)
        listed = agent.list_knowledge_bases()["knowledgeBaseSummaries"]
        assert [base["knowledgeBaseId"] for base in listed] == [own["knowledgeBaseId"]]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client(emulator, "bedrock-agent", OREGON).get_knowledge_base(knowledgeBaseId=made[TOKYO]["knowledgeBaseId"])
    assert set(emulator.knowledge_base_tags()) == {base["knowledgeBaseArn"] for base in made.values()}


@fact("an index of another Region is not found", "I")
def test_an_index_of_another_region_is_not_found(emulator: Emulator) -> None:
    with pytest.raises(ClientError, match="index could not be found"):
        create(emulator, OREGON, index(emulator, TOKYO))


def test_what_is_not_signed_is_of_the_region_given() -> None:
    emulator = Emulator(embedder="character", region=TOKYO)
    body = json.dumps({"vectorBucketName": "vectors"}).encode()
    answered = emulator.answer(Request("POST", "/CreateVectorBucket", body=body))
    assert json.loads(answered.body)["vectorBucketArn"].startswith(f"arn:aws:s3vectors:{TOKYO}:")


def test_each_region_is_kept(tmp_path: Path) -> None:
    before = Emulator(embedder="character", clock=ManualClock(), state=tmp_path)
    made = [create(before, region, index(before, region))["knowledgeBaseArn"] for region in (TOKYO, OREGON)]
    before.close()
    after = Emulator(embedder="character", clock=ManualClock(), state=tmp_path)
    assert sorted(after.knowledge_base_tags()) == sorted(made)


@fact("a Region that is none: 403 InvalidSignatureException", "R")
@pytest.mark.parametrize("region", ["r", "..", "us-east-1%2F", "US-EAST-1", "us_east_1", "x" * 5_000])
def test_a_region_that_is_none_is_refused(emulator: Emulator, region: str) -> None:
    answered = emulator.answer(signed(region, path="/knowledgebases/A1B2C3D4E5"))
    assert (answered.status, answered.headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")


@fact("each answer has a request id", "D")
@pytest.mark.parametrize(
    "request_",
    [
        signed(TOKYO, path="/knowledgebases/A1B2C3D4E5"),
        signed(TOKYO, method="POST", path="/knowledgebases/"),
        signed(TOKYO, path="/retrievalinstructions/"),
        signed(TOKYO, "s3", path="/bucket"),
        signed("r"),
        Request("GET", "/nothing"),
    ],
    ids=["not found", "listed", "unknown operation", "unknown service", "no Region", "unsigned"],
)
def test_each_answer_has_a_request_id(emulator: Emulator, request_: Request) -> None:
    identifiers = [emulator.answer(request_).headers["x-amzn-requestid"] for _ in range(2)]
    assert all(REQUEST_ID.fullmatch(identifier) for identifier in identifiers)
    assert len(set(identifiers)) == 2


def test_a_client_is_told_the_request_id_that_the_log_of_calls_has(emulator: Emulator) -> None:
    told = client(emulator, "bedrock-agent", TOKYO).list_knowledge_bases()["ResponseMetadata"]["RequestId"]
    (call,) = emulator.calls
    assert (call["requestId"], call["region"]) == (told, TOKYO)


# What is not emulated


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (signed(TOKYO, "bedrock", "POST", "/unheard-of/"), "POST /unheard-of/ of bedrock-agent"),
        (signed(TOKYO, "s3vectors", "POST", "/UnheardOf"), "POST /UnheardOf of s3vectors"),
        (
            signed(TOKYO, "aoss", "POST", **{"X-Amz-Target": "OpenSearchServerless.UnheardOf"}),
            "OpenSearchServerless.UnheardOf of opensearchserverless",
        ),
        (signed(TOKYO, "kendra", "POST", "/"), r"POST / \(service kendra\)"),
        (Request("GET", "/unheard-of"), r"GET /unheard-of \(an unsigned request\)"),
    ],
)
def test_an_unknown_operation_is_answered_501_by_its_name(emulator: Emulator, request_: Request, named: str) -> None:
    answered = emulator.answer(request_)
    assert answered.status == 501
    assert answered.headers.get("x-amzn-ErrorType", "NotEmulatedException") == "NotEmulatedException"
    assert re.search(f"{named} is not emulated", json.loads(answered.body)["message"])


def test_every_operation_of_the_models_is_recognised_by_its_signature_and_path() -> None:
    from bedrock_emulator.wire.addressing import service_of

    emulator = Emulator(embedder="character")
    names = {"s3vectors": "s3vectors", "opensearchserverless": "aoss"}
    for service, operation in operations():
        shape = operation.input_shape
        request = written(operation, dict.fromkeys(shape.required_members if shape else (), "A1B2C3D4E5"))
        scope = signed(TOKYO, names.get(service, "bedrock")).headers
        found = service_of(Request(request.method, request.path, headers={**request.headers, **scope}))
        assert found is not None, operation.name
        if emulator.emulates(service, operation.name):
            assert found == service, operation.name


# No host of AWS


def test_a_collection_is_told_to_be_here_and_never_at_aws(bench: Any, workbench_of: Any) -> None:
    served = workbench_of(address="http://127.0.0.1:9666")
    for each, expected in (
        (bench, r"https://\w+\.us-east-1\.aoss\.invalid"),
        (served, r"http://127\.0\.0\.1:9666/aoss/.*"),
    ):
        store = each.client("opensearchserverless")
        policy = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/acme"]}], "AWSOwnedKey": True}
        store.create_security_policy(name="acme", type="encryption", policy=json.dumps(policy))
        store.create_collection(name="acme", type="VECTORSEARCH")
        each.clock.advance(200)
        (told,) = store.batch_get_collection(names=["acme"])["collectionDetails"]
        assert re.fullmatch(expected, told["collectionEndpoint"])
        assert "amazonaws" not in json.dumps(told, default=str)


def test_the_data_plane_of_a_collection_is_answered_501(emulator: Emulator) -> None:
    answered = emulator.answer(signed(TOKYO, "aoss", "PUT", "/aoss/ap-northeast-1/abcdefghij/index"))
    assert (answered.status, "PUT /aoss/" in json.loads(answered.body)["message"]) == (501, True)


# The account


class _SecurityTokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = b"<GetCallerIdentityResult><Account>210987654321</Account></GetCallerIdentityResult>"
        body = b"<GetCallerIdentityResponse>" + told + b"</GetCallerIdentityResponse>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def security_tokens() -> Iterator[str]:
    """The address of an STS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _SecurityTokens) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Emulator]:
    """The emulators that the command begins to serve."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_IAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    emulators: list[Emulator] = []
    monkeypatch.setattr("bedrock_emulator.server.serve", lambda _, emulator: emulators.append(emulator))
    return emulators


def account_of(emulator: Emulator) -> str:
    return index(emulator, TOKYO).split(":")[4]


def test_the_account_is_an_option(begun: list[Emulator], monkeypatch: pytest.MonkeyPatch, security_tokens: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", security_tokens)
    command(port=1234, account="111122223333", roles=False)
    assert account_of(begun[0]) == "111122223333"


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_the_account_is_that_of_the_sts_behind_the_endpoint(
    begun: list[Emulator], monkeypatch: pytest.MonkeyPatch, security_tokens: str, variable: str
) -> None:
    monkeypatch.setenv(variable, security_tokens)
    command(port=1234)
    assert account_of(begun[0]) == "210987654321"


@pytest.mark.parametrize("own", [None, "http://127.0.0.1:1234", "http://localhost:1234/"])
def test_without_an_sts_the_account_is_zeros(
    begun: list[Emulator], monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    if own:
        monkeypatch.setenv("AWS_ENDPOINT_URL", own)
    command(port=1234)
    assert account_of(begun[0]) == "000000000000"


def test_an_sts_that_does_not_answer_is_told(begun: list[Emulator], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(typer.BadParameter, match="name it"):
        command(port=1234, roles=False)
    assert begun == []


@pytest.mark.parametrize("wrong", [{"account": "acme"}, {"account": "1" * 13}, {"region": "tokyo"}])
def test_what_is_no_account_or_region_is_refused(begun: list[Emulator], wrong: dict[str, str]) -> None:
    with pytest.raises(typer.BadParameter):
        command(port=1234, **wrong)  # type: ignore[arg-type]
