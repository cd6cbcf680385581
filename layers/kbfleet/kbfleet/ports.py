"""What the use cases need from the world. A port's real adapter and its in-memory fake pass one test suite."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
    from datetime import datetime, timedelta

    from kbfleet.domain.alert import Alert
    from kbfleet.domain.answer import AskableTenant, Asker, Exchange, GeneratedAnswer, Inquiry, Source
    from kbfleet.domain.caller import Caller
    from kbfleet.domain.capacity import RoomCount
    from kbfleet.domain.convergence import Convergence
    from kbfleet.domain.deletions import AnsweredFrom, SyncHeld
    from kbfleet.domain.diagnosis import Diagnosis, FleetDiagnosis, Search
    from kbfleet.domain.document_examination import DocumentSample
    from kbfleet.domain.document_links import DocumentLink
    from kbfleet.domain.document_status import BucketEntry
    from kbfleet.domain.document_trace import Probe
    from kbfleet.domain.erasure import ErasureReceipt
    from kbfleet.domain.errors import InvalidInput, KbfleetError
    from kbfleet.domain.failed_documents import (
        BucketDocument,
        DocumentObject,
        DocumentRetry,
        FailedDocument,
        FailureReport,
        IngestedDocument,
        RetryReport,
    )
    from kbfleet.domain.finding import Drift
    from kbfleet.domain.fleet_overview import Census, FleetOutlines
    from kbfleet.domain.incident import Concern, Incident, Timeline
    from kbfleet.domain.ingestion_job import IngestionJob, JobStateChange
    from kbfleet.domain.isolation import Breach, DocumentRound, FoundPassages, IsolationVerified
    from kbfleet.domain.knowledge_base import DataSource, Index, KnowledgeBase, KnowledgeBaseKind
    from kbfleet.domain.names import DataSourceReference, Knowledge, Life, ResourceNames, TenantId
    from kbfleet.domain.profiles import Ingestion, Profile, ProfileName, ProfileReference
    from kbfleet.domain.question_runs import (
        ChangedDocuments,
        QuestionRun,
        QuestionsJudged,
        QuestionWatch,
        RunRequest,
    )
    from kbfleet.domain.questions import QuestionSet
    from kbfleet.domain.rebuild import RebuildEnded
    from kbfleet.domain.reconciliation import Reconciliation, TenantRound
    from kbfleet.domain.root_cause import RootCause
    from kbfleet.domain.service_role import ServiceRole
    from kbfleet.domain.survey import PresentVersion
    from kbfleet.domain.sync import Priority, Sync
    from kbfleet.domain.tenant import DisplayName, Tenant, TenantStateChange
    from kbfleet.domain.uploads import DocumentKey, StoredObject, Upload, UploadForm
    from kbfleet.domain.usage import DailyUsage, UsagePeriod
    from kbfleet.domain.usage_plan import UsageKey
    from kbfleet.domain.workflow import WorkflowFailure


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, with a time zone."""
        ...


class TenantRegistry(Protocol):
    """The tenants' records. One that is seen from beside is not stored: `Tenant.as_recorded` is."""

    def find(self, tenant_id: TenantId) -> Tenant | None: ...

    def get(self, tenant_id: TenantId) -> Tenant:
        """Raises: TenantNotFound."""
        ...

    def all(self) -> Iterator[Tenant]:
        """Every record, tombstones too, in the order of their ids. It may lag a second behind."""
        ...

    def following(self, tenant_id: TenantId | None, limit: int, beginning: str = "") -> Sequence[Tenant]:
        """As `all`, but only those after that one, which need not exist (`None`: from the first), at most `limit`.

        Args:
            beginning: of their ids.
        """
        ...

    def using(self, profile: ProfileName, limit: int) -> Sequence[TenantId]:
        """Tenants whose record names the profile, in any version, at most so many; without tombstones. It may lag a
        second behind."""
        ...

    def create(self, tenant: Tenant) -> None:
        """Raises: ConcurrentUpdate when a record of that tenant exists."""
        ...

    def remember_profile(self, life: Life, profile: ProfileReference) -> None:
        """Keeps, beside the record, which profile a tenant was given: a version from before there were profiles writes
        the record without it. Of a record that says nothing of a profile, it says which it is."""
        ...

    def request_name(self, tenant_id: TenantId, name: DisplayName, *, execution: str, now: datetime) -> None:
        """Keeps the name that one provisioning is to give the tenant, for a day; also of one that is not there yet.

        Args:
            execution: the name of the execution, which alone is given it: an execution that never starts, or another
                that starts beside it, changes nothing for anybody else.
        """
        ...

    def requested_name(self, tenant_id: TenantId, *, execution: str, now: datetime) -> DisplayName | None:
        """The one that was requested with that execution, for a day."""
        ...

    def replace(self, tenant: Tenant, *, fence: int) -> None:
        """Writes the whole record, if the stored one still has the fencing token `fence`.

        Raises: ConcurrentUpdate when it has another.
        """
        ...


class ProfileRecords(Protocol):
    """Profiles that were put. A version stays as it was put, and stays: a tenant's record may name it for as long as it
    likes. One that is removed is only listed no more."""

    def find(self, name: ProfileName, version: int) -> Profile | None:
        """Also of a profile that is not listed."""
        ...

    def newest(self, name: ProfileName) -> Profile | None:
        """Its newest version; also of a profile that is not listed."""
        ...

    def add(self, profile: Profile) -> None:
        """Raises: ConcurrentUpdate when it has that version already."""
        ...

    def names(self) -> Sequence[ProfileName]:
        """Those that are listed, in their order; one may have no version yet."""
        ...

    def is_listed(self, name: ProfileName) -> bool: ...

    def enlist(self, name: ProfileName) -> None:
        """Repeating it changes nothing."""
        ...

    def delist(self, name: ProfileName) -> None:
        """One that is not listed is fine."""
        ...


