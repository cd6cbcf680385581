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


def asked(stack: Any, service: str, operation: str, **arguments: Any) -> tuple[int, str]:
    """The HTTP status and the message of a call that is refused."""
    with pytest.raises(ClientError) as refused:
        getattr(stack.client(service), operation)(**arguments)
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


MODEL = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        (
            "bedrock-agent-runtime",
            "agentic_retrieve_stream",
            {
                "messages": [{"role": "user", "content": {"text": "?"}}],
                "retrievers": [{"configuration": {"knowledgeBase": {"knowledgeBaseId": "AAAAAAAAAA"}}}],
                "agenticRetrieveConfiguration": {"foundationModelType": "MANAGED"},
            },
        ),
        ("bedrock-agent-runtime", "create_session", {}),
        ("bedrock-agent", "create_flow", {"name": "flow", "executionRoleArn": "arn:aws:iam::000000000000:role/any"}),
        ("bedrock-agent", "list_vpc_configurations", {"knowledgeBaseId": "AAAAAAAAAA"}),
        ("bedrock-runtime", "invoke_model", {"modelId": MODEL, "body": b"{}"}),
        ("bedrock", "list_enforced_guardrails_configuration", {}),
        ("s3vectors", "query_vectors", {"topK": 1, "queryVector": {"float32": [1.0]}, "indexArn": "arn"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_nobody_emulates_is_answered_501_by_name(
    stack: Any, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    status, message = asked(stack, service, operation, **arguments)
    assert (status, message) == (501, f"{service}:{operation.title().replace('_', '')} is not emulated.")


def test_models_are_still_listed_by_the_stack(stack: Any) -> None:
    assert stack.client("bedrock").list_foundation_models()["modelSummaries"]


def test_a_guardrail_of_the_stack_is_asked(stack: Any) -> None:
    made = stack.client("bedrock").create_guardrail(
        name="house",
        blockedInputMessaging="No.",
        blockedOutputsMessaging="No.",
        wordPolicyConfig={"wordsConfig": [{"text": "salary"}]},
    )
    answered = stack.client("bedrock-runtime").converse(
        modelId="amazon.nova-lite-v1:0",
        messages=[{"role": "user", "content": [{"text": "How much is the salary?"}]}],
        guardrailConfig={"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "DRAFT"},
    )
    assert answered["stopReason"] == "guardrail_intervened"
