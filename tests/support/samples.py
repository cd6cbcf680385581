"""Valid domain objects to start a test from; name only what the test is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from kbfleet.domain.alert import Deployment
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.model_ids import is_inference_profile
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, ResourceNames, TenantId
from kbfleet.domain.profiles import Answering, Embedding, Ingestion, StackDefaults
from kbfleet.domain.sync import SyncResult
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from tests.support.clock import START

ACCOUNT = "123456789012"
REGION = "us-east-1"
STACK_ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/kbfleet/1"
ACME = TenantId("acme")
SAKURA = TenantId("sakura")
NAMES = ResourceNames("kbfleet", ACCOUNT, REGION)
DEPLOYMENT = Deployment("kbfleet", REGION)
DATA_SOURCE = DataSourceReference("KB00000001", "DS00000002")
INGESTION = Ingestion("S3_VECTORS", Embedding("amazon.titan-embed-text-v2:0", 1_024))
"""What the parameters of a stack say that leaves them as they are."""
STACK_DEFAULTS = StackDefaults(INGESTION, Answering("us.amazon.nova-lite-v1:0"))
EXECUTION = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:kbfleet-provision-tenant:acme-20261102T090000000000"


def model_arn(model_id: str) -> str:
    """Of a foundation model or an inference profile."""
    if is_inference_profile(model_id):
        return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model_id}"
    return f"arn:aws:bedrock:{REGION}::foundation-model/{model_id}"


def first_knowledge(tenant_id: str) -> Knowledge:
    """What the tenant knows in its first life."""
    return Knowledge(Life(TenantId(tenant_id)))


def uri_of(key: str, tenant_id: TenantId = ACME) -> str:
    """The URI of a document in the tenant's bucket."""
    return f"s3://{NAMES.bucket(Life(tenant_id))}/{key}"


def failure_reason(text: str, *uris: str) -> FailureReason:
    """As Bedrock names documents with a cause."""
    return FailureReason(text, f"[Files: {', '.join(uris)}]. Call to Customer Source did not succeed.")


def tenant(tenant_id: TenantId = ACME, /, **fields: object) -> Tenant:
    """An active tenant."""
    active = Tenant(
        tenant_id=tenant_id,
        name=str(tenant_id).title(),
        status=TenantStatus.ACTIVE,
        knowledge_store="S3_VECTORS",
        created_at=START,
        updated_at=START,
        status_since=START,
        announced=True,
        fence=1,
        bucket_name=NAMES.bucket(Life(tenant_id)),
        knowledge_store_reference=f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:index/{tenant_id}",
        knowledge_base_id=DATA_SOURCE.knowledge_base_id,
        data_source_id=DATA_SOURCE.data_source_id,
    )
    return replace(active, **fields)  # type: ignore[arg-type]  # the fields are checked where the test names them


def provisioning_failure(execution: str = EXECUTION, reason: str = "Access denied.") -> WorkflowFailure:
    return WorkflowFailure(Workflow.PROVISION_TENANT, "Ensure Bucket", "AccessRefused", reason, execution, START)


def ingestion_job(
    status: JobStatus = JobStatus.COMPLETE,
    *,
    ingestion_job_id: str = "JOB0000003",
    statistics: Statistics | None = None,
    failure_reasons: tuple[FailureReason, ...] = (),
    started_at: datetime = START,
) -> IngestionJob:
    return IngestionJob(
        ingestion_job_id,
        status,
        started_at,
        started_at + timedelta(minutes=3),
        statistics or Statistics(),
        failure_reasons,
    )


def sync_result(outcome: Outcome = Outcome.SUCCEEDED, generation: int = 1) -> SyncResult:
    return SyncResult(outcome, generation, START, "JOB0000003")


def job_state_change(**fields: object) -> JobStateChange:
    """A job that has succeeded after one that had, too."""
    succeeded = JobStateChange(
        tenant_id=ACME,
        data_source=DATA_SOURCE,
        generation=1,
        status=JobStatus.COMPLETE,
        occurred_at=START + timedelta(minutes=3),
        ingestion_job_id="JOB0000003",
        started_at=START,
        outcome=Outcome.SUCCEEDED,
        previous_outcome=Outcome.SUCCEEDED,
        statistics=Statistics(scanned=12, new=9, modified=3),
    )
    return replace(succeeded, **fields)  # type: ignore[arg-type]  # the fields are checked where the test names them
