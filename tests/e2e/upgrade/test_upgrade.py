"""One fleet, updated on a local AWS with IAM enforced, taken back, and updated again.

Whatever a fleet may be in the midst of is there when the update comes: users who ask, a job, an execution, an open
incident, a suspended tenant, tenants in their retention period, a form that somebody was granted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.fleet_api import FleetApi
from kbfleet.contracts.documents import UploadBody
from kbfleet.domain.names import TenantId
from kbfleet.domain.uploads import DocumentKey, Upload
from local.askers import asking_all_the_time
from local.delays import AT_ONCE
from local.deployment import STACK_NAME
from local.stack import process
from local.stack.configuration import ACCESS_KEY, StackConfiguration, free_port
from tests.e2e.runbook.conftest import listed
from tests.e2e.runbook.fleet import Fleet
from tests.e2e.test_uploads import send
from tests.e2e.upgrade.release import BEFORE, Release, from_history, this_one
from tests.support.waiting import until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1_800)]

QUESTION = "For how many months is a tent guaranteed?"
TENTS, KAYAKS = b"# Tents\n\nA tent is guaranteed for 24 months.\n", b"# Kayaks\n\nA kayak is rented by the hour.\n"
SNOW_SHOES = b"# Snow shoes\n\nSnow shoes are rented for eleven days at most.\n"
DAMAGED = b"%PDF-1.7\nthe rest of it is lost"
ACTIVE, SUSPENDED, LEAVING, RETURNING, BROKEN, ARRIVING = "acme", "bravo", "charlie", "delta", "echo", "foxtrot"
SPEED = 10
"""Times as fast as AWS: a job takes long enough to be met by an update."""


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[StackConfiguration]:
    folder = tmp_path / "local-aws"
    configuration = StackConfiguration(
        state_directory=folder,
        aws_port=free_port(),
        side_port=free_port(),
        authorization=True,
        speed=SPEED,
        delays=AT_ONCE,  # the version before takes a bucket that is not there yet for one that never comes
    )
    process.start(configuration)
    try:
        yield configuration
    finally:
        process.stop(folder)


def deployed(release: Release, configuration: StackConfiguration) -> Fleet:
    stack = release.deploy(configuration)
    resources = listed(configuration, stack.stack_name)
    resources |= listed(configuration, resources["Monitoring"])
    return release.of(Fleet(configuration, stack.outputs, resources))


def api(fleet: Fleet) -> FleetApi:
    session = boto3.Session(ACCESS_KEY, fleet.configuration.secret_key, region_name=fleet.configuration.region)
    return FleetApi(fleet.outputs["ApiUrl"], session)


def usage_keys(fleet: Fleet) -> list[str]:
    pages = fleet.client("apigateway").get_paginator("get_api_keys").paginate()
    return sorted(key["name"] for page in pages for key in page["items"])


def with_all_that_can_be_going_on(fleet: Fleet) -> UploadBody:
    """Returns: the form that somebody was granted."""
    tenants = (ACTIVE, SUSPENDED, LEAVING, RETURNING, BROKEN)
    for tenant in tenants:
        fleet.succeeds(f"kbfleet tenant add {tenant} --no-wait")
    for tenant in tenants:
        until(partial(is_active, fleet, tenant), f"{tenant} is not provisioned")
        fleet.upload(tenant, "tents.md", TENTS)
        fleet.succeeds(f"kbfleet sync start {tenant} --no-wait")
    for tenant in tenants:
        until(partial(synced, fleet, tenant), f"{tenant} is not synced")
    fleet.succeeds(f"kbfleet tenant suspend {SUSPENDED}")
    for tenant in (LEAVING, RETURNING):
        fleet.succeeds(f"kbfleet tenant offboard {tenant} --retention-days 30 --confirm {tenant}")
    fleet.upload(BROKEN, "terms.pdf", DAMAGED)
    until(lambda: fleet.messages() or None, "nobody heard of the damaged document")
    form = api(fleet).grant_upload(TenantId(ACTIVE), Upload(DocumentKey("snow-shoes.md"), len(SNOW_SHOES)))
    fleet.upload(ACTIVE, "kayaks.md", KAYAKS)
    fleet.succeeds(f"kbfleet tenant add {ARRIVING} --no-wait")
    fleet.succeeds(f"kbfleet sync start {ACTIVE} --no-wait")
    until(lambda: fleet.tenant(ACTIVE)["sync"]["running_job_id"], "no job is running")
    return form


def status(fleet: Fleet, tenant: str) -> str:
    return str(fleet.tenant(tenant)["status"])


def is_active(fleet: Fleet, tenant: str) -> bool:
    return status(fleet, tenant) == "ACTIVE"


def synced(fleet: Fleet, tenant: str) -> dict[str, Any] | None:
    sync: dict[str, Any] = fleet.tenant(tenant)["sync"]
    return sync if not sync["pending_changes"] and sync["result"] else None


def complaints(fleet: Fleet) -> list[str]:
    """What the doctor finds wrong or cannot look at."""
    findings = json.loads(fleet.run("kbfleet doctor --json").stdout)
    return [f"{each['check']}: {each['finding']}" for each in findings if each["verdict"] in {"WRONG", "UNKNOWN"}]


def test_an_update_serves_everybody_from_its_first_second(configuration: StackConfiguration, tmp_path: Path) -> None:
    before, now = from_history(BEFORE, tmp_path / "before"), this_one(tmp_path / "now")
    old = deployed(before, configuration)
    form = with_all_that_can_be_going_on(old)
    keys = usage_keys(old)

    users = [ACTIVE, BROKEN]
    with asking_all_the_time(configuration, old.outputs["ApiUrl"], users, lambda *_: QUESTION) as asked:
        new = deployed(now, configuration)

        # What was going on ends well.
        until(lambda: synced(new, ACTIVE), "the job that the update met has not ended")
        until(partial(is_active, new, ARRIVING), "the execution that the update met has not ended")
        assert send(form, SNOW_SHOES)[0] == 204
        new.client("s3").delete_object(Bucket=new.tenant(BROKEN)["bucket_name"], Key="terms.pdf")
        new.succeeds(f"kbfleet sync start {BROKEN}")
        until(lambda: any(each.over for each in new.messages()) or None, "the incident is not over")
        # Who was out of service is, and can come back.
        assert status(new, SUSPENDED) == "SUSPENDED"
        new.succeeds(f"kbfleet tenant resume {SUSPENDED}")
        new.ask(SUSPENDED, QUESTION)
        new.succeeds(f"kbfleet tenant resume {RETURNING}")
        new.ask(RETURNING, QUESTION)
        assert status(new, LEAVING) == "OFFBOARDING"
        until(lambda: not complaints(new) or None, lambda: f"the doctor says: {complaints(new)}")
        assert usage_keys(new) == sorted({*keys, f"{STACK_NAME}-{ARRIVING}"})

        # Back, and forth again.
        old = deployed(before, configuration)
        old.succeeds(f"kbfleet sync start {ACTIVE}")
        old.ask(SUSPENDED, QUESTION)
        new = deployed(now, configuration)
        until(lambda: not complaints(new) or None, lambda: f"the doctor says: {complaints(new)}")

    assert asked.answers
    assert asked.refused == []
    new.succeeds(f"kbfleet tenant resume {LEAVING}")
    # Who was taken back is converged, too; meanwhile the command says to run it again.
    erase = f"kbfleet tenant offboard {LEAVING} --retention-days 0 --confirm {LEAVING} --wait"
    until(lambda: new.run(erase).returncode == 0 or None, lambda: new.run(erase).stderr)
    until(lambda: new.run("kbfleet reconcile").returncode == 0 or None, lambda: new.run("kbfleet reconcile").stdout)
    assert f"{STACK_NAME}-{LEAVING}" not in usage_keys(new)
