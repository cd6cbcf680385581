"""What knowledge bases of each type call a search, and by which attributes a passage says where it is from."""

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

SOURCE_URI = {
    KnowledgeBaseKind.VECTOR: "x-amz-bedrock-kb-source-uri",
    KnowledgeBaseKind.MANAGED: "_source_uri",
}
"""The attribute of a passage that names its document. Source: users' reports for knowledge bases of type VECTOR; Amazon
Bedrock User Guide, Managed knowledge bases, for those of type MANAGED. A passage is looked at for both."""

DATA_SOURCE_ID = {
    KnowledgeBaseKind.VECTOR: "x-amz-bedrock-kb-data-source-id",
    KnowledgeBaseKind.MANAGED: "_data_source_id",
}
"""The attribute that names its data source; AWS itself filters by it (AWS Machine Learning Blog, on Ring; Amazon
Bedrock User Guide, Managed knowledge bases)."""


def document_uri(found: Mapping[str, Any]) -> str:
    """Of what Bedrock has found or cited. Its location counts first: tenants can write attributes. Empty where neither
    says."""
    uri: str = found.get("location", {}).get("s3Location", {}).get("uri", "")
    return uri or attribute(found, SOURCE_URI)


def attribute(found: Mapping[str, Any], names: Mapping[KnowledgeBaseKind, str]) -> str:
    """By either name; empty if it has neither."""
    values = (found.get("metadata", {}).get(name) for name in names.values())
    return next((str(value) for value in values if value), "")
