"""What people read of incidents, in every case; and what is at the bottom of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.adapters.alert_channels.slack_message import blocks, summary
from kbfleet.adapters.alert_channels.sns import mail_subject, plain_text
from kbfleet.domain.alert import Alert, Deployment, Severity
from kbfleet.domain.deletions import Hold, HoldReason, SyncHeld
from kbfleet.domain.diagnosis import Diagnosis, FleetDiagnosis
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding
from kbfleet.domain.failed_documents import FailureReport, News, ReportedDocument, RetryReport
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind, SharedLoss
from kbfleet.domain.fleet_overview import IncidentOutline, trouble_of
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern, Incident, NoticeKind, Signal, Timeline
from kbfleet.domain.ingestion_job import FailureReason, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.isolation import Breach, IsolationVerified, SeenIn
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import ChangedDocuments, QuestionsJudged, Regression
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.root_cause import MAX_LABEL, root_cause
from kbfleet.domain.signals import (
    of_alarm,
    of_breach,
    of_diagnosis,
    of_documents,
    of_fleet_diagnosis,
    of_held_sync,
    of_ingestion,
    of_isolation_verified,
    of_questions,
    of_retry,
    of_workflow_failure,
    of_workflow_success,
)
from kbfleet.domain.sync import Sync
from kbfleet.domain.workflow import Workflow
from kbfleet.usecases.incidents import IncidentDesk
from local.slack_sink import validate_message
from tests.support.clock import START
from tests.support.fakes import (
    FakeClock,
    InMemoryIncidents,
    InMemoryTenantNames,
    InMemoryTenantRegistry,
    RecordingAlertChannel,
)
from tests.support.samples import ACME, EXECUTION, failure_reason, job_state_change, provisioning_failure, tenant
from tests.support.snapshots import assert_matches

SNAPSHOTS = Path(__file__).parent / "snapshots" / "incidents"
DEPLOYMENT = Deployment("kbfleet", "us-east-1", "https://runbook.example")
UNREADABLE = (
    "User: arn:aws:sts::123456789012:assumed-role/kbfleet-kb/x is not authorized to perform: s3:GetObject on resource: "
    "arn:aws:s3:::kbfleet-{tenant}-0123456789/a.pdf (Service: S3, Status Code: 403, Request ID: 3F8A0D2C)"
)


def failed(tenant: str, minutes: float = 0, harm: Harm = Harm.UNKNOWN) -> Sequence[Signal]:
    return of_ingestion(_job(tenant, minutes, UNREADABLE.format(tenant=tenant)), DEPLOYMENT, harm=harm)


def well(tenant: str, minutes: float) -> Sequence[Signal]:
    done = job_state_change(
        tenant_id=TenantId(tenant), ingestion_job_id=f"WELL{minutes}", occurred_at=START + timedelta(minutes=minutes)
    )
    return of_ingestion(done, DEPLOYMENT)


def left_out(tenant: str, minutes: float = 0, new: int = 1) -> Sequence[Signal]:
    uri = f"s3://kbfleet-{tenant}-0123456789/議事録 & <draft> {minutes:g}.pdf"
    reason = "Ignored 1 files as no text content found"
    job = replace(
        _job(tenant, minutes, "-"),
        status=JobStatus.COMPLETE,
        outcome=Outcome.DEGRADED,
        statistics=Statistics(scanned=12, new=11, failed=1),
        failure_reasons=(failure_reason(reason, uri),),
    )
    finding = DocumentFinding(DocumentFault.SCAN)
    reported = ReportedDocument(uri, reason, News.NEW if new else News.AGAIN, finding)
    return of_documents(FailureReport(job, new=new, again=1 - new, documents=(reported,)), DEPLOYMENT)


def set_aside(tenant: str, minutes: float) -> Sequence[Signal]:
    job = replace(_job(tenant, minutes, "-"), status=JobStatus.COMPLETE, outcome=Outcome.DEGRADED)
    return of_documents(FailureReport(job, set_aside=3), DEPLOYMENT)


def left_out_by_the_model(tenant: str, minutes: float = 0) -> Sequence[Signal]:
    reason = "Knowledge base role is not able to call specified bedrock embedding model"
    uri = f"s3://kbfleet-{tenant}-0123456789/{minutes:g}.pdf"
    job = replace(_job(tenant, minutes, reason), status=JobStatus.COMPLETE, outcome=Outcome.DEGRADED)
    return of_documents(FailureReport(job, new=1, documents=(ReportedDocument(uri, reason, News.NEW),)), DEPLOYMENT)


def nothing_left_out(tenant: str, minutes: float) -> Sequence[Signal]:
    done = job_state_change(
        tenant_id=TenantId(tenant), ingestion_job_id=f"WELL{minutes}", occurred_at=START + timedelta(minutes=minutes)
    )
    return of_documents(FailureReport(done, fixed=1, failing=0), DEPLOYMENT)


def retried(tenant: str, minutes: float, *left: str, complete: bool = True) -> Sequence[Signal]:
    documents = tuple(
        ReportedDocument(
            f"s3://kbfleet-{tenant}-0123456789/{name}", "Ignored 1 files as no text content found", News.AGAIN
        )
        for name in left
    )
    at = START + timedelta(minutes=minutes)
    report = RetryReport(TenantId(tenant), at.isoformat(), at, 3, len(left), 0, "", len(left), documents, complete)
    return of_retry(report, DEPLOYMENT)


def _job(tenant: str, minutes: float, reason: str) -> JobStateChange:
    return job_state_change(
        tenant_id=TenantId(tenant),
        ingestion_job_id=f"JOB{minutes:g}",
        status=JobStatus.FAILED,
        outcome=Outcome.FAILED,
        occurred_at=START + timedelta(minutes=minutes),
        statistics=Statistics(scanned=12, failed=12),
        failure_reasons=(FailureReason(reason),),
    )


def workflow_failed(workflow: Workflow, error: str = "AccessRefused") -> Sequence[Signal]:
    step, reason = {
        "CapacityExceeded": (
            "Check Capacity",
            "The account has 100 of 100 knowledge bases of type VECTOR: there is no room for tenant acme.",
        ),
        "AccessRefused": (
            "Delete Bucket" if workflow is Workflow.OFFBOARD_TENANT else "Ensure Knowledge Base",
            "User: arn:aws:sts::123456789012:assumed-role/kbfleet-step/x is not authorized to perform: "
            + ("s3:DeleteBucket" if workflow is Workflow.OFFBOARD_TENANT else "bedrock:CreateKnowledgeBase"),
        ),
    }[error]
    failure = replace(provisioning_failure(reason=reason), workflow=workflow, error=error, step=step)
    return of_workflow_failure(ACME, failure, DEPLOYMENT)


def breached(seen_in: SeenIn, *resources: str) -> Sequence[Signal]:
    return of_breach(Breach(ACME, seen_in, resources, START), DEPLOYMENT)


def alarm(*, ringing: bool, minutes: float) -> Sequence[Signal]:
    return of_alarm(
        "kbfleet-TicksFailingAlarm-1A2B3C",
        ringing=ringing,
        description="Wrong or old answers. Ticks of the ingestion scheduler fail, so nothing may be synced. "
        "Run `kbfleet dlq redrive ticks`. See docs/runbook/ticks-failing.md",
        reason="Threshold Crossed: 1 datapoint [3.0] was greater than the threshold (0.0).",
        at=START + timedelta(minutes=minutes),
        deployment=DEPLOYMENT,
    )


def held(reason: HoldReason) -> Sequence[Signal]:
    hold = Hold(reason, 400, 412, START, START)
    return of_held_sync(SyncHeld(ACME, 7, hold, worse=False), DEPLOYMENT)


def index_lost(*tenants: str) -> list[Sequence[Signal]]:
    kind = ResourceKind.VECTOR_INDEX
    lost = (TenantId(each) for each in tenants)
    findings = [Finding(Disagreement.MISSING, kind, f"kbfleet-{each}", each, "S3_VECTORS") for each in lost]
    return [
        of_diagnosis(Diagnosis(finding.tenant_id, START, (finding,)), DEPLOYMENT)
        for finding in findings
        if finding.tenant_id is not None
    ]


def store_lost() -> Sequence[Signal]:
    loss = SharedLoss(ResourceKind.KNOWLEDGE_STORE, "S3_VECTORS")
    return of_fleet_diagnosis(FleetDiagnosis(START, (loss,)), DEPLOYMENT)


NO_KEYS = ChangedDocuments()
MANY_QUESTIONS = tuple(f"q{number:04}" for number in range(30))


def questioned(
    minutes: float, *ids: str, changed: ChangedDocuments | None = NO_KEYS, worse: bool = False, asked: int = 20
) -> Sequence[Signal]:
    at = START + timedelta(minutes=minutes)
    regressions = tuple(Regression(QuestionId(each), START, START - timedelta(minutes=1), START) for each in ids)
    identity = f"acme/questions/{minutes:g}"
    return of_questions(QuestionsJudged(identity, Life(ACME), at, asked, regressions, changed, worse), DEPLOYMENT)


KEYS = ChangedDocuments(("handbook/rental-terms.pdf", "議事録 & <draft>.pdf"), 3)


@pytest.mark.parametrize(
    ("physical", "logical"),
    [
        ("kbfleet-TicksFailingAlarm-1A2B3C4D5E6F7", "TicksFailingAlarm"),
        ("kbfleet-Monitoring-1A2B3C4D5E6F7-TicksFailingAlarm-1A2B3C4D5E6F7", "TicksFailingAlarm"),
        ("another-TicksFailingAlarm-1A2B3C4D5E6F7", "another-TicksFailingAlarm-1A2B3C4D5E6F7"),
    ],
)
def test_what_cloudformation_has_named_is_called_as_the_template_calls_it(physical: str, logical: str) -> None:
    assert Deployment("kbfleet", "us-east-1").logical_name(physical) == logical


@dataclass
class Reported:
    """What is reported of signals, message by message."""

    channel: RecordingAlertChannel = field(default_factory=lambda: RecordingAlertChannel(threads=False))
    incidents: InMemoryIncidents = field(default_factory=InMemoryIncidents)

    def of(self, *signals: Sequence[Signal]) -> list[Alert]:
        tenants = InMemoryTenantRegistry()
        tenants.create(tenant(name="Acme & Sons, Inc."))
        names = InMemoryTenantNames(tenants)
        desk = IncidentDesk(self.incidents, self.channel, FakeClock(), DEPLOYMENT, names)
        for one in (signal for some in signals for signal in some):
            for identity in desk.record(one):
                desk.notify(identity)
        return self.channel.sent


TENANTS = [f"tenant-{number}" for number in range(25)]
CASES: dict[str, Callable[[], list[Alert]]] = {
    "ingestion_opened": lambda: Reported().of(failed("acme")),
    "ingestion_over": lambda: Reported().of(failed("acme"), well("acme", 30)),
    "ingestion_over_when_reported": lambda: Reported().of(well("acme", 30), failed("acme")),
    "ingestion_came_back": lambda: Reported().of(failed("acme"), well("acme", 30), failed("acme", 40)),
    "ingestion_comes_and_goes": lambda: Reported().of(
        *(signals for minute in (0, 10, 20, 30) for signals in (failed("acme", minute), well("acme", minute + 5)))
    ),
    "ingestion_grown": lambda: Reported().of(*map(failed, TENANTS[:20])),
    "ingestion_of_many_over": lambda: Reported().of(*map(failed, TENANTS), *(well(tenant, 30) for tenant in TENANTS)),
    "documents_opened": lambda: Reported().of(left_out("acme")),
    "documents_more": lambda: Reported().of(left_out("acme"), left_out("acme", 10)),
    "documents_known_for_longer": lambda: Reported().of(left_out("acme", new=0)),
    "documents_after_a_retry": lambda: Reported().of(left_out("acme"), retried("acme", 20, "scan.pdf", "議事録.pdf")),
    "documents_over": lambda: Reported().of(left_out("acme"), nothing_left_out("acme", 30)),
    "documents_over_by_a_retry": lambda: Reported().of(left_out("acme"), retried("acme", 20)),
    "documents_of_many": lambda: Reported().of(*map(left_out_by_the_model, TENANTS[:20])),
    "ingestion_without_answers": lambda: Reported().of(failed("acme", harm=Harm.NO_ANSWERS)),
    "ingestion_came_back_for_another": lambda: Reported().of(failed("acme"), well("acme", 30), failed("sakura", 40)),
    "provisioning_opened": lambda: Reported().of(workflow_failed(Workflow.PROVISION_TENANT)),
    "provisioning_over": lambda: Reported().of(
        workflow_failed(Workflow.PROVISION_TENANT),
        of_workflow_success(ACME, Workflow.PROVISION_TENANT, EXECUTION, START + timedelta(hours=1)),
    ),
    "quota_opened": lambda: Reported().of(workflow_failed(Workflow.PROVISION_TENANT, "CapacityExceeded")),
    "offboarding_opened": lambda: Reported().of(workflow_failed(Workflow.OFFBOARD_TENANT)),
    "isolation_opened": lambda: Reported().of(breached(SeenIn.RESOURCES, "data source ABCDEFGHIJ")),
    "isolation_refused": lambda: Reported().of(breached(SeenIn.ANSWER, "knowledge base KLMNOPQRST")),
    "isolation_over": lambda: Reported().of(
        breached(SeenIn.RESOURCES, "data source ABCDEFGHIJ"),
        of_isolation_verified(IsolationVerified(ACME, START + timedelta(minutes=30))),
    ),
    "questions_opened": lambda: Reported().of(questioned(0, "q1a2b", "q3c4d", "q5e6f", changed=KEYS)),
    "questions_without_a_change": lambda: Reported().of(questioned(0, "q1a2b")),
    "questions_unlisted": lambda: Reported().of(questioned(0, *MANY_QUESTIONS, changed=None, asked=40)),
    "questions_more": lambda: Reported().of(questioned(0, "q1a2b"), questioned(9, "q1a2b", "q3c4d", worse=True)),
    "questions_over": lambda: Reported().of(questioned(0, "q1a2b"), questioned(30)),
    "ingestion_of_some_hurt_more": lambda: Reported().of(
        failed("acme", harm=Harm.DOCUMENTS_MISSING),
        *(failed(tenant, 1, Harm.DOCUMENTS_MISSING) for tenant in TENANTS[:8]),
        failed("sakura", 2, Harm.NO_ANSWERS),
    ),
    "sync_held": lambda: Reported().of(held(HoldReason.DELETIONS)),
    "rebuilding_opened": lambda: Reported().of(workflow_failed(Workflow.REBUILD_TENANT)),
    "knowledge_lost": lambda: Reported().of(*index_lost("acme")),
    "store_lost": lambda: Reported().of(store_lost()),
    "alarm_opened": lambda: Reported().of(alarm(ringing=True, minutes=0)),
    "alarm_over": lambda: Reported().of(alarm(ringing=True, minutes=0), alarm(ringing=False, minutes=5)),
}


class TestMessages:
    @pytest.mark.parametrize("case", CASES)
    def test_the_message_is_as_reviewed_and_slack_takes_it(self, case: str) -> None:
        last = CASES[case]()[-1]
        message = {"text": summary(last), "blocks": [block.to_dict() for block in blocks(last)]}
        validate_message(_json(message))
        assert_matches(SNAPSHOTS / f"{case}.json", {**message, "plain": plain_text(last).splitlines()})

    @pytest.mark.parametrize("case", CASES)
    def test_a_locked_screen_shows_how_badly_whom_it_hits(self, case: str) -> None:
        """Of a notification 60 characters, of a mail's subject as many, of a short message its first line."""
        last = CASES[case]()[-1]
        whom = DEPLOYMENT.logical_name(last.subject) if last.subject else "tenants"
        for shown in (summary(last), mail_subject(last), plain_text(last).splitlines()[0]):
            assert whom in shown[:60]
            assert last.severity is Severity.RECOVERED or last.hurt in shown[:60]
        assert (last.severity is Severity.BROKEN) == bool(last.hurt)
        assert plain_text(last).splitlines()[2].startswith("Hurt: ") == bool(last.hurt)

    @pytest.mark.parametrize("case", CASES)
    def test_no_message_counts_more_than_there_are(self, case: str) -> None:
        numbers = re.findall(r"\b(\d+) of (\d+)\b", plain_text(CASES[case]()[-1]))
        assert [pair for pair in numbers if int(pair[0]) > int(pair[1])] == []

    @pytest.mark.parametrize("harm", Harm)
    def test_it_does_so_with_the_longest_id(self, harm: Harm) -> None:
        tenant = "a" * 32
        (last,) = Reported().of(failed(tenant, harm=harm))
        assert f"{harm.label} · {tenant}" in summary(last)[:60]
        assert f"{harm.label} - {tenant}" in mail_subject(last)[:60]

    def test_a_time_is_shown_in_the_zone_of_whoever_reads_and_in_utc_where_it_cannot_be(self) -> None:
        (opened,) = Reported().of(questioned(0, "q1a2b"))
        (_, facts, *_) = (block.to_dict() for block in blocks(opened))
        dates = [part for part in facts["elements"][0]["elements"] if part["type"] == "date"]
        sync_ended = START - timedelta(minutes=1)
        assert dates == [
            {
                "type": "date",
                "timestamp": int(sync_ended.timestamp()),
                "format": "{date_short_pretty} {time}",
                "fallback": "2026-11-02 08:59:00 UTC",
            }
        ]
        assert "Since: 2026-11-02 08:59:00 UTC" in plain_text(opened).splitlines()

    def test_the_first_message_of_many_counts_all_of_them(self) -> None:
        channel = RecordingAlertChannel()
        Reported(channel).of(*map(failed, TENANTS))
        shown = channel.roots[0].shown
        message = {"text": summary(shown), "blocks": [block.to_dict() for block in blocks(shown)]}
        validate_message(_json(message))
        assert_matches(SNAPSHOTS / "ingestion_of_many.json", {**message, "plain": plain_text(shown).splitlines()})

    def test_every_kind_of_notice_is_among_the_cases(self) -> None:
        headlines = {
            NoticeKind.OVER: "Over: ",
            NoticeKind.CAME_BACK: "Again: ",
            NoticeKind.COMES_AND_GOES: "Comes and goes: ",
            NoticeKind.MORE_FAILURES: "News: ",
            NoticeKind.GROWN: "10 tenants: ",
        }
        titles = [make()[-1].title for make in CASES.values()]
        assert set(headlines) | {NoticeKind.OPENED} == set(NoticeKind)
        assert all(any(headline in title for title in titles) for headline in headlines.values())

    @given(st.integers(2, 500), st.text(max_size=3_000))
    def test_no_number_of_tenants_and_no_reason_makes_a_message_that_slack_refuses(
        self, count: int, reason: str
    ) -> None:
        tenants = [f"tenant-with-a-very-long-name-{number}" for number in range(count)]
        (signal,) = of_ingestion(_job("acme", 0, reason), DEPLOYMENT)
        assert signal.failure
        incident = Incident.opened_by(signal, signal.failure, signal.failure.causes[0], 1)
        timeline = Timeline("acme", Concern.INGESTION).joined_by(signal, incident.identity)
        incident = replace(incident, affected={tenant: timeline.spans(incident.identity) for tenant in tenants})
        incident = incident.gathered()
        for kind in NoticeKind:
            alert = incident.message(DEPLOYMENT, kind)
            validate_message(_json({"text": summary(alert), "blocks": [block.to_dict() for block in blocks(alert)]}))


