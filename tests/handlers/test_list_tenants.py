"""`GET /tenants`: what is answered, and how pages follow each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, event
from tests.support.api_requests import queried
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, tenant

Send = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends the sample request with a query; gives status and body."""

    def to(**query: str) -> tuple[int, dict[str, Any]]:
        request = event("triggers/get_tenants") | queried(**query)
        answer = handler("admin/tenants")(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def test_each_tenant_is_reported_with_its_freshness_and_its_last_outcome(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.registry.create(tenant(SAKURA, status=TenantStatus.FAILED))
    status, body = send()
    assert (status, body["next_token"]) == (200, None)
    acme, sakura = body["tenants"]
    assert (acme["tenant_id"], acme["status"], acme["tier"], acme["last_outcome"]) == (
        "acme",
        "ACTIVE",
        "STANDARD",
        "SUCCEEDED",
    )
    assert acme["synced_at"]
    assert (sakura["status"], sakura["synced_at"], sakura["last_outcome"]) == ("FAILED", None, None)


def test_pages_follow_each_other_by_their_tokens(send: Send, fleet: Fleet) -> None:
    for number in range(5):
        fleet.registry.create(tenant(TenantId(f"tenant-{number}")))
    listed, query = [], {"limit": "2"}
    while True:
        _, body = send(**query)
        listed += [each["tenant_id"] for each in body["tenants"]]
        if body["next_token"] is None:
            break
        query = {"limit": "2", "next_token": body["next_token"]}
    assert listed == [f"tenant-{number}" for number in range(5)]


@pytest.mark.parametrize("tenant_id", ["acm", "a-1", "az09-az09", "a" * 32])
def test_whatever_a_tenant_is_called_a_page_can_begin_behind_it(send: Send, tenant_id: str) -> None:
    assert send(next_token=tenant_id.encode().hex())[0] == 200


def test_only_tenants_of_the_status_that_is_asked_for_are_reported(send: Send, fleet: Fleet) -> None:
    fleet.registry.create(tenant(ACME))
    fleet.registry.create(tenant(SAKURA, status=TenantStatus.SUSPENDED))
    _, body = send(status="SUSPENDED")
    assert [each["tenant_id"] for each in body["tenants"]] == ["sakura"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "BROKEN"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"next_token": "%%%"}, "next_token"),
        ({"next_token": "acme"}, "next_token"),
        ({"next_token": b"ACME".hex()}, "next_token"),
        ({"next_token": b"ac".hex()}, "next_token"),
        ({"next_token": b"acme-".hex()}, "next_token"),
        ({"next_token": "あ"}, "next_token"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_query_names_the_field(send: Send, query: dict[str, str], field: str) -> None:
    status, problem = send(**query)
    assert (status, problem["field"]) == (400, field)
