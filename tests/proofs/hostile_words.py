"""What tenants write stays words: names, keys, metadata, reasons and events that try to be something else.

Every key goes the whole way, through the real functions in virtual time: its document fails in a job, is listed, is
tried again, and is reported in Slack, by mail and on a terminal; and it is looked for in logs. Other words come in by
every other way that there is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.main
from cli.fleet_api import FleetApi
from kbfleet.adapters.alert_channels.slack_message import blocks, summary
from kbfleet.adapters.alert_channels.sns import plain_text
from kbfleet.contracts import parse
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import DocumentsBody
from kbfleet.contracts.events import DocumentFailuresEvent
from kbfleet.contracts.questions import QuestionRunsBody
from kbfleet.contracts.tenants import TenantBody
from kbfleet.domain.alert import Alert, document_alert, ingestion_alert
from kbfleet.domain.diagnosis import Diagnosis, Unseen
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import QuestionWatch
from kbfleet.logs import logger
from tests.proofs.proof import Row, try_each
from tests.support.hostile_documents import ATTACKER, HostileDocuments
from tests.support.hostile_words import (
    assert_literal_in_slack,
    assert_printable,
    commands_in_slack,
    hostile_keys,
    hostile_text,
)
from tests.support.samples import DEPLOYMENT, job_state_change
from tests.support.tenant_lives import sample
from tests.support.virtual_fleet import RARE_TICKS, virtual_fleet

KEYS, TEXTS = 1_600, 450
AT_ONCE = 200
"""Documents that fail in one job."""
_RETRY_FAILED = DEPLOYMENT.command("sync retry-failed", ATTACKER)


def prove() -> Row:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        return tried(HostileDocuments(fleet, "S3_VECTORS"), keys=KEYS, texts=TEXTS)


def tried(hostile: HostileDocuments, *, keys: int, texts: int, at_once: int = AT_ONCE) -> Row:
    """That many words, the same ones at each call; a run is one word."""
    row = Row("names, keys, metadata, reasons and events that try to be something else")
    drawn_keys: dict[str, None] = {}
    try_each(_acceptable(hostile), 2 * keys, lambda key: drawn_keys.setdefault(key))
    distinct = list(drawn_keys)[:keys]
    with _logs() as logs:
        for first in range(0, len(distinct), at_once):
            _try_keys(row, hostile, distinct[first : first + at_once], logs)
        try_each(hostile_text(), texts, lambda drawn: row.add(_problem_of_text(hostile, drawn)))
    row.findings.append(f"{len(distinct)} keys of documents that fail, {texts} texts by other ways in")
    return row


def _acceptable(hostile: HostileDocuments) -> st.SearchStrategy[str]:
    """What S3 takes as a key, and Bedrock as a document."""
    return hostile_keys(hostile.victims_bucket).filter(lambda key: not key.endswith(("/", ".metadata.json")))


# --- keys ------------------------------------------------------------------------------------------


def _try_keys(row: Row, hostile: HostileDocuments, keys: Sequence[str], logs: io.StringIO) -> None:
    before = logs.tell()
    reported = hostile.fail(keys)
    uris = {f"s3://{hostile.bucket}/{key}": key for key in keys}
    listed = {document["uri"]: document for document in hostile.listed()}
    hostile.change(keys)
    retry = hostile.retried()
    still = {document["uri"] for document in hostile.listed()}
    written = logs.getvalue()[before:]
    shared = [
        *(f"another's document is in the knowledge base: {uri!r}" for uri in hostile.foreign()),
        *(f"listed, and not there: {uri!r}" for uri in (listed.keys() | still) - uris.keys()),
        *([f"the retry stopped: {retry['stopped']}"] if retry["stopped"] else []),
        *([f"{retry['skipped']} were not retried"] if retry["skipped"] else []),
        *_shown_badly(reported, list(listed.values())),
    ]
    row.failures += shared
    for uri, key in uris.items():
        missing = next(
            (when for when, found in (("after the job", listed), ("after the retry", still)) if uri not in found), ""
        )
        logged = len(key.strip()) > 3 and json.dumps(key)[1:-1] in written
        row.add(f"{key!r} is not listed {missing}" if missing else f"{key!r} is in a log" if logged else None)
    hostile.remove(keys)


def _shown_badly(event: dict[str, Any], documents: list[dict[str, Any]]) -> Iterator[str]:
    report = parse(DocumentFailuresEvent, {"detail-type": event["DetailType"], "detail": event["Detail"]}).detail
    alert = document_alert(report.to_domain(), DEPLOYMENT)
    body = DocumentsBody.model_validate({"documents": documents, "next_token": None, "retry": None})
    yield from _problems_of(alert)
    with patch.object(FleetApi, "of_stack", lambda *_: _Answers(body)):
        yield from _terminal_problems("documents", ATTACKER)
        yield from _terminal_problems("documents", ATTACKER, "--failed")
        yield from _terminal_problems("documents", ATTACKER, "--json")


def _problems_of(alert: Alert | None) -> Iterator[str]:
    if alert is None:
        yield "nobody is notified"
        return
    payload = {"text": summary(alert), "blocks": [block.to_dict() for block in blocks(alert)]}
    try:
        assert_literal_in_slack(payload)
        assert_printable(plain_text(alert))
    except AssertionError as problem:
        yield str(problem)
    strange = set(commands_in_slack(payload)) - {alert.command}
    yield from (f"looks like a command of ours: {command!r}" for command in strange)
    if alert.command and not alert.command.startswith("kbfleet "):
        yield f"proposes {alert.command!r}"


class _Answers:
    """Of the API, to whatever is asked."""

    def __init__(self, body: Any, **others: Any) -> None:
        self._body, self._others = body, others

    def __getattr__(self, operation: str) -> Any:
        return lambda *_arguments, **_options: self._others.get(operation, self._body)


def _terminal_problems(*arguments: str) -> Iterator[str]:
    result = CliRunner().invoke(cli.main.app, list(arguments))
    try:
        assert_printable(result.output)
    except AssertionError as problem:
        yield f"on a terminal: {problem}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        yield f"{arguments[0]} dies: {result.exception!r}"


# --- other words -----------------------------------------------------------------------------------


def _problem_of_text(hostile: HostileDocuments, text: str) -> str | None:
    problems = [
        *_as_a_tenants_name(hostile, text),
        *_as_an_upload(hostile, text),
        *_as_an_event(hostile, text),
    ]
    return f"{text!r}: {problems}" if problems else None


def _as_a_tenants_name(hostile: HostileDocuments, text: str) -> Iterator[str]:
    event = sample("get_tenant", ATTACKER)
    shown = json.loads(hostile.fleet.invoke("TenantsFunction", event)["body"])
    given_name = sample("put_tenant", "named") | {"body": json.dumps({"name": text})}
    answer = hostile.fleet.invoke("TenantsFunction", given_name)
    if answer["statusCode"] >= 500:
        yield f"a tenant of that name: {answer['statusCode']}"
    # A record from before names were checked.
    body = TenantBody.model_validate(shown | {"name": text})
    looked = DiagnosisBody.from_domain(Diagnosis(TenantId(ATTACKER), datetime.now(UTC), unseen=(Unseen(None, text),)))
    asked = QuestionRunsBody.from_domain(QuestionWatch(Life(TenantId(ATTACKER))), ())
    with patch.object(FleetApi, "of_stack", lambda *_: _Answers(body, diagnosis=looked, question_runs=asked)):
        yield from _terminal_problems("tenant", "show", ATTACKER)


def _as_an_upload(hostile: HostileDocuments, text: str) -> Iterator[str]:
    requests: list[dict[str, Any]] = [
        {"key": f"{text}.pdf", "size": 1},
        {"key": "a.pdf", "size": 1, "metadata": {text: text}},
        {"key": "a.pdf", "size": 1, "content_type": text},
    ]
    for request in requests:
        answer = hostile.fleet.invoke(
            "UploadsFunction", sample("post_upload", ATTACKER) | {"body": json.dumps(request)}
        )
        if answer["statusCode"] not in {201, 400}:
            yield f"an upload {sorted(request)}: {answer['statusCode']}"


def _as_an_event(hostile: HostileDocuments, text: str) -> Iterator[str]:
    """Of whoever may put events on the bus."""
    victims = f"[Files: s3://{hostile.victims_bucket}/{text}, s3://{hostile.bucket}/{text}]"
    changes = {"failure_reasons": [{"text": text, "names": victims}], "outcome": "DEGRADED"}
    hostile.lives.collect(ATTACKER, **changes)
    yield from (f"listed by a forged event: {document['uri']!r}" for document in hostile.listed())
    failed = job_state_change(
        status=JobStatus.FAILED,
        outcome=Outcome.FAILED,
        ingestion_job_id=text,
        failure_reasons=(FailureReason(text, victims), FailureReason.of(f"{text}{victims}")),
    )
    yield from _problems_of(ingestion_alert(failed, DEPLOYMENT))


@contextmanager
def _logs() -> Iterator[io.StringIO]:
    """What functions write. A fleet in virtual time is quiet otherwise."""
    stream = io.StringIO()
    level = logger.log_level
    with ExitStack() as stack:
        for written in logger.handlers:
            stack.enter_context(patch.object(written, "stream", stream))
        logger.setLevel("DEBUG")
        stack.callback(logger.setLevel, level)
        yield stream
