"""What `kbfleet` prints and how it exits, with the API's answers scripted."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.main
import cli.progress
from cli import spreadsheet
from cli.fleet_api import FleetApi, FleetUnreachable, Refused, UploadRefused
from kbfleet.contracts.asking import AskRequest, AskResponse, CitationBody, FreshnessBody, SourceBody
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import DocumentBody, DocumentsBody
from kbfleet.contracts.documents import DocumentRetryBody, FailedDocumentBody, GrantedUploadBody, UploadBody
from kbfleet.contracts.events import JobStateChangeDetail, ReconciliationDetail
from kbfleet.contracts.jobs import JobBody, JobsBody
from kbfleet.contracts.questions import QuestionRunsBody
from kbfleet.contracts.tenants import (
    ExecutionBody,
    ListedTenantBody,
    OffboardingBody,
    SyncBody,
    SyncHoldBody,
    SyncResultBody,
    TenantBody,
    TenantsBody,
)
from kbfleet.contracts.usage import DailyUsageBody, UsageBody, UsageCountsBody
from kbfleet.domain.answer import AnswerOutcome
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.diagnosis import Diagnosis
from kbfleet.domain.document_status import DocumentStatus, left_out
from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.failed_documents import FailedDocument, FailureStatus
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome, Statistics
from kbfleet.domain.left_out import LeftOutNotKnown, NotKnown
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.printable import printable
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch, RunCause, Score, Standing
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.reconciliation import Reconciliation, WholeRound
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.domain.tenant import Offboarding
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import DocumentKey, Upload
from kbfleet.domain.usage_plan import Tier
from tests.support import samples
from tests.support.hostile_words import assert_printable
from tests.support.http_server import Reply, serving
from tests.support.samples import failure_reason, job_state_change

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
WATCH = QuestionWatch(Life(TenantId("acme")))
JUDGED = QuestionRun("20260314T092653-1", RunCause.ROUND, NOW, NOW, ended_at=NOW)
Scripted = Callable[..., None]
Run = Callable[..., Any]


def sync(
    *, requested: int = 2, ended: int | None = None, outcome: Outcome = Outcome.SUCCEEDED, job: str | None = None
) -> SyncBody:
    reasons = () if outcome is Outcome.SUCCEEDED else (failure_reason("no text", "s3://b/a.pdf"),)
    return SyncBody(
        state=SyncState.RUNNING if job else SyncState.QUEUED if ended is None else SyncState.IDLE,
        requested_generation=requested,
        synced_generation=ended or 1,
        synced_at=NOW,
        pending_changes=ended != requested,
        running_job_id=job,
        running_job_status=JobStatus.IN_PROGRESS if job else None,
        pending_since=None,
        retries=0,
        hold=None,
        result=SyncResultBody(
            outcome=outcome, generation=ended or 1, ingestion_job_id="JOB0000001", ended_at=NOW, failure_reasons=reasons
        ),
    )


def tenant(of: SyncBody, status: TenantStatus = TenantStatus.ACTIVE) -> TenantBody:
    return TenantBody(
        tenant_id=TenantId("acme"),
        life=1,
        name="Acme [Outdoor] Ltd.",
        status=status,
        knowledge_store="S3_VECTORS",
        tier=Tier.STANDARD,
        bucket_name="kbfleet-acme-0123456789",
        knowledge_base_id="KB00000001",
        data_source_id="DS00000001",
        created_at=NOW,
        updated_at=NOW,
        status_since=NOW,
        converged=True,
        drift=(),
        foreign=(),
        breached_since=None,
        offboarding=None,
        erasure=None,
        changes_unnoticed_until=None,
        failure=None,
        sync=of,
    )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Sets the answers that the API's methods give, one after the other; an exception among them is raised."""
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]

    def script(**answers: list[Any]) -> None:
        for method, given in answers.items():
            if method == "tenant":
                well = DiagnosisBody.from_domain(Diagnosis(TenantId("acme"), NOW))
                monkeypatch.setattr(FleetApi, "diagnosis", lambda *_, well=well: well)
                monkeypatch.setattr(FleetApi, "question_runs", lambda *_: QuestionRunsBody.from_domain(WATCH, ()))
            remaining: Iterator[Any] = iter(given)

            def answer(*_: Any, remaining: Iterator[Any] = remaining, **__: Any) -> Any:
                following = next(remaining)
                if isinstance(following, Exception):
                    raise following
                return following

            monkeypatch.setattr(FleetApi, method, answer)

    return script


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(cli.main.app, list(arguments))


def test_provisioning_shows_each_step_once_and_then_that_it_is_done(scripted: Scripted, run: Run) -> None:
    steps = ["Ensure Bucket", "Ensure Bucket", "Run First Sync"]
    running = [ExecutionBody(execution="run", status="RUNNING", step=step) for step in steps]
    done = ExecutionBody(execution="run", status="SUCCEEDED", step="Tenant Ready")
    scripted(provision=[running[0]], provisioning=[*running, done], tenant=[tenant(sync(ended=2))])
    result = run("tenant", "add", "acme")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "  Provisioning acme: Ensure Bucket",
        "  Provisioning acme: Run First Sync",
        "  Provisioning acme: Tenant Ready",
    ]
    assert result.stdout.splitlines() == ["✓ Tenant acme is active."]


def test_a_suspended_tenant_is_converged_and_not_said_to_be_in_service(scripted: Scripted, run: Run) -> None:
    done = ExecutionBody(execution="run", status="SUCCEEDED", step="Tenant Ready")
    scripted(provision=[done], provisioning=[done], tenant=[tenant(sync(ended=2), TenantStatus.SUSPENDED)])
    (said,) = run("tenant", "add", "acme").stdout.splitlines()
    assert said == "✓ Tenant acme is converged, and stays suspended until `kbfleet tenant resume acme`."


def test_a_tenant_that_is_suspended_again_is_not_said_to_be_in_service(scripted: Scripted, run: Run) -> None:
    scripted(resume=[tenant(sync(ended=2), TenantStatus.SUSPENDED), tenant(sync(ended=2))])
    said = " ".join(run("tenant", "resume", "acme").stdout.split())
    assert (
        said
        == "✓ Tenant acme is not deleted, and stays suspended, as it was before, until `kbfleet tenant resume acme`."
    )
    assert run("tenant", "resume", "acme").stdout.splitlines() == ["✓ Tenant acme is in service again."]


def test_a_program_reads_how_a_provisioning_went_and_nothing_else(scripted: Scripted, run: Run) -> None:
    done = ExecutionBody(execution="run", status="SUCCEEDED", step="Tenant Ready")
    scripted(provision=[done], provisioning=[done], tenant=[tenant(sync())])
    assert json.loads(run("tenant", "add", "acme", "--json").stdout)["status"] == "SUCCEEDED"


@pytest.mark.parametrize(("arguments", "tier"), [((), None), (("--tier", "premium"), Tier.PREMIUM)])
def test_a_tier_is_asked_for_only_if_it_is_given(
    scripted: Scripted, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], tier: Tier | None
) -> None:
    asked: list[tuple[Any, ...]] = []

    def provision(_self: FleetApi, *wanted: Any) -> ExecutionBody:
        asked.append(wanted)
        return ExecutionBody(execution="acme-1", status="RUNNING")

    scripted()
    monkeypatch.setattr(FleetApi, "provision", provision)
    assert run("tenant", "add", "acme", "--no-wait", *arguments).exit_code == 0
    assert asked == [("acme", None, None, tier, None)]


