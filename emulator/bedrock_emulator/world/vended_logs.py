"""Vended logs of knowledge bases, delivered to a Lambda function as a log group's subscription filter would.

The records are those of AWS documentation, "Monitor knowledge bases using CloudWatch Logs"; the form of delivery is
that of "Using CloudWatch Logs subscription filters": base64 of gzip of JSON in ``awslogs.data``.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from bedrock_emulator.world.clock import Clock
from bedrock_emulator.world.records import Document, IngestionJob, KnowledgeBase

_log = logging.getLogger(__name__)

LOG_GROUP = "/aws/vendedlogs/bedrock/knowledge-bases"
EVENTS_PER_DELIVERY = 100

JobStatus = Literal["INGESTION_JOB_STARTED", "CRAWLING_COMPLETED", "COMPLETE", "FAILED", "STOPPED"]
# As users report them; RESOURCE_IGNORED is what the documents' own status IGNORED is called here.
_DOCUMENT_STATUSES = {"IGNORED": "RESOURCE_IGNORED"}


@dataclass(frozen=True)
class Subscription:
    """A Lambda function that gets the records of a log group, of one knowledge base or of all."""

    function: str
    log_group: str = LOG_GROUP
    knowledge_base_arn: str | None = None


Carrier = Callable[[str, list[dict[str, Any]]], None]
"""Takes records of a knowledge base, told by its ARN, wherever they are to go. It must not wait for anything."""


def subscription_event(
    *, owner: str, log_group: str, log_stream: str, subscription: str, records: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """What a subscription filter invokes a function with for these records."""
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": owner,
        "logGroup": log_group,
        "logStream": log_stream,
        "subscriptionFilters": [subscription],
        "logEvents": [
            {
                "id": uuid.uuid4().hex,
                "timestamp": record["event_timestamp"],
                "message": json.dumps(record, ensure_ascii=False),
            }
            for record in records
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}}


class VendedLogs:
    """Writes the records and delivers them. Call it holding the account's lock: records keep their order."""

    def __init__(self, account: str, clock: Clock, client_factory: Callable[[str], Any]) -> None:
        """No subscriptions, no carriers."""
        self._account = account
        self._clock = clock
        self._client_factory = client_factory
        self._subscriptions: list[Subscription] = []
        self._carriers: list[Carrier] = []

    def carry_by(self, carrier: Carrier) -> None:
        """Give the records to it too, from now on."""
        self._carriers.append(carrier)

    def subscribe(self, subscription: Subscription) -> None:
        """Deliver to this function too, from now on."""
        self._subscriptions.append(subscription)

    def unsubscribe_all(self) -> None:
        """Deliver to nobody."""
        self._subscriptions.clear()

    def subscriptions(self) -> list[Subscription]:
        """All of them."""
        return list(self._subscriptions)

    def job_changed(self, base: KnowledgeBase, job: IngestionJob, status: JobStatus) -> None:
        """The job of a knowledge base has come to ``status``, in the records' own words."""
        if base.managed and status != "INGESTION_JOB_STARTED":
            # Users see no terminal job status in the records of MANAGED knowledge bases.
            return
        event = {
            "ingestion_job_id": job.identifier,
            "data_source_id": job.data_source_id,
            "ingestion_job_status": status,
            "knowledge_base_arn": base.arn,
            "resource_statistics": _statistics(job),
        }
        level = "ERROR" if status == "FAILED" else "INFO"
        self._deliver(base.arn, [self._record("StartIngestionJob.StatusChanged", level, event)])

    def documents_ended(self, base: KnowledgeBase, job: IngestionJob, documents: Iterable[Document]) -> None:
        """The job is done with these documents."""
        records = []
        for document in documents:
            event = {
                "ingestion_job_id": job.identifier,
                "data_source_id": job.data_source_id,
                "knowledge_base_arn": base.arn,
                "document_location": {"type": "S3", "s3_location": {"uri": document.identifier.reference}},
                "status": _DOCUMENT_STATUSES.get(document.status, document.status),
                "status_reasons": [document.status_reason] if document.status_reason else [],
            }
            level = "INFO" if document.status == "INDEXED" else "WARN"
            records.append(self._record("StartIngestionJob.ResourceStatusChanged", level, event))
        for start in range(0, len(records), EVENTS_PER_DELIVERY):
            self._deliver(base.arn, records[start : start + EVENTS_PER_DELIVERY])

    def _record(self, kind: str, level: str, event: dict[str, Any]) -> dict[str, Any]:
        return {
            "event_timestamp": int(self._clock.wall_time(self._clock.now()) * 1000),
            "event": event,
            "event_version": "1.0",
            "event_type": kind,
            "level": level,
        }

    def _deliver(self, arn: str, records: list[dict[str, Any]]) -> None:
        for carry in self._carriers:
            carry(arn, records)
        for subscription in self._subscriptions:
            if subscription.knowledge_base_arn not in (None, arn):
                continue
            event = subscription_event(
                owner=self._account,
                log_group=subscription.log_group,
                log_stream=arn.rpartition("/")[2],
                subscription="bedrock-emulator",
                records=records,
            )
            payload = json.dumps(event).encode()
            if self._clock.real_seconds_until(self._clock.now()) is None:
                self._invoke(subscription.function, payload)
            else:
                # The function may well ask this emulator something before it answers.
                Thread(target=self._invoke, args=(subscription.function, payload), daemon=True).start()

    def _invoke(self, function: str, payload: bytes) -> None:
        try:
            self._client_factory("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        except (ClientError, BotoCoreError) as error:
            # As with a real subscription, a job does not fail because its log could not be delivered.
            _log.warning("log records could not be delivered to %s: %s", function, error)


def _statistics(job: IngestionJob) -> dict[str, int]:
    counts = job.statistics
    return {
        "number_of_resources_updated": counts["numberOfModifiedDocumentsIndexed"],
        "number_of_resources_ingested": counts["numberOfNewDocumentsIndexed"],
        "number_of_resources_deleted": counts["numberOfDocumentsDeleted"],
        "number_of_resources_with_metadata_updated": counts["numberOfMetadataDocumentsModified"],
        "number_of_resources_failed": counts["numberOfDocumentsFailed"],
    }
