"""Our events on the bus, through the rules of template.yaml, into the queue that the notifier reads."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.event_bridge import EventBridgeAnnouncements
from kbfleet.contracts import parse
from kbfleet.contracts.events import (
    DocumentRetryEndedEvent,
    JobStateChangeEvent,
    QuestionsJudgedEvent,
    SyncHeldEvent,
    TenantStateChangeEvent,
    WorkflowFailedEvent,
)
from kbfleet.domain.deletions import Hold, HoldReason, SyncHeld
from kbfleet.domain.erasure import ErasedResource, ErasureReceipt, Remainder
from kbfleet.domain.errors import AccessRefused, NotReadyYet, RequestRefused
from kbfleet.domain.failed_documents import News, ReportedDocument, RetryReport
from kbfleet.domain.ingestion_job import JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.names import Life
from kbfleet.domain.question_runs import ChangedDocuments, QuestionsJudged, Regression
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.tenant import TenantStateChange
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from kbfleet.ports import Announcements
from tests.support.aws import client as aws_client
from tests.support.clock import START
from tests.support.fakes import RecordingAnnouncements
from tests.support.samples import ACME, SAKURA, failure_reason, job_state_change, provisioning_failure
from tests.support.template import resources

CHANGES = [
    (job_state_change(status=JobStatus.STARTING, outcome=None, previous_outcome=Outcome.FAILED), False),
    (job_state_change(), False),
    (job_state_change(previous_outcome=None), False),
    (job_state_change(previous_outcome=Outcome.STOPPED), False),
    (job_state_change(previous_outcome=Outcome.FAILED), True),
    (job_state_change(previous_outcome=Outcome.DEGRADED), True),
    (job_state_change(after_hold=True), True),
    (job_state_change(status=JobStatus.FAILED, outcome=Outcome.FAILED), False),  # told once it was looked at
    (job_state_change(status=JobStatus.STOPPED, outcome=Outcome.STOPPED), False),
    (
        job_state_change(
            tenant_id=SAKURA,
            outcome=Outcome.DEGRADED,
            previous_outcome=None,
            ingestion_job_id=None,
            started_at=None,
            statistics=Statistics(1, 2, 3, 4, 5, 6, 7, 8),
            failure_reasons=(failure_reason("無視されました", "s3://b/議事録, 1.md"),),
        ),
        False,  # reported by what is collected of its documents
    ),
]


OFFBOARDING_FAILURE = WorkflowFailure(
    Workflow.OFFBOARD_TENANT,
    "Delete Bucket",
    "AccessRefused",
    "議事録を削除する権限がありません。",
    "arn:aws:states:us-east-1:123456789012:execution:kbfleet-offboard-tenant:sakura-1",
    START,
)
TENANT_CHANGES = [
    TenantStateChange(ACME, TenantStatus.SUSPENDED, TenantStatus.ACTIVE, START),
    TenantStateChange(ACME, TenantStatus.PROVISIONING, None, START),
    TenantStateChange(
        SAKURA,
        TenantStatus.OFFBOARDED,
        TenantStatus.OFFBOARDING,
        START,
        ErasureReceipt(
            START,
            START,
            OFFBOARDING_FAILURE.execution,
            (ErasedResource("bucket", "b"),),
            (Remainder("usage", "numbers"),),
        ),
    ),
]


class Bus:
    """The bus, its rules, and the alert queue behind them."""

    def __init__(self) -> None:
        self.events: Any = aws_client("events")
        self._queue: Any = aws_client("sqs")
        self._url = self._queue.create_queue(QueueName="alerts")["QueueUrl"]
        arn = self._queue.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.events.create_event_bus(Name="kbfleet")
        for name, rule in resources("AWS::Events::Rule").items():
            if not any("AlertQueue" in str(target["Arn"]) for target in rule["Properties"]["Targets"]):
                continue
            pattern = json.dumps(rule["Properties"]["EventPattern"])
            self.events.put_rule(Name=name, EventBusName="kbfleet", EventPattern=pattern)
            self.events.put_targets(Rule=name, EventBusName="kbfleet", Targets=[{"Id": "alerts", "Arn": arn}])

        self._arn = arn

    def listen(self, pattern: dict[str, Any]) -> None:
        """What matches goes into the queue too."""
        self.events.put_rule(Name="listener", EventBusName="kbfleet", EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule="listener", EventBusName="kbfleet", Targets=[{"Id": "listener", "Arn": self._arn}])

    def delivered(self) -> list[dict[str, Any]]:
        received = self._queue.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in received.get("Messages", [])]


@pytest.fixture
def bus(aws: None) -> Bus:
    return Bus()


@pytest.mark.parametrize("changed", [None, ChangedDocuments(), ChangedDocuments(("規約/a.md",), 3)])
@pytest.mark.parametrize("regressed", [True, False])
def test_what_golden_questions_came_to_reaches_the_alert_queue_as_it_was(
    bus: Bus, changed: ChangedDocuments | None, regressed: bool
) -> None:
    regressions = (Regression(QuestionId("q1a2b"), START, START, None),) if regressed else ()
    judged = QuestionsJudged("acme/questions/7", Life(ACME, 2), START, 20, regressions, changed, worse=True)
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").questions_judged(judged)
    (event,) = bus.delivered()
    assert parse(QuestionsJudgedEvent, event).detail.to_domain() == judged


@pytest.mark.parametrize(("change", "alerted"), CHANGES)
def test_what_breaks_or_recovers_reaches_the_alert_queue_as_it_was(
    bus: Bus, change: JobStateChange, alerted: bool
) -> None:
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").job_state_changed(change)
    delivered = [parse(JobStateChangeEvent, event).detail.to_domain() for event in bus.delivered()]
    assert delivered == ([change] if alerted else [])


def test_a_sync_that_is_held_reaches_the_alert_queue_as_it_was(bus: Bus) -> None:
    held = SyncHeld(SAKURA, 5, Hold(HoldReason.GONE, 1000, 1000, START, START + timedelta(days=1)), worse=True, life=2)
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").sync_held(held)
    (event,) = bus.delivered()
    assert parse(SyncHeldEvent, event).detail.to_domain() == held


def test_what_a_retry_came_to_reaches_the_alert_queue_as_it_was(bus: Bus) -> None:
    left = ReportedDocument("s3://b/議事録.pdf", "no text", News.AGAIN)
    report = RetryReport(ACME, "1", START, 2, 1, 0, "", 1, (left,), complete=True, life=2)
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").retry_ended(report)
    (event,) = bus.delivered()
    assert parse(DocumentRetryEndedEvent, event).detail.to_domain() == report


def test_a_failed_provisioning_reaches_the_alert_queue_as_it_was(bus: Bus) -> None:
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").provisioning_failed(ACME, provisioning_failure())
    (event,) = bus.delivered()
    detail = parse(WorkflowFailedEvent, event).detail
    assert (detail.tenant_id, detail.to_domain()) == (ACME, provisioning_failure())


def test_a_failed_offboarding_reaches_the_alert_queue_as_it_was(bus: Bus) -> None:
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").offboarding_failed(SAKURA, OFFBOARDING_FAILURE)
    (event,) = bus.delivered()
    detail = parse(WorkflowFailedEvent, event).detail
    assert (event["detail-type"], detail.tenant_id) == ("Offboarding Failed", SAKURA)
    assert detail.to_domain() == OFFBOARDING_FAILURE


@pytest.mark.parametrize("change", TENANT_CHANGES, ids=lambda change: str(change.status))
def test_a_tenants_change_reaches_whoever_listens_as_it_was_and_alerts_nobody(
    bus: Bus, change: TenantStateChange
) -> None:
    bus.listen({"source": ["kbfleet.tenants"], "detail-type": ["Tenant State Change"]})
    EventBridgeAnnouncements(bus.events, bus_name="kbfleet").tenant_state_changed(change)
    (event,) = bus.delivered()
    detail = parse(TenantStateChangeEvent, event).detail
    assert detail.identity == change.identity
    assert (detail.tenant_id, detail.status, detail.occurred_at, detail.previous_status, detail.receipt) == (
        change.tenant_id,
        change.status,
        change.occurred_at,
        change.previous_status,
        change.receipt,
    )


def test_an_event_that_the_bus_does_not_take_is_worth_another_try(aws: None) -> None:
    client = aws_client("events")
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "try later"}
    with Stubber(client) as stubber:
        stubber.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})
        with pytest.raises(NotReadyYet, match="InternalFailure"):
            EventBridgeAnnouncements(client, bus_name="kbfleet").job_state_changed(job_state_change())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("MalformedDetail", RequestRefused),
        ("InvalidArgument", RequestRefused),
        ("AccessDeniedException", AccessRefused),
    ],
)
def test_an_event_that_the_bus_will_never_take_is_refused_for_good(
    aws: None, code: str, error: type[Exception]
) -> None:
    client = aws_client("events")
    refused = {"ErrorCode": code, "ErrorMessage": "no"}
    with Stubber(client) as stubber:
        stubber.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})
        with pytest.raises(error, match=code):
            EventBridgeAnnouncements(client, bus_name="kbfleet").job_state_changed(job_state_change())


def test_announcements_in_memory_are_kept_in_order() -> None:
    announcements = RecordingAnnouncements()
    port: Announcements = announcements
    port.job_state_changed(job_state_change())
    port.provisioning_failed(ACME, provisioning_failure())
    port.offboarding_failed(SAKURA, OFFBOARDING_FAILURE)
    for change in TENANT_CHANGES:
        port.tenant_state_changed(change)
    assert announcements.job_state_changes == [job_state_change()]
    assert announcements.tenant_state_changes == TENANT_CHANGES
    assert announcements.offboarding_failures == [(SAKURA, OFFBOARDING_FAILURE)]
    assert announcements.provisioning_failures == [(ACME, provisioning_failure())]
