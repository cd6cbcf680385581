"""Questions are counted by nothing but what the ask function logs, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.demo import Demo
from local.identity_provider import IdentityProvider

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(300)]
TENANT = "counted"
QUESTIONS = 5


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
    demo._until(lambda: total()["questions"] >= QUESTIONS or None, "the questions are not counted", 60)
    assert total()["questions"] == QUESTIONS
    assert "Total" in kbfleet("usage", TENANT, "--from", yesterday).stdout
