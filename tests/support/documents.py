"""Document buckets and a knowledge store in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Self

from kbfleet.adapters.knowledge_stores import vector_ingestion
from kbfleet.domain.errors import (
    AccessRefused,
    BucketNameTaken,
    KnowledgeStoreUnusable,
    NotReadyYet,
    ResourceMissing,
)
from kbfleet.domain.finding import Drift
from kbfleet.domain.knowledge_base import Index, KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, ResourceNames
from kbfleet.domain.profiles import Ingestion
from kbfleet.ports import Clock
from tests.support.clock import FakeClock
from tests.support.samples import INGESTION, model_arn


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """What kbfleet promises of every bucket."""

    tags: Mapping[str, str]
    versioned: bool = True
    encrypted: bool = True
    public_access_blocked: bool = True
    tls_only: bool = True
    notifies_event_bridge: bool = True
    aborts_incomplete_uploads: bool = True
    takes_uploads: bool = True


class InMemoryDocumentBuckets:
    """`kbfleet.ports.DocumentBuckets`.

    `settings` holds the buckets that are ours, by name, for tests to look at and to let drift; a name in `foreign`
    belongs to somebody else. `created` has every name once for each time that it was made; `batches_left` says for how
    many calls more a bucket is not empty, and documents of a bucket in `undeletable` stay.
    """

    def __init__(self) -> None:
        self.settings: dict[str, BucketSettings] = {}
        self.foreign: set[str] = set()
        self.created: list[str] = []
        self.batches_left: dict[str, int] = {}
        self.undeletable: set[str] = set()
        self.others = 0

    def ensure(self, name: str, tags: Mapping[str, str]) -> None:
        self._look(name)
        if name not in self.settings:
            self.created.append(name)
        before = self.settings[name].tags if name in self.settings else {}
        self.settings[name] = BucketSettings(tags={**before, **tags})

    def tells_of_changes(self, name: str) -> bool:
        self._look(name)
        return name in self.settings and self.settings[name].notifies_event_bridge

    def differences(self, name: str, tags: Mapping[str, str]) -> Sequence[Drift] | None:
        self._look(name)
        if name not in self.settings:
            return None
        found = self.settings[name]
        promised = BucketSettings(tags={**found.tags, **tags})
        wrong = [each.name for each in fields(found) if getattr(found, each.name) != getattr(promised, each.name)]
        return [Drift(setting, breaks=setting == "notifies_event_bridge") for setting in wrong]

    def refuse_uploads(self, name: str) -> None:
        self._refuse_foreign(name)
        self._require(name)
        self.settings[name] = replace(self.settings[name], takes_uploads=False)

    def exists(self, name: str) -> bool:
        self._look(name)
        return name in self.settings

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        owned = ((name, names.life_of_bucket(name)) for name in sorted(self.settings))
        return ((name, life) for name, life in owned if life is not None)

    def count(self) -> int:
        return len(self.settings) + self.others

    def delete(self, name: str, *, until: datetime) -> bool:
        self._refuse_foreign(name)
        if name in self.undeletable:
            raise AccessRefused(f"DeleteObjects for bucket {name}: AccessDenied")
        self._require(name)
        if self.batches_left.get(name):
            self.batches_left[name] -= 1
            return False
        del self.settings[name]
        return True

    def _require(self, name: str) -> None:
        if name not in self.settings:
            raise NotReadyYet(f"Bucket {name} does not show.")

    def _look(self, name: str) -> None:
        if name in self.foreign:
            raise BucketNameTaken(f"Bucket {name} exists and this account may not use it.")

    def _refuse_foreign(self, name: str) -> None:
        if name in self.foreign:
            raise AccessRefused(f"Bucket {name}: AccessDenied")


class InMemoryKnowledgeStore:
    """`kbfleet.ports.KnowledgeStore`.

    `created` has every index once for each time that it was made, `admitted` each tenant's role; a name in `foreign` is
    taken by an index of another shape. It is
    `gone` with all its indexes.
    """

    kind = KnowledgeBaseKind.VECTOR
    usual_creation = timedelta(seconds=83)
    usual_data_source_creation = timedelta(seconds=120)
    max_metadata_bytes = 1_024
    max_metadata_attributes: int | None = 35
    role_services = frozenset({"bedrock", "s3vectors"})

    def __init__(self, names: ResourceNames, clock: Clock | None = None) -> None:
        self._names = names
        self._clock = clock or FakeClock()
        self._references: dict[str, str] = {}
        self._made_at: dict[str, datetime] = {}
        self.created: list[str] = []
        self.foreign: set[str] = set()
        self.embedding_model = "2025"
        self.ingestion = INGESTION
        self._dimensions: dict[str, int | None] = {}
        self.quota = 10_000
        self.admitted: dict[Life, str] = {}
        self.gone = False

    def is_there(self) -> bool:
        return not self.gone

    def ensure(self, knowledge: Knowledge) -> str:
        index = self._names.vector_index(knowledge)
        if index in self.foreign:
            raise KnowledgeStoreUnusable(f"Index {index} has another dimension.", remedy="Delete it.")
        wanted = self.ingestion.embedding.dimensions
        if index not in self._references:
            self._dimensions[index] = wanted
            self._references[index] = self._reference(index)
            self._made_at[index] = self._clock.now()
            self.created.append(index)
        if self._dimensions[index] != wanted:
            raise KnowledgeStoreUnusable(f"Index {index} has another dimension.", remedy="Delete it.")
        return self._references[index]

    def _reference(self, index: str) -> str:
        return f"arn:aws:s3vectors:{self._names.region}:{self._names.account}:index/{index}"

    def find(self, knowledge: Knowledge) -> Index | None:
        name = self._names.vector_index(knowledge)
        there = not self.gone and (name in self._references or name in self.foreign)
        return Index(knowledge, self._made_at.get(name, self._clock.now())) if there else None

    def delete(self, knowledge: Knowledge) -> None:
        self._references.pop(self._names.vector_index(knowledge), None)
        self.foreign.discard(self._names.vector_index(knowledge))

    def holds(self, knowledge: Knowledge, configuration: Mapping[str, object]) -> bool:
        return configuration.get("storageConfiguration") == {
            "type": "S3_VECTORS",
            "s3VectorsConfiguration": {"indexArn": self._reference(self._names.vector_index(knowledge))},
        }

    def indexes(self) -> Iterator[Index]:
        if self.gone:
            raise ResourceMissing("There is no vector bucket.")
        named = map(self._names.knowledge_of_vector_index, [*self._references, *self.foreign])
        found = (self.find(knowledge) for knowledge in named if knowledge is not None)
        return (index for index in found if index is not None)

    def room(self) -> tuple[int, int] | None:
        return len(self._references) + len(self.foreign), self.quota

    def admit(self, life: Life, role_arn: str) -> datetime | None:
        self.admitted[life] = role_arn
        return None

    def dismiss(self, life: Life) -> None:
        self.admitted.pop(life, None)

    def admits(self, life: Life) -> bool:
        return life in self.admitted

    def drop(self, knowledge: Knowledge) -> None:
        """The index is deleted behind kbfleet's back."""
        del self._references[self._names.vector_index(knowledge)]

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:
        return {
            "knowledgeBaseConfiguration": {
                "type": "VECTOR",
                "vectorKnowledgeBaseConfiguration": {
                    "of": self.embedding_model,
                    "dimensions": self.ingestion.embedding.dimensions,
                },
            },
            "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": reference}},
        }

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        return {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{bucket_name}"}}

    def ingestion_configuration(self) -> Mapping[str, object]:
        return vector_ingestion(self.ingestion, model_arn)

    def made_by(self, ingestion: Ingestion) -> Self:
        made = copy(self)
        made.ingestion = ingestion
        return made


class InMemoryIndexCatalogue:
    """`kbfleet.adapters.knowledge_stores.IndexCatalogue`."""

    def __init__(self) -> None:
        self._index_names: dict[str, None] = {}

    def add(self, index_name: str) -> None:
        self._index_names[index_name] = None

    def remove(self, index_name: str) -> None:
        self._index_names.pop(index_name, None)

    def index_names(self) -> Iterator[str]:
        return iter(list(self._index_names))
