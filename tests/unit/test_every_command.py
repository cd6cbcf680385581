"""What holds of every command of `kbfleet`: help, JSON, exit codes, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import typer
from botocore.exceptions import NoCredentialsError
from pydantic import BaseModel
from typer.testing import CliRunner, Result

import cli.alert_secret
import cli.commands.fleet
import cli.commands.stack
import cli.main
import cli.progress
import cli.verify.run
from cli.dead_letter_queues import QUEUES
from cli.dead_letters import DeadLetter, DeadLetters, Redriven, Waiting
from cli.doctor import CheckResult, Verdict
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_stack import FleetStack
from cli.stack_import import Kept, StackImport
from cli.stack_remaining import Remaining, ResourceLeft, TenantLeft
from cli.verify.facts import FACTS, Took
from cli.verify.report import Line, Report
from cli.verify.run import Plan
from kbfleet.contracts.asking import AskResponse, FreshnessBody
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import (
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentLinkBody,
    DocumentsBody,
)
from kbfleet.contracts.documents import (
    DocumentRetryBody,
    DocumentTraceBody,
    FailedDocumentBody,
    GrantedUploadBody,
    HopBody,
    UploadBody,
)
from kbfleet.contracts.events import FindingBody, JobStateChangeDetail, ReconciliationDetail
from kbfleet.contracts.jobs import JobBody, JobsBody
from kbfleet.contracts.profiles import ListedProfileBody, ProfileBody, ProfileCheckBody, ProfilesBody
from kbfleet.contracts.questions import (
    QuestionBody,
    QuestionRunBody,
    QuestionRunsBody,
    QuestionsBody,
    QuestionStandBody,
    RegressionBody,
    RequestedRunBody,
    ScoreBody,
    VerdictBody,
)
from kbfleet.contracts.rebuilds import BesideBody, RebuildBody
from kbfleet.contracts.tenants import ExecutionBody, OffboardingBody, SyncBody, SyncResultBody, TenantBody, TenantsBody
from kbfleet.contracts.usage import DailyUsageBody, UsageBody, UsageCountsBody
from kbfleet.domain import document_trace
from kbfleet.domain.answer import AnswerOutcome
from kbfleet.domain.comparison import Comparison, Measure
from kbfleet.domain.diagnosis import Diagnosis, Unseen
from kbfleet.domain.document_status import (
    BucketEntry,
    DocumentState,
    DocumentStatus,
    KnownFrom,
    TenantDocument,
    left_out,
)
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.failed_documents import FailedDocument, FailureStatus
from kbfleet.domain.finding import Disagreement, Fact, Finding, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern, Timeline
from kbfleet.domain.ingestion_job import FailureReason, Outcome
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.printable import printable
from kbfleet.domain.profile_rules import refusals
from kbfleet.domain.profiles import changes
from kbfleet.domain.question_runs import Judgement, RunCause, Shortcoming
from kbfleet.domain.questions import GoldenQuestion, QuestionId
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import RESOURCES_VERSION
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.fleet_bodies import BUSY
from tests.support.hostile_words import FILLS_THE_CLIPBOARD, assert_printable
from tests.support.samples import ACME, SAKURA, job_state_change, tenant
from tests.unit.test_profiles import FULL, OFFER, saying

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
USED = UsageCountsBody(
    questions=3,
    passages=9,
    citations=4,
    input_tokens=100,
    output_tokens=20,
    nothing_found=1,
    refused_by_guardrail=0,
    questions_without_tokens=0,
    golden_searches=40,
    golden_answers=2,
    golden_input_tokens=900,
    golden_output_tokens=80,
    golden_answers_without_tokens=1,
)


def synced() -> SyncBody:
    result = SyncResultBody(
        outcome=Outcome.SUCCEEDED, generation=1, ingestion_job_id="JOB0000001", ended_at=NOW, failure_reasons=()
    )
    return SyncBody.from_domain(Sync(ACME)).model_copy(update={"result": result, "requested_generation": 1})


def shown() -> TenantBody:
    isolation = Timeline("acme", Concern.ISOLATION)
    return TenantBody.from_domain(tenant(), Sync(ACME), isolation, RESOURCES_VERSION, timedelta(minutes=10)).model_copy(
        update={"sync": synced()}
    )


def rebuilt(role: Role) -> TenantBody:
    """With another knowledge beside the live one, compared and worse."""
    comparison = Comparison(NOW, Measure(3, 2, 1), Measure(3, 2, 2), (QuestionId("q1a2b"),), (), ("It is worse.",))
    plan = RebuildPlan(NOW, "S3_VECTORS")
    beside = Beside(plan.candidate(2), role, NOW, plan, keep_until=NOW, comparison=comparison)
    return shown().model_copy(update={"beside": BesideBody.from_domain(beside)})


REBUILT = RebuildBody(tenant_id=ACME, live=1, beside=None, execution="acme-1")
DONE = ExecutionBody(execution="acme-1", status="SUCCEEDED", step="Tenant Ready")
REQUESTED = OffboardingBody(tenant_id=ACME, status=TenantStatus.OFFBOARDING, offboarding=None, execution=DONE)
JOB = JobStateChangeDetail.from_domain(job_state_change())
FAILED = FailedDocumentBody(
    uri="s3://b/[a].pdf", reason="no text", status=FailureStatus.FAILED, since=NOW, last_seen=NOW, times=1
)
LEFT_OUT = left_out(FailedDocument("s3://b/[a].pdf", "no text", NOW, NOW), "[a].pdf")
LISTED = (
    DocumentBody.from_domain(LEFT_OUT),
    DocumentBody.from_domain(
        TenantDocument(
            "s3://b/c.pdf",
            "c.pdf",
            DocumentState(DocumentStatus.ANSWERED_FROM, NOW, "JOB0000001", KnownFrom.LEDGER),
            BucketEntry("c.pdf", NOW, NOW, 1_000),
        )
    ),
)
DETAILS = DocumentDetailsBody.with_attributes(LEFT_OUT, b'{"metadataAttributes": {"year": 2026}}')
RETRY = DocumentRetryBody(requested_at=NOW, ended_at=NOW, under_way=0, fixed=1, failed=0, unanswered=0, stopped="")
HOP = HopBody(
    hop=document_trace.HopName.OBJECT, verdict=document_trace.Verdict.BROKEN, finding="It is gone.", advice="Upload it."
)

DIAGNOSIS = DiagnosisBody.from_domain(
    Diagnosis(
        ACME,
        NOW,
        (Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "acme", ACME),),
        (Unseen(Fact.BUCKET, "It may not be looked at."),),
    )
)
REPORT = Report(
    kbfleet="0.1.0",
    region="us-east-1",
    made_on=NOW.date(),
    facts=(Line.of(FACTS["vector-knowledge-base-creation"], Took(400, 410), 500),),
)

QUESTIONS = QuestionsBody(
    tenant_id=ACME,
    questions=(
        QuestionBody.from_domain(GoldenQuestion(QuestionId("q1a2b"), "How [long]?", ("[a].md",), ("two years",))),
        QuestionBody.from_domain(GoldenQuestion(QuestionId("q3c4d"), "What?", must_refuse=True)),
    ),
)
QUESTION_FILE = Path(__file__).parents[1] / "support" / "questions.jsonl"
QUESTION_RUNS = QuestionRunsBody(
    tenant_id=ACME,
    stand=QuestionStandBody(
        tenant_id=ACME,
        questions=3,
        judged_at=NOW,
        answers=True,
        score=ScoreBody(passed=0, failed=1, not_judged=2, hit_rate_5=0.0, hit_rate_1=0.0, mrr=0.0, not_asked=1),
        regressions=(QuestionId("q1a2b"),),
    ),
    under_way=None,
    runs=(
        QuestionRunBody(
            run="20260314T092653-1",
            cause=RunCause.CHANGE,
            requested_at=NOW,
            began_at=NOW,
            ended_at=NOW,
            answers=True,
            left=0,
            score=ScoreBody(passed=0, failed=1, not_judged=2, hit_rate_5=0.0, hit_rate_1=0.0, mrr=0.0, not_asked=1),
            verdicts=(
                VerdictBody(
                    id=QuestionId("q1a2b"),
                    judgement=Judgement.FAILED,
                    rank=None,
                    instead="[b].md",
                    shortcomings=tuple(Shortcoming),
                    trouble="",
                ),
                VerdictBody(
                    id=QuestionId("q3c4d"),
                    judgement=Judgement.NOT_JUDGED,
                    rank=None,
                    instead="",
                    shortcomings=(),
                    trouble="Throttled",
                ),
                VerdictBody(
                    id=QuestionId("q5e6f"),
                    judgement=Judgement.NOT_JUDGED,
                    rank=None,
                    instead="",
                    shortcomings=(),
                    trouble="",
                ),
            ),
        ),
    ),
    regressions=(RegressionBody(id=QuestionId("q1a2b"), since=NOW, after_sync=NOW, passed_at=NOW),),
)


TENANT_FILE = str(Path(__file__).parents[2] / "examples" / "tenants.csv")
NOBODY = TenantsBody.from_page([], None, RESOURCES_VERSION)
PROFILE_FILE = str(Path(__file__).parents[2] / "examples" / "profiles" / "faq.json")
CHANGED = saying("answering.passages", 0, saying("ingestion.parser.prompt", "Read."))
CHECKED = ProfileCheckBody.from_domain(refusals(CHANGED, OFFER), FULL, changes(FULL, CHANGED))


@dataclass(frozen=True)
class Sample:
    """A run of a command.

    Args:
        arguments: behind the command's name.
        answers: what methods of the API answer.
        exit_code: with these answers.
    """

    arguments: tuple[str, ...] = ("acme",)
    answers: Mapping[str, object] = field(default_factory=dict)
    exit_code: int = 0


SAMPLES: Mapping[str, Sample] = {
    "tenant add": Sample(answers={"provision": DONE, "provisioning": DONE, "tenant": shown()}),
    "tenant import": Sample((TENANT_FILE,), {"tenants": NOBODY, "provision": DONE, "provisioning": DONE}),
    "tenant list": Sample((), {"tenants": TenantsBody.from_page([(tenant(), Sync(ACME))], None, RESOURCES_VERSION)}),
    "tenant show": Sample(answers={"tenant": shown(), "diagnosis": DIAGNOSIS, "question_runs": QUESTION_RUNS}),
    "tenant update": Sample(("acme", "--tier", "premium"), {"update": DONE, "provisioning": DONE, "tenant": shown()}),
    "tenant suspend": Sample(answers={"suspend": shown()}),
    "tenant resume": Sample(answers={"resume": shown()}),
    "tenant rebuild": Sample(
        answers={
            "profile": ProfileBody.from_domain(FULL),
            "rebuild": REBUILT,
            "rebuilding": DONE,
            "tenant": rebuilt(Role.CANDIDATE),
        },
        exit_code=1,
    ),
    "tenant rollback": Sample(answers={"tenant": rebuilt(Role.RETIRED), "roll_back": rebuilt(Role.RETIRED)}),
    "tenant offboard": Sample(
        ("acme", "--confirm", "acme"), {"tenant": shown(), "offboard": REQUESTED, "offboarding": DONE}
    ),
    "sync start": Sample(answers={"request_sync": synced(), "tenant": shown()}),
    "sync stop": Sample(answers={"stop_sync": synced()}),
    "sync retry-failed": Sample(answers={"retry_documents": RETRY, "document_retry": RETRY}),
    "jobs list": Sample(answers={"jobs": JobsBody(jobs=(JOB,), next_token=None)}),
    "jobs show": Sample(("acme", "JOB0000001"), {"job": JobBody(job=JOB, left_out=(FAILED,), left_out_total=1)}),
    "documents list": Sample(answers={"documents": DocumentsBody(documents=LISTED, next_token=None, retry=None)}),
    "documents show": Sample(("acme", "a.pdf"), {"document": DETAILS}, exit_code=1),
    "documents open": Sample(
        ("acme", "a.pdf"), {"document_link": DocumentLinkBody(url="https://b.example.com/a.pdf", expires_at=NOW)}
    ),
    "documents delete": Sample(
        ("acme", "a.pdf", "--yes"),
        {"delete_document": DeletionBody(document=LISTED[1], versions_removed=3, complete=True)},
    ),
    "upload": Sample(
        ("acme", __file__, "--key", "a.md"),
        {
            "grant_uploads": (
                GrantedUploadBody(
                    key="a.md",
                    form=UploadBody(url="https://b.example.com/", fields={}, expires_at=NOW),
                    metadata_written=False,
                    refusal=None,
                ),
            ),
            "upload": None,
        },
    ),
    "why": Sample(
        ("acme", "a.pdf"),
        {"why": DocumentTraceBody(tenant_id=ACME, key="a.pdf", stuck_at=HOP.hop, hops=(HOP,))},
        exit_code=1,
    ),
    "ask": Sample(
        ("How long?", "--token", "t"),
        {
            "ask": AskResponse(
                answer="A [year].",
                outcome=AnswerOutcome.ANSWERED,
                stop_reason="end_turn",
                citations=(),
                session="s",
                freshness=FreshnessBody(synced_at=NOW, pending_changes=False),
                documents_left_out=None,
                request_id="r",
            )
        },
    ),
    "questions add": Sample(("acme", "How long?", "--expect", "a.md"), {"add_questions": QUESTIONS}),
    "questions suggest": Sample(
        answers={
            "some_documents": (LISTED[1].model_copy(update={"key": "a.md"}),),
            "document_link": DocumentLinkBody(url="https://b.example.com/a.md", expires_at=NOW),
            "opened": b"# Terms\n\nQ: How long is the [warranty]?\nA: Two years.\n",
            "questions": QUESTIONS,
        }
    ),
    "questions import": Sample(("acme", str(QUESTION_FILE)), {"add_questions": QUESTIONS}),
    "questions export": Sample(("acme", "/dev/null"), answers={"questions": QUESTIONS}),
    "questions list": Sample(answers={"questions": QUESTIONS}),
    "questions remove": Sample(("acme", "q1a2b"), {"remove_question": QUESTIONS}),
    "questions run": Sample(
        ("acme", "--answers"),
        {
            "request_question_run": RequestedRunBody(tenant_id=ACME, requested_at=NOW, answers=True),
            "question_runs": QUESTION_RUNS,
        },
        exit_code=1,
    ),
    "questions results": Sample(answers={"question_runs": QUESTION_RUNS}, exit_code=1),
    "usage": Sample(
        answers={
            "usage": UsageBody(
                tenant_id=ACME,
                life=1,
                first_day=date(2026, 3, 1),
                last_day=date(2026, 3, 14),
                days=(DailyUsageBody(day=date(2026, 3, 9), **USED.model_dump()),),
                total=USED,
            )
        }
    ),
    "reconcile": Sample(
        (),
        {
            "reconcile": ReconciliationDetail(
                occurred_at=NOW,
                tenants=1,
                resources=3,
                missing=1,
                unexplained=0,
                findings=(
                    FindingBody(
                        disagreement=Disagreement.MISSING,
                        kind=ResourceKind.BUCKET,
                        name="kbfleet-acme",
                        tenant_id=ACME,
                        harm=Harm.WRONG_ANSWERS,
                        command="kbfleet tenant add acme",
                        advice="`kbfleet tenant add acme` makes it again.",
                    ),
                ),
            )
        },
        exit_code=1,
    ),
    "status": Sample((), {"overview": BUSY}, exit_code=1),
    "profile list": Sample((), {"profiles": ProfilesBody(profiles=(ListedProfileBody.from_domain(FULL),))}),
    "profile show": Sample(("full",), {"profile": ProfileBody.from_domain(FULL)}),
    "profile put": Sample((PROFILE_FILE,), {"put_profile": ProfileBody.from_domain(FULL)}),
    "profile check": Sample((PROFILE_FILE,), {"check_profile": CHECKED}, exit_code=1),
    "profile diff": Sample((PROFILE_FILE,), {"check_profile": CHECKED}),
    "profile remove": Sample(("full",), {"remove_profile": ProfileBody.from_domain(FULL)}),
    "doctor": Sample((), exit_code=1),
    "costs": Sample(()),
    "dlq list": Sample((), exit_code=1),
    "dlq redrive": Sample((QUEUES[0].name, "--yes")),
    "dlq show": Sample((QUEUES[0].name,), exit_code=1),
    "dlq purge": Sample((QUEUES[0].name, "--yes")),
    "alerts connect": Sample(()),
    "stack remaining": Sample((), exit_code=1),
    "stack import": Sample(()),
    "verify": Sample(("--yes",), exit_code=1),
}
"""Of every command; a new one needs a sample here. docs/cli.md shows them."""


def commands() -> Mapping[str, Any]:
    def below(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield " ".join((*path, name)), command
            if hasattr(command, "commands"):
                yield from below(command, (*path, name))

    return dict(below(typer.main.get_command(cli.main.app), ()))


LEAVES = {name: command for name, command in commands().items() if not hasattr(command, "commands")}
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    return lambda name, *arguments: CliRunner().invoke(cli.main.app, [*name.split(), *arguments])


def let_a_fleet_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet that is there. docs/cli.md shows how: `tests/contract/command_page.py`."""
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    described = {"StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/kbfleet/0"}
    monkeypatch.setattr(FleetStack, "named", lambda *_: FleetStack("kbfleet", described, None))  # type: ignore[arg-type]
    finding = CheckResult("secrets", Verdict.WRONG, "The webhook is [not] set.", "Set it.")
    monkeypatch.setattr(cli.commands.fleet, "examine", lambda _: iter([finding]))
    monkeypatch.setattr(DeadLetters, "waiting", lambda _: iter([Waiting(QUEUES[0], 2, NOW, ("[x] is missing",))]))
    moved = [Redriven(0, 2, ended=False), Redriven(2, 2, ended=True)]
    monkeypatch.setattr(DeadLetters, "redrive", lambda *_: iter(moved))
    monkeypatch.setattr(DeadLetters, "messages", lambda *_: (DeadLetter("1", NOW, "[x] is missing", "{}"),))
    monkeypatch.setattr(DeadLetters, "purge", lambda *_: 1)
    monkeypatch.setattr(cli.alert_secret, "store", lambda *_: "the URL of a [webhook]")
    leave(monkeypatch, "[x]")
    monkeypatch.setattr(cli.verify.run, "plan", lambda *_, **__: Plan((ACME,), "at most 1 USD", 60))
    monkeypatch.setattr(cli.verify.run, "verify", lambda *_, **__: REPORT)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    let_a_fleet_answer(monkeypatch)


