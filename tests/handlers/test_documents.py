"""`/tenants/{tenant_id}/documents…`: what is listed, found, deleted and opened, and what is refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kbfleet.domain.document_names import document_id
from kbfleet.domain.errors import ResourceMissing, Throttled
from kbfleet.domain.failed_documents import DocumentObject, FailedDocument, IngestedStatus
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.api_requests import queried
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, tenant, uri_of

Send = Callable[..., tuple[int, dict[str, Any]]]
KEY = "handbook/rental-terms.pdf"
HOSTILE_KEYS = [
    "../../sakura/a.md",
    "/a.md",
    "a//b.md",
    "%2F..%2f.md",
    "a b+c&d=e?f#g;h.md",
    "\"'`<>[]{}|\\^~.md",
    "\x1b]52;c;eA==\x07\n\u202e.md",
    "ガイド.md",
    unicodedata.normalize("NFD", "ガイド.md"),
    "x" * 1_021 + ".md",
]


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends a sample request, for the document of some key and with some query; gives status and body."""

    def to(name: str, key: str | None = None, tenant_id: str = "acme", **query: str) -> tuple[int, dict[str, Any]]:
        request = event(f"triggers/{name}") | queried(**query)
        named = {"tenant_id": tenant_id}
        if "{document}" in request["resource"]:
            named["document"] = document_id(KEY if key is None else key)
        request |= {"pathParameters": named, "path": request["resource"].format_map(named)}
        answer = handler("ask/links" if name == "get_link" else "admin/documents")(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def put(fleet: Fleet, key: str, tenant_id: TenantId = ACME, metadata: bytes | None = None) -> str:
    uri = f"s3://{NAMES.bucket(Life(tenant_id))}/{key}"
    beside = None if metadata is None else len(metadata)
    fleet.bucket_contents.put(uri, "1", DocumentObject(fleet.clock.now(), 1_000, beside), metadata=metadata)
    return uri


@pytest.fixture
def synced(fleet: Fleet) -> Fleet:
    """A tenant that is answered from two documents, with one that came later."""
    fleet.add(ACME)
    for key in (KEY, "prices.md"):
        put(fleet, key)
    fleet.clock.advance(3_600)
    fleet.request(ACME)
    fleet.tick_until_idle()
    entry = fleet.ledger.find(tenant().live_knowledge)
    fleet.ledger.save(entry.counted_left_out(0, Outcome.SUCCEEDED, fleet.clock.now(), whole=True))
    fleet.clock.advance(3_600)
    put(fleet, "winter.md")
    return fleet


class TestTheList:
    def test_each_document_has_its_status_by_the_ledger_and_bedrock_is_asked_of_the_others_only(
        self, send: Send, synced: Fleet
    ) -> None:
        status, body = send("get_documents")
        assert status == 200
        listed = {each["key"]: (each["status"], each["known_from"]) for each in body["documents"]}
        assert listed == {
            KEY: ("ANSWERED_FROM", "LEDGER"),
            "prices.md": ("ANSWERED_FROM", "LEDGER"),
            "winter.md": ("NOT_SEEN_YET", "LEDGER"),
        }
        assert synced.ingested_documents.asked == [[uri_of("winter.md")]]
        (first, *_) = body["documents"]
        assert (first["id"], first["uri"], first["size"]) == (document_id(KEY), uri_of(KEY), 1_000)
        assert first["job"]
        assert (body["next_token"], body["not_known"]) == (None, None)

    def test_what_others_have_given_to_bedrock_is_seen(self, send: Send, synced: Fleet) -> None:
        synced.ingested_documents.set(uri_of("winter.md"), IngestedStatus.INDEXED)
        _, body = send("get_documents", prefix="winter")
        assert [(each["status"], each["known_from"]) for each in body["documents"]] == [("ANSWERED_FROM", "BEDROCK")]

    def test_what_bedrock_has_no_time_for_is_not_guessed(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        put(fleet, "deleted.md")
        fleet.bucket_contents.delete(uri_of("deleted.md"), fleet.clock.now())
        fleet.ingested_documents.refusal = Throttled("Requests come too fast.")
        status, body = send("get_documents")
        assert (status, [each["status"] for each in body["documents"]]) == (200, ["UNKNOWN"])

    def test_a_page_asks_bedrock_twice_at_most(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        for number in range(100):
            put(fleet, f"{number:03}.md")
        put(fleet, "x" * 900)
        _, body = send("get_documents")
        assert len(body["documents"]) == 100
        assert [len(asked) for asked in fleet.ingested_documents.asked] == [10, 10]

    def test_pages_make_the_whole_and_each_document_comes_once(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        for key in (keys := [f"{number:03}.md" for number in range(205)]):
            put(fleet, key)
        found, token = list[str](), None
        while True:
            _, body = send("get_documents", **({"next_token": token} if token else {}))
            found += [each["key"] for each in body["documents"]]
            if (token := body["next_token"]) is None:
                break
        assert found == keys

    def test_a_prefix_finds_names_that_look_the_same(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        keys = [unicodedata.normalize(form, "ガイド/a.md") for form in ("NFC", "NFD")]
        for key in (*keys, "other.md"):
            put(fleet, key)
        found, token = list[str](), None
        while True:
            query = {"prefix": "ガイド/"} | ({"next_token": token} if token else {})
            _, body = send("get_documents", **query)
            found += [each["key"] for each in body["documents"]]
            if (token := body["next_token"]) is None:
                break
        assert sorted(found) == sorted(keys)

    def test_what_is_left_out_comes_from_kbfleets_own_list_with_all_that_was_said_of_it(
        self, send: Send, fleet: Fleet
    ) -> None:
        fleet.add(ACME)
        uris = [uri_of(f"{number}.pdf") for number in range(120)]
        for uri in uris:
            fleet.failed_documents.save(Life(ACME), FailedDocument(uri, "no text", START, START, times=2))
        status, first = send("get_documents", status="LEFT_OUT")
        assert (status, len(first["documents"]), first["retry"]) == (200, 100, None)
        _, second = send("get_documents", status="LEFT_OUT", next_token=first["next_token"])
        assert second["next_token"] is None
        documents = first["documents"] + second["documents"]
        assert sorted(each["uri"] for each in documents) == sorted(uris)
        assert (
            documents[0].items()
            >= {
                "reason": "no text",
                "finding": None,
                "status": "LEFT_OUT",
                "since": "2026-11-02T09:00:00Z",
                "last_seen": "2026-11-02T09:00:00Z",
                "times": 2,
                "set_aside": False,
            }.items()
        )

    def test_one_status_can_be_asked_for(self, send: Send, synced: Fleet) -> None:
        for status, keys in {"ANSWERED_FROM": [KEY, "prices.md"], "NOT_SEEN_YET": ["winter.md"], "DELETED": []}.items():
            _, body = send("get_documents", status=status)
            assert [each["key"] for each in body["documents"]] == keys

    def test_another_tenants_place_is_refused(self, send: Send, fleet: Fleet) -> None:
        for tenant_id in (ACME, SAKURA):
            fleet.add(tenant_id)
            for number in range(3):
                put(fleet, f"{number}.md", tenant_id)
        _, body = send("get_documents", tenant_id="sakura", limit="2")
        status, refused = send("get_documents", limit="2", next_token=body["next_token"])
        assert (status, refused["field"]) == (400, "next_token")
        status, _ = send("get_documents", tenant_id="sakura", limit="2", next_token=body["next_token"])
        assert status == 200

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"limit": "0"}, "limit"),
            ({"limit": "101"}, "limit"),
            ({"next_token": "x"}, "next_token"),
            ({"next_token": "a/b"}, "next_token"),
            ({"status": "FINE"}, "status"),
            ({"prefix": "規" * 342}, "prefix"),
            ({"a": "b"}, "a"),
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused_by_its_field(
        self, send: Send, fleet: Fleet, query: dict[str, str], field: str
    ) -> None:
        fleet.add(ACME)
        status, body = send("get_documents", **query)
        assert (status, body["field"]) == (400, field)

    @pytest.mark.parametrize("status", [TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED])
    def test_that_a_bucket_is_gone_is_told_unless_there_need_not_be_one(
        self, send: Send, fleet: Fleet, status: TenantStatus
    ) -> None:
        fleet.add(ACME)
        fleet.bucket_contents.refusal = ResourceMissing("NoSuchBucket")
        assert send("get_documents")[1]["code"] == "BucketGone"
        fleet.registry.create(tenant(tenant_id=SAKURA, status=status))
        answered, body = send("get_documents", tenant_id="sakura")
        assert (answered, body["documents"]) == (200, [])
        answered, body = send("get_document", tenant_id="sakura")
        assert (answered, body["code"]) == (404, "DocumentNotFound")


class TestOneDocument:
    def test_it_has_its_attributes(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        put(fleet, KEY, metadata=b'{"metadataAttributes": {"year": 2026}}')
        status, body = send("get_document")
        assert (status, body["key"], body["metadata"]) == (200, KEY, {"year": 2026})
        for content in (b"{", b"[]", b'{"metadataAttributes": 1}', b"\xff"):
            put(fleet, KEY, metadata=content)
            assert send("get_document")[1]["metadata"] is None

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_exactly_the_one_that_is_meant_is_found_opened_and_deleted(
        self, send: Send, fleet: Fleet, key: str
    ) -> None:
        fleet.add(ACME)
        for each in HOSTILE_KEYS:
            put(fleet, each)
            put(fleet, each, SAKURA)
        assert send("get_document", key)[1]["key"] == key
        assert send("get_link", key)[0] == 200
        status, body = send("delete_document", key)
        assert (status, body["document"]["key"]) == (200, key)
        assert set(fleet.bucket_contents.deleted) == {uri_of(key)}

    def test_one_that_looks_the_same_is_found_and_the_clash_told(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        composed, decomposed = (unicodedata.normalize(form, "ガイド.md") for form in ("NFC", "NFD"))
        put(fleet, decomposed)
        status, body = send("get_document", composed)
        assert (status, body["key"], body["also_there"]) == (200, decomposed, [])
        status, body = send("delete_document", composed)
        assert (status, body["code"]) == (404, "DocumentNotFound")
        assert "NFD" in body["detail"]
        put(fleet, composed)
        assert send("get_document", composed)[1]["also_there"] == [decomposed]
        assert send("get_document", decomposed)[1]["also_there"] == [composed]

    def test_a_metadata_file_in_the_other_form_is_told_unless_it_is_anothers(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        composed, decomposed = (unicodedata.normalize(form, "ガイド.md") for form in ("NFC", "NFD"))
        put(fleet, composed)
        put(fleet, f"{decomposed}.metadata.json")
        for asked in (composed, decomposed):
            _, body = send("get_document", asked)
            assert (body["key"], body["stray_metadata"]) == (composed, [f"{decomposed}.metadata.json"])
        put(fleet, decomposed)
        assert send("get_document", composed)[1]["stray_metadata"] == []

    @pytest.mark.parametrize("request_", ["get_document", "delete_document", "get_link"])
    def test_what_is_not_there_is_not_found_and_another_tenants_is_not(
        self, send: Send, fleet: Fleet, request_: str
    ) -> None:
        fleet.add(ACME)
        fleet.add(SAKURA)
        put(fleet, KEY, SAKURA)
        put(fleet, f"{KEY}.metadata.json")
        for key in (KEY, f"{KEY}.metadata.json", "handbook/", "handbook/rental-terms"):
            status, body = send(request_, key)
            assert (status, body["code"]) == (404, "DocumentNotFound")
        assert not fleet.bucket_contents.deleted
        status, body = send(request_, KEY, "nobody")
        assert (status, body["code"]) == (404, "TenantNotFound")


class TestDeleting:
    def test_it_is_answered_from_until_bedrock_does_not_know_it_any_more(self, send: Send, synced: Fleet) -> None:
        synced.ingested_documents.set(uri_of(KEY), IngestedStatus.INDEXED)
        status, body = send("delete_document")
        assert (status, body["complete"], body["versions_removed"]) == (200, True, None)
        assert (body["document"]["status"], body["document"]["size"]) == ("DELETED", None)
        listed = {each["key"]: each["status"] for each in send("get_documents")[1]["documents"]}
        assert listed[KEY] == "DELETED"
        synced.ingested_documents.forget(uri_of(KEY))
        assert send("get_document")[1]["status"] == "GONE"
        assert KEY not in {each["key"] for each in send("get_documents")[1]["documents"]}
        # Once more is no error: whoever heard no answer asks again.
        assert send("delete_document")[0] == 200

    def test_an_erasure_leaves_no_version_and_says_so(self, send: Send, synced: Fleet) -> None:
        put(synced, KEY)
        synced.ingested_documents.set(uri_of(KEY), IngestedStatus.INDEXED)
        status, body = send("delete_document", all_versions="true")
        assert (status, body["versions_removed"], body["document"]["status"]) == (200, 2, "DELETED")
        assert uri_of(KEY) not in synced.bucket_contents.kept
        assert send("get_document")[1]["status"] == "DELETED"
        synced.ingested_documents.forget(uri_of(KEY))
        assert send("get_document")[0] == 404

    def test_an_erased_one_is_gone_only_where_bedrock_has_said_so(self, send: Send, synced: Fleet) -> None:
        long = "x" * 200 + ".md"  # Bedrock takes its URI in no request
        put(synced, long)
        _, body = send("delete_document", long, all_versions="true")
        assert (body["complete"], body["document"]["status"]) == (True, "UNKNOWN")
        synced.ingested_documents.set(uri_of(KEY), IngestedStatus.INDEXED)
        synced.ingested_documents.refusal = Throttled("Requests come too fast.")
        status, body = send("delete_document", all_versions="true")
        assert (status, body["versions_removed"], body["document"]["status"]) == (200, 1, "UNKNOWN")
        # Nor is it said that there is none before somebody has looked.
        assert send("get_document")[0] == 429
        synced.ingested_documents.refusal = None
        assert send("get_document")[1]["status"] == "DELETED"
        synced.ingested_documents.forget(uri_of(KEY))
        assert send("get_document")[0] == 404
        _, body = send("delete_document", "prices.md", all_versions="true")
        assert body["document"]["status"] == "GONE"

    def test_one_that_takes_longer_says_that_more_is_left(self, send: Send, synced: Fleet) -> None:
        synced.document_removal.interrupted = True
        assert send("delete_document", all_versions="true")[1]["complete"] is False
        synced.document_removal.interrupted = False
        assert send("delete_document", all_versions="true")[1]["complete"] is True

    @pytest.mark.parametrize(
        "query", [{"all_versions": each} for each in ("perhaps", "1", "on", "True", "")] + [{"versions": "all"}]
    )
    def test_what_is_not_understood_deletes_nothing(self, send: Send, synced: Fleet, query: dict[str, str]) -> None:
        assert send("delete_document", **query)[0] == 400
        assert not synced.bucket_contents.deleted

    def test_the_key_stays_out_of_the_log(self, send: Send, synced: Fleet, logs: Logs) -> None:
        send("get_link")
        send("delete_document")
        assert [line["tenant_id"] for line in logs.lines] == ["acme", "acme"]
        assert "rental-terms" not in logs.text


def test_a_tenant_out_of_service_has_nothing_opened(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    put(fleet, KEY)
    record = fleet.registry.get(ACME)
    fleet.registry.replace(replace(record, status=TenantStatus.SUSPENDED), fence=record.fence)
    status, body = send("get_link")
    assert (status, body["code"]) == (409, "TenantSuspended")
