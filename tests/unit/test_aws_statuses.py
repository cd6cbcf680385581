"""Whatever status AWS gives, in whatever order: each is one that kbfleet knows, and each leads somewhere.

The statuses are those of botocore's model, and one that AWS has yet to invent. Where kbfleet waits for an end, it waits
for a bounded time, whichever it sees on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.doctor import _DEPLOYED
from kbfleet.adapters.step_functions import StepFunctionsExecutions
from kbfleet.domain.aws_status import AwsStatus
from kbfleet.domain.document_trace import HopName, ObjectKey, Verdict
from kbfleet.domain.errors import (
    DataSourceFailed,
    DataSourceNotReady,
    KbfleetError,
    KnowledgeBaseFailed,
    KnowledgeBaseNotReady,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
)
from kbfleet.domain.failed_documents import DocumentObject, IngestedDocument, IngestedStatus, SentDocument
from kbfleet.domain.ingestion_job import UNKNOWN_AT_MOST, IngestionJob, JobStatus, Outcome
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus, KnowledgeBase, KnowledgeBaseStatus
from kbfleet.domain.names import DataSourceReference, Life
from kbfleet.domain.sync import SyncState
from kbfleet.usecases import offboarding
from tests.support.aws import client
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, EXECUTION, NAMES, first_knowledge

OF_BEDROCK: dict[str, type[AwsStatus]] = {
    "KnowledgeBaseStatus": KnowledgeBaseStatus,
    "DataSourceStatus": DataSourceStatus,
    "IngestionJobStatus": JobStatus,
    "DocumentStatus": IngestedStatus,
}
"""By the shape's name in the model of bedrock-agent."""
INVENTED = "REBALANCING"
"""A status of the years to come."""


def statuses(shape: str, service: str = "bedrock-agent") -> list[str]:
    found: list[str] = client(service).meta.service_model.shape_for(shape).enum
    assert found
    return [*found, INVENTED]


KNOWLEDGE_BASE, DATA_SOURCE, JOB, DOCUMENT = map(statuses, OF_BEDROCK)


@pytest.mark.parametrize(("shape", "kind"), OF_BEDROCK.items())
def test_kbfleet_knows_every_status_that_the_model_has_and_takes_the_others_as_unknown(
    shape: str, kind: type[AwsStatus]
) -> None:
    *known, _ = statuses(shape)
    assert {str(member) for member in kind} == {*known, "UNKNOWN"}
    assert kind(INVENTED) is kind["UNKNOWN"]


@pytest.mark.parametrize("kind", OF_BEDROCK.values())
@given(value=st.one_of(st.text(), st.none(), st.integers()))
def test_no_word_of_awss_is_an_error(kind: type[AwsStatus], value: object) -> None:
    assert kind(value) in kind  # type: ignore[arg-type] # whatever it is


# --- making ----------------------------------------------------------------------------------------

READY_WITHIN = timedelta(minutes=30)


def outcomes(one: KnowledgeBase | DataSource) -> list[object]:
    """Of `ready`, before the deadline and at it."""

    def looked(deadline: timedelta) -> object:
        try:
            return one.ready(now=START, deadline=START + deadline)
        except KbfleetError as error:
            return type(error)

    return [looked(READY_WITHIN), looked(timedelta(0))]


def base_as(status: str) -> KnowledgeBase:
    return KnowledgeBase("KB00000001", "arn:kb", "kbfleet-acme", KnowledgeBaseStatus(status), START, START)


def source_as(status: str) -> DataSource:
    return DataSource("DS00000002", "documents", DataSourceStatus(status), updated_at=START)


@pytest.mark.parametrize("status", KNOWLEDGE_BASE)
def test_each_status_of_a_knowledge_base_leads_somewhere(status: str) -> None:
    ready: list[object] = [True, True]
    waiting: list[object] = [False, KnowledgeBaseNotReady]
    expected: dict[str, list[object]] = {
        "ACTIVE": ready,
        "UPDATE_UNSUCCESSFUL": ready,
        "CREATING": waiting,
        "UPDATING": waiting,
        INVENTED: waiting,
        "DELETING": [NotReadyYet, NotReadyYet],
        "FAILED": [KnowledgeBaseFailed, KnowledgeBaseFailed],
        "DELETE_UNSUCCESSFUL": [KnowledgeBaseFailed, KnowledgeBaseFailed],
    }
    assert outcomes(base_as(status)) == expected[status]


