"""`kbfleet verify` takes back what it has made, however it ends, and nothing that is somebody's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from cli.fleet_api import FleetUnreachable
from cli.verify import run, story
from cli.verify.probes import BASE_DESCRIPTION, PROBES, probe_base_name, probe_bucket, probe_role_name
from cli.verify.under_test import Late, Trial
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.verified_fleet import VirtualFleetUnderTest, a_trial, verified_fleet
from tests.support.virtual_fleet import ACCOUNT, REGION

pytestmark = pytest.mark.timeout(600)
TWO_TENANTS = (story.ONE, story.TWO)


@pytest.fixture
def under_test() -> Iterator[VirtualFleetUnderTest]:
    with verified_fleet() as fleet:
        yield fleet


def left(under_test: VirtualFleetUnderTest) -> set[str]:
    """Tenants in service, and resources of the run."""
    tenants = {
        each.tenant_id for each in under_test.api.tenants(None).tenants if each.status is not TenantStatus.OFFBOARDED
    }
    pages = under_test.client("bedrock-agent").get_paginator("list_knowledge_bases").paginate()
    bases = {each["name"] for page in pages for each in page["knowledgeBaseSummaries"]}
    buckets = {each["Name"] for each in under_test.client("s3").list_buckets()["Buckets"]}
    roles = {role.name for role in iam_backends[ACCOUNT]["aws"].roles.values()}
    return {each for each in {*tenants, *bases, *buckets, *roles} if "verify" in each}


class Stopped:
    """Presses Ctrl-C when a run says that it is there."""

    def __init__(self, at: str) -> None:
        self._at = at

    def __call__(self, said: str) -> None:
        if self._at and said.startswith(self._at):
            self._at = ""
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["provisioning 2 tenants", "provisioning 2 tenants, 0", "uploading 0 s"])
def test_what_was_made_is_taken_back_after_an_interruption(under_test: VirtualFleetUnderTest, at: str) -> None:
    trial = a_trial(under_test, Stopped(at))
    with pytest.raises(KeyboardInterrupt):
        run.verify(trial, TWO_TENANTS, limits=False)
    assert left(under_test) == set()
    assert trial.requested in (set(), set(TWO_TENANTS))


def test_what_a_crash_has_left_is_taken_back(under_test: VirtualFleetUnderTest) -> None:
    crashed = a_trial(under_test)
    story.provision(crashed, TWO_TENANTS)
    under_test.client("iam").create_role(RoleName=probe_role_name(under_test), AssumeRolePolicyDocument="{}")
    under_test.client("s3").create_bucket(
        Bucket=probe_bucket(under_test), CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    known = under_test.client("bedrock-agent").get_knowledge_base(
        knowledgeBaseId=crashed.tenants[story.TWO].knowledge_base_id
    )["knowledgeBase"]
    under_test.client("bedrock-agent").create_knowledge_base(
        name=probe_base_name(under_test),
        roleArn=known["roleArn"],
        knowledgeBaseConfiguration=known["knowledgeBaseConfiguration"],
        description=BASE_DESCRIPTION,
    )
    with pytest.raises(InvalidInput, match="--clean-up"):
        run.plan(under_test, limits=False)
    found = run.clean_up(a_trial(under_test))
    assert found == [
        "tenant verify-one",
        "tenant verify-two",
        "a role for probes",
        "a bucket for probes",
        "a knowledge base that should have been refused",
    ]
    under_test.sleep(60)
    assert left(under_test) == set()
    assert run.clean_up(a_trial(under_test)) == []


def test_a_tenant_of_somebody_keeps_its_id(under_test: VirtualFleetUnderTest) -> None:
    under_test.api.provision(TenantId("acme"), None, None, None)
    under_test.sleep(30)
    assert run.plan(under_test, limits=False).tenants == TWO_TENANTS
    with pytest.raises(InvalidInput, match="1 other tenants are in service"):
        run.plan(under_test, limits=True)
    under_test.api.provision(story.ONE, DisplayName("Verify One Ltd."), None, None)
    under_test.sleep(30)
    with pytest.raises(InvalidInput, match="somebody's"):
        run.plan(under_test, limits=False)
    assert run.clean_up(a_trial(under_test)) == []
    under_test.sleep(600)
    assert under_test.api.tenant(story.ONE).status is TenantStatus.ACTIVE


@pytest.mark.parametrize("fact", ["duplicate-name", "missing-index"])
def test_a_knowledge_base_that_is_not_refused_is_deleted_as_soon_as_it_can_be(
    under_test: VirtualFleetUnderTest, fact: str
) -> None:
    trial, emulator = a_trial(under_test), under_test.fleet.emulator
    # As if names could be given twice.
    emulator.faults.add({"effect": "uniqueness_lag", "operation": "CreateKnowledgeBase", "seconds": 1_000_000})
    under_test.client("s3vectors").create_index(
        vectorBucketName=under_test.stack.outputs["VectorBucketArn"].rpartition("/")[2],
        indexName="verify-probe.none",
        dataType="float32",
        dimension=1024,
        distanceMetric="cosine",
    )
    story.provision(trial, TWO_TENANTS)
    before = left(under_test)
    # While it is CREATING, perhaps.
    refusal = {"effect": "error", "operation": "DeleteKnowledgeBase", "code": "ConflictException", "message": "No."}
    emulator.faults.add(refusal | {"count": 3})
    (probe,) = (each for each in PROBES if fact in each.facts)
    with trial.within(probe.seconds, fact):
        probe.run(trial)
    assert str(trial.observed[fact]) == "accepted"
    under_test.sleep(60)
    assert left(under_test) == before
    pages = under_test.client("bedrock-agent").get_paginator("list_knowledge_bases").paginate()
    assert len([each for page in pages for each in page["knowledgeBaseSummaries"]]) == len(TWO_TENANTS)


def test_nothing_of_a_probe_has_the_name_of_what_a_tenant_can_have(under_test: VirtualFleetUnderTest) -> None:
    somebodys = TenantId("verify-probe")
    under_test.api.provision(somebodys, DisplayName("Probes Ltd."), None, None)
    under_test.sleep(600)
    tenant = under_test.api.tenant(somebodys)
    assert tenant.status is TenantStatus.ACTIVE
    assert run.clean_up(a_trial(under_test)) == []
    under_test.client("s3").head_bucket(Bucket=tenant.bucket_name)
    base = under_test.client("bedrock-agent").get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)
    assert base["knowledgeBase"]["status"] == "ACTIVE"


def test_limits_are_not_used_up_beside_another_fleet_of_the_account(under_test: VirtualFleetUnderTest) -> None:
    under_test.client("bedrock-agent").create_knowledge_base(
        name="production-acme",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/production",
        knowledgeBaseConfiguration={"type": "MANAGED", "managedKnowledgeBaseConfiguration": {}},
    )
    assert run.plan(under_test, limits=False).tenants == TWO_TENANTS
    with pytest.raises(InvalidInput, match="1 knowledge bases of the account"):
        run.plan(under_test, limits=True)


def test_whoever_came_while_somebody_was_asked_is_in_the_way_too(under_test: VirtualFleetUnderTest) -> None:
    planned = run.plan(under_test, limits=False)
    under_test.api.provision(story.ONE, DisplayName("Verify One Ltd."), None, None)
    under_test.sleep(30)
    with pytest.raises(InvalidInput, match="somebody's"):
        run.verify(a_trial(under_test), planned.tenants, limits=False)
    assert under_test.api.tenant(story.ONE).name == "Verify One Ltd."


def test_what_cannot_be_taken_back_is_told_in_time(under_test: VirtualFleetUnderTest) -> None:
    trial = a_trial(under_test)
    story.provision(trial, (story.ONE,))
    under_test.fleet.emulator.faults.add(
        {"effect": "error", "operation": "DeleteKnowledgeBase", "code": "AccessDeniedException", "message": "No."}
    )
    began = under_test.now()
    with pytest.raises(Late, match="an offboarding has failed"):
        run.clean_up(a_trial(under_test))
    assert under_test.now() - began < story.OFFBOARDING_SECONDS


def test_a_plan_says_what_it_makes_and_costs(under_test: VirtualFleetUnderTest) -> None:
    small, large = (run.plan(under_test, limits=limits) for limits in (False, True))
    assert small.tenants == TWO_TENANTS
    assert large.tenants == story.IDS
    assert "USD" in small.costs
    assert 0 < small.seconds < large.seconds


def test_what_cannot_be_removed_keeps_nothing_else(
    under_test: VirtualFleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"Error": {"Code": "AccessDenied", "Message": "No."}}

    def refuse(_: object) -> bool:
        raise ClientError(said, "DeleteRole")  # type: ignore[arg-type] # boto3-stubs want more of it

    monkeypatch.setattr(run, "remove_probe_role", refuse)
    under_test.client("s3").create_bucket(
        Bucket=probe_bucket(under_test), CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    with pytest.raises(Late, match="DeleteRole was refused: AccessDenied"):
        run.clean_up(a_trial(under_test))
    assert left(under_test) == set()


class Hurried(Trial):
    """Remembers how long its parts may take; whatever they call is unreachable."""

    def __init__(self) -> None:
        super().__init__(Unreachable(), lambda _: None)  # type: ignore[arg-type]
        self.given = list[float]()

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        self.given.append(seconds)
        yield


class Unreachable:
    speed = 1.0

    def now(self) -> float:
        return 0.0

    def __getattr__(self, name: str) -> Any:
        raise FleetUnreachable(name)


@pytest.mark.parametrize("limits", [False, True])
def test_a_run_has_ended_when_the_plan_says_so_however_long_each_part_takes(
    under_test: VirtualFleetUnderTest, limits: bool
) -> None:
    planned = run.plan(under_test, limits=limits)
    trial = Hurried()
    for each in planned.tenants:
        made = SimpleNamespace(
            status=TenantStatus.ACTIVE, knowledge_store="S3_VECTORS", knowledge_base_id="KB", bucket_name="b"
        )
        trial.tenants[each] = made  # type: ignore[assignment]
    run.tell(trial, planned.tenants)
    run.probe(trial, limits=limits)
    run.end(trial, planned.tenants)
    with pytest.raises(Late):
        run.clean_up(trial)
    # Cleaning up waits for what was requested last, for tenants, and for a probe's knowledge base.
    parts = [*trial.given, 60, story.OFFBOARDING_SECONDS, 300]
    assert len(parts) > 10
    assert sum(parts) <= planned.seconds


def test_nothing_waits_longer_than_it_was_given(under_test: VirtualFleetUnderTest) -> None:
    trial = Trial(under_test, lambda _: None)
    began = under_test.now()
    with trial.within(60, "sixth-job"):
        trial.until(lambda: None, "the sun did not rise")
    assert under_test.now() - began <= 60
    assert str(trial.observed["sixth-job"]) == "not observed, because the sun did not rise within its time"
