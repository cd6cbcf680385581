"""The steps of offboarding: nothing goes before its time, everything goes after it, and the receipt is true."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import (
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
from kbfleet.domain.names import TenantId
from kbfleet.domain.signals import of_ingestion
from kbfleet.domain.sync import Priority
from kbfleet.domain.tenant import Lease, Reservation, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.usecases import offboarding
from kbfleet.usecases.incidents import IncidentDesk
from tests.support.fakes import FailedTask, JobCourse, RecordingAlertChannel
from tests.support.fleet import LEASE, Fleet
from tests.support.samples import (
    ACME,
    DEPLOYMENT,
    NAMES,
    SAKURA,
    failure_reason,
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
        self.reservation: Reservation = Reservation(ACME, 0, fleet.clock.now())

    @property
    def record(self) -> Tenant:
        return self.fleet.registry.get(ACME)

    def fence_off(self, retention: timedelta = RETENTION) -> Reservation:
        self.reservation = self.fleet.fence_off(ACME, self.execution, retention)
        return self.reservation

    def refuse_uploads(self) -> None:
        offboarding.refuse_uploads(
            self.reservation, registry=self.fleet.registry, buckets=self.fleet.buckets, names=NAMES
        )

    def stop_ingestion(self) -> None:
        self.fleet.stop_ingestion(self.reservation)

    def delete_usage_key(self) -> None:
        offboarding.delete_usage_key(
            self.reservation, registry=self.fleet.registry, usage_keys=self.fleet.usage_keys, names=NAMES
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
            self.reservation, registry=self.fleet.registry, buckets=self.fleet.buckets, names=NAMES
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
        self.fence_off()
        self.refuse_uploads()
        self.fleet.clock.advance(RETENTION.total_seconds())
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
        fleet.store.ensure(tenant_id)
        fleet.buckets.ensure(NAMES.bucket(tenant_id), NAMES.tags(tenant_id))
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
        assert not run.fleet.buckets.exists(NAMES.bucket(ACME))
        assert not run.fleet.store.exists(ACME)
        assert NAMES.knowledge_base(ACME) not in run.fleet.knowledge_bases.names()
        assert run.fleet.ledger.find(ACME).version == 0
        assert [(erased.kind, erased.name) for erased in receipt.erased] == [
            ("bucket", before.bucket_name),
            ("vector index", "acme"),
            ("knowledge base", before.knowledge_base_id),
            ("service role", NAMES.service_role(ACME)),
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
        run.reservation = Reservation(ACME, run.record.fence, run.fleet.clock.now())
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
        run.fence_off(timedelta(0))
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
        assert run.fleet.store.exists(SAKURA)
        assert run.fleet.buckets.exists(NAMES.bucket(SAKURA))
        assert run.fleet.knowledge_bases.names() == [NAMES.knowledge_base(SAKURA)]

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
        assert run.fleet.knowledge_bases.names() == [NAMES.knowledge_base(SAKURA)]

    def test_a_knowledge_base_of_its_name_that_is_somebody_elses_is_left_alone(self, run: Offboarding) -> None:
        run.fleet.knowledge_bases.vanish(str(run.record.knowledge_base_id))
        run.fleet.make_knowledge_base(ACME, "somebody else's", tags={})
        run.whole()
        assert NAMES.knowledge_base(ACME) in run.fleet.knowledge_bases.names()


class TestATenantThatNeverGotItsBucket:
    def test_somebody_elses_bucket_of_that_name_is_left_alone(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, bucket_name=None), fence=record.fence)
        del fleet.buckets.settings[NAMES.bucket(ACME)]
        fleet.buckets.foreign.add(NAMES.bucket(ACME))
        Offboarding(fleet).whole()
        assert fleet.registry.get(ACME).status is TenantStatus.OFFBOARDED

    def test_a_bucket_that_was_ours_and_cannot_be_reached_any_more_is_no_success(self, run: Offboarding) -> None:
        run.fence_off(timedelta(0))
        run.fleet.buckets.foreign.add(NAMES.bucket(ACME))
        with pytest.raises(BucketNameTaken):
            run.delete_bucket()


class TestFencingOff:
    def test_the_lease_lasts_until_the_retention_period_is_over_and_the_work_done(self, run: Offboarding) -> None:
        reservation = run.fence_off()
        now = run.fleet.clock.now()
        assert reservation.deadline == now + RETENTION
        assert run.record.lease is not None
        assert run.record.lease.expires_at == now + RETENTION + LEASE

    def test_nothing_is_synced_any_more_and_whoever_waits_is_reported(self, run: Offboarding) -> None:
        entry = run.fleet.ledger.find(ACME)
        run.fleet.ledger.save(entry.requested(run.fleet.clock.now(), Priority.REQUESTED, "token"))
        run.fence_off()
        assert isinstance(run.fleet.callbacks.answer("token"), FailedTask)
        run.fleet.tick_until_idle()
        assert len(run.fleet.knowledge_bases.jobs) == 2  # the two first ones
        with pytest.raises(TenantOffboarding):
            run.fleet.request(ACME)

    def test_uploads_are_refused_and_everything_is_still_there(self, run: Offboarding) -> None:
        run.fence_off()
        run.refuse_uploads()
        assert not run.fleet.buckets.settings[NAMES.bucket(ACME)].takes_uploads
        assert run.fleet.knowledge_bases.get(str(run.record.knowledge_base_id)) is not None

    def test_a_repeated_step_keeps_its_lease_and_its_time(self, run: Offboarding) -> None:
        first = run.fence_off()
        run.fleet.clock.advance(60)
        assert run.fence_off().deadline == first.deadline

    def test_a_function_that_comes_to_it_only_after_its_execution_was_stopped_fences_nothing_off(
        self, run: Offboarding
    ) -> None:
        run.fleet.offboarding_executions.begin(EXECUTION)
        run.fleet.offboarding_executions.progress(EXECUTION.rsplit(":", 1)[-1], status="ABORTED")
        with pytest.raises(LeaseLost):
            run.fence_off()
        assert run.record.status is TenantStatus.ACTIVE

    def test_another_execution_learns_that_the_tenant_is_busy(self, run: Offboarding) -> None:
        run.fence_off()
        with pytest.raises(TenantBusy):
            Offboarding(run.fleet, "another").fence_off()

    def test_an_unknown_tenant_and_one_that_is_gone_are_reported(self, run: Offboarding) -> None:
        with pytest.raises(TenantNotFound):
            Offboarding(Fleet()).fence_off()
        run.whole()
        with pytest.raises(TenantOffboarded):
            run.fence_off()


class TestTakingItBack:
    def test_the_waiting_execution_finds_out_and_deletes_nothing(self, run: Offboarding) -> None:
        run.fence_off()
        run.refuse_uploads()
        run.fleet.resume(ACME)
        for step in ("stop_ingestion", "delete_data_sources", "delete_knowledge_base", "delete_bucket", "verify"):
            with pytest.raises(LeaseLost):
                getattr(run, step)()
        assert run.record.status is TenantStatus.ACTIVE
        assert run.fleet.buckets.exists(NAMES.bucket(ACME))


class TestDeleting:
    @pytest.fixture(autouse=True)
    def fenced_off(self, run: Offboarding) -> None:
        run.fence_off(timedelta(0))

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

    def test_the_usage_key_is_deleted_however_often_and_one_that_is_left_is_named(self, run: Offboarding) -> None:
        key = NAMES.usage_key(ACME)
        run.fleet.usage_keys.ensure(key, NAMES.tags(ACME), plan_id="standard-plan", other_plan_ids=[])
        with pytest.raises(ErasureIncomplete, match="usage key kbfleet-acme"):
            run.verify()
        for _ in range(2):
            run.delete_usage_key()
        assert not run.fleet.usage_keys.exists(key)

    def test_a_full_bucket_takes_several_calls(self, run: Offboarding) -> None:
        run.fleet.buckets.batches_left[NAMES.bucket(ACME)] = 2
        assert [run.delete_bucket() for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize("keep", [True, False])
    def test_usage_is_kept_or_deleted_by_policy(self, run: Offboarding, keep: bool) -> None:
        run.fleet.records.others[ACME] = {"usage", "jobs"}
        run.delete_records(keep_usage=keep)
        assert run.fleet.records.others[ACME] == ({"usage"} if keep else set())

    def test_every_step_can_be_repeated(self, run: Offboarding) -> None:
        for step in ("stop_ingestion", "delete_data_sources", "delete_knowledge_base"):
            run.until_done(step)
            run.until_done(step)
        for _ in range(2):
            run.delete_service_role()
            run.delete_knowledge_store()
            assert run.delete_bucket()
            run.delete_records()
        receipt = run.verify()
        assert run.mark(receipt) == run.mark(receipt)

    def test_whatever_is_left_is_named_and_there_is_no_receipt(self, run: Offboarding) -> None:
        with pytest.raises(ErasureIncomplete) as reported:
            run.verify()
        for name in (NAMES.bucket(ACME), "vector index acme", str(run.record.knowledge_base_id), "records acme"):
            assert name in str(reported.value)

    def test_a_failure_gives_the_lease_back_and_the_tenant_stays_out_of_service(self, run: Offboarding) -> None:
        failure: WorkflowFailure = provisioning_failure(EXECUTION)
        marked = run.record.failed(failure)
        assert (marked.status, marked.lease, marked.failure) == (TenantStatus.OFFBOARDING, None, failure)


class TestStarting:
    def start(self, fleet: Fleet, retention: timedelta = RETENTION) -> str:
        return offboarding.start_offboarding(
            ACME,
            retention,
            registry=fleet.registry,
            executions=fleet.offboarding_executions,
            clock=fleet.clock,
        ).arn

    def test_an_execution_is_started_with_the_retention_period(self, fleet: Fleet) -> None:
        self.start(fleet)
        (request,) = fleet.offboarding_executions.requests.values()
        assert request == {"tenant_id": ACME, "retention_days": 30}

    def test_the_one_that_runs_is_given_instead_of_a_second(self, fleet: Fleet) -> None:
        arn = self.start(fleet)
        Offboarding(fleet, arn).fence_off()
        fleet.clock.advance(3_600)
        assert self.start(fleet) == arn

    def test_one_that_has_failed_is_taken_up_by_a_new_one(self, fleet: Fleet) -> None:
        arn = self.start(fleet)
        Offboarding(fleet, arn).fence_off()
        record = fleet.registry.get(ACME)
        fleet.registry.replace(record.failed(provisioning_failure(arn)), fence=record.fence)
        fleet.clock.advance(3_600)
        assert self.start(fleet) != arn

    def test_a_tenant_that_is_gone_already_is_reported_before_anything_starts(self, fleet: Fleet) -> None:
        Offboarding(fleet).whole()
        with pytest.raises(TenantOffboarded):
            self.start(fleet)
        assert fleet.offboarding_executions.requests == {}
