"""Trigger: the change queue, which a rule on the default bus fills with S3's events about tenants' buckets."""

from collections import Counter
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.aws_events import DocumentChangeEvent
from kbfleet.domain.errors import InvalidInput, KbfleetError, TenantNotFound, TenantOffboarded
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish
from kbfleet.usecases.document_changes import ChangeBatch

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
_COUNTED = (
    Metric.CHANGES_NOTED,
    Metric.CHANGES_OF_LEAVING_TENANTS,
    Metric.CHANGES_OF_UNKNOWN_TENANTS,
    Metric.MALFORMED_CHANGES,
)


def _refuse(message: str, error: KbfleetError) -> None:
    bootstrap.refused_changes().keep(message, error)
    logger.warning("The change is refused", error=type(error).__name__, reason=str(error))


def _note(message: str, batch: ChangeBatch) -> Metric:
    """Returns: the metric that counts the change."""
    try:
        noted = batch.note(parse_json(DocumentChangeEvent, message).to_domain())
    except InvalidInput as error:
        _refuse(message, error)
        return Metric.MALFORMED_CHANGES
    except (TenantNotFound, TenantOffboarded) as error:
        _refuse(message, error)
        return Metric.CHANGES_OF_UNKNOWN_TENANTS
    return Metric.CHANGES_NOTED if noted else Metric.CHANGES_OF_LEAVING_TENANTS


def _record(record: SQSRecord, *, batch: ChangeBatch, counted: Counter[Metric]) -> None:
    try:
        counted[_note(record.body, batch)] += 1
    except Exception as error:
        # The batch processor keeps quiet about what it hands back to the queue.
        logger.warning("The change will be offered again", error=type(error).__name__, reason=str(error))
        raise


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    batch, counted = bootstrap.change_batch(), Counter[Metric]()
    record_handler = partial(_record, batch=batch, counted=counted)
    answer = process_partial_response(event=event, record_handler=record_handler, processor=_processor, context=context)
    publish({metric: counted[metric] for metric in _COUNTED})
    logger.info("Changes", noted=counted[Metric.CHANGES_NOTED], tenants=batch.tenants)
    return answer
