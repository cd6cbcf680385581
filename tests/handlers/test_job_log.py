"""The function that reads what knowledge bases log, and the one that finds foreign jobs, each on its sample event."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.ingestion import JobStatus, SyncState
from kbfleet.domain.tenant import DataSourceReference
from tests.handlers.conftest import Event, Handler, Logs, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME

Handlers = Callable[[str], Handler]


def opened(payload: Event) -> dict[str, Any]:
    batch: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(payload["awslogs"]["data"])))
    return batch


def packed(batch: dict[str, Any]) -> Event:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()}}


def of_job(ingestion_job_id: str) -> Event:
    """The sample, as if it were of that job."""
    return packed(
        json.loads(json.dumps(opened(event("triggers/read_job_log"))).replace("JOB0000003", ingestion_job_id))
    )


def metrics_in(text: str) -> dict[str, Any]:
    """Every metric that was written, by name."""
    written: dict[str, Any] = {}
    for line in text.splitlines():
        written |= json.loads(line)
    return written


class TestReadJobLog:
    @pytest.fixture
    def job(self, fleet: Fleet) -> str:
        """A job that has ended without the ledger knowing."""
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        fleet.clock.advance(600)
        followed = fleet.ledger.find(ACME).job
        assert followed is not None
        return followed.ingestion_job_id

    def test_the_sample_is_a_batch_that_the_subscription_filter_lets_through(self) -> None:
        messages = [json.loads(each["message"]) for each in opened(event("triggers/read_job_log"))["logEvents"]]
        assert {message["event_type"] for message in messages} == {"StartIngestionJob.StatusChanged"}

    def test_the_end_of_a_job_is_published_without_waiting_for_a_tick(
        self, handler: Handlers, fleet: Fleet, job: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler("ingestion/read_job_log")(of_job(job))
        assert fleet.announcements.job_state_changes[-1].status is JobStatus.COMPLETE
        assert fleet.ledger.find(ACME).state is SyncState.IDLE
        assert metrics_in(capsys.readouterr().out)["IngestionJobsEnded"] == [1.0]

    def test_a_job_that_nobody_follows_changes_nothing_and_says_nothing(
        self, handler: Handlers, fleet: Fleet, job: str, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler("ingestion/read_job_log")(of_job("JOBOFOTHER"))
        assert fleet.ledger.find(ACME).state is SyncState.RUNNING
        assert (logs.lines, capsys.readouterr().out) == ([], "")

    @pytest.mark.parametrize(
        "malformed",
        [
            "not JSON",
            "[]",
            "{}",
            '{"event_type": "StartIngestionJob.ResourceStatusChanged", "event": {}}',
            '{"event_type": "StartIngestionJob.StatusChanged", "event": {"ingestion_job_status": "COMPLETE"}}',
            '{"event_type": "StartIngestionJob.StatusChanged",'
            ' "event": {"ingestion_job_id": "JOB", "ingestion_job_status": "PONDERING"}}',
        ],
    )
    def test_malformed_records_are_counted_and_the_others_are_read(
        self,
        handler: Handlers,
        fleet: Fleet,
        job: str,
        logs: Logs,
        capsys: pytest.CaptureFixture[str],
        malformed: str,
    ) -> None:
        batch = opened(of_job(job))
        batch["logEvents"].insert(0, {"id": "malformed-1", "timestamp": 0, "message": malformed})
        handler("ingestion/read_job_log")(packed(batch))
        assert fleet.ledger.find(ACME).state is SyncState.IDLE
        metrics = metrics_in(capsys.readouterr().out)
        assert (metrics["JobLogRecordsMalformed"], metrics["IngestionJobsEnded"]) == ([1.0], [1.0])
        assert [line["record_id"] for line in logs.lines if line["level"] == "WARNING"] == ["malformed-1"]

    def test_a_message_by_which_aws_tries_the_connection_is_no_record(
        self, handler: Handlers, fleet: Fleet, job: str, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        control = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"id": "", "timestamp": 0, "message": "CWL: test"}]}
        handler("ingestion/read_job_log")(packed(opened(of_job(job)) | control))
        assert (logs.lines, capsys.readouterr().out) == ([], "")


class TestFindForeignJobs:
    @pytest.fixture
    def source(self, fleet: Fleet) -> DataSourceReference:
        return fleet.add(ACME)

    def test_what_somebody_else_has_started_is_published_counted_and_logged(
        self,
        handler: Handlers,
        fleet: Fleet,
        source: DataSourceReference,
        logs: Logs,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        job = fleet.knowledge_bases.start_in_console(source).ingestion_job_id
        fleet.clock.advance(600)
        handler("ingestion/find_foreign_jobs")(event("triggers/hourly"))
        (published,) = fleet.announcements.job_state_changes
        assert (published.ingestion_job_id, published.foreign, published.generation) == (job, True, 0)
        metrics = metrics_in(capsys.readouterr().out)
        assert metrics["ForeignIngestionJobs"] == [1.0]
        assert "tenant_id" not in json.dumps(metrics["_aws"])
        (line,) = logs.lines
        assert (line["tenant_id"], line["ingestion_job_id"], line["status"]) == ("acme", job, "COMPLETE")

    def test_a_tenant_that_cannot_be_looked_at_is_logged_with_the_reason(
        self, handler: Handlers, fleet: Fleet, source: DataSourceReference, logs: Logs
    ) -> None:
        fleet.knowledge_bases.refuse_lists(source.knowledge_base_id, NotReadyYet("AWS did not answer."))
        handler("ingestion/find_foreign_jobs")(event("triggers/hourly"))
        (line,) = logs.lines
        assert (line["tenant_id"], line["error"], line["reason"]) == ("acme", "NotReadyYet", "AWS did not answer.")
