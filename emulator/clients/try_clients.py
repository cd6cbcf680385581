"""Clients from the package index, tried on a served emulator: ``make clients``. Exit 1 unless all works.

Runs in the environment of the clients (`clients.txt`), and starts the emulator from another one, so that neither knows
what the other is made of. Nothing is to leave the machine: endpoints lead to the loopback interface, keys are none,
telemetry is off, and a proxy that does not exist stands before everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

REGION = "ap-northeast-1"
NOVA = "apac.amazon.nova-lite-v1:0"
RERANKER = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.rerank-v1:0"
ROLE = "arn:aws:iam::000000000000:role/knowledge-base"
QUESTION = "How many days of paid leave do I get?"
ANSWER = "Employees receive 20 days of paid leave after one year."
DOCUMENTS = {
    "leave": (ANSWER, 2026),
    "travel": ("Travel expenses are reimbursed within 14 days.", 2026),
    "old": ("Employees received 10 days of paid leave in the old days.", 1999),
}
STARTING_SECONDS = 60


@dataclass(frozen=True)
class Place:
    """Where the clients find what they ask for."""

    address: str
    knowledge_base: str
    data_source: str
    guardrail: str


@dataclass(frozen=True)
class Outcome:
    """What was tried of a client. ``trouble`` is empty where it works."""

    client: str
    what: str
    trouble: str


def environment(address: str, home: Path) -> dict[str, str]:
    """All that a client sees of its surroundings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CLI_HISTORY_FILE": str(home / "history"),
        "AWS_PAGER": "",
        "LANGSMITH_TRACING": "false",
        "LANGCHAIN_TRACING_V2": "false",
        "OTEL_SDK_DISABLED": "true",
        "DO_NOT_TRACK": "1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def served(program: str) -> Iterator[str]:
    """The emulator on a free port, a thousand times as fast as the service. Gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen([program, "--port", str(port), "--speed", "1000"], stdout=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            until(lambda: answers(address), STARTING_SECONDS)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    """Whether the emulator answers."""
    try:
        with urlopen(f"{address}/_emulator/faults", timeout=5) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except OSError:
        return False


def until(met: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it is. TimeoutError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


def prepared(address: str) -> Place:
    """A knowledge base with three documents, and a guardrail."""
    import boto3

    agent: Any = boto3.client("bedrock-agent")
    vectors = boto3.client("s3vectors")
    vectors.create_vector_bucket(vectorBucketName="vectors")
    index = vectors.create_index(
        vectorBucketName="vectors",
        indexName="handbook",
        dataType="float32",
        dimension=1024,
        distanceMetric="cosine",
        metadataConfiguration={"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]},
    )["indexArn"]
    titan = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
    base = agent.create_knowledge_base(
        name="handbook",
        roleArn=ROLE,
        knowledgeBaseConfiguration={
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": titan},
        },
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": index}},
    )["knowledgeBase"]["knowledgeBaseId"]
    until(lambda: agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]["status"] == "ACTIVE")
    source = agent.create_data_source(knowledgeBaseId=base, name="texts", dataSourceConfiguration={"type": "CUSTOM"})[
        "dataSource"
    ]["dataSourceId"]
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    agent.ingest_knowledge_base_documents(**names, documents=[document(name) for name in DOCUMENTS])

    def indexed() -> bool:
        details = agent.list_knowledge_base_documents(**names)["documentDetails"]
        return [detail["status"] for detail in details] == ["INDEXED"] * len(DOCUMENTS)

    until(indexed)
    guardrail = boto3.client("bedrock").create_guardrail(
        name="house",
        blockedInputMessaging="No.",
        blockedOutputsMessaging="No.",
        wordPolicyConfig={"wordsConfig": [{"text": "salary"}]},
    )["guardrailId"]
    return Place(address, base, source, guardrail)


def document(name: str) -> dict[str, Any]:
    """A text with its year, as IngestKnowledgeBaseDocuments takes it."""
    text, year = DOCUMENTS[name]
    value = {"type": "NUMBER", "numberValue": year}
    return {
        "content": {
            "dataSourceType": "CUSTOM",
            "custom": {
                "customDocumentIdentifier": {"id": name},
                "sourceType": "IN_LINE",
                "inlineContent": {"type": "TEXT", "textContent": {"data": text}},
            },
        },
        "metadata": {"type": "IN_LINE_ATTRIBUTE", "inlineAttributes": [{"key": "year", "value": value}]},
    }


def expect(met: object, seen: object) -> None:
    """AssertionError with what was seen, unless it is met."""
    if not met:
        raise AssertionError(repr(seen)[:500])


# langchain-aws


def langchain_retrieves(place: Place) -> None:
    """AmazonKnowledgeBasesRetriever: passages with source and score"""
    from langchain_aws import AmazonKnowledgeBasesRetriever

    retriever = AmazonKnowledgeBasesRetriever(
        knowledge_base_id=place.knowledge_base,
        region_name=REGION,
        retrieval_config={"vectorSearchConfiguration": {"numberOfResults": 2}},
    )
    found = retriever.invoke(QUESTION)
    expect(len(found) == 2 and found[0].page_content == ANSWER, found)
    expect(found[0].metadata["score"] > 0 and found[0].metadata["location"]["type"] == "CUSTOM", found[0].metadata)


def langchain_filters(place: Place) -> None:
    """AmazonKnowledgeBasesRetriever: a filter on metadata"""
    from langchain_aws import AmazonKnowledgeBasesRetriever

    only = {"equals": {"key": "year", "value": 1999}}
    retriever = AmazonKnowledgeBasesRetriever(
        knowledge_base_id=place.knowledge_base,
        region_name=REGION,
        retrieval_config={"vectorSearchConfiguration": {"numberOfResults": 5, "filter": only}},
    )
    found = retriever.invoke(QUESTION)
    expect([each.page_content for each in found] == [DOCUMENTS["old"][0]], found)


def langchain_is_guarded(place: Place) -> None:
    """AmazonKnowledgeBasesRetriever: a guardrail"""
    from langchain_aws import AmazonKnowledgeBasesRetriever

    retriever = AmazonKnowledgeBasesRetriever(
        knowledge_base_id=place.knowledge_base,
        region_name=REGION,
        retrieval_config={"vectorSearchConfiguration": {"numberOfResults": 2}},
        guardrail_config={"guardrailId": place.guardrail, "guardrailVersion": "DRAFT"},
    )
    expect(retriever.invoke("What is the salary?") == [], "passages in spite of a guardrail")
    expect(len(retriever.invoke(QUESTION)) == 2, "no passages")


def langchain_reranks(_: Place) -> None:
    """BedrockRerank: documents by relevance"""
    from langchain_aws import BedrockRerank
    from langchain_core.documents import Document

    reranker = BedrockRerank(model_arn=RERANKER, region_name=REGION, top_n=2)
    documents = [Document(page_content=text) for text, _ in reversed(DOCUMENTS.values())]
    found = reranker.compress_documents(documents, QUESTION)
    expect(len(found) == 2 and "paid leave" in found[0].page_content, found)
    expect(found[0].metadata["relevance_score"] >= found[1].metadata["relevance_score"], found)


def langchain_converses(_: Place) -> None:
    """ChatBedrockConverse: answers, whole and streamed"""
    from langchain_aws import ChatBedrockConverse

    chat = ChatBedrockConverse(model=NOVA, region_name=REGION)
    prompt = [("system", f"<passage>{ANSWER}</passage>"), ("human", QUESTION)]
    expect("20 days" in str(chat.invoke(prompt).content), "no answer")
    streamed = "".join(chunk.text for chunk in chat.stream(prompt))
    expect("20 days" in streamed, streamed)


# llama-index


def llama_index_retrieves(place: Place) -> None:
    """AmazonKnowledgeBasesRetriever: nodes with score and location"""
    from llama_index.retrievers.bedrock import AmazonKnowledgeBasesRetriever

    retriever = AmazonKnowledgeBasesRetriever(
        knowledge_base_id=place.knowledge_base,
        region_name=REGION,
        retrieval_config={"vectorSearchConfiguration": {"numberOfResults": 2}},
    )
    found = retriever.retrieve(QUESTION)
    expect(len(found) == 2 and found[0].node.get_content() == ANSWER, found)
    expect((found[0].score or 0) > 0, found)


def llama_index_filters(place: Place) -> None:
    """AmazonKnowledgeBasesRetriever: a filter on metadata"""
    from llama_index.retrievers.bedrock import AmazonKnowledgeBasesRetriever

    only = {"greaterThan": {"key": "year", "value": 2000}}
    retriever = AmazonKnowledgeBasesRetriever(
        knowledge_base_id=place.knowledge_base,
        region_name=REGION,
        retrieval_config={"vectorSearchConfiguration": {"numberOfResults": 5, "filter": only}},
    )
    found = retriever.retrieve(QUESTION)
    expect(len(found) == 2 and DOCUMENTS["old"][0] not in [each.node.get_content() for each in found], found)


# strands


def strands_retrieves(place: Place) -> None:
    """retrieve: the text of passages, with their score"""
    from strands_tools import retrieve

    asked = {"text": QUESTION, "knowledgeBaseId": place.knowledge_base, "numberOfResults": 2, "score": 0.0}
    told = retrieve.retrieve({"toolUseId": "one", "name": "retrieve", "input": {**asked, "region": REGION}})
    expect(told["status"] == "success" and ANSWER in str(told["content"]), told)


def strands_filters(place: Place) -> None:
    """retrieve: a filter on metadata"""
    from strands_tools import retrieve

    only = {"equals": {"key": "year", "value": 1999}}
    asked = {"text": QUESTION, "knowledgeBaseId": place.knowledge_base, "score": 0.0, "retrieveFilter": only}
    told = retrieve.retrieve({"toolUseId": "one", "name": "retrieve", "input": {**asked, "region": REGION}})
    expect("old days" in str(told["content"]) and ANSWER not in str(told["content"]), told)


def strands_asks_by_an_agent(place: Place) -> None:
    """an agent's own tool, called directly"""
    from strands import Agent
    from strands_tools import retrieve

    agent = Agent(tools=[retrieve], callback_handler=None)
    told = agent.tool.retrieve(text=QUESTION, knowledgeBaseId=place.knowledge_base, score=0.0, region=REGION)
    expect(told["status"] == "success" and ANSWER in str(told["content"]), told)


