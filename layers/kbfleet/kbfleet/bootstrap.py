"""The composition root: the only place that imports adapters and makes clients.

Each function here gives one port, made at its first use and kept for the life of the execution environment, so that a
Lambda pays only for the clients that it uses. What only some functions need is imported there, too: a cold start takes
as long as its imports.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pkgutil import resolve_name
from time import sleep
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.errors import AlertNotDelivered, KbfleetError
from kbfleet.settings import FleetSettings, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from kbfleet.adapters.alert_channels import ChannelType
    from kbfleet.adapters.answerers import Generation, Meanwhile, RetrieveAndConverseAnswerer, Search
    from kbfleet.adapters.knowledge_stores import StoreType
    from kbfleet.adapters.s3 import S3BucketContents
    from kbfleet.adapters.secrets import RememberedSecret
    from kbfleet.domain.alert import Deployment
    from kbfleet.domain.answer import AskableTenant
    from kbfleet.domain.errors import IsolationBreached
    from kbfleet.domain.profile_rules import StackOffer
    from kbfleet.domain.profiles import Answering
    from kbfleet.domain.workflow import Workflow
    from kbfleet.ports import (
        AlertChannel,
        Announcements,
        Answerer,
        AskableTenantRecords,
        Clock,
        ConvergenceRecord,
        DeadLetters,
        DeletionChecks,
        DocumentBuckets,
        DocumentLinks,
        DocumentRemoval,
        DocumentRetries,
        Examiner,
        Executions,
        FailedDocuments,
        FleetRecords,
        GoldenQuestions,
        Incidents,
        IngestedDocuments,
        JobHistory,
        KnowledgeBases,
        KnowledgeStore,
        ProfileRecords,
        QuestionRuns,
        QuestionWatches,
        RetrievalProbe,
        Retriever,
        RetryRuns,
        RoomCounts,
        SearchPace,
        ServiceRoles,
        Sessions,
        SyncLedger,
        TaskCallbacks,
        TenantNames,
        TenantRecords,
        TenantRegistry,
        TenantRounds,
        Tickets,
        Ticks,
        TokenVerifier,
        UndeliveredMessages,
        Uploads,
        UsageKeys,
        UsageRecords,
    )
    from kbfleet.usecases.asking import AskableTenants
    from kbfleet.usecases.deletion_checks import DeletionCheck
    from kbfleet.usecases.document_changes import ChangeBatch
    from kbfleet.usecases.document_tracing import DocumentTracer
    from kbfleet.usecases.documents import TenantDocuments
    from kbfleet.usecases.examination import TenantExamination
    from kbfleet.usecases.external_jobs import ExternalJobs
    from kbfleet.usecases.failed_documents import FailureCollector, RetryRunner
    from kbfleet.usecases.incidents import IncidentDesk
    from kbfleet.usecases.ingestion import Scheduler
    from kbfleet.usecases.isolation import IsolationLook
    from kbfleet.usecases.profiles import ProfileCatalogue, Profiles
    from kbfleet.usecases.question_rounds import QuestionRounds
    from kbfleet.usecases.question_running import QuestionRunner
    from kbfleet.usecases.surveys import Surveys
    from kbfleet.usecases.sync_schedule import SyncSchedule

# Timeouts nest: the SDK gives up before the Lambda does, the Lambda before the state, the state before the machine.
_CLIENT = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 3})
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})
# Many calls one after the other, five a second for the whole account: throttling is a pause, not a failure.
_DOCUMENTS_CLIENT = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 8})
_SIGNED_FOR_ITS_REGION = Config(
    signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
)


class SystemClock:
    """`kbfleet.ports.Clock` by the machine's time, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@cache
def fleet() -> FleetSettings:
    return read(FleetSettings)


@cache
def clock() -> Clock:
    return SystemClock()


@cache
def _table() -> Table:
    client: DynamoDBClient = boto3.client("dynamodb", config=_CLIENT)
    return Table(client, fleet().table_name)


@cache
def registry() -> TenantRegistry:
    from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry

    return DynamoDBTenantRegistry(_table())


@cache
def ledger() -> SyncLedger:
    from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger

    return DynamoDBSyncLedger(_table())


@cache
def history() -> JobHistory:
    from kbfleet.adapters.dynamodb.job_history import DynamoDBJobHistory
    from kbfleet.settings.ingestion import IngestionSettings

    return DynamoDBJobHistory(_table(), kept_for=timedelta(days=read(IngestionSettings).job_history_days))


@cache
def external_job_rounds() -> TenantRounds:
    from kbfleet.adapters.dynamodb.rounds import DynamoDBTenantRounds

    return DynamoDBTenantRounds(_table(), "EXTERNAL_JOBS")


