"""Whether a knowledge base finds a document: Retrieve of bedrock-agent-runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.answer import MAX_QUESTION_LENGTH
from kbfleet.domain.document_names import key_in
from kbfleet.domain.document_trace import Probe
from kbfleet.domain.errors import RequestRefused, ResourceMissing
from kbfleet.domain.knowledge_base import KnowledgeBaseKind

if TYPE_CHECKING:
    from mypy_boto3_bedrock_agent_runtime.client import AgentsforBedrockRuntimeClient

_SOURCE_URI = "x-amz-bedrock-kb-source-uri"
"""The attribute of a passage that names its document, as users report for knowledge bases of type VECTOR; that those of
type MANAGED have it, too, is inferred."""

_SEARCHES = {
    KnowledgeBaseKind.VECTOR: "vectorSearchConfiguration",
    KnowledgeBaseKind.MANAGED: "managedSearchConfiguration",
}


class BedrockRetrievalProbe:
    """`kbfleet.ports.RetrievalProbe` on bedrock-agent-runtime."""

    def __init__(self, client: AgentsforBedrockRuntimeClient) -> None:
        self._client = client

    def probe(self, knowledge_base_id: str, kind: KnowledgeBaseKind, bucket: str, uri: str) -> Probe:
        key_in(bucket, uri)
        # The filter leaves nothing but the document. There must be words, too; its name is the likeliest to count.
        search = {"numberOfResults": 1, "filter": {"equals": {"key": _SOURCE_URI, "value": uri}}}
        configuration: Any = {_SEARCHES[kind]: search}
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
