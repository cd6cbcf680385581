"""`GET /tenants/{tenant_id}/documents/why`: what is answered, and what never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.failed_documents import DocumentObject, IngestedStatus
from kbfleet.domain.names import Life
from tests.handlers.conftest import Handler, Logs, event
from tests.support.api_requests import queried
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES

Send = Callable[..., tuple[int, dict[str, Any]]]
KEY = "handbook/rental-terms.pdf"
URI = f"s3://{NAMES.bucket(Life(ACME))}/{KEY}"


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends the sample request, or one with another query; gives status and body."""

    def to(query: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        request = event("triggers/get_why")
        answer = handler("admin/why")(request | (queried(**query) if query is not None else {}))
        return answer["statusCode"], json.loads(answer["body"])

    return to


def test_a_document_that_is_found_has_passed_every_hop(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    fleet.bucket_contents.put(URI, "1", DocumentObject(fleet.clock.now(), 1_000))
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.ingested_documents.set(URI, IngestedStatus.INDEXED)
    fleet.retrieval_probe.findable.add(URI)
    status, body = send()
    assert (status, body["key"], body["stuck_at"]) == (200, KEY, None)
    assert {hop["verdict"] for hop in body["hops"]} == {"PASSED"}


def test_one_that_is_not_learns_where_and_what_to_do(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    status, body = send()
    assert (status, body["stuck_at"]) == (200, "OBJECT")
    assert body["hops"][-1]["verdict"] == "BROKEN"
    assert "kbfleet upload acme" in body["hops"][-1]["advice"]


def test_an_unknown_tenant_is_not_found(send: Send) -> None:
    status, body = send()
    assert (status, body["code"]) == (404, "TenantNotFound")
    assert "tenant add" not in body["detail"]


@pytest.mark.parametrize("query", [{}, {"key": ""}, {"key": "a.pdf.metadata.json"}, {"key": "a.pdf", "tenant": "x"}])
def test_what_is_no_key_is_refused(send: Send, query: dict[str, str]) -> None:
    status, problem = send(query)
    assert (status, problem["code"]) == (400, "InvalidInput")
    assert problem["field"] in {"key", "tenant"}


def test_the_key_stays_out_of_the_log(send: Send, fleet: Fleet, logs: Logs) -> None:
    fleet.add(ACME)
    send()
    (line,) = logs.lines
    assert (line["tenant_id"], line["stuck_at"]) == ("acme", "OBJECT")
    assert "rental-terms" not in logs.text
