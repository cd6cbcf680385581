"""The state of one account in one Region, shared by the emulated services."""

from __future__ import annotations

import secrets
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from bedrock_emulator.search.embedding import Embedder
from bedrock_emulator.search.vector_index import VectorIndex
from bedrock_emulator.wire.errors import ServiceError
from bedrock_emulator.world.agenda import Agenda
from bedrock_emulator.world.authority import Authority
from bedrock_emulator.world.clock import Clock
from bedrock_emulator.world.faults import Faults
from bedrock_emulator.world.quotas import Quotas, RateLimiter
from bedrock_emulator.world.records import (
    Collection,
    DataSource,
    Guardrail,
    Index,
    IngestionJob,
    KnowledgeBase,
    Policy,
    Session,
    VectorBucket,
)

_ID_CHARACTERS = string.ascii_uppercase + string.digits
# "Remembered for minutes only", users report; ten is our reading.
CLIENT_TOKEN_SECONDS = 600


@dataclass(frozen=True)
class Remembered:
    """What a client token made, and for how long the token counts."""

    made: Any
    counts_from: float
    expires_at: float


@dataclass(frozen=True)
class Shared:
    """What all Regions of an account have in common. ``address`` is where it is served, None where it is not."""

    account: str
    clock: Clock
    quotas: Quotas
    embedder: Embedder
    authority: Authority | None
    role_propagation: float
    address: str | None
    faults: Faults = field(default_factory=Faults)
    roles_made: dict[str, float] = field(default_factory=dict)


