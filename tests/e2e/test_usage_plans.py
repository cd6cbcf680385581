"""How much a tenant may ask, on the local AWS: by its tier, and for itself alone."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from local import deployment
from local.demo import Demo
from local.identity_provider import IdentityProvider

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


Ask = Callable[..., Answer]


@pytest.fixture
def ask(story: Demo) -> Ask:
    """Asks as a user of a tenant, with any further headers."""
    issuer = IdentityProvider.open(story.configuration.token_issuer, story.configuration.signing_key)

    def post(tenant: str, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310 -- our own address
            f"{story.outputs['ApiUrl']}/ask",
            json.dumps({"question": "Who are you?"}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {issuer.mint(tenant)}", **given},
        )
        try:
            response = urllib.request.urlopen(request, timeout=60)  # noqa: S310
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status, dict(response.headers), json.load(response))

    return post


@pytest.fixture
def move(kbfleet: KbFleet) -> Iterator[Callable[[str], None]]:
    """Gives sakura another tier, until the end."""

    def to(tier: str) -> None:
        moved = kbfleet("tenant", "add", "sakura", "--tier", tier)
        assert moved.returncode == 0, moved.stdout + moved.stderr
        assert json.loads(kbfleet("tenant", "show", "sakura", "--json").stdout)["tier"] == tier

    yield to
    to("STANDARD")


def test_a_tenant_over_its_limits_learns_when_to_come_back_while_others_are_served_until_its_tier_changes(
    ask: Ask, move: Callable[[str], None]
) -> None:
    move("PREMIUM")  # which the configuration of these tests has made tight: three at once, two in a month
    answers = [ask("sakura") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    for answer, code, seconds in ((answers[2], "QuotaExceeded", "3600"), (answers[3], "Throttled", "1")):
        assert (answer.body["code"], answer.body["status"]) == (code, 429)
        assert answer.headers["Retry-After"] == seconds
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert ask("acme").status == 200
    move("STANDARD")
    assert ask("sakura").status == 200


def test_a_tenant_cannot_ask_on_anothers_account(story: Demo, ask: Ask) -> None:
    keys = deployment.client(story.configuration, "apigateway").get_api_keys(includeValues=True)["items"]
    (acmes,) = (key["value"] for key in keys if key["name"].endswith("-acme"))
    answer = ask("nobody", X_Api_Key=acmes)
    assert (answer.status, answer.body["code"]) == (403, "TenantNotProvisioned")
