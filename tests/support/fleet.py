"""A whole fleet in memory: every port, and the use cases that a test calls most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from kbfleet.domain.answer import AskUsage, GeneratedAnswer
from kbfleet.domain.deletions import DeletionLimit
from kbfleet.domain.knowledge_base import KnowledgeBase
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.survey import PresentVersion
from kbfleet.domain.sync import Debounce, Priority, Sync
from kbfleet.domain.tenant import Reservation, Tenant
from kbfleet.ports import Execution, KnowledgeStore
from kbfleet.usecases import lifecycle, offboarding, provisioning
from kbfleet.usecases.deletion_checks import DeletionCheck
from kbfleet.usecases.document_tracing import DocumentTracer
from kbfleet.usecases.documents import TenantDocuments
from kbfleet.usecases.examination import TenantExamination
from kbfleet.usecases.external_jobs import LOOK_BACK, ExternalJobs
from kbfleet.usecases.failed_documents import FailureCollector, RetryRunner
from kbfleet.usecases.ingestion import Scheduler, TickReport, note_changes, request_sync, stop_sync
from kbfleet.usecases.isolation import IsolationLook
from kbfleet.usecases.profiles import Profiles
from kbfleet.usecases.question_rounds import QuestionRounds
from kbfleet.usecases.question_running import QuestionRunner
from kbfleet.usecases.service_roles import service_role_of
from kbfleet.usecases.surveys import Surveys
from tests.support.fakes import (
    FakeClock,
    InMemoryBucketContents,
    InMemoryConvergenceRecord,
    InMemoryDocumentBuckets,
    InMemoryDocumentLinks,
    InMemoryDocumentRemoval,
    InMemoryDocumentRetries,
    InMemoryDocumentRounds,
    InMemoryExecutions,
    InMemoryFailedDocuments,
    InMemoryFleetRecords,
    InMemoryIncidents,
    InMemoryIngestedDocuments,
    InMemoryJobHistory,
    InMemoryKnowledgeBases,
    InMemoryKnowledgeStore,
    InMemoryPassageSearch,
    InMemoryProfileRecords,
    InMemoryRetrievalProbe,
    InMemoryRoomCounts,
    InMemorySearchAllowances,
    InMemoryServiceRoles,
    InMemorySyncLedger,
    InMemoryTenantRecords,
    InMemoryTenantRegistry,
    InMemoryTenantRounds,
    InMemoryUndeliveredMessages,
    InMemoryUploads,
    InMemoryUsageKeys,
    InMemoryUsageRecords,
    RecordingAnnouncements,
    RecordingDeadLetters,
    RecordingDeletionChecks,
    RecordingRetryRuns,
    RecordingTaskCallbacks,
    RecordingTicks,
    ScriptedAnswerer,
)
from tests.support.questions import (
    InMemoryGoldenQuestions,
    InMemoryQuestionWatches,
    InMemorySearchPace,
    RecordingQuestionRuns,
    ScriptedRetriever,
)
from tests.support.records import InMemoryAskableTenantRecords
from tests.support.samples import NAMES, STACK_DEFAULTS, first_knowledge, tenant

TICK_SECONDS = 5
START_INTERVAL = timedelta(seconds=10)
SEARCH_INTERVAL = timedelta(milliseconds=250)
QUESTIONS_AFTER = timedelta(minutes=5)
DEBOUNCE = Debounce(quiet=timedelta(seconds=30), at_most=timedelta(minutes=5))
LEASE = timedelta(hours=5)
EVENTS_AFTER = timedelta(minutes=10)
DELETION_LIMIT = DeletionLimit(15)


@dataclass
class Fleet:
    clock: FakeClock = field(default_factory=FakeClock)
    registry: InMemoryTenantRegistry = field(default_factory=InMemoryTenantRegistry)
    profile_records: InMemoryProfileRecords = field(default_factory=InMemoryProfileRecords)
    buckets: InMemoryDocumentBuckets = field(default_factory=InMemoryDocumentBuckets)
    store: InMemoryKnowledgeStore = field(init=False)
    ledger: InMemorySyncLedger = field(default_factory=InMemorySyncLedger)
    records: InMemoryTenantRecords = field(init=False)
    history: InMemoryJobHistory = field(default_factory=InMemoryJobHistory)
    service_roles: InMemoryServiceRoles = field(init=False)
    usage_keys: InMemoryUsageKeys = field(default_factory=InMemoryUsageKeys)
    convergences: InMemoryConvergenceRecord = field(default_factory=InMemoryConvergenceRecord)
    room_counts: InMemoryRoomCounts = field(default_factory=InMemoryRoomCounts)
    external_job_rounds: InMemoryTenantRounds = field(default_factory=InMemoryTenantRounds)
    announcements: RecordingAnnouncements = field(default_factory=RecordingAnnouncements)
    callbacks: RecordingTaskCallbacks = field(default_factory=RecordingTaskCallbacks)
    usage_records: InMemoryUsageRecords = field(default_factory=InMemoryUsageRecords)
    refused_usage: RecordingDeadLetters = field(default_factory=RecordingDeadLetters)
    uploads: InMemoryUploads = field(init=False)
    checks: RecordingDeletionChecks = field(default_factory=RecordingDeletionChecks)
    ticks: RecordingTicks = field(default_factory=RecordingTicks)
    incidents: InMemoryIncidents = field(default_factory=InMemoryIncidents)
    undelivered: InMemoryUndeliveredMessages = field(default_factory=InMemoryUndeliveredMessages)
    refused_changes: RecordingDeadLetters = field(default_factory=RecordingDeadLetters)
    executions: InMemoryExecutions = field(init=False)
    offboarding_executions: InMemoryExecutions = field(init=False)
    rebuild_executions: InMemoryExecutions = field(init=False)
    knowledge_bases: InMemoryKnowledgeBases = field(init=False)
    failed_documents: InMemoryFailedDocuments = field(default_factory=InMemoryFailedDocuments)
    document_retries: InMemoryDocumentRetries = field(default_factory=InMemoryDocumentRetries)
    retry_runs: RecordingRetryRuns = field(default_factory=RecordingRetryRuns)
    bucket_contents: InMemoryBucketContents = field(default_factory=InMemoryBucketContents)
    ingested_documents: InMemoryIngestedDocuments = field(init=False)
    document_removal: InMemoryDocumentRemoval = field(init=False)
    document_links: InMemoryDocumentLinks = field(init=False)
    isolation_rounds: InMemoryTenantRounds = field(default_factory=InMemoryTenantRounds)
    retrieval_probe: InMemoryRetrievalProbe = field(default_factory=InMemoryRetrievalProbe)
    search_allowances: InMemorySearchAllowances = field(default_factory=InMemorySearchAllowances)
    document_rounds: InMemoryDocumentRounds = field(default_factory=InMemoryDocumentRounds)
    passage_search: InMemoryPassageSearch = field(default_factory=InMemoryPassageSearch)
    golden_questions: InMemoryGoldenQuestions = field(default_factory=InMemoryGoldenQuestions)
    question_watches: InMemoryQuestionWatches = field(default_factory=InMemoryQuestionWatches)
    question_runs: RecordingQuestionRuns = field(init=False)
    spent: list[tuple[Life, AskUsage | None]] = field(default_factory=list)
    """By golden questions."""
    retriever: ScriptedRetriever = field(init=False)
    question_round_positions: InMemoryTenantRounds = field(default_factory=InMemoryTenantRounds)
    search_pace: InMemorySearchPace = field(default_factory=lambda: InMemorySearchPace(SEARCH_INTERVAL))
    answers: dict[str, GeneratedAnswer | Exception] = field(default_factory=dict)
    breaches: list[TenantId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = InMemoryKnowledgeStore(NAMES, self.clock)
        self.question_runs = RecordingQuestionRuns(self.clock, QUESTIONS_AFTER)
        self.retriever = ScriptedRetriever(self.clock)
        self.service_roles = InMemoryServiceRoles(self.clock, NAMES)
        self.records = InMemoryTenantRecords(self.ledger)
        self.uploads = InMemoryUploads(self.clock)
        self.knowledge_bases = InMemoryKnowledgeBases(self.clock)
        self.ingested_documents = InMemoryIngestedDocuments(self.clock)
        self.document_removal = InMemoryDocumentRemoval(self.bucket_contents, self.clock)
        self.document_links = InMemoryDocumentLinks(self.clock)
        # A tenant without documents has no first sync.
        self.bucket_contents.pages = [[PresentVersion(self.clock.now() - timedelta(days=1))]]
        account: dict[str, Execution] = {}
        self.executions = InMemoryExecutions(account=account)
        self.offboarding_executions = InMemoryExecutions("kbfleet-offboard-tenant", account)
        self.rebuild_executions = InMemoryExecutions("kbfleet-rebuild-tenant", account)

    @property
    def stores(self) -> Mapping[str, KnowledgeStore]:
        return {"S3_VECTORS": self.store}

    @cached_property
    def fleet_records(self) -> InMemoryFleetRecords:
        return InMemoryFleetRecords(
            self.registry,
            self.ledger,
            self.incidents,
            self.question_watches,
            self.room_counts,
            self.isolation_rounds,
            self.usage_records,
        )

    @property
    def profiles(self) -> Profiles:
        return Profiles(self.profile_records, STACK_DEFAULTS.ingestion)

    @property
    def scheduler(self) -> Scheduler:
        return Scheduler(
            registry=self.registry,
            ledger=self.ledger,
            history=self.history,
            knowledge_bases=self.knowledge_bases,
            announcements=self.announcements,
            callbacks=self.callbacks,
            checks=self.checks,
            ticks=self.ticks,
            clock=self.clock,
            start_interval=START_INTERVAL,
        )

    @property
    def deletion_check(self) -> DeletionCheck:
        return DeletionCheck(
            registry=self.registry,
            ledger=self.ledger,
            history=self.history,
            failed_documents=self.failed_documents,
            bucket_contents=self.bucket_contents,
            announcements=self.announcements,
            callbacks=self.callbacks,
            checks=self.checks,
            ticks=self.ticks,
            clock=self.clock,
            names=NAMES,
            limit=DELETION_LIMIT,
        )

    @property
    def external_jobs(self) -> ExternalJobs:
        return ExternalJobs(
            registry=self.registry,
            ledger=self.ledger,
            history=self.history,
            knowledge_bases=self.knowledge_bases,
            announcements=self.announcements,
            rounds=self.external_job_rounds,
            ticks=self.ticks,
            clock=self.clock,
            at_a_time=3,
            look_back=LOOK_BACK,
        )

    @property
    def surveys(self) -> Surveys:
        return Surveys(
            ledger=self.ledger,
            history=self.history,
            bucket_contents=self.bucket_contents,
            ticks=self.ticks,
            clock=self.clock,
            names=NAMES,
            events_after=EVENTS_AFTER,
        )

    @property
    def tenant_documents(self) -> TenantDocuments:
        return TenantDocuments(
            registry=self.registry,
            ledger=self.ledger,
            failed_documents=self.failed_documents,
            ingested_documents=self.ingested_documents,
            bucket_contents=self.bucket_contents,
            names=NAMES,
        )

    @property
    def failure_collector(self) -> FailureCollector:
        return FailureCollector(
            registry=self.registry,
            failed_documents=self.failed_documents,
            ingested_documents=self.ingested_documents,
            bucket_contents=self.bucket_contents,
            samples=self.bucket_contents,
            stores=self.stores,
            profiles=self.profiles,
            announcements=self.announcements,
            ledger=self.ledger,
            clock=self.clock,
            names=NAMES,
        )

    @property
    def retry_runner(self) -> RetryRunner:
        return RetryRunner(
            registry=self.registry,
            ledger=self.ledger,
            failed_documents=self.failed_documents,
            retries=self.document_retries,
            ingested_documents=self.ingested_documents,
            bucket_contents=self.bucket_contents,
            runs=self.retry_runs,
            announcements=self.announcements,
            clock=self.clock,
            names=NAMES,
        )

    @property
    def question_runner(self) -> QuestionRunner:
        return QuestionRunner(
            registry=self.registry,
            tenants=InMemoryAskableTenantRecords(self.registry, self.ledger),
            questions=self.golden_questions,
            watches=self.question_watches,
            retrievers=lambda *_: self.retriever,
            answerers=lambda *_: ScriptedAnswerer(self.answers),
            pace=self.search_pace,
            runs=self.question_runs,
            names=NAMES,
            clock=self.clock,
            pause=lambda wait: self.clock.advance(wait.total_seconds()),
            breached=lambda asked, _: self.breaches.append(asked.tenant_id),
            spent=lambda life, answer: self.spent.append((life, answer)),
            bucket_contents=self.bucket_contents,
            announcements=self.announcements,
        )

    @property
    def question_rounds(self) -> QuestionRounds:
        return QuestionRounds(
            registry=self.registry,
            watches=self.question_watches,
            runs=self.question_runs,
            rounds=self.question_round_positions,
            clock=self.clock,
            interval=SEARCH_INTERVAL,
        )

    @property
    def isolation_look(self) -> IsolationLook:
        return IsolationLook(
            registry=self.registry,
            ledger=self.ledger,
            stores=self.stores,
            profiles=self.profiles,
            knowledge_bases=self.knowledge_bases,
            ingested_documents=self.ingested_documents,
            passage_search=self.passage_search,
            document_rounds=self.document_rounds,
            incidents=self.incidents,
            callbacks=self.callbacks,
            announcements=self.announcements,
            rounds=self.isolation_rounds,
            names=NAMES,
            clock=self.clock,
        )

    @property
    def examination(self) -> TenantExamination:
        return TenantExamination(
            registry=self.registry,
            ledger=self.ledger,
            buckets=self.buckets,
            stores=self.stores,
            profiles=self.profiles,
            knowledge_bases=self.knowledge_bases,
            service_roles=self.service_roles,
            usage_keys=self.usage_keys,
            history=self.history,
            probe=self.retrieval_probe,
            announcements=self.announcements,
            names=NAMES,
            clock=self.clock,
            resources_version=None,
            allowances=self.search_allowances,
        )

    @property
    def document_tracer(self) -> DocumentTracer:
        return DocumentTracer(
            registry=self.registry,
            stores=self.stores,
            profiles=self.profiles,
            ledger=self.ledger,
            history=self.history,
            knowledge_bases=self.knowledge_bases,
            buckets=self.buckets,
            bucket_contents=self.bucket_contents,
            ingested_documents=self.ingested_documents,
            failed_documents=self.failed_documents,
            probe=self.retrieval_probe,
            clock=self.clock,
            names=NAMES,
        )

    def add(self, tenant_id: TenantId) -> DataSourceReference:
        """An active tenant with a ready knowledge base and a data source, not synced yet."""
        name = NAMES.knowledge_base(first_knowledge(tenant_id))
        made = self.knowledge_bases.create(
            name,
            role_arn=self.service_roles.arn(NAMES.service_role(Life(tenant_id))),
            configuration=self.store.knowledge_base_configuration(str(tenant(tenant_id).knowledge_store_reference)),
            tags=NAMES.tags(Life(tenant_id)),
            client_token=f"kb-{tenant_id}",
        )
        self.clock.advance(83)
        source = self.knowledge_bases.create_data_source(
            made.knowledge_base_id,
            NAMES.data_source(),
            configuration=self.store.data_source_configuration(NAMES.bucket(Life(tenant_id))),
            client_token=f"ds-{tenant_id}",
        )
        reference = DataSourceReference(made.knowledge_base_id, source.data_source_id)
        role = service_role_of(
            tenant(tenant_id), made.knowledge_base_id, stores=self.stores, profiles=self.profiles, names=NAMES
        )
        self.service_roles.ensure(role)
        self.registry.create(
            tenant(
                tenant_id,
                knowledge_base_id=reference.knowledge_base_id,
                data_source_id=reference.data_source_id,
            )
        )
        return reference

    def make_knowledge_base(self, tenant_id: TenantId, token: str, **changes: Mapping[str, object]) -> KnowledgeBase:
        """As a step that died after it had made one: on the tenant's index and with its tags, unless changed."""
        given = {
            "configuration": self.store.knowledge_base_configuration(self.store.ensure(first_knowledge(tenant_id)))
        }
        tags = NAMES.tags(Life(tenant_id))
        role_arn = self.service_roles.arn(NAMES.service_role(Life(tenant_id)))
        arguments: dict[str, Any] = {**given, "tags": tags, "role_arn": role_arn, **changes}
        return self.knowledge_bases.create(
            NAMES.knowledge_base(first_knowledge(tenant_id)), client_token=token, **arguments
        )

    def request(
        self, tenant_id: TenantId, priority: Priority = Priority.REQUESTED, *, accepted_deletions: int = 0
    ) -> Sync:
        return request_sync(
            tenant_id,
            registry=self.registry,
            ledger=self.ledger,
            ticks=self.ticks,
            clock=self.clock,
            priority=priority,
            accepted_deletions=accepted_deletions,
        )

    def note_changes(self, tenant_id: TenantId) -> Sync:
        return note_changes(
            Life(tenant_id),
            registry=self.registry,
            ledger=self.ledger,
            ticks=self.ticks,
            clock=self.clock,
            debounce=DEBOUNCE,
        )

    def stop_sync(self, tenant_id: TenantId) -> Sync:
        return stop_sync(
            tenant_id,
            registry=self.registry,
            ledger=self.ledger,
            knowledge_bases=self.knowledge_bases,
            callbacks=self.callbacks,
            ticks=self.ticks,
        )

    def suspend(self, tenant_id: TenantId) -> Tenant:
        return lifecycle.suspend_tenant(
            tenant_id,
            registry=self.registry,
            ledger=self.ledger,
            knowledge_bases=self.knowledge_bases,
            callbacks=self.callbacks,
            announcements=self.announcements,
            clock=self.clock,
        )

    def resume(self, tenant_id: TenantId) -> Tenant:
        return lifecycle.resume_tenant(
            tenant_id,
            registry=self.registry,
            ledger=self.ledger,
            ticks=self.ticks,
            executions=self.executions,
            announcements=self.announcements,
            clock=self.clock,
        )

    def run_first_sync(self, reservation: Reservation, task_token: str) -> None:
        provisioning.run_first_sync(
            reservation,
            task_token=task_token,
            registry=self.registry,
            stores=self.stores,
            ledger=self.ledger,
            bucket_contents=self.bucket_contents,
            incidents=self.incidents,
            callbacks=self.callbacks,
            ticks=self.ticks,
            names=NAMES,
            clock=self.clock,
            events_after=EVENTS_AFTER,
        )

    def request_offboarding(self, tenant_id: TenantId, retention: timedelta) -> tuple[Tenant, Execution | None]:
        return offboarding.request_offboarding(
            tenant_id,
            retention,
            registry=self.registry,
            executions=self.offboarding_executions,
            ledger=self.ledger,
            callbacks=self.callbacks,
            buckets=self.buckets,
            announcements=self.announcements,
            names=NAMES,
            clock=self.clock,
        )

    def start_due_deletions(
        self, *, at_most: int = 100, within: timedelta = timedelta(minutes=5)
    ) -> offboarding.DeletionRound:
        return offboarding.start_due_deletions(
            registry=self.registry,
            executions=self.offboarding_executions,
            clock=self.clock,
            at_most=at_most,
            until=self.clock.now() + within,
        )

    def fence_off(self, tenant_id: TenantId, execution: str) -> Reservation:
        self.offboarding_executions.begin(execution)
        return offboarding.fence_off_tenant(
            tenant_id,
            execution=execution,
            registry=self.registry,
            executions=self.offboarding_executions,
            ledger=self.ledger,
            callbacks=self.callbacks,
            announcements=self.announcements,
            clock=self.clock,
            lease=LEASE,
        )

    def stop_ingestion(self, reservation: Reservation) -> None:
        offboarding.stop_ingestion(
            reservation,
            registry=self.registry,
            knowledge_bases=self.knowledge_bases,
            names=NAMES,
            clock=self.clock,
        )

    def check_deletions(self, within: timedelta = timedelta(minutes=4)) -> None:
        """Every check that was asked for is made, as by the function behind the queue."""
        while self.checks.waiting:
            (first, *_) = self.checks.waiting
            self.deletion_check.run(first, self.clock.now() + within)
            self.checks.done(first)

    def tick(self) -> TickReport:
        """And the checks that it asks for."""
        report = self.scheduler.tick()
        self.check_deletions()
        return report

    def tick_until_idle(self, *, at_most: int = 500) -> TickReport:
        """As the tick queue does: a tick, and another one after the interval while there is work.

        Raises: AssertionError when there still is after `at_most` ticks.
        """
        for _ in range(at_most):
            report = self.tick()
            if report.idle:
                return report
            self.clock.advance(TICK_SECONDS)
        raise AssertionError(f"still not idle after {at_most} ticks: {report}")