def leave(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """What stays of a stack."""
    left = Remaining((TenantLeft("acme", said, (said,), said, said),), (ResourceLeft(said, said, said, said),), (said,))
    monkeypatch.setattr(cli.commands.stack, "remaining", lambda *_: left)
    monkeypatch.setattr(StackImport, "of", lambda *_: StackImport("kbfleet", "kbfleet", None))  # type: ignore[arg-type]
    kept = (Kept("Table", said, {"TableName": said}, said),)
    monkeypatch.setattr(StackImport, "kept", lambda *_: kept)
    monkeypatch.setattr(StackImport, "take_in", lambda *_: None)


def answer(monkeypatch: pytest.MonkeyPatch, sample: Sample) -> None:
    for method, given in sample.answers.items():
        monkeypatch.setattr(FleetApi, method, lambda *_, given=given, **__: given)


def test_every_command_has_a_sample() -> None:
    assert SAMPLES.keys() == LEAVES.keys()


@pytest.mark.parametrize("name", ["", *commands()])
def test_help_is_there(name: str, run: Run) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: kbfleet {name}".strip() in " ".join(result.stdout.replace("root", "kbfleet").split())


@pytest.mark.parametrize("name", commands())
def test_the_help_says_what_it_does_in_a_sentence(name: str) -> None:
    assert (commands()[name].help or "").strip().endswith((".", "people."))


@pytest.mark.parametrize("name", LEAVES)
def test_json_is_all_that_a_program_gets(name: str, run: Run, answering: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, SAMPLES[name])
    result = run(name, *SAMPLES[name].arguments, "--json")
    assert result.exit_code == SAMPLES[name].exit_code, result.output
    json.loads(result.stdout)


@pytest.mark.parametrize("name", LEAVES)
def test_people_get_words(name: str, run: Run, answering: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, SAMPLES[name])
    result = run(name, *SAMPLES[name].arguments)
    assert result.exit_code == SAMPLES[name].exit_code, result.output
    assert result.stdout.strip()
    # Lines of JSON that people choose from are for a file, and what is said of them is beside them.
    assert name == "questions suggest" or not result.stdout.startswith("{")
    assert "\x1b" not in result.stdout


HOSTILE = f"{FILLS_THE_CLIPBOARD}[bold]a[/bold][link=https://evil.example]b\\\\[/] :bomb: [red\n\u202e\u2028x]"


def hostile(value: Any) -> Any:
    """The same answer, with every text in it that may be an outsider's written by one."""
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: hostile(each) for name, each in value})
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: hostile(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, tuple):
        return tuple(map(hostile, value))
    # Values of our own types are not texts of outsiders; nor is a status of Step Functions, which decides what is done.
    return HOSTILE if type(value) is str and value != "SUCCEEDED" else value


