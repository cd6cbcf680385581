"""What is known of the vended logs of knowledge bases, shown of the emulator."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from bedrock_emulator import Request

fact = pytest.mark.fact


class Functions:
    """Stands in for a Lambda client, and keeps what functions were invoked with."""

    def __init__(self) -> None:
        """Nothing was invoked yet."""
        self.records: list[dict[str, Any]] = []
        self.invocations: list[dict[str, Any]] = []

    def invoke(self, **members: Any) -> None:
        """Keep the records of one delivery."""
        packed = json.loads(members.pop("Payload"))["awslogs"]["data"]
        delivery = json.loads(gzip.decompress(base64.b64decode(packed)))
        self.invocations.append({**members, **delivery})
        self.records += [json.loads(event["message"]) for event in delivery["logEvents"]]


@pytest.fixture
def functions() -> Functions:
    """The functions."""
    return Functions()


@pytest.fixture
def bench(workbench_of: Any, functions: Functions) -> Any:
    """A workbench whose logs a function subscribes to."""
    workbench: Any = workbench_of(
        client_factory=lambda service: functions if service == "lambda" else workbench.client(service)
    )
    body = json.dumps({"function": "watch-ingestion"}).encode()
    assert workbench.emulator.control(Request("POST", "/_emulator/log-subscriptions", body=body)).status == 201
    return workbench


@fact("a subscription filter feeds a Lambda with awslogs.data, base64 of gzip", "D")
def test_records_are_delivered_as_a_subscription_filter_does(bench: Any, functions: Functions) -> None:
    base, _ = bench.stocked(**{"a.txt": "Text."})
    delivery = functions.invocations[0]
    assert (delivery["FunctionName"], delivery["InvocationType"]) == ("watch-ingestion", "Event")
    assert (delivery["messageType"], delivery["logStream"]) == ("DATA_MESSAGE", base)
    assert delivery["logGroup"].startswith("/aws/vendedlogs/bedrock/")


@fact("job records: INGESTION_JOB_STARTED, CRAWLING_COMPLETED, then COMPLETE, FAILED or STOPPED", "D")
def test_a_job_is_recorded_from_start_to_end(bench: Any, functions: Functions) -> None:
    base, source = bench.stocked(**{"a.txt": "Text."})
    records = [record for record in functions.records if record["event_type"] == "StartIngestionJob.StatusChanged"]
    assert [record["event"]["ingestion_job_status"] for record in records] == [
        "INGESTION_JOB_STARTED",
        "CRAWLING_COMPLETED",
        "COMPLETE",
    ]
    last = records[-1]
    assert last["event"]["knowledge_base_arn"].endswith(f":knowledge-base/{base}")
    assert last["event"]["data_source_id"] == source
    assert (last["event_version"], last["level"]) == ("1.0", "INFO")
    assert last["event_timestamp"] > 1_000_000_000_000
    bench.emulator.faults.add({"effect": "job_fails", "failureReasons": ["x"], "count": 1})
    bench.sync(base, source)
    assert functions.records[-1]["event"]["ingestion_job_status"] == "FAILED"


@fact("document records: event.document_location.s3_location.uri, event.status, event.status_reasons, level WARN", "R")
def test_an_ignored_document_is_recorded_with_its_reason(bench: Any, functions: Functions) -> None:
    bench.stocked(**{"a.exe": "MZ", "b.txt": "Text."})
    ended = {
        record["event"]["document_location"]["s3_location"]["uri"]: record
        for record in functions.records
        if record["event_type"] == "StartIngestionJob.ResourceStatusChanged"
    }
    ignored = ended["s3://documents/a.exe"]
    assert (ignored["event"]["status"], ignored["level"]) == ("RESOURCE_IGNORED", "WARN")
    assert ignored["event"]["status_reasons"] == ["as their file format was not supported"]
    assert ended["s3://documents/b.txt"]["event"]["status"] == "INDEXED"


@fact("records of MANAGED knowledge bases show no terminal job status", "R")
def test_managed_jobs_are_recorded_without_an_end(bench: Any, functions: Functions) -> None:
    base = bench.managed()
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": "documents"}}
    configuration = {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }
    assert bench.sync(base, bench.data_source(base, configuration=configuration))["status"] == "COMPLETE"
    assert [record["event"].get("ingestion_job_status") for record in functions.records] == ["INGESTION_JOB_STARTED"]


def test_subscriptions_are_listed_and_ended(bench: Any, functions: Functions) -> None:
    listed = json.loads(bench.emulator.control(Request("GET", "/_emulator/log-subscriptions")).body)
    assert [subscription["function"] for subscription in listed] == ["watch-ingestion"]
    bench.emulator.control(Request("DELETE", "/_emulator/log-subscriptions"))
    bench.stocked(**{"a.txt": "Text."})
    assert functions.records == []
