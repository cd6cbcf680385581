"""`/tenants`: what the operator does and sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.ingestion import JobStatus
from kbfleet.domain.tenant import Lease, TenantStatus
from tests.handlers.conftest import Handler, Logs, event
from tests.support.clock import START
from tests.support.fakes import JobCourse
from tests.support.fleet import Fleet
from tests.support.samples import ACME, EXECUTION, provisioning_failure, tenant

Send = Callable[..., tuple[int, dict[str, Any]]]
NAME = EXECUTION.rsplit(":", 1)[-1]


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
            "name": "Acme Outdoor",
            "knowledge_store": "S3_VECTORS",
        }

    def test_the_body_may_be_left_out(self, send: Send, fleet: Fleet) -> None:
        assert send("put_tenant", body=None)[0] == 202
        assert fleet.executions.requests[NAME] == {"tenant_id": "acme"}

    def test_while_one_runs_it_is_the_answer(self, send: Send, fleet: Fleet) -> None:
        send("put_tenant")
        fleet.registry.create(tenant(lease=Lease(EXECUTION, START.replace(hour=14))))
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
            ({"body": '{"tenant_id": "sakura"}'}, "tenant_id"),
        ],
    )
    def test_a_bad_request_names_the_field_and_starts_nothing(
        self, send: Send, fleet: Fleet, changes: dict[str, Any], field: str
    ) -> None:
        status, body = send("put_tenant", **changes)
        assert (status, body["field"]) == (400, field)
        assert fleet.executions.requests == {}

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

    def test_a_failure_is_shown(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.FAILED, failure=provisioning_failure()))
        _, body = send("get_tenant")
        assert (body["failure"]["step"], body["failure"]["reason"]) == ("Ensure Bucket", "Access denied.")

    def test_an_unknown_tenant_is_not_found_and_the_command_is_told(self, send: Send) -> None:
        status, body = send("get_tenant")
        assert (status, body["code"]) == (404, "TenantNotFound")


class TestPostSync:
    def test_a_sync_is_requested(self, send: Send, fleet: Fleet) -> None:
        fleet.add(ACME)
        status, body = send("post_sync")
        assert (status, body["state"], body["requested_generation"]) == (202, "QUEUED", 1)
        assert fleet.ticks.requests == 1

    def test_a_tenant_without_a_data_source_cannot_be_synced(self, send: Send, fleet: Fleet) -> None:
        fleet.registry.create(tenant(data_source_id=None))
        status, body = send("post_sync")
        assert (status, body["code"]) == (409, "TenantNotActive")
        assert "kbfleet provision acme" in body["detail"]

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


def test_what_operators_do_is_logged_with_the_tenant(send: Send, fleet: Fleet, logs: Logs) -> None:
    send("put_tenant")
    (line,) = logs.lines
    assert (line["tenant_id"], line["execution"]) == ("acme", NAME)