def test_a_tier_that_there_is_not_is_refused(run: Run) -> None:
    result = run("tenant", "add", "acme", "--tier", "GOLD")
    assert result.exit_code == 2
    assert "premium" in result.output.lower()


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("--tier", "premium"), {"tier": "PREMIUM"}),
        (("--name", "Acme [Indoor]"), {"name": "Acme [Indoor]"}),
        (("--name", "Acme", "--tier", "STANDARD"), {"name": "Acme", "tier": "STANDARD"}),
    ],
)
def test_an_update_asks_for_the_changes_of_a_tenant_that_must_exist(
    scripted: Scripted, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], body: dict[str, str]
) -> None:
    sent: list[tuple[Any, ...]] = []

    def signed(_self: FleetApi, _kind: object, *call: Any) -> ExecutionBody:
        sent.append(call)
        return ExecutionBody(execution="acme-1", status="SUCCEEDED")

    scripted()
    monkeypatch.setattr(FleetApi, "_signed", signed)
    result = run("tenant", "update", "acme", *arguments)
    assert (result.exit_code, result.stdout) == (0, "✓ Tenant acme is updated.\n")
    assert sent[0] == ("PUT", "/tenants/acme", {**body, "must_exist": True})


def test_an_update_of_nothing_is_refused(run: Run) -> None:
    result = run("tenant", "update", "acme")
    assert result.exit_code == 2
    assert "--tier" in result.stderr


def test_a_failed_provisioning_names_the_step_and_the_reason_and_exits_with_1(scripted: Scripted, run: Run) -> None:
    started = ExecutionBody(execution="run", status="RUNNING")
    failed = ExecutionBody(
        execution="run", status="FAILED", step="Ensure Bucket", error="X", reason="It is [not] ours."
    )
    scripted(provision=[started], provisioning=[failed])
    result = run("tenant", "add", "acme")
    assert result.exit_code == 1
    assert "Ensure Bucket" in result.stderr
    assert "It is [not] ours." in result.stderr


def test_without_waiting_the_execution_is_named(scripted: Scripted, run: Run) -> None:
    scripted(provision=[ExecutionBody(execution="acme-1", status="RUNNING")])
    result = run("tenant", "add", "acme", "--no-wait")
    assert result.exit_code == 0
    assert "acme-1" in result.stdout


def test_a_sync_waits_for_its_own_generation(scripted: Scripted, run: Run) -> None:
    scripted(
        request_sync=[sync(requested=3)],
        # The first result is of generation 2, which somebody else asked for.
        tenant=[
            tenant(sync(requested=3, ended=2)),
            tenant(sync(requested=3, job="J3")),
            tenant(sync(requested=3, ended=3)),
        ],
    )
    result = run("sync", "start", "acme")
    assert result.exit_code == 0
    assert "job J3 IN_PROGRESS" in result.stderr
    assert "in sync" in result.stdout


@pytest.mark.parametrize("outcome", [Outcome.DEGRADED, Outcome.FAILED, Outcome.STOPPED])
def test_a_sync_that_did_not_succeed_says_why_and_exits_with_1(scripted: Scripted, run: Run, outcome: Outcome) -> None:
    scripted(request_sync=[sync()], tenant=[tenant(sync(ended=2, outcome=outcome))])
    result = run("sync", "start", "acme")
    assert result.exit_code == 1
    for said in (outcome.value, "no text", "s3://b/a.pdf"):
        assert said in result.stderr


HOLD = SyncHoldBody.from_domain(Hold(HoldReason.DELETIONS, 400, 1000, NOW, NOW), TenantId("acme"))


def test_a_sync_that_is_held_says_why_and_how_it_goes_on_and_exits_with_1(scripted: Scripted, run: Run) -> None:
    looked_into = sync(requested=3).model_copy(update={"hold": HOLD})
    held = sync(requested=3, ended=2).model_copy(update={"hold": HOLD})
    scripted(request_sync=[looked_into], tenant=[tenant(looked_into), tenant(held)])
    result = run("sync", "start", "acme")
    assert (result.exit_code, "in sync" in result.stdout) == (1, False)
    said = " ".join(result.stderr.split())
    assert "is held. 400 of the 1,000 documents that are answered from are not in the bucket any more." in said
    assert "kbfleet sync start acme --accept-deletions 400" in said


