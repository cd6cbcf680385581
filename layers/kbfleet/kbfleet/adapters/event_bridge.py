"""kbfleet's own events on its EventBridge bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.events import (
    DOCUMENT_FAILURES,
    DOCUMENT_RETRY_ENDED,
    FLEET_DIAGNOSED,
    INGESTION_SOURCE,
    ISOLATION_BREACHED,
    ISOLATION_VERIFIED,
    JOB_STATE_CHANGE,
    OFFBOARDING_FAILED,
    PROVISIONING_FAILED,
    QUESTIONS_JUDGED,
    REBUILD_ENDED,
    REBUILD_FAILED,
    RECONCILIATION_REPORT,
    SYNC_HELD,
    TENANT_DIAGNOSED,
    TENANT_SOURCE,
    TENANT_STATE_CHANGE,
    DocumentFailuresDetail,
    DocumentRetryEndedDetail,
    FleetDiagnosedDetail,
    IsolationBreachedDetail,
    IsolationVerifiedDetail,
    JobStateChangeDetail,
    QuestionsJudgedDetail,
    RebuildEndedDetail,
    ReconciliationDetail,
    SyncHeldDetail,
    TenantDiagnosedDetail,
    TenantStateChangeDetail,
    WorkflowFailedDetail,
)
from kbfleet.domain.bounds import EVENT_BYTES, MESSAGE_BYTES, shortened
from kbfleet.domain.errors import AccessRefused, NotReadyYet, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_events.client import EventBridgeClient
    from pydantic import BaseModel

    from kbfleet.domain.deletions import SyncHeld
    from kbfleet.domain.diagnosis import Diagnosis, FleetDiagnosis
    from kbfleet.domain.errors import KbfleetError
    from kbfleet.domain.failed_documents import FailureReport, RetryReport
    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.isolation import Breach, IsolationVerified
    from kbfleet.domain.names import TenantId
    from kbfleet.domain.question_runs import QuestionsJudged
    from kbfleet.domain.rebuild import RebuildEnded
    from kbfleet.domain.reconciliation import Reconciliation
    from kbfleet.domain.tenant import TenantStateChange
    from kbfleet.domain.workflow import WorkflowFailure


_REFUSALS: Mapping[str, type[KbfleetError]] = {
    "AccessDeniedException": AccessRefused,
    "InvalidArgument": RequestRefused,
    "MalformedDetail": RequestRefused,
    "NotAuthorizedForDetailTypeException": AccessRefused,
    "NotAuthorizedForSourceException": AccessRefused,
}
"""What the same event would get again. Source: botocore model of EventBridge, PutEventsResultEntry. What is not named
there may pass."""


class EventBridgeAnnouncements:
    """`kbfleet.ports.Announcements` on EventBridge."""

    def __init__(self, client: EventBridgeClient, *, bus_name: str) -> None:
        self._client = client
        self._bus_name = bus_name

    def job_state_changed(self, change: JobStateChange) -> None:
        self._put(INGESTION_SOURCE, JOB_STATE_CHANGE, JobStateChangeDetail.from_domain(change))

    def sync_held(self, held: SyncHeld) -> None:
        self._put(INGESTION_SOURCE, SYNC_HELD, SyncHeldDetail.from_domain(held))

    def tenant_state_changed(self, change: TenantStateChange) -> None:
        self._put(TENANT_SOURCE, TENANT_STATE_CHANGE, TenantStateChangeDetail.from_domain(change))

    def provisioning_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self._put(TENANT_SOURCE, PROVISIONING_FAILED, WorkflowFailedDetail.from_domain(tenant_id, failure))

    def reconciled(self, report: Reconciliation) -> None:
        detail = ReconciliationDetail.from_domain(report, at_most=100, most_bytes=EVENT_BYTES)
        self._put(TENANT_SOURCE, RECONCILIATION_REPORT, detail)

    def offboarding_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self._put(TENANT_SOURCE, OFFBOARDING_FAILED, WorkflowFailedDetail.from_domain(tenant_id, failure))

    def failures_collected(self, report: FailureReport) -> None:
        self._put(INGESTION_SOURCE, DOCUMENT_FAILURES, DocumentFailuresDetail.from_domain(report))

    def retry_ended(self, report: RetryReport) -> None:
        self._put(INGESTION_SOURCE, DOCUMENT_RETRY_ENDED, DocumentRetryEndedDetail.from_domain(report))

    def isolation_breached(self, breach: Breach) -> None:
        self._put(TENANT_SOURCE, ISOLATION_BREACHED, IsolationBreachedDetail.from_domain(breach))

    def isolation_verified(self, verified: IsolationVerified) -> None:
        self._put(TENANT_SOURCE, ISOLATION_VERIFIED, IsolationVerifiedDetail.from_domain(verified))

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        self._put(TENANT_SOURCE, TENANT_DIAGNOSED, TenantDiagnosedDetail.from_domain(diagnosis))

    def fleet_diagnosed(self, diagnosis: FleetDiagnosis) -> None:
        self._put(TENANT_SOURCE, FLEET_DIAGNOSED, FleetDiagnosedDetail.from_domain(diagnosis))

    def questions_judged(self, judged: QuestionsJudged) -> None:
        self._put(TENANT_SOURCE, QUESTIONS_JUDGED, QuestionsJudgedDetail.from_domain(judged))

    def rebuild_ended(self, ended: RebuildEnded) -> None:
        self._put(TENANT_SOURCE, REBUILD_ENDED, RebuildEndedDetail.from_domain(ended))

    def rebuild_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self._put(TENANT_SOURCE, REBUILD_FAILED, WorkflowFailedDetail.from_domain(tenant_id, failure))

    def _put(self, source: str, detail_type: str, detail: BaseModel) -> None:
        """PutEvents reports inside a successful answer that the bus did not take the event.

        Raises: NotReadyYet, RequestRefused, AccessRefused.
        """
        with translated(f"event bus {self._bus_name}"):
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus_name,
                        "Source": source,
                        "DetailType": detail_type,
                        "Detail": detail.model_dump_json(),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            refused = answer["Entries"][0]
            code = refused.get("ErrorCode", "")
            what = (
                f"Event bus {self._bus_name} did not take the event {detail_type}: "
                f"{code}: {shortened(refused.get('ErrorMessage', ''), MESSAGE_BYTES)}."
            )
            raise _REFUSALS.get(code, NotReadyYet)(what)
