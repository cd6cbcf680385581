"""Amazon Bedrock Knowledge Bases in memory, on a fake clock.

Lifecycles, quotas and refusals are those of the service, from its documentation, the botocore model, and reports of its
users; where they are silent, the reading that is harder on the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from kbfleet.domain.errors import (
    CapacityExceeded,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    ServiceRoleRefused,
    Throttled,
)
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStatus, Statistics
from kbfleet.domain.knowledge_base import (
    DataSource,
    DataSourceStatus,
    KnowledgeBase,
    KnowledgeBaseKind,
    KnowledgeBaseStatus,
    kind_of,
)
from kbfleet.domain.names import DataSourceReference, Knowledge, ResourceNames
from kbfleet.ports import Clock

MAX_DATA_SOURCES = 5
MAX_JOBS = 5
START_INTERVAL = timedelta(seconds=10)
"""StartIngestionJob is allowed 0.1 times a second. Source for all three: AWS documentation, Amazon Bedrock quotas."""
TOKEN_MEMORY = timedelta(minutes=10)
"""For how long a client token counts. Users report "minutes"; the number is our reading."""
DELETING_FOR = timedelta(seconds=30)
STOPPING_FOR = timedelta(seconds=20)
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
    stopped_at: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        """As the service itself knows, whatever it calls that."""
        if self.stopped_at is not None:
            return now - self.stopped_at >= STOPPING_FOR
        return now >= self.started_at + self.course.starting_for + self.course.running_for

    def seen_at(self, now: datetime) -> IngestionJob:
        if self.stopped_at is not None:
            status = JobStatus.STOPPED if self.has_ended(now) else JobStatus.STOPPING
            return self._as(status, self.stopped_at)
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
    described: bool = True
    role_arn: str = ""
    gone_at: datetime | None = None
    data_sources: dict[str, DataSource] = field(default_factory=dict)
    deletions: dict[str, datetime] = field(default_factory=dict)


class InMemoryKnowledgeBases:
    """`kbfleet.ports.KnowledgeBases`.

    Args:
        creating_for: how long a knowledge base is CREATING; users report about 83 seconds.
        listed_after: how long after its creation a knowledge base shows in the list.
        account_limit_error: how the account's sixth job is refused; AWS does not say by which error.

    Tests script it: `role_assumable_at` (until then no role can be assumed), `creations_fail` (reasons with
    which the next ones end FAILED), `uniqueness_lag` (how long after a creation its name and client token are not taken
    yet), `vectors_cannot_be_deleted`, `adds` (to every data source's configuration, by itself), `plan` (what becomes of
    a knowledge base's next jobs), `refuse_starts`, `refuse_lists`, `vanish`, `unsettle`, `untag`, `force_status`,
    `set_data_source`, `start_in_console`. Tests look at `created`, `jobs`, `throttled_starts` and `pages_listed`.
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
        self._list_refusals: dict[str, Exception] = {}
        self._last_start: datetime | None = None
        self._ids = 0
        self.role_assumable_at: datetime | None = None
        self.creations_fail: tuple[str, ...] = ()
        self.uniqueness_lag = timedelta(0)
        self.vectors_cannot_be_deleted = False
        self.adds: dict[str, object] = {}
        self.created: list[str] = []
        self.jobs: dict[str, StartedJob] = {}
        self.throttled_starts = 0
        self.pages_listed = 0

    # --- the port ---

    def get(self, knowledge_base_id: str) -> KnowledgeBase | None:
        stored = self._found(knowledge_base_id)
        return self._seen(stored) if stored else None

    def named(self, name: str) -> Sequence[KnowledgeBase]:
        now = self._clock.now()
        listed = [stored for stored in self._present() if stored.created_at + self._listed_after <= now]
        return [self._seen(stored) for page in _pages(listed) for stored in page if stored.name == name]

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Knowledge]]:
        for page in _pages(self._present()):
            for stored in page:
                knowledge = names.knowledge_of_knowledge_base(stored.name)
                if knowledge is not None:
                    yield stored.knowledge_base_id, knowledge

    def count(self, kind: KnowledgeBaseKind) -> int:
        return sum(kind_of(stored.configuration) is kind for page in _pages(self._present()) for stored in page)

    def create(
        self,
        name: str,
        *,
        role_arn: str,
        configuration: Mapping[str, object],
        tags: Mapping[str, str],
        client_token: str,
    ) -> KnowledgeBase:
        now = self._clock.now()
        self._assume_the_role()
        known = {one.knowledge_base_id: one for one in self._present() if one.created_at + self.uniqueness_lag <= now}
        earlier = self._remembered(client_token)
        if earlier in known:
            return self._seen(known[earlier])
        if any(stored.name == name for stored in known.values()):
            raise ResourceConflict(f"KnowledgeBase with name {name} already exists.")
        kind = kind_of(configuration) or KnowledgeBaseKind.VECTOR
        if self.count(kind) >= kind.quota:
            raise CapacityExceeded(f"The account has {kind.quota} knowledge bases of kind {kind}.")
        stored = _KnowledgeBase(
            knowledge_base_id=self._new_id("KB"),
            name=name,
            configuration=configuration,
            tags=dict(tags),
            created_at=now,
            active_at=now + self._creating_for,
            failure_reasons=self.creations_fail,
            role_arn=role_arn,
        )
        self._knowledge_bases[stored.knowledge_base_id] = stored
        self._tokens[client_token] = (now, stored.knowledge_base_id)
        self.created.append(stored.knowledge_base_id)
        return self._seen(stored)

    def update(self, knowledge_base: KnowledgeBase, *, role_arn: str) -> None:
        self._assume_the_role()
        stored = self._active(knowledge_base.knowledge_base_id)
        stored.described, stored.role_arn = True, role_arn

    def tags(self, knowledge_base: KnowledgeBase) -> Mapping[str, str]:
        return dict(self._stored(knowledge_base.knowledge_base_id).tags)

    def tag(self, knowledge_base: KnowledgeBase, tags: Mapping[str, str]) -> None:
        stored = self._stored(knowledge_base.knowledge_base_id)
        stored.tags = {**stored.tags, **tags}

    def delete(self, knowledge_base_id: str) -> None:
        stored = self._found(knowledge_base_id)
        if stored is None or stored.gone_at is not None:
            return
        stored.forced_status = None
        stored.gone_at = self._clock.now() + DELETING_FOR

    def data_sources(self, knowledge_base_id: str) -> Sequence[DataSource]:
        stored = self._found(knowledge_base_id)
        return list(stored.data_sources.values()) if stored else []

    def delete_data_source(self, data_source: DataSourceReference) -> None:
        sources = {one.data_source_id: one for one in self.data_sources(data_source.knowledge_base_id)}
        if data_source.data_source_id not in sources:
            return
        if any(job.data_source == data_source for job in self.running_jobs()):
            raise ResourceConflict("The data source is in use.")
        stored = self._stored(data_source.knowledge_base_id)
        deleting = replace(sources[data_source.data_source_id], status=DataSourceStatus.DELETING)
        stored.data_sources[data_source.data_source_id] = deleting
        stored.deletions[data_source.data_source_id] = self._clock.now() + DELETING_FOR

    def update_data_source(
        self,
        data_source: DataSourceReference,
        name: str,
        configuration: Mapping[str, object],
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        stored = self._stored(data_source.knowledge_base_id)
        source = stored.data_sources[data_source.data_source_id]
        if any(one.name == name and one != source for one in stored.data_sources.values()):
            raise ResourceConflict(f"DataSource with name {name} already exists.")
        updated = replace(
            source,
            name=name,
            configuration={**configuration, **self.adds},
            deletion_policy="DELETE",
            updated_at=self._clock.now(),
            ingestion=ingestion or source.ingestion,
        )
        if not source.can_ingest_as(updated.ingestion):
            raise RequestRefused("parsingConfiguration cannot be updated once created")
        stored.data_sources[data_source.data_source_id] = updated
        return updated

    def retain_vectors(self, data_source: DataSourceReference) -> None:
        stored = self._stored(data_source.knowledge_base_id)
        source = stored.data_sources[data_source.data_source_id]
        kept = replace(source, status=DataSourceStatus.AVAILABLE, deletion_policy="RETAIN", failure_reasons=())
        stored.data_sources[data_source.data_source_id] = kept

    def stop_ingestion(self, data_source: DataSourceReference, ingestion_job_id: str) -> bool:
        job = self.jobs.get(ingestion_job_id)
        if job is None or job.stopped_at is not None or job.has_ended(self._clock.now()):
            return False
        job.stopped_at = self._clock.now()
        return True

    def data_source(self, data_source: DataSourceReference) -> DataSource | None:
        stored = self._found(data_source.knowledge_base_id)
        return stored.data_sources.get(data_source.data_source_id) if stored else None

    def find_data_source(self, knowledge_base_id: str, name: str) -> DataSource | None:
        pages = _pages(self.data_sources(knowledge_base_id))
        return next((source for page in pages for source in page if source.name == name), None)

    def create_data_source(
        self,
        knowledge_base_id: str,
        name: str,
        *,
        configuration: Mapping[str, object],
        client_token: str,
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        stored = self._active(knowledge_base_id)
        earlier = self._remembered(client_token)
        if earlier in stored.data_sources:
            return stored.data_sources[earlier]
        if any(source.name == name for source in stored.data_sources.values()):
            raise ResourceConflict(f"DataSource with name {name} already exists.")
        if len(stored.data_sources) >= MAX_DATA_SOURCES:
            raise CapacityExceeded(f"Knowledge base {knowledge_base_id} has {MAX_DATA_SOURCES} data sources.")
        source = DataSource(
            self._new_id("DS"),
            name,
            DataSourceStatus.AVAILABLE,
            configuration={**configuration, **self.adds},
            updated_at=self._clock.now(),
            created_at=self._clock.now(),
            ingestion=ingestion or {},
        )
        stored.data_sources[source.data_source_id] = source
        self._tokens[client_token] = (self._clock.now(), source.data_source_id)
        self.created.append(source.data_source_id)
        return source

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        now = self._clock.now()
        self._spend_start_rate(now)
        if refusal := self._refusals.get(data_source.knowledge_base_id):
            raise refusal
        source = self._active(data_source.knowledge_base_id).data_sources.get(data_source.data_source_id)
        self._existing(data_source)
        if source is not None and source.status is not DataSourceStatus.AVAILABLE:
            raise NotReadyYet(f"You cannot start an ingestion job on a data source with status {source.status}.")
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
        newest = next(self.ingestion_jobs(data_source), None)
        return newest if newest is not None and not newest.status.ended else None

    def ingestion_jobs(self, data_source: DataSourceReference) -> Iterator[IngestionJob]:
        self._existing(data_source)
        if refusal := self._list_refusals.get(data_source.knowledge_base_id):
            raise refusal
        for page in _pages(job for job in reversed(self.jobs.values()) if job.data_source == data_source):
            self.pages_listed += 1
            for job in page:
                yield replace(job.seen_at(self._clock.now()), failure_reasons=())

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

    def refuse_lists(self, knowledge_base_id: str, error: Exception | None) -> None:
        """ListIngestionJobs of that knowledge base raises `error` until it is set to `None`."""
        if error is None:
            self._list_refusals.pop(knowledge_base_id, None)
        else:
            self._list_refusals[knowledge_base_id] = error

    def force_status(self, knowledge_base_id: str, status: KnowledgeBaseStatus | None) -> None:
        """The knowledge base is in that status until it is set to `None`."""
        self._stored(knowledge_base_id).forced_status = status

    def set_data_source(self, knowledge_base_id: str, source: DataSource) -> None:
        """The data source of that id is as given."""
        self._stored(knowledge_base_id).data_sources[source.data_source_id] = source

    def vanish(self, knowledge_base_id: str) -> None:
        """The knowledge base is deleted behind kbfleet's back, with its data sources."""
        del self._knowledge_bases[knowledge_base_id]

    def start_in_console(self, data_source: DataSourceReference) -> IngestionJob:
        """Somebody else starts a job."""
        return self._start(data_source, self._new_id("TOKEN"), self._clock.now())

    def running_jobs(self) -> list[StartedJob]:
        now = self._clock.now()
        return [job for job in self.jobs.values() if not job.has_ended(now)]

    def names(self) -> list[str]:
        return [stored.name for stored in self._present()]

    def give_role(self, knowledge_base_id: str, role_arn: str) -> None:
        """Somebody has it assume another role."""
        self._stored(knowledge_base_id).role_arn = role_arn

    def unsettle(self, knowledge_base_id: str) -> None:
        """Somebody changes its description."""
        self._stored(knowledge_base_id).described = False

    def untag(self, knowledge_base_id: str) -> None:
        """Somebody removes its tags."""
        self._stored(knowledge_base_id).tags = {}

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

    def _assume_the_role(self) -> None:
        if self.role_assumable_at is not None and self._clock.now() < self.role_assumable_at:
            raise ServiceRoleRefused("Bedrock Knowledge Base was unable to assume the given role")

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
        if stored.gone_at is not None:
            status = KnowledgeBaseStatus.DELETING
        reasons = stored.failure_reasons if status is KnowledgeBaseStatus.FAILED else ()
        since = stored.created_at if status is KnowledgeBaseStatus.CREATING else stored.active_at
        return KnowledgeBase(
            stored.knowledge_base_id,
            f"arn:aws:bedrock:us-east-1:123456789012:knowledge-base/{stored.knowledge_base_id}",
            stored.name,
            status,
            stored.created_at,
            since,
            reasons,
            stored.configuration,
            stored.described,
            stored.role_arn,
        )

    def _present(self) -> list[_KnowledgeBase]:
        now = self._clock.now()
        for stored in list(self._knowledge_bases.values()):
            self._finish_deletions_of_data_sources(stored, now)
            if stored.gone_at is None or now < stored.gone_at:
                continue
            if stored.data_sources:
                # Whether Bedrock would delete them along, its documentation does not say.
                stored.gone_at, stored.forced_status = None, KnowledgeBaseStatus.DELETE_UNSUCCESSFUL
            else:
                del self._knowledge_bases[stored.knowledge_base_id]
        return list(self._knowledge_bases.values())

    def _finish_deletions_of_data_sources(self, stored: _KnowledgeBase, now: datetime) -> None:
        for data_source_id in [each for each, gone_at in stored.deletions.items() if now >= gone_at]:
            del stored.deletions[data_source_id]
            source = stored.data_sources.pop(data_source_id)
            if self.vectors_cannot_be_deleted and source.deletion_policy == "DELETE":
                reasons = ("Unable to delete data from vector store.",)
                stuck = replace(source, status=DataSourceStatus.DELETE_UNSUCCESSFUL, failure_reasons=reasons)
                stored.data_sources[data_source_id] = stuck

    def _found(self, knowledge_base_id: str) -> _KnowledgeBase | None:
        return next((one for one in self._present() if one.knowledge_base_id == knowledge_base_id), None)

    def _stored(self, knowledge_base_id: str) -> _KnowledgeBase:
        stored = self._found(knowledge_base_id)
        if stored is None:
            raise ResourceMissing(f"KnowledgeBase with id {knowledge_base_id} does not exist.")
        return stored

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
