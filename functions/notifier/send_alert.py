"""Trigger: the alert queue, which a rule on the bus fills. One Slack message an occurrence, however often it is
delivered."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import (
    DOCUMENT_FAILURES,
    OFFBOARDING_FAILED,
    PROVISIONING_FAILED,
    DocumentFailuresEvent,
    JobStateChangeEvent,
    WorkflowFailedEvent,
    parse,
)
from kbfleet.telemetry import logger, tracer
from kbfleet.usecases.alerting import alert_documents, alert_ingestion, alert_workflow_failure

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
_A_DAY_IN_SECONDS = 86_400
_delivered = DynamoDBPersistenceLayer(
    table_name=bootstrap.fleet().table_name,
    key_attr="PK",
    sort_key_attr="SK",
    static_pk_value="DELIVERED_ALERT",
    expiry_attr="expires_at",
)
# EventBridge and SQS both deliver at least once: a day is longer than either can repeat an event.
_once = IdempotencyConfig(expires_after_seconds=_A_DAY_IN_SECONDS)


@idempotent_function(data_keyword_argument="identity", persistence_store=_delivered, config=_once)
def _deliver(*, identity: str, event: dict[str, Any]) -> None:
    channel, deployment = bootstrap.alert_channel(), bootstrap.fleet().deployment
    if event["detail-type"] in {PROVISIONING_FAILED, OFFBOARDING_FAILED}:
        failed = parse(WorkflowFailedEvent, event).detail
        alert_workflow_failure(failed.tenant_id, failed.to_domain(), channel=channel, deployment=deployment)
    elif event["detail-type"] == DOCUMENT_FAILURES:
        report = parse(DocumentFailuresEvent, event).detail.to_domain()
        alert_documents(report, channel=channel, deployment=deployment)
    else:
        change = parse(JobStateChangeEvent, event).detail
        alert_ingestion(change.to_domain(), channel=channel, deployment=deployment)
    logger.info("The alert is delivered", alert=identity)


def _record(record: SQSRecord) -> None:
    identity = "unknown"
    try:
        event = record.json_body
        detail = event["detail"]
        identity = detail.get("identity") or detail["execution"]
        _deliver(identity=identity, event=event)
    except Exception as error:
        # The batch processor keeps quiet about what it hands back to the queue.
        logger.warning("The alert is not delivered", alert=identity, error=type(error).__name__, reason=str(error))
        raise


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    _once.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=_record, processor=_processor, context=context)