class TenantNames(Protocol):
    def name_of(self, tenant_id: TenantId) -> str | None:
        """What the tenant calls itself; `None` where there is no such tenant."""
        ...


class AskableTenantRecords(Protocol):
    """Registry and sync ledger as far as asking needs them, which is little: a question waits for it."""

    def get(self, tenant_id: TenantId) -> AskableTenant:
        """Raises: TenantNotFound, TenantNotActive and its kin."""
        ...

    def life(self, tenant_id: TenantId) -> Life:
        """Its present or last one, whatever its status; the first, where there is no such tenant."""
        ...


class TenantRecords(Protocol):
    """All that is stored of a tenant beside its entry in the registry: sync ledger, job history, usage, receipts."""

    def keep_receipt(self, tenant_id: TenantId, receipt: ErasureReceipt) -> None:
        """Stores the receipt so that it outlives the tombstone, should the id be provisioned anew. One tenant can have
        several, also of one offboarding: whoever takes it up verifies anew."""
        ...

    def erase(self, life: Life, *, keep_usage: bool) -> None:
        """Deletes everything of the tenant but the entry in the registry, receipts, usage where that is to be kept, and
        what belongs to a later life."""
        ...

    def erased(self, life: Life, *, keep_usage: bool) -> bool:
        """Whether nothing that `erase` deletes is there."""
        ...


class DocumentBuckets(Protocol):
    def ensure(self, name: str, tags: Mapping[str, str]) -> None:
        """The bucket exists, is ours, and has every setting that kbfleet promises; drift is repaired. What else is set
        on it stays.

        Raises: BucketNameTaken, AwsRefusal, Retryable; NotReadyYet among them also where a bucket that was just made
            does not show everywhere yet, or its name is not free yet.
        """
        ...

    def tells_of_changes(self, name: str) -> bool:
        """Whether EventBridge is told of its changes, or will be soon; not of a missing bucket's.

        Raises: BucketNameTaken, AwsRefusal, Retryable.
        """
        ...

    def differences(self, name: str, tags: Mapping[str, str]) -> Sequence[Drift] | None:
        """What `ensure` would change; `None` where it does not show, which one that was just made may not.

        Raises: BucketNameTaken, AwsRefusal, Retryable.
        """
        ...

    def refuse_uploads(self, name: str) -> None:
        """Nobody can put objects any more, until `ensure` is called again.

        Raises: NotReadyYet where the bucket does not show; and as `ensure`.
        """
        ...

    def delete(self, name: str, *, until: datetime) -> bool:
        """Deletes objects with all their versions, for as long as there is time but some of them each time, and the
        bucket once it is empty.

        Args:
            until: when not to begin with more of them.

        Returns: whether the bucket is gone; `False` means call again.

        Raises: NotReadyYet where the bucket does not show, or something has come in behind; and as `ensure`.
        """
        ...

    def exists(self, name: str) -> bool:
        """Whether it shows, which one that was just made may not.

        Raises: BucketNameTaken, AwsRefusal, Retryable.
        """
        ...

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        """The fleet's buckets, over all pages, each with the life that it is named after."""
        ...

    def count(self) -> int:
        """How many the account has, in all Regions, whoever made them."""
        ...


class Uploads(Protocol):
    """The right to put documents into tenants' buckets, for those who have none of their own."""

    def forms(
        self, bucket: str, uploads: Sequence[Upload], valid_for: timedelta
    ) -> Sequence[UploadForm | InvalidInput]:
        """By which each of these documents can be uploaded, and nothing else, in order; where none can be signed for
        its key, why. Signing asks nobody: whether the bucket is there shows when a form is used.

        Raises: Throttled, NotReadyYet, AwsRefusal.
        """
        ...

    def put_metadata(self, bucket: str, key: DocumentKey, content: bytes) -> None:
        """Writes the metadata file beside the document of that key.

        Raises: Throttled, NotReadyYet, AwsRefusal.
        """
        ...


