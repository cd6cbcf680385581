"""`/tenants`: what the operator does and sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.names import Life
from kbfleet.domain.survey import Survey
from kbfleet.domain.sync import Priority, Sync
from kbfleet.domain.tenant import Lease, Offboarding
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage import DailyUsage, UsageCounts
from kbfleet.domain.workflow import Workflow
from kbfleet.ports import ComparedPage
from tests.handlers.conftest import Handler, Logs, event
from tests.support.clock import START
from tests.support.fakes import JobCourse
from tests.support.fleet import Fleet
from tests.support.samples import (
    ACME,
    EXECUTION,
    SAKURA,
    first_knowledge,
    job_state_change,
    provisioning_failure,
    tenant,
    uri_of,
)

Send = Callable[..., tuple[int, dict[str, Any]]]
NAME = EXECUTION.rsplit(":", 1)[-1]

STARTED = "20261102T090000000000"


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    """Sends a sample request, or one that differs from it; gives status and body."""

    def to(sample: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        answer = handler("admin/tenants")({**event(f"triggers/{sample}"), **changes})
        return answer["statusCode"], json.loads(answer["body"])

    return to


class TestPutTenant:
    def test_a_new_tenants_provisioning_starts(self, send: Send, fleet: Fleet) -> None:
        status, body = send("put_tenant")
        assert (status, body["execution"], body["status"]) == (202, NAME, "RUNNING")
        assert fleet.executions.requests[NAME] == {
            "tenant_id": "acme",
            "knowledge_store": "S3_VECTORS",
        }
        assert fleet.registry.requested_name(ACME, execution=NAME, now=START) == "Acme Outdoor"

    def test_the_body_may_be_left_out(self, send: Send, fleet: Fleet) -> None:
        assert send("put_tenant", body=None)[0] == 202
        assert fleet.executions.requests[NAME] == {"tenant_id": "acme"}

    def test_while_one_runs_it_is_the_answer(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        fleet.registry.create(tenant(name="Acme Outdoor", lease=Lease(EXECUTION, START.replace(hour=14))))
        fleet.clock.advance(60)
        status, body = send("put_tenant")
        assert (status, body["execution"]) == (202, NAME)
        assert len(fleet.executions.requests) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"path": "/tenants/ACME", "pathParameters": {"tenant_id": "ACME"}}, "tenant_id"),
            ({"path": "/tenants/a", "pathParameters": {"tenant_id": "a"}}, "tenant_id"),
            ({"body": "not json"}, "body"),
            ({"body": '{"name": ""}'}, "name"),
            ({"body": '{"colour": "red"}'}, "colour"),
            ({"body": '{"tier": "GOLD"}'}, "tier"),
            ({"body": '{"must_exist": 1}'}, "must_exist"),
            ({"body": '{"tenant_id": "sakura"}'}, "tenant_id"),
        ],
    )
    def test_a_bad_request_names_the_field_and_starts_nothing(
        self, send: Send, fleet: Fleet, changes: dict[str, Any], field: str
    ) -> None:
        status, body = send("put_tenant", **changes)
        assert (status, body["field"]) == (400, field)
        assert fleet.executions.requests == {}

    def test_the_tier_is_asked_for(self, send: Send, fleet: Fleet) -> None:
        assert send("put_tenant", body='{"tier": "PREMIUM"}')[0] == 202
        assert fleet.executions.requests[NAME] == {"tenant_id": "acme", "tier": "PREMIUM"}

    @pytest.mark.parametrize("change", [{"name": "Acme Indoor"}, {"tier": "PREMIUM"}])
    def test_a_change_is_not_lost_while_another_execution_runs(
        self, send: Send, fleet: Fleet, change: dict[str, str]
    ) -> None:
        send("put_tenant")
        fleet.registry.create(tenant(lease=Lease(EXECUTION, START.replace(hour=14))))
        status, body = send("put_tenant", body=json.dumps(change))
        assert (status, body["code"]) == (409, "TenantBusy")

    @pytest.mark.parametrize(
        ("stored", "refusal", "says"),
        [
            (None, (404, "TenantNotFound"), "kbfleet tenant list"),
            (TenantStatus.OFFBOARDED, (409, "TenantOffboarded"), "kbfleet tenant add acme"),
        ],
    )
    def test_a_tenant_that_must_exist_is_not_added(
        self, send: Send, fleet: Fleet, stored: TenantStatus | None, refusal: tuple[int, str], says: str
    ) -> None:
        if stored is not None:
            fleet.registry.create(tenant(status=stored))
        status, body = send("put_tenant", body='{"tier": "PREMIUM", "must_exist": true}')
        assert (status, body["code"]) == refusal
        assert says in body["detail"]
        assert fleet.executions.requests == {}

    def test_a_tenant_that_must_exist_and_does_is_changed(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        assert send("put_tenant", body='{"tier": "PREMIUM", "must_exist": true}')[0] == 202
        assert fleet.executions.requests[NAME] == {"tenant_id": "acme", "tier": "PREMIUM"}

    def test_a_store_that_the_stack_does_not_have_is_refused(self, send: Send, fleet: Fleet) -> None:
        status, body = send("put_tenant", body='{"knowledge_store": "PINECONE"}')
        assert (status, body["code"]) == (400, "KnowledgeStoreNotOffered")
        assert "S3_VECTORS" in body["detail"]
        assert fleet.executions.requests == {}


class TestGetProvisioning:
    def test_it_says_where_it_is(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        fleet.executions.progress(NAME, status="RUNNING", step="Ensure Bucket")
        status, body = send("get_provisioning")
        assert (status, body["status"], body["step"]) == (200, "RUNNING", "Ensure Bucket")

    def test_a_failed_one_gives_the_reason_that_the_record_keeps(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        fleet.executions.progress(NAME, status="FAILED", step="Provisioning Failed", error="ProvisioningFailed")
        fleet.registry.create(tenant(status=TenantStatus.FAILED, failure=provisioning_failure()))
        _, body = send("get_provisioning")
        assert (body["step"], body["error"], body["reason"]) == ("Ensure Bucket", "AccessRefused", "Access denied.")

    def test_an_older_runs_failure_is_not_taken_for_this_ones(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        fleet.registry.create(tenant(status=TenantStatus.PROVISIONING, failure=provisioning_failure("an-older-run")))
        _, body = send("get_provisioning")
        assert (body["status"], body["error"]) == ("RUNNING", None)

    def test_an_unknown_one_is_not_found(self, send: Send) -> None:
        status, body = send("get_provisioning")
        assert (status, body["code"]) == (404, "ExecutionNotFound")
        assert NAME in body["detail"]

    @pytest.mark.parametrize(
        "execution",
        [f"sakura-{STARTED}", f"acme-west-{STARTED}", "acme", "acme-2026:1", "acme-" + "1" * 76],
    )
    def test_what_cannot_be_one_of_the_tenants_is_not_looked_up(
        self, send: Send, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, execution: str
    ) -> None:
        monkeypatch.setattr(fleet.executions, "describe", lambda name: pytest.fail(f"{name} is looked up"))
        for sample, path in (("get_provisioning", "provisionings"), ("get_offboarding", "offboardings")):
            named = {"tenant_id": "acme", "execution": execution}
            status, body = send(sample, path=f"/tenants/acme/{path}/{execution}", pathParameters=named)
            assert (status, body["code"]) == (404, "ExecutionNotFound")


class TestDeleteTenant:
    def test_it_is_out_of_service_for_the_days_that_were_asked_for_and_nothing_runs(
        self, send: Send, fleet: Fleet
    ) -> None:
        fleet.registry.create(tenant())
        status, body = send("delete_tenant")
        assert (status, body["tenant_id"], body["status"], body["execution"]) == (202, "acme", "OFFBOARDING", None)
        assert lasting(body) == timedelta(days=7)
        assert fleet.offboarding_executions.requests == {}

    def test_else_for_those_of_the_stack(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        _, body = send("delete_tenant", **query(None))
        assert lasting(body) == timedelta(days=30)

    def test_without_a_day_it_is_deleted_at_once(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        status, body = send("delete_tenant", **query("0"))
        assert (status, body["execution"]["execution"], body["execution"]["status"]) == (202, NAME, "RUNNING")
        assert fleet.offboarding_executions.requests == {NAME: {"tenant_id": "acme"}}
        assert fleet.executions.requests == {}

    @pytest.mark.parametrize("days", ["-1", "3651", "soon", "", "1.5", "NaN", "9" * 30])
    def test_any_other_value_names_the_field_and_starts_nothing(self, send: Send, fleet: Fleet, days: str) -> None:
        fleet.registry.create(tenant())
        status, body = send("delete_tenant", **query(days))
        assert (status, body["field"]) == (400, "retention_days")
        assert fleet.offboarding_executions.requests == {}
        assert fleet.registry.get(ACME).status is TenantStatus.ACTIVE

    def test_as_long_as_can_be_asked_for(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant())
        _, body = send("delete_tenant", **query("3650"))
        assert lasting(body) == timedelta(days=3_650)

    def test_while_an_execution_deletes_it_that_is_the_answer(
        self, send: Send, fleet: Fleet, handler: Callable[[str], Handler]
    ) -> None:
        fleet.registry.create(tenant())
        _, first = send("delete_tenant", **query("0"))
        execution = fleet.offboarding_executions.describe(first["execution"]["execution"]).arn
        handler("offboarding/steps.fence_off_tenant")({**event("steps/fence_off_tenant"), "execution": execution})
        fleet.clock.advance(60)
        status, second = send("delete_tenant")
        assert (status, second["execution"]["execution"]) == (202, first["execution"]["execution"])
        assert len(fleet.offboarding_executions.requests) == 1

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        status, body = send("delete_tenant")
        assert (status, body["code"]) == (404, "TenantNotFound")

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"status": TenantStatus.OFFBOARDED}, "TenantOffboarded"),
            ({"status": TenantStatus.PROVISIONING, "lease": Lease(EXECUTION, START.replace(hour=14))}, "TenantBusy"),
        ],
    )
    def test_one_that_is_gone_or_being_provisioned_is_refused(
        self, send: Send, fleet: Fleet, fields: dict[str, Any], code: str
    ) -> None:
        fleet.registry.create(tenant(**fields))
        fleet.executions.begin(EXECUTION)
        status, body = send("delete_tenant")
        assert (status, body["code"]) == (409, code)
        assert fleet.offboarding_executions.requests == {}


def lasting(body: dict[str, Any]) -> timedelta:
    """How long the retention period is."""
    plan = body["offboarding"]
    return datetime.fromisoformat(plan["delete_after"]) - datetime.fromisoformat(plan["requested_at"])


def query(days: str | None) -> dict[str, Any]:
    """The members of a request that hold its query."""
    single = None if days is None else {"retention_days": days}
    multiple = None if days is None else {"retention_days": [days]}
    return {"queryStringParameters": single, "multiValueQueryStringParameters": multiple}


class TestUsage:
    USED = UsageCounts(questions=2, passages=8, citations=4, input_tokens=1452, output_tokens=108, nothing_found=1)

    def asked(self, **days: str) -> dict[str, Any]:
        several = {name: [value] for name, value in days.items()}
        return {"queryStringParameters": days or None, "multiValueQueryStringParameters": several or None}

    @pytest.fixture(autouse=True)
    def used(self, fleet: Fleet) -> None:
        """On the last two days of October, on the first of November, and by somebody else."""
        fleet.registry.create(tenant())
        days = [DailyUsage(ACME, date(2026, 10, 30) + timedelta(days=number), self.USED) for number in range(3)]
        fleet.usage_records.add([*days, DailyUsage(SAKURA, days[-1].day, self.USED)], delivery="one", now=START)

    def test_it_is_given_by_day_with_a_total(self, send: Send) -> None:
        status, body = send("get_usage")
        counts = asdict(self.USED)
        assert status == 200
        assert body == {
            "tenant_id": "acme",
            "life": 1,
            "first_day": "2026-11-01",
            "last_day": "2026-11-30",
            "days": [{"day": "2026-11-01", **counts}],
            "total": counts,
        }

    def test_of_the_current_month_unless_other_days_are_asked_for(self, send: Send) -> None:
        _, body = send("get_usage", **self.asked())
        assert (body["first_day"], body["last_day"]) == ("2026-11-01", START.date().isoformat())
        _, body = send("get_usage", **self.asked(**{"from": "2026-10-31"}))
        assert [day["day"] for day in body["days"]] == ["2026-10-31", "2026-11-01"]
        assert body["total"]["questions"] == 4

    def test_days_on_which_nothing_was_asked_are_left_out(self, send: Send) -> None:
        _, body = send("get_usage", **self.asked(to="2026-02-28"))
        assert (body["days"], body["total"]["questions"]) == ([], 0)

    def test_it_is_that_of_the_present_life_unless_another_is_asked_for(self, send: Send, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, life=2), fence=record.fence)
        _, body = send("get_usage")
        assert (body["life"], body["total"]["questions"]) == (2, 0)
        _, body = send("get_usage", **self.asked(life="1"))
        assert (body["life"], body["total"]["questions"]) == (1, 2)

    @pytest.mark.parametrize("life", ["0", "-1", "1000000", "one", ""])
    def test_a_life_that_is_none_is_refused(self, send: Send, life: str) -> None:
        status, body = send("get_usage", **self.asked(life=life))
        assert (status, body["field"]) == (400, "life")

    def test_a_tenant_that_was_offboarded_is_still_invoiced(self, send: Send, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, status=TenantStatus.OFFBOARDED), fence=record.fence)
        assert send("get_usage")[1]["total"]["questions"] == 2

    @pytest.mark.parametrize(
        ("days", "field"),
        [
            ({"from": "yesterday"}, "from"),
            ({"from": "20261101"}, "from"),
            ({"from": "1793610180"}, "from"),
            ({"to": "2026-02-30"}, "to"),
            ({"to": ""}, "to"),
            ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
            ({"from": "2025-01-01", "to": "2026-01-02"}, "to"),
            ({"since": "2026-11-01"}, "since"),
        ],
    )
    def test_other_days_name_the_field(self, send: Send, days: dict[str, str], field: str) -> None:
        status, body = send("get_usage", **self.asked(**days))
        assert (status, body["field"]) == (400, field)

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        path = {"path": "/tenants/nobody/usage", "pathParameters": {"tenant_id": "nobody"}}
        status, body = send("get_usage", **path)
        assert (status, body["code"]) == (404, "TenantNotFound")


class TestSuspension:
    def test_a_suspended_tenant_is_shown_and_synced_no_more(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        status, body = send("put_suspension")
        assert (status, body["status"]) == (200, "SUSPENDED")
        assert fleet.registry.get(ACME).status is TenantStatus.SUSPENDED
        fleet.tick_until_idle()
        assert [job.seen_at(fleet.clock.now()).status for job in fleet.knowledge_bases.jobs.values()] == ["STOPPED"]
        assert send("post_sync")[0] == 409

    def test_suspending_twice_is_suspending_once(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        assert [send("put_suspension")[0] for _ in range(2)] == [200, 200]

    def test_it_is_taken_back(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick_until_idle()
        ticks = fleet.ticks.requests
        send("put_suspension")
        status, body = send("delete_suspension")
        assert (status, body["status"]) == (200, "ACTIVE")
        assert fleet.ticks.requests == ticks + 1
        assert [change.status for change in fleet.announcements.tenant_state_changes] == ["SUSPENDED", "ACTIVE"]
        assert fleet.executions.requests == {}

    def test_an_offboarding_that_has_not_begun_to_delete_is_taken_back_and_the_bucket_opened(
        self, send: Send, fleet: Fleet
    ) -> None:
        fleet.add(ACME)
        send("delete_tenant")
        status, body = send("delete_suspension")
        assert (status, body["status"]) == (200, "ACTIVE")
        assert list(fleet.executions.requests.values()) == [{"tenant_id": "acme"}]

    @pytest.mark.parametrize("sample", ["put_suspension", "delete_suspension"])
    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            (None, 404),
            ({"status": TenantStatus.OFFBOARDED}, 409),
            (
                {
                    "status": TenantStatus.OFFBOARDING,
                    "offboarding": Offboarding(START, START, TenantStatus.ACTIVE, deletion_began_at=START),
                },
                409,
            ),
        ],
    )
    def test_what_cannot_be_suspended_or_resumed_is_refused_and_stays(
        self, send: Send, fleet: Fleet, sample: str, fields: dict[str, Any] | None, status: int
    ) -> None:
        if fields is not None:
            fleet.registry.create(tenant(**fields))
        before = fleet.registry.find(ACME)
        answered, body = send(sample)
        assert answered == status, body
        assert fleet.registry.find(ACME) == before


class TestGetOffboarding:
    @pytest.fixture
    def running(self, fleet: Fleet) -> str:
        """The execution of the sample request. Returns: its name."""
        name = str(event("triggers/get_offboarding")["pathParameters"]["execution"])
        fleet.offboarding_executions.start(name, {"tenant_id": "acme"})
        return name

    def test_it_says_where_it_is(self, send: Send, fleet: Fleet, running: str) -> None:
        fleet.offboarding_executions.progress(running, status="RUNNING", step="Delete Bucket")
        status, body = send("get_offboarding")
        assert (status, body["execution"], body["step"]) == (200, running, "Delete Bucket")

    def test_a_failed_one_gives_the_reason_that_the_record_keeps(self, send: Send, fleet: Fleet, running: str) -> None:
        arn = fleet.offboarding_executions.describe(running).arn
        failure = replace(provisioning_failure(arn), workflow=Workflow.OFFBOARD_TENANT, step="Delete Bucket")
        fleet.offboarding_executions.progress(running, status="FAILED", error="OffboardingFailed")
        fleet.registry.create(tenant(status=TenantStatus.FAILED, failure=failure))
        _, body = send("get_offboarding")
        assert (body["step"], body["error"], body["reason"]) == ("Delete Bucket", "AccessRefused", "Access denied.")

    def test_an_unknown_one_is_not_found_nor_is_a_provisioning(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        path = {"tenant_id": "acme", "execution": NAME}
        for changes in ({}, {"path": f"/tenants/acme/offboardings/{NAME}", "pathParameters": path}):
            status, body = send("get_offboarding", **changes)
            assert (status, body["code"]) == (404, "ExecutionNotFound")


class TestGetTenant:
    def test_a_tenant_is_shown_with_its_resources_and_its_sync(self, send: Send, fleet: Fleet) -> None:
        data_source = fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        status, body = send("get_tenant")
        assert (status, body["tenant_id"], body["status"]) == (200, "acme", "ACTIVE")
        assert (body["knowledge_base_id"], body["data_source_id"]) == (
            data_source.knowledge_base_id,
            data_source.data_source_id,
        )
        sync = body["sync"]
        assert (sync["state"], sync["pending_changes"], sync["running_job_status"]) == ("RUNNING", True, "STARTING")

    def test_it_is_shown_until_when_changes_may_go_unnoticed(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(events_since=fleet.clock.now()))
        until = fleet.clock.now() + timedelta(minutes=10)
        assert datetime.fromisoformat(send("get_tenant")[1]["changes_unnoticed_until"]) == until
        survey = Survey(fleet.clock.now(), ended=True)
        fleet.ledger.save(replace(fleet.ledger.find(first_knowledge(ACME)), survey=survey))
        assert send("get_tenant")[1]["changes_unnoticed_until"] is None

    def test_a_failure_is_shown(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.FAILED, failure=provisioning_failure()))
        _, body = send("get_tenant")
        assert (body["failure"]["step"], body["failure"]["reason"]) == ("Ensure Bucket", "Access denied.")

    def test_an_unknown_tenant_is_not_found_and_the_command_is_reported(self, send: Send) -> None:
        status, body = send("get_tenant")
        assert (status, body["code"]) == (404, "TenantNotFound")


class TestPostSync:
    def test_a_sync_is_requested(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        status, body = send("post_sync")
        assert (status, body["state"], body["requested_generation"]) == (202, "QUEUED", 1)
        assert fleet.ticks.requests == 1

    def held(self, fleet: Fleet) -> None:
        source = fleet.add(ACME)
        began = fleet.clock.now()
        entry = Sync(ACME, answered_from=AnsweredFrom(source.data_source_id, 1000, began, began))
        fleet.ledger.save(entry.requested(began, Priority.CHANGED))
        fleet.bucket_contents.compared_pages = [ComparedPage(600, 400, 0, None)]
        fleet.tick_until_idle()

    def test_one_that_is_held_is_shown_with_its_command(self, send: Send, fleet: Fleet) -> None:
        self.held(fleet)
        hold = send("get_tenant")[1]["sync"]["hold"]
        assert (hold["reason"], hold["missing"], hold["answered_from"]) == ("DELETIONS", 400, 1000)
        assert hold["sentence"].startswith("400 of the 1,000 documents that are answered from are not in the bucket")
        assert hold["command"] == "kbfleet sync start acme --accept-deletions 400"
        (listed,) = send("get_tenants")[1]["tenants"]
        assert listed["held_since"] == hold["since"]

    def test_one_that_is_held_goes_on_when_what_was_seen_is_accepted(self, send: Send, fleet: Fleet) -> None:
        self.held(fleet)
        status, body = send("post_sync", body='{"accept_deletions": 400}')
        assert (status, body["state"], body["hold"]["missing"]) == (202, "QUEUED", 400)
        fleet.tick_until_idle()
        assert send("get_tenant")[1]["sync"]["hold"] is None
        assert len(fleet.knowledge_bases.jobs) == 1

    def test_more_than_was_seen_is_not_accepted(self, send: Send, fleet: Fleet) -> None:
        self.held(fleet)
        status, body = send("post_sync", body='{"accept_deletions": 399}')
        assert (status, body["code"]) == (409, "DeletionsNotSeen")
        assert "--accept-deletions 400" in body["detail"]

    def test_where_nothing_is_held_nothing_is_accepted(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        assert send("post_sync", body='{"accept_deletions": 400}')[0] == 202
        assert fleet.ledger.find(first_knowledge(ACME)).accepted == 0

    def test_a_tenant_without_a_data_source_cannot_be_synced(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(data_source_id=None))
        status, body = send("post_sync")
        assert (status, body["code"]) == (409, "TenantNotActive")
        assert "kbfleet tenant add acme" in body["detail"]

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        assert send("post_sync")[0] == 404


class TestGetJobs:
    def test_the_newest_jobs_come_first(self, send: Send, fleet: Fleet) -> None:
        fleet.knowledge_bases.plan(fleet.add(ACME).knowledge_base_id, JobCourse(JobStatus.FAILED))
        for _ in range(2):
            fleet.request(ACME)
            fleet.tick_until_idle()
        status, body = send("get_jobs")
        assert status == 200
        assert [job["outcome"] for job in body["jobs"]] == ["SUCCEEDED", "FAILED"]

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        assert send("get_jobs")[0] == 404

    def test_they_come_in_pages(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        for minute in range(5):
            at = START + timedelta(minutes=minute)
            job = job_state_change(ingestion_job_id=f"JOB000000{minute}", started_at=at, occurred_at=at)
            fleet.history.record(job, START)
        pages: list[list[str]] = []
        token: str | None = None
        while token or not pages:
            query = {"limit": "2"} | ({"next_token": token} if token else {})
            several = {name: [value] for name, value in query.items()}
            _, body = send("get_jobs", queryStringParameters=query, multiValueQueryStringParameters=several)
            pages.append([job["ingestion_job_id"] for job in body["jobs"]])
            token = body["next_token"]
        assert pages == [["JOB0000004", "JOB0000003"], ["JOB0000002", "JOB0000001"], ["JOB0000000"]]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"limit": "0"}, "limit"),
            ({"limit": "101"}, "limit"),
            ({"next_token": "x"}, "next_token"),
            ({"a": "b"}, "a"),
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused_by_its_field(
        self, send: Send, fleet: Fleet, query: dict[str, str], field: str
    ) -> None:
        fleet.add(ACME)
        several = {name: [value] for name, value in query.items()}
        status, body = send("get_jobs", queryStringParameters=query, multiValueQueryStringParameters=several)
        assert (status, body["field"]) == (400, field)


class TestGetJob:
    JOB = job_state_change(ingestion_job_id="JOB0000001", outcome=Outcome.DEGRADED, occurred_at=START)

    def test_it_is_shown_whole_with_what_it_left_out(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.history.record(self.JOB, START)
        before, after = START - timedelta(hours=1), START + timedelta(hours=1)
        for uri, first, last in (
            (uri_of("here.pdf"), START, START),
            (uri_of("again.pdf"), before, after),
            (uri_of("later.pdf"), after, after),
            (uri_of("before.pdf"), before, before),
        ):
            fleet.failed_documents.save(Life(ACME), FailedDocument(uri, "no text", first, last))
        status, body = send("get_job")
        assert (status, body["job"]["outcome"], body["left_out_total"]) == (200, "DEGRADED", 2)
        assert [document["uri"] for document in body["left_out"]] == [uri_of("again.pdf"), uri_of("here.pdf")]

    def test_of_a_job_that_failed_as_a_whole_no_document_is_said_to_be_left_out(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.history.record(replace(self.JOB, outcome=Outcome.FAILED), START)
        fleet.failed_documents.save(Life(ACME), FailedDocument(uri_of("a.pdf"), "no text", START, START))
        assert send("get_job")[1]["left_out"] == []

    def test_a_start_that_was_refused_is_found_by_its_generation(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.history.record(replace(self.JOB, ingestion_job_id=None, started_at=None, generation=3), START)
        named = {"tenant_id": "acme", "job": "generation-3"}
        status, body = send("get_job", path="/tenants/acme/jobs/generation-3", pathParameters=named)
        assert (status, body["job"]["ingestion_job_id"], body["job"]["generation"]) == (200, None, 3)

    def test_one_that_is_not_remembered_is_not_found(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        fleet.history.record(replace(self.JOB, tenant_id=SAKURA), START)
        status, body = send("get_job")
        assert (status, body["code"]) == (404, "JobNotFound")
        assert "kbfleet jobs list acme" in body["detail"]

    @pytest.mark.parametrize("name", ["JOB", "generation-", "JOB-000001", "J" * 11])
    def test_what_cannot_be_a_job_is_not_looked_up(
        self, send: Send, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        fleet.add(ACME)
        monkeypatch.setattr(fleet.history, "find", lambda *_: pytest.fail("it is looked up"))
        named = {"tenant_id": "acme", "job": name}
        status, body = send("get_job", path=f"/tenants/acme/jobs/{name}", pathParameters=named)
        assert (status, body["code"]) == (404, "JobNotFound")

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        status, body = send("get_job")
        assert (status, body["code"]) == (404, "TenantNotFound")


class TestDocuments:
    def test_a_retry_is_accepted_and_seen(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        status, body = send("post_document_retry")
        assert (status, body["ended_at"], body["fixed"]) == (202, None, 0)
        assert len(fleet.retry_runs.waiting) == 1
        assert fleet.document_retries.find(Life(ACME)) is not None

    def test_a_tenant_that_is_out_of_service_has_nothing_tried_again(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.SUSPENDED))
        status, body = send("post_document_retry")
        assert (status, body["code"]) == (409, "TenantSuspended")

    def test_an_unknown_tenant_is_not_found(self, send: Send) -> None:
        assert send("post_document_retry")[0] == 404


def test_what_operators_do_is_logged_with_the_tenant(send: Send, fleet: Fleet, logs: Logs) -> None:
    send("put_tenant")
    (line,) = logs.lines
    assert (line["tenant_id"], line["execution"]) == ("acme", NAME)
