"""The functions of `offboard_tenant`, each on its sample payload."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from kbfleet.domain.errors import (
    AccessRefused,
    ErasureIncomplete,
    InvalidInput,
    LeaseLost,
    NotReadyYet,
    TenantBusy,
    TenantNotFound,
    TenantOffboarded,
)
from kbfleet.domain.names import Life
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow
from tests.handlers.conftest import Handler, Logs, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, first_knowledge
from tests.support.template import definition

Handlers = Callable[[str], Handler]
Run = Callable[..., Any]
REQUESTED_AT = datetime.fromisoformat("2026-11-30T09:00:00+00:00")
RETENTION_ENDS_AT = datetime.fromisoformat("2026-12-30T09:00:00+00:00")
VERIFIED_AT = datetime.fromisoformat("2026-12-30T09:04:00+00:00")
EXECUTION = event("steps/fence_off_tenant")["execution"]
DELETING = [
    "stop_ingestion",
    "delete_usage_key",
    "delete_data_sources",
    "delete_knowledge_base",
    "delete_service_role",
    "delete_knowledge_store",
    "delete_bucket",
    "delete_records",
]
STEPS = ["fence_off_tenant", "refuse_uploads", *DELETING, "verify_erasure", "mark_tenant_offboarded"]


@pytest.fixture
def run(fleet: Fleet, handler: Handlers) -> Run:
    """Runs a step, by default on its sample payload, whose execution is at work."""
    fleet.offboarding_executions.begin(EXECUTION)

    def step(name: str, payload: dict[str, Any] | None = None, *, of: str = "offboarding") -> Any:
        return handler(f"{of}/steps.{name}")(event(f"steps/{name}") if payload is None else payload)

    return step


@pytest.fixture
def acme(fleet: Fleet) -> None:
    """The tenant of the sample payloads, with everything that a provisioning makes, whose retention period is over."""
    fleet.add(ACME)
    fleet.store.ensure(first_knowledge(ACME))
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    fleet.usage_keys.ensure(
        NAMES.usage_key(Life(ACME)), NAMES.tags(Life(ACME)), plan_id="plan-standard", other_plan_ids=[]
    )
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.clock.set(REQUESTED_AT)
    fleet.request_offboarding(ACME, RETENTION_ENDS_AT - REQUESTED_AT)
    fleet.clock.set(RETENTION_ENDS_AT)


def until_done(run: Run, fleet: Fleet, step: str) -> Any:
    """As the state machine runs it: again while it says that Bedrock is at it."""
    for _ in range(10):
        try:
            return run(step)
        except NotReadyYet:
            fleet.clock.advance(15)
    raise AssertionError(f"{step} is never done")


def selected_of(state: str) -> set[str]:
    """The fields of a function's answer that the state machine keeps."""
    selector: dict[str, str] = definition("offboard_tenant")["States"][state]["ResultSelector"]
    return {path.removeprefix("$.Payload.") for path in selector.values()}


