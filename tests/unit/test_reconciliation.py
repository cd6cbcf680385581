"""Where records and resources do not agree, and what is done about it: nothing, unless asked."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.domain.alert import Deployment
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.diagnosis import FleetDiagnosis
from kbfleet.domain.errors import AccessRefused, InvalidInput, ResourceMissing, Throttled
from kbfleet.domain.finding import NOWHERE, Disagreement, Finding, ResourceKind, SharedLoss
from kbfleet.domain.harm import Harm
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.reconciliation import Reconciliation, TenantRound, WholeRound
from kbfleet.domain.signals import of_fleet_diagnosis
from kbfleet.domain.tenant import OVERDUE_AFTER, Lease
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from kbfleet.usecases import reconciliation
from kbfleet.usecases.examination import TenantExamination
from kbfleet.usecases.incidents import IncidentDesk
from kbfleet.usecases.reconciliation import reconcile
from kbfleet.usecases.service_roles import service_role_of
from tests.support.fakes import RecordingAlertChannel
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, first_knowledge, tenant
from tests.support.service_roles import SHARED_ROLE

DEPLOYMENT = Deployment("kbfleet", "us-east-1")
MISSING, UNEXPLAINED = Disagreement.MISSING, Disagreement.UNEXPLAINED
RECORDED = {
    ResourceKind.BUCKET,
    ResourceKind.VECTOR_INDEX,
    ResourceKind.KNOWLEDGE_BASE,
    ResourceKind.SERVICE_ROLE,
}


def look(
    fleet: Fleet,
    *,
    repair: bool = False,
    quietly: bool = False,
    within: timedelta = timedelta(minutes=1),
    repair_within: timedelta = timedelta(minutes=2),
    by_schedule: bool = True,
) -> Reconciliation:
    return reconcile(
        registry=fleet.registry,
        ledger=fleet.ledger,
        incidents=fleet.incidents,
        buckets=fleet.buckets,
        stores=fleet.stores,
        knowledge_bases=fleet.knowledge_bases,
        service_roles=fleet.service_roles,
        executions=fleet.executions,
        rebuild_executions=fleet.rebuild_executions,
        announcements=fleet.announcements,
        names=NAMES,
        isolation=fleet.isolation_look,
        examination=fleet.examination,
        clock=fleet.clock,
        until=fleet.clock.now() + within,
        repair_until=fleet.clock.now() + repair_within if repair else None,
        by_schedule=by_schedule,
        quietly=quietly,
    )


def desk_of(fleet: Fleet) -> IncidentDesk:
    return IncidentDesk(fleet.incidents, RecordingAlertChannel(), fleet.clock, DEPLOYMENT)


@pytest.fixture
def fleet() -> Fleet:
    """Two tenants with everything that a provisioning makes."""
    fleet = Fleet()
    for tenant_id in (ACME, SAKURA):
        fleet.store.ensure(first_knowledge(tenant_id))
        fleet.buckets.ensure(NAMES.bucket(Life(tenant_id)), NAMES.tags(Life(tenant_id)))
        fleet.add(tenant_id)
        key = NAMES.usage_key(Life(tenant_id))
        plan = NAMES.usage_plan(Tier.STANDARD)
        fleet.usage_keys.ensure(key, NAMES.tags(Life(tenant_id)), plan_id=plan, other_plan_ids=[])
    return fleet


def change(fleet: Fleet, **fields: object) -> None:
    record = fleet.registry.get(ACME)
    fleet.registry.replace(replace(record, **fields), fence=record.fence)  # type: ignore[arg-type]


def test_a_fleet_in_order_has_no_findings_and_says_what_was_looked_at(fleet: Fleet) -> None:
    report = look(fleet)
    assert (report.findings, report.tenants, report.resources) == ((), 2, 8)
    assert fleet.announcements.reconciliations == [report]


def test_a_status_that_nobody_could_publish_is_published_after_a_while(fleet: Fleet) -> None:
    change(fleet, announced=False, status_since=fleet.clock.now())
    look(fleet)
    assert not fleet.announcements.tenant_state_changes
    fleet.clock.advance(301)
    look(fleet)
    look(fleet)
    assert [change.tenant_id for change in fleet.announcements.tenant_state_changes] == [ACME]


def test_a_tenant_that_should_have_been_deleted_is_named_with_the_command(fleet: Fleet) -> None:
    fleet.request_offboarding(ACME, timedelta(days=30))
    fleet.clock.advance((timedelta(days=30) + OVERDUE_AFTER).total_seconds())
    assert not look(fleet).findings
    fleet.clock.advance(1)
    (finding,) = look(fleet).findings
    assert (finding.disagreement, str(finding)) == (Disagreement.OVERDUE, "tenant acme")
    assert "kbfleet tenant offboard acme" in finding.advice
    assert not fleet.offboarding_executions.requests


class TestWhatCannotBeListed:
    @pytest.mark.parametrize("port", ["buckets", "knowledge_bases", "service_roles"])
    def test_a_list_that_is_refused_keeps_nobody_from_the_others(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, port: str
    ) -> None:
        monkeypatch.setattr(getattr(fleet, port), "of_fleet", Mock(side_effect=AccessRefused("It may not be listed.")))
        fleet.store.drop(first_knowledge(ACME))
        report = look(fleet)
        assert report.unlisted == ("It may not be listed.",)
        assert {finding.kind for finding in report.findings} == {ResourceKind.VECTOR_INDEX}

    def test_of_a_store_that_is_gone_as_a_whole_no_index_is_missed_but_it_is_said(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fleet.store, "indexes", Mock(side_effect=ResourceMissing("There is no vector bucket.")))
        report = look(fleet)
        assert (report.findings, report.unlisted) == ((), ("There is no vector bucket.",))


class TestMissing:
    def test_each_resource_that_is_gone_is_named_with_the_command(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.buckets.settings.clear()
        fleet.store.drop(first_knowledge(ACME))
        fleet.service_roles.delete(NAMES.service_role(Life(ACME)))
        fleet.knowledge_bases.vanish(str(record.knowledge_base_id))
        findings = [finding for finding in look(fleet).findings if finding.tenant_id == ACME]
        assert {(finding.disagreement, finding.kind, finding.name) for finding in findings} == {
            (MISSING, ResourceKind.BUCKET, record.bucket_name),
            (MISSING, ResourceKind.VECTOR_INDEX, "acme"),
            (MISSING, ResourceKind.KNOWLEDGE_BASE, record.knowledge_base_id),
            (MISSING, ResourceKind.SERVICE_ROLE, NAMES.service_role(Life(ACME))),
        }
        content = {ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE}
        commands = {finding.kind: "tenant rebuild" if finding.kind in content else "tenant add" for finding in findings}
        assert all(f"kbfleet {commands[finding.kind]} acme" in finding.advice for finding in findings)

    def test_nothing_is_repaired_unless_asked(self, fleet: Fleet) -> None:
        fleet.store.drop(first_knowledge(ACME))
        assert look(fleet).repairs == ()
        assert not fleet.rebuild_executions.requests
        assert look(fleet, repair=True).repairs == (ACME,)
        assert [dict(request) for request in fleet.rebuild_executions.requests.values()] == [{"tenant_id": ACME}]
        assert not fleet.executions.requests

    def test_a_rebuild_that_is_under_way_is_not_begun_anew_and_keeps_nothing_lost(self, fleet: Fleet) -> None:
        fleet.store.drop(first_knowledge(ACME))
        for _ in range(2):
            assert look(fleet, repair=True).repairs == (ACME,)
            fleet.clock.advance(60)
        assert len(fleet.rebuild_executions.requests) == 1
        beside = fleet.registry.get(ACME).beside
        assert beside is not None
        assert beside.plan.keep == timedelta(0)

    def test_a_suspended_tenant_is_reported_and_not_touched(self, fleet: Fleet) -> None:
        change(fleet, status=TenantStatus.SUSPENDED)
        fleet.store.drop(first_knowledge(ACME))
        report = look(fleet, repair=True)
        assert report.count(MISSING) == 1
        assert report.repairs == ()

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING])
    def test_a_tenant_that_is_being_changed_misses_nothing(self, fleet: Fleet, status: TenantStatus) -> None:
        change(fleet, status=status)
        fleet.store.drop(first_knowledge(ACME))
        fleet.buckets.settings.pop(NAMES.bucket(Life(ACME)))
        assert not look(fleet).findings

    def test_where_one_role_is_shared_none_is_missed_and_those_there_are_too_many(self, fleet: Fleet) -> None:
        fleet.service_roles.per_tenant = False
        for tenant_id in (ACME, SAKURA):
            fleet.knowledge_bases.give_role(str(fleet.registry.get(tenant_id).knowledge_base_id), SHARED_ROLE)
        fleet.service_roles.delete(NAMES.service_role(Life(SAKURA)))
        (finding,) = look(fleet).findings
        assert (finding.disagreement, finding.kind, finding.tenant_id) == (UNEXPLAINED, ResourceKind.SERVICE_ROLE, ACME)

    def test_a_tenant_on_a_store_without_indexes_misses_none(self, fleet: Fleet) -> None:
        fleet.store.drop(first_knowledge(ACME))
        change(fleet, knowledge_store="MANAGED")
        assert not look(fleet).findings


class TestUnexplained:
    def test_what_is_left_of_a_tenant_that_nobody_knows_is_named(self, fleet: Fleet) -> None:
        ghost = TenantId("ghost")
        fleet.store.ensure(first_knowledge(ghost))
        fleet.buckets.ensure(NAMES.bucket(Life(ghost)), NAMES.tags(Life(ghost)))
        made = fleet.make_knowledge_base(ghost, "before the crash")
        assert set(look(fleet).findings) == {
            Finding(UNEXPLAINED, ResourceKind.BUCKET, NAMES.bucket(Life(ghost)), ghost, "S3_VECTORS"),
            Finding(UNEXPLAINED, ResourceKind.VECTOR_INDEX, "ghost", ghost, "S3_VECTORS"),
            Finding(UNEXPLAINED, ResourceKind.KNOWLEDGE_BASE, made.knowledge_base_id, ghost, "S3_VECTORS"),
        }
        assert all(
            "`kbfleet tenant add ghost --knowledge-store S3_VECTORS`" in each.advice for each in look(fleet).findings
        )

    def test_a_knowledge_base_on_what_this_stack_has_not_is_not_said_to_be_taken_up(self, fleet: Fleet) -> None:
        """As one of an OpenSearch Serverless collection that was deleted and made again."""
        ghost = TenantId("ghost")
        fleet.store.ensure(first_knowledge(ghost))
        elsewhere = fleet.store.knowledge_base_configuration("an index of an older collection")
        fleet.make_knowledge_base(ghost, "before", configuration=elsewhere)
        fleet.buckets.ensure(NAMES.bucket(Life(ghost)), NAMES.tags(Life(ghost)))
        findings = look(fleet).findings
        assert {finding.left_on for finding in findings} == {NOWHERE}
        assert all("Delete it in the console" in finding.advice for finding in findings)

    def test_a_bucket_alone_is_taken_up_on_any_store(self, fleet: Fleet) -> None:
        ghost = TenantId("ghost")
        fleet.buckets.ensure(NAMES.bucket(Life(ghost)), NAMES.tags(Life(ghost)))
        (finding,) = look(fleet).findings
        assert "`kbfleet tenant add ghost` takes it up" in finding.advice

    @pytest.mark.parametrize(
        ("life", "record"),
        [
            (1, {"life": 2}),
            (1, {"life": 2, "status": TenantStatus.FAILED}),
            (1, {"life": 1, "status": TenantStatus.OFFBOARDED}),
            (2, None),
        ],
        ids=["a tenant's in service", "a failed one's", "a tombstone's", "an id's without a record"],
    )
    def test_what_another_life_has_left_is_not_said_to_be_taken_up(
        self, life: int, record: dict[str, Any] | None
    ) -> None:
        """Whoever followed that advice would offboard the tenant that there is now, and find it there still."""
        fleet, left = Fleet(), Life(ACME, life)
        fleet.buckets.ensure(NAMES.bucket(left), NAMES.tags(left))
        if record is not None:
            fleet.registry.create(tenant(**record, bucket_name=None, knowledge_base_id=None))
        (finding,) = [each for each in look(fleet).findings if each.kind is ResourceKind.BUCKET]
        assert finding.name == NAMES.bucket(left)
        assert "kbfleet" not in finding.advice
        assert "by hand" in finding.advice

    def test_nobody_is_told_to_offboard_a_tenant_in_service_for_a_role_that_it_does_not_use(self, fleet: Fleet) -> None:
        fleet.service_roles.per_tenant = False
        roles = [each for each in look(fleet).findings if each.disagreement is UNEXPLAINED]
        assert {each.kind for each in roles} == {ResourceKind.SERVICE_ROLE}
        assert all("offboard" not in each.advice and "deletes it" in each.advice for each in roles)

    def test_a_tombstone_explains_nothing(self, fleet: Fleet) -> None:
        change(fleet, status=TenantStatus.OFFBOARDED)
        assert {finding.kind for finding in look(fleet).findings if finding.disagreement is UNEXPLAINED} == RECORDED

    def test_a_second_knowledge_base_of_a_tenant_is_named(self, fleet: Fleet) -> None:
        change(fleet, knowledge_base_id=None)
        (finding,) = look(fleet).findings
        assert (finding.kind, finding.tenant_id) == (ResourceKind.KNOWLEDGE_BASE, ACME)

    def test_what_others_named_like_ours_is_left_out(self, fleet: Fleet) -> None:
        ghost = TenantId("ghost")
        fleet.store.ensure(first_knowledge(ghost))
        fleet.make_knowledge_base(ghost, "somebody else's", tags={})
        fleet.store.drop(first_knowledge(ghost))
        fleet.buckets.ensure("kbfleet-reports", {})
        assert not look(fleet).findings

    def test_nothing_unexplained_is_ever_deleted(self, fleet: Fleet) -> None:
        ghost = TenantId("ghost")
        fleet.buckets.ensure(NAMES.bucket(Life(ghost)), NAMES.tags(Life(ghost)))
        assert look(fleet, repair=True).repairs == ()
        assert fleet.buckets.exists(NAMES.bucket(Life(ghost)))


def test_who_could_not_be_looked_into_is_reported_with_the_reason(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(*_: object) -> None:
        raise Throttled("ListDataSources: too fast")

    monkeypatch.setattr(fleet.knowledge_bases, "data_sources", throttled)
    report = look(fleet)
    ((tenant_id, why),) = report.troubles
    assert (report.looked_into, str(why)) == (0, "ListDataSources: too fast")
    body = ReconciliationDetail.from_domain(report).troubles[0]
    assert (body.tenant_id, body.reason) == (tenant_id, str(why))


class TestWhatTenantsShare:
    def test_a_store_that_is_gone_is_one_finding_told_once_until_it_is_there_again(self, fleet: Fleet) -> None:
        fleet.store.gone = True
        report = look(fleet)
        (loss,) = report.shared_losses
        assert (loss.kind, loss.name, report.unlisted) == (ResourceKind.KNOWLEDGE_STORE, "S3_VECTORS", ())
        assert not [finding for finding in report.findings if not finding.shared]
        assert not fleet.announcements.diagnoses
        desk = desk_of(fleet)
        (told,) = fleet.announcements.fleet_diagnoses
        for signal in of_fleet_diagnosis(told, DEPLOYMENT):
            desk.record(signal)
        fleet.store.gone = False
        fleet.clock.advance(3_600)
        assert not look(fleet).shared_losses
        (*_, over) = fleet.announcements.fleet_diagnoses
        assert over.losses == ()
        for signal in of_fleet_diagnosis(over, DEPLOYMENT):
            desk.record(signal)
        fleet.clock.advance(3_600)
        look(fleet)
        assert len(fleet.announcements.fleet_diagnoses) == 2

    def test_while_it_may_not_be_looked_at_nothing_is_over(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        loss = SharedLoss(ResourceKind.KNOWLEDGE_STORE, "S3_VECTORS")
        for signal in of_fleet_diagnosis(FleetDiagnosis(fleet.clock.now(), (loss,)), DEPLOYMENT):
            desk_of(fleet).record(signal)
        monkeypatch.setattr(fleet.store, "is_there", Mock(side_effect=AccessRefused("It may not be looked at.")))
        assert "It may not be looked at." in look(fleet).unlisted
        assert not fleet.announcements.fleet_diagnoses

    def test_a_shared_role_that_is_gone_is_named(self, fleet: Fleet) -> None:
        fleet.service_roles.per_tenant = False
        fleet.service_roles.shared_is_gone = True
        (loss,) = look(fleet).shared_losses
        assert (loss.kind, loss.name) == (ResourceKind.SERVICE_ROLE, SHARED_ROLE)

    def test_nothing_is_repaired_before_it_is_there_again_and_all_then(self, fleet: Fleet) -> None:
        fleet.store.gone = True
        assert look(fleet, repair=True).repairs == ()
        fleet.store.gone = False
        for tenant_id in (ACME, SAKURA):
            fleet.store.drop(first_knowledge(tenant_id))
        assert look(fleet, repair=True).repairs == (ACME, SAKURA)


class TestRepairsInParts:
    @pytest.fixture(autouse=True)
    def two_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciliation, "REPAIRS_AT_ONCE", 2)

    @pytest.fixture
    def broken(self) -> Fleet:
        """Five tenants that have lost their service roles."""
        fleet = Fleet()
        for number in range(5):
            tenant_id = TenantId(f"tenant-{number}")
            fleet.store.ensure(first_knowledge(tenant_id))
            fleet.buckets.ensure(NAMES.bucket(Life(tenant_id)), NAMES.tags(Life(tenant_id)))
            fleet.add(tenant_id)
            key, plan = NAMES.usage_key(Life(tenant_id)), NAMES.usage_plan(Tier.STANDARD)
            fleet.usage_keys.ensure(key, NAMES.tags(Life(tenant_id)), plan_id=plan, other_plan_ids=[])
            fleet.service_roles.delete(NAMES.service_role(Life(tenant_id)))
        return fleet

    def begin(self, fleet: Fleet, tenant_id: TenantId) -> None:
        """The execution that was started for the tenant last takes its lease."""
        *_, name = (name for name, asked in fleet.executions.requests.items() if asked["tenant_id"] == tenant_id)
        record = fleet.registry.get(tenant_id)
        holder = fleet.executions.describe(name).arn
        leased = record.reserved_by(holder, fleet.clock.now(), timedelta(days=2))
        fleet.registry.replace(leased, fence=record.fence)

    def end(self, fleet: Fleet, tenant_id: TenantId, *, in_vain: bool = False) -> None:
        record = fleet.registry.get(tenant_id)
        assert record.lease is not None
        fleet.executions.progress(record.lease.holder.rsplit(":", 1)[-1], status="FAILED" if in_vain else "SUCCEEDED")
        now = fleet.clock.now()
        failure = WorkflowFailure(Workflow.PROVISION_TENANT, "Ensure Bucket", "Error", "It does not work.", "x", now)
        after = record.failed(failure) if in_vain else record.converged(None, now)
        fleet.registry.replace(after, fence=record.fence)
        if not in_vain:
            base = str(record.knowledge_base_id)
            fleet.service_roles.ensure(
                service_role_of(record, base, stores=fleet.stores, profiles=fleet.profiles, names=NAMES)
            )

    def test_the_same_command_again_goes_on_until_nobody_is_left(self, broken: Fleet) -> None:
        left: list[int] = []
        started: list[TenantId] = []
        for _ in range(4):
            report = look(broken, repair=True)
            left.append(report.repairs_left)
            started += report.repairs
            for tenant_id in report.repairs:
                self.begin(broken, tenant_id)
                broken.clock.advance(1)
                self.end(broken, tenant_id)
            broken.clock.advance(60)
        assert left == [3, 1, 0, 0]
        assert sorted(started) == [f"tenant-{number}" for number in range(5)]
        assert look(broken).findings == ()

    @pytest.mark.parametrize("begun", [False, True])
    def test_run_again_at_once_it_starts_nothing_twice(self, broken: Fleet, begun: bool) -> None:
        first = look(broken, repair=True)
        for tenant_id in first.repairs if begun else ():
            self.begin(broken, tenant_id)
        broken.clock.advance(1)
        second = look(broken, repair=True)
        assert (set(second.repairs), second.repairs_left) == (set(first.repairs), 3)
        assert len(broken.executions.requests) == 2

    def test_whoever_is_repaired_in_vain_keeps_nobody_from_it(self, broken: Fleet) -> None:
        tried: list[TenantId] = []
        for _ in range(3):
            report = look(broken, repair=True)
            tried += report.repairs
            for tenant_id in report.repairs:
                self.begin(broken, tenant_id)
                broken.clock.advance(1)
                self.end(broken, tenant_id, in_vain=True)
        assert {f"tenant-{number}" for number in range(5)} <= set(tried)

    def test_an_execution_that_was_stopped_before_it_began_is_followed_by_another(self, broken: Fleet) -> None:
        stopped = look(broken, repair=True).repairs
        for name in list(broken.executions.requests):
            broken.executions.progress(name, status="ABORTED")
        assert look(broken, repair=True).repairs == stopped
        assert len(broken.executions.requests) == 4

    def test_a_lease_of_an_execution_that_was_stopped_is_nobodys_place(self, broken: Fleet) -> None:
        for tenant_id in (stopped := look(broken, repair=True).repairs):
            self.begin(broken, tenant_id)
        for name in list(broken.executions.requests):
            broken.executions.progress(name, status="ABORTED")
        assert set(look(broken, repair=True).repairs) == set(stopped)
        assert len(broken.executions.requests) == 4

    @pytest.mark.parametrize("seen_at_work", [True, False], ids=["behind the record", "behind the lists"])
    def test_who_was_repaired_while_others_were_looked_at_is_left_to_the_next_look(
        self, broken: Fleet, monkeypatch: pytest.MonkeyPatch, seen_at_work: bool
    ) -> None:
        """What was listed says that it lacks something, and it does not any more."""
        (tenant_id, *_) = look(broken, repair=True).repairs
        monkeypatch.setattr(reconciliation, "REPAIRS_AT_ONCE", 5)

        def ends() -> None:
            self.begin(broken, tenant_id)
            broken.clock.advance(1)
            self.end(broken, tenant_id)

        port, name = (broken.ledger, "held") if seen_at_work else (broken.registry, "all")
        listed = getattr(port, name)

        def meanwhile() -> Any:
            monkeypatch.setattr(port, name, listed)
            ends()
            return listed()

        monkeypatch.setattr(port, name, meanwhile)
        monkeypatch.setattr(TenantExamination, "examine", Mock(side_effect=AccessRefused("Nobody can look.")))
        report = look(broken, repair=True)
        assert tenant_id not in report.repairs
        assert (len(report.repairs), report.repairs_left) == (4, 1)

    def test_who_is_done_while_its_execution_is_asked_for_is_not_begun_anew(
        self, broken: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its record was read with the lease; and the execution that has it has ended by now."""
        (tenant_id, *_) = look(broken, repair=True).repairs
        self.begin(broken, tenant_id)
        find, is_running = broken.registry.find, broken.executions.is_running
        read: list[TenantId] = []

        def found(asked: TenantId) -> Any:
            read.append(asked)
            return find(asked)

        def ends_in_between(execution: str) -> bool:
            if read[-1:] == [tenant_id] and broken.registry.get(tenant_id).lease is not None:
                self.end(broken, tenant_id)
            return is_running(execution)

        monkeypatch.setattr(broken.registry, "find", found)
        monkeypatch.setattr(broken.executions, "is_running", ends_in_between)
        started = len(broken.executions.requests)
        report = look(broken, repair=True)
        assert tenant_id not in report.repairs
        assert not any(asked["tenant_id"] == tenant_id for asked in list(broken.executions.requests.values())[started:])

    @pytest.mark.parametrize("kept", ["losses", "within"])
    def test_what_was_recorded_before_a_repair_is_not_repaired_once_more(self, broken: Fleet, kept: str) -> None:
        """At scale, nobody looks at it again before the next round: each run would repair the same tenants."""
        tenant_id = TenantId("tenant-0")
        for number in range(5):
            record = broken.registry.get(TenantId(f"tenant-{number}"))
            base = str(record.knowledge_base_id)
            broken.service_roles.ensure(
                service_role_of(record, base, stores=broken.stores, profiles=broken.profiles, names=NAMES)
            )
        changed = Finding(Disagreement.CHANGED, ResourceKind.BUCKET, "its events", tenant_id)
        assert changed.repairable
        record = broken.registry.get(tenant_id)
        found = replace(record, **{kept: (changed,), "found_at": broken.clock.now()})  # type: ignore[arg-type]
        broken.registry.replace(found, fence=record.fence)
        first = look(broken, repair=True, within=timedelta(0), by_schedule=False)
        assert (first.recorded, first.repairs) == ((changed,), (tenant_id,))
        self.begin(broken, tenant_id)
        broken.clock.advance(60)
        self.end(broken, tenant_id)
        broken.clock.advance(60)
        again = look(broken, repair=True, within=timedelta(0), by_schedule=False)
        assert (again.recorded, again.repairs, again.repairs_left) == ((changed,), (), 0)

    def test_what_a_look_sees_again_behind_a_repair_is_repaired_once_more(self, broken: Fleet) -> None:
        look(broken)  # which writes down what is lost
        tenant_id = TenantId("tenant-0")
        broken.clock.advance(60)
        record = broken.registry.get(tenant_id)
        broken.registry.replace(replace(record, updated_at=broken.clock.now()), fence=record.fence)
        assert broken.registry.get(tenant_id).worked_at_since
        broken.clock.advance(60)
        look(broken)
        assert not broken.registry.get(tenant_id).worked_at_since

    def test_what_aws_refuses_is_told_and_left(self, broken: Fleet) -> None:
        broken.executions.refuse_next(Throttled("StartExecution: too fast"))
        report = look(broken, repair=True)
        assert (report.repairs, report.repairs_left) == ((), 5)
        assert "StartExecution: too fast" in [str(error) for _, error in report.troubles]
        assert len(look(broken, repair=True).repairs) == 2

    def test_who_cannot_be_repaired_so_is_told_and_not_said_to_be_left(self, broken: Fleet) -> None:
        broken.executions.refuse_next(InvalidInput("tier", "is none."))
        report = look(broken, repair=True)
        assert (len(report.repairs), report.repairs_left, len(report.troubles)) == (2, 2, 1)

    def test_none_is_started_when_there_is_no_time_left(self, broken: Fleet) -> None:
        report = look(broken, repair=True, repair_within=timedelta(0))
        assert (report.repairs, report.repairs_left) == ((), 5)


