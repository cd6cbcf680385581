"""The Bedrock emulator: how soon it answers, how fast it ingests and retrieves, how much a thousand tenants take."""

from __future__ import annotations

import multiprocessing
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from bedrock_emulator import Emulator, ManualClock, Quotas
from benchmarks.aws import ACCOUNT, REGION, VECTOR_BUCKET, client, create_data_source, create_knowledge_base, moto
from benchmarks.documents import document, question
from benchmarks.report import Measurement

_BUCKET = "documents"
_STARTING_SECONDS = 60.0


@dataclass(frozen=True)
class Scale:
    """How much is measured. The targets hold for the defaults."""

    documents: int = 1_000
    document_bytes: int = 5_000
    chunks: int = 10_000
    questions: int = 200
    knowledge_bases: int = 1_000
    embedder: str = "multilingual"


def measure(scale: Scale) -> Iterator[Measurement]:
    """Each measurement as soon as it is made."""
    yield Measurement("start until the first answer", start(), "s", 2)
    yield Measurement(
        f"{scale.documents:,} documents of {scale.document_bytes / 1_000:g} KB ingested", ingestion(scale), "s", 60
    )
    middle, slow = retrieval(scale)
    yield Measurement(f"Retrieve over {scale.chunks:,} chunks, p50", middle, "ms", 60)
    yield Measurement(f"Retrieve over {scale.chunks:,} chunks, p99", slow, "ms")
    memory, rate = knowledge_bases(scale)
    yield Measurement(f"{scale.knowledge_bases:,} knowledge bases held, most memory", memory, "MB", 500)
    yield Measurement(f"{scale.knowledge_bases:,} knowledge bases made, each", 1_000 / rate, "ms")


def start() -> float:
    """Seconds from starting ``bedrock-emulator`` to its first answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program = [str(Path(sys.executable).with_name("bedrock-emulator")), "--port", str(port)]
    began = time.monotonic()
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - began > _STARTING_SECONDS:
                    raise RuntimeError("bedrock-emulator did not start")
                time.sleep(0.01)
            return time.monotonic() - began
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/_emulator/faults", timeout=10) as response:
            return bool(response.status == 200)
    except (URLError, ConnectionError):
        return False


def ingestion(scale: Scale) -> float:
    """Seconds that one ingestion job takes to read, cut, embed and index the documents, the emulated waits left out."""
    with moto():
        tenant = _Tenant(scale.embedder)
        for number in range(scale.documents):
            body = document(number, scale.document_bytes).encode()
            tenant.s3.put_object(Bucket=_BUCKET, Key=f"{number:05}.md", Body=body)
        return tenant.synchronise(scale.documents)


def retrieval(scale: Scale) -> tuple[float, float]:
    """Milliseconds of Retrieve: the median and the 99th percentile."""
    with moto():
        tenant = _Tenant(scale.embedder)
        # A document this small is one chunk.
        for number in range(scale.chunks):
            tenant.s3.put_object(Bucket=_BUCKET, Key=f"{number:05}.md", Body=document(number, 300).encode())
        tenant.synchronise(scale.chunks)
        tenant.ask(question(0))  # makes ready what the first search after a job has to
        taken = []
        for number in range(1, scale.questions + 1):
            began = time.perf_counter()
            found = tenant.ask(question(number))
            taken.append((time.perf_counter() - began) * 1_000)
            if not found:
                raise RuntimeError("nothing was retrieved")
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def knowledge_bases(scale: Scale) -> tuple[float, float]:
    """The most memory (MB) of a process that makes the knowledge bases, and how many it makes a second."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        memory, rate = pool.apply(_make_knowledge_bases, (scale.knowledge_bases,))
    return memory, rate


def _make_knowledge_bases(count: int) -> tuple[float, float]:
    emulator = Emulator(
        region=REGION,
        account=ACCOUNT,
        clock=ManualClock(),
        quotas=Quotas(vector_knowledge_bases=count, requests_per_second={}),
    )
    agent, vectors = client("bedrock-agent", emulator), client("s3vectors", emulator)
    vectors.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
    began = time.perf_counter()
    for number in range(count):
        create_knowledge_base(agent, vectors, f"tenant-{number}")
    rate = count / (time.perf_counter() - began)
    pages = agent.get_paginator("list_knowledge_bases").paginate()
    held = sum(len(page["knowledgeBaseSummaries"]) for page in pages)
    if held != count:
        raise RuntimeError(f"{held} knowledge bases are listed, {count} were made")
    return _most_memory(), rate


def _most_memory() -> float:
    """The most memory (MB) that this process has had resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would tell that of the process that started this one, where it had more (Linux, man 2 getrusage).
        (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) / 1_000
    # In bytes on macOS, in kilobytes elsewhere (their manual pages of getrusage).
    unit = 1_000_000 if sys.platform == "darwin" else 1_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class _Tenant:
    """An ACTIVE knowledge base with a data source on an empty bucket, on a clock that moves by hand."""

    def __init__(self, embedder: str) -> None:
        self._clock = ManualClock()
        self.s3 = client("s3")
        emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=self._clock,
            quotas=Quotas(requests_per_second={}),
            embedder=embedder,
            client_factory=lambda _: self.s3,
        )
        self._agent = client("bedrock-agent", emulator)
        self._runtime = client("bedrock-agent-runtime", emulator)
        vectors = client("s3vectors", emulator)
        vectors.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        self._base = create_knowledge_base(self._agent, vectors, "tenant")
        self._clock.advance(90)
        self.s3.create_bucket(Bucket=_BUCKET)
        self._source = create_data_source(self._agent, self._base, _BUCKET)

    def synchronise(self, documents: int) -> float:
        """Seconds of work for an ingestion job. RuntimeError unless it indexes so many documents."""
        names = {"knowledgeBaseId": self._base, "dataSourceId": self._source}
        job = self._agent.start_ingestion_job(**names)["ingestionJob"]["ingestionJobId"]
        began = time.perf_counter()
        # On a clock that moves by hand the first request after STARTING carries the whole job out.
        self._clock.advance(10)
        self._agent.get_ingestion_job(**names, ingestionJobId=job)
        self._clock.advance(100_000)
        ended = self._agent.get_ingestion_job(**names, ingestionJobId=job)["ingestionJob"]
        taken = time.perf_counter() - began
        if (ended["status"], ended["statistics"]["numberOfNewDocumentsIndexed"]) != ("COMPLETE", documents):
            raise RuntimeError(f"the ingestion job ended {ended}")
        return taken

    def ask(self, text: str) -> list[Any]:
        """What Retrieve finds."""
        found = self._runtime.retrieve(knowledgeBaseId=self._base, retrievalQuery={"text": text})
        return list(found["retrievalResults"])