def test_what_is_accepted_is_sent(scripted: Scripted, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = list[int | None]()

    def request(_: FleetApi, __: TenantId, accept_deletions: int | None = None) -> SyncBody:
        sent.append(accept_deletions)
        return sync()

    scripted(tenant=[tenant(sync(ended=2)), tenant(sync(ended=2))])
    monkeypatch.setattr(FleetApi, "request_sync", request)
    assert run("sync", "start", "acme", "--accept-deletions", "400").exit_code == 0
    assert run("sync", "start", "acme").exit_code == 0
    assert sent == [400, None]
    assert run("sync", "start", "acme", "--accept-deletions", "0").exit_code == 2


def test_a_tenant_whose_sync_is_held_is_shown_with_the_command(scripted: Scripted, run: Run) -> None:
    scripted(tenant=[tenant(sync(ended=2).model_copy(update={"hold": HOLD}))])
    shown = " ".join(run("tenant", "show", "acme").stdout.split())
    assert "HELD since" in shown
    assert "kbfleet sync start acme --accept-deletions 400" in shown


def test_a_status_can_be_read_by_programs_and_by_people(scripted: Scripted, run: Run) -> None:
    body = tenant(sync(ended=2))
    scripted(tenant=[body, body])
    assert json.loads(run("tenant", "show", "acme", "--json").stdout)["knowledge_base_id"] == "KB00000001"
    shown = run("tenant", "show", "acme").stdout
    assert "Acme [Outdoor] Ltd." in shown
    assert "ACTIVE" in shown


def test_an_answer_names_its_documents_and_says_when_it_may_be_out_of_date(scripted: Scripted, run: Run) -> None:
    source = SourceBody(
        document="terms.pdf", uri="s3://b/terms.pdf", passage="…", page=2, metadata={}, score=None, ticket="t"
    )
    answer = AskResponse(
        answer="At least 21 [years].",
        outcome=AnswerOutcome.ANSWERED,
        stop_reason=None,
        citations=(CitationBody(text="At least 21 [years].", start=0, end=20, sources=(source, source)),),
        session="session-1",
        freshness=FreshnessBody(synced_at=NOW, pending_changes=True),
        documents_left_out=2,
        request_id="r",
    )
    scripted(ask=[answer])
    result = run("ask", "How old?", "--token", "t")
    assert "At least 21 [years]." in result.stdout
    assert result.stdout.count("terms.pdf, page 2") == 1
    assert "not part of this answer yet" in result.stdout
    assert "--session session-1" in result.stdout


def answer(**changes: Any) -> AskResponse:
    given = AskResponse(
        answer="A year.",
        outcome=AnswerOutcome.ANSWERED,
        stop_reason=None,
        citations=(),
        session="s",
        freshness=FreshnessBody(synced_at=NOW, pending_changes=False),
        documents_left_out=0,
        request_id="r",
    )
    return given.model_copy(update=changes)


class TestAsking:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch, scripted: Scripted) -> list[tuple[Any, ...]]:
        """By which way each question was asked, for or as whom, and what was sent."""
        scripted()
        monkeypatch.delenv("KBFLEET_TOKEN", raising=False)
        requests: list[tuple[Any, ...]] = []

        def token(_: FleetApi, asked: AskRequest, token: str) -> AskResponse:
            requests.append(("token", token, asked))
            return answer()

        def own_rights(_: FleetApi, tenant_id: TenantId, asked: AskRequest) -> AskResponse:
            requests.append(("own rights", tenant_id, asked))
            return answer()

        monkeypatch.setattr(FleetApi, "ask", token)
        monkeypatch.setattr(FleetApi, "ask_for_tenant", own_rights)
        return requests

    def test_an_operator_asks_for_a_tenant_without_a_token(self, run: Run, sent: list[tuple[Any, ...]]) -> None:
        assert run("ask", "How long?", "--tenant", "acme").exit_code == 0
        ((way, whom, asked),) = sent
        assert (way, whom, asked.question) == ("own rights", "acme", "How long?")

    def test_a_tenant_counts_for_more_than_a_token_of_the_environment(
        self, run: Run, sent: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KBFLEET_TOKEN", "t")
        assert run("ask", "How long?").exit_code == 0
        assert run("ask", "How long?", "--tenant", "acme").exit_code == 0
        assert [way for way, *_ in sent] == ["token", "own rights"]

    @pytest.mark.parametrize("arguments", [[], ["--tenant", "acme", "--token", "t"], ["--tenant", "A"]])
    def test_it_must_be_clear_who_asks(self, run: Run, sent: list[tuple[Any, ...]], arguments: list[str]) -> None:
        assert run("ask", "How long?", *arguments).exit_code == 2
        assert sent == []

    @pytest.mark.parametrize("whom", [["--tenant", "acme"], ["--token", "t"]])
    @pytest.mark.parametrize(
        ("given", "session", "kept"),
        [([], None, False), (["--session", "new"], None, True), (["--session", "s1"], "s1", True)],
    )
    def test_only_a_session_that_is_asked_for_is_begun_continued_and_kept(
        self,
        run: Run,
        sent: list[tuple[Any, ...]],
        whom: list[str],
        given: list[str],
        session: str | None,
        *,
        kept: bool,
    ) -> None:
        assert run("ask", "How long?", *whom, *given).exit_code == 0
        ((*_, asked),) = sent
        assert (asked.session, asked.keep) == (session, kept)

    @pytest.mark.parametrize(("given", "said"), [([], {}), (["--passages", "5"], {"passages": 5})])
    def test_the_tenants_profile_says_how_many_passages_unless_the_command_does(
        self, run: Run, sent: list[tuple[Any, ...]], given: list[str], said: dict[str, int]
    ) -> None:
        assert run("ask", "How long?", "--tenant", "acme", *given).exit_code == 0
        ((*_, asked),) = sent
        assert asked.model_dump(exclude_defaults=True, include={"passages"}) == said

    def test_the_way_to_go_on_is_told_where_a_conversation_begins_and_not_again(
        self, scripted: Scripted, run: Run
    ) -> None:
        scripted(ask_for_tenant=[answer(session="s1"), answer(session="s1")])
        said = [
            run("ask", "How long?", "--tenant", "acme", "--session", given).stdout.count("--session s1")
            for given in ("new", "s1")
        ]
        assert said == [1, 0]

    def test_an_answer_that_stands_alone_names_no_session(self, scripted: Scripted, run: Run) -> None:
        scripted(ask_for_tenant=[answer(session="")])
        assert "--session" not in run("ask", "How long?", "--tenant", "acme").stdout

    @pytest.mark.parametrize(("left_out", "warned"), [(None, False), (0, False), (1, True), (3, True)])
    def test_documents_that_are_left_out_are_a_warning(
        self, scripted: Scripted, run: Run, left_out: int | None, *, warned: bool
    ) -> None:
        scripted(ask_for_tenant=[answer(documents_left_out=left_out)])
        assert ("could not be indexed" in run("ask", "How long?", "--tenant", "acme").stdout) == warned


@pytest.mark.parametrize(
    "arguments",
    [
        ["--passages", "0"],
        ["--passages", "101"],
        ["--filter", "department = sales"],
        ["--filter", '{"equals": {"key": "department"}}'],
        ["--session", ""],
    ],
)
def test_a_question_that_cannot_be_asked_is_not_sent(scripted: Scripted, run: Run, arguments: list[str]) -> None:
    scripted()
    assert run("ask", "How old?", "--token", "t", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (Refused(404, "TenantNotFound", "No tenant acme is registered."), 2),
        (Refused(400, "InvalidInput", "name: too long."), 2),
        (Refused(429, "Throttled", "Too fast."), 1),
        (Refused(502, "AccessRefused", "The service behind this API could not answer."), 1),
        (FleetUnreachable("Stack 'kbfleet' was not found."), 1),
    ],
)
def test_a_refusal_is_one_sentence_and_its_kind_decides_the_exit_code(
    scripted: Scripted, run: Run, failure: Exception, exit_code: int
) -> None:
    scripted(tenant=[failure])
    result = run("tenant", "show", "acme")
    assert result.exit_code == exit_code
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("tenant", "show", "acme"), ("doctor",)])
def test_without_a_region_it_is_said_how_to_give_one_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("No Region is set. Give --region, or set AWS_REGION.\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("tenant", "add", "A"), ("tenant", "show", "a--b"), ("sync", "start", "x" * 33), ("ask", " ", "--token", "t")],
)
def test_what_cannot_be_valid_is_refused_before_anything_is_called(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


class TestOffboardingWithoutWaiting:
    def reported(self, scripted: Scripted, run: Run, requested_at: datetime, retention: timedelta, *more: str) -> str:
        plan = Offboarding(requested_at, requested_at + retention, TenantStatus.ACTIVE)
        leaving = tenant(sync()).model_copy(update={"status": TenantStatus.OFFBOARDING, "offboarding": plan})
        running = ExecutionBody(execution="run", status="RUNNING", step="Delete Bucket") if not retention else None
        requested = OffboardingBody(
            tenant_id=leaving.tenant_id, status=leaving.status, offboarding=plan, execution=running
        )
        scripted(tenant=[tenant(sync()), leaving], offboard=[requested])
        result = run("tenant", "offboard", "acme", "--confirm", "acme", *more)
        assert result.exit_code == 0
        return str(result.stdout)

    @pytest.mark.parametrize("begun", [False, True])
    def test_the_tenant_shows_until_when(self, scripted: Scripted, run: Run, begun: bool) -> None:
        plan = Offboarding(NOW, NOW + timedelta(days=30), TenantStatus.ACTIVE, NOW if begun else None)
        scripted(tenant=[tenant(sync()).model_copy(update={"status": TenantStatus.OFFBOARDING, "offboarding": plan})])
        said = run("tenant", "show", "acme").stdout
        assert f"Deleted after {NOW + timedelta(days=30):%Y-%m-%d}" in " ".join(said.split())
        assert ("kbfleet tenant resume acme" in said, "not any more" in said) == (not begun, begun)

    def test_until_the_retention_period_ends_it_can_be_taken_back(self, scripted: Scripted, run: Run) -> None:
        for more in ((), ("--wait",)):
            reported = self.reported(scripted, run, datetime.now(UTC), timedelta(days=30), *more)
            assert "until then, `kbfleet tenant resume acme` takes it back" in reported

    @pytest.mark.parametrize("clock_behind", [timedelta(), timedelta(minutes=5)])
    def test_without_one_it_cannot(self, scripted: Scripted, run: Run, clock_behind: timedelta) -> None:
        reported = self.reported(scripted, run, datetime.now(UTC) + clock_behind, timedelta())
        assert reported == "Tenant acme is out of service. Everything is deleted at once, and cannot be taken back.\n"


@pytest.mark.parametrize(
    ("retention", "arguments", "when"),
    [
        (30, (), "(in 30 days)"),
        (30, ("--retention-days", "1"), "(in 1 day)"),
        (30, ("--retention-days", "0"), "deleted at once, and cannot be taken back"),
        (0, (), "deleted at once, and cannot be taken back"),
        (None, (), "after the retention period of the stack"),
    ],
)
def test_who_is_to_confirm_an_offboarding_is_told_when_it_deletes(
    scripted: Scripted,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    retention: int | None,
    arguments: tuple[str, ...],
    when: str,
) -> None:
    scripted(tenant=[tenant(sync())])
    api = FleetApi("https://api.example.com/v1", None, retention_days=retention)  # type: ignore[arg-type]
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)
    result = run("tenant", "offboard", "acme", *arguments)  # nobody answers
    assert result.exit_code == 2
    assert when in result.stderr