@cache
def convergences() -> ConvergenceRecord:
    from kbfleet.adapters.dynamodb.rounds import DynamoDBConvergenceRecord

    return DynamoDBConvergenceRecord(_table())


@cache
def fleet_records() -> FleetRecords:
    from kbfleet.adapters.dynamodb.fleet_records import DynamoDBFleetRecords

    return DynamoDBFleetRecords(_table())


@cache
def room_counts() -> RoomCounts:
    from kbfleet.adapters.dynamodb.rounds import DynamoDBRoomCounts

    return DynamoDBRoomCounts(_table())


def resources_version() -> str:
    """What the stack converges tenants' resources to. Another parameter is another version; so is another stack, which
    was made anew of what an older one has left: its usage plans and roles are new."""
    from kbfleet.domain.tenant import RESOURCES_VERSION
    from kbfleet.settings.provisioning import ServiceRoleSettings

    settings = read(ServiceRoleSettings)
    return f"{RESOURCES_VERSION}/{settings.service_roles}/{settings.stack_id}"


@cache
def records() -> TenantRecords:
    from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords

    return DynamoDBTenantRecords(_table())


@cache
def buckets() -> DocumentBuckets:
    from kbfleet.adapters.s3 import S3DocumentBuckets

    settings = fleet()
    return S3DocumentBuckets(
        boto3.client("s3", config=_CLIENT), account=settings.account_id, region=settings.aws_region, clock=clock()
    )


@cache
def profile_records() -> ProfileRecords:
    from kbfleet.adapters.dynamodb.profiles import DynamoDBProfileRecords

    return DynamoDBProfileRecords(_table())


def profiles() -> Profiles:
    from kbfleet.settings.provisioning import KnowledgeStoreSettings
    from kbfleet.usecases.profiles import Profiles

    return Profiles(profile_records(), read(KnowledgeStoreSettings).ingestion)


def profile_catalogue() -> ProfileCatalogue:
    from kbfleet.domain.profiles import StackDefaults
    from kbfleet.settings.asking import AnswerSettings
    from kbfleet.settings.provisioning import KnowledgeStoreSettings
    from kbfleet.usecases.profiles import ProfileCatalogue

    defaults = StackDefaults(read(KnowledgeStoreSettings).ingestion, read(AnswerSettings).by_default)
    return ProfileCatalogue(profile_records(), defaults)


def profile_offer() -> StackOffer:
    """What the stack gives to profiles."""
    from kbfleet.settings.profiles import ProfileSettings

    return read(ProfileSettings).offer(fleet().aws_region, stores(), fleet().model_arn)


KNOWLEDGE_STORES: Mapping[str, str] = {
    "S3_VECTORS": "s3_vectors:S3VectorsKnowledgeStore",
    "OPENSEARCH_SERVERLESS": "opensearch_serverless:OpenSearchServerlessKnowledgeStore",
    "MANAGED": "managed:ManagedKnowledgeStore",
}
"""Every store that kbfleet has, one line each: its type, and where its class (`StoreType`) is below
`kbfleet.adapters.knowledge_stores`. The classes are imported when the offered stores are first asked for."""


def _store_type(name: str) -> type[StoreType]:
    found: type[StoreType] = resolve_name(f"kbfleet.adapters.knowledge_stores.{KNOWLEDGE_STORES[name]}")
    return found


def store_types() -> Mapping[str, type[StoreType]]:
    return {name: _store_type(name) for name in KNOWLEDGE_STORES}


def _client(service: str) -> Any:
    return boto3.client(service, config=_CLIENT)  # type: ignore[call-overload] # boto3-stubs know literal names only


@cache
def stores() -> Mapping[str, KnowledgeStore]:
    from kbfleet.adapters.dynamodb.index_catalogue import DynamoDBIndexCatalogue
    from kbfleet.adapters.knowledge_stores import StoreResources
    from kbfleet.adapters.knowledge_stores.offered_stores import OfferedStores
    from kbfleet.settings.provisioning import KnowledgeStoreSettings

    settings = read(KnowledgeStoreSettings)
    return OfferedStores(
        settings.knowledge_store,
        store_types(),
        StoreResources(
            names=fleet().names,
            ingestion=settings.ingestion,
            model_arn=fleet().model_arn,
            vector_bucket_name=settings.vector_bucket_name,
            collection_arn=settings.collection_arn,
            client=_client,
            catalogue=lambda store_type: DynamoDBIndexCatalogue(_table(), store_type),
        ),
    )


@cache
def knowledge_bases() -> KnowledgeBases:
    from kbfleet.adapters.bedrock import BedrockKnowledgeBases

    return BedrockKnowledgeBases(
        boto3.client("bedrock-agent", config=_CLIENT),
        asking_once=lambda: boto3.client("bedrock-agent", config=_CLIENT.merge(_ONCE)),
    )


