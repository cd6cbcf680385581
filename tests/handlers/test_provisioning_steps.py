"""The functions of `provision_tenant`, each on its sample payload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kbfleet.domain.errors import AccessRefused, InvalidInput, KbfleetError, NotReadyYet, TenantBusy, Throttled
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus
from kbfleet.domain.names import Life
from kbfleet.domain.tenant import Lease
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.fakes import SucceededTask
from tests.support.fleet import Fleet
from tests.support.samples import ACME, EXECUTION, NAMES, STACK_ID, tenant
from tests.support.template import definition

Handlers = Callable[[str], Handler]
STEPS = [
    "reserve_tenant",
    "ensure_service_role",
    "ensure_bucket",
    "ensure_knowledge_store",
    "ensure_knowledge_base",
    "narrow_service_role",
    "ensure_data_source",
    "ensure_usage_key",
    "run_first_sync",
    "activate_tenant",
    "mark_tenant_failed",
    "announce_provisioning_failed",
]


@pytest.fixture
def run(fleet: Fleet, handler: Handlers) -> Callable[..., Any]:
    """Runs a step, by default on its sample payload, whose execution is at work."""
    fleet.executions.begin(EXECUTION)

    def step(name: str, payload: dict[str, Any] | None = None) -> Any:
        return handler(f"provisioning/steps.{name}")(event(f"steps/{name}") if payload is None else payload)

    return step


def selected_of(state: str) -> set[str]:
    """The fields of a function's answer that the state machine keeps."""
    selector: dict[str, str] = definition("provision_tenant")["States"][state]["ResultSelector"]
    return {path.removeprefix("$.Payload.") for path in selector.values()}


def test_the_sample_payloads_provision_a_tenant_step_by_step(run: Callable[..., Any], fleet: Fleet) -> None:
    reservation = run("reserve_tenant")
    assert reservation == event("steps/ensure_bucket")["reservation"]
    assert run("ensure_service_role") == {"changed_at": "2026-11-02T09:00:00Z"}
    assert run("ensure_bucket") == {"bucket_name": NAMES.bucket(Life(ACME))}
    assert run("ensure_knowledge_store") == {"reference": fleet.registry.get(ACME).knowledge_store_reference}
    made = run("ensure_knowledge_base")
    assert (made["status"], made["done"], made["wait_seconds"]) == ("CREATING", False, 83)
    fleet.clock.advance(83)
    assert run("ensure_knowledge_base")["done"]
    assert run("narrow_service_role") == {"done": True}
    source = run("ensure_data_source")
    assert source["data_source_id"] == fleet.registry.get(ACME).data_source_id
    assert (source["status"], source["done"]) == ("AVAILABLE", True)
    assert run("ensure_usage_key") == {"tier": "STANDARD"}
    assert fleet.usage_keys.keys[NAMES.usage_key(Life(ACME)).value].plans == {"plan-standard"}
    assert run("run_first_sync") is None
    fleet.tick_until_idle()
    assert isinstance(fleet.callbacks.answer(event("steps/run_first_sync")["task_token"]), SucceededTask)
    assert run("activate_tenant") == {"status": "ACTIVE"}
    assert fleet.registry.get(ACME).status is TenantStatus.ACTIVE
    assert fleet.registry.get(ACME).resources_version == f"3/PER_TENANT/{STACK_ID}"
    assert fleet.registry.get(ACME).name == "Acme Outdoor"


@pytest.mark.parametrize(
    "began_with", [f"3/SHARED/{STACK_ID}", f"2/PER_TENANT/{STACK_ID}", "3/PER_TENANT/another stack", "3", None]
)
def test_who_was_begun_by_another_version_or_for_other_roles_is_of_no_version(
    run: Callable[..., Any], fleet: Fleet, began_with: str | None
) -> None:
    fleet.registry.create(tenant(lease=Lease(EXECUTION, fleet.clock.now()), fence=1))
    run("activate_tenant", event("steps/activate_tenant") | {"resources_version": began_with})
    assert fleet.registry.get(ACME).resources_version is None


def test_every_step_answers_what_the_state_machine_selects(run: Callable[..., Any], fleet: Fleet) -> None:
    assert set(run("reserve_tenant")) == selected_of("Reserve Tenant")
    assert set(run("ensure_service_role")) == selected_of("Ensure Service Role")
    assert set(run("ensure_bucket")) == selected_of("Ensure Bucket")
    assert set(run("ensure_knowledge_store")) == selected_of("Ensure Knowledge Store")
    assert set(run("ensure_knowledge_base")) == selected_of("Ensure Knowledge Base")
    fleet.clock.advance(83)
    assert set(run("narrow_service_role")) == selected_of("Narrow Service Role")
    assert set(run("ensure_data_source")) == selected_of("Ensure Data Source")
    assert set(run("ensure_usage_key")) == selected_of("Ensure Usage Key")
    assert set(run("activate_tenant")) == selected_of("Activate Tenant")