def test_that_nothing_failed_in_provisioning_is_not_said_of_syncs(scripted: Scripted, run: Run) -> None:
    scripted(tenants=[TenantsBody(tenants=(), next_token=None)])
    said = run("tenant", "list", "--status", "failed").stdout
    assert "no provisioning has failed" in said
    assert "column Last sync" in said


def test_adding_a_tenant_that_leaves_at_that_moment_is_refused(scripted: Scripted, run: Run) -> None:
    done = ExecutionBody(execution="run", status="SUCCEEDED", step="Provisioning Superseded")
    scripted(provision=[done], provisioning=[done], tenant=[tenant(sync(), TenantStatus.OFFBOARDING)])
    result = run("tenant", "add", "acme", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Tenant acme is OFFBOARDING" in result.stderr


@pytest.mark.parametrize(
    ("tenants", "resources", "said"),
    [(1, 1, "1 tenant and 1 resource: they agree."), (2, 3, "2 tenants and 3 resources: they agree.")],
)
def test_a_reconciliation_counts_in_words_that_fit(
    scripted: Scripted, run: Run, tenants: int, resources: int, said: str
) -> None:
    report = ReconciliationDetail(
        occurred_at=NOW, tenants=tenants, resources=resources, missing=0, unexplained=0, findings=()
    )
    scripted(reconcile=[report])
    assert run("reconcile").stdout.splitlines()[0] == said


def test_a_reconciliation_says_what_is_not_a_tenants_own_and_whom_it_has_not_looked_into(
    scripted: Scripted, run: Run
) -> None:
    found = Finding(Disagreement.FOREIGN, ResourceKind.DATA_SOURCE, "DS00000009", TenantId("acme"))
    trouble = (TenantId("beta"), NotReadyYet("AWS does not say what data source [DS] reads."))
    report = Reconciliation(NOW, 3, 9, (found,), looked_into=2, not_looked_into=1, troubles=(trouble,))
    scripted(reconcile=[ReconciliationDetail.from_domain(report)])
    answer = run("reconcile", "--tenant", "acme")
    assert answer.exit_code == 1
    said = "2 tenants looked into for what is not their own; 1 other not yet, since no daily round has come to its end."
    assert said in " ".join(answer.stdout.split())
    assert "FOREIGN data source DS00000009: Answers may be wrong or old meanwhile." in answer.stdout
    assert "→ `kbfleet tenant add acme` deletes it" in answer.stdout
    assert "beta: AWS does not say what data source [DS] reads." in answer.stdout


def test_a_reconciliation_says_what_the_last_round_found_within_others_and_when(scripted: Scripted, run: Run) -> None:
    changed = Finding(Disagreement.CHANGED, ResourceKind.SERVICE_ROLE, "kbfleet-beta", TenantId("beta"))
    last = WholeRound(NOW - timedelta(hours=3), NOW - timedelta(hours=1), missed=2)
    report = Reconciliation(NOW, 9, 9, (), looked_into=1, not_looked_into=8, recorded=(changed,), last_round=last)
    scripted(reconcile=[ReconciliationDetail.from_domain(report)])
    answer = run("reconcile")
    said = " ".join(answer.stdout.split())
    assert answer.exit_code == 1
    assert f"by the daily round from {last.began_at:%Y-%m-%d %H:%M} UTC to {last.ended_at:%Y-%m-%d %H:%M} UTC" in said
    assert "2 tenants it could not look into" in said
    assert "Found within tenants when they were last looked into:" in said
    assert "CHANGED service role kbfleet-beta" in said


def test_nothing_wrong_that_not_everybody_was_looked_into_for_is_not_called_well(scripted: Scripted, run: Run) -> None:
    report = Reconciliation(NOW, 9, 9, (), looked_into=1, not_looked_into=8)
    scripted(reconcile=[ReconciliationDetail.from_domain(report)])
    assert "not everything could be looked at" in run("reconcile").stdout


def test_repairs_in_parts_say_how_many_are_left_and_how_to_go_on(scripted: Scripted, run: Run) -> None:
    lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "acme", TenantId("acme"))
    report = Reconciliation(NOW, 9, 9, (lost,), (TenantId("acme"),))
    done = ReconciliationDetail.from_domain(report)
    scripted(reconcile=[done, ReconciliationDetail.from_domain(replace(report, repairs_left=7))])
    assert run("reconcile", "--repair").exit_code == 0
    answer = run("reconcile", "--repair")
    assert answer.exit_code == 1
    assert (
        "7 tenants wait to be repaired: when those are done, run `kbfleet reconcile --repair` again." in answer.stdout
    )


def test_what_a_reconciliation_leaves_out_is_counted(scripted: Scripted, run: Run) -> None:
    lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "acme", TenantId("acme"))
    report = Reconciliation(NOW, 9, 9, (lost,) * 5, (TenantId("acme"),) * 3)
    scripted(reconcile=[ReconciliationDetail.from_domain(report, at_most=1)])
    answer = run("reconcile", "--repair")
    assert answer.exit_code == 1
    assert answer.stdout.startswith("9 tenants and 9 resources: 5 disagreements.")
    assert "… and 4 disagreements more." in answer.stdout
    assert "… and 2 tenants more." in answer.stdout