@cache
def service_roles() -> ServiceRoles:
    from kbfleet.adapters.iam import IamServiceRoles, SharedServiceRole
    from kbfleet.settings.provisioning import ServiceRoleSettings

    settings = read(ServiceRoleSettings)
    own = IamServiceRoles(
        boto3.client("iam", config=_CLIENT),
        names=fleet().names,
        partition=fleet().partition,
        boundary_arn=settings.service_role_boundary_arn,
        clock=clock(),
    )
    return own if settings.service_roles == "PER_TENANT" else SharedServiceRole(settings.knowledge_base_role_arn, own)


def shared_service_role() -> ServiceRoles:
    """The role that comes with the stack, whatever tenants are to have."""
    from kbfleet.adapters.iam import SharedServiceRole
    from kbfleet.settings.provisioning import ServiceRoleSettings

    return SharedServiceRole(read(ServiceRoleSettings).knowledge_base_role_arn, service_roles())


@cache
def usage_keys() -> UsageKeys:
    from kbfleet.adapters.api_gateway import ApiGatewayUsageKeys

    return ApiGatewayUsageKeys(boto3.client("apigateway", config=_CLIENT))


@cache
def ticks() -> Ticks:
    from kbfleet.adapters.sqs import SqsTicks
    from kbfleet.settings.ingestion import IngestionSettings

    settings = read(IngestionSettings)
    return SqsTicks(
        boto3.client("sqs", config=_CLIENT),
        queue_url=settings.tick_queue_url,
        interval=settings.tick_interval,
        clock=clock(),
    )


@cache
def announcements() -> Announcements:
    from kbfleet.adapters.event_bridge import EventBridgeAnnouncements
    from kbfleet.settings.alerts import AnnouncementSettings

    return EventBridgeAnnouncements(
        boto3.client("events", config=_CLIENT), bus_name=read(AnnouncementSettings).bus_name
    )


@cache
def callbacks() -> TaskCallbacks:
    from kbfleet.adapters.step_functions import StepFunctionsTaskCallbacks

    return StepFunctionsTaskCallbacks(boto3.client("stepfunctions", config=_CLIENT))


@cache
def executions() -> Executions:
    from kbfleet.domain.workflow import Workflow

    return _executions(Workflow.PROVISION_TENANT)


@cache
def offboarding_executions() -> Executions:
    from kbfleet.domain.workflow import Workflow

    return _executions(Workflow.OFFBOARD_TENANT)


@cache
def rebuild_executions() -> Executions:
    from kbfleet.domain.workflow import Workflow

    return _executions(Workflow.REBUILD_TENANT)


def _executions(workflow: Workflow) -> Executions:
    from kbfleet.adapters.step_functions import StepFunctionsExecutions

    arn = fleet().state_machine_arn(workflow)
    return StepFunctionsExecutions(boto3.client("stepfunctions", config=_CLIENT), state_machine_arn=arn)


@cache
def scheduler() -> Scheduler:
    from kbfleet.settings.ingestion import IngestionSettings
    from kbfleet.usecases.ingestion import Scheduler

    return Scheduler(
        registry=registry(),
        ledger=ledger(),
        history=history(),
        knowledge_bases=knowledge_bases(),
        announcements=announcements(),
        callbacks=callbacks(),
        checks=deletion_checks(),
        ticks=ticks(),
        clock=clock(),
        start_interval=read(IngestionSettings).start_interval,
    )


@cache
def deletion_checks() -> DeletionChecks:
    from kbfleet.adapters.sqs_deletion_checks import SqsDeletionChecks
    from kbfleet.settings.ingestion import DeletionCheckQueueSettings

    queue_url = read(DeletionCheckQueueSettings).deletion_check_queue_url
    return SqsDeletionChecks(boto3.client("sqs", config=_CLIENT), queue_url=queue_url)


@cache
def deletion_check() -> DeletionCheck:
    from kbfleet.domain.deletions import DeletionLimit
    from kbfleet.settings.ingestion import DeletionCheckSettings
    from kbfleet.usecases.deletion_checks import DeletionCheck

    return DeletionCheck(
        registry=registry(),
        ledger=ledger(),
        history=history(),
        failed_documents=failed_documents(),
        bucket_contents=bucket_contents(),
        announcements=announcements(),
        callbacks=callbacks(),
        checks=deletion_checks(),
        ticks=ticks(),
        clock=clock(),
        names=fleet().names,
        limit=DeletionLimit(read(DeletionCheckSettings).deletion_limit),
    )


def change_batch() -> ChangeBatch:
    """A new one at each call: it is of one batch."""
    from kbfleet.settings.ingestion import DocumentChangeSettings
    from kbfleet.usecases.document_changes import ChangeBatch

    return ChangeBatch(
        registry=registry(),
        ledger=ledger(),
        ticks=ticks(),
        clock=clock(),
        names=fleet().names,
        debounce=read(DocumentChangeSettings).debounce,
    )


