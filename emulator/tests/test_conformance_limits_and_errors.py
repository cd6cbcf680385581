"""What is known of quotas and of the HTTP statuses of errors beside those that other tests meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas

fact = pytest.mark.fact

AGENT = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 402,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ConflictException": 409,
    "ThrottlingException": 429,
    "InternalServerException": 500,
}
RUNTIME = AGENT | {"ServiceQuotaExceededException": 400, "DependencyFailedException": 424, "BadGatewayException": 502}


def connector(bucket: str = "documents") -> dict[str, Any]:
    """The S3 connector of a MANAGED knowledge base."""
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": bucket}}
    return {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }


# Errors


@fact("HTTP statuses of bedrock-agent: ServiceQuotaExceeded 402, AccessDenied 403, InternalServer 500, …", "M")
@pytest.mark.parametrize(("code", "status"), AGENT.items())
def test_errors_of_bedrock_agent_have_their_status(bench: Any, code: str, status: int) -> None:
    bench.emulator.faults.add({"effect": "error", "operation": "GetKnowledgeBase", "code": code, "message": "No."})
    with pytest.raises(ClientError) as caught:
        bench.agent.get_knowledge_base(knowledgeBaseId="A1B2C3D4E5")
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@fact("of bedrock-agent-runtime: ServiceQuotaExceeded 400, DependencyFailed 424, BadGateway 502", "M")
@pytest.mark.parametrize(("code", "status"), RUNTIME.items())
def test_errors_of_the_runtime_have_their_status(bench: Any, code: str, status: int) -> None:
    bench.emulator.faults.add({"effect": "error", "operation": "Retrieve", "code": code, "message": "No."})
    with pytest.raises(ClientError) as caught:
        bench.runtime.retrieve(knowledgeBaseId="A1B2C3D4E5", retrievalQuery={"text": "leave"})
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@fact("a description has 1 to 200 characters", "M")
def test_a_description_has_a_longest_length(bench: Any) -> None:
    with pytest.raises(ClientError, match="at 'description' failed to satisfy constraint: Member must have length"):
        bench.create("tenant", description="x" * 201)
    assert bench.create("tenant-2", description="x" * 200)


# Quotas


@fact("MANAGED: 10,000 knowledge bases", "D")
def test_managed_knowledge_bases_have_an_end_too(workbench_of: Callable[..., Any]) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, managed_knowledge_bases=2))
    for number in range(2):
        bench.managed(f"tenant-{number}")
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        bench.managed("one-more")
    assert Quotas().managed_knowledge_bases == 10_000


@fact("MANAGED: 200 data sources and 50 jobs at once per knowledge base", "D")
def test_managed_knowledge_bases_take_more_data_sources_and_jobs(workbench_of: Callable[..., Any]) -> None:
    quotas = Quotas(
        requests_per_second={}, data_sources_per_managed_knowledge_base=6, jobs_per_managed_knowledge_base=6
    )
    bench = workbench_of(quotas=quotas)
    base = bench.managed()
    sources = [bench.data_source(base, name=f"source-{number}", configuration=connector()) for number in range(6)]
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        bench.data_source(base, name="one-more", configuration=connector())
    # More than the five that the VECTOR ones of an account may have.
    for source in sources:
        bench.start(base, source)
    with pytest.raises(ClientError, match="maximum number of concurrent ingestion jobs per knowledge base: 6"):
        bench.start(base, sources[0])
    usual = Quotas()
    assert (usual.data_sources_per_managed_knowledge_base, usual.jobs_per_managed_knowledge_base) == (200, 50)


@fact("Retrieve on MANAGED: 100 a second per account", "D")
def test_managed_retrievals_have_a_rate_per_account(workbench_of: Callable[..., Any]) -> None:
    bench = workbench_of(quotas=Quotas(managed_retrievals_per_second=2))
    bases = [bench.managed(f"tenant-{number}") for number in range(3)]
    for base in bases[:2]:
        bench.retrieved(base, "leave")
    with pytest.raises(ClientError, match="ThrottlingException"):
        bench.retrieved(bases[2], "leave")
    assert Quotas().managed_retrievals_per_second == 100


@fact("Ingest-, Get-, List- and DeleteKnowledgeBaseDocuments: 5 requests a second each", "D")
def test_document_operations_have_a_rate(workbench_of: Callable[..., Any]) -> None:
    bench = workbench_of(quotas=Quotas())
    base = bench.knowledge_base()
    names = {"knowledgeBaseId": base, "dataSourceId": bench.data_source(base)}
    for _ in range(5):
        bench.agent.list_knowledge_base_documents(**names)
    with pytest.raises(ClientError, match="ThrottlingException"):
        bench.agent.list_knowledge_base_documents(**names)
    operations = (f"{verb}KnowledgeBaseDocuments" for verb in ("Ingest", "Get", "List", "Delete"))
    assert {Quotas().requests_per_second[operation] for operation in operations} == {5}


@fact("an ingestion job takes 100 GB at most", "D")
def test_a_job_over_its_size_fails(workbench_of: Callable[..., Any]) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, job_bytes=100))
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"one.txt": "x" * 60, "two.txt": "x" * 60})
    assert bench.sync(base, source)["status"] == "FAILED"
    assert Quotas().job_bytes == 100 * 1024**3


@fact("the documents of a call: 6 MB of payload at most", "D")
def test_a_call_has_a_largest_payload(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, configuration={"type": "CUSTOM"})
    documents = [
        {
            "content": {
                "dataSourceType": "CUSTOM",
                "custom": {
                    "customDocumentIdentifier": {"id": str(number)},
                    "sourceType": "IN_LINE",
                    "inlineContent": {"type": "TEXT", "textContent": {"data": "x" * 1_000_000}},
                },
            }
        }
        for number in range(7)
    ]
    with pytest.raises(ClientError, match="6 MB"):
        bench.agent.ingest_knowledge_base_documents(knowledgeBaseId=base, dataSourceId=source, documents=documents)


# What is not there


@fact("Bedrock sends no EventBridge event for ingestion jobs", "D")
def test_jobs_send_no_events(workbench_of: Callable[..., Any]) -> None:
    asked = []

    def client(service: str) -> Any:
        asked.append(service)
        return boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]  # not a literal here

    bench = workbench_of(client_factory=client)
    base = bench.knowledge_base()
    source = bench.data_source(base)
    assert bench.sync(base, source)["status"] == "COMPLETE"
    assert set(asked) == {"s3"}


@fact("paginators read whole lists: knowledge bases, data sources, jobs, documents, and what Retrieve finds", "M")
def test_every_paginator_reads_to_the_end(bench: Any) -> None:
    base, source = bench.stocked(**{f"{number:02}.txt": "Paid leave is twenty days." for number in range(12)})
    bench.data_source(base, name="other")
    bench.create("another")
    for _ in range(11):
        bench.sync(base, source)
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    few = {"PageSize": 5}
    for client, operation, result, given, count in (
        (bench.agent, "list_knowledge_bases", "knowledgeBaseSummaries", {}, 2),
        (bench.agent, "list_data_sources", "dataSourceSummaries", {"knowledgeBaseId": base}, 2),
        (bench.agent, "list_ingestion_jobs", "ingestionJobSummaries", names, 12),
        (bench.agent, "list_knowledge_base_documents", "documentDetails", names, 12),
    ):
        pages = client.get_paginator(operation).paginate(**given, PaginationConfig=few)
        assert len([entry for page in pages for entry in page[result]]) == count, operation
    search = {"vectorSearchConfiguration": {"numberOfResults": 5}}
    pages = bench.runtime.get_paginator("retrieve").paginate(
        knowledgeBaseId=base, retrievalQuery={"text": "paid leave"}, retrievalConfiguration=search
    )
    assert [len(page["retrievalResults"]) for page in pages] == [5, 5, 2]
    assert bench.agent.waiter_names == bench.runtime.waiter_names == []
