"""Trigger: the alert queue, which rules on both buses fill. All that a batch says is recorded first. Then people are
notified of each incident that it concerns."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse, parse_json
from kbfleet.contracts.aws_events import (
    ALARM_STATE_CHANGE,
    EXECUTION_STATUS_CHANGE,
    AlarmStateChangeEvent,
    StoppedExecutionInput,
    SucceededExecutionEvent,
)
from kbfleet.contracts.events import (
    DOCUMENT_FAILURES,
    DOCUMENT_RETRY_ENDED,
    FLEET_DIAGNOSED,
    ISOLATION_BREACHED,
    ISOLATION_VERIFIED,
    OFFBOARDING_FAILED,
    PROVISIONING_FAILED,
    QUESTIONS_JUDGED,
    REBUILD_FAILED,
    SYNC_HELD,
    TENANT_DIAGNOSED,
    DocumentFailuresEvent,
    DocumentRetryEndedEvent,
    FleetDiagnosedEvent,
    IsolationBreachedEvent,
    IsolationVerifiedEvent,
    JobStateChangeEvent,
    QuestionsJudgedEvent,
    SyncHeldEvent,
    TenantDiagnosedEvent,
    WorkflowFailedEvent,
)
from kbfleet.domain import signals
from kbfleet.domain.incident import Signal
from kbfleet.logs import logger
from kbfleet.usecases.incidents import IncidentDesk

_LONGEST_NOTIFICATION_MILLISECONDS = 15_000
"""Two attempts at Slack with a pause between them."""


def _signals(event: dict[str, Any]) -> tuple[Signal, ...]:
    deployment, kind = bootstrap.deployment(), event["detail-type"]
    if kind in {PROVISIONING_FAILED, OFFBOARDING_FAILED, REBUILD_FAILED}:
        failed = parse(WorkflowFailedEvent, event).detail
        return signals.of_workflow_failure(failed.tenant_id, failed.to_domain(), deployment)
    if kind == DOCUMENT_FAILURES:
        return signals.of_documents(parse(DocumentFailuresEvent, event).detail.to_domain(), deployment)
    if kind == SYNC_HELD:
        return signals.of_held_sync(parse(SyncHeldEvent, event).detail.to_domain(), deployment)
    if kind == DOCUMENT_RETRY_ENDED:
        return signals.of_retry(parse(DocumentRetryEndedEvent, event).detail.to_domain(), deployment)
    if kind == ISOLATION_BREACHED:
        return signals.of_breach(parse(IsolationBreachedEvent, event).detail.to_domain(), deployment)
    if kind == TENANT_DIAGNOSED:
        return signals.of_diagnosis(parse(TenantDiagnosedEvent, event).detail.to_domain(), deployment)
    if kind == FLEET_DIAGNOSED:
        return signals.of_fleet_diagnosis(parse(FleetDiagnosedEvent, event).detail.to_domain(), deployment)
    if kind == QUESTIONS_JUDGED:
        return signals.of_questions(parse(QuestionsJudgedEvent, event).detail.to_domain(), deployment)
    if kind == ISOLATION_VERIFIED:
        return signals.of_isolation_verified(parse(IsolationVerifiedEvent, event).detail.to_domain())
    if kind == EXECUTION_STATUS_CHANGE:
        ended = parse(SucceededExecutionEvent, event).detail
        if ended.superseded:
            return ()
        tenant_id = parse_json(StoppedExecutionInput, ended.input).tenant_id
        return signals.of_workflow_success(tenant_id, ended.workflow, ended.executionArn, ended.stopDate)
    if kind == ALARM_STATE_CHANGE:
        alarm = parse(AlarmStateChangeEvent, event).detail
        return signals.of_alarm(
            alarm.alarmName,
            ringing=alarm.state.value == "ALARM",
            description=alarm.configuration.description,
            reason=alarm.state.reason,
            at=alarm.state.timestamp,
            deployment=deployment,
        )
    return signals.of_ingestion(parse(JobStateChangeEvent, event).detail.to_domain(), deployment)


def _recorded(desk: IncidentDesk, batch: SQSEvent) -> tuple[dict[str, set[str]], set[str]]:
    """Returns: identities of the incidents that messages concern, each with those messages; and the messages that could
    not be recorded."""
    concerned: dict[str, set[str]] = {}
    refused = set()
    for record in batch.records:
        try:
            for signal in _signals(record.json_body):
                for incident in desk.record(signal):
                    concerned.setdefault(incident, set()).add(record.message_id)
                    # By this line, the incident of a tenant is found, and the tenants of an incident.
                    logger.info("A signal is recorded", subject=signal.subject, incident=incident)
        except Exception as error:  # noqa: BLE001 -- the queue offers it again, and keeps it in the end
            logger.warning(
                "The event is not recorded", message_id=record.message_id, error=type(error).__name__, reason=str(error)
            )
            refused.add(record.message_id)
    return concerned, refused


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    desk = bootstrap.incident_desk()
    concerned, again = _recorded(desk, SQSEvent(event))
    for incident, messages in concerned.items():
        if context.get_remaining_time_in_millis() < _LONGEST_NOTIFICATION_MILLISECONDS:
            logger.warning("People are not notified", incident=incident, error="Timeout", reason="No time is left.")
            again |= messages
            continue
        try:
            if posted := desk.notify(incident):
                logger.info("People are notified", incident=incident, messages=posted)
        except Exception as error:  # noqa: BLE001 -- as above
            logger.warning("People are not notified", incident=incident, error=type(error).__name__, reason=str(error))
            again |= messages
    return {"batchItemFailures": [{"itemIdentifier": message} for message in sorted(again)]}