class TestWhatTheLastRoundFound:
    """Of tenants that nobody looks into now, the record says what was found within them."""

    CHANGED = Finding(Disagreement.CHANGED, ResourceKind.DATA_SOURCE, "DS00000001", ACME)

    def test_is_told_of_those_that_there_was_no_time_for(self, fleet: Fleet) -> None:
        change(fleet, within=(self.CHANGED,))
        report = look(fleet, within=timedelta(0), by_schedule=False)
        assert (report.findings, report.recorded, report.not_looked_into) == ((), (self.CHANGED,), 2)
        assert report.count(Disagreement.CHANGED) == 1

    def test_is_no_more_told_of_whom_somebody_has_looked_into(self, fleet: Fleet) -> None:
        change(fleet, within=(self.CHANGED,))
        assert look(fleet).recorded == ()
        assert fleet.registry.get(ACME).within == ()

    def test_is_kept_with_the_tenant(self, fleet: Fleet) -> None:
        name = NAMES.bucket(Life(ACME))
        fleet.buckets.settings[name] = replace(fleet.buckets.settings[name], tags={})
        (found,) = look(fleet).findings
        assert (found.disagreement, found.hurts) == (Disagreement.CHANGED, False)
        assert fleet.registry.get(ACME).within == (found,)

    def test_a_loss_that_is_known_is_told_where_nobody_could_examine_it(self, fleet: Fleet) -> None:
        loss = Finding(Disagreement.MISSING, ResourceKind.USAGE_KEY, "kbfleet-acme", ACME)
        change(fleet, losses=(loss,))
        report = look(fleet, within=timedelta(0), by_schedule=False)
        assert report.recorded == (loss,)

    def test_a_resource_that_a_list_lacks_is_told_once(self, fleet: Fleet) -> None:
        fleet.store.drop(first_knowledge(ACME))
        look(fleet)
        assert fleet.registry.get(ACME).losses
        report = look(fleet, within=timedelta(0), by_schedule=False)
        kinds = [finding.kind for finding in (*report.findings, *report.recorded)]
        assert kinds == [ResourceKind.VECTOR_INDEX]

    def test_the_time_of_the_round_is_told_when_it_has_come_to_its_end(self, fleet: Fleet) -> None:
        began = fleet.clock.now()
        assert look(fleet, within=timedelta(0)).last_round is None
        fleet.clock.advance(3_600)
        assert look(fleet, within=timedelta(0)).last_round == WholeRound(began, fleet.clock.now())
        fleet.clock.advance(3_600)
        assert look(fleet, within=timedelta(0)).last_round == WholeRound(began, fleet.clock.now() - timedelta(hours=1))

    def test_who_asks_by_hand_begins_no_round_that_schedules_would_go_on_with(self, fleet: Fleet) -> None:
        """Of a large fleet, that would be all tenants, each time that somebody asks."""
        look(fleet, within=timedelta(0), by_schedule=False)
        assert not fleet.isolation_look.under_way
        look(fleet, within=timedelta(0))  # begins one
        assert fleet.isolation_look.under_way
        report = look(fleet, by_schedule=False)
        assert (report.looked_into, fleet.isolation_look.under_way) == (2, False)

    def test_a_round_ends_behind_the_last_tenant_and_the_next_is_begun_by_the_day(self, fleet: Fleet) -> None:
        """It went round and round: hourly rounds looked into every tenant several times a day."""
        looked = [look(fleet, within=timedelta(0)).looked_into for _ in range(2)]
        assert (looked, fleet.isolation_look.under_way) == ([1, 1], False)
        look(fleet, within=timedelta(0))
        assert (look(fleet).looked_into, fleet.isolation_look.under_way) == (1, False)

    def test_a_round_whose_last_tenants_are_gone_begins_anew(self, fleet: Fleet) -> None:
        fleet.isolation_rounds.save(TenantRound(TenantId("zz-top"), fleet.clock.now()))
        assert look(fleet).looked_into == 2

    def test_whom_it_could_not_look_into_is_counted(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fleet.knowledge_bases, "data_sources", Mock(side_effect=AccessRefused("no")))
        last = look(fleet).last_round
        assert last is not None
        assert last.missed == 2