@cache
def refused_changes() -> DeadLetters:
    from kbfleet.adapters.sqs import SqsDeadLetters
    from kbfleet.settings.ingestion import DocumentChangeSettings

    queue_url = read(DocumentChangeSettings).change_dead_letter_queue_url
    return SqsDeadLetters(boto3.client("sqs", config=_CLIENT), queue_url=queue_url)


def sync_schedule() -> SyncSchedule:
    from kbfleet.settings.ingestion import ChangeEventSettings, IngestionSettings, SyncScheduleSettings
    from kbfleet.usecases.sync_schedule import SyncSchedule

    return SyncSchedule(
        registry=registry(),
        ledger=ledger(),
        fleet=fleet_records(),
        ticks=ticks(),
        clock=clock(),
        every=read(SyncScheduleSettings).sync_every,
        start_interval=read(IngestionSettings).start_interval,
        stale_after=read(SyncScheduleSettings).stale_after,
        events_after=read(ChangeEventSettings).events_after,
    )


def surveys() -> Surveys:
    from kbfleet.settings.ingestion import ChangeEventSettings
    from kbfleet.usecases.surveys import Surveys

    return Surveys(
        ledger=ledger(),
        history=history(),
        bucket_contents=bucket_contents(),
        ticks=ticks(),
        clock=clock(),
        names=fleet().names,
        events_after=read(ChangeEventSettings).events_after,
    )


@cache
def external_jobs() -> ExternalJobs:
    from kbfleet.settings.ingestion import ExternalJobSettings, IngestionSettings
    from kbfleet.usecases.external_jobs import LOOK_BACK, ExternalJobs

    return ExternalJobs(
        registry=registry(),
        ledger=ledger(),
        history=history(),
        knowledge_bases=knowledge_bases(),
        announcements=announcements(),
        rounds=external_job_rounds(),
        ticks=ticks(),
        clock=clock(),
        at_a_time=read(ExternalJobSettings).external_job_tenants,
        look_back=min(LOOK_BACK, timedelta(days=read(IngestionSettings).job_history_days)),
    )


@cache
def failed_documents() -> FailedDocuments:
    from kbfleet.adapters.dynamodb.documents import DynamoDBFailedDocuments

    return DynamoDBFailedDocuments(_table(), fleet().names)


@cache
def document_retries() -> DocumentRetries:
    from kbfleet.adapters.dynamodb.documents import DynamoDBDocumentRetries

    return DynamoDBDocumentRetries(_table())


@cache
def ingested_documents() -> IngestedDocuments:
    from kbfleet.adapters.bedrock_documents import BedrockDocuments

    return BedrockDocuments(boto3.client("bedrock-agent", config=_DOCUMENTS_CLIENT))


@cache
def bucket_contents() -> S3BucketContents:
    from kbfleet.adapters.s3 import S3BucketContents

    return S3BucketContents(boto3.client("s3", config=_CLIENT), account=fleet().account_id)


@cache
def retry_runs() -> RetryRuns:
    from kbfleet.adapters.sqs_retry_runs import SqsRetryRuns
    from kbfleet.settings.ingestion import DocumentRetrySettings

    queue_url = read(DocumentRetrySettings).document_retry_queue_url
    return SqsRetryRuns(boto3.client("sqs", config=_CLIENT), queue_url=queue_url)


@cache
def failure_collector() -> FailureCollector:
    from kbfleet.usecases.failed_documents import FailureCollector

    return FailureCollector(
        registry=registry(),
        failed_documents=failed_documents(),
        ingested_documents=ingested_documents(),
        bucket_contents=bucket_contents(),
        samples=bucket_contents(),
        stores=stores(),
        profiles=profiles(),
        announcements=announcements(),
        ledger=ledger(),
        clock=clock(),
        names=fleet().names,
    )


@cache
def retry_runner() -> RetryRunner:
    from kbfleet.usecases.failed_documents import RetryRunner

    return RetryRunner(
        registry=registry(),
        ledger=ledger(),
        failed_documents=failed_documents(),
        retries=document_retries(),
        ingested_documents=ingested_documents(),
        bucket_contents=bucket_contents(),
        runs=retry_runs(),
        announcements=announcements(),
        clock=clock(),
        names=fleet().names,
    )


@cache
def retrieval_probe() -> RetrievalProbe:
    from kbfleet.adapters.bedrock_retrieval import BedrockRetrievalProbe

    return BedrockRetrievalProbe(boto3.client("bedrock-agent-runtime", config=_CLIENT))