@pytest.fixture
def hostile_answers(run: Run, answering: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    finding = CheckResult("secrets", Verdict.WRONG, HOSTILE, HOSTILE)
    monkeypatch.setattr(cli.commands.fleet, "examine", lambda _: iter([finding]))
    monkeypatch.setattr(DeadLetters, "waiting", lambda _: iter([Waiting(QUEUES[0], 2, NOW, (HOSTILE,))]))
    monkeypatch.setattr(DeadLetters, "messages", lambda *_: (DeadLetter(HOSTILE, NOW, HOSTILE, HOSTILE),))
    leave(monkeypatch, HOSTILE)

    def run_it(name: str, *options: str) -> Result:
        sample = SAMPLES[name]
        answer(monkeypatch, replace(sample, answers={of: hostile(given) for of, given in sample.answers.items()}))
        return run(name, *sample.arguments, *options)

    return run_it


@pytest.mark.parametrize("name", LEAVES)
def test_what_outsiders_write_acts_on_no_terminal(name: str, hostile_answers: Callable[..., Result]) -> None:
    result = hostile_answers(name)
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    assert_printable(result.stdout)
    assert_printable(result.stderr)
    # Where it stands at all, it stands as it is.
    shown = result.stdout + result.stderr
    assert shown.count("evil.example") == shown.count(printable(HOSTILE)) + shown.count(printable(HOSTILE, keep="\n"))


@pytest.mark.parametrize("name", LEAVES)
def test_what_outsiders_write_acts_on_no_terminal_in_json_either(
    name: str, hostile_answers: Callable[..., Result]
) -> None:
    result = hostile_answers(name, "--json")
    assert_printable(result.stdout)
    shown = json.dumps(json.loads(result.stdout), ensure_ascii=False)
    assert shown.count("evil.example") == shown.count(json.dumps(HOSTILE, ensure_ascii=False)[1:-1])


def test_a_sync_that_failed_says_why_in_words(hostile_answers: Callable[..., Result]) -> None:
    reasons = (FailureReason(HOSTILE, HOSTILE),)
    failed = synced().result.model_copy(update={"outcome": Outcome.FAILED, "failure_reasons": reasons})  # type: ignore[union-attr]
    body = shown().model_copy(update={"sync": synced().model_copy(update={"result": failed})})
    sample = Sample(answers={"request_sync": synced(), "tenant": body})
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SAMPLES, "sync start", sample)
        result = hostile_answers("sync start")
    assert result.exit_code == 1
    assert_printable(result.stderr)
    assert result.stderr.splitlines()[-1].strip() == printable(f"{HOSTILE} {HOSTILE}")