def test_a_tenant_says_until_when_changes_may_go_unnoticed(scripted: Scripted, run: Run) -> None:
    unnoticed = tenant(sync()).model_copy(update={"changes_unnoticed_until": NOW})
    scripted(tenant=[unnoticed, unnoticed, tenant(sync())])
    assert "Unnoticed changes" in run("tenant", "show", "acme").stdout
    said = json.loads(run("tenant", "show", "acme", "--json").stdout)["changes_unnoticed_until"]
    assert datetime.fromisoformat(said) == NOW
    assert "Unnoticed changes" not in run("tenant", "show", "acme").stdout


def test_a_tenant_says_what_is_not_its_own(scripted: Scripted, run: Run) -> None:
    reported = tenant(sync()).model_copy(update={"foreign": ("data source DS00000009",), "breached_since": NOW})
    scripted(tenant=[reported, tenant(sync())])
    shown = run("tenant", "show", "acme").stdout
    assert "BREACHED since" in shown
    assert "data source DS00000009" in shown
    assert "no breach is known" in run("tenant", "show", "acme").stdout


class TestDocuments:
    FAILED = DocumentBody.from_domain(
        left_out(FailedDocument("s3://b/[draft].pdf", "no text", NOW, NOW), "[draft].pdf")
    )
    ASIDE = DocumentBody.from_domain(
        left_out(
            FailedDocument("s3://b/old.xls", "no text", NOW, NOW, times=4, status=FailureStatus.SET_ASIDE), "old.xls"
        )
    )
    RETRY = DocumentRetryBody(requested_at=NOW, ended_at=None, under_way=2, fixed=0, failed=0, unanswered=0, stopped="")

    def ended(self, **counts: Any) -> DocumentRetryBody:
        return self.RETRY.model_copy(update={"ended_at": NOW, "under_way": 0, **counts})

    def test_the_table_shows_each_with_its_reason_and_whether_it_is_set_aside(
        self, scripted: Scripted, run: Run
    ) -> None:
        body = DocumentsBody(documents=(self.FAILED, self.ASIDE), next_token=None, retry=self.RETRY)
        scripted(documents=[body])
        result = run("documents", "acme", "--failed")
        assert result.exit_code == 0
        (failed,) = (line for line in result.stdout.splitlines() if "[draft]" in line)
        assert "no text" in failed
        (aside,) = (line for line in result.stdout.splitlines() if "old.xls" in line)
        assert "yes" in aside
        assert "0 fixed, 0 not, 2 under way" in result.stdout

    NOT_KNOWN = LeftOutNotKnown(
        NotKnown.NOT_COLLECTED, NOW, "JOB0000007", "It is not [collected].", "`kbfleet dlq list`"
    )

    @pytest.mark.parametrize("documents", [(), (FAILED,)])
    def test_where_it_is_not_known_what_failed_nothing_is_well(
        self, scripted: Scripted, run: Run, documents: tuple[DocumentBody, ...]
    ) -> None:
        body = DocumentsBody(documents=documents, next_token=None, retry=None, not_known=self.NOT_KNOWN)
        scripted(documents=[body])
        shown = run("documents", "acme", "--failed").stdout
        assert "Whether documents have failed is not known since 2026-03-14 09:26:53 UTC" in shown
        assert "It is not [collected]." in shown
        assert "→ `kbfleet dlq list`" in shown
        assert "✓" not in shown

    def test_a_tenant_of_which_it_is_not_known_is_not_shown_as_well(self, scripted: Scripted, run: Run) -> None:
        body = tenant(sync())
        unknown = body.sync.model_copy(update={"documents_left_out": None, "left_out_not_known": self.NOT_KNOWN})
        known = body.sync.model_copy(update={"documents_left_out": 3, "left_out_not_known": None})
        none = body.sync.model_copy(update={"documents_left_out": 0, "left_out_not_known": None})
        scripted(tenant=[body.model_copy(update={"sync": each}) for each in (unknown, known, none)])
        assert "not known since" in run("tenant", "show", "acme").stdout
        for count in ("3", "none"):
            (line,) = (line for line in run("tenant", "show", "acme").stdout.splitlines() if "left out" in line)
            assert line.split()[-1] == count

    def test_a_retry_of_nothing_is_not_told_as_well(self, scripted: Scripted, run: Run) -> None:
        scripted(retry_documents=[self.RETRY], document_retry=[self.ended()])
        result = run("sync", "retry-failed", "acme")
        assert "Nothing was retried" in result.stdout
        assert "✓" not in result.stdout

    def test_an_empty_list_is_said(self, scripted: Scripted, run: Run) -> None:
        scripted(documents=[DocumentsBody(documents=(), next_token=None, retry=None)])
        assert "No document of tenant acme is known to have failed" in run("documents", "acme", "--failed").stdout

    def test_all_pages_are_one_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pages = iter(
            [
                DocumentsBody(documents=(self.FAILED,), next_token="ab", retry=None),
                DocumentsBody(documents=(self.ASIDE,), next_token=None, retry=None),
            ]
        )
        asked: list[str] = []

        def signed(_self: FleetApi, _kind: object, _method: str, path: str) -> DocumentsBody:
            asked.append(path)
            return next(pages)

        monkeypatch.setattr(FleetApi, "_signed", signed)
        body = FleetApi("https://api.example.com/v1", None).documents(TenantId("acme"), DocumentStatus.LEFT_OUT)  # type: ignore[arg-type]
        assert body.documents == (self.FAILED, self.ASIDE)
        first = "/tenants/acme/documents?status=LEFT_OUT"
        assert asked == [first, f"{first}&next_token=ab"]

    def test_a_retry_is_watched_to_its_end(self, scripted: Scripted, run: Run) -> None:
        scripted(retry_documents=[self.RETRY], document_retry=[self.RETRY, self.ended(fixed=2)])
        result = run("sync", "retry-failed", "acme")
        assert result.exit_code == 0
        assert "2 documents of tenant acme are fixed" in result.stdout

    @pytest.mark.parametrize(
        ("counts", "said"),
        [
            ({"fixed": 1, "failed": 1}, "1 failed again"),
            ({"unanswered": 3}, "3 got no answer in time"),
            ({"stopped": "Tenant acme is suspended."}, "Tenant acme is suspended."),
        ],
    )
    def test_what_still_fails_ends_with_1(
        self, scripted: Scripted, run: Run, counts: dict[str, Any], said: str
    ) -> None:
        scripted(retry_documents=[self.RETRY], document_retry=[self.ended(**counts)])
        result = run("sync", "retry-failed", "acme")
        assert result.exit_code == 1
        assert said in result.stderr

    def test_it_need_not_be_waited_for(self, scripted: Scripted, run: Run) -> None:
        scripted(retry_documents=[self.RETRY, self.RETRY])
        assert "are being tried again" in run("sync", "retry-failed", "acme", "--no-wait").stdout
        assert json.loads(run("sync", "retry-failed", "acme", "--no-wait", "--json").stdout)["under_way"] == 2


