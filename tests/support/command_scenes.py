"""What answers the sample runs of docs/cli.md where that of `tests/unit/test_every_command.py` says too little to a
reader: findings of the doctor's own checks over an account that moto plays, a document traced by the real tracer over a
fleet in memory, and answers with several rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from moto import mock_aws

import cli.alert_secret
import cli.commands.fleet
import cli.commands.stack
import cli.verify.run
from cli.dead_letter_queues import QUEUES
from cli.dead_letters import DeadLetter, DeadLetters, Waiting
from cli.doctor import CheckResult, examine
from cli.fleet_api import FleetApi
from cli.profile_file import read_profile
from cli.stack_import import Kept, StackImport
from cli.stack_remaining import COSTS, Remaining, ResourceLeft, TenantLeft
from cli.verify.facts import FACTS, Took
from cli.verify.report import Line, Report
from cli.verify.run import Plan
from cli.verify.story import ONE, TWO
from kbfleet.contracts.asking import AskResponse, CitationBody, FreshnessBody, SourceBody
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import (
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentLinkBody,
    DocumentsBody,
)
from kbfleet.contracts.documents import DocumentTraceBody, FailedDocumentBody, GrantedUploadBody, UploadBody
from kbfleet.contracts.events import JobStateChangeDetail, ReconciliationDetail
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
from kbfleet.contracts.tenants import SyncBody, SyncResultBody, TenantBody, TenantsBody
from kbfleet.domain import erasure
from kbfleet.domain.answer import AnswerOutcome
from kbfleet.domain.diagnosis import Diagnosis
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination
from kbfleet.domain.document_status import (
    BucketEntry,
    DocumentState,
    DocumentStatus,
    KnownFrom,
    TenantDocument,
    left_out,
)
from kbfleet.domain.document_trace import ObjectKey
from kbfleet.domain.failed_documents import DocumentObject, FailedDocument, FailureStatus, IngestedStatus
from kbfleet.domain.incident import Concern, Timeline
from kbfleet.domain.ingestion_job import Outcome, Statistics
from kbfleet.domain.names import Life
from kbfleet.domain.profiles import Profile, changes
from kbfleet.domain.question_runs import Judgement, RunCause, Shortcoming
from kbfleet.domain.questions import GoldenQuestion, QuestionId
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import RESOURCES_VERSION
from kbfleet.domain.tenant_status import TenantStatus
from tests.adapters.test_doctor import RECONCILED, Patient, listed, standing
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.knowledge_bases import JobCourse
from tests.support.samples import ACCOUNT, ACME, NAMES, REGION, STACK_DEFAULTS, failure_reason, job_state_change, tenant

SCAN = "minutes/2026-10.pdf"
URI = f"s3://{NAMES.bucket(Life(ACME))}/{SCAN}"
NO_TEXT = "Ignored 1 files as no text content found"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Scene:
    """A run of a command.

    Args:
        arguments: behind the command's name.
        answers: what methods of the API answer.
        exit_code: with these answers.
        prepare: what else is there.
    """

    arguments: tuple[str, ...]
    answers: Callable[[], Mapping[str, object]] = dict
    exit_code: int = 0
    prepare: Callable[[pytest.MonkeyPatch], None] = lambda _: None


# --- a document that is a scan ---------------------------------------------------------------------


def traced() -> DocumentTraceBody:
    """By the real tracer: a scan was read by a job, which left it out, since no text came of it."""
    fleet = Fleet()
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    source = fleet.add(ACME)
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.clock.advance(3600)
    why = (failure_reason(NO_TEXT, URI),)
    left_it_out = JobCourse(statistics=Statistics(scanned=13, failed=1), failure_reasons=why)
    fleet.knowledge_bases.plan(source.knowledge_base_id, left_it_out)
    fleet.bucket_contents.put(URI, "2", DocumentObject(fleet.clock.now(), 1_843_200, None))
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.ingested_documents.set(URI, IngestedStatus.FAILED, NO_TEXT)
    seen = Examination("2", DocumentFinding(DocumentFault.SCAN))
    now = fleet.clock.now()
    fleet.failed_documents.save(Life(ACME), FailedDocument(URI, NO_TEXT, now, now, revision="2", examination=seen))
    return DocumentTraceBody.from_domain(fleet.document_tracer.trace(ACME, ObjectKey(SCAN)))


def document(key: str, status: DocumentStatus, size: int, since: datetime = START) -> DocumentBody:
    state = DocumentState(status, since, "JOB0000003", KnownFrom.LEDGER)
    return DocumentBody.from_domain(
        TenantDocument(f"s3://{NAMES.bucket(Life(ACME))}/{key}", key, state, BucketEntry(key, since, since, size))
    )


def scan() -> TenantDocument:
    finding = Examination("2", DocumentFinding(DocumentFault.SCAN))
    failed = left_out(FailedDocument(URI, NO_TEXT, START, START, revision="2", examination=finding), SCAN)
    return replace(failed, entry=BucketEntry(SCAN, START, START, 1_843_200))


def documents() -> Mapping[str, object]:
    rows = (
        document("handbook/rules.pdf", DocumentStatus.ANSWERED_FROM, 218_400),
        DocumentBody.from_domain(scan()),
        document("price-list.csv", DocumentStatus.ANSWERED_FROM, 12_030),
        document("warranty.md", DocumentStatus.BEING_INDEXED, 2_210, START + timedelta(hours=2)),
    )
    return {"documents": DocumentsBody(documents=rows, next_token=None, retry=None)}


def jobs() -> tuple[JobStateChangeDetail, ...]:
    degraded = job_state_change(
        ingestion_job_id="JOB0000007",
        occurred_at=START + timedelta(hours=1, minutes=4),
        started_at=START + timedelta(hours=1),
        outcome=Outcome.DEGRADED,
        statistics=Statistics(scanned=13, new=0, modified=0, failed=1),
    )
    return tuple(map(JobStateChangeDetail.from_domain, (degraded, job_state_change())))


def job() -> Mapping[str, object]:
    failed = FailedDocumentBody(
        uri=URI, reason=NO_TEXT, status=FailureStatus.FAILED, since=START, last_seen=START, times=1
    )
    return {"job": JobBody(job=jobs()[0], left_out=(failed,), left_out_total=1)}


# --- tenants ---------------------------------------------------------------------------------------


def in_sync() -> SyncBody:
    ended = START + timedelta(minutes=3)
    result = SyncResultBody(
        outcome=Outcome.SUCCEEDED, generation=1, ingestion_job_id="JOB0000003", ended_at=ended, failure_reasons=()
    )
    return SyncBody.from_domain(Sync(ACME)).model_copy(
        update={
            "result": result,
            "requested_generation": 1,
            "synced_at": ended,
            "synced_generation": 1,
            "documents_left_out": 0,
            "left_out_not_known": None,
        }
    )


def well() -> TenantBody:
    isolation = Timeline("acme", Concern.ISOLATION)
    record = tenant(resources_version=RESOURCES_VERSION, name="Acme Outdoor Ltd.")
    return TenantBody.from_domain(record, Sync(ACME), isolation, RESOURCES_VERSION, timedelta(minutes=10)).model_copy(
        update={"sync": in_sync()}
    )


def shown() -> Mapping[str, object]:
    return {
        "tenant": well(),
        "diagnosis": DiagnosisBody.from_domain(Diagnosis(ACME, START, ())),
        "question_runs": runs(),
    }


def fleet_of_four() -> Mapping[str, object]:
    synced = START + timedelta(hours=4)
    rows = (
        listed("acme", synced_at=synced),
        listed("sakura", synced_at=synced, last_outcome=Outcome.DEGRADED),
        listed("ridgeway", status=TenantStatus.FAILED, last_outcome=None),
        listed("tsubaki", synced_at=START, pending_since=START + timedelta(hours=3)),
    )
    named = {"acme": "Acme Outdoor Ltd.", "sakura": "株式会社さくら", "ridgeway": "Ridgeway", "tsubaki": "つばき工業"}
    bodies = tuple(row.model_copy(update={"name": named[row.tenant_id]}) for row in rows)
    return {"tenants": TenantsBody(tenants=bodies, next_token=None)}


def offboarded() -> Mapping[str, object]:
    life = Life(ACME)
    gone = tuple(
        erasure.ErasedResource(kind, name)
        for kind, name in (
            ("data source", "DS00000002"),
            ("knowledge base", "KB00000001"),
            ("vector index", "acme"),
            ("service role", "kbfleet-acme"),
            ("bucket", NAMES.bucket(life)),
        )
    )
    remaining = tuple(place.remainder(START) for place in erasure.PLACES[:1])
    receipt = erasure.ErasureReceipt(START, START + timedelta(minutes=9), "offboard-tenant:acme", gone, remaining)
    body = well().model_copy(update={"status": TenantStatus.OFFBOARDED, "erasure": receipt})
    return {"tenant": body}


# --- questions -------------------------------------------------------------------------------------

_ASKED = (
    GoldenQuestion(QuestionId("q27b7754f70"), "How long is a new tent guaranteed?", ("warranty.md",)),
    GoldenQuestion(QuestionId("q5e61c09a2d"), "May I rent a kayak at 16?", ("rental-terms.pdf",), ("18",)),
    GoldenQuestion(QuestionId("q9f03d7be14"), "What does a moon landing cost?", must_refuse=True),
)


def questions() -> QuestionsBody:
    return QuestionsBody(tenant_id=ACME, questions=tuple(map(QuestionBody.from_domain, _ASKED)))


def _run(number: int, cause: RunCause, *, passed: bool) -> QuestionRunBody:
    at = START + timedelta(hours=number)
    tent, kayak, moon = (question.question_id for question in _ASKED)
    verdicts = (
        VerdictBody(
            id=tent,
            judgement=Judgement.PASSED if passed else Judgement.FAILED,
            rank=1 if passed else None,
            instead="" if passed else "delivery-calendar-2026.txt",
            shortcomings=() if passed else (Shortcoming.NOT_FOUND,),
            trouble="",
        ),
        VerdictBody(id=kayak, judgement=Judgement.PASSED, rank=2, instead="", shortcomings=(), trouble=""),
        VerdictBody(id=moon, judgement=Judgement.NOT_JUDGED, rank=None, instead="", shortcomings=(), trouble=""),
    )
    return QuestionRunBody(
        run=f"{at:%Y%m%dT%H%M%S}-{number}",
        cause=cause,
        requested_at=at,
        began_at=at,
        ended_at=at,
        answers=False,
        left=0,
        score=_score(passed=passed),
        verdicts=verdicts,
    )


def _score(*, passed: bool) -> ScoreBody:
    return ScoreBody(
        passed=1 + passed,
        failed=1 - passed,
        not_judged=1,
        hit_rate_5=1.0 if passed else 0.5,
        hit_rate_1=0.5 if passed else 0.0,
        mrr=0.75 if passed else 0.25,
        not_asked=0,
    )


def runs() -> QuestionRunsBody:
    """They passed; a sync brought another text, and one does not find its document any more."""
    lost = _ASKED[0].question_id
    newest = (
        _run(7, RunCause.CONFIRMATION, passed=False),
        _run(6, RunCause.CHANGE, passed=False),
        _run(2, RunCause.CHANGE, passed=True),
    )
    at = START + timedelta(hours=7)
    return QuestionRunsBody(
        tenant_id=ACME,
        stand=QuestionStandBody(
            tenant_id=ACME, questions=3, judged_at=at, answers=False, score=_score(passed=False), regressions=(lost,)
        ),
        under_way=None,
        runs=newest,
        regressions=(
            RegressionBody(
                id=lost,
                since=at,
                after_sync=START + timedelta(hours=6),
                passed_at=START + timedelta(hours=2),
            ),
        ),
    )


def answered() -> Mapping[str, object]:
    text = "New tents are guaranteed for 36 months from the date of purchase."
    source = SourceBody(
        document="warranty.md",
        uri=f"s3://{NAMES.bucket(Life(ACME))}/warranty.md",
        passage=text,
        page=None,
        metadata={},
        score=0.71,
        ticket=None,
    )
    return {
        "ask_for_tenant": AskResponse(
            answer=text,
            outcome=AnswerOutcome.ANSWERED,
            stop_reason="end_turn",
            citations=(CitationBody(text=text, start=0, end=len(text), sources=(source,)),),
            session="",
            freshness=FreshnessBody(synced_at=START, pending_changes=False),
            documents_left_out=1,
            request_id="r",
        )
    }


# --- the fleet -------------------------------------------------------------------------------------


def a_patient(patched: pytest.MonkeyPatch) -> None:
    """The doctor's own checks, over an account that moto plays."""
    fleet = TenantsBody(
        tenants=(
            listed("acme"),
            listed("ridgeway", status=TenantStatus.FAILED),
            listed("sakura", last_outcome=Outcome.DEGRADED),
            *(listed(f"customer-{number}") for number in range(1, 39)),
        ),
        next_token=None,
    )
    stands = [
        standing("acme", regressed=1, passed=19, failed=1),
        standing("sakura"),
        *(standing(f"customer-{number}") for number in range(1, 38)),
        standing("customer-38", questions=0),
    ]
    patched.setattr(FleetApi, "tenants", lambda *_: fleet)
    patched.setattr(FleetApi, "question_stands", lambda _: stands)
    patched.setattr(
        FleetApi, "reconcile", lambda *_, **__: ReconciliationDetail.from_domain(replace(RECONCILED, resources=200))
    )
    found = _examined()
    patched.setattr(cli.commands.fleet, "examine", lambda _: iter(found))