class Account:
    """Everything that lives as long as the emulator, of one Region. Change it only while holding ``lock``."""

    def __init__(self, region: str, shared: Shared, client_factory: Callable[[str], Any]) -> None:
        """Empty. ``client_factory`` makes the boto3 clients of the services that are not emulated here."""
        self.region = region
        self.account = shared.account
        self.clock = shared.clock
        self.quotas = shared.quotas
        self.embedder = shared.embedder
        self.authority = shared.authority
        self.faults = shared.faults
        self.client_factory = client_factory
        self.lock = RLock()
        self.agenda = Agenda(self.clock, self.lock)
        self.rates = RateLimiter(self.clock)
        self.knowledge_bases: dict[str, KnowledgeBase] = {}
        self.data_sources: dict[tuple[str, str], DataSource] = {}
        self.jobs: dict[tuple[str, str], list[IngestionJob]] = {}
        self.document_requests: Counter[str] = Counter()  # that are worked on, by knowledge base
        self.vector_buckets: dict[str, VectorBucket] = {}
        self.collections: dict[str, Collection] = {}
        self.collection_indexes: dict[str, Index] = {}
        self.policies: dict[tuple[str, str], Policy] = {}
        self.sessions: dict[str, Session] = {}
        self.guardrails: dict[str, Guardrail] = {}
        self._contents: dict[str, VectorIndex] = {}
        self._tokens: dict[tuple[str, str], Remembered] = {}
        self._shared = shared

    def now(self) -> float:
        """The emulator's time, seconds since 1970."""
        return self.clock.now()

    def new_id(self) -> str:
        """A fresh identifier of ten upper-case letters and digits, as every sample in AWS's documentation shows."""
        return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(10))

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and Region."""
        return f"arn:{partition(self.region)}:{service}:{self.region}:{self.account}:{resource}"

    def endpoint(self, service: str, name: str) -> str:
        """Where a client would find what is called ``name``: here, never at AWS.

        Nothing answers there but HTTP 501. Where the emulator is not served, the name is one that never resolves (RFC
        6761, "invalid").
        """
        if self._shared.address is None:
            return f"https://{name}.{self.region}.{service}.invalid"
        return f"{self._shared.address}/{service}/{self.region}/{name}"

    def contents(self, key: str) -> VectorIndex:
        """What is stored under a vector index's key; two knowledge bases on one index share it."""
        with self.lock:
            return self._contents.setdefault(key, VectorIndex(self.embedder.dimension))

    def all_contents(self) -> dict[str, VectorIndex]:
        """What is stored in every vector index, by key."""
        with self.lock:
            return dict(self._contents)

    def drop_contents(self, key: str) -> None:
        """Forget all that is stored under a vector index's key."""
        with self.lock:
            self._contents.pop(key, None)

    def is_too_new(self, role_arn: str) -> bool:
        """Whether a role was made so short a time ago that nobody can assume it."""
        made = self._shared.roles_made.get(role_arn)
        if made is None:
            return False
        fault = self.faults.of_effect("new_role_not_assumable", "AssumeRole", {"roleArn": role_arn})
        return self.now() < made + max(self._shared.role_propagation, fault.seconds if fault else 0.0)

    def index(self, key: str) -> Index | None:
        """The vector index of that key, or None when there is none."""
        if key in self.collection_indexes:
            return self.collection_indexes[key]
        bucket_arn, _, name = key.partition("/index/")
        bucket = next((bucket for bucket in self.vector_buckets.values() if bucket.arn == bucket_arn), None)
        return bucket.indexes.get(name) if bucket else None

    def remembered(self, operation: str, token: str | None) -> Any:
        """What ``token`` made earlier by the same operation, or None."""
        if token is None:
            return None
        known = self._tokens.get((operation, token))
        return known.made if known and known.counts_from <= self.now() < known.expires_at else None

    def remember(self, operation: str, token: str | None, made: Any, lag: float = 0.0) -> None:
        """Note what ``token`` made; it counts after ``lag`` seconds and for minutes only."""
        now = self.now()
        self._tokens = {key: known for key, known in self._tokens.items() if known.expires_at > now}
        if token is not None:
            fault = self.faults.of_effect("token_forgotten", operation, {"clientToken": token})
            seconds = fault.seconds if fault else CLIENT_TOKEN_SECONDS
            self._tokens[(operation, token)] = Remembered(made, now + lag, now + seconds)

    def duration(self, operation: str, given: Mapping[str, Any], usual: float) -> float:
        """Seconds that what a call begins takes: as usual, or as a fault on order says."""
        fault = self.faults.of_effect("takes", operation, given)
        return fault.seconds if fault else usual

    def knowledge_base(self, identifier: str) -> KnowledgeBase:
        """ServiceError ResourceNotFoundException when there is none."""
        found = self.knowledge_bases.get(identifier)
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"KnowledgeBase with id {identifier} does not exist.")
        return found

    def data_source(self, knowledge_base_id: str, identifier: str) -> DataSource:
        """ServiceError ResourceNotFoundException when the knowledge base or the data source is missing."""
        self.knowledge_base(knowledge_base_id)
        found = self.data_sources.get((knowledge_base_id, identifier))
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"DataSource with id {identifier} does not exist.")
        return found

    def data_sources_of(self, knowledge_base_id: str) -> list[DataSource]:
        """The data sources of a knowledge base, oldest first."""
        return [source for (of, _), source in self.data_sources.items() if of == knowledge_base_id]


def partition(region: str) -> str:
    """The part of AWS that a Region belongs to, as ARNs name it."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def index_key(knowledge_base: KnowledgeBase) -> str:
    """Names the vector index that a knowledge base reads and writes: its ARN, or a key of the MANAGED kind's own."""
    return storage_key(knowledge_base.storage) or f"managed/{knowledge_base.identifier}"


def storage_key(storage: dict[str, Any] | None) -> str | None:
    """Names the vector index of a ``storageConfiguration``; None when it names none."""
    if storage is None:
        return None
    if storage["type"] == "S3_VECTORS":
        settings = storage.get("s3VectorsConfiguration", {})
        if "indexArn" in settings:
            return str(settings["indexArn"])
        if "vectorBucketArn" in settings and "indexName" in settings:
            return f"{settings['vectorBucketArn']}/index/{settings['indexName']}"
        return None
    settings = storage.get("opensearchServerlessConfiguration", {})
    return f"{settings['collectionArn']}/index/{settings['vectorIndexName']}" if settings else None