class TestJobs:
    def test_the_history_is_a_table_with_the_newest_first(self, scripted: Scripted, run: Run) -> None:
        failed = job_state_change(
            ingestion_job_id="JOB0000009", outcome=Outcome.FAILED, failure_reasons=(FailureReason("no [role]"),)
        )
        changes = (failed, job_state_change())
        scripted(jobs=[JobsBody(jobs=tuple(map(JobStateChangeDetail.from_domain, changes)), next_token=None)])
        result = run("jobs", "list", "acme")
        assert result.exit_code == 0
        first, second = (line for line in result.stdout.splitlines() if "JOB0" in line)
        assert "FAILED" in first
        assert "no [role]" in first
        assert "SUCCEEDED" in second

    @staticmethod
    def page(first: int, last: int, token: str | None) -> JobsBody:
        jobs = (job_state_change(ingestion_job_id=f"JOB{number:07}") for number in range(first, last))
        return JobsBody(jobs=tuple(map(JobStateChangeDetail.from_domain, jobs)), next_token=token)

    @pytest.mark.parametrize(
        ("limit", "asked", "shown", "more"),
        [
            ("100", ["limit=100"], 100, True),
            ("120", ["limit=100", "limit=20&next_token=aa"], 120, True),
            ("999", ["limit=100", "limit=100&next_token=aa", "limit=100&next_token=bb"], 230, False),
        ],
    )
    def test_as_many_as_are_asked_for_over_all_pages_and_whether_there_are_more(
        self,
        scripted: Scripted,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        limit: str,
        asked: list[str],
        shown: int,
        more: bool,
    ) -> None:
        called: list[str] = []

        def signed(_self: FleetApi, _kind: object, _method: str, path: str) -> JobsBody:
            called.append(path.removeprefix("/tenants/acme/jobs?"))
            match called[-1].split("&"):
                case ["limit=100"]:
                    return self.page(0, 100, "aa")
                case ["limit=20", _]:
                    return self.page(100, 120, "ab")
                case [_, "next_token=aa"]:
                    return self.page(100, 200, "bb")
            return self.page(200, 230, None)

        scripted()
        monkeypatch.setattr(FleetApi, "_signed", signed)
        result = run("jobs", "list", "acme", "--limit", limit)
        assert called == asked
        assert result.stdout.count("JOB0") == shown
        assert ("There are older ones" in result.stdout) is more

    def test_one_job_is_shown_whole(self, scripted: Scripted, run: Run) -> None:
        job = job_state_change(
            ingestion_job_id="JOB0000009",
            outcome=Outcome.DEGRADED,
            previous_outcome=Outcome.SUCCEEDED,
            generation=7,
            statistics=Statistics(scanned=9, new=4, modified=2, deleted=1, failed=3),
            failure_reasons=(failure_reason("no [text]", "s3://b/[a].pdf"),),
        )
        left_out = FailedDocumentBody(
            uri="s3://b/again.pdf",
            reason="too large",
            status=FailureStatus.SET_ASIDE,
            since=NOW,
            last_seen=NOW,
            times=3,
        )
        body = JobBody(job=JobStateChangeDetail.from_domain(job), left_out=(left_out,), left_out_total=512)
        scripted(job=[body])
        shown = run("jobs", "show", "acme", "JOB0000009").stdout
        for reported in (
            "acme · JOB0000009",
            "DEGRADED",
            "7",
            "9 read: 4 new, 2 changed, 1 deleted, 3 failed",
            "no [text]",
            "s3://b/[a].pdf",
            "s3://b/again.pdf",
            "too large",
            "1 of 512; `kbfleet documents acme --failed` shows all.",
        ):
            assert reported in shown

    def test_a_start_that_was_refused_is_no_running_job(self, scripted: Scripted, run: Run) -> None:
        refused = job_state_change(ingestion_job_id=None, started_at=None, generation=4, outcome=Outcome.FAILED)
        detail = JobStateChangeDetail.from_domain(refused)
        scripted(job=[JobBody(job=detail, left_out=(), left_out_total=0)])
        shown = run("jobs", "show", "acme", "generation-4").stdout
        assert "refused to start it" in shown
        assert "never" in shown

    def test_a_tenant_without_jobs_learns_so(self, scripted: Scripted, run: Run) -> None:
        scripted(jobs=[JobsBody(jobs=(), next_token=None)])
        assert "no ingestion jobs yet" in run("jobs", "list", "acme").stdout


USED = {"questions": 1234, "passages": 4936, "citations": 2468, "input_tokens": 987654, "output_tokens": 12345}


GOLDEN = {f"golden_{name}": 0 for name in ("searches", "answers", "input_tokens", "output_tokens")} | {
    "golden_answers_without_tokens": 0
}


def usage(*, unknown: int = 0) -> UsageBody:
    counts = {**USED, "questions_without_tokens": unknown, "nothing_found": 45, "refused_by_guardrail": 3, **GOLDEN}
    return UsageBody(
        tenant_id=TenantId("acme"),
        life=1,
        first_day=date(2026, 3, 1),
        last_day=date(2026, 3, 14),
        days=(DailyUsageBody(day=date(2026, 3, 9), **counts),),
        total=UsageCountsBody(**counts),
    )


def test_usage_is_a_table_with_a_total(scripted: Scripted, run: Run) -> None:
    scripted(usage=[usage()])
    ran = run("usage", "acme")
    assert ran.exit_code == 0
    *_, day, total, cost = ran.stdout.splitlines()
    assert "is not known" in cost
    assert "2026-03-01 to 2026-03-14" in ran.stdout
    for line, name in ((day, "2026-03-09"), (total, "Total")):
        assert line.split() == [name, "1,234", "4,936", "2,468", "987,654", "12,345", "45", "3"]
    assert "did not name" not in ran.stdout


def test_what_golden_questions_used_is_said_beside_it(scripted: Scripted, run: Run) -> None:
    golden = GOLDEN | {"golden_searches": 1_020, "golden_answers": 20, "golden_input_tokens": 9_000}
    body = usage()
    total = body.total.model_copy(update=golden)
    scripted(usage=[body.model_copy(update={"total": total}), usage()])
    *_, said = run("usage", "acme").stdout.splitlines()
    assert said == "Beside these, golden questions: 1,020 searches, 20 answers (9,000 tokens in, 0 out)."
    assert "golden" not in run("usage", "acme").stdout


def test_tokens_that_nobody_knows_are_reported(scripted: Scripted, run: Run) -> None:
    scripted(usage=[usage(unknown=7)])
    assert "For 7 questions the service did not name the tokens." in run("usage", "acme").stdout


def test_where_no_question_reported_its_tokens_there_is_no_number(scripted: Scripted, run: Run) -> None:
    unreported = {"questions": 9, "questions_without_tokens": 9, "input_tokens": 0, "output_tokens": 0}
    body = usage()
    unused = body.days[0].model_copy(update={**unreported, "questions": 0, "questions_without_tokens": 0})
    days = (body.days[0].model_copy(update=unreported), unused)
    scripted(usage=[body.model_copy(update={"days": days, "total": body.total.model_copy(update=unreported)})])
    lines = [line.split() for line in run("usage", "acme").stdout.splitlines() if line.strip()]
    rows = [line[4:6] for line in lines if line[0] in {"2026-03-09", "Total"}]
    assert rows == [["—", "—"], ["0", "0"], ["—", "—"]]