@cache
def document_tracer() -> DocumentTracer:
    from kbfleet.usecases.document_tracing import DocumentTracer

    return DocumentTracer(
        registry=registry(),
        stores=stores(),
        profiles=profiles(),
        ledger=ledger(),
        history=history(),
        knowledge_bases=knowledge_bases(),
        buckets=buckets(),
        bucket_contents=bucket_contents(),
        ingested_documents=ingested_documents(),
        failed_documents=failed_documents(),
        probe=retrieval_probe(),
        clock=clock(),
        names=fleet().names,
    )


@cache
def uploads() -> Uploads:
    from kbfleet.adapters.s3_uploads import S3Uploads
    from kbfleet.adapters.scoped_credentials import ScopedRole
    from kbfleet.settings.asking import UploadSettings

    settings = fleet()
    return S3Uploads(
        _upload_client(),
        uploader=ScopedRole(boto3.client("sts", config=_CLIENT), read(UploadSettings).uploader_role_arn),
        make=_upload_client,
        objects=f"arn:{settings.partition}:s3:::",
        account=settings.account_id,
        clock=clock(),
    )


def _upload_client(**credentials: str) -> Any:
    return boto3.client("s3", config=_CLIENT.merge(_SIGNED_FOR_ITS_REGION), **credentials)  # type: ignore[call-overload] # as above


@cache
def tenant_documents() -> TenantDocuments:
    from kbfleet.adapters.bedrock_documents import BedrockDocuments
    from kbfleet.usecases.documents import TenantDocuments

    return TenantDocuments(
        registry=registry(),
        ledger=ledger(),
        failed_documents=failed_documents(),
        # One attempt: a page gives way to whoever else asks of the account's five requests a second.
        ingested_documents=BedrockDocuments(boto3.client("bedrock-agent", config=_CLIENT.merge(_ONCE))),
        bucket_contents=bucket_contents(),
        names=fleet().names,
    )


@cache
def document_removal() -> DocumentRemoval:
    from kbfleet.adapters.s3_documents import S3DocumentRemoval
    from kbfleet.adapters.scoped_credentials import ScopedRole
    from kbfleet.settings.asking import RemovalSettings

    role = ScopedRole(boto3.client("sts", config=_CLIENT), read(RemovalSettings).document_remover_role_arn)
    return S3DocumentRemoval(boto3.client("s3", config=_CLIENT), role, **_of_documents())


@cache
def document_links() -> DocumentLinks:
    from kbfleet.adapters.s3_documents import S3DocumentLinks
    from kbfleet.adapters.scoped_credentials import ScopedRole
    from kbfleet.settings.asking import LinkSettings

    role = ScopedRole(boto3.client("sts", config=_CLIENT), read(LinkSettings).document_opener_role_arn)
    return S3DocumentLinks(role, **_of_documents())


def _of_documents() -> Mapping[str, Any]:
    settings = fleet()
    return {
        "make": _upload_client,
        "objects": f"arn:{settings.partition}:s3:::",
        "account": settings.account_id,
        "clock": clock(),
    }


@cache
def usage_records() -> UsageRecords:
    from kbfleet.adapters.dynamodb.usage import DynamoDBUsageRecords

    return DynamoDBUsageRecords(_table())


@cache
def refused_usage() -> DeadLetters:
    from kbfleet.adapters.sqs import SqsDeadLetters
    from kbfleet.settings.asking import UsageSettings

    queue_url = read(UsageSettings).usage_dead_letter_queue_url
    return SqsDeadLetters(boto3.client("sqs", config=_CLIENT), queue_url=queue_url)


@cache
def undelivered_messages() -> UndeliveredMessages:
    from kbfleet.adapters.sqs import SqsUndeliveredMessages
    from kbfleet.settings.provisioning import UndeliveredMessageSettings

    queue_urls = read(UndeliveredMessageSettings).dead_letter_queue_urls
    return SqsUndeliveredMessages(boto3.client("sqs", config=_CLIENT), queue_urls=queue_urls)


@cache
def askable_tenant_records() -> AskableTenantRecords:
    from kbfleet.adapters.dynamodb.askable_tenants import DynamoDBAskableTenantRecords

    return DynamoDBAskableTenantRecords(_table())


@cache
def tenant_names() -> TenantNames:
    from kbfleet.adapters.dynamodb.tenant_names import DynamoDBTenantNames

    return DynamoDBTenantNames(_table())


@cache
def askable_tenants() -> AskableTenants:
    from kbfleet.settings.asking import AskSettings
    from kbfleet.usecases.asking import AskableTenants

    return AskableTenants(askable_tenant_records(), clock(), read(AskSettings).registry_cache)


