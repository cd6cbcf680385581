"""Nothing that outsiders say, and no number of tenants, makes an item, an event, an answer or a message too large; and
what is left out is counted.

The real adapters write, into clients that keep what they are given. Sizes are as AWS counts them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from kbfleet.adapters.alert_channels.slack_message import blocks, summary
from kbfleet.adapters.alert_channels.sns import plain_text
from kbfleet.adapters.bedrock import failure_reasons
from kbfleet.adapters.dynamodb.documents import DynamoDBFailedDocuments
from kbfleet.adapters.dynamodb.incidents import DynamoDBIncidents
from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.event_bridge import EventBridgeAnnouncements
from kbfleet.contracts.document_listing import DocumentBody, DocumentsBody
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.contracts.jobs import JobBody, JobsBody
from kbfleet.contracts.tenants import TenantBody
from kbfleet.domain.alert import Alert
from kbfleet.domain.bounds import ANSWER_BYTES, EVENT_BYTES, ITEM_BYTES
from kbfleet.domain.diagnosis import Diagnosis
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination
from kbfleet.domain.document_pages import MAX_TOKEN_LENGTH
from kbfleet.domain.document_status import left_out
from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.failed_documents import FailedDocument, RetryReport, failure_report
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import SIGNALS_KEPT, TOGETHER, Concern, Failure, Incident, Signal, Timeline
from kbfleet.domain.ingestion_job import IngestionJob, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.domain.root_cause import root_cause
from kbfleet.domain.signals import of_documents, of_ingestion
from kbfleet.domain.sync import Sync, SyncResult, Waiter
from kbfleet.responses import respond
from local.slack_sink import RejectedMessageError, validate_message
from tests.proofs.proof import Row, try_each
from tests.support.clock import START
from tests.support.records import InMemoryJobHistory
from tests.support.samples import ACME, DEPLOYMENT, NAMES, job_state_change, tenant, uri_of

CASES = 2_500
"""Of each of the four kinds."""
_EXTREME = "a", "é", "理", "😀", "\x01", '"', "\\", "<", " "
"""One, two, three and four bytes, and what JSON writes in two or six characters."""


# --- measures ---


def item_bytes(item: Mapping[str, Any]) -> int:
    """As DynamoDB counts them. Source: AWS documentation, DynamoDB item sizes and formats."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(each) for name, each in held.items())
        case "L":
            return 3 + sum(1 + _value_bytes(each) for each in held)
        case "N":
            return 21
        case "S":
            return len(held.encode())
    return 1


def event_bytes(entry: Mapping[str, str]) -> int:
    """As EventBridge counts them. Source: Amazon EventBridge User Guide, Calculating PutEvents event entry size."""
    return sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))


def answer_bytes(body: Any) -> int:
    """Of what the function gives to Lambda, also where the runtime writes it in ASCII. An error in place of an answer
    that would be too large is none."""
    answer = respond(body)
    return len(json.dumps(answer.proxied)) if answer.status < 400 else len(json.dumps(body.model_dump_json()))


class _Cancelled(Exception):
    """Never raised."""


@dataclass
class Kept:
    """Clients of DynamoDB and EventBridge that take all and keep what was written last."""

    items: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[Mapping[str, str]] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(TransactionCanceledException=_Cancelled))

    def put_item(self, **given: Any) -> None:
        self.items.append(given["Item"])

    def update_item(self, **given: Any) -> None:
        names = given["ExpressionAttributeNames"]
        values = given["ExpressionAttributeValues"]
        item = {name: values[f":{name}"] for name in names.values()}
        self.items.append({**given["Key"], **item})

    def transact_write_items(self, **given: Any) -> None:
        assert len(given["TransactItems"]) <= 100
        self.items += [write["Put"]["Item"] for write in given["TransactItems"] if "Put" in write]

    def put_events(self, **given: Any) -> Mapping[str, Any]:
        self.events += given["Entries"]
        return {"FailedEntryCount": 0, "Entries": []}

    def problem(self) -> str | None:
        """What is too large of all that was written; it is forgotten then."""
        items, self.items = self.items, []
        events, self.events = self.events, []
        found = [f"an item of {item_bytes(item):,} bytes" for item in items if item_bytes(item) > ITEM_BYTES]
        found += [f"an event of {event_bytes(event):,} bytes" for event in events if event_bytes(event) > EVENT_BYTES]
        return "; ".join(found) or None


