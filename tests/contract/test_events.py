"""The sample events: each is of a trigger that exists, and those that we publish are what we promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kbfleet.contracts import aws_events, events, parse, parse_json
from kbfleet.contracts.aws_events import DocumentChangeEvent
from kbfleet.contracts.events import (
    DocumentFailuresDetail,
    DocumentFailuresEvent,
    DocumentRetryEndedEvent,
    FleetDiagnosedEvent,
    IsolationBreachedEvent,
    IsolationVerifiedEvent,
    JobStateChangeDetail,
    JobStateChangeEvent,
    QuestionsJudgedEvent,
    RebuildEndedEvent,
    ReconciliationEvent,
    SyncHeldEvent,
    TenantDiagnosedEvent,
    TenantStateChangeEvent,
    WorkflowFailedEvent,
)
from kbfleet.domain.failed_documents import FailureReport, News, ReportedDocument, RetryReport
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.isolation import Breach, IsolationVerified, SeenIn
from kbfleet.domain.names import Life
from tests.support.clock import START
from tests.support.samples import ACME, NAMES, SAKURA, job_state_change, provisioning_failure
from tests.support.template import REPOSITORY, handler_place, properties, resources

TRIGGERS = REPOSITORY / "events" / "triggers"
PUBLISHED: dict[str, tuple[type[BaseModel], str, str]] = {
    "ingestion_job_state_change": (JobStateChangeEvent, events.INGESTION_SOURCE, events.JOB_STATE_CHANGE),
    "document_failures_collected": (
        DocumentFailuresEvent,
        events.INGESTION_SOURCE,
        events.DOCUMENT_FAILURES,
    ),
    "sync_held": (SyncHeldEvent, events.INGESTION_SOURCE, events.SYNC_HELD),
    "document_retry_ended": (DocumentRetryEndedEvent, events.INGESTION_SOURCE, events.DOCUMENT_RETRY_ENDED),
    "provisioning_failed": (WorkflowFailedEvent, events.TENANT_SOURCE, events.PROVISIONING_FAILED),
    "offboarding_failed": (WorkflowFailedEvent, events.TENANT_SOURCE, events.OFFBOARDING_FAILED),
    "rebuild_ended": (RebuildEndedEvent, events.TENANT_SOURCE, events.REBUILD_ENDED),
    "rebuild_failed": (WorkflowFailedEvent, events.TENANT_SOURCE, events.REBUILD_FAILED),
    "reconciliation_report": (ReconciliationEvent, events.TENANT_SOURCE, events.RECONCILIATION_REPORT),
    "isolation_breached": (IsolationBreachedEvent, events.TENANT_SOURCE, events.ISOLATION_BREACHED),
    "isolation_verified": (IsolationVerifiedEvent, events.TENANT_SOURCE, events.ISOLATION_VERIFIED),
    "questions_judged": (QuestionsJudgedEvent, events.TENANT_SOURCE, events.QUESTIONS_JUDGED),
    "fleet_diagnosed": (FleetDiagnosedEvent, events.TENANT_SOURCE, events.FLEET_DIAGNOSED),
    "tenant_diagnosed": (TenantDiagnosedEvent, events.TENANT_SOURCE, events.TENANT_DIAGNOSED),
    "tenant_state_change": (TenantStateChangeEvent, events.TENANT_SOURCE, events.TENANT_STATE_CHANGE),
}

# What rules may look at in the events that they do not take all of.
SELECTED_BY = {
    events.JOB_STATE_CHANGE: JobStateChangeDetail.model_fields,
    events.DOCUMENT_FAILURES: DocumentFailuresDetail.model_fields,
}


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def in_snake_case(camel: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel).removeprefix("_")


def trigger_names() -> set[str]:
    """What a sample's name may begin with: a function, or an event of a function."""
    functions = resources("AWS::Serverless::Function")
    own = {in_snake_case(name.removesuffix("Function")) for name in functions}
    return own | {in_snake_case(event) for name in functions for event in properties(name).get("Events", {})}


