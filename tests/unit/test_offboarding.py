"""The steps of offboarding: nothing goes before its time, everything goes after it, and the receipt is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest

from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import (
    AccessRefused,
    BucketNameTaken,
    ErasureIncomplete,
    LeaseLost,
    NotReadyYet,
    TenantBusy,
    TenantNotFound,
    TenantOffboarded,
    TenantOffboarding,
)
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import KnowledgeBase
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.signals import of_ingestion
from kbfleet.domain.sync import Priority
from kbfleet.domain.tenant import BUCKET_SETTLES_WITHIN, Lease, Reservation, Tenant, TenantStateChange
from kbfleet.domain.tenant import Offboarding as Plan
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.ports import Execution
from kbfleet.usecases import offboarding
from kbfleet.usecases.incidents import IncidentDesk
from kbfleet.usecases.offboarding import DeletionRound
from tests.support.fakes import FailedTask, JobCourse, RecordingAlertChannel
from tests.support.fleet import LEASE, Fleet
from tests.support.samples import (
    ACME,
    DEPLOYMENT,
    NAMES,
    SAKURA,
    failure_reason,
    first_knowledge,
    job_state_change,
    provisioning_failure,
    uri_of,
)

RETENTION = timedelta(days=30)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:kbfleet-offboard-tenant:acme-1"


class Offboarding:
    """The use cases with the ports of a fleet, as one execution calls them."""

    def __init__(self, fleet: Fleet, execution: str = EXECUTION) -> None:
        self.fleet = fleet
        self.execution = execution
        self.reservation: Reservation = Reservation(ACME, 0)

    @property
    def record(self) -> Tenant:
        return self.fleet.registry.get(ACME)

    def fence_off(self) -> Reservation:
        self.reservation = self.fleet.fence_off(ACME, self.execution)
        return self.reservation

    def begin(self) -> None:
        """The retention period is over, and the execution has the tenant."""
        self.fleet.request_offboarding(ACME, timedelta(0))
        self.fence_off()

    def refuse_uploads(self) -> None:
        offboarding.refuse_uploads(
            self.reservation, registry=self.fleet.registry, buckets=self.fleet.buckets, names=NAMES
        )

    def stop_ingestion(self) -> None:
        self.fleet.stop_ingestion(self.reservation)

    def delete_usage_key(self) -> None:
        offboarding.delete_usage_key(
            self.reservation,
            registry=self.fleet.registry,
            usage_keys=self.fleet.usage_keys,
            names=NAMES,
            clock=self.fleet.clock,
        )

    def delete_data_sources(self) -> None:
        offboarding.delete_data_sources(
            self.reservation,
            registry=self.fleet.registry,
            knowledge_bases=self.fleet.knowledge_bases,
            names=NAMES,
        )

    def delete_knowledge_base(self) -> None:
        offboarding.delete_knowledge_base(
            self.reservation,
            registry=self.fleet.registry,
            knowledge_bases=self.fleet.knowledge_bases,
            names=NAMES,
        )

    def delete_service_role(self) -> None:
        offboarding.delete_service_role(
            self.reservation,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            service_roles=self.fleet.service_roles,
            names=NAMES,
        )

    def delete_knowledge_store(self) -> None:
        offboarding.delete_knowledge_store(self.reservation, registry=self.fleet.registry, stores=self.fleet.stores)

    def delete_bucket(self) -> bool:
        return offboarding.delete_bucket(
            self.reservation,
            registry=self.fleet.registry,
            buckets=self.fleet.buckets,
            names=NAMES,
            clock=self.fleet.clock,
            until=self.fleet.clock.now() + timedelta(seconds=25),
        )

    def delete_records(self, *, keep_usage: bool = True) -> bool:
        return offboarding.delete_records(
            self.reservation,
            registry=self.fleet.registry,
            records=self.fleet.records,
            incidents=self.fleet.incidents,
            undelivered=self.fleet.undelivered,
            names=NAMES,
            clock=self.fleet.clock,
            keep_usage=keep_usage,
        )

    def verify(self, *, keep_usage: bool = True) -> ErasureReceipt:
        return offboarding.verify_erasure(
            self.reservation,
            execution=self.execution,
            registry=self.fleet.registry,
            buckets=self.fleet.buckets,
            stores=self.fleet.stores,
            knowledge_bases=self.fleet.knowledge_bases,
            service_roles=self.fleet.service_roles,
            usage_keys=self.fleet.usage_keys,
            records=self.fleet.records,
            incidents=self.fleet.incidents,
            names=NAMES,
            clock=self.fleet.clock,
            keep_usage=keep_usage,
            logs_kept_for=timedelta(days=60),
        )

    def mark(self, receipt: ErasureReceipt) -> Tenant:
        return offboarding.mark_tenant_offboarded(
            self.reservation,
            receipt,
            registry=self.fleet.registry,
            records=self.fleet.records,
            announcements=self.fleet.announcements,
            clock=self.fleet.clock,
        )

    def fail(self, tenant_id: TenantId) -> None:
        """A job of that tenant fails, and the notifier hears of it."""
        failed = job_state_change(
            tenant_id=tenant_id,
            status=JobStatus.FAILED,
            outcome=Outcome.FAILED,
            occurred_at=self.fleet.clock.now(),
            failure_reasons=(failure_reason("No.", uri_of("議事録.pdf", tenant_id)),),
        )
        desk = IncidentDesk(self.fleet.incidents, RecordingAlertChannel(), self.fleet.clock, DEPLOYMENT)
        for signal in of_ingestion(failed, DEPLOYMENT):
            desk.record(signal)

    def until_done(self, step: str) -> None:
        """As the state machine does: again while it says NotReadyYet, with time going by."""
        for _ in range(20):
            try:
                getattr(self, step)()
            except NotReadyYet:
                self.fleet.clock.advance(15)
            else:
                return
        raise AssertionError(f"{step} is not done after 20 attempts")

    def whole(self) -> ErasureReceipt:
        self.fleet.request_offboarding(ACME, RETENTION)
        self.fleet.clock.advance(RETENTION.total_seconds())
        self.fence_off()
        self.refuse_uploads()
        for step in ("stop_ingestion", "delete_usage_key", "delete_data_sources", "delete_knowledge_base"):
            self.until_done(step)
        self.delete_service_role()
        self.delete_knowledge_store()
        while not self.delete_bucket():
            pass
        self.delete_records()
        receipt = self.verify()
        self.mark(receipt)
        return receipt


@pytest.fixture
def fleet() -> Fleet:
    """Two tenants with everything that a provisioning makes."""
    fleet = Fleet()
    for tenant_id in (ACME, SAKURA):
        fleet.store.ensure(first_knowledge(tenant_id))
        fleet.buckets.ensure(NAMES.bucket(Life(tenant_id)), NAMES.tags(Life(tenant_id)))
        fleet.add(tenant_id)
        fleet.request(tenant_id)
    fleet.tick_until_idle()
    return fleet


@pytest.fixture
def run(fleet: Fleet) -> Offboarding:
    return Offboarding(fleet)


class TestTheWholeWay:
    def test_nothing_is_left_and_the_receipt_says_so(self, run: Offboarding) -> None:
        before = run.record
        receipt = run.whole()
        assert not run.fleet.buckets.exists(NAMES.bucket(Life(ACME)))
        assert run.fleet.store.find(first_knowledge(ACME)) is None
        assert NAMES.knowledge_base(first_knowledge(ACME)) not in run.fleet.knowledge_bases.names()
        assert run.fleet.ledger.find(first_knowledge(ACME)).version == 0
        assert [(erased.kind, erased.name) for erased in receipt.erased] == [
            ("bucket", before.bucket_name),
            ("vector index", "acme"),
            ("knowledge base", before.knowledge_base_id),
            ("service role", NAMES.service_role(Life(ACME))),
            ("usage key", "kbfleet-acme"),
            ("records", "acme"),
            ("part in incidents", "acme"),
        ]
        assert receipt.execution == EXECUTION

    @pytest.mark.parametrize("keep", [True, False])
    def test_the_receipt_says_where_something_remains_and_until_when(self, run: Offboarding, keep: bool) -> None:
        run.whole()
        run.fleet.registry.replace(
            replace(run.record, status=TenantStatus.OFFBOARDING, lease=Lease(EXECUTION, run.fleet.clock.now())),
            fence=run.record.fence,
        )
        run.reservation = Reservation(ACME, run.record.fence)
        receipt = run.verify(keep_usage=keep)
        until = {left.where: left.until for left in receipt.remaining}
        now = receipt.verified_at
        assert until["point-in-time recovery of the table"] == now + timedelta(days=35)
        assert until["incidents in the table"] == now + timedelta(days=30)
        assert until["logs"] == now + timedelta(days=60)
        assert until["alerts and events that were sent"] is None
        assert ("usage in the table" in until) is keep

    def test_it_leaves_incidents_and_others_stay_in_them(self, run: Offboarding) -> None:
        for tenant_id in (SAKURA, ACME):
            run.fail(tenant_id)
        run.whole()
        (incident,) = run.fleet.incidents.all.values()
        assert set(incident.affected) == {"sakura"}
        assert "acme" not in repr(incident)

    def test_what_is_left_in_incidents_is_named(self, run: Offboarding) -> None:
        run.begin()
        run.delete_records()
        run.fleet.clock.advance(1)
        run.fail(ACME)
        with pytest.raises(ErasureIncomplete, match="part in incidents acme"):
            run.verify()

    def test_dead_letters_about_it_are_deleted_and_those_of_others_are_not(self, run: Offboarding) -> None:
        run.fleet.undelivered.bodies = ['{"detail": {"tenant_id": "acme"}}', '{"detail": {"tenant_id": "sakura"}}']
        run.whole()
        assert run.fleet.undelivered.bodies == ['{"detail": {"tenant_id": "sakura"}}']

    def test_the_tombstone_keeps_the_receipt_and_no_name(self, run: Offboarding) -> None:
        receipt = run.whole()
        assert (run.record.status, run.record.erasure) == (TenantStatus.OFFBOARDED, receipt)
        assert (run.record.name, run.record.lease, run.record.knowledge_base_id) == ("acme", None, None)
        assert run.fleet.records.receipts == [(ACME, receipt)]

    def test_each_change_of_status_is_published_the_last_with_the_receipt(self, run: Offboarding) -> None:
        receipt = run.whole()
        offboarding_began, offboarded = run.fleet.announcements.tenant_state_changes
        assert (offboarding_began.status, offboarding_began.receipt) == (TenantStatus.OFFBOARDING, None)
        assert (offboarded.status, offboarded.receipt) == (TenantStatus.OFFBOARDED, receipt)

    def test_other_tenants_lose_nothing(self, run: Offboarding) -> None:
        sakura = run.fleet.registry.get(SAKURA)
        run.whole()
        assert run.fleet.registry.get(SAKURA) == sakura
        assert run.fleet.store.find(first_knowledge(SAKURA))
        assert run.fleet.buckets.exists(NAMES.bucket(Life(SAKURA)))
        assert run.fleet.knowledge_bases.names() == [NAMES.knowledge_base(first_knowledge(SAKURA))]

    def test_a_tenant_that_was_never_finished_is_offboarded_too(self, run: Offboarding) -> None:
        """Its knowledge base was made, and the id never got into the record."""
        record = run.record
        lost = Tenant(
            ACME,
            "acme",
            TenantStatus.FAILED,
            "S3_VECTORS",
            record.created_at,
            record.updated_at,
            record.status_since,
            fence=record.fence,
        )
        run.fleet.registry.replace(lost, fence=record.fence)
        run.fleet.knowledge_bases.vanish(str(record.knowledge_base_id))
        run.fleet.make_knowledge_base(ACME, "before the crash")
        run.whole()
        assert run.fleet.knowledge_bases.names() == [NAMES.knowledge_base(first_knowledge(SAKURA))]

    def test_a_knowledge_base_of_its_name_that_is_somebody_elses_is_left_alone(self, run: Offboarding) -> None:
        run.fleet.knowledge_bases.vanish(str(run.record.knowledge_base_id))
        run.fleet.make_knowledge_base(ACME, "somebody else's", tags={})
        run.whole()
        assert NAMES.knowledge_base(first_knowledge(ACME)) in run.fleet.knowledge_bases.names()


class TestATenantThatNeverGotItsBucket:
    def test_somebody_elses_bucket_of_that_name_is_left_alone(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, bucket_name=None), fence=record.fence)
        del fleet.buckets.settings[NAMES.bucket(Life(ACME))]
        fleet.buckets.foreign.add(NAMES.bucket(Life(ACME)))
        Offboarding(fleet).whole()
        assert fleet.registry.get(ACME).status is TenantStatus.OFFBOARDED

    def test_a_bucket_that_was_made_a_moment_ago_and_does_not_show_yet_is_waited_for(self, run: Offboarding) -> None:
        name = NAMES.bucket(Life(ACME))
        run.begin()
        unseen = run.fleet.buckets.settings.pop(name)
        run.refuse_uploads()
        with pytest.raises(NotReadyYet, match=name):
            run.delete_bucket()
        run.fleet.clock.advance(BUCKET_SETTLES_WITHIN.total_seconds() - 1)
        run.fleet.buckets.settings[name] = unseen
        assert run.delete_bucket()
        assert name not in run.fleet.buckets.settings

    def test_a_bucket_that_never_shows_was_never_made(self, run: Offboarding) -> None:
        run.begin()
        del run.fleet.buckets.settings[NAMES.bucket(Life(ACME))]
        run.fleet.clock.advance(BUCKET_SETTLES_WITHIN.total_seconds())
        assert run.delete_bucket()

    def test_a_bucket_that_was_ours_and_cannot_be_reached_any_more_is_no_success(self, run: Offboarding) -> None:
        run.begin()
        run.fleet.buckets.foreign.add(NAMES.bucket(Life(ACME)))
        with pytest.raises(BucketNameTaken):
            run.delete_bucket()


class TestRequesting:
    def test_it_is_out_of_service_at_once_and_nothing_runs(self, run: Offboarding) -> None:
        now = run.fleet.clock.now()
        requested, execution = run.fleet.request_offboarding(ACME, RETENTION)
        assert execution is None
        assert requested == run.record
        assert (requested.status, requested.lease) == (TenantStatus.OFFBOARDING, None)
        assert requested.offboarding == Plan(now, now + RETENTION, TenantStatus.ACTIVE)
        assert run.fleet.offboarding_executions.requests == {}
        assert run.fleet.knowledge_bases.get(str(requested.knowledge_base_id)) is not None

    def test_what_is_published_says_when_it_is_deleted(self, run: Offboarding) -> None:
        now = run.fleet.clock.now()
        run.fleet.request_offboarding(ACME, RETENTION)
        change = run.fleet.announcements.tenant_state_changes[-1]
        assert (change.status, change.delete_after) == (TenantStatus.OFFBOARDING, now + RETENTION)

    def test_nothing_is_synced_any_more_and_whoever_waits_is_reported(self, run: Offboarding) -> None:
        entry = run.fleet.ledger.find(first_knowledge(ACME))
        run.fleet.ledger.save(entry.requested(run.fleet.clock.now(), Priority.REQUESTED, "token"))
        run.fleet.request_offboarding(ACME, RETENTION)
        assert isinstance(run.fleet.callbacks.answer("token"), FailedTask)
        run.fleet.tick_until_idle()
        assert len(run.fleet.knowledge_bases.jobs) == 2  # the two first ones
        with pytest.raises(TenantOffboarding):
            run.fleet.request(ACME)

    def test_its_bucket_takes_no_uploads(self, run: Offboarding) -> None:
        run.fleet.request_offboarding(ACME, RETENTION)
        assert not run.fleet.buckets.settings[NAMES.bucket(Life(ACME))].takes_uploads

    def test_a_bucket_that_was_opened_for_a_tenant_taken_back_meanwhile_stays_open(
        self, run: Offboarding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        announcements = run.fleet.announcements
        publish = announcements.tenant_state_changed

        def taken_back(change: TenantStateChange) -> None:
            publish(change)
            monkeypatch.setattr(announcements, "tenant_state_changed", publish)
            run.fleet.resume(ACME)

        monkeypatch.setattr(announcements, "tenant_state_changed", taken_back)
        run.fleet.request_offboarding(ACME, RETENTION)
        assert run.fleet.buckets.settings[NAMES.bucket(Life(ACME))].takes_uploads

    def test_requested_again_it_keeps_its_time_and_its_place(self, run: Offboarding) -> None:
        first, _ = run.fleet.request_offboarding(ACME, RETENTION)
        run.fleet.clock.advance(60)
        assert run.fleet.request_offboarding(ACME, timedelta(days=7)) == (first, None)

    def test_without_a_retention_period_its_deletion_is_started_at_once(self, run: Offboarding) -> None:
        _, execution = run.fleet.request_offboarding(ACME, timedelta(0))
        assert execution is not None
        assert run.fleet.offboarding_executions.requests == {execution.name: {"tenant_id": ACME}}

    def test_its_deletion_is_started_even_if_its_bucket_cannot_be_closed_now(
        self, run: Offboarding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused = AccessRefused("The bucket's policy cannot be written.")
        monkeypatch.setattr(run.fleet.buckets, "refuse_uploads", Mock(side_effect=refused))
        _, execution = run.fleet.request_offboarding(ACME, timedelta(0))
        assert execution is not None

    def test_an_execution_that_runs_is_given_instead_of_a_second(self, run: Offboarding) -> None:
        _, first = run.fleet.request_offboarding(ACME, timedelta(0))
        assert first is not None
        for before in (lambda: None, lambda: run.fleet.fence_off(ACME, first.arn)):
            before()
            run.fleet.clock.advance(60)
            _, again = run.fleet.request_offboarding(ACME, timedelta(0))
            assert again == first
        assert len(run.fleet.offboarding_executions.requests) == 1

    def test_one_that_ended_before_it_had_the_tenant_is_replaced(self, run: Offboarding) -> None:
        _, first = run.fleet.request_offboarding(ACME, timedelta(0))
        assert first is not None
        run.fleet.offboarding_executions.progress(first.name, status="ABORTED")
        run.fleet.clock.advance(60)
        _, second = run.fleet.request_offboarding(ACME, timedelta(0))
        assert second is not None
        assert second.name != first.name

    def test_one_that_has_failed_is_deleted_at_once_when_it_is_requested_again(self, run: Offboarding) -> None:
        run.begin()
        failed = run.record.failed(provisioning_failure(EXECUTION))
        run.fleet.registry.replace(failed, fence=run.record.fence)
        _, execution = run.fleet.request_offboarding(ACME, RETENTION)
        assert execution is not None
        assert (run.record.failure, run.record.fence) == (None, failed.fence + 1)

    def test_one_that_is_being_provisioned_is_busy(self, run: Offboarding) -> None:
        record = run.record
        run.fleet.executions.begin("another")
        leased = replace(record, lease=Lease("another", run.fleet.clock.now() + LEASE))
        run.fleet.registry.replace(leased, fence=record.fence)
        with pytest.raises(TenantBusy):
            run.fleet.request_offboarding(ACME, RETENTION)
        assert run.record == leased

    def test_an_unknown_tenant_and_one_that_is_gone_are_reported(self, run: Offboarding) -> None:
        with pytest.raises(TenantNotFound):
            Fleet().request_offboarding(ACME, RETENTION)
        run.whole()
        with pytest.raises(TenantOffboarded):
            run.fleet.request_offboarding(ACME, RETENTION)
        assert run.fleet.offboarding_executions.requests == {}


class TestTheRound:
    @pytest.fixture
    def leaving(self, fleet: Fleet) -> Fleet:
        """Both tenants leave, the second an hour after the first."""
        for tenant_id in (SAKURA, ACME):
            fleet.request_offboarding(tenant_id, RETENTION)
            fleet.clock.advance(3_600)
        return fleet

    def until_due(self, fleet: Fleet) -> None:
        fleet.clock.advance(RETENTION.total_seconds())

    def test_nothing_is_started_before_its_time(self, leaving: Fleet) -> None:
        leaving.clock.advance(RETENTION.total_seconds() - 2 * 3_600 - 1)
        assert leaving.start_due_deletions() == DeletionRound((), (), 0)
        leaving.clock.advance(1)
        assert leaving.start_due_deletions().started == (SAKURA,)

    def test_what_is_due_is_started_once_however_often_it_runs(self, leaving: Fleet) -> None:
        self.until_due(leaving)
        assert leaving.start_due_deletions() == DeletionRound((SAKURA, ACME), (), 0)
        for execution in list(leaving.offboarding_executions.requests):
            tenant_id = TenantId(execution.rpartition("-")[0])
            leaving.start_due_deletions()  # before the execution has come to take the lease
            leaving.fence_off(tenant_id, leaving.offboarding_executions.describe(execution).arn)
        assert leaving.start_due_deletions() == DeletionRound((), (), 0)
        assert len(leaving.offboarding_executions.requests) == 2

    def test_no_more_than_allowed_are_started_the_longest_overdue_first_and_the_next_round_goes_on(
        self, leaving: Fleet
    ) -> None:
        self.until_due(leaving)
        assert leaving.start_due_deletions(at_most=1) == DeletionRound((SAKURA,), (), 1)
        (started,) = leaving.offboarding_executions.requests
        leaving.fence_off(SAKURA, leaving.offboarding_executions.describe(started).arn)
        assert leaving.start_due_deletions(at_most=1) == DeletionRound((ACME,), (), 0)

    def test_when_its_time_is_over_the_rest_is_left_to_the_next(self, leaving: Fleet) -> None:
        self.until_due(leaving)
        assert leaving.start_due_deletions(within=timedelta(0)) == DeletionRound((), (), 2)

    def test_one_that_is_refused_does_not_keep_the_others_from_it(
        self, leaving: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.until_due(leaving)
        start, refusal = leaving.offboarding_executions.start, AccessRefused("no")

        def refuse(name: str, request: Mapping[str, object]) -> Execution:
            if name.startswith(SAKURA):
                raise refusal
            return start(name, request)

        monkeypatch.setattr(leaving.offboarding_executions, "start", refuse)
        assert leaving.start_due_deletions(at_most=1) == DeletionRound((ACME,), ((SAKURA, refusal),), 0)

    def test_one_that_was_taken_back_is_not_started_although_the_list_is_older(
        self, leaving: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.until_due(leaving)
        older = list(leaving.registry.all())
        leaving.resume(ACME)
        monkeypatch.setattr(leaving.registry, "all", lambda: iter(older))
        assert leaving.start_due_deletions().started == (SAKURA,)

    def test_one_whose_deletion_failed_waits_for_people(self, leaving: Fleet) -> None:
        self.until_due(leaving)
        leaving.fence_off(ACME, EXECUTION)
        record = leaving.registry.get(ACME)
        leaving.registry.replace(record.failed(provisioning_failure(EXECUTION)), fence=record.fence)
        assert leaving.start_due_deletions().started == (SAKURA,)

    def test_one_whose_execution_died_without_a_word_is_started_again(self, leaving: Fleet) -> None:
        self.until_due(leaving)
        leaving.fence_off(ACME, EXECUTION)
        leaving.stop_ingestion(Reservation(ACME, leaving.registry.get(ACME).fence))
        leaving.offboarding_executions.progress(EXECUTION.rpartition(":")[2], status="ABORTED")
        assert leaving.start_due_deletions().started == (SAKURA, ACME)


class TestFencingOff:
    def test_the_lease_lasts_for_an_execution(self, run: Offboarding) -> None:
        run.begin()
        assert run.record.lease == Lease(EXECUTION, run.fleet.clock.now() + LEASE)

    def test_what_a_request_that_died_has_left_undone_is_done(self, run: Offboarding) -> None:
        record = run.record
        requested = record.offboarding_requested(run.fleet.clock.now(), retention=timedelta(0))
        run.fleet.registry.replace(requested, fence=record.fence)  # and there it died
        run.fence_off()
        run.refuse_uploads()
        assert run.fleet.ledger.find(first_knowledge(ACME)).on_hold
        assert not run.fleet.buckets.settings[NAMES.bucket(Life(ACME))].takes_uploads
        assert run.record.announced

    def test_a_repeated_step_keeps_its_lease(self, run: Offboarding) -> None:
        run.begin()
        run.fleet.clock.advance(60)
        assert run.fence_off() == Reservation(ACME, run.record.fence)

    def test_before_its_time_it_gets_no_lease(self, run: Offboarding) -> None:
        run.fleet.request_offboarding(ACME, RETENTION)
        with pytest.raises(LeaseLost):
            run.fence_off()
        run.fleet.clock.advance(RETENTION.total_seconds())
        run.fence_off()

    def test_an_execution_whose_tenant_was_taken_back_meanwhile_gets_no_lease(self, run: Offboarding) -> None:
        run.fleet.request_offboarding(ACME, timedelta(0))
        run.fleet.resume(ACME)
        with pytest.raises(LeaseLost):
            run.fence_off()
        assert run.record.status is TenantStatus.ACTIVE

    def test_a_function_that_comes_to_it_only_after_its_execution_was_stopped_fences_nothing_off(
        self, run: Offboarding
    ) -> None:
        requested, _ = run.fleet.request_offboarding(ACME, timedelta(0))
        run.fleet.offboarding_executions.begin(EXECUTION)
        run.fleet.offboarding_executions.progress(EXECUTION.rsplit(":", 1)[-1], status="ABORTED")
        with pytest.raises(LeaseLost):
            run.fence_off()
        assert run.record == requested

    def test_another_execution_learns_that_the_tenant_is_busy(self, run: Offboarding) -> None:
        run.begin()
        with pytest.raises(TenantBusy):
            Offboarding(run.fleet, "another").fence_off()

    def test_an_unknown_tenant_and_one_that_is_gone_are_reported(self, run: Offboarding) -> None:
        with pytest.raises(TenantNotFound):
            Offboarding(Fleet()).fence_off()
        run.whole()
        with pytest.raises(TenantOffboarded):
            run.fence_off()


class TestTakingItBack:
    def test_an_execution_that_has_not_begun_to_delete_finds_out_and_deletes_nothing(self, run: Offboarding) -> None:
        run.begin()
        run.refuse_uploads()
        run.fleet.resume(ACME)
        for step in ("stop_ingestion", "delete_data_sources", "delete_knowledge_base", "delete_bucket", "verify"):
            with pytest.raises(LeaseLost):
                getattr(run, step)()
        assert run.record.status is TenantStatus.ACTIVE
        assert run.fleet.buckets.exists(NAMES.bucket(Life(ACME)))

    def test_it_can_be_offboarded_again_for_another_time(self, run: Offboarding) -> None:
        run.fleet.request_offboarding(ACME, RETENTION)
        run.fleet.resume(ACME)
        _, execution = run.fleet.request_offboarding(ACME, timedelta(0))
        assert execution is not None


class TestAnExecutionOfTheVersionBefore:
    """It has fenced the tenant off, and waits for the end of the retention period: docs/decisions/0038."""

    @pytest.fixture
    def waiting(self, run: Offboarding) -> Offboarding:
        record, now = run.record, run.fleet.clock.now()
        requested = record.offboarding_requested(now, retention=RETENTION)
        fenced_off = replace(requested, lease=Lease(EXECUTION, now + RETENTION + LEASE), fence=record.fence + 1)
        run.fleet.registry.replace(fenced_off, fence=record.fence)
        run.fleet.offboarding_executions.begin(EXECUTION)
        run.reservation = Reservation(ACME, fenced_off.fence)
        return run

    def test_it_is_the_answer_to_whoever_asks_again(self, waiting: Offboarding) -> None:
        _, execution = waiting.fleet.request_offboarding(ACME, timedelta(0))
        assert execution is not None
        assert execution.arn == EXECUTION

    def test_the_round_leaves_the_tenant_to_it_and_it_deletes_everything(self, waiting: Offboarding) -> None:
        waiting.fleet.clock.advance(RETENTION.total_seconds())
        assert waiting.fleet.start_due_deletions() == DeletionRound((), (), 0)
        waiting.until_done("stop_ingestion")
        waiting.until_done("delete_data_sources")

    def test_if_it_was_stopped_the_round_takes_the_tenant_over(self, waiting: Offboarding) -> None:
        waiting.fleet.offboarding_executions.progress(EXECUTION.rpartition(":")[2], status="ABORTED")
        waiting.fleet.clock.advance(RETENTION.total_seconds())
        assert waiting.fleet.start_due_deletions().started == (ACME,)

    def test_where_the_new_way_has_the_tenant_it_is_superseded(self, waiting: Offboarding) -> None:
        waiting.fleet.resume(ACME)
        waiting.fleet.request_offboarding(ACME, RETENTION)
        waiting.fleet.clock.advance(RETENTION.total_seconds())
        with pytest.raises(LeaseLost):
            waiting.stop_ingestion()


class TestDeleting:
    @pytest.fixture(autouse=True)
    def fenced_off(self, run: Offboarding) -> None:
        run.begin()

    def test_running_jobs_are_stopped_first(self, run: Offboarding) -> None:
        started = run.fleet.knowledge_bases.start_in_console(run.record.data_source())
        with pytest.raises(NotReadyYet, match=started.ingestion_job_id):
            run.stop_ingestion()
        run.until_done("stop_ingestion")
        assert run.record.offboarding is not None
        assert run.record.offboarding.deletion_began_at is not None

    def test_a_job_of_an_unknown_status_that_has_ended_does_not_hold_it_up(self, run: Offboarding) -> None:
        bases, source = run.fleet.knowledge_bases, run.record.data_source()
        bases.plan(source.knowledge_base_id, JobCourse(JobStatus.UNKNOWN))
        bases.start_in_console(source)
        run.fleet.clock.advance(300)
        run.stop_ingestion()
        run.until_done("delete_data_sources")
        assert not bases.data_sources(source.knowledge_base_id)

    def test_a_job_of_an_unknown_status_that_runs_is_stopped_before_its_data_source_is_deleted(
        self, run: Offboarding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bases, source = run.fleet.knowledge_bases, run.record.data_source()
        job = bases.start_in_console(source)
        seen = replace(job, status=JobStatus.UNKNOWN)
        with monkeypatch.context() as patched:
            patched.setattr(bases, "running_ingestion_job", lambda _: seen)
            run.stop_ingestion()
            with pytest.raises(NotReadyYet, match="still in use"):
                run.delete_data_sources()
        run.until_done("delete_data_sources")
        assert bases.jobs[job.ingestion_job_id].stopped_at is not None

    def test_a_job_that_was_started_in_between_is_stopped_before_its_data_source_is_deleted(
        self, run: Offboarding
    ) -> None:
        run.stop_ingestion()
        run.fleet.knowledge_bases.start_in_console(run.record.data_source())
        run.until_done("delete_data_sources")
        assert not run.fleet.knowledge_bases.data_sources(str(run.record.knowledge_base_id))

    def test_a_data_source_whose_vectors_cannot_be_deleted_is_deleted_without_them(self, run: Offboarding) -> None:
        run.fleet.knowledge_bases.vectors_cannot_be_deleted = True
        run.stop_ingestion()
        run.until_done("delete_data_sources")
        assert not run.fleet.knowledge_bases.data_sources(str(run.record.knowledge_base_id))

    @pytest.mark.parametrize(("alone", "lists"), [(True, 0), (None, 1), (False, 5)])
    def test_the_account_is_listed_only_where_there_may_be_another_knowledge_base(
        self, run: Offboarding, monkeypatch: pytest.MonkeyPatch, alone: bool | None, lists: int
    ) -> None:
        """Offboarding one of 3,000 came to its end only by listing all of them in every step."""
        run.fleet.registry.replace(replace(run.record, knowledge_base_alone=alone), fence=run.record.fence)
        made: list[str] = []
        named = run.fleet.knowledge_bases.named

        def counted(name: str) -> Sequence[KnowledgeBase]:
            made.append(name)
            return named(name)

        monkeypatch.setattr(run.fleet.knowledge_bases, "named", counted)
        run.stop_ingestion()
        for step in (run.delete_data_sources, run.delete_knowledge_base):
            with pytest.raises(NotReadyYet):
                step()
            run.fleet.clock.advance(60)
            step()
        assert len(made) == lists
        assert NAMES.knowledge_base(first_knowledge(ACME)) not in run.fleet.knowledge_bases.names()

    @pytest.mark.parametrize("alone", [None, False])
    def test_one_that_was_made_and_never_written_down_is_deleted_too(
        self, run: Offboarding, alone: bool | None
    ) -> None:
        run.fleet.knowledge_bases.uniqueness_lag = timedelta(days=1)
        run.fleet.make_knowledge_base(ACME, "a second one")
        run.fleet.clock.advance(90)
        run.fleet.registry.replace(replace(run.record, knowledge_base_alone=alone), fence=run.record.fence)
        run.stop_ingestion()
        assert run.record.knowledge_base_alone is False
        run.until_done("delete_data_sources")
        run.until_done("delete_knowledge_base")
        assert NAMES.knowledge_base(first_knowledge(ACME)) not in run.fleet.knowledge_bases.names()

    def test_the_usage_key_is_deleted_however_often_and_one_that_is_left_is_named(self, run: Offboarding) -> None:
        key = NAMES.usage_key(Life(ACME))
        run.fleet.usage_keys.ensure(key, NAMES.tags(Life(ACME)), plan_id="standard-plan", other_plan_ids=[])
        with pytest.raises(ErasureIncomplete, match="usage key kbfleet-acme"):
            run.verify()
        for _ in range(2):
            run.delete_usage_key()
        assert not run.fleet.usage_keys.exists(key)

    def test_a_full_bucket_takes_several_calls(self, run: Offboarding) -> None:
        run.fleet.buckets.batches_left[NAMES.bucket(Life(ACME))] = 2
        assert [run.delete_bucket() for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize("keep", [True, False])
    def test_usage_is_kept_or_deleted_by_policy(self, run: Offboarding, keep: bool) -> None:
        run.fleet.records.others[Life(ACME)] = {"usage", "jobs"}
        run.delete_records(keep_usage=keep)
        assert run.fleet.records.others[Life(ACME)] == ({"usage"} if keep else set())

    def test_every_step_can_be_repeated(self, run: Offboarding) -> None:
        for step in ("stop_ingestion", "delete_data_sources", "delete_knowledge_base"):
            run.until_done(step)
            run.until_done(step)
        for _ in range(2):
            run.delete_service_role()
            run.delete_knowledge_store()
            assert run.delete_bucket()
            run.delete_records()
            # Whoever repeats it at once cannot know that the bucket was deleted by itself.
            run.fleet.clock.advance(BUCKET_SETTLES_WITHIN.total_seconds())
        receipt = run.verify()
        assert run.mark(receipt) == run.mark(receipt)

    def test_whatever_is_left_is_named_and_there_is_no_receipt(self, run: Offboarding) -> None:
        with pytest.raises(ErasureIncomplete) as reported:
            run.verify()
        for name in (NAMES.bucket(Life(ACME)), "vector index acme", str(run.record.knowledge_base_id), "records acme"):
            assert name in str(reported.value)

    def test_a_failure_gives_the_lease_back_and_the_tenant_stays_out_of_service(self, run: Offboarding) -> None:
        failure: WorkflowFailure = provisioning_failure(EXECUTION)
        marked = run.record.failed(failure)
        assert (marked.status, marked.lease, marked.failure) == (TenantStatus.OFFBOARDING, None, failure)
