"""Amazon Bedrock Knowledge Bases: the control plane (bedrock-agent)."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import ResourceConflict, ResourceMissing
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStatus, Statistics
from kbfleet.domain.knowledge_base import (
    DataSource,
    DataSourceStatus,
    KnowledgeBase,
    KnowledgeBaseKind,
    KnowledgeBaseStatus,
    kind_of,
)
from kbfleet.domain.names import DataSourceReference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_bedrock_agent.client import AgentsforBedrockClient

    from kbfleet.domain.names import Knowledge, ResourceNames

_KNOWLEDGE_BASE_MEMBERS = ("knowledgeBaseConfiguration", "storageConfiguration")
_INGESTION = "vectorIngestionConfiguration"
_DATA_SOURCE_MEMBERS = (
    "knowledgeBaseId",
    "dataSourceId",
    "name",
    "description",
    "dataSourceConfiguration",
    "serverSideEncryptionConfiguration",
    _INGESTION,
)
"""What UpdateDataSource takes beside the deletion policy. Source: botocore service model of bedrock-agent."""

_PAGE = 1_000
"""The most that ListKnowledgeBases gives at once (botocore model). By default that is little, and calls are few."""
_CONNECTOR = "managedKnowledgeBaseConnectorConfiguration"


class BedrockKnowledgeBases:
    """`kbfleet.ports.KnowledgeBases` on bedrock-agent.

    Args:
        asking_once: makes a client that does not try again by itself. Where a knowledge base is asked for twice within
            moments, under one client token and one name, Bedrock may make two, as users report.
    """

    def __init__(
        self, client: AgentsforBedrockClient, *, asking_once: Callable[[], AgentsforBedrockClient] | None = None
    ) -> None:
        self._client = client
        self._asking_once = cache(asking_once or (lambda: client))

    def get(self, knowledge_base_id: str) -> KnowledgeBase | None:
        try:
            with translated(f"knowledge base {knowledge_base_id}"):
                answer = self._client.get_knowledge_base(knowledgeBaseId=knowledge_base_id)
        except ResourceMissing:
            return None
        return _knowledge_base(answer["knowledgeBase"])

    def named(self, name: str) -> Sequence[KnowledgeBase]:
        with translated(f"knowledge base {name}"):
            ids = [summary["knowledgeBaseId"] for summary in self._listed() if summary["name"] == name]
        # The summary lacks nearly everything, and is older than what the knowledge base says of itself.
        found = (self.get(knowledge_base_id) for knowledge_base_id in ids)
        return sorted((one for one in found if one is not None), key=lambda one: one.created_at)

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        """The summaries of all knowledge bases of the account, over all pages."""
        for page in self._client.get_paginator("list_knowledge_bases").paginate(PaginationConfig={"PageSize": _PAGE}):
            yield from page["knowledgeBaseSummaries"]

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Knowledge]]:
        with translated("the account's knowledge bases"):
            for summary in self._listed():
                knowledge = names.knowledge_of_knowledge_base(summary["name"])
                if knowledge is not None:
                    yield summary["knowledgeBaseId"], knowledge

    def count(self, kind: KnowledgeBaseKind) -> int:
        with translated("the account's knowledge bases"):
            listed = list(self._listed())
        # The list does not name kinds. Our own descriptions do; those of others are asked only where it matters.
        kinds = {summary["knowledgeBaseId"]: _described_kind(summary.get("description", "")) for summary in listed}
        certain = sum(found is kind for found in kinds.values())
        unknown = [knowledge_base_id for knowledge_base_id, found in kinds.items() if found is None]
        if certain + len(unknown) < kind.quota:
            return certain + len(unknown)
        found = (self.get(knowledge_base_id) for knowledge_base_id in unknown)
        return certain + sum(one is not None and one.kind is kind for one in found)

    def create(
        self,
        name: str,
        *,
        role_arn: str,
        configuration: Mapping[str, object],
        tags: Mapping[str, str],
        client_token: str,
    ) -> KnowledgeBase:
        with translated(f"knowledge base {name}"):
            arguments: dict[str, Any] = dict(configuration)
            answer = self._asking_once().create_knowledge_base(
                name=name,
                description=_description(name, configuration),
                roleArn=role_arn,
                tags=dict(tags),
                clientToken=client_token,
                **arguments,
            )
        return _knowledge_base(answer["knowledgeBase"])

    def update(self, knowledge_base: KnowledgeBase, *, role_arn: str) -> None:
        with translated(f"knowledge base {knowledge_base.name}"):
            # A full replacement: what is not sent is gone.
            arguments: dict[str, Any] = dict(knowledge_base.configuration)
            self._client.update_knowledge_base(
                knowledgeBaseId=knowledge_base.knowledge_base_id,
                name=knowledge_base.name,
                description=_description(knowledge_base.name, knowledge_base.configuration),
                roleArn=role_arn,
                **arguments,
            )

    def tags(self, knowledge_base: KnowledgeBase) -> Mapping[str, str]:
        with translated(f"knowledge base {knowledge_base.name}"):
            return self._client.list_tags_for_resource(resourceArn=knowledge_base.arn)["tags"]

    def tag(self, knowledge_base: KnowledgeBase, tags: Mapping[str, str]) -> None:
        with translated(f"knowledge base {knowledge_base.name}"):
            self._client.tag_resource(resourceArn=knowledge_base.arn, tags=dict(tags))

    def delete(self, knowledge_base_id: str) -> None:
        with (
            translated(f"knowledge base {knowledge_base_id}"),
            suppress(self._client.exceptions.ResourceNotFoundException),
        ):
            self._client.delete_knowledge_base(knowledgeBaseId=knowledge_base_id)

    def data_sources(self, knowledge_base_id: str) -> Sequence[DataSource]:
        try:
            with translated(f"the data sources of knowledge base {knowledge_base_id}"):
                pages = self._client.get_paginator("list_data_sources").paginate(knowledgeBaseId=knowledge_base_id)
                listed = (summary for page in pages for summary in page["dataSourceSummaries"])
                return [_data_source(found) for found in listed]
        except ResourceMissing:
            return []

    def find_data_source(self, knowledge_base_id: str, name: str) -> DataSource | None:
        listed = next((found for found in self.data_sources(knowledge_base_id) if found.name == name), None)
        if listed is None:
            return None
        return self.data_source(DataSourceReference(knowledge_base_id, listed.data_source_id))

    def data_source(self, data_source: DataSourceReference) -> DataSource | None:
        # The summary lacks the configuration and the failure reasons, and is older.
        try:
            with translated(f"data source {data_source.data_source_id} of {data_source.knowledge_base_id}"):
                return _data_source(self._described(data_source))
        except ResourceMissing:
            return None

    def update_data_source(
        self,
        data_source: DataSourceReference,
        name: str,
        configuration: Mapping[str, object],
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        reading = {_INGESTION: ingestion} if ingestion else {}
        with translated(f"data source {name} of knowledge base {data_source.knowledge_base_id}"):
            changed = self._replace_data_source(
                data_source, name=name, dataSourceConfiguration=configuration, dataDeletionPolicy="DELETE", **reading
            )
        return _data_source(changed)

    def retain_vectors(self, data_source: DataSourceReference) -> None:
        with translated(f"data source {data_source.data_source_id}"):
            self._replace_data_source(data_source, dataDeletionPolicy="RETAIN")

    def _replace_data_source(self, data_source: DataSourceReference, **changes: object) -> Mapping[str, Any]:
        """UpdateDataSource is a full replacement: every member that the data source has must be sent again."""
        found = self._described(data_source)
        members: dict[str, Any] = {key: found[key] for key in _DATA_SOURCE_MEMBERS if key in found}
        return _decoded(self._client.update_data_source(**{**members, **changes})["dataSource"])

    def _described(self, data_source: DataSourceReference) -> Mapping[str, Any]:
        answer = self._client.get_data_source(
            knowledgeBaseId=data_source.knowledge_base_id, dataSourceId=data_source.data_source_id
        )
        return _decoded(answer["dataSource"])

    def delete_data_source(self, data_source: DataSourceReference) -> None:
        with (
            translated(f"data source {data_source.data_source_id}"),
            suppress(self._client.exceptions.ResourceNotFoundException),
        ):
            self._client.delete_data_source(
                knowledgeBaseId=data_source.knowledge_base_id, dataSourceId=data_source.data_source_id
            )

    def create_data_source(
        self,
        knowledge_base_id: str,
        name: str,
        *,
        configuration: Mapping[str, object],
        client_token: str,
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        with translated(f"data source {name} of knowledge base {knowledge_base_id}"):
            arguments: dict[str, Any] = {"dataSourceConfiguration": configuration}
            if ingestion:
                arguments[_INGESTION] = ingestion
            answer = self._client.create_data_source(
                knowledgeBaseId=knowledge_base_id, name=name, clientToken=client_token, **arguments
            )
        return _data_source(_decoded(answer["dataSource"]))

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

    def stop_ingestion(self, data_source: DataSourceReference, ingestion_job_id: str) -> bool:
        try:
            with translated(f"ingestion job {ingestion_job_id} of data source {data_source.data_source_id}"):
                self._client.stop_ingestion_job(
                    knowledgeBaseId=data_source.knowledge_base_id,
                    dataSourceId=data_source.data_source_id,
                    ingestionJobId=ingestion_job_id,
                )
        except (ResourceMissing, ResourceConflict):
            return False
        return True

    def running_ingestion_job(self, data_source: DataSourceReference) -> IngestionJob | None:
        # The filter of ListIngestionJobs takes one status only, and three count as running. At most one job of a data
        # source runs, and no later one can have started: all but the newest have ended, whatever that is called.
        newest = next(self.ingestion_jobs(data_source), None)
        if newest is None or newest.status.ended:
            return None
        return self.ingestion_job(data_source, newest.ingestion_job_id)

    def ingestion_jobs(self, data_source: DataSourceReference) -> Iterator[IngestionJob]:
        with translated(f"data source {data_source.data_source_id}"):
            pages = self._client.get_paginator("list_ingestion_jobs").paginate(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                sortBy={"attribute": "STARTED_AT", "order": "DESCENDING"},
            )
            for page in pages:
                yield from map(_ingestion_job, page["ingestionJobSummaries"])


def _knowledge_base(answer: Mapping[str, Any]) -> KnowledgeBase:
    configuration = {key: answer[key] for key in _KNOWLEDGE_BASE_MEMBERS if key in answer}
    return KnowledgeBase(
        answer["knowledgeBaseId"],
        answer["knowledgeBaseArn"],
        answer["name"],
        KnowledgeBaseStatus(answer["status"]),
        answer["createdAt"],
        answer["updatedAt"],
        tuple(answer.get("failureReasons", ())),
        configuration,
        described=answer.get("description") == _description(answer["name"], configuration),
        role_arn=answer["roleArn"],
    )


def _description(name: str, configuration: Mapping[str, object]) -> str:
    return f"Documents of {name}, kept in sync by kbfleet ({kind_of(configuration)})"


def _described_kind(description: str) -> KnowledgeBaseKind | None:
    kinds = (kind for kind in KnowledgeBaseKind if description.endswith(f", kept in sync by kbfleet ({kind})"))
    return next(kinds, None)


def _decoded(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """A data source as it would be sent: of one of type MANAGED, Bedrock gives `connectorParameters` as JSON in a text,
    as users report, and takes them as an object."""
    configuration = described.get("dataSourceConfiguration", {})
    connector = configuration.get(_CONNECTOR, {})
    parameters = connector.get("connectorParameters")
    if not isinstance(parameters, str):
        return described
    try:
        read = {**connector, "connectorParameters": json.loads(parameters)}
    except ValueError:
        # Then it does not say what it reads.
        return described
    return {**described, "dataSourceConfiguration": {**configuration, _CONNECTOR: read}}


def _data_source(answer: Mapping[str, Any]) -> DataSource:
    return DataSource(
        answer["dataSourceId"],
        answer["name"],
        DataSourceStatus(answer["status"]),
        tuple(answer.get("failureReasons", ())),
        answer.get("dataSourceConfiguration", {}),
        answer.get("dataDeletionPolicy", "DELETE"),
        answer.get("updatedAt"),
        answer.get("createdAt"),
        answer.get(_INGESTION, {}),
    )


def _ingestion_job(answer: Mapping[str, Any]) -> IngestionJob:
    return IngestionJob(
        answer["ingestionJobId"],
        JobStatus(answer["status"]),
        answer["startedAt"],
        answer["updatedAt"],
        job_statistics(answer.get("statistics", {})),
        failure_reasons(answer.get("failureReasons", ())),
    )


def job_statistics(counts: Mapping[str, int]) -> Statistics:
    """The statistics of the API (`numberOf…`) under our names; counts that are missing are 0."""
    return Statistics(
        scanned=counts.get("numberOfDocumentsScanned", 0),
        metadata_scanned=counts.get("numberOfMetadataDocumentsScanned", 0),
        new=counts.get("numberOfNewDocumentsIndexed", 0),
        modified=counts.get("numberOfModifiedDocumentsIndexed", 0),
        metadata_modified=counts.get("numberOfMetadataDocumentsModified", 0),
        deleted=counts.get("numberOfDocumentsDeleted", 0),
        failed=counts.get("numberOfDocumentsFailed", 0),
        skipped=counts.get("numberOfDocumentsSkipped", 0),
    )


def failure_reasons(raw: Iterable[str]) -> tuple[FailureReason, ...]:
    """Bedrock's `failureReasons`, unwrapped.

    Args:
        raw: the strings of the API. Each is usually a JSON array inside a string (reported by users); anything else is
            kept as it is.

    Returns:
        One reason a text, in order, empty texts left out.
    """
    texts = (writable(text) for element in raw for text in _texts(element))
    return tuple(FailureReason.of(text) for text in texts if text.strip())


def writable(text: str) -> str:
    """Text as it can be stored and sent on: half a pair of UTF-16, as of a name that was cut, can be neither."""
    return text.encode(errors="replace").decode()


def _texts(element: str) -> list[str]:
    try:
        value = json.loads(element)
    except (ValueError, RecursionError):
        # The text is not ours: it may be anything, also brackets nested a thousand deep.
        return [element]
    if isinstance(value, list):
        return [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in value]
    return [value if isinstance(value, str) else element]