@pytest.mark.usefixtures("acme")
class TestTheWholeWay:
    def test_the_sample_payloads_offboard_a_tenant_step_by_step(self, run: Run, fleet: Fleet) -> None:
        knowledge_base_id = fleet.registry.get(ACME).knowledge_base_id
        reservation = run("fence_off_tenant")
        assert reservation == event("steps/refuse_uploads")["reservation"]
        assert run("refuse_uploads") == {"done": True}
        for step in DELETING:
            assert until_done(run, fleet, step) == {"done": True}, step
        fleet.clock.set(VERIFIED_AT)
        verified = run("verify_erasure")
        assert verified["receipt"] == event("steps/mark_tenant_offboarded")["receipt"]
        assert run("mark_tenant_offboarded") == {"status": "OFFBOARDED"}
        tombstone = fleet.registry.get(ACME)
        assert (tombstone.status, tombstone.knowledge_base_id) == (TenantStatus.OFFBOARDED, None)
        assert fleet.records.receipts == [(ACME, tombstone.erasure)]
        assert not fleet.buckets.exists(NAMES.bucket(Life(ACME)))
        assert not fleet.usage_keys.exists(NAMES.usage_key(Life(ACME)))
        assert fleet.knowledge_bases.get(str(knowledge_base_id)) is None
        assert not fleet.service_roles.exists(NAMES.service_role(Life(ACME)))

    def test_every_step_answers_what_the_state_machine_selects(self, run: Run, fleet: Fleet) -> None:
        assert set(run("fence_off_tenant")) == selected_of("Fence Off Tenant")
        for step in ("refuse_uploads", *DELETING):
            assert set(until_done(run, fleet, step)) == selected_of(step.replace("_", " ").title())
        assert set(run("verify_erasure")) == selected_of("Verify Erasure")
        assert set(run("mark_tenant_offboarded")) == selected_of("Mark Tenant Offboarded")

    def test_a_bucket_that_takes_several_calls_is_not_done_until_the_last(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        fleet.buckets.batches_left[NAMES.bucket(Life(ACME))] = 2
        assert [run("delete_bucket")["done"] for _ in range(3)] == [False, False, True]

    def test_a_job_that_runs_is_stopped_and_awaited(self, run: Run, fleet: Fleet) -> None:
        fleet.knowledge_bases.start_in_console(fleet.registry.get(ACME).data_source())
        run("fence_off_tenant")
        with pytest.raises(NotReadyYet, match="stopping"):
            run("stop_ingestion")
        assert until_done(run, fleet, "stop_ingestion") == {"done": True}
        assert not fleet.knowledge_bases.running_jobs()

    def test_every_step_can_run_again(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        for _ in range(2):
            run("refuse_uploads")
        for step in DELETING:
            first = until_done(run, fleet, step)
            assert until_done(run, fleet, step) == first
        assert run("verify_erasure") == run("verify_erasure")
        for _ in range(2):
            assert run("mark_tenant_offboarded") == {"status": "OFFBOARDED"}

    @pytest.mark.parametrize("keep", [True, False])
    def test_usage_is_kept_as_the_stack_is_reported(
        self, run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, keep: bool
    ) -> None:
        monkeypatch.setenv("KEEP_USAGE", str(keep).lower())
        fleet.records.others[Life(ACME)] = {"usage", "jobs"}
        run("fence_off_tenant")
        for step in DELETING:
            until_done(run, fleet, step)
        assert fleet.records.others[Life(ACME)] == ({"usage"} if keep else set())
        remaining = {each["where"] for each in run("verify_erasure")["receipt"]["remaining"]}
        assert ("usage in the table" in remaining) is keep

    def test_dead_letters_that_could_not_all_be_looked_at_are_logged(self, run: Run, fleet: Fleet, logs: Logs) -> None:
        run("fence_off_tenant")
        fleet.undelivered.bodies, fleet.undelivered.within_reach = ["{}"], 0
        assert run("delete_records") == {"done": True}
        assert any("dead letters" in line["message"] and line["level"] == "WARNING" for line in logs.lines)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("step", STEPS[1:])
def test_the_payload_of_an_execution_of_the_version_before_is_taken(run: Run, step: str) -> None:
    """It has waited in its execution, with a deadline in its reservation: docs/decisions/0038 says until when."""
    run("fence_off_tenant")
    payload = event(f"steps/{step}")
    payload["reservation"]["deadline"] = "2026-12-30T09:00:00+00:00"
    with suppress(NotReadyYet, ErasureIncomplete):  # a step before it has not been run
        run(step, payload)


@pytest.mark.usefixtures("acme")
class TestFailures:
    def test_whoever_was_superseded_finds_out_and_deletes_nothing(
        self, run: Run, fleet: Fleet, handler: Handlers
    ) -> None:
        run("fence_off_tenant")
        assert handler("admin/tenants")(event("triggers/delete_suspension"))["statusCode"] == 200
        for step in ["refuse_uploads", *DELETING, "verify_erasure", "mark_tenant_offboarded"]:
            with pytest.raises(LeaseLost):
                run(step)
        assert fleet.registry.get(ACME).status is TenantStatus.ACTIVE
        assert fleet.buckets.exists(NAMES.bucket(Life(ACME)))

    def test_what_is_left_is_named(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        for step in DELETING:
            until_done(run, fleet, step)
        fleet.store.ensure(first_knowledge(ACME))
        with pytest.raises(ErasureIncomplete, match="vector index acme"):
            run("verify_erasure")

    def test_another_execution_learns_that_the_tenant_is_busy(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        with pytest.raises(TenantBusy):
            run("fence_off_tenant", {**event("steps/fence_off_tenant"), "execution": f"{EXECUTION}-another"})

    def test_a_tenant_that_is_gone_is_reported(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        for step in DELETING:
            until_done(run, fleet, step)
        run("mark_tenant_offboarded")
        with pytest.raises(TenantOffboarded):
            run("fence_off_tenant", {**event("steps/fence_off_tenant"), "execution": f"{EXECUTION}-another"})

    def test_an_error_leaves_the_function_as_it_is_and_is_logged(self, run: Run, fleet: Fleet, logs: Logs) -> None:
        run("fence_off_tenant")
        fleet.buckets.undeletable.add(NAMES.bucket(Life(ACME)))
        with pytest.raises(AccessRefused):
            run("delete_bucket")
        line = logs.lines[-1]
        assert (line["level"], line["error"], line["tenant_id"], line["execution"]) == (
            "ERROR",
            "AccessRefused",
            "acme",
            EXECUTION,
        )

    def test_the_record_gets_the_step_that_failed_and_the_bus_the_same(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        payload = event("steps/announce_offboarding_failed")
        assert run("mark_tenant_failed", payload, of="provisioning") is None
        record = fleet.registry.get(ACME)
        assert record.failure is not None
        assert (record.failure.workflow, record.failure.step, record.failure.error, record.failure.execution) == (
            Workflow.OFFBOARD_TENANT,
            "Delete Data Sources",
            "NotReadyYet",
            EXECUTION,
        )
        assert record.lease is None
        assert run("announce_offboarding_failed") is None
        assert fleet.announcements.offboarding_failures == [(ACME, record.failure)]

    def test_it_can_be_offboarded_again(self, run: Run, fleet: Fleet) -> None:
        run("fence_off_tenant")
        run("mark_tenant_failed", event("steps/announce_offboarding_failed"), of="provisioning")
        fleet.request_offboarding(ACME, RETENTION_ENDS_AT - REQUESTED_AT)
        another = f"{EXECUTION}-another"
        fleet.offboarding_executions.begin(another)
        again = run("fence_off_tenant", {**event("steps/fence_off_tenant"), "execution": another})
        assert again["fence"] > event("steps/refuse_uploads")["reservation"]["fence"]
        assert fleet.registry.get(ACME).status is TenantStatus.OFFBOARDING

    def test_an_execution_that_was_aborted_is_recorded_as_a_failed_offboarding(
        self, run: Run, fleet: Fleet, handler: Handlers
    ) -> None:
        run("fence_off_tenant")
        stopped = event("triggers/record_stopped_execution")
        stopped["detail"] |= {
            "executionArn": EXECUTION,
            "stateMachineArn": EXECUTION.replace(":execution:", ":stateMachine:").rpartition(":")[0],
            "status": "ABORTED",
            "input": '{"tenant_id": "acme"}',
        }
        handler("provisioning/record_stopped_execution")(stopped)
        ((tenant_id, failure),) = fleet.announcements.offboarding_failures
        assert (tenant_id, failure.error, failure.execution) == (ACME, "ABORTED", EXECUTION)
        assert fleet.announcements.provisioning_failures == []
        assert fleet.registry.get(ACME).failure == failure


class TestContracts:
    def test_an_unknown_tenant_is_reported(self, run: Run) -> None:
        with pytest.raises(TenantNotFound):
            run("fence_off_tenant")

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            ({}, "request.tenant_id"),
            ({"tenant_id": "acme", "retention_days": -1}, "request.retention_days"),
            ({"tenant_id": "ACME"}, "tenant_id"),
        ],
    )
    @pytest.mark.usefixtures("acme")
    def test_a_bad_request_names_the_field_and_changes_nothing(
        self, run: Run, fleet: Fleet, request_: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            run("fence_off_tenant", {"request": request_, "execution": EXECUTION})
        assert refused.value.field == field
        assert fleet.registry.get(ACME).lease is None

    @pytest.mark.parametrize("step", STEPS[1:])
    def test_a_step_without_its_reservation_does_nothing(self, run: Run, step: str) -> None:
        payload = event(f"steps/{step}")
        del payload["reservation"]["fence"]
        with pytest.raises(InvalidInput) as refused:
            run(step, payload)
        assert refused.value.field == "reservation.fence"

    @pytest.mark.parametrize("path", ["requested_at", "erased"])
    def test_a_receipt_that_lacks_something_is_refused(self, run: Run, path: str) -> None:
        payload = event("steps/mark_tenant_offboarded")
        del payload["receipt"][path]
        with pytest.raises(InvalidInput) as refused:
            run("mark_tenant_offboarded", payload)
        assert refused.value.field == f"receipt.{path}"