@pytest.mark.parametrize("status", DATA_SOURCE)
def test_each_status_of_a_data_source_leads_somewhere(status: str) -> None:
    waiting: list[object] = [False, DataSourceNotReady]
    expected: dict[str, list[object]] = {
        "AVAILABLE": [True, True],
        "CREATING": waiting,
        "UPDATING": waiting,
        INVENTED: waiting,
        "DELETING": [NotReadyYet, NotReadyYet],
        "FAILED": [DataSourceFailed, DataSourceFailed],
        "DELETE_UNSUCCESSFUL": [DataSourceFailed, DataSourceFailed],
    }
    assert outcomes(source_as(status)) == expected[status]


RETRIES = 60
"""Of NotReadyYet by the state machine, each after half a minute at most."""


def waited_for(shown: Sequence[KnowledgeBase | DataSource]) -> tuple[bool | KbfleetError, timedelta]:
    """As the state machine waits, for something that is shown so at one look after the other, and at last so for good.

    Returns: how it ended, and when.
    """
    looks = iter(shown)
    seen, now, retries = next(looks), START, 0
    while True:
        try:
            if seen.ready(now=now, deadline=START + READY_WITHIN):
                return True, now - START
            wait = seen.look_again_after(now, timedelta(seconds=73), START + READY_WITHIN)
        except NotReadyYet as error:
            retries += 1
            if retries > RETRIES:
                return error, now - START
            wait = timedelta(seconds=30)
        except KbfleetError as error:
            return error, now - START
        assert timedelta(seconds=1) <= wait
        now, seen = now + wait, next(looks, seen)


@pytest.mark.parametrize(("make", "known"), [(base_as, KNOWLEDGE_BASE), (source_as, DATA_SOURCE)])
@given(data=st.data(), age=st.timedeltas(timedelta(0), timedelta(days=4_000)))
def test_in_whatever_order_they_come_waiting_ends_and_ends_well_if_the_last_is_well(
    make: Any, known: list[str], data: st.DataObject, age: timedelta
) -> None:
    order = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=12))
    field = "status_since" if make is base_as else "updated_at"
    shown = [replace(make(status), **{field: START - age}) for status in order]
    ended, after = waited_for(shown)
    assert after <= READY_WITHIN + RETRIES * timedelta(seconds=30) + timedelta(seconds=1)
    given_up = {"FAILED", "DELETE_UNSUCCESSFUL"}
    in_force = {"ACTIVE", "UPDATE_UNSUCCESSFUL", "AVAILABLE"}
    if not given_up & set(order) and set(order) & in_force and age < timedelta(minutes=1):
        assert ended is True, (order, ended)
    if not in_force & set(order):
        assert isinstance(ended, KbfleetError)
        assert ended.remedy or isinstance(ended, NotReadyYet)


# --- deleting --------------------------------------------------------------------------------------


@pytest.fixture
def fleet() -> Fleet:
    return fleet_that_offboards()


def fleet_that_offboards() -> Fleet:
    made = Fleet()
    made.add(ACME)
    made.request_offboarding(ACME, timedelta(0))
    return made


@contextmanager
def refused(fleet: Fleet, method: str, error: KbfleetError) -> Iterator[None]:
    """While this lasts, Bedrock refuses to delete."""

    def refuse(*_: object) -> None:
        raise error

    setattr(fleet.knowledge_bases, method, refuse)
    yield
    delattr(fleet.knowledge_bases, method)


