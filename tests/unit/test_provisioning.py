"""The steps of provisioning: each creates once, changes nothing the second time, and takes up where another stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from kbfleet.domain.bounds import MESSAGE_BYTES, size
from kbfleet.domain.capacity import COUNTED_FOR, Room, Scarce
from kbfleet.domain.errors import (
    BucketNameTaken,
    CapacityExceeded,
    DataSourceFailed,
    DataSourceNotReady,
    KbfleetError,
    KnowledgeBaseFailed,
    KnowledgeBaseNotOurs,
    KnowledgeBaseNotReady,
    KnowledgeLost,
    KnowledgeStoreNotOffered,
    LeaseLost,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    ServiceRoleRefused,
    ServiceRoleUnusable,
    TenantBusy,
    Throttled,
)
from kbfleet.domain.ingestion_job import JobStatus
from kbfleet.domain.knowledge_base import (
    DataSource,
    DataSourceState,
    DataSourceStatus,
    KnowledgeBase,
    KnowledgeBaseState,
    KnowledgeBaseStatus,
)
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.service_role import SETTLES_WITHIN, ServiceRole
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import (
    REQUESTED_NAME_KEPT_FOR,
    RESOURCES_VERSION,
    DisplayName,
    Lease,
    ProvisioningRequest,
    ProvisioningReservation,
    Tenant,
)
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import Workflow, WorkflowFailure, describe_failure
from kbfleet.ports import Execution, VersionPage
from kbfleet.usecases import provisioning
from tests.support.clock import START
from tests.support.documents import BucketSettings
from tests.support.fakes import FailedTask, InMemoryKnowledgeBases, InMemoryTenantRegistry, JobCourse, SucceededTask
from tests.support.fleet import EVENTS_AFTER, LEASE, Fleet
from tests.support.knowledge_bases import DELETING_FOR, MAX_DATA_SOURCES, TOKEN_MEMORY
from tests.support.samples import (
    ACME,
    EXECUTION,
    NAMES,
    SAKURA,
    STACK_ID,
    first_knowledge,
    provisioning_failure,
    tenant,
)
from tests.support.service_roles import SHARED_ROLE

READY_WITHIN = timedelta(minutes=15)
FOR_REBUILDS = 5
OTHER = TenantId("bravo")
OTHER_EXECUTION = EXECUTION.replace("acme-2026", "acme-2027")

PLANS = {Tier.STANDARD: "standard-plan", Tier.PREMIUM: "premium-plan"}


class Provisioning:
    """The use cases with the ports of a fleet, as one execution calls them."""

    def __init__(self, fleet: Fleet, execution: str = EXECUTION) -> None:
        self.fleet = fleet
        self.execution = execution
        self.stack_id = STACK_ID
        self._reservation: ProvisioningReservation | None = None

    @property
    def reservation(self) -> ProvisioningReservation:
        assert self._reservation is not None
        return self._reservation

    @property
    def record(self) -> Tenant:
        return self.fleet.registry.get(ACME)

    def start(self, request: ProvisioningRequest | None = None, occurrence: str | None = None) -> str:
        return provisioning.start_provisioning(
            request or ProvisioningRequest(ACME),
            registry=self.fleet.registry,
            executions=self.fleet.executions,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            clock=self.fleet.clock,
            occurrence=occurrence,
        ).name

    def reserve(self, request: ProvisioningRequest | None = None) -> ProvisioningReservation:
        self.fleet.executions.begin(self.execution)
        self._reservation = provisioning.reserve_tenant(
            request or ProvisioningRequest(ACME),
            execution=self.execution,
            registry=self.fleet.registry,
            executions=self.fleet.executions,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            announcements=self.fleet.announcements,
            clock=self.fleet.clock,
            lease=LEASE,
            ready_within=READY_WITHIN,
        )
        return self._reservation

    def check_capacity(self) -> Sequence[Room] | None:
        return provisioning.check_capacity(
            self.reservation,
            registry=self.fleet.registry,
            counts=self.fleet.room_counts,
            stores=self.fleet.stores,
            knowledge_bases=self.fleet.knowledge_bases,
            buckets=self.fleet.buckets,
            service_roles=self.fleet.service_roles,
            usage_keys=self.fleet.usage_keys,
            names=NAMES,
            clock=self.fleet.clock,
            for_rebuilds=FOR_REBUILDS,
        )

    def service_role(self) -> datetime | None:
        return provisioning.ensure_service_role(
            self.reservation,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            knowledge_bases=self.fleet.knowledge_bases,
            service_roles=self.fleet.service_roles,
            names=NAMES,
        )

    def bucket(self) -> str:
        return provisioning.ensure_bucket(
            self.reservation,
            registry=self.fleet.registry,
            buckets=self.fleet.buckets,
            names=NAMES,
            clock=self.fleet.clock,
            stack_id=self.stack_id,
        )

    def knowledge_store(self) -> str:
        return provisioning.ensure_knowledge_store(
            self.reservation,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            names=NAMES,
            clock=self.fleet.clock,
        )

    def knowledge_base(self, role_changed_at: datetime | None = None) -> KnowledgeBaseState:
        return provisioning.ensure_knowledge_base(
            self.reservation,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            knowledge_bases=self.fleet.knowledge_bases,
            service_roles=self.fleet.service_roles,
            role_changed_at=role_changed_at,
            names=NAMES,
            clock=self.fleet.clock,
            announcements=self.fleet.announcements,
            look_after_at_most=READY_WITHIN,
            ready_within=READY_WITHIN,
        )

    def narrow_service_role(self) -> None:
        provisioning.narrow_service_role(
            self.reservation,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            knowledge_bases=self.fleet.knowledge_bases,
            service_roles=self.fleet.service_roles,
            names=NAMES,
        )

    def look_at_data_source(self) -> DataSourceState:
        return provisioning.ensure_data_source(
            self.reservation,
            registry=self.fleet.registry,
            ledger=self.fleet.ledger,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            knowledge_bases=self.fleet.knowledge_bases,
            callbacks=self.fleet.callbacks,
            announcements=self.fleet.announcements,
            names=NAMES,
            clock=self.fleet.clock,
            look_after_at_most=READY_WITHIN,
        )

    def data_source(self) -> str:
        """Of one that is ready."""
        state = self.look_at_data_source()
        assert state.ready, state
        return state.data_source_id

    def usage_key(self) -> Tier:
        return provisioning.ensure_usage_key(
            self.reservation,
            registry=self.fleet.registry,
            usage_keys=self.fleet.usage_keys,
            plans=PLANS,
            names=NAMES,
            clock=self.fleet.clock,
        )

    def first_sync(self, task_token: str = "token") -> None:  # noqa: S107 - not a password
        self.fleet.run_first_sync(self.reservation, task_token)

    def activate(self) -> Tenant:
        return provisioning.activate_tenant(
            self.reservation,
            resources_version=f"{RESOURCES_VERSION}/PER_TENANT/{self.stack_id}",
            registry=self.fleet.registry,
            announcements=self.fleet.announcements,
            clock=self.fleet.clock,
        )

    def mark_failed(self, failure: WorkflowFailure) -> None:
        provisioning.mark_tenant_failed(
            ACME, failure, registry=self.fleet.registry, announcements=self.fleet.announcements
        )

    def up_to_data_source(self) -> None:
        self.reserve()
        self.service_role()
        self.bucket()
        self.knowledge_store()
        while not self.knowledge_base().ready:
            self.fleet.clock.advance(10)
        self.narrow_service_role()
        self.data_source()

    def whole(self) -> Tenant:
        self.up_to_data_source()
        self.usage_key()
        self.first_sync(f"token-{self.reservation.fence}")
        self.fleet.tick_until_idle()
        assert isinstance(self.fleet.callbacks.answer(f"token-{self.reservation.fence}"), SucceededTask)
        return self.activate()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def run(fleet: Fleet) -> Provisioning:
    return Provisioning(fleet)


class TestTheWhole:
    def test_a_new_tenant_ends_active_with_one_of_everything(self, run: Provisioning) -> None:
        active = run.whole()
        fleet = run.fleet
        assert (active.status, active.lease, active.failure) == (TenantStatus.ACTIVE, None, None)
        assert fleet.buckets.created == [active.bucket_name]
        assert fleet.store.created == [ACME]
        assert fleet.knowledge_bases.created == [active.knowledge_base_id, active.data_source_id]
        assert len(fleet.knowledge_bases.jobs) == 1

    def test_a_hundred_runs_make_nothing_more(self, fleet: Fleet) -> None:
        first = Provisioning(fleet, "run-0").whole()
        for number in range(1, 100):
            again = Provisioning(fleet, f"run-{number}").whole()
            assert replace(again, fence=first.fence, updated_at=first.updated_at) == first
        assert len(fleet.buckets.created) == len(fleet.store.created) == len(fleet.knowledge_bases.jobs) == 1
        assert len(fleet.knowledge_bases.created) == 2


def _reserve_as(fleet: Fleet, name: str, request: ProvisioningRequest | None = None) -> None:
    """What the execution of that name does first."""
    Provisioning(fleet, fleet.executions.describe(name).arn).reserve(request)


class TestStart:
    def test_a_new_tenant_gets_an_execution_named_after_it(self, run: Provisioning) -> None:
        request = ProvisioningRequest(ACME, DisplayName("アクメ"), "S3_VECTORS", Tier.PREMIUM)
        name = run.start(request)
        assert name == "acme-20261102T090000000000"
        assert run.fleet.executions.requests[name] == {
            "tenant_id": "acme",
            "knowledge_store": "S3_VECTORS",
            "tier": "PREMIUM",
        }

    def test_its_name_is_not_in_the_executions_input_which_outlives_it_and_gets_into_its_record(
        self, fleet: Fleet
    ) -> None:
        name = Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("アクメ")))
        assert "アクメ" not in repr(fleet.executions.requests)
        Provisioning(fleet, fleet.executions.describe(name).arn).reserve(ProvisioningRequest(ACME))
        assert fleet.registry.get(ACME).name == "アクメ"

    def test_a_name_that_is_refused_is_not_kept(self, fleet: Fleet) -> None:
        first = Provisioning(fleet).start()
        Provisioning(fleet, fleet.executions.describe(first).arn).reserve()
        with pytest.raises(TenantBusy):
            Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("another")))
        _reserve_as(fleet, first)
        assert fleet.registry.get(ACME).name == "acme"

    def test_a_name_that_was_kept_for_an_execution_that_never_started_is_given_to_nobody(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def throttled(name: str, request: Mapping[str, object]) -> Execution:
            raise Throttled("Rate exceeded.")

        with monkeypatch.context() as patched:
            patched.setattr(fleet.executions, "start", throttled)
            with pytest.raises(Throttled):
                Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("Mistyped")))
        fleet.clock.advance(60)
        _reserve_as(fleet, Provisioning(fleet).start())
        assert fleet.registry.get(ACME).name == "acme"

    def test_an_onboarding_event_does_not_overwrite_the_name_that_an_operator_has_asked_for(self, fleet: Fleet) -> None:
        operators = Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("Acme Corp")))
        onboarding = ProvisioningRequest(ACME, DisplayName("Somebody Else"), for_a_new_tenant=True)
        products = Provisioning(fleet).start(onboarding, occurrence="1b3c6a52-4a51-4f4c-9f57-000000000001")
        _reserve_as(fleet, operators)
        assert fleet.registry.get(ACME).name == "Acme Corp"
        with pytest.raises(TenantBusy):
            _reserve_as(fleet, products, onboarding)

    def test_a_name_is_not_given_to_a_tenant_that_takes_the_id_of_one_that_is_gone(self, fleet: Fleet) -> None:
        _reserve_as(fleet, Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("Acme Corp"))))
        gone = replace(fleet.registry.get(ACME), status=TenantStatus.OFFBOARDED, lease=None)
        fleet.registry.replace(gone, fence=gone.fence)
        fleet.clock.advance(60)
        _reserve_as(fleet, Provisioning(fleet).start())
        assert fleet.registry.get(ACME).name == "acme"

    def test_an_occurrence_that_is_delivered_again_keeps_no_name_of_a_tenant_that_is_gone(self, fleet: Fleet) -> None:
        onboarding = ProvisioningRequest(ACME, DisplayName("Acme Corp"), for_a_new_tenant=True)
        occurrence = "1b3c6a52-4a51-4f4c-9f57-000000000001"
        name = Provisioning(fleet).start(onboarding, occurrence)
        _reserve_as(fleet, name, onboarding)
        fleet.executions.progress(name, status="SUCCEEDED")
        gone = replace(fleet.registry.get(ACME), status=TenantStatus.OFFBOARDED, lease=None)
        fleet.registry.replace(gone, fence=gone.fence)
        fleet.clock.advance(REQUESTED_NAME_KEPT_FOR.total_seconds())
        assert Provisioning(fleet).start(onboarding, occurrence) == name
        assert fleet.registry.requested_name(ACME, execution=name, now=fleet.clock.now()) is None

    def test_a_reservation_that_is_made_again_gives_the_same_name(self, fleet: Fleet) -> None:
        name = Provisioning(fleet).start(ProvisioningRequest(ACME, DisplayName("Acme Corp")))
        for _ in range(2):
            _reserve_as(fleet, name)
            assert fleet.registry.get(ACME).name == "Acme Corp"

    def test_what_was_not_asked_for_is_not_sent(self, run: Provisioning) -> None:
        assert run.fleet.executions.requests[run.start()] == {"tenant_id": "acme"}

    def test_while_an_execution_holds_the_lease_it_is_the_answer(self, fleet: Fleet) -> None:
        name = Provisioning(fleet).start()
        Provisioning(fleet, fleet.executions.describe(name).arn).reserve()
        fleet.clock.advance(60)
        assert Provisioning(fleet).start() == name
        assert len(fleet.executions.requests) == 1

    def test_an_execution_that_converges_it_for_another_tier_is_no_answer(self, fleet: Fleet) -> None:
        name = Provisioning(fleet).start()
        Provisioning(fleet, fleet.executions.describe(name).arn).reserve(ProvisioningRequest(ACME, tier=Tier.PREMIUM))
        assert Provisioning(fleet).start(ProvisioningRequest(ACME, tier=Tier.PREMIUM)) == name
        with pytest.raises(TenantBusy, match="PREMIUM"):
            Provisioning(fleet).start(ProvisioningRequest(ACME, tier=Tier.STANDARD))

    def test_once_the_lease_has_run_out_a_new_execution_starts(self, fleet: Fleet) -> None:
        name = Provisioning(fleet).start()
        Provisioning(fleet, fleet.executions.describe(name).arn).reserve()
        fleet.clock.advance(LEASE.total_seconds())
        assert Provisioning(fleet).start() != name

    def test_a_store_that_the_stack_does_not_have_is_refused_naming_those_it_has(self, run: Provisioning) -> None:
        with pytest.raises(KnowledgeStoreNotOffered, match="S3_VECTORS"):
            run.start(ProvisioningRequest(ACME, knowledge_store="PINECONE"))
        assert run.fleet.registry.find(ACME) is None
        assert not run.fleet.executions.requests

    def test_a_tenant_cannot_move_to_another_store(self, run: Provisioning) -> None:
        run.fleet.registry.create(tenant(knowledge_store="MANAGED"))
        with pytest.raises(KnowledgeStoreNotOffered, match="cannot move"):
            run.start(ProvisioningRequest(ACME, knowledge_store="S3_VECTORS"))


class TestReserveTenant:
    def test_a_new_tenant_is_registered_under_its_lease(self, run: Provisioning) -> None:
        reservation = run.reserve(ProvisioningRequest(ACME, DisplayName("Acme Corp")))
        assert (run.record.name, run.record.status) == ("Acme Corp", TenantStatus.PROVISIONING)
        assert run.record.lease == Lease(EXECUTION, START + LEASE)
        assert reservation == ProvisioningReservation(ACME, 1, START + READY_WITHIN)

    def test_without_a_name_a_new_tenant_is_called_by_its_id_and_a_known_one_keeps_its_name(
        self, run: Provisioning
    ) -> None:
        run.reserve()
        assert run.record.name == "acme"
        run.reserve(ProvisioningRequest(ACME, DisplayName("Acme Corp")))
        run.reserve()
        assert run.record.name == "Acme Corp"

    def test_what_is_for_a_new_tenant_only_changes_none_that_has_come_to_be_meanwhile(self, run: Provisioning) -> None:
        late = ProvisioningRequest(ACME, DisplayName("Late"), "MANAGED", Tier.STANDARD, for_a_new_tenant=True)
        run.fleet.registry.create(tenant(name="Acme Corp", tier=Tier.PREMIUM))
        run.reserve(late)
        assert (run.record.name, run.record.tier, run.record.knowledge_store) == (
            "Acme Corp",
            Tier.PREMIUM,
            "S3_VECTORS",
        )

    def test_what_is_for_a_new_tenant_is_the_new_tenants_also_when_the_step_runs_again(self, run: Provisioning) -> None:
        asked = ProvisioningRequest(ACME, DisplayName("Acme Corp"), tier=Tier.PREMIUM, for_a_new_tenant=True)
        for _ in range(2):
            run.reserve(asked)
            assert (run.record.name, run.record.tier) == ("Acme Corp", Tier.PREMIUM)

    def test_what_is_for_a_new_tenant_counts_for_one_that_was_offboarded(self, run: Provisioning) -> None:
        run.fleet.registry.create(tenant(name="Acme Corp", status=TenantStatus.OFFBOARDED))
        run.reserve(ProvisioningRequest(ACME, DisplayName("Acme Again"), for_a_new_tenant=True))
        assert run.record.name == "Acme Again"

    def test_the_lease_of_an_execution_that_was_stopped_is_taken_over(self, run: Provisioning) -> None:
        run.reserve()
        run.fleet.executions.progress(EXECUTION.rsplit(":", 1)[-1], status="ABORTED")
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        assert run.record.lease is not None
        assert run.record.lease.holder == OTHER_EXECUTION

    def test_a_function_that_comes_to_it_only_after_its_execution_was_stopped_takes_no_lease(
        self, run: Provisioning
    ) -> None:
        run.fleet.executions.begin(EXECUTION)
        run.fleet.executions.progress(EXECUTION.rsplit(":", 1)[-1], status="ABORTED")
        with pytest.raises(LeaseLost):
            run.reserve()
        assert run.fleet.registry.find(ACME) is None

    def test_a_function_that_outlives_its_execution_writes_nothing_after_the_lease_was_given_back(
        self, run: Provisioning
    ) -> None:
        run.reserve()
        ensure = run.fleet.buckets.ensure

        def slowly(name: str, tags: dict[str, str]) -> None:
            ensure(name, tags)
            run.mark_failed(provisioning_failure())

        run.fleet.buckets.ensure = slowly  # type: ignore[assignment,method-assign]  # scripted for this test
        with pytest.raises(LeaseLost):
            run.bucket()
        assert (run.record.status, run.record.lease) == (TenantStatus.FAILED, None)

    def test_a_busy_tenant_is_refused_and_its_record_left_alone(self, fleet: Fleet) -> None:
        Provisioning(fleet).reserve()
        before = fleet.registry.get(ACME)
        with pytest.raises(TenantBusy, match=EXECUTION):
            Provisioning(fleet, OTHER_EXECUTION).reserve()
        assert fleet.registry.get(ACME) == before

    def test_the_same_execution_may_reserve_again(self, run: Provisioning) -> None:
        assert run.reserve().fence == 1
        assert run.reserve().fence == 2

    def test_the_lease_of_an_execution_that_died_can_be_taken_once_it_has_run_out(self, fleet: Fleet) -> None:
        Provisioning(fleet).reserve()
        fleet.clock.advance(LEASE.total_seconds())
        assert Provisioning(fleet, OTHER_EXECUTION).reserve().fence == 2

    def test_two_at_the_same_moment_get_one_lease(self, fleet: Fleet) -> None:
        class Overtaken(InMemoryTenantRegistry):
            """Another execution reserves between this one's look and its write."""

            def create(self, new: Tenant) -> None:
                super().create(replace(new, lease=Lease(OTHER_EXECUTION, START + LEASE)))
                super().create(new)

        fleet.registry = Overtaken()
        with pytest.raises(TenantBusy, match="same moment"):
            Provisioning(fleet).reserve()
        lease = fleet.registry.get(ACME).lease
        assert lease is not None
        assert lease.holder == OTHER_EXECUTION

    def test_a_failed_tenant_is_provisioning_again_and_an_active_one_stays_active(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.FAILED, failure=provisioning_failure()))
        Provisioning(fleet).reserve()
        assert fleet.registry.get(ACME).status is TenantStatus.PROVISIONING
        active = Fleet()
        active.registry.create(tenant())
        Provisioning(active).reserve()
        assert active.registry.get(ACME).status is TenantStatus.ACTIVE