class KnowledgeStore(Protocol):
    """Where vectors live. One index for each knowledge: two knowledge bases on one index would see each other's chunks.

    Attributes:
        kind: of the knowledge bases that are made on this store.
        usual_creation: how long Bedrock usually takes to make such a knowledge base.
        usual_data_source_creation: how long it then usually takes to make its data source.
        max_metadata_bytes: of the metadata file beside a document.
        max_metadata_attributes: how many attributes it may give the document; `None` for as many as fit.
        role_services: the services that the service role of such a knowledge base needs, by their prefixes in IAM,
            beside those that its documents are in.
    """

    kind: KnowledgeBaseKind
    usual_creation: timedelta
    usual_data_source_creation: timedelta
    max_metadata_bytes: int
    max_metadata_attributes: int | None
    role_services: frozenset[str]

    def ensure(self, knowledge: Knowledge) -> str:
        """Its index exists. Returns: the reference that `knowledge_base_configuration` takes.

        Raises: KnowledgeStoreUnusable when an index of that name has a shape that Bedrock cannot use, NotReadyYet.
        """
        ...

    def find(self, knowledge: Knowledge) -> Index | None:
        """Its index in this store, whatever its shape; `None` if it has none of its own."""
        ...

    def delete(self, knowledge: Knowledge) -> None:
        """Its index is gone, with all vectors in it; one that is gone already is fine."""
        ...

    def holds(self, knowledge: Knowledge, configuration: Mapping[str, object]) -> bool:
        """Whether a knowledge base that is configured so keeps its vectors in that very index. It is decided by names
        alone, whatever a record says.

        Args:
            configuration: with the members of CreateKnowledgeBase.
        """
        ...

    def is_there(self) -> bool:
        """Whether there still is what all indexes are in, and which came with the stack.

        Raises: AwsRefusal, Retryable.
        """
        ...

    def indexes(self) -> Iterator[Index]:
        """Those that exist, over all pages. Names that kbfleet never gives are somebody else's and left out."""
        ...

    def room(self) -> tuple[int, int] | None:
        """How many indexes it has, whoever made them, and how many it may have; `None` where no quota is known."""
        ...

    def admit(self, life: Life, role_arn: str) -> datetime | None:
        """The tenant's service role may use the tenant's indexes and no others, where the store decides that beside
        IAM. Returns: since when that role may, as far as the store says; `None` where IAM alone decides.

        Raises: CapacityExceeded, AwsRefusal, Retryable.
        """
        ...

    def dismiss(self, life: Life) -> None:
        """It may not any more; one that never was admitted is fine."""
        ...

    def admits(self, life: Life) -> bool:
        """Whether the tenant has been admitted and not dismissed; `False` where IAM alone decides."""
        ...

    def knowledge_base_configuration(self, reference: str) -> Mapping[str, object]:
        """The arguments of CreateKnowledgeBase that depend on the store."""
        ...

    def data_source_configuration(self, bucket_name: str) -> Mapping[str, object]:
        """`dataSourceConfiguration` of CreateDataSource."""
        ...

    def ingestion_configuration(self) -> Mapping[str, object]:
        """`vectorIngestionConfiguration` of CreateDataSource; empty where all of it is Bedrock's default."""
        ...

    def made_by(self, ingestion: Ingestion) -> Self:
        """The same store, for knowledge that is made so; until then, for what the stack's parameters say."""
        ...


