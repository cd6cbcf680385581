"""The real handlers on the files of `events/`, with a fleet in memory behind `kbfleet.bootstrap`."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from kbfleet import bootstrap
from kbfleet.adapters.sessions import SignedSessions, SignedTickets
from kbfleet.domain.names import TenantId
from kbfleet.logs import logger
from kbfleet.usage_log import usage_logger
from kbfleet.usecases.asking import AskableTenants
from kbfleet.usecases.incidents import IncidentDesk
from tests.support.fakes import (
    FakeClock,
    InMemoryAskableTenantRecords,
    InMemoryIncidents,
    RecordingAlertChannel,
    ScriptedAnswerer,
)
from tests.support.fleet import Fleet
from tests.support.openapi import require_as_documented
from tests.support.samples import ACCOUNT, DEPLOYMENT, REGION, STACK_ID
from tests.support.template import REPOSITORY

SESSIONS = SignedSessions(lambda: "k" * 64)
TICKETS = SignedTickets(lambda: "k" * 64)
EVENTS = REPOSITORY / "events"
ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "POWERTOOLS_SERVICE_NAME": "kbfleet",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "ACCOUNT_ID": ACCOUNT,
    "STACK_NAME": "kbfleet",
    "FLEET_NAME": "kbfleet",
    "TABLE_NAME": "kbfleet",
    "SERVICE_ROLES": "PER_TENANT",
    "STACK_ID": STACK_ID,
    "SERVICE_ROLE_BOUNDARY_ARN": f"arn:aws:iam::{ACCOUNT}:policy/ServiceRoleBoundary",
    "KNOWLEDGE_BASE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/knowledge-base",
    "KNOWLEDGE_BASE_LOOK_SECONDS": "85",
    "STANDARD_USAGE_PLAN_ID": "plan-standard",
    "PREMIUM_USAGE_PLAN_ID": "plan-premium",
    "KEEP_USAGE": "true",
    "LOG_RETENTION_DAYS": "30",
    "RETENTION_DAYS": "30",
    "CHANGE_EVENTS_AFTER_SECONDS": "600",
    "UPLOAD_VALID_SECONDS": "900",
    "UPLOADER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/uploader",
    "DOCUMENT_OPENER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/opener",
    "DOCUMENT_REMOVER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/remover",
    "KNOWLEDGE_BASES_FOR_REBUILDS": "5",
    "KNOWLEDGE_BASE_READY_SECONDS": "900",
    "LEASE_SECONDS": "18000",
    "REGISTRY_CACHE_SECONDS": "15",
    "OFFBOARDING_LEASE_SECONDS": "172800",
    "TICK_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/ticks.fifo",
    "TICK_SECONDS": "5",
    "INGESTION_START_INTERVAL_SECONDS": "10",
    "JOB_HISTORY_DAYS": "90",
    "DEBOUNCE_QUIET_SECONDS": "30",
    "DEBOUNCE_AT_MOST_SECONDS": "300",
    "CHANGE_DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/changes-dead",
    "SYNC_EVERY_HOURS": "24",
    "STALE_AFTER_SECONDS": "7200",
    "KNOWLEDGE_STORE": "S3_VECTORS",
    "VECTOR_BUCKET_NAME": "kbfleet-vectors",
    "EMBEDDING_MODEL_ID": "amazon.titan-embed-text-v2:0",
    "ANSWERING": "RETRIEVE_AND_CONVERSE",
    "GENERATION_MODEL_ID": "us.amazon.nova-lite-v1:0",
}

Event = dict[str, Any]
Handler = Callable[[Event], Any]


@dataclass
class LambdaContext:
    """What the runtime gives a function about itself."""

    function_name: str
    memory_limit_in_mb: int = 512
    aws_request_id: str = "6f2f8c0e-2a0a-4a52-9a3d-8f5b1c2d3e4f"

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@dataclass
class Logs:
    """What functions have written."""

    stream: StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def event(path: str) -> Event:
    """A sample event, by its path below `events/` without the ending."""
    loaded: Event = json.loads((EVENTS / f"{path}.json").read_text("utf-8"))
    return loaded


def sample_events() -> list[Path]:
    return sorted(EVENTS.rglob("*.json"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    bootstrap.fleet.cache_clear()
    yield
    bootstrap.fleet.cache_clear()


@pytest.fixture
def fleet(environment: None, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Every port of the composition root is one in memory."""
    return behind_bootstrap(Fleet(), monkeypatch)


