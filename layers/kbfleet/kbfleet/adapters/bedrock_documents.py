"""Single documents of a data source: the document operations of bedrock-agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.bedrock import writable
from kbfleet.domain.document_names import key_in
from kbfleet.domain.errors import RequestRefused
from kbfleet.domain.failed_documents import BATCH, IngestedDocument, IngestedStatus
from kbfleet.ports import IngestedDocumentPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_bedrock_agent.client import AgentsforBedrockClient

    from kbfleet.domain.failed_documents import BucketDocument
    from kbfleet.domain.names import DataSourceReference

_PAGE = 100
"""Documents a page. The model says 1,000 at most; more than 100 are refused (reported by users)."""


class BedrockDocuments:
    """`kbfleet.ports.IngestedDocuments` on bedrock-agent. A document that is not in S3 has no URI."""

    def __init__(self, client: AgentsforBedrockClient) -> None:
        self._client = client

    def look_up(self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]) -> Sequence[IngestedDocument]:
        for uri in uris:
            key_in(bucket, uri)
        batches = (uris[first : first + BATCH] for first in range(0, len(uris), BATCH))
        found = {document.uri: document for batch in batches for document in self._looked_up(data_source, batch)}
        return [found.get(uri) or IngestedDocument(uri, IngestedStatus.NOT_FOUND) for uri in uris]

    def _looked_up(self, data_source: DataSourceReference, uris: Sequence[str]) -> Iterator[IngestedDocument]:
        """All but those that Bedrock will not look up: it refuses ten for one. The model allows no more than 128
        characters behind `s3://`, and whether MANAGED knowledge bases list documents at all is not said."""
        try:
            yield from self._answered(data_source, uris)
        except RequestRefused:
            middle = len(uris) // 2
            for half in (uris[:middle], uris[middle:]) if middle else ():
                yield from self._looked_up(data_source, half)

    def _answered(self, data_source: DataSourceReference, uris: Sequence[str]) -> list[IngestedDocument]:
        with translated(f"documents of data source {data_source.data_source_id}", unsaid=uris):
            answer = self._client.get_knowledge_base_documents(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                documentIdentifiers=[{"dataSourceType": "S3", "s3": {"uri": uri}} for uri in uris],
            )
        return list(_documents(answer.get("documentDetails", ())))

    def look_once(
        self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]
    ) -> Sequence[IngestedDocument] | None:
        for uri in uris:
            key_in(bucket, uri)
        try:
            found = {document.uri: document for document in self._answered(data_source, uris)}
        except RequestRefused:
            return None
        return [found.get(uri) or IngestedDocument(uri, IngestedStatus.NOT_FOUND) for uri in uris]

    def pages(self, data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
        with translated(f"the documents of data source {data_source.data_source_id}"):
            # Not by boto3's paginator: it takes a token of Bedrock's that looks like one of its own for its own.
            place: dict[str, Any] = {"nextToken": after} if after else {}
            while True:
                page = self._client.list_knowledge_base_documents(
                    knowledgeBaseId=data_source.knowledge_base_id,
                    dataSourceId=data_source.data_source_id,
                    maxResults=_PAGE,
                    **place,
                )
                following = page.get("nextToken") or None
                yield IngestedDocumentPage(list(_documents(page["documentDetails"])), following)
                if following is None:
                    return
                place = {"nextToken": following}

    def ingest(
        self, data_source: DataSourceReference, bucket: str, documents: Sequence[BucketDocument], *, client_token: str
    ) -> Sequence[IngestedDocument]:
        for document in documents:
            key_in(bucket, document.uri)
            key_in(bucket, document.metadata_uri or document.uri)
        uris = [document.uri for document in documents]
        with translated(f"documents of data source {data_source.data_source_id}", unsaid=uris):
            answer = self._client.ingest_knowledge_base_documents(
                knowledgeBaseId=data_source.knowledge_base_id,
                dataSourceId=data_source.data_source_id,
                clientToken=client_token,
                documents=[_given(document) for document in documents],
            )
        return list(_documents(answer.get("documentDetails", ())))


def _given(document: BucketDocument) -> Any:
    content = {"dataSourceType": "S3", "s3": {"s3Location": {"uri": document.uri}}}
    if document.metadata_uri is None:
        return {"content": content}
    # A sync finds the file beside the document by itself; here, attributes that are not given are lost.
    return {"content": content, "metadata": {"type": "S3_LOCATION", "s3Location": {"uri": document.metadata_uri}}}


def _documents(details: Sequence[Mapping[str, Any]]) -> Iterator[IngestedDocument]:
    for detail in details:
        # Of one that is not in S3 empty, which is in nobody's bucket.
        uri = detail["identifier"].get("s3", {}).get("uri", "")
        reason = writable(detail.get("statusReason") or "")
        yield IngestedDocument(uri, IngestedStatus(detail["status"]), reason, detail.get("updatedAt"))