def listed(tenant_id: str, name: str) -> ListedTenantBody:
    named = samples.tenant(TenantId(tenant_id))
    return ListedTenantBody.from_domain(named, Sync(named.tenant_id), "2").model_copy(update={"name": name})


class TestUsageOfAllTenants:
    COLUMNS = (
        "tenant_id,name,tier,status,first_day,last_day,questions,passages,citations,input_tokens,output_tokens,"
        "questions_without_tokens,nothing_found,refused_by_guardrail,tokens_usd,life,golden_searches,"
        "golden_answers,golden_input_tokens,golden_output_tokens,golden_answers_without_tokens"
    )

    @pytest.fixture
    def fleet(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[Any, ...]]]:
        """Sets the tenants, by their names, and the model and Region. Returns: what is asked for usage."""

        def of(*names: str, model: str = "", region: str = "us-east-1", lives: int = 1) -> list[tuple[Any, ...]]:
            asked: list[tuple[Any, ...]] = []
            tenants = tuple(listed(f"tenant-{number}", name) for number, name in enumerate(names))
            api = FleetApi("https://api.example.com/v1", boto3.Session(region_name=region), model)
            monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)
            monkeypatch.setattr(FleetApi, "tenants", lambda *_: TenantsBody(tenants=tenants, next_token=None))

            def answer(
                _: FleetApi, tenant_id: TenantId, first: date | None, last: date | None, life: int | None
            ) -> Any:
                asked.append((tenant_id, first, last))
                return usage().model_copy(update={"tenant_id": tenant_id, "life": life or lives})

            monkeypatch.setattr(FleetApi, "usage", answer)
            return asked

        return of

    def test_csv_has_a_row_for_each_tenant_under_columns_that_stay(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        asked = fleet("Acme, Ltd.", "桜商事")
        ran = run("usage", "--all", "--csv")
        assert ran.exit_code == 0
        header, first, second = ran.stdout.splitlines()
        assert header == self.COLUMNS
        counted = "2026-03-01,2026-03-14,1234,4936,2468,987654,12345,0,45,3,,1,0,0,0,0,0"
        assert first == f'tenant-0,"Acme, Ltd.",STANDARD,ACTIVE,{counted}'
        assert second == f"tenant-1,桜商事,STANDARD,ACTIVE,{counted}"
        # All of them for the days of the first.
        assert asked == [("tenant-0", None, None), ("tenant-1", date(2026, 3, 1), date(2026, 3, 14))]

    def test_earlier_lives_of_an_id_have_rows_of_their_own(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        fleet("One", lives=3)
        rows = json.loads(run("usage", "--all", "--json").stdout)
        assert [(row["tenant_id"], row["life"]) for row in rows] == [("tenant-0", life) for life in (1, 2, 3)]
        assert "tenant-0, life 2" in run("usage", "--all").stdout

    def test_what_an_earlier_life_used_is_not_put_down_to_who_has_the_id_now(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        fleet("One", lives=2)
        rows = json.loads(run("usage", "--all", "--json").stdout)
        assert [(row["name"], row["tier"], row["status"]) for row in rows] == [
            ("tenant-0", "", "OFFBOARDED"),
            ("One", "STANDARD", "ACTIVE"),
        ]

    @pytest.mark.parametrize(
        "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("x","y")']
    )
    def test_no_name_is_a_formula(self, name: str) -> None:
        (_, (cell,)) = csv.reader(StringIO(spreadsheet.table(["name"], [[name]])))
        assert cell.startswith("'")

    @hypothesis.given(st.text())
    def test_a_cell_is_text_on_one_line_that_acts_nowhere(self, name: str) -> None:
        written = spreadsheet.table(["name", "count"], [[name, 7]])
        assert_printable(written)
        ((*_,), (cell, count)) = csv.reader(StringIO(written))
        assert cell[:1] not in set("=+-@\t\r")
        assert (cell.removeprefix("'") == printable(name) or cell == printable(name), count) == (True, "7")

    def test_a_fleet_without_tenants_has_the_header(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        fleet()
        assert run("usage", "--all", "--csv").stdout == f"{self.COLUMNS}\n"
        assert "no tenants" in run("usage", "--all").stdout

    def test_people_see_a_total_and_programs_all_of_it(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        fleet("One", "Two")
        assert "2,468" in next(line for line in run("usage", "--all").stdout.splitlines() if "Total" in line)
        rows = json.loads(run("usage", "--all", "--json").stdout)
        assert [(row["tenant_id"], row["questions"], row["tokens_usd"]) for row in rows] == [
            ("tenant-0", 1234, None),
            ("tenant-1", 1234, None),
        ]

    def test_tokens_have_a_cost_where_the_price_of_the_model_is_known(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]]
    ) -> None:
        fleet("One", model="amazon.nova-lite-v1:0")
        cost = 987_654 * 6e-8 + 12_345 * 2.4e-7
        assert run("usage", "--all", "--csv").stdout.splitlines()[1].endswith(f",{cost:.6f},1,0,0,0,0,0")
        assert f"USD {cost:,.4f}" in run("usage", "tenant-0").stdout
        fleet("One", model="amazon.nova-lite-v1:0", region="eu-west-1")
        assert "amazon.nova-lite-v1:0 cost in eu-west-1 is not known" in run("usage", "tenant-0").stdout
        assert run("usage", "--all", "--csv").stdout.splitlines()[1].endswith(",,1,0,0,0,0,0")

    @pytest.mark.parametrize(
        "arguments", [[], ["acme", "--all"], ["acme", "--csv"], ["--csv"], ["--all", "--csv", "--json"]]
    )
    def test_what_is_wanted_must_be_clear(
        self, run: Run, fleet: Callable[..., list[tuple[Any, ...]]], arguments: list[str]
    ) -> None:
        asked = fleet("One")
        assert run("usage", *arguments).exit_code == 2
        assert asked == []


def test_usage_of_some_days_is_asked_for_and_printed_for_programs(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted()
    asked: list[tuple[Any, ...]] = []

    def answer(_: FleetApi, *arguments: Any) -> UsageBody:
        asked.append(arguments)
        return usage()

    monkeypatch.setattr(FleetApi, "usage", answer)
    ran = run("usage", "acme", "--from", "2026-03-01", "--to", "2026-03-14", "--json")
    assert asked == [("acme", date(2026, 3, 1), date(2026, 3, 14), None)]
    assert json.loads(ran.stdout)["total"]["questions"] == 1234


def test_usage_of_an_earlier_life_is_asked_for_and_says_which_it_is(run: Run, scripted: Scripted) -> None:
    scripted(usage=[usage().model_copy(update={"life": 2}), usage().model_copy(update={"life": 2, "days": ()})])
    assert "acme, life 2 · " in run("usage", "acme", "--life", "2").stdout
    assert "Tenant acme, life 2 used nothing" in run("usage", "acme", "--life", "2").stdout
    assert run("usage", "acme", "--life", "0").exit_code == 2


def test_a_day_that_is_none_is_bad_input(run: Run, scripted: Scripted) -> None:
    scripted()
    assert run("usage", "acme", "--from", "yesterday").exit_code == 2


class TestUpload:
    FORM = UploadBody(url="https://b.example.com/", fields={"key": "handbook/rules.md"}, expires_at=NOW)
    GRANTED = (GrantedUploadBody(key="handbook/rules.md", form=FORM, metadata_written=False, refusal=None),)

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "rules [draft].md"
        file.write_bytes(b"# Rules")
        return file

    def test_a_document_is_sent_as_it_was_granted(
        self, run: Run, scripted: Scripted, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scripted()
        asked: list[Upload] = []
        sent: list[bytes] = []

        def grant(_: FleetApi, _tenant_id: TenantId, uploads: Sequence[Upload]) -> Sequence[GrantedUploadBody]:
            asked.extend(uploads)
            return self.GRANTED

        monkeypatch.setattr(FleetApi, "grant_uploads", grant)
        monkeypatch.setattr(FleetApi, "upload", lambda _, _tenant_id, _form, content: sent.append(content))
        arguments = ("--key", "handbook/rules.md", "--metadata", "department=sales=east", "--metadata", "部署=営業")
        ran = run("upload", "acme", str(file), *arguments)
        assert ran.exit_code == 0
        metadata = {"department": "sales=east", "部署": "営業"}
        md5 = hashlib.md5(b"# Rules", usedforsecurity=False).hexdigest()
        assert asked == [Upload(DocumentKey("handbook/rules.md"), 7, metadata=metadata, md5=md5)]
        assert sent == [b"# Rules"]
        assert "handbook/rules.md is uploaded" in ran.stdout

    def test_its_key_is_its_name_unless_another_is_given(self, run: Run, scripted: Scripted, file: Path) -> None:
        scripted(grant_uploads=[self.GRANTED], upload=[None])
        ran = run("upload", "acme", str(file), "--json")
        assert '"key": "rules [draft].md"' in ran.stdout
        assert '"size": 7' in ran.stdout

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("--key", "../rules.md"), "key"),
            (("--key", "rules.exe"), "key"),
            (("--metadata", "department"), "metadata"),
            (("--metadata", "=sales"), "metadata"),
        ],
    )
    def test_what_cannot_be_uploaded_is_reported_before_anybody_is_asked(
        self, run: Run, scripted: Scripted, file: Path, arguments: tuple[str, ...], named: str
    ) -> None:
        scripted()
        ran = run("upload", "acme", str(file), *arguments)
        assert ran.exit_code == 2
        assert named in ran.stderr

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("empty.md", b"", "empty.md: It is empty."),
            ("deck.pptx", b"PK", "deck.pptx: Bedrock does not read files of its format."),
            ("cut.pdf", b"%PDF-1.4 1 0 obj", "cut.pdf: Its end is missing"),
            ("page.pdf", b"<html>", "page.pdf: It is not what its ending says: it looks like a web page."),
        ],
    )
    def test_what_can_never_be_read_is_refused_by_the_name_of_the_file(
        self, run: Run, scripted: Scripted, tmp_path: Path, name: str, content: bytes, said: str
    ) -> None:
        scripted()
        (tmp_path / name).write_bytes(content)
        ran = run("upload", "acme", str(tmp_path / name))
        assert ran.exit_code == 1
        assert said in ran.stderr
        assert "Nothing was sent" in ran.stderr

    def test_it_is_sent_all_the_same_when_that_is_asked_for(self, run: Run, scripted: Scripted, tmp_path: Path) -> None:
        scripted(grant_uploads=[self.GRANTED], upload=[None])
        (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.4 1 0 obj")
        ran = run("upload", "acme", str(tmp_path / "cut.pdf"), "--force")
        assert ran.exit_code == 0
        assert "Its end is missing" in ran.stderr

    def test_what_may_yet_be_read_is_sent_and_said(self, run: Run, scripted: Scripted, tmp_path: Path) -> None:
        scripted(grant_uploads=[self.GRANTED], upload=[None])
        (tmp_path / "prices.csv").write_bytes("価格".encode("cp932"))
        ran = run("upload", "acme", str(tmp_path / "prices.csv"))
        assert ran.exit_code == 0
        assert "does not seem to be UTF-8" in ran.stderr

    def test_a_large_file_is_judged_by_its_end(self, run: Run, scripted: Scripted, tmp_path: Path) -> None:
        scripted(grant_uploads=[self.GRANTED], upload=[None])
        (tmp_path / "large.pdf").write_bytes(b"%PDF-1.4" + bytes(300_000) + b"startxref 0 %%EOF")
        assert run("upload", "acme", str(tmp_path / "large.pdf")).exit_code == 0

    def test_a_file_that_is_not_there_is_bad_input(self, run: Run, tmp_path: Path) -> None:
        assert run("upload", "acme", str(tmp_path / "nothing.md")).exit_code == 2

    @pytest.mark.parametrize(
        ("body", "reported"),
        [
            (b"<Error><Code>EntityTooLarge</Code><Message>Too large.</Message></Error>", "EntityTooLarge: Too large."),
            (b"<html>", "no reason"),
        ],
    )
    def test_what_s3_refuses_is_reported_with_its_reason(self, body: bytes, reported: str) -> None:
        api = FleetApi("https://api.example.com/v1", None)  # type: ignore[arg-type]  # nothing is signed
        with serving(Reply(400, body)) as s3, pytest.raises(UploadRefused, match=reported):
            api.upload(TenantId("acme"), self.FORM.model_copy(update={"url": s3.url}), b"# Rules")


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({}, "none; `kbfleet questions suggest acme` proposes some"),
        ({"questions": 3}, "3, not asked yet; `kbfleet questions run acme` asks them now"),
        (
            {"questions": 20, "last": JUDGED, "came_to": Score(18, 1, 1, None, None, None, 1)},
            "18 of 19 pass (95%); 1 could not be asked; run of 2026-03-14 09:26:53 UTC",
        ),
        (
            {"questions": 2, "last": JUDGED, "came_to": Score(0, 0, 2, None, None, None)},
            "none was judged; 2 judged by answers only; run of",
        ),
        ({"questions": 1, "last": JUDGED, "came_to": Score(1, 0, 0, None, None, None)}, "1 of 1 pass (100%); run of"),
        (
            {
                "questions": 1,
                "last": JUDGED,
                "came_to": Score(0, 1, 0, None, None, None),
                "standings": {QuestionId("q1a2b"): Standing(1, known_to_pass=True, failing_since=NOW, regressed=True)},
            },
            "Regressed 1 question known to pass before. `kbfleet questions results acme` says which",
        ),
    ],
)
def test_a_tenant_is_shown_with_how_many_of_its_golden_questions_pass(
    scripted: Scripted, run: Run, monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], says: str
) -> None:
    body, watch = tenant(sync(ended=2)), QuestionWatch(Life(TenantId("acme")), **known)
    scripted(tenant=[body, body])
    monkeypatch.setattr(FleetApi, "question_runs", lambda *_: QuestionRunsBody.from_domain(watch, ()))
    shown = " ".join(run("tenant", "show", "acme").stdout.split())
    assert says in shown.replace("Regressed:", "Regressed")
    assert json.loads(run("tenant", "show", "acme", "--json").stdout)["golden_questions"] == json.loads(
        QuestionRunsBody.from_domain(watch, ()).stand.model_dump_json()
    )