class KnowledgeBases(Protocol):
    def get(self, knowledge_base_id: str) -> KnowledgeBase | None: ...

    def named(self, name: str) -> Sequence[KnowledgeBase]:
        """Those of that name, over all pages of the list, the oldest first. There should be one at most."""
        ...

    def count(self, kind: KnowledgeBaseKind) -> int:
        """How many knowledge bases of that kind count against the account's quota, whoever made them; exact where the
        quota is near, else at most too many."""
        ...

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Knowledge]]:
        """The ids of those that are named as the fleet names its own, over all pages, each with what its
        name says that it is."""
        ...

    def create(
        self,
        name: str,
        *,
        role_arn: str,
        configuration: Mapping[str, object],
        tags: Mapping[str, str],
        client_token: str,
    ) -> KnowledgeBase:
        """Raises: ResourceConflict when the name is taken, ServiceRoleRefused."""
        ...

    def update(self, knowledge_base: KnowledgeBase, *, role_arn: str) -> None:
        """Makes that its service role, and the description the fleet's; the configuration stays.

        Raises: ServiceRoleRefused.
        """
        ...

    def tags(self, knowledge_base: KnowledgeBase) -> Mapping[str, str]: ...

    def tag(self, knowledge_base: KnowledgeBase, tags: Mapping[str, str]) -> None: ...

    def delete(self, knowledge_base_id: str) -> None:
        """Begins to delete it; one that is gone is fine."""
        ...

    def data_sources(self, knowledge_base_id: str) -> Sequence[DataSource]:
        """All of them; none when the knowledge base is gone."""
        ...

    def delete_data_source(self, data_source: DataSourceReference) -> None:
        """Begins to delete it; one that is gone is fine.

        Raises: ResourceConflict while one of its jobs runs.
        """
        ...

    def update_data_source(
        self,
        data_source: DataSourceReference,
        name: str,
        configuration: Mapping[str, object],
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        """Makes it read what `configuration` says, and nothing else, and gives it that name. Returns: what it is now.

        Args:
            ingestion: how it is to read from now on, if that is to change (`vectorIngestionConfiguration`). Bedrock
                changes a parser's model and prompt, and nothing else of it.

        Raises: ResourceConflict when another has the name.
        """
        ...

    def retain_vectors(self, data_source: DataSourceReference) -> None:
        """Makes its deletion leave the vectors alone: the way out when the store or a permission on it is gone."""
        ...

    def data_source(self, data_source: DataSourceReference) -> DataSource | None:
        """All that is known of it, also what a list leaves out: what it reads, and why it has failed."""
        ...

    def find_data_source(self, knowledge_base_id: str, name: str) -> DataSource | None:
        """By name, over all pages of the list; with the reasons when it has failed."""
        ...

    def create_data_source(
        self,
        knowledge_base_id: str,
        name: str,
        *,
        configuration: Mapping[str, object],
        client_token: str,
        ingestion: Mapping[str, object] | None = None,
    ) -> DataSource:
        """
        Args:
            ingestion: how it reads (`vectorIngestionConfiguration`), where that is not Bedrock's default.

        Raises: ResourceConflict when the name is taken.
        """
        ...

    def start_ingestion(self, data_source: DataSourceReference, *, client_token: str) -> IngestionJob:
        """Raises: ResourceConflict, CapacityExceeded or Throttled for "not now"; any other AwsRefusal is for good."""
        ...

    def ingestion_job(self, data_source: DataSourceReference, ingestion_job_id: str) -> IngestionJob:
        """Raises: ResourceMissing."""
        ...

    def stop_ingestion(self, data_source: DataSourceReference, ingestion_job_id: str) -> bool:
        """Asks for the job's end; one that has ended or is gone is fine.

        Returns: whether there was anything to stop; of one that is stopping already, either.
        """
        ...

    def running_ingestion_job(self, data_source: DataSourceReference) -> IngestionJob | None:
        """The job that occupies the data source, whoever started it: the newest, unless it has ended."""
        ...

    def ingestion_jobs(self, data_source: DataSourceReference) -> Iterator[IngestionJob]:
        """Its jobs, whoever started them, the newest first. Pages are read as the caller gets to them. What a job lists
        has no failure reasons: `ingestion_job` gives them.

        Raises: ResourceMissing.
        """
        ...


class ServiceRoles(Protocol):
    """The roles that Bedrock assumes for tenants' knowledge bases.

    Attributes:
        per_tenant: whether each tenant has its own; else one is shared, which comes with the stack.
    """

    per_tenant: bool

    def arn(self, name: str) -> str:
        """Of the role that the knowledge bases of the tenant whose role has that name are to assume."""
        ...

    def ensure(self, role: ServiceRole) -> datetime | None:
        """The tenant's role is as it should be: what it may, who may assume it, and its permissions boundary. What else
        somebody has attached to it is taken away. Nothing is done where the role is shared.

        Returns: when it was last changed, as far as that is known; `None` for the shared one.

        Raises: CapacityExceeded when the account can have no more roles; AwsRefusal, Retryable.
        """
        ...

    def trust(self, role: ServiceRole) -> None:
        """Has the role, which exists, assumed for the knowledge bases that `role` names and for no others. Where the
        role is shared, the tenant's own is deleted instead: nothing assumes it any more."""
        ...

    def differences(self, role: ServiceRole) -> Sequence[Drift] | None:
        """What `ensure` would change of the tenant's role; `None` where it is missing. Nothing where the role is
        shared: what is wrong with that is no tenant's."""
        ...

    def delete(self, name: str) -> None:
        """A tenant's own role is gone; one that is gone already is fine."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a tenant's own role of that name is there."""
        ...

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        """The names of tenants' own roles, over all pages, each with its life."""
        ...

    def shared_is_there(self) -> bool:
        """Whether the role is there that comes with the stack; also `True` where no tenant uses it."""
        ...

    def room(self) -> tuple[int, int] | None:
        """How many roles the account has, whoever made them, and how many it may have; `None` where no more are
        made."""
        ...


class UsageKeys(Protocol):
    """What a key is `known_as` is the id that API Gateway has given it, as far as it was written down; a wrong one does
    no harm. With it, nobody has to look for the key among all of the account, where it may have any name."""

    def ensure(
        self,
        key: UsageKey,
        tags: Mapping[str, str],
        *,
        known_as: str | None = None,
        plan_id: str,
        other_plan_ids: Collection[str],
    ) -> str:
        """The key is there, enabled, in that usage plan, and in none of the others. Returns: its id.

        Raises: CapacityExceeded; ResourceConflict when a key of that value lacks the tags, or is in a usage plan that
            is not the fleet's.
        """
        ...

    def find(self, key: UsageKey) -> str | None:
        """Its id, whatever its name is; over all pages of the list, where none has the name that it should have."""
        ...

    def delete(self, key: UsageKey, *, known_as: str | None = None) -> None:
        """The key is gone; one that is gone already is fine."""
        ...

    def exists(self, key: UsageKey, *, known_as: str | None = None) -> bool: ...

    def differences(
        self, key: UsageKey, *, known_as: str | None = None, plan: str, other_plans: Collection[str]
    ) -> Sequence[Drift] | None:
        """What `ensure` would change of what it does; `None` where it is missing.

        Args:
            plan, other_plans: names of usage plans: whoever looks does not have their ids.
        """
        ...

    def count(self) -> int:
        """How many API keys the account has in this Region, whoever made them."""
        ...


@dataclass(frozen=True, slots=True)
class Glance:
    """`complete` is whether these are all that are queued or running."""

    entries: Sequence[Sync]
    complete: bool


class Recorded(Enum):
    """Who publishes a change of a job's state, so that it is published once however often it is observed."""

    YOURS = auto()
    """The caller: nobody else does, or whoever wanted to has not done so for a minute."""
    ANOTHERS = auto()
    """Somebody else is about to: look again later."""
    PUBLISHED = auto()


class SyncLedger(Protocol):
    def find(self, knowledge: Knowledge) -> Sync:
        """The entry about it; one that was never stored is new."""
        ...

    def entries(self, wanted: Iterable[Knowledge]) -> Iterator[Sync]:
        """The entry about each, in that order, many in one call; those that were never stored are new."""
        ...

    def save(self, sync: Sync) -> Sync:
        """Stores the entry, with its outline, if nobody stored another since it was read. Returns: the entry with its
        new version.

        Raises: ConcurrentUpdate.
        """
        ...

    def glance(self, limit: int) -> Glance:
        """What is going on, in one query: the running ones first, then the queued ones, at most `limit` together."""
        ...

    def running(self) -> Iterator[Sync]: ...

    def held(self) -> Iterator[Sync]:
        """Whose next sync is held, and that do not run or wait for another check."""
        ...

    def queued(self, kind: KnowledgeBaseKind, priority: Priority, *, ready_by: datetime, limit: int) -> Sequence[Sync]:
        """Of that kind and priority, those that are ready by then, the earliest first."""
        ...

    def claim_start(self, now: datetime, interval: timedelta) -> bool:
        """Takes the right to start one job, if none was taken within `interval`. At most one caller gets it."""
        ...


@dataclass(frozen=True, slots=True)
class JobPage:
    """`following` is what the next page is asked for with; `None` at the end."""

    jobs: Sequence[JobStateChange]
    following: str | None


class JobHistory(Protocol):
    def record(self, change: JobStateChange, now: datetime) -> Recorded:
        """Stores the newest state of a job, and says who publishes the change."""
        ...

    def published(self, change: JobStateChange) -> None:
        """It is on the bus, or refused there for good: nobody publishes it again."""
        ...

    def latest(self, life: Life, limit: int) -> Sequence[JobStateChange]:
        """The newest first."""
        ...

    def page(self, life: Life, limit: int, after: str | None) -> JobPage:
        """The newest first, behind those that were given before: so many, or as many as fit into `PAGE_BYTES`."""
        ...

    def find(self, life: Life, name: str) -> JobStateChange | None:
        """The newest known state of the job of that name, the newest such job; `None` if none is remembered."""
        ...

    def started_since(self, life: Life, since: datetime) -> Iterator[JobStateChange]:
        """The newest known state of every job that was started then or later."""
        ...


class UsageRecords(Protocol):
    """What tenants have used, by day in UTC."""

    def add(self, usage: Sequence[DailyUsage], *, delivery: str, now: datetime) -> None:
        """Adds to what is stored of each day. The same usage with the same identity of its delivery is added once.

        Raises: ConcurrentUpdate when other deliveries got in the way; the same call again adds what is missing.
        """
        ...

    def of_life(self, life: Life, period: UsagePeriod) -> Sequence[DailyUsage]:
        """The days on which anything was used, the earliest first."""
        ...


class TenantRounds(Protocol):
    """How far a round through all tenants has come. There is one item of it."""

    def find(self) -> TenantRound: ...

    def save(self, tenant_round: TenantRound) -> None:
        """In place of the last one."""
        ...


class ConvergenceRecord(Protocol):
    """Where the round stands that brings the fleet to what this version makes of it. There is one item of it."""

    def find(self) -> Convergence | None: ...

    def save(self, convergence: Convergence) -> None:
        """In place of the last one."""
        ...


class FleetRecords(Protocol):
    """What an overview of the fleet is made of. Whoever stores a tenant's record, an entry of the sync ledger, an
    incident, or what is known of golden questions, stores its outline with it, in one write. All of it may lag a second
    behind."""

    def read(self, now: datetime, most_reads: int) -> FleetOutlines:
        """All outlines, by at most so many reads: a read is a page of a query, or one item. Where that is too few,
        what was read is given, and that it is not whole.

        Args:
            now: whose month the usage is of.

        Raises: Throttled.
        """
        ...

    def count(self, census: Census) -> None:
        """Keeps it, in place of the last one."""
        ...


class RoomCounts(Protocol):
    """What was counted last of the account's quotas. There is one item of it."""

    def find(self) -> RoomCount | None: ...

    def save(self, counted: RoomCount) -> None:
        """In place of the last one."""
        ...

    def take(self) -> None:
        """One more tenant was let in since. Nothing, where nothing was counted."""
        ...


class DocumentRounds(Protocol):
    """Where lists of tenants' documents are to be read on, while a breach is open."""

    def find(self, tenant_id: TenantId) -> DocumentRound | None: ...

    def save(self, tenant_id: TenantId, document_round: DocumentRound | None) -> None:
        """In place of the last one. `None` when there is nothing to be read on."""
        ...


class DeadLetters(Protocol):
    def keep(self, message: str, error: KbfleetError) -> None:
        """Puts a message that cannot be handled aside for people, with the reason.

        Raises: Retryable, AwsRefusal.
        """
        ...


class UndeliveredMessages(Protocol):
    """Those that wait in the fleet's dead-letter queues."""

    def delete(self, tenant_id: TenantId, bucket_name: str) -> bool:
        """Deletes those that are about the tenant, or about a change in that bucket, which is its own.

        Returns: whether all were looked at that could be seen; `False` if there are too many.

        Raises: Retryable, AwsRefusal.
        """
        ...


class Ticks(Protocol):
    def request(self) -> None:
        """Asks for a tick of the scheduler soon; requests that fall into the same interval become one tick."""
        ...


class DeletionChecks(Protocol):
    def request(self, sync: Sync) -> None:
        """Asks for a check of what the tenant's next job would delete; once for each version of its entry, however
        often it is asked."""
        ...


class Announcements(Protocol):
    def job_state_changed(self, change: JobStateChange) -> None: ...

    def sync_held(self, held: SyncHeld) -> None: ...

    def tenant_state_changed(self, change: TenantStateChange) -> None: ...

    def reconciled(self, report: Reconciliation) -> None: ...

    def offboarding_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None: ...

    def provisioning_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None: ...

    def failures_collected(self, report: FailureReport) -> None: ...

    def retry_ended(self, report: RetryReport) -> None: ...

    def isolation_breached(self, breach: Breach) -> None: ...

    def isolation_verified(self, verified: IsolationVerified) -> None: ...

    def diagnosed(self, diagnosis: Diagnosis) -> None: ...

    def fleet_diagnosed(self, diagnosis: FleetDiagnosis) -> None: ...

    def questions_judged(self, judged: QuestionsJudged) -> None: ...

    def rebuild_ended(self, ended: RebuildEnded) -> None: ...

    def rebuild_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None: ...


class TaskCallbacks(Protocol):
    """Answers to a state machine's task that waits by token. A task that no longer waits is not an error."""

    def succeed(self, task_token: str, output: Mapping[str, object]) -> None: ...

    def fail(self, task_token: str, error: str, cause: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Execution:
    """A run of a state machine."""

    name: str
    arn: str
    status: str
    step: str | None = None
    error: str | None = None
    cause: str | None = None


class Executions(Protocol):
    def start(self, name: str, request: Mapping[str, object]) -> Execution: ...

    def describe(self, name: str) -> Execution:
        """Raises: ResourceMissing."""
        ...

    def is_running(self, arn: str) -> bool:
        """Whether that execution, of whichever state machine, is still at work."""
        ...


class Answerer(Protocol):
    def answer(self, tenant: AskableTenant, inquiry: Inquiry, bucket_name: str) -> GeneratedAnswer:
        """
        Args:
            bucket_name: the tenant's own: an answer rests on documents in it and on nothing else.

        Raises:
            SessionRefused: the conversation that is to be taken up is over.
            InvalidInput: the tenant's knowledge store does not understand the filter.
            IsolationBreached: a passage is from elsewhere, and the conversation is over; or the tenant's credentials do
                not open the knowledge base.
            Throttled, NotReadyYet, AwsRefusal.
        """
        ...


class Conversations(Protocol):
    """What was said in conversations that Bedrock does not keep."""

    def exchanges(self, life: Life, conversation: str) -> Sequence[Exchange] | None:
        """Oldest first; `None` when it is over or never was."""
        ...

    def add(self, life: Life, conversation: str, *exchanges: Exchange) -> None:
        """Begins it, if it has not begun."""
        ...

    def end(self, life: Life, conversation: str) -> None:
        """Nothing that was said in it is kept, and nobody takes it up again."""
        ...


class Sessions(Protocol):
    """What a caller is given to take a conversation up by; good for the same asker in the same life of
    its tenant only."""

    def issue(self, conversation: str, asker: Asker, life: Life) -> str: ...

    def conversation(self, session: str, asker: Asker, life: Life) -> str:
        """Raises: SessionRefused, whatever is wrong with it."""
        ...


class TokenVerifier(Protocol):
    def verify(self, token: str) -> Caller:
        """For whom the token speaks.

        Raises:
            TokenRefused: it proves nothing.
            TenantClaimMissing: it is genuine, but names no tenant.
            NotReadyYet: the issuer's keys cannot be had at present, so nothing can be said of the token.
        """
        ...


class AlertChannel(Protocol):
    """Where alerts go. Each method raises AlertNotDelivered: the channel did not take it; or AlertMaybeDelivered,
    which is one, too: nobody knows whether it did."""

    def post(self, alert: Alert, *, reply_to: str = "") -> str:
        """Posts a message. Args: reply_to: the name of the message that this one belongs to.

        Returns: a name by which the message can be changed and replied to; empty if the channel can do neither.
        """
        ...

    def change(self, message: str, alert: Alert) -> None:
        """Has a message that was posted show something else. One that people have deleted stays deleted."""
        ...

    def posted(self, identity: str, *, since: datetime, reply_to: str = "") -> str | None:
        """The name of the message that was posted of the alert with that identity; `None` if there is none, or if the
        channel cannot be asked."""
        ...


class Incidents(Protocol):
    """What is broken, and what people know of it."""

    def timeline(self, subject: str, concern: Concern) -> Timeline: ...

    def find(self, identity: str, member: str = "") -> Incident | None:
        """Of a crowd, `affected` has that member at most. If none is named, the first of those that are still broken
        are `named`."""
        ...

    def of_cause(self, cause: RootCause) -> Sequence[Incident]:
        """The newest of them, the one with the highest number first; of crowds, no member is at hand."""
        ...

    def of_subject(self, subject: str) -> Sequence[Incident]:
        """Every one that the subject is in, however long ago that was recorded, with what is kept of it there. Not of
        alarms."""
        ...

    def record(self, timeline: Timeline, incidents: Sequence[Incident]) -> None:
        """Stores all of them, or none; of a crowd, its members at hand. A subject that is not among those has left it.

        Raises: ConcurrentUpdate when one was stored since it was read.
        """
        ...

    def save(self, incident: Incident) -> Incident:
        """Returns: the incident with its new version. Raises: ConcurrentUpdate."""
        ...


@dataclass(frozen=True, slots=True)
class FailedDocumentPage:
    """`following` is what the next page is asked for with; `None` at the end."""

    documents: Sequence[FailedDocument]
    following: str | None


class FailedDocuments(Protocol):
    """Which of a tenant's documents fail in one of its lives, in an order that has no meaning and does not change."""

    def find(self, life: Life, uri: str) -> FailedDocument | None: ...

    def those_of(self, life: Life, uris: Sequence[str]) -> Mapping[str, FailedDocument]:
        """Which of these fail, by their URIs; a hundred in one call."""
        ...

    def all(self, life: Life) -> Iterator[FailedDocument]:
        """Those in the bucket of that life; what else may be stored is left out."""
        ...

    def page(self, life: Life, limit: int, after: str | None) -> FailedDocumentPage: ...

    def save(self, life: Life, document: FailedDocument) -> FailedDocument:
        """Stores it if nobody stored another since it was read. Returns: the document with its new version.

        Raises: ConcurrentUpdate, IsolationBreached when it is not in the tenant's own bucket.
        """
        ...

    def remove(self, life: Life, document: FailedDocument) -> None:
        """Removes it if nobody stored another since it was read; one that is gone is fine.

        Raises: ConcurrentUpdate.
        """
        ...


class DocumentRetries(Protocol):
    def find(self, life: Life) -> DocumentRetry | None:
        """The last one of that life."""
        ...

    def save(self, retry: DocumentRetry) -> DocumentRetry:
        """Stores it if nobody stored another since it was read. Returns: it with its new version.

        Raises: ConcurrentUpdate.
        """
        ...


class RetryRuns(Protocol):
    def request(self, retry: DocumentRetry) -> None:
        """Asks for the retry's next run, a little later; once for each version, however often it is asked."""
        ...


@dataclass(frozen=True, slots=True)
class IngestedDocumentPage:
    """`following` is where the list is to be read on; `None` at its end."""

    documents: Sequence[IngestedDocument]
    following: str | None


class IngestedDocuments(Protocol):
    """What Bedrock knows of the documents of a data source. `bucket` is the tenant's own."""

    def look_up(self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]) -> Sequence[IngestedDocument]:
        """One for each, in any order; NOT_FOUND for those that it does not know, or says nothing about.

        Raises: ResourceMissing when the data source is gone, IsolationBreached when one is not in the bucket,
            Throttled, NotReadyYet, AwsRefusal.
        """
        ...

    def look_once(
        self, data_source: DataSourceReference, bucket: str, uris: Sequence[str]
    ) -> Sequence[IngestedDocument] | None:
        """As `look_up`, of ten at most, by one request. Returns: `None` where that is refused, for whichever of them.

        Raises: as `look_up`.
        """
        ...

    def pages(self, data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
        """All of them, a page at a time, as far as the caller goes on; also those that should not be there.

        Args:
            after: where to read on, by an earlier page; from the beginning, if not given.

        Raises: RequestRefused when the knowledge base does not list documents, or does not know that place any more,
            and as `look_up`.
        """
        ...

    def ingest(
        self, data_source: DataSourceReference, bucket: str, documents: Sequence[BucketDocument], *, client_token: str
    ) -> Sequence[IngestedDocument]:
        """Begins to ingest at most ten documents by themselves. Returns: what Bedrock answers about each.

        Raises: Throttled, CapacityExceeded, ResourceConflict, NotReadyYet for "not now"; RequestRefused when it will
            not take one of them; IsolationBreached when one is not in the bucket.
        """
        ...


@dataclass(frozen=True, slots=True)
class VersionPage:
    """`following` is where the list is to be read on; `None` at its end. A page may be empty."""

    versions: Sequence[PresentVersion]
    following: str | None


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """Of documents, without the metadata files beside them: what `kept`, `deleted` and `added` count is said by
    `domain.deletions.BucketCheck`. `following` is where the list is to be read on; `None` at its end."""

    kept: int
    deleted: int
    added: int
    following: str | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """`following` is the key behind which the list is to be read on; `None` at its end. A page may be empty."""

    entries: Sequence[BucketEntry]
    following: str | None


class BucketContents(Protocol):
    """What is in a tenant's own bucket. Each raises IsolationBreached for a document that is not in it."""

    def find(self, bucket: str, uri: str) -> BucketDocument | None:
        """The document as it is there; `None` when it is gone."""
        ...

    def describe(self, bucket: str, uri: str) -> DocumentObject | None:
        """When it was put there, and how large it is; `None` when it is gone."""
        ...

    def objects(self, bucket: str, keys: Collection[str]) -> Mapping[str, StoredObject]:
        """Those of these keys that are there, with what the bucket's list says of them.

        Raises: ResourceMissing when there is no bucket; Throttled, NotReadyYet, AwsRefusal.
        """
        ...

    def present(self, bucket: str, keys: Collection[str]) -> Collection[str]:
        """As `objects`, in a few requests, however many these are: none is said to be there where they do not
        suffice, nor in a bucket that is gone."""
        ...

    def entries(self, bucket: str, *, prefix: str, after: str | None, limit: int) -> EntryPage:
        """Documents by their keys, in S3's order, also those that were deleted; each with its metadata file. By two
        requests at most, so a page may be shorter than asked for.

        Args:
            prefix: how their keys begin.
            after: behind which key.
            limit: most documents of the page, 1 to 100.

        Raises: as `versions`.
        """
        ...

    def attributes(self, bucket: str, uri: str) -> bytes | None:
        """What is in the metadata file beside a document; `None` where there is none, or may not be read.

        Raises: Throttled, NotReadyYet.
        """
        ...

    def versions(self, bucket: str, after: str | None) -> VersionPage:
        """What is, or was last, under each key, a page of it.

        Args:
            after: where to read on, by the page before; `None` for the beginning.

        Raises: ResourceMissing, Throttled, NotReadyYet, AwsRefusal.
        """
        ...

    def changed(self, bucket: str, since: datetime, most: int) -> ChangedDocuments:
        """Documents that were put or deleted since then, the newest change first, as far as some pages of the list go.

        Args:
            most: so many are named.

        Raises: as `versions`.
        """
        ...

    def compared(self, bucket: str, answered_from: AnsweredFrom, left_out: Set[str], after: str | None) -> ComparedPage:
        """What has become of the documents that are answered from, a page of the bucket's list.

        Args:
            left_out: keys of documents that could not be read: those that are there count as added, the others not.
            after: as in `versions`; one is not to be given to the other.

        Raises: as `versions`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Erased:
    """How many versions of the document and its metadata file were removed, delete markers aside, and whether none is
    left."""

    versions: int
    whole: bool


class DocumentRemoval(Protocol):
    """Deletes single documents, each with its metadata file, by rights for these two objects alone."""

    def delete(self, bucket: str, key: str) -> None:
        """The document is not in the bucket any more; its versions are. One that is gone is fine.

        Raises: ResourceMissing when the bucket is gone; Throttled, NotReadyYet, AwsRefusal.
        """
        ...

    def erase(self, bucket: str, key: str, *, until: datetime) -> Erased:
        """No version of the document is left, but what somebody puts there meanwhile.

        Args:
            until: when not to begin with more of them.

        Raises: as `delete`.
        """
        ...


class DocumentLinks(Protocol):
    def link(self, bucket: str, key: str, valid_for: timedelta) -> DocumentLink:
        """By which that document can be opened, and nothing else. Signing asks nobody whether it is there.

        Raises: InvalidInput naming `document` when no rights can be narrowed to it; Throttled, NotReadyYet, AwsRefusal.
        """
        ...


class Tickets(Protocol):
    """What proves that an answer to an asker has cited a document."""

    def issue(self, uri: str, asker: Asker, life: Life) -> str: ...

    def require(self, ticket: str, uri: str, asker: Asker, life: Life) -> None:
        """Raises: TicketRefused when it is not for that document, asker and life, or is over."""
        ...


class DocumentSamples(Protocol):
    def sample(self, bucket: str, uri: str) -> DocumentSample | None:
        """The name, size and edges of a document, and its metadata file, all of one revision; without the bytes that
        may not be read, such as those that are encrypted with somebody's own key. `None` when it is gone, or becomes
        another one at this moment.

        Raises: IsolationBreached when it is not in the bucket; Throttled, NotReadyYet.
        """
        ...


class Examiner(Protocol):
    def examine_after(self, failed: JobStateChange) -> None:
        """An ingestion has failed for good: people hear of it with what is true of answers. It may be repeated.

        Raises: NotReadyYet when nobody has heard of it for certain; Throttled, AwsRefusal.
        """
        ...


class RetrievalProbe(Protocol):
    def probe(self, knowledge_base_id: str, kind: KnowledgeBaseKind, bucket: str, uri: str) -> Probe:
        """Searches for that document alone. What the document says is never looked at, but for how much it is.

        Raises: IsolationBreached when it is not in the bucket; AccessRefused, Throttled, NotReadyYet.
        """
        ...

    def anything(self, knowledge_base_id: str, kind: KnowledgeBaseKind) -> Search:
        """Whether a search finds any passage at all.

        Raises: AccessRefused, Throttled, NotReadyYet.
        """
        ...


class SearchAllowances(Protocol):
    def take(self, tenant_id: TenantId, now: datetime) -> bool:
        """One search of the tenant's knowledge base that nobody has asked for; `False` where none is left."""
        ...


class PassageSearch(Protocol):
    """By credentials for the tenant, as its questions are answered. What passages say is never looked at."""

    def search(self, tenant: AskableTenant, kind: KnowledgeBaseKind, own: DataSourceReference) -> FoundPassages:
        """Looks for what the tenant's own data source has not brought, also where no data source is left that has.

        Raises: AccessRefused when the credentials do not open the knowledge base; Throttled, NotReadyYet, AwsRefusal.
        """
        ...


class GoldenQuestions(Protocol):
    """Texts of tenants: of one life, at rest encrypted, and in no log."""

    def find(self, life: Life) -> QuestionSet:
        """Without any, an empty one."""
        ...

    def save(self, questions: QuestionSet) -> QuestionSet:
        """Stores all of them, or none. Returns: them with their new version.

        Raises: ConcurrentUpdate when they were stored since they were read.
        """
        ...


class QuestionWatches(Protocol):
    """What is known of tenants' golden questions, and their runs. Nothing of it is a text."""

    def find(self, life: Life) -> QuestionWatch: ...

    def known(self, lives: Sequence[Life]) -> Iterator[QuestionWatch]:
        """What is known of each of them, where anything is. Raises: Throttled."""
        ...

    def save(self, watch: QuestionWatch, ended: QuestionRun | None = None) -> QuestionWatch:
        """Stores it, and with it the run that has ended; both, or none. Returns: it with its new version.

        Raises: ConcurrentUpdate when it was stored since it was read, or erased.
        """
        ...

    def runs(self, life: Life, limit: int) -> Sequence[QuestionRun]:
        """Those that have ended, the newest first, as long as they are kept."""
        ...


class SearchPace(Protocol):
    """How fast golden questions may be searched for, by the whole fleet together."""

    def next(self, now: datetime) -> datetime:
        """From when on one search may be made. Nobody else gets that place. Raises: Throttled."""
        ...


class QuestionRuns(Protocol):
    """Asks for parts of runs of golden questions. However often one is asked for, it is made once. Each raises
    Retryable, AwsRefusal."""

    def request(self, life: Life, request: RunRequest | None, *, after: timedelta) -> None:
        """
        Args:
            request: `None` if what was begun is to go on, and what is known is to follow questions that have changed.
            after: until when it waits at least; in whole seconds.
        """
        ...

    def later(self, life: Life, request: RunRequest) -> None:
        """As `request`, when what was ingested has had time to show."""
        ...


class Retriever(Protocol):
    def retrieve(self, tenant: AskableTenant, inquiry: Inquiry, bucket_name: str) -> Sequence[Source]:
        """What an answer would rest on, the nearest passage first. Arguments and errors are as of an `Answerer`; a
        conversation is not taken up."""
        ...
