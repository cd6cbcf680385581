"""What goes wrong with tenants, and is remembered of them."""

from __future__ import annotations

import json
from datetime import timedelta

import kbfleet.bootstrap
from kbfleet.contracts.events import JobStateChangeDetail
from kbfleet.domain.alert import Deployment
from kbfleet.domain.ingestion_job import JobStateChange, JobStatus, Outcome
from kbfleet.domain.names import DataSourceReference, TenantId
from kbfleet.domain.signals import of_ingestion
from kbfleet.usecases.incidents import IncidentDesk
from tests.support.incidents import RecordingAlertChannel
from tests.support.samples import failure_reason
from tests.support.virtual_fleet import VirtualFleet
from tests.support.virtual_time import ProductClock


def tell_of_trouble(fleet: VirtualFleet, *tenant_ids: str) -> None:
    """They are in one incident, the newest failure is of the first, and messages about each wait in the dead-letter
    queues."""
    clock = ProductClock(fleet.clock)
    deployment = Deployment("kbfleet", "ap-northeast-1")
    desk = IncidentDesk(kbfleet.bootstrap.incidents(), RecordingAlertChannel(), clock, deployment)
    for seconds, tenant_id in reversed(list(enumerate(tenant_ids))):
        document = f"s3://{fleet.names.bucket(fleet.life(tenant_id))}/plans.pdf"
        failed = JobStateChange(
            TenantId(tenant_id),
            DataSourceReference("KB00000000", "DS00000000"),
            generation=1,
            status=JobStatus.FAILED,
            occurred_at=clock.now() - timedelta(seconds=seconds),
            outcome=Outcome.FAILED,
            failure_reasons=(failure_reason("No text content found.", document),),
        )
        for signal in of_ingestion(failed, deployment):
            desk.record(signal)
        event = {"detail": JobStateChangeDetail.from_domain(failed).model_dump(mode="json")}
        for queue in fleet.dead_letters.values():
            queue.keep(json.dumps(event))
