"""`POST /documents/link`: a user opens what an answer to this very user has cited, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.answer import Asker, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.failed_documents import DocumentObject
from kbfleet.domain.names import Life, TenantId
from tests.handlers.conftest import TICKETS, Handler, event
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, uri_of

Send = Callable[..., tuple[int, dict[str, Any]]]
SUBJECT = event("triggers/post_link")["requestContext"]["authorizer"]["user_id"]
OWN, THEIRS = uri_of("terms.pdf"), f"s3://{NAMES.bucket(Life(SAKURA))}/terms.pdf"
NOTHING = f"s3://{NAMES.bucket(Life(ACME))}/"


def ticket(
    uri: str = OWN,
    tenant_id: TenantId = ACME,
    user: str = SUBJECT,
    voucher: Voucher = Voucher.IDENTITY_PROVIDER,
    life: int = 1,
) -> str:
    return TICKETS.issue(uri, Asker(tenant_id, voucher, UserId(user)), Life(tenant_id, life))


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    for tenant_id, uri in ((ACME, OWN), (SAKURA, THEIRS)):
        fleet.add(tenant_id)
        for each in (uri, f"{uri}.metadata.json"):
            fleet.bucket_contents.put(each, "1", DocumentObject(START, 10))

    def to(uri: object, given: object) -> tuple[int, dict[str, Any]]:
        request = event("triggers/post_link") | {"body": json.dumps({"uri": uri, "ticket": given})}
        answer = handler("ask/links")(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def test_what_an_answer_has_cited_is_opened(send: Send) -> None:
    status, body = send(OWN, ticket())
    assert (status, body["url"]) == (200, f"https://{NAMES.bucket(Life(ACME))}.example.com/terms.pdf")


# Tickets bear their time, and every process must find the same tests.
OTHERS: dict[str, tuple[str, Callable[[], str]]] = {
    "no ticket": (OWN, lambda: "x"),
    "of another document": (uri_of("prices.pdf"), ticket),
    "of another user": (OWN, lambda: ticket(user="somebody-else")),
    "of a back end": (OWN, lambda: ticket(voucher=Voucher.BACK_END)),
    "of another life": (OWN, lambda: ticket(life=2)),
    "of another tenant": (OWN, lambda: ticket(tenant_id=SAKURA)),
    "another tenant's document and ticket": (THEIRS, lambda: ticket(THEIRS, SAKURA)),
    "another tenant's document": (THEIRS, ticket),
    "cut off": (OWN, lambda: ticket()[:-1]),
    "another tenant's document, by a ticket that was given by mistake": (THEIRS, lambda: ticket(THEIRS)),
    "no document": (NOTHING, lambda: ticket(NOTHING)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_else_is_and_why_is_not_told(send: Send, what: str) -> None:
    uri, given = OTHERS[what]
    status, body = send(uri, given())
    assert (status, body["code"]) == (403, "TicketRefused")
    assert "sakura" not in json.dumps(body)


def test_what_was_deleted_since_is_not_found(send: Send, fleet: Fleet) -> None:
    fleet.bucket_contents.delete(OWN)
    assert send(OWN, ticket())[1]["code"] == "DocumentNotFound"


def test_a_metadata_file_is_no_document(send: Send) -> None:
    uri = f"{OWN}.metadata.json"
    assert send(uri, ticket(uri))[1]["code"] == "DocumentNotFound"


@pytest.mark.parametrize(("uri", "given"), [(None, "x"), ("", "x"), (OWN, ""), (OWN, 1), ("x" * 2_000, "x")])
def test_a_body_that_makes_no_sense_is_refused(send: Send, uri: object, given: object) -> None:
    assert send(uri, given)[0] == 400
