"""What AWS only takes as a whole is sent as a whole: a member that AWS comes to add must not get lost by an update.

S3's settings are in `tests/adapters/test_document_buckets.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.bedrock import BedrockKnowledgeBases
from kbfleet.domain.names import DataSourceReference
from tests.support.aws import client

NOW = datetime(2026, 11, 2, tzinfo=UTC)
NOT_OF_THE_WHOLE = {"knowledgeBaseId", "dataSourceId", "clientToken"}
"""Which one it is, and how a call is told from its repetition."""
KNOWLEDGE_BASE: Mapping[str, Any] = {
    "knowledgeBaseId": "KB00000001",
    "name": "kbfleet-acme",
    "knowledgeBaseArn": "arn:aws:bedrock:us-east-1:123456789012:knowledge-base/KB00000001",
    "description": "by hand",
    "roleArn": "arn:aws:iam::123456789012:role/one",
    "knowledgeBaseConfiguration": {"type": "VECTOR"},
    "storageConfiguration": {"type": "S3_VECTORS"},
    "status": "ACTIVE",
    "createdAt": NOW,
    "updatedAt": NOW,
}
DATA_SOURCE: Mapping[str, Any] = {
    "knowledgeBaseId": "KB00000001",
    "dataSourceId": "DS00000002",
    "name": "documents",
    "status": "AVAILABLE",
    "description": "by hand",
    "dataSourceConfiguration": {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::kbfleet-acme"}},
    "serverSideEncryptionConfiguration": {"kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/theirs"},
    "vectorIngestionConfiguration": {"chunkingConfiguration": {"chunkingStrategy": "NONE"}},
    "dataDeletionPolicy": "DELETE",
    "createdAt": NOW,
    "updatedAt": NOW,
}


def sent(operation: str, looked_up: Mapping[str, Mapping[str, Any]], act: Any) -> dict[str, Any]:
    """The arguments of that call, which `act` makes."""
    bedrock = client("bedrock-agent")
    given: dict[str, Any] = {}
    bedrock.meta.events.register(
        f"before-parameter-build.bedrock-agent.{operation}", lambda params, **_: given.update(params)
    )
    with Stubber(bedrock) as stubber:
        for name, answer in looked_up.items():
            stubber.add_response(name, answer)
        act(BedrockKnowledgeBases(bedrock))
        stubber.assert_no_pending_responses()
    return given


def members(operation: str) -> set[str]:
    model = client("bedrock-agent").meta.service_model.operation_model(operation)
    return set(model.input_shape.members) - NOT_OF_THE_WHOLE


def test_an_update_of_a_knowledge_base_sends_all_that_there_is_of_it() -> None:
    def act(knowledge_bases: BedrockKnowledgeBases) -> None:
        found = knowledge_bases.get("KB00000001")
        assert found is not None
        knowledge_bases.update(found, role_arn="arn:aws:iam::123456789012:role/other")

    answers = {
        "get_knowledge_base": {"knowledgeBase": KNOWLEDGE_BASE},
        "update_knowledge_base": {"knowledgeBase": KNOWLEDGE_BASE},
    }
    given = sent("UpdateKnowledgeBase", answers, act)
    assert set(given) - NOT_OF_THE_WHOLE == members("UpdateKnowledgeBase")
    assert given["storageConfiguration"] == KNOWLEDGE_BASE["storageConfiguration"]


@pytest.mark.parametrize("change", ["update_data_source", "retain_vectors"])
def test_an_update_of_a_data_source_sends_all_that_there_is_of_it(change: str) -> None:
    reference = DataSourceReference("KB00000001", "DS00000002")

    def act(knowledge_bases: BedrockKnowledgeBases) -> None:
        if change == "retain_vectors":
            knowledge_bases.retain_vectors(reference)
        else:
            knowledge_bases.update_data_source(reference, "documents", DATA_SOURCE["dataSourceConfiguration"])

    answers = {"get_data_source": {"dataSource": DATA_SOURCE}, "update_data_source": {"dataSource": DATA_SOURCE}}
    given = sent("UpdateDataSource", answers, act)
    assert set(given) - NOT_OF_THE_WHOLE == members("UpdateDataSource")
    for member in ("serverSideEncryptionConfiguration", "vectorIngestionConfiguration", "description"):
        assert given[member] == DATA_SOURCE[member]