@pytest.mark.parametrize("path", sorted(TRIGGERS.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_is_of_a_trigger_or_an_event_that_exists(path: Path) -> None:
    assert path.stem in PUBLISHED or any(path.stem.startswith(name) for name in trigger_names())


def test_every_trigger_has_a_sample() -> None:
    samples = {path.stem for path in TRIGGERS.glob("*.json")}
    for name in resources("AWS::Serverless::Function"):
        handled = properties(name).get("Events", {})
        of_a_state_machine = handler_place(name)[0].endswith("/steps")
        if not of_a_state_machine or handled:
            wanted = {in_snake_case(name.removesuffix("Function")), *map(in_snake_case, handled)}
            assert any(sample.startswith(want) for sample in samples for want in wanted), name
    assert set(map(in_snake_case, properties("TenantsFunction")["Events"])) <= samples


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_event_keeps_its_contract(name: str) -> None:
    model, source, detail_type = PUBLISHED[name]
    sample = load(TRIGGERS / f"{name}.json")
    assert (sample["source"], sample["detail-type"]) == (source, detail_type)
    parsed = parse(model, sample)
    assert json.loads(parsed.model_dump_json(by_alias=True))["detail"] == sample["detail"]


@pytest.mark.parametrize("path", sorted(TRIGGERS.glob("send_alert_*.json")), ids=lambda path: path.stem)
def test_the_alert_queue_carries_published_events_and_such_of_aws(path: Path) -> None:
    for record in load(path)["Records"]:
        sent = json.loads(record["body"])
        of_aws: dict[str, type[BaseModel]] = {
            aws_events.EXECUTION_STATUS_CHANGE: aws_events.SucceededExecutionEvent,
            aws_events.ALARM_STATE_CHANGE: aws_events.AlarmStateChangeEvent,
        }
        ours: dict[str, type[BaseModel]] = {kind: model for model, _, kind in PUBLISHED.values()}
        parse({**ours, **of_aws}[sent["detail-type"]], sent)


@pytest.mark.parametrize("path", sorted(TRIGGERS.glob("note_changes_*.json")), ids=lambda path: path.stem)
def test_the_change_queue_carries_what_its_rule_selects(path: Path) -> None:
    pattern = properties("DocumentsChangedRule")["EventPattern"]
    for record in load(path)["Records"]:
        change = json.loads(record["body"])
        assert (change["source"] in pattern["source"], change["detail-type"] in pattern["detail-type"]) == (True, True)
        assert NAMES.life_of_bucket(change["detail"]["bucket"]["name"]) in {Life(ACME), Life(SAKURA)}
        parse(DocumentChangeEvent, change)


def test_what_is_published_comes_back_as_it_was() -> None:
    change = job_state_change()
    text = JobStateChangeDetail.from_domain(change).model_dump_json()
    assert parse_json(JobStateChangeDetail, text).to_domain() == change
    reported = ReportedDocument("s3://b/議事録.pdf", "no text", News.NEW)
    report = FailureReport(change, 1, 2, 3, 4, 5, complete=False, documents=(reported,), failing=6)
    text = DocumentFailuresDetail.from_domain(report).model_dump_json()
    assert parse_json(DocumentFailuresDetail, text).to_domain() == report
    left = ReportedDocument("s3://b/議事録.pdf", "no text", News.AGAIN)
    retry = RetryReport(ACME, "1", START, 1, 2, 3, "suspended", 1, (left,), complete=False, life=2)
    retried = events.DocumentRetryEndedDetail.from_domain(retry).model_dump_json()
    assert parse_json(events.DocumentRetryEndedDetail, retried).to_domain() == retry
    failure = provisioning_failure()
    failed = events.WorkflowFailedDetail.from_domain(ACME, failure)
    assert parse_json(events.WorkflowFailedDetail, failed.model_dump_json()).to_domain() == failure
    breach = Breach(ACME, SeenIn.RESOURCES, ("data source DS00000009",), START)
    breached = events.IsolationBreachedDetail.from_domain(breach)
    assert parse_json(events.IsolationBreachedDetail, breached.model_dump_json()).to_domain() == breach
    looked = IsolationVerified(ACME, START)
    verified = events.IsolationVerifiedDetail.from_domain(looked)
    assert parse_json(events.IsolationVerifiedDetail, verified.model_dump_json()).to_domain() == looked


def test_an_event_about_many_documents_with_long_names_still_fits_on_the_bus() -> None:
    reported = tuple(ReportedDocument(f"s3://b/{number}" + "深" * 341, "理" * 2048, News.NEW) for number in range(1000))
    detail = DocumentFailuresDetail.from_domain(FailureReport(job_state_change(), new=1000, documents=reported))
    assert detail.new == 1000
    assert len(detail.model_dump_json().encode()) < 200_000  # of 256 KB; AWS documentation, PutEvents


def test_consumers_may_meet_fields_that_they_do_not_know() -> None:
    sample = load(TRIGGERS / "ingestion_job_state_change.json")
    sample["detail"]["added_in_a_later_release"] = True
    assert parse(JobStateChangeEvent, sample).detail.tenant_id == ACME


def test_rules_select_by_what_is_published() -> None:
    published = {(source, kind) for _, source, kind in PUBLISHED.values()}
    on_our_bus = [name for name in resources("AWS::Events::Rule") if "EventBusName" in properties(name)]
    assert on_our_bus
    for name in on_our_bus:
        pattern = properties(name)["EventPattern"]
        (source,), kinds = pattern["source"], pattern["detail-type"]
        assert {(source, kind) for kind in kinds} <= published
        (kind, *_) = kinds
        assert set(pattern.get("detail", {})) <= set(SELECTED_BY.get(kind, ()))


def test_golden_questions_are_asked_however_a_job_has_ended() -> None:
    """One that was stopped, or has failed, may have taken out or replaced some documents before."""
    pattern = properties("KnowledgeChangedRule")["EventPattern"]
    assert set(pattern["detail"]["outcome"]) == set(Outcome)
