"""Whether a knowledge base finds a document: Retrieve of bedrock-agent-runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.passages import DATA_SOURCE_ID, SEARCHES, SOURCE_URI, attribute, document_uri
from kbfleet.domain.answer import MAX_PASSAGES, MAX_QUESTION_LENGTH
from kbfleet.domain.diagnosis import Search
from kbfleet.domain.document_names import key_in
from kbfleet.domain.document_trace import Probe
from kbfleet.domain.errors import NotReadyYet, RequestRefused, ResourceMissing, ServiceRoleRefused
from kbfleet.domain.isolation import FoundPassages
from kbfleet.domain.knowledge_base import KnowledgeBaseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_bedrock_agent_runtime.client import AgentsforBedrockRuntimeClient

    from kbfleet.domain.answer import AskableTenant
    from kbfleet.domain.names import DataSourceReference

_MOST_PAGES = 20
"""Without a passage, one after the other, of one search."""


class BedrockRetrievalProbe:
    """`kbfleet.ports.RetrievalProbe` on bedrock-agent-runtime."""

    def __init__(self, client: AgentsforBedrockRuntimeClient) -> None:
        self._client = client

    def probe(self, knowledge_base_id: str, kind: KnowledgeBaseKind, bucket: str, uri: str) -> Probe:
        key_in(bucket, uri)
        # The filter leaves nothing but the document. There must be words, too; its name is the likeliest to count.
        search = {"numberOfResults": MAX_PASSAGES, "filter": {"equals": {"key": SOURCE_URI[kind], "value": uri}}}
        configuration: Any = {SEARCHES[kind]: search}
        try:
            with translated(f"knowledge base {knowledge_base_id}"):
                found, whole, more = _results(
                    self._client, knowledge_base_id, uri[-MAX_QUESTION_LENGTH:], configuration
                )
        except (RequestRefused, ResourceMissing) as error:
            return Probe(found=False, refusal=str(error))
        refusal = "" if found or whole else f"Retrieve gave {_MOST_PAGES} empty pages, and no end of them."
        # How much it says, and never what.
        all_of_it = found and not more and len(found) < MAX_PASSAGES
        characters = sum(len(result["content"].get("text", "")) for result in found) if all_of_it else None
        return Probe(found=bool(found), refusal=refusal, characters=characters)

    def anything(self, knowledge_base_id: str, kind: KnowledgeBaseKind) -> Search:
        configuration: Any = {SEARCHES[kind]: {"numberOfResults": 1}}
        try:
            with translated(f"knowledge base {knowledge_base_id}"):
                found, whole, _ = _results(self._client, knowledge_base_id, "document", configuration)
        except (RequestRefused, ResourceMissing, ServiceRoleRefused):
            # Also for whoever asks: the role is the knowledge base's, not this function's.
            return Search.REFUSED
        if not found and not whole:
            raise NotReadyYet(f"Of knowledge base {knowledge_base_id} Retrieve gave {_MOST_PAGES} empty pages.")
        return Search.FOUND if found else Search.NOTHING


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
        nearest, whole = self._found(tenant, kind)
        others: Sequence[Mapping[str, Any]] = ()
        if kind is not KnowledgeBaseKind.MANAGED and nearest:
            brought = {"key": DATA_SOURCE_ID[kind], "value": own.data_source_id}
            others, whole = self._found(tenant, kind, filter={"notEquals": brought})
            whole = whole and not others and bool(self._found(tenant, kind, filter={"equals": brought})[0])
        found = (*nearest, *others)
        left_behind = any(attribute(result, DATA_SOURCE_ID) not in {"", own.data_source_id} for result in found)
        uris = tuple(dict.fromkeys(map(document_uri, found)))
        return FoundPassages(uris, whole, left_behind)

    def _found(
        self, tenant: AskableTenant, kind: KnowledgeBaseKind, **filtered: Any
    ) -> tuple[Sequence[Mapping[str, Any]], bool]:
        configuration = {SEARCHES[kind]: {"numberOfResults": MAX_PASSAGES, **filtered}}
        client = self._clients("Retrieve", tenant)
        with translated(f"knowledge base {tenant.knowledge_base_id}"):
            found, whole, _ = _results(client, tenant.knowledge_base_id, "document", configuration)
        return found, whole


def _results(
    client: Any, knowledge_base_id: str, text: str, configuration: Mapping[str, Any]
) -> tuple[Sequence[Mapping[str, Any]], bool, bool]:
    """Returns: those of the first page on which there are any; where there are none, whether that is all: a page may be
    empty, and others follow it; and where there are some, whether others follow."""
    place: dict[str, Any] = {}
    for _ in range(_MOST_PAGES):
        answer = client.retrieve(
            knowledgeBaseId=knowledge_base_id,
            retrievalQuery={"text": text},
            retrievalConfiguration=configuration,
            **place,
        )
        results: Sequence[Mapping[str, Any]] = answer["retrievalResults"]
        following = answer.get("nextToken")
        if results or not following:
            return results, True, bool(following)
        place = {"nextToken": following}
    return (), False, False
