"""What is said of a tenant's documents while they come and go, through the real functions in virtual time: it is what
answers rest on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from typer.testing import CliRunner

import cli.main
from bedrock_emulator import Quotas
from cli.fleet_api import FleetApi
from kbfleet.domain.document_names import document_id
from tests.support.api_requests import queried
from tests.support.aws_calls import Call, Moment
from tests.support.hostile_keys import HOSTILE_KEYS
from tests.support.tenant_lives import Lives, sample
from tests.support.verified_fleet import Bends, VirtualFleetApi
from tests.support.virtual_fleet import (
    FIRST_DOCUMENT,
    RARE_SCHEDULE_SECONDS,
    RARE_TICKS,
    VirtualFleet,
    virtual_fleet,
)

STORES = ["S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED"]
TENTS = "A tent is rented for three days at least."


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        yield fleet


@pytest.fixture
def store() -> str:
    """What does not depend on it is tried on one; the others are named where it might."""
    return "S3_VECTORS"


@pytest.fixture
def lives(fleet: VirtualFleet, store: str) -> Lives:
    lives = Lives(fleet, store)
    lives.provisioned("acme")
    fleet.timeline.run_for(600)
    lives.upload("acme", "tents.md", TENTS)
    fleet.timeline.run_for(60)
    lives.sync("acme")
    fleet.timeline.run_for(600)
    return lives


def listed(lives: Lives, **query: str) -> dict[str, str]:
    body = lives.api("get_documents", "acme", **queried(**query))
    return {each["key"]: each["status"] for each in body["documents"]}


def asked_of_bedrock(lives: Lives) -> int:
    return sum(call["operation"] == "GetKnowledgeBaseDocuments" for call in lives.fleet.emulator.calls)


def deleted(lives: Lives, key: str, **query: str) -> dict[str, Any]:
    return lives.api("delete_document", "acme", named=document_id(key), **queried(**query))


def is_answered_from(lives: Lives, key: str) -> bool:
    request = sample("ask", "acme") | {"body": json.dumps({"question": "How long is a tent rented?"})}
    answer = json.loads(lives.fleet.invoke("AskFunction", request)["body"])
    return any(each["document"] == key for citation in answer["citations"] for each in citation["sources"])


def run_until_a_job_runs(lives: Lives) -> None:
    lives.until(lambda: lives.fleet.sync("acme").job is not None)


def test_what_was_synced_is_answered_from_and_bedrock_need_not_be_asked(lives: Lives) -> None:
    before = asked_of_bedrock(lives)
    assert set(listed(lives).values()) == {"ANSWERED_FROM"}
    assert asked_of_bedrock(lives) == before + 1  # nobody has counted what the job left out
    lives.collect("acme")
    before = asked_of_bedrock(lives)
    assert listed(lives) == {FIRST_DOCUMENT: "ANSWERED_FROM", "tents.md": "ANSWERED_FROM"}
    assert asked_of_bedrock(lives) == before
    assert is_answered_from(lives, "tents.md")


def test_a_new_document_is_followed_on_its_way(lives: Lives) -> None:
    lives.upload("acme", "sledges.md", "A sledge is rented by the hour.")
    lives.fleet.timeline.run_for(5)
    assert listed(lives, prefix="sledges") == {"sledges.md": "NOT_SEEN_YET"}
    lives.sync("acme", settled=False)
    run_until_a_job_runs(lives)
    assert listed(lives, prefix="sledges") == {"sledges.md": "BEING_INDEXED"}
    lives.fleet.settle("acme")
    assert listed(lives, status="ANSWERED_FROM").keys() == {FIRST_DOCUMENT, "tents.md", "sledges.md"}


def test_a_changed_document_is_not_called_answered_from(lives: Lives) -> None:
    lives.upload("acme", "tents.md", "A tent is rented for a week at least.")
    lives.fleet.timeline.run_for(5)
    assert listed(lives)["tents.md"] == "NOT_SEEN_YET"
    lives.sync("acme")
    assert listed(lives)["tents.md"] == "ANSWERED_FROM"


def test_one_that_fails_is_left_out_and_why(lives: Lives) -> None:
    lives.upload_that_fails("acme", "prices.md")
    assert listed(lives)["prices.md"] == "LEFT_OUT"  # Bedrock says so before anybody has collected it
    lives.collect("acme")
    (failing,) = lives.failing("acme")["documents"]
    assert (failing["key"], failing["known_from"], failing["times"]) == ("prices.md", "LEDGER", 1)
    assert failing["reason"]
    assert listed(lives) == {FIRST_DOCUMENT: "ANSWERED_FROM", "tents.md": "ANSWERED_FROM", "prices.md": "LEFT_OUT"}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("query", [{}, {"all_versions": "true"}], ids=["deleted", "erased"])
def test_a_deleted_document_is_listed_as_that_until_it_is_in_no_answer(lives: Lives, query: dict[str, str]) -> None:
    lives.fleet.timeline.run_for(5)
    body = deleted(lives, "tents.md", **query)
    assert body["document"]["status"] == "DELETED"
    assert is_answered_from(lives, "tents.md")
    one = {"named": document_id("tents.md")}
    assert lives.api("get_document", "acme", **one)["status"] == "DELETED"
    lives.sync("acme")
    assert not is_answered_from(lives, "tents.md")
    assert "tents.md" not in listed(lives)
    versions = lives.client("s3").list_object_versions(Bucket=lives.bucket("acme"), Prefix="tents.md")
    assert ("Versions" in versions) is not bool(query)
    if not query:
        assert lives.api("get_document", "acme", **one)["status"] == "GONE"


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and uploaded again"])
def test_what_is_deleted_while_a_job_runs_ends_as_the_bucket_has_it(lives: Lives, again: bool) -> None:
    lives.upload("acme", "sledges.md", "A sledge is rented by the hour.")
    lives.fleet.timeline.run_for(5)
    lives.sync("acme", settled=False)
    run_until_a_job_runs(lives)
    lives.fleet.timeline.run_for(30)
    deleted(lives, "tents.md")
    if again:
        lives.upload("acme", "tents.md", TENTS)
    lives.fleet.settle("acme")
    lives.fleet.timeline.run_for(60)
    assert listed(lives).get("tents.md") in ({"ANSWERED_FROM", "NOT_SEEN_YET"} if again else {None, "DELETED"})
    lives.sync("acme")
    assert listed(lives).get("tents.md") == ("ANSWERED_FROM" if again else None)
    assert is_answered_from(lives, "tents.md") is again


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("query", [{}, {"all_versions": "true"}], ids=["deleted", "erased"])
def test_what_is_uploaded_while_it_is_deleted_ends_as_the_bucket_has_it(
    lives: Lives, store: str, query: dict[str, str]
) -> None:
    """The upload comes before one call after the other of S3 that the deletion makes; on stores that are like the first
    one, before some of them. What is answered from in the end is what the bucket holds; and an upload behind the
    deletion's own mark is there."""
    s3, of_the_document = lives.client("s3"), {"Bucket": lives.bucket("acme"), "Key": "tents.md"}
    kept: list[bool] = []
    for point in count(step=1 if store == STORES[0] else 5):
        text = f"A tent is rented for {point + 10} days at least."
        lives.upload("acme", "tents.md", f"{text} Or more.")
        at = Upload(lives, point, text)
        with lives.fleet.disturbed(at):
            deleted(lives, "tents.md", **query)
        if not at.done:
            break
        lives.fleet.timeline.run_for(5)
        lives.sync("acme")
        try:
            held = s3.get_object(**of_the_document)["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            held = None
        kept.append(held is not None)
        assert held in {None, text}
        assert listed(lives).get("tents.md") == ("ANSWERED_FROM" if held else None)
        assert cited_text(lives, "tents.md") == held
    assert kept.index(True) > 0  # what comes first is deleted with the rest
    assert all(kept[kept.index(True) :])


@dataclass
class Upload:
    """Puts the document there before one of the calls of S3 that go on, once."""

    lives: Lives
    point: int
    text: str
    done: bool = False
    _seen: int = 0

    def __call__(self, call: Call, moment: Moment) -> None:
        if call.service != "s3" or moment is not Moment.BEFORE or self.done:
            return
        self._seen += 1
        if self._seen > self.point:
            self.done = True
            self.lives.upload("acme", "tents.md", self.text)


def cited_text(lives: Lives, key: str) -> str | None:
    """What an answer cites of a document."""
    request = sample("ask", "acme") | {"body": json.dumps({"question": "How long is a tent rented?"})}
    answer = json.loads(lives.fleet.invoke("AskFunction", request)["body"])
    passages = {
        each["passage"] for citation in answer["citations"] for each in citation["sources"] if each["document"] == key
    }
    return next(iter(passages), None)


def test_a_page_costs_as_many_calls_however_many_documents_there_are(lives: Lives) -> None:
    s3, bucket = lives.client("s3"), lives.bucket("acme")
    for number in range(350):
        s3.put_object(Bucket=bucket, Key=f"page {number:03}.md", Body=b"older")
        s3.put_object(Bucket=bucket, Key=f"page {number:03}.md", Body=b"# A page")
    query: dict[str, str] = {"limit": "100"}
    pages: list[int] = []
    while True:
        before = len(lives.fleet.calls.made)
        body = lives.api("get_documents", "acme", **queried(**query))
        pages.append(len(body["documents"]))
        made = Counter(call.operation for call in lives.fleet.calls.made[before:])
        assert made["ListObjectVersions"] == 1
        assert made["ListObjectsV2"] <= 1
        assert made["GetKnowledgeBaseDocuments"] <= 2
        assert made.total() <= 8, made
        if body["next_token"] is None:
            break
        query["next_token"] = body["next_token"]
    assert sum(pages) == 352
    assert len(pages) <= 5


@pytest.mark.timeout(300)
def test_each_key_is_listed_shown_opened_and_erased_as_exactly_the_one_that_is_meant(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the API, through the real functions, and by the command line."""
    s3, bucket = lives.client("s3"), lives.bucket("acme")
    for number, key in enumerate(HOSTILE_KEYS):
        s3.put_object(Bucket=bucket, Key=key, Body=b"older")
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * (number + 1))
    api = VirtualFleetApi("https://api.example.com", None, fleet=lives.fleet, bends=Bends())  # type: ignore[arg-type]
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)
    monkeypatch.setattr(lives.fleet.timeline, "run_for", lambda _: None)  # syncs of so many would take minutes

    def run(*words: str) -> Any:
        result = CliRunner().invoke(cli.main.app, ["documents", *words])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def keys() -> set[str]:
        return {each["key"] for each in run("list", "acme", "--json")["documents"]}

    others = keys() - {*HOSTILE_KEYS}
    assert others == {FIRST_DOCUMENT, "tents.md"}
    for number, key in enumerate(HOSTILE_KEYS):
        shown = run("show", "--json", "--", "acme", key)
        assert (shown["key"], shown["size"], shown["id"]) == (key, number + 1, document_id(key))
        opened = urlsplit(run("open", "--json", "--", "acme", key)["url"])
        assert unquote(opened.path.removeprefix("/")) == key
        erased = run("delete", "--all-versions", "--yes", "--json", "--", "acme", key)
        assert (erased["document"]["key"], erased["versions_removed"], erased["complete"]) == (key, 2, True)
    assert keys() == others
    left = s3.list_object_versions(Bucket=bucket)
    assert {each["Key"] for each in (*left["Versions"], *left.get("DeleteMarkers", ()))} == others