def _examined() -> tuple[CheckResult, ...]:
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
    with pytest.MonkeyPatch.context() as patched, mock_aws():
        for name, value in keys.items():
            patched.setenv(name, value)
        patient = Patient()
        patient.__dict__["bedrock"].descriptions = ["Documents of kbfleet-x (VECTOR)"] * 41
        patient.__dict__["parameters"] |= {"AlarmTopicArn": ""}
        return tuple(examine(patient))


def undelivered(patched: pytest.MonkeyPatch) -> None:
    why = "Slack answered 404 no_service"
    patched.setattr(DeadLetters, "waiting", lambda _: iter([Waiting(QUEUES[0], 2, START, (why,))]))
    patched.setattr(DeadLetters, "messages", lambda *_: (DeadLetter("5f1c", START, why, '{"tenant_id": "acme"}'),))


def a_webhook(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(cli.alert_secret, "store", lambda *_: "the URL of a Slack incoming webhook")


def a_stack_in_service(patched: pytest.MonkeyPatch) -> None:
    bucket = NAMES.bucket(Life(ACME))
    left = TenantLeft(
        "acme",
        "ACTIVE",
        (
            f"bucket {bucket}",
            "knowledge base KB00000001",
            "data source DS00000002",
            "index in S3_VECTORS",
            "its usage key, and its service role if it has one of its own",
        ),
        "the storage of its documents, and of their vectors",
        "Delete it by `kbfleet tenant offboard acme --retention-days 0 --wait`",
    )
    table, vectors = "AWS::DynamoDB::Table", "AWS::S3Vectors::VectorBucket"
    resources = (
        ResourceLeft("Table", table, "kbfleet-Table-1A2B3C4D5E6F7", COSTS[table]),
        ResourceLeft("VectorBucket", vectors, f"kbfleet-{ACCOUNT}-vectors", COSTS[vectors]),
    )
    patched.setattr(cli.commands.stack, "remaining", lambda *_: Remaining((left,), resources, ()))


def a_stack_that_is_gone(patched: pytest.MonkeyPatch) -> None:
    kept = (
        Kept("Table", "AWS::DynamoDB::Table", {"TableName": "kbfleet-Table-1A2B3C4D5E6F7"}, "12 tenants"),
        Kept(
            "VectorBucket",
            "AWS::S3Vectors::VectorBucket",
            {"VectorBucketName": f"kbfleet-{ACCOUNT}-vectors"},
            "12 indexes",
        ),
    )
    patched.setattr(StackImport, "kept", lambda *_: kept)


def a_first_run_on_aws(patched: pytest.MonkeyPatch) -> None:
    lines = (
        Line.of(FACTS["vector-knowledge-base-creation"], Took(81, 84), 84),
        Line.of(FACTS["first-ingestion-job"], Took(190, 195), 195),
        Line.of(FACTS["new-bucket-missing"], Took(400, 410), 500),
    )
    report = Report(kbfleet="0.1.0", region=REGION, made_on=START.date(), facts=lines)
    patched.setattr(cli.verify.run, "plan", lambda *_, **__: Plan((ONE, TWO), "at most 1 USD", 3_600))
    patched.setattr(cli.verify.run, "verify", lambda *_, **__: report)


FAQ = ROOT / "examples" / "profiles" / "faq.json"


def faq() -> Profile:
    """The profile of examples/profiles, as the stack of the tests takes it."""
    file = read_profile(FAQ)
    return file.request.to_domain(file.name, 1, STACK_DEFAULTS)


def changed() -> ProfileCheckBody:
    """Two more passages than version 1 has."""
    more = replace(faq(), version=2, answering=replace(faq().answering, passages=6))
    return ProfileCheckBody.from_domain((), faq(), changes(faq(), more))


def asked_with_answers() -> Mapping[str, object]:
    run = _run(9, RunCause.DEMAND, passed=True).model_copy(update={"answers": True})
    passed = tuple(
        verdict.model_copy(update={"judgement": Judgement.PASSED, "rank": verdict.rank}) for verdict in run.verdicts
    )
    score = run.score.model_copy(update={"passed": 3, "not_judged": 0})
    whole = runs().model_copy(
        update={"runs": (run.model_copy(update={"verdicts": passed, "score": score}),), "regressions": ()}
    )
    requested = RequestedRunBody(tenant_id=ACME, requested_at=run.requested_at, answers=True)
    return {"request_question_run": requested, "question_runs": whole}


def suggested() -> Mapping[str, object]:
    text = b"# Warranty\n\nQ: How long is a new tent guaranteed?\nA: 36 months from the date of purchase.\n"
    return {
        "some_documents": (document("warranty.md", DocumentStatus.ANSWERED_FROM, len(text)),),
        "document_link": DocumentLinkBody(url="https://b.example.com/warranty.md", expires_at=START),
        "opened": text,
        "questions": QuestionsBody(tenant_id=ACME, questions=()),
    }


def uploaded() -> Mapping[str, object]:
    form = UploadBody(url="https://b.example.com/", fields={}, expires_at=START)
    key = "rental-terms.pdf"
    return {
        "grant_uploads": (GrantedUploadBody(key=key, form=form, metadata_written=False, refusal=None),),
        "upload": None,
    }


SCENES: Mapping[str, Scene] = {
    "tenant list": Scene((), fleet_of_four),
    "tenant show": Scene(("acme",), shown),
    "tenant offboard": Scene(("acme", "--retention-days", "0", "--wait", "--confirm", "acme"), offboarded),
    "jobs list": Scene(("acme",), lambda: {"jobs": JobsBody(jobs=jobs(), next_token=None)}),
    "jobs show": Scene(("acme", "JOB0000007"), job),
    "documents list": Scene(("acme",), documents),
    "documents show": Scene(
        ("acme", SCAN),
        lambda: {"document": DocumentDetailsBody.with_attributes(scan(), b'{"metadataAttributes": {"year": 2026}}')},
        exit_code=1,
    ),
    "documents delete": Scene(
        ("acme", "price-list.csv", "--yes"),
        lambda: {
            "delete_document": DeletionBody(
                document=document("price-list.csv", DocumentStatus.DELETED, 12_030), versions_removed=0, complete=True
            )
        },
    ),
    "upload": Scene(("acme", str(ROOT / "local" / "samples" / "acme" / "rental-terms.pdf")), uploaded),
    "why": Scene(("acme", SCAN), lambda: {"why": traced()}, exit_code=1),
    "ask": Scene(("How long is a new tent guaranteed?", "--tenant", "acme"), answered),
    "questions add": Scene(
        ("acme", _ASKED[0].text, "--expect", "warranty.md"),
        lambda: {"add_questions": QuestionsBody(tenant_id=ACME, questions=questions().questions[:1])},
    ),
    "questions suggest": Scene(("acme",), suggested),
    "questions remove": Scene(("acme", str(_ASKED[2].question_id)), lambda: {"remove_question": questions()}),
    "questions run": Scene(("acme", "--answers"), asked_with_answers),
    "profile list": Scene((), lambda: {"profiles": ProfilesBody(profiles=(ListedProfileBody.from_domain(faq()),))}),
    "profile show": Scene(("faq",), lambda: {"profile": ProfileBody.from_domain(faq())}),
    "profile put": Scene((str(FAQ),), lambda: {"put_profile": ProfileBody.from_domain(faq())}),
    "profile check": Scene((str(FAQ),), lambda: {"check_profile": ProfileCheckBody.from_domain((), None, ())}),
    "profile diff": Scene((str(FAQ),), lambda: {"check_profile": changed()}),
    "profile remove": Scene(("faq",), lambda: {"remove_profile": ProfileBody.from_domain(faq())}),
    "questions export": Scene(("acme", "questions.jsonl"), lambda: {"questions": questions()}),
    "questions list": Scene(("acme",), lambda: {"questions": questions()}),
    "questions results": Scene(("acme",), lambda: {"question_runs": runs()}, exit_code=1),
    "doctor": Scene((), exit_code=1, prepare=a_patient),
    "dlq list": Scene((), exit_code=1, prepare=undelivered),
    "dlq show": Scene((QUEUES[0].name,), exit_code=1, prepare=undelivered),
    "alerts connect": Scene((), prepare=a_webhook),
    "stack remaining": Scene((), exit_code=1, prepare=a_stack_in_service),
    "stack import": Scene((), prepare=a_stack_that_is_gone),
    "verify": Scene(("--yes",), exit_code=1, prepare=a_first_run_on_aws),
}
"""By the command's name."""
