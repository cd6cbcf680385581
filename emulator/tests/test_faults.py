"""Faults that can be ordered, and the log of calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from bedrock_emulator import Quotas, Request


def control(bench: Any, method: str, what: str, content: Any = None) -> tuple[int, Any]:
    """The status and content that the control endpoint answers."""
    body = json.dumps(content).encode() if content is not None else b""
    response = bench.emulator.control(Request(method, f"/_emulator/{what}", body=body))
    return response.status, json.loads(response.body)


def test_an_error_strikes_as_often_as_ordered(bench: Any) -> None:
    bench.emulator.faults.add(
        {
            "operation": "ListKnowledgeBases",
            "effect": "error",
            "code": "InternalServerException",
            "message": "Sorry.",
            "count": 2,
        }
    )
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            bench.agent.list_knowledge_bases()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert bench.agent.list_knowledge_bases()["knowledgeBaseSummaries"] == []
    assert bench.emulator.faults.listed() == []


def test_a_fault_strikes_only_the_calls_that_match(bench: Any) -> None:
    struck, spared = bench.create("struck")["knowledgeBaseId"], bench.create("spared")["knowledgeBaseId"]
    order = {"operation": "GetKnowledgeBase", "effect": "error", "code": "AccessDeniedException", "message": "No."}
    bench.emulator.faults.add({**order, "match": {"knowledgeBaseId": struck}})
    assert bench.agent.get_knowledge_base(knowledgeBaseId=spared)
    with pytest.raises(ClientError, match="AccessDenied"):
        bench.agent.get_knowledge_base(knowledgeBaseId=struck)


def test_a_probability_is_repeatable(workbench_of: Any) -> None:
    def seen() -> list[bool]:
        bench = workbench_of()
        order = {"operation": "ListKnowledgeBases", "effect": "broken_before_effect", "probability": 0.5, "seed": 7}
        bench.emulator.faults.add(order)
        outcomes = []
        for _ in range(20):
            try:
                bench.agent.list_knowledge_bases()
                outcomes.append(True)
            except ConnectionClosedError:
                outcomes.append(False)
        return outcomes

    first = seen()
    assert first == seen()
    assert set(first) == {True, False}


@pytest.mark.parametrize(("effect", "made"), [("broken_before_effect", 0), ("broken_after_effect", 1)])
def test_a_broken_connection_hides_whether_the_call_took_effect(bench: Any, effect: str, made: int) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    bench.emulator.faults.add({"operation": "CreateKnowledgeBase", "effect": effect, "count": 1})
    with pytest.raises(ConnectionClosedError):
        bench.agent.create_knowledge_base(**request)
    assert len(bench.agent.list_knowledge_bases()["knowledgeBaseSummaries"]) == made


def test_a_job_can_be_made_to_fail(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.emulator.faults.add({"effect": "job_fails", "failureReasons": ["The store is on fire."], "count": 1})
    failed = bench.sync(base, source)
    assert (failed["status"], failed["failureReasons"]) == ("FAILED", ["The store is on fire."])
    assert bench.sync(base, source)["status"] == "COMPLETE"


def test_a_job_can_be_made_to_hang_until_it_is_stopped(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.emulator.faults.add({"effect": "job_hangs", "match": {"dataSourceId": source}})
    hanging = bench.sync(base, source)
    assert hanging["status"] == "IN_PROGRESS"
    bench.agent.stop_ingestion_job(knowledgeBaseId=base, dataSourceId=source, ingestionJobId=hanging["ingestionJobId"])
    bench.clock.advance(10)
    assert bench.job(base, source, hanging["ingestionJobId"])["status"] == "STOPPED"


def test_documents_can_be_made_to_fail(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"good.txt": "Good.", "bad.txt": "Bad."})
    bench.emulator.faults.add({"effect": "documents_fail", "keys": ["bad.txt"], "count": 1})
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE"
    assert ended["statistics"]["numberOfDocumentsFailed"] == 1
    assert "s3://documents/bad.txt" in ended["failureReasons"][0]
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1


@pytest.mark.parametrize(
    "order",
    [
        {"effect": "explodes"},
        {"effect": "error", "operation": "Retrieve"},
        {"effect": "latency", "seconds": 1},
        {"effect": "job_hangs", "count": 1, "probability": 0.5},
        {"effect": "job_hangs", "counts": 1},
    ],
    ids=["unknown effect", "error without a code", "no operation", "count and probability", "unknown member"],
)
def test_an_order_that_makes_no_sense_is_refused(bench: Any, order: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        bench.emulator.faults.add(order)
    status, answer = control(bench, "POST", "faults", order)
    assert status == 400
    assert answer["message"]


def test_faults_are_ordered_listed_and_cleared_over_http(bench: Any) -> None:
    order = {"effect": "job_hangs", "count": 1}
    assert control(bench, "POST", "faults", [order, order])[0] == 201
    status, listed = control(bench, "GET", "faults")
    assert (status, [fault["operation"] for fault in listed]) == (200, ["StartIngestionJob"] * 2)
    assert control(bench, "DELETE", "faults") == (200, [])
    assert control(bench, "GET", "faults") == (200, [])
    assert control(bench, "GET", "nothing")[0] == 404


def test_calls_are_logged_with_input_and_outcome(bench: Any) -> None:
    with pytest.raises(ClientError):
        bench.agent.get_knowledge_base(knowledgeBaseId="0123456789")
    (call,) = bench.emulator.calls.of("GetKnowledgeBase")
    assert (call["service"], call["input"], call["status"], call["error"]) == (
        "bedrock-agent",
        {"knowledgeBaseId": "0123456789"},
        404,
        "ResourceNotFoundException",
    )
    assert control(bench, "GET", "calls")[1][0]["operation"] == "GetKnowledgeBase"
    control(bench, "DELETE", "calls")
    assert len(bench.emulator.calls) == 0


def test_an_operation_that_is_not_emulated_says_so(bench: Any) -> None:
    with pytest.raises(ClientError, match="bedrock-agent:ListAgents is not emulated") as caught:
        bench.agent.list_agents()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_control_paths_are_told_from_service_paths(bench: Any) -> None:
    assert bench.emulator.is_control("/_emulator/faults")
    assert not bench.emulator.is_control("/knowledgebases/")


def test_request_rates_can_be_changed_while_it_runs(bench: Any) -> None:
    assert control(bench, "PATCH", "request-rates", {"ListKnowledgeBases": 1}) == (200, {"ListKnowledgeBases": 1})
    bench.agent.list_knowledge_bases()
    with pytest.raises(ClientError, match="ThrottlingException"):
        bench.agent.list_knowledge_bases()
    assert control(bench, "PATCH", "request-rates", {"ListKnowledgeBases": None}) == (200, {})
    bench.agent.list_knowledge_bases()
    assert control(bench, "GET", "request-rates") == (200, {})


@pytest.mark.parametrize("rates", [[], {"Retrieve": 0}, {"Retrieve": "fast"}, {"Retrieve": True}])
def test_request_rates_that_make_no_sense_are_refused(bench: Any, rates: object) -> None:
    assert control(bench, "PATCH", "request-rates", rates)[0] == 400
    assert control(bench, "GET", "request-rates") == (200, {})


def test_a_fault_strikes_only_the_calls_that_contain_its_text(bench: Any) -> None:
    order = {"operation": "CreateKnowledgeBase", "effect": "error", "code": "ConflictException", "message": "No."}
    bench.emulator.faults.add({**order, "containing": "index/index-struck"})
    assert bench.create("spared")
    with pytest.raises(ClientError, match="Conflict"):
        bench.create("struck")


def test_what_a_call_begins_takes_as_long_as_ordered(bench: Any) -> None:
    for operation in ("CreateKnowledgeBase", "CreateDataSource", "StartIngestionJob", "DeleteKnowledgeBase"):
        bench.emulator.faults.add({"effect": "takes", "operation": operation, "seconds": 400})
    base = bench.create("tenant")["knowledgeBaseId"]

    def status() -> str:
        return str(bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]["status"])

    bench.clock.advance(399)
    assert status() == "CREATING"
    bench.clock.advance(1)
    assert status() == "ACTIVE"
    source = bench.data_source(base)
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    assert bench.agent.get_data_source(**names)["dataSource"]["status"] == "CREATING"
    with pytest.raises(ClientError, match="not in a valid status"):
        bench.agent.start_ingestion_job(**names)
    bench.clock.advance(400)
    assert bench.agent.get_data_source(**names)["dataSource"]["status"] == "AVAILABLE"
    job = bench.start(base, source)
    for seconds, expected in ((10, "IN_PROGRESS"), (389, "IN_PROGRESS"), (1, "COMPLETE")):
        bench.clock.advance(seconds)
        assert bench.job(base, source, job)["status"] == expected
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(399)
    assert status() == "DELETING"
    bench.clock.advance(1)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        status()


def test_an_ingestion_of_documents_takes_as_long_as_ordered(bench: Any) -> None:
    base, source = bench.stocked(**{"a.md": "A tent."})
    bench.emulator.faults.add({"effect": "takes", "operation": "IngestKnowledgeBaseDocuments", "seconds": 500})
    identifier = {"dataSourceType": "S3", "s3": {"uri": "s3://documents/a.md"}}
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    content = {"dataSourceType": "S3", "s3": {"s3Location": {"uri": "s3://documents/a.md"}}}
    bench.agent.ingest_knowledge_base_documents(**names, documents=[{"content": content}])

    def status() -> str:
        found = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=[identifier])
        return str(found["documentDetails"][0]["status"])

    for seconds, expected in ((2, "IN_PROGRESS"), (497, "IN_PROGRESS"), (1, "INDEXED")):
        bench.clock.advance(seconds)
        assert status() == expected


def test_a_client_token_is_forgotten_as_soon_as_ordered(bench: Any) -> None:
    base, source = bench.stocked()
    bench.emulator.faults.add({"effect": "token_forgotten", "operation": "StartIngestionJob", "seconds": 300})
    request = {"knowledgeBaseId": base, "dataSourceId": source, "clientToken": "t" * 33}

    def started() -> str:
        return str(bench.agent.start_ingestion_job(**request)["ingestionJob"]["ingestionJobId"])

    first = started()
    bench.clock.advance(10)
    bench.agent.get_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(289)
    assert started() == first
    bench.clock.advance(1)
    assert started() != first


def test_a_call_is_spared_its_request_rate(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={"ListKnowledgeBases": 0.1}))
    order = {"effect": "no_request_rate", "operation": "ListKnowledgeBases", "match": {"maxResults": 7}}
    bench.emulator.faults.add(order)
    bench.agent.list_knowledge_bases()
    with pytest.raises(ClientError, match="Throttling"):
        bench.agent.list_knowledge_bases()
    assert bench.agent.list_knowledge_bases(maxResults=7)


def test_tags_can_go_unseen(bench: Any) -> None:
    bench.create("tenant", tags={"team": "tents"})
    assert list(bench.emulator.knowledge_base_tags().values()) == [{"team": "tents"}]
    bench.emulator.faults.add({"effect": "tags_not_seen"})
    assert bench.emulator.knowledge_base_tags() == {}