class TestRootCauses:
    def test_tenants_that_fail_alike_have_one_cause(self) -> None:
        reasons = {root_cause("ingestion", UNREADABLE.format(tenant=tenant), tenant=tenant) for tenant in TENANTS}
        assert {cause.label for cause in reasons} == {"the service role cannot read from S3"}
        assert len(reasons) == 1

    @pytest.mark.parametrize(
        "reason",
        [
            "Index {tenant} of s3://kbfleet-{tenant}-0123456789/x/y.pdf was not found (Request ID: {id})",
            "Knowledge base KB0{number:07d}A failed at 2026-11-02T09:{number:02d}:00Z",
            "arn:aws:s3vectors:us-east-1:123456789012:bucket/kbfleet/index/{tenant} cannot hold {number} vectors",
        ],
    )
    def test_what_is_a_tenants_own_makes_no_difference(self, reason: str) -> None:
        causes = {
            root_cause("ingestion", reason.format(tenant=name, number=number, id=f"{number:032x}"), tenant=name)
            for number, name in enumerate(("acme", "sakura", "north"), start=11)
        }
        assert len(causes) == 1

    @pytest.mark.parametrize(
        ("one", "another"),
        [
            ("The bucket is gone.", "The index is gone."),
            (
                "arn:aws:iam::123456789012:role/one may not do this",
                "arn:aws:iam::123456789012:role/another may not do this",
            ),
        ],
    )
    def test_different_reasons_are_different_causes(self, one: str, another: str) -> None:
        assert root_cause("ingestion", one) != root_cause("ingestion", another)

    def test_different_kinds_are_kept_apart(self) -> None:
        assert root_cause("ingestion", "No.").key != root_cause("documents", "No.").key

    def test_a_quota_is_the_same_wherever_it_is_met(self) -> None:
        one = root_cause("provision_tenant", "CreateKnowledgeBase for acme: 100 of 100.", error="CapacityExceeded")
        assert one == root_cause("provision_tenant", "CreateIndex for sakura.", error="CapacityExceeded")

    def test_a_tenants_name_inside_another_word_stays(self) -> None:
        assert "acmeville" in root_cause("ingestion", "acmeville is down for acme", tenant="acme").label

    @given(st.text())
    def test_any_reason_has_a_short_label(self, reason: str) -> None:
        label = root_cause("ingestion", reason).label
        assert label
        assert len(label) <= MAX_LABEL


