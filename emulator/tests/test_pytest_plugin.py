"""The fixtures that pytest finds where the package is installed."""

from __future__ import annotations

from pathlib import Path

from emulator_support.plugged import run_tests

MANAGED = """
MANAGED = {
    "name": "handbook",
    "roleArn": "arn:aws:iam::000000000000:role/knowledge-base",
    "knowledgeBaseConfiguration": {
        "type": "MANAGED",
        "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
    },
}
"""


def test_clients_clock_and_faults_are_of_one_emulator(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        MANAGED
        + """
def test_active(bedrock_clients, bedrock_clock, bedrock_emulator):
    agent = bedrock_clients("bedrock-agent")
    made = agent.create_knowledge_base(**MANAGED)["knowledgeBase"]
    assert made["status"] == "CREATING"
    bedrock_clock.advance(124)
    assert agent.get_knowledge_base(knowledgeBaseId=made["knowledgeBaseId"])["knowledgeBase"]["status"] == "ACTIVE"
    assert [call["operation"] for call in bedrock_emulator.calls] == ["CreateKnowledgeBase", "GetKnowledgeBase"]

def test_failed(bedrock_clients, bedrock_clock, bedrock_faults):
    bedrock_faults.add({"effect": "knowledge_base_fails", "failureReasons": ["why"]})
    agent = bedrock_clients("bedrock-agent")
    made = agent.create_knowledge_base(**MANAGED)["knowledgeBase"]["knowledgeBaseId"]
    bedrock_clock.advance(124)
    assert agent.get_knowledge_base(knowledgeBaseId=made)["knowledgeBase"]["failureReasons"] == ["why"]

def test_each_test_begins_without_resources(bedrock_clients):
    assert bedrock_clients("bedrock-agent").list_knowledge_bases()["knowledgeBaseSummaries"] == []
""",
    )
    assert "3 passed" in said


def test_code_with_clients_of_its_own_is_led_to_a_server(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        MANAGED
        + """
import boto3
import pytest

@pytest.fixture
def bedrock_settings():
    return {"region": "ap-northeast-1", "account": "123456789012"}

def test_served(bedrock_server, bedrock_clients):
    made = boto3.client("bedrock-agent").create_knowledge_base(**MANAGED)["knowledgeBase"]
    assert made["knowledgeBaseArn"].startswith("arn:aws:bedrock:ap-northeast-1:123456789012:knowledge-base/")
    seen = bedrock_clients("bedrock-agent").list_knowledge_bases()["knowledgeBaseSummaries"]
    assert [base["knowledgeBaseId"] for base in seen] == [made["knowledgeBaseId"]]
    assert boto3.client("bedrock").list_guardrails()["guardrails"] == []
""",
    )
    assert "1 passed" in said


def test_the_plugin_costs_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        """
import sys

def test_nothing_is_imported():
    assert {"boto3", "numpy", "starlette", "bedrock_emulator"}.isdisjoint(sys.modules)
""",
    )
    assert "1 passed" in said
