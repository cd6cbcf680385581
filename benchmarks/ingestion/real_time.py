"""The same scheduler in real time against the Bedrock emulator, to see whether the model of the service is right.

Only the clock is fast. Jobs are started, followed and ended through the real adapter, botocore and the emulator, which
reads documents that were put into buckets; the ledger is in memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import simpy
from simpy.rt import RealtimeEnvironment

from bedrock_emulator import Emulator, Quotas, ScaledClock
from bedrock_emulator.services.ingestion_jobs import PER_DOCUMENT, SMALL_SYNC
from benchmarks.aws import (
    ACCOUNT,
    REGION,
    VECTOR_BUCKET,
    client,
    create_data_source,
    create_knowledge_base,
    moto,
)
from benchmarks.ingestion.fleet import Fleet
from benchmarks.ingestion.policies import Events
from benchmarks.ingestion.service import Durations, Upload
from benchmarks.ingestion.workloads import Workload
from kbfleet.adapters.bedrock import BedrockKnowledgeBases
from kbfleet.domain.names import DataSourceReference, TenantId

SPEED = 20.0
"""Emulated seconds per real second. At this speed a call's milliseconds do not count yet."""
DURATIONS = Durations(shortest=SMALL_SYNC, longest=SMALL_SYNC, unchanged=SMALL_SYNC, each_upload=PER_DOCUMENT)
"""How long the emulator's jobs take, for the simulation of the same workload."""
_LONGEST = 7_200.0
_RATES = {"StartIngestionJob": 0.1, "GetIngestionJob": 10.0, "ListIngestionJobs": 10.0}
"""A second, for what the scheduler calls. Source: AWS documentation, "Amazon Bedrock endpoints and quotas"."""


@dataclass(frozen=True)
class Observed:
    """Times in emulated seconds. `lost` are the documents that are not indexed in the end."""

    makespan: float
    lags: list[float]
    jobs: int
    lost: int
    real_seconds: float


def observe(workload: Workload) -> Observed:
    """Runs the workload until everything is at rest. Raises: RuntimeError when that takes two emulated hours."""
    with moto():
        account = _Account(workload)
        began = time.monotonic()
        calls: Counter[str] = Counter()
        environment = RealtimeEnvironment(factor=1 / SPEED, strict=False)
        bedrock = BedrockKnowledgeBases(account.agent)
        fleet = Fleet(environment, calls, bedrock, account.data_sources, first_syncs=workload.first_syncs)
        uploaded: dict[str, float] = {}
        feeding = environment.process(_feed(environment, workload, account, fleet, uploaded))
        while not (feeding.triggered and fleet.at_rest):
            if environment.now > _LONGEST:
                raise RuntimeError(f"not at rest after {environment.now:,.0f} emulated seconds")
            environment.step()
        indexed = account.indexed()
        lags = [(at - uploaded[uri]) * SPEED for uri, at in indexed.items()]
        makespan = (max(indexed.values()) - min(uploaded.values())) * SPEED
        return Observed(makespan, lags, account.jobs(), len(uploaded) - len(indexed), time.monotonic() - began)


def _feed(
    environment: simpy.Environment, workload: Workload, account: _Account, fleet: Fleet, uploaded: dict[str, float]
) -> Events:
    for number, (at, tenant) in enumerate(workload.uploads):
        yield environment.timeout(at - environment.now)
        uploaded[account.put(tenant, number)] = account.wall_time()
        fleet.changed(Upload(tenant, at))


class _Account:
    """Every tenant of the workload with an ACTIVE knowledge base and a data source on an empty bucket of its own."""

    def __init__(self, workload: Workload) -> None:
        self._clock = ScaledClock(SPEED)
        self._s3 = client("s3")
        emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=self._clock,
            embedder="character",
            quotas=Quotas(requests_per_second=_RATES),
            client_factory=lambda _: self._s3,
        )
        self.agent: Any = client("bedrock-agent", emulator)
        vectors = client("s3vectors", emulator)
        vectors.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        names = sorted({tenant for _, tenant in workload.uploads})
        bases = {name: create_knowledge_base(self.agent, vectors, name) for name in names}
        for name, base in bases.items():
            self._s3.create_bucket(Bucket=name)
            while self.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]["status"] != "ACTIVE":
                time.sleep(1 / SPEED)
        self.data_sources: Mapping[TenantId, DataSourceReference] = {
            TenantId(name): DataSourceReference(base, create_data_source(self.agent, base, name))
            for name, base in bases.items()
        }

    def wall_time(self) -> float:
        """The time as the emulator gives it to its callers, in real seconds since 1970."""
        return self._clock.wall_time(self._clock.now())

    def put(self, tenant: str, number: int) -> str:
        """Uploads a document. Gives its URI."""
        self._s3.put_object(Bucket=tenant, Key=f"{number}.md", Body=f"Document {number} of {tenant}.".encode())
        return f"s3://{tenant}/{number}.md"

    def indexed(self) -> Mapping[str, float]:
        """When each indexed document was, in real seconds since 1970, by its URI."""
        pages = (
            page
            for source in self.data_sources.values()
            for page in self.agent.get_paginator("list_knowledge_base_documents").paginate(**_names(source))
        )
        return {
            document["identifier"]["s3"]["uri"]: document["updatedAt"].timestamp()
            for page in pages
            for document in page["documentDetails"]
            if document["status"] == "INDEXED"
        }

    def jobs(self) -> int:
        return sum(
            len(page["ingestionJobSummaries"])
            for source in self.data_sources.values()
            for page in self.agent.get_paginator("list_ingestion_jobs").paginate(**_names(source))
        )


def _names(source: DataSourceReference) -> dict[str, str]:
    return {"knowledgeBaseId": source.knowledge_base_id, "dataSourceId": source.data_source_id}
