"""Telling people what broke and how to mend it."""

from __future__ import annotations

from kbfleet.domain.alert import Deployment, document_alert, ingestion_alert, workflow_alert
from kbfleet.domain.documents import FailureReport
from kbfleet.domain.ingestion import JobStateChange
from kbfleet.domain.tenant import TenantId, WorkflowFailure
from kbfleet.ports import AlertChannel


def alert_ingestion(change: JobStateChange, *, channel: AlertChannel, deployment: Deployment) -> bool:
    """Returns: whether there was something to say.

    Raises:
        AlertNotDelivered: the channel did not take it; offer the event again.
    """
    alert = ingestion_alert(change, deployment)
    if alert is not None:
        channel.send(alert)
    return alert is not None


def alert_documents(report: FailureReport, *, channel: AlertChannel, deployment: Deployment) -> bool:
    """Returns: whether there was something to say.

    Raises:
        AlertNotDelivered: the channel did not take it; offer the event again.
    """
    alert = document_alert(report, deployment)
    if alert is not None:
        channel.send(alert)
    return alert is not None


def alert_workflow_failure(
    tenant_id: TenantId, failure: WorkflowFailure, *, channel: AlertChannel, deployment: Deployment
) -> None:
    """Raises: AlertNotDelivered."""
    channel.send(workflow_alert(tenant_id, failure, deployment))