def answerer(knowledge_store: str, profile: str = "", version: int = 0) -> Answerer:
    """The one for knowledge bases that keep their vectors in that type of store.

    Args:
        profile, version: by which questions are answered, empty and 0 for what the stack's parameters say. Neither can
            change while this environment lives.

    Raises: ProfileNotFound.
    """
    # A session is signed when there is an answer: time to get the key.
    return _answerer(knowledge_store, profile, version, _session_secret().read_meanwhile)


@cache
def _answerer(knowledge_store: str, profile: str, version: int, meanwhile: Meanwhile) -> Answerer:
    from kbfleet.adapters.answerers import RetrieveAndGenerateAnswerer
    from kbfleet.domain.knowledge_base import KnowledgeBaseKind
    from kbfleet.domain.profiles import AnswererKind

    store = _store_type(knowledge_store)
    answering = _answering(profile, version)
    # Knowledge bases of type MANAGED have no RetrieveAndGenerate. Source: AWS documentation, Managed knowledge bases.
    if answering.answerer is AnswererKind.RETRIEVE_AND_GENERATE and store.kind is not KnowledgeBaseKind.MANAGED:
        clients = _answer_clients(RetrieveAndGenerateAnswerer.actions)
        generation = _generation(answering, by_profile=bool(version))
        return RetrieveAndGenerateAnswerer(clients, _search_by(store, answering), generation, meanwhile)
    return _retrieve_and_converse(knowledge_store, profile, version, meanwhile)


@cache
def _retrieve_and_converse(
    knowledge_store: str, profile: str, version: int, meanwhile: Meanwhile
) -> RetrieveAndConverseAnswerer:
    from kbfleet.adapters.answerers import RetrieveAndConverseAnswerer
    from kbfleet.adapters.dynamodb.conversations import DynamoDBConversations
    from kbfleet.adapters.sessions import LIFETIME

    answering = _answering(profile, version)
    conversations = DynamoDBConversations(_table(), clock(), LIFETIME)
    clients = _answer_clients(RetrieveAndConverseAnswerer.actions)
    search = _search_by(_store_type(knowledge_store), answering)
    generation = _generation(answering, by_profile=bool(version))
    return RetrieveAndConverseAnswerer(clients, search, generation, conversations, meanwhile)


def _generation(answering: Answering, *, by_profile: bool) -> Generation:
    from kbfleet.adapters.answerers import Generation
    from kbfleet.domain.answer import NothingFoundWords
    from kbfleet.settings.asking import AskSettings

    settings = read(AskSettings)
    own_prompt = answering.prompt
    secret_arn = "" if by_profile else settings.prompt_template_secret_arn
    guardrail = answering.guardrail
    return Generation(
        fleet().model_arn(answering.model),
        NothingFoundWords(
            answering.nothing_found.english or settings.nothing_found_english,
            answering.nothing_found.japanese or settings.nothing_found_japanese,
        ),
        _prompt_template(secret_arn) if own_prompt is None else lambda: own_prompt,
        guardrail.id if guardrail is not None else "",
        guardrail.version if guardrail is not None else "",
        fleet().names.tags,
        answering.temperature,
        answering.longest_answer,
    )


def _answering(profile: str, version: int) -> Answering:
    """Raises: ProfileNotFound."""
    from kbfleet.domain.errors import ProfileNotFound
    from kbfleet.domain.profiles import ProfileName
    from kbfleet.settings.asking import AskSettings

    if not version:
        return read(AskSettings).by_default
    found = profile_records().find(ProfileName(profile), version)
    if found is None:
        raise ProfileNotFound.of(profile, version)
    return found.answering


def _search_by(store: type[StoreType], answering: Answering) -> Search:
    from kbfleet.adapters.answerers import Reranking, Search

    reranker = answering.reranker
    return replace(
        Search.of(store),
        passages=answering.passages,
        search_type=answering.search_type,
        reranking=Reranking(fleet().model_arn(reranker.model), reranker.candidates) if reranker is not None else None,
        least_score=answering.least_score,
    )


def _prompt_template(secret_arn: str) -> Callable[[], str] | None:
    return _secret(secret_arn, timedelta(minutes=5)) if secret_arn else None


@cache
def _answer_clients(answering: tuple[str, ...]) -> Callable[[str, AskableTenant], Any]:
    from kbfleet.settings.asking import ReaderSettings

    return _tenant_clients(read(ReaderSettings).knowledge_base_reader_role_arn, *answering)


def _search_clients() -> Callable[[str, AskableTenant], Any]:
    from kbfleet.settings.asking import SearcherSettings

    return _tenant_clients(read(SearcherSettings).knowledge_base_searcher_role_arn)