def message_problem(alert: Alert) -> str | None:
    """What Slack or a topic would refuse of a message."""
    shown = {"text": summary(alert), "blocks": [block.to_dict() for block in blocks(alert)]}
    try:
        validate_message(json.dumps(shown).encode())
    except RejectedMessageError as error:
        return f"Slack: {error}"
    size = len(plain_text(alert).encode())
    return f"a mail of {size:,} bytes" if size > EVENT_BYTES else None


# --- what outsiders say ---


def texts(most: int) -> st.SearchStrategy[str]:
    """Of any length up to the longest, with all that counts as more than a byte."""
    pieces = st.lists(st.sampled_from(_EXTREME), min_size=1, max_size=4).map("".join)
    lengths = st.one_of(st.integers(0, 40), st.integers(0, most), st.just(most))
    return st.builds(lambda piece, length: (piece * (length // len(piece) + 1))[:length], pieces, lengths)


@st.composite
def numbers(draw: st.DrawFn, most: int) -> int:
    """Mostly small, now and then the most."""
    size = draw(st.integers(0, 9))
    return most if size == 9 else draw(st.integers(0, most if size == 8 else most // 20 + 2))


@st.composite
def raw_reasons(draw: st.DrawFn) -> list[str]:
    """As Bedrock gives them: up to 2,048 of 2,048 characters each (botocore model of bedrock-agent)."""
    some = draw(st.lists(texts(2_048), min_size=1, max_size=3))
    named = draw(texts(1_000))
    some.append(f"Ignored 3 files as it is so [Files: {uri_of(named)}]."[:2_048])
    number = draw(numbers(2_048))
    return [some[place % len(some)] for place in range(number)]


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[str], IngestionJob]:
    raw = draw(raw_reasons())
    status = draw(st.sampled_from([JobStatus.FAILED, JobStatus.COMPLETE]))
    counts = Statistics(scanned=draw(st.integers(0, 10**9)), failed=draw(st.integers(0, 10**9)))
    job = IngestionJob("JOB0000003", status, START, START + timedelta(minutes=3), counts, failure_reasons(raw))
    return raw, job


def _change(job: IngestionJob) -> JobStateChange:
    return job_state_change(
        status=job.status,
        outcome=job.outcome,
        statistics=job.statistics,
        failure_reasons=job.failure_reasons,
        reasons_left_out=job.reasons_left_out,
    )


def _says_something(raw: str) -> bool:
    """Two quotation marks are a JSON text without a word."""
    try:
        text = json.loads(raw)
    except ValueError:
        text = raw
    return not isinstance(text, str) or bool(text.strip())


def job_problem(drawn: tuple[list[str], IngestionJob]) -> str | None:
    """Of a job with so much to say: in the history, in the ledger, on the bus, in answers, and told to people."""
    raw, job = drawn
    change, kept = _change(job), Kept()
    said = sum(map(_says_something, raw))
    if len(change.failure_reasons) + change.reasons_left_out != said:
        return f"{len(change.failure_reasons)} reasons and {change.reasons_left_out} left out, of {said}"
    table: Any = Table(kept, "table")  # type: ignore[arg-type]  # a client that keeps what it is given
    DynamoDBJobHistory(table, kept_for=timedelta(days=1)).record(change, START)
    assert job.outcome is not None
    result = SyncResult.of_job(job, job.outcome, 1, "DS00000002")
    if len(result.failure_reasons) + result.reasons_left_out != said:
        return f"the ledger has {len(result.failure_reasons)} and {result.reasons_left_out} left out, of {said}"
    entry = Sync(ACME, result=result, waiters=(Waiter("t" * 2_048, 1),) * 10)
    DynamoDBSyncLedger(table).save(entry)
    bus = EventBridgeAnnouncements(kept, bus_name="bus")  # type: ignore[arg-type]  # likewise
    bus.job_state_changed(change)
    bus.diagnosed(Diagnosis(ACME, START, (), (), Harm.UNKNOWN, change))
    return kept.problem() or _job_answers(change, entry) or _told(change)


def _job_answers(change: JobStateChange, entry: Sync) -> str | None:
    history = InMemoryJobHistory()
    for number in range(100):
        history.record(replace(change, ingestion_job_id=f"JOB{number:07d}"), START)
    names: list[str] = []
    after = None
    while True:
        page = history.page(Life(ACME), 100, after)
        body = JobsBody.from_page(page)
        if (size := answer_bytes(body)) > ANSWER_BYTES:
            return f"a page of {len(page.jobs)} jobs has {size:,} bytes"
        names += [job.name for job in page.jobs]
        after = page.following
        if after is None:
            break
    if len(set(names)) != 100 or len(names) != 100:
        return f"all pages together have {len(names)} jobs of 100"
    shown = TenantBody.from_domain(tenant(), entry, Timeline("acme", Concern.ISOLATION), "1", timedelta(hours=1))
    return f"a tenant has {answer_bytes(shown):,} bytes" if answer_bytes(shown) > ANSWER_BYTES else None


def _told(change: JobStateChange) -> str | None:
    """An incident's evidence, and its message."""
    for signal in of_ingestion(change, DEPLOYMENT):
        if signal.failure is None:
            continue
        incident = Incident.opened_by(signal, signal.failure, signal.failure.causes[0], 1)
        timeline = Timeline("acme", signal.concern).joined_by(signal, incident.identity)
        incident, kept = incident.following(timeline), Kept()
        left_out = incident.evidence.reasons_left_out
        if len(incident.evidence.reasons) + left_out != len(change.failure_reasons) + change.reasons_left_out:
            return f"the evidence has {len(incident.evidence.reasons)} reasons and {left_out} left out"
        DynamoDBIncidents(Table(kept, "table")).record(timeline, [incident])  # type: ignore[arg-type]  # likewise
        if problem := kept.problem() or message_problem(incident.message(DEPLOYMENT)):
            return problem
    return None


# --- documents ---


@st.composite
def failing_documents(draw: st.DrawFn) -> tuple[IngestionJob, list[FailedDocument]]:
    """Up to a thousand, with names as long as S3 takes them: 1,024 bytes."""
    _, job = draw(jobs())
    number, reasons = draw(numbers(1_000)), draw(st.lists(texts(2_048), min_size=1, max_size=3))
    piece = draw(st.sampled_from(_EXTREME))
    finding = draw(st.one_of(st.none(), st.sampled_from(DocumentFault).map(DocumentFinding)))
    ended = START + timedelta(minutes=3)
    documents = []
    for place in range(number):
        name = f"{place}{piece * (1_020 // len(piece.encode()))}"
        reason = reasons[place % len(reasons)]
        times = draw(st.integers(1, 4)) if place < 3 else 1
        seen = Examination("1", finding)
        documents.append(FailedDocument(uri_of(name), reason, ended, ended, times, examination=seen, revision="1"))
    return replace(job, status=JobStatus.COMPLETE), documents


def documents_problem(drawn: tuple[IngestionJob, list[FailedDocument]]) -> str | None:
    """Of so many documents that fail: stored, reported, listed, and told to people."""
    job, documents = drawn
    change, kept = replace(_change(job), outcome=Outcome.DEGRADED), Kept()
    table: Any = Table(kept, "table")  # type: ignore[arg-type]  # a client that keeps what it is given
    for document in documents[:3]:
        DynamoDBFailedDocuments(table, NAMES).save(Life(ACME), document)
    report = failure_report(change, documents, fixed=0, complete=True)
    if report.new + report.again + report.set_aside_now + report.set_aside > len(documents):
        return "more are counted than there are"
    bus = EventBridgeAnnouncements(kept, bus_name="bus")  # type: ignore[arg-type]  # likewise
    bus.failures_collected(report)
    told = json.loads(kept.events[-1]["Detail"])
    if told["failing"] != len(documents):
        return f"{told['failing']} of {len(documents)} are counted"
    left = tuple(replace(each, news=each.news) for each in report.documents)
    ended = RetryReport(ACME, "r", START, 0, len(documents), 0, "", len(documents), left)
    bus.retry_ended(ended)
    listed = [left_out(each, each.uri.removeprefix("s3://").partition("/")[2]) for each in documents[:100]]
    bodies = DocumentsBody(
        documents=tuple(map(DocumentBody.from_domain, listed)), next_token="0" * MAX_TOKEN_LENGTH, retry=None
    )
    shown = JobBody.from_domain(change, documents)
    for body in (bodies, shown):
        if answer_bytes(body) > ANSWER_BYTES:
            return f"{type(body).__name__} has {answer_bytes(body):,} bytes"
    if shown.left_out_total != len(documents):
        return f"{shown.left_out_total} documents are counted of {len(documents)}"
    for signal in of_documents(report, DEPLOYMENT):
        if signal.failure is not None and (problem := message_problem(signal.failure.evidence)):
            return problem
    return kept.problem()


# --- incidents ---


@dataclass(frozen=True)
class Crowded:
    """An incident with so many tenants, each of which was broken so often."""

    tenants: int
    spans: int
    well: int
    evidence: Alert


@st.composite
def incidents(draw: st.DrawFn) -> Crowded:
    _, job = draw(jobs())
    change = replace(_change(job), status=JobStatus.FAILED, outcome=Outcome.FAILED)
    (signal,) = of_ingestion(change, DEPLOYMENT)
    assert signal.failure is not None
    most = draw(numbers(600))
    return Crowded(most + 1, draw(numbers(SIGNALS_KEPT)) + 1, draw(st.integers(0, most + 1)), signal.failure.evidence)


def incident_problem(drawn: Crowded) -> str | None:
    """Of an incident that goes on for long, of many."""
    cause = root_cause("ingestion", "It is so.")
    failure, kept = Failure((cause,), drawn.evidence, "sync start"), Kept()
    store = DynamoDBIncidents(Table(kept, "table"))  # type: ignore[arg-type]  # a client that keeps what it is given
    failed = Signal("t/0", "t", Concern.INGESTION, START, failure)
    incident = Incident.opened_by(failed, failure, cause, 1)
    well, broken = (_often_broken(failed, incident, drawn.spans, well=each) for each in (True, False))
    for number in range(drawn.tenants):
        timeline = replace(well if number < drawn.well else broken, subject=f"tenant-{number:025d}")
        if incident.crowd is not None:
            incident = replace(incident, affected={})
        incident = incident.following(timeline)
        if number in {0, TOGETHER - 1, TOGETHER, drawn.tenants - 1}:
            store.record(timeline, [incident])
            if problem := kept.problem():
                return problem
    still = max(0, drawn.tenants - drawn.well)
    if (incident.hit, incident.broken) != (drawn.tenants, still):
        return f"{incident.hit} and {incident.broken} are counted of {drawn.tenants} and {still}"
    notice = incident.notice(DEPLOYMENT)
    if notice is None:
        return "nobody would hear of it"
    store.save(incident.claimed(notice, START, timedelta(minutes=1)))
    return kept.problem() or message_problem(notice.alert)


def _often_broken(failed: Signal, incident: Incident, spans: int, *, well: bool) -> Timeline:
    """The timeline of one that broke so often, made at once, for speed."""
    first = Timeline(failed.subject, Concern.INGESTION).joined_by(failed, incident.identity)
    (entry,) = first.entries
    entries = [
        replace(
            entry,
            at=START + timedelta(minutes=number, microseconds=1),
            identity=f"{'i' * 60}/{number}",
            incident=incident.identity if number % 2 == 0 else "",
        )
        for number in range(2 * spans - (not well))
    ]
    return replace(first, entries=tuple(entries[-SIGNALS_KEPT:]))


# --- a fleet's report ---


@st.composite
def reconciliations(draw: st.DrawFn) -> Reconciliation:
    finding = Finding(draw(st.sampled_from(Disagreement)), draw(st.sampled_from(ResourceKind)), draw(texts(500)), ACME)
    trouble = (ACME, NotReadyYet(draw(texts(4_000))))
    findings, others = draw(numbers(3_000)), draw(numbers(1_000))
    return Reconciliation(
        START,
        10_000,
        50_000,
        (finding,) * findings,
        (TenantId("a" * 32),) * others,
        troubles=(trouble,) * others,
        unlisted=(draw(texts(4_000)),) * draw(numbers(100)),
        recorded=(finding,) * draw(numbers(3_000)),
    )


def report_problem(report: Reconciliation) -> str | None:
    kept = Kept()
    EventBridgeAnnouncements(kept, bus_name="bus").reconciled(report)  # type: ignore[arg-type]  # as above
    body = ReconciliationDetail.from_domain(report)
    if answer_bytes(body) > ANSWER_BYTES:
        return f"the answer has {answer_bytes(body):,} bytes"
    parts: tuple[tuple[Sequence[object], int, Sequence[object]], ...] = (
        (body.findings, body.findings_left_out, report.findings),
        (body.recorded, body.recorded_left_out, report.recorded),
        (body.repairs, body.repairs_left_out, report.repairs),
        (body.troubles, body.troubles_left_out, report.troubles),
    )
    if any(len(shown) + left_out != len(of) for shown, left_out, of in parts):
        return "something is left out and not counted"
    return kept.problem()


def prove(cases: int = CASES) -> Row:
    """Each drawn case is one run."""
    row = Row("no text and no number makes an item, an event, an answer or a message too large")
    try_each(jobs(), cases, lambda drawn: row.add(job_problem(drawn)))
    try_each(failing_documents(), cases, lambda drawn: row.add(documents_problem(drawn)))
    try_each(incidents(), cases, lambda drawn: row.add(incident_problem(drawn)))
    try_each(reconciliations(), cases, lambda drawn: row.add(report_problem(drawn)))
    row.findings.append(f"{cases:,} jobs, lists of documents, incidents and reports each")
    return row
