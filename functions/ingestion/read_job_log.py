"""Trigger: what knowledge bases log of their jobs, by a subscription filter. When it is news, a tick at once."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.aws_events import JobLogRecord
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.ingestion import LoggedJobState
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish
from kbfleet.telemetry import report_tick, tracer
from kbfleet.usecases.job_log import tick_on_news


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    batch = CloudWatchLogsEvent(event).parse_logs_data()
    if batch.message_type != "DATA_MESSAGE":
        return  # CloudWatch Logs only tries whether we can be reached
    states: list[LoggedJobState] = []
    for record in batch.log_events:
        try:
            states.append(parse_json(JobLogRecord, record.message).to_domain())
        except InvalidInput as error:
            logger.warning("A record of a job is malformed", record_id=record.get_id, reason=str(error))
    if malformed := len(batch.log_events) - len(states):
        publish({Metric.JOB_LOG_RECORDS_MALFORMED: malformed})
    report = tick_on_news(states, ledger=bootstrap.ledger(), scheduler=bootstrap.scheduler())
    if report is not None:
        report_tick(report, now=bootstrap.clock().now())
