"""Amazon Bedrock's ingestion jobs in virtual time: its quotas and refusals, and which job covers which upload.

Quotas: AWS documentation, "Amazon Bedrock endpoints and quotas". Whether a refused call uses up the start rate is not
documented; here it does not, which is kind to policies that get refused.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum, auto

import simpy

JOBS_PER_ACCOUNT = 5
START_INTERVAL = 10.0
"""Seconds between two starts: StartIngestionJob has a rate of 0.1 a second."""


class Refusal(StrEnum):
    THROTTLED = auto()
    KNOWLEDGE_BASE_BUSY = auto()
    ACCOUNT_FULL = auto()


class StartRefused(Exception):
    """StartIngestionJob was answered with an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@dataclass(slots=True)
class Upload:
    """A change of a document, and when it became searchable. Times are virtual seconds."""

    tenant: str
    at: float
    searchable_at: float | None = None


@dataclass(slots=True)
class Job:
    """An ingestion job. `made_searchable` counts the uploads that no job before it had covered."""

    number: int
    tenant: str
    started_at: float
    duration: float
    ended: bool = False
    made_searchable: int = 0


@dataclass(frozen=True, slots=True)
class Durations:
    """How long jobs take, in seconds. A tenant's n-th job with something to do takes the same under every policy.

    Args:
        shortest, longest: between which a job's time is uniformly distributed.
        unchanged: what a job takes that finds nothing new.
        each_upload: on top, for each upload that the job covers.
    """

    shortest: float = 60.0
    longest: float = 240.0
    unchanged: float = 60.0
    each_upload: float = 0.0
    seed: int = 0

    def of(self, tenant: str, number: int) -> float:
        return random.Random(f"{self.seed}/{tenant}/{number}").uniform(self.shortest, self.longest)  # noqa: S311 - repeatable on purpose


@dataclass
class IngestionService:
    """The account's knowledge bases, one a tenant.

    Args:
        calls: where every call is counted.
    """

    environment: simpy.Environment
    durations: Durations
    calls: Counter[str]
    jobs: list[Job] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    refusals: Counter[Refusal] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._running: dict[str, Job] = {}
        self._uncovered: defaultdict[str, list[Upload]] = defaultdict(list)
        self._effective: Counter[str] = Counter()
        self._last_start = float("-inf")

    @property
    def running(self) -> int:
        return len(self._running)

    def running_job(self, tenant: str) -> Job | None:
        return self._running.get(tenant)

    def upload(self, tenant: str) -> Upload:
        """An object is put into the tenant's bucket."""
        upload = Upload(tenant, self.environment.now)
        self.uploads.append(upload)
        self._uncovered[tenant].append(upload)
        return upload

    def start(self, tenant: str) -> Job:
        """StartIngestionJob. Raises: StartRefused."""
        self.calls["bedrock:StartIngestionJob"] += 1
        now = self.environment.now
        # A start exactly one interval after another may be short of it by rounding.
        if now - self._last_start < START_INTERVAL - 1e-6:
            self._refuse(Refusal.THROTTLED)
        if tenant in self._running:
            self._refuse(Refusal.KNOWLEDGE_BASE_BUSY)
        if len(self._running) >= JOBS_PER_ACCOUNT:
            self._refuse(Refusal.ACCOUNT_FULL)
        self._last_start = now
        covered = self._uncovered.pop(tenant, [])
        duration = self.durations.unchanged
        if covered:
            duration = self.durations.of(tenant, self._effective[tenant])
            duration += self.durations.each_upload * len(covered)
            self._effective[tenant] += 1
        job = Job(len(self.jobs), tenant, now, duration, made_searchable=len(covered))
        self.jobs.append(job)
        self._running[tenant] = job
        self.environment.process(self._run(job, covered))
        return job

    def _refuse(self, refusal: Refusal) -> None:
        self.refusals[refusal] += 1
        raise StartRefused(refusal)

    def _run(self, job: Job, covered: list[Upload]) -> simpy.events.ProcessGenerator:
        yield self.environment.timeout(job.duration)
        for upload in covered:
            upload.searchable_at = self.environment.now
        job.ended = True
        del self._running[job.tenant]