@pytest.mark.parametrize("failure", [FleetUnreachable(HOSTILE), Refused(404, "X", HOSTILE), InvalidInput("x", HOSTILE)])
def test_what_aws_says_of_a_failure_acts_on_no_terminal(
    failure: Exception, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(FleetApi, "of_stack", fail)
    result = run("tenant show", "acme")
    assert_printable(result.stderr)
    assert printable(HOSTILE) in result.stderr


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (FleetUnreachable("Stack 'kbfleet' was not found."), 1),
        (NoCredentialsError(), 1),
        (Refused(404, "TenantNotFound", "No tenant acme is registered."), 2),
        (Refused(409, "TenantBusy", "Tenant acme is being worked on."), 2),
        (Refused(429, "Throttled", "Requests come too fast."), 1),
        (Refused(500, "HTTP 500", "Unexpected error."), 1),
        (InvalidInput("name", "is too long."), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=["unreachable", "credentials", "missing", "conflict", "throttled", "broken", "invalid", "interrupted"],
)
@pytest.mark.parametrize("name", [name for name in LEAVES if name != "costs"])  # which asks nobody
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["people", "json"])
def test_a_failure_is_one_sentence_and_its_kind_decides_the_exit_code(
    name: str,
    run: Run,
    failure: BaseException,
    exit_code: int,
    as_json: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(FleetApi, "of_stack", fail)
    monkeypatch.setattr(FleetStack, "named", fail)
    monkeypatch.setattr(StackImport, "of", fail)
    result = run(name, *SAMPLES[name].arguments, *as_json)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    (sentence,) = (line for line in result.stderr.splitlines() if not line.startswith("  "))  # others show the progress
    assert sentence.startswith("✗ ")


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.arguments[:1] == ("acme",)])
def test_what_is_no_tenant_id_is_refused_before_anybody_is_asked(name: str, run: Run) -> None:
    result = run(name, "Not-An-Id", *SAMPLES[name].arguments[1:])
    assert result.exit_code == 2
    assert "tenant_id" in result.stderr