def _tenant_clients(role_arn: str, *answering: str) -> Callable[[str, AskableTenant], Any]:
    """
    Args:
        role_arn: empty where the function has the right itself.
        answering: actions that are needed beside Retrieve.
    """
    if not role_arn:
        own = cache(_answer_client)
        return lambda call, _tenant: own(call)
    from kbfleet.adapters.scoped_credentials import ScopedRole
    from kbfleet.adapters.tenant_credentials import TenantClients

    settings = fleet()
    return TenantClients(
        ScopedRole(boto3.client("sts", config=_CLIENT), role_arn),
        make=_answer_client,
        knowledge_bases=f"arn:{settings.partition}:bedrock:{settings.aws_region}:{settings.account_id}:knowledge-base",
        answering=answering,
        clock=clock(),
    )


def _answer_client(call: str, **credentials: str) -> Any:
    from kbfleet.adapters.answerers import CALLS

    service, seconds = CALLS[call]
    # One attempt: a silent second one would come when the caller knows already that there is no answer. And
    # Bedrock itself checks what it is sent: botocore's check before it would be 0.3 ms of every answer.
    config = Config(
        connect_timeout=2,
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        parameter_validation=False,
    )
    return boto3.client(service, config=config, **credentials)  # type: ignore[call-overload] # as above


@cache
def sessions() -> Sessions:
    from kbfleet.adapters.sessions import SignedSessions

    return SignedSessions(_session_secret())


@cache
def tickets() -> Tickets:
    from kbfleet.adapters.sessions import SignedTickets

    return SignedTickets(_session_secret())


@cache
def _session_secret() -> RememberedSecret:
    from kbfleet.settings.asking import SessionSettings

    return _secret(read(SessionSettings).session_secret_arn, timedelta(hours=1))


def _secret(arn: str, remembered_for: timedelta) -> RememberedSecret:
    from kbfleet.adapters.secrets import RememberedSecret

    return RememberedSecret(_secrets, arn, clock=clock(), remembered_for=remembered_for)


@cache
def _secrets() -> SecretsManagerClient:
    return boto3.client("secretsmanager", config=_CLIENT)


@cache
def token_verifier() -> TokenVerifier:
    from kbfleet.adapters.identity import JwksTokenVerifier
    from kbfleet.adapters.issuer_keys import IssuerKeys
    from kbfleet.logs import logger
    from kbfleet.settings.asking import TokenSettings

    def log_unusable(keys: Mapping[str, int]) -> None:
        logger.warning("Some of the issuer's keys are not used", reasons=dict(keys))

    settings = read(TokenSettings)
    keys_url = settings.token_keys_url or f"{settings.token_issuer.rstrip('/')}/.well-known/jwks.json"
    return JwksTokenVerifier(
        IssuerKeys(keys_url, unusable=log_unusable),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        audience_claim=settings.token_audience_claim,
        tenant_claim=settings.token_tenant_claim,
        algorithms=settings.token_algorithms,
    )


@cache
def golden_questions() -> GoldenQuestions:
    from kbfleet.adapters.dynamodb.questions import DynamoDBGoldenQuestions

    return DynamoDBGoldenQuestions(_table())


@cache
def question_watches() -> QuestionWatches:
    from kbfleet.adapters.dynamodb.questions import DynamoDBQuestionWatches
    from kbfleet.settings.questions import QuestionHistorySettings

    return DynamoDBQuestionWatches(_table(), read(QuestionHistorySettings).kept_for)


@cache
def question_runs() -> QuestionRuns:
    from kbfleet.adapters.sqs_question_runs import SqsQuestionRuns
    from kbfleet.settings.questions import QuestionQueueSettings

    queue_url = read(QuestionQueueSettings).question_queue_url
    return SqsQuestionRuns(boto3.client("sqs", config=_CLIENT), queue_url=queue_url)


def question_retriever(knowledge_store: str, profile: str, version: int) -> Retriever:
    """Of golden questions, which have no session: so there is no secret to read meanwhile."""
    return _retrieve_and_converse(knowledge_store, profile, version, nullcontext)


@cache
def search_pace() -> SearchPace:
    """Of golden questions."""
    from kbfleet.adapters.dynamodb.questions import DynamoDBSearchPace
    from kbfleet.settings.questions import QuestionPaceSettings

    return DynamoDBSearchPace(_table(), read(QuestionPaceSettings).interval)


def breached(tenant: AskableTenant, error: IsolationBreached) -> None:
    """People hear of what a golden question has found that is not the tenant's own."""
    from kbfleet.refused_answers import tell_of_breach

    tell_of_breach(tenant, error, announcements=announcements, clock=clock)


@cache
def question_runner() -> QuestionRunner:
    from kbfleet.usage_log import log_golden_question
    from kbfleet.usecases.question_running import QuestionRunner

    return QuestionRunner(
        registry=registry(),
        tenants=askable_tenant_records(),
        questions=golden_questions(),
        watches=question_watches(),
        retrievers=question_retriever,
        answerers=partial(_answerer, meanwhile=nullcontext),
        pace=search_pace(),
        runs=question_runs(),
        names=fleet().names,
        clock=clock(),
        pause=lambda wait: sleep(wait.total_seconds()),
        breached=breached,
        spent=log_golden_question,
        bucket_contents=bucket_contents(),
        announcements=announcements(),
    )