class TestSignals:
    def test_an_offboarded_tenants_troubles_are_over(self) -> None:
        reported = Reported()
        reported.of(
            failed("acme"),
            workflow_failed(Workflow.OFFBOARD_TENANT),
            of_workflow_success(ACME, Workflow.OFFBOARD_TENANT, EXECUTION, START + timedelta(hours=1)),
        )
        assert [alert.title.startswith("Over: ") for alert in reported.channel.sent] == [False, False, True, True]

    def test_with_its_offboarding_what_is_wrong_with_its_documents_is_over(self) -> None:
        reported = Reported()
        ended = of_workflow_success(ACME, Workflow.OFFBOARD_TENANT, EXECUTION, START + timedelta(hours=1))
        reported.of(left_out("acme"), ended)
        assert reported.channel.sent[-1].title == "Over: acme: some documents could not be ingested"

    @pytest.mark.parametrize("outcome", [None, Outcome.STOPPED, Outcome.DEGRADED])
    def test_a_job_that_neither_failed_nor_succeeded_says_nothing(self, outcome: Outcome | None) -> None:
        assert of_ingestion(job_state_change(outcome=outcome), DEPLOYMENT) == ()

    def test_of_documents_that_are_set_aside_nobody_is_reported(self) -> None:
        assert Reported().of(set_aside("acme", 0)) == []

    @pytest.mark.parametrize("turned_around", [False, True])
    def test_a_job_that_leaves_out_only_what_is_set_aside_ends_a_failure_but_not_that_of_documents(
        self, turned_around: bool
    ) -> None:
        reported = Reported()
        happened = [failed("acme", 0), set_aside("acme", 10)]
        reported.of(*(reversed(happened) if turned_around else happened))
        assert reported.channel.sent[-1].title == "Over: acme: ingestion failed"
        reported = Reported()
        happened = [left_out("acme", 0), set_aside("acme", 10)]
        reported.of(*(reversed(happened) if turned_around else happened), set_aside("acme", 20))
        assert [alert.title for alert in reported.channel.sent] == ["acme: some documents could not be ingested"]
        reported.of(left_out("acme", 0), set_aside("acme", 10), nothing_left_out("acme", 30))
        assert reported.channel.sent[-1].title == "Over: acme: some documents could not be ingested"

    def test_neither_a_failed_ingestion_nor_a_good_one_ends_what_is_wrong_with_documents(self) -> None:
        """A sync reads what has changed: one that failed before is not among it."""
        reported = Reported()
        reported.of(left_out("acme", 0), failed("acme", 10), well("acme", 20))
        assert [alert.title for alert in reported.channel.sent] == [
            "acme: some documents could not be ingested",
            "acme: ingestion failed",
            "Over: acme: ingestion failed",
        ]

    def test_each_tenant_whose_document_fails_is_told_and_named_for_whatever_it_shares_by_its_words(self) -> None:
        reported = Reported()
        reported.of(left_out("acme"), left_out("sakura", 1), nothing_left_out("acme", 5), left_out("fuji", 7))
        assert [alert.title for alert in reported.channel.sent] == [
            "acme: some documents could not be ingested",
            "sakura: some documents could not be ingested",
            "Over: acme: some documents could not be ingested",
            "fuji: some documents could not be ingested",
        ]
        for alert in reported.channel.sent:
            if alert.severity is Severity.BROKEN:
                assert all(alert.subject in uri for reason in alert.reasons for uri in reason.documents)
                assert any(reason.documents for reason in alert.reasons)

    @pytest.mark.parametrize("reason", HoldReason)
    def test_a_held_sync_is_called_so_wherever_the_fleet_is_shown(self, reason: HoldReason) -> None:
        reported = Reported()
        reported.of(held(reason))
        (incident,) = reported.incidents.of_subject("acme")
        told = IncidentOutline.of(incident)
        hold = Hold(reason, 400, 412, START, START)
        trouble = trouble_of(tenant(), Sync(ACME, hold=hold), START, timedelta(hours=1))
        assert told is not None
        assert trouble is not None
        assert told.what == "a sync is held"
        assert trouble.what.startswith(told.what)

    def test_a_held_sync_that_an_older_version_has_told_goes_on_as_the_same(self) -> None:
        (signal,) = held(HoldReason.DELETIONS)
        assert signal.failure
        (cause,) = signal.failure.causes
        assert cause.key == root_cause("held sync", "", error="of tenant acme").key

    def test_another_document_with_another_reason_does_not_end_the_first(self) -> None:
        reported = Reported()
        job = replace(_job("acme", 10, "-"), status=JobStatus.COMPLETE, outcome=Outcome.DEGRADED)
        other = ReportedDocument("s3://kbfleet-acme-0123456789/b.pdf", "Filterable metadata must have less", News.NEW)
        second = of_documents(FailureReport(job, new=1, documents=(other,)), DEPLOYMENT)
        reported.of(left_out("acme"), second)
        assert [alert.title for alert in reported.channel.sent] == [
            "acme: some documents could not be ingested",
            "News: acme: some documents could not be ingested",
        ]

    def test_a_retry_that_leaves_nothing_is_the_end_at_once(self) -> None:
        assert [alert.title for alert in Reported().of(left_out("acme"), retried("acme", 20))] == [
            "acme: some documents could not be ingested",
            "Over: acme: some documents could not be ingested",
        ]

    def test_a_retry_while_a_job_is_uncollected_ends_nothing(self) -> None:
        assert retried("acme", 20, complete=False) == ()

    @pytest.mark.parametrize("failing", [1, None])
    def test_a_job_after_which_documents_may_still_fail_ends_nothing(self, failing: int | None) -> None:
        done = job_state_change(occurred_at=START)
        assert of_documents(FailureReport(done, failing=failing), DEPLOYMENT) == ()

    def test_an_incident_of_an_older_version_proposes_what_its_newest_evidence_does(self) -> None:
        (_, older), (_, newer) = left_out("acme"), left_out("acme", 10)
        assert older.failure
        cause = older.failure.causes[0]
        incident = Incident.opened_by(older, replace(older.failure, verb="sync start"), cause, 1).joined_by(newer)
        timeline = Timeline("acme", Concern.DOCUMENTS).joined_by(older, incident.identity)
        command = incident.following(timeline).message(DEPLOYMENT).command
        assert command == "kbfleet upload acme FILE --key KEY --stack kbfleet --region us-east-1"

    def test_questions_are_told_once_and_their_end_too(self) -> None:
        reported = Reported()
        reported.of(questioned(0, "q1a2b"), questioned(1, "q1a2b"), questioned(2), questioned(3))
        assert [alert.title for alert in reported.channel.sent] == [
            "acme: 1 of 20 questions no longer finds its document",
            "Over: acme: 1 of 20 questions no longer finds its document",
        ]

    def test_the_command_of_the_message_shows_what_came_first_instead(self) -> None:
        (alert,) = Reported().of(questioned(0, "q1a2b"))
        assert alert.command == "kbfleet questions results acme --stack kbfleet --region us-east-1"

    def test_with_its_offboarding_what_its_questions_show_is_over(self) -> None:
        reported = Reported()
        ended = of_workflow_success(ACME, Workflow.OFFBOARD_TENANT, EXECUTION, START + timedelta(hours=1))
        reported.of(questioned(0, "q1a2b"), ended)
        assert reported.channel.sent[-1].title.startswith("Over: acme")

    def test_a_job_that_failed_says_nothing_of_documents(self) -> None:
        assert of_documents(FailureReport(_job("acme", 0, "No."), new=1), DEPLOYMENT) == ()


def _json(message: object) -> bytes:
    return json.dumps(message).encode()