class TestHeldSyncs:
    def test_are_found_with_their_command(self, fleet: Fleet) -> None:
        held = Hold(HoldReason.EMPTY, 7, 7, fleet.clock.now(), fleet.clock.now())
        fleet.ledger.save(replace(fleet.ledger.find(first_knowledge(ACME)), hold=held))
        (finding,) = look(fleet).findings
        assert (finding.disagreement, finding.whole_command) == (Disagreement.HELD, held.command(ACME))
        assert look(fleet, repair=True).repairs == ()


class TestStuckTenants:
    @pytest.fixture
    def stuck(self, fleet: Fleet) -> Fleet:
        now = fleet.clock.now()
        lease = Lease("arn:gone", now + timedelta(hours=5))
        change(fleet, status=TenantStatus.PROVISIONING, lease=lease, updated_at=now, status_since=now)
        return fleet

    def test_one_whose_execution_is_gone_is_found_told_and_repaired(self, stuck: Fleet) -> None:
        assert not look(stuck).findings
        stuck.clock.advance(900)
        (finding,) = look(stuck).findings
        assert (finding.disagreement, finding.harm) == (Disagreement.STUCK, Harm.NO_ANSWERS)
        assert "`kbfleet tenant add acme`" in finding.advice
        (told,) = stuck.announcements.diagnoses
        assert told.losses == (finding,)
        assert look(stuck, repair=True).repairs == (ACME,)

    def test_one_whose_execution_runs_is_not(self, stuck: Fleet) -> None:
        record = stuck.registry.get(ACME)
        running = stuck.executions.start("acme-20261101T000000000000", {"tenant_id": ACME})
        lease = Lease(running.arn, stuck.clock.now() + timedelta(hours=5))
        stuck.registry.replace(replace(record, lease=lease), fence=record.fence)
        stuck.clock.advance(3_600)
        assert not look(stuck).findings

    def test_it_is_over_once_it_is_provisioned(self, stuck: Fleet) -> None:
        stuck.clock.advance(900)
        look(stuck)
        change(stuck, status=TenantStatus.ACTIVE, lease=None)
        look(stuck)
        (_, over) = stuck.announcements.diagnoses
        assert (over.losses, stuck.registry.get(ACME).losses) == ((), ())


