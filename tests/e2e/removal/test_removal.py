"""The stack is removed with tenants in service, deployed again, and finds them: docs/deploying.md, "Removing it"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local import deployment
from local.identity_provider import IdentityProvider
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port
from tests.e2e.runbook.fleet import Fleet
from tests.support.waiting import until

pytestmark = [pytest.mark.local_stack, pytest.mark.drill, pytest.mark.timeout(1800)]

STORES = {"acme": "S3_VECTORS", "hanami": "OPENSEARCH_SERVERLESS", "sakura": "MANAGED"}
"""Tenants in service, on every store."""
SUSPENDED, LEAVING, GONE = "momiji", "kaede", "sumire"
EVERY_STORE = {"OfferOpenSearchServerless": "true"}
QUESTION = "For how many months is a tent guaranteed?"


class Removed:
    """A fleet whose stack is removed and made again."""

    def __init__(self, configuration: StackConfiguration) -> None:
        self.configuration = configuration
        self.fleet = Fleet(configuration, {}, {})

    def deploy(self) -> None:
        deployment.deploy(self.configuration, parameter_overrides=EVERY_STORE)

    def delete(self) -> None:
        deployment.delete(self.configuration)

    def json(self, command: str, exit_code: int = 0) -> Any:
        ran = self.fleet.run(f"{command} --json")
        assert ran.returncode == exit_code, f"{command}\n{ran.stdout}{ran.stderr}"
        return json.loads(ran.stdout)

    def statuses(self) -> dict[str, str]:
        return {each["tenant_id"]: each["status"] for each in self.json("kbfleet tenant list")["tenants"]}

    def jobs(self, tenant: str) -> list[str]:
        return [job["ingestion_job_id"] for job in self.json(f"kbfleet jobs list {tenant}")["jobs"]]

    def questions(self, tenant: str) -> int:
        return int(self.json(f"kbfleet usage {tenant}")["total"]["questions"])

    def answered(self, tenant: str) -> bool:
        """Whether a user is answered from the tenant's own document."""
        issuer = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key)
        ran = self.fleet.run(f"kbfleet ask '{QUESTION}' --token {issuer.mint(tenant)} --json")
        return ran.returncode == 0 and f"{tenant} guarantees" in json.loads(ran.stdout)["answer"]

    def running_executions(self) -> list[str]:
        found: list[str] = json.loads(self.fleet.run("kbfleet stack remaining --json").stdout)["executions"]
        return found


@pytest.fixture(scope="module")
def removed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Removed]:
    """With tenants on every store, one suspended, one in its retention period, and one that was erased."""
    folder = tmp_path_factory.mktemp("removal")
    configuration = StackConfiguration(
        state_directory=folder, aws_port=free_port(), side_port=free_port(), authorization=True
    )
    process.start(configuration)
    try:
        removed = Removed(configuration)
        removed.deploy()
        fleet = removed.fleet
        tenants = (*STORES, SUSPENDED, LEAVING, GONE)
        for tenant in tenants:
            fleet.succeeds(
                f"kbfleet tenant add {tenant} --knowledge-store {STORES.get(tenant, 'S3_VECTORS')} --no-wait"
            )
        until(lambda: set(removed.statuses().values()) == {"ACTIVE"}, "they are not provisioned")
        for tenant in tenants:
            fleet.upload(tenant, "tents.md", f"{tenant} guarantees a tent for 24 months.".encode())
            fleet.succeeds(f"kbfleet sync start {tenant} --no-wait")
        for tenant in tenants:
            until(lambda tenant=tenant: removed.answered(tenant), f"{tenant} is not answered")  # type: ignore[misc]
        fleet.succeeds(f"kbfleet tenant suspend {SUSPENDED}")
        fleet.succeeds(f"kbfleet tenant offboard {LEAVING} --retention-days 30 --confirm {LEAVING}")
        fleet.succeeds(f"kbfleet tenant offboard {GONE} --retention-days 0 --confirm {GONE} --wait")
        for tenant in STORES:
            until(lambda tenant=tenant: removed.questions(tenant), "questions are not counted")  # type: ignore[misc]
        yield removed
    finally:
        process.stop(folder)


def test_a_stack_that_is_deployed_again_finds_its_tenants(removed: Removed) -> None:
    fleet = removed.fleet
    left = removed.json("kbfleet stack remaining", exit_code=1)
    assert {each["tenant_id"] for each in left["tenants"]} == {*STORES, SUSPENDED, LEAVING}
    assert {"Table", "VectorBucket", "Collection", "CollectionEncryption", "CollectionNetwork"} <= {
        each["logical_id"] for each in left["resources"]
    }
    for arn in left["executions"]:
        fleet.client("stepfunctions").stop_execution(executionArn=arn)
    until(lambda: not removed.running_executions(), "executions go on")

    for tenant in STORES:
        until(lambda tenant=tenant: not fleet.tenant(tenant)["sync"]["pending_changes"], "it is not synced")  # type: ignore[misc]

    statuses, jobs = removed.statuses(), {tenant: removed.jobs(tenant) for tenant in STORES}
    questions = {tenant: removed.questions(tenant) for tenant in STORES}
    receipt = removed.json(f"kbfleet tenant show {GONE}")["erasure"]

    removed.delete()
    assert fleet.run("kbfleet doctor").returncode == 1

    taken_in = removed.json("kbfleet stack import")
    assert {each["logical_id"] for each in taken_in} == {
        "Table",
        "VectorBucket",
        "Collection",
        "CollectionEncryption",
        "CollectionNetwork",
    }
    removed.deploy()

    assert removed.statuses() == statuses
    assert {tenant: removed.questions(tenant) for tenant in STORES} == questions
    assert removed.json(f"kbfleet tenant show {GONE}")["erasure"] == receipt
    fleet.succeeds(f"kbfleet tenant resume {SUSPENDED}")
    for tenant in (*STORES, SUSPENDED):
        fleet.succeeds(f"kbfleet tenant add {tenant}")
        assert removed.answered(tenant), tenant
    assert {tenant: removed.jobs(tenant) for tenant in STORES} == jobs, "documents were ingested again"
    # Its retention period has not ended meanwhile.
    fleet.succeeds(f"kbfleet tenant resume {LEAVING}")
    until(lambda: removed.answered(LEAVING), f"{LEAVING} is not taken back")
    fleet.succeeds("kbfleet reconcile")
    fleet.succeeds("kbfleet doctor")


def test_without_its_table_a_new_stack_takes_up_what_tenants_have_left(removed: Removed) -> None:
    fleet = removed.fleet
    outputs = deployment.read_outputs(removed.configuration)
    until(lambda: not removed.running_executions(), "executions go on")
    removed.delete()
    fleet.client("dynamodb").delete_table(TableName=outputs["TableName"])

    taken_in = removed.json("kbfleet stack import")
    assert "Table" not in {each["logical_id"] for each in taken_in}
    removed.deploy()
    assert removed.statuses() == {}
    assert fleet.run("kbfleet reconcile").returncode == 1
    for tenant, store in {**STORES, SUSPENDED: "S3_VECTORS", LEAVING: "S3_VECTORS"}.items():
        before = {
            each["knowledgeBaseId"]
            for each in fleet.client("bedrock-agent").list_knowledge_bases()["knowledgeBaseSummaries"]
            if each["name"] == f"kbfleet-{tenant}"
        }
        fleet.succeeds(f"kbfleet tenant add {tenant} --knowledge-store {store}")
        assert {fleet.tenant(tenant)["knowledge_base_id"]} == before
        assert removed.answered(tenant), tenant
    fleet.succeeds("kbfleet reconcile")
