"""What a newcomer sees, and what somebody who makes mistakes sees, on the local AWS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from local import deployment
from local.demo import Demo, ExpectationNotMetError
from local.identity_provider import IdentityProvider

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

# Starting, deploying and playing it all takes a minute or two.
pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]


def everything_written(story: Demo) -> list[str]:
    """The table's items, without those that events bring about: what was done before may still be on its way."""
    client = deployment.client(story.configuration, "dynamodb")
    pages = client.get_paginator("scan").paginate(TableName=story.outputs["TableName"])
    return sorted(
        json.dumps(item, sort_keys=True) for page in pages for item in page["Items"] if not is_by_events(item)
    )


def is_by_events(item: dict[str, Any]) -> bool:
    """Usage, incidents, what golden questions come to, and what the round after an update has looked at."""
    partition, sort_key = str(item["PK"]["S"]), str(item["SK"]["S"])
    return sort_key.startswith(("USAGE#", "CONVERGENCE", "QUESTION_SEARCH")) or partition.startswith(
        ("USAGE_DELIVERY#", "INCIDENT#", "QUESTIONS#")
    )


def token_of(story: Demo, tenant: str) -> str:
    issuer = IdentityProvider.open(story.configuration.token_issuer, story.configuration.signing_key)
    return issuer.mint(tenant)


def test_the_whole_story_of_the_demo_comes_true(story: Demo) -> None:
    assert story.outputs["ApiUrl"].startswith("http://127.0.0.1:")


def test_provisioning_again_creates_nothing(story: Demo, kbfleet: KbFleet) -> None:
    story.emulator("DELETE", "/_emulator/calls")
    before = json.loads(kbfleet("tenant", "show", "acme", "--json").stdout)
    assert kbfleet("tenant", "add", "acme").returncode == 0
    after = json.loads(kbfleet("tenant", "show", "acme", "--json").stdout)
    for resource in ("bucket_name", "knowledge_base_id", "data_source_id"):
        assert after[resource] == before[resource]
    operations = {call["operation"] for call in story.calls()}
    assert operations
    assert not [operation for operation in operations if operation.startswith("Create")]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tenant", "add", "No-Such-Id"), "tenant_id"),
        (("tenant", "add", "ab"), "tenant_id"),
        (("tenant", "add", "new-tenant", "--name", " "), "name"),
        (("tenant", "add", "new-tenant", "--knowledge-store", "PINECONE"), "PINECONE"),
        (("tenant", "show", "nobody"), "nobody"),
        (("sync", "start", "nobody"), "nobody"),
        (("ask", "   ", "--token", "x"), "question"),
        (("ask", "x" * 1001, "--token", "x"), "1001"),
        (("ask", "May I?", "--token", "not.a.token"), "token"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_the_command_line_names_what_is_wrong_exits_with_2_and_writes_nothing(
    story: Demo, kbfleet: KbFleet, arguments: tuple[str, ...], named: str
) -> None:
    before = everything_written(story)
    ran = kbfleet(*arguments)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr
    assert everything_written(story) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"question": ""}', "question"),
        (b'{"question": "   "}', "question"),
        (json.dumps({"question": "x" * 1001}).encode(), "question"),
        (b'{"question": 7}', "question"),
        (b"{}", "question"),
        (b'{"question": "May I?", "tenant_id": "sakura"}', "tenant_id"),
        (b'{"quest', "body"),
        (b"", "body"),
        (b"[]", "body"),
    ],
)
def test_a_question_that_is_none_is_a_problem_that_names_the_field_and_reaches_no_model(
    story: Demo, body: bytes, field: str
) -> None:
    story.emulator("DELETE", "/_emulator/calls")
    status, problem = story.post_ask(body, token_of(story, "acme"))
    assert status == 400
    assert problem["field"] == field
    assert problem["code"] == "InvalidInput"
    assert [call for call in story.calls() if call["service"] == "bedrock-agent-runtime"] == []


def test_the_demo_ends_with_the_reason_when_a_scene_does_not_do_what_it_should(story: Demo) -> None:
    fault = {"operation": "Retrieve", "effect": "error", "code": "AccessDeniedException", "message": "no"}
    story.emulator("POST", "/_emulator/faults", fault)
    try:
        with pytest.raises(ExpectationNotMetError, match="asking as sakura gave 502"):
            story.ask()
    finally:
        story.emulator("DELETE", "/_emulator/faults")


def test_a_token_for_a_tenant_that_does_not_exist_is_a_problem_of_its_own(story: Demo) -> None:
    status, problem = story.post_ask(b'{"question": "May I?"}', token_of(story, "nobody"))
    assert status == 403
    assert problem["code"] == "TenantNotProvisioned"


def test_no_question_answer_or_token_is_in_the_log(story: Demo) -> None:
    question = "Does the phrase quokka-canary reach any log?"
    token = token_of(story, "acme")
    status, _ = story.post_ask(json.dumps({"question": question}).encode(), token)
    assert status == 200
    log = story.configuration.log_file.read_text("utf-8", errors="replace")
    product_lines = [line for line in log.splitlines() if '"service":"kbfleet"' in line]
    assert product_lines
    assert not [line for line in product_lines if "quokka-canary" in line or token in line or "kayak" in line]


def test_a_document_that_failed_is_shown_and_fixed_without_a_sync(story: Demo, kbfleet: KbFleet) -> None:
    def tenant() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kbfleet("tenant", "show", "acme", "--json").stdout)
        return found

    def failing() -> list[str]:
        return [
            document["uri"]
            for document in json.loads(kbfleet("documents", "acme", "--failed", "--json").stdout)["documents"]
        ]

    bucket = tenant()["bucket_name"]
    story.emulator("POST", "/_emulator/faults", {"effect": "documents_fail", "keys": ["snow shoes.md"]})
    try:
        body = b"Snow shoes are rented by the day."
        deployment.client(story.configuration, "s3").put_object(Bucket=bucket, Key="snow shoes.md", Body=body)
        assert kbfleet("sync", "start", "acme").returncode == 1
        assert story._until(lambda: failing() or None, "no list") == [f"s3://{bucket}/snow shoes.md"]
        # The upload has asked for a sync of its own.
        story._until(lambda: tenant()["sync"]["state"] == "IDLE" or None, "the tenant is still being synced")
    finally:
        story.emulator("DELETE", "/_emulator/faults")
    ran = kbfleet("sync", "retry-failed", "acme")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert failing() == []
    assert "DEGRADED" in kbfleet("jobs", "list", "acme", "--json").stdout
