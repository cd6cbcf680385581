"""Changes of documents become one raised generation a tenant, and those that nobody wants cost nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.domain.errors import ConcurrentUpdate, TenantNotFound, TenantOffboarded
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.sync import Debounce, DocumentChange, Priority, Sync, SyncState
from kbfleet.domain.tenant import Offboarding, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.document_changes import ChangeBatch
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, first_knowledge, tenant

DEBOUNCE = Debounce(quiet=timedelta(seconds=30), at_most=timedelta(minutes=5))


def created(tenant_id: TenantId = ACME) -> DocumentChange:
    return DocumentChange(NAMES.bucket(Life(tenant_id)), deleted=False)


def deleted(tenant_id: TenantId = ACME) -> DocumentChange:
    return DocumentChange(NAMES.bucket(Life(tenant_id)), deleted=True)


def batch(fleet: Fleet) -> ChangeBatch:
    return ChangeBatch(
        registry=fleet.registry,
        ledger=fleet.ledger,
        ticks=fleet.ticks,
        clock=fleet.clock,
        names=NAMES,
        debounce=DEBOUNCE,
    )


def leaving(*, deletion_began: bool) -> Tenant:
    plan = Offboarding(START, START, TenantStatus.ACTIVE, deletion_began_at=START if deletion_began else None)
    return tenant(status=TenantStatus.OFFBOARDING, offboarding=plan)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


class TestABatch:
    def test_raises_a_tenants_generation_once_however_many_of_its_documents_changed(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        of_one = batch(fleet)
        assert all(of_one.note(change) for change in [created()] * 700 + [deleted()] * 300)
        sync = fleet.ledger.find(first_knowledge(ACME))
        assert (sync.requested_generation, sync.state, sync.priority) == (1, SyncState.QUEUED, Priority.CHANGED)
        assert fleet.ledger.writes == 1

    def test_asks_for_one_tick_however_many_tenants_there_are(self, fleet: Fleet) -> None:
        of_many = batch(fleet)
        for number in range(20):
            fleet.add(TenantId(f"tenant-{number}"))
            of_many.note(created(TenantId(f"tenant-{number}")))
        assert (of_many.tenants, fleet.ticks.requests) == (20, 1)

    def test_is_synced_when_the_documents_have_been_left_alone(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        batch(fleet).note(created())
        assert fleet.tick().started == 0
        fleet.clock.advance(DEBOUNCE.quiet.total_seconds())
        assert fleet.tick().started == 1

    def test_raises_the_generation_again_after_an_earlier_batch(self, fleet: Fleet) -> None:
        fleet.add(ACME)
        batch(fleet).note(created())
        batch(fleet).note(created())
        assert fleet.ledger.find(first_knowledge(ACME)).requested_generation == 2

    def test_offers_every_change_of_a_tenant_again_when_its_entry_cannot_be_written(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.add(ACME)
        fleet.add(SAKURA)
        save = fleet.ledger.save
        attempts: list[TenantId] = []

        def contended(sync: Sync) -> Sync:
            attempts.append(sync.tenant_id)
            if sync.tenant_id == ACME:
                raise ConcurrentUpdate("contended")
            return save(sync)

        monkeypatch.setattr(fleet.ledger, "save", contended)
        mixed = batch(fleet)
        for _ in range(3):
            with pytest.raises(ConcurrentUpdate):
                mixed.note(created())
        assert mixed.note(created(SAKURA))
        # Twenty losses in a row are one attempt at the update; it is not made anew for each change.
        assert attempts.count(ACME) == 20
        assert fleet.ledger.find(first_knowledge(SAKURA)).requested_generation == 1


class TestATenantOutOfService:
    def test_is_synced_after_its_suspension(self, fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.SUSPENDED))
        fleet.ledger.save(Sync(ACME).put_on_hold(fence=1))
        assert batch(fleet).note(created())
        sync = fleet.ledger.find(first_knowledge(ACME))
        assert (sync.requested_generation, sync.state, sync.on_hold) == (1, SyncState.IDLE, True)
        assert sync.taken_off_hold(fleet.clock.now(), fence=2).state is SyncState.QUEUED

    def test_is_synced_when_it_is_taken_back_before_anything_is_deleted(self, fleet: Fleet) -> None:
        fleet.registry.create(leaving(deletion_began=False))
        fleet.ledger.save(Sync(ACME).put_on_hold(fence=1))
        assert batch(fleet).note(deleted())
        assert fleet.ledger.find(first_knowledge(ACME)).requested_generation == 1

    def test_gets_no_entry_in_the_ledger_by_the_deletion_of_its_documents(self, fleet: Fleet) -> None:
        fleet.registry.create(leaving(deletion_began=True))
        of_deletions = batch(fleet)
        assert not any(of_deletions.note(deleted()) for _ in range(1000))
        assert (fleet.ledger.writes, fleet.ticks.requests) == (0, 0)

    def test_is_gone_when_the_last_deletions_are_reported(self, fleet: Fleet) -> None:
        fleet.registry.create(replace(tenant(), status=TenantStatus.OFFBOARDED))
        assert not batch(fleet).note(deleted())
        assert fleet.ledger.writes == 0

    def test_is_not_expected_to_get_documents_when_it_is_gone(self, fleet: Fleet) -> None:
        fleet.registry.create(replace(tenant(), status=TenantStatus.OFFBOARDED))
        with pytest.raises(TenantOffboarded):
            batch(fleet).note(created())


class TestABucket:
    def test_of_a_tenant_that_nobody_has_registered_is_unknown(self, fleet: Fleet) -> None:
        with pytest.raises(TenantNotFound, match="acme"):
            batch(fleet).note(created())

    @pytest.mark.parametrize(
        "name", ["kbfleet-logs", "kbfleet-acme-0123456789", "kbfleet-", "", "somebody-elses", "\x00", "x" * 10_000]
    )
    def test_that_no_tenant_of_this_fleet_can_have_is_unknown_and_named(self, fleet: Fleet, name: str) -> None:
        fleet.add(ACME)
        with pytest.raises(TenantNotFound) as refused:
            batch(fleet).note(DocumentChange(name, deleted=False))
        assert repr(name[:63]) in str(refused.value)
        assert len(str(refused.value)) < 500
        assert fleet.ledger.writes == 0