def behind_bootstrap(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    askable = InMemoryAskableTenantRecords(fleet.registry, fleet.ledger)
    ports = {
        "clock": lambda: fleet.clock,
        "askable_tenant_records": lambda: askable,
        "registry": lambda: fleet.registry,
        "profile_records": lambda: fleet.profile_records,
        "convergences": lambda: fleet.convergences,
        "room_counts": lambda: fleet.room_counts,
        "fleet_records": lambda: fleet.fleet_records,
        "ledger": lambda: fleet.ledger,
        "history": lambda: fleet.history,
        "buckets": lambda: fleet.buckets,
        "stores": lambda: fleet.stores,
        "knowledge_bases": lambda: fleet.knowledge_bases,
        "service_roles": lambda: fleet.service_roles,
        "usage_keys": lambda: fleet.usage_keys,
        "external_jobs": lambda: fleet.external_jobs,
        "ticks": lambda: fleet.ticks,
        "incidents": lambda: fleet.incidents,
        "undelivered_messages": lambda: fleet.undelivered,
        "refused_changes": lambda: fleet.refused_changes,
        "uploads": lambda: fleet.uploads,
        "usage_records": lambda: fleet.usage_records,
        "refused_usage": lambda: fleet.refused_usage,
        "announcements": lambda: fleet.announcements,
        "callbacks": lambda: fleet.callbacks,
        "executions": lambda: fleet.executions,
        "offboarding_executions": lambda: fleet.offboarding_executions,
        "rebuild_executions": lambda: fleet.rebuild_executions,
        "search_pace": lambda: fleet.search_pace,
        "question_retriever": lambda *_: fleet.retriever,
        "records": lambda: fleet.records,
        "scheduler": lambda: fleet.scheduler,
        "deletion_check": lambda: fleet.deletion_check,
        "bucket_contents": lambda: fleet.bucket_contents,
        "failed_documents": lambda: fleet.failed_documents,
        "document_retries": lambda: fleet.document_retries,
        "retry_runs": lambda: fleet.retry_runs,
        "failure_collector": lambda: fleet.failure_collector,
        "retry_runner": lambda: fleet.retry_runner,
        "golden_questions": lambda: fleet.golden_questions,
        "question_watches": lambda: fleet.question_watches,
        "question_runs": lambda: fleet.question_runs,
        "question_rounds": lambda: fleet.question_rounds,
        "question_runner": lambda: fleet.question_runner,
        "isolation_look": lambda: fleet.isolation_look,
        "examination": lambda: fleet.examination,
        "examiner": lambda: fleet.examination,
        "document_tracer": lambda: fleet.document_tracer,
        "tenant_documents": lambda: fleet.tenant_documents,
        "document_removal": lambda: fleet.document_removal,
        "document_links": lambda: fleet.document_links,
        "tickets": lambda: TICKETS,
    }
    for name, port in ports.items():
        monkeypatch.setattr(bootstrap, name, port)
    return fleet


@pytest.fixture
def answerer(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedAnswerer]:
    """Puts an answerer with a script into the composition root, and gives it."""

    def script(**answers: Any) -> ScriptedAnswerer:
        scripted = ScriptedAnswerer(answers)
        tenants = AskableTenants(bootstrap.askable_tenant_records(), fleet.clock, fleet.scheduler.start_interval)
        monkeypatch.setattr(bootstrap, "answerer", lambda *_: scripted)
        monkeypatch.setattr(bootstrap, "sessions", lambda: SESSIONS)
        monkeypatch.setattr(bootstrap, "askable_tenants", lambda: tenants)
        return scripted

    return script


@pytest.fixture
def alerts(environment: None, monkeypatch: pytest.MonkeyPatch) -> RecordingAlertChannel:
    """A channel that remembers, behind a desk that does."""
    channel = RecordingAlertChannel(threads=False)
    desk = IncidentDesk(InMemoryIncidents(), channel, FakeClock(), DEPLOYMENT)
    monkeypatch.setattr(bootstrap, "incident_desk", lambda: desk)
    monkeypatch.setattr(bootstrap, "deployment", lambda: DEPLOYMENT)
    return channel


@pytest.fixture
def handler(environment: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Handler]:
    """A function by its place, such as `ingestion/tick` or `provisioning/steps.ensure_bucket`, loaded anew as a cold
    start does. What it answers to API Gateway must be as the API's document says."""

    def load(path: str) -> Handler:
        file, _, name = path.partition(".")
        module_name = f"functions.{file.replace('/', '.')}"
        monkeypatch.delitem(sys.modules, module_name, raising=False)
        module = importlib.import_module(module_name)
        context = LambdaContext(name or file.rsplit("/", 1)[-1])

        def invoke(payload: Event) -> Any:
            answer = getattr(module, name or "handler")(payload, context)
            if "httpMethod" in payload:
                require_as_documented(payload, answer)
            return answer

        return invoke

    return load


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    stream = StringIO()
    for written in (*logger.handlers, *usage_logger.handlers):
        monkeypatch.setattr(written, "stream", stream)
    return Logs(stream)


def tenant_of(payload: Event) -> TenantId:
    return TenantId(payload["reservation"]["tenant_id"])
