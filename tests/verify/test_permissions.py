"""What `kbfleet verify` calls is what docs/verifying.md asks for, and nothing else is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from cli.verify import run, story
from tests.support.template import REPOSITORY
from tests.support.verified_fleet import VirtualFleetUnderTest, a_trial, verified_fleet
from tests.support.virtual_fleet import AN_HOUR

_NAMESPACES = {"bedrock-agent": "bedrock", "bedrock-agent-runtime": "bedrock"}
_NAMED_OTHERWISE = {"s3:HeadBucket": "s3:ListBucket"}
_BESIDE = {
    # Of CreateKnowledgeBase with a role, and of RetrieveAndGenerate (local/stack/bedrock_permissions.py).
    "iam:PassRole",
    "bedrock:InvokeModel",
    "bedrock:GetInferenceProfile",
    # Of a knowledge base that should have been refused.
    "bedrock:DeleteKnowledgeBase",
}


@pytest.fixture
def under_test() -> Iterator[VirtualFleetUnderTest]:
    with verified_fleet() as fleet:
        yield fleet


@pytest.mark.timeout(600)
def test_the_permissions_in_the_docs_are_those_that_are_needed(under_test: VirtualFleetUnderTest) -> None:
    began = under_test.now()
    run.verify(a_trial(under_test), story.IDS, limits=True)
    assert under_test.now() - began < AN_HOUR
    called = {f"{_NAMESPACES.get(service, service)}:{operation}" for service, operation in under_test.called}
    needed = {_NAMED_OTHERWISE.get(action, action) for action in called} | _BESIDE
    page = (REPOSITORY / "docs" / "verifying.md").read_text("utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    asked = [
        action
        for statement in json.loads(block)
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert sorted(asked) == sorted(needed)
