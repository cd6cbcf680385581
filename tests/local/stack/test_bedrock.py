"""The Bedrock emulator answers behind the AWS endpoint, whole and unchanged."""

import contextlib
import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ResponseStreamingError


def calls(stack: Any) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{stack.configuration.aws_url}/_emulator/calls") as response:  # noqa: S310
        recorded: list[dict[str, Any]] = json.load(response)
    return recorded


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("bedrock-agent", "get_knowledge_base", {"knowledgeBaseId": "AAAAAAAAAA"}),
        (
            "bedrock-agent-runtime",
            "retrieve",
            {"knowledgeBaseId": "AAAAAAAAAA", "retrievalQuery": {"text": "?"}},
        ),
        ("s3vectors", "get_vector_bucket", {"vectorBucketName": "no-such-bucket"}),
        ("opensearchserverless", "get_security_policy", {"name": "no-such-policy", "type": "encryption"}),
    ],
)
def test_each_service_reaches_the_emulator(stack: Any, service: str, operation: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(stack.client(service), operation)(**arguments)
    assert refused.value.response["Error"]["Code"] in {"ResourceNotFoundException", "NotFoundException"}
    assert any(call["service"] == service for call in calls(stack))


def test_a_model_is_named_by_its_arn(stack: Any) -> None:
    profile = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0"
    message = {"role": "user", "content": [{"text": "Say hello."}]}
    with contextlib.suppress(ClientError):
        stack.client("bedrock-runtime").converse(modelId=profile, messages=[message])
    assert profile in [call["input"].get("modelId") for call in calls(stack) if call["operation"] == "Converse"]


def test_a_connection_breaks_when_the_emulator_is_reported_to_break_it(stack: Any) -> None:
    fault = {"effect": "broken_before_effect", "operation": "ListKnowledgeBases", "count": 1}
    order = urllib.request.Request(  # noqa: S310
        f"{stack.configuration.aws_url}/_emulator/faults", json.dumps(fault).encode(), method="POST"
    )
    with urllib.request.urlopen(order):  # noqa: S310
        pass
    bedrock = stack.client("bedrock-agent")
    with pytest.raises((HTTPClientError, ResponseStreamingError, ConnectionError)):
        bedrock.list_knowledge_bases()
    assert bedrock.list_knowledge_bases()["knowledgeBaseSummaries"] == []


def test_lists_are_paged(stack: Any) -> None:
    s3vectors = stack.client("s3vectors")
    for number in range(3):
        s3vectors.create_vector_bucket(vectorBucketName=f"paged-{number}")
    first = s3vectors.list_vector_buckets(prefix="paged-", maxResults=2)
    rest = s3vectors.list_vector_buckets(prefix="paged-", maxResults=2, nextToken=first["nextToken"])
    assert [len(page["vectorBuckets"]) for page in (first, rest)] == [2, 1]