def test_a_quiet_look_finds_the_same_and_changes_nothing(fleet: Fleet) -> None:
    fleet.store.drop(first_knowledge(ACME))
    change(fleet, announced=False)
    fleet.clock.advance(3_600)
    before = deepcopy((list(fleet.registry.all()), fleet.isolation_rounds.find(), fleet.ledger.writes))
    announced = deepcopy(vars(fleet.announcements))
    quiet = look(fleet, quietly=True)
    assert (list(fleet.registry.all()), fleet.isolation_rounds.find(), fleet.ledger.writes) == before
    assert vars(fleet.announcements) == announced
    assert not fleet.executions.requests
    assert set(quiet.findings) == set(look(fleet).findings)
    assert set(look(fleet, quietly=True).findings) == set(quiet.findings)


def test_a_loss_that_was_repaired_is_not_told_by_a_quiet_look_although_the_record_has_it(fleet: Fleet) -> None:
    fleet.service_roles.delete(NAMES.service_role(Life(ACME)))
    assert look(fleet).findings
    record = fleet.registry.get(ACME)
    fleet.service_roles.ensure(
        service_role_of(
            record, str(record.knowledge_base_id), stores=fleet.stores, profiles=fleet.profiles, names=NAMES
        )
    )
    assert fleet.registry.get(ACME).losses
    quiet = look(fleet, quietly=True)
    assert (quiet.findings, quiet.recorded) == ((), ())
    assert fleet.registry.get(ACME).losses