def question_rounds() -> QuestionRounds:
    from kbfleet.adapters.dynamodb.rounds import DynamoDBTenantRounds
    from kbfleet.settings.questions import QuestionPaceSettings
    from kbfleet.usecases.question_rounds import QuestionRounds

    return QuestionRounds(
        registry=registry(),
        watches=question_watches(),
        runs=question_runs(),
        rounds=DynamoDBTenantRounds(_table(), "QUESTIONS"),
        clock=clock(),
        interval=read(QuestionPaceSettings).interval,
    )


@cache
def isolation_look() -> IsolationLook:
    from kbfleet.adapters.bedrock_retrieval import BedrockPassageSearch
    from kbfleet.adapters.dynamodb.rounds import ISOLATION, DynamoDBDocumentRounds, DynamoDBTenantRounds
    from kbfleet.usecases.isolation import IsolationLook

    return IsolationLook(
        registry=registry(),
        ledger=ledger(),
        stores=stores(),
        profiles=profiles(),
        knowledge_bases=knowledge_bases(),
        ingested_documents=ingested_documents(),
        passage_search=BedrockPassageSearch(_search_clients()),
        document_rounds=DynamoDBDocumentRounds(_table()),
        incidents=incidents(),
        callbacks=callbacks(),
        announcements=announcements(),
        rounds=DynamoDBTenantRounds(_table(), ISOLATION),
        names=fleet().names,
        clock=clock(),
    )


@cache
def examination() -> TenantExamination:
    from kbfleet.adapters.dynamodb.rounds import DynamoDBSearchAllowances
    from kbfleet.usecases.examination import TenantExamination

    return TenantExamination(
        registry=registry(),
        ledger=ledger(),
        buckets=buckets(),
        stores=stores(),
        profiles=profiles(),
        knowledge_bases=knowledge_bases(),
        service_roles=service_roles(),
        usage_keys=usage_keys(),
        history=history(),
        probe=retrieval_probe(),
        announcements=announcements(),
        names=fleet().names,
        clock=clock(),
        resources_version=resources_version(),
        allowances=DynamoDBSearchAllowances(_table()),
    )


@cache
def examiner() -> Examiner:
    """For functions that may not look at what an examination looks at."""
    from kbfleet.adapters.lambda_examiner import LambdaExaminer
    from kbfleet.settings.ingestion import ExaminerSettings

    # Whoever repeats it silently would have people hear of it twice.
    config = Config(connect_timeout=2, read_timeout=120).merge(_ONCE)
    return LambdaExaminer(boto3.client("lambda", config=config), function=read(ExaminerSettings).examiner_function)


@cache
def incidents() -> Incidents:
    from kbfleet.adapters.dynamodb.incidents import DynamoDBIncidents

    return DynamoDBIncidents(_table())


ALERT_CHANNELS: Mapping[str, str] = {
    "SLACK_WEBHOOK": "slack_webhook:SlackWebhookChannel",
    "SLACK_BOT": "slack_bot:SlackBotChannel",
    "SNS": "sns:SnsChannel",
}
"""Every alert channel that kbfleet has, one line each: its name, and where its class (`ChannelType`) is below
`kbfleet.adapters.alert_channels`."""


@cache
def alert_channel() -> AlertChannel:
    from kbfleet.adapters.alert_channels import ChannelResources
    from kbfleet.settings.alerts import AlertSettings

    settings = read(AlertSettings)
    remembered = _secret(settings.slack_webhook_secret_arn, timedelta(minutes=1))

    def secret() -> str:
        try:
            return remembered()
        except KbfleetError as error:
            raise AlertNotDelivered("The secret of the alert channel cannot be read.") from error

    kind: type[ChannelType] = resolve_name(f"kbfleet.adapters.alert_channels.{ALERT_CHANNELS[settings.alert_channel]}")
    return kind.made_of(
        ChannelResources(
            secret=secret,
            slack_channel_id=settings.slack_channel_id,
            topic_arn=settings.alert_topic_arn,
            client=_client,
        )
    )


@cache
def deployment() -> Deployment:
    """Which stack speaks to people."""
    from kbfleet.domain.alert import Deployment
    from kbfleet.settings.alerts import AlertSettings

    return Deployment(fleet().stack_name, fleet().aws_region, read(AlertSettings).runbook_url.rstrip("/"))


def incident_desk() -> IncidentDesk:
    from kbfleet.usecases.incidents import IncidentDesk

    return IncidentDesk(incidents(), alert_channel(), clock(), deployment(), tenant_names())