@pytest.fixture
def creating(run: Callable[..., Any], fleet: Fleet) -> DataSource:
    """A tenant's data source that takes its time."""
    for step in STEPS[: STEPS.index("ensure_data_source")]:
        run(step)
        fleet.clock.advance(83)
    run("ensure_data_source")
    own = fleet.registry.get(ACME).data_source()
    found = fleet.knowledge_bases.data_source(own)
    assert found is not None
    creating = replace(found, status=DataSourceStatus.CREATING, updated_at=fleet.clock.now())
    fleet.knowledge_bases.set_data_source(own.knowledge_base_id, creating)
    return creating


def test_a_data_source_in_the_making_is_waited_for_as_the_definition_says(
    run: Callable[..., Any], creating: DataSource
) -> None:
    waiting = run("ensure_data_source")
    assert waiting == {
        "data_source_id": creating.data_source_id,
        "status": "CREATING",
        "done": False,
        "wait_seconds": 85,  # what the stack looks after at most
    }


def test_an_execution_of_a_version_before_repeats_the_step_instead(
    run: Callable[..., Any], creating: DataSource
) -> None:
    payload = event("steps/ensure_data_source")
    del payload["looks_again"]
    with pytest.raises(NotReadyYet, match=f"{creating.data_source_id} is CREATING"):
        run("ensure_data_source", payload)


class TestFailures:
    def test_the_record_gets_the_step_the_error_and_the_message_of_the_cause(
        self, run: Callable[..., Any], fleet: Fleet
    ) -> None:
        run("reserve_tenant")
        assert run("mark_tenant_failed") is None
        failure = fleet.registry.get(ACME).failure
        assert failure is not None
        assert (failure.step, failure.error, failure.execution) == (
            "Ensure Knowledge Base",
            "AccessRefused",
            EXECUTION,
        )
        assert failure.reason.startswith("CreateKnowledgeBase for knowledge base kbfleet-acme: AccessDeniedException")

    def test_the_bus_gets_the_same(self, run: Callable[..., Any], fleet: Fleet) -> None:
        run("reserve_tenant")
        run("mark_tenant_failed")
        assert run("announce_provisioning_failed") is None
        assert fleet.announcements.provisioning_failures == [(ACME, fleet.registry.get(ACME).failure)]

    def test_a_knowledge_base_that_never_got_ready_is_the_step_that_failed(
        self, run: Callable[..., Any], fleet: Fleet
    ) -> None:
        payload = event("steps/announce_provisioning_failed")
        payload["progress"]["knowledge_base"] = {
            "knowledge_base_id": "KB00000001",
            "status": "CREATING",
            "done": False,
            "wait_seconds": 10,
        }
        run("announce_provisioning_failed", payload)
        ((_, failure),) = fleet.announcements.provisioning_failures
        assert failure.step == "Ensure Knowledge Base"

    @pytest.mark.parametrize("cause", ["States.Timeout", "not {json", ""])
    def test_a_cause_that_is_no_json_is_reported_too(self, run: Callable[..., Any], fleet: Fleet, cause: str) -> None:
        payload = event("steps/announce_provisioning_failed")
        payload["progress"]["failure"] = {"Error": "States.Timeout", "Cause": cause}
        run("announce_provisioning_failed", payload)
        ((_, failure),) = fleet.announcements.provisioning_failures
        assert failure.reason == (cause or "States.Timeout")

    def test_a_refused_input_of_the_execution_is_reported_for_the_tenant(
        self, run: Callable[..., Any], fleet: Fleet
    ) -> None:
        payload = event("steps/announce_provisioning_failed")
        payload["progress"] = {
            "tenant_id": "acme",
            "nmae": "a misspelt field",
            "failure": {"Error": "InvalidInput", "Cause": "{}"},
        }
        run("announce_provisioning_failed", payload)
        ((tenant_id, failure),) = fleet.announcements.provisioning_failures
        assert (tenant_id, failure.step) == (ACME, "Reserve Tenant")


def without(payload: Any, path: str) -> Any:
    head, _, rest = path.partition(".")
    if not rest:
        return {name: value for name, value in payload.items() if name != head}
    return {**payload, head: without(payload[head], rest)}


