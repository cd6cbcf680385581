"""The service quotas of Knowledge Bases, and the token buckets that enforce the request rates.

Values: AWS documentation, "Amazon Bedrock endpoints and quotas" and "Quotas for Amazon Bedrock", read November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType

from bedrock_emulator.wire.errors import ServiceError
from bedrock_emulator.world.clock import Clock

_REQUESTS_PER_SECOND: Mapping[str, float] = MappingProxyType(
    {
        "StartIngestionJob": 0.1,
        **dict.fromkeys(
            (f"{verb}{noun}" for verb in ("Create", "Update", "Delete") for noun in ("KnowledgeBase", "DataSource")),
            2.0,
        ),
        **dict.fromkeys(
            (
                f"{verb}{noun}"
                for verb, plural in (("Get", ""), ("List", "s"))
                for noun in (f"KnowledgeBase{plural}", f"DataSource{plural}", f"IngestionJob{plural}")
            ),
            10.0,
        ),
        **dict.fromkeys((f"{verb}KnowledgeBaseDocuments" for verb in ("Ingest", "Get", "List", "Delete")), 5.0),
        **dict.fromkeys(("Retrieve", "RetrieveAndGenerate", "RetrieveAndGenerateStream"), 20.0),
    }
)


@dataclass(frozen=True)
class Quotas:
    """The limits enforced, for one account in one Region. ``requests_per_second={}`` switches rates off."""

    vector_knowledge_bases: int = 100
    managed_knowledge_bases: int = 10_000
    data_sources_per_knowledge_base: int = 5
    data_sources_per_managed_knowledge_base: int = 200
    jobs_per_account: int = 5
    jobs_per_knowledge_base: int = 1
    jobs_per_managed_knowledge_base: int = 50
    direct_ingestion_calls: int = 10
    file_bytes: int = 50 * 1024**2
    job_bytes: int = 100 * 1024**3
    query_characters: int = 1_000
    managed_query_characters: int = 10_000
    sidecar_bytes: int = 10 * 1024  # AWS documentation, "Connect to Amazon S3 for your knowledge base"
    # AWS documentation, "Prerequisites for using a vector store". Whether the service's own keys count among the 35 is
    # not said; here they do not.
    sidecar_bytes_on_s3_vectors: int = 1_024
    sidecar_keys_on_s3_vectors: int = 35
    metadata_bytes_on_s3_vectors: int = 40 * 1024
    filterable_metadata_bytes: int = (
        2_048  # both: AWS documentation, "Limitations and restrictions" of Amazon S3 Vectors
    )
    managed_retrievals_per_minute_per_knowledge_base: float = 600
    managed_retrievals_per_second: float = 100
    requests_per_second: Mapping[str, float] = field(default_factory=lambda: _REQUESTS_PER_SECOND)
    # Not documented: which error refuses the account's sixth job. Callers should treat Conflict, ServiceQuotaExceeded
    # and Throttling alike; set this to prove that they do.
    jobs_per_account_error: str = "ConflictException"


class RateLimiter:
    """Token buckets by key. A bucket holds one second's worth of requests, and one request at least."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` is what the rates are measured on."""
        self._clock = clock
        self._lock = Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, per_second: float, burst: float | None = None) -> None:
        """Spend one request of ``key``. ServiceError ThrottlingException (HTTP 429) when the bucket is empty."""
        capacity = max(1.0, per_second) if burst is None else burst
        with self._lock:
            now = self._clock.now()
            tokens, at = self._buckets.get(key, (capacity, now))
            tokens = min(capacity, tokens + (now - at) * per_second)
            # A whole request may be short of 1 by rounding when exactly the interval has passed.
            if tokens < 1 - 1e-6:
                self._buckets[key] = (tokens, now)
                raise ServiceError(
                    "ThrottlingException", "Your request rate is too high. Reduce the frequency of requests."
                )
            self._buckets[key] = (tokens - 1, now)