class TestEnsureBucket:
    def test_the_bucket_is_made_once_and_recorded(self, run: Provisioning) -> None:
        run.reserve()
        assert run.bucket() == run.bucket() == run.record.bucket_name
        assert run.fleet.buckets.created == [NAMES.bucket(Life(ACME))]
        assert run.fleet.buckets.settings[NAMES.bucket(Life(ACME))].tags == NAMES.tags(Life(ACME))

    def test_the_second_run_writes_nothing_into_the_record(self, run: Provisioning) -> None:
        run.reserve()
        run.bucket()
        writes = run.fleet.registry.writes
        run.bucket()
        assert run.fleet.registry.writes == writes

    # --- one that was lost ---

    def test_the_record_says_when_one_was_made_in_place_of_another_and_keeps_it(self, run: Provisioning) -> None:
        run.reserve()
        name = run.bucket()
        assert run.record.bucket_made_at is None
        run.fleet.clock.advance(3600)
        del run.fleet.buckets.settings[name]
        run.bucket()
        made_at = run.fleet.clock.now()
        assert run.record.bucket_made_at == made_at
        run.fleet.clock.advance(3600)
        run.fleet.buckets.settings[name] = replace(run.fleet.buckets.settings[name], notifies_event_bridge=False)
        run.bucket()
        assert run.record.bucket_made_at == made_at

    def test_one_that_was_just_made_and_does_not_show_yet_was_not_lost(self, run: Provisioning) -> None:
        run.reserve()
        name = run.bucket()
        run.fleet.clock.advance(60)
        del run.fleet.buckets.settings[name]
        run.bucket()
        assert run.record.bucket_made_at is None

    # --- since when S3 tells of changes ---

    def test_the_record_says_since_when_a_new_bucket_tells_of_changes_and_keeps_it(self, run: Provisioning) -> None:
        run.reserve()
        began = run.fleet.clock.now()
        run.bucket()
        run.fleet.clock.advance(3600)
        run.bucket()
        assert run.record.events_since == began

    def test_that_begins_anew_when_somebody_had_switched_it_off(self, run: Provisioning) -> None:
        run.reserve()
        name = run.bucket()
        run.fleet.clock.advance(3600)
        run.fleet.buckets.settings[name] = replace(run.fleet.buckets.settings[name], notifies_event_bridge=False)
        run.bucket()
        assert run.record.events_since == run.fleet.clock.now()

    def test_that_is_written_before_it_is_switched_on_so_that_a_crash_between_loses_nothing(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.reserve()
        name, buckets = run.bucket(), run.fleet.buckets
        buckets.settings[name] = replace(buckets.settings[name], notifies_event_bridge=False)
        run.fleet.clock.advance(3600)
        switched_on, ensure = run.fleet.clock.now(), buckets.ensure

        def switched_on_and_died(name: str, tags: Mapping[str, str]) -> None:
            ensure(name, tags)
            raise RuntimeError("Process exited before completing request")

        monkeypatch.setattr(buckets, "ensure", switched_on_and_died)
        with pytest.raises(RuntimeError):
            run.bucket()
        monkeypatch.setattr(buckets, "ensure", ensure)
        run.fleet.clock.advance(3600)
        run.bucket()
        assert run.record.events_since == switched_on

    def test_that_begins_anew_under_another_stack_which_heard_nothing_before(self, run: Provisioning) -> None:
        run.reserve()
        run.bucket()
        run.knowledge_store()
        run.activate()
        run.fleet.clock.advance(3600)
        again = Provisioning(run.fleet)
        again.reserve()
        again.bucket()
        assert again.record.events_since != run.fleet.clock.now()
        again.stack_id = f"{STACK_ID}-made-anew"
        again.bucket()
        assert again.record.events_since == run.fleet.clock.now()

    def test_a_bucket_that_told_of_changes_before_that_was_kept_goes_on_as_it_is(self, run: Provisioning) -> None:
        run.fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
        run.fleet.registry.create(tenant())
        run.reserve()
        run.bucket()
        assert run.record.events_since is None

    def test_drift_is_repaired(self, run: Provisioning) -> None:
        run.reserve()
        name = run.bucket()
        run.fleet.buckets.settings[name] = BucketSettings(tags={}, versioned=False, tls_only=False)
        run.bucket()
        assert run.fleet.buckets.settings[name] == BucketSettings(tags=NAMES.tags(Life(ACME)))

    def test_a_record_that_names_anothers_bucket_is_put_right_and_that_bucket_left_alone(
        self, run: Provisioning
    ) -> None:
        theirs = NAMES.bucket(Life(SAKURA))
        run.fleet.buckets.ensure(theirs, NAMES.tags(Life(SAKURA)))
        run.fleet.registry.create(tenant(bucket_name=theirs))
        run.reserve()
        assert run.bucket() == NAMES.bucket(Life(ACME))
        assert run.record.bucket_name == NAMES.bucket(Life(ACME))
        assert run.fleet.buckets.settings[theirs].tags == NAMES.tags(Life(SAKURA))

    def test_somebody_elses_bucket_is_not_used(self, run: Provisioning) -> None:
        run.fleet.buckets.foreign.add(NAMES.bucket(Life(ACME)))
        run.reserve()
        with pytest.raises(BucketNameTaken):
            run.bucket()
        assert run.record.bucket_name is None


class TestCheckCapacity:
    def fill(self, fleet: Fleet, number: int, first: int = 0) -> None:
        for index in range(first, first + number):
            configuration = fleet.store.knowledge_base_configuration(f"index-{index}")
            fleet.knowledge_bases.create(
                f"other-{index}", role_arn="", configuration=configuration, tags={}, client_token=str(index)
            )

    def test_it_says_how_much_room_there_is(self, run: Provisioning) -> None:
        self.fill(run.fleet, 3)
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        left = {room.of: (room.used, room.left) for room in rooms}
        assert left == {
            Scarce.VECTOR_KNOWLEDGE_BASES: (3, 92),
            Scarce.VECTOR_INDEXES: (0, 10_000),
            Scarce.BUCKETS: (0, 10_000),
            Scarce.USAGE_KEYS: (0, 10_000),
            Scarce.SERVICE_ROLES: (0, 1_000),
        }

    def test_a_full_account_is_reported_before_anything_is_made(self, run: Provisioning) -> None:
        self.fill(run.fleet, 100)
        run.reserve()
        with pytest.raises(CapacityExceeded, match=r"100 of 100 .*acme.*Offboard tenants.*MANAGED"):
            run.check_capacity()
        assert not run.fleet.buckets.created
        assert not run.fleet.store.created

    def test_a_full_account_that_has_the_tenants_own_one_already_is_no_obstacle(self, run: Provisioning) -> None:
        self.fill(run.fleet, 99)
        run.fleet.make_knowledge_base(ACME, "before the crash")
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        assert rooms[0].left == 0

    @pytest.mark.parametrize(
        ("fill", "what"),
        [
            (lambda fleet: setattr(fleet.usage_keys, "others", 10_000), "10,000 of 10,000 API keys"),
            (lambda fleet: setattr(fleet.store, "quota", 0), "0 of 0 indexes"),
            (lambda fleet: setattr(fleet.service_roles, "quota", 0), "0 of 0 roles"),
        ],
    )
    def test_whatever_is_used_up_is_reported_before_anything_is_made(
        self, run: Provisioning, fill: Callable[[Fleet], None], what: str
    ) -> None:
        fill(run.fleet)
        run.reserve()
        with pytest.raises(CapacityExceeded, match=what) as full:
            run.check_capacity()
        assert full.value.remedy
        assert not run.fleet.buckets.created

    def test_buckets_of_which_aws_may_give_more_are_refused_by_aws_alone(self, run: Provisioning) -> None:
        run.fleet.buckets.others = 10_000
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        assert [room.of for room in rooms if room.is_scarce] == [Scarce.BUCKETS]

    def test_a_usage_key_that_is_there_needs_no_room(self, run: Provisioning) -> None:
        run.reserve()
        run.usage_key()
        run.fleet.usage_keys.others = 9_999
        assert run.check_capacity() is not None

    def test_the_account_is_counted_once_for_many_tenants(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        run = Provisioning(fleet)
        run.reserve()
        run.check_capacity()
        count = Mock(side_effect=fleet.usage_keys.count)
        monkeypatch.setattr(fleet.usage_keys, "count", count)
        for number in range(50):
            rooms = run.check_capacity()
            assert rooms is not None
            assert rooms[0].used == number + 1
        count.assert_not_called()

    def test_it_is_counted_anew_where_few_are_left(self, fleet: Fleet) -> None:
        run = Provisioning(fleet)
        self.fill(fleet, 75)
        run.reserve()
        run.check_capacity()
        for taken in range(1, 10):
            rooms = run.check_capacity()
            assert rooms is not None
            assert rooms[0].used == 75 + taken
        # Of those that were let in, none has made one.
        rooms = run.check_capacity()
        assert rooms is not None
        assert rooms[0].used == 75

    def test_ninety_five_tenants_fit_and_five_are_left_to_rebuilds(self, run: Provisioning) -> None:
        self.fill(run.fleet, 94)
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        assert rooms[0].left == 1
        self.fill(run.fleet, 1, first=94)
        with pytest.raises(CapacityExceeded, match=r"95 of 100 .*, and keeps 5 for rebuilds.*acme"):
            run.check_capacity()

    def test_what_rebuilds_have_taken_of_theirs_is_not_kept_once_more(self, run: Provisioning) -> None:
        fleet = run.fleet
        fleet.add(OTHER)
        other = fleet.registry.get(OTHER)
        plan = RebuildPlan(fleet.clock.now(), other.knowledge_store)
        made = replace(plan.candidate(2), knowledge_base_id="KBBESIDE01")
        beside = Beside(made, Role.CANDIDATE, fleet.clock.now(), plan)
        fleet.registry.replace(replace(other, beside=beside), fence=other.fence)
        self.fill(fleet, 94)  # with that of the tenant, 95; one of them is the candidate's
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        assert (rooms[0].used, rooms[0].left) == (95, 1)

    def test_it_is_counted_anew_after_hours(self, fleet: Fleet) -> None:
        run = Provisioning(fleet)
        run.reserve()
        run.check_capacity()
        self.fill(fleet, 7)
        fleet.clock.advance(COUNTED_FOR.total_seconds())
        run.reserve()
        rooms = run.check_capacity()
        assert rooms is not None
        assert rooms[0].used == 7

    def test_a_tenant_that_has_one_needs_no_room(self, run: Provisioning) -> None:
        run.whole()
        self.fill(run.fleet, 99)
        again = Provisioning(run.fleet, OTHER_EXECUTION)
        again.reserve()
        assert again.check_capacity() is None


class TestEnsureKnowledgeStore:
    def test_the_index_is_made_once_and_recorded(self, run: Provisioning) -> None:
        run.reserve()
        assert run.knowledge_store() == run.knowledge_store() == run.record.knowledge_store_reference
        assert run.fleet.store.created == [ACME]

    def test_an_index_that_was_deleted_behind_our_back_is_made_again(self, run: Provisioning) -> None:
        run.reserve()
        run.knowledge_store()
        run.fleet.store.drop(first_knowledge(ACME))
        run.knowledge_store()
        assert run.fleet.store.created == [ACME, ACME]

    def test_the_record_says_when_both_were_made(self, run: Provisioning) -> None:
        made = run.whole()
        assert made.index_made_at == START
        assert made.data_source_made_at == START + timedelta(seconds=90)


class TestWhatWasReadIsLost:
    """Nothing is made in its place, which would be empty: a rebuild reads all documents anew."""

    @pytest.fixture
    def again(self, run: Provisioning) -> Provisioning:
        """A later execution for a tenant that was provisioned a day before."""
        run.whole()
        run.fleet.clock.advance(86_400)
        again = Provisioning(run.fleet, OTHER_EXECUTION)
        again.reserve()
        return again

    def refuses(self, again: Provisioning, step: Callable[[], object], what: str) -> None:
        before, made = again.record, (list(again.fleet.store.created), list(again.fleet.knowledge_bases.created))
        with pytest.raises(KnowledgeLost, match=what) as caught:
            step()
        assert "`kbfleet tenant rebuild acme`" in caught.value.remedy
        assert (again.fleet.store.created, again.fleet.knowledge_bases.created) == made
        assert (again.record.status, again.record.data_source()) == (TenantStatus.ACTIVE, before.data_source())

    def test_with_its_index(self, again: Provisioning) -> None:
        again.fleet.store.drop(first_knowledge(ACME))
        self.refuses(again, again.knowledge_store, "vector index .* is gone")

    def test_with_its_knowledge_base(self, again: Provisioning) -> None:
        again.fleet.knowledge_bases.vanish(again.record.data_source().knowledge_base_id)
        again.knowledge_store()
        self.refuses(again, again.knowledge_base, "knowledge base .* is gone")

    @pytest.mark.parametrize("status", ["DELETING", "FAILED", "DELETE_UNSUCCESSFUL"])
    def test_with_its_knowledge_base_that_is_of_no_use(self, again: Provisioning, status: str) -> None:
        base_id = again.record.data_source().knowledge_base_id
        again.fleet.knowledge_bases.force_status(base_id, KnowledgeBaseStatus(status))
        self.refuses(again, again.knowledge_base, f"knowledge base .* is {status}")

    def test_with_its_data_source(self, again: Provisioning) -> None:
        again.fleet.knowledge_bases.delete_data_source(again.record.data_source())
        self.refuses(again, again.data_source, "data source .* is being deleted")
        again.fleet.clock.advance(DELETING_FOR.total_seconds())
        self.refuses(again, again.data_source, "data source .* is gone")

    @pytest.mark.parametrize("status", ["FAILED", "DELETE_UNSUCCESSFUL"])
    def test_with_its_data_source_that_bedrock_gave_up(self, again: Provisioning, status: str) -> None:
        place = again.record.data_source()
        found = again.fleet.knowledge_bases.data_source(place)
        assert found is not None
        given_up = replace(found, status=DataSourceStatus(status), failure_reasons=("No.",))
        again.fleet.knowledge_bases.set_data_source(place.knowledge_base_id, given_up)
        self.refuses(again, again.data_source, f"is {status}: No.")


class TestEnsureKnowledgeBase:
    @pytest.fixture(autouse=True)
    def reserved(self, run: Provisioning) -> None:
        run.reserve()
        run.bucket()
        run.knowledge_store()

    @pytest.fixture
    def lists(self, run: Provisioning, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """How often the knowledge bases of the account are listed."""
        made: list[str] = []
        named = run.fleet.knowledge_bases.named

        def counted(name: str) -> Sequence[KnowledgeBase]:
            made.append(name)
            return named(name)

        monkeypatch.setattr(run.fleet.knowledge_bases, "named", counted)
        return made

    def test_a_new_tenants_is_made_without_a_list_of_the_account(self, run: Provisioning, lists: list[str]) -> None:
        while not run.knowledge_base().ready:
            run.fleet.clock.advance(10)
        assert (lists, run.record.knowledge_base_alone) == ([], True)

    def test_one_whose_answer_was_lost_is_found_by_its_name(
        self, run: Provisioning, lists: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = run.fleet.knowledge_bases.create

        def lost(*arguments: Any, **named: Any) -> None:
            create(*arguments, **named)
            raise NotReadyYet("AWS did not answer.", for_everybody=True)

        with monkeypatch.context() as patched:
            patched.setattr(run.fleet.knowledge_bases, "create", lost)
            with pytest.raises(NotReadyYet):
                run.knowledge_base()
        assert (run.record.knowledge_base_id, run.record.knowledge_base_alone) == (None, False)
        run.fleet.clock.advance(TOKEN_MEMORY.total_seconds())
        while not run.knowledge_base().ready:
            run.fleet.clock.advance(10)
        assert run.fleet.knowledge_bases.created == [run.record.knowledge_base_id]
        # To find it, and to see that it is the only one.
        assert (len(lists), run.record.knowledge_base_alone) == (2, True)

    def test_one_that_was_made_twice_is_not_taken_for_the_only_one(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = run.fleet.knowledge_bases.create
        run.fleet.knowledge_bases.uniqueness_lag = timedelta(seconds=30)

        def twice(*arguments: Any, **named: Any) -> KnowledgeBase:
            create(*arguments, **named)
            raise NotReadyYet("AWS did not answer.", for_everybody=True)

        with monkeypatch.context() as patched:
            patched.setattr(run.fleet.knowledge_bases, "create", twice)
            patched.setattr(run.fleet.knowledge_bases, "named", lambda _name: [])
            with pytest.raises(NotReadyYet):
                run.knowledge_base()
            patched.setattr(run.fleet.knowledge_bases, "create", create)
            run.knowledge_base()
        run.fleet.clock.advance(90)
        assert run.knowledge_base().ready
        assert (len(run.fleet.knowledge_bases.created), run.record.knowledge_base_alone) == (2, False)

    def test_one_that_was_refused_need_not_be_looked_for(
        self, run: Provisioning, lists: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: Any, **__: Any) -> None:
            raise Throttled("Your request rate is too high.")

        with monkeypatch.context() as patched:
            patched.setattr(run.fleet.knowledge_bases, "create", refused)
            with pytest.raises(Throttled):
                run.knowledge_base()
        run.knowledge_base()
        assert (lists, run.record.knowledge_base_alone) == ([], True)

    def test_it_is_made_once_recorded_at_once_and_ready_when_active(self, run: Provisioning) -> None:
        state = run.knowledge_base()
        assert (state.status, state.ready) == ("CREATING", False)
        assert run.record.knowledge_base_id == state.knowledge_base_id
        run.fleet.clock.advance(83)
        ready = run.knowledge_base()
        assert (ready.knowledge_base_id, ready.status, ready.ready) == (state.knowledge_base_id, "ACTIVE", True)
        assert run.fleet.knowledge_bases.created == [state.knowledge_base_id]

    def test_looking_again_writes_nothing_into_the_record(self, run: Provisioning) -> None:
        run.knowledge_base()
        writes = run.fleet.registry.writes
        run.knowledge_base()
        assert run.fleet.registry.writes == writes

    def test_one_made_before_a_crash_is_adopted_by_its_name(self, run: Provisioning) -> None:
        for number in range(5):  # so that it is not on the list's first page
            run.fleet.knowledge_bases.create(
                f"other-{number}", role_arn="", configuration={}, tags={}, client_token=str(number)
            )
        orphan = run.fleet.make_knowledge_base(ACME, "before the crash")
        assert run.knowledge_base().knowledge_base_id == orphan.knowledge_base_id
        assert run.record.knowledge_base_id == orphan.knowledge_base_id

    def test_one_deleted_before_anything_was_read_into_it_is_made_again(self, run: Provisioning) -> None:
        run.knowledge_store()
        first = run.knowledge_base().knowledge_base_id
        run.fleet.knowledge_bases.vanish(first)
        run.knowledge_store()
        assert run.knowledge_base().knowledge_base_id == run.record.knowledge_base_id != first

    def test_one_without_our_tags_is_not_adopted(self, run: Provisioning) -> None:
        run.fleet.make_knowledge_base(ACME, "somebody else's", tags={})
        with pytest.raises(KnowledgeBaseNotOurs, match="lacks the tags of tenant acme"):
            run.knowledge_base()
        assert run.record.knowledge_base_id is None

    def test_one_on_another_index_is_not_adopted(self, run: Provisioning) -> None:
        sakuras = run.fleet.store.knowledge_base_configuration(run.fleet.store.ensure(first_knowledge(SAKURA)))
        run.fleet.make_knowledge_base(ACME, "mixed up", configuration=sakuras)
        with pytest.raises(KnowledgeBaseNotOurs, match="acme's own index"):
            run.knowledge_base()
        assert run.record.knowledge_base_id is None

    def test_one_that_somebody_renamed_or_untagged_is_put_right_and_ready_after_that(self, run: Provisioning) -> None:
        run.up_to_data_source()
        made = run.record.knowledge_base_id
        assert made is not None
        run.fleet.knowledge_bases.unsettle(made)
        run.fleet.knowledge_bases.untag(made)
        run.fleet.clock.advance(timedelta(days=90).total_seconds())
        run.reserve()
        state = run.knowledge_base()
        assert not state.ready
        assert state.look_again_after < timedelta(minutes=1), "its age says nothing of how long an update takes"
        assert run.knowledge_base().ready
        found = run.fleet.knowledge_bases.get(made)
        assert found is not None
        assert found.described
        assert run.fleet.knowledge_bases.tags(found) == NAMES.tags(Life(ACME))

    def test_what_cannot_be_changed_is_left_as_it_is_and_reported_as_drift(self, run: Provisioning) -> None:
        made = dict(run.fleet.store.knowledge_base_configuration(run.fleet.store.ensure(first_knowledge(ACME))))
        made["knowledgeBaseConfiguration"] = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"of": "2025"}}
        older = run.fleet.make_knowledge_base(ACME, "years ago", configuration=made)
        run.fleet.store.embedding_model = "2026"
        run.fleet.clock.advance(83)
        assert run.knowledge_base().knowledge_base_id == older.knowledge_base_id
        (drift,) = run.record.drift
        assert "2025" in drift

    def test_one_that_appears_between_look_and_call_is_adopted(self, run: Provisioning) -> None:
        class Overtaken(InMemoryKnowledgeBases):
            """Another execution creates it between our look and our call."""

            looks = 0

            def named(self, name: str) -> Sequence[KnowledgeBase]:
                self.looks += 1
                found = super().named(name)
                if self.looks == 1:
                    run.fleet.make_knowledge_base(ACME, "another's")
                return found

        run.fleet.knowledge_bases = Overtaken(run.fleet.clock)
        state = run.knowledge_base()
        assert run.fleet.knowledge_bases.created == [state.knowledge_base_id]

    def test_one_that_exists_but_is_not_listed_yet_is_worth_another_try(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases = InMemoryKnowledgeBases(run.fleet.clock, listed_after=timedelta(seconds=20))
        made = run.fleet.make_knowledge_base(ACME, "another's")
        with pytest.raises(NotReadyYet):
            run.knowledge_base()
        run.fleet.clock.advance(20)
        assert run.knowledge_base().knowledge_base_id == made.knowledge_base_id

    def test_a_role_that_cannot_be_assumed_yet_is_worth_another_try(self, run: Provisioning) -> None:
        made_at = run.service_role()
        run.fleet.knowledge_bases.role_assumable_at = START + timedelta(seconds=30)
        with pytest.raises(ServiceRoleRefused):
            run.knowledge_base(made_at)
        run.fleet.clock.advance(30)
        assert run.knowledge_base(made_at).status == "CREATING"

    def test_an_old_role_that_cannot_be_assumed_is_a_fault_with_a_remedy(self, run: Provisioning) -> None:
        made_at = run.service_role()
        run.fleet.knowledge_bases.role_assumable_at = START + timedelta(days=1)
        run.fleet.clock.advance(SETTLES_WITHIN.total_seconds())
        with pytest.raises(ServiceRoleUnusable, match=NAMES.service_role(Life(ACME))) as refused:
            run.knowledge_base(made_at)
        assert "service control policy" in refused.value.remedy

    def test_a_shared_role_is_never_new(self, run: Provisioning) -> None:
        run.fleet.service_roles.per_tenant = False
        run.fleet.knowledge_bases.role_assumable_at = START + timedelta(days=1)
        with pytest.raises(ServiceRoleUnusable, match="role/knowledge-base"):
            run.knowledge_base(run.service_role())

    def test_a_call_whose_answer_was_lost_makes_no_second_one(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases = InMemoryKnowledgeBases(run.fleet.clock, listed_after=timedelta(seconds=20))
        before = run.record
        first = run.knowledge_base()
        run.fleet.registry.replace(before, fence=before.fence)  # the id never got into the record
        assert run.knowledge_base().knowledge_base_id == first.knowledge_base_id
        assert len(run.fleet.knowledge_bases.created) == 1

    def test_one_that_bedrock_gave_up_fails_the_step_with_the_reasons_and_keeps_its_id(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases.creations_fail = ("The vector index does not exist.",)
        run.knowledge_base()
        run.fleet.clock.advance(83)
        with pytest.raises(KnowledgeBaseFailed, match="vector index does not exist"):
            run.knowledge_base()
        assert run.record.knowledge_base_id is not None

    def test_one_that_is_being_deleted_is_worth_another_try(self, run: Provisioning) -> None:
        made = run.knowledge_base().knowledge_base_id
        run.fleet.knowledge_bases.force_status(made, KnowledgeBaseStatus.DELETING)
        with pytest.raises(NotReadyYet):
            run.knowledge_base()
        run.fleet.knowledge_bases.vanish(made)
        assert run.knowledge_base().knowledge_base_id

    def test_the_deadline_ends_the_waiting(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases = InMemoryKnowledgeBases(run.fleet.clock, creating_for=timedelta(days=1))
        run.knowledge_base()
        run.fleet.clock.advance(READY_WITHIN.total_seconds())
        with pytest.raises(KnowledgeBaseNotReady):
            run.knowledge_base()

    def test_a_later_execution_waits_anew_for_the_same_one(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases = InMemoryKnowledgeBases(run.fleet.clock, creating_for=timedelta(minutes=20))
        run.knowledge_base()
        run.fleet.clock.advance(READY_WITHIN.total_seconds())
        run.mark_failed(provisioning_failure())
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        assert not later.knowledge_base().ready
        run.fleet.clock.advance(300)
        assert later.knowledge_base().ready
        assert len(run.fleet.knowledge_bases.created) == 1


class TestServiceRole:
    def role(self, run: Provisioning) -> ServiceRole:
        return run.fleet.service_roles.roles[NAMES.service_role(Life(ACME))]

    def test_a_new_tenant_ends_with_a_role_for_its_one_knowledge_base(self, run: Provisioning) -> None:
        active = run.whole()
        role = self.role(run)
        assert (role.bucket, role.indexes) == (NAMES.bucket(Life(ACME)), (ACME, f"{ACME}.1.*"))
        assert role.knowledge_bases == (active.knowledge_base_id,)
        assert run.fleet.store.admitted == {Life(ACME): run.fleet.service_roles.arn(role.name)}

    def test_before_there_is_a_knowledge_base_it_is_assumed_for_any(self, run: Provisioning) -> None:
        run.reserve()
        run.service_role()
        assert self.role(run).knowledge_bases == ()

    def test_when_it_is_as_it_should_be_nothing_changes(self, run: Provisioning) -> None:
        run.whole()
        changes = run.fleet.service_roles.changes
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.whole()
        assert run.fleet.service_roles.changes == changes

    @pytest.mark.parametrize("loss", ["gone", "going", "another's"])
    def test_it_is_assumed_for_any_again_once_the_knowledge_base_is_gone_or_not_the_tenants(
        self, run: Provisioning, loss: str
    ) -> None:
        lost = run.whole().knowledge_base_id
        assert lost is not None
        if loss == "gone":
            run.fleet.knowledge_bases.vanish(lost)
        elif loss == "going":
            run.fleet.knowledge_bases.delete(lost)
        else:
            found = run.fleet.knowledge_bases.get(lost)
            assert found is not None
            run.fleet.knowledge_bases.tag(found, NAMES.tags(Life(SAKURA)))
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        later.service_role()
        assert self.role(run).knowledge_bases == ()

    def test_a_knowledge_base_on_the_shared_role_is_moved_to_its_own(self, run: Provisioning) -> None:
        run.fleet.service_roles.per_tenant = False
        moved = run.whole().knowledge_base_id
        assert moved is not None
        assert not run.fleet.service_roles.roles
        run.fleet.service_roles.per_tenant = True
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        assert later.whole().knowledge_base_id == moved
        found = run.fleet.knowledge_bases.get(moved)
        assert found is not None
        assert found.role_arn == run.fleet.service_roles.arn(NAMES.service_role(Life(ACME)))

    def test_a_role_is_narrowed_once_the_knowledge_base_has_moved_to_it(self, run: Provisioning) -> None:
        run.fleet.service_roles.per_tenant = False
        moved = run.whole().knowledge_base_id
        run.fleet.service_roles.per_tenant = True
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        later.service_role()
        assert self.role(run).knowledge_bases == ()
        while not later.knowledge_base().ready:
            run.fleet.clock.advance(10)
        later.narrow_service_role()
        assert self.role(run).knowledge_bases == (moved,)

    def test_and_back_after_which_its_own_role_is_gone(self, run: Provisioning) -> None:
        moved = run.whole().knowledge_base_id
        assert moved is not None
        run.fleet.service_roles.per_tenant = False
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.whole()
        found = run.fleet.knowledge_bases.get(moved)
        assert found is not None
        assert found.role_arn == SHARED_ROLE
        assert not run.fleet.service_roles.roles
        assert not run.fleet.store.admitted

    def test_one_that_has_refused_an_update_is_asked_once_more_by_each_execution(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = run.whole().knowledge_base_id
        assert made is not None
        run.fleet.knowledge_bases.give_role(made, SHARED_ROLE)
        asked: list[str] = []

        def refuse(knowledge_base: KnowledgeBase, *, role_arn: str) -> None:
            asked.append(role_arn)
            refused_at.append(run.fleet.clock.now())

        get, refused_at = run.fleet.knowledge_bases.get, [run.fleet.clock.now()]

        def refused(knowledge_base_id: str) -> KnowledgeBase | None:
            found = get(knowledge_base_id)
            assert found is not None
            return replace(found, status=KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL, status_since=refused_at[-1])

        monkeypatch.setattr(run.fleet.knowledge_bases, "update", refuse)
        monkeypatch.setattr(run.fleet.knowledge_bases, "get", refused)
        for number in (1, 2):
            run.fleet.clock.advance(3_600)
            Provisioning(run.fleet, f"{OTHER_EXECUTION}-{number}").whole()
            assert asked == [run.fleet.service_roles.arn(NAMES.service_role(Life(ACME)))] * number

    @pytest.mark.parametrize("late", [False, True], ids=["it has refused an update", "at the deadline"])
    def test_a_role_that_is_still_assumed_stays_where_all_share_one(
        self, run: Provisioning, late: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = run.whole().knowledge_base_id
        assert made is not None
        run.fleet.service_roles.per_tenant = False
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        if late:
            run.fleet.clock.advance(READY_WITHIN.total_seconds())
        else:
            run.fleet.clock.advance(10)
            found = run.fleet.knowledge_bases.get(made)
            assert found is not None
            refused = replace(found, status=KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL, status_since=run.fleet.clock.now())
            monkeypatch.setattr(run.fleet.knowledge_bases, "get", lambda _: refused)
        assert later.knowledge_base().ready
        later.narrow_service_role()
        found = run.fleet.knowledge_bases.get(made)
        assert found is not None
        (role,) = run.fleet.service_roles.roles
        assert found.role_arn.endswith(role)

    def test_a_move_to_a_role_that_is_too_new_is_worth_another_try(self, run: Provisioning) -> None:
        moved = run.whole().knowledge_base_id
        assert moved is not None
        run.fleet.knowledge_bases.give_role(moved, SHARED_ROLE)
        later = Provisioning(run.fleet, OTHER_EXECUTION)
        later.reserve()
        run.fleet.service_roles.delete(NAMES.service_role(Life(ACME)))
        made_at = later.service_role()
        run.fleet.knowledge_bases.role_assumable_at = run.fleet.clock.now() + timedelta(seconds=30)
        with pytest.raises(ServiceRoleRefused):
            later.knowledge_base(made_at)
        run.fleet.clock.advance(30)
        assert not later.knowledge_base(made_at).ready
        assert later.knowledge_base(made_at).ready

    def test_an_account_without_room_for_a_role_makes_nothing(self, run: Provisioning) -> None:
        run.fleet.service_roles.quota = 0
        run.reserve()
        with pytest.raises(CapacityExceeded, match="0 of 0 roles") as full:
            run.check_capacity()
        assert "ServiceRoles=SHARED" in full.value.remedy

    def test_a_role_that_is_there_needs_no_room(self, run: Provisioning) -> None:
        run.reserve()
        run.service_role()
        run.fleet.service_roles.quota = 1
        assert run.check_capacity() is not None

    def test_a_shared_role_needs_none_either(self, run: Provisioning) -> None:
        run.fleet.service_roles.quota, run.fleet.service_roles.per_tenant = 0, False
        run.reserve()
        assert run.check_capacity() is not None


class TestEnsureDataSource:
    def test_it_is_made_once_and_recorded(self, run: Provisioning) -> None:
        run.up_to_data_source()
        made = run.record.data_source_id
        writes = run.fleet.registry.writes
        assert run.data_source() == made
        assert run.fleet.registry.writes == writes
        assert len(run.fleet.knowledge_bases.created) == 2

    def test_one_made_before_a_crash_is_adopted_by_its_name(self, run: Provisioning) -> None:
        run.up_to_data_source()
        made = run.record.data_source_id
        run.fleet.registry.replace(replace(run.record, data_source_id=None), fence=run.record.fence)
        assert run.data_source() == made == run.record.data_source_id

    def test_one_that_exists_but_is_not_listed_yet_is_worth_another_try(self, run: Provisioning) -> None:
        class NotListed(InMemoryKnowledgeBases):
            def find_data_source(self, knowledge_base_id: str, name: str) -> None:
                return None

            def create_data_source(self, *_: object, **__: object) -> None:  # type: ignore[override]  # always refused
                raise ResourceConflict("DataSource with name documents already exists.")

        run.reserve()
        run.knowledge_store()
        while not run.knowledge_base().ready:
            run.fleet.clock.advance(10)
        run.fleet.knowledge_bases = NotListed(run.fleet.clock)
        with pytest.raises(NotReadyYet):
            run.data_source()

    def becomes(self, run: Provisioning, status: DataSourceStatus, *reasons: str) -> str:
        """The tenant's data source is in that status. Returns: its id."""
        made, knowledge_base_id = run.record.data_source_id, run.record.knowledge_base_id
        assert made is not None
        assert knowledge_base_id is not None
        wanted = run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME)))
        source = DataSource(made, "documents", status, reasons, wanted)
        run.fleet.knowledge_bases.set_data_source(knowledge_base_id, source)
        return made

    @pytest.mark.parametrize("status", ["CREATING", "UPDATING", "UNKNOWN"])
    def test_one_that_is_still_being_worked_on_is_looked_at_again_until_the_deadline(
        self, run: Provisioning, status: str
    ) -> None:
        run.up_to_data_source()
        made = self.becomes(run, DataSourceStatus(status))
        state = run.look_at_data_source()
        assert (state.data_source_id, state.status, state.ready) == (made, status, False)
        assert run.record.data_source_id == made
        usual = run.fleet.store.usual_data_source_creation if status == "CREATING" else timedelta(seconds=5)
        assert state.look_again_after == usual
        run.fleet.clock.advance(READY_WITHIN.total_seconds())
        with pytest.raises(DataSourceNotReady, match=f"{made}.*{status}"):
            run.look_at_data_source()
        self.becomes(run, DataSourceStatus.AVAILABLE)
        assert run.data_source() == made

    def test_the_name_of_one_that_is_being_deleted_is_worth_another_try(self, run: Provisioning) -> None:
        run.up_to_data_source()
        self.becomes(run, DataSourceStatus.DELETING)
        run.fleet.registry.replace(replace(run.record, data_source_id=None), fence=run.record.fence)
        with pytest.raises(NotReadyYet, match="is being deleted"):
            run.look_at_data_source()

    @pytest.mark.parametrize("status", ["FAILED", "DELETE_UNSUCCESSFUL"])
    def test_one_that_bedrock_gave_up_fails_the_step_with_the_reasons_and_keeps_its_id(
        self, run: Provisioning, status: str
    ) -> None:
        run.up_to_data_source()
        made = self.becomes(run, DataSourceStatus(status), "The bucket cannot be read.")
        run.fleet.registry.replace(replace(run.record, data_source_id=None), fence=run.record.fence)
        with pytest.raises(DataSourceFailed, match="The bucket cannot be read"):
            run.data_source()
        assert run.record.data_source_id == made

    # --- what is not the tenant's own, and what is although it does not look so ---

    def own(self, run: Provisioning) -> DataSourceReference:
        run.up_to_data_source()
        return run.record.data_source()

    def becomes_named(self, run: Provisioning, data_source: DataSourceReference, name: str) -> None:
        found = run.fleet.knowledge_bases.data_source(data_source)
        assert found is not None
        run.fleet.knowledge_bases.set_data_source(data_source.knowledge_base_id, replace(found, name=name))

    def add_another(
        self,
        run: Provisioning,
        name: str,
        *,
        reading: TenantId = SAKURA,
        status: str = "AVAILABLE",
        deletion_policy: str = "DELETE",
        data_source_id: str = "DSOFOTHERS",
    ) -> DataSourceReference:
        knowledge_base_id = run.record.data_source().knowledge_base_id
        configuration = run.fleet.store.data_source_configuration(NAMES.bucket(Life(reading)))
        another = DataSource(data_source_id, name, DataSourceStatus(status), (), configuration, deletion_policy)
        run.fleet.knowledge_bases.set_data_source(knowledge_base_id, another)
        return DataSourceReference(knowledge_base_id, another.data_source_id)

    def record_names(self, run: Provisioning, data_source: DataSourceReference) -> None:
        wrong = replace(run.record, data_source_id=data_source.data_source_id)
        run.fleet.registry.replace(wrong, fence=wrong.fence)

    def converged(self, run: Provisioning) -> dict[str, DataSource]:
        """What is there by id, once the step has been tried again as often as the state machine may."""
        for _ in range(10):
            try:
                made = run.data_source()
            except NotReadyYet:
                run.fleet.clock.advance(30)
                continue
            assert run.record.data_source_id == made
            listed = run.fleet.knowledge_bases.data_sources(run.record.data_source().knowledge_base_id)
            return {one.data_source_id: one for one in listed}
        raise AssertionError("it does not end")

    def test_one_that_somebody_has_renamed_stays_with_all_that_it_has_brought_and_is_named_again(
        self, run: Provisioning
    ) -> None:
        own = self.own(run)
        self.becomes_named(run, own, "our-manuals")
        assert {key: one.name for key, one in self.converged(run).items()} == {own.data_source_id: "documents"}
        assert not run.fleet.announcements.breaches
        assert not run.fleet.ledger.find(first_knowledge(ACME)).distrusted

    @pytest.mark.parametrize("reading", [ACME, SAKURA])
    def test_one_that_was_renamed_and_whose_name_another_has_stays_and_the_other_goes(
        self, run: Provisioning, reading: TenantId
    ) -> None:
        own = self.own(run)
        self.becomes_named(run, own, "our-manuals")
        other = self.add_another(run, "documents", reading=reading)
        assert {key: one.name for key, one in self.converged(run).items()} == {own.data_source_id: "documents"}
        assert run.fleet.announcements.breaches[0].resources == (f"data source {other.data_source_id}",)

    def test_a_record_that_names_one_of_somebody_else_does_not_make_it_the_tenants(self, run: Provisioning) -> None:
        own = self.own(run)
        other = self.add_another(run, "quick-test")
        self.record_names(run, other)
        assert list(self.converged(run)) == [own.data_source_id]

    def test_nor_does_it_where_the_tenants_own_is_gone(self, run: Provisioning) -> None:
        own = self.own(run)
        other = self.add_another(run, "quick-test")
        self.record_names(run, other)
        run.fleet.knowledge_bases.delete_data_source(own)
        run.fleet.clock.advance(60)
        (made,) = self.converged(run).values()
        assert made.data_source_id not in {own.data_source_id, other.data_source_id}
        assert made.reads(run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME))))

    def test_one_that_was_distrusted_is_trusted_and_synced_once_it_reads_the_tenants_bucket_again(
        self, run: Provisioning
    ) -> None:
        own = self.own(run)
        run.fleet.knowledge_bases.update_data_source(
            own, "documents", configuration=run.fleet.store.data_source_configuration(NAMES.bucket(Life(SAKURA)))
        )
        with pytest.raises(NotReadyYet):
            run.data_source()
        assert run.fleet.ledger.find(first_knowledge(ACME)).distrusted
        run.data_source()
        entry = run.fleet.ledger.find(first_knowledge(ACME))
        assert (entry.distrusted, entry.state, entry.trusted_from) == (False, SyncState.QUEUED, 1)
        run.data_source()
        assert run.fleet.ledger.find(first_knowledge(ACME)) == entry
        run.first_sync()
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token"), SucceededTask)
        assert run.fleet.ledger.find(first_knowledge(ACME)).has_synced(own.data_source_id)
        assert len(run.fleet.knowledge_bases.jobs) == 1

    def test_one_that_somebody_has_set_otherwise_is_set_right_and_is_no_breach(self, run: Provisioning) -> None:
        own = self.own(run)
        wanted = run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME)))
        bucket = {"bucketArn": f"arn:aws:s3:::{NAMES.bucket(Life(ACME))}"}
        narrowed = {"type": "S3", "s3Configuration": {**bucket, "inclusionPrefixes": ["public/"]}}
        run.fleet.knowledge_bases.update_data_source(own, "documents", configuration=narrowed)
        assert self.converged(run)[own.data_source_id].reads_as(wanted)
        assert not run.fleet.announcements.breaches
        assert not run.fleet.ledger.find(first_knowledge(ACME)).distrusted

    def test_what_the_service_has_come_to_add_by_itself_holds_nobody_up(self, run: Provisioning) -> None:
        run.fleet.knowledge_bases.adds = {"renderingConfiguration": {"mode": "FAST"}}
        own = self.own(run)
        assert list(self.converged(run)) == [own.data_source_id]

    def test_one_that_does_not_say_what_it_reads_is_neither_changed_nor_deleted_nor_a_breach(
        self, run: Provisioning
    ) -> None:
        own = self.own(run)
        found = run.fleet.knowledge_bases.data_source(own)
        assert found is not None
        silent = replace(found, name="our-manuals", configuration={})
        run.fleet.knowledge_bases.set_data_source(own.knowledge_base_id, silent)
        with pytest.raises(NotReadyYet, match="does not say what"):
            run.data_source()
        assert run.fleet.knowledge_bases.data_source(own) == silent
        assert not run.fleet.announcements.breaches
        assert not run.fleet.ledger.find(first_knowledge(ACME)).distrusted

    def reads_anothers_bucket(self, run: Provisioning, name: str = "documents", **changes: Any) -> DataSourceReference:
        """The recorded one."""
        own = self.own(run)
        found = run.fleet.knowledge_bases.data_source(own)
        assert found is not None
        configuration = run.fleet.store.data_source_configuration(NAMES.bucket(Life(SAKURA)))
        changed = replace(found, name=name, configuration=configuration, **changes)
        run.fleet.knowledge_bases.set_data_source(own.knowledge_base_id, changed)
        return own

    def test_a_recorded_one_that_reads_anothers_bucket_and_was_renamed_is_trusted_no_more_and_the_new_one_is(
        self, run: Provisioning
    ) -> None:
        renamed = self.reads_anothers_bucket(run, "harmless")
        states: list[bool] = []
        save = run.fleet.ledger.save

        def saved(sync: Sync) -> Sync:
            states.append(sync.distrusted)
            # Never while jobs are started from the wrong one.
            assert sync.distrusted or run.record.data_source() != renamed
            return save(sync)

        run.fleet.ledger.save = saved  # type: ignore[method-assign]
        (made,) = self.converged(run).values()
        assert made.reads(run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME))))
        assert states == [True, False]
        assert run.fleet.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED

    def test_an_execution_that_waits_for_a_sync_of_one_that_reads_anothers_bucket_is_failed(
        self, run: Provisioning
    ) -> None:
        self.own(run)
        run.first_sync()
        self.reads_anothers_bucket(run)
        with pytest.raises(NotReadyYet):
            run.data_source()
        answer = run.fleet.callbacks.answer("token")
        assert isinstance(answer, FailedTask)
        assert answer.error == "DataSourceFailed"

    @pytest.mark.parametrize("status", ["CREATING", "UPDATING", "DELETE_UNSUCCESSFUL"])
    def test_one_that_reads_anothers_bucket_and_cannot_be_changed_now_is_announced_and_not_trusted(
        self, run: Provisioning, status: str
    ) -> None:
        self.reads_anothers_bucket(run, status=DataSourceStatus(status))
        with nullcontext() if status in {"CREATING", "UPDATING"} else pytest.raises(KnowledgeLost, match=status):
            assert not run.look_at_data_source().ready
        assert run.fleet.ledger.find(first_knowledge(ACME)).distrusted
        assert run.fleet.announcements.breaches

    def test_one_that_is_not_listed_at_this_moment_is_not_replaced(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = self.own(run)
        self.becomes_named(run, own, "our-manuals")
        run.fleet.clock.advance(TOKEN_MEMORY.total_seconds())
        with monkeypatch.context() as patched:
            patched.setattr(run.fleet.knowledge_bases, "data_sources", lambda _: [])
            with pytest.raises(NotReadyYet):
                run.data_source()
        assert run.record.data_source() == own
        assert {key: one.name for key, one in self.converged(run).items()} == {own.data_source_id: "documents"}

    def refuse(self, run: Provisioning, monkeypatch: pytest.MonkeyPatch, data_source_id: str) -> None:
        """Nobody can change or delete that one."""
        bases = run.fleet.knowledge_bases
        for operation in ("update_data_source", "delete_data_source"):
            allowed = getattr(bases, operation)

            def refused(of: DataSourceReference, *given: Any, allowed: Any = allowed, **named: Any) -> Any:
                if of.data_source_id == data_source_id:
                    raise RequestRefused("ValidationException: the secret does not exist")
                return allowed(of, *given, **named)

            monkeypatch.setattr(bases, operation, refused)

    def tried(self, run: Provisioning) -> Exception:
        """Returns: what it comes to, tried again as often as the state machine may."""
        for _ in range(10):
            try:
                run.data_source()
            except NotReadyYet:
                run.fleet.clock.advance(30)
            except KbfleetError as error:
                return error
        raise AssertionError("it does not fail")

    @pytest.mark.parametrize("policy", ["DELETE", "RETAIN"])
    def test_one_of_somebody_else_that_cannot_be_removed_does_not_keep_ours_from_being_put_right(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch, policy: str
    ) -> None:
        own = self.reads_anothers_bucket(run)
        other = self.add_another(run, "wiki", deletion_policy=policy)
        self.refuse(run, monkeypatch, other.data_source_id)
        error = self.tried(run)
        assert isinstance(error, DataSourceFailed)
        assert "the secret does not exist" in str(error)
        source = run.fleet.knowledge_bases.data_source(own)
        assert source is not None
        assert source.reads(run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME))))
        assert not run.fleet.ledger.find(first_knowledge(ACME)).distrusted

    def test_nor_does_one_that_a_job_uses(self, run: Provisioning) -> None:
        own = self.reads_anothers_bucket(run)
        run.fleet.knowledge_bases.start_in_console(self.add_another(run, "wiki"))
        with pytest.raises(NotReadyYet):
            run.data_source()
        source = run.fleet.knowledge_bases.data_source(own)
        assert source is not None
        assert source.reads(run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME))))

    def test_nor_does_ours_keep_others_from_being_removed(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = self.reads_anothers_bucket(run)
        other = self.add_another(run, "wiki")
        self.refuse(run, monkeypatch, own.data_source_id)
        assert isinstance(self.tried(run), RequestRefused)
        run.fleet.clock.advance(60)
        assert run.fleet.knowledge_bases.data_source(other) is None
        assert run.fleet.ledger.find(first_knowledge(ACME)).distrusted

    def test_ours_is_made_once_there_is_room_for_it(self, run: Provisioning) -> None:
        self.reads_anothers_bucket(run, "harmless")
        for number in range(MAX_DATA_SOURCES - 1):
            self.add_another(run, f"wiki-{number}", data_source_id=f"DSOFOTHER{number}")
        (made,) = self.converged(run).values()
        assert made.reads(run.fleet.store.data_source_configuration(NAMES.bucket(Life(ACME))))

    def test_a_first_sync_does_not_wait_in_vain_for_one_that_is_distrusted_since(self, run: Provisioning) -> None:
        self.own(run)
        run.fleet.ledger.save(run.fleet.ledger.find(first_knowledge(ACME)).not_to_be_trusted())
        with pytest.raises(DataSourceFailed, match="is not tenant acme"):
            run.first_sync()

    def test_a_recorded_one_that_is_being_deleted_costs_the_one_in_its_place_nothing(self, run: Provisioning) -> None:
        own = self.own(run)
        going = self.add_another(run, "our-manuals", reading=ACME, status="DELETING")
        self.record_names(run, going)
        with pytest.raises(NotReadyYet, match=going.data_source_id):
            run.data_source()
        assert run.record.data_source() == own

    def test_one_of_somebody_else_that_is_being_deleted_already_is_reported(self, run: Provisioning) -> None:
        self.own(run)
        other = self.add_another(run, "quick-test", status="DELETING")
        with pytest.raises(NotReadyYet, match=other.data_source_id):
            run.data_source()
        (breach,) = run.fleet.announcements.breaches
        assert breach.resources == (f"data source {other.data_source_id}",)

    def test_it_needs_an_active_knowledge_base(self, run: Provisioning) -> None:
        run.reserve()
        run.bucket()
        run.knowledge_store()
        run.knowledge_base()
        with pytest.raises(NotReadyYet):
            run.data_source()

    def test_without_the_record_of_a_knowledge_base_it_goes_no_further(self, run: Provisioning) -> None:
        run.reserve()
        with pytest.raises(LeaseLost, match="knowledge base"):
            run.data_source()


class TestEnsureUsageKey:
    @pytest.fixture(autouse=True)
    def reserved(self, run: Provisioning) -> None:
        run.reserve()

    def plans(self, run: Provisioning) -> set[str]:
        ((_, stored),) = run.fleet.usage_keys.keys.items()
        return stored.plans

    def test_a_tenant_is_standard_unless_asked_for_otherwise(self, run: Provisioning) -> None:
        assert run.usage_key() is run.usage_key() is Tier.STANDARD
        assert self.plans(run) == {"standard-plan"}

    def test_another_tier_moves_it_and_stays_until_the_next(self, run: Provisioning) -> None:
        for asked, tier in ((Tier.PREMIUM, Tier.PREMIUM), (None, Tier.PREMIUM), (Tier.STANDARD, Tier.STANDARD)):
            run.reserve(ProvisioningRequest(ACME, tier=asked))
            assert run.usage_key() is run.record.tier is tier
            assert self.plans(run) == {PLANS[tier]}

    def test_its_value_is_what_the_authorizer_says_and_no_other_tenants(self, run: Provisioning) -> None:
        run.usage_key()
        (value,) = run.fleet.usage_keys.keys
        assert value == NAMES.usage_key(Life(ACME)).value
        others = [replace(NAMES, **change) for change in ({"fleet": "kb"}, {"account": "1"}, {"region": "eu-west-1"})]
        values = {names.usage_key(Life(ACME)).value for names in others} | {NAMES.usage_key(Life(SAKURA)).value}
        assert len(values | {value}) == 5
        assert all(20 <= len(each) <= 128 for each in values)  # AWS documentation, CreateApiKey

    def test_a_key_that_is_not_ours_is_not_taken(self, run: Provisioning) -> None:
        key = NAMES.usage_key(Life(ACME))
        run.fleet.usage_keys.ensure(key, {}, plan_id="standard-plan", other_plan_ids=[])
        with pytest.raises(ResourceConflict):
            run.usage_key()


class TestRunFirstSync:
    def test_a_new_tenant_is_synced_and_the_task_answered_when_that_has_ended(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.first_sync()
        assert run.fleet.callbacks.answers == []
        assert run.fleet.ticks.requests == 1
        run.fleet.tick_until_idle()
        answer = run.fleet.callbacks.answer("token")
        assert isinstance(answer, SucceededTask)
        assert answer.output["outcome"] == "SUCCEEDED"

    def test_a_synced_tenant_is_answered_at_once(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.first_sync()
        run.fleet.tick_until_idle()
        run.first_sync("another")
        assert run.fleet.callbacks.answer("another") == SucceededTask("another", {"outcome": "ALREADY_SYNCED"})
        assert len(run.fleet.knowledge_bases.jobs) == 1

    def test_changes_that_a_failed_sync_has_left_are_synced_without_the_task_waiting_for_it(
        self, run: Provisioning
    ) -> None:
        """What kept it from its end is what the steps before may have repaired."""
        run.up_to_data_source()
        run.first_sync()
        run.fleet.tick_until_idle()
        run.fleet.knowledge_bases.plan(str(run.record.knowledge_base_id), JobCourse(JobStatus.FAILED))
        run.fleet.request(ACME, Priority.CHANGED)
        run.fleet.tick_until_idle()
        assert run.fleet.ledger.find(first_knowledge(ACME)).pending_changes
        run.first_sync("another")
        assert run.fleet.callbacks.answer("another") == SucceededTask("another", {"outcome": "ALREADY_SYNCED"})
        run.fleet.tick_until_idle()
        assert not run.fleet.ledger.find(first_knowledge(ACME)).pending_changes

    def test_a_tenant_without_documents_needs_no_job(self, run: Provisioning) -> None:
        run.fleet.bucket_contents.pages = [[]]
        run.up_to_data_source()
        run.fleet.clock.advance(EVENTS_AFTER.total_seconds())
        for _ in range(2):  # its answer may have been lost
            run.first_sync()
            assert run.fleet.callbacks.answer("token") == SucceededTask("token", {"outcome": "NO_DOCUMENTS"})
        entry = run.fleet.ledger.find(first_knowledge(ACME))
        assert (entry.state, entry.requested_generation, entry.empty_at) == (SyncState.IDLE, 0, run.fleet.clock.now())
        run.activate()
        run.fleet.note_changes(ACME)
        run.fleet.clock.advance(60)
        run.fleet.tick_until_idle()
        assert len(run.fleet.knowledge_bases.jobs) == 1

    def test_a_bucket_of_which_no_event_tells_yet_is_read_by_a_job(self, run: Provisioning) -> None:
        """Documents that come in after the look, and before events flow, would wait for the survey."""
        run.fleet.bucket_contents.pages = [[]]
        run.up_to_data_source()
        run.first_sync()
        assert run.fleet.callbacks.answers == []
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token"), SucceededTask)

    def test_a_document_that_comes_in_behind_the_look_is_waited_for(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.up_to_data_source()
        run.fleet.clock.advance(EVENTS_AFTER.total_seconds())

        def uploaded_meanwhile(_bucket: str, _after: str | None) -> VersionPage:
            run.fleet.note_changes(ACME)
            return VersionPage([], None)

        monkeypatch.setattr(run.fleet.bucket_contents, "versions", uploaded_meanwhile)
        run.first_sync()
        assert run.fleet.callbacks.answers == []
        run.fleet.clock.advance(60)
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token"), SucceededTask)

    def test_a_bucket_that_does_not_show_is_not_taken_for_an_empty_one(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.fleet.clock.advance(EVENTS_AFTER.total_seconds())
        run.fleet.bucket_contents.refusal = ResourceMissing("NoSuchBucket")
        run.first_sync()
        assert run.fleet.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED

    def test_one_that_asks_again_keeps_its_place_and_its_entry_does_not_grow(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.first_sync("token-0")
        place = run.fleet.ledger.find(first_knowledge(ACME)).ready_at
        for hour in range(1, 47):
            run.fleet.clock.advance(3_600)
            run.first_sync(f"token-{hour}")
        entry = run.fleet.ledger.find(first_knowledge(ACME))
        assert (entry.ready_at, entry.requested_generation) == (place, 1)
        assert [waiter.task_token for waiter in entry.waiters] == ["token-46"]
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token-46"), SucceededTask)
        assert len(run.fleet.knowledge_bases.jobs) == 1

    def test_one_that_outlives_its_execution_sends_nobody_away(
        self, run: Provisioning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.up_to_data_source()
        run.fleet.clock.advance(EVENTS_AFTER.total_seconds())
        late = run.reservation
        versions = run.fleet.bucket_contents.versions

        def overtaken(bucket: str, after: str | None) -> VersionPage:
            monkeypatch.undo()
            run.fleet.registry.replace(replace(run.record, lease=None, fence=late.fence + 1), fence=late.fence)
            again = Provisioning(run.fleet, OTHER_EXECUTION)
            again.reserve()
            again.first_sync("another")
            return versions(bucket, after)

        monkeypatch.setattr(run.fleet.bucket_contents, "versions", overtaken)
        with pytest.raises(LeaseLost):
            run.fleet.run_first_sync(late, "late")
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("another"), SucceededTask)

    def test_a_repeated_call_asks_for_no_second_sync(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.first_sync()
        run.first_sync()
        assert run.fleet.ledger.find(first_knowledge(ACME)).requested_generation == 1

    def test_a_sync_that_is_queued_already_is_the_one_waited_for_and_goes_first(self, run: Provisioning) -> None:
        run.up_to_data_source()
        run.fleet.request(ACME, Priority.CHANGED)
        run.first_sync()
        assert run.fleet.ledger.find(first_knowledge(ACME)).priority is Priority.REQUESTED
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token"), SucceededTask)
        assert len(run.fleet.knowledge_bases.jobs) == 1

    def test_a_sync_under_way_that_fails_is_not_the_answer(self, run: Provisioning) -> None:
        run.up_to_data_source()
        knowledge_base_id = run.record.knowledge_base_id
        assert knowledge_base_id is not None
        run.fleet.knowledge_bases.plan(knowledge_base_id, JobCourse(JobStatus.FAILED))
        run.fleet.request(ACME, Priority.CHANGED)
        run.fleet.tick()
        run.first_sync()
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("token"), SucceededTask)

    def test_after_a_failed_first_sync_the_next_run_asks_for_another(self, run: Provisioning) -> None:
        run.up_to_data_source()
        knowledge_base_id = run.record.knowledge_base_id
        assert knowledge_base_id is not None
        run.fleet.knowledge_bases.plan(knowledge_base_id, JobCourse(JobStatus.FAILED))
        run.first_sync("first")
        run.fleet.tick_until_idle()
        run.first_sync("second")
        run.fleet.tick_until_idle()
        assert isinstance(run.fleet.callbacks.answer("second"), SucceededTask)


class TestActivateTenant:
    def test_the_tenant_may_be_asked_and_the_lease_is_given_back(self, run: Provisioning) -> None:
        run.reserve()
        run.fleet.clock.advance(300)
        active = run.activate()
        assert (active.status, active.lease, active.updated_at) == (
            TenantStatus.ACTIVE,
            None,
            START + timedelta(seconds=300),
        )

    def test_a_repeated_call_changes_nothing(self, run: Provisioning) -> None:
        run.reserve()
        assert run.activate() == run.activate() == run.record
        assert run.fleet.registry.writes == 4  # each change of status is noted as published


class TestLostLeases:
    @pytest.mark.parametrize(
        "step", ["bucket", "knowledge_store", "knowledge_base", "data_source", "usage_key", "first_sync", "activate"]
    )
    def test_no_step_of_an_overtaken_execution_does_anything(self, fleet: Fleet, step: str) -> None:
        old = Provisioning(fleet)
        old.reserve()
        fleet.clock.advance(LEASE.total_seconds())
        Provisioning(fleet, OTHER_EXECUTION).reserve()
        writes = fleet.registry.writes
        with pytest.raises(LeaseLost):
            getattr(old, step)()
        assert fleet.registry.writes == writes
        assert not fleet.buckets.created
        assert not fleet.store.created
        assert not fleet.knowledge_bases.created
        assert not fleet.usage_keys.keys
        assert fleet.ledger.find(first_knowledge(ACME)) == Sync(ACME)

    def test_a_lease_lost_between_reading_and_writing_leaves_the_record_to_the_later_execution(
        self, run: Provisioning
    ) -> None:
        run.reserve()
        make = run.fleet.buckets.ensure

        def overtaken(name: str, tags: dict[str, str]) -> None:
            make(name, tags)
            record = run.record
            run.fleet.registry.replace(replace(record, fence=record.fence + 1), fence=record.fence)

        run.fleet.buckets.ensure = overtaken  # type: ignore[assignment,method-assign]  # scripted for this test
        with pytest.raises(LeaseLost):
            run.bucket()
        assert run.record.bucket_name is None


class TestDescribeFailure:
    def describe(self, cause: str, error: str = "AccessRefused") -> WorkflowFailure:
        return describe_failure(
            Workflow.PROVISION_TENANT,
            execution=EXECUTION,
            step="Ensure Bucket",
            error=error,
            cause=cause,
            now=START,
        )

    def test_the_message_of_a_lambda_error_is_the_reason(self) -> None:
        cause = json.dumps({"errorMessage": "The role lacks 権限.", "errorType": "AccessRefused", "stackTrace": []})
        assert self.describe(cause) == WorkflowFailure(
            Workflow.PROVISION_TENANT, "Ensure Bucket", "AccessRefused", "The role lacks 権限.", EXECUTION, START
        )

    @pytest.mark.parametrize(
        "cause", ["plain text", "{not json", "[1, 2]", '{"message": "other"}', '{"errorMessage": ""}', "null"]
    )
    def test_any_other_cause_is_the_reason_as_it_is(self, cause: str) -> None:
        assert self.describe(cause).reason == cause

    def test_without_a_cause_the_error_is_the_reason(self) -> None:
        assert self.describe("", error="States.Timeout").reason == "States.Timeout"

    def test_a_very_long_reason_is_cut(self) -> None:
        reason = self.describe("x" * 32_768).reason
        assert size(reason) <= MESSAGE_BYTES
        assert reason.endswith(" more characters)")


class TestMarkTenantFailed:
    def test_the_record_says_which_step_failed_and_why_and_the_lease_is_given_back(self, run: Provisioning) -> None:
        run.reserve()
        run.mark_failed(provisioning_failure())
        assert (run.record.status, run.record.lease) == (TenantStatus.FAILED, None)
        assert run.record.failure == provisioning_failure()

    def test_a_tenant_that_was_never_registered_stays_so(self, run: Provisioning) -> None:
        run.mark_failed(provisioning_failure())
        assert run.fleet.registry.find(ACME) is None

    def test_an_execution_that_never_got_the_lease_leaves_the_record_alone(self, run: Provisioning) -> None:
        run.reserve()
        before = run.record
        run.mark_failed(provisioning_failure(OTHER_EXECUTION))
        assert run.record == before

    def test_a_failure_reported_twice_is_kept_once(self, run: Provisioning) -> None:
        run.reserve()
        run.mark_failed(provisioning_failure())
        run.mark_failed(provisioning_failure(reason="reported again"))
        assert run.record.failure == provisioning_failure()

    def test_a_later_execution_that_takes_the_lease_in_between_keeps_the_record(self, fleet: Fleet) -> None:
        class Overtaken(InMemoryTenantRegistry):
            """A later execution reserves between the look and the write."""

            def find(self, tenant_id: str) -> Tenant | None:
                found = super().find(ACME)
                if found is not None and found.fence == 1:
                    super().replace(replace(found, fence=2, lease=Lease(OTHER_EXECUTION, START + LEASE)), fence=1)
                return found

        fleet.registry = Overtaken(tenant(fence=1, lease=Lease(EXECUTION, START + LEASE)))
        Provisioning(fleet).mark_failed(provisioning_failure())
        record = fleet.registry.find(ACME)
        assert record is not None
        assert (record.status, record.failure, record.fence) == (TenantStatus.ACTIVE, None, 2)


class TestReportingFailures:
    def test_a_failure_is_announced(self, fleet: Fleet) -> None:
        provisioning.announce_provisioning_failed(ACME, provisioning_failure(), announcements=fleet.announcements)
        assert fleet.announcements.provisioning_failures == [(ACME, provisioning_failure())]

    def test_a_stopped_execution_is_marked_and_announced(self, run: Provisioning) -> None:
        run.reserve()
        provisioning.record_stopped_execution(
            ACME, provisioning_failure(), registry=run.fleet.registry, announcements=run.fleet.announcements
        )
        assert run.record.status is TenantStatus.FAILED
        assert run.fleet.announcements.provisioning_failures == [(ACME, provisioning_failure())]

    def test_a_status_that_a_dying_function_has_stored_and_not_published_is_published_before_the_failure(
        self, run: Provisioning
    ) -> None:
        run.reserve()
        run.fleet.registry.replace(replace(run.record, announced=False), fence=run.record.fence)
        run.fleet.announcements.tenant_state_changes.clear()
        run.mark_failed(provisioning_failure())
        reported = [change.status for change in run.fleet.announcements.tenant_state_changes]
        assert reported == [TenantStatus.PROVISIONING, TenantStatus.FAILED]

    def test_a_failed_run_is_taken_up_by_the_next_one_where_it_stopped(self, fleet: Fleet) -> None:
        first = Provisioning(fleet)
        first.up_to_data_source()
        made = fleet.registry.get(ACME)
        first.mark_failed(provisioning_failure())
        second = Provisioning(fleet, OTHER_EXECUTION)
        active = second.whole()
        assert (active.bucket_name, active.knowledge_base_id, active.data_source_id) == (
            made.bucket_name,
            made.knowledge_base_id,
            made.data_source_id,
        )
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.IDLE