@pytest.mark.parametrize("name", commands())
def test_an_option_that_there_is_not_is_bad_input(name: str, run: Run) -> None:
    assert run(name, "--no-such-option").exit_code == 2


class TestWhatDestroys:
    @pytest.fixture
    def called(self, answering: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        called: list[str] = []
        answer(monkeypatch, SAMPLES["tenant offboard"])

        def offboard(*_: object) -> OffboardingBody:
            called.append("offboard")
            return REQUESTED

        monkeypatch.setattr(FleetApi, "offboard", offboard)
        return called

    @pytest.mark.parametrize("given", ["", "sakura\n", "y\n"], ids=["nobody", "another", "yes"])
    def test_it_is_not_done_without_the_tenants_id(self, called: list[str], given: str) -> None:
        result = CliRunner().invoke(cli.main.app, ["tenant", "offboard", "acme"], input=given)
        assert (result.exit_code, called) == (2, [])
        assert "nothing was done" in result.stderr

    def test_the_id_can_be_typed(self, called: list[str]) -> None:
        result = CliRunner().invoke(cli.main.app, ["tenant", "offboard", "acme"], input="acme\n")
        assert (result.exit_code, called) == (0, ["offboard"])


class TestCompletion:
    LISTED = (ACME, SAKURA)

    def complete(self, *words: str) -> list[str]:
        environment = {
            "_KBFLEET_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("kbfleet", *words)),
            "COMP_CWORD": str(len(words)),
        }
        result = CliRunner().invoke(cli.main.app, [], env=environment, prog_name="kbfleet")
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result.stdout.split()

    def test_tenants_are_completed(self, answering: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FleetApi, "ids_beginning", lambda *_: self.LISTED)
        assert self.complete("tenant", "show", "s") == ["sakura"]
        assert self.complete("sync", "start", "a") == ["acme"]

    def test_jobs_are_those_of_the_tenant(self, answering: None, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        jobs = JobsBody(jobs=(JOB,), next_token=None)

        def answer_with_jobs(_: FleetApi, tenant_id: str, _limit: int) -> JobsBody:
            asked.append(tenant_id)
            return jobs

        monkeypatch.setattr(FleetApi, "jobs", answer_with_jobs)
        assert self.complete("jobs", "show", "acme", "") == [JOB.ingestion_job_id]
        assert asked == ["acme"]

    def test_keys_are_those_of_the_tenants_documents_that_a_line_can_have(
        self, answering: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, str]] = []

        def begin(_: FleetApi, tenant_id: str, beginning: str) -> list[str]:
            asked.append((tenant_id, beginning))
            return ["handbook/rules.pdf", f"handbook/{FILLS_THE_CLIPBOARD}.pdf", "handbook/a\nb.pdf", "other.pdf"]

        monkeypatch.setattr(FleetApi, "keys_beginning", begin)
        for command in ("show", "open", "delete"):
            assert self.complete("documents", command, "acme", "hand") == ["handbook/rules.pdf"]
        assert asked == [("acme", "hand")] * 3

    def test_tenants_are_completed_where_no_command_is_named(
        self, answering: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FleetApi, "ids_beginning", lambda *_: self.LISTED)
        assert self.complete("documents", "s") == ["show", "sakura"]

    def test_the_stack_is_the_one_on_the_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[Any, ...]] = []

        def of_stack(*where: Any) -> FleetApi:
            asked.append(where)
            raise FleetUnreachable("It is not there.")

        monkeypatch.setattr(FleetApi, "of_stack", of_stack)
        assert self.complete("tenant", "show", "--stack", "other", "--region", "eu-west-1", "a") == []
        assert asked == [("other", "eu-west-1")]

    @pytest.mark.parametrize("failure", [FleetUnreachable("Gone."), ValueError("unforeseen"), NoCredentialsError()])
    def test_it_says_nothing_rather_than_failing(self, failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise failure

        monkeypatch.setattr(FleetApi, "of_stack", fail)
        assert self.complete("tenant", "show", "a") == []

    def test_it_says_nothing_rather_than_being_slow(self, answering: None, monkeypatch: pytest.MonkeyPatch) -> None:
        late = Event()
        monkeypatch.setattr("cli.completion._PATIENCE_SECONDS", 0.01)
        monkeypatch.setattr(FleetApi, "ids_beginning", lambda *_: late.wait(30) and self.LISTED)
        try:
            assert self.complete("tenant", "show", "a") == []
        finally:
            late.set()


class TestWaiting:
    def test_answers_that_fail_to_come_for_a_while_end_no_waiting(
        self, run: Run, answering: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        course: Iterator[Exception | TenantBody] = iter(
            [FleetUnreachable("No."), Refused(503, "NotReadyYet", "Later."), shown()]
        )

        def look(*_: object) -> TenantBody:
            following = next(course)
            if isinstance(following, Exception):
                raise following
            return following

        monkeypatch.setattr(FleetApi, "request_sync", lambda *_: synced())
        monkeypatch.setattr(FleetApi, "tenant", look)
        result = run("sync", "start", "acme")
        assert result.exit_code == 0
        assert "looking again" in result.stderr

    @pytest.mark.parametrize(
        ("failure", "looks", "exit_code"),
        [(FleetUnreachable("No."), 10, 1), (Refused(404, "TenantNotFound", "Gone."), 1, 2)],
    )
    def test_it_ends_when_there_is_no_hope(
        self,
        run: Run,
        answering: None,
        monkeypatch: pytest.MonkeyPatch,
        failure: Exception,
        looks: int,
        exit_code: int,
    ) -> None:
        looked: list[object] = []

        def look(*_: object) -> None:
            looked.append(1)
            raise failure

        monkeypatch.setattr(FleetApi, "request_sync", lambda *_: synced())
        monkeypatch.setattr(FleetApi, "tenant", look)
        assert (run("sync", "start", "acme").exit_code, len(looked)) == (exit_code, looks)


@pytest.mark.parametrize("page", ["cli.md", "cli.ja.md"])
def test_the_page_of_commands_says_what_is_worth_knowing_of_each(page: str) -> None:
    """A command that nobody reads of is not there. What is generated of the page has each anyway."""
    text = (Path(cli.main.__file__).parents[1] / "docs" / page).read_text("utf-8")
    written = re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)
    otherwise = {"documents list": "documents"}
    missing = [
        name for name in LEAVES if f"kbfleet {otherwise.get(name, name)}" not in written and f"`{name}`" not in written
    ]
    assert missing == []
