"""Whether a knowledge base finds a document: Retrieve of bedrock-agent-runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.passages import SEARCHES, SOURCE_URI, document_uri
from kbfleet.domain.answer import MAX_PASSAGES, MAX_QUESTION_LENGTH
from kbfleet.domain.document_names import key_in
from kbfleet.domain.document_trace import Probe
from kbfleet.domain.errors import RequestRefused, ResourceMissing
from kbfleet.domain.isolation import FoundPassages
from kbfleet.domain.knowledge_base import KnowledgeBaseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_bedrock_agent_runtime.client import AgentsforBedrockRuntimeClient

    from kbfleet.domain.answer import AskableTenant
    from kbfleet.domain.names import DataSourceReference

_DATA_SOURCE_ID = "x-amz-bedrock-kb-data-source-id"
"""The attribute that names its data source; AWS itself filters by it (AWS Machine Learning Blog, on Ring)."""


class BedrockRetrievalProbe:
    """`kbfleet.ports.RetrievalProbe` on bedrock-agent-runtime."""

    def __init__(self, client: AgentsforBedrockRuntimeClient) -> None:
        self._client = client

    def probe(self, knowledge_base_id: str, kind: KnowledgeBaseKind, bucket: str, uri: str) -> Probe:
        key_in(bucket, uri)
        # The filter leaves nothing but the document. There must be words, too; its name is the likeliest to count.
        search = {"numberOfResults": 1, "filter": {"equals": {"key": SOURCE_URI, "value": uri}}}
        configuration: Any = {SEARCHES[kind]: search}
        try:
            with translated(f"knowledge base {knowledge_base_id}"):
                answer = self._client.retrieve(
                    knowledgeBaseId=knowledge_base_id,
                    retrievalQuery={"text": uri[-MAX_QUESTION_LENGTH:]},
                    retrievalConfiguration=configuration,
                )
        except (RequestRefused, ResourceMissing) as error:
            return Probe(found=False, refusal=str(error))
        return Probe(found=bool(answer["retrievalResults"]))


class BedrockPassageSearch:
    """`kbfleet.ports.PassageSearch` on bedrock-agent-runtime.

    A search gives the nearest passages only, and one of somebody else may be far from every question. So it is searched
    once more, with a filter that leaves out what the tenant's own data source has brought: whatever comes then is left
    over from another one. That nothing comes proves something only if the filter is understood, which the same filter
    the other way round shows. Of a knowledge base of type MANAGED nothing can be left over: its data sources know no
    other deletion policy than DELETE.

    Args:
        clients: gives the boto3 client for an operation, by the credentials of the tenant.
    """

    def __init__(self, clients: Callable[[str, AskableTenant], Any]) -> None:
        self._clients = clients

    def search(self, tenant: AskableTenant, kind: KnowledgeBaseKind, own: DataSourceReference) -> FoundPassages:
        nearest = self._results(tenant, kind)
        others: Sequence[Mapping[str, Any]] = ()
        understood = True
        if kind is not KnowledgeBaseKind.MANAGED and nearest:
            brought = {"key": _DATA_SOURCE_ID, "value": own.data_source_id}
            others = self._results(tenant, kind, filter={"notEquals": brought})
            understood = not others and bool(self._results(tenant, kind, filter={"equals": brought}))
        uris = [document_uri(result) for result in (*nearest, *others)]
        return FoundPassages(tuple(dict.fromkeys(uri for uri in uris if uri)), understood and all(uris))

    def _results(self, tenant: AskableTenant, kind: KnowledgeBaseKind, **filtered: Any) -> Sequence[Mapping[str, Any]]:
        client = self._clients("Retrieve", tenant)
        with translated(f"knowledge base {tenant.knowledge_base_id}"):
            answer = client.retrieve(
                knowledgeBaseId=tenant.knowledge_base_id,
                retrievalQuery={"text": "document"},
                retrievalConfiguration={SEARCHES[kind]: {"numberOfResults": MAX_PASSAGES, **filtered}},
            )
        results: Sequence[Mapping[str, Any]] = answer["retrievalResults"]
        return results
