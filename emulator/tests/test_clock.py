"""Time that runs by itself, and time that is moved by hand."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bedrock_emulator import ManualClock, ScaledClock


def until(happened: Callable[[], bool]) -> None:
    """Wait for something, 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scaled_clock_runs_faster() -> None:
    clock = ScaledClock(speed=10_000)
    began = clock.now()
    until(lambda: clock.now() - began > 100)
    assert clock.real_seconds_until(clock.now() + 10_000) == pytest.approx(1, abs=0.1)
    assert clock.real_seconds_until(began) == 0


@pytest.mark.parametrize("speed", [0, -1])
def test_a_clock_does_not_stand_still_or_go_back(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        ScaledClock(speed)
    with pytest.raises(ValueError, match="go back"):
        ManualClock().advance(-1)


def test_a_job_ends_while_nobody_asks_and_leaves_no_thread(workbench_of: Any) -> None:
    bench = workbench_of(clock=ScaledClock(speed=1_000))
    base = bench.create("tenant")["knowledgeBaseId"]
    until(lambda: bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]["status"] == "ACTIVE")
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    bench.agent.start_ingestion_job(knowledgeBaseId=base, dataSourceId=source)

    def idle() -> bool:
        names = {thread.name.partition("-")[0] for thread in threading.enumerate()}
        return not names & {"bedrock", "ingestion"}

    until(idle)
    (job,) = bench.agent.list_ingestion_jobs(knowledgeBaseId=base, dataSourceId=source)["ingestionJobSummaries"]
    assert (job["status"], job["statistics"]["numberOfNewDocumentsIndexed"]) == ("COMPLETE", 1)
    # Callers are told real times, in which three minutes pass a thousand times faster.
    assert 0.18 <= (job["updatedAt"] - job["startedAt"]).total_seconds() < 60


def test_times_that_are_numbers_are_real_times_too(workbench_of: Any) -> None:
    clock, began = ScaledClock(speed=1_000_000), time.time()
    client = workbench_of(clock=clock).client("opensearchserverless")
    until(lambda: clock.now() - began > 600)
    rules = [{"ResourceType": "collection", "Resource": ["collection/notes"]}]
    policy = json.dumps({"Rules": rules, "AWSOwnedKey": True})
    made = client.create_security_policy(type="encryption", name="notes", policy=policy)["securityPolicyDetail"]
    collection = client.create_collection(name="notes", type="VECTORSEARCH")["createCollectionDetail"]
    until(lambda: client.list_collections()["collectionSummaries"][0]["status"] == "ACTIVE")
    client.create_index(id=collection["id"], indexName="tenant")
    index = client.get_index(id=collection["id"], indexName="tenant")["indexSchema"]["settings"]["index"]
    told = [made["createdDate"], collection["createdDate"], int(index["creation_date"])]
    assert all(began - 1 <= each / 1_000 <= time.time() for each in told)


def test_many_threads_can_ask_at_once(workbench_of: Any) -> None:
    bench = workbench_of(clock=ScaledClock(speed=1_000))
    arn = bench.index("shared")
    requests = [bench.knowledge_base_request(f"tenant-{number % 10}", arn) for number in range(40)]

    def create(request: dict[str, Any]) -> str:
        try:
            bench.agent.create_knowledge_base(**request)
        except bench.agent.exceptions.ConflictException:
            return "refused"
        return "created"

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = Counter(pool.map(create, requests))
    assert answers == {"created": 10, "refused": 30}
    assert len(bench.agent.list_knowledge_bases(maxResults=100)["knowledgeBaseSummaries"]) == 10
