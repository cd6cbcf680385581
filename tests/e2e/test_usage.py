"""Questions are counted by nothing but what the ask function logs, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import deployment
from local.demo import Demo
from local.identity_provider import IdentityProvider

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = "counted"
QUESTIONS = 5
KNOWN = {"tents": "The warranty of a tent is two years.", "shoes": "The warranty of shoes is one year.", "empty": ""}
"""What the one document of each tenant says; empty for none."""


def test_a_tenants_usage_is_to_the_token_what_its_model_calls_gave_out(demo: Demo, kbfleet: KbFleet) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    identities = IdentityProvider.open(demo.configuration.token_issuer, demo.configuration.signing_key)
    s3 = deployment.client(demo.configuration, "s3")
    demo.emulator("DELETE", "/_emulator/calls")
    for tenant_id, text in KNOWN.items():
        assert kbfleet("tenant", "add", tenant_id).returncode == 0
        bucket = json.loads(kbfleet("tenant", "show", tenant_id, "--json").stdout)["bucket_name"]
        if text:
            s3.put_object(Bucket=bucket, Key="rules.md", Body=text.encode())
            assert kbfleet("sync", "start", tenant_id).returncode == 0

    def ask(tenant_id: str, question: str, **further: str) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"question": question, **further}).encode()
        return demo.post_ask(body, identities.mint(tenant_id))

    for tenant_id, text in KNOWN.items():
        status, first = ask(tenant_id, "How long is the warranty?")
        assert (status, first["outcome"]) == (200, "ANSWERED" if text else "NOTHING_FOUND")
        status, second = ask(tenant_id, "Wie weit ist es zum Mond?", session=first["session"])
        assert (status, second["outcome"]) == (200, "NOTHING_FOUND")
        assert ask(tenant_id, "How long is the warranty?", session=first["session"])[0] == 200
        # Refused, and so not counted.
        assert ask(tenant_id, "")[0] == 400
        assert ask(tenant_id, "How long is the warranty?", session="of nobody")[0] == 400

    def total(tenant_id: str) -> dict[str, Any]:
        ran = kbfleet("usage", tenant_id, "--from", yesterday, "--json")
        assert ran.returncode == 0, ran.stderr
        counts: dict[str, Any] = json.loads(ran.stdout)["total"]
        return counts

    demo._until(lambda: all(total(each)["questions"] >= 3 for each in KNOWN) or None, "questions are not counted")
    conversed = [call for call in demo.calls() if call["operation"] == "Converse"]
    assert conversed
    for tenant_id in KNOWN:
        own = [call["usage"] for call in conversed if call["input"]["requestMetadata"]["kbfleet:tenant"] == tenant_id]
        counts = total(tenant_id)
        assert (counts["questions"], counts["questions_without_tokens"]) == (3, 0)
        assert counts["input_tokens"] == sum(usage["inputTokens"] for usage in own)
        assert counts["output_tokens"] == sum(usage["outputTokens"] for usage in own)
    # Without documents the model is asked for no answer, and still puts what goes on from others on its own feet.
    assert 0 < total("empty")["input_tokens"] < total("tents")["input_tokens"]


def test_every_answered_question_is_in_its_tenants_usage(demo: Demo, kbfleet: KbFleet) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()  # whenever midnight comes

    def total() -> dict[str, Any]:
        ran = kbfleet("usage", TENANT, "--from", yesterday, "--json")
        assert ran.returncode == 0, ran.stderr
        counts: dict[str, Any] = json.loads(ran.stdout)["total"]
        return counts

    assert kbfleet("tenant", "add", TENANT).returncode == 0
    assert total()["questions"] == 0
    token = IdentityProvider.open(demo.configuration.token_issuer, demo.configuration.signing_key).mint(TENANT)
    assert demo.post_ask(b'{"question": ""}', token)[0] == 400
    for _ in range(QUESTIONS):
        assert demo.post_ask(b'{"question": "How long is the warranty of a tent?"}', token)[0] == 200
    demo._until(lambda: total()["questions"] >= QUESTIONS or None, "the questions are not counted")
    assert total()["questions"] == QUESTIONS
    assert "Total" in kbfleet("usage", TENANT, "--from", yesterday).stdout