# awscli


def command(*words: str, **arguments: Any) -> Any:
    """What an AWS CLI command answers. AssertionError with what it says when it fails."""
    options = [
        part
        for name, value in arguments.items()
        for part in (f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value))
    ]
    program = [str(Path(sys.executable).with_name("aws")), *words, *options, "--output", "json"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603 - in this environment
    expect(ended.returncode == 0, ended.stderr.strip() or ended.stdout)
    return json.loads(ended.stdout or "{}")


def cli_looks(place: Place) -> None:
    """bedrock-agent: get and list knowledge bases, data sources, documents, tags"""
    base = command("bedrock-agent", "get-knowledge-base", knowledge_base_id=place.knowledge_base)["knowledgeBase"]
    expect(base["knowledgeBaseArn"].startswith(f"arn:aws:bedrock:{REGION}:000000000000:"), base)
    listed = command("bedrock-agent", "list-knowledge-bases")["knowledgeBaseSummaries"]
    expect(place.knowledge_base in [each["knowledgeBaseId"] for each in listed], listed)
    names = {"knowledge_base_id": place.knowledge_base, "data_source_id": place.data_source}
    expect(command("bedrock-agent", "get-data-source", **names)["dataSource"]["status"] == "AVAILABLE", names)
    documents = command("bedrock-agent", "list-knowledge-base-documents", **names)["documentDetails"]
    expect(len(documents) >= len(DOCUMENTS), documents)
    arn = base["knowledgeBaseArn"]
    command("bedrock-agent", "tag-resource", resource_arn=arn, tags={"tenant": "acme"})
    tags = command("bedrock-agent", "list-tags-for-resource", resource_arn=arn)["tags"]
    expect(tags == {"tenant": "acme"}, tags)


def cli_makes(_: Place) -> None:
    """bedrock-agent and s3vectors: a knowledge base from its index to its deletion"""
    index = {"vector_bucket_name": "of-the-cli", "index_name": "tenant"}
    command("s3vectors", "create-vector-bucket", vector_bucket_name="of-the-cli")
    shape = {"data_type": "float32", "dimension": "1024", "distance_metric": "cosine"}
    arn = command("s3vectors", "create-index", **index, **shape)["indexArn"]
    titan = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
    configuration = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": titan}}
    made = command(
        "bedrock-agent",
        "create-knowledge-base",
        name="of-the-cli",
        role_arn=ROLE,
        knowledge_base_configuration=configuration,
        storage_configuration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": arn}},
    )["knowledgeBase"]
    base = {"knowledge_base_id": made["knowledgeBaseId"]}
    expect(made["status"] == "CREATING", made)
    until(lambda: command("bedrock-agent", "get-knowledge-base", **base)["knowledgeBase"]["status"] == "ACTIVE")
    settings = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
    source = command("bedrock-agent", "create-data-source", **base, name="s3", data_source_configuration=settings)
    names = {**base, "data_source_id": source["dataSource"]["dataSourceId"]}
    job = command("bedrock-agent", "start-ingestion-job", **names)["ingestionJob"]["ingestionJobId"]

    def ended() -> bool:
        found = command("bedrock-agent", "get-ingestion-job", **names, ingestion_job_id=job)["ingestionJob"]
        return found["status"] in ("COMPLETE", "FAILED")

    until(ended)
    (listed,) = command("bedrock-agent", "list-ingestion-jobs", **names)["ingestionJobSummaries"]
    # There is no S3 here, so that the bucket cannot be read: a job of the service ends so, too.
    expect((listed["ingestionJobId"], listed["status"]) == (job, "FAILED"), listed)
    command("bedrock-agent", "delete-data-source", **names)
    command("bedrock-agent", "delete-knowledge-base", **base)


def cli_ingests(place: Place) -> None:
    """bedrock-agent: documents ingested and deleted"""
    names = {"knowledge_base_id": place.knowledge_base, "data_source_id": place.data_source}
    content = {
        "dataSourceType": "CUSTOM",
        "custom": {
            "customDocumentIdentifier": {"id": "canteen"},
            "sourceType": "IN_LINE",
            "inlineContent": {"type": "TEXT", "textContent": {"data": "The canteen opens at noon."}},
        },
    }
    command("bedrock-agent", "ingest-knowledge-base-documents", **names, documents=[{"content": content}])
    wanted = [{"dataSourceType": "CUSTOM", "custom": {"id": "canteen"}}]

    def status() -> str:
        found = command("bedrock-agent", "get-knowledge-base-documents", **names, document_identifiers=wanted)
        return str(found["documentDetails"][0]["status"])

    until(lambda: status() == "INDEXED")
    command("bedrock-agent", "delete-knowledge-base-documents", **names, document_identifiers=wanted)
    until(lambda: status() == "NOT_FOUND")


def cli_asks(place: Place) -> None:
    """bedrock-agent-runtime: retrieve, retrieve-and-generate, rerank"""
    runtime = "bedrock-agent-runtime"
    found = command(runtime, "retrieve", knowledge_base_id=place.knowledge_base, retrieval_query={"text": QUESTION})
    expect(found["retrievalResults"][0]["content"]["text"] == ANSWER, found)
    settings = {"knowledgeBaseId": place.knowledge_base, "modelArn": NOVA}
    told = command(
        runtime,
        "retrieve-and-generate",
        input={"text": QUESTION},
        retrieve_and_generate_configuration={"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": settings},
    )
    expect("20 days" in told["output"]["text"] and told["citations"], told)
    sources = [
        {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
        for text, _ in DOCUMENTS.values()
    ]
    model = {"modelConfiguration": {"modelArn": RERANKER}}
    ranked = command(
        runtime,
        "rerank",
        queries=[{"type": "TEXT", "textQuery": {"text": QUESTION}}],
        sources=sources,
        reranking_configuration={"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": model},
    )
    expect(ranked["results"][0]["index"] in (0, 2), ranked)


def cli_converses(place: Place) -> None:
    """bedrock-runtime: converse, with and without a guardrail"""
    message = {"role": "user", "content": [{"text": f"{ANSWER}\n\n{QUESTION}"}]}
    told = command("bedrock-runtime", "converse", model_id=NOVA, messages=[message])
    expect("20 days" in told["output"]["message"]["content"][0]["text"], told)
    message = {"role": "user", "content": [{"text": "What is the salary?"}]}
    guarded = command(
        "bedrock-runtime",
        "converse",
        model_id=NOVA,
        messages=[message],
        guardrail_config={"guardrailIdentifier": place.guardrail, "guardrailVersion": "DRAFT"},
    )
    expect(guarded["stopReason"] == "guardrail_intervened", guarded)


def cli_is_refused(_: Place) -> None:
    """what is not emulated is refused by name"""
    try:
        command("bedrock-agent", "list-flows")
    except AssertionError as refusal:
        expect("NotEmulatedException" in str(refusal) and "ListFlows is not emulated" in str(refusal), refusal)
    else:
        raise AssertionError("it was accepted")


TRIED: dict[str, tuple[Callable[[Place], None], ...]] = {
    "langchain-aws": (
        langchain_retrieves,
        langchain_filters,
        langchain_is_guarded,
        langchain_reranks,
        langchain_converses,
    ),
    "llama-index-retrievers-bedrock": (llama_index_retrieves, llama_index_filters),
    "strands-agents-tools": (strands_retrieves, strands_filters, strands_asks_by_an_agent),
    "awscli": (cli_looks, cli_makes, cli_ingests, cli_asks, cli_converses, cli_is_refused),
}


def tried(place: Place) -> Iterator[Outcome]:
    """Each outcome as soon as it is known."""
    for client, attempts in TRIED.items():
        for attempt in attempts:
            trouble = ""
            try:
                attempt(place)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong in a foreign program is told, and counts
                trouble = f"{type(error).__name__}: {error}"
            yield Outcome(f"{client} {version(client)}", attempt.__doc__ or "", trouble)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emulator", required=True, help="the program bedrock-emulator")
    emulator = parser.parse_args().emulator
    with tempfile.TemporaryDirectory() as home, served(emulator) as address:
        surroundings = environment(address, Path(home))
        os.environ.clear()
        os.environ.update(surroundings)
        place = prepared(address)
        print("| client | what | works |\n|---|---|---|")  # noqa: T201 - it is what this is for
        outcomes = []
        for outcome in tried(place):
            outcomes.append(outcome)
            print(f"| {outcome.client} | {outcome.what} | {outcome.trouble or 'yes'} |", flush=True)  # noqa: T201
    return int(any(outcome.trouble for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
