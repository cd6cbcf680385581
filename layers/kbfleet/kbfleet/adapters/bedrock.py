"""Amazon Bedrock Knowledge Bases: the control plane (bedrock-agent) and asking (bedrock-agent-runtime)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.answer import Citation, GeneratedAnswer, Question, Source
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.ingestion import IngestionJob, JobStatus, parse_failure_reasons, statistics_from_counts
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus, KnowledgeBase, KnowledgeBaseStatus
from kbfleet.domain.tenant import DataSourceReference

if TYPE_CHECKING:
    from mypy_boto3_bedrock_agent.client import AgentsforBedrockClient
    from mypy_boto3_bedrock_agent_runtime.client import AgentsforBedrockRuntimeClient


class BedrockKnowledgeBases:
    """`kbfleet.ports.KnowledgeBases` on bedrock-agent.

    Args:
        role_arn: the service role that every knowledge base of the fleet assumes.
    """

    def __init__(self, client: AgentsforBedrockClient, *, role_arn: str) -> None:
        self._client = client
        self._role_arn = role_arn

    def get(self, knowledge_base_id: str) -> KnowledgeBase | None:
        try:
            with translated(f"knowledge base {knowledge_base_id}"):
                answer = self._client.get_knowledge_base(knowledgeBaseId=knowledge_base_id)
        except ResourceMissing:
            return None
        return _knowledge_base(answer["knowledgeBase"])

    def find(self, name: str) -> KnowledgeBase | None:
        with translated(f"knowledge base {name}"):
            pages = self._client.get_paginator("list_knowledge_bases").paginate()
            listed = (summary for page in pages for summary in page["knowledgeBaseSummaries"])
            match = next((summary for summary in listed if summary["name"] == name), None)
        # The summary lacks the failure reasons, and is older than what the knowledge base says of itself.
        return self.get(match["knowledgeBaseId"]) if match else None

    def create(
        self, name: str, *, configuration: Mapping[str, object], tags: Mapping[str, str], client_token: str
    ) -> KnowledgeBase:
        with translated(f"knowledge base {name}"):
            arguments: dict[str, Any] = dict(configuration)
            answer = self._client.create_knowledge_base(
                name=name,
                description=f"Documents of {name}, kept in sync by kbfleet",
                roleArn=self._role_arn,
                tags=dict(tags),
                clientToken=client_token,
                **arguments,
            )
        return _knowledge_base(answer["knowledgeBase"])

    def find_data_source(self, knowledge_base_id: str, name: str) -> DataSource | None:
        with translated(f"data source {name} of knowledge base {knowledge_base_id}"):
            pages = self._client.get_paginator("list_data_sources").paginate(knowledgeBaseId=knowledge_base_id)
            listed = (summary for page in pages for summary in page["dataSourceSummaries"])
            match = next((summary for summary in listed if summary["name"] == name), None)
            if match is None:
                return None
            # The summary lacks the failure reasons, and is older than what the data source says of itself.
            try:
                answer = self._client.get_data_source(
                    knowledgeBaseId=knowledge_base_id, dataSourceId=match["dataSourceId"]
                )
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return _data_source(answer["dataSource"])

    def create_data_source(
        self, knowledge_base_id: str, name: str, *, configuration: Mapping[str, object], client_token: str
    ) -> DataSource:
        with translated(f"data source {name} of knowledge base {knowledge_base_id}"):
            arguments: dict[str, Any] = {"dataSourceConfiguration": configuration}
            answer = self._client.create_data_source(
                knowledgeBaseId=knowledge_base_id, name=name, clientToken=client_token, **arguments
            )
        return _data_source(answer["dataSource"])

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        with translated(f"data source {data_source.data_source_id}"):
            answer = self._client.start_ingestion_job(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                clientToken=client_token,
            )
        return _ingestion_job(answer["ingestionJob"])

    def ingestion_job(self, data_source: DataSourceReference, ingestion_job_id: str) -> IngestionJob:
        with translated(f"ingestion job {ingestion_job_id} of data source {data_source.data_source_id}"):
            answer = self._client.get_ingestion_job(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                ingestionJobId=ingestion_job_id,
            )
        return _ingestion_job(answer["ingestionJob"])

    def running_ingestion_job(self, data_source: DataSourceReference) -> IngestionJob | None:
        with translated(f"data source {data_source.data_source_id}"):
            # The filter of ListIngestionJobs takes one status only, and three count as running. At most one job of a
            # data source runs, and no later one can have started, so the newest comes first and one page nearly
            # always does.
            pages = self._client.get_paginator("list_ingestion_jobs").paginate(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                sortBy={"attribute": "STARTED_AT", "order": "DESCENDING"},
            )
            listed = (summary for page in pages for summary in page["ingestionJobSummaries"])
            running = (summary for summary in listed if not JobStatus(summary["status"]).ended)
            match = next(running, None)
        return self.ingestion_job(data_source, match["ingestionJobId"]) if match else None


def _knowledge_base(answer: Mapping[str, Any]) -> KnowledgeBase:
    return KnowledgeBase(
        answer["knowledgeBaseId"],
        answer["name"],
        KnowledgeBaseStatus(answer["status"]),
        tuple(answer.get("failureReasons", ())),
    )


def _data_source(answer: Mapping[str, Any]) -> DataSource:
    return DataSource(
        answer["dataSourceId"],
        answer["name"],
        DataSourceStatus(answer["status"]),
        tuple(answer.get("failureReasons", ())),
    )


def _ingestion_job(answer: Mapping[str, Any]) -> IngestionJob:
    return IngestionJob(
        answer["ingestionJobId"],
        JobStatus(answer["status"]),
        answer["startedAt"],
        answer["updatedAt"],
        statistics_from_counts(answer.get("statistics", {})),
        parse_failure_reasons(answer.get("failureReasons", ())),
    )


class RetrieveAndGenerateAnswerer:
    """`kbfleet.ports.Answerer` by Bedrock's RetrieveAndGenerate, for knowledge bases of type VECTOR.

    Args:
        model_arn: foundation model or inference profile that writes the answer.
        passages: how many passages the model is given.
    """

    def __init__(self, client: AgentsforBedrockRuntimeClient, *, model_arn: str, passages: int = 5) -> None:
        self._client = client
        self._model_arn = model_arn
        self._passages = passages

    def answer(self, knowledge_base_id: str, question: Question) -> GeneratedAnswer:
        with translated(f"knowledge base {knowledge_base_id}"):
            answer = self._client.retrieve_and_generate(
                input={"text": str(question)},
                retrieveAndGenerateConfiguration={
                    "type": "KNOWLEDGE_BASE",
                    "knowledgeBaseConfiguration": {
                        "knowledgeBaseId": knowledge_base_id,
                        "modelArn": self._model_arn,
                        "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": self._passages}},
                    },
                },
            )
        citations = (_citation(citation) for citation in answer.get("citations", ()))
        return GeneratedAnswer(answer["output"]["text"], tuple(citation for citation in citations if citation.sources))


def _citation(answer: Mapping[str, Any]) -> Citation:
    part = answer.get("generatedResponsePart", {}).get("textResponsePart", {})
    text = part.get("text", "")
    start = part.get("span", {}).get("start", 0)
    # AWS does not say whether the span's end is the last character or the one behind it; the text's length is certain.
    return Citation(text, start, start + len(text), tuple(map(_source, answer.get("retrievedReferences", ()))))


def _source(reference: Mapping[str, Any]) -> Source:
    metadata: Mapping[str, Any] = reference.get("metadata", {})
    uri = reference.get("location", {}).get("s3Location", {}).get("uri", "")
    page = metadata.get("x-amz-bedrock-kb-document-page-number")
    own = {key: value for key, value in metadata.items() if not key.startswith("x-amz-bedrock-")}
    return Source(
        document=uri.split("/", 3)[-1],
        uri=uri,
        passage=reference.get("content", {}).get("text", ""),
        page=int(page) if page is not None else None,
        metadata=own,
    )
