"""Asks an emulator the questions about the manuals: ``python -m benchmarks.manuals.search FOLDER``.

Run as a process of its own, so that the emulator of another checkout can be measured by the same questions: the one
that is first on the path. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bedrock_emulator import Emulator, ManualClock, Quotas
from bedrock_emulator.reading.text_extraction import extractor
from benchmarks.aws import ACCOUNT, REGION, VECTOR_BUCKET, client, create_data_source, create_knowledge_base, moto
from benchmarks.manuals.library import manuals, questions

_BUCKET = "documents"
_RESULTS = 20


def measure(kept: Path) -> dict[str, Any]:
    """For each question the rank of its document, from 1, or none; and what is known besides."""
    documents = manuals(kept)
    with moto():
        began = time.thread_time()
        texts = {name: _squeezed(_text(name, body)) for name, body in documents.items()}
        reading = time.thread_time() - began
        clock = ManualClock()
        s3 = client("s3")
        emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=clock,
            quotas=Quotas(requests_per_second={}),
            embedder="multilingual",
            client_factory=lambda _: s3,
        )
        agent, runtime = client("bedrock-agent", emulator), client("bedrock-agent-runtime", emulator)
        vectors = client("s3vectors", emulator)
        vectors.create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        base = create_knowledge_base(agent, vectors, "manuals")
        clock.advance(90)
        s3.create_bucket(Bucket=_BUCKET)
        names = {"knowledgeBaseId": base, "dataSourceId": create_data_source(agent, base, _BUCKET)}
        for name, body in documents.items():
            s3.put_object(Bucket=_BUCKET, Key=name, Body=body)
        job = agent.start_ingestion_job(**names)["ingestionJob"]["ingestionJobId"]
        clock.advance(10)
        agent.get_ingestion_job(**names, ingestionJobId=job)
        clock.advance(100_000)
        ended = agent.get_ingestion_job(**names, ingestionJobId=job)["ingestionJob"]
        if ended["status"] != "COMPLETE":
            raise RuntimeError(f"the ingestion job ended {ended}")
        asked = [
            {
                "question": each.question,
                "document": each.document,
                "stands there": _squeezed(each.expected) in texts[each.document],
                **_found(runtime, base, each.question, each.document, each.expected),
            }
            for each in questions()
        ]
    return {"documents": len(documents), "seconds of reading": reading, "asked": asked}


def _found(runtime: Any, base: str, question: str, document: str, expected: str) -> dict[str, Any]:
    results = runtime.retrieve(
        knowledgeBaseId=base,
        retrievalQuery={"text": question},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": _RESULTS}},
    )["retrievalResults"]
    found = [result["location"]["s3Location"]["uri"].removeprefix(f"s3://{_BUCKET}/") for result in results]
    passages = [_squeezed(result["content"]["text"]) for result in results]
    return {
        "rank": found.index(document) + 1 if document in found else None,
        "first": found[0] if found else None,
        "rank of the answer": next((n for n, text in enumerate(passages, 1) if _squeezed(expected) in text), None),
    }


def _text(name: str, body: bytes) -> str:
    extract = extractor(name)
    return "" if extract is None else "\n".join(page.text for page in extract(body))


def _squeezed(text: str) -> str:
    return "".join(text.split())


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1])), ensure_ascii=False))  # noqa: T201 - it is what the script is for