def with_value(payload: Any, path: str, value: object) -> Any:
    head, _, rest = path.partition(".")
    return {**payload, head: with_value(payload[head], rest, value) if rest else value}


class TestContracts:
    @pytest.mark.parametrize(
        ("step", "path"),
        [
            ("reserve_tenant", "request.tenant_id"),
            ("reserve_tenant", "execution"),
            ("ensure_bucket", "reservation.fence"),
            ("ensure_bucket", "reservation"),
            ("run_first_sync", "task_token"),
            ("mark_tenant_failed", "progress.failure.Error"),
        ],
    )
    def test_a_missing_field_is_named(self, run: Callable[..., Any], step: str, path: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            run(step, without(event(f"steps/{step}"), path))
        assert refused.value.field == path

    @pytest.mark.parametrize(
        ("step", "path", "value", "field"),
        [
            ("reserve_tenant", "request.tenant_id", "Acme!", "tenant_id"),
            ("reserve_tenant", "request.tenant_id", 7, "request.tenant_id"),
            ("reserve_tenant", "request.name", "", "name"),
            ("reserve_tenant", "request.colour", "red", "request.colour"),
            ("ensure_bucket", "reservation.fence", "one", "reservation.fence"),
            ("ensure_bucket", "reservation.deadline", "soon", "reservation.deadline"),
            ("ensure_bucket", "extra", 1, "extra"),
            ("mark_tenant_failed", "progress.tenant_id", "Acme!", "tenant_id"),
        ],
    )
    def test_a_wrong_field_is_named(
        self, run: Callable[..., Any], step: str, path: str, value: object, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            run(step, with_value(event(f"steps/{step}"), path, value))
        assert refused.value.field == field

    def test_nothing_is_done_for_a_payload_that_breaks_the_contract(
        self, run: Callable[..., Any], fleet: Fleet
    ) -> None:
        with pytest.raises(InvalidInput):
            run("reserve_tenant", {"request": {"tenant_id": "acme", "colour": "red"}, "execution": EXECUTION})
        assert fleet.registry.find(ACME) is None


class TestErrors:
    """Step Functions retries and catches by the name of the class."""

    @pytest.mark.parametrize("error", [Throttled("slow"), NotReadyYet("soon"), AccessRefused("no")])
    def test_an_error_leaves_the_function_as_it_is(
        self, run: Callable[..., Any], fleet: Fleet, error: KbfleetError, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(name: str, tags: object) -> None:
            raise error

        run("reserve_tenant")
        monkeypatch.setattr(fleet.buckets, "ensure", refuse)
        with pytest.raises(KbfleetError) as raised:
            run("ensure_bucket")
        assert raised.value is error

    def test_a_busy_tenant_is_reported_by_name(self, run: Callable[..., Any], fleet: Fleet) -> None:
        run("reserve_tenant")
        with pytest.raises(TenantBusy):
            run("reserve_tenant", {**event("steps/reserve_tenant"), "execution": f"{EXECUTION}-another"})


class TestLogs:
    def test_every_line_has_the_tenant_and_the_execution(self, run: Callable[..., Any], logs: Logs) -> None:
        run("reserve_tenant")
        run("ensure_bucket")
        assert len(logs.lines) == 2
        assert {(line["tenant_id"], line["execution"]) for line in logs.lines} == {("acme", EXECUTION)}

    def test_a_failure_is_logged_with_its_name_and_reason_and_what_passes_only_as_a_warning(
        self, run: Callable[..., Any], fleet: Fleet, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("reserve_tenant")
        errors: list[KbfleetError] = [NotReadyYet("soon"), AccessRefused("no", remedy="Add it.")]

        def refuse(name: str, tags: object) -> None:
            raise errors.pop(0)

        monkeypatch.setattr(fleet.buckets, "ensure", refuse)
        with pytest.raises(NotReadyYet):
            run("ensure_bucket")
        with pytest.raises(AccessRefused):
            run("ensure_bucket")
        reported = [(line["level"], line.get("error"), line.get("reason")) for line in logs.lines[1:]]
        assert reported == [("WARNING", "NotReadyYet", "soon"), ("ERROR", "AccessRefused", "no Add it.")]

    @pytest.mark.parametrize("step", STEPS)
    def test_one_execution_never_leaves_its_keys_to_the_next(
        self, run: Callable[..., Any], logs: Logs, step: str
    ) -> None:
        run("reserve_tenant")
        with pytest.raises(InvalidInput):
            run(step, {})
        assert "acme" not in logs.text.splitlines()[-1]
