"""Knowledge bases of type MANAGED: Bedrock keeps the vectors itself, and embeds with a model of its own.

There is no index to make or delete: the vectors come and go with the knowledge base. Source: AWS documentation, Managed
knowledge bases.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from kbfleet.adapters.knowledge_stores import vector_ingestion
from kbfleet.domain.knowledge_base import KnowledgeBaseKind, kind_of
from kbfleet.domain.uploads import MAX_METADATA_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from kbfleet.adapters.knowledge_stores import StoreResources
    from kbfleet.domain.knowledge_base import Index
    from kbfleet.domain.names import Knowledge, Life, ResourceNames
    from kbfleet.domain.profiles import Ingestion


class ManagedKnowledgeStore:
    """`kbfleet.ports.KnowledgeStore` inside Bedrock."""

    kind = KnowledgeBaseKind.MANAGED
    unknown_filter_operators = frozenset({"startsWith", "stringContains"})
    """What AWS documents for some stores only (RetrievalFilter); of Bedrock's own storage it says nothing."""
    usual_creation = timedelta(seconds=73)  # reported by users: 47 to 124 seconds, this is the median
    usual_data_source_creation = timedelta(seconds=120)
    """AWS's own sample waits so long; users report two to five minutes."""
    max_metadata_bytes = MAX_METADATA_BYTES
    max_metadata_attributes: int | None = None
    role_services = frozenset[str]()
    """Its own models embed and rerank. Source: Amazon Bedrock User Guide, Managed knowledge bases, Prerequisites."""

    def __init__(self, *, names: ResourceNames, ingestion: Ingestion, model_arn: Callable[[str], str]) -> None:
        self._names = names
        self._ingestion = ingestion
        self._model_arn = model_arn

    @classmethod
    def offered_by(cls, resources: StoreResources) -> bool:  # noqa: ARG003 - it needs nothing of the stack
        return True

    @classmethod
    def made_of(cls, resources: StoreResources) -> Self:
        return cls(names=resources.names, ingestion=resources.ingestion, model_arn=resources.model_arn)

    def made_by(self, ingestion: Ingestion) -> Self:
        return type(self)(names=self._names, ingestion=ingestion, model_arn=self._model_arn)

    def ensure(self, knowledge: Knowledge) -> str:  # noqa: ARG002 - the same everywhere
        return "managed"

    def find(self, knowledge: Knowledge) -> Index | None:  # noqa: ARG002 - the same everywhere
        return None

    def delete(self, knowledge: Knowledge) -> None:
        """Nothing to do: deleting the knowledge base deletes its vectors."""

    def holds(self, knowledge: Knowledge, configuration: Mapping[str, object]) -> bool:  # noqa: ARG002 - as above
        return kind_of(configuration) is KnowledgeBaseKind.MANAGED

    def is_there(self) -> bool:
        """Always: nothing of it comes with the stack."""
        return True

    def indexes(self) -> Iterator[Index]:
        return iter(())

    def room(self) -> tuple[int, int] | None:
        return None  # there is no index to make

    def admit(self, life: Life, role_arn: str) -> datetime | None:  # noqa: ARG002 - IAM alone decides
        return None

    def dismiss(self, life: Life) -> None:
        """Nothing to do: IAM alone decides."""

    def admits(self, life: Life) -> bool:  # noqa: ARG002 - as above
        return False

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:  # noqa: ARG002 - there is no index
        return {
            "knowledgeBaseConfiguration": {
                "type": "MANAGED",
                "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
            }
        }

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        """Source: AWS documentation, Connect a data source to a managed knowledge base (Amazon S3)."""
        return {
            "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
            "managedKnowledgeBaseConnectorConfiguration": {
                # With it on, a job that would delete many documents deletes none, and what should not be there stays.
                "deletionProtectionConfiguration": {"deletionProtectionStatus": "DISABLED"},
                "connectorParameters": {
                    "type": "S3",
                    "version": "1",
                    "connectionConfiguration": {
                        "bucketName": bucket_name,
                        "bucketOwnerAccountId": self._names.account,
                    },
                },
            },
        }

    def ingestion_configuration(self) -> Mapping[str, object]:
        return vector_ingestion(self._ingestion, self._model_arn)
