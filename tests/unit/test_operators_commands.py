"""What the operator's commands for diagnosis print and how they exit, with the API's answers scripted."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner, Result

import cli.main
from cli.dead_letter_queues import QUEUES
from cli.dead_letters import DeadLetters, Waiting
from cli.fleet_api import FleetApi, Refused
from cli.fleet_stack import FleetStack
from kbfleet.contracts.document_listing import DocumentBody, DocumentsBody
from kbfleet.contracts.documents import DocumentTraceBody, HopBody
from kbfleet.contracts.tenants import ListedTenantBody, TenantsBody
from kbfleet.domain.document_status import (
    BucketEntry,
    DocumentState,
    DocumentStatus,
    KnownFrom,
    TenantDocument,
    left_out,
)
from kbfleet.domain.document_trace import HopName, Verdict
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from tests.support.clock import START

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    return lambda *arguments: CliRunner().invoke(cli.main.app, list(arguments))


class TestWhy:
    def traced(self, *hops: HopBody) -> Callable[..., DocumentTraceBody]:
        stuck = hops[-1].hop if hops[-1].verdict is not Verdict.PASSED else None
        body = DocumentTraceBody(tenant_id=TenantId("acme"), key="a.pdf", stuck_at=stuck, hops=hops)
        return lambda *_: body

    def test_each_hop_is_a_line_and_the_last_says_what_to_do(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        passed = HopBody(hop=HopName.KNOWLEDGE_BASE, verdict=Verdict.PASSED, finding="It is [ACTIVE].", advice="")
        broken = HopBody(hop=HopName.OBJECT, verdict=Verdict.BROKEN, finding="It is gone.", advice="Upload it.")
        monkeypatch.setattr(FleetApi, "why", self.traced(passed, broken))
        result = run("why", "acme", "a.pdf")
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            "✓ knowledge base: It is [ACTIVE].",
            "✗ object: It is gone.",
            "  → Upload it.",
        ]

    def test_a_document_that_is_found_exits_with_0(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        passed = HopBody(hop=HopName.RETRIEVAL, verdict=Verdict.PASSED, finding="It is found.", advice="")
        monkeypatch.setattr(FleetApi, "why", self.traced(passed))
        assert run("why", "acme", "a.pdf").exit_code == 0

    def test_programs_get_json(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = HopBody(hop=HopName.TURN, verdict=Verdict.WAITING, finding="It is queued.", advice="")
        monkeypatch.setattr(FleetApi, "why", self.traced(waiting))
        result = run("why", "acme", "a.pdf", "--json")
        assert (result.exit_code, json.loads(result.stdout)["stuck_at"]) == (1, "TURN")

    def test_the_uri_that_another_command_shows_is_a_key_too(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[Any] = []

        def why(_: FleetApi, *call: Any) -> DocumentTraceBody:
            sent.append(call)
            return self.traced(HopBody(hop=HopName.OBJECT, verdict=Verdict.PASSED, finding="There.", advice=""))()

        monkeypatch.setattr(FleetApi, "why", why)
        no_document = Refused(404, "DocumentNotFound", "No document.")
        monkeypatch.setattr(FleetApi, "document", Mock(side_effect=no_document))
        assert run("why", "acme", "s3://kbfleet-acme-0123456789/handbook/a b.pdf").exit_code == 0
        assert sent == [("acme", "handbook/a b.pdf")]

    def test_what_is_no_key_is_not_sent(self, run: Run) -> None:
        assert run("why", "acme", "a.pdf.metadata.json").exit_code == 2

    def test_the_key_is_one_value_of_the_query_whatever_is_in_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[Any] = []
        monkeypatch.setattr(FleetApi, "_signed", lambda _self, *call: sent.append(call))
        FleetApi("https://api.example.com/v1", None).why(TenantId("acme"), "規程/a&b=c +?.pdf")  # type: ignore[arg-type]
        ((_, method, path),) = sent
        assert (method, path) == (
            "GET",
            "/tenants/acme/documents/why?key=%E8%A6%8F%E7%A8%8B%2Fa%26b%3Dc%20%2B%3F.pdf",
        )


class TestTenantList:
    def page(self, token: str | None, *ids: str) -> TenantsBody:
        listed = [
            ListedTenantBody(
                tenant_id=TenantId(each),
                name="Acme [Outdoor]",
                status=TenantStatus.ACTIVE,
                status_since=START,
                tier=Tier.STANDARD,
                knowledge_store="S3_VECTORS",
                synced_at=START,
                pending_since=None,
                last_outcome=Outcome.DEGRADED,
                held_since=None,
                foreign=(),
                offboarding=None,
                converged=True,
            )
            for each in ids
        ]
        return TenantsBody(tenants=tuple(listed), next_token=token)

    def test_all_pages_are_one_table(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        pages = iter([self.page("a+/=", "acme"), self.page(None, "sakura")])
        asked: list[str] = []

        def answer(_self: FleetApi, _kind: object, _method: str, path: str) -> TenantsBody:
            asked.append(path)
            return next(pages)

        monkeypatch.setattr(FleetApi, "_signed", answer)
        result = run("tenant", "list", "--status", "active")
        assert result.exit_code == 0
        assert asked == ["/tenants?limit=100&status=ACTIVE", "/tenants?limit=100&status=ACTIVE&next_token=a%2B%2F%3D"]
        for reported in ("acme", "sakura", "2 tenants"):
            assert reported in result.stdout

    def test_programs_get_json(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FleetApi, "_signed", lambda *_: self.page(None, "acme"))
        listed = json.loads(run("tenant", "list", "--json").stdout)
        assert [each["last_outcome"] for each in listed["tenants"]] == ["DEGRADED"]

    def test_a_fleet_without_tenants_is_no_failure(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FleetApi, "_signed", lambda *_: self.page(None))
        assert run("tenant", "list").stdout == "There are no tenants yet.\n"


class TestDeadLetterList:
    """A reason may be the whole of a document that could not be read."""

    LONG = "Error: " + "[x] not JSON, " * 2_000

    @pytest.fixture(autouse=True)
    def waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FleetStack, "named", lambda *_: FleetStack("kbfleet", {}, None))  # type: ignore[arg-type]
        found = Waiting(QUEUES[0], 9, START, (self.LONG, *(f"reason {number}" for number in range(8))))
        monkeypatch.setattr(DeadLetters, "waiting", lambda _: iter([found]))

    def test_has_lines_that_can_be_read(self, run: Run) -> None:
        said = run("dlq", "list").stdout
        assert max(map(len, said.splitlines())) < 500
        assert "Error: [x] not JSON" in said
        assert "…" in said
        assert "and 4 others: see dlq show" in said

    def test_keeps_all_of_it_for_programs(self, run: Run) -> None:
        (queue,) = json.loads(run("dlq", "list", "--json").stdout)
        assert queue["reasons"] == [self.LONG, *(f"reason {number}" for number in range(8))]


class TestDocuments:
    def test_a_key_in_the_unusual_form_is_told_from_its_twin(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        uris = [unicodedata.normalize(form, "s3://b/cafés.pdf") for form in ("NFC", "NFD")]
        failing = (FailedDocument(uri, "no text", START, START) for uri in uris)
        listed = tuple(DocumentBody.from_domain(left_out(each, each.uri.removeprefix("s3://b/"))) for each in failing)
        body = DocumentsBody(documents=listed, next_token=None, retry=None)
        monkeypatch.setattr(FleetApi, "documents", lambda *_: body)
        said = run("documents", "acme", "--failed").stdout
        assert f"{uris[1]} (NFD)" in said
        assert f"{uris[0]} (NF" not in said
        assert "are others to S3" in said

    def test_two_names_that_look_the_same_are_told(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = [unicodedata.normalize(form, "cafés.pdf") for form in ("NFC", "NFD")]
        state = DocumentState(DocumentStatus.ANSWERED_FROM, START, None, KnownFrom.LEDGER)
        documents = tuple(
            DocumentBody.from_domain(TenantDocument(f"s3://b/{key}", key, state, BucketEntry(key, START, START, 1)))
            for key in (*keys, "other.pdf")
        )
        body = DocumentsBody(documents=documents, next_token=None, retry=None)
        monkeypatch.setattr(FleetApi, "documents", lambda *_: body)
        said = run("documents", "acme").stdout
        assert "3 in the bucket: 3 answered from." in said
        assert f"{keys[0]} is there 2 times, in Unicode forms NFC and NFD" in said
        assert "other.pdf is there" not in said
