"""A Region says which models it has, and how each can be called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bedrock_emulator.world.models import LIFECYCLES
from local.stack.configuration import ACCESS_KEY

NOVA = "amazon.nova-lite-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


def bedrock(aws: Any, region: str) -> Any:
    return boto3.client(
        "bedrock",
        region_name=region,
        endpoint_url=aws.configuration.aws_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=aws.configuration.secret_key,
    )


@pytest.mark.parametrize(
    ("region", "model", "types"),
    [
        ("us-east-1", HAIKU, ["INFERENCE_PROFILE"]),
        ("us-west-2", NOVA, ["INFERENCE_PROFILE"]),
        ("ap-northeast-1", NOVA, ["INFERENCE_PROFILE"]),
        ("us-east-1", NOVA, ["ON_DEMAND", "INFERENCE_PROFILE"]),
    ],
)
def test_a_model_says_how_it_can_be_called(aws: Any, region: str, model: str, types: list[str]) -> None:
    client = bedrock(aws, region)
    assert client.get_foundation_model(modelIdentifier=model)["modelDetails"]["inferenceTypesSupported"] == types
    listed = {each["modelId"]: each for each in client.list_foundation_models()["modelSummaries"]}
    assert listed[model]["inferenceTypesSupported"] == types
    on_demand = client.list_foundation_models(byInferenceType="ON_DEMAND")["modelSummaries"]
    assert (model in {each["modelId"] for each in on_demand}) == ("ON_DEMAND" in types)


@pytest.mark.parametrize("model", LIFECYCLES)
def test_a_model_says_when_it_ends(aws: Any, model: str) -> None:
    client = bedrock(aws, "us-east-1")
    assert client.get_foundation_model(modelIdentifier=HAIKU)["modelDetails"]["modelLifecycle"] == {"status": "ACTIVE"}
    known = LIFECYCLES[model]
    if known.ends_at <= datetime.now(UTC):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_foundation_model(modelIdentifier=model)
    else:
        assert client.get_foundation_model(modelIdentifier=model)["modelDetails"]["modelLifecycle"] == {
            "status": "LEGACY" if known.legacy_from <= datetime.now(UTC) else "ACTIVE",
            "legacyTime": known.legacy_from,
            "endOfLifeTime": known.ends_at,
        }


def test_a_region_does_not_know_the_models_of_others(aws: Any) -> None:
    client = bedrock(aws, "eu-central-1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_foundation_model(modelIdentifier="amazon.nova-premier-v1:0")
    assert NOVA in {each["modelId"] for each in client.list_foundation_models()["modelSummaries"]}
    assert "amazon.nova-premier-v1:0" not in {
        each["modelId"] for each in client.list_foundation_models()["modelSummaries"]
    }


def test_the_profiles_of_a_region_say_where_they_lead(aws: Any) -> None:
    client = bedrock(aws, "ap-northeast-1")
    pages = client.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 2})
    listed = [page["inferenceProfileSummaries"] for page in pages]
    assert len(listed) > 1
    profiles = {each["inferenceProfileId"]: each for page in listed for each in page}
    assert f"apac.{NOVA}" in profiles
    assert f"eu.{NOVA}" not in profiles
    found = client.get_inference_profile(inferenceProfileIdentifier=f"jp.{HAIKU}")
    assert {each["modelArn"].split(":")[3] for each in found["models"]} == {"ap-northeast-1", "ap-northeast-3"}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_inference_profile(inferenceProfileIdentifier=f"us.{NOVA}")
