"""Amazon Bedrock Knowledge Bases in memory, on a fake clock.

Lifecycles, quotas and refusals are those of the service, from its documentation, the botocore model, and reports of its
users; where they are silent, the reading that is harder on the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from kbfleet.domain.errors import CapacityExceeded, NotReadyYet, ResourceConflict, ResourceMissing, Throttled
from kbfleet.domain.ingestion import FailureReason, IngestionJob, JobStatus, Statistics
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus, KnowledgeBase, KnowledgeBaseStatus
from kbfleet.domain.tenant import DataSourceReference
from kbfleet.ports import Clock

MAX_KNOWLEDGE_BASES = 100
MAX_DATA_SOURCES = 5
MAX_JOBS = 5
START_INTERVAL = timedelta(seconds=10)
"""StartIngestionJob is allowed 0.1 times a second. Source for all four: AWS documentation, Amazon Bedrock quotas."""
TOKEN_MEMORY = timedelta(minutes=10)
"""For how long a client token counts. Users report "minutes"; the number is our reading."""
PAGE_SIZE = 2

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class JobCourse:
    """What becomes of a job: how long it is STARTING and then IN_PROGRESS, and how it ends."""

    ends_as: JobStatus = JobStatus.COMPLETE
    statistics: Statistics = field(default_factory=Statistics)
    failure_reasons: tuple[FailureReason, ...] = ()
    starting_for: timedelta = timedelta(seconds=10)
    running_for: timedelta = timedelta(seconds=170)


@dataclass(slots=True)
class StartedJob:
    """A job as the service keeps it."""

    ingestion_job_id: str
    data_source: DataSourceReference
    started_at: datetime
    course: JobCourse
    client_token: str

    def seen_at(self, now: datetime) -> IngestionJob:
        in_progress_at = self.started_at + self.course.starting_for
        ended_at = in_progress_at + self.course.running_for
        if now >= ended_at:
            return self._as(self.course.ends_as, ended_at, self.course.statistics, self.course.failure_reasons)
        if now >= in_progress_at:
            return self._as(JobStatus.IN_PROGRESS, in_progress_at)
        return self._as(JobStatus.STARTING, self.started_at)

    def _as(
        self,
        status: JobStatus,
        updated_at: datetime,
        statistics: Statistics | None = None,
        failure_reasons: tuple[FailureReason, ...] = (),
    ) -> IngestionJob:
        return IngestionJob(
            self.ingestion_job_id, status, self.started_at, updated_at, statistics or Statistics(), failure_reasons
        )


@dataclass(slots=True)
class _KnowledgeBase:
    knowledge_base_id: str
    name: str
    configuration: Mapping[str, object]
    tags: Mapping[str, str]
    created_at: datetime
    active_at: datetime
    failure_reasons: tuple[str, ...] = ()
    forced_status: KnowledgeBaseStatus | None = None
    data_sources: dict[str, DataSource] = field(default_factory=dict)


class InMemoryKnowledgeBases:
    """`kbfleet.ports.KnowledgeBases`.

    Args:
        creating_for: how long a knowledge base is CREATING; users report about 83 seconds.
        listed_after: how long after its creation a knowledge base shows in the list.
        account_limit_error: how the account's sixth job is refused; AWS does not say by which error.

    Tests script it: `role_assumable_at` (until then no knowledge base can be created), `creations_fail` (reasons with
    which the next ones end FAILED), `plan` (what becomes of a knowledge base's next jobs), `refuse_starts`, `delete`,
    `force_status`, `set_data_source`, `start_in_console`. Tests look at `created`, `jobs` and `throttled_starts`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        creating_for: timedelta = timedelta(seconds=83),
        listed_after: timedelta = timedelta(0),
        account_limit_error: type[ResourceConflict | CapacityExceeded | Throttled] = ResourceConflict,
    ) -> None:
        self._clock = clock
        self._creating_for = creating_for
        self._listed_after = listed_after
        self._account_limit_error = account_limit_error
        self._knowledge_bases: dict[str, _KnowledgeBase] = {}
        self._tokens: dict[str, tuple[datetime, str]] = {}
        self._plans: dict[str, deque[JobCourse]] = {}
        self._refusals: dict[str, Exception] = {}
        self._last_start: datetime | None = None
        self._ids = 0
        self.role_assumable_at: datetime | None = None
        self.creations_fail: tuple[str, ...] = ()
        self.created: list[str] = []
        self.jobs: dict[str, StartedJob] = {}
        self.throttled_starts = 0

    # --- the port ---

    def get(self, knowledge_base_id: str) -> KnowledgeBase | None:
        stored = self._knowledge_bases.get(knowledge_base_id)
        return self._seen(stored) if stored else None

    def find(self, name: str) -> KnowledgeBase | None:
        now = self._clock.now()
        listed = [stored for stored in self._knowledge_bases.values() if stored.created_at + self._listed_after <= now]
        match = next((stored for page in _pages(listed) for stored in page if stored.name == name), None)
        return self._seen(match) if match else None

    def create(
        self, name: str, *, configuration: Mapping[str, object], tags: Mapping[str, str], client_token: str
    ) -> KnowledgeBase:
        now = self._clock.now()
        if self.role_assumable_at is not None and now < self.role_assumable_at:
            raise NotReadyYet("Bedrock Knowledge Base was unable to assume the given role")
        earlier = self._remembered(client_token)
        if earlier in self._knowledge_bases:
            return self._seen(self._knowledge_bases[earlier])
        if any(stored.name == name for stored in self._knowledge_bases.values()):
            raise ResourceConflict(f"KnowledgeBase with name {name} already exists.")
        if len(self._knowledge_bases) >= MAX_KNOWLEDGE_BASES:
            raise CapacityExceeded(f"The account has {MAX_KNOWLEDGE_BASES} knowledge bases.")
        stored = _KnowledgeBase(
            knowledge_base_id=self._new_id("KB"),
            name=name,
            configuration=configuration,
            tags=dict(tags),
            created_at=now,
            active_at=now + self._creating_for,
            failure_reasons=self.creations_fail,
        )
        self._knowledge_bases[stored.knowledge_base_id] = stored
        self._tokens[client_token] = (now, stored.knowledge_base_id)
        self.created.append(stored.knowledge_base_id)
        return self._seen(stored)

    def find_data_source(self, knowledge_base_id: str, name: str) -> DataSource | None:
        pages = _pages(self._stored(knowledge_base_id).data_sources.values())
        return next((source for page in pages for source in page if source.name == name), None)

    def create_data_source(
        self, knowledge_base_id: str, name: str, *, configuration: Mapping[str, object], client_token: str
    ) -> DataSource:
        stored = self._active(knowledge_base_id)
        earlier = self._remembered(client_token)
        if earlier in stored.data_sources:
            return stored.data_sources[earlier]
        if any(source.name == name for source in stored.data_sources.values()):
            raise ResourceConflict(f"DataSource with name {name} already exists.")
        if len(stored.data_sources) >= MAX_DATA_SOURCES:
            raise CapacityExceeded(f"Knowledge base {knowledge_base_id} has {MAX_DATA_SOURCES} data sources.")
        source = DataSource(self._new_id("DS"), name, DataSourceStatus.AVAILABLE)
        stored.data_sources[source.data_source_id] = source
        self._tokens[client_token] = (self._clock.now(), source.data_source_id)
        self.created.append(source.data_source_id)
        return source

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        now = self._clock.now()
        self._spend_start_rate(now)
        if refusal := self._refusals.get(data_source.knowledge_base_id):
            raise refusal
        self._active(data_source.knowledge_base_id)
        self._existing(data_source)
        earlier = self._remembered(client_token)
        if earlier in self.jobs:
            return self.jobs[earlier].seen_at(now)
        return self._start(data_source, client_token, now)

    def ingestion_job(self, data_source: DataSourceReference, ingestion_job_id: str) -> IngestionJob:
        self._existing(data_source)
        job = self.jobs.get(ingestion_job_id)
        if job is None or job.data_source != data_source:
            raise ResourceMissing(f"There is no ingestion job {ingestion_job_id}.")
        return job.seen_at(self._clock.now())

    def running_ingestion_job(self, data_source: DataSourceReference) -> IngestionJob | None:
        self._existing(data_source)
        pages = _pages(job for job in reversed(self.jobs.values()) if job.data_source == data_source)
        seen = (job.seen_at(self._clock.now()) for page in pages for job in page)
        return next((job for job in seen if not job.status.ended), None)

    # --- what tests do to it ---

    def plan(self, knowledge_base_id: str, *courses: JobCourse) -> None:
        """The knowledge base's next jobs take these courses, in order; later ones succeed."""
        self._plans.setdefault(knowledge_base_id, deque()).extend(courses)

    def refuse_starts(self, knowledge_base_id: str, error: Exception | None) -> None:
        """StartIngestionJob of that knowledge base raises `error` until it is set to `None`."""
        if error is None:
            self._refusals.pop(knowledge_base_id, None)
        else:
            self._refusals[knowledge_base_id] = error

    def force_status(self, knowledge_base_id: str, status: KnowledgeBaseStatus | None) -> None:
        """The knowledge base is in that status until it is set to `None`."""
        self._stored(knowledge_base_id).forced_status = status

    def set_data_source(self, knowledge_base_id: str, source: DataSource) -> None:
        """The data source of that id is as given."""
        self._stored(knowledge_base_id).data_sources[source.data_source_id] = source

    def delete(self, knowledge_base_id: str) -> None:
        """The knowledge base is deleted behind kbfleet's back, with its data sources."""
        del self._knowledge_bases[knowledge_base_id]

    def start_in_console(self, data_source: DataSourceReference) -> IngestionJob:
        """Somebody else starts a job."""
        return self._start(data_source, self._new_id("TOKEN"), self._clock.now())

    def running_jobs(self) -> list[StartedJob]:
        now = self._clock.now()
        return [job for job in self.jobs.values() if not job.seen_at(now).status.ended]

    def names(self) -> list[str]:
        return [stored.name for stored in self._knowledge_bases.values()]

    # --- within ---

    def _start(self, data_source: DataSourceReference, client_token: str, now: datetime) -> IngestionJob:
        running = self.running_jobs()
        if any(job.data_source.knowledge_base_id == data_source.knowledge_base_id for job in running):
            raise ResourceConflict(
                "You have reached the maximum number of concurrent ingestion jobs per knowledge base: 1"
            )
        if len(running) >= MAX_JOBS:
            raise self._account_limit_error(
                f"You have reached the maximum number of concurrent ingestion jobs per account: {MAX_JOBS}"
            )
        planned = self._plans.get(data_source.knowledge_base_id)
        course = planned.popleft() if planned else JobCourse()
        job = StartedJob(self._new_id("JOB"), data_source, now, course, client_token)
        self.jobs[job.ingestion_job_id] = job
        self._tokens[client_token] = (now, job.ingestion_job_id)
        return job.seen_at(now)

    def _spend_start_rate(self, now: datetime) -> None:
        if self._last_start is not None and now - self._last_start < START_INTERVAL:
            self.throttled_starts += 1
            raise Throttled("Your request rate is too high. Reduce the frequency of requests.")
        self._last_start = now

    def _seen(self, stored: _KnowledgeBase) -> KnowledgeBase:
        if stored.forced_status is not None:
            status = stored.forced_status
        elif self._clock.now() < stored.active_at:
            status = KnowledgeBaseStatus.CREATING
        else:
            status = KnowledgeBaseStatus.FAILED if stored.failure_reasons else KnowledgeBaseStatus.ACTIVE
        reasons = stored.failure_reasons if status is KnowledgeBaseStatus.FAILED else ()
        return KnowledgeBase(stored.knowledge_base_id, stored.name, status, reasons)

    def _stored(self, knowledge_base_id: str) -> _KnowledgeBase:
        if knowledge_base_id not in self._knowledge_bases:
            raise ResourceMissing(f"KnowledgeBase with id {knowledge_base_id} does not exist.")
        return self._knowledge_bases[knowledge_base_id]

    def _active(self, knowledge_base_id: str) -> _KnowledgeBase:
        stored = self._stored(knowledge_base_id)
        if self._seen(stored).status is not KnowledgeBaseStatus.ACTIVE:
            raise NotReadyYet(f"KnowledgeBase {knowledge_base_id} is not in a valid status.")
        return stored

    def _existing(self, data_source: DataSourceReference) -> None:
        if data_source.data_source_id not in self._stored(data_source.knowledge_base_id).data_sources:
            raise ResourceMissing(f"DataSource with id {data_source.data_source_id} does not exist.")

    def _remembered(self, client_token: str) -> str:
        at, made = self._tokens.get(client_token, (None, ""))
        return made if at is not None and self._clock.now() - at < TOKEN_MEMORY else ""

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}{self._ids:0{10 - len(kind)}d}"


def _pages(items: Iterable[Item]) -> Iterator[list[Item]]:
    """As the service lists: a page at a time, never all at once."""
    page: list[Item] = []
    for item in items:
        page.append(item)
        if len(page) == PAGE_SIZE:
            yield page
            page = []
    if page:
        yield page