REFUSALS = [RequestRefused("is not in a status in which it can be deleted"), ResourceConflict("is busy")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("status", DATA_SOURCE)
def test_a_data_source_that_cannot_be_deleted_in_its_status_is_waited_for_if_that_passes(
    fleet: Fleet, status: str, refusal: KbfleetError
) -> None:
    reservation = fleet.fence_off(ACME, EXECUTION)
    own = fleet.registry.get(ACME).data_source()
    found = fleet.knowledge_bases.data_source(own)
    assert found is not None
    fleet.knowledge_bases.set_data_source(own.knowledge_base_id, replace(found, status=DataSourceStatus(status)))

    def delete() -> None:
        offboarding.delete_data_sources(
            reservation, registry=fleet.registry, knowledge_bases=fleet.knowledge_bases, names=NAMES
        )

    passes = DataSourceStatus(status).changing or isinstance(refusal, ResourceConflict)
    with refused(fleet, "delete_data_source", refusal), pytest.raises(NotReadyYet if passes else RequestRefused):
        delete()
    _until_done(fleet, delete)
    assert fleet.knowledge_bases.data_source(own) is None or DataSourceStatus(status) is DataSourceStatus.DELETING


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("status", KNOWLEDGE_BASE)
def test_a_knowledge_base_that_cannot_be_deleted_in_its_status_is_waited_for_if_that_passes(
    fleet: Fleet, status: str, refusal: KbfleetError
) -> None:
    reservation = fleet.fence_off(ACME, EXECUTION)
    own = fleet.registry.get(ACME).data_source()
    fleet.knowledge_bases.force_status(own.knowledge_base_id, KnowledgeBaseStatus(status))

    def delete() -> None:
        offboarding.delete_knowledge_base(
            reservation, registry=fleet.registry, knowledge_bases=fleet.knowledge_bases, names=NAMES
        )

    passes = KnowledgeBaseStatus(status).changing
    with refused(fleet, "delete", refusal), pytest.raises(NotReadyYet if passes else type(refusal)):
        delete()


def _until_done(fleet: Fleet, step: Any) -> None:
    for _ in range(RETRIES):
        try:
            step()
        except NotReadyYet:
            fleet.clock.advance(15)
        else:
            return


# --- ingesting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", JOB)
def test_each_status_of_a_job_leads_somewhere(status: str) -> None:
    expected = {
        "COMPLETE": Outcome.SUCCEEDED,
        "FAILED": Outcome.FAILED,
        "STOPPED": Outcome.STOPPED,
        "STARTING": None,
        "IN_PROGRESS": None,
        "STOPPING": None,
        INVENTED: None,
    }
    job = IngestionJob("JOB0000001", JobStatus(status), START, START)
    assert job.outcome is expected[status]
    assert job.status.ended is (expected[status] is not None)
    # What nobody knows must not be followed for ever.
    late = job.as_of(START + UNKNOWN_AT_MOST)
    assert (late.outcome is Outcome.FAILED) is (status in {"FAILED", INVENTED})


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(order=st.lists(st.sampled_from(JOB), min_size=1, max_size=8), at_last=st.sampled_from(["COMPLETE", "FAILED"]))
def test_in_whatever_order_they_come_a_sync_ends_with_the_job_and_the_history_says_how(
    order: list[str], at_last: str
) -> None:
    fleet = Fleet()
    fleet.add(ACME)
    fleet.request(ACME)
    fleet.tick()
    shown = iter(order)
    real = fleet.knowledge_bases.ingestion_job

    def as_shown(data_source: DataSourceReference, ingestion_job_id: str) -> IngestionJob:
        job = real(data_source, ingestion_job_id)
        return replace(job, status=JobStatus(next(shown, at_last)), failure_reasons=(), updated_at=fleet.clock.now())

    fleet.knowledge_bases.ingestion_job = as_shown  # type: ignore[method-assign]
    for _ in range(len(order) + 1):
        fleet.clock.advance(10)
        fleet.tick()
    sync = fleet.ledger.find(first_knowledge(ACME))
    ends = [status for status in (*order, at_last) if JobStatus(status).ended]
    wanted = {"COMPLETE": Outcome.SUCCEEDED, "FAILED": Outcome.FAILED, "STOPPED": Outcome.STOPPED}[ends[0]]
    assert (sync.state, sync.job) == (SyncState.IDLE, None)
    assert sync.result is not None
    assert sync.result.outcome is wanted


# --- documents -------------------------------------------------------------------------------------

FINAL = {"INDEXED", "PARTIALLY_INDEXED", "FAILED", "METADATA_PARTIALLY_INDEXED", "METADATA_UPDATE_FAILED", "IGNORED"}


@pytest.mark.parametrize("status", DOCUMENT)
def test_each_status_of_a_document_leads_somewhere(status: str) -> None:
    document = IngestedDocument("s3://b/a.pdf", IngestedStatus(status), "", START + timedelta(seconds=1))
    assert SentDocument(document.uri, START).answered(document) is (status in FINAL)
    assert document.status.failing is (status in FINAL - {"INDEXED"})


@pytest.mark.parametrize("status", DOCUMENT)
def test_where_a_document_of_each_status_is_stuck_can_be_said(status: str) -> None:
    fleet = traceable()
    fleet.ingested_documents.set(URI, IngestedStatus(status))
    found = stuck_at(fleet)
    if status == "INDEXED":
        assert found == (HopName.RETRIEVAL, Verdict.WAITING)  # what was just indexed may not be found yet
    else:
        settled = IngestedStatus(status).failing or status == "NOT_FOUND"
        assert found == (HopName.DOCUMENT, Verdict.BROKEN if settled else Verdict.WAITING)


@pytest.mark.parametrize("status", KNOWLEDGE_BASE)
def test_where_a_document_is_stuck_can_be_said_whatever_its_knowledge_base_is(status: str) -> None:
    fleet = traceable()
    fleet.ingested_documents.set(URI, IngestedStatus.INDEXED)
    own = fleet.registry.get(ACME).knowledge_base_id
    fleet.knowledge_bases.force_status(str(own), KnowledgeBaseStatus(status))
    name, verdict = stuck_at(fleet)
    if status in {"ACTIVE", "UPDATING", "UPDATE_UNSUCCESSFUL"}:
        assert name is not HopName.KNOWLEDGE_BASE
    else:
        waiting = status in {"CREATING", INVENTED}
        assert (name, verdict) == (HopName.KNOWLEDGE_BASE, Verdict.WAITING if waiting else Verdict.BROKEN)


KEY = ObjectKey("handbook.pdf")
URI = f"s3://{NAMES.bucket(Life(ACME))}/{KEY}"


def traceable() -> Fleet:
    """A tenant, synced after its one document was uploaded."""
    fleet = Fleet()
    fleet.add(ACME)
    fleet.bucket_contents.put(URI, "1", DocumentObject(fleet.clock.now(), 1_000, None))
    fleet.request(ACME)
    fleet.tick_until_idle()
    return fleet


def stuck_at(fleet: Fleet) -> tuple[HopName, Verdict]:
    hop = fleet.document_tracer.trace(ACME, KEY).stuck_at
    assert hop is not None
    return hop.name, hop.verdict


# --- what the operator's command line meets --------------------------------------------------------


@pytest.mark.parametrize("status", statuses("StackStatus", "cloudformation"))
def test_only_a_stack_whose_last_deployment_is_complete_counts_as_deployed(status: str) -> None:
    complete = status.endswith(("_COMPLETE", "_CLEANUP_IN_PROGRESS"))
    undone = any(word in status for word in ("ROLLBACK", "DELETE", "REVIEW"))
    assert (status in _DEPLOYED) is (complete and not undone)


@pytest.mark.parametrize("status", statuses("ExecutionStatus", "stepfunctions"))
def test_an_execution_works_only_while_it_runs(status: str) -> None:
    """Also one that waits to be redriven does not: whoever redrives it comes too late for the lease."""
    execution = "arn:aws:states:us-east-1:123456789012:execution:kbfleet-provision-tenant:acme-1"

    class StepFunctions:
        def describe_execution(self, **_: object) -> dict[str, str]:
            return {"status": status}

    executions = StepFunctionsExecutions(StepFunctions(), state_machine_arn="arn")  # type: ignore[arg-type]
    assert executions.is_running(execution) is (status == "RUNNING")
