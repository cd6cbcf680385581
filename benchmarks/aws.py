"""boto3 clients of an emulated account, and S3, DynamoDB and whatever else by moto."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import boto3
from botocore.config import Config

from bedrock_emulator import Emulator, attach

REGION, ACCOUNT = "us-east-1", "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/knowledge-base"
_TITAN = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
VECTOR_BUCKET = "tenants"


def moto() -> AbstractContextManager[None]:
    """In place of AWS, as long as it is entered."""
    # Not at the top, so that it takes no memory where the emulator's own is measured.
    from moto import mock_aws

    mocked: AbstractContextManager[None] = mock_aws()
    return mocked


def client(service: str, emulator: Emulator | None = None) -> Any:
    """A client that makes one attempt; of the emulator, where one is given."""
    made = boto3.client(  # type: ignore[call-overload]  # the service is not a literal here
        service,
        region_name=REGION,
        aws_access_key_id="benchmark",
        aws_secret_access_key="benchmark",  # noqa: S106 - of an emulated account
        config=Config(retries={"total_max_attempts": 1}),
    )
    return made if emulator is None else attach(made, emulator)


def create_knowledge_base(agent: Any, vectors: Any, name: str) -> str:
    """On an index of its own in the vector bucket `VECTOR_BUCKET`. Gives its id."""
    index = vectors.create_index(
        vectorBucketName=VECTOR_BUCKET, indexName=name, dataType="float32", dimension=1024, distanceMetric="cosine",
        metadataConfiguration={"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]},
    )  # fmt: skip
    made = agent.create_knowledge_base(
        name=name,
        roleArn=ROLE,
        knowledgeBaseConfiguration={
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": _TITAN},
        },
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": index["indexArn"]}},
    )
    return str(made["knowledgeBase"]["knowledgeBaseId"])


def create_data_source(agent: Any, knowledge_base_id: str, bucket: str) -> str:
    """Which reads the bucket of that name. Gives its id."""
    made = agent.create_data_source(
        knowledgeBaseId=knowledge_base_id,
        name=bucket,
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{bucket}"}},
    )
    return str(made["dataSource"]["dataSourceId"])
