"""What knowledge bases of each type call a search, and the document that a passage is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kbfleet.domain.knowledge_base import KnowledgeBaseKind

if TYPE_CHECKING:
    from collections.abc import Mapping

SEARCHES = {
    KnowledgeBaseKind.VECTOR: "vectorSearchConfiguration",
    KnowledgeBaseKind.MANAGED: "managedSearchConfiguration",
}
"""Members of `retrievalConfiguration`. Source: botocore model of bedrock-agent-runtime."""

SOURCE_URI = "x-amz-bedrock-kb-source-uri"
"""The attribute of a passage that names its document, as users report for knowledge bases of type VECTOR."""

_MANAGED_SOURCE_URI = "_source_uri"
"""The same for type MANAGED. Source: AWS documentation, Managed knowledge bases."""


def document_uri(found: Mapping[str, Any]) -> str:
    """Of what Bedrock has found or cited. Its location counts first: tenants can write attributes. Empty where neither
    says."""
    uri: str = found.get("location", {}).get("s3Location", {}).get("uri", "")
    attributes = found.get("metadata", {})
    return uri or str(attributes.get(SOURCE_URI) or attributes.get(_MANAGED_SOURCE_URI, ""))
